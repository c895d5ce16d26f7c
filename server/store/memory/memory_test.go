package memory_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/memory"
	"github.com/goodship/goodship/server/store/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStore holds the reference to what it is the reference for.
func TestStore(t *testing.T) { storetest.Run(t, open) }

func open(t *testing.T) storetest.Harness {
	clock := faketime.New()
	var fail atomic.Value
	fail.Store(storetest.Point(""))
	st := memory.New(memory.Options{Now: clock.Now, Fault: func(point string) error {
		if fail.CompareAndSwap(storetest.Point(point), storetest.Point("")) {
			return errors.New("on purpose")
		}
		return nil
	}})
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	reopen := func() (store.Store, error) {
		fail.Store(storetest.Point(""))
		st = st.Reopen()
		return st, nil
	}
	return storetest.Harness{
		Store:  st,
		Clock:  clock,
		Reopen: reopen,
		// What is kept in memory is kept in whole units; so dropping it is no different from closing it.
		Crash: reopen,
		Fail:  func(point storetest.Point) { fail.Store(point) },
	}
}
