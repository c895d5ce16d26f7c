package live

import (
	"path/filepath"
	"slices"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/protobuf/proto"
)

// truth is what the store holds, read from its file while no server has it.
type truth struct {
	feed []store.FeedEntry
	// staff and public are the entries of each position of the feed, as agents and as customers are told.
	staff, public [][]entry
	// customers are whose each conversation is.
	customers map[string]string
	messages  map[numbered]*goodshipv1.Message
	notes     map[numbered]*goodshipv1.Note
	marks     map[string][]*storev1.ReadMarkRecord
	heads     map[string]*goodshipv1.Conversation
}

// read reads the file in a data folder.
func read(t *testing.T, data string) *truth {
	t.Helper()
	st, err := bolt.Open(filepath.Join(data, "goodship.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	if report, err := st.Check(t.Context(), true); err != nil || len(report.Problems) > 0 {
		t.Errorf("the store is not sound: %v %v", report.Problems, err)
	}
	known, err := st.Workspaces(t.Context())
	if err != nil || len(known) != 1 {
		t.Fatalf("%d workspaces, %v", len(known), err)
	}
	w := &truth{customers: map[string]string{}, messages: map[numbered]*goodshipv1.Message{}, notes: map[numbered]*goodshipv1.Note{}, marks: map[string][]*storev1.ReadMarkRecord{}, heads: map[string]*goodshipv1.Conversation{}}
	w.readFeed(t, st, known[0].Workspace.Id)
	w.readConversations(t, st, known[0].Workspace.Id)
	return w
}

func (w *truth) readFeed(t *testing.T, st *bolt.Store, workspace string) {
	t.Helper()
	for after := int64(0); ; {
		page, err := st.Feed(t.Context(), workspace, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return
		}
		for _, e := range page {
			if m := e.Record.Message; m != nil {
				w.messages[numbered{e.ConversationID, m.Number}] = m
			}
			if n := e.Record.Note; n != nil {
				w.notes[numbered{e.ConversationID, n.Number}] = n
			}
			w.staff, w.public = append(w.staff, told(false, e)), append(w.public, told(true, e))
		}
		w.feed = append(w.feed, page...)
		after = page[len(page)-1].Position
	}
}

func (w *truth) readConversations(t *testing.T, st *bolt.Store, workspace string) {
	t.Helper()
	for _, e := range w.feed {
		id := e.ConversationID
		if w.heads[id] != nil {
			continue
		}
		head, err := st.Conversation(t.Context(), workspace, id)
		if err != nil {
			t.Fatal(err)
		}
		customer, err := st.CustomerByKey(t.Context(), workspace, head.CustomerKey)
		if err != nil {
			t.Fatal(err)
		}
		if w.marks[id], err = st.ReadMarks(t.Context(), workspace, id); err != nil {
			t.Fatal(err)
		}
		w.heads[id], w.customers[id] = head.Conversation, customer.Customer.Id
	}
}

// entries are what a scope is to be told, in order, from the very beginning.
func (w *truth) entries(of scope) (want []entry) {
	for i, e := range w.feed {
		if !w.covers(of, e) {
			continue
		}
		if of.customer() {
			want = append(want, w.public[i]...)
		} else {
			want = append(want, w.staff[i]...)
		}
	}
	return want
}

// told returns what one record has an audience told.
func told(customer bool, e store.FeedEntry) (entries []entry) {
	for _, event := range e.Record.Events {
		if !customer || event.PublicRevision != 0 {
			shown, _ := entryOf(e.ConversationID, shownTo(customer, event), customer)
			entries = append(entries, shown)
		}
	}
	return entries
}

// covers reports whether a scope is told of what one record holds.
func (w *truth) covers(of scope, e store.FeedEntry) bool {
	switch {
	case of.conversation == "-":
		return "customer/"+w.customers[e.ConversationID] == of.who
	case of.conversation != "":
		return e.ConversationID == of.conversation
	}
	return slices.ContainsFunc([]*storev1.Standing{e.Record.Before, e.Record.After}, func(s *storev1.Standing) bool {
		return s.GetState() != goodshipv1.State_STATE_UNSPECIFIED && (of.state == 0 || s.GetState() == of.state) &&
			(of.owner == "" || s.GetOwnerId() == of.owner) && (!of.unowned || s.GetOwnerId() == "")
	})
}

// shownTo is an event as an audience sees it. What customers do not see is said here once more, apart from the server.
func shownTo(customer bool, e *goodshipv1.Event) *goodshipv1.Event {
	e = proto.Clone(e).(*goodshipv1.Event)
	if !customer {
		e.PublicRevision = 0
		return e
	}
	e.Revision, e.Actor = 0, nil
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_MessageSent:
		k.MessageSent.Asks = false
	case *goodshipv1.Event_MessageEdited:
		k.MessageEdited.Asks = false
	case *goodshipv1.Event_WaitBegan:
		k.WaitBegan.LineTime, k.WaitBegan.AtRiskTime = nil, nil
	case *goodshipv1.Event_WaitAnswered:
		k.WaitAnswered.SeenRevision = 0
	case *goodshipv1.Event_Resolved:
		k.Resolved.DismissReason = 0
	case *goodshipv1.Event_Reopened:
		k.Reopened.Counted = false
	}
	return e
}

