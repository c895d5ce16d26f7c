package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/memory"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// longest is how many steps the machine takes at most in one run. What is there to scan grows with each, and most of what
// goes wrong does so after a few.
const longest = 15

// machine runs random steps against the engine and the reference, and compares all that can be read after each.
func machine(t *testing.T, open func(t *testing.T) Harness) {
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") }
		m := &twins{ctx: t.Context(), harness: open(t), pick: pick, last: make(map[string]time.Time)}
		m.reference = memory.New(memory.Options{Now: m.harness.Clock.Now})
		m.ear = listen(m.harness.Store)
		defer func() { _ = m.harness.Store.Close() }() // it may be closed already
		rt.Repeat(map[string]func(*rapid.T){
			"unit":         m.step(m.unit),
			"another unit": m.step(m.unit),
			"again":        m.step(m.again),
			"failure":      m.step(m.failure),
			"prune":        m.step(m.prune),
			"jump":         m.step(m.jump),
			"restart":      m.step(m.restart),
		})
	})
}

// twins are the engine and the reference, to which the same was done.
type twins struct {
	ctx       context.Context
	harness   Harness
	reference *memory.Store
	// ear hears the engine's hints.
	ear  *ear
	pick choose
	// steps counts steps, begun conversations, failures units that were made to fail; seen holds those with a request id.
	steps, begun, failures int
	seen                   []unit
	// last is the time of the engine's newest unit in each workspace, ahead how far the clock was moved.
	last  map[string]time.Time
	ahead time.Duration
}

// step returns an action that takes a step and compares, or nothing if there were enough.
func (m *twins) step(do func(*rapid.T)) func(*rapid.T) {
	return func(rt *rapid.T) {
		if m.steps == longest {
			return
		}
		do(rt)
		m.steps++
		m.compare(rt)
	}
}

// twinWorkspaces begin alike, so that keys could be taken for one another.
var twinWorkspaces = []string{"w", "w2"}

// unit is a unit of work that does the same whenever it runs.
type unit struct {
	workspace string
	once      store.Once
	receipt   *storev1.Receipt
	fail      error
	do        []action
}

// action is a part of a unit. what says in a failing test what it did, and changes of what there must be a hint; zero for
// nothing.
type action struct {
	what    string
	changes store.Hint
	run     func(store.Tx) error
}

func (u unit) String() string {
	text := fmt.Sprintf("unit in %q, request %q %q %q %v, for ever %v, receipt %v, error %v:", u.workspace,
		u.once.RequestID, u.once.Scope, u.once.Conversation, u.once.Body[0], u.once.Forever, u.receipt, u.fail)
	for _, a := range u.do {
		text += " " + a.what + ";"
	}
	return text
}

// outcome is what a unit came to. saw is what it read at its end.
type outcome struct {
	now    time.Time
	saw    string
	result store.Result
	err    error
}

func (u unit) run(ctx context.Context, st store.Store) outcome {
	var o outcome
	o.result, o.err = st.Update(ctx, u.workspace, u.once, func(tx store.Tx) (*storev1.Receipt, error) {
		o.now = tx.Now()
		for _, a := range u.do {
			if err := a.run(tx); err != nil {
				return nil, err
			}
		}
		var err error
		if o.saw, err = look(tx); err != nil {
			return nil, err
		}
		return u.receipt, u.fail
	})
	return o
}

// look returns what a unit sees of the workspace's orders.
func look(tx store.Tx) (string, error) {
	oldest, err := tx.OldestWaiting()
	saw := fmt.Sprintf("oldest waiting %q", oldest)
	for _, key := range customers {
		newest, errNewest := tx.NewestUnresolved(key)
		saw += fmt.Sprintf(", newest of %q %q", key, newest)
		err = errors.Join(err, errNewest)
	}
	others, errOthers := lookAtOthers(tx)
	return saw + others, errors.Join(err, errOthers)
}

// differs returns how an outcome differs from another, times aside; or nothing.
func (o outcome) differs(other outcome) string {
	if o.saw != other.saw || o.result.Replayed != other.result.Replayed || (o.result.Receipt == nil) != (other.result.Receipt == nil) ||
		!proto.Equal(o.result.Receipt, other.result.Receipt) {
		return fmt.Sprintf("%+v and %+v", o, other)
	}
	for _, known := range []error{nil, errOwn, store.ErrNotFound, store.ErrExternalIDTaken, store.ErrRequestIDReused} {
		if errors.Is(o.err, known) != errors.Is(other.err, known) {
			return fmt.Sprintf("error %v and %v", o.err, other.err)
		}
	}
	return ""
}

// both runs a unit on the engine and on the reference, which must come to the same.
func (m *twins) both(rt *rapid.T, u unit) {
	rt.Log(u)
	m.agree(rt, u, u.run(m.ctx, m.harness.Store))
}

// agree runs on the reference what the engine ran.
func (m *twins) agree(rt *rapid.T, u unit, got outcome) {
	if diff := got.differs(u.run(m.ctx, m.reference)); diff != "" {
		rt.Fatalf("engine and reference disagree: %s", diff)
	}
	m.passes(rt, u, got)
}

// passes checks that the engine's clock only goes on.
func (m *twins) passes(rt *rapid.T, u unit, got outcome) {
	if got.err != nil || got.result.Replayed {
		return
	}
	if last := m.last[u.workspace]; !got.now.After(last) {
		rt.Fatalf("a unit has time %v, and one before it %v", got.now, last)
	}
	m.last[u.workspace] = got.now
	m.heard(rt, u)
}

