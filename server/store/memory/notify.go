package memory

import (
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// listener is a function that is told what may have changed.
type listener struct{ tell func(store.Hint) }

// Notify implements store.Keeper.
func (s *Store) Notify(fn func(store.Hint)) (stop func()) {
	s.writer.Lock()
	defer s.writer.Unlock()
	l := &listener{fn}
	s.listeners = append(s.listeners, l)
	return func() {
		s.writer.Lock() // until a unit that tells it something is finished
		defer s.writer.Unlock()
		s.listeners = slices.DeleteFunc(s.listeners, func(other *listener) bool { return other == l })
	}
}

// notify tells all listeners what a unit may have changed.
func (s *Store) notify(t *tx) {
	for _, l := range s.listeners {
		for _, hint := range t.hints {
			l.tell(hint)
		}
	}
}

// changed notes that the unit changed a conversation.
func (t *tx) changed(head *storev1.Head) {
	h := store.Hint{Workspace: t.workspaceID, ConversationID: head.GetConversation().GetId(), CustomerKey: head.GetCustomerKey()}
	if head.GetDueTime() != nil {
		h.Due = head.GetDueTime().AsTime()
	}
	t.hint(h)
}

// hint notes that the unit changed something, in the place of what was noted of the same before.
func (t *tx) hint(h store.Hint) {
	t.hints = slices.DeleteFunc(t.hints, func(other store.Hint) bool {
		other.Due = h.Due
		return other == h
	})
	t.hints = append(t.hints, h)
}
