package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// List implements store.Lister. Pages are full, and the last one says that it is the last.
func (s *Store) List(ctx context.Context, workspace string, q store.Query, after *store.Position, limit int) ([]*storev1.Head, *store.Position, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, nil, err
	}
	heads, err := w.heads(func(h *storev1.Head) bool {
		return q.Holds(h) && (after == nil || compare(q.Order, position(q.Order, h), *after) > 0)
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(heads, by(q.Order))
	page := atMost(heads, limit)
	switch {
	case len(page) == len(heads):
		return page, nil, nil
	case len(page) == 0:
		return nil, after, nil
	}
	next := position(q.Order, page[len(page)-1])
	return page, &next, nil
}

// position is where a conversation stands in an order.
func position(o store.Order, h *storev1.Head) store.Position {
	at := h.GetConversation().GetActivityTime()
	if o == store.ByLine {
		at = h.GetConversation().GetLineTime()
	}
	return store.Position{Time: at.AsTime(), ID: h.GetConversation().GetId()}
}

// compare is negative if a comes before b in an order.
func compare(o store.Order, a, b store.Position) int {
	if o == store.ByActivity {
		a, b = b, a
	}
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
}

// by compares conversations in an order.
func by(o store.Order) func(a, b *storev1.Head) int {
	return func(a, b *storev1.Head) int { return compare(o, position(o, a), position(o, b)) }
}

// ByExternalID implements store.Lister.
func (s *Store) ByExternalID(ctx context.Context, workspace, externalID string) (*storev1.Head, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	heads, err := w.heads(func(h *storev1.Head) bool {
		return externalID != "" && h.GetConversation().GetExternalId() == externalID
	})
	if err != nil {
		return nil, err
	}
	if len(heads) == 0 {
		return nil, fmt.Errorf("%w: external id %q", store.ErrNotFound, externalID)
	}
	return heads[0], nil
}

// NextDue implements store.Lister. Equal times go by workspace and id.
func (s *Store) NextDue(ctx context.Context, after *store.Due, limit int) ([]store.Due, error) {
	all, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var due []store.Due
	for id, w := range all {
		heads, err := w.heads(func(h *storev1.Head) bool { return h.GetDueTime() != nil })
		if err != nil {
			return nil, err
		}
		for _, h := range heads {
			due = append(due, store.Due{Workspace: id, ConversationID: h.GetConversation().GetId(), Time: h.GetDueTime().AsTime()})
		}
	}
	slices.SortFunc(due, compareDue)
	if after != nil {
		due = slices.DeleteFunc(due, func(d store.Due) bool { return compareDue(d, *after) <= 0 })
	}
	return atMost(due, limit), nil
}

func compareDue(a, b store.Due) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Workspace, b.Workspace), cmp.Compare(a.ConversationID, b.ConversationID))
}

// Place implements store.Lister.
func (s *Store) Place(ctx context.Context, workspace, conversation string) (int, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return 0, err
	}
	if _, err := w.conversation(conversation); err != nil {
		return 0, err
	}
	line, err := w.heads(store.Query{Order: store.ByLine}.Holds)
	if err != nil {
		return 0, err
	}
	slices.SortFunc(line, by(store.ByLine))
	return slices.IndexFunc(line, func(h *storev1.Head) bool { return h.GetConversation().GetId() == conversation }) + 1, nil
}

// Lines implements store.Lister.
func (s *Store) Lines(ctx context.Context) ([]store.Line, error) {
	all, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var lines []store.Line
	for _, id := range slices.Sorted(maps.Keys(all)) {
		heads, err := all[id].heads(store.Query{Order: store.ByLine}.Holds)
		if err != nil {
			return nil, err
		}
		if len(heads) > 0 {
			slices.SortFunc(heads, by(store.ByLine))
			lines = append(lines, store.Line{Workspace: id, Length: len(heads), Oldest: heads[0].GetConversation().GetLineTime().AsTime()})
		}
	}
	return lines, nil
}
