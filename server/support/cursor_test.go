package support_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// TestWatchRefused refuses watches before their first update.
func TestWatchRefused(t *testing.T) {
	t.Parallel()
	const (
		invalid  = "InvalidArgument INVALID_CURSOR"
		notFound = "NotFound CONVERSATION_NOT_FOUND"
	)
	w := newWorld(t)
	other := foundWorld(t, w.clock, w.store)
	id, second, foreign := w.opens(kim, "Hello?"), w.opens(kim, "Hello?"), other.opens(kim, "Hello?")
	one := func(id, cursor string) proto.Message {
		return &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: cursor}
	}
	desk := func(cursor string) proto.Message { return &goodshipv1.WatchDeskRequest{Cursor: cursor} }
	all := func(w *world, p person) string {
		return do[*goodshipv1.ListConversationsResponse](w, p, &goodshipv1.ListConversationsRequest{}).WatchCursor
	}
	page := do[*goodshipv1.ListConversationsResponse](w, ada, &goodshipv1.ListConversationsRequest{PageSize: 1}).NextPageToken
	for name, test := range map[string]struct {
		by   person
		req  proto.Message
		want string
	}{
		"another customer's conversation":     {lou, one(id, ""), notFound},
		"a foreign one, with its cursor":      {lou, one(id, w.reads(kim, id).WatchCursor), notFound},
		"another workspace's conversation":    {ada, one(foreign, ""), notFound},
		"one that is not there":               {ada, one("conv_"+strings.Repeat("0", 26), ""), notFound},
		"all of an agent's":                   {ada, one("-", ""), "InvalidArgument INVALID_REQUEST conversation_id"},
		"all of a backend's":                  {backend, one("-", ""), "InvalidArgument INVALID_REQUEST conversation_id"},
		"owned and unowned":                   {ada, &goodshipv1.WatchDeskRequest{OwnerId: "ada", Unowned: true}, "InvalidArgument INVALID_REQUEST unowned"},
		"garbage":                             {ada, desk("garbage"), invalid},
		"a page token":                        {ada, desk(page), invalid},
		"another conversation's":              {ada, one(second, w.reads(ada, id).WatchCursor), invalid},
		"a customer's, by an agent":           {ada, one(id, w.reads(kim, id).WatchCursor), invalid},
		"an agent's, by a customer":           {kim, one(id, w.reads(ada, id).WatchCursor), invalid},
		"a conversation's, on the desk":       {ada, desk(w.reads(ada, id).WatchCursor), invalid},
		"the desk's, of a conversation":       {ada, one(id, all(w, ada)), invalid},
		"another customer's":                  {lou, one("-", all(w, kim)), invalid},
		"another workspace's desk":            {ada, desk(all(other, ada)), invalid},
		"another workspace's of the customer": {kim, one("-", all(other, kim)), invalid},
		"a shorter one":                       {ada, desk(w.store.Sealer().Seal("watch "+w.workspace+" desk", []byte("short"))), invalid},
	} {
		_, err := w.dispatch(w.by(test.by), test.req)
		equal(t, name, refusal(err), test.want)
	}
}

// TestCursorTooOld watches from where nothing is kept any more, and from beyond the end, as after the file was rolled back.
func TestCursorTooOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	w.clock.Jump(24 * time.Hour)
	w.says(kim, id, "And?")
	if _, err := w.store.PruneFeed(t.Context(), w.clock.Now().Add(-time.Hour), everything); err != nil {
		t.Fatal(err)
	}
	_, newest, err := w.store.FeedEnds(t.Context(), w.workspace)
	if err != nil {
		t.Fatal(err)
	}
	conversation := &goodshipv1.WatchConversationRequest{ConversationId: id}
	customer := &goodshipv1.WatchConversationRequest{ConversationId: "-"}
	desk := &goodshipv1.WatchDeskRequest{}
	for name, test := range map[string]struct {
		by     person
		req    proto.Message
		cursor string
		first  string // what is told from the oldest cursor on; empty if it is not too old
	}{
		"the desk, pruned":            {ada, desk, w.sealed("desk", 0, 0), "promise_at_risk"},
		"the desk, beyond":            {ada, desk, w.sealed("desk", 1000, 0), "promise_at_risk"},
		"the desk, beyond by skips":   {ada, desk, w.sealed("desk", newest, 1), "promise_at_risk"},
		"the conversation, beyond":    {ada, conversation, w.sealed("conversation/"+id+" staff", 1000, 0), "opened"},
		"the customer's, beyond":      {kim, customer, w.sealed("customer/kim", 1000, 0), "opened"},
		"the customer's, before":      {kim, customer, w.sealed("customer/kim", 0, 0), ""},
		"the conversation, the start": {ada, conversation, w.sealed("conversation/"+id+" staff", 0, 0), ""},
	} {
		req := proto.Clone(test.req)
		set(req, "cursor", test.cursor)
		if test.first == "" {
			s := w.request(w.by(test.by), req)
			s.begins()
			equal(t, name, eventKind(s.event()), "opened")
			continue
		}
		_, err := w.dispatch(w.by(test.by), req)
		oldest, rest := metadata(err, "oldest_cursor")
		equal(t, name, rest, "OutOfRange CURSOR_TOO_OLD")
		set(req, "cursor", oldest)
		s := w.request(w.by(test.by), req)
		s.begins()
		equal(t, name+", from the oldest on", eventKind(s.event()), test.first)
	}
}

