package right

import (
	"fmt"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// sums are what entries of a ledger make, in thousandths, and what of it was settled.
type sums struct {
	owed, settled map[string]int64
	basisPoints   int32
}

// holds returns an error unless a ledger is what its customer's credits, by id, make: its entries are numbered, one granted each
// credit, one ended each that ended, and the balances are their sums.
func (l *ledger) holds(credits map[string]*goodshipv1.Credit) error {
	s, left := sums{owed: map[string]int64{}, settled: map[string]int64{}}, entriesOf(credits)
	for i, e := range l.entries {
		if e.Number != int32(i+1) {
			return fmt.Errorf("entry %d has the number %d", i+1, e.Number)
		}
		due := step{e.CreditId, e.Kind}
		c := credits[e.CreditId]
		if !left[due] {
			return fmt.Errorf("%v is of no credit, or was there before", e)
		}
		delete(left, due)
		sign := int64(-1)
		if e.Kind == goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED {
			sign = 1
		}
		if mills(e.Money) != sign*mills(c.Amount.GetMoney()) || e.Money.GetCurrencyCode() != c.Amount.GetMoney().GetCurrencyCode() || int64(e.BasisPoints) != sign*int64(c.Amount.GetBasisPoints()) {
			return fmt.Errorf("%v is not the amount of %v", e, c)
		}
		s.add(e)
	}
	if len(left) > 0 {
		return fmt.Errorf("there is no entry of %v", left)
	}
	return s.are(l)
}

// step is what an entry tells of a credit.
type step struct {
	credit string
	kind   goodshipv1.LedgerEntryKind
}

// entriesOf returns what a ledger must have entries of.
func entriesOf(credits map[string]*goodshipv1.Credit) map[step]bool {
	all := map[step]bool{}
	for id, c := range credits {
		all[step{id, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED}] = true
		switch c.State {
		case goodshipv1.CreditState_CREDIT_STATE_SETTLED:
			all[step{id, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED}] = true
		case goodshipv1.CreditState_CREDIT_STATE_REFUSED:
			all[step{id, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_REFUSED}] = true
		case goodshipv1.CreditState_CREDIT_STATE_REVERSED:
			all[step{id, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_REVERSED}] = true
		}
	}
	return all
}

func (s *sums) add(e *goodshipv1.LedgerEntry) {
	s.basisPoints += e.BasisPoints
	if e.Money == nil {
		return
	}
	s.owed[e.Money.CurrencyCode] += mills(e.Money)
	if e.Kind == goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED {
		s.settled[e.Money.CurrencyCode] -= mills(e.Money)
	}
}

// are returns an error unless the sums are the ledger's balances.
func (s *sums) are(l *ledger) error {
	if len(l.balances) != len(s.owed) || l.basisPoints != s.basisPoints {
		return fmt.Errorf("the balances are %v and %d basis points, the entries make %v", l.balances, l.basisPoints, *s)
	}
	for _, b := range l.balances {
		code := b.Owed.GetCurrencyCode()
		if owed, ok := s.owed[code]; !ok || owed != mills(b.Owed) || s.settled[code] != mills(b.Settled) {
			return fmt.Errorf("the balance is %v, the entries make %v", b, *s)
		}
	}
	return nil
}
