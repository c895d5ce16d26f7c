package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What was resolved long ago is found oldest first, and is removed while others read, write, prune and back up.

// resolvedIsOldestFirst asks for what was resolved before any time, as units change it.
func resolvedIsOldestFirst(s *subject) {
	pick := choose(rand.New(rand.NewPCG(17, 18)).IntN)
	const count = 30
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		s.do("w", func(tx store.Tx) error {
			for i := range count {
				if err := appendTo(tx, fmt.Sprintf("conv_%02d", i), func(d *draft) { d.shuffle(pick) }); err != nil {
					return err
				}
			}
			return nil
		})
		s.write("w2", "conv_01", func(d *draft) { d.shuffle(pick) })
		restart()
		var oldest []*storev1.Head
		for i := range count {
			if h := s.head("w", fmt.Sprintf("conv_%02d", i)); h.GetConversation().GetState() == states[2] {
				oldest = append(oldest, h)
			}
		}
		slices.SortFunc(oldest, func(a, b *storev1.Head) int { return inOrder(store.ByActivity)(b, a) })
		for n := range 9 {
			for _, before := range []time.Time{later(n), later(n).Add(time.Microsecond), later(n).Add(1), {}, afterAll} {
				want := slices.DeleteFunc(slices.Clone(oldest), func(h *storev1.Head) bool { return !h.GetConversation().GetActivityTime().AsTime().Before(before) })
				for _, limit := range []int{1, 4, all} {
					got, err := walkResolved(s.ctx, s.store(), "w", before, limit, nil)
					if err != nil || !slices.EqualFunc(got, want, equal[*storev1.Head]) {
						s.Errorf("Resolved before %v, in pages of %d: got %v, %v, want %v", before, limit, got, err, want)
					}
				}
			}
		}
	}
	if got, err := walkResolved(s.ctx, s.store(), "nobody's", afterAll, 3, nil); err != nil || len(got) != 0 {
		s.Errorf("Resolved in a workspace that nobody wrote to: got %v, %v", got, err)
	}
}

// retentionMeetsEachOnce goes through what was resolved and removes it but for what is held, while more is resolved.
func retentionMeetsEachOnce(s *subject) {
	for i := range 24 {
		s.writeSecret("w", fmt.Sprintf("conv_%02d", i), func(d *draft) { d.resolve(outcomes[0]); d.conversation().ActivityTime = timestamppb.New(later(i / 4)) })
	}
	met := make(map[string]int)
	added := 0
	list, err := walkResolved(s.ctx, s.store(), "w", later(6), 3, func() {
		if added++; added < 4 {
			s.writeSecret("w", fmt.Sprint("new_", added), func(d *draft) { d.resolve(outcomes[0]); d.conversation().ActivityTime = timestamppb.New(later(added)) })
		}
		heads, _, err := s.store().Resolved(s.ctx, "w", later(6), nil, all)
		s.wantErr("Resolved", err, nil)
		for i, h := range heads {
			if i%3 == 1 && met[h.GetConversation().GetId()] == 0 { // the others are held
				met[h.GetConversation().GetId()] = -1
				s.remove("w", h.GetConversation().GetId(), expired)
				break
			}
		}
	})
	s.wantErr("Resolved between removals", err, nil)
	for _, h := range list {
		met[h.GetConversation().GetId()]++
	}
	for i := range 24 {
		if id := fmt.Sprintf("conv_%02d", i); met[id] != 1 && errors.Is(s.gone("w", id), errThere) {
			s.Errorf("%s was met %d times", id, met[id])
		}
	}
	for id, times := range met {
		if times > 1 {
			s.Errorf("%s was met %d times", id, times)
		}
	}
}

