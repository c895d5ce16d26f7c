package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/protobuf/proto"
)

// What a group of units that share a commit does.

func nothing() error { return nil }

// gate opens a store whose writer is held inside a first unit until release, so that what is queued becomes one batch.
// commits counts the commits since.
func gate(t *testing.T, fail func() error) (st *bolt.Store, release func(queued int), commits *atomic.Int32) {
	t.Helper()
	st = mustOpen(t, tempFile(t), bolt.Options{})
	commits = new(atomic.Int32)
	bolt.SetHooks(st, nothing, func() error {
		commits.Add(1)
		return fail()
	}, nothing)
	held, inside := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		_ = update(t.Context(), st, func(tx store.Tx) error {
			close(inside)
			<-held
			return say(tx, "conv_first", "first", nil)
		})
	})
	<-inside
	return st, func(queued int) {
		for bolt.QueueLen(st) < queued {
			runtime.Gosched()
		}
		close(held)
		first.Wait()
	}, commits
}

// TestBatch puts units that fail in every way among others: they share one commit, and only the caller of each hears of it.
func TestBatch(t *testing.T) {
	t.Parallel()
	st, release, commits := gate(t, nothing)
	canceled, cancel := context.WithCancel(t.Context())
	errOwn := errors.New("fn's own")
	units := []struct {
		name string
		ctx  context.Context
		fn   func(store.Tx) error
		want func(err error, panicked any) bool
	}{
		{"good", t.Context(), nil, func(err error, p any) bool { return err == nil && p == nil }},
		{"failing", t.Context(), func(store.Tx) error { return errOwn }, func(err error, _ any) bool { return errors.Is(err, errOwn) }},
		{"panicking", t.Context(), func(store.Tx) error { panic(errOwn) }, func(_ error, p any) bool {
			err, ok := p.(error)
			return ok && errors.Is(err, errOwn) && strings.Contains(err.Error(), "TestBatch.func")
		}},
		{"ending its goroutine", t.Context(), func(store.Tx) error { runtime.Goexit(); return nil }, func(err error, p any) bool {
			return err != nil && p == nil
		}},
		{"canceled in the queue", canceled, nil, func(err error, _ any) bool { return errors.Is(err, context.Canceled) }},
		{"good as well", t.Context(), nil, func(err error, p any) bool { return err == nil && p == nil }},
	}
	var running sync.WaitGroup
	gaveUp := make(chan struct{})
	for i, u := range units {
		running.Go(func() {
			if u.ctx == canceled {
				defer close(gaveUp)
			}
			var panicked any
			var err error
			func() {
				defer func() { panicked = recover() }()
				err = update(u.ctx, st, func(tx store.Tx) error {
					if err := say(tx, fmt.Sprintf("conv_%03d", i), u.name, nil); err != nil {
						return err
					}
					if u.fn == nil {
						return nil
					}
					return u.fn(tx)
				})
			}()
			if !u.want(err, panicked) {
				t.Errorf("a unit %s got error %v, panic %v", u.name, err, panicked)
			}
		})
	}
	for bolt.QueueLen(st) < len(units) {
		runtime.Gosched()
	}
	cancel()
	<-gaveUp // before the writer comes to it
	release(len(units))
	running.Wait()
	if got := commits.Load(); got != 1 {
		t.Errorf("got %d commits, want one for all", got)
	}
	for i, u := range units {
		_, err := st.Conversation(t.Context(), workspace, fmt.Sprintf("conv_%03d", i))
		if good := strings.HasPrefix(u.name, "good"); good && err != nil || !good && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the conversation of a unit %s: %v", u.name, err)
		}
	}
	mustBeSound(t, st)
	furnish(t, st, 3) // the writer goes on
}

// TestBatchFails fails the commit that units share: even one that was refused hears only that, since what it was refused
// for did not happen.
func TestBatchFails(t *testing.T) {
	t.Parallel()
	failing := errors.New("input/output error")
	st, release, _ := gate(t, func() error { return failing })
	var running sync.WaitGroup
	errTaken := errors.New("somebody was faster")
	for range 3 {
		running.Go(func() {
			err := update(t.Context(), st, func(tx store.Tx) error {
				if _, err := tx.Conversation("conv"); err == nil {
					return errTaken
				}
				return say(tx, "conv", "text", nil)
			})
			if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, errTaken) {
				t.Errorf("got error %v, want ErrUnavailable alone", err)
			}
		})
	}
	release(3)
	running.Wait()
	if err := st.Ready(); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, failing) {
		t.Errorf("Ready after an I/O error: got %v, want it", err)
	}
	if err := update(t.Context(), st, func(store.Tx) error { t.Error("fn ran in a store that takes no writes"); return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Update after an I/O error: got %v, want ErrUnavailable", err)
	}
	if _, err := st.Conversation(t.Context(), workspace, "conv"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Conversation after an I/O error: got %v, want ErrNotFound", err)
	}
	if heads, _, err := st.List(t.Context(), workspace, store.Query{}, nil, 10); err != nil || len(heads) != 0 {
		t.Errorf("List after an I/O error: got %v, %v, want none", heads, err)
	}
}

