package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Credits are found by what they are, and fall due in order (invariant 8).

// refused fails the test unless a unit fails, in one way or another, and changes nothing.
func (s *subject) refused(what, workspace string, fn func(store.Tx) error) {
	s.Helper()
	before := s.image()
	if _, err := s.update(workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, fn(tx) }); err == nil {
		s.Errorf("the store took %s", what)
	}
	s.unchanged(what, before)
}

// shuffleCredit gives a credit any state, conversation and time.
func shuffleCredit(c *storev1.CreditRecord, pick choose) {
	c.Credit.State = one(pick, creditStates)
	if pick(2) == 0 {
		c.Credit.State = goodshipv1.CreditState_CREDIT_STATE_PENDING
	}
	c.Credit.Overdue = pick(3) == 0
	c.Credit.ConversationId = one(pick, []string{"", "conv_1", "conv_10", "conv_2"})
	c.Credit.SettleByTime = timestamppb.New(moment(pick))
}

// creditQuery returns any query; most find something.
func creditQuery(pick choose) store.CreditQuery {
	var q store.CreditQuery
	if pick(2) == 0 {
		q.State = one(pick, creditStates)
	}
	switch pick(5) {
	case 0:
		q.CustomerKeys = []string{one(pick, customers)}
	case 1:
		q.CustomerKeys = []string{one(pick, customers), "key_of_nobody", one(pick, customers)}
	}
	if pick(4) == 0 {
		q.ConversationID = one(pick, []string{"conv_1", "conv_10", "conv_of_nobody"})
	}
	return q
}

// creditHolds says whether a query holds for a credit. It is said a second time in each engine, on purpose.
func creditHolds(q store.CreditQuery, c *storev1.CreditRecord) bool {
	return (q.State == 0 || q.State == c.GetCredit().GetState()) &&
		(q.CustomerKeys == nil || slices.Contains(q.CustomerKeys, c.GetCustomerKey())) &&
		(q.ConversationID == "" || q.ConversationID == c.GetCredit().GetConversationId())
}

