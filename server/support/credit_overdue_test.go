package support_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// grantsUntil lets the leader grant a credit that is to be settled within a time.
func (w *world) grantsUntil(id string, within time.Duration) *goodshipv1.Credit {
	w.t.Helper()
	req := granting(id, points(1))
	req.SettleByTime = timestamppb.New(w.clock.Now().Add(within))
	return do[*goodshipv1.Credit](w, lea, req)
}

func (w *world) credit(id string) *goodshipv1.Credit {
	w.t.Helper()
	return do[*goodshipv1.Credit](w, backend, &goodshipv1.GetCreditRequest{CreditId: id})
}

// resolvedTalk is a conversation to which time does nothing any more.
func resolvedTalk(w *world) string {
	w.empowers()
	id := replied(w)
	w.confirms(kim, id)
	do[*goodshipv1.ReadMark](w, kim, &goodshipv1.MarkReadRequest{ConversationId: id, Number: w.head(id).Conversation.MessageCount})
	return id
}

// TestCreditIsOverdue waits for the instant at which billing ought to have settled, over a kill, and in the order of the times.
func TestCreditIsOverdue(t *testing.T) {
	t.Parallel()
	w := newTimed(t)
	id := resolvedTalk(w.world)
	late, soon := w.grantsUntil(id, 3*time.Hour), w.grantsUntil(id, time.Hour)
	settledSoon := w.grantsUntil(id, 2*time.Hour)
	w.world.settles(bill(settledSoon.Id, "invoice 1"))

	w.comes(soon.SettleByTime.AsTime(), id, "credit_overdue")
	_, at := w.count(id, "credit_overdue")
	equal(t, "time of the event", at, soon.SettleByTime.AsTime())
	equal(t, "overdue", w.credit(soon.Id).Overdue, true)
	equal(t, "overdue before its time", w.credit(late.Id).Overdue, false)
	equal(t, "overdue to the customer", do[*goodshipv1.Credit](w.world, kim, &goodshipv1.GetCreditRequest{CreditId: soon.Id}).Overdue, false)
	event := w.log(id)[len(w.log(id))-1]
	equal(t, "credit of the event", event.GetCreditOverdue().GetCreditId(), soon.Id)
	equal(t, "is public", event.PublicRevision != 0, false)

	w.killed(30 * time.Minute)
	w.comes(late.SettleByTime.AsTime(), id, "credit_overdue")
	equal(t, "overdue credits", first(w.count(id, "credit_overdue")), 2)
	equal(t, "overdue though settled", w.credit(settledSoon.Id).Overdue, false)
	equal(t, "state", w.credit(late.Id).State, pending)
	equal(t, "settled late", told(w.world.settles(bill(late.Id, "invoice 1"))), "SETTLED")
	equal(t, "overdue once settled", w.credit(late.Id).Overdue, true)
	equal(t, "overdue credits", first(w.count(id, "credit_overdue")), 2)
}

// TestCreditsFellDueWhileNobodyServed starts after it.
func TestCreditsFellDueWhileNobodyServed(t *testing.T) {
	t.Parallel()
	w := newTimed(t)
	id := resolvedTalk(w.world)
	credit := w.grantsUntil(id, time.Hour)
	w.killed(5 * time.Hour)
	w.until("overdue", func() bool { return first(w.count(id, "credit_overdue")) == 1 })
	_, at := w.count(id, "credit_overdue")
	equal(t, "time of the event", at, credit.SettleByTime.AsTime())
}

