package bolt

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A request id that named a conversation is remembered in the conversation, in chunks, the newest of which is the head's
// neighbour: so it costs an append no page of its own, as it would if each stood under its hash. A request looks through
// the chunks of a day, which are few. One that named no conversation, or is never forgotten, stands under its hash.

const (
	// onceChunk is the size from which on a chunk takes no more.
	onceChunk = 400
	// onceSample is how many neighbours of a new request id outside conversations are looked at, and dropped if they have
	// been remembered long enough. The keys are hashes, so neighbours are a random sample: with two looked at for each
	// that is added, there are never many more that may go than that must stay.
	onceSample = 2
)

// remembered returns the receipt of a request id that was seen before, or nil.
func (t *tx) remembered(once store.Once) (receipt *storev1.Receipt, err error) {
	if once.RequestID == "" {
		return nil, nil
	}
	defer t.contain(&err)
	seen, err := t.seen(once)
	switch {
	case err != nil || seen == nil || t.expired(seen):
		return nil, err
	case !bytes.Equal(seen.GetBody(), once.Body[:]):
		return nil, fmt.Errorf("%w: %q", store.ErrRequestIDReused, once.RequestID)
	case seen.GetReceipt() == nil:
		return &storev1.Receipt{}, nil
	}
	return seen.GetReceipt(), nil
}

// seen returns what is remembered of a request id, or nil.
func (t *tx) seen(once store.Once) (*storev1.OnceRecord, error) {
	if once.Conversation == "" || once.Forever {
		return load[storev1.OnceRecord](t, onceTable, onceKey(t.workspace.number, once.Key()))
	}
	all, err := t.chunks(conversationPrefix(t.workspace.number, once.Conversation), once.Key())
	if err != nil {
		return nil, err
	}
	t.requests = all
	if all.found == nil {
		return nil, nil
	}
	return decode[storev1.OnceRecord](t, conversationTable, all.newest.key, all.found)
}

func forgotten(seen *storev1.OnceRecord, now time.Time) bool {
	return store.Forgotten(seen.GetTime().AsTime(), now, seen.GetForever())
}

func (t *tx) expired(seen *storev1.OnceRecord) bool {
	return forgotten(seen, t.now)
}

// remember keeps the receipt under the request id, if there are both.
func (t *tx) remember(once store.Once, receipt *storev1.Receipt) (err error) {
	if once.RequestID == "" || receipt == nil {
		return nil
	}
	defer t.contain(&err)
	record := &storev1.OnceRecord{Body: once.Body[:], Receipt: receipt, Time: timestamppb.New(t.now), Forever: once.Forever}
	if once.Conversation == "" || once.Forever {
		key := onceKey(t.workspace.number, once.Key())
		t.forget(workspacePrefix(t.workspace.number), key)
		return t.put(onceTable, key, record)
	}
	if c := t.conversations[once.Conversation]; c != nil && c.removed != nil {
		t.requests = &chunks{} // they went with it
	}
	hash := once.Key()
	record.Key = hash[:]
	return t.addToChunks(conversationPrefix(t.workspace.number, once.Conversation), t.requests, record)
}

// forget drops expired neighbours of a request id that stands under its hash.
func (t *tx) forget(prefix, key []byte) {
	cursor := t.batch.bucket(onceTable).Cursor()
	k, value := cursor.Seek(key)
	for range onceSample {
		if !bytes.HasPrefix(k, prefix) {
			if k, value = cursor.Seek(prefix); !bytes.HasPrefix(k, prefix) { // on from the beginning
				return
			}
		}
		// A damaged one stays for Check to find; it is not this unit's business.
		if payload, err := t.batch.unseal(onceTable, k, value); err == nil {
			if seen, err := decode[storev1.OnceRecord](t, onceTable, k, payload); err == nil && t.expired(seen) {
				t.remove(onceTable, k)
			}
		}
		k, value = cursor.Next()
	}
}