// TestPrunedUnderAStream prunes what a stream that stands still was not told yet.
func TestPrunedUnderAStream(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		s := w.everything(ada, "")
		s.begins()
		id := w.opens(kim, "Hello?")
		for range 100 {
			w.notes(ada, id, "A note")
		}
		jump(0)
		for range 10 {
			s.event()
		}
		if _, err := w.store.PruneFeed(t.Context(), w.clock.Now().Add(time.Hour), everything); err != nil {
			t.Fatal(err)
		}
		oldest, rest := metadata(s.ends(), "oldest_cursor")
		equal(t, "the end", rest, "OutOfRange CURSOR_TOO_OLD")
		s = w.everything(ada, oldest)
		s.begins()
		w.says(kim, id, "And?")
		equal(t, "from the oldest on", s.said(), "And?")
	})
}

// TestCursorsSurviveARestart watches on, in another life of the server, from cursors of each kind.
func TestCursorsSurviveARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	cursors := map[*watcher]string{}
	for _, r := range w.watchersOf(id) {
		s := w.request(w.by(r.by), r.req(""))
		cursors[r] = s.begins()
	}
	w.Drain()
	w.Close()
	w.restart()
	w.claims(ada, id)
	w.says(kim, id, "And?")
	for r, cursor := range cursors {
		s := w.request(w.by(r.by), r.req(cursor))
		s.begins()
		equal(t, r.name, s.said(), "And?")
	}
}

// TestCursorsAreEquallyLong measures cursors: their length must tell nothing of what was hidden.
func TestCursorsAreEquallyLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	before := len(w.reads(kim, id).WatchCursor)
	for range 300 {
		w.notes(ada, id, "A note")
	}
	equal(t, "length", len(w.reads(kim, id).WatchCursor), before)
}

// unreadable is a store whose logs are damaged once they are said to be.
type unreadable struct {
	store.Store
	damaged atomic.Bool
}

func (s *unreadable) Records(ctx context.Context, workspace, conversation string, after int32, limit int) ([]*storev1.Record, error) {
	if s.damaged.Load() {
		return nil, fmt.Errorf("record %s: %w", conversation, store.ErrDataLoss)
	}
	return s.Store.Records(ctx, workspace, conversation, after, limit)
}

// TestWatchOfADamagedLog ends a stream with where to go on, and with what the store said, for the log.
func TestWatchOfADamagedLog(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	damaged := &unreadable{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, damaged)
	id := w.opens(kim, "Ahoy")
	s := w.watches(ada, id, "")
	s.begins()
	damaged.damaged.Store(true)
	w.says(kim, id, "Is anybody there?")
	err := s.ends()
	if cursor, end := metadata(err, "cursor"); cursor == "" || end != "DataLoss DATA_LOSS" {
		t.Errorf("the end: got %s, with the cursor %q", end, cursor)
	}
	var f *fault.Fault
	if !errors.As(err, &f) || !errors.Is(f.Cause(), store.ErrDataLoss) || !strings.Contains(f.Cause().Error(), id) {
		t.Errorf("the cause: got %v, want the store's error", err)
	}
}
