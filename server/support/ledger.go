package support

import (
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
)

// enter adds an entry for what happened to a credit to its customer's ledger, at the time of the unit.
func enter(tx store.Tx, credit *storev1.CreditRecord, kind goodshipv1.LedgerEntryKind) error {
	ledger, err := tx.Ledger(credit.CustomerKey)
	if err != nil {
		return err
	}
	entry, err := rules.Enter(ledger, credit.Credit, kind, tx.Now())
	if err != nil {
		return err
	}
	return tx.AppendLedger(ledger, entry)
}

// GetLedger returns a customer's ledger. One that a visitor had before they signed in is found by the visitor's id.
func (s *Service) GetLedger(ctx context.Context, req *goodshipv1.GetLedgerRequest) (*goodshipv1.GetLedgerResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	customer, err := s.store.Customer(ctx, c.Workspace, req.CustomerId)
	if err != nil {
		return nil, orMissing(err, noCustomer(req.CustomerId))
	}
	ledger, err := s.store.Ledger(ctx, c.Workspace, customer.Key)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.GetLedgerResponse{Balances: ledger.Balances, BasisPointsOwed: ledger.BasisPointsOwed}
	count := min(p.size, int(ledger.EntryCount-p.number())) // and none that the sums do not know yet
	if count <= 0 {
		return reply, nil
	}
	reply.Entries, err = s.store.LedgerEntries(ctx, c.Workspace, customer.Key, p.number(), count)
	if n := len(reply.Entries); n > 0 && reply.Entries[n-1].Number < ledger.EntryCount {
		reply.NextPageToken = p.nextNumber(reply.Entries[n-1].Number)
	}
	return reply, err
}
