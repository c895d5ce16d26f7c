package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// A conversation's log, and what it refers to, is read as it was written (invariants 1 and 13).

// numbersIn returns the numbers that a range of so many gives.
func numbersIn(r store.Range, count int32) []int32 {
	var numbers []int32
	for n := int32(1); n <= count; n++ {
		if r.Descending && (r.From == 0 || n <= r.From) || !r.Descending && n >= r.From {
			numbers = append(numbers, n)
		}
	}
	if r.Descending {
		slices.Reverse(numbers)
	}
	return numbers[:min(len(numbers), r.Limit)]
}

// wantNumbers fails the test unless a read gave a range of so many.
func wantNumbers[M interface{ GetNumber() int32 }](s *subject, what string, r store.Range, count int32, got []M, err error) {
	s.Helper()
	var numbers []int32
	for _, m := range got {
		numbers = append(numbers, m.GetNumber())
	}
	if want := numbersIn(r, count); err != nil || !slices.Equal(numbers, want) {
		s.Errorf("%s of %d, %+v: got numbers %v, %v, want %v", what, count, r, numbers, err, want)
	}
}

// rangesAreExact reads every range of messages, notes and resolutions that lie unevenly in a log.
func rangesAreExact(s *subject) {
	for i := range 14 {
		s.write("w", "conv", func(d *draft) {
			if i%3 != 0 {
				d.say(fmt.Sprint(i))
			}
			if i%4 == 0 {
				d.note(fmt.Sprint(i))
			}
			if i%5 == 0 {
				d.propose(fmt.Sprint(i))
			}
		})
	}
	s.write("w", "empty", func(*draft) {})
	for id, count := range map[string]struct{ messages, notes, resolutions int32 }{"conv": {9, 4, 3}, "empty": {}} {
		for from := int32(0); from <= 11; from++ {
			for _, limit := range []int{1, 2, 9, all} {
				for _, descending := range []bool{false, true} {
					r := store.Range{From: from, Limit: limit, Descending: descending}
					messages, err := s.store().Messages(s.ctx, "w", id, r)
					wantNumbers(s, "Messages", r, count.messages, messages, err)
					notes, err := s.store().Notes(s.ctx, "w", id, r)
					wantNumbers(s, "Notes", r, count.notes, notes, err)
					resolutions, err := s.store().Resolutions(s.ctx, "w", id, r)
					wantNumbers(s, "Resolutions", r, count.resolutions, resolutions, err)
				}
			}
		}
	}
}

// replacedTextsAreGone edits and redacts, and looks for what was replaced in everything that can be read.
func replacedTextsAreGone(s *subject) {
	s.write("w", "conv", func(d *draft) {
		d.say("a secret of the first message")
		d.note("a secret of the first note")
		d.propose("a secret done")
	})
	s.write("w", "conv", func(d *draft) { d.say("a secret of the second message"); d.note("a secret of the second note") })
	s.write("w", "conv", func(d *draft) { d.say("what stays") })
	if !s.image().names("a secret") {
		s.Fatal("the texts are not there")
	}
	s.write("w", "conv", func(d *draft) {
		d.edit(1, "an edited secret")
		d.editNote(1, "edited note")
		d.withdraw(1, "edited resolution")
	})
	s.write("w", "conv", func(d *draft) {
		d.say("what follows")
		d.redact(2)
		d.redact(1)
		d.editNote(2, "")
		d.editNote(1, "edited note")
	})
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		s.wantMessages("w", "conv", []string{"", "", "what stays", "what follows"})
		img := s.image()
		for _, text := range []string{"a secret", "an edited secret"} {
			if img.names(text) {
				s.Errorf("%q was replaced and can still be read", text)
			}
		}
		for _, text := range []string{"edited note", "edited resolution"} {
			if !img.names(text) {
				s.Errorf("%q replaced another text and cannot be read", text)
			}
		}
		s.do("w", func(tx store.Tx) error {
			first, err1 := tx.Message("conv", 1)
			second, err2 := tx.Message("conv", 2)
			note, err3 := tx.Note("conv", 2)
			resolution, err4 := tx.Resolution("conv", 1)
			if texts := first.GetText() + second.GetText() + note.GetText() + resolution.GetDone(); texts != "edited resolution" {
				return fmt.Errorf("a unit reads %q", texts)
			}
			return errors.Join(err1, err2, err3, err4)
		})
		s.wantNotInBackup("a secret")
	}
}

