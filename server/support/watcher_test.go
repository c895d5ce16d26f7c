package support_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/proto"
)

// watcher watches something over and over, goes away when it likes, and keeps record of what it is told.
type watcher struct {
	*world
	name   string
	by     person
	req    func(cursor string) proto.Message
	start  string
	tells  func(store.FeedEntry, *goodshipv1.Event) bool
	public bool

	record []string
	cursor string
}

// entry names an event as a watcher sees it.
func (r *watcher) entry(conversation string, e *goodshipv1.Event) string {
	if r.public {
		return fmt.Sprintf("%s/%d", conversation, e.PublicRevision)
	}
	return fmt.Sprintf("%s/%d", conversation, e.Revision)
}

// expects returns what the log says that the watcher is to be told.
func (r *watcher) expects(feed []store.FeedEntry) []string {
	var all []string
	for _, entry := range feed {
		for _, e := range entry.Record.Events {
			if r.tells(entry, e) && (!r.public || e.PublicRevision != 0) {
				all = append(all, r.entry(entry.ConversationID, e))
			}
		}
	}
	return all
}

// watch watches for a while, and sometimes from the start again, until its record is as long as is wanted, which is known when
// done is closed.
func (r *watcher) watch(ctx context.Context, done <-chan struct{}, want *atomic.Pointer[[]store.FeedEntry]) {
	for over := false; !over; {
		if rand.N(20) == 0 {
			r.cursor, r.record = r.start, nil
		}
		s := r.request(ctx, r.req(r.cursor))
		for range 1 + rand.N(60) {
			select {
			case f := <-s.frames:
				r.hears(f.Update())
				continue
			case <-done:
			case <-time.After(patience):
				r.t.Errorf("%s: got %d events, and then nothing", r.name, len(r.record))
				return
			}
			if len(r.record) == len(r.expects(*want.Load())) {
				over = true
				break
			}
			select {
			case f := <-s.frames:
				r.hears(f.Update())
			case <-time.After(patience):
				r.t.Errorf("%s: got %d events, and then nothing", r.name, len(r.record))
				return
			}
		}
		s.goes()
	}
}

func (r *watcher) hears(u *goodshipv1.WatchUpdate) {
	if u.Cursor != "" {
		r.cursor = u.Cursor
	}
	if e := u.GetEvent(); e != nil {
		r.record = append(r.record, r.entry(u.ConversationId, e))
	}
}

// watchersOf returns watchers of each kind: of a conversation from both sides, of all of a customer's, and of desks.
func (w *world) watchersOf(id string) []*watcher {
	all := func(store.FeedEntry, *goodshipv1.Event) bool { return true }
	of := func(e store.FeedEntry, _ *goodshipv1.Event) bool { return e.ConversationID == id }
	kims := w.head(id).CustomerKey
	ofKim := func(e store.FeedEntry, _ *goodshipv1.Event) bool {
		head, err := w.store.Conversation(w.t.Context(), w.workspace, e.ConversationID)
		return err == nil && head.CustomerKey == kims
	}
	adas := func(e store.FeedEntry, _ *goodshipv1.Event) bool {
		holds := func(s *storev1.Standing) bool {
			return s.GetState() == goodshipv1.State_STATE_WAITING && s.OwnerId == "ada"
		}
		return holds(e.Record.Before) || holds(e.Record.After)
	}
	watch := func(id string) func(string) proto.Message {
		return func(cursor string) proto.Message {
			return &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: cursor}
		}
	}
	desk := func(req *goodshipv1.WatchDeskRequest) func(string) proto.Message {
		return func(cursor string) proto.Message {
			req := proto.CloneOf(req)
			req.Cursor = cursor
			return req
		}
	}
	watchers := []*watcher{
		{name: "staff", by: ada, req: watch(id), tells: of, start: "conversation/" + id + " staff"},
		{name: "customer", by: kim, req: watch(id), tells: of, start: "conversation/" + id + " customer", public: true},
		{name: "all of a customer", by: kim, req: watch("-"), tells: ofKim, start: "customer/kim", public: true},
		{name: "desk", by: lea, req: desk(&goodshipv1.WatchDeskRequest{}), tells: all, start: "desk"},
		{name: "ada's desk", by: ada, req: desk(&goodshipv1.WatchDeskRequest{State: goodshipv1.State_STATE_WAITING, OwnerId: "ada"}), tells: adas, start: "desk"},
	}
	for _, r := range watchers {
		r.world, r.start = w, w.sealed(r.start, 0, 0)
		r.cursor = r.start
	}
	return watchers
}

// TestWatchersMissNothing has many write and many watch who come and go: what each is told is what the log says, each event
// once and in order.
func TestWatchersMissNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	var watchers []*watcher
	for range 5 {
		watchers = append(watchers, w.watchersOf(id)...)
	}
	var readers, writers sync.WaitGroup
	done, want := make(chan struct{}), &atomic.Pointer[[]store.FeedEntry]{}
	for _, r := range watchers {
		ctx := w.by(r.by)
		readers.Go(func() { r.watch(ctx, done, want) })
	}
	contexts := map[person]context.Context{}
	for _, p := range []person{kim, lou, ada, ben, lea} {
		contexts[p] = w.by(p)
	}
	for n := range 8 {
		writers.Go(func() { w.writes(contexts, []string{id, id, w.opens(lou, "Hello?"), w.opens(kim, fmt.Sprint(n))}) })
	}
	writers.Wait()
	feed, err := w.store.Feed(t.Context(), w.workspace, 0, everything)
	if err != nil {
		t.Fatal(err)
	}
	want.Store(&feed)
	close(done)
	readers.Wait()
	for _, r := range watchers {
		if expected := r.expects(feed); !slices.Equal(r.record, expected) {
			t.Errorf("%s: got %d events, want %d:\n%s\n%s", r.name, len(r.record), len(expected), r.record, expected)
		}
	}
	topics, bells := support.Watched(w.Service)
	equal(t, "watched after all are gone", fmt.Sprint(topics, bells), "0 0")
}

// writes does things at random, some of which are refused.
func (w *world) writes(by map[person]context.Context, ids []string) {
	for range 40 {
		id := ids[rand.N(len(ids))]
		customer, agent := by[[]person{kim, lou}[rand.N(2)]], by[[]person{ada, ben, lea}[rand.N(3)]]
		number := 1 + rand.N(int32(5))
		for _, act := range []struct {
			ctx context.Context
			req proto.Message
		}{
			{customer, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello?"}},
			{agent, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: number}},
			{agent, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: "A note"}},
			{agent, &goodshipv1.ClaimConversationRequest{ConversationId: id}},
			{agent, &goodshipv1.ReleaseConversationRequest{ConversationId: id}},
			{agent, &goodshipv1.EditMessageRequest{ConversationId: id, Number: number, Text: fmt.Sprint(rand.Int())}},
			{customer, &goodshipv1.RedactMessageRequest{ConversationId: id, Number: number}},
			{customer, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1}},
		} {
			if rand.N(3) == 0 {
				_, _ = w.dispatch(act.ctx, act.req)
			}
		}
	}
}