// pruningGoesOverRemoved prunes a feed in which conversations were removed: their entries go when what follows them does.
func pruningGoesOverRemoved(s *subject) {
	minute := func(fn func(store.Tx) error) (at time.Time) {
		s.harness.Clock.Jump(time.Minute)
		s.do("w", func(tx store.Tx) error { at = tx.Now(); return fn(tx) })
		return at
	}
	append1 := func(id string) func(store.Tx) error {
		return func(tx store.Tx) error { return appendTo(tx, id, func(d *draft) { d.say("message") }) }
	}
	minute(append1("gone"))                                                                     // 1
	second := minute(append1("stays"))                                                          // 2
	minute(append1("gone"))                                                                     // 3
	minute(append1("gone 2"))                                                                   // 4
	fifth := minute(append1("stays"))                                                           // 5
	minute(append1("gone 2"))                                                                   // 6
	removed := minute(func(tx store.Tx) error { return tx.RemoveConversation("gone", erased) }) // 7
	last := minute(func(tx store.Tx) error { return tx.RemoveConversation("gone 2", expired) }) // 8
	s.wantEnds("w", 0, 8)
	for _, step := range []struct {
		before         time.Time
		limit, dropped int
		oldest         int64
	}{
		{second, all, 0, 0}, {second.Add(time.Second), all, 2, 2}, {fifth, all, 0, 2}, {fifth.Add(time.Second), 1, 1, 3},
		{fifth.Add(time.Second), all, 2, 5}, {removed, all, 0, 5}, {removed.Add(time.Second), all, 2, 7}, {last, all, 0, 7}, {afterAll, all, 1, 8}, {afterAll, all, 0, 8},
	} {
		s.prune(step.before, step.limit, step.dropped)
		for _, restart := range []func(){func() {}, s.reopen, s.crash} {
			restart()
			s.wantEnds("w", step.oldest, 8)
			s.sound(s.image())
		}
		restored, err := restore(s.ctx, s.store(), s.harness.Clock)
		s.wantErr("backup and restore", err, nil)
		s.wantRestored(restored)
	}
	s.do("w", append1("gone"))
	s.wantEnds("w", 8, 9)
}

// removalFails fails units that remove: all of it is there, or nothing of it.
func removalFails(s *subject) {
	if s.harness.Fail == nil {
		s.Skip("the engine has no points to fail at")
	}
	for _, point := range []Point{BeforeApply, BeforeCommit, AfterCommit} {
		for next, restart := range map[string]func(){"go on": s.recover, "reopen": s.reopen, "crash": s.crash} {
			w := fmt.Sprintf("%s, %s", point, next)
			s.writeSecret(w, "conv", func(d *draft) { d.resolve(outcomes[0]) })
			s.do(w, func(tx store.Tx) error {
				return errors.Join(putWebhook(tx, "hook_1", 3), tx.PutCustomer(customerRecord("customer-1", "key_9", 1)))
			})
			named := store.Once{RequestID: "request", Conversation: "conv"}
			_, err := s.update(w, named, say("other"))
			s.wantErr("Update", err, nil)
			before := s.image()
			once := store.Once{RequestID: "removal"}
			removes := func(tx store.Tx) (*storev1.Receipt, error) {
				more, err := tx.RemoveWebhookEndpoint("hook_1", 9)
				if more {
					s.Error("there is more of an endpoint than there was")
				}
				return &storev1.Receipt{ConversationId: "conv"}, errors.Join(err, tx.RemoveConversation("conv", erased), tx.RemoveCustomer("key_9"))
			}
			s.harness.Fail(point)
			_, err = s.update(w, once, removes)
			s.wantErr(w, err, store.ErrUnavailable)
			if restart(); point != AfterCommit {
				s.recover()
				s.unchanged(w, before)
			}
			s.recover()
			if result, err := s.update(w, once, removes); err != nil || result.Replayed != (point == AfterCommit) {
				s.Errorf("%s: the retry got %+v, %v", w, result, err)
			}
			s.wantErr(w, s.gone(w, "conv"), nil)
			if result, err := s.update(w, named, say("other")); err != nil || result.Replayed {
				s.Errorf("%s: the request id that named the conversation: got %+v, %v, want a first success", w, result, err)
			}
			if newest := s.feed(w, 0, all); len(newest) != 6 || newest[4].RemovalCause != erased {
				s.Errorf("%s: got the feed %v, want one removal", w, newest)
			}
		}
	}
}
