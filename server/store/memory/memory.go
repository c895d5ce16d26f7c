// Package memory is the reference engine of package store: what the other engines are compared with, and a store for
// tests that need no disk. It forgets everything when the process ends.
//
// It is made to be seen to be right, not to be fast. All that is kept of a workspace is one value that never changes
// once it is in the store. A unit works on a copy; if it succeeds, the copy takes the value's place by one assignment,
// which is the commit, and if it does not, the copy is dropped. So a reader sees a workspace between two units, never
// inside one, and a list is what it says: a full scan, filtered and sorted. What is kept are encoded messages, so that
// what is handed out is a copy whatever a caller does with it.
package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/goodship/goodship/server/store"
	"github.com/google/uuid"
)

// Options say how a store is made. The zero value works.
type Options struct {
	// Now tells the time; time.Now by default. It may jump: units' times do not.
	Now func() time.Time
	// Fault, if set, is asked in every unit whose fn returned nil, at "before apply", "before commit" and
	// "after commit". An error fails the unit there: its caller gets store.ErrUnavailable, and what it did is kept only
	// after the commit.
	Fault func(point string) error
}

// Store implements store.Store. Make one with New.
type Store struct {
	options Options
	sealer  *store.Sealer

	// writer is held by the one unit that runs; mu only to look at or replace what follows.
	writer sync.Mutex
	mu     sync.Mutex
	closed bool
	// workspaces are by id. Neither the map nor what it holds is ever changed, only replaced.
	workspaces map[string]*workspace
	// listeners are told of each commit. They belong to who holds writer.
	listeners []*listener
}

var _ store.Store = (*Store)(nil)

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// New returns an empty store.
func New(options Options) *Store { return newStore(options, store.NewKey()) }

func newStore(options Options, requestKey []byte) *Store {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Fault == nil {
		options.Fault = func(string) error { return nil }
	}
	sealer, err := store.NewSealer(store.NewKey(), requestKey, uuid.NewString())
	if err != nil {
		panic(err) // the keys have the right size
	}
	return &Store{options: options, sealer: sealer, workspaces: make(map[string]*workspace)}
}

// Reopen closes the store and returns one with the same data, key and epoch: what a restart is to an engine on disk.
func (s *Store) Reopen() *Store {
	_ = s.Close() // it never fails
	return &Store{options: s.options, sealer: s.sealer, workspaces: s.workspaces}
}

// Ready implements store.Keeper.
func (s *Store) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	return nil
}

// Sealer implements store.Keeper.
func (s *Store) Sealer() *store.Sealer { return s.sealer }

// Close implements store.Keeper. It always returns nil.
func (s *Store) Close() error {
	s.writer.Lock() // until the unit under way is finished
	defer s.writer.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// snapshot returns all workspaces as they are now, for reading.
func (s *Store) snapshot(ctx context.Context) (map[string]*workspace, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	return s.workspaces, nil
}

// workspace returns one as it is now, for reading. One that nobody wrote to is empty.
func (s *Store) workspace(ctx context.Context, id string) (*workspace, error) {
	all, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if w := all[id]; w != nil {
		return w, nil
	}
	return &workspace{}, nil
}