// heard checks that there was a hint of all that a unit changed.
func (m *twins) heard(rt *rapid.T, u unit) {
	for _, a := range u.do {
		if a.changes == (store.Hint{}) {
			continue
		}
		var head *storev1.Head
		if id := a.changes.ConversationID; id != "" {
			var err error
			head, err = m.harness.Store.Conversation(m.ctx, u.workspace, id)
			if errors.Is(err, store.ErrNotFound) { // it was removed
				head, err = &storev1.Head{CustomerKey: m.ear.customerOf(a.changes)}, nil
			}
			if err != nil {
				rt.Fatalf("Conversation: %v", err)
			}
		}
		if missed := m.ear.missed(a.changes, head); missed != "" {
			rt.Fatalf("there was no hint of %s", missed)
		}
	}
	m.ear.take()
}

func (m *twins) unit(rt *rapid.T) {
	u := m.draw()
	if u.once.RequestID != "" {
		m.seen = append(m.seen, u)
	}
	m.both(rt, u)
}

// again repeats a unit that had a request id.
func (m *twins) again(rt *rapid.T) {
	if len(m.seen) == 0 {
		rt.Skip("no unit had a request id")
	}
	m.both(rt, one(m.pick, m.seen))
}

// failure makes the engine fail a unit. The reference runs it if it happened all the same, or if fn failed by itself.
func (m *twins) failure(rt *rapid.T) {
	if m.harness.Fail == nil {
		rt.Skip("the engine has no points to fail at")
	}
	u := m.draw()
	m.failures++
	u.once = store.Once{RequestID: fmt.Sprint("failure ", m.failures)}
	point := one(m.pick, []Point{BeforeApply, BeforeCommit, AfterCommit})
	m.harness.Fail(point)
	rt.Log("to fail ", point, ": ", u)
	got := u.run(m.ctx, m.harness.Store)
	if !errors.Is(got.err, store.ErrUnavailable) {
		if got.err == nil {
			rt.Fatalf("a unit that should fail %s did not", point)
		}
		m.open(rt, m.harness.Reopen)
		m.agree(rt, u, got)
		return
	}
	if point == AfterCommit {
		want := u.run(m.ctx, m.reference)
		got.result, got.err = store.Result{Receipt: u.receipt}, nil // which its caller did not hear
		if diff := got.differs(want); diff != "" {
			rt.Fatalf("engine and reference disagree: %s", diff)
		}
		m.passes(rt, u, got)
		m.seen = append(m.seen, u)
	}
	if m.harness.Store.Ready() != nil {
		m.open(rt, m.harness.Reopen)
	}
}

// prune prunes the feeds of both. What is pruned does not depend on the times of events, which are in no order here.
func (m *twins) prune(rt *rapid.T) {
	limit, before := m.pick(4), one(m.pick, []time.Time{afterAll, {}})
	rt.Logf("to prune %d from before %v", limit, before)
	got, err := m.harness.Store.PruneFeed(m.ctx, before, limit)
	want, errWant := m.reference.PruneFeed(m.ctx, before, limit)
	if err != nil || errWant != nil || got != want {
		rt.Fatalf("PruneFeed: got %d, %v, and of the reference %d, %v", got, err, want, errWant)
	}
}

// jump moves the clock, less than request ids are remembered in all.
func (m *twins) jump(*rapid.T) {
	jump := one(m.pick, []time.Duration{-time.Hour, time.Second, time.Hour})
	if ahead := m.ahead + jump; ahead.Abs() < store.OnceRetention/4 {
		m.ahead = ahead
		m.harness.Clock.Jump(jump)
	}
}

// restart closes and opens the engine, or drops it.
func (m *twins) restart(rt *rapid.T) {
	if m.harness.Crash != nil && m.pick(2) == 0 {
		m.open(rt, m.harness.Crash)
		return
	}
	m.open(rt, m.harness.Reopen)
}

func (m *twins) open(rt *rapid.T, how func() (store.Store, error)) {
	st, err := how()
	if err != nil {
		rt.Fatalf("open the store again: %v", err)
	}
	m.harness.Store = st
	m.ear.listen(st)
}

// compare scans both, with lists of any queries. Every few steps the engine also checks itself, or is backed up.
func (m *twins) compare(rt *rapid.T) {
	queries := []store.Query{query(m.pick), query(m.pick)}
	want, err := scan(m.ctx, m.reference, twinWorkspaces, queries)
	if err != nil {
		rt.Fatalf("full scan of the reference: %v", err)
	}
	m.same(rt, "engine", m.harness.Store, want, queries)
	switch m.pick(6) {
	case 0:
		report, err := m.harness.Store.Check(m.ctx, true)
		if err != nil || len(report.Problems) != 0 {
			rt.Fatalf("Check: %v, %q", err, report.Problems)
		}
	case 1:
		restored, err := restore(m.ctx, m.harness.Store, m.harness.Clock)
		if err != nil {
			rt.Fatalf("backup and restore: %v", err)
		}
		m.same(rt, "restored backup", restored, want, queries)
	}
}

// same fails the test unless a store reads like the reference.
func (m *twins) same(rt *rapid.T, what string, st store.Store, want image, queries []store.Query) {
	got, err := scan(m.ctx, st, twinWorkspaces, queries)
	if err != nil {
		rt.Fatalf("full scan of the %s: %v", what, err)
	}
	if diff := want.timeless().diff(got.timeless()); diff != "" {
		rt.Fatalf("the %s differs from the reference (- reference, + %s); lists are of %+v:\n%s", what, what, queries, diff)
	}
}
