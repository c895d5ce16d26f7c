package memory

import (
	"errors"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// Append checks the whole change before it makes any of it, so that a change that is refused leaves nothing even in a
// unit that goes on.
func (t *tx) Append(change store.Change) error {
	id := change.Head.GetConversation().GetId()
	if id == "" {
		return errors.New("store/memory: append without a conversation's id")
	}
	old, before := t.workspace.conversations[id], &storev1.Head{}
	if old == nil {
		old = &conversation{}
		if err := t.workspace.checkExternalID(change.Head); err != nil {
			return err
		}
	} else {
		var err error
		if before, err = decode[storev1.Head](old.head); err != nil {
			return err
		}
		if err := checkIdentity(before, change.Head); err != nil {
			return fmt.Errorf("store/memory: append to %s: %w", id, err)
		}
	}
	if err := checkNumbers(before.GetConversation(), change); err != nil {
		return fmt.Errorf("store/memory: append to %s: %w", id, err)
	}
	c, err := old.with(change, t.workspace.newest()+1)
	if err != nil {
		return err
	}
	t.workspace.conversations[id] = c
	t.workspace.feed = append(t.workspace.feed, feedEntry{conversation: id, revision: change.Head.GetConversation().GetRevision()})
	t.changed(change.Head)
	return nil
}

// checkExternalID returns ErrExternalIDTaken if another conversation has a new one's external id.
func (w *workspace) checkExternalID(head *storev1.Head) error {
	id := head.GetConversation().GetExternalId()
	if id == "" {
		return nil
	}
	taken, err := w.heads(func(h *storev1.Head) bool { return h.GetConversation().GetExternalId() == id })
	if err != nil {
		return err
	}
	if len(taken) > 0 {
		return fmt.Errorf("%w: %q", store.ErrExternalIDTaken, id)
	}
	return nil
}

// checkIdentity refuses a change of what other engines index once, when the conversation begins.
func checkIdentity(before, after *storev1.Head) error {
	a, b := before.GetConversation(), after.GetConversation()
	switch {
	case before.GetCustomerKey() != after.GetCustomerKey():
		return errors.New("the customer changed")
	case a.GetExternalId() != b.GetExternalId():
		return errors.New("the external id changed")
	case !proto.Equal(a.GetCreateTime(), b.GetCreateTime()):
		return errors.New("the time of creation changed")
	}
	return nil
}

// checkNumbers returns an error unless the numbers of a change follow those of the conversation before it.
func checkNumbers(before *goodshipv1.Conversation, change store.Change) error {
	after, record := change.Head.GetConversation(), change.Record
	if len(record.GetEvents()) == 0 {
		return errors.New("no event")
	}
	revision, public := before.GetRevision(), before.GetPublicRevision()
	for _, e := range record.GetEvents() {
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
	messages, err := follows("message", before.GetMessageCount(), record.GetMessage())
	if err != nil {
		return err
	}
	notes, err := follows("note", before.GetNoteCount(), record.GetNote())
	if err != nil {
		return err
	}
	for _, count := range []struct {
		of        string
		got, want int32
	}{
		{"revision of the head", after.GetRevision(), revision},
		{"public revision of the head", after.GetPublicRevision(), public},
		{"message count of the head", after.GetMessageCount(), messages},
		{"message count of the record", record.GetMessageCount(), messages},
		{"note count of the head", after.GetNoteCount(), notes},
		{"note count of the record", record.GetNoteCount(), notes},
	} {
		if count.got != count.want {
			return fmt.Errorf("%s is %d, want %d", count.of, count.got, count.want)
		}
	}
	return checkReplaced(before, change)
}

// follows returns how many there are after one was added, if it was, to so many.
func follows[M interface {
	comparable
	GetNumber() int32
}](kind string, count int32, added M) (int32, error) {
	var none M
	if added == none {
		return count, nil
	}
	if added.GetNumber() != count+1 {
		return 0, fmt.Errorf("%s with number %d, want %d", kind, added.GetNumber(), count+1)
	}
	return count + 1, nil
}

// checkReplaced returns an error unless messages and notes that are replaced exist, and resolutions exist or are next.
func checkReplaced(before *goodshipv1.Conversation, change store.Change) error {
	for _, m := range change.Messages {
		if m.GetNumber() < 1 || m.GetNumber() > before.GetMessageCount() {
			return fmt.Errorf("replaces message %d of %d", m.GetNumber(), before.GetMessageCount())
		}
	}
	for _, n := range change.Notes {
		if n.GetNumber() < 1 || n.GetNumber() > before.GetNoteCount() {
			return fmt.Errorf("replaces note %d of %d", n.GetNumber(), before.GetNoteCount())
		}
	}
	resolutions := before.GetResolutionCount()
	for _, r := range change.Resolutions {
		if r.GetNumber() < 1 || r.GetNumber() > resolutions+1 {
			return fmt.Errorf("resolution with number %d after %d", r.GetNumber(), resolutions)
		}
		resolutions = max(resolutions, r.GetNumber())
	}
	if got := change.Head.GetConversation().GetResolutionCount(); got != resolutions {
		return fmt.Errorf("resolution count of the head is %d, want %d", got, resolutions)
	}
	return nil
}

// with returns the conversation after a change whose numbers follow, at a position of the feed.
func (c *conversation) with(change store.Change, position int64) (*conversation, error) {
	c = c.copy()
	var err error
	if c.head, err = encode(change.Head); err != nil {
		return nil, err
	}
	if err := c.add(change.Record, position); err != nil {
		return nil, err
	}
	if c.messages, err = setAll(c.messages, change.Messages); err != nil {
		return nil, err
	}
	if c.notes, err = setAll(c.notes, change.Notes); err != nil {
		return nil, err
	}
	c.resolutions, err = setAll(c.resolutions, change.Resolutions)
	return c, err
}

// add adds a record to the log of a conversation that nobody else sees yet.
func (c *conversation) add(added *storev1.Record, position int64) (err error) {
	message, note, events := added.GetMessage(), added.GetNote(), added.GetEvents()
	r := record{message: message.GetNumber(), note: note.GetNumber(), position: position, last: events[len(events)-1].GetRevision()}
	if message != nil {
		if c.messages, err = set(c.messages, r.message, message); err != nil {
			return err
		}
	}
	if note != nil {
		if c.notes, err = set(c.notes, r.note, note); err != nil {
			return err
		}
	}
	added = proto.CloneOf(added)
	added.Message, added.Note = nil, nil
	r.stored, err = encode(added)
	c.records = append(c.records, r)
	return err
}

// setAll sets each at its number.
func setAll[M interface {
	proto.Message
	GetNumber() int32
}](all [][]byte, ms []M) ([][]byte, error) {
	var err error
	for _, m := range ms {
		if all, err = set(all, m.GetNumber(), m); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// set replaces the one with a number from 1, or adds it as the next.
func set(all [][]byte, number int32, m proto.Message) ([][]byte, error) {
	b, err := encode(m)
	switch {
	case err != nil:
		return nil, err
	case number < 1 || int(number) > len(all)+1:
		return nil, fmt.Errorf("store/memory: number %d after %d", number, len(all))
	case int(number) == len(all)+1:
		return append(all, b), nil
	}
	all[number-1] = b
	return all, nil
}

// put encodes a message under a key.
func put(in map[string][]byte, key string, m proto.Message) error {
	b, err := encode(m)
	if err != nil {
		return err
	}
	in[key] = b
	return nil
}

// putUnder is put for what has two names, both of which it must have.
func putUnder(in map[string]map[string][]byte, owner, name string, m proto.Message) error {
	if owner == "" {
		return putNamed(nil, "", m)
	}
	inner := copyMap(in[owner])
	if err := putNamed(inner, name, m); err != nil {
		return err
	}
	in[owner] = inner
	return nil
}

// removeUnder removes what has two names, if it is there.
func removeUnder(from map[string]map[string][]byte, owner, name string) {
	inner := copyMap(from[owner])
	delete(inner, name)
	from[owner] = inner
}

// putNamed is put for what must have a name.
func putNamed(in map[string][]byte, name string, m proto.Message) error {
	if name == "" {
		return fmt.Errorf("store/memory: %s without an id", m.ProtoReflect().Descriptor().Name())
	}
	return put(in, name, m)
}
