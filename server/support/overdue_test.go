package support_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/types/known/durationpb"
)

// troubled is a store that counts units, and has trouble when it is told to.
type troubled struct {
	store.Store
	units atomic.Int64
	// alone lets units run one at a time: where time stands still, the writer would wait for ever for more that share a commit.
	alone sync.Mutex
	// slow, if set, happens in every unit.
	slow atomic.Pointer[func()]
	// refuses is what every unit fails with; damaged, a conversation that nobody can read.
	refuses atomic.Pointer[error]
	damaged atomic.Pointer[string]
	// lost is the agent whose record cannot be read; or "workspace".
	lost atomic.Pointer[string]
	// onRead and onFeed, if set, happen before each reading of a head outside units, and after each of a feed.
	onRead, onFeed atomic.Pointer[func()]
}

func (s *troubled) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	s.units.Add(1)
	if slow := s.slow.Load(); slow != nil {
		(*slow)()
	}
	if err := s.refuses.Load(); err != nil {
		return store.Result{}, *err
	}
	s.alone.Lock()
	defer s.alone.Unlock()
	return s.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		return fn(troubledTx{tx, s})
	})
}

type troubledTx struct {
	store.Tx
	store *troubled
}

func (tx troubledTx) Conversation(id string) (*storev1.Head, error) {
	switch damaged := tx.store.damaged.Load(); {
	case damaged == nil || *damaged != id && *damaged != "panic "+id:
		return tx.Tx.Conversation(id)
	case *damaged != id:
		panic("a bug of ours")
	}
	return nil, fmt.Errorf("%w: the head", store.ErrDataLoss)
}

// journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// says returns how many records have a sentence.
func (j *journal) says(sentence string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), sentence)
}

// newTroubled returns a world that has started, on a store that can have trouble.
func newTroubled(t *testing.T) (*timed, *troubled, *journal) {
	t.Helper()
	clock, log, s := faketime.New(), &journal{}, &troubled{}
	s.Store = openStore(t, clock.Now)
	w := &timed{how: support.Options{Clock: clock, Log: slog.New(slog.NewTextHandler(log, nil))}}
	w.world = foundWorld(t, clock, s)
	w.starts()
	return w, s, log
}

// TestTimeGoesOnBesideADamagedConversation has time fail on one conversation, in each way: the others are served in time, that one
// is tried every minute, and the log tells of it once.
func TestTimeGoesOnBesideADamagedConversation(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "panic "} {
		t.Run(kind+"damaged", func(t *testing.T) {
			t.Parallel()
			w, s, log := newTroubled(t)
			bad, good := w.opens(kim, "Hello?"), w.opens(lou, "Hello?")
			damaged := kind + bad
			s.damaged.Store(&damaged)
			w.sleepsUntil(w.due(bad))
			w.clock.Jump(w.due(good).Sub(w.clock.Now()))
			w.until("the other", func() bool { return first(w.count(good, "promise_at_risk")) == 1 })
			at := w.clock.Now()
			w.sleepsUntil(at.Add(time.Minute)) // both the other's due time and the next try
			for range 3 {
				before := s.units.Load()
				w.clock.Jump(time.Minute)
				w.sleepsUntil(w.clock.Now().Add(time.Minute))
				if tries := s.units.Load() - before; tries < 1 || tries > 2 {
					t.Errorf("units in a minute: got %d, want the try, and the other's promise once", tries)
				}
			}
			equal(t, "the other's promises broken", first(w.count(good, "promise_broken")), 1)
			equal(t, "records of it in the log", log.says("time cannot act"), 1)
			equal(t, "what it is about", log.says(bad) >= 1, true)
			s.damaged.Store(nil)
			w.clock.Jump(time.Minute)
			w.until("the damaged one", func() bool { return first(w.count(bad, "promise_broken")) == 1 })
			equal(t, "promises at risk", first(w.count(bad, "promise_at_risk")), 1)
		})
	}
}

func first[A, B any](a A, _ B) A { return a }

// TestTimeWaitsForAStoreThatRefuses has the store refuse all writes for a while: it is asked less and less often, the log
// tells of it once, and then everything that fell due is done as of then.
func TestTimeWaitsForAStoreThatRefuses(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{store.ErrFull, store.ErrUnavailable} {
		t.Run(refusal.Error(), func(t *testing.T) {
			t.Parallel()
			w, s, log := newTroubled(t)
			id := w.opens(kim, "Hello?")
			due := w.due(id)
			w.sleepsUntil(due)
			s.refuses.Store(&refusal)
			before, pause := s.units.Load(), time.Second
			w.clock.Jump(due.Sub(w.clock.Now()))
			for range 10 {
				w.sleepsUntil(w.clock.Now().Add(pause))
				w.clock.Jump(pause)
				pause = min(2*pause, time.Minute)
			}
			w.sleepsUntil(w.clock.Now().Add(pause))
			equal(t, "tries in some minutes", s.units.Load()-before, 11)
			equal(t, "records in the log", log.says("level=ERROR"), 1)
			equal(t, "promises at risk", first(w.count(id, "promise_at_risk")), 0)
			s.refuses.Store(nil)
			w.clock.Jump(pause)
			w.until("the promise", func() bool { return first(w.count(id, "promise_broken")) == 1 })
			_, at := w.count(id, "promise_at_risk")
			equal(t, "time of the promise at risk", at, due)
			w.sleepsUntil(w.due(w.opens(lou, "Hello?")))
			equal(t, "records of its end", log.says("time acts again"), 1)
		})
	}
}

