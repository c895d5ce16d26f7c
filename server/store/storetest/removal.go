package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What was removed is not there, by whatever way one looks for it, and nothing that is left tells what it said.

const (
	erased  = goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED
	expired = goodshipv1.RemovalCause_REMOVAL_CAUSE_EXPIRED
)

// remove removes a conversation in a unit of its own, and returns when.
func (s *subject) remove(w, id string, cause goodshipv1.RemovalCause) (when time.Time) {
	s.Helper()
	s.do(w, func(tx store.Tx) error {
		when = tx.Now()
		return tx.RemoveConversation(id, cause)
	})
	return when
}

// secretOf is a text that stands everywhere in a conversation of writeSecret.
func secretOf(id string) string { return "secret of " + id }

// writeSecret writes a conversation of a customer of its own, with something of everything.
func (s *subject) writeSecret(w, id string, state func(*draft)) {
	s.Helper()
	secret := secretOf(id)
	for range 3 {
		s.do(w, func(tx store.Tx) error {
			d, err := draftOf(tx, id)
			if err != nil {
				return err
			}
			if d.head.CustomerKey = "key of " + id; d.conversation().GetRevision() == 1 {
				d.conversation().ExternalId = "external of " + id
			}
			d.conversation().Subject = secret
			d.say(secret)
			d.note(secret)
			d.propose(secret)
			d.due(later(50))
			state(d)
			return errors.Join(tx.Append(d.change()), tx.PutReadMark(id, &storev1.ReadMarkRecord{AgentId: secret, MessageNumber: 1}),
				tx.PutReadMark(id, &storev1.ReadMarkRecord{MessageNumber: 1}))
		})
	}
}

// removedIsGone removes conversations in every state, and looks for them by every read.
func removedIsGone(s *subject) {
	ends := map[string]func(*draft){
		"waiting":  func(d *draft) { d.wait(later(-9)) },
		"owned":    func(d *draft) { d.wait(later(-9)); d.own("agent_1") },
		"answered": func(d *draft) { d.answer() },
		"resolved": func(d *draft) { d.resolve(outcomes[0]); d.conversation().ActivityTime = timestamppb.New(later(-99)) },
	}
	for id, end := range ends {
		s.writeSecret("w", id, end)
		s.writeSecret("w2", id, end)
		s.writeSecret("w", id+" stays", end)
		if !s.image().names(secretOf(id)) {
			s.Fatalf("nothing names %q", secretOf(id))
		}
	}
	_, newest, err := s.store().FeedEnds(s.ctx, "w")
	s.wantErr("FeedEnds", err, nil)
	removed := make(map[string]time.Time)
	var order []string
	for id := range ends {
		s.wantErr("before it is removed, "+id, s.gone("w", id), errThere)
		removed[id], order = s.remove("w", id, erased), append(order, id)
		for _, restart := range []func(){func() {}, s.reopen, s.crash} {
			restart()
			s.wantErr(id, s.gone("w", id), nil)
			s.wantErr(id+" of another workspace", s.gone("w2", id), errThere)
			s.wantErr(id+" of which only the name is alike", s.gone("w", id+" stays"), errThere)
		}
	}
	s.wantRemovals("w", newest, order, removed)
}

// wantRemovals fails the test unless the feed has, after a position, the removals of these conversations, and before it nothing of
// theirs but positions.
func (s *subject) wantRemovals(w string, after int64, order []string, removed map[string]time.Time) {
	s.Helper()
	feed := s.feed(w, 0, all)
	if len(feed) != int(after)+len(order) {
		s.Fatalf("got a feed of %d, want %d and a removal of each of %q", len(feed), after, order)
	}
	for i, entry := range feed {
		when, gone := removed[entry.ConversationID]
		switch {
		case entry.Position != int64(i+1):
			s.Errorf("feed entry %d has position %d", i+1, entry.Position)
		case i >= int(after):
			if entry.ConversationID != order[i-int(after)] || entry.Record != nil || entry.RemovalCause != erased || !entry.RemoveTime.Equal(when) {
				s.Errorf("got the feed entry %+v, want the removal of %q at %v", entry, order[i-int(after)], when)
			}
		case (entry.Record == nil) != gone || !entry.RemoveTime.IsZero() || entry.RemovalCause != 0:
			s.Errorf("got the feed entry %+v, want a record unless the conversation was removed, and no removal", entry)
		}
	}
}

