package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/type/money"
)

// ledgerChecker goes through the ledger of one customer: its sums, then its entries.
type ledgerChecker struct {
	// prefix begins its keys; nil if none is gone through.
	prefix []byte
	// customer is the customer's key, and workspace the workspace's number.
	customer  string
	workspace uint32
	sums      *storev1.LedgerRecord
	// entries, owed, settled and basisPoints are what the entries come to so far.
	entries       int32
	owed, settled map[string]total
	basisPoints   int32
	// damaged says that something is that the rest would be compared with.
	damaged bool
}

var errNumber = errors.New("it stands under another number, or the one before it is missing")

// total is a sum of money in one currency: units and nanos, from 0 up.
type total struct{ units, nanos int64 }

// plus adds money so many times.
func (t total) plus(m *money.Money, times int64) total {
	const unit = 1_000_000_000
	nanos := t.nanos + times*int64(m.GetNanos())
	carry := (nanos%unit + unit) % unit
	return total{t.units + times*m.GetUnits() + (nanos-carry)/unit, carry}
}

// begun says whether more of it is to come.
func (l *ledgerChecker) begun() bool { return l.prefix != nil }

// leave ends the ledger if a key is none of its sums and entries, and begins the next one.
func (l *ledgerChecker) leave(c *checker, key []byte) {
	kind, customer, rest, _ := parseObjectKey(key)
	of := kind == ledgerKind && rest[0] != creditPart
	if l.prefix != nil && (!of || !bytes.HasPrefix(key, l.prefix)) {
		l.end(c)
	}
	if of && l.prefix == nil {
		w := binary.BigEndian.Uint32(key)
		*l = ledgerChecker{prefix: partKey(w, ledgerKind, customer, ""), customer: customer, workspace: w, owed: make(map[string]total), settled: make(map[string]total)}
	}
}

// lost notes that a record is damaged, if it is of a ledger.
func (l *ledgerChecker) lost(c *checker, key []byte) {
	if _, _, _, ok := parseObjectKey(key); ok {
		l.leave(c, key)
		l.damaged = l.prefix != nil
	}
}

// record takes the sums, or adds an entry.
func (l *ledgerChecker) record(v *view, key, payload []byte) (err error) {
	if key[len(l.prefix)] == sumsPart {
		l.sums, err = decode[storev1.LedgerRecord](v, objectTable, key, payload)
		if err == nil && l.sums.GetCustomerKey() != l.customer {
			err = v.damaged(objectTable, key, errKey)
		}
		l.damaged = err != nil
		return err
	}
	e, err := decode[goodshipv1.LedgerEntry](v, objectTable, key, payload)
	if err == nil && (e.GetNumber() != l.entries+1 || !bytes.Equal(key, ledgerEntryKey(l.workspace, l.customer, e.GetNumber()))) {
		err = v.damaged(objectTable, key, errNumber)
	}
	if err != nil {
		l.damaged = true
		return err
	}
	l.entries++
	l.basisPoints += e.GetBasisPoints()
	if m := e.GetMoney(); m != nil {
		l.owed[m.GetCurrencyCode()] = l.owed[m.GetCurrencyCode()].plus(m, 1)
		if e.GetKind() == goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED {
			l.settled[m.GetCurrencyCode()] = l.settled[m.GetCurrencyCode()].plus(m, -1)
		}
	}
	return nil
}

// end checks that the sums are those of the entries.
func (l *ledgerChecker) end(c *checker) {
	if l.prefix != nil && !l.damaged && !l.adds() {
		c.problem("The ledger of customer %q of workspace %q has %d entries, and its sums are not theirs.", l.customer, c.numbers[l.workspace], l.entries)
	}
	l.prefix = nil
}

// adds says whether the sums are those of the entries.
func (l *ledgerChecker) adds() bool {
	balances := l.sums.GetBalances()
	if l.sums.GetEntryCount() != l.entries || l.sums.GetBasisPointsOwed() != l.basisPoints || len(balances) != len(l.owed) {
		return false
	}
	for _, b := range balances {
		owed, there := l.owed[b.GetOwed().GetCurrencyCode()]
		if !there || owed != (total{}).plus(b.GetOwed(), 1) || l.settled[b.GetOwed().GetCurrencyCode()] != (total{}).plus(b.GetSettled(), 1) {
			return false
		}
	}
	return true
}
