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
		defer func() { _ = m.harness.Store.Close() }() // it may be closed already
		rt.Repeat(map[string]func(*rapid.T){
			"unit":         m.step(m.unit),
			"another unit": m.step(m.unit),
			"again":        m.step(m.again),
			"failure":      m.step(m.failure),
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
	pick      choose
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

// action is a part of a unit. what says in a failing test what it did.
type action struct {
	what string
	run  func(store.Tx) error
}

func (u unit) String() string {
	text := fmt.Sprintf("unit in %q, request %q %q %q %v, receipt %v, error %v:", u.workspace,
		u.once.RequestID, u.once.Scope, u.once.Conversation, u.once.Body[0], u.receipt, u.fail)
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
	return saw, err
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

// draw returns any unit. Its times are drawn too, since the engines' clocks need not agree to the microsecond.
func (m *twins) draw() unit {
	u := unit{workspace: one(m.pick, twinWorkspaces)}
	for range m.pick(3) + 1 {
		u.do = append(u.do, m.drawAction(u.workspace))
	}
	if m.pick(6) == 0 {
		u.fail = errOwn
	}
	if m.pick(3) == 0 {
		u.once = store.Once{
			RequestID: fmt.Sprint("request ", m.pick(4)), Scope: one(m.pick, []string{"a", "ab"}),
			Conversation: one(m.pick, []string{"", "b", "conv_01"}), Body: [32]byte{byte(m.pick(2))},
		}
	}
	if m.pick(3) != 0 {
		u.receipt = &storev1.Receipt{MessageNumber: int32(m.pick(100))}
	}
	return u
}

func (m *twins) drawAction(workspace string) action {
	version := int32(m.pick(100))
	switch m.pick(10) {
	case 0:
		record := workspaceRecord(workspace, version)
		return action{fmt.Sprint("put workspace ", record), func(tx store.Tx) error { return tx.PutWorkspace(record) }}
	case 1:
		record := agentRecord(one(m.pick, agents), version)
		return action{fmt.Sprint("put agent ", record), func(tx store.Tx) error { return tx.PutAgent(record) }}
	case 2:
		key := one(m.pick, customers)
		record := customerRecord("id of "+key, key, version)
		return action{fmt.Sprint("put customer ", record), func(tx store.Tx) error { return tx.PutCustomer(record) }}
	case 3:
		record := apiKeyRecord(workspace, one(m.pick, []string{"key_1", "key_2"}), version)
		return action{fmt.Sprint("put key ", record), func(tx store.Tx) error { return tx.PutAPIKey(record) }}
	case 4:
		id, mark := m.drawID(), &storev1.ReadMarkRecord{AgentId: one(m.pick, append([]string{""}, agents...)), MessageNumber: version}
		return action{fmt.Sprintf("mark %s read: %v", id, mark), func(tx store.Tx) error { return tx.PutReadMark(id, mark) }}
	}
	return m.drawAppend()
}

// drawID returns the id of a conversation that was begun, or of one that was not.
func (m *twins) drawID() string { return fmt.Sprintf("conv_%02d", m.pick(m.begun+1)) }

// drawAppend appends anything to any conversation.
func (m *twins) drawAppend() action {
	id, now := m.drawID(), moment(m.pick)
	if m.pick(3) == 0 {
		m.begun++
		id = fmt.Sprintf("conv_%02d", m.begun)
	}
	customer, external := one(m.pick, customers), one(m.pick, []string{"", "", "external_1", "external_2"})
	what, edit := m.drawEdit()
	return action{fmt.Sprintf("append to %s, if new of %s under %q: %s", id, customer, external, what), func(tx store.Tx) error {
		head, err := tx.Conversation(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		d := goOn(head, now)
		if head == nil {
			d = begin(id, customer, now)
			d.conversation().ExternalId = external
		}
		edit(d)
		return tx.Append(d.change())
	}}
}

// drawEdit draws first and returns what edits then, since an edit runs on two engines, and may run more than once.
func (m *twins) drawEdit() (string, func(*draft)) {
	what, which, text := m.pick(10), int32(m.pick(6)), fmt.Sprint("text ", m.pick(100))
	looks := begin("", "", moment(m.pick))
	looks.shuffle(m.pick)
	return fmt.Sprintf("%d, %d, %s, to resemble %v", what, which, text, looks.head), func(d *draft) {
		before := proto.CloneOf(d.conversation())
		if what < 5 {
			d.say(text)
		}
		if what == 3 || what == 6 {
			d.note(text)
		}
		if what == 4 || what == 7 {
			d.propose(text)
		}
		// At most two of each are replaced, from the newer to the older.
		for n := which % (before.GetMessageCount() + 1); n > max(0, which-2); n-- {
			d.edit(n, text)
		}
		for n := which % (before.GetNoteCount() + 1); n > max(0, which-2); n-- {
			d.editNote(n, text)
		}
		for n := which % (before.GetResolutionCount() + 1); n > max(0, which-2); n-- {
			d.withdraw(n, text)
		}
		if what%2 == 0 {
			d.resemble(looks)
		}
	}
}

// resemble takes over what shuffle sets.
func (d *draft) resemble(other *draft) {
	head := proto.CloneOf(other.head)
	from, to := head.GetConversation(), d.conversation()
	to.State, to.Outcome, to.ResolveTime = from.GetState(), from.GetOutcome(), from.GetResolveTime()
	to.OwnerId, to.HelperIds, to.Labels = from.GetOwnerId(), from.GetHelperIds(), from.GetLabels()
	to.LineTime, to.ActivityTime, d.head.DueTime = from.GetLineTime(), from.GetActivityTime(), head.GetDueTime()
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
	if diff := want.diff(got); diff != "" {
		rt.Fatalf("the %s differs from the reference (- reference, + %s); lists are of %+v:\n%s", what, what, queries, diff)
	}
}
