package storetest

import (
	"errors"
	"fmt"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// Who follows a conversation or a customer by a position gets each record once, whole, in order, and as it reads now
// (invariants 1, 6 and 13).

// recordsFollowTheCursor reads the records after every revision, between events of one record too.
func recordsFollowTheCursor(s *subject) {
	for i := range 7 {
		s.write("w", "conv", func(d *draft) {
			d.say(fmt.Sprint(i))
			for range i % 3 {
				d.propose(fmt.Sprint(i))
			}
		})
	}
	whole, err := s.store().Records(s.ctx, "w", "conv", 0, all)
	if err != nil || len(whole) != 7 {
		s.Fatalf("Records: got %d, %v, want 7", len(whole), err)
	}
	revision := s.head("w", "conv").GetConversation().GetRevision()
	for after := int32(-1); after < revision+3; after++ {
		from := slices.IndexFunc(whole, func(r *storev1.Record) bool { return newestOf(r).GetRevision() > after })
		if from < 0 {
			from = len(whole)
		}
		for _, limit := range []int{0, 1, 3, all} {
			want := whole[from:min(from+limit, len(whole))]
			got, err := s.store().Records(s.ctx, "w", "conv", after, limit)
			if err != nil || !slices.EqualFunc(got, want, equal[*storev1.Record]) {
				s.Errorf("Records after %d, at most %d: got %v, %v, want %v", after, limit, got, err, want)
			}
		}
	}
}

// newestOf returns the last event of a record.
func newestOf(r *storev1.Record) *goodshipv1.Event { return r.GetEvents()[len(r.GetEvents())-1] }

func equal[M proto.Message](a, b M) bool { return proto.Equal(a, b) }

// recordsReadAsNow edits and redacts, and reads the records of before by their log, by the feed and by the customer: they hold
// what was appended, but for messages and notes as they are by now.
func recordsReadAsNow(s *subject) {
	var appended []*storev1.Record
	for i := range 6 {
		s.do("w", func(tx store.Tx) error {
			appended = appended[:i]
			return appendTo(tx, "conv", func(d *draft) {
				d.say(fmt.Sprint("message ", i))
				d.note(fmt.Sprint("note ", i))
				d.own(fmt.Sprint("agent_", i))
				appended = append(appended, d.record)
			})
		})
	}
	s.write("w", "conv", func(d *draft) { d.edit(2, "edited"); d.editNote(3, "edited note"); d.redact(5) })
	messages, err1 := s.store().Messages(s.ctx, "w", "conv", store.Range{Limit: all})
	notes, err2 := s.store().Notes(s.ctx, "w", "conv", store.Range{Limit: all})
	s.wantErr("Messages, Notes", errors.Join(err1, err2), nil)
	if messages[1].GetText() != "edited" || notes[2].GetText() != "edited note" || messages[4].GetText() != "" {
		s.Fatalf("got messages %v and notes %v, want them edited", messages, notes)
	}
	var want []*storev1.Record
	for i, r := range appended {
		r = proto.CloneOf(r)
		r.Message, r.Note = messages[i], notes[i]
		want = append(want, r)
	}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		records, err := s.store().Records(s.ctx, "w", "conv", 0, len(want))
		s.wantErr("Records", err, nil)
		feedOf, err := s.store().FeedOf(s.ctx, "w", []string{defaultCustomer}, 0, len(want))
		s.wantErr("FeedOf", err, nil)
		for what, got := range map[string][]*storev1.Record{
			"Records": records, "Feed": recordsOf(s.feed("w", 0, len(want))), "FeedOf": recordsOf(feedOf),
		} {
			if !slices.EqualFunc(got, want, equal[*storev1.Record]) {
				s.Errorf("%s: got %v, want %v", what, got, want)
			}
		}
	}
}

func recordsOf(feed []store.FeedEntry) []*storev1.Record {
	var records []*storev1.Record
	for _, entry := range feed {
		records = append(records, entry.Record)
	}
	return records
}