// withoutForgotten returns the value of a key with the request ids in it that may not be forgotten by now: nil if it held others
// only, and as it is if it holds none. So is a damaged one, for Check to find.
func withoutForgotten(t table, key, value []byte, now time.Time) []byte {
	switch t {
	case onceTable:
	case conversationTable:
		if k, ok := parseConversationKey(key); !ok || k.kind != onceKind {
			return value
		}
	default:
		return value
	}
	payload, err := unseal(t, key, value)
	if err != nil {
		return value
	}
	if t == onceTable {
		if seen := (&storev1.OnceRecord{}); proto.Unmarshal(payload, seen) == nil && forgotten(seen, now) {
			return nil
		}
		return value
	}
	all := &storev1.OnceRecords{}
	if proto.Unmarshal(payload, all) != nil {
		return value
	}
	count := len(all.Records)
	all.Records = slices.DeleteFunc(all.Records, func(seen *storev1.OnceRecord) bool { return forgotten(seen, now) })
	switch len(all.Records) {
	case count:
		return value
	case 0:
		return nil
	}
	kept, err := sealMessage(t, key, all)
	if err != nil {
		return value
	}
	return kept
}

// chunk is a part of a conversation's request ids.
type chunk struct {
	key, payload []byte
	// last is its newest one, encoded.
	last []byte
}

// chunks are the oldest and the newest chunk of a conversation's request ids, nil if there is none, and what is remembered
// of the one that was looked for, encoded.
type chunks struct {
	oldest, newest *chunk
	found          []byte
}

// Field numbers of OnceRecords and OnceRecord.
const (
	fieldRecords = 1
	fieldOnceKey = 1
)

// chunks goes through a conversation's request ids in search of one. If it is there twice, the newer counts: the older has
// expired.
func (t *tx) chunks(conversation []byte, hash [onceSize]byte) (*chunks, error) {
	all, prefix := &chunks{}, append(conversation, onceKind)
	cursor := t.batch.bucket(conversationTable).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		payload, err := t.batch.unseal(conversationTable, key, value)
		if err != nil {
			return nil, err
		}
		c := &chunk{key: key, payload: payload}
		err = eachField(payload, func(number protowire.Number, content []byte, _ uint64) {
			if number != fieldRecords {
				return
			}
			if c.last = content; onceHash(content) == hash {
				all.found = content
			}
		})
		if err != nil {
			return nil, t.damaged(conversationTable, key, err)
		}
		if all.newest = c; all.oldest == nil {
			all.oldest = c
		}
	}
	return all, nil
}

// onceHash returns the hash in an encoded OnceRecord.
func onceHash(record []byte) (hash [onceSize]byte) {
	// What does not read is no hash that anybody looks for.
	_ = eachField(record, func(number protowire.Number, content []byte, _ uint64) {
		if number == fieldOnceKey && len(content) == onceSize {
			hash = [onceSize]byte(content)
		}
	})
	return hash
}

// over says whether all of a chunk has expired.
func (t *tx) over(c *chunk) (bool, error) {
	newest, err := decode[storev1.OnceRecord](t, conversationTable, c.key, c.last)
	return err == nil && t.expired(newest), err
}

// addToChunks adds a request id to those of a conversation, and drops a chunk that has expired.
func (t *tx) addToChunks(conversation []byte, all *chunks, record *storev1.OnceRecord) error {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(&storev1.OnceRecords{Records: []*storev1.OnceRecord{record}})
	if err != nil {
		return fmt.Errorf("store/bolt: encode OnceRecord: %w", err)
	}
	if all.newest == nil {
		t.putBytes(conversationTable, chunkKey(conversation, 0), encoded)
		return nil
	}
	oldestOver, err := t.over(all.oldest)
	if err != nil {
		return err
	}
	newestOver, err := t.over(all.newest)
	if err != nil {
		return err
	}
	if oldestOver {
		t.remove(conversationTable, all.oldest.key)
	}
	key := all.newest.key
	switch {
	case newestOver:
	case len(all.newest.payload) >= onceChunk:
		key = chunkKey(conversation, chunkNumber(key)+1)
	default:
		encoded = append(bytes.Clone(all.newest.payload), encoded...) // as proto goes, this is one message with both
	}
	t.putBytes(conversationTable, key, encoded)
	return nil
}
