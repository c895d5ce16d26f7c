package bolt

import (
	"encoding/binary"
	"errors"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
)

// feed checks that the feed is dense from where it was pruned, and that its entry and the record name each other.
func (c *checker) feed(v *view, key, payload []byte) error {
	m, err := decode[storev1.FeedRecord](v, feedTable, key, payload)
	if err != nil {
		return err
	}
	w, position := binary.BigEndian.Uint32(key), int64(binary.BigEndian.Uint64(key[4:]))
	if w != c.feedWorkspace {
		c.feedEnd(v)
		c.feedWorkspace, c.feedPosition = w, 0
	}
	if position == feedStart {
		if m.GetPosition() < 1 || m.GetConversationId() != "" {
			c.problem("The feed of workspace %q is said to be pruned up to position %d, with a conversation %q.", c.numbers[w], m.GetPosition(), m.GetConversationId())
		}
		return nil
	}
	start, _ := v.feedStart(w)                      // damage is told where it stands
	c.feedPosition = max(c.feedPosition, start) + 1 // it may have been pruned since the entry before
	if position != c.feedPosition || m.GetPosition() != position {
		c.problem("In the feed of workspace %q position %d follows %d, and its entry says %d.", c.numbers[w], position, c.feedPosition-1, m.GetPosition())
		c.feedPosition = position
	}
	if m.GetRevision() == 0 {
		c.removal(v, m)
		return nil
	}
	switch record, err := v.feedRecord(w, m); {
	case errors.Is(err, errMissing):
		c.problem("Feed entry %d of workspace %q names revision %d of conversation %q, whose record is missing or names another position.",
			position, c.numbers[w], m.GetRevision(), m.GetConversationId())
	case err == nil && record == nil && c.gone[m.GetConversationId()] == 0:
		c.gone[m.GetConversationId()] = position
	}
	return nil // damage is told where the log is gone through
}

// removal checks an entry of a feed that says that a conversation was removed.
func (c *checker) removal(v *view, m *storev1.FeedRecord) {
	id := m.GetConversationId()
	delete(c.gone, id)
	removed, err := v.removedSince(conversationPrefix(c.feedWorkspace, id), m.GetPosition())
	if err == nil && !removed || m.GetRemovalCause() == 0 || m.GetRemoveTime() == nil {
		c.problem("Feed entry %d of workspace %q says that conversation %q was removed, without a time or cause, or it is there.",
			m.GetPosition(), c.numbers[c.feedWorkspace], id)
	}
}

// feedEnd checks, at the end of a feed, that it has the removal of each conversation that is missing; unless it was pruned by now.
func (c *checker) feedEnd(v *view) {
	start, err := v.feedStart(c.feedWorkspace)
	for id, position := range c.gone {
		if err == nil && position > start {
			c.problem("Feed entry %d of workspace %q is of conversation %q, whose head is missing, and no entry says that it was removed.",
				position, c.numbers[c.feedWorkspace], id)
		}
	}
	clear(c.gone)
}
