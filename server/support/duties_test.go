package support_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (s *troubled) Workspaces(ctx context.Context) ([]*storev1.WorkspaceRecord, error) {
	if lost := s.lost.Load(); lost != nil && *lost == "workspace" {
		return nil, fmt.Errorf("%w: a workspace", store.ErrDataLoss)
	}
	return s.Store.Workspaces(ctx)
}

func (s *troubled) Agent(ctx context.Context, workspace, id string) (*storev1.AgentRecord, error) {
	if lost := s.lost.Load(); lost != nil && *lost == id {
		return nil, fmt.Errorf("%w: an agent", store.ErrDataLoss)
	}
	return s.Store.Agent(ctx, workspace, id)
}

func (s *troubled) Conversation(ctx context.Context, workspace, id string) (*storev1.Head, error) {
	if read := s.onRead.Load(); read != nil {
		(*read)()
	}
	return s.Store.Conversation(ctx, workspace, id)
}

func (s *troubled) Feed(ctx context.Context, workspace string, after int64, limit int) ([]store.FeedEntry, error) {
	entries, err := s.Store.Feed(ctx, workspace, after, limit)
	if read := s.onFeed.Load(); read != nil {
		(*read)()
	}
	return entries, err
}

// TestTimeGoesOnBesideADamagedWorkspace starts over a store that cannot tell which workspaces there are: promises and absences
// come in time, and the log tells of each duty that fails once.
func TestTimeGoesOnBesideADamagedWorkspace(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		late := w.opens(lou, "Hello?")
		w.passes(time.Hour)
		lost := "workspace"
		w.store.lost.Store(&lost)
		w.starts()
		for range 10 {
			w.passes(time.Minute)
		}
		equal(t, "records in the log", w.log.says("what the server does by itself fails"), 4)
		w.claims(ben, late)
		id := w.opens(kim, "Hello?")
		due := w.due(id)
		w.passes(2*time.Minute - time.Microsecond)
		equal(t, "owner before away_after", w.owner(late), "ben")
		w.passes(time.Microsecond)
		equal(t, "owner at away_after", w.owner(late), "")
		w.passes(due.Sub(w.clock.Now()))
		equal(t, "promises at risk", first(w.count(id, "promise_at_risk")), 1)
	})
}

// TestTimeGoesOnBesideADamagedAgent starts when an owner cannot be read: the others go away as ever.
func TestTimeGoesOnBesideADamagedAgent(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		of := map[person]string{ada: w.opens(kim, "Hello?"), ben: w.opens(lou, "Hello?"), lea: w.opens(lou, "Hello?")}
		w.passes(time.Hour)
		for who, id := range of {
			w.claims(who, id)
		}
		lost := "ben"
		w.store.lost.Store(&lost)
		w.starts()
		w.passes(2 * time.Minute)
		equal(t, "one owner", w.owner(of[ada]), "")
		equal(t, "another owner", w.owner(of[lea]), "")
		equal(t, "records in the log", w.log.says("an agent cannot be read"), 1)
	})
}

// TestTimeGoesOnBesideABusyAgent has an owner of some conversations call again each time that these have been read.
func TestTimeGoesOnBesideABusyAgent(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		const owned, most = 20, 1000
		for range owned {
			w.claims(ada, w.opens(kim, "Hello?"))
		}
		w.passes(110 * time.Second)
		w.by(ada)
		reads, busy := atomic.Int64{}, atomic.Bool{}
		calls := func() {
			if !busy.CompareAndSwap(false, true) {
				return
			}
			defer busy.Store(false)
			if n := reads.Add(1); n%owned == 0 && n < most {
				w.clock.Jump(200 * time.Microsecond)
				w.by(ada)
			}
		}
		w.store.onRead.Store(&calls)
		w.passes(20 * time.Second)
		if n := reads.Load(); n >= most {
			t.Errorf("reads: got %d, want it to stop some time", n)
		}
	})
}

