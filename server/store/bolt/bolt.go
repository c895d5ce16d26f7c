// Package bolt keeps the store in one bbolt file, for one server process.
//
// # How it works
//
// The file holds what keys.go says. A conversation's head and the newest records of its log are neighbours, and there is
// one feed for each workspace, so that a unit of work dirties two or three pages, not one for every list that the
// conversation is in: those lists stand in memory (index.go), and only for conversations that are not RESOLVED. What is
// RESOLVED stands still, so the file's own indexes have it. A list merges the two (list.go).
//
// Units of work are committed in groups (commit.go). One goroutine takes units from a queue, runs each, and commits what
// they did in one bbolt transaction with one sync, while the next group gathers. A unit writes to a buffer (tx.go), which
// is added to the open transaction if its fn succeeds and dropped if not; so a unit that fails or panics leaves nothing
// and harms nobody. What later units of the group read, in the file and in memory, has what earlier ones did. The order
// is: commit the file, publish the memory, answer all. Nobody hears anything before the commit, a refusal neither: it may
// rest on what an earlier unit of the group did.
//
// Readers see the newest commit that is durable and nothing later. bbolt shows a commit already while its meta page is
// being synced; a reader that comes upon one waits until it is published (read.go). So each read is one instant of file
// and memory together, and nothing is ever shown that a power cut could take back.
//
// # What can go wrong
//
// Every value has a checksum; a record whose checksum does not fit is ErrDataLoss, and the rest of the store goes on. A
// damaged page of the B+tree makes bbolt panic or touch memory that is not there: that is ErrDataLoss too, and the store
// takes no more writes. When a commit fails, everyone in the group gets ErrUnavailable and memory stays what it was; the
// store then takes no writes until it is opened anew, since nobody knows what of the file is on the disk. A full disk is
// the exception: it is known to have left nothing, so that the next write that finds room simply succeeds.
//
// Transactions are short, whoever waits for what they read: bbolt frees no page that an open one can see. A backup copies
// a slice at a time, and what changed meanwhile again at the end (backup.go). What is redacted is gone from what the
// store reads and from later backups; freed bytes of the file go when it is compacted (compact.go).
package bolt

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/goodship/goodship/server/store"
)

// Store implements store.Store. Make one with Open.
type Store struct {
	db     *bbolt.DB
	log    *slog.Logger
	sealer *store.Sealer
	hooks  hooks

	// published is what readers see.
	published atomic.Pointer[published]
	// broken is why the store takes no writes until it is opened anew; full, why the last one failed.
	broken, full atomic.Pointer[error]
	// advised is how much was free when a compaction was last advised.
	advised atomic.Int64

	// queue is where units wait for the writer, and written is closed when it has ended.
	queue   chan *unit
	written chan struct{}

	// closing is closed when Close begins. calls counts those under way; none begins under the lock.
	closing chan struct{}
	mu      sync.RWMutex
	calls   sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// published is the state of the store as of one commit.
type published struct {
	index *index
	// next is closed when another state has been published.
	next chan struct{}
}

// hooks are asked at points of a commit, in tests; an error fails it there.
type hooks struct {
	beforeApply, beforeCommit, afterCommit func() error
}

func newStore(db *bbolt.DB, o Options, sealer *store.Sealer, ix *index, c *clock) *Store {
	nothing := func() error { return nil }
	s := &Store{
		db:      db,
		log:     o.Log,
		sealer:  sealer,
		hooks:   hooks{nothing, nothing, nothing},
		queue:   make(chan *unit, queueSize),
		written: make(chan struct{}),
		closing: make(chan struct{}),
	}
	s.publish(ix)
	w := &writer{store: s, clock: c, kept: c.last, tails: make(map[uint32]int64), changed: make(map[*changes]struct{})}
	go w.run()
	return s
}

// publish makes a state the one that readers see.
func (s *Store) publish(ix *index) {
	before := s.published.Swap(&published{index: ix, next: make(chan struct{})})
	if before != nil {
		close(before.next)
	}
}

// Ready implements store.Keeper.
func (s *Store) Ready() error {
	select {
	case <-s.closing:
		return errClosed
	default:
	}
	if err := s.broken.Load(); err != nil {
		return *err
	}
	if err := s.full.Load(); err != nil {
		return *err
	}
	return nil
}

// Sealer implements store.Keeper.
func (s *Store) Sealer() *store.Sealer { return s.sealer }

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// enter begins a call, which ends with s.calls.Done. After Close it returns errClosed.
func (s *Store) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	select {
	case <-s.closing:
		return errClosed
	default:
		s.calls.Add(1)
		return nil
	}
}

// Close implements store.Keeper. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.closing:
		s.mu.Unlock()
		return nil
	default:
		close(s.closing)
		s.mu.Unlock()
	}
	s.calls.Wait()
	close(s.queue)
	<-s.written
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("store/bolt: close: %w", err)
	}
	return nil
}

// breakDown stops writes for good: what is in the file cannot be trusted, or not what is on the disk.
func (s *Store) breakDown(cause error) {
	err := fmt.Errorf("%w: it takes no writes until it is opened anew: %w", store.ErrUnavailable, cause)
	if s.broken.CompareAndSwap(nil, &err) {
		s.log.Error("the store takes no writes until it is opened anew", "error", cause)
	}
}

// badPage is the error for a panic of bbolt's, or a fault, on a damaged page.
func badPage(p any) error {
	return fmt.Errorf("%w: a page is damaged: put a backup in the file's place: %v", store.ErrDataLoss, p)
}

// contain, deferred, turns a panic into an error and stops writes. With guardFaults it catches faults too.
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

// view calls read with the newest state that is durable. read must be short, and must not wait for anything.
func (s *Store) view(ctx context.Context, read func(*view) error) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	// A file that is cut off while it is open makes reads fault, which ends the process unless told otherwise.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer s.contain(&err)
	v, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	defer v.tx.Rollback() //nolint:errcheck // of a read transaction it never fails
	return read(v)
}

// snapshot begins a read of the newest state that is published.
func (s *Store) snapshot(ctx context.Context) (*view, error) {
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
		// A commit is in the file that is not published: it is being synced.
		if err := tx.Rollback(); err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		select {
		case <-state.next:
		case <-ctx.Done():
		}
	}
}
