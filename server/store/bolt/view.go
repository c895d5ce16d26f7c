package bolt

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"

	"github.com/goodship/goodship/server/store"
)

// badPage is the error for a panic of bbolt's, or a fault, on a damaged page.
func badPage(p any) error {
	return fmt.Errorf("%w: a page is damaged: put a backup in the file's place: %v", store.ErrDataLoss, p)
}

// contain, deferred, turns a panic into an error and stops writes. A fault panics only where SetPanicOnFault says so.
func (s *Store) contain(err *error) {
	if p := recover(); p != nil {
		*err = badPage(p)
		s.log.Error("reading the store failed", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		s.breakDown(*err)
	}
}

// view is a reader's file and memory at one instant.
type view struct {
	file
}

// part is the part of the store that a read is about: one conversation, the directory, a kind of object with what finds it, or
// everything.
type part struct {
	workspace, conversation string
	directory               bool
	kind                    byte
}

var (
	everything   = part{}
	theDirectory = part{directory: true}
)

// flight is a commit on its way to the disk: what it changes.
type flight struct {
	commit int
	// conversations are the prefixes of their keys.
	conversations map[string]struct{}
	directory     bool
	kinds         [math.MaxUint8 + 1]bool
}

// note notes a place that the commit changes.
func (f *flight) note(at place) {
	switch at.table {
	case directoryTable, secretTable:
		f.directory = true
	case objectTable:
		f.kinds[at.key[4]] = true
	case conversationTable:
		f.conversations[at.key[:5+int(at.key[4])]] = struct{}{}
	}
}

// changes says whether the commit changes anything of a part of the store.
func (f *flight) changes(p part, index *index) bool {
	switch {
	case p.directory:
		return f.directory
	case p.kind != 0:
		return f.kinds[p.kind]
	case p.conversation == "":
		return true
	}
	w := index.workspace(p.workspace)
	if w == nil {
		return false
	}
	_, changes := f.conversations[string(conversationPrefix(w.number, p.conversation))]
	return changes
}

// view calls read with the newest state that is durable, of a part of the store at least. read must be short, and must not
// wait for anything.
func (s *Store) view(ctx context.Context, p part, read func(*view) error) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	// A file that is cut off while it is open makes reads fault, which ends the process unless told otherwise.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer s.contain(&err)
	v, err := s.snapshot(ctx, p)
	if err != nil {
		return err
	}
	defer v.tx.Rollback() //nolint:errcheck // of a read transaction it never fails
	return read(v)
}

// snapshot begins a read of the newest state that is published. It waits for a commit that is in the file and not yet
// published, since it is being synced; but not if that changes nothing of what is to be read.
func (s *Store) snapshot(ctx context.Context, p part) (*view, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		state := s.published.Load()
		tx, err := s.db.Begin(false)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		if tx.ID() == state.index.commit {
			return &view{file{tx: tx, index: state.index}}, nil
		}
		if f := state.flight.Load(); f != nil && f.commit == tx.ID() && !f.changes(p, state.index) {
			return &view{file{tx: tx, index: state.index}}, nil
		}
		if err := tx.Rollback(); err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		select {
		case <-state.next:
		case <-ctx.Done():
		}
	}
}
