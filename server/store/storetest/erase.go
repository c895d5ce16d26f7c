package storetest

import (
	"errors"
	"fmt"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// Who is erased goes with all that they wrote; what is owed stays.

// removedLeavesRecords removes a conversation that records name: they stay, and what may be changed of them is.
func removedLeavesRecords(s *subject) {
	s.do("w", func(tx store.Tx) error {
		return errors.Join(appendTo(tx, "conv_1", func(d *draft) { d.say("message") }), tx.PutCustomer(customerRecord("customer-1", defaultCustomer, 1)),
			tx.PutCredit(creditRecord("cred_1", defaultCustomer, "conv_1", later(9))), appendLedger(tx, defaultCustomer, "cred_1"),
			tx.PutIncident(incidentRecord("inc_1", 1)), tx.PutAffected(affectedRecord("inc_1", defaultCustomer, apologyStates[1])), putWebhook(tx, "hook_1", 2),
			tx.PutParked(parkedRecord("hook_1", "conv_1", 1)))
	})
	s.do("w", func(tx store.Tx) error {
		return errors.Join(tx.RemoveConversation("conv_1", erased), tx.RemoveCustomer(defaultCustomer))
	})
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		theirs := store.CreditQuery{CustomerKeys: []string{defaultCustomer}, ConversationID: "conv_1"}
		list, err1 := walkCredits(s.ctx, s.store(), "w", theirs, 3, nil)
		ledger, err2 := s.store().Ledger(s.ctx, "w", defaultCustomer)
		affected, err3 := walkAffected(s.ctx, s.store(), "w", "inc_1", 0, 3, nil)
		due, err4 := s.store().CreditsDue(s.ctx, nil, all)
		parked := s.parkedFor("w", "hook_1", "", all)
		if err := errors.Join(err1, err2, err3, err4); err != nil || len(list) != 1 || ledger.GetEntryCount() != 1 || len(affected) != 1 || len(due) != 1 || len(parked) != 3 {
			s.Errorf("after the conversation and the customer were removed: got %v, %v, %v, %v due, %q, %v, want one of each, and 3 parked", list, ledger, affected, due, parked, err)
		}
	}
	s.do("w", func(tx store.Tx) error {
		forgotten := creditRecord("cred_1", defaultCustomer, "", later(9))
		forgotten.Credit.Reason = ""
		return errors.Join(tx.PutCredit(forgotten), appendLedger(tx, defaultCustomer, "cred_1"))
	})
	if list, err := walkCredits(s.ctx, s.store(), "w", store.CreditQuery{ConversationID: "conv_1"}, 3, nil); err != nil || len(list) != 0 {
		s.Errorf("credits of a conversation that none names any more: got %v, %v", list, err)
	}
}

// customersAreRemoved removes customers, with conversations and without.
func customersAreRemoved(s *subject) {
	s.do("w", func(tx store.Tx) error {
		errs := errors.Join(tx.PutCustomer(customerRecord("id", "key_1", 1)), tx.PutCustomer(customerRecord("id 0", "key_10", 1)))
		for i := range 5 {
			d := begin(fmt.Sprint("conv_", i), "key_1", tx.Now())
			if i%2 == 0 {
				d.resolve(outcomes[0])
			}
			errs = errors.Join(errs, tx.Append(d.change()))
		}
		return errs
	})
	s.do("w2", func(tx store.Tx) error { return tx.PutCustomer(customerRecord("id", "key_1", 1)) })
	for left := 5; left > 0; left-- {
		s.refused(fmt.Sprintf("the removal of a customer with %d conversations", left), "w", func(tx store.Tx) error { return tx.RemoveCustomer("key_1") })
		s.do("w", func(tx store.Tx) error {
			theirs, err := tx.Conversations("key_1", all)
			some, errSome := tx.Conversations("key_1", 2)
			if slices.Sort(theirs); err != nil || errSome != nil || len(theirs) != left || len(some) != min(2, left) || !slices.Contains(theirs, some[0]) {
				s.Fatalf("Conversations: got %q, %v, and at most two: %q, %v, want %d", theirs, err, some, errSome, left)
			}
			return tx.RemoveConversation(theirs[0], erased)
		})
		if left%2 == 0 {
			s.reopen()
		}
	}
	s.refused("the removal of a customer with a conversation that the unit begins", "w", func(tx store.Tx) error {
		return errors.Join(tx.Append(begin("conv_9", "key_1", tx.Now()).change()), tx.RemoveCustomer("key_1"))
	})
	s.do("w", func(tx store.Tx) error { return tx.RemoveCustomer("key_1") })
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		_, err1 := s.store().Customer(s.ctx, "w", "id")
		_, err2 := s.store().CustomerByKey(s.ctx, "w", "key_1")
		s.wantErr("a customer that was removed", err1, store.ErrNotFound)
		s.wantErr("a customer that was removed, by key", err2, store.ErrNotFound)
		list, err := s.store().Customers(s.ctx, "w", "", all)
		if err != nil || len(list) != 1 || list[0].GetKey() != "key_10" {
			s.Errorf("Customers: got %v, %v, want the other", list, err)
		}
		_, err = s.store().Customer(s.ctx, "w2", "id")
		s.wantErr("a customer of another workspace", err, nil)
	}
	for _, key := range []string{"key_1", "key", ""} {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, tx.RemoveCustomer(key) })
		s.wantErr(fmt.Sprintf("RemoveCustomer(%q)", key), err, store.ErrNotFound)
	}
	s.do("w", func(tx store.Tx) error { return tx.PutCustomer(customerRecord("id", "key_2", 1)) })
	s.do("w", func(tx store.Tx) error {
		err := errors.Join(tx.RemoveCustomer("key_2"), tx.PutCustomer(customerRecord("id", "key_3", 1)))
		_, errGone := tx.CustomerByKey("key_2")
		s.wantErr("a customer, in the unit that removed it", errGone, store.ErrNotFound)
		return err
	})
	if c, err := s.store().Customer(s.ctx, "w", "id"); err != nil || !proto.Equal(c, customerRecord("id", "key_3", 1)) {
		s.Errorf("another customer under the id of one that was removed: got %v, %v", c, err)
	}
}

