package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
)

// Whoever asked for hints gets one of each change, after it can be read and before its unit is answered.

// ear is what was heard of a store.
type ear struct {
	mu sync.Mutex
	// due are the hints without their due times, and the newest of those.
	due  map[store.Hint]time.Time
	stop func()
}

func listen(st store.Store) *ear {
	e := &ear{due: make(map[store.Hint]time.Time)}
	e.listen(st)
	return e
}

// listen listens to a store, from now on.
func (e *ear) listen(st store.Store) {
	e.stop = st.Notify(func(h store.Hint) {
		e.mu.Lock()
		defer e.mu.Unlock()
		due := h.Due
		h.Due = time.Time{}
		e.due[h] = due
	})
}

// missed returns in words the hint of a change that was not heard, or nothing. Of a conversation, head says the rest.
func (e *ear) missed(change store.Hint, head *storev1.Head) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var due time.Time
	change.CustomerKey = head.GetCustomerKey()
	if head.GetDueTime() != nil {
		due = head.GetDueTime().AsTime()
	}
	if got, ok := e.due[change]; ok && got.Equal(due) {
		return ""
	}
	return inWords(change, due)
}

// customerOf returns the customer of a conversation of which there was a hint.
func (e *ear) customerOf(change store.Hint) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for h := range e.due {
		if h.Workspace == change.Workspace && h.ConversationID == change.ConversationID {
			return h.CustomerKey
		}
	}
	return ""
}

// take returns the hints since the last time, each thing once, with the newest due time, in words.
func (e *ear) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for h, due := range e.due {
		all = append(all, inWords(h, due))
	}
	clear(e.due)
	slices.Sort(all)
	return all
}

func inWords(h store.Hint, due time.Time) string {
	words := fmt.Sprintf("%s: conversation %q of %q, customer %q, agent %q", h.Workspace, h.ConversationID, h.CustomerKey, h.CustomerID, h.AgentID)
	if !due.IsZero() {
		words += due.UTC().Format(", due 15:04:05.000000")
	}
	return words
}

