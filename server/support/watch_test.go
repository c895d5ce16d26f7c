package support_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// kinds tells what events are of.
func kinds(updates []*goodshipv1.WatchUpdate) string {
	var all []string
	for _, u := range updates {
		all = append(all, eventKind(u))
	}
	return strings.Join(all, " ")
}

// sealed returns the cursor of a position in a scope of the workspace.
func (w *world) sealed(scope string, at int64, skip uint32) string {
	plain := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(at)), skip)
	return w.store.Sealer().Seal("watch "+w.workspace+" "+scope, plain)
}

// TestWatchConversation watches one conversation from its first event on, on both sides, and goes on with what happens then.
func TestWatchConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	w.notes(ada, id, "A note")
	streams := map[person]*watching{}
	for p, side := range map[person]string{ada: "staff", backend: "staff", kim: "customer"} {
		s := w.watches(p, id, w.sealed("conversation/"+id+" "+side, 0, 0))
		s.begins()
		streams[p] = s
	}
	for _, p := range []person{ada, backend} {
		equal(t, "told the staff", kinds(streams[p].events("note_added")), "opened message_sent wait_began note_added")
	}
	equal(t, "told the customer", kinds(streams[kim].events("wait_began")), "opened message_sent wait_began")
	w.notes(ben, id, "Another note")
	w.says(ada, id, "Hello!")
	for _, p := range []person{ada, backend} {
		equal(t, "told the staff", kinds(streams[p].events("wait_answered")), "note_added claimed message_sent wait_answered")
	}
	equal(t, "told the customer", kinds(streams[kim].events("wait_answered")), "message_sent wait_answered")
}

// TestWatchLongMessages watches more than is read at a time, by its size.
func TestWatchLongMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	long := strings.Repeat("x", 20000)
	for n := range 30 {
		w.says(kim, id, fmt.Sprint(n, long))
	}
	for _, s := range []*watching{w.watches(ada, id, w.sealed("conversation/"+id+" staff", 0, 0)), w.everything(kim, w.sealed("customer/kim", 0, 0))} {
		s.begins()
		equal(t, "first", s.said(), "Hello?")
		for n := range 30 {
			equal(t, "told", s.said() == fmt.Sprint(n, long), true)
		}
	}
}

// TestWatchShowsWhatIsSeen holds a stream's events against the log, and the messages in them against what reading shows.
func TestWatchShowsWhatIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	w.says(ada, id, "Helo!")
	do[*goodshipv1.Message](w, ada, &goodshipv1.EditMessageRequest{ConversationId: id, Number: 2, Text: "Hello!"})
	do[*goodshipv1.Message](w, kim, &goodshipv1.RedactMessageRequest{ConversationId: id, Number: 1})
	do[*goodshipv1.Message](w, backend, &goodshipv1.ReportDeliveryRequest{ConversationId: id, Number: 2, State: goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED})
	w.notes(ada, id, "A note")
	log := w.log(id)
	for p, side := range map[person]string{ada: "staff", kim: "customer"} {
		s := w.watches(p, id, w.sealed("conversation/"+id+" "+side, 0, 0))
		s.begins()
		public := int32(0)
		for _, want := range log {
			if p == kim && want.PublicRevision == 0 {
				continue
			}
			u := s.event()
			public++
			got := u.GetEvent()
			equal(t, "conversation", u.ConversationId, id)
			if p == kim {
				equal(t, "public revision", got.PublicRevision, public)
				equal(t, "hidden: "+fmt.Sprint(got.Revision, got.Actor), got.Revision == 0 && got.Actor == nil, true)
			} else {
				equal(t, "revision", got.Revision, want.Revision)
				equal(t, "public revision", got.PublicRevision, 0)
				same(t, "actor", got.Actor, want.Actor)
			}
			w.showsMessage(p, id, got)
		}
	}
}