// removalForgetsRequestIDs removes a conversation: the request ids that named it are new, but for those that are kept for ever.
func removalForgetsRequestIDs(s *subject) {
	named := store.Once{RequestID: "request", Scope: "scope", Conversation: "conv_1", Body: [32]byte{1}}
	elsewhere, nowhere, forever, own := named, named, named, named
	elsewhere.Conversation, nowhere.Conversation = "conv_10", ""
	forever.Scope, forever.Forever = "credits", true
	own.RequestID = "removal"
	foreverNowhere := forever
	foreverNowhere.Conversation = ""
	for _, once := range []store.Once{named, elsewhere, nowhere, forever, foreverNowhere} {
		_, err := s.update("w", once, say("conv_1"))
		s.wantErr("Update", err, nil)
		_, err = s.update("w2", once, say("conv_1"))
		s.wantErr("Update", err, nil)
	}
	removes := func(tx store.Tx) (*storev1.Receipt, error) {
		return &storev1.Receipt{ObjectId: "removal"}, tx.RemoveConversation("conv_1", erased)
	}
	if result, err := s.update("w", own, removes); err != nil || result.Replayed {
		s.Errorf("a removal with a request id that names the conversation: got %+v, %v", result, err)
	}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		for i, once := range []store.Once{elsewhere, nowhere, forever, foreverNowhere} {
			want := &storev1.Receipt{ConversationId: "conv_1", MessageNumber: int32(i) + 2}
			s.wantReplay(fmt.Sprintf("after the removal, %+v", once), "w", once, want)
		}
		s.wantReplay("the removal again", "w", own, &storev1.Receipt{ObjectId: "removal"})
		s.wantReplay("of another workspace", "w2", named, &storev1.Receipt{ConversationId: "conv_1", MessageNumber: 1})
	}
	other := forever
	other.Body[0]++
	_, err := s.update("w", other, say("conv_1"))
	s.wantErr("another body, after the removal", err, store.ErrRequestIDReused)
	again := named
	again.Body[0]++ // nobody knows what it was used with
	result, err := s.update("w", again, say("conv_1"))
	if want := (&storev1.Receipt{ConversationId: "conv_1", MessageNumber: 1}); err != nil || result.Replayed || !proto.Equal(result.Receipt, want) {
		s.Errorf("a request id that named the conversation that was removed: got %+v, %v, want the first effect %v", result, err, want)
	}
	s.wantReplay("and again", "w", again, result.Receipt)
}

