package right

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goodship/goodship/server/processtest"
)

// mortal is a house over a process that is killed again and again.
type mortal struct {
	*house
	server *processtest.Server
	killed int
}

// newMortal starts a server as a process, and furnishes it.
func newMortal(t *testing.T, rng *rand.Rand, flags ...string) *mortal {
	t.Helper()
	server := processtest.New(t, rng, flags...)
	h := &house{t: t, as: server.As, rest: server.REST, key: server.Key}
	for range 8 {
		h.conns = append(h.conns, server.Conn(nil))
	}
	h.furnish()
	return &mortal{house: h, server: server}
}

// strike kills the server, and starts it again.
func (m *mortal) strike() {
	m.server.Kill()
	m.server.Start()
	m.killed++
}

// moments are steps to kill the server at: so many, one in each part of all.
func moments(rng *rand.Rand, n int, all int64) map[int64]bool {
	at := map[int64]bool{}
	for i := range int64(n) {
		from, to := i*all/int64(n), (i+1)*all/int64(n)
		at[1+from+rng.Int64N(to-from)] = true
	}
	return at
}

// struck runs something that tells of each step that it is about to take. At some of them the server is killed, while it goes on.
func (m *mortal) struck(at map[int64]bool, run func(step func())) {
	strike := make(chan struct{}, len(at))
	var steps atomic.Int64
	var killer sync.WaitGroup
	killer.Go(func() {
		for range strike {
			m.strike()
		}
	})
	run(func() {
		if at[steps.Add(1)] {
			strike <- struct{}{}
		}
	})
	close(strike)
	killer.Wait()
}
