package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// creditIndex returns what finds a credit; nothing finds none. Billing asks for those that are PENDING, a customer and an agent
// for those of one customer or conversation, and time for those that are due.
func creditIndex(w *workspace, r *storev1.CreditRecord) []indexEntry {
	if r == nil {
		return nil
	}
	c := r.GetCredit()
	id, state := c.GetId(), string(binary.AppendUvarint(nil, uint64(c.GetState())))
	entries := []indexEntry{{place{objectTable, string(append(ledgerKey(w.number, r.GetCustomerKey(), creditPart), id...))}, state}}
	if conversation := c.GetConversationId(); conversation != "" {
		entries = append(entries, indexEntry{place{objectTable, string(partKey(w.number, grantedKind, conversation, id))}, state})
	}
	if c.GetState() != goodshipv1.CreditState_CREDIT_STATE_PENDING {
		return entries
	}
	entries = append(entries, indexEntry{at: place{objectTable, string(objectKey(w.number, pendingCreditKind, id))}})
	if !c.GetOverdue() {
		entries = append(entries, indexEntry{at: place{dueTable, string(dueKey(nanoseconds(c.GetSettleByTime()), w.id, id))}})
	}
	return entries
}

// Credit implements store.CreditTx.
func (t *tx) Credit(id string) (c *storev1.CreditRecord, err error) {
	defer t.contain(&err)
	return findObject[storev1.CreditRecord](t, objectKey(t.workspace.number, creditKind, id), "credit", id)
}

// PutCredit implements store.CreditTx.
func (t *tx) PutCredit(c *storev1.CreditRecord) (err error) {
	defer t.contain(&err)
	id := c.GetCredit().GetId()
	if err := errors.Join(checkID("credit", id), checkID("customer's key", c.GetCustomerKey())); err != nil {
		return err
	}
	if conversation := c.GetCredit().GetConversationId(); conversation != "" {
		if err := checkID("conversation", conversation); err != nil {
			return err
		}
	}
	key := objectKey(t.workspace.number, creditKind, id)
	before, err := load[storev1.CreditRecord](t, objectTable, key)
	if err != nil {
		return err
	}
	if before != nil && before.GetCustomerKey() != c.GetCustomerKey() {
		return fmt.Errorf("store/bolt: credit %q is of customer %q, not of %q", id, before.GetCustomerKey(), c.GetCustomerKey())
	}
	return t.putIndexed(key, c, creditIndex(t.workspace, before), creditIndex(t.workspace, c))
}

// sums returns the sums of a customer's ledger; those of an empty one if there is none.
func sums(s source, w uint32, customerKey string) (*storev1.LedgerRecord, error) {
	m, err := load[storev1.LedgerRecord](s, objectTable, ledgerKey(w, customerKey, sumsPart))
	if err == nil && m == nil {
		m = &storev1.LedgerRecord{CustomerKey: customerKey}
	}
	return m, err
}

// Ledger implements store.CreditTx.
func (t *tx) Ledger(customerKey string) (l *storev1.LedgerRecord, err error) {
	defer t.contain(&err)
	return sums(t, t.workspace.number, customerKey)
}

// AppendLedger implements store.CreditTx.
func (t *tx) AppendLedger(after *storev1.LedgerRecord, e *goodshipv1.LedgerEntry) (err error) {
	defer t.contain(&err)
	customer := after.GetCustomerKey()
	if err := checkID("customer's key", customer); err != nil {
		return err
	}
	before, err := sums(t, t.workspace.number, customer)
	if err != nil {
		return err
	}
	if next := before.GetEntryCount() + 1; e.GetNumber() != next || after.GetEntryCount() != next {
		return fmt.Errorf("store/bolt: entry %d of %d of the ledger of customer %q, want number %d", e.GetNumber(), after.GetEntryCount(), customer, next)
	}
	return errors.Join(t.putSums(after), t.putLedgerEntry(customer, e))
}

func (t *tx) putSums(l *storev1.LedgerRecord) error {
	return t.put(objectTable, ledgerKey(t.workspace.number, l.GetCustomerKey(), sumsPart), l)
}

func (t *tx) putLedgerEntry(customer string, e *goodshipv1.LedgerEntry) error {
	return t.put(objectTable, ledgerEntryKey(t.workspace.number, customer, e.GetNumber()), e)
}

// spent returns what an agent granted on a day.
func spent(s source, w uint32, agentID, day string) (*storev1.SpentRecord, error) {
	m, err := load[storev1.SpentRecord](s, objectTable, partKey(w, spentKind, agentID, day))
	if err == nil && m == nil {
		m = &storev1.SpentRecord{AgentId: agentID, Day: day}
	}
	return m, err
}

// Spent implements store.CreditTx.
func (t *tx) Spent(agentID, day string) (r *storev1.SpentRecord, err error) {
	defer t.contain(&err)
	return spent(t, t.workspace.number, agentID, day)
}

// PutSpent implements store.CreditTx.
func (t *tx) PutSpent(r *storev1.SpentRecord) error {
	if err := errors.Join(checkID("agent", r.GetAgentId()), checkID("day", r.GetDay())); err != nil {
		return err
	}
	return t.put(objectTable, partKey(t.workspace.number, spentKind, r.GetAgentId(), r.GetDay()), r)
}

// Statistics implements store.CreditTx.
func (t *tx) Statistics(day string) (r *storev1.StatisticsRecord, err error) {
	defer t.contain(&err)
	r, err = load[storev1.StatisticsRecord](t, objectTable, objectKey(t.workspace.number, statisticsKind, day))
	if err == nil && r == nil {
		r = &storev1.StatisticsRecord{Day: day}
	}
	return r, err
}

// PutStatistics implements store.CreditTx.
func (t *tx) PutStatistics(r *storev1.StatisticsRecord) error {
	if err := checkID("day", r.GetDay()); err != nil {
		return err
	}
	return t.put(objectTable, objectKey(t.workspace.number, statisticsKind, r.GetDay()), r)
}
