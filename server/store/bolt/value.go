package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/goodship/goodship/server/store"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A value is CRC-32C of its table's name, its key and its payload, then the payload. bbolt itself checks no data page, so
// this is what finds damage; with the key in it, a value that turned up under another key is damage too.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// tableSums are the checksums of the tables' names, where every checksum begins.
var tableSums = func() (sums [tableCount]uint32) {
	for t, name := range tableNames {
		sums[t] = crc32.Checksum([]byte(name), castagnoli)
	}
	return sums
}()

func checksum(t table, key, payload []byte) uint32 {
	return crc32.Update(crc32.Update(tableSums[t], castagnoli, key), castagnoli, payload)
}

// seal returns the value that holds a payload.
func seal(t table, key, payload []byte) []byte {
	value := append(make([]byte, crc32.Size, crc32.Size+len(payload)), payload...)
	binary.BigEndian.PutUint32(value, checksum(t, key, payload))
	return value
}

// sealMessage returns the value that holds a message. It fails where a text is not UTF-8.
func sealMessage(t table, key []byte, m proto.Message) ([]byte, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(make([]byte, crc32.Size, 512), m)
	if err != nil {
		return nil, fmt.Errorf("store/bolt: encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	binary.BigEndian.PutUint32(value, checksum(t, key, value[crc32.Size:]))
	return value, nil
}

var errChecksum = errors.New("its checksum does not fit")

// unseal returns the payload of a value, as long as the transaction lives.
func unseal(t table, key, value []byte) ([]byte, error) {
	if len(value) < crc32.Size || binary.BigEndian.Uint32(value) != checksum(t, key, value[crc32.Size:]) {
		return nil, errChecksum
	}
	return value[crc32.Size:], nil
}

// message is a pointer to a T that is a protobuf message.
type message[T any] interface {
	*T
	proto.Message
}

// source is where payloads are read: the file, or a unit of work over it.
type source interface {
	// get returns the payload of a key, or nil if there is none. Damage is ErrDataLoss.
	get(t table, key []byte) ([]byte, error)
	// damaged returns the error for a record that does not hold what it should.
	damaged(t table, key []byte, how error) error
}

// load returns the message under a key, or nil if there is none.
func load[T any, M message[T]](s source, t table, key []byte) (M, error) {
	payload, err := s.get(t, key)
	if payload == nil || err != nil {
		return nil, err
	}
	return decode[T, M](s, t, key, payload)
}

// decode returns a new message with a payload.
func decode[T any, M message[T]](s source, t table, key, payload []byte) (M, error) {
	m := M(new(T))
	if err := proto.Unmarshal(payload, m); err != nil {
		return nil, s.damaged(t, key, err)
	}
	return m, nil
}

// file is one transaction of the file, read or write, and the buckets that it has looked up.
type file struct {
	tx      *bbolt.Tx
	index   *index // names workspaces
	buckets [tableCount]*bbolt.Bucket
	// cursors are those that get uses: bbolt's own Get makes one each time, which costs more than the search.
	cursors [tableCount]*bbolt.Cursor
}

// bucket returns a table's bucket.
func (f *file) bucket(t table) *bbolt.Bucket {
	if f.buckets[t] == nil {
		f.buckets[t] = f.tx.Bucket([]byte(tableNames[t]))
		if t == feedTable {
			f.buckets[t].FillPercent = feedFill
		}
	}
	return f.buckets[t]
}

func (f *file) get(t table, key []byte) ([]byte, error) {
	if f.cursors[t] == nil {
		f.cursors[t] = f.bucket(t).Cursor()
	}
	found, value := f.cursors[t].Seek(key)
	if !bytes.Equal(found, key) {
		return nil, nil
	}
	return f.unseal(t, key, value)
}

// unseal returns the payload of a value that a cursor found.
func (f *file) unseal(t table, key, value []byte) ([]byte, error) {
	payload, err := unseal(t, key, value)
	if err != nil {
		return nil, f.damaged(t, key, err)
	}
	return payload, nil
}

// put writes a message.
func (f *file) put(t table, key []byte, m proto.Message) error {
	value, err := sealMessage(t, key, m)
	if err != nil {
		return err
	}
	return f.bucket(t).Put(key, value)
}

func (f *file) putClock(last time.Time) error {
	return f.put(metaTable, clockKey, timestamppb.New(last))
}

func (f *file) damaged(t table, key []byte, how error) error {
	return fmt.Errorf("%w: %s: %w", store.ErrDataLoss, describe(t, key, f.index.name), how)
}

func notFound(what, id string) error {
	return fmt.Errorf("%w: %s %q", store.ErrNotFound, what, id)
}