var errThere = errors.New("it is there")

// gone returns errThere if a conversation of writeSecret is there, an error if only a part of it is, and nil if nothing is.
func (s *subject) gone(w, id string) error {
	s.Helper()
	found := slices.Concat(s.findOutside(w, id), s.findInside(w, id))
	there := slices.DeleteFunc(found, func(what string) bool { return what == "" })
	switch {
	case len(there) == 0:
		return nil
	case len(there) == len(found):
		return errThere
	}
	return fmt.Errorf("of %d ways to find it, these do: %q", len(found), there)
}

// is returns what, if something is so; and fails the test if an error is another than ErrNotFound.
func (s *subject) is(what string, so bool, err error) string {
	s.Helper()
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.Errorf("%s: %v", what, err)
	}
	if !so || err != nil {
		return ""
	}
	return what
}

// findOutside returns what finds a conversation of writeSecret, and an empty string for what does not.
func (s *subject) findOutside(w, id string) []string {
	s.Helper()
	st, ctx, r := s.store(), s.ctx, store.Range{Limit: all, Descending: true}
	head, err1 := st.Conversation(ctx, w, id)
	byExternal, err2 := st.ByExternalID(ctx, w, "external of "+id)
	messages, err3 := st.Messages(ctx, w, id, r)
	notes, err4 := st.Notes(ctx, w, id, r)
	resolutions, err5 := st.Resolutions(ctx, w, id, r)
	marks, err6 := st.ReadMarks(ctx, w, id)
	records, err7 := st.Records(ctx, w, id, 0, all)
	_, err8 := st.Place(ctx, w, id)
	of, err9 := st.FeedOf(ctx, w, []string{"key of " + id}, 0, all)
	theirs, err10 := walk(ctx, st, w, store.Query{CustomerKeys: []string{"key of " + id}}, 3, nil)
	whole, err11 := walk(ctx, st, w, store.Query{}, 3, nil)
	due, err12 := st.NextDue(ctx, nil, all)
	return []string{
		s.is("Conversation", head != nil, err1), s.is("ByExternalID", byExternal != nil, err2), s.is("Messages", len(messages) == 3, err3),
		s.is("Notes", len(notes) == 3, err4), s.is("Resolutions", len(resolutions) == 3, err5), s.is("ReadMarks", len(marks) == 2, err6),
		s.is("Records", len(records) == 3, err7), s.is("Place", true, err8), s.is("FeedOf", len(of) == 3, err9), s.is("List of a customer", len(theirs) == 1, err10),
		s.is("List", slices.ContainsFunc(whole, func(h *storev1.Head) bool { return h.GetConversation().GetId() == id }), err11),
		s.is("NextDue", slices.ContainsFunc(due, func(d store.Due) bool { return d.Workspace == w && d.ConversationID == id }), err12),
	}
}

// findInside does the same in a unit.
func (s *subject) findInside(w, id string) (found []string) {
	s.Helper()
	s.do(w, func(tx store.Tx) error {
		head, err1 := tx.Conversation(id)
		message, err2 := tx.Message(id, 1)
		note, err3 := tx.Note(id, 1)
		resolution, err4 := tx.Resolution(id, 1)
		mark, err5 := tx.ReadMark(id, "")
		theirs, err6 := tx.Conversations("key of "+id, all)
		found = []string{
			s.is("Tx.Conversation", head != nil, err1), s.is("Tx.Message", message != nil, err2), s.is("Tx.Note", note != nil, err3),
			s.is("Tx.Resolution", resolution != nil, err4), s.is("Tx.ReadMark", mark != nil, err5), s.is("Conversations", slices.Equal(theirs, []string{id}), err6),
		}
		return nil
	})
	return found
}

