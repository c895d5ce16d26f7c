package bolt

import (
	"errors"
	"math"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

var errUnknownKind = errors.New("the object is of an unknown kind: a newer server wrote the backup")

// restoreObject writes an entry of an object.
func (t *tx) restoreObject(e *storev1.BackupEntry) error {
	switch object := e.GetObject().(type) {
	case *storev1.BackupEntry_Credit:
		return t.PutCredit(object.Credit)
	case *storev1.BackupEntry_Ledger:
		return t.putSums(object.Ledger)
	case *storev1.BackupEntry_LedgerLine:
		return t.putLedgerEntry(object.LedgerLine.GetCustomerKey(), object.LedgerLine.GetEntry())
	case *storev1.BackupEntry_Spent:
		return t.PutSpent(object.Spent)
	case *storev1.BackupEntry_Statistics:
		return t.PutStatistics(object.Statistics)
	case *storev1.BackupEntry_Incident:
		return t.PutIncident(object.Incident)
	case *storev1.BackupEntry_Affected:
		return t.PutAffected(object.Affected)
	case *storev1.BackupEntry_WebhookEndpoint:
		return t.PutWebhookEndpoint(object.WebhookEndpoint)
	case *storev1.BackupEntry_WebhookProgress:
		return t.PutWebhookProgress(object.WebhookProgress)
	case *storev1.BackupEntry_Parked:
		return t.PutParked(object.Parked)
	case *storev1.BackupEntry_Delivery:
		return t.PutDelivery(object.Delivery.GetEndpointId(), object.Delivery.GetDelivery())
	case *storev1.BackupEntry_Erasure:
		return t.PutErasure(object.Erasure)
	case *storev1.BackupEntry_Removal:
		return t.PutRemoval(object.Removal)
	}
	return errUnknownKind
}

// restoreGone removes an object that was removed while the backup was taken, which it may have before or not.
func (t *tx) restoreGone(gone *storev1.Gone) error {
	switch object := gone.GetObject().(type) {
	case *storev1.Gone_ConversationId:
		c, err := t.standing(object.ConversationId)
		if err != nil {
			return err
		}
		return t.drop(c)
	case *storev1.Gone_CustomerKey:
		if err := t.removeCustomer(object.CustomerKey); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	case *storev1.Gone_WebhookEndpointId:
		_, err := t.RemoveWebhookEndpoint(object.WebhookEndpointId, math.MaxInt)
		return err
	case *storev1.Gone_Parked:
		return t.RemoveParked(object.Parked.GetEndpointId(), object.Parked.GetConversationId())
	case *storev1.Gone_Delivery:
		return t.RemoveDelivery(object.Delivery.GetEndpointId(), object.Delivery.GetDelivery().GetId())
	}
	return errUnknownKind
}
