package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
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
		furnishOthers(tx, version),
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
			"w head conv_1", "w head conv_2", "w external external_1", "due 0: conv_1 in w", "w records of conv_1", "w feed ends", "w place of conv_1", "w messages of conv_1",
			"w notes downwards of conv_2", "w resolutions of conv_1", "w marks of conv_1",
			"w feed 0: position 1 of conv_1", "w feed 1: position 2 of conv_2",
			"w credits 1", "w credit cred_1", "credit due 0: cred_1 in w", "w ledger entries of key_1", "w statistics",
			"w incidents", "w incident inc_1", "w affected by inc_1 in state 0", "w endpoints", "w endpoint hook_1", "w progress of hook_1",
			"w parked for hook_1", "w deliveries to hook_1", "w erasures", "w erasure era_1", "w removals",
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
			return errors.Join(err, fmt.Errorf("%s before it was written: want ErrNotFound", what))
		}
		if version != 0 && (err != nil || got != version) {
			return errors.Join(err, fmt.Errorf("%s: got %d, want %d", what, got, version))
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
		problems = append(problems, err, errNone, fmt.Errorf("ReadMark: got %v, and %v of one who read nothing", mark, none))
	}
	if _, err := tx.Message("conv_1", version+1); !errors.Is(err, store.ErrNotFound) {
		problems = append(problems, err, errors.New("a message after the last: want ErrNotFound"))
	}
	return errors.Join(problems...)
}
