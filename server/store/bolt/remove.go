package bolt

import (
	"fmt"
	"math"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Unresolved implements store.ConversationTx.
func (t *tx) Unresolved(customerKey string) ([]string, error) {
	var ids []string
	for _, e := range t.unresolved(customerKey, math.MaxInt) {
		ids = append(ids, e.id)
	}
	return ids, nil
}

// unresolved returns at least the newest conversations of a customer that are not RESOLVED, up to a limit, the newest first.
func (t *tx) unresolved(customer string, limit int) []*entry {
	t.batch.settle()
	var all []*entry
	within := func(e *entry) bool { return e.workspace.number == t.workspace.number && e.customer == customer }
	pivot := &entry{workspace: t.workspace, customer: customer, create: math.MaxInt64}
	t.batch.index.orders[customerOrder].Ascend(pivot, func(e *entry) bool {
		if within(e) && t.conversations[e.id] == nil {
			all = append(all, e)
		}
		return within(e) && len(all) < limit
	})
	for _, c := range t.conversations {
		if c.entry != nil && !c.entry.resolved() && within(c.entry) {
			all = append(all, c.entry)
		}
	}
	slices.SortFunc(all, compareCustomer)
	return all[:min(limit, len(all))]
}

// Conversations implements store.PrivacyTx.
func (t *tx) Conversations(customerKey string, limit int) (ids []string, err error) {
	defer t.contain(&err)
	if limit <= 0 || len(customerKey) > maxID {
		return nil, nil
	}
	for _, e := range t.unresolved(customerKey, limit) {
		ids = append(ids, e.id)
	}
	prefix := customerPrefix(t.workspace.number, customerKey)
	t.scan(customerTable, prefix, func(key []byte) bool {
		if len(ids) >= limit {
			return false
		}
		k, ok := parseTimedKey(key[len(prefix):])
		if !ok {
			err = t.damaged(customerTable, key, errKey)
			return false
		}
		ids = append(ids, k.id)
		return true
	})
	return ids, err
}

// RemoveConversation implements store.PrivacyTx.
func (t *tx) RemoveConversation(id string, cause goodshipv1.RemovalCause) (err error) {
	defer t.contain(&err)
	c, err := t.existing(id)
	if err != nil {
		return err
	}
	tail, err := t.nextPosition()
	if err != nil {
		return err
	}
	removed := &storev1.FeedRecord{Position: tail, ConversationId: id, RemoveTime: timestamppb.New(t.now), RemovalCause: cause}
	if err := t.putFeed(removed); err != nil {
		return err
	}
	t.tail = tail
	return t.drop(c)
}

// drop removes what a conversation has, if there is one, and the conversation from the indexes.
func (t *tx) drop(c *conversation) error {
	var keys [][]byte
	t.scan(conversationTable, c.prefix, func(key []byte) bool {
		keys = append(keys, key)
		return true
	})
	for _, key := range keys {
		t.remove(conversationTable, key)
	}
	if c.entry != nil {
		for _, at := range c.entry.places() {
			t.remove(at.table, []byte(at.key))
		}
	}
	external := externalKey(t.workspace.number, c.externalID)
	holder, err := t.get(externalTable, external)
	if err != nil {
		return err
	}
	if string(holder) == c.id { // in a restore another may have it by now
		t.remove(externalTable, external)
	}
	*c = conversation{id: c.id, prefix: c.prefix, before: c.before, removed: c.entry}
	return nil
}

// RemoveCustomer implements store.PrivacyTx.
func (t *tx) RemoveCustomer(key string) (err error) {
	defer t.contain(&err)
	if _, err := t.directory().customerByKey(key); err != nil {
		return err
	}
	there, err := t.Conversations(key, 1)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("store/bolt: customer %q has conversation %q still", key, there[0])
	}
	return t.removeCustomer(key)
}

// removeCustomer removes a customer's record, whatever they have; ErrNotFound if there is none.
func (t *tx) removeCustomer(key string) error {
	byKey := directoryKey(t.workspace.number, customerKeyKind, key)
	id, err := t.get(directoryTable, byKey)
	if err != nil {
		return err
	}
	if id == nil {
		return notFound("customer with key", key)
	}
	byID := directoryKey(t.workspace.number, customerKind, string(id))
	holder, err := load[storev1.CustomerRecord](t, directoryTable, byID)
	if err != nil {
		return err
	}
	if holder.GetKey() == key {
		t.remove(directoryTable, byID)
	}
	t.remove(directoryTable, byKey)
	return nil
}
