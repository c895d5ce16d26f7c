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
	"google.golang.org/protobuf/types/known/durationpb"
)

const day = 24 * time.Hour

// keeps sets for how long conversations are kept; for ever, if that is 0.
func (w *world) keeps(d time.Duration) {
	w.t.Helper()
	settings := &goodshipv1.Workspace{}
	if d > 0 {
		settings.KeepFor = durationpb.New(d)
	}
	w.updates(settings, "keep_for")
}

// closes opens a conversation and has it resolved, and returns its id.
func (w *world) closes(p person) string {
	w.t.Helper()
	id := w.opens(p, "Hello?")
	w.confirms(p, id)
	return id
}

// there reports whether a conversation is.
func (w *quiet) there(id string) bool {
	w.t.Helper()
	_, err := w.store.Conversation(w.t.Context(), w.workspace, id)
	return err == nil
}

// removals tells the log of what was removed, newest first.
func (w *world) removals() []string {
	w.t.Helper()
	var told []string
	for _, r := range do[*goodshipv1.ListRemovalsResponse](w, backend, &goodshipv1.ListRemovalsRequest{}).Removals {
		told = append(told, fmt.Sprintf("%d/%d/%d/%d after %v", r.Removed.ConversationCount, r.Removed.MessageCount, r.Removed.NoteCount, r.Removed.EventCount,
			time.Duration(r.KeepForSeconds)*time.Second))
	}
	return told
}

// within has hours pass, a minute after the other, until a conversation is gone, and returns after how long.
func (w *quiet) within(d time.Duration, id string) time.Duration {
	w.t.Helper()
	for passed := time.Duration(0); passed <= d; passed += time.Minute {
		if !w.there(id) {
			return passed
		}
		w.passes(time.Minute)
	}
	w.t.Fatalf("%s is there after %v", id, d)
	return 0
}

// TestRetention has conversations get old: those go that are RESOLVED, at most an hour after their time, and none before.
func TestRetention(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		w.keeps(30 * day)
		held, waits, replied := w.closes(kim), w.opens(kim, "Hello?"), w.opens(kim, "Hello?")
		do[*goodshipv1.Conversation](w.world, lea, &goodshipv1.UpdateConversationRequest{
			ConversationId: held, Conversation: &goodshipv1.ConversationUpdate{Hold: true}, UpdateMask: mask("hold"),
		})
		w.updates(&goodshipv1.Workspace{LapseAfter: durationpb.New(60 * day)}, "lapse_after")
		w.says(ada, replied, "Hello!")
		var closed []string
		for range 3 {
			closed = append(closed, w.closes(lou))
			w.passes(17 * time.Minute)
		}
		noted := w.closes(lou)
		w.passes(30*day - 51*time.Minute - time.Second)
		w.notes(ada, noted, "A note")
		ends := map[string]time.Time{}
		for _, id := range closed {
			ends[id] = w.head(id).Conversation.UpdateTime.AsTime().Add(30 * day)
		}
		for len(ends) > 0 {
			w.passes(time.Minute)
			for id, end := range ends {
				switch late := w.clock.Now().Sub(end); {
				case !w.there(id) && late < 0:
					t.Errorf("removed %v before its time", -late)
				case w.there(id) && late >= time.Hour:
					t.Errorf("there %v after its time", late)
				case w.there(id):
					continue
				}
				delete(ends, id)
			}
		}
		w.passes(2 * time.Hour)
		for name, id := range map[string]string{"held": held, "waiting": waits, "answered": replied, "noted in since": noted} {
			equal(t, name+" one is there", w.there(id), true)
		}
		do[*goodshipv1.Conversation](w.world, lea, &goodshipv1.UpdateConversationRequest{
			ConversationId: held, Conversation: &goodshipv1.ConversationUpdate{}, UpdateMask: mask("hold"),
		})
		w.passes(30 * day)
		w.within(time.Hour, held)
		w.within(time.Hour, noted)
		equal(t, "waiting one is there", w.there(waits), true)
		equal(t, "errors in the log", w.log.says("level=ERROR"), 0)
	})
}

// TestRetentionIsLogged removes more than one unit does, in one sweep and in another: each has its entry, whatever the settings are
// by then.
func TestRetentionIsLogged(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		for range 40 {
			w.closes(kim)
		}
		noted := w.opens(lou, "Hello?")
		w.notes(ada, noted, "A note")
		w.confirms(lou, noted)
		equal(t, "removals", list(w.removals()), "")
		w.passes(2 * day)
		w.keeps(day)
		w.passes(time.Second)
		w.passes(time.Second)
		const first = "41/41/1/165 after 24h0m0s"
		equal(t, "removals", list(w.removals()), first)
		w.closes(kim)
		w.passes(day)
		w.passes(time.Hour)
		w.passes(time.Hour)
		equal(t, "removals", list(w.removals()), "1/1/0/4 after 24h0m0s "+first)
		page := do[*goodshipv1.ListRemovalsResponse](w.world, backend, &goodshipv1.ListRemovalsRequest{PageSize: 1})
		next := do[*goodshipv1.ListRemovalsResponse](w.world, backend, &goodshipv1.ListRemovalsRequest{PageSize: 1, PageToken: page.NextPageToken})
		equal(t, "second page", next.Removals[0].Removed.ConversationCount, 41)
		equal(t, "third page", next.NextPageToken, "")
	})
}