// putCredits puts so many credits, changed at random, in one unit.
func (s *subject) putCredits(w string, pick choose, count int) {
	s.Helper()
	s.do(w, func(tx store.Tx) error {
		for i := range count {
			c := creditRecord(fmt.Sprintf("cred_%02d", i), customers[i%len(customers)], "", time.Time{})
			shuffleCredit(c, pick)
			if err := tx.PutCredit(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// creditListsEqualFullScans asks many queries of many credits that were changed many times.
func creditListsEqualFullScans(s *subject) {
	pick := choose(rand.New(rand.NewPCG(7, 8)).IntN)
	const count = 40
	for round, restart := range []func(){func() {}, s.reopen, s.crash} {
		s.putCredits("w", pick, count)
		s.putCredits("w2", pick, round+1)
		restart()
		var newest []*storev1.CreditRecord
		for i := range count {
			c, err := s.store().Credit(s.ctx, "w", fmt.Sprintf("cred_%02d", count-1-i))
			s.wantErr("Credit", err, nil)
			newest = append(newest, c)
		}
		for range 120 {
			s.wantCredits(creditQuery(pick), newest, pick(7)+1)
		}
		s.wantCredits(store.CreditQuery{CustomerKeys: []string{}}, newest, 3)
	}
	page, next, err := s.store().Credits(s.ctx, "w", store.CreditQuery{}, "cred_10", 5)
	if err != nil || len(page) > 5 || len(page) > 0 && page[0].GetCredit().GetId() != "cred_09" {
		s.Errorf("Credits before cred_10: got %v, next %q, %v, want cred_09 first", page, next, err)
	}
	if list, err := walkCredits(s.ctx, s.store(), "nobody's", store.CreditQuery{}, 3, nil); err != nil || len(list) != 0 {
		s.Errorf("Credits of a workspace that nobody wrote to: got %v, %v", list, err)
	}
}

// wantCredits fails the test unless a list, in pages, is what a scan of all credits gives, which are newest first.
func (s *subject) wantCredits(q store.CreditQuery, newest []*storev1.CreditRecord, limit int) {
	s.Helper()
	want := slices.DeleteFunc(slices.Clone(newest), func(c *storev1.CreditRecord) bool { return !creditHolds(q, c) })
	got, err := walkCredits(s.ctx, s.store(), "w", q, limit, nil)
	if err != nil || !slices.EqualFunc(got, want, equal[*storev1.CreditRecord]) {
		s.Errorf("credits %+v in pages of %d: got %v, %v, want %v", q, limit, got, err, want)
	}
}

// creditPagesShowTheUntouchedOnce settles and grants between the pages, and beside them.
func creditPagesShowTheUntouchedOnce(s *subject) {
	pick := choose(rand.New(rand.NewPCG(9, 10)).IntN)
	s.do("w", func(tx store.Tx) error {
		for i := range 24 {
			id := fmt.Sprintf("cred_%02d_%s", i, []string{"still", "moving"}[i%2])
			if err := tx.PutCredit(creditRecord(id, "key_1", "conv_1", later(9))); err != nil {
				return err
			}
		}
		return nil
	})
	granted := 0
	disturb := func() {
		granted++
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			for range 4 {
				c := creditRecord(fmt.Sprintf("cred_%02d_moving", 2*pick(12)+1), "key_1", "conv_1", later(pick(9)))
				c.Credit.State = one(pick, creditStates)
				if err := tx.PutCredit(c); err != nil {
					return nil, err
				}
			}
			return nil, tx.PutCredit(creditRecord(fmt.Sprintf("cred_%02d_new_%02d", pick(24), granted%20), "key_1", "conv_1", later(9)))
		})
		s.wantErr("Update", err, nil)
	}
	for _, q := range []store.CreditQuery{
		{}, {State: goodshipv1.CreditState_CREDIT_STATE_PENDING}, {CustomerKeys: []string{"key_2", "key_1"}}, {ConversationID: "conv_1"},
	} {
		for _, limit := range []int{2, 5} {
			list, err := walkCredits(s.ctx, s.store(), "w", q, limit, disturb)
			s.wantErr("Credits between writes", err, nil)
			s.wantStillCredits(q, list)
		}
		together(2, func(i int) {
			for range 10 {
				if i == 0 {
					disturb()
					continue
				}
				list, err := walkCredits(s.ctx, s.store(), "w", q, 3, nil)
				s.wantErr("Credits beside writes", err, nil)
				s.wantStillCredits(q, list)
			}
		})
	}
}

// wantStillCredits fails the test unless each credit that nobody touches is in a list exactly once, and what is, belongs there.
func (s *subject) wantStillCredits(q store.CreditQuery, list []*storev1.CreditRecord) {
	s.Helper()
	still := make(map[string]bool)
	for i, c := range list {
		id := c.GetCredit().GetId()
		if !creditHolds(q, c) || i > 0 && id >= list[i-1].GetCredit().GetId() {
			s.Errorf("credits %+v show %v after %v", q, c, list[max(i-1, 0)])
		}
		if strings.HasSuffix(id, "still") {
			still[id] = true
		}
	}
	if len(still) != 12 {
		s.Errorf("credits %+v show %d of the 12 that nobody touches", q, len(still))
	}
}

// creditsKeepTheirCustomer puts credits under other customers, and without a name.
func creditsKeepTheirCustomer(s *subject) {
	s.do("w", func(tx store.Tx) error { return tx.PutCredit(creditRecord("cred_1", "key_1", "conv_1", later(1))) })
	s.do("w2", func(tx store.Tx) error { return tx.PutCredit(creditRecord("cred_1", "key_2", "conv_1", later(1))) })
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		s.refused("a credit under another customer", "w", func(tx store.Tx) error {
			return tx.PutCredit(creditRecord("cred_1", "key_2", "conv_1", later(2)))
		})
	}
	s.refused("a credit under another customer, in the unit that put it", "w", func(tx store.Tx) error {
		if err := tx.PutCredit(creditRecord("cred_2", "key_1", "", later(2))); err != nil {
			s.Errorf("PutCredit: %v", err)
		}
		return tx.PutCredit(creditRecord("cred_2", "key_2", "", later(2)))
	})
	s.refused("a credit without an id", "w", func(tx store.Tx) error { return tx.PutCredit(creditRecord("", "key_1", "", later(2))) })
	s.refused("a credit of nobody", "w", func(tx store.Tx) error { return tx.PutCredit(creditRecord("cred_2", "", "", later(2))) })
	s.do("w", func(tx store.Tx) error { return tx.PutCredit(creditRecord("cred_1", "key_1", "", later(2))) })
	c, err := s.store().Credit(s.ctx, "w", "cred_1")
	if want := creditRecord("cred_1", "key_1", "", later(2)); err != nil || !proto.Equal(c, want) {
		s.Errorf("Credit: got %v, %v, want %v", c, err, want)
	}
}

// creditsDueAreInOrder grants, settles and moves credits over workspaces. Those that are PENDING and not overdue fall due.
func creditsDueAreInOrder(s *subject) {
	pick := choose(rand.New(rand.NewPCG(11, 12)).IntN)
	workspaces := []string{"w", "w2", "w20"}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		for i, w := range workspaces {
			s.putCredits(w, pick, 12-i)
		}
		restart()
		var want []store.CreditDue
		for _, w := range workspaces {
			list, err := walkCredits(s.ctx, s.store(), w, store.CreditQuery{State: goodshipv1.CreditState_CREDIT_STATE_PENDING}, all, nil)
			s.wantErr("Credits", err, nil)
			for _, c := range list {
				if !c.GetCredit().GetOverdue() {
					want = append(want, store.CreditDue{Workspace: w, CreditID: c.GetCredit().GetId(), Time: c.GetCredit().GetSettleByTime().AsTime()})
				}
			}
		}
		slices.SortFunc(want, func(a, b store.CreditDue) int {
			return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Workspace, b.Workspace), cmp.Compare(a.CreditID, b.CreditID))
		})
		for _, limit := range []int{0, 1, 5, all} {
			s.wantCreditsDue(nil, limit, want)
			for i := range want {
				s.wantCreditsDue(&want[i], limit, want[i+1:])
			}
			first := want[0]
			first.CreditID = first.CreditID[:3] // which there is not, before all others
			s.wantCreditsDue(&first, limit, want)
		}
	}
}

