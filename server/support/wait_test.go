package support_test

import (
	"slices"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// waitOf returns what somebody is told of a wait.
func (w *world) waitOf(p person, id string) *goodshipv1.Wait {
	w.t.Helper()
	return do[*goodshipv1.Wait](w, p, &goodshipv1.GetWaitRequest{ConversationId: id})
}

// daily are opening hours: every day, nine to five.
func daily() *goodshipv1.OpeningHours {
	h := &goodshipv1.OpeningHours{TimeZone: "UTC"}
	for day := goodshipv1.Weekday_WEEKDAY_MONDAY; day <= goodshipv1.Weekday_WEEKDAY_SUNDAY; day++ {
		h.Intervals = append(h.Intervals, &goodshipv1.OpeningInterval{Day: day, OpenMinute: 9 * 60, CloseMinute: 17 * 60})
	}
	return h
}

// tomorrow returns the time of the next day at which it opens.
func (w *world) tomorrow() time.Time {
	return w.clock.Now().Truncate(24 * time.Hour).Add(33 * time.Hour)
}

func TestGetWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone := []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "112"}}
	w.updates(&goodshipv1.Workspace{ContactPoints: phone}, "contact_points")
	first, second := w.opens(lou, "Hello?"), w.opens(kim, "Hello?")
	w.claims(ada, first)
	want := &goodshipv1.Wait{
		ConversationId: second, State: waiting, Place: 2, AnswerPromise: w.head(second).Conversation.AnswerPromise,
		Estimate:      &goodshipv1.WaitEstimate{State: goodshipv1.EstimateState_ESTIMATE_STATE_UNKNOWN},
		ContactPoints: phone,
	}
	for _, p := range []person{kim, ada, lea, backend} {
		same(t, "a wait behind one that is owned, to "+string(p), w.waitOf(p, second), want)
	}
	w.passes(4*time.Minute+time.Second, ada)
	want.AnswerPromise = w.reads(ada, second).AnswerPromise
	do[*goodshipv1.ReadMark](w, kim, &goodshipv1.MarkReadRequest{ConversationId: second, Number: 1})
	same(t, "promise at risk, to the customer", w.waitOf(kim, second), want)
	want.AnswerPromise.AtRisk = true
	same(t, "promise at risk, to an agent", w.waitOf(ada, second), want)

	w.says(ada, first, "Hello!")
	equal(t, "place once the first is answered", w.waitOf(kim, second).Place, 1)
	same(t, "of one that does not wait", w.waitOf(lou, first), &goodshipv1.Wait{ConversationId: first, State: answered, ContactPoints: phone})

	w.updates(&goodshipv1.Workspace{OpeningHours: daily()}, "opening_hours")
	equal(t, "opens, while open", w.waitOf(kim, second).OpenTime, nil)
	w.clock.Jump(8 * time.Hour)
	same(t, "opens, when closed", w.waitOf(kim, second).OpenTime, timestamppb.New(w.tomorrow()))
	w.clock.Jump(w.tomorrow().Sub(w.clock.Now()))
	equal(t, "opens, once open", w.waitOf(kim, second).OpenTime, nil)
}

// estimated tells an estimate, to the second.
func estimated(w *goodshipv1.Wait) string {
	switch e := w.Estimate; e.GetState() {
	case goodshipv1.EstimateState_ESTIMATE_STATE_UNKNOWN:
		return "unknown"
	case goodshipv1.EstimateState_ESTIMATE_STATE_KNOWN:
		return e.P50.AsDuration().Round(time.Second).String() + " " + e.P90.AsDuration().Round(time.Second).String()
	}
	return "none"
}

// endWaits lets waits end, one after the other, each answered after a time.
func (w *world) endWaits(n int, each time.Duration) {
	for range n {
		id := w.opens(lou, "Hello?")
		w.clock.Jump(each)
		w.says(lea, id, "Hello!")
	}
}

// TestEstimate learns from the waits that end, and from the feed after a restart.
func TestEstimate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.updates(&goodshipv1.Workspace{OpeningHours: daily()}, "opening_hours")
	w.endWaits(19, time.Minute)
	id := w.opens(kim, "Hello?")
	equal(t, "by 19", estimated(w.waitOf(kim, id)), "unknown")
	w.confirms(kim, id) // ends its wait without an answer
	equal(t, "of nothing that waits", estimated(w.waitOf(kim, id)), "none")
	id = w.opens(kim, "Hello?")
	equal(t, "by 19 and one that nobody answered", estimated(w.waitOf(kim, id)), "unknown")
	w.says(lea, id, "Hello!")

	for range 21 { // from a minute before it closes until one after it opens
		w.clock.Jump(w.tomorrow().Add(8*time.Hour - time.Minute).Sub(w.clock.Now()))
		w.endWaits(1, 16*time.Hour+2*time.Minute)
	}
	id = w.opens(kim, "Hello?")
	const known = "2m0s 2m0s"
	equal(t, "by the time that it was open", estimated(w.waitOf(kim, id)), known)
	behind := w.opens(kim, "And?")
	equal(t, "of the next, whose place is twice as far", estimated(w.waitOf(kim, behind)), "4m0s 4m0s")
	w.restart()
	equal(t, "after a restart", estimated(w.waitOf(kim, id)), known)
	w.confirms(kim, id)
	equal(t, "of the next, that is the first now", estimated(w.waitOf(kim, behind)), known)

	if _, err := w.store.PruneFeed(t.Context(), w.clock.Now().Add(time.Hour), everything); err != nil {
		t.Fatal(err)
	}
	equal(t, "when the feed was dropped", estimated(w.waitOf(kim, behind)), known)
	w.restart()
	equal(t, "when the feed was dropped before the start", estimated(w.waitOf(kim, behind)), "unknown")
}

