package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Append implements store.ConversationTx. A change that is refused leaves nothing, even in a unit that goes on.
func (t *tx) Append(change store.Change) (err error) {
	defer t.contain(&err)
	id := change.Head.GetConversation().GetId()
	if err := checkID("conversation", id); err != nil {
		return err
	}
	c, err := t.standing(id)
	if err != nil {
		return err
	}
	log, tail, before := len(t.log), t.tail, *c
	if err := t.append(c, change); err != nil {
		t.rewind(log)
		t.tail, *c = tail, before
		return fmt.Errorf("append to conversation %q: %w", id, err)
	}
	return nil
}

func (t *tx) append(c *conversation, change store.Change) error {
	entry := newEntry(t.workspace, change.Head)
	if err := c.check(entry, change); err != nil {
		return err
	}
	// What is replaced is looked for before anything is added.
	for _, m := range change.Messages {
		if err := t.replace(c, messages, m.GetNumber(), func(r *storev1.Record) { r.Message = m }); err != nil {
			return err
		}
	}
	for _, n := range change.Notes {
		if err := t.replace(c, notes, n.GetNumber(), func(r *storev1.Record) { r.Note = n }); err != nil {
			return err
		}
	}
	for _, r := range change.Resolutions {
		if err := t.put(conversationTable, resolutionKey(c.prefix, r.GetNumber()), r); err != nil {
			return err
		}
	}
	if err := t.addRecord(c, change); err != nil {
		return err
	}
	if err := t.putHead(c, entry, change.Head); err != nil {
		return err
	}
	t.putNewest(entry, t.tail)
	return nil
}

// PutDueTime implements store.ConversationTx.
func (t *tx) PutDueTime(conversation string, due time.Time) (err error) {
	defer t.contain(&err)
	c, err := t.existing(conversation)
	if err != nil {
		return err
	}
	head, err := t.Conversation(conversation)
	if err != nil {
		return err
	}
	head.DueTime = nil
	if !due.IsZero() {
		head.DueTime = timestamppb.New(due)
	}
	return t.putHead(c, newEntry(t.workspace, head), head)
}

// putHead writes a head and moves the conversation in the indexes.
func (t *tx) putHead(c *conversation, after *entry, head *storev1.Head) error {
	if c.entry == nil {
		if err := t.begin(c, head); err != nil {
			return err
		}
	}
	if err := t.put(conversationTable, headKey(c.prefix), head); err != nil {
		return err
	}
	t.moveInIndexes(c.entry, after)
	c.stand(after, head.GetConversation())
	return nil
}

// begin writes what a conversation has from its beginning on.
func (t *tx) begin(c *conversation, head *storev1.Head) error {
	if n := len(head.GetCustomerKey()); n > maxID {
		return fmt.Errorf("a customer's key of %d bytes, at most %d are allowed", n, maxID)
	}
	externalID := head.GetConversation().GetExternalId()
	if externalID == "" {
		return nil
	}
	if err := checkID("external", externalID); err != nil {
		return err
	}
	key := externalKey(t.workspace.number, externalID)
	taken, err := t.get(externalTable, key)
	if err != nil {
		return err
	}
	if taken != nil {
		return fmt.Errorf("%w: %q", store.ErrExternalIDTaken, externalID)
	}
	t.putBytes(externalTable, key, []byte(c.id))
	return nil
}

// addRecord writes a change's record, and its entry in the feed.
func (t *tx) addRecord(c *conversation, change store.Change) error {
	tail, err := t.nextPosition()
	if err != nil {
		return err
	}
	revision := change.Head.GetConversation().GetRevision()
	if err := t.putRecord(c.prefix, &storev1.LogRecord{Record: change.Record, FeedPosition: tail}); err != nil {
		return err
	}
	if err := t.putFeed(&storev1.FeedRecord{Position: tail, ConversationId: c.id, Revision: revision}); err != nil {
		return err
	}
	t.tail = tail
	c.added = append(c.added, logRecord{key: recordKey(c.prefix, revision), revision: revision, counts: countsOf(change.Head.GetConversation())})
	return nil
}

// putRecord writes a record, under the revision of its last event.
func (t *tx) putRecord(conversation []byte, r *storev1.LogRecord) error {
	events := r.GetRecord().GetEvents()
	if len(events) == 0 {
		return errors.New("no event")
	}
	return t.put(conversationTable, recordKey(conversation, events[len(events)-1].GetRevision()), r)
}

func (t *tx) putFeed(r *storev1.FeedRecord) error {
	return t.put(feedTable, feedKey(t.workspace.number, r.GetPosition()), r)
}

// nextPosition returns the next position in the workspace's feed.
func (t *tx) nextPosition() (int64, error) {
	if t.tail > 0 {
		return t.tail + 1, nil
	}
	tail, err := t.batch.tail(t.workspace.number)
	return tail + 1, err
}

// replace changes what a record added.
func (t *tx) replace(c *conversation, of collection, number int32, change func(*storev1.Record)) error {
	key, err := t.recordAdding(c, of, number)
	if err != nil {
		return err
	}
	r, err := load[storev1.LogRecord](t, conversationTable, key)
	if err != nil {
		return err
	}
	change(r.GetRecord())
	return t.put(conversationTable, key, r)
}

// recordAdding returns the key of the record that added a number. There must be one.
func (t *tx) recordAdding(c *conversation, of collection, number int32) ([]byte, error) {
	for _, r := range c.added {
		if number > c.loggedCounts[of] && r.counts[of] >= number {
			return r.key, nil
		}
	}
	r, err := t.batch.readLog(c.prefix, c.logged).start(of, number)
	if err != nil {
		return nil, err
	}
	return r.key, nil
}

