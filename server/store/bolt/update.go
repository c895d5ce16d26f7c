package bolt

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"go.etcd.io/bbolt"
)

// queueSize is how many units can wait for the writer before their callers wait to queue.
const queueSize = 4096

// unit is a call of Update on its way through the writer.
type unit struct {
	ctx       context.Context
	workspace string
	once      store.Once
	fn        func(store.Tx) (*storev1.Receipt, error)
	// between runs between two batches, instead of fn.
	between func(*writer)

	// watch is nil if nobody looks.
	watch *watch

	// taken is set by the writer, or by a caller who gives up before it.
	taken atomic.Bool
	// done is closed when what follows is final.
	done     chan struct{}
	result   store.Result
	err      error
	panicked *panicked
}

// panicked is a panic of a unit's fn on its way to the caller's goroutine.
type panicked struct {
	value any
	stack []byte
}

// Error returns what fn panicked with, and where.
func (p *panicked) Error() string { return fmt.Sprintf("%v\n\nfn's stack:\n%s", p.value, p.stack) }

// Unwrap returns what fn panicked with, if that is an error.
func (p *panicked) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// Update implements store.Updater. fn runs once, on the writer's goroutine; if it panics, Update does, with an error that
// holds the value and the stack.
func (s *Store) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	if err := checkID("workspace", workspace); err != nil {
		return store.Result{}, err
	}
	if once.Conversation != "" {
		if err := checkID("conversation", once.Conversation); err != nil {
			return store.Result{}, err
		}
	}
	u := &unit{ctx: ctx, workspace: workspace, once: once, fn: fn, watch: s.watch(ctx), done: make(chan struct{})}
	if err := s.submit(u); err != nil {
		return store.Result{}, err
	}
	s.tell(u)
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.result, u.err
}

// submit queues a unit and waits until it is done. It returns an error if the unit did not begin.
func (s *Store) submit(u *unit) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if err := s.broken.Load(); err != nil && u.fn != nil {
		return *err
	}
	if u.fn != nil {
		s.prefetch(u)
	}
	select {
	case s.queue <- u:
	case <-u.ctx.Done():
		return u.ctx.Err()
	}
	select {
	case <-u.done:
	case <-u.ctx.Done():
		if u.taken.CompareAndSwap(false, true) {
			return u.ctx.Err()
		}
		<-u.done // it has begun, and its caller learns how it ends
	}
	return nil
}

// prefetch touches the pages that a unit will need, so that they are read from the disk here and not in the writer, where
// everybody waits. What it finds, and whether, does not matter.
func (s *Store) prefetch(u *unit) {
	w := s.published.Load().index.workspace(u.workspace)
	if u.once.Conversation == "" || w == nil {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var err error
	defer s.contain(&err)
	err = s.db.View(func(tx *bbolt.Tx) error {
		f := file{tx: tx}
		conversation := conversationPrefix(w.number, u.once.Conversation)
		f.bucket(conversationTable).Get(headKey(conversation))
		f.bucket(conversationTable).Get(chunkKey(conversation, 0))
		return nil
	})
}