// showsMessage checks that an event shows the message that it is of as reading does, if it is of one.
func (w *world) showsMessage(p person, id string, e *goodshipv1.Event) {
	w.t.Helper()
	for _, k := range []interface {
		GetNumber() int32
		GetMessage() *goodshipv1.Message
	}{e.GetMessageSent(), e.GetMessageEdited(), e.GetMessageRedacted(), e.GetDeliveryReported()} {
		if n := k.GetNumber(); n != 0 {
			same(w.t, "message", k.GetMessage(), do[*goodshipv1.Message](w, p, &goodshipv1.GetMessageRequest{ConversationId: id, Number: n}))
		}
	}
}

// TestWatchBeginsWithMarks begins a stream with how far a conversation was read, as each side sees it.
func TestWatchBeginsWithMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	w.says(ada, id, "Hello!")
	for _, p := range []person{ada, ben, kim} {
		do[*goodshipv1.ReadMark](w, p, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1})
	}
	for _, p := range []person{lea, kim} {
		s := w.watches(p, id, "")
		s.begins()
		for _, want := range w.reads(p, id).ReadMarks {
			u := s.next()
			same(t, "mark", u.GetReadMark(), want)
			equal(t, "cursor", u.Cursor, "")
			equal(t, "conversation", u.ConversationId, id)
		}
		w.says(ada, id, "More")
		equal(t, "then", s.said(), "More")
	}
}

// TestWatchCursors watches from the cursors that reading gives.
func TestWatchCursors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	for _, p := range []person{kim, ada, backend} {
		got := w.reads(p, id).WatchCursor
		listed := do[*goodshipv1.ListMessagesResponse](w, p, &goodshipv1.ListMessagesRequest{ConversationId: id}).WatchCursor
		all := do[*goodshipv1.ListConversationsResponse](w, p, &goodshipv1.ListConversationsRequest{}).WatchCursor
		text := "Said by nobody to " + string(p)
		w.says(ada, id, text)
		for _, cursor := range []string{got, listed} {
			s := w.watches(p, id, cursor)
			s.begins()
			equal(t, "told", s.said(), text)
		}
		s := w.everything(p, all)
		s.begins()
		equal(t, "told of all", s.said(), text)
	}
	w.opens(kim, "And?")
	first := do[*goodshipv1.ListConversationsResponse](w, kim, &goodshipv1.ListConversationsRequest{PageSize: 1})
	second := do[*goodshipv1.ListConversationsResponse](w, kim, &goodshipv1.ListConversationsRequest{PageSize: 1, PageToken: first.NextPageToken})
	equal(t, "on the second page", second.WatchCursor, "")
}

// everything watches all that somebody may see.
func (w *world) everything(p person, cursor string) *watching {
	w.t.Helper()
	c, err := w.Authenticate(w.t.Context(), w.secret, string(p))
	if strings.HasPrefix(string(p), "bearer/") {
		c, err = w.Authenticate(w.t.Context(), strings.TrimPrefix(string(p), "bearer/"), "")
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if c.Kind == goodshipv1.Caller_CALLER_CUSTOMER || c.Kind == goodshipv1.Caller_CALLER_VISITOR {
		return w.watches(p, "-", cursor)
	}
	return w.sits(p, &goodshipv1.WatchDeskRequest{Cursor: cursor})
}

// TestProgress lets time pass: nothing is silent for more than 15 seconds, nor longer than 10 minutes, and nobody is told of
// what is not theirs to see by when progress is told.
func TestProgress(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Hello?")
		s := w.watches(kim, id, "")
		s.begins()
		start := w.clock.Now()
		tells := func(after time.Duration) {
			t.Helper()
			u := s.next()
			equal(t, "progress told after", u.GetProgress().GetServerTime().AsTime().Sub(start).Truncate(time.Second), after)
		}
		jump(10 * time.Second)
		w.notes(ada, id, "Not for customers")
		jump(5 * time.Second)
		tells(15 * time.Second)
		jump(10 * time.Second)
		w.says(ada, id, "Hello!")
		s.events("wait_answered")
		jump(5 * time.Second)
		jump(10 * time.Second)
		tells(40 * time.Second)
	})
}