// hintsAreOfWhatChanged does one thing in a unit at a time.
func hintsAreOfWhatChanged(s *subject) {
	at := func(n int) time.Time { return faketime.New().Now().Add(time.Duration(n) * time.Second) }
	conversation := func(id string, due time.Time) string {
		return inWords(store.Hint{Workspace: "w", ConversationID: id, CustomerKey: defaultCustomer}, due)
	}
	customer := func(id string) string { return inWords(store.Hint{Workspace: "w", CustomerID: id}, time.Time{}) }
	workspace := inWords(store.Hint{Workspace: "w"}, time.Time{})
	agent := inWords(store.Hint{Workspace: "w", AgentID: "agent_1"}, time.Time{})
	steps := []struct {
		what string
		fn   func(store.Tx) error
		want []string
	}{
		{"nothing", func(store.Tx) error { return nil }, nil},
		{"settings", func(tx store.Tx) error { return tx.PutWorkspace(workspaceRecord("w", 1)) }, []string{workspace}},
		{"a key", func(tx store.Tx) error { return tx.PutAPIKey(apiKeyRecord("w", "key_1", 1)) }, []string{workspace}},
		{"an agent", func(tx store.Tx) error { return tx.PutAgent(agentRecord("agent_1", 1)) }, []string{agent}},
		{"a customer", func(tx store.Tx) error { return tx.PutCustomer(customerRecord("id", "key", 1)) }, []string{customer("id")}},
		{"a customer's new id", func(tx store.Tx) error { return tx.PutCustomer(customerRecord("new", "key", 1)) }, []string{customer("id"), customer("new")}},
		{"a conversation", func(tx store.Tx) error { return appendTo(tx, "conv_1", func(d *draft) { d.due(at(5)) }) }, []string{conversation("conv_1", at(5))}},
		{"a due time", func(tx store.Tx) error { return tx.PutDueTime("conv_1", at(7)) }, []string{conversation("conv_1", at(7))}},
		{"no due time", func(tx store.Tx) error { return tx.PutDueTime("conv_1", time.Time{}) }, []string{conversation("conv_1", time.Time{})}},
		{"a read mark", func(tx store.Tx) error { return tx.PutReadMark("conv_1", &storev1.ReadMarkRecord{MessageNumber: 1}) }, nil},
		{"two, and one of them twice", func(tx store.Tx) error {
			return errors.Join(
				appendTo(tx, "conv_1", func(d *draft) { d.due(at(1)) }), appendTo(tx, "conv_2", func(d *draft) { d.due(at(3)) }),
				appendTo(tx, "conv_1", func(d *draft) { d.due(at(2)) }))
		}, []string{conversation("conv_1", at(2)), conversation("conv_2", at(3))}},
		{"what belongs to neither", func(tx store.Tx) error { return furnishOthers(tx, 1) }, nil},
		{"another customer", func(tx store.Tx) error { return tx.PutCustomer(customerRecord("gone", "key 2", 1)) }, []string{customer("gone")}},
		{"a customer who is removed", func(tx store.Tx) error { return tx.RemoveCustomer("key 2") }, []string{customer("gone")}},
		{"a conversation that is removed", func(tx store.Tx) error {
			return errors.Join(appendTo(tx, "conv_3", func(d *draft) { d.due(at(1)) }), tx.RemoveConversation("conv_3", erased))
		}, []string{conversation("conv_3", time.Time{})}},
		{"a conversation of which the due time changes and that is removed", func(tx store.Tx) error {
			return errors.Join(tx.PutDueTime("conv_1", at(9)), tx.RemoveConversation("conv_1", expired))
		}, []string{conversation("conv_1", time.Time{})}},
		{"and begins anew", func(tx store.Tx) error { return appendTo(tx, "conv_1", func(d *draft) { d.due(at(5)) }) }, []string{conversation("conv_1", at(5))}},
		{"what was refused", func(tx store.Tx) error {
			if err := appendSpoilt(tx, "conv_2", func(c *store.Change) { c.Record.Events = nil }); err == nil {
				return errors.New("it was taken")
			}
			_, err := tx.Conversation("conv_1")
			return err
		}, nil},
		{"everything", func(tx store.Tx) error {
			return errors.Join(tx.PutWorkspace(workspaceRecord("w", 2)), tx.PutAgent(agentRecord("agent_1", 2)), tx.PutAPIKey(apiKeyRecord("w", "key_1", 2)),
				tx.PutCustomer(customerRecord("new", "key", 2)), appendTo(tx, "conv_2", func(d *draft) { d.due(time.Time{}) }))
		}, []string{workspace, agent, customer("new"), conversation("conv_2", time.Time{})}},
	}
	first, second := listen(s.store()), listen(s.store())
	for i, step := range steps {
		if i == len(steps)-1 {
			first.stop()
		}
		s.do("w", step.fn)
		slices.Sort(step.want)
		if got := second.take(); !slices.Equal(got, step.want) {
			s.Errorf("%s: got hints %q, want %q", step.what, got, step.want)
		}
		if got := first.take(); i < len(steps)-1 && !slices.Equal(got, step.want) || i == len(steps)-1 && len(got) > 0 {
			s.Errorf("%s: another, who stops before the last, got hints %q, want %q", step.what, got, step.want)
		}
	}
	s.wantNoHints(second)
	second.stop()
}

// wantNoHints fails the test if there are hints of units that change nothing, and of pruning, which changes no object.
func (s *subject) wantNoHints(e *ear) {
	s.Helper()
	once := store.Once{RequestID: "request"}
	_, err := s.update("w2", once, furnishOnce("w2"))
	s.wantErr("Update", err, nil)
	if len(e.take()) == 0 {
		s.Error("a unit that does everything gave no hint")
	}
	_, err = s.update("w2", once, furnishOnce("w2"))
	s.wantErr("again", err, nil)
	_, err = s.update("w2", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, errors.Join(furnish(tx, "w2"), errOwn) })
	s.wantErr("a failing unit", err, errOwn)
	s.panics("w2", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		_ = furnish(tx, "w2")
		panic("on purpose")
	})
	s.prune(afterAll, 2, 2)
	if got := e.take(); len(got) != 0 {
		s.Errorf("got hints %q, and nothing changed", got)
	}
}

