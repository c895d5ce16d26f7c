package bolt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
)

// encoded returns the payload of a message.
func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCheckFindsObjects is TestCheckFinds for objects: what finds them, and ledgers.
func TestCheckFindsObjects(t *testing.T) {
	t.Parallel()
	file, _ := furnishedFile(t)
	all := values(t, file)
	// at is the one key of the table of objects that ends so.
	at := func(end string) damage {
		key := []byte("\x00\x00\x00\x01" + end)
		for _, r := range all {
			if r.table == "object" && string(r.key) == string(key) {
				return damage{table: "object", key: key}
			}
		}
		t.Fatalf("there is no object with key %q", end)
		return damage{}
	}
	due := damage{table: "due"}
	for _, r := range all {
		if r.table == "due" && strings.HasSuffix(string(r.key), "cred_001") {
			due.key = r.key
		}
	}
	put := func(d damage, payload []byte) damage { return damage{d.table, d.key, payload} }
	missing := func(key string) damage { return damage{"object", []byte("\x00\x00\x00\x01" + key), []byte{}} }
	noSums, sums := at("l\x05key_1\x00"), &storev1.LedgerRecord{CustomerKey: "key_1", EntryCount: 7}
	more := encoded(t, &storev1.LedgerRecord{CustomerKey: "key_1", EntryCount: objects + 2, Balances: []*goodshipv1.Balance{{
		Owed:    &money.Money{CurrencyCode: "EUR", Units: 16, Nanos: 250_000_000},
		Settled: &money.Money{CurrencyCode: "EUR", Units: 3, Nanos: 250_000_000},
	}}})
	otherCredit := encoded(t, &storev1.CreditRecord{Credit: &goodshipv1.Credit{Id: "cred_004"}, CustomerKey: "key_1"})
	for name, test := range map[string]struct {
		damage damage
		want   string
		ofWhom string
	}{
		"pending credits lack one":            {at("pcred_001"), "An index lacks", "cred_001"},
		"a conversation's credits lack one":   {at("v\x08conv_001cred_001"), "An index lacks", "cred_001"},
		"a customer's credits lack one":       {at("l\x05key_1\x02cred_001"), "An index lacks", "cred_001"},
		"what is due lacks one":               {due, "An index lacks", "cred_001"},
		"pending credits have one too many":   {missing("pcred_000"), "does not belong there", "cred_000"},
		"one is due that is not":              {damage{"due", []byte(strings.Replace(string(due.key), "cred_001", "cred_002", 1)), []byte{}}, "does not belong there", "cred_002"},
		"one is due at another time":          {damage{"due", append([]byte("\x80"), due.key[1:]...), []byte{}}, "does not belong there", "cred_001"},
		"an index has another state":          {put(at("l\x05key_1\x02cred_001"), []byte{2}), "or has it wrongly", "cred_001"},
		"a credit is missing":                 {at("ccred_001"), "does not belong there", "cred_001"},
		"a credit is another":                 {put(at("ccred_001"), otherCredit), "does not say of itself", "cred_001"},
		"pending affected customers lack one": {at("n\x05inc_1key_0"), "An index lacks", "key_0"},
		"and have one too many":               {missing("n\x05inc_1key_1"), "does not belong there", "key_1"},
		"an affected customer is missing":     {at("a\x05inc_1key_0"), "does not belong there", "key_0"},
		"the first entry is missing":          {at("l\x05key_1\x01\x00\x00\x00\x01"), "stands under another number", "key_1"},
		"an entry is missing":                 {at("l\x05key_1\x01\x00\x00\x00\x03"), "entry 4 of the ledger", "key_1"},
		"the last entry is missing":           {at("l\x05key_1\x01\x00\x00\x00\x07"), "its sums are not theirs", "key_1"},
		"the sums are missing":                {noSums, "its sums are not theirs", "key_1"},
		"the sums are less":                   {put(noSums, encoded(t, sums)), "its sums are not theirs", "key_1"},
		"the sums count one more":             {put(noSums, more), "its sums are not theirs", "key_1"},
		"the sums are another's":              {put(noSums, encoded(t, &storev1.LedgerRecord{CustomerKey: "key_2"})), "is damaged", "key_1"},
		"a delivery is another":               {put(at("d\x06hook_1dlv_001"), encoded(t, &goodshipv1.WebhookDelivery{Id: "dlv_002"})), "does not say of itself", "dlv_001"},
		"a kind that there is not":            {missing("zsomething"), "is damaged", "z"},
	} {
		mustFind(t, name, file, test.damage, test.want, test.ofWhom)
	}
}

// changeObjects changes objects of several kinds, and removes a conversation now and then.
func changeObjects(tx store.Tx, conversation string, n int) error {
	changed := credit(n % 50)
	changed.Credit.State = goodshipv1.CreditState(1 + n%4)
	key := fmt.Sprint("key_", n%5)
	err := errors.Join(tx.PutCredit(changed), owe(tx, key, "EUR", int64(n), 500_000_000),
		tx.PutAffected(&storev1.AffectedRecord{IncidentId: "inc_1", CustomerKey: key, Apology: &goodshipv1.Apology{State: goodshipv1.ApologyState(1 + n%2)}}),
		tx.PutParked(&storev1.ParkedRecord{EndpointId: "hook_1", ConversationId: conversation}))
	if err == nil && n%5 == 0 {
		err = errors.Join(tx.RemoveConversation(conversation, goodshipv1.RemovalCause_REMOVAL_CAUSE_EXPIRED), tx.RemoveParked("hook_1", conversation))
	}
	if err == nil && n%13 == 0 {
		_, err = tx.RemoveWebhookEndpoint("hook_1", 5)
	}
	return err
}
