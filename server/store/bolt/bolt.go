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
// is: commit the file, publish the memory, give the hints, answer all. Nobody hears anything before the commit, a refusal neither: it may
// rest on what an earlier unit of the group did.
//
// Readers see the newest commit that is durable and nothing later. bbolt shows a commit already while its meta page is
// being synced; a reader that comes upon one waits until it is published, unless it changes nothing of what is read
// (view.go). So each read is one instant of file and memory together, and shows nothing that a power cut could take back.
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
// a slice at a time, and what changed meanwhile again at the end (backup.go). What is redacted or removed is gone from what
// the store reads and from later backups; freed bytes of the file go when it is compacted (compact.go).
package bolt

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/goodship/goodship/server/store"
	"go.etcd.io/bbolt"
)

// Store implements store.Store. Make one with Open.
type Store struct {
	db     *bbolt.DB
	log    *slog.Logger
	sealer *store.Sealer
	clock  *clock
	hooks  Hooks
	// metrics are nil if nothing is measured.
	metrics *metrics

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
	// flight is the commit that follows, from when the file may show it.
	flight atomic.Pointer[flight]
	// next is closed when another state has been published.
	next chan struct{}
}

// Hooks are asked at points of a commit, by the writer, which waits for them; an error fails the commit there. nil asks nobody.
type Hooks struct {
	// BeforeApply is asked when a unit's fn has returned nil and nothing of it is written.
	BeforeApply func() error
	// BeforeCommit is asked when all of a commit is written and none of it is durable.
	BeforeCommit func() error
	// AfterCommit is asked when it is durable and nobody has heard of it.
	AfterCommit func() error
}

// ask asks a hook.
func ask(hook func() error) error {
	if hook == nil {
		return nil
	}
	return hook()
}

func newStore(db *bbolt.DB, o Options, sealer *store.Sealer, ix *index, c *clock, m *metrics) *Store {
	s := &Store{
		db:      db,
		log:     o.Log,
		sealer:  sealer,
		clock:   c,
		hooks:   o.Hooks,
		metrics: m,
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
