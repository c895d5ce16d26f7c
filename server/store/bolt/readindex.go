package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"go.etcd.io/bbolt"
)

const (
	// headReaders is how many goroutines read heads when a store is opened: more than processors, since the heads lie all
	// over the file, and it is the disk that is waited for if the file is not in memory.
	headReaders = 16
	// headSlice is how many heads one reads at a time.
	headSlice = 500
)

// openConversation is an entry of the table open.
type openConversation struct {
	workspace *workspace
	id        string
}

// readIndex reads what memory holds. It reads the heads of the conversations in the table open, and no others. If one is
// damaged there is no index: a list without it would be wrong. Nobody may write to the file meanwhile.
func readIndex(db *bbolt.DB) (*index, error) {
	ix := newIndex()
	var open []openConversation
	err := db.View(func(tx *bbolt.Tx) error {
		ix.commit = tx.ID()
		f := &file{tx: tx, index: ix}
		workspaces, err := f.readWorkspaces(ix)
		if err == nil {
			open, err = f.readOpen(workspaces)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	entries, err := readHeads(db, ix, open)
	if err != nil {
		return nil, err
	}
	ix.load(entries)
	return ix, nil
}

// readHeads reads the heads of conversations, several at a time.
func readHeads(db *bbolt.DB, ix *index, open []openConversation) ([]*entry, error) {
	entries := make([]*entry, len(open))
	var next atomic.Int64
	var failed [headReaders]error
	var readers sync.WaitGroup
	for reader := range failed {
		readers.Go(func() {
			for failed[reader] == nil {
				to := int(next.Add(headSlice))
				from := to - headSlice
				if to = min(to, len(open)); from >= to {
					return
				}
				failed[reader] = readSlice(db, ix, open[from:to], entries[from:to])
			}
		})
	}
	readers.Wait()
	return entries, errors.Join(failed[:]...)
}

// readWorkspaces adds all workspaces to an index, and returns them by number.
func (f *file) readWorkspaces(ix *index) (map[uint32]*workspace, error) {
	byNumber := make(map[uint32]*workspace)
	return byNumber, f.bucket(workspaceTable).ForEach(func(key, value []byte) error {
		payload, err := f.unseal(workspaceTable, key, value)
		if err != nil {
			return err
		}
		if len(payload) != 4 {
			return f.damaged(workspaceTable, key, errKey)
		}
		w := &workspace{id: string(key), number: binary.BigEndian.Uint32(payload)}
		byNumber[w.number] = w
		ix.addWorkspace(w)
		return nil
	})
}

// readOpen returns what the table open lists.
func (f *file) readOpen(workspaces map[uint32]*workspace) (all []openConversation, err error) {
	err = f.bucket(openTable).ForEach(func(key, value []byte) error {
		if _, err := f.unseal(openTable, key, value); err != nil {
			return err
		}
		if len(key) < 5 {
			return f.damaged(openTable, key, errKey)
		}
		w := workspaces[binary.BigEndian.Uint32(key)]
		if w == nil {
			return f.damaged(openTable, key, errMissing)
		}
		all = append(all, openConversation{w, string(key[4:])})
		return nil
	})
	return all, err
}

// readSlice reads the heads of some conversations.
func readSlice(db *bbolt.DB, ix *index, open []openConversation, entries []*entry) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = badPage(p)
		}
	}()
	return db.View(func(tx *bbolt.Tx) error {
		f := &file{tx: tx, index: ix}
		var key []byte
		for i, c := range open {
			key = append(appendConversation(key[:0], c.workspace.number, c.id), headKind)
			head, err := load[storev1.Head](f, conversationTable, key)
			if err != nil {
				return err
			}
			if head == nil {
				return f.damaged(conversationTable, bytes.Clone(key), errMissing)
			}
			entries[i] = newEntry(c.workspace, head)
		}
		return nil
	})
}
