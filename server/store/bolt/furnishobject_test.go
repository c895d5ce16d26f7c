package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// objects is how many there are of each kind of which there are some.
const objects = 6

// credit returns a credit of a customer, PENDING for odd numbers, granted in a conversation for most.
func credit(n int) *storev1.CreditRecord {
	c := &goodshipv1.Credit{
		Id: fmt.Sprintf("cred_%03d", n), ConversationId: fmt.Sprintf("conv_%03d", n%3), Reason: "a reason", State: goodshipv1.CreditState_CREDIT_STATE_SETTLED,
		SettleByTime: timestamppb.New(time.Unix(1_800_000_000-int64(n), 0)),
	}
	if n%2 == 1 {
		c.State = goodshipv1.CreditState_CREDIT_STATE_PENDING
	}
	if n%3 == 2 {
		c.ConversationId = ""
	}
	return &storev1.CreditRecord{Credit: c, CustomerKey: fmt.Sprintf("key_%d", n%2)}
}

// owe adds an entry to a customer's ledger, of so many units and nanos, and adds it to the sums.
func owe(tx store.Tx, customer, currency string, units int64, nanos int32) error {
	l, err := tx.Ledger(customer)
	if err != nil {
		return err
	}
	l.EntryCount++
	e := &goodshipv1.LedgerEntry{Number: l.GetEntryCount(), Kind: goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED, Money: &money.Money{CurrencyCode: currency, Units: units, Nanos: nanos}}
	if units < 0 {
		e.Kind = goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED
	}
	var balance *goodshipv1.Balance
	for _, b := range l.GetBalances() {
		if b.GetOwed().GetCurrencyCode() == currency {
			balance = b
		}
	}
	if balance == nil {
		balance = &goodshipv1.Balance{Owed: &money.Money{CurrencyCode: currency}, Settled: &money.Money{CurrencyCode: currency}}
		l.Balances = append(l.Balances, balance)
	}
	mills := balance.Owed.Units*1000 + int64(balance.Owed.Nanos)/1_000_000 + units*1000 + int64(nanos)/1_000_000
	balance.Owed.Units, balance.Owed.Nanos = mills/1000, int32(mills%1000)*1_000_000
	if units < 0 {
		balance.Settled.Units -= units
		balance.Settled.Nanos -= nanos
	}
	return tx.AppendLedger(l, e)
}

// furnishObjects writes some of every kind of object, and removes a conversation.
func furnishObjects(t testing.TB, st store.Store) {
	t.Helper()
	mustUpdate(t, st, func(tx store.Tx) error {
		for n := range objects {
			key, id := fmt.Sprintf("key_%d", n), fmt.Sprintf("%03d", n)
			affected := &storev1.AffectedRecord{IncidentId: "inc_1", CustomerKey: key, Apology: &goodshipv1.Apology{State: goodshipv1.ApologyState(1 + n%3)}}
			erasure := &storev1.ErasureRecord{Erasure: &goodshipv1.Erasure{Id: "era_" + id, State: goodshipv1.ErasureState(1 + n%2)}}
			err := errors.Join(tx.PutCredit(credit(n)), owe(tx, "key_1", "EUR", 3, 250_000_000), owe(tx, "key_2", "USD", 7, 0),
				tx.PutAffected(affected), tx.PutErasure(erasure), tx.PutRemoval(&goodshipv1.Removal{Id: "rmv_" + id}),
				tx.PutParked(&storev1.ParkedRecord{EndpointId: "hook_1", ConversationId: "conv_" + id}),
				tx.PutDelivery("hook_1", &goodshipv1.WebhookDelivery{Id: "dlv_" + id, EventKind: "message_sent"}))
			if err != nil {
				return err
			}
		}
		return errors.Join(owe(tx, "key_1", "EUR", -3, -250_000_000),
			tx.PutSpent(&storev1.SpentRecord{AgentId: "agent_1", Day: "2026-11-22", BasisPoints: 5}),
			tx.PutStatistics(&storev1.StatisticsRecord{Day: "2026-11-22", NoFault: &storev1.RatingCounts{Rated: 1}}),
			tx.PutIncident(&storev1.IncidentRecord{Incident: &goodshipv1.Incident{Id: "inc_1", WhatHappened: "it broke"}}),
			tx.PutWebhookEndpoint(&storev1.WebhookEndpointRecord{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Id: "hook_1"}}),
			tx.PutWebhookEndpoint(&storev1.WebhookEndpointRecord{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Id: "hook_2"}}),
			tx.PutDelivery("hook_2", &goodshipv1.WebhookDelivery{Id: "dlv_001", EventKind: "message_sent"}),
			tx.PutParked(&storev1.ParkedRecord{EndpointId: "hook_2", ConversationId: "conv_001"}),
			tx.PutWebhookProgress(&storev1.WebhookProgressRecord{EndpointId: "hook_1", Position: 3}),
			say(tx, "conv_removed", "to be removed", nil))
	})
	mustUpdate(t, st, func(tx store.Tx) error {
		return tx.RemoveConversation("conv_removed", goodshipv1.RemovalCause_REMOVAL_CAUSE_EXPIRED)
	})
}

