package memory

import (
	"context"
	"fmt"
	"maps"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// Update implements store.Updater. fn runs once, on the caller's goroutine; if it panics, nothing is kept and the panic
// goes on to the caller.
func (s *Store) Update(ctx context.Context, workspaceID string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	before, err := s.snapshot(ctx)
	if err != nil {
		return store.Result{}, err
	}
	next := before[workspaceID].copy()
	next.last = s.tick(next.last)
	next.forget()
	if seen, ok := next.once[once.Key()]; ok {
		return seen.replay(once)
	}
	t := &tx{workspaceID: workspaceID, workspace: next, before: before}
	receipt, err := fn(t)
	if err != nil {
		return store.Result{}, err
	}
	if err := next.remember(once, receipt); err != nil {
		return store.Result{}, err
	}
	err = s.commit(workspaceID, next)
	s.notify(t)
	if err != nil {
		return store.Result{}, err
	}
	return store.Result{Receipt: receipt}, nil
}

// Now implements store.Keeper.
func (s *Store) Now() time.Time { return s.options.Now().UTC().Truncate(time.Microsecond) }

// tick returns the time of a unit after one at last.
func (s *Store) tick(last time.Time) time.Time {
	now := s.Now()
	if earliest := last.Add(time.Microsecond); now.Before(earliest) {
		return earliest
	}
	return now
}

// commit puts a workspace in the place of what it was.
func (s *Store) commit(id string, next *workspace) error {
	for _, point := range []string{"before apply", "before commit"} {
		if err := s.fault(point); err != nil {
			return err
		}
	}
	s.mu.Lock()
	workspaces := copyMap(s.workspaces)
	workspaces[id] = next
	s.workspaces = workspaces
	s.mu.Unlock()
	return s.fault("after commit")
}

func (s *Store) fault(point string) error {
	if err := s.options.Fault(point); err != nil {
		return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, point, err)
	}
	return nil
}

// forget drops the request ids that have been remembered long enough.
func (w *workspace) forget() {
	maps.DeleteFunc(w.once, func(_ [16]byte, r remembered) bool {
		return store.Forgotten(r.time, w.last, r.forever)
	})
}

// remember keeps the receipt under the request id, if there are both.
func (w *workspace) remember(once store.Once, receipt *storev1.Receipt) error {
	if once.RequestID == "" || receipt == nil {
		return nil
	}
	b, err := encode(receipt)
	if err != nil {
		return err
	}
	w.once[once.Key()] = remembered{conversation: once.Conversation, body: once.Body, receipt: b, time: w.last, forever: once.Forever}
	return nil
}

// replay returns what the request id did the first time.
func (r remembered) replay(once store.Once) (store.Result, error) {
	if r.body != once.Body {
		return store.Result{}, fmt.Errorf("%w: %q", store.ErrRequestIDReused, once.RequestID)
	}
	receipt, err := decode[storev1.Receipt](r.receipt)
	if err != nil {
		return store.Result{}, err
	}
	return store.Result{Receipt: receipt, Replayed: true}, nil
}
