package bolt_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestHintsOfABatch has units share a commit, which succeeds or fails: each conversation is hinted at once, with when it is
// due by the last of its units, before anybody is answered.
func TestHintsOfABatch(t *testing.T) {
	t.Parallel()
	const callers, conversations = 12, 4
	start := time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)
	for _, failing := range []error{nil, errOnPurpose} {
		st := mustOpen(t, tempFile(t), bolt.Options{})
		bolt.SetHooks(st, nothing, func() error { return failing }, nothing)
		var mu sync.Mutex
		heard, newest, answered := make(map[string]time.Time), make(map[string]time.Time), 0
		stop := st.Notify(func(h store.Hint) {
			mu.Lock()
			defer mu.Unlock()
			if _, again := heard[h.ConversationID]; again || answered > 0 || h.CustomerKey != "key of "+h.ConversationID {
				t.Errorf("hint %+v came a second time (%v), or after %d answers, or is of another's", h, again, answered)
			}
			heard[h.ConversationID] = h.Due
		})
		inside, held := make(chan struct{}), make(chan struct{})
		var running sync.WaitGroup
		running.Go(func() { _ = update(t.Context(), st, func(store.Tx) error { close(inside); <-held; return nil }) })
		<-inside
		for i := range callers {
			running.Go(func() {
				id, due := fmt.Sprint("conv_", i%conversations), start.Add(time.Duration(i)*time.Second)
				err := update(t.Context(), st, func(tx store.Tx) error {
					newest[id] = due // on the writer
					return say(tx, id, "text", func(c *store.Change) { c.Head.DueTime = timestamppb.New(due) })
				})
				mu.Lock()
				defer mu.Unlock()
				if answered++; (err == nil) != (failing == nil) || failing != nil && !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("Update: got %v, want %v", err, failing)
				}
			})
		}
		for bolt.QueueLen(st) < callers {
			runtime.Gosched()
		}
		close(held)
		running.Wait()
		for id, due := range newest {
			if !heard[id].Equal(due) {
				t.Errorf("got a hint that %s is due %v, want %v", id, heard[id], due)
			}
		}
		if len(heard) != conversations {
			t.Errorf("got hints of %d conversations, want %d", len(heard), conversations)
		}
		stop()
		mustClose(t, st)
	}
}
