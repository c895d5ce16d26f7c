package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// The feed is every log of a workspace, in commit order; what falls due is in the order in which it does.

// feedIsTheLogs reads the feed from every position, after units that changed several conversations.
func feedIsTheLogs(s *subject) {
	ids := []string{"conv_2", "conv_1", "conv_3"}
	var want []string
	for i := range 9 {
		for _, w := range []string{"w", "w2"} {
			s.do(w, func(tx store.Tx) error {
				var errs error
				for _, id := range ids[:i%3+1] {
					errs = errors.Join(errs, appendTo(tx, id, func(d *draft) { d.say("message"); d.note("note") }))
				}
				return errs
			})
		}
		want = append(want, ids[:i%3+1]...)
	}
	feed := s.feed("w", 0, all)
	var got []string
	for _, entry := range feed {
		got = append(got, entry.ConversationID)
	}
	if !slices.Equal(got, want) {
		s.Errorf("got the feed of %q, want %q", got, want)
	}
	s.wantLogs("w", feed, ids)
	for after := range int64(len(feed)) + 1 {
		for _, limit := range []int{1, 5, all} {
			wanted := feed[after:min(int(after)+limit, len(feed))]
			if got := s.feed("w", after, limit); !slices.EqualFunc(got, wanted, equalEntries) {
				s.Errorf("Feed after %d, at most %d: got %v, want %v", after, limit, got, wanted)
			}
		}
	}
}

func (s *subject) feed(workspace string, after int64, limit int) []store.FeedEntry {
	s.Helper()
	feed, err := s.store().Feed(s.ctx, workspace, after, limit)
	s.wantErr("Feed", err, nil)
	return feed
}

func equalEntries(a, b store.FeedEntry) bool {
	return a.Position == b.Position && a.ConversationID == b.ConversationID && proto.Equal(a.Record, b.Record) &&
		a.RemoveTime.Equal(b.RemoveTime) && a.RemovalCause == b.RemovalCause
}

// wantLogs fails the test unless a whole feed has dense positions, and is the logs of the conversations, each in order.
func (s *subject) wantLogs(workspace string, feed []store.FeedEntry, conversations []string) {
	s.Helper()
	logs := make(map[string][]*goodshipv1.Event)
	for i, entry := range feed {
		if entry.Position != int64(i+1) {
			s.Errorf("feed entry %d has position %d", i+1, entry.Position)
		}
		logs[entry.ConversationID] = append(logs[entry.ConversationID], entry.Record.GetEvents()...)
	}
	for _, id := range conversations {
		log, err := eventsOf(s.ctx, s.store(), workspace, id, 0, all)
		if err != nil || !slices.EqualFunc(log, logs[id], func(a, b *goodshipv1.Event) bool { return proto.Equal(a, b) }) {
			s.Errorf("%s: got the log %v, %v, but in the feed %v", id, log, err, logs[id])
		}
		delete(logs, id)
	}
	for id, log := range logs {
		s.Errorf("the feed has %d events of %s, which nobody wrote", len(log), id)
	}
}

// feedIsInCommitOrder follows the feed from a cursor while many write. What was passed does not change.
func feedIsInCommitOrder(s *subject) {
	const writers, each = 5, 8
	var writing atomic.Int32
	writing.Store(writers)
	var followed []store.FeedEntry
	var ids []string
	for i := range writers {
		ids = append(ids, fmt.Sprintf("conv_%d", i))
	}
	together(writers+1, func(i int) {
		if i < writers {
			defer writing.Add(-1)
			for range each {
				_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					return nil, errors.Join(appendTo(tx, ids[i], func(d *draft) { d.say("message") }), appendTo(tx, ids[0], func(*draft) {}))
				})
				s.wantErr("Update", err, nil)
			}
			return
		}
		for done := false; !done; {
			done = writing.Load() == 0 // before the last read
			for {
				page := s.feed("w", int64(len(followed)), 3)
				if followed = append(followed, page...); len(page) == 0 {
					break
				}
			}
		}
	})
	if feed := s.feed("w", 0, all); len(feed) != 2*writers*each || !slices.EqualFunc(feed, followed, equalEntries) {
		s.Errorf("following gave %d entries, want the %d of the feed, and those %d", len(followed), len(feed), 2*writers*each)
	}
	s.wantLogs("w", followed, ids)
	last := time.Time{}
	for _, entry := range followed {
		if at := entry.Record.GetEvents()[0].GetCreateTime().AsTime(); at.Before(last) {
			s.Errorf("position %d is before the position before it by its time", entry.Position)
		} else {
			last = at
		}
	}
}

