package support

import "time"

// Clock tells the time, and wakes who waits for it.
type Clock interface {
	// Now is what time.Now is.
	Now() time.Time
	// Timer returns a channel that the time is sent on once, when d has passed, and what ends that before.
	Timer(d time.Duration) (c <-chan time.Time, stop func())
}

// systemClock is the machine's.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Timer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}