// foreverIsForever lets many days pass, with changes that give an engine reason to tidy up.
func foreverIsForever(s *subject) {
	onces := []store.Once{
		{RequestID: "forever", Scope: "credits", Conversation: "conv", Forever: true}, {RequestID: "forever", Scope: "credits", Forever: true},
		{RequestID: "early", Scope: "credits", Conversation: "conv", Forever: true}, {RequestID: "early", Scope: "credits", Forever: true},
	}
	for i, once := range onces {
		if _, err := s.update("w", once, say("conv")); err != nil {
			s.Fatalf("Update %d: %v", i, err)
		}
		for j := range 10 {
			for _, conversation := range []string{"conv", ""} {
				_, err := s.update("w", store.Once{RequestID: fmt.Sprint(i, "/", j), Conversation: conversation}, say("other"))
				s.wantErr("another", err, nil)
			}
		}
	}
	for day := range 6 {
		s.harness.Clock.Jump(store.OnceRetention)
		for j := range 20 {
			once := store.Once{RequestID: fmt.Sprint(day, "/", j), Conversation: []string{"conv", ""}[j%2]}
			_, err := s.update("w", once, say("other"))
			s.wantErr("another", err, nil)
		}
		if day%2 == 1 {
			s.reopen()
		}
	}
	check := func() {
		for i, once := range onces {
			s.wantReplay(fmt.Sprintf("days later, %+v", once), "w", once, &storev1.Receipt{ConversationId: "conv", MessageNumber: int32(i) + 1})
		}
	}
	check()
	s.remove("w", "conv", expired)
	s.crash()
	check()
	restored, err := restore(s.ctx, s.store(), s.harness.Clock)
	if err != nil {
		s.Fatalf("backup and restore: %v", err)
	}
	for _, once := range onces {
		if result, err := restored.Update(s.ctx, "w", once, say("conv")); err != nil || !result.Replayed {
			s.Errorf("in what was restored, %+v: got %+v, %v, want the first receipt", once, result, err)
		}
	}
}

// erasuresAndRemovalsAreKept pages through the erasures, and through the log of what retention removed.
func erasuresAndRemovalsAreKept(s *subject) {
	const running, done = goodshipv1.ErasureState_ERASURE_STATE_RUNNING, goodshipv1.ErasureState_ERASURE_STATE_DONE
	var newest []string
	s.do("w", func(tx store.Tx) error {
		newest = nil
		var errs error
		for i := range 11 {
			newest = append(newest, fmt.Sprintf("rmv_%02d", 10-i))
			errs = errors.Join(errs, tx.PutRemoval(removal(fmt.Sprintf("rmv_%02d", i*7%11), int32(i))))
		}
		return errors.Join(errs, tx.PutErasure(erasureRecord("era_3", running, 1)), tx.PutErasure(erasureRecord("era_1", running, 1)),
			tx.PutErasure(erasureRecord("era_10", done, 1)), tx.PutErasure(erasureRecord("era_2", running, 1)), tx.PutErasure(erasureRecord("era_2", running, 2)))
	})
	for _, limit := range []int{1, 3, 11, all} {
		s.wantPages("Removals", newest, limit, func(before string) (page []string) {
			got, err := s.store().Removals(s.ctx, "w", before, limit)
			s.wantErr("Removals", err, nil)
			for _, r := range got {
				page = append(page, r.GetId())
			}
			return page
		})
	}
	wants := func(want ...*storev1.ErasureRecord) {
		s.Helper()
		for _, restart := range []func(){func() {}, s.reopen, s.crash} {
			restart()
			got, err := s.store().Erasures(s.ctx, "w", "", all)
			if err != nil || !slices.EqualFunc(got, want, equal[*storev1.ErasureRecord]) {
				s.Errorf("Erasures: got %v, %v, want %v", got, err, want)
			}
		}
		for _, limit := range []int{1, 3, 4} {
			s.wantPages("Erasures", []string{"era_3", "era_2", "era_10", "era_1"}, limit, func(before string) (page []string) {
				got, err := s.store().Erasures(s.ctx, "w", before, limit)
				s.wantErr("Erasures", err, nil)
				for _, e := range got {
					page = append(page, e.GetErasure().GetId())
				}
				return page
			})
		}
	}
	wants(erasureRecord("era_3", running, 1), erasureRecord("era_2", running, 2), erasureRecord("era_10", done, 1), erasureRecord("era_1", running, 1))
	s.do("w", func(tx store.Tx) error {
		e, err := tx.Erasure("era_2")
		if err != nil || !proto.Equal(e, erasureRecord("era_2", running, 2)) {
			s.Errorf("Erasure in a unit: got %v, %v", e, err)
		}
		return errors.Join(tx.PutErasure(erasureRecord("era_2", done, 3)), tx.PutErasure(erasureRecord("era_10", running, 2)))
	})
	wants(erasureRecord("era_3", running, 1), erasureRecord("era_2", done, 3), erasureRecord("era_10", running, 2), erasureRecord("era_1", running, 1))
	if e, err := s.store().Erasure(s.ctx, "w", "era_2"); err != nil || !proto.Equal(e, erasureRecord("era_2", done, 3)) {
		s.Errorf("Erasure that is done: got %v, %v", e, err)
	}
	for w, id := range map[string]string{"w": "era_20", "w2": "era_1"} {
		_, err := s.store().Erasure(s.ctx, w, id)
		s.wantErr("Erasure that there is not", err, store.ErrNotFound)
	}
	s.refused("an erasure without an id", "w", func(tx store.Tx) error { return tx.PutErasure(erasureRecord("", running, 1)) })
	s.refused("an entry of the log of removals without an id", "w", func(tx store.Tx) error { return tx.PutRemoval(removal("", 1)) })
}