// stale returns the messages that read otherwise in the end than a watcher was told last. A desk with a filter may not have been
// told of the last change.
func (w *truth) stale(told *watcher) (all []*goodshipv1.Message) {
	if told.of.filters() {
		return nil
	}
	for of, got := range told.messages {
		m := proto.Clone(w.messages[of]).(*goodshipv1.Message)
		if told.of.customer() {
			m.Sender.AgentId = ""
		}
		if got != sum(m) {
			all = append(all, m)
		}
	}
	return all
}

// marksOf are how far people have read in a conversation, as an audience is told: customers not of agents who said nothing.
func (w *truth) marksOf(of scope) map[reader]int32 {
	marks := map[reader]int32{}
	for _, m := range w.marks[of.conversation] {
		r := reader{conversation: of.conversation, agent: m.AgentId}
		if of.customer() {
			i := slices.IndexFunc(w.heads[of.conversation].Participants, func(p *goodshipv1.Participant) bool { return p.AgentId == m.AgentId && p.Number > 0 })
			if i < 0 {
				continue
			}
			r = reader{conversation: of.conversation, participant: w.heads[of.conversation].Participants[i].Number}
		}
		marks[r] = m.MessageNumber
	}
	return marks
}

// mustHold fails the test unless all that was acknowledged is there, once, and nothing else.
func (w *truth) mustHold(t *testing.T, l *ledger) {
	t.Helper()
	if len(l.messages) != len(w.messages) || len(l.notes) != len(w.notes) {
		t.Errorf("acknowledged were %d messages and %d notes, stored are %d and %d", len(l.messages), len(l.notes), len(w.messages), len(w.notes))
	}
	for of, said := range l.messages {
		if got := w.messages[of]; got.GetText() != said.text || (got.GetRedactTime() != nil) != (said.gone != 0) {
			t.Errorf("message %v was acknowledged as %q, gone at %d, and is %v", of, said.text, said.gone, got)
		}
	}
	for of, said := range l.notes {
		if got := w.notes[of]; got.GetText() != said.text || (got.GetRedactTime() != nil) != (said.gone != 0) {
			t.Errorf("note %v was acknowledged as %q, gone at %d, and is %v", of, said.text, said.gone, got)
		}
	}
	w.mustBeDense(t)
}

// mustBeDense fails the test unless both numberings of each conversation have no gaps.
func (w *truth) mustBeDense(t *testing.T) {
	t.Helper()
	revisions, public := map[string]int32{}, map[string]int32{}
	for _, e := range w.feed {
		for _, event := range e.Record.Events {
			if revisions[e.ConversationID]++; event.Revision != revisions[e.ConversationID] {
				t.Errorf("%s: revision %d follows %d", e.ConversationID, event.Revision, revisions[e.ConversationID]-1)
			}
			if event.PublicRevision == 0 {
				continue
			}
			if public[e.ConversationID]++; event.PublicRevision != public[e.ConversationID] {
				t.Errorf("%s: public revision %d follows %d", e.ConversationID, event.PublicRevision, public[e.ConversationID]-1)
			}
		}
	}
}