// TestAStartWithAStoreThatRefuses starts all the same: reads can be served.
func TestAStartWithAStoreThatRefuses(t *testing.T) {
	t.Parallel()
	w, s, log := newTroubled(t)
	id := w.opens(kim, "Hello?")
	w.Close()
	w.clock.Jump(time.Hour)
	full := store.ErrFull
	s.refuses.Store(&full)
	w.starts()
	w.sleepsUntil(w.clock.Now().Add(time.Second))
	equal(t, "records of much that fell due", log.says("more fell due"), 0)
	s.refuses.Store(nil)
	w.clock.Jump(time.Second)
	w.until("the promise", func() bool { return first(w.count(id, "promise_broken")) == 1 })
}

// TestAStartThatIsBrokenOff ends with the context, and leaves nothing running.
func TestAStartThatIsBrokenOff(t *testing.T) {
	t.Parallel()
	w, _, _ := newTroubled(t)
	w.opens(kim, "Hello?")
	w.Close()
	w.clock.Jump(time.Hour)
	svc, err := support.New(w.store, w.how)
	if err != nil {
		t.Fatal(err)
	}
	defer svc.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := svc.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("start under a context that is done: got %v, want its error", err)
	}
}

// furnish opens many conversations at once, all by one customer.
func (w *timed) furnish(count int) []string {
	w.t.Helper()
	customer, err := w.store.Customer(w.t.Context(), w.workspace, kim.id())
	if err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for range count {
		ids = append(ids, fmt.Sprintf("conv_%026d", len(ids)))
	}
	const batch = 1000
	for from := 0; from < count; from += batch {
		_, err := w.store.Update(w.t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			settings, err := tx.Workspace()
			if err != nil {
				return nil, err
			}
			for _, id := range ids[from:min(from+batch, count)] {
				c := rules.On(&storev1.Head{CustomerKey: customer.Key, Conversation: &goodshipv1.Conversation{Id: id}}, rules.Situation{
					Now: tx.Now(), Actor: rules.Actor{Kind: goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER}, Settings: settings.Workspace,
				})
				if err := c.Open(rules.Content{Text: "Hello?"}, 0); err != nil {
					return nil, err
				}
				record := &storev1.Record{Events: c.Events, Message: c.Message, MessageCount: 1}
				if err := tx.Append(store.Change{Head: c.Head, Record: record}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return ids
}

// overdue returns how many promises should have been broken and are not.
func (w *timed) overdue() int {
	w.t.Helper()
	due, err := w.store.NextDue(w.t.Context(), nil, everything)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, d := range due {
		if !d.Time.After(w.store.Now()) {
			n++
		}
	}
	return n
}

// TestManyOverdue starts after 100,000 promises fell due: a thousand are broken before calls are let in, the rest at the rate that
// was set. Live calls are served beside them, new promises are watched in time, and no promise is broken twice.
func TestManyOverdue(t *testing.T) {
	count := 100_000
	if raceDetector || testing.Short() {
		count = 10_000
	}
	const perSecond, atStart = 10_000, 1000
	clock := faketime.New()
	kept, err := bolt.Open(filepath.Join(t.TempDir(), "goodship.db"), bolt.Options{Now: clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	w := &timed{how: support.Options{Clock: clock, Log: slog.New(slog.DiscardHandler), OverduePerSecond: perSecond}}
	w.world = foundWorld(t, clock, kept)
	w.updates(&goodshipv1.Workspace{Promise: durationpb.New(time.Minute)}, "promise")
	ids := w.furnish(count)
	w.clock.Jump(time.Hour)
	w.starts()
	slice := w.clock.Now()
	w.sleepsUntil(slice.Add(time.Second / 10))
	equal(t, "overdue after the start and a slice", w.overdue(), count-atStart-perSecond/10)

	live, last := w.opens(lou, "Hello?"), (count-atStart+perSecond/10-1)/(perSecond/10)
	due := w.due(live)
	for slice := 2; slice <= last; slice++ {
		w.sleepsUntil(w.clock.Now().Add(time.Second / 10))
		w.clock.Jump(time.Second / 10)
		w.says(lou, live, "Hello?") // while the slice is on its way
		if slice == 3 || slice == last-1 {
			w.sleepsUntil(w.clock.Now().Add(time.Second / 10))
			equal(t, fmt.Sprintf("overdue after slice %d", slice), w.overdue(), count-atStart-slice*perSecond/10)
		}
	}
	w.until("the end", func() bool { return w.overdue() == 0 })
	w.comes(due, live, "promise_at_risk")
	for _, id := range ids {
		n, _ := w.count(id, "promise_broken")
		if n != 1 || w.head(id).Conversation.Revision != 5 { // opened, sent, waits, at risk, broken
			t.Fatalf("promises broken in %s: got %d, want 1: %s", id, n, w.story(id))
		}
	}
}
