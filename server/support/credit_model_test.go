package support_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// purse is the trivial model of one customer's ledger and of what one agent may grant: 5 euros and 500 basis points a grant, 12 and
// 1,200 a day, and 10,000 basis points a bill.
type purse struct {
	// mills and points are what was granted on a day.
	mills, points map[string]int64
	// owed and billed are sums of money, and bill of pending basis points.
	owed, billed, bill int64
	credits            map[string]*modelCredit
	entries            []*goodshipv1.LedgerEntry
}

type modelCredit struct {
	amount *goodshipv1.CreditAmount
	// ended is how, as told by TestSettleCredits; empty while pending.
	ended string
}

// sums adds an entry of an amount, with a sign.
func (p *purse) sums(a *goodshipv1.CreditAmount, sign int64) {
	mills, _ := rules.Mills(a.GetMoney())
	p.owed += sign * mills
	p.bill += sign * int64(a.GetBasisPoints())
}

// TestCreditModel grants, settles, refuses and takes back what chance brings, while days pass and the server and its file are
// closed and opened, and compares the ledger and the allowance with the model after each step.
func TestCreditModel(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	open := reopenable(t, clock, bolt.Hooks{})
	w := foundWorld(t, clock, open())
	t.Cleanup(func() { equal(t, "close", w.store.Close(), nil) })
	w.empowers()
	done := map[string]int{}
	people := 0
	rapid.Check(t, func(r *rapid.T) {
		people++
		m := modelRun{world: w, r: r, done: done, agent: person(fmt.Sprint("agent/a", people)), customer: person(fmt.Sprint("customer/c", people))}
		m.purse = purse{mills: map[string]int64{}, points: map[string]int64{}, credits: map[string]*modelCredit{}}
		w.employ(m.agent, goodshipv1.Role_ROLE_AGENT)
		m.talk = w.opens(m.customer, "Hello?")
		w.says(m.agent, m.talk, "Hello.")
		for range rapid.IntRange(10, 25).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"grant", "grant", "grant", "grant", "grant", "end", "end", "end", "pass", "restart", "reopen"}).Draw(r, "step") {
			case "grant":
				m.grant()
			case "end":
				m.end()
			case "pass":
				clock.Jump(time.Duration(rapid.IntRange(1, 30).Draw(r, "hours")) * time.Hour)
			case "restart":
				w.Close()
				w.restart()
			case "reopen":
				w.Close()
				equal(t, "close", w.store.Close(), nil)
				w.store = open()
				w.restart()
			}
			m.compare()
		}
	})
	for _, way := range []string{"granted", "SETTLED", "REFUSED", "REVERSED", "CREDIT_NOT_PENDING", "money_per_grant", "money_per_day",
		"basis_points_per_grant", "basis_points_per_day"} {
		if done[way] == 0 {
			t.Errorf("%s: got none in %v, want some", way, done)
		}
	}
	t.Logf("%v", done)
}

// modelRun is one run of the model beside the server.
type modelRun struct {
	*world
	purse
	r               *rapid.T
	done            map[string]int
	agent, customer person
	talk            string
}

func (m *modelRun) today() string {
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		m.r.Fatal(err)
	}
	return m.store.Now().In(madrid).Format(time.DateOnly)
}

// grant grants, or is refused as the model says.
func (m *modelRun) grant() {
	day, want := m.today(), ""
	size := rapid.SampledFrom([]int32{1, 30, 120, 350, 480, 500, 500, 501, 550}).Draw(m.r, "size")
	amount := euros(0, int64(size))
	mills, _ := rules.Mills(amount.GetMoney())
	left := 12_000 - m.mills[day]
	switch {
	case mills > min(5000, left) && left < 5000:
		want = "money_per_day"
	case mills > 5000:
		want = "money_per_grant"
	}
	if rapid.Bool().Draw(m.r, "of basis points") {
		amount, mills, want, left = points(size), 0, "", 1200-m.points[day]
		switch n := int64(size); {
		case m.bill+n > 10_000:
			want = "BILL_IS_FREE"
		case n > min(500, left) && left < 500:
			want = "basis_points_per_day"
		case n > 500:
			want = "basis_points_per_grant"
		}
	}
	credit, err := m.GrantCredit(m.by(m.agent), granting(m.talk, amount))
	if got := refusal(err); (want == "") != (err == nil) || !strings.Contains(got, want) {
		m.r.Fatalf("grant %v: got %q, want %q", amount, got, want)
	}
	m.done[want]++
	if err != nil {
		return
	}
	m.done["granted"]++
	m.mills[day] += mills
	m.points[day] += int64(amount.GetBasisPoints())
	m.sums(amount, 1)
	m.credits[credit.Id] = &modelCredit{amount: amount}
}

