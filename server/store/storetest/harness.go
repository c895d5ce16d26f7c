package storetest

import (
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
)

// Harness is one store under test, empty at first, and what a test may do to it from outside. Whoever makes it closes
// what is still open when the test ends (t.Cleanup); the suite may have closed it before.
type Harness struct {
	// Store is the open store. It tells the time by Clock and by nothing else.
	Store store.Store
	// Clock is the store's clock. It stands still until a test moves it, in either direction.
	Clock *faketime.Clock
	// Reopen closes the store that Store, Reopen or Crash gave out last, and opens the same data again, under the same
	// clock. It also ends what Fail asked for.
	Reopen func() (store.Store, error)
	// Crash does the same without closing: what was not durable is gone. The store given out before must not be used
	// again. nil if the engine cannot; then the tests that need it are skipped.
	Crash func() (store.Store, error)
	// Fail makes the next unit whose fn returns nil fail once, at a point. Its caller gets ErrUnavailable, and so may
	// those whose units share its commit. Afterwards the store may take no writes until it is reopened, if Ready says
	// so; what it still gives to read must be right. nil if the engine cannot; then the tests that need it are skipped.
	Fail func(Point)
}

// Point is where a unit fails.
type Point string

// Points of a unit, in the order in which it comes to them.
const (
	// BeforeApply is after fn returned nil, before anything of it is written.
	BeforeApply Point = "before apply"
	// BeforeCommit is after all of it is written, before any of it is durable. The unit must have left nothing.
	BeforeCommit Point = "before commit"
	// AfterCommit is after it is durable, before its caller hears. The unit happened.
	AfterCommit Point = "after commit"
)
