package estimate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/goodship/goodship/server/support/estimate"
)

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// endWaits lets waits of one customer after the other end, each after its duration, at a place with so many before it.
func endWaits(w *estimate.Waits, before int, took ...time.Duration) {
	for i := range before {
		w.Begin(fmt.Sprint("before ", i), opening.Add(-time.Hour), opening)
	}
	for _, d := range took {
		w.Begin("customer", opening, opening)
		w.Answer("customer", opening.Add(d), elapsed)
	}
	for i := range before {
		w.Leave(fmt.Sprint("before ", i))
	}
}

// minutes returns durations of so many minutes, from 1.
func minutes(n int) []time.Duration {
	var all []time.Duration
	for i := range n {
		all = append(all, time.Duration(i+1)*time.Minute)
	}
	return all
}

// estimated tells an estimate in a word.
func estimated(w *estimate.Waits, number int) string {
	p50, p90, ok := w.Estimate(number)
	if !ok {
		return "unknown"
	}
	return fmt.Sprint(p50, " ", p90)
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	var w estimate.Waits
	equal(t, "of nothing", estimated(&w, 1), "unknown")
	endWaits(&w, 0, minutes(19)...)
	equal(t, "one too few", estimated(&w, 1), "unknown")
	endWaits(&w, 0, 20*time.Minute)
	equal(t, "enough", estimated(&w, 1), "11m0s 19m0s")
	equal(t, "twice as far back, where nobody was", estimated(&w, 2), "22m0s 38m0s")
	endWaits(&w, 9, make([]time.Duration, 50)...)
	equal(t, "at the place of 50 others", estimated(&w, 10), "0s 0s")
	equal(t, "where the first were, of 30 others too", estimated(&w, 1), "0s 16m0s")
	endWaits(&w, 0, make([]time.Duration, 300)...)
	equal(t, "when all that is forgotten", estimated(&w, 1), "0s 0s")
	endWaits(&w, 0, slices.Repeat([]time.Duration{time.Minute}, 50)...)
	equal(t, "by the newest of those at the place", estimated(&w, 1), "1m0s 1m0s")
}

// TestEstimateIsCorrected lets each wait take longer than all before it, or less, which no quantile foresees, and then as long as
// any of fifty before it.
func TestEstimateIsCorrected(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		takes      func(n int) time.Duration
		then, last string
	}{
		{"longer", func(n int) time.Duration { return time.Duration(n) * time.Minute }, "33h20m0s 33h20m0s", "29m0s 46m0s"},
		{"shorter", func(n int) time.Duration { return time.Duration(4000-n) * time.Minute }, "33h20m0s 33h45m0s", "23m0s 43m0s"},
	} {
		var w estimate.Waits
		for n := range 2000 {
			endWaits(&w, 0, test.takes(n+1))
		}
		equal(t, "when each takes "+test.name, estimated(&w, 1), test.then)
		for range 20 {
			endWaits(&w, 0, minutes(50)...)
		}
		equal(t, "as long as any, after each took "+test.name, estimated(&w, 1), test.last)
	}
}

func TestEstimateIsBounded(t *testing.T) {
	t.Parallel()
	var w estimate.Waits
	year := 365 * 24 * time.Hour
	for range 20 {
		endWaits(&w, 0, 100*year)
	}
	equal(t, "longest", estimated(&w, 1_000_000), fmt.Sprint(year, " ", year))
	w = estimate.Waits{}
	for range 20 {
		endWaits(&w, 0, -time.Second)
	}
	equal(t, "of an answer before the wait", estimated(&w, 1), "0s 0s")
}

// TestWaitsOfUnknownBegin answers and ends waits that began before anybody looked: they teach nothing.
func TestWaitsOfUnknownBegin(t *testing.T) {
	t.Parallel()
	var w estimate.Waits
	for range 30 {
		w.Answer("customer", opening, elapsed)
		w.Leave("customer")
	}
	equal(t, "estimate", estimated(&w, 1), "unknown")
	endWaits(&w, 0, minutes(19)...)
	w.Begin("customer", opening, opening)
	w.Leave("customer")
	w.Answer("customer", opening, elapsed)
	equal(t, "after a wait that was left", estimated(&w, 1), "unknown")
}

// TestPlace compares places with a count, while waits begin, anew too, and end at random.
func TestPlace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var w estimate.Waits
	lines := map[string]time.Time{}
	for range 3000 {
		id := fmt.Sprint(r.IntN(40))
		switch r.IntN(4) {
		case 0, 1:
			lines[id] = opening.Add(time.Duration(r.IntN(20)) * time.Second)
			w.Begin(id, lines[id], opening)
		case 2:
			delete(lines, id)
			w.Answer(id, opening, elapsed)
		default:
			delete(lines, id)
			w.Leave(id)
		}
		for id, line := range lines {
			before := 1
			for other, at := range lines {
				if at.Before(line) || at.Equal(line) && other < id {
					before++
				}
			}
			equal(t, "place", w.Place(id, line), before)
		}
	}
}