// numbered returns what was added under a number, or ErrNotFound.
func numbered[T any, M message[T]](t *tx, id string, of collection, number int32) (M, error) {
	c, err := t.existing(id)
	if err != nil {
		return nil, err
	}
	if number < 1 || number > c.counts[of] {
		return nil, numberNotFound(collectionNames[of], number, id)
	}
	key, err := t.recordAdding(c, of, number)
	if err != nil {
		return nil, err
	}
	payload, err := t.get(conversationTable, key)
	if err != nil {
		return nil, err
	}
	r, err := newLogRecord(key, payload)
	if err != nil {
		return nil, t.damaged(conversationTable, key, err)
	}
	return decode[T, M](t, conversationTable, key, r.added[of])
}

// moveInIndexes writes the file's indexes from what a conversation was to what it is.
func (t *tx) moveInIndexes(old, new *entry) {
	had := make(map[place]bool)
	if old != nil {
		for _, at := range old.places() {
			had[at] = true
		}
	}
	for _, at := range new.places() {
		if !had[at] {
			t.putBytes(at.table, []byte(at.key), nil)
		}
		delete(had, at)
	}
	for at := range had {
		t.remove(at.table, []byte(at.key))
	}
}

// putNewest writes down where the newest record of a RESOLVED conversation is in the feed, 0 if that is not known, where its
// customer's are listed: who follows a customer passes over those in which nothing happened, without a look at each log.
func (t *tx) putNewest(e *entry, position int64) {
	if e.resolved() {
		t.putBytes(customerTable, customerIndexKey(e.workspace.number, e.customer, e.activity, e.id), binary.AppendUvarint(nil, uint64(position)))
	}
}

// places returns where the file's indexes have a conversation.
func (e *entry) places() []place {
	w, places := e.workspace.number, make([]place, 0, 3)
	if e.indexed() {
		places = append(places, place{openTable, string(openKey(w, e.id))})
	}
	if e.resolved() {
		places = append(places,
			place{resolvedTable, string(resolvedKey(w, e.activity, e.id))},
			place{customerTable, string(customerIndexKey(w, e.customer, e.activity, e.id))})
	}
	return places
}

// check returns an error unless a change follows what is there.
func (c *conversation) check(after *entry, change store.Change) error {
	if c.entry != nil {
		switch head := change.Head.GetConversation(); {
		case after.customer != c.entry.customer:
			return errors.New("the customer changed")
		case head.GetExternalId() != c.externalID:
			return errors.New("the external id changed")
		case after.create != c.entry.create:
			return errors.New("the time of creation changed")
		}
	}
	if err := c.checkEvents(change); err != nil {
		return err
	}
	head, record := change.Head.GetConversation(), change.Record
	added := [collectionCount]int32{record.GetMessage().GetNumber(), record.GetNote().GetNumber()}
	present := [collectionCount]bool{record.GetMessage() != nil, record.GetNote() != nil}
	inHead, inRecord := countsOf(head), [collectionCount]int32{record.GetMessageCount(), record.GetNoteCount()}
	for of, name := range collectionNames {
		want := c.counts[of]
		if present[of] {
			if want++; added[of] != want {
				return fmt.Errorf("%s with number %d, want %d", name, added[of], want)
			}
		}
		if inHead[of] != want || inRecord[of] != want {
			return fmt.Errorf("%s count %d in the head and %d in the record, want %d", name, inHead[of], inRecord[of], want)
		}
	}
	return c.checkReplaced(change)
}

// checkEvents returns an error unless a change's events follow.
func (c *conversation) checkEvents(change store.Change) error {
	events, head := change.Record.GetEvents(), change.Head.GetConversation()
	if len(events) == 0 {
		return errors.New("no event")
	}
	revision, public := c.revision, c.public
	for _, e := range events {
		if revision++; e.GetRevision() != revision {
			return fmt.Errorf("event with revision %d, want %d", e.GetRevision(), revision)
		}
		if e.GetPublicRevision() == 0 {
			continue
		}
		if public++; e.GetPublicRevision() != public {
			return fmt.Errorf("event with public revision %d, want %d", e.GetPublicRevision(), public)
		}
	}
	if head.GetRevision() != revision || head.GetPublicRevision() != public {
		return fmt.Errorf("the head has revision %d and public revision %d, want %d and %d", head.GetRevision(), head.GetPublicRevision(), revision, public)
	}
	return nil
}

// checkReplaced returns an error unless what is replaced exists, and resolutions exist or are next.
func (c *conversation) checkReplaced(change store.Change) error {
	for _, m := range change.Messages {
		if err := c.checkNumber(messages, m); err != nil {
			return err
		}
	}
	for _, n := range change.Notes {
		if err := c.checkNumber(notes, n); err != nil {
			return err
		}
	}
	resolutions := c.resolutions
	for _, r := range change.Resolutions {
		if r.GetNumber() < 1 || r.GetNumber() > resolutions+1 {
			return fmt.Errorf("resolution with number %d after %d", r.GetNumber(), resolutions)
		}
		resolutions = max(resolutions, r.GetNumber())
	}
	if got := change.Head.GetConversation().GetResolutionCount(); got != resolutions {
		return fmt.Errorf("resolution count %d in the head, want %d", got, resolutions)
	}
	return nil
}

func (c *conversation) checkNumber(of collection, m interface{ GetNumber() int32 }) error {
	if number := m.GetNumber(); number < 1 || number > c.counts[of] {
		return fmt.Errorf("replaces %s %d of %d", collectionNames[of], number, c.counts[of])
	}
	return nil
}
