package bolt

import (
	"bytes"
	"errors"
	"fmt"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
)

// collection is what is numbered by the records of a log.
type collection int

const (
	messages collection = iota
	notes
	collectionCount
)

var collectionNames = [collectionCount]string{"message", "note"}

// countsOf returns how many a conversation has of each.
func countsOf(c *goodshipv1.Conversation) [collectionCount]int32 {
	return [collectionCount]int32{c.GetMessageCount(), c.GetNoteCount()}
}

func numberNotFound(what string, number int32, conversation string) error {
	return fmt.Errorf("%w: %s %d of conversation %q", store.ErrNotFound, what, number, conversation)
}

// logRecord is what is needed of a record to find one by what it added.
type logRecord struct {
	key      []byte
	revision int32
	// position is its place in the workspace's feed.
	position int64
	// counts are how many there are after it; added is what it added, encoded, nil if nothing.
	counts [collectionCount]int32
	added  [collectionCount][]byte
	// payload is all of it, an encoded LogRecord; record, the Record in it.
	payload, record []byte
}

// Field numbers of LogRecord and Record.
const (
	fieldRecord       = 1
	fieldFeedPosition = 2
	fieldMessage      = 2
	fieldNote         = 3
	fieldMessageCount = 4
	fieldNoteCount    = 5
)

// newLogRecord takes a record apart without decoding it, which would cost several times as much: most readers want one
// part of it, or only to go past it.
func newLogRecord(key, payload []byte) (logRecord, error) {
	r := logRecord{key: key, revision: recordRevision(key), payload: payload}
	err := eachField(payload, func(number protowire.Number, content []byte, value uint64) {
		switch number {
		case fieldRecord:
			r.record = content
		case fieldFeedPosition:
			r.position = int64(value)
		}
	})
	if err != nil {
		return r, err
	}
	return r, eachField(r.record, func(number protowire.Number, content []byte, value uint64) {
		switch number {
		case fieldMessage:
			r.added[messages] = content
		case fieldNote:
			r.added[notes] = content
		case fieldMessageCount:
			r.counts[messages] = int32(value)
		case fieldNoteCount:
			r.counts[notes] = int32(value)
		}
	})
}

// eachField calls yield with each field of an encoded message: its bytes or its varint.
func eachField(b []byte, yield func(number protowire.Number, content []byte, value uint64)) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var content []byte
		var value uint64
		switch kind {
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		yield(number, content, value)
	}
	return nil
}

// logReader walks a conversation's records.
type logReader struct {
	file   *file
	cursor *bbolt.Cursor
	// conversation and prefix begin the keys of all that is the conversation's, and of its records.
	conversation, prefix []byte
	// newest is the revision of the newest record.
	newest int32
}

func (f *file) readLog(conversation []byte, newest int32) *logReader {
	return &logReader{
		file:         f,
		cursor:       f.bucket(conversationTable).Cursor(),
		conversation: conversation,
		prefix:       append(conversation, recordKind),
		newest:       newest,
	}
}

var (
	errGap   = errors.New("a record of the log is missing")
	errOrder = errors.New("the page that leads to it is out of order")
)

// at returns the record that the cursor came to, or nil if it left the log.
func (l *logReader) at(key, value []byte) (*logRecord, error) {
	if len(key) != len(l.prefix)+4 || !bytes.HasPrefix(key, l.prefix) {
		return nil, nil
	}
	payload, err := l.file.unseal(conversationTable, key, value)
	if err != nil {
		return nil, err
	}
	r, err := newLogRecord(key, payload)
	if err != nil {
		return nil, l.file.damaged(conversationTable, key, err)
	}
	return &r, nil
}

// older and newer return the neighbours of the record that was returned last, or nil where the log ends.
func (l *logReader) older() (*logRecord, error) { return l.at(l.cursor.Next()) }
func (l *logReader) newer() (*logRecord, error) { return l.at(l.cursor.Prev()) }

// atMost returns the newest record up to a revision, or nil.
func (l *logReader) atMost(revision int32) (*logRecord, error) {
	key := recordKey(l.conversation, revision)
	r, err := l.at(l.cursor.Seek(key))
	if err == nil && r != nil && r.revision > revision {
		// A damaged key on the way there leads astray, and a search that believes it may never end.
		return nil, l.file.damaged(conversationTable, key, errOrder)
	}
	return r, err
}

