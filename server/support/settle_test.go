package support_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
)

func TestSettleCredits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	a, b, c := w.grants(ada, id, euros(5, 0)), w.grants(ada, id, euros(2, 0)), w.grants(ada, id, points(300))
	missing := "cred_" + strings.Repeat("0", 26)
	reply := do[*goodshipv1.SettleCreditsResponse](w, backend, &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{
		bill(a.Id, "invoice 1"), refuse(b.Id, "No such account"), bill(missing, "invoice 1"), bill(a.Id, "invoice 1"), bill(a.Id, "invoice 2"),
		refuse(b.Id, "No such account"), bill(c.Id, "invoice 1"), refuse(a.Id, "invoice 1"), bill(b.Id, "No such account"), bill("no id", "invoice 1"),
	}})
	var got []string
	for i, r := range reply.Results {
		equal(t, "credit of result "+fmt.Sprint(i), r.CreditId, []string{a.Id, b.Id, missing, a.Id, a.Id, b.Id, c.Id, a.Id, b.Id, "no id"}[i])
		got = append(got, told(r))
	}
	equal(t, "results", strings.Join(got, ", "), "SETTLED, REFUSED, NotFound CREDIT_NOT_FOUND, SETTLED, FailedPrecondition CREDIT_NOT_PENDING state=SETTLED, "+
		"REFUSED, SETTLED, FailedPrecondition CREDIT_NOT_PENDING state=SETTLED, FailedPrecondition CREDIT_NOT_PENDING state=REFUSED, NotFound CREDIT_NOT_FOUND")
	events := strings.Fields(w.story(id))[7:]
	equal(t, "settled events", strings.Count(list(events), "credit_settled"), 2)
	equal(t, "refused events", strings.Count(list(events), "credit_refused"), 1)
	equal(t, "events", len(events), 3)
	equal(t, "balance", strings.HasPrefix(w.ledgerOf(kim), "owed 0.00 EUR, settled 5.00 EUR, 1 GRANTED"), true)
	settledNow := do[*goodshipv1.Credit](w, backend, &goodshipv1.GetCreditRequest{CreditId: a.Id})
	equal(t, "reference", settledNow.BillingReference, "invoice 1")
	equal(t, "end_time", settledNow.EndTime != nil, true)
	equal(t, "end_reason", do[*goodshipv1.Credit](w, backend, &goodshipv1.GetCreditRequest{CreditId: b.Id}).EndReason, "No such account")
	equal(t, "end_reason to the customer", do[*goodshipv1.Credit](w, kim, &goodshipv1.GetCreditRequest{CreditId: b.Id}).EndReason, "")

	before := image(t, w.store)
	w.clock.Jump(time.Hour)
	equal(t, "settled again", told(w.settles(bill(a.Id, "invoice 1"))), "SETTLED")
	equal(t, "settled otherwise", told(w.settles(bill(a.Id, "invoice 9"))), "FailedPrecondition CREDIT_NOT_PENDING state=SETTLED")
	w.unchanged(before)
}

// told tells what became of a settlement.
func told(r *goodshipv1.SettleResult) string {
	if credit := r.GetCredit(); credit != nil {
		return credit.State.String()[len("CREDIT_STATE_"):]
	}
	return refusalOf(r.GetError())
}

// TestSettleMany settles as many as a call may, in one.
func TestSettleMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.empowers()
	w.updates(&goodshipv1.Workspace{LeaderAllowance: allowance(euros(1, 0), euros(10_000, 0), 0, 0)}, "leader_allowance")
	id := owned(w)
	req := &goodshipv1.SettleCreditsRequest{}
	for range 150 {
		req.Settlements = append(req.Settlements, bill(w.grants(lea, id, euros(1, 0)).Id, "invoice 1"))
	}
	for i, r := range do[*goodshipv1.SettleCreditsResponse](w, backend, req).Results {
		if told(r) != "SETTLED" || r.CreditId != req.Settlements[i].CreditId {
			t.Fatalf("result %d: got %v, want %s SETTLED", i, r, req.Settlements[i].CreditId)
		}
	}
	ledger := do[*goodshipv1.GetLedgerResponse](w, backend, &goodshipv1.GetLedgerRequest{CustomerId: "kim"})
	same(t, "balance", ledger.Balances[0], &goodshipv1.Balance{Owed: rules.Money("EUR", 0), Settled: rules.Money("EUR", 150_000)})
}