// wantCreditsDue fails the test unless CreditsDue goes on like this after one that it returned, or from the first.
func (s *subject) wantCreditsDue(after *store.CreditDue, limit int, want []store.CreditDue) {
	s.Helper()
	want = want[:min(limit, len(want))]
	got, err := s.store().CreditsDue(s.ctx, after, limit)
	if err != nil || !slices.EqualFunc(got, want, func(a, b store.CreditDue) bool {
		return a.Time.Equal(b.Time) && a.Workspace == b.Workspace && a.CreditID == b.CreditID
	}) {
		s.Errorf("CreditsDue of %d after %v: got %v, %v, want %v", limit, after, got, err, want)
	}
}

// settledCreditsAreNotDue ends credits, and lets one be overdue: each leaves what is due at once, in its unit, and only it.
func settledCreditsAreNotDue(s *subject) {
	ids := []string{"cred_1", "cred_2", "cred_3", "cred_4"}
	s.do("w", func(tx store.Tx) error {
		for i, id := range ids {
			if err := tx.PutCredit(creditRecord(id, "key_1", "conv_1", later(i))); err != nil {
				return err
			}
		}
		return nil
	})
	due := func() (left []string) {
		list, err := s.store().CreditsDue(s.ctx, nil, all)
		s.wantErr("CreditsDue", err, nil)
		for _, d := range list {
			left = append(left, d.CreditID)
		}
		return left
	}
	for i, end := range []func(*goodshipv1.Credit){
		func(c *goodshipv1.Credit) { c.Overdue = true },
		func(c *goodshipv1.Credit) { c.State = goodshipv1.CreditState_CREDIT_STATE_SETTLED },
		func(c *goodshipv1.Credit) { c.State = goodshipv1.CreditState_CREDIT_STATE_REFUSED },
		func(c *goodshipv1.Credit) { c.State = goodshipv1.CreditState_CREDIT_STATE_REVERSED },
	} {
		if got := due(); !slices.Equal(got, ids[i:]) {
			s.Errorf("before %s ends: got %q due, want %q", ids[i], got, ids[i:])
		}
		s.do("w", func(tx store.Tx) error {
			c, err := tx.Credit(ids[i])
			if err != nil {
				return err
			}
			end(c.Credit)
			return tx.PutCredit(c)
		})
	}
	pending, err := walkCredits(s.ctx, s.store(), "w", store.CreditQuery{State: goodshipv1.CreditState_CREDIT_STATE_PENDING}, 3, nil)
	if got := due(); len(got) != 0 || err != nil || len(pending) != 1 || pending[0].GetCredit().GetId() != "cred_1" {
		s.Errorf("after all ended: got %q due, and %v PENDING, %v, want none due, and the one that is overdue", got, pending, err)
	}
}
