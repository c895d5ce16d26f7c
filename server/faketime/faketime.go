// Package faketime is a clock for tests: it stands still until it is told to move, and then wakes who waits for it.
package faketime

import (
	"context"
	"sync"
	"time"
)

// Clock moves only when it is told to. Safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*timer]struct{}
	// set is closed, and made anew, when a timer is set.
	set chan struct{}
}

type timer struct {
	at time.Time
	c  chan time.Time
}

// New returns a clock at a fixed instant, the same in every test.
func New() *Clock { return At(time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)) }

// At returns a clock at an instant.
func At(now time.Time) *Clock {
	return &Clock{now: now, timers: map[*timer]struct{}{}, set: make(chan struct{})}
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Jump moves the clock, backwards if d is negative, and wakes those whose time has come.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range c.timers {
		if !t.at.After(c.now) {
			delete(c.timers, t)
			t.c <- c.now
		}
	}
}

// Timer returns a channel that the time is sent on once, when d has passed, and what ends that before.
func (c *Clock) Timer(d time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.now.Add(d), make(chan time.Time, 1)}
	if d <= 0 {
		t.c <- c.now
		return t.c, func() {}
	}
	c.timers[t] = struct{}{}
	close(c.set)
	c.set = make(chan struct{})
	return t.c, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
	}
}

// Await returns when somebody waits for an instant, to the microsecond, or with the context's error.
func (c *Clock) Await(ctx context.Context, at time.Time) error {
	for {
		set, found := c.waitsFor(at)
		if found {
			return nil
		}
		select {
		case <-set:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Clock) waitsFor(at time.Time) (<-chan struct{}, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.timers {
		if t.at.Truncate(time.Microsecond).Equal(at.Truncate(time.Microsecond)) {
			return nil, true
		}
	}
	return c.set, false
}
