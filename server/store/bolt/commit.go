package bolt

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	// batchUnits and batchBytes bound a batch, so that its commit takes no longer than a reader may wait.
	batchUnits = 1024
	batchBytes = 16 << 20
	// linger is how long a batch waits for units at most, and only if the one before had more: callers that were answered
	// together come back together, a little apart. Without it they split into two groups that take turns.
	linger = 50 * time.Microsecond
	// mostYields bounds it too.
	mostYields = 10_000
	// adviseEvery is after how many commits it is looked whether the file should be compacted.
	adviseEvery = 10_000
)

// writer runs units and commits them. All of it belongs to one goroutine.
type writer struct {
	store *Store
	clock *clock
	// kept is the newest time that the file has.
	kept time.Time
	// batch is the one that is gathered now.
	batch *batch
	// last is how many units the batch before had.
	last int
	// tails are the last positions in the feeds of those workspaces that were written to.
	tails map[uint32]int64
	// changed are what running backups are told of.
	changed map[*changes]struct{}
	// listeners are told of each commit.
	listeners []*listener
	// commits counts the commits.
	commits int
}

// run takes units until the queue is closed.
func (w *writer) run() {
	finished := false
	defer func() {
		if finished {
			close(w.store.written)
			return
		}
		// A fn ended the goroutine that it ran on, as testing's FailNow does. The batch goes on in another.
		go w.run()
	}()
	debug.SetPanicOnFault(true)
	if w.batch != nil {
		w.finish()
	}
	for u := range w.store.queue {
		w.take(u)
	}
	w.keepTime()
	finished = true
}

// keepTime writes down the time of the newest unit, if that unit wrote nothing itself.
func (w *writer) keepTime() {
	if w.store.broken.Load() != nil || w.clock.last.Equal(w.kept) {
		return
	}
	var err error
	defer w.store.contain(&err)
	err = w.store.db.Update(func(tx *bbolt.Tx) error {
		f := &file{tx: tx}
		return f.putClock(w.clock.last)
	})
	if err != nil {
		w.store.log.Warn("the time of the newest unit could not be kept", "error", err)
	}
}

// take begins a batch with a unit, or runs it between two.
func (w *writer) take(u *unit) {
	if u.between != nil {
		w.between(u)
		return
	}
	w.batch = &batch{}
	w.execute(u)
	w.finish()
}

// finish gathers what else there is for the batch, and commits it.
func (w *writer) finish() {
	after := w.gather()
	w.commit()
	if after != nil {
		w.between(after)
	}
}

func (w *writer) between(u *unit) {
	if u.taken.CompareAndSwap(false, true) {
		u.between(w)
		close(u.done)
	}
}

// gather runs what is queued. It returns a unit that must wait for the commit.
func (w *writer) gather() *unit {
	patience := linger
	for len(w.batch.units) < batchUnits && w.batch.bytes < batchBytes && w.batch.err == nil {
		select {
		case u, ok := <-w.store.queue:
			if !ok {
				return nil
			}
			if u.between != nil {
				return u
			}
			w.execute(u)
		default:
			if patience = w.wait(patience); patience <= 0 {
				return nil
			}
		}
	}
	return nil
}

// wait waits for a unit if more are likely to come, and returns what is left of its patience.
func (w *writer) wait(patience time.Duration) time.Duration {
	start := time.Now()
	for range mostYields { // a clock that stands still, as one of a test, must not hold the writer
		if len(w.store.queue) > 0 {
			return patience - time.Since(start)
		}
		if len(w.batch.units) >= w.last || time.Since(start) >= patience {
			return 0
		}
		runtime.Gosched() // a timer would take longer than all of it
	}
	return 0
}

// execute runs a unit and adds what it did to the batch.
func (w *writer) execute(u *unit) {
	if !u.taken.CompareAndSwap(false, true) {
		return
	}
	u.watch.begin()
	defer u.watch.apply()
	w.batch.units = append(w.batch.units, u)
	if u.err = u.ctx.Err(); u.err != nil {
		return
	}
	if err := w.store.broken.Load(); err != nil {
		u.err = *err
		return
	}
	if w.batch.err = w.begin(); w.batch.err != nil {
		return
	}
	t := newTx(w.batch, u.workspace, w.clock.tick())
	if u.result, u.err = w.do(u, t); u.err == nil && w.batch.err == nil && !u.result.Replayed {
		w.batch.err = w.apply(t)
	}
}

// begin begins the batch's transaction, once.
func (w *writer) begin() error {
	b := w.batch
	if b.tx != nil {
		return nil
	}
	tx, err := w.store.db.Begin(true)
	if err != nil {
		return err
	}
	index := w.store.published.Load().index.copy()
	index.commit = tx.ID()
	b.file, b.tails, b.known = file{tx: tx, index: index}, make(map[uint32]int64), w.tails
	return nil
}