// removedLeavesTheLine removes those who wait, first, last and in between: who is next, and where, is as if they had never been.
func removedLeavesTheLine(s *subject) {
	ids := []string{"conv_0", "conv_1", "conv_2", "conv_3", "conv_4", "conv_5"}
	s.do("w", func(tx store.Tx) error {
		for i, id := range ids {
			if err := appendTo(tx, id, func(d *draft) {
				d.conversation().CreateTime = timestamppb.New(later(i))
				d.wait(later(i))
				d.due(later(i))
			}); err != nil {
				return err
			}
		}
		return appendTo(tx, "resolved", func(d *draft) { d.conversation().CreateTime = timestamppb.New(later(99)); d.resolve(outcomes[0]) })
	})
	line := slices.Clone(ids)
	for i, id := range []string{"conv_0", "conv_3", "conv_5", "conv_1", "resolved", "conv_4", "conv_2"} {
		if i%2 == 1 {
			s.reopen()
		}
		s.do("w", func(tx store.Tx) error {
			err := tx.RemoveConversation(id, expired)
			left := slices.DeleteFunc(slices.Clone(line), func(other string) bool { return other == id })
			s.wantNext(tx, left)
			return err
		})
		line = slices.DeleteFunc(line, func(other string) bool { return other == id })
		s.do("w", func(tx store.Tx) error { s.wantNext(tx, line); return nil })
		for place, id := range line {
			if got, err := s.store().Place(s.ctx, "w", id); err != nil || got != place+1 {
				s.Errorf("Place of %s: got %d, %v, want %d", id, got, err, place+1)
			}
		}
		lines, err := s.store().Lines(s.ctx)
		due, errDue := s.store().NextDue(s.ctx, nil, all)
		if err := errors.Join(err, errDue); err != nil || len(due) != len(line) || len(lines) != min(1, len(line)) || len(line) > 0 && lines[0].Length != len(line) {
			s.Errorf("of %q: got the lines %v, and %v due, %v", line, lines, due, err)
		}
	}
}

// wantNext fails the test unless a unit sees these conversations waiting, and unresolved, the oldest first.
func (s *subject) wantNext(tx store.Tx, line []string) {
	s.Helper()
	oldest, err1 := tx.OldestWaiting()
	newest, err2 := tx.NewestUnresolved(defaultCustomer)
	unresolved, err3 := tx.Unresolved(defaultCustomer)
	slices.Reverse(unresolved)
	first, last := "", ""
	if len(line) > 0 {
		first, last = line[0], line[len(line)-1]
	}
	if err := errors.Join(err1, err2, err3); err != nil || oldest != first || newest != last || !slices.Equal(unresolved, line) {
		s.Errorf("got the oldest %q, the newest %q, unresolved %q, %v, want those of %q", oldest, newest, unresolved, err, line)
	}
}

// unresolvedIsNewestFirst asks for the unresolved conversations of customers, as units change them.
func unresolvedIsNewestFirst(s *subject) {
	create := map[string]int{"conv_1": 3, "conv_2": 1, "conv_3": 3, "conv_4": 2, "conv_5": 9}
	s.do("w", func(tx store.Tx) error {
		for id, seconds := range create {
			key := defaultCustomer
			if id == "conv_5" {
				key = defaultCustomer + "0"
			}
			d := begin(id, key, tx.Now())
			d.conversation().CreateTime = timestamppb.New(later(seconds))
			if err := tx.Append(d.change()); err != nil {
				return err
			}
		}
		return nil
	})
	wants := func(tx store.Tx, want ...string) {
		s.Helper()
		if got, err := tx.Unresolved(defaultCustomer); err != nil || !slices.Equal(got, want) {
			s.Errorf("Unresolved: got %q, %v, want %q", got, err, want)
		}
	}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		s.do("w", func(tx store.Tx) error {
			wants(tx, "conv_3", "conv_1", "conv_4", "conv_2")
			err := appendTo(tx, "conv_1", func(d *draft) { d.resolve(outcomes[0]) })
			wants(tx, "conv_3", "conv_4", "conv_2")
			return errors.Join(err, appendTo(tx, "conv_3", func(d *draft) { d.answer() }))
		})
		s.do("w", func(tx store.Tx) error {
			wants(tx, "conv_3", "conv_4", "conv_2")
			return errors.Join(appendTo(tx, "conv_1", func(d *draft) { d.wait(d.now) }), appendTo(tx, "conv_3", func(d *draft) { d.own("agent_1") }))
		})
	}
	s.do("w", func(tx store.Tx) error {
		if got, err := tx.Unresolved("nobody's"); err != nil || len(got) != 0 {
			s.Errorf("Unresolved of nobody: got %q, %v", got, err)
		}
		return nil
	})
}

