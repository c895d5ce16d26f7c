package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// Units are atomic: all of it, or nothing (invariants 1, 2 and 12).

// furnish does one of everything that a unit can do, and changes everything each time.
func furnish(tx store.Tx, workspace string) error {
	version := int32(tx.Now().UnixMicro() % 1e9)
	return errors.Join(
		tx.PutWorkspace(workspaceRecord(workspace, version)),
		tx.PutAgent(agentRecord("agent_1", version)),
		tx.PutCustomer(customerRecord("customer-1", "key_1", version)),
		tx.PutAPIKey(apiKeyRecord(workspace, "key_1", version)),
		appendTo(tx, "conv_1", func(d *draft) {
			d.say(fmt.Sprintf("message of %d", version))
			d.propose(fmt.Sprintf("done by %d", version))
			d.due(d.now)
			if d.conversation().GetMessageCount() == 1 {
				d.conversation().ExternalId = "external_1"
				return
			}
			d.edit(1, fmt.Sprintf("edited by %d", version))
			d.withdraw(1, fmt.Sprintf("withdrawn by %d", version))
		}),
		appendTo(tx, "conv_2", func(d *draft) {
			d.note(fmt.Sprintf("note of %d", version))
			d.own("agent_1")
		}),
		tx.PutReadMark("conv_1", &storev1.ReadMarkRecord{MessageNumber: version}),
		tx.PutReadMark("conv_1", &storev1.ReadMarkRecord{AgentId: "agent_1", MessageNumber: version}),
	)
}

// furnishOnce is furnish as a unit that is worth remembering.
func furnishOnce(workspace string) func(store.Tx) (*storev1.Receipt, error) {
	return func(tx store.Tx) (*storev1.Receipt, error) {
		return &storev1.Receipt{ConversationId: "conv_1"}, furnish(tx, workspace)
	}
}

func unitIsWhole(s *subject) {
	for range 2 {
		s.do("w", func(tx store.Tx) error { return furnish(tx, "w") })
		img := s.image()
		for _, read := range []string{
			"workspaces", "workspace w", "w agent agent_1", "w customer customer-1", "w customer by key key_1", "w key key_1",
			"w head conv_1", "w head conv_2", "w external external_1", "due 0: conv_1 in w", "w events of conv_1", "w messages of conv_1",
			"w notes downwards of conv_2", "w resolutions of conv_1", "w marks of conv_1",
			"w feed 0: position 1 of conv_1", "w feed 1: position 2 of conv_2",
		} {
			if len(img.reads[read]) == 0 {
				s.Errorf("a unit did everything, but there is no %s", read)
			}
		}
	}
	messages, err := s.store().Messages(s.ctx, "w", "conv_1", store.Range{From: 1, Limit: all})
	s.wantErr("Messages", err, nil)
	if len(messages) != 2 || !strings.HasPrefix(messages[0].GetText(), "edited") || !strings.HasPrefix(messages[1].GetText(), "message") {
		s.Errorf("got messages %v, want the first edited, and the second", messages)
	}
}

var errOwn = errors.New("fn's own error")

func failedUnitLeavesNothing(s *subject) {
	s.do("w", func(tx store.Tx) error { return furnish(tx, "w") })
	before := s.image()
	once := store.Once{RequestID: "request", Scope: "scope"}

	canceled, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.store().Update(canceled, "w", once, func(store.Tx) (*storev1.Receipt, error) {
		s.Error("fn ran under a context that was canceled before")
		return nil, nil
	})
	s.wantErr("canceled before it began", err, context.Canceled)
	s.unchanged("canceled before it began", before)

	result, err := s.update("w", once, func(tx store.Tx) (*storev1.Receipt, error) {
		return &storev1.Receipt{}, errors.Join(furnish(tx, "w"), errOwn)
	})
	if !errors.Is(err, errOwn) || result.Receipt != nil {
		s.Errorf("fn failed: got %v, %v, want no receipt and fn's own error", result, err)
	}
	s.unchanged("fn failed", before)

	if got := s.panics("w", once, func(tx store.Tx) (*storev1.Receipt, error) {
		_ = furnish(tx, "w")
		panic("fn's own panic")
	}); !strings.Contains(fmt.Sprint(got), "fn's own panic") {
		s.Errorf("fn panicked: the caller got the panic %v, want fn's own", got)
	}
	s.unchanged("fn panicked", before)

	result, err = s.update("w", once, furnishOnce("w"))
	if err != nil || result.Replayed {
		s.Errorf("after failures under the same request id: got %v, %v, want the first success", result, err)
	}
}

