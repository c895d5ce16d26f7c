package memory

import (
	"fmt"
	"maps"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// addOther takes in an entry that is neither of the directory, nor of a conversation, nor of the feed.
func (r *restored) addOther(e *storev1.BackupEntry) error {
	w := r.workspace
	switch o := e.GetObject().(type) {
	case *storev1.BackupEntry_Credit:
		return putNamed(w.credits, o.Credit.GetCredit().GetId(), o.Credit)
	case *storev1.BackupEntry_Ledger:
		r.ledger(o.Ledger.GetCustomerKey()).sums = o.Ledger
	case *storev1.BackupEntry_LedgerLine:
		r.ledger(o.LedgerLine.GetCustomerKey()).entries[o.LedgerLine.GetEntry().GetNumber()] = o.LedgerLine.GetEntry()
	case *storev1.BackupEntry_Spent:
		return putUnder(w.spent, o.Spent.GetAgentId(), o.Spent.GetDay(), o.Spent)
	case *storev1.BackupEntry_Statistics:
		return putNamed(w.statistics, o.Statistics.GetDay(), o.Statistics)
	case *storev1.BackupEntry_Incident:
		return putNamed(w.incidents, o.Incident.GetIncident().GetId(), o.Incident)
	case *storev1.BackupEntry_Affected:
		return putUnder(w.affected, o.Affected.GetIncidentId(), o.Affected.GetCustomerKey(), o.Affected)
	case *storev1.BackupEntry_WebhookEndpoint:
		return putNamed(w.endpoints, o.WebhookEndpoint.GetWebhookEndpoint().GetId(), o.WebhookEndpoint)
	case *storev1.BackupEntry_WebhookProgress:
		return putNamed(w.progress, o.WebhookProgress.GetEndpointId(), o.WebhookProgress)
	case *storev1.BackupEntry_Parked:
		return putUnder(w.parked, o.Parked.GetEndpointId(), o.Parked.GetConversationId(), o.Parked)
	case *storev1.BackupEntry_Delivery:
		return putUnder(w.deliveries, o.Delivery.GetEndpointId(), o.Delivery.GetDelivery().GetId(), o.Delivery.GetDelivery())
	case *storev1.BackupEntry_Erasure:
		return putNamed(w.erasures, o.Erasure.GetErasure().GetId(), o.Erasure)
	case *storev1.BackupEntry_Removal:
		return putNamed(w.removals, o.Removal.GetId(), o.Removal)
	case *storev1.BackupEntry_Gone:
		return r.remove(o.Gone)
	default:
		return fmt.Errorf("%w: the backup holds something unknown", store.ErrDataLoss)
	}
	return nil
}

// ledger returns what was read of a customer's ledger, to be added to.
func (r *restored) ledger(key string) *restoredLedger {
	if r.ledgers[key] == nil {
		r.ledgers[key] = &restoredLedger{entries: make(map[int32]*goodshipv1.LedgerEntry)}
	}
	return r.ledgers[key]
}

// remove drops what was removed while the backup was taken.
func (r *restored) remove(gone *storev1.Gone) error {
	w := r.workspace
	switch o := gone.GetObject().(type) {
	case *storev1.Gone_ConversationId:
		w.forgetConversation(o.ConversationId)
		delete(r.resolutions, o.ConversationId)
		maps.DeleteFunc(r.records, func(key feedKey, _ *storev1.LogRecord) bool { return key.conversation == o.ConversationId })
	case *storev1.Gone_CustomerKey:
		delete(w.customers, o.CustomerKey)
	case *storev1.Gone_WebhookEndpointId:
		delete(w.endpoints, o.WebhookEndpointId)
		delete(w.progress, o.WebhookEndpointId)
		delete(w.parked, o.WebhookEndpointId)
		delete(w.deliveries, o.WebhookEndpointId)
	case *storev1.Gone_Parked:
		removeUnder(w.parked, o.Parked.GetEndpointId(), o.Parked.GetConversationId())
	case *storev1.Gone_Delivery:
		removeUnder(w.deliveries, o.Delivery.GetEndpointId(), o.Delivery.GetDelivery().GetId())
	default:
		return fmt.Errorf("%w: the backup says that something unknown was removed", store.ErrDataLoss)
	}
	return nil
}

// whole returns the ledger, whose entries are numbered from 1.
func (l *restoredLedger) whole() (*ledger, error) {
	sums, err := encode(l.sums)
	if err != nil {
		return nil, err
	}
	whole := &ledger{sums: sums}
	for _, number := range slices.Sorted(maps.Keys(l.entries)) {
		if whole.entries, err = set(whole.entries, number, l.entries[number]); err != nil {
			return nil, err
		}
	}
	return whole, nil
}