// TestNothingUnsyncedIsRead holds a commit where the file has it and it is not acknowledged, as while its meta page is
// being synced: bbolt shows it already, and a power cut could take it back.
func TestNothingUnsyncedIsRead(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, 3)
	held, committed := make(chan struct{}), make(chan struct{})
	bolt.SetHooks(st, nothing, nothing, func() error {
		close(committed)
		<-held
		return nil
	})
	var running sync.WaitGroup
	running.Go(func() {
		mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_001", "not yet", nil) })
	})
	<-committed
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if head, err := st.Conversation(ctx, workspace, "conv_001"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("during the commit: got %v, %v, want to wait", head, err)
	}
	if _, err := st.Conversation(t.Context(), workspace, "conv_002"); err != nil { // which the commit does not change
		t.Errorf("during the commit, another conversation: %v", err)
	}
	if _, err := st.Agent(t.Context(), workspace, "agent_1"); err != nil {
		t.Errorf("during the commit, an agent: %v", err)
	}
	if _, _, err := st.List(ctx, workspace, store.Query{}, nil, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("during the commit, a list: got error %v, want to wait", err)
	}
	running.Go(func() {
		messages, err := st.Messages(t.Context(), workspace, "conv_001", store.Range{Limit: 1, Descending: true})
		if err != nil || messages[0].GetText() != "not yet" {
			t.Errorf("after the commit: got %v, %v", messages, err)
		}
	})
	close(held)
	running.Wait()
}

// TestRequestIDsAreForgotten lets request ids expire: appends drop them, so that their number is bounded.
func TestRequestIDsAreForgotten(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[time.Time]
	start := time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)
	now.Store(&start)
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{Now: func() time.Time { return *now.Load() }})
	const each = 60
	for day := range 4 {
		later := start.AddDate(0, 0, 2*day)
		now.Store(&later)
		for i := range each {
			for _, conversation := range []string{"conv", ""} {
				once := store.Once{RequestID: fmt.Sprintf("%d-%d", day, i), Conversation: conversation}
				_, err := st.Update(t.Context(), workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
					return &storev1.Receipt{}, say(tx, "conv", "text", nil)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	mustClose(t, st)
	remembered, file := make(map[string]int), mustRead(t, path)
	for _, at := range values(t, file) {
		switch {
		case at.table == "once":
			remembered[at.table]++
		case at.table == "conversation" && at.key[5+int(at.key[4])] == 0:
			var chunk storev1.OnceRecords
			if err := proto.Unmarshal(file[at.from[0]+4:at.from[0]+at.len], &chunk); err != nil {
				t.Fatal(err)
			}
			remembered[at.table] += len(chunk.GetRecords())
		}
	}
	for _, table := range []string{"once", "conversation"} {
		if got := remembered[table]; got < each || got > 2*each {
			t.Errorf("table %s remembers %d request ids, want the %d that have not expired, and not as many again", table, got, each)
		}
	}
}

// TestSeenCommitFails fails a commit when the file has it: nobody knows whether it is durable, but file and memory agree.
func TestSeenCommitFails(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, furnished)
	bolt.SetHooks(st, nothing, nothing, func() error { return errOnPurpose })
	err := update(t.Context(), st, func(tx store.Tx) error {
		return errors.Join(say(tx, "conv_001", "resolved", resolve), say(tx, "conv_new", "begun", nil))
	})
	if !errors.Is(err, store.ErrUnavailable) || st.Ready() == nil {
		t.Errorf("got error %v, and Ready %v, want ErrUnavailable twice", err, st.Ready())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	got := imageOf(ctx, st, furnished)
	mustBeSound(t, st)
	mustClose(t, st)
	if diff := imageOf(t.Context(), mustOpen(t, path, bolt.Options{}), furnished).diff(got); diff != nil {
		t.Errorf("the store reads otherwise when it is opened again: %q", diff)
	}
}
