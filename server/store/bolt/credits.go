package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"go.etcd.io/bbolt"
)

// Credit implements store.CreditReader.
func (s *Store) Credit(ctx context.Context, workspace, id string) (*storev1.CreditRecord, error) {
	return readObject[storev1.CreditRecord](ctx, s, workspace, creditKind, "credit", id)
}

// Credits implements store.CreditReader. It goes through the narrowest index that has all of them.
func (s *Store) Credits(ctx context.Context, workspace string, q store.CreditQuery, before string, limit int) (all []*storev1.CreditRecord, next string, err error) {
	if limit <= 0 {
		return nil, before, nil
	}
	err = s.inObjects(ctx, workspace, creditKind, func(v *view, w uint32) (err error) {
		p := creditPage{view: v, workspace: w, query: q, limit: limit}
		next, err = p.fill(before)
		all = p.credits
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return all, next, nil
}

// creditPage is a page of a list of credits on its way.
type creditPage struct {
	*view
	workspace  uint32
	query      store.CreditQuery
	limit      int
	credits    []*storev1.CreditRecord
	read, seen int
}

// fill fills the page and returns the id to go on before, empty at the end.
func (p *creditPage) fill(before string) (next string, err error) {
	for runs, last := p.runs(before), before; ; {
		run := newest(runs)
		if run == nil {
			return "", nil
		}
		id := run.id()
		if p.seen++; p.seen > pageEntries || p.read >= pageHeads || len(p.credits) == p.limit {
			return last, nil
		}
		if err := p.add(run, id); err != nil {
			return "", err
		}
		last = id
		run.older()
	}
}

// add adds a credit if the query holds for it. What the index says of it spares reading it.
func (p *creditPage) add(run *creditRun, id string) error {
	payload, err := p.unseal(objectTable, run.key, run.value)
	if err != nil {
		return err
	}
	if run.states {
		state, _ := binary.Uvarint(payload)
		if wanted := p.query.State; wanted != 0 && goodshipv1.CreditState(state) != wanted {
			return nil
		}
	}
	p.read++
	key := objectKey(p.workspace, creditKind, id)
	c, err := load[storev1.CreditRecord](p.view, objectTable, key)
	if err != nil {
		return err
	}
	if c == nil {
		return p.damaged(objectTable, key, errMissing)
	}
	if p.holds(c) {
		p.credits = append(p.credits, c)
	}
	return nil
}

// holds says whether the query holds for a credit.
func (p *creditPage) holds(r *storev1.CreditRecord) bool {
	q, c := p.query, r.GetCredit()
	return (q.State == 0 || c.GetState() == q.State) &&
		(q.ConversationID == "" || c.GetConversationId() == q.ConversationID) &&
		(q.CustomerKeys == nil || slices.Contains(q.CustomerKeys, r.GetCustomerKey()))
}

// creditRun is a run of credits, from the newest before an id on, where an index or the table itself has them.
type creditRun struct {
	cursor     *bbolt.Cursor
	prefix     []byte
	key, value []byte
	// states says that the values are the credits' states.
	states bool
}

// runs returns where the page looks, each at its newest credit before an id; all if that is empty.
func (p *creditPage) runs(before string) []*creditRun {
	switch q := p.query; {
	case q.ConversationID != "":
		return []*creditRun{p.run(partKey(p.workspace, grantedKind, q.ConversationID, ""), before, true)}
	case q.CustomerKeys != nil:
		var runs []*creditRun
		for _, customer := range distinct(q.CustomerKeys) {
			runs = append(runs, p.run(ledgerKey(p.workspace, customer, creditPart), before, true))
		}
		return runs
	case q.State == goodshipv1.CreditState_CREDIT_STATE_PENDING:
		return []*creditRun{p.run(objectKey(p.workspace, pendingCreditKind, ""), before, false)}
	}
	return []*creditRun{p.run(objectKey(p.workspace, creditKind, ""), before, false)}
}

func (p *creditPage) run(prefix []byte, before string, states bool) *creditRun {
	r := &creditRun{cursor: p.bucket(objectTable).Cursor(), prefix: prefix, states: states}
	if before == "" {
		r.cursor.Seek(successor(prefix))
	} else {
		r.cursor.Seek(append(bytes.Clone(prefix), before...))
	}
	r.older()
	return r
}

// older goes on to the next credit of the run; the key is nil at its end.
func (r *creditRun) older() {
	if r.key, r.value = r.cursor.Prev(); !bytes.HasPrefix(r.key, r.prefix) {
		r.key = nil
	}
}

func (r *creditRun) id() string { return string(r.key[len(r.prefix):]) }

// newest returns the run with the newest credit, or nil if all are at their end.
func newest(runs []*creditRun) *creditRun {
	var found *creditRun
	for _, r := range runs {
		if r.key != nil && (found == nil || r.id() > found.id()) {
			found = r
		}
	}
	return found
}

// CreditsDue implements store.CreditReader.
func (s *Store) CreditsDue(ctx context.Context, after *store.CreditDue, limit int) (all []store.CreditDue, err error) {
	err = s.view(ctx, part{kind: creditKind}, func(v *view) error {
		var start []byte
		if after != nil {
			start = dueKey(nanosecondsOf(after.Time), after.Workspace, after.CreditID)
		}
		cursor := v.bucket(dueTable).Cursor()
		key, value := cursor.Seek(start)
		if after != nil && bytes.Equal(key, start) {
			key, value = cursor.Next()
		}
		for ; key != nil && len(all) < limit; key, value = cursor.Next() {
			if _, err := v.unseal(dueTable, key, value); err != nil {
				return err
			}
			at, workspace, credit, ok := parseDueKey(key)
			if !ok {
				return v.damaged(dueTable, key, errKey)
			}
			all = append(all, store.CreditDue{Workspace: workspace, CreditID: credit, Time: time.Unix(0, at).UTC()})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Ledger implements store.CreditReader.
func (s *Store) Ledger(ctx context.Context, workspace, customerKey string) (l *storev1.LedgerRecord, err error) {
	err = s.inObjects(ctx, workspace, ledgerKind, func(v *view, w uint32) (err error) {
		l, err = sums(v, w, customerKey)
		return err
	})
	return l, err
}

// LedgerEntries implements store.CreditReader.
func (s *Store) LedgerEntries(ctx context.Context, workspace, customerKey string, after int32, limit int) (all []*goodshipv1.LedgerEntry, err error) {
	err = s.inObjects(ctx, workspace, ledgerKind, func(v *view, w uint32) (err error) {
		from := string(binary.BigEndian.AppendUint32(nil, uint32(max(after, 0))))
		all, err = objects[goodshipv1.LedgerEntry](v, objectTable, ledgerKey(w, customerKey, entryPart), from, limit, false)
		return err
	})
	return all, err
}

// Spent implements store.CreditReader.
func (s *Store) Spent(ctx context.Context, workspace, agentID, day string) (r *storev1.SpentRecord, err error) {
	err = s.inObjects(ctx, workspace, spentKind, func(v *view, w uint32) (err error) {
		r, err = spent(v, w, agentID, day)
		return err
	})
	return r, err
}

// Statistics implements store.CreditReader.
func (s *Store) Statistics(ctx context.Context, workspace, from, to string) (all []*storev1.StatisticsRecord, err error) {
	err = s.inObjects(ctx, workspace, statisticsKind, func(v *view, w uint32) error {
		cursor, prefix := v.bucket(objectTable).Cursor(), objectKey(w, statisticsKind, "")
		last := objectKey(w, statisticsKind, to)
		for key, value := cursor.Seek(objectKey(w, statisticsKind, from)); bytes.HasPrefix(key, prefix) && bytes.Compare(key, last) <= 0; key, value = cursor.Next() {
			payload, err := v.unseal(objectTable, key, value)
			if err != nil {
				return err
			}
			m, err := decode[storev1.StatisticsRecord](v, objectTable, key, payload)
			if err != nil {
				return err
			}
			all = append(all, m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
