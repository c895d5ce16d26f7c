package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/store/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashChild); path != "" {
		runCrashChild(path)
	}
	goleak.VerifyTestMain(m)
}

// TestStore holds the engine to the promises of package store.
func TestStore(t *testing.T) { storetest.Run(t, newHarness) }

// harness opens one file again and again.
type harness struct {
	*testing.T
	path  string
	clock *faketime.Clock
	fail  atomic.Value
	store *bolt.Store
}

func newHarness(t *testing.T) storetest.Harness {
	h := &harness{T: t, path: filepath.Join(t.TempDir(), "goodship.db"), clock: faketime.New()}
	t.Cleanup(func() { mustClose(t, h.store) })
	st, err := h.open()
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Harness{Store: st, Clock: h.clock, Reopen: h.reopen, Crash: h.crash, Fail: func(p storetest.Point) { h.fail.Store(p) }}
}

func (h *harness) open() (_ store.Store, err error) {
	h.fail.Store(storetest.Point(""))
	h.store, err = bolt.Open(h.path, bolt.Options{Now: h.clock.Now, Log: discard})
	if err != nil {
		return nil, err
	}
	bolt.SetHooks(h.store, h.failAt(storetest.BeforeApply), h.failAt(storetest.BeforeCommit), h.failAt(storetest.AfterCommit))
	return h.store, nil
}

var errOnPurpose = errors.New("on purpose")

func (h *harness) failAt(point storetest.Point) func() error {
	return func() error {
		if h.fail.CompareAndSwap(point, storetest.Point("")) {
			return errOnPurpose
		}
		return nil
	}
}

func (h *harness) reopen() (store.Store, error) {
	mustClose(h.T, h.store)
	return h.open()
}

// crash opens the file as it was before the store was closed, which writes to it.
func (h *harness) crash() (store.Store, error) {
	file, err := os.ReadFile(h.path)
	if err != nil {
		return nil, err
	}
	mustClose(h.T, h.store)
	if err := os.WriteFile(h.path, file, 0o600); err != nil {
		return nil, err
	}
	return h.open()
}