// end brings some credit to an end, or again to one.
func (m *modelRun) end() {
	if len(m.credits) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.credits))).Draw(m.r, "credit")
	credit, how := m.credits[id], rapid.SampledFrom([]string{"SETTLED", "REFUSED", "REVERSED"}).Draw(m.r, "how")
	got, want := "", how
	switch how {
	case "SETTLED":
		got = told(m.settles(bill(id, "invoice")))
	case "REFUSED":
		got = told(m.settles(refuse(id, "why")))
	case "REVERSED":
		_, err := m.ReverseCredit(m.by(m.agent), &goodshipv1.ReverseCreditRequest{CreditId: id, Reason: "why"})
		if got = refusal(err); err == nil {
			got = how
		}
	}
	if credit.ended != "" && (credit.ended != how || how == "REVERSED") {
		want = "FailedPrecondition CREDIT_NOT_PENDING state=" + credit.ended
		m.done["CREDIT_NOT_PENDING"]++
	}
	if got != want {
		m.r.Fatalf("%s of what is %q: got %s, want %s", how, credit.ended, got, want)
	}
	if credit.ended == "" {
		credit.ended = how
		m.done[how]++
		m.sums(credit.amount, -1)
		if how == "SETTLED" {
			mills, _ := rules.Mills(credit.amount.GetMoney())
			m.billed += mills
		}
	}
}

// compare holds the server to the model, and the ledger to its entries: nothing of it ever changes, and the balance is their sum.
func (m *modelRun) compare() {
	ledger := do[*goodshipv1.GetLedgerResponse](m.world, backend, &goodshipv1.GetLedgerRequest{CustomerId: m.customer.id(), PageSize: 100})
	owed, settled, summed, summedBill := int64(0), int64(0), int64(0), int64(0)
	for _, b := range ledger.Balances {
		owed, settled = must(rules.Mills(b.Owed)), must(rules.Mills(b.Settled))
	}
	for i, e := range ledger.Entries {
		summed += must(rules.Mills(e.Money))
		summedBill += int64(e.BasisPoints)
		if e.Number != int32(i+1) || i < len(m.entries) && !proto.Equal(e, m.entries[i]) {
			m.r.Fatalf("entry %d: got %v, want it as it was", i+1, e)
		}
	}
	if len(ledger.Entries) < len(m.entries) {
		m.r.Fatalf("entries: got %d, want %d at least", len(ledger.Entries), len(m.entries))
	}
	m.entries = ledger.Entries
	if owed != m.owed || settled != m.billed || int64(ledger.BasisPointsOwed) != m.bill || summed != owed || summedBill != m.bill {
		m.r.Fatalf("ledger: got %v (entries sum up to %d and %d), want owed %d, settled %d, bill %d", ledger, summed, summedBill, m.owed, m.billed, m.bill)
	}
	left := do[*goodshipv1.GetAllowanceResponse](m.world, m.agent, &goodshipv1.GetAllowanceRequest{})
	day := m.today()
	if got := must(rules.Mills(left.MoneyRemaining)); got != 12_000-m.mills[day] || int64(left.BasisPointsRemaining) != 1200-m.points[day] {
		m.r.Fatalf("remaining: got %v, want %d and %d", left, 12_000-m.mills[day], 1200-m.points[day])
	}
}

func must(n int64, err error) int64 {
	if err != nil {
		panic(err)
	}
	return n
}
