package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/google/uuid"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// layout is the version of the layout in keys.go.
const layout = 3

// firstTables is how many tables a file of layout 1 has. It lacks the others, and nothing else.
const firstTables = objectTable

func newMeta(requestKey []byte) *storev1.BoltStore {
	return &storev1.BoltStore{Layout: layout, Epoch: uuid.NewString(), SealingKey: store.NewKey(), RequestKey: requestKey}
}

// writeMeta writes what the file says of itself.
func writeMeta(db *bbolt.DB, about *storev1.BoltStore, last time.Time) error {
	return db.Update(func(tx *bbolt.Tx) error {
		f := &file{tx: tx}
		return errors.Join(f.put(metaTable, storeKey, about), f.putClock(last))
	})
}

// readMeta returns what the file says of itself, and the time of the newest unit.
func readMeta(db *bbolt.DB) (about *storev1.BoltStore, last time.Time, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		if !hasTables(tx, tableNames[:firstTables]) {
			return errors.New("it is another program's bbolt file, not a store: put the right file in its place")
		}
		f := &file{tx: tx, index: newIndex()}
		if about, err = load[storev1.BoltStore](f, metaTable, storeKey); err != nil {
			return err
		}
		if about.GetLayout() == 0 {
			return errors.New("it is no whole store: put the right file or a backup in its place")
		}
		if about.GetLayout() > layout {
			return fmt.Errorf("it has layout %d, and this server knows only up to %d: use the server that wrote it, or a newer one", about.GetLayout(), layout)
		}
		if about.GetLayout() > 1 && !hasTables(tx, tableNames[firstTables:]) {
			return errors.New("it lacks tables: put a backup in its place")
		}
		clock, err := load[timestamppb.Timestamp](f, metaTable, clockKey)
		last = clock.AsTime()
		return err
	})
	return about, last, err
}

// hasTables says whether a file has all of some tables.
func hasTables(tx *bbolt.Tx, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return tx.Bucket([]byte(name)) == nil })
}

// upgrade brings a file of an older layout to that of today, in one step. An older server refuses it from then on, since it would take
// what it does not know for damage. Layout 2 had an index of the erasures that run. Layouts 1 and 2 remembered request ids by hashes
// that anybody can make. They are all forgotten, credits' too: a call that is repeated over the upgrade takes effect again. Those that
// stand under their hash are dropped here. Those in conversations match nothing any more, and stay until they have expired and an
// append with a request id, or Compact, drops them.
func upgrade(db *bbolt.DB, about *storev1.BoltStore) error {
	if about.GetLayout() == layout {
		return nil
	}
	about.Layout, about.RequestKey = layout, store.NewKey()
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range tableNames[firstTables:] {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		f := &file{tx: tx, index: newIndex()}
		if err := errors.Join(f.dropRunning(), tx.DeleteBucket([]byte(tableNames[onceTable]))); err != nil {
			return err
		}
		_, err := tx.CreateBucket([]byte(tableNames[onceTable]))
		return errors.Join(err, f.put(metaTable, storeKey, about))
	})
}

// dropRunning removes layout 2's index of the erasures that run.
func (f *file) dropRunning() error {
	const runningKind = 'u'
	return f.bucket(workspaceTable).ForEach(func(id, value []byte) error {
		payload, err := f.unseal(workspaceTable, id, value)
		if err != nil {
			return err
		}
		cursor, prefix := f.bucket(objectTable).Cursor(), objectKey(binary.BigEndian.Uint32(payload), runningKind, "")
		for key, _ := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = cursor.Seek(prefix) {
			if err := cursor.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}