// imageOfObjects reads all that furnishObjects wrote.
func imageOfObjects(ctx context.Context, st store.Store, img image) {
	for name, q := range map[string]store.CreditQuery{
		"all": {}, "pending": {State: goodshipv1.CreditState_CREDIT_STATE_PENDING}, "of conv_001": {ConversationID: "conv_001"},
		"of customers": {CustomerKeys: []string{"key_0", "key_1"}},
	} {
		see(img, "credits "+name, func() ([]*storev1.CreditRecord, error) {
			all, _, err := st.Credits(ctx, workspace, q, "", 100)
			return all, err
		})
	}
	due, err := st.CreditsDue(ctx, nil, 100)
	img["credits due"] = fmt.Sprint(due, err)
	if errors.Is(err, store.ErrDataLoss) {
		img["credits due"] = damagedPrefix + err.Error()
	}
	for n := range 3 {
		key := fmt.Sprintf("key_%d", n)
		see(img, "ledger of "+key, func() ([]*storev1.LedgerRecord, error) { return one(st.Ledger(ctx, workspace, key)) })
		if n > 0 {
			see(img, "entries of "+key, func() ([]*goodshipv1.LedgerEntry, error) { return st.LedgerEntries(ctx, workspace, key, 0, 100) })
		}
	}
	see(img, "spent", func() ([]*storev1.SpentRecord, error) { return one(st.Spent(ctx, workspace, "agent_1", "2026-11-22")) })
	see(img, "statistics", func() ([]*storev1.StatisticsRecord, error) {
		return st.Statistics(ctx, workspace, "2026-11-22", "2026-11-23")
	})
	see(img, "incidents", func() ([]*storev1.IncidentRecord, error) { return st.Incidents(ctx, workspace, "", 100) })
	for state := range goodshipv1.ApologyState(3) {
		see(img, fmt.Sprint("affected ", state), func() ([]*storev1.AffectedRecord, error) {
			all, _, err := st.Affected(ctx, workspace, "inc_1", state, "", 100)
			return all, err
		})
	}
	see(img, "endpoints", func() ([]*storev1.WebhookEndpointRecord, error) { return st.WebhookEndpoints(ctx, workspace) })
	see(img, "progress", func() ([]*storev1.WebhookProgressRecord, error) {
		return one(st.WebhookProgress(ctx, workspace, "hook_1"))
	})
	see(img, "parked", func() ([]*storev1.ParkedRecord, error) { return st.Parked(ctx, workspace, "hook_1", "", 100) })
	see(img, "parked for another", func() ([]*storev1.ParkedRecord, error) { return st.Parked(ctx, workspace, "hook_2", "", 100) })
	see(img, "deliveries to another", func() ([]*goodshipv1.WebhookDelivery, error) { return st.Deliveries(ctx, workspace, "hook_2", "", 100) })
	see(img, "deliveries", func() ([]*goodshipv1.WebhookDelivery, error) { return st.Deliveries(ctx, workspace, "hook_1", "", 100) })
	see(img, "erasures", func() ([]*storev1.ErasureRecord, error) { return st.Erasures(ctx, workspace, "", 100) })
	see(img, "erasure", func() ([]*storev1.ErasureRecord, error) { return one(st.Erasure(ctx, workspace, "era_001")) })
	see(img, "removals", func() ([]*goodshipv1.Removal, error) { return st.Removals(ctx, workspace, "", 100) })
	see(img, "resolved", func() ([]*storev1.Head, error) {
		heads, _, err := st.Resolved(ctx, workspace, time.Now().Add(time.Hour), nil, 100)
		return heads, err
	})
}