// TestSegmentEnds lets ten minutes pass: the stream ends well, and its last cursor is where to go on.
func TestSegmentEnds(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Hello?")
		s := w.watches(kim, id, "")
		cursor, start, lasted := s.begins(), w.clock.Now(), time.Duration(0)
		for over := false; !over; {
			jump(15 * time.Second)
			select {
			case f := <-s.frames:
				equal(t, "progress", f.Update().GetProgress() != nil, true)
				cursor, lasted = f.Update().Cursor, w.clock.Now().Sub(start)
			case err := <-s.end:
				equal(t, "the end", err, nil)
				over = true
			}
		}
		equal(t, fmt.Sprint(lasted, " is 9 to 10 minutes"), lasted >= 9*time.Minute && lasted <= 10*time.Minute, true)
		w.says(kim, id, "And?")
		s = w.watches(kim, id, cursor)
		s.begins()
		equal(t, "told from the last cursor", s.said(), "And?")
	})
}

// TestDeskFilters tells desks of what concerns them before or after.
func TestDeskFilters(t *testing.T) {
	still(t, filtersDesks)
}

func filtersDesks(t *testing.T, w *world, jump func(time.Duration)) {
	start := do[*goodshipv1.ListConversationsResponse](w, ada, &goodshipv1.ListConversationsRequest{}).WatchCursor
	first := w.opens(kim, "Hello?")
	w.claims(ada, first)
	second := w.opens(lou, "Hello?")
	w.says(ada, first, "Hello!")
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.ReleaseConversationRequest{ConversationId: first})
	third := w.reaches(ben, lou, "Are you well?")
	for _, test := range []struct {
		name string
		req  *goodshipv1.WatchDeskRequest
		want string
	}{
		{"ben's", &goodshipv1.WatchDeskRequest{OwnerId: "ben"}, "3: opened claimed message_sent"},
		{"ada's", &goodshipv1.WatchDeskRequest{OwnerId: "ada"}, "1: claimed message_sent wait_answered released"},
		{"nobody's", &goodshipv1.WatchDeskRequest{Unowned: true}, "1: opened message_sent wait_began claimed 2: opened message_sent wait_began 1: released"},
		{"waiting", &goodshipv1.WatchDeskRequest{State: waiting}, "1: opened message_sent wait_began claimed 2: opened message_sent wait_began 1: message_sent wait_answered"},
		{"waiting for ada", &goodshipv1.WatchDeskRequest{State: waiting, OwnerId: "ada"}, "1: claimed message_sent wait_answered"},
	} {
		req := proto.CloneOf(test.req)
		req.Cursor = start
		s := w.sits(lea, req)
		s.begins()
		var told []string
		before := ""
		for range len(strings.Fields(test.want)) - strings.Count(test.want, ":") {
			u := s.event()
			if u.ConversationId != before {
				before = u.ConversationId
				told = append(told, map[string]string{first: "1:", second: "2:", third: "3:"}[before])
			}
			told = append(told, eventKind(u))
		}
		equal(t, test.name, strings.Join(told, " "), test.want)
		jump(15 * time.Second)
		s.progress() // and nothing else before it
		s.goes()
	}
}

// TestFirstConversation watches all of a customer's who comes into being meanwhile.
func TestFirstConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	visitor := bearer(w.site().comes().Token)
	for _, p := range []person{"customer/engineer", visitor} {
		s := w.watches(p, "-", "")
		start := s.begins()
		w.opens(lou, "Somebody else's")
		id := w.opens(p, "Hello?")
		all := s.events("wait_began")
		equal(t, "told", kinds(all), "opened message_sent wait_began")
		equal(t, "conversation", all[0].ConversationId, id)
		second := w.opens(p, "And?")
		again := w.watches(p, "-", all[0].Cursor)
		again.begins()
		equal(t, "told from between the events of an entry", kinds(again.events("wait_began")), "message_sent wait_began")
		equal(t, "then", again.event().ConversationId, second)
		again = w.watches(p, "-", start)
		again.begins()
		equal(t, "told from the start", again.event().Cursor != "", true)
	}
}