// do runs a unit's fn, unless its request id is remembered.
func (w *writer) do(u *unit, t *tx) (result store.Result, err error) {
	if seen, err := t.remembered(u.once); seen != nil || err != nil {
		return store.Result{Receipt: seen, Replayed: seen != nil}, err
	}
	receipt, err := w.call(u, t)
	if err != nil {
		return store.Result{}, err
	}
	if err := t.remember(u.once, receipt); err != nil {
		return store.Result{}, err
	}
	return store.Result{Receipt: receipt}, nil
}

var errEnded = errors.New("store/bolt: fn ended its goroutine")

// call calls a unit's fn. A panic is kept for the caller.
func (w *writer) call(u *unit, t *tx) (receipt *storev1.Receipt, err error) {
	returned := false
	u.err = errEnded // what stays if fn ends this goroutine
	defer func() {
		if p := recover(); p != nil && !returned {
			u.panicked = &panicked{p, debug.Stack()}
			err = errEnded
		}
	}()
	receipt, err = u.fn(t)
	returned = true
	return receipt, err
}

// apply adds what a unit did to the batch. An error means that the batch is spoiled.
func (w *writer) apply(t *tx) (err error) {
	defer w.store.contain(&err)
	if err := ask(w.store.hooks.BeforeApply); err != nil {
		return err
	}
	for changed := range w.changed {
		changed.add(t)
	}
	if len(w.listeners) > 0 {
		w.batch.hints.add(t)
	}
	return w.batch.add(t)
}

// commit makes the batch durable and answers its units.
func (w *writer) commit() {
	b := w.batch
	w.batch, w.last = nil, len(b.units)
	watch := b.watch()
	if b.err == nil && b.tx != nil {
		b.err = w.commitFile(b)
	}
	watch.end(b)
	switch {
	case b.err != nil:
		w.fail(b)
	case b.flight != nil:
		maps.Copy(w.tails, b.tails)
		w.store.publish(b.index)
		w.recovered()
	}
	w.notify(b)
	for _, u := range b.units {
		close(u.done)
	}
	w.store.metrics.committed(b, watch)
	if w.commits++; w.commits%adviseEvery == 0 {
		w.store.adviseCompaction()
	}
}

// commitFile commits the batch's transaction, if it changed anything.
func (w *writer) commitFile(b *batch) (err error) {
	defer w.store.contain(&err)
	if err := ask(w.store.hooks.BeforeCommit); err != nil {
		return err
	}
	if b.flight == nil {
		return b.tx.Rollback()
	}
	if err := b.putClock(w.clock.last); err != nil {
		return err
	}
	b.flight.commit = b.tx.ID()
	w.store.published.Load().flight.Store(b.flight)
	// Memory follows while the disk is waited for.
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		b.settle()
	}()
	defer func() { <-settled }()
	if err := b.tx.Commit(); err != nil {
		return err
	}
	w.kept = w.clock.last
	return ask(w.store.hooks.AfterCommit)
}

// fail ends a batch whose commit failed. Whatever its units were to hear, it may rest on what did not happen.
func (w *writer) fail(b *batch) {
	s := w.store
	if b.tx != nil {
		w.rollback(b)
	}
	err := fmt.Errorf("%w: %w", store.ErrUnavailable, b.err)
	if moved := w.reread(); noRoom(b.err) && !moved {
		// The transaction was undone as a whole, and so will be the next, or it will find room.
		err = fmt.Errorf("%w: %w", store.ErrFull, b.err)
		if s.full.Swap(&err) == nil {
			s.log.Error("there is no room to write: writes are refused until there is", "error", b.err)
		}
	} else {
		s.breakDown(b.err)
	}
	for _, u := range b.units {
		u.result, u.err = store.Result{}, err
	}
}

// rollback undoes the batch's transaction. After a panic inside of bbolt it may panic again.
func (w *writer) rollback(b *batch) {
	var err error
	defer w.store.contain(&err)
	if err = b.tx.Rollback(); err != nil && !errors.Is(err, bbolterrors.ErrTxClosed) {
		w.store.log.Error("rolling back failed", "error", err)
	}
}

// reread says whether the file shows more than what is published, after a commit that failed: the commit may have reached
// the file before it did. Nobody knows whether it is durable, but it is what reads see, so memory must agree with it.
func (w *writer) reread() (moved bool) {
	s, current := w.store, w.store.published.Load().index
	var err error
	defer s.contain(&err)
	shown := current.commit
	err = s.db.View(func(tx *bbolt.Tx) error {
		shown = tx.ID()
		return nil
	})
	if err != nil || shown == current.commit {
		return false
	}
	index, err := readIndex(s.db)
	if err != nil {
		s.log.Error("the index could not be read again: lists may lack what was written last", "error", err)
		index = current.copy()
		index.commit = shown // or no reader would ever find it
	}
	s.publish(index)
	return true
}

// noRoom says whether a commit failed for want of room, on the disk or under Options.MaxSize.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, bbolterrors.ErrMaxSizeReached) ||
		strings.Contains(err.Error(), syscall.ENOSPC.Error()) // where bbolt wraps with %s
}

// recovered ends a time without room.
func (w *writer) recovered() {
	if w.store.full.Swap(nil) != nil {
		w.store.log.Info("there is room to write again")
	}
}
