package estimate_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/goodship/goodship/server/support/estimate"
)

// desk is a desk on paper: customers come, more at midday, and three to six agents take the first in line and answer after a
// time of their own. It asks for estimates as it goes, and holds them against what came.
type desk struct {
	random *rand.Rand
	agents [12]int // by the even hour
	// waits are what is tested.
	waits estimate.Waits
	now   time.Time
	// line are those whom nobody answers yet, and busy those whom somebody does, by when they are done.
	line, busy []*customer
	// atStart and underWay are how estimates did that were given when a wait began, and at any time later.
	atStart, underWay score
}

// customer is somebody who waits, and what they were told.
type customer struct {
	id   string
	line time.Time
	done time.Time
	told []told
}

// told is an estimate that was given.
type told struct {
	at       time.Time
	p50, p90 time.Duration
	score    *score
}

// score counts estimates, and the waits that ended within them.
type score struct{ all, in50, in90 int }

func (s *score) shares() (in50, in90 float64) {
	return float64(s.in50) / float64(s.all), float64(s.in90) / float64(s.all)
}

// Answers take 4 minutes in the middle, one in six more than 9.
const (
	answer = 4 * time.Minute
	spread = 0.8
)

var opening = time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)

func newDesk(seed uint64) *desk {
	d := &desk{random: rand.New(rand.NewPCG(seed, 0)), now: opening}
	for i := range d.agents {
		d.agents[i] = 3 + d.random.IntN(4)
	}
	return d
}

// staff is how many agents there are.
func (d *desk) staff() int { return d.agents[d.now.Hour()/2] }

// rush is the most customers that come in a minute: at midday, twice as many as else.
const rush = 0.9

// next returns when the next customer comes, by thinning.
func (d *desk) next() time.Time {
	at := d.now
	for {
		at = at.Add(time.Duration(d.random.ExpFloat64() / rush * float64(time.Minute)))
		if midday := at.Hour() >= 11 && at.Hour() < 14; midday || d.random.IntN(2) == 0 {
			return at
		}
	}
}

// run lets customers come until as many waits have ended that began with an estimate.
func (d *desk) run(waits int) {
	for n := 0; d.atStart.all < waits; n++ {
		next := d.next()
		for len(d.busy) > 0 && !d.busy[0].done.After(next) {
			d.now = d.busy[0].done
			d.answered()
			d.take()
		}
		d.now = next
		d.comes(&customer{id: fmt.Sprint(n), line: d.now})
		d.take()
	}
}

func (d *desk) comes(c *customer) {
	d.waits.Begin(c.id, c.line, d.now)
	d.ask(c, &d.atStart)
	d.line = append(d.line, c)
	if waiting := slices.Concat(d.busy, d.line); d.random.IntN(4) == 0 {
		d.ask(waiting[d.random.IntN(len(waiting))], &d.underWay)
	}
}

// ask asks how long a wait may still take.
func (d *desk) ask(c *customer, s *score) {
	if p50, p90, ok := d.waits.Estimate(d.waits.Place(c.id, c.line)); ok {
		c.told = append(c.told, told{d.now, p50, p90, s})
	}
}

// take lets agents who have nobody take the first in line.
func (d *desk) take() {
	for len(d.line) > 0 && len(d.busy) < d.staff() {
		c := d.line[0]
		d.line = d.line[1:]
		c.done = d.now.Add(time.Duration(float64(answer) * math.Exp(spread*d.random.NormFloat64())))
		d.busy = append(d.busy, c)
		slices.SortFunc(d.busy, func(a, b *customer) int { return cmp.Compare(a.done.UnixNano(), b.done.UnixNano()) })
	}
}

func (d *desk) answered() {
	c := d.busy[0]
	d.busy = d.busy[1:]
	d.waits.Answer(c.id, d.now, elapsed)
	for _, t := range c.told {
		t.score.all++
		if took := d.now.Sub(t.at); took <= t.p90 {
			t.score.in90++
			if took <= t.p50 {
				t.score.in50++
			}
		}
	}
}

// elapsed counts all time.
func elapsed(from, to time.Time) time.Duration { return to.Sub(from) }

// TestTrace holds estimates against what came: those that were given when a wait began are right as often as they say, within
// a few in a hundred.
func TestTrace(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			d := newDesk(seed)
			d.run(5000)
			in50, in90 := d.atStart.shares()
			if in90 < 0.88 || in90 > 0.92 || in50 < 0.47 || in50 > 0.53 {
				t.Errorf("got %.3f of the waits within p50 and %.3f within p90, want 0.47 to 0.53 and 0.88 to 0.92", in50, in90)
			}
			later50, later90 := d.underWay.shares()
			t.Logf("of %d waits %.3f within p50 and %.3f within p90; told later, %.3f and %.3f", d.atStart.all, in50, in90, later50, later90)
		})
	}
}
