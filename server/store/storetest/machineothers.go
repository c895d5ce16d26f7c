package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// drawOther does anything to what is neither a conversation nor of the directory, or removes something.
func (m *twins) drawOther(workspace string) action {
	switch m.pick(9) {
	case 0, 1:
		id, cause := m.drawID(), one(m.pick, []goodshipv1.RemovalCause{erased, expired})
		return action{fmt.Sprint("remove ", id, " ", cause), store.Hint{Workspace: workspace, ConversationID: id}, func(tx store.Tx) error {
			return tx.RemoveConversation(id, cause)
		}}
	case 2:
		key, puts := one(m.pick, customers), m.pick(2) == 0
		return action{fmt.Sprint("remove customer ", key, ", put before: ", puts), store.Hint{Workspace: workspace, CustomerID: "id of " + key}, func(tx store.Tx) error {
			if puts {
				if err := tx.PutCustomer(customerRecord("id of "+key, key, 0)); err != nil {
					return err
				}
			}
			return tx.RemoveCustomer(key)
		}}
	case 3, 4:
		return m.drawCredit()
	case 5:
		return m.drawIncident()
	case 6, 7:
		return m.drawWebhook()
	}
	return m.drawCount()
}

// drawCredit puts a credit and appends to a ledger: mostly its customer's, and under the number that follows.
func (m *twins) drawCredit() action {
	i := m.pick(len(credits))
	customer, number := customers[i], int32(1)
	switch m.pick(8) {
	case 0:
		customer = one(m.pick, customers)
	case 1:
		number = int32(m.pick(3))
	}
	c := creditRecord(credits[i], customer, "", time.Time{})
	shuffleCredit(c, m.pick)
	if m.pick(2) == 0 {
		c.Credit.ConversationId = m.drawID()
	}
	entries := m.pick(3)
	return action{fmt.Sprintf("put credit %v, and %d entries, the number off by %d", c, entries, number-1), store.Hint{}, func(tx store.Tx) error {
		for range entries {
			before, err := tx.Ledger(customer)
			if err != nil {
				return err
			}
			sums, entry := entryAfter(before, c.GetCredit().GetId())
			entry.Number += number - 1
			if err := tx.AppendLedger(sums, entry); err != nil {
				return err
			}
		}
		return tx.PutCredit(c)
	}}
}

func (m *twins) drawIncident() action {
	incident, affected := incidentRecord(one(m.pick, incidents), int32(m.pick(100))), []*storev1.AffectedRecord(nil)
	for range m.pick(4) {
		affected = append(affected, affectedRecord(one(m.pick, incidents), one(m.pick, customers), one(m.pick, apologyStates)))
	}
	return action{fmt.Sprintf("put incident %v, affected %v", incident, affected), store.Hint{}, func(tx store.Tx) error {
		errs := tx.PutIncident(incident)
		for _, a := range affected {
			errs = errors.Join(errs, tx.PutAffected(a))
		}
		return errs
	}}
}

// drawWebhook puts or removes an endpoint, or something that belongs to it.
func (m *twins) drawWebhook() action {
	hook, n, what := one(m.pick, hooks), int32(m.pick(100)), m.pick(7)
	conversation, id := m.drawID(), one(m.pick, sent)
	return action{fmt.Sprintf("webhook %s, %d: %d, %s, %s", hook, what, n, conversation, id), store.Hint{}, func(tx store.Tx) error {
		switch what {
		case 0:
			return tx.PutWebhookEndpoint(endpointRecord(hook, n))
		case 1:
			return tx.PutWebhookProgress(progressRecord(hook, int64(n)))
		case 2:
			return tx.PutParked(parkedRecord(hook, conversation, n))
		case 3:
			return tx.PutDelivery(hook, delivery(id, n))
		case 4:
			return tx.RemoveParked(hook, conversation)
		case 5:
			return tx.RemoveDelivery(hook, id)
		}
		// What is removed first is the engine's affair; so all of it is.
		for more, err := true, error(nil); more; {
			if more, err = tx.RemoveWebhookEndpoint(hook, 2); err != nil {
				return err
			}
		}
		return nil
	}}
}

// drawCount puts what was granted or rated on a day, an erasure, or an entry of the log of removals.
func (m *twins) drawCount() action {
	agent, day, n, what := one(m.pick, agents), one(m.pick, days), int32(m.pick(100)), m.pick(4)
	erasure, entry := one(m.pick, erasures), one(m.pick, removals)
	state := one(m.pick, []goodshipv1.ErasureState{goodshipv1.ErasureState_ERASURE_STATE_RUNNING, goodshipv1.ErasureState_ERASURE_STATE_DONE})
	return action{fmt.Sprint("count ", what, " ", n, " of ", agent, " on ", day, ", or ", erasure, " ", state, ", or ", entry), store.Hint{}, func(tx store.Tx) error {
		switch what {
		case 0:
			return tx.PutSpent(spentRecord(agent, day, n))
		case 1:
			return tx.PutStatistics(statisticsRecord(day, n))
		case 2:
			return tx.PutErasure(erasureRecord(erasure, state, n))
		}
		return tx.PutRemoval(removal(entry, n))
	}}
}

// lookAtOthers returns what a unit sees of customers' conversations, and of what is neither a conversation nor of the directory.
func lookAtOthers(tx store.Tx) (saw string, err error) {
	see := func(m proto.Message, failed error) {
		if errors.Is(failed, store.ErrNotFound) {
			saw += ", nothing"
			return
		}
		saw, err = fmt.Sprintf("%s, %x", saw, encoded(m)), errors.Join(err, failed)
	}
	for _, key := range customers {
		unresolved, err1 := tx.Unresolved(key)
		theirs, err2 := tx.Conversations(key, all)
		slices.Sort(theirs)
		saw, err = fmt.Sprintf("%s, of %q unresolved %q of %q", saw, key, unresolved, theirs), errors.Join(err, err1, err2)
		see(tx.Ledger(key))
		see(tx.Customer("id of " + key))
		see(tx.CustomerByKey(key))
		for _, id := range incidents {
			see(tx.Affected(id, key))
		}
	}
	for i, id := range credits {
		see(tx.Credit(id))
		see(tx.Delivery(hooks[0], sent[i]))
	}
	for i, id := range hooks {
		see(tx.WebhookEndpoint(id))
		see(tx.WebhookProgress(id))
		see(tx.Parked(id, "conv_01"))
		see(tx.Incident(incidents[i]))
		see(tx.Spent(agents[i], days[0]))
		see(tx.Statistics(days[i]))
		see(tx.Erasure(erasures[i]))
	}
	return saw, err
}