// TestTimeComesBeforeSettlement settles and takes back at the instant, where nobody fired the timer: it is overdue first.
func TestTimeComesBeforeSettlement(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // in which time does not act by itself
	id := resolvedTalk(w)
	a, b, c := w.grantsUntil(id, time.Hour), w.grantsUntil(id, time.Hour), w.grantsUntil(id, 2*time.Hour)
	w.clock.Jump(a.SettleByTime.AsTime().Sub(w.clock.Now()))
	before := len(w.log(id))
	equal(t, "settled", told(w.settles(bill(a.Id, "invoice 1"))), "SETTLED")
	do[*goodshipv1.Credit](w, lea, &goodshipv1.ReverseCreditRequest{CreditId: b.Id, Reason: "x"})
	equal(t, "settled in time", told(w.settles(refuse(c.Id, "x"))), "REFUSED")
	events := strings.Fields(w.story(id))[before:]
	equal(t, "events", list(events), "credit_overdue credit_settled credit_overdue credit_reversed credit_refused")
	for _, credit := range []*goodshipv1.Credit{a, b, c} {
		equal(t, "overdue", w.credit(credit.Id).Overdue, credit != c)
	}
}

// TestOverdueWithoutConversation changes the credit alone.
func TestOverdueWithoutConversation(t *testing.T) {
	t.Parallel()
	w := newTimed(t)
	credit := w.grantsUntil(resolvedTalk(w.world), time.Hour)
	_, err := w.store.Update(t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		return nil, tx.RemoveConversation(credit.ConversationId, goodshipv1.RemovalCause_REMOVAL_CAUSE_EXPIRED)
	})
	equal(t, "error", err, nil)
	w.sleepsUntil(credit.SettleByTime.AsTime())
	w.clock.Jump(credit.SettleByTime.AsTime().Sub(w.clock.Now()))
	w.until("overdue", func() bool {
		w.opens(lou, "Hello?") // since a credit alone gives no hint
		return w.credit(credit.Id).Overdue
	})
}

// TestManyFallDueAtOnce has credits of one incident fall due at one instant: a slice of them at a time.
func TestManyFallDueAtOnce(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	w := &timed{how: support.Options{Clock: clock, Log: slog.New(slog.DiscardHandler), OverduePerSecond: 100}}
	w.world = foundWorld(t, clock, openStore(t, clock.Now))
	w.starts()
	id := resolvedTalk(w.world)
	at := w.clock.Now().Add(time.Hour)
	for range 25 {
		w.grantsUntil(id, at.Sub(w.clock.Now()))
	}
	w.sleepsUntil(at)
	w.clock.Jump(time.Hour)
	for _, told := range []int{10, 20} {
		w.until(fmt.Sprint(told, " overdue"), func() bool { return first(w.count(id, "credit_overdue")) == told })
		w.sleepsUntil(w.clock.Now().Add(time.Second / 10))
		equal(t, "overdue after a slice", first(w.count(id, "credit_overdue")), told)
		w.clock.Jump(time.Second / 10)
	}
	w.until("all overdue", func() bool { return first(w.count(id, "credit_overdue")) == 25 })
}

// TestOverdueBesideADamagedConversation has time fail on one credit: the other is told of in time, that one is tried every minute,
// and the log tells of it once.
func TestOverdueBesideADamagedConversation(t *testing.T) {
	t.Parallel()
	w, s, log := newTroubled(t)
	bad := resolvedTalk(w.world)
	good := w.opens(lou, "Hello?")
	w.confirms(lou, good)
	worse, better := w.grantsUntil(bad, time.Hour), w.grantsUntil(good, 2*time.Hour)
	damaged := "panic " + bad
	s.damaged.Store(&damaged)
	w.sleepsUntil(worse.SettleByTime.AsTime())
	w.clock.Jump(worse.SettleByTime.AsTime().Sub(w.clock.Now()))
	for range 3 {
		w.sleepsUntil(w.clock.Now().Add(time.Minute))
		w.clock.Jump(time.Minute)
	}
	w.sleepsUntil(w.clock.Now().Add(time.Minute))
	equal(t, "records of it in the log", log.says("time cannot act on a credit"), 1)
	w.clock.Jump(better.SettleByTime.AsTime().Sub(w.clock.Now()))
	w.until("the other", func() bool { return first(w.count(good, "credit_overdue")) == 1 })
	w.sleepsUntil(w.clock.Now().Add(time.Minute))
	s.damaged.Store(nil)
	w.clock.Jump(time.Minute)
	w.until("the damaged one", func() bool { return first(w.count(bad, "credit_overdue")) == 1 })
}