// panics runs a unit and returns what its caller has to recover.
func (s *subject) panics(workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (panicked any) {
	s.Helper()
	defer func() { panicked = recover() }()
	_, err := s.update(workspace, once, fn)
	s.Errorf("fn panicked: got error %v, want the panic", err)
	return nil
}

// wrongNumbers each spoil a change that adds one of everything and replaces the first of everything.
var wrongNumbers = map[string]func(*store.Change){
	"no event":                      func(c *store.Change) { c.Record.Events = nil },
	"revision again":                func(c *store.Change) { c.Record.Events[0].Revision-- },
	"revision left out":             func(c *store.Change) { c.Record.Events[0].Revision++ },
	"public revision again":         func(c *store.Change) { c.Record.Events[0].PublicRevision-- },
	"public revision left out":      func(c *store.Change) { c.Record.Events[0].PublicRevision++ },
	"revision of the head":          func(c *store.Change) { c.Head.Conversation.Revision++ },
	"public revision of the head":   func(c *store.Change) { c.Head.Conversation.PublicRevision++ },
	"message again":                 func(c *store.Change) { c.Record.Message.Number-- },
	"message left out":              func(c *store.Change) { c.Record.Message.Number++ },
	"message not there":             func(c *store.Change) { c.Record.Message = nil },
	"message count of the head":     func(c *store.Change) { c.Head.Conversation.MessageCount++ },
	"message count of the record":   func(c *store.Change) { c.Record.MessageCount++ },
	"note again":                    func(c *store.Change) { c.Record.Note.Number-- },
	"note left out":                 func(c *store.Change) { c.Record.Note.Number++ },
	"note not there":                func(c *store.Change) { c.Record.Note = nil },
	"note count of the head":        func(c *store.Change) { c.Head.Conversation.NoteCount++ },
	"note count of the record":      func(c *store.Change) { c.Record.NoteCount++ },
	"resolution left out":           func(c *store.Change) { c.Resolutions[0].Number++ },
	"resolution not there":          func(c *store.Change) { c.Resolutions = nil },
	"resolution count of the head":  func(c *store.Change) { c.Head.Conversation.ResolutionCount++ },
	"edited message that is not":    func(c *store.Change) { c.Messages[0].Number = 9 },
	"edited message without number": func(c *store.Change) { c.Messages[0].Number = 0 },
	"edited note that is not":       func(c *store.Change) { c.Notes[0].Number = 9 },
	"no conversation":               func(c *store.Change) { c.Head.Conversation = nil },
}

func appendChecksNumbers(s *subject) {
	addAll := func(d *draft) {
		d.say("message")
		d.note("note")
		d.propose("done")
	}
	spoilt := func(spoil func(*store.Change)) error {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			d, err := draftOf(tx, "conv")
			if err != nil {
				return nil, err
			}
			addAll(d)
			d.edit(1, "edited")
			d.editNote(1, "edited")
			change := d.change()
			spoil(&change)
			return nil, tx.Append(change)
		})
		return err
	}
	s.write("w", "conv", addAll)
	before := s.image()
	for name, spoil := range wrongNumbers {
		if err := spoilt(spoil); err == nil {
			s.Errorf("Append took a change with a wrong number: %s", name)
		}
	}
	s.unchanged("refused appends", before)
	s.wantErr("the change as it was before it was spoilt", spoilt(func(*store.Change) {}), nil)
}

// unitsReadWhatWasWritten reads in a unit what it wrote itself, and in the next what the one before it wrote.
func unitsReadWhatWasWritten(s *subject) {
	for round := range int32(3) {
		s.do("w", func(tx store.Tx) error {
			if err := readBack(tx, round); err != nil {
				return fmt.Errorf("in the next unit: %w", err)
			}
			version := round + 1
			err := errors.Join(
				tx.PutWorkspace(workspaceRecord("w", version)),
				tx.PutAgent(agentRecord("agent_1", version)),
				tx.PutCustomer(customerRecord("customer-1", "key_1", version)),
				tx.PutAPIKey(apiKeyRecord("w", "key_1", version)),
				appendTo(tx, "conv_1", func(d *draft) {
					d.say(strconv.Itoa(int(version)))
					d.note(strconv.Itoa(int(version)))
					d.propose(strconv.Itoa(int(version)))
				}),
				tx.PutReadMark("conv_1", &storev1.ReadMarkRecord{AgentId: "agent_1", MessageNumber: version}),
			)
			if err != nil {
				return err
			}
			if err := readBack(tx, version); err != nil {
				return fmt.Errorf("in the same unit: %w", err)
			}
			return nil
		})
	}
}

