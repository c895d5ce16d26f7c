package rules

import (
	"slices"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Enter returns the next entry of a ledger, for what happened to a credit, and brings the ledger's sums from before it to after
// it. What is granted is owed; what is settled, refused or taken back is owed no longer.
func Enter(l *storev1.LedgerRecord, c *goodshipv1.Credit, kind goodshipv1.LedgerEntryKind, now time.Time) (*goodshipv1.LedgerEntry, error) {
	sign := int32(-1)
	if kind == goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED {
		sign = 1
	}
	l.EntryCount++
	e := &goodshipv1.LedgerEntry{Number: l.EntryCount, CreditId: c.Id, Kind: kind, CreateTime: timestamppb.New(now)}
	money := c.Amount.GetMoney()
	if money == nil {
		e.BasisPoints = sign * c.Amount.GetBasisPoints()
		l.BasisPointsOwed += e.BasisPoints
		return e, nil
	}
	mills, err := Mills(money)
	if err != nil {
		return nil, err
	}
	e.Money = Money(money.CurrencyCode, int64(sign)*mills)
	return e, enterMoney(l, e, mills)
}

// enterMoney brings the balance of an entry's currency to after it; the mills are the credit's.
func enterMoney(l *storev1.LedgerRecord, e *goodshipv1.LedgerEntry, mills int64) error {
	b := balance(l, e.Money.CurrencyCode)
	owed, err := Mills(b.Owed)
	if err != nil {
		return err
	}
	settled, err := Mills(b.Settled)
	if err != nil {
		return err
	}
	switch e.Kind {
	case goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED:
		owed += mills
	case goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED:
		owed, settled = owed-mills, settled+mills
	default:
		owed -= mills
	}
	b.Owed, b.Settled = Money(e.Money.CurrencyCode, owed), Money(e.Money.CurrencyCode, settled)
	return nil
}

// balance returns a ledger's balance in a currency, made if missing.
func balance(l *storev1.LedgerRecord, currency string) *goodshipv1.Balance {
	i, found := slices.BinarySearchFunc(l.Balances, currency, func(b *goodshipv1.Balance, code string) int {
		return strings.Compare(b.Owed.CurrencyCode, code)
	})
	if !found {
		l.Balances = slices.Insert(l.Balances, i, &goodshipv1.Balance{Owed: Money(currency, 0), Settled: Money(currency, 0)})
	}
	return l.Balances[i]
}