// holding returns the record that holds a revision, or nil.
func (l *logReader) holding(revision int32) (*logRecord, error) {
	r, err := l.atMost(revision)
	if err != nil || r != nil && r.revision == revision {
		return r, err
	}
	return l.newer()
}

// oldest returns the oldest record that reached says yes to, as it does to the newest and all between. There must be one.
func (l *logReader) oldest(reached func(*logRecord) bool) (*logRecord, error) {
	low, high := int32(1), l.newest
	for low < high {
		middle := low + (high-low)/2
		r, err := l.atMost(middle)
		switch {
		case err != nil:
			return nil, err
		case r != nil && reached(r):
			high = r.revision
		default:
			low = middle + 1
		}
	}
	r, err := l.atMost(high)
	if err == nil && (r == nil || !reached(r)) {
		err = l.file.damaged(conversationTable, recordKey(l.conversation, high), errGap)
	}
	return r, err
}

// adding returns the record that added a number of a collection. There must be one.
func (l *logReader) adding(c collection, number int32) (*logRecord, error) {
	r, err := l.oldest(func(r *logRecord) bool { return r.counts[c] >= number })
	if err != nil {
		return nil, err
	}
	if r.counts[c] != number || r.added[c] == nil {
		return nil, l.file.damaged(conversationTable, r.key, errGap)
	}
	return r, nil
}

// firstAfter returns the oldest record after a position of the feed, or nil. It is mostly one of the newest. What the log
// goes up to is read, too: nobody need have looked at the head.
func (l *logReader) firstAfter(position int64) (first *logRecord, err error) {
	r, err := l.atMost(l.newest)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, l.file.damaged(conversationTable, recordKey(l.conversation, l.newest), errGap)
	}
	l.newest = r.revision
	for range patience {
		if err != nil || r == nil || r.position <= position {
			return first, err
		}
		first = r
		r, err = l.older()
	}
	return l.oldest(func(r *logRecord) bool { return r.position > position })
}

// patience is how many records without what is looked for are walked past before the next one is searched for.
const patience = 16

// next returns the record that added the number after, or before, that of the record that was returned last.
func (l *logReader) next(c collection, number int32, descending bool) (*logRecord, error) {
	step := l.newer
	if descending {
		step = l.older
	}
	for range patience {
		r, err := step()
		if err != nil {
			return nil, err
		}
		if r == nil {
			break
		}
		if r.added[c] != nil {
			return r, l.expect(r, c, number)
		}
	}
	return l.adding(c, number)
}

// expect returns an error unless a record added a number.
func (l *logReader) expect(r *logRecord, c collection, number int32) error {
	if r.counts[c] != number {
		return l.file.damaged(conversationTable, r.key, fmt.Errorf("%s %d does not follow", collectionNames[c], r.counts[c]))
	}
	return nil
}

// collect calls yield with what was added under the numbers of a range, in its order, of so many.
func (l *logReader) collect(c collection, r store.Range, count int32, yield func(*logRecord, []byte) error) error {
	number, step := max(r.From, 1), int32(1)
	if r.Descending {
		step = -1
		if number = r.From; number == 0 || number > count {
			number = count
		}
	}
	if number < 1 || number > count || r.Limit <= 0 {
		return nil
	}
	record, err := l.start(c, number)
	for left := r.Limit; err == nil; left-- {
		if err := yield(record, record.added[c]); err != nil {
			return err
		}
		if number += step; left == 1 || number < 1 || number > count {
			return nil
		}
		record, err = l.next(c, number, r.Descending)
	}
	return err
}

// start returns the record that added a number. The newest is often near the newest record.
func (l *logReader) start(c collection, number int32) (*logRecord, error) {
	r, err := l.atMost(l.newest)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return l.adding(c, number)
	case r.counts[c] == number && r.added[c] != nil:
		return r, nil
	case r.counts[c] == number:
		return l.next(c, number, true)
	}
	return l.adding(c, number)
}
