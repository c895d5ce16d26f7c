package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// ledger is all that is kept of a customer's ledger at one moment. It never changes once it is in a workspace.
type ledger struct {
	sums []byte
	// entries holds number n at n-1.
	entries [][]byte
}

func (w *workspace) ledger(customerKey string) (*storev1.LedgerRecord, error) {
	if l := w.ledgers[customerKey]; l != nil {
		return decode[storev1.LedgerRecord](l.sums)
	}
	return &storev1.LedgerRecord{CustomerKey: customerKey}, nil
}

func (w *workspace) spentBy(agentID, day string) (*storev1.SpentRecord, error) {
	spent, err := find[storev1.SpentRecord](w.spent[agentID], day)
	if errors.Is(err, store.ErrNotFound) {
		return &storev1.SpentRecord{AgentId: agentID, Day: day}, nil
	}
	return spent, err
}

func (t *tx) Credit(id string) (*storev1.CreditRecord, error) {
	return find[storev1.CreditRecord](t.workspace.credits, id)
}

func (t *tx) PutCredit(c *storev1.CreditRecord) error {
	id := c.GetCredit().GetId()
	before, err := t.Credit(id)
	switch {
	case c.GetCustomerKey() == "":
		return fmt.Errorf("store/memory: credit %q without a customer's key", id)
	case err == nil && before.GetCustomerKey() != c.GetCustomerKey():
		return fmt.Errorf("store/memory: credit %q is another customer's", id)
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	return putNamed(t.workspace.credits, id, c)
}

func (t *tx) Ledger(customerKey string) (*storev1.LedgerRecord, error) {
	return t.workspace.ledger(customerKey)
}

func (t *tx) AppendLedger(sums *storev1.LedgerRecord, entry *goodshipv1.LedgerEntry) error {
	key, next := sums.GetCustomerKey(), &ledger{}
	if key == "" {
		return errors.New("store/memory: ledger without a customer's key")
	}
	if l := t.workspace.ledgers[key]; l != nil {
		next.entries = slices.Clone(l.entries)
	}
	number := int32(len(next.entries)) + 1
	if entry.GetNumber() != number || sums.GetEntryCount() != number {
		return fmt.Errorf("store/memory: entry %d of a ledger of %d, want %d of each", entry.GetNumber(), sums.GetEntryCount(), number)
	}
	var err error
	if next.sums, err = encode(sums); err != nil {
		return err
	}
	if next.entries, err = set(next.entries, number, entry); err != nil {
		return err
	}
	t.workspace.ledgers[key] = next
	return nil
}

func (t *tx) Spent(agentID, day string) (*storev1.SpentRecord, error) {
	return t.workspace.spentBy(agentID, day)
}

func (t *tx) PutSpent(s *storev1.SpentRecord) error {
	return putUnder(t.workspace.spent, s.GetAgentId(), s.GetDay(), s)
}

func (t *tx) Statistics(day string) (*storev1.StatisticsRecord, error) {
	statistics, err := find[storev1.StatisticsRecord](t.workspace.statistics, day)
	if errors.Is(err, store.ErrNotFound) {
		return &storev1.StatisticsRecord{Day: day}, nil
	}
	return statistics, err
}

func (t *tx) PutStatistics(s *storev1.StatisticsRecord) error {
	return putNamed(t.workspace.statistics, s.GetDay(), s)
}

// Credit implements store.CreditReader.
func (s *Store) Credit(ctx context.Context, workspace, id string) (*storev1.CreditRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.CreditRecord](w.credits, id)
}

// Credits implements store.CreditReader. Pages are full, and the last one says that it is the last.
func (s *Store) Credits(ctx context.Context, workspace string, q store.CreditQuery, before string, limit int) ([]*storev1.CreditRecord, string, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, "", err
	}
	all, err := decodeAll[storev1.CreditRecord](newestBefore(w.credits, before))
	if err != nil {
		return nil, "", err
	}
	all = slices.DeleteFunc(all, func(c *storev1.CreditRecord) bool { return !creditHolds(q, c) })
	page := atMost(all, limit)
	if len(page) == len(all) || len(page) == 0 {
		return page, "", nil
	}
	return page, page[len(page)-1].GetCredit().GetId(), nil
}

// creditHolds reports whether a query holds for a credit.
func creditHolds(q store.CreditQuery, c *storev1.CreditRecord) bool {
	return (q.ConversationID == "" || q.ConversationID == c.GetCredit().GetConversationId()) &&
		(q.CustomerKeys == nil || slices.Contains(q.CustomerKeys, c.GetCustomerKey())) &&
		(q.State == 0 || q.State == c.GetCredit().GetState())
}

// CreditsDue implements store.CreditReader.
func (s *Store) CreditsDue(ctx context.Context, after *store.CreditDue, limit int) ([]store.CreditDue, error) {
	all, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var due []store.CreditDue
	for id, w := range all {
		credits, err := decodeAll[storev1.CreditRecord](slices.Collect(maps.Values(w.credits)))
		if err != nil {
			return nil, err
		}
		for _, c := range credits {
			if credit := c.GetCredit(); credit.GetState() == goodshipv1.CreditState_CREDIT_STATE_PENDING && !credit.GetOverdue() {
				due = append(due, store.CreditDue{Workspace: id, CreditID: credit.GetId(), Time: credit.GetSettleByTime().AsTime()})
			}
		}
	}
	slices.SortFunc(due, compareCreditsDue)
	if after != nil {
		due = slices.DeleteFunc(due, func(d store.CreditDue) bool { return compareCreditsDue(d, *after) <= 0 })
	}
	return atMost(due, limit), nil
}

func compareCreditsDue(a, b store.CreditDue) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Workspace, b.Workspace), cmp.Compare(a.CreditID, b.CreditID))
}

// Ledger implements store.CreditReader.
func (s *Store) Ledger(ctx context.Context, workspace, customerKey string) (*storev1.LedgerRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return w.ledger(customerKey)
}

// LedgerEntries implements store.CreditReader.
func (s *Store) LedgerEntries(ctx context.Context, workspace, customerKey string, after int32, limit int) ([]*goodshipv1.LedgerEntry, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil || w.ledgers[customerKey] == nil {
		return nil, err
	}
	return decodeAll[goodshipv1.LedgerEntry](pick(w.ledgers[customerKey].entries, store.Range{From: after + 1, Limit: limit}))
}

// Spent implements store.CreditReader.
func (s *Store) Spent(ctx context.Context, workspace, agentID, day string) (*storev1.SpentRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return w.spentBy(agentID, day)
}

// Statistics implements store.CreditReader.
func (s *Store) Statistics(ctx context.Context, workspace, from, to string) ([]*storev1.StatisticsRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	days := maps.Clone(w.statistics)
	maps.DeleteFunc(days, func(day string, _ []byte) bool { return day < from || day > to })
	return decodeAll[storev1.StatisticsRecord](sortedValues(days))
}