// hintsComeInTime has many write, each of whom must have been heard of when their unit is answered, and a reader who must find
// what each hint was of.
func hintsComeInTime(s *subject) {
	const writers, each = 6, 12
	var heard [writers]atomic.Int32
	hints := make(chan store.Hint, writers*each)
	stop := s.store().Notify(func(h store.Hint) {
		var writer int
		if _, err := fmt.Sscanf(h.ConversationID, "conv_%d", &writer); err != nil {
			s.Errorf("hint %+v: %v", h, err)
		}
		heard[writer].Add(1)
		hints <- h
	})
	var reading sync.WaitGroup
	reading.Go(func() { s.readOnHints(hints) })
	together(writers, func(i int) {
		for j := range int32(each) {
			_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				return nil, appendTo(tx, fmt.Sprint("conv_", i), func(d *draft) { d.say("message") })
			})
			s.wantErr("Update", err, nil)
			if got := heard[i].Load(); got != j+1 {
				s.Errorf("after %d units of a caller there were %d hints", j+1, got)
			}
		}
	})
	stop()
	close(hints)
	reading.Wait()
}

// readOnHints reads a conversation at each hint. Each is of a commit of its own, which must be there to read.
func (s *subject) readOnHints(hints <-chan store.Hint) {
	s.Helper()
	units := make(map[string]int32)
	for h := range hints {
		units[h.ConversationID]++
		head, err := s.store().Conversation(s.ctx, h.Workspace, h.ConversationID)
		if got := head.GetConversation().GetMessageCount(); err != nil || got < units[h.ConversationID] {
			s.Errorf("after %d hints of %s: got %d messages, %v", units[h.ConversationID], h.ConversationID, got, err)
		}
	}
}

// hintsEnd stops listening while others write, and while a hint is being given.
func hintsEnd(s *subject) {
	var stopped, writing atomic.Bool
	writing.Store(true)
	stop := s.store().Notify(func(store.Hint) {
		if stopped.Load() {
			s.Error("a hint came after stop had returned")
		}
	})
	together(4, func(i int) {
		if i > 0 {
			for writing.Load() {
				_, err := s.update("w", store.Once{}, say(fmt.Sprint("conv_", i)))
				s.wantErr("Update", err, nil)
			}
			return
		}
		stop()
		stopped.Store(true)
		for range 5 {
			_, err := s.update("w", store.Once{}, say("conv_0"))
			s.wantErr("Update", err, nil)
		}
		writing.Store(false)
	})
	stop() // again does nothing

	s.stopWaits(false)
	e := listen(s.store())
	s.stopWaits(true)
	e.stop()
	s.store().Notify(func(store.Hint) { s.Error("a closed store gave a hint") })()
	s.reopen()
}

// stopWaits stops listening while a hint is being given, by a store that is being closed meanwhile or not.
func (s *subject) stopWaits(closing bool) {
	s.Helper()
	yield := func() {
		for range 10_000 {
			runtime.Gosched() // so that what does not wait gets to its end
		}
	}
	var given atomic.Bool
	began, release := make(chan struct{}), make(chan struct{})
	stop := s.store().Notify(func(store.Hint) {
		close(began)
		<-release
		given.Store(true)
	})
	var running sync.WaitGroup
	running.Go(func() {
		_, err := s.update("w", store.Once{}, say("conv_0"))
		s.wantErr("Update", err, nil)
	})
	<-began
	if closing {
		running.Go(func() { s.wantErr("Close", s.store().Close(), nil) })
		yield()
	}
	running.Go(func() {
		if stop(); !given.Load() {
			s.Errorf("stop returned while a hint was being given, closing %v", closing)
		}
	})
	yield()
	close(release)
	running.Wait()
}

// failedCommitsHint fails units: of what may have happened there is a hint before their callers hear.
func failedCommitsHint(s *subject) {
	if s.harness.Fail == nil {
		s.Skip("the engine has no points to fail at")
	}
	for _, point := range []Point{BeforeApply, BeforeCommit, AfterCommit} {
		e := listen(s.store())
		s.harness.Fail(point)
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, furnish(tx, "w") })
		s.wantErr(string(point), err, store.ErrUnavailable)
		if got := strings.Join(e.take(), "\n"); point == AfterCommit {
			for _, want := range []string{`"conv_1"`, `"conv_2"`, `"customer-1"`, `"agent_1"`, `w: conversation "" of "", customer "", agent ""`} {
				if !strings.Contains(got, want) {
					s.Errorf("%s: no hint of %s: got %s", point, want, got)
				}
			}
		}
		s.recover()
		e.stop()
	}
}
