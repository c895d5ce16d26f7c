package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

func (t *tx) Unresolved(customerKey string) ([]string, error) {
	heads, err := t.workspace.heads(func(h *storev1.Head) bool { return h.GetCustomerKey() == customerKey && !resolved(h) })
	slices.SortFunc(heads, newestFirst)
	return idsOf(heads), err
}

func (t *tx) Conversations(customerKey string, limit int) ([]string, error) {
	heads, err := t.workspace.heads(func(h *storev1.Head) bool { return h.GetCustomerKey() == customerKey })
	return atMost(idsOf(heads), limit), err
}

func idsOf(heads []*storev1.Head) []string {
	var ids []string
	for _, h := range heads {
		ids = append(ids, h.GetConversation().GetId())
	}
	return ids
}

func (t *tx) RemoveConversation(id string, cause goodshipv1.RemovalCause) error {
	head, err := t.Conversation(id)
	if err != nil {
		return err
	}
	w := t.workspace
	w.forgetConversation(id)
	w.feed = append(w.feed, feedEntry{conversation: id, removeTime: t.Now(), cause: cause})
	t.changed(&storev1.Head{Conversation: &goodshipv1.Conversation{Id: id}, CustomerKey: head.GetCustomerKey()})
	return nil
}

// forgetConversation drops a conversation and the request ids that named it, but for those that are kept for ever.
func (w *workspace) forgetConversation(id string) {
	delete(w.conversations, id)
	maps.DeleteFunc(w.once, func(_ [16]byte, r remembered) bool { return r.conversation == id && !r.forever })
}

func (t *tx) RemoveCustomer(key string) error {
	customer, err := t.CustomerByKey(key)
	if err != nil {
		return err
	}
	theirs, err := t.Conversations(key, 1)
	if err != nil {
		return err
	}
	if len(theirs) > 0 {
		return fmt.Errorf("store/memory: the customer with key %q has conversation %q", key, theirs[0])
	}
	delete(t.workspace.customers, key)
	t.hint(store.Hint{Workspace: t.workspaceID, CustomerID: customer.GetCustomer().GetId()})
	return nil
}

func (t *tx) Erasure(id string) (*storev1.ErasureRecord, error) {
	return find[storev1.ErasureRecord](t.workspace.erasures, id)
}

func (t *tx) PutErasure(e *storev1.ErasureRecord) error {
	return putNamed(t.workspace.erasures, e.GetErasure().GetId(), e)
}

func (t *tx) PutRemoval(r *goodshipv1.Removal) error {
	return putNamed(t.workspace.removals, r.GetId(), r)
}

// Resolved implements store.PrivacyReader. Pages are full, and the last one says that it is the last.
func (s *Store) Resolved(ctx context.Context, workspace string, before time.Time, after *store.Position, limit int) ([]*storev1.Head, *store.Position, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, nil, err
	}
	heads, err := w.heads(func(h *storev1.Head) bool {
		at := activity(h)
		return resolved(h) && at.Time.Before(before) && (after == nil || compareOldest(at, *after) > 0)
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(heads, func(a, b *storev1.Head) int { return compareOldest(activity(a), activity(b)) })
	page := atMost(heads, limit)
	switch {
	case len(page) == len(heads):
		return page, nil, nil
	case len(page) == 0:
		return nil, after, nil
	}
	next := activity(page[len(page)-1])
	return page, &next, nil
}

func activity(h *storev1.Head) store.Position { return position(store.ByActivity, h) }

// compareOldest is negative if a was active before b, by id where times are equal.
func compareOldest(a, b store.Position) int { return compare(store.ByActivity, b, a) }

// Erasure implements store.PrivacyReader.
func (s *Store) Erasure(ctx context.Context, workspace, id string) (*storev1.ErasureRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.ErasureRecord](w.erasures, id)
}

// Erasures implements store.PrivacyReader.
func (s *Store) Erasures(ctx context.Context, workspace, before string, limit int) ([]*storev1.ErasureRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return decodeAll[storev1.ErasureRecord](atMost(newestBefore(w.erasures, before), limit))
}

// Removals implements store.PrivacyReader.
func (s *Store) Removals(ctx context.Context, workspace, before string, limit int) ([]*goodshipv1.Removal, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return decodeAll[goodshipv1.Removal](atMost(newestBefore(w.removals, before), limit))
}
