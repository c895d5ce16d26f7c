package support_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// partly is a store in which nobody can look for what is too old in one workspace. It counts how often that is looked for until other
// duties have had their turn.
type partly struct {
	store.Store
	damaged   string
	row, most int
}

func (s *partly) NextDue(ctx context.Context, after *store.Due, limit int) ([]store.Due, error) {
	s.row = 0
	return s.Store.NextDue(ctx, after, limit)
}

func (s *partly) Resolved(ctx context.Context, workspace string, before time.Time, after *store.Position, limit int) ([]*storev1.Head, *store.Position, error) {
	s.row++
	s.most = max(s.most, s.row)
	if workspace == s.damaged {
		return nil, nil, fmt.Errorf("%w: an entry", store.ErrDataLoss)
	}
	return s.Store.Resolved(ctx, workspace, before, after, limit)
}

// TestRetentionBesideADamagedWorkspace has one workspace fail: the other is done with at its rate, other duties have their turn after
// each slice, and the log tells of it once.
func TestRetentionBesideADamagedWorkspace(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		w.Close()
		s := &partly{Store: w.store.Store, damaged: w.workspace}
		w.store.Store = s
		other := foundWorld(t, w.clock.Clock, w.store)
		for _, id := range other.opensMany(kim, 250) {
			other.confirms(kim, id)
		}
		w.keeps(day)
		other.keeps(day)
		w.clock.Jump(2 * day)
		w.starts()
		for range 20 {
			w.passes(100 * time.Millisecond)
		}
		equal(t, "left", len(heads(t, w.store, other.workspace)), 0)
		for range 5 {
			w.passes(time.Minute)
		}
		equal(t, "slices between which no other duty had its turn", s.most, 1)
		equal(t, "records of it in the log", w.log.says("cannot be looked for"), 1)
		equal(t, "records in the log", w.log.says("level=ERROR"), 1)
	})
}

// TestEraseBesideADamagedConversation has one erasure fail, in each way: the other is done at once, that one is tried every minute,
// and the log tells of it once.
func TestEraseBesideADamagedConversation(t *testing.T) {
	for _, kind := range []string{"", "panic "} {
		t.Run(kind+"damaged", func(t *testing.T) {
			inQuiet(t, func(t *testing.T, w *quiet) {
				damaged := kind + w.opens(kim, "Hello?")
				w.opensMany(lou, 40)
				w.Close()
				var erasures []*goodshipv1.Erasure
				for _, p := range []person{kim, lou} {
					units := 0
					breaks := func() {
						if units++; units == 2 {
							unavailable := store.ErrUnavailable
							w.store.refuses.Store(&unavailable)
						}
					}
					w.store.slow.Store(&breaks)
					erasures = append(erasures, do[*goodshipv1.Erasure](w.world, backend, &goodshipv1.EraseCustomerRequest{CustomerId: p.id()}))
					w.store.refuses.Store(nil)
				}
				w.store.slow.Store(nil)
				w.store.damaged.Store(&damaged)
				w.starts()
				synctest.Wait()
				states := func() string {
					var all []string
					for _, e := range erasures {
						now := do[*goodshipv1.Erasure](w.world, backend, &goodshipv1.GetErasureRequest{ErasureId: e.Id})
						all = append(all, now.State.String()[len("ERASURE_STATE_"):])
					}
					return list(all)
				}
				equal(t, "states", states(), "RUNNING DONE")
				for range 5 {
					w.passes(time.Minute)
				}
				equal(t, "records of it in the log", w.log.says("an erasure cannot go on"), 1)
				equal(t, "duties that failed", w.log.says("what the server does by itself fails"), 0)
				w.store.damaged.Store(nil)
				w.passes(time.Minute)
				equal(t, "states", states(), "DONE DONE")
			})
		})
	}
}

// TestCreditIsSettledWhileItIsLeftAlone has time fail on a credit, which then is settled: time sleeps until the next falls due.
func TestCreditIsSettledWhileItIsLeftAlone(t *testing.T) {
	t.Parallel()
	w, s, _ := newTroubled(t)
	id := resolvedTalk(w.world)
	credit, next := w.grantsUntil(id, time.Hour), w.grantsUntil(id, 5*time.Hour)
	damaged := "panic " + id
	s.damaged.Store(&damaged)
	w.sleepsUntil(credit.SettleByTime.AsTime())
	w.clock.Jump(time.Hour)
	w.sleepsUntil(w.clock.Now().Add(time.Minute))
	s.damaged.Store(nil)
	equal(t, "settled", told(w.world.settles(bill(credit.Id, "invoice 1"))), "SETTLED")
	w.clock.Jump(time.Minute)
	w.sleepsUntil(next.SettleByTime.AsTime())
}

// TestRetentionOfTwoApologies has an incident apologize to a visitor and to who they turn out to be: each apology loses the
// conversation that is removed.
func TestRetentionOfTwoApologies(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		incident, site := w.declaresForKim(), w.site()
		session := site.comes()
		visitor := person("customer/" + session.VisitorId)
		site.asks(session)
		w.adds(incident, affected(visitor))
		w.sendsOff(incident)
		synctest.Wait()
		equal(t, "outcome", w.progress(incident), "SENT 2: 0 2 0 0 0 0")
		var ids []string
		apologies := func() (all []*goodshipv1.Apology) {
			return do[*goodshipv1.ListApologiesResponse](w.world, ada, &goodshipv1.ListApologiesRequest{IncidentId: incident}).Apologies
		}
		for _, a := range apologies() {
			ids = append(ids, a.ConversationId)
		}
		equal(t, "sign in", w.signsIn(kim, session.Token), "")
		w.keeps(day)
		w.passes(day)
		for _, id := range ids {
			w.within(time.Hour, id)
		}
		for _, a := range apologies() {
			equal(t, "conversation and message", fmt.Sprint(a.ConversationId, a.MessageNumber), "0")
		}
	})
}