// wantNotInBackup fails the test if a backup holds a text.
func (s *subject) wantNotInBackup(text string) {
	s.Helper()
	var backup strings.Builder
	s.wantErr("Backup", s.store().Backup(s.ctx, &backup), nil)
	if strings.Contains(backup.String(), text) {
		s.Errorf("%q was replaced and is in a backup", text)
	}
}

// readMarksChangeNoLog puts marks, and reads them in their order.
func readMarksChangeNoLog(s *subject) {
	s.write("w", "conv", func(d *draft) { d.say("message") })
	s.write("w", "con", func(d *draft) { d.say("message") })
	before := s.image()
	put := func(conversation, agent string, number int32) {
		s.Helper()
		s.do("w", func(tx store.Tx) error {
			return tx.PutReadMark(conversation, &storev1.ReadMarkRecord{AgentId: agent, MessageNumber: number})
		})
	}
	put("conv", "agent_2", 1)
	put("conv", "agent_10", 2)
	put("conv", "", 3)
	put("con", "agent_2", 9)
	put("conv", "agent_2", 4)
	marks, err := s.store().ReadMarks(s.ctx, "w", "conv")
	s.wantErr("ReadMarks", err, nil)
	want := []*storev1.ReadMarkRecord{{MessageNumber: 3}, {AgentId: "agent_10", MessageNumber: 2}, {AgentId: "agent_2", MessageNumber: 4}}
	if !slices.EqualFunc(marks, want, func(a, b *storev1.ReadMarkRecord) bool { return proto.Equal(a, b) }) {
		s.Errorf("got marks %v, want %v", marks, want)
	}
	after := s.image()
	for key := range after.reads {
		if strings.Contains(key, " marks of ") {
			delete(after.reads, key)
		}
	}
	if diff := before.diff(after); diff != "" {
		s.Errorf("read marks changed something else:\n%s", diff)
	}
}

// longLogsRead makes a conversation as long as any list is read at once here.
func longLogsRead(s *subject) {
	const count = 300
	for range 3 {
		s.do("w", func(tx store.Tx) error {
			for i := range count / 3 {
				if err := appendTo(tx, "conv", func(d *draft) { d.say(strings.Repeat("text ", i)) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, r := range []store.Range{{From: 1, Limit: 10}, {From: 150, Limit: 100}, {From: 295, Limit: 100}, {Limit: 50, Descending: true}, {From: 7, Limit: 20, Descending: true}} {
		messages, err := s.store().Messages(s.ctx, "w", "conv", r)
		wantNumbers(s, "Messages", r, count, messages, err)
		for _, m := range messages {
			if want := len("text ") * (int(m.GetNumber()-1) % 100); len(m.GetText()) != want {
				s.Errorf("message %d has %d bytes, want %d", m.GetNumber(), len(m.GetText()), want)
			}
		}
	}
}

// eventsOf returns at most limit events of a conversation after a revision, in order.
func eventsOf(ctx context.Context, st store.Store, workspace, conversation string, after int32, limit int) ([]*goodshipv1.Event, error) {
	records, err := st.Records(ctx, workspace, conversation, after, limit)
	var events []*goodshipv1.Event
	for _, r := range records {
		for _, e := range r.GetEvents() {
			if e.GetRevision() > after && len(events) < limit {
				events = append(events, e)
			}
		}
	}
	return events, err
}