// TestClaimNextBesideADamagedConversation has one of the conversations of somebody who went away be one that nobody can read.
func TestClaimNextBesideADamagedConversation(t *testing.T) {
	t.Parallel()
	w, s, _ := newTroubled(t)
	bad, good := w.opens(kim, "Hello?"), w.opens(lou, "Hello?")
	w.claims(ben, bad)
	w.claims(ben, good)
	w.Close()
	svc, err := support.New(w.store, w.how) // in which time does nothing by itself
	equal(t, "error", err, nil)
	w.Service = svc
	t.Cleanup(svc.Close)
	s.damaged.Store(&bad)
	w.clock.Jump(3 * time.Minute)
	equal(t, "claimed", w.claimsNext(ada), good)
}

// TestTheFeedGrowsWhileItIsPruned has the first entry come just after an empty feed was read: it is pruned in time all the same.
func TestTheFeedGrowsWhileItIsPruned(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		var once sync.Once
		before := *w.world
		grows := func() { once.Do(func() { before.confirms(kim, before.opens(kim, "Hello?")) }) }
		w.store.onFeed.Store(&grows)
		w.starts()
		w.passes(8*24*time.Hour - time.Second)
		equal(t, "entries of the feed before 8 days", w.feedLength(), 2)
		w.passes(time.Hour)
		equal(t, "entries of the feed later", w.feedLength(), 0)
	})
}

// TestWhatWasDueBeforeTheStart has a conversation be due as of before the start, once what was so then is done: it is found.
func TestWhatWasDueBeforeTheStart(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		id := w.opens(kim, "Hello?")
		due := w.due(id)
		w.passes(time.Second)
		w.starts()
		w.passes(time.Second)
		_, err := w.store.Update(t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			return nil, tx.PutDueTime(id, w.clock.Now().Add(-time.Hour))
		})
		equal(t, "error", err, nil)
		synctest.Wait()
		equal(t, "due", w.due(id), due)
	})
}

// TestTimingsAreLowered sets shorter times when some conversations wait for long ones: they go by the new ones, a slice at a time.
func TestTimingsAreLowered(t *testing.T) {
	for _, r := range []struct {
		setting string
		to      *goodshipv1.Workspace
		assumed time.Duration
		kind    string
		given   func(w *quiet) string
	}{
		{"assume_after", &goodshipv1.Workspace{AssumeAfter: durationpb.New(2 * time.Hour)}, 24 * time.Hour, "resolved", func(w *quiet) string {
			id := w.opens(kim, "Hello?")
			w.proposes(ada, id)
			return id
		}},
		{"lapse_after", &goodshipv1.Workspace{LapseAfter: durationpb.New(2 * time.Hour)}, 24 * time.Hour, "resolved", func(w *quiet) string {
			id := w.opens(kim, "Hello?")
			w.says(ada, id, "Hello.")
			return id
		}},
		{"notify_after", &goodshipv1.Workspace{NotifyAfter: durationpb.New(2 * time.Hour)}, time.Hour, "unseen", func(w *quiet) string {
			id := w.opens(kim, "Hello?")
			w.proposes(ada, id) // which is assumed meanwhile
			return id
		}},
	} {
		t.Run(r.setting, func(t *testing.T) {
			inQuiet(t, func(t *testing.T, w *quiet) {
				w.updates(&goodshipv1.Workspace{NotifyAfter: durationpb.New(24 * time.Hour), AssumeAfter: durationpb.New(r.assumed)}, "notify_after", "assume_after")
				w.how.OverduePerSecond = 10
				w.starts()
				var ids []string
				for range 5 {
					ids = append(ids, r.given(w))
				}
				w.passes(90 * time.Minute)
				units := w.store.units.Load() + 1
				w.updates(r.to, r.setting)
				for range ids {
					synctest.Wait()
					if n := w.store.units.Load() - units; n > 1 {
						t.Errorf("units in a slice: got %d, want at most 1", n)
					}
					units = w.store.units.Load()
					w.clock.Jump(100 * time.Millisecond)
				}
				w.passes(30*time.Minute - time.Second)
				for _, id := range ids {
					equal(t, r.kind+" before its time", first(w.count(id, r.kind)), 0)
				}
				w.passes(time.Second)
				for _, id := range ids {
					equal(t, r.kind, first(w.count(id, r.kind)), 1)
				}
			})
		})
	}
}