func TestReverseCredit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	w.invites(ada, id, ben)
	credit := w.grants(ada, id, euros(5, 0))
	reverse := &goodshipv1.ReverseCreditRequest{CreditId: credit.Id, Reason: "The wrong customer"}
	w.refuses(ben, reverse, "PermissionDenied NOT_THE_AUTHOR")
	taken := do[*goodshipv1.Credit](w, ada, reverse)
	want := proto.CloneOf(credit)
	want.State, want.EndReason, want.EndTime = reversed, "The wrong customer", taken.EndTime
	same(t, "reversed", taken, want)
	equal(t, "log", strings.HasSuffix(w.story(id), "credit_granted credit_reversed"), true)
	equal(t, "ledger", w.ledgerOf(kim), "owed 0.00 EUR, settled 0.00 EUR, 1 GRANTED 5.00 EUR, 2 REVERSED -5.00 EUR")
	w.refuses(ada, reverse, "FailedPrecondition CREDIT_NOT_PENDING state=REVERSED")
	equal(t, "settled after it", told(w.settles(bill(credit.Id, "x"))), "FailedPrecondition CREDIT_NOT_PENDING state=REVERSED")
	remaining := do[*goodshipv1.GetAllowanceResponse](w, ada, &goodshipv1.GetAllowanceRequest{}).MoneyRemaining
	same(t, "what remains of the day", remaining, rules.Money("EUR", 7000))

	second := w.grants(ada, id, euros(1, 0))
	equal(t, "by a leader", do[*goodshipv1.Credit](w, lea, &goodshipv1.ReverseCreditRequest{CreditId: second.Id, Reason: "x"}).State, reversed)
}

// TestCreditsOutliveConversations settles and takes back where the conversation is gone.
func TestCreditsOutliveConversations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	a, b := w.grants(ada, id, euros(5, 0)), w.grants(ada, id, points(100))
	_, err := w.store.Update(t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		return nil, tx.RemoveConversation(id, goodshipv1.RemovalCause_REMOVAL_CAUSE_EXPIRED)
	})
	equal(t, "error", err, nil)
	equal(t, "settled", told(w.settles(bill(a.Id, "invoice 1"))), "SETTLED")
	equal(t, "reversed", do[*goodshipv1.Credit](w, ada, &goodshipv1.ReverseCreditRequest{CreditId: b.Id, Reason: "x"}).State, reversed)
	equal(t, "ledger", w.ledgerOf(kim), "owed 0.00 EUR, settled 5.00 EUR, 1 GRANTED 5.00 EUR, 2 GRANTED 100, 3 SETTLED -5.00 EUR, 4 REVERSED -100")
	equal(t, "credits", len(do[*goodshipv1.ListCreditsResponse](w, kim, &goodshipv1.ListCreditsRequest{}).Credits), 2)
}

// TestCreditsAreMeasured counts what happens to credits, and neither amounts nor whose they are.
func TestCreditsAreMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	w.says(ada, id, "Mended.")
	read := w.measure()
	req := granting(id, euros(1, 0))
	req.RequestId = "once"
	credit := do[*goodshipv1.Credit](w, ada, req)
	do[*goodshipv1.Credit](w, ada, req)
	w.refuses(ada, granting(id, euros(9, 0)), aboveAllowance("money_per_grant", "5.00 EUR"))
	w.settles(bill(credit.Id, "invoice 1"))
	w.settles(bill(credit.Id, "invoice 1"))
	w.settles(refuse(w.grants(ada, id, euros(1, 0)).Id, "x"))
	do[*goodshipv1.Credit](w, ada, &goodshipv1.ReverseCreditRequest{CreditId: w.grants(ada, id, points(1)).Id, Reason: "x"})
	got := strings.Split(read(), ", ")[:4]
	equal(t, "measured", strings.Join(got, ", "), "credits granted 3, credits refused 1, credits reversed 1, credits settled 1")
}
