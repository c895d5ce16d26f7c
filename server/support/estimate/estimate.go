// Package estimate says how long a wait in a line may still take, by how long those took that ended lately.
//
// It looks at the waits that found about as many before them as there are now, as the second predictor of Thiongane, Chan and
// L'Ecuyer does (New history-based delay predictors for service systems, Winter Simulation Conference, 2016), and stretches
// each by how much longer or shorter the line was then. It knows nothing of agents: how many there are and how fast they
// answer is in the waits, and a change of it is as soon as some have ended. Of those waits it tells not the mean but quantiles, of
// the rank that conformal prediction gives them (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005): were
// the next wait one like them, the chance that it is over by a quantile of 0.9 would be at least 0.9, however waits are
// distributed. Where it is not, since demand and people change within the hour, each wait that ends corrects the level, so that in
// the long run the share of waits within is what was said (Gibbs and Candès, Adaptive Conformal Inference Under Distribution
// Shift, NeurIPS, 2021).
package estimate

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// memory is how many waits that ended it looks at: the newest.
	memory = 300
	// near is how many of them it takes: those that began at the nearest places.
	near = 50
	// Fewest is how many must have ended for an estimate.
	Fewest = 20
	// gain is how much a wait corrects the levels: little, so that what is told does not jump.
	gain = 0.002
	// longest is the longest time that it tells.
	longest = 365 * 24 * time.Hour
)

// Waits are the waits of one line, those that go on and those that ended lately. The zero value has none. What it keeps is
// bounded by the length of the line. Not safe for concurrent use.
type Waits struct {
	line  []place          // of those who wait, first come first
	began map[string]began // by id
	ended []ended          // oldest first
	// p50 and p90 correct the levels.
	p50, p90 correction
}

// place is where somebody stands in the line.
type place struct {
	line time.Time
	id   string
}

func (p place) compare(o place) int {
	return cmp.Or(p.line.Compare(o.line), strings.Compare(p.id, o.id))
}

// began is a wait that goes on.
type began struct {
	place
	at time.Time
	// number is its place in the line when it began, from 1, and p50 and p90 what was to be told of it, if told.
	number   int
	p50, p90 time.Duration
	told     bool
}

// ended is a wait that an answer ended.
type ended struct {
	number int
	took   time.Duration
}

// Begin notes that a wait begins at a time, with a place in the line that may be an earlier one's. Whoever waits already waits
// anew.
func (w *Waits) Begin(id string, line, at time.Time) {
	w.Leave(id)
	p := place{line, id}
	i, _ := slices.BinarySearchFunc(w.line, p, place.compare)
	w.line = slices.Insert(w.line, i, p)
	if w.began == nil {
		w.began = map[string]began{}
	}
	b := began{place: p, at: at, number: i + 1}
	b.p50, b.p90, b.told = w.Estimate(b.number)
	w.began[id] = b
}

// Answer notes that a person answered: the wait is over. between tells how much of the time from one instant to another
// counts. Of a wait whose begin is not known nothing is learnt.
func (w *Waits) Answer(id string, at time.Time, between func(from, to time.Time) time.Duration) {
	b, ok := w.began[id]
	if !ok {
		return
	}
	w.Leave(id)
	if len(w.ended) == memory {
		w.ended = slices.Delete(w.ended, 0, 1)
	}
	took := max(0, between(b.at, at))
	w.ended = append(w.ended, ended{b.number, took})
	if b.told {
		w.p50.learn(0.5, took <= b.p50)
		w.p90.learn(0.9, took <= b.p90)
	}
}

// Leave notes that a wait is over without an answer.
func (w *Waits) Leave(id string) {
	b, ok := w.began[id]
	if !ok {
		return
	}
	delete(w.began, id)
	i, _ := slices.BinarySearchFunc(w.line, b.place, place.compare)
	w.line = slices.Delete(w.line, i, i+1)
}

// Place returns the place in the line, from 1, of who waits since a time, among those whose begin is known.
func (w *Waits) Place(id string, line time.Time) int {
	i, _ := slices.BinarySearchFunc(w.line, place{line, id}, place.compare)
	return i + 1
}

// Estimate returns how long a wait may still take that has a place in the line now: half of the waits take less than p50,
// nine of ten less than p90. It is not ok while fewer than Fewest have ended.
func (w *Waits) Estimate(number int) (p50, p90 time.Duration, ok bool) {
	if len(w.ended) < Fewest {
		return 0, 0, false
	}
	order := make([]int, len(w.ended))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { // of those equally near, the newest first
		return cmp.Or(cmp.Compare(w.ended[a].distance(number), w.ended[b].distance(number)), cmp.Compare(b, a))
	})
	var times []float64
	for _, i := range order[:min(near, len(order))] {
		e := w.ended[i]
		times = append(times, float64(e.took)*float64(number)/float64(e.number))
	}
	slices.Sort(times)
	p50, p90 = quantile(times, 0.5+float64(w.p50)), quantile(times, 0.9+float64(w.p90))
	return p50, max(p50, p90), true
}

// distance returns how far from a place the wait began.
func (e ended) distance(number int) int { return max(e.number-number, number-e.number) }

// quantile returns the smallest of sorted times that the next one exceeds with a chance of at most 1-q; if none is so long, the
// longest.
func quantile(times []float64, q float64) time.Duration {
	rank := int(math.Ceil(q * float64(len(times)+1)))
	return time.Duration(min(times[max(1, min(rank, len(times)))-1], float64(longest)))
}

// correction is by how much another level is taken than the share of waits that are to be within it.
type correction float64

// learn corrects the level of a share by a wait, which was within it or not. The level stays between 0 and 1.
func (c *correction) learn(share float64, within bool) {
	by := gain * share
	if within {
		by = -gain * (1 - share)
	}
	*c = correction(max(-share, min(float64(*c)+by, 1-share)))
}