// TestRetentionChanges switches it on, shortens it, lengthens it and switches it off: each counts within the hour.
func TestRetentionChanges(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		id := w.closes(kim)
		w.passes(100 * day)
		equal(t, "kept for ever", w.there(id), true)
		w.keeps(200 * day)
		w.passes(time.Hour)
		equal(t, "kept for long", w.there(id), true)
		w.keeps(99 * day)
		w.within(time.Hour, id)

		id = w.closes(kim)
		w.keeps(300 * day)
		w.passes(100 * day)
		w.passes(time.Hour)
		equal(t, "kept for longer than before", w.there(id), true)
		w.keeps(0)
		w.passes(300 * day)
		equal(t, "kept for ever again", w.there(id), true)
		w.keeps(day)
		w.within(time.Hour, id)
		id = w.closes(kim)
		w.starts() // a new life
		w.passes(day)
		w.within(time.Hour, id)
	})
}

// sweeping is a store that counts how often it is asked for what may be too old, and what happens before a unit of a sweep.
type sweeping struct {
	store.Store
	asked, most int
	before      func()
}

func (s *sweeping) Resolved(ctx context.Context, workspace string, before time.Time, after *store.Position, limit int) ([]*storev1.Head, *store.Position, error) {
	s.asked++
	s.most = max(s.most, limit)
	heads, next, err := s.Store.Resolved(ctx, workspace, before, after, limit)
	if s.before != nil {
		s.before()
	}
	return heads, next, err
}

// inSweeping runs a test in a quiet world of which the store tells of sweeps.
func inSweeping(t *testing.T, test func(t *testing.T, w *quiet, s *sweeping)) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		w.Close() // so that nobody looks while the store is another
		s := &sweeping{Store: w.store.Store}
		w.store.Store = s
		w.starts()
		test(t, w, s)
	})
}

// TestRetentionCostsNothingUnlessSet has days pass where everything is kept: nobody looks for what is old. Where something is kept for
// a time, it is looked for about once an hour, in slices.
func TestRetentionCostsNothingUnlessSet(t *testing.T) {
	inSweeping(t, func(t *testing.T, w *quiet, s *sweeping) {
		w.closes(kim)
		for range 100 {
			w.passes(time.Hour)
		}
		equal(t, "looked", s.asked, 0)
		w.keeps(365 * day)
		for range 100 {
			w.passes(time.Hour)
		}
		if s.asked < 100 || s.asked > 125 {
			t.Errorf("looked: got %d times in 100 hours, want about once an hour", s.asked)
		}
		if s.most > 100 {
			t.Errorf("looked at: got %d at once, want at most 100", s.most)
		}
		w.keeps(0)
		w.passes(time.Hour)
		asked := s.asked
		w.passes(100 * day)
		equal(t, "looked once it is kept for ever again", s.asked, asked)
	})
}

// TestRetentionChecksAgain has something happen to conversations between being found too old and being removed.
func TestRetentionChecksAgain(t *testing.T) {
	inSweeping(t, func(t *testing.T, w *quiet, s *sweeping) {
		w.keeps(day)
		written, held, rated, gone := w.closes(kim), w.closes(kim), w.closes(kim), w.closes(kim)
		erased := w.closes(lou)
		w.clock.Jump(day)
		s.before = func() {
			s.before = nil
			w.says(kim, written, "And?")
			do[*goodshipv1.Conversation](w.world, lea, &goodshipv1.UpdateConversationRequest{
				ConversationId: held, Conversation: &goodshipv1.ConversationUpdate{Hold: true}, UpdateMask: mask("hold"),
			})
			yes := true
			do[*goodshipv1.Resolution](w.world, kim, &goodshipv1.RateConversationRequest{ConversationId: rated, ResolutionNumber: 1, Rating: &goodshipv1.Rating{Solved: &yes}})
			w.erases(lou)
		}
		w.within(time.Hour, gone)
		for name, id := range map[string]string{"written in": written, "held": held, "rated": rated} {
			equal(t, name, w.there(id), true)
		}
		equal(t, "erased", w.there(erased), false)
		equal(t, "removals", list(w.removals()), "1/1/0/4 after 24h0m0s")
		equal(t, "errors in the log", w.log.says("level=ERROR"), 0)
	})
}

// TestRetentionOfMuch removes thousands at a rate, while calls go on, and leaves nothing.
func TestRetentionOfMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ids := w.opensMany(kim, 600)
		for _, id := range ids {
			w.confirms(kim, id)
		}
		w.keeps(day)
		w.clock.Jump(2 * day)
		w.Close()
		w.restart()
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Close)
		left := func() int { return len(heads(t, w.store, w.workspace)) }
		synctest.Wait()
		if n := left(); n == 0 {
			t.Error("got nothing left at once, want the rate")
		}
		for range 20 {
			w.opens(lou, "Hello?")
			w.clock.Jump(100 * time.Millisecond)
			synctest.Wait()
		}
		equal(t, "left", left(), 20)
		equal(t, "removals", list(w.removals()), "600/600/0/2400 after 24h0m0s")
	})
}

// TestRetentionLeavesMoney has conversations with credits and an apology get too old: credits and incident stay, and name none.
func TestRetentionLeavesMoney(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		id := creditable(w.world)
		credit := w.grants(ada, id, euros(5, 0))
		w.confirms(kim, id)
		w.keeps(day)
		w.passes(day)
		w.within(time.Hour, id)
		now := do[*goodshipv1.Credit](w.world, backend, &goodshipv1.GetCreditRequest{CreditId: credit.Id})
		equal(t, "conversation", now.ConversationId, "")
		equal(t, "reason", now.Reason, "It skipped")
		equal(t, "customer", now.CustomerId, "kim")
		equal(t, "settled since", w.world.settles(bill(credit.Id, "bill-1")).GetCredit().GetState(), settled)
	})
}