// dueIsInOrder sets, moves and drops due times over workspaces, also of conversations that are RESOLVED.
func dueIsInOrder(s *subject) {
	at := func(n int) time.Time { return faketime.New().Now().Add(time.Duration(n) * time.Second) }
	want := make(map[store.Due]bool)
	for i := range 24 {
		w, id := fmt.Sprintf("w%d", i%3), fmt.Sprintf("conv_%02d", (i*7)%24)
		times := []time.Time{at(i % 5), {}, at(40 - i), at(i * 7 % 11).Add(time.Microsecond)}
		for _, due := range times[:i%4+1] {
			s.write(w, id, func(d *draft) {
				if i%2 == 0 {
					d.resolve(goodshipv1.Outcome_OUTCOME_INFORMED)
				}
				d.due(due)
			})
		}
		if due := times[i%4]; !due.IsZero() {
			want[store.Due{Workspace: w, ConversationID: id, Time: due}] = true
		}
	}
	got, err := s.store().NextDue(s.ctx, nil, all)
	s.wantErr("NextDue", err, nil)
	if !slices.IsSortedFunc(got, func(a, b store.Due) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Workspace, b.Workspace), cmp.Compare(a.ConversationID, b.ConversationID))
	}) {
		s.Errorf("NextDue is not in order: %v", got)
	}
	for _, due := range got {
		due.Time = due.Time.UTC()
		if !want[due] {
			s.Errorf("NextDue gives %v, which is not so, or twice", due)
		}
		delete(want, due)
	}
	if len(want) != 0 {
		s.Errorf("NextDue leaves out %v", want)
	}
	for _, limit := range []int{0, 1, 5, all} {
		s.wantDue(nil, limit, got)
		for i := range got {
			s.wantDue(&got[i], limit, got[i+1:])
		}
		first := got[0]
		first.ConversationID = first.ConversationID[:3] // which there is not, before all others
		s.wantDue(&first, limit, got)
	}
}

// wantDue fails the test unless NextDue goes on like this after one that it returned, or from the first.
func (s *subject) wantDue(after *store.Due, limit int, want []store.Due) {
	s.Helper()
	want = want[:min(limit, len(want))]
	got, err := s.store().NextDue(s.ctx, after, limit)
	if err != nil || !slices.EqualFunc(got, want, func(a, b store.Due) bool {
		return a.Time.Equal(b.Time) && a.Workspace == b.Workspace && a.ConversationID == b.ConversationID
	}) {
		s.Errorf("NextDue of %d after %v: got %v, %v, want %v", limit, after, got, err, want)
	}
}

// dueTimeNeedsNoEvent sets due times where nothing was appended: nothing else of the conversation changes.
func dueTimeNeedsNoEvent(s *subject) {
	const w, id = "w", "conv_1"
	at := func(n int) time.Time { return faketime.New().Now().Add(time.Duration(n) * time.Second) }
	s.write(w, id, func(d *draft) { d.due(at(1)) })
	before, err := s.store().Conversation(s.ctx, w, id)
	s.wantErr("Conversation", err, nil)
	for _, due := range []time.Time{at(5), {}, at(3)} {
		_, err := s.store().Update(s.ctx, w, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, tx.PutDueTime(id, due) })
		s.wantErr("PutDueTime", err, nil)
		got, err := s.store().NextDue(s.ctx, nil, all)
		s.wantErr("NextDue", err, nil)
		if due.IsZero() && len(got) != 0 || !due.IsZero() && (len(got) != 1 || !got[0].Time.Equal(due)) {
			s.Errorf("NextDue after PutDueTime(%v): got %v", due, got)
		}
		after, err := s.store().Conversation(s.ctx, w, id)
		s.wantErr("Conversation", err, nil)
		after.DueTime = before.DueTime
		if !proto.Equal(after, before) {
			s.Errorf("the head after PutDueTime: got %v, want %v", after, before)
		}
	}
	_, err = s.store().Update(s.ctx, w, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		return nil, tx.PutDueTime("conv_2", at(1))
	})
	s.wantErr("PutDueTime of a conversation that is missing", err, store.ErrNotFound)
}