// TestEstimateReadsTheNewest lets so much happen that what happened before is not read.
func TestEstimateReadsTheNewest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endWaits(20, time.Minute)
	id := w.opens(kim, "Hello?")
	equal(t, "before", estimated(w.waitOf(kim, id)), "1m0s 1m0s")
	w.happens(id, 10_001)
	equal(t, "when more happened than is read", estimated(w.waitOf(kim, id)), "unknown")
	w.endWaits(20, time.Minute)
	equal(t, "afterwards", estimated(w.waitOf(kim, id)), "1m0s 1m0s")
	w.restart()
	equal(t, "after a restart", estimated(w.waitOf(kim, id)), "1m0s 1m0s")
}

// happens lets so many things happen to a conversation that nobody waits for.
func (w *world) happens(id string, n int) {
	w.t.Helper()
	_, err := w.store.Update(w.t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		for range n {
			head, err := tx.Conversation(id)
			if err != nil {
				return nil, err
			}
			head.Conversation.Revision++
			e := &goodshipv1.Event{
				Revision: head.Conversation.Revision, CreateTime: timestamppb.New(tx.Now()), Actor: &goodshipv1.Actor{},
				Kind: &goodshipv1.Event_DetailsChanged{DetailsChanged: &goodshipv1.DetailsChanged{}},
			}
			record := &storev1.Record{Events: []*goodshipv1.Event{e}, MessageCount: head.Conversation.MessageCount}
			if err := tx.Append(store.Change{Head: head, Record: record}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestGetLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	line := func() *goodshipv1.Line {
		t.Helper()
		all := do[*goodshipv1.Line](w, lea, &goodshipv1.GetLineRequest{})
		for _, p := range []person{ada, backend} {
			same(t, "line, to "+string(p), do[*goodshipv1.Line](w, p, &goodshipv1.GetLineRequest{}), all)
		}
		return all
	}
	same(t, "line of nobody", line(), &goodshipv1.Line{})
	ids := []string{w.opens(kim, "1"), w.opens(lou, "2"), w.opens(kim, "3"), w.opens(lou, "4")}
	oldest := w.head(ids[0]).Conversation.LineTime
	same(t, "line", line(), &goodshipv1.Line{Length: 4, UnownedCount: 4, OldestLineTime: oldest})
	for i, p := range []person{ada, ben, ada} {
		w.claims(p, ids[i])
	}
	same(t, "line with owners", line(), &goodshipv1.Line{Length: 4, UnownedCount: 1, OldestLineTime: oldest})

	w.passes(4*time.Minute+time.Second, ada, ben)
	touch := func() {
		for _, id := range ids {
			w.notes(lea, id, "Look") // which lets time do what it has done
		}
	}
	touch()
	same(t, "line at risk", line(), &goodshipv1.Line{Length: 4, UnownedCount: 1, OldestLineTime: oldest, AtRiskCount: 4})
	w.passes(time.Minute, ada, ben)
	touch()
	late := &goodshipv1.Line{Length: 4, UnownedCount: 1, OldestLineTime: oldest, BrokenCount: 4, SilentConversationIds: ids[:3]}
	same(t, "line of broken promises", line(), late)

	w.avails(ben, away)
	late.SilentConversationIds = []string{ids[0], ids[2]}
	got := line()
	got.UnownedCount = late.UnownedCount // whether time has come for what the one who left owned
	same(t, "line when an owner has left", got, late)

	w.says(ada, ids[0], "Hello!")
	touch()
	oldest = w.head(ids[1]).Conversation.LineTime
	same(t, "line when the first is answered", line(), &goodshipv1.Line{
		Length: 3, UnownedCount: 2, OldestLineTime: oldest, BrokenCount: 3, SilentConversationIds: ids[2:3],
	})
	w.updates(&goodshipv1.Workspace{OpeningHours: daily()}, "opening_hours")
	w.clock.Jump(8 * time.Hour)
	same(t, "opens", do[*goodshipv1.Line](w, backend, &goodshipv1.GetLineRequest{}).OpenTime, timestamppb.New(w.tomorrow()))
}

// TestSilentAreBounded lets more be silent than GetLine names, and more wait than are read at a time.
func TestSilentAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for range 105 {
		id := w.opens(kim, "Hello?")
		w.claims(ada, id)
		ids = append(ids, id)
	}
	w.passes(5*time.Minute+time.Second, ada)
	for _, id := range ids {
		w.notes(ada, id, "Look")
	}
	line := do[*goodshipv1.Line](w, ada, &goodshipv1.GetLineRequest{})
	equal(t, "length", line.Length, 105)
	equal(t, "broken", line.BrokenCount, 105)
	equal(t, "they are the first hundred", slices.Equal(line.SilentConversationIds, ids[:100]), true)
}
