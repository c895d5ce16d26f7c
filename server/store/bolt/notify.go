package bolt

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/goodship/goodship/server/store"
)

// listener is a function that is told what may have changed.
type listener struct{ tell func(store.Hint) }

// Notify implements store.Keeper.
func (s *Store) Notify(fn func(store.Hint)) (stop func()) {
	l := &listener{fn}
	if err := s.onWriter(context.Background(), func(w *writer) { w.listeners = append(w.listeners, l) }); err != nil {
		return func() {} // it is closed, so nothing will change
	}
	return sync.OnceFunc(func() {
		err := s.onWriter(context.Background(), func(w *writer) {
			w.listeners = slices.DeleteFunc(w.listeners, func(other *listener) bool { return other == l })
		})
		if err != nil {
			<-s.written // it is being closed: the units that it waits for may still give hints
		}
	})
}

// hints are what a batch may have changed: each thing once, in the order in which it was first changed.
type hints struct {
	all []store.Hint
	// at is where each thing stands in all, by its hint without what changes.
	at map[store.Hint]int
}

// add adds what a unit changed.
func (h *hints) add(t *tx) {
	for id, c := range t.conversations {
		hint := store.Hint{Workspace: t.workspace.id, ConversationID: id}
		if c.removed != nil {
			hint.CustomerKey = c.removed.customer
			h.put(hint, time.Time{})
		}
		if c.entry != nil && c.entry != c.before {
			hint.CustomerKey = c.entry.customer
			h.put(hint, c.entry.dueTime())
		}
	}
	for _, c := range t.log {
		if c.at.table == directoryTable {
			h.addDirectory(t.workspace.id, c.at.key[4], c.at.key[5:])
		}
	}
}

// addDirectory adds a record of the directory.
func (h *hints) addDirectory(workspace string, kind byte, id string) {
	hint := store.Hint{Workspace: workspace}
	switch kind {
	case agentKind:
		hint.AgentID = id
	case customerKind:
		hint.CustomerID = id
	case customerKeyKind:
		return // it goes with the customer's record
	}
	h.put(hint, time.Time{})
}

// put adds a hint, or has the one of the same thing say when it is due by now.
func (h *hints) put(hint store.Hint, due time.Time) {
	at, ok := h.at[hint]
	if !ok {
		if h.at == nil {
			h.at = make(map[store.Hint]int)
		}
		at = len(h.all)
		h.at[hint], h.all = at, append(h.all, hint)
	}
	h.all[at].Due = due
}

// notify gives all listeners a batch's hints.
func (w *writer) notify(b *batch) {
	for _, l := range w.listeners {
		for _, hint := range b.hints.all {
			l.tell(hint)
		}
	}
}
