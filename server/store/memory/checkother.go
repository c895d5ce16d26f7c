package memory

import (
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// others reads what is neither of the directory, nor of a conversation, nor of the feed, and compares it with the names that it is
// kept under.
func (c *checker) others(where string, w *workspace) {
	named(c, where+": credit", w.credits, func(m *storev1.CreditRecord) string { return m.GetCredit().GetId() })
	for _, key := range sortedKeys(w.ledgers) {
		c.ledger(fmt.Sprintf("%s: ledger of the customer with key %q", where, key), key, w.ledgers[key])
	}
	for _, agent := range sortedKeys(w.spent) {
		named(c, fmt.Sprintf("%s: what agent %q granted", where, agent), w.spent[agent], (*storev1.SpentRecord).GetDay)
	}
	named(c, where+": statistics", w.statistics, (*storev1.StatisticsRecord).GetDay)
	named(c, where+": incident", w.incidents, func(m *storev1.IncidentRecord) string { return m.GetIncident().GetId() })
	for _, incident := range sortedKeys(w.affected) {
		named(c, fmt.Sprintf("%s: affected by incident %q", where, incident), w.affected[incident], (*storev1.AffectedRecord).GetCustomerKey)
	}
	named(c, where+": endpoint", w.endpoints, func(m *storev1.WebhookEndpointRecord) string { return m.GetWebhookEndpoint().GetId() })
	named(c, where+": progress of endpoint", w.progress, (*storev1.WebhookProgressRecord).GetEndpointId)
	for _, endpoint := range sortedKeys(w.parked) {
		named(c, fmt.Sprintf("%s: parked for endpoint %q", where, endpoint), w.parked[endpoint], (*storev1.ParkedRecord).GetConversationId)
	}
	for _, endpoint := range sortedKeys(w.deliveries) {
		named(c, fmt.Sprintf("%s: delivery to endpoint %q", where, endpoint), w.deliveries[endpoint], (*goodshipv1.WebhookDelivery).GetId)
	}
	named(c, where+": erasure", w.erasures, func(m *storev1.ErasureRecord) string { return m.GetErasure().GetId() })
	named(c, where+": removal", w.removals, (*goodshipv1.Removal).GetId)
}

// named reads records that should have the names that they are kept under.
func named[T any, M message[T]](c *checker, what string, all map[string][]byte, name func(M) string) {
	for _, key := range sortedKeys(all) {
		if got := name(read[T, M](c, what, all[key])); got != key {
			c.problem("%s: %q is kept under %q", what, got, key)
		}
	}
}

func (c *checker) ledger(where, key string, l *ledger) {
	sums := read[storev1.LedgerRecord](c, where, l.sums)
	if got := sums.GetCustomerKey(); got != key {
		c.problem("%s: it is of %q", where, got)
	}
	c.expect(where+": entry count", sums.GetEntryCount(), int32(len(l.entries)))
	readNumbered[goodshipv1.LedgerEntry](c, where+": number of an entry", l.entries)
}
