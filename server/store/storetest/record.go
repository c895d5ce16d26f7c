package storetest

import (
	"errors"
	"fmt"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Values of records, few, so that many share them, and so that a scan knows what there may be.
var (
	creditStates = []goodshipv1.CreditState{
		goodshipv1.CreditState_CREDIT_STATE_PENDING, goodshipv1.CreditState_CREDIT_STATE_SETTLED,
		goodshipv1.CreditState_CREDIT_STATE_REFUSED, goodshipv1.CreditState_CREDIT_STATE_REVERSED,
	}
	apologyStates = []goodshipv1.ApologyState{
		goodshipv1.ApologyState_APOLOGY_STATE_PENDING, goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN,
		goodshipv1.ApologyState_APOLOGY_STATE_SEEN, goodshipv1.ApologyState_APOLOGY_STATE_SKIPPED,
	}
	credits   = []string{"cred_1", "cred_2", "cred_20", "cred_3"}
	days      = []string{"2026-02-28", "2026-03-01", "2026-03-02"}
	incidents = []string{"inc_1", "inc_2", "inc_20"}
	hooks     = []string{"hook_1", "hook_2", "hook_20"}
	sent      = []string{"dlv_1", "dlv_2", "dlv_20", "dlv_3"}
	erasures  = []string{"era_1", "era_2", "era_20"}
	removals  = []string{"rmv_1", "rmv_2", "rmv_20"}
)

// later is a time so many seconds after the one at which a store's clock begins.
func later(seconds int) time.Time {
	return faketime.New().Now().Add(time.Duration(seconds) * time.Second)
}

// creditRecord is a credit that is PENDING and to be settled by a time.
func creditRecord(id, customerKey, conversation string, settleBy time.Time) *storev1.CreditRecord {
	return &storev1.CreditRecord{CustomerKey: customerKey, Credit: &goodshipv1.Credit{
		Id: id, ConversationId: conversation, Reason: "reason", State: goodshipv1.CreditState_CREDIT_STATE_PENDING,
		SettleByTime: timestamppb.New(settleBy),
	}}
}

// entryAfter returns the sums of a ledger and its next entry, which refers to a credit.
func entryAfter(before *storev1.LedgerRecord, creditID string) (*storev1.LedgerRecord, *goodshipv1.LedgerEntry) {
	number := before.GetEntryCount() + 1
	sums := &storev1.LedgerRecord{CustomerKey: before.GetCustomerKey(), EntryCount: number, BasisPointsOwed: 10 * number, Balances: []*goodshipv1.Balance{
		{Owed: &money.Money{CurrencyCode: "EUR", Units: int64(number)}},
	}}
	return sums, &goodshipv1.LedgerEntry{
		Number: number, CreditId: creditID, Kind: goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED,
		Money: &money.Money{CurrencyCode: "EUR", Units: 1}, BasisPoints: 10,
	}
}

// appendLedger adds the next entry to a customer's ledger.
func appendLedger(tx store.Tx, customerKey, creditID string) error {
	before, err := tx.Ledger(customerKey)
	if err != nil {
		return err
	}
	return tx.AppendLedger(entryAfter(before, creditID))
}

func spentRecord(agentID, day string, basisPoints int32) *storev1.SpentRecord {
	return &storev1.SpentRecord{AgentId: agentID, Day: day, BasisPoints: basisPoints}
}

func statisticsRecord(day string, rated int32) *storev1.StatisticsRecord {
	return &storev1.StatisticsRecord{Day: day, FaultOnly: &storev1.RatingCounts{Rated: rated}}
}

func incidentRecord(id string, version int32) *storev1.IncidentRecord {
	return &storev1.IncidentRecord{Incident: &goodshipv1.Incident{Id: id, WhatHappened: fmt.Sprint("version ", version)}, Version: version}
}

func affectedRecord(incidentID, customerKey string, state goodshipv1.ApologyState) *storev1.AffectedRecord {
	return &storev1.AffectedRecord{
		IncidentId: incidentID, CustomerKey: customerKey, Apology: &goodshipv1.Apology{State: state},
		Attributes: map[string]string{"name_of_it": "attribute of " + customerKey},
	}
}

func endpointRecord(id string, version int32) *storev1.WebhookEndpointRecord {
	return &storev1.WebhookEndpointRecord{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Id: id, Description: "endpoint"}, Version: version}
}

func progressRecord(endpointID string, position int64) *storev1.WebhookProgressRecord {
	return &storev1.WebhookProgressRecord{EndpointId: endpointID, Position: position}
}

func parkedRecord(endpointID, conversationID string, revision int32) *storev1.ParkedRecord {
	return &storev1.ParkedRecord{
		EndpointId: endpointID, ConversationId: conversationID, Revision: revision,
		Delivery: &goodshipv1.WebhookDelivery{Id: "dlv_parked", ConversationId: conversationID},
	}
}

func delivery(id string, tries int32) *goodshipv1.WebhookDelivery {
	return &goodshipv1.WebhookDelivery{Id: id, EventKind: "message_sent", TryCount: tries}
}

func erasureRecord(id string, state goodshipv1.ErasureState, version int32) *storev1.ErasureRecord {
	return &storev1.ErasureRecord{
		Erasure:      &goodshipv1.Erasure{Id: id, State: state, CreditCount: version},
		CustomerKeys: []string{"key_1"},
	}
}

func removal(id string, version int32) *goodshipv1.Removal {
	return &goodshipv1.Removal{Id: id, KeepForSeconds: version}
}

// furnishOthers puts one of each of what is neither a conversation nor of the directory, and changes all of it each time.
func furnishOthers(tx store.Tx, version int32) error {
	credit := creditRecord("cred_1", "key_1", "conv_1", later(int(version%1000)))
	credit.Credit.Reason = fmt.Sprintf("reason of %d", version)
	return errors.Join(
		tx.PutCredit(credit), appendLedger(tx, "key_1", "cred_1"),
		tx.PutSpent(spentRecord("agent_1", days[0], version)), tx.PutStatistics(statisticsRecord(days[0], version)),
		tx.PutIncident(incidentRecord("inc_1", version)),
		tx.PutAffected(affectedRecord("inc_1", "key_1", apologyStates[int(version)%len(apologyStates)])),
		tx.PutWebhookEndpoint(endpointRecord("hook_1", version)), tx.PutWebhookProgress(progressRecord("hook_1", int64(version))),
		tx.PutParked(parkedRecord("hook_1", "conv_1", version)), tx.PutDelivery("hook_1", delivery("dlv_1", version)),
		tx.PutErasure(erasureRecord("era_1", goodshipv1.ErasureState_ERASURE_STATE_RUNNING, version)), tx.PutRemoval(removal("rmv_1", version)),
	)
}
