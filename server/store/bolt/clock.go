package bolt

import "time"

// clock gives units their times: whole microseconds, each later than all before. Only the writer ticks.
//
// It starts from what the wall clock says when the store is opened and goes on by the monotonic clock, so that a wall
// clock that is set while the process runs moves nothing. If the newest unit's time is later than that, it starts from
// there, so that time does not stand still until the wall clock comes up to it; unless that is soon.
type clock struct {
	now         func() time.Time
	start, base time.Time
	last        time.Time
}

// soon is how long units may have times that are a microsecond apart, instead of a clock that is ahead for good.
const soon = time.Second

// newClock returns a clock that gives times after last only.
func newClock(now func() time.Time, last time.Time) *clock {
	c := &clock{now: now, start: now(), last: last}
	c.base = c.start.UTC()
	if last.Sub(c.base) > soon {
		c.base = last
	}
	return c
}

// read returns what the clock shows, to anybody.
func (c *clock) read() time.Time {
	// Sub takes the monotonic readings if both times have one, as those of time.Now do.
	return c.base.Add(c.now().Sub(c.start)).Truncate(time.Microsecond)
}

// tick returns the time of the next unit.
func (c *clock) tick() time.Time {
	now := c.read()
	if earliest := c.last.Add(time.Microsecond); now.Before(earliest) {
		now = earliest
	}
	c.last = now
	return now
}

// Now implements store.Keeper.
func (s *Store) Now() time.Time { return s.clock.read() }
