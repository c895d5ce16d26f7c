package support_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
)

// counting is a store that counts how often logs and feeds are read.
type counting struct {
	store.Store
	reads atomic.Int64
}

func (s *counting) Records(ctx context.Context, workspace, conversation string, after int32, limit int) ([]*storev1.Record, error) {
	s.reads.Add(1)
	return s.Store.Records(ctx, workspace, conversation, after, limit)
}

func (s *counting) Feed(ctx context.Context, workspace string, after int64, limit int) ([]store.FeedEntry, error) {
	s.reads.Add(1)
	return s.Store.Feed(ctx, workspace, after, limit)
}

// TestEncodedOnce has a thousand watch the same, half of them as customers: what is said is read once for each side, and both
// sides' streams are sent the same frames. Nothing stays behind.
func TestEncodedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		counted := &counting{Store: w.store}
		w.store = counted
		w.restart()
		id := w.opens(kim, "Hello?")
		sides := map[person][]*watching{}
		for _, p := range []person{kim, ada} {
			ctx := w.by(p)
			for range 500 {
				s := w.request(ctx, &goodshipv1.WatchConversationRequest{ConversationId: id})
				s.begins()
				sides[p] = append(sides[p], s)
			}
		}
		synctest.Wait()
		for range 3 {
			before := counted.reads.Load()
			w.says(ada, id, "Hello!")
			seen := map[*support.Frame]bool{}
			for _, streams := range sides {
				var first *support.Frame
				for _, s := range streams {
					f := s.frame()
					for f.Update().GetEvent().GetMessageSent() == nil {
						f = s.frame()
					}
					seen[f] = true
					if first == nil {
						first = f
					}
					equal(t, "the same frame", f == first, true)
				}
			}
			for _, streams := range sides {
				for _, s := range streams {
					s.drains()
				}
			}
			equal(t, "frames of the message", len(seen), 2)
			equal(t, "reads", counted.reads.Load()-before, 2)
			equal(t, "kept", support.Kept(w.Service), 0)
		}
		w.comesBack(id, counted)
	})
}

// comesBack has a hundred go on at once from two positions: they share what is read.
func (w *world) comesBack(id string, counted *counting) {
	w.t.Helper()
	older := w.reads(kim, id).WatchCursor
	w.says(ada, id, "One")
	newer := w.reads(kim, id).WatchCursor
	w.says(ada, id, "Two")
	ctx := w.by(kim)
	var streams []*watching
	for range 50 {
		for _, cursor := range []string{newer, older} {
			streams = append(streams, w.request(ctx, &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: cursor}))
		}
	}
	synctest.Wait() // all are there, and wait with their first update
	before, frames := counted.reads.Load(), map[*support.Frame]bool{}
	for _, s := range streams {
		s.begins()
		f := s.frame()
		for f.Update().GetEvent().GetMessageSent().GetMessage().GetText() != "Two" {
			f = s.frame()
		}
		frames[f] = true
	}
	equal(w.t, "frames of who comes back", len(frames), 1)
	if reads := counted.reads.Load() - before; reads > 2 {
		w.t.Errorf("reads for who comes back: got %d, want at most 2", reads)
	}
}

// drains reads what there is.
func (s *watching) drains() {
	for {
		synctest.Wait()
		select {
		case <-s.frames:
		default:
			return
		}
	}
}

// TestNothingRedactedIsSent redacts messages that streams have in their hands, or that lie ready for them.
func TestNothingRedactedIsSent(t *testing.T) {
	for _, name := range []string{"staff", "customer", "all of a customer", "desk"} {
		for _, between := range []int{0, 100} { // records, more than are read at a time
			t.Run(fmt.Sprint(name, between), func(t *testing.T) {
				still(t, func(_ *testing.T, w *world, jump func(time.Duration)) { w.redactsUnderStreams(name, between, jump) })
			})
		}
	}
}

func (w *world) redactsUnderStreams(name string, between int, jump func(time.Duration)) {
	const secret = "The secret"
	t, id := w.t, w.opens(kim, "Hello?")
	for range 3 {
		w.says(kim, id, secret)
	}
	all := w.watchersOf(id)
	r := all[slices.IndexFunc(all, func(r *watcher) bool { return r.name == name })]
	watch := func() *watching { return w.request(w.by(r.by), r.req(r.start)) }
	last, laggard := watch(), watch()
	jump(0) // the last one has read nothing yet, so that everything lies ready for it
	laggard.begins()
	laggard.event()
	jump(0) // the laggard has a portion in its hand, and sends the first message
	for range between {
		w.notes(ada, id, "A note")
	}
	for number := range int32(3) {
		do[*goodshipv1.Message](w, kim, &goodshipv1.RedactMessageRequest{ConversationId: id, Number: number + 2})
	}
	later := watch()
	for _, s := range []*watching{later, last} {
		s.begins()
	}
	for _, s := range []*watching{laggard, later, last} {
		equal(t, "first", s.said(), "Hello?")
		for range 3 {
			equal(t, "told after the redaction", s.said(), "")
		}
	}
}

// TestNobodyWaitsForOthers has one stream not read, for which the newest events are kept, and another one read on.
func TestNobodyWaitsForOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	still, reads := w.watches(kim, id, ""), w.watches(kim, id, "")
	reads.begins()
	for n := range 280 {
		w.says(kim, id, fmt.Sprint(n))
		equal(t, "told", reads.said(), fmt.Sprint(n))
	}
	if kept := support.Kept(w.Service); kept > 260 {
		t.Errorf("got %d events kept for who does not read, want at most 260", kept)
	}
	still.begins()
	for n := range 280 {
		equal(t, "told who reads at last", still.said(), fmt.Sprint(n))
	}
}

// TestMarksAreKept posts a mark while some streams were given all that there was, once or more or before they left, and one was
// not: it is told of the mark.
func TestMarksAreKept(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Hello?")
		w.says(ada, id, "Hello!")
		late, other, leaves := w.watches(kim, id, ""), w.watches(kim, id, w.sealed("conversation/"+id+" customer", 0, 0)), w.watches(kim, id, "")
		for _, s := range []*watching{other, leaves} {
			s.begins()
		}
		other.event()
		jump(0) // the late one has told nothing yet, the other one has a portion in its hand
		do[*goodshipv1.ReadMark](w, ada, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1})
		equal(t, "told who leaves", leaves.next().GetReadMark().GetMessageNumber(), 1)
		jump(0)
		leaves.goes()
		jump(0)
		for _, name := range []string{"Kim", "Kimberley"} {
			do[*goodshipv1.Customer](w, backend, &goodshipv1.UpsertCustomerRequest{CustomerId: "kim", Customer: &goodshipv1.Customer{DisplayName: name}})
			jump(0)
			other.event()
			jump(0) // the other one has looked at its caller, and has what follows in its hand again
		}
		late.begins()
		equal(t, "told who comes late", late.next().GetReadMark().GetMessageNumber(), 1)
	})
}