// readBack returns an error unless everything reads as a version wrote it; nothing is there at 0.
func readBack(tx store.Tx, version int32) error {
	want := func(what string, got int32, err error) error {
		if version == 0 && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%s before it was written: got error %v, want ErrNotFound", what, err)
		}
		if version != 0 && (err != nil || got != version) {
			return fmt.Errorf("%s: got %d, %v, want %d", what, got, err, version)
		}
		return nil
	}
	parsed := func(text string) int32 {
		n, _ := strconv.Atoi(text)
		return int32(n)
	}
	workspace, err1 := tx.Workspace()
	agent, err2 := tx.Agent("agent_1")
	customer, err3 := tx.Customer("customer-1")
	byKey, err4 := tx.CustomerByKey("key_1")
	key, err5 := tx.APIKey("key_1")
	head, err6 := tx.Conversation("conv_1")
	message, err7 := tx.Message("conv_1", max(version, 1))
	note, err8 := tx.Note("conv_1", max(version, 1))
	resolution, err9 := tx.Resolution("conv_1", max(version, 1))
	problems := []error{
		want("Workspace", workspace.GetVersion(), err1),
		want("Agent", agent.GetVersion(), err2),
		want("Customer", customer.GetVersion(), err3),
		want("CustomerByKey", byKey.GetVersion(), err4),
		want("APIKey", parsed(key.GetApiKey().GetDisplayName()), err5),
		want("Conversation", head.GetConversation().GetMessageCount(), err6),
		want("Message", parsed(message.GetText()), err7),
		want("Note", parsed(note.GetText()), err8),
		want("Resolution", parsed(resolution.GetDone()), err9),
	}
	if version == 0 {
		return errors.Join(problems...)
	}
	mark, err := tx.ReadMark("conv_1", "agent_1")
	none, errNone := tx.ReadMark("conv_1", "agent_2")
	if err != nil || mark.GetMessageNumber() != version || errNone != nil || none == nil || none.GetMessageNumber() != 0 {
		problems = append(problems, fmt.Errorf("ReadMark: got %v, %v, and %v, %v, of one who read nothing", mark, err, none, errNone))
	}
	if _, err := tx.Message("conv_1", version+1); !errors.Is(err, store.ErrNotFound) {
		problems = append(problems, fmt.Errorf("Message after the last: got error %v, want ErrNotFound", err))
	}
	return errors.Join(problems...)
}

// oneFailureHurtsNobodyElse mixes units that fail and panic with units that do not.
func oneFailureHurtsNobodyElse(s *subject) {
	var mu sync.Mutex
	var kept []string
	together(8, func(i int) {
		for j := range 6 {
			text := fmt.Sprintf("%d-%d", i, j)
			fn := func(tx store.Tx) (*storev1.Receipt, error) {
				return nil, appendTo(tx, "conv", func(d *draft) { d.say(text) })
			}
			switch (i + j) % 3 {
			case 0:
				_, err := s.update("w", store.Once{}, fn)
				s.wantErr("a unit among failing ones", err, nil)
				mu.Lock()
				kept = append(kept, text)
				mu.Unlock()
			case 1:
				_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					_, err := fn(tx)
					return nil, errors.Join(err, errOwn)
				})
				s.wantErr("a failing unit", err, errOwn)
			case 2:
				s.panics("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					_, err := fn(tx)
					panic(fmt.Sprint("on purpose, after ", err))
				})
			}
		}
	})
	s.wantMessages("w", "conv", kept)
}