// removedIDsAreFree begins conversations under the ids, and the external ids, of those that were removed: in another unit, and in
// the same. What was before is not theirs.
func removedIDsAreFree(s *subject) {
	under := func(external string) func(*draft) {
		return func(d *draft) {
			if d.conversation().GetRevision() == 1 {
				d.conversation().ExternalId = external
			}
			d.say("message")
		}
	}
	s.write("w", "conv_1", under("external"))
	s.write("w", "conv_1", under("external"))
	s.remove("w", "conv_1", erased)
	s.write("w", "conv_2", under("external")) // which is free
	s.reopen()
	s.write("w", "conv_1", under("another"))
	s.do("w", func(tx store.Tx) error {
		return errors.Join(appendTo(tx, "conv_1", under("")), tx.RemoveConversation("conv_2", expired), appendTo(tx, "conv_2", under("external")))
	})
	s.do("w", func(tx store.Tx) error {
		return errors.Join(appendTo(tx, "conv_3", under("")), tx.RemoveConversation("conv_3", expired), tx.RemoveConversation("conv_1", erased),
			appendTo(tx, "conv_1", under("")), appendTo(tx, "conv_1", func(d *draft) { d.note("note") }))
	})
	_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		return nil, errors.Join(tx.RemoveConversation("conv_1", erased), tx.RemoveConversation("conv_1", erased))
	})
	s.wantErr("RemoveConversation twice in a unit", err, store.ErrNotFound)
	for _, id := range []string{"conv_3", "conv_of_nobody"} {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, tx.RemoveConversation(id, erased) })
		s.wantErr("RemoveConversation of "+id, err, store.ErrNotFound)
	}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		var got []string
		for _, e := range s.feed("w", 0, all) {
			got = append(got, fmt.Sprintf("%d %s %d %d", e.Position, e.ConversationID, len(e.Record.GetEvents()), e.RemovalCause))
		}
		want := []string{
			"1 conv_1 0 0", "2 conv_1 0 0", "3 conv_1 0 1", "4 conv_2 0 0", "5 conv_1 0 0", "6 conv_1 0 0", "7 conv_2 0 2", "8 conv_2 2 0",
			"9 conv_3 0 0", "10 conv_3 0 2", "11 conv_1 0 1", "12 conv_1 2 0", "13 conv_1 1 0",
		}
		if !slices.Equal(got, want) {
			s.Errorf("got the feed %q, want %q", got, want)
		}
		of, err := s.store().FeedOf(s.ctx, "w", []string{defaultCustomer}, 0, all)
		if err != nil || !slices.Equal(positions(of), []int64{8, 12, 13}) {
			s.Errorf("FeedOf: got %v, %v, want the positions 8, 12 and 13", positions(of), err)
		}
		head, err := s.store().ByExternalID(s.ctx, "w", "external")
		if err != nil || head.GetConversation().GetId() != "conv_2" || head.GetConversation().GetRevision() != 2 {
			s.Errorf("ByExternalID: got %v, %v, want conv_2 as it began anew", head, err)
		}
		if records, err := s.store().Records(s.ctx, "w", "conv_1", 0, all); err != nil || len(records) != 2 || s.head("w", "conv_1").GetConversation().GetNoteCount() != 1 {
			s.Errorf("Records of conv_1: got %v, %v, want the two since it began anew", records, err)
		}
	}
	_, err = s.store().ByExternalID(s.ctx, "w", "another")
	s.wantErr("ByExternalID of one that was removed", err, store.ErrNotFound)
}