// appendsOfOneUnit appends several times to one conversation in a unit: each is a record, and an entry of the feed.
func appendsOfOneUnit(s *subject) {
	s.write("w", "old", func(d *draft) { d.say("before") })
	s.do("w", func(tx store.Tx) error {
		for _, id := range []string{"old", "new", "old", "new", "old"} {
			if err := appendTo(tx, id, func(d *draft) { d.say("one of several"); d.note("note") }); err != nil {
				return err
			}
		}
		if err := appendSpoilt(tx, "new", func(c *store.Change) { c.Record.Events[0].Revision++ }); err == nil {
			return errors.New("a change with a wrong number was taken")
		}
		return appendTo(tx, "new", func(d *draft) { d.edit(1, "edited in its unit"); d.editNote(2, "edited") })
	})
	var got []string
	for _, entry := range s.feed("w", 0, all) {
		got = append(got, fmt.Sprintf("%d %s %d %q %q", entry.Position, entry.ConversationID, newestOf(entry.Record).GetRevision(),
			entry.Record.GetMessage().GetText(), entry.Record.GetNote().GetText()))
	}
	want := []string{
		`1 old 2 "before" ""`,
		`2 old 4 "one of several" "note"`, `3 new 3 "edited in its unit" "note"`,
		`4 old 6 "one of several" "note"`, `5 new 5 "one of several" "edited"`,
		`6 old 8 "one of several" "note"`, `7 new 7 "" ""`,
	}
	if !slices.Equal(got, want) {
		s.Errorf("got the feed %q, want %q", got, want)
	}
	for id, count := range map[string]int{"old": 4, "new": 3} {
		records, err := s.store().Records(s.ctx, "w", id, 0, all)
		if err != nil || len(records) != count {
			s.Errorf("%s: got %d records, %v, want %d", id, len(records), err, count)
		}
	}
}

// feedOfIsTheFeedOfCustomers writes conversations of several customers, some long, some RESOLVED, and follows some from
// every position. It is the feed without the others'.
func feedOfIsTheFeedOfCustomers(s *subject) {
	owners := map[string]string{"conv_1": "key_1", "conv_2": "key_1", "conv_3": "key_2", "conv_4": "key_20", "conv_5": "key_1"}
	ids := []string{"conv_1", "conv_2", "conv_3", "conv_4", "conv_5"}
	for i := range 90 {
		id := ids[i*i%7%len(ids)]
		if i > 60 {
			id = ids[i%2] // some have been quiet for long
		}
		edit := func(d *draft) {
			switch i % 9 {
			case 3, 4:
				d.resolve(goodshipv1.Outcome_OUTCOME_INFORMED)
			case 5:
				d.wait(d.now)
			case 7:
				d.note("which is no activity")
				return
			}
			d.say("message")
		}
		s.do("w", func(tx store.Tx) error {
			if _, err := tx.Conversation(id); err == nil {
				return appendTo(tx, id, edit)
			}
			return tx.Append(begin(id, owners[id], tx.Now()).change())
		})
		s.write("w2", id, edit)
	}
	s.do("w", func(tx store.Tx) error {
		err := tx.PutDueTime("conv_1", tx.Now())
		// Somebody has more conversations than fit a page.
		for i := range 24 {
			id := fmt.Sprint("many_", i*5%12)
			if owners[id] = "key_many"; i < 12 {
				err = errors.Join(err, tx.Append(begin(id, "key_many", tx.Now()).change()))
				continue
			}
			err = errors.Join(err, appendTo(tx, id, func(d *draft) {
				if d.say("message"); i%3 == 0 {
					d.resolve(goodshipv1.Outcome_OUTCOME_INFORMED)
				}
			}))
		}
		return err
	})
	whole := s.feed("w", 0, all)
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		for _, keys := range [][]string{{"key_1"}, {"key_many"}, {"key_2", "key_20"}, {"key_20", "key_1", "key_1", "nobody's"}, {"key"}, {""}, {}, nil} {
			want := slices.DeleteFunc(slices.Clone(whole), func(e store.FeedEntry) bool { return !slices.Contains(keys, owners[e.ConversationID]) })
			s.wantFeedOf(keys, want, int64(len(whole)))
		}
	}
}

// wantFeedOf fails the test unless following customers gives these entries, from every position in pages of any size.
func (s *subject) wantFeedOf(keys []string, want []store.FeedEntry, newest int64) {
	s.Helper()
	for after := int64(-1); after <= newest+1; after++ {
		from := slices.IndexFunc(want, func(e store.FeedEntry) bool { return e.Position > after })
		if from < 0 {
			from = len(want)
		}
		for _, limit := range []int{0, 1, 4, all} {
			got, err := s.store().FeedOf(s.ctx, "w", keys, after, limit)
			if wanted := want[from:min(from+limit, len(want))]; err != nil || !slices.EqualFunc(got, wanted, equalEntries) {
				s.Errorf("FeedOf %q after %d, at most %d: got %v, %v, want %v", keys, after, limit, got, err, wanted)
			}
		}
	}
	if got, err := s.store().FeedOf(s.ctx, "nobody's", keys, 0, all); err != nil || len(got) != 0 {
		s.Errorf("FeedOf %q in a workspace that nobody wrote to: got %v, %v, want nothing", keys, got, err)
	}
}