// wantMessages fails the test unless a conversation's messages are these texts, in whatever order, under dense numbers.
func (s *subject) wantMessages(workspace, conversation string, want []string) {
	s.Helper()
	messages, err := s.store().Messages(s.ctx, workspace, conversation, store.Range{From: 1, Limit: all})
	s.wantErr("Messages", err, nil)
	var got []string
	for i, m := range messages {
		got = append(got, m.GetText())
		if m.GetNumber() != int32(i+1) {
			s.Errorf("message %d has number %d", i+1, m.GetNumber())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.Errorf("got messages %q, want %q", got, want)
	}
}

// canceledInside cancels a unit while fn runs: whatever Update says, there is one effect after the retry.
func canceledInside(s *subject) {
	var want []string
	for i := range 8 {
		text := strconv.Itoa(i)
		want = append(want, text)
		once := store.Once{RequestID: text}
		fn := func(tx store.Tx) (*storev1.Receipt, error) {
			return &storev1.Receipt{ConversationId: "conv"}, appendTo(tx, "conv", func(d *draft) { d.say(text) })
		}
		ctx, cancel := context.WithCancel(s.ctx)
		s.knows("w")
		_, err := s.store().Update(ctx, "w", once, func(tx store.Tx) (*storev1.Receipt, error) {
			cancel()
			return fn(tx)
		})
		cancel()
		retried, errRetry := s.update("w", once, fn)
		if errRetry != nil || err == nil && !retried.Replayed {
			s.Errorf("canceled inside with %v: the retry got %+v, %v", err, retried, errRetry)
		}
	}
	s.wantMessages("w", "conv", want)
}

// injectedFailures fails a unit at every point, and then goes on, reopens or crashes.
func injectedFailures(s *subject) {
	if s.harness.Fail == nil {
		s.Skip("the engine has no points to fail at")
	}
	for _, point := range []Point{BeforeApply, BeforeCommit, AfterCommit} {
		for next, restart := range map[string]func(){"go on": s.recover, "reopen": s.reopen, "crash": s.crash} {
			workspace := fmt.Sprintf("%s, %s", point, next)
			once := store.Once{RequestID: "request", Scope: "scope", Body: [32]byte{1}}
			s.do(workspace, func(tx store.Tx) error { return furnish(tx, workspace) })
			before := s.image()

			s.harness.Fail(point)
			_, err := s.update(workspace, once, furnishOnce(workspace))
			s.wantErr(workspace, err, store.ErrUnavailable)
			if restart(); point != AfterCommit {
				s.recover()
				s.unchanged(workspace, before)
			}
			s.recover()
			result, err := s.update(workspace, once, furnishOnce(workspace))
			if err != nil || result.Replayed != (point == AfterCommit) || result.Receipt.GetConversationId() != "conv_1" {
				s.Errorf("%s: the retry got %+v, %v", workspace, result, err)
			}
			if got := s.head(workspace, "conv_1").GetConversation().GetMessageCount(); got != 2 {
				s.Errorf("%s: got %d messages, want 2: the unit's effect exactly once", workspace, got)
			}
		}
	}
}

// requestIDSettlesUnknownOutcomes fails a commit that many share. Who got ErrUnavailable does not know what happened, and
// does it again.
func requestIDSettlesUnknownOutcomes(s *subject) {
	if s.harness.Fail == nil {
		s.Skip("the engine has no points to fail at")
	}
	for _, point := range []Point{BeforeApply, BeforeCommit, AfterCommit} {
		var want []string
		var again sync.Map
		send := func(text string) error {
			_, err := s.update("w", store.Once{RequestID: text}, func(tx store.Tx) (*storev1.Receipt, error) {
				return &storev1.Receipt{}, appendTo(tx, string(point), func(d *draft) { d.say(text) })
			})
			return err
		}
		s.harness.Fail(point)
		together(8, func(i int) {
			for j := range 3 {
				if err := send(fmt.Sprintf("%s %d-%d", point, i, j)); err != nil {
					s.wantErr("a unit in the commit that failed", err, store.ErrUnavailable)
					again.Store(fmt.Sprintf("%s %d-%d", point, i, j), true)
				}
			}
		})
		s.recover()
		failed := 0
		again.Range(func(text, _ any) bool {
			failed++
			s.wantErr("again", send(text.(string)), nil)
			return true
		})
		if failed == 0 {
			s.Errorf("%s: no unit failed", point)
		}
		for i := range 8 {
			for j := range 3 {
				want = append(want, fmt.Sprintf("%s %d-%d", point, i, j))
			}
		}
		s.wantMessages("w", string(point), want)
	}
}

func workspaceRecord(id string, version int32) *storev1.WorkspaceRecord {
	return &storev1.WorkspaceRecord{Workspace: &goodshipv1.Workspace{Id: id}, Version: version}
}

func agentRecord(id string, version int32) *storev1.AgentRecord {
	return &storev1.AgentRecord{Agent: &goodshipv1.Agent{Id: id}, Version: version}
}

func customerRecord(id, key string, version int32) *storev1.CustomerRecord {
	return &storev1.CustomerRecord{Customer: &goodshipv1.Customer{Id: id}, Key: key, Version: version}
}

// apiKeyRecord returns a key whose hash depends on the workspace and the id alone.
func apiKeyRecord(workspace, id string, version int32) *storev1.ApiKeyRecord {
	return &storev1.ApiKeyRecord{
		ApiKey:      &goodshipv1.ApiKey{Id: id, DisplayName: strconv.Itoa(int(version))},
		SecretHash:  fmt.Appendf(nil, "hash of %q in %q", id, workspace),
		WorkspaceId: workspace,
	}
}
