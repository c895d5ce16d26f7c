package support_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// aboveAllowance is the refusal of a grant on 2026-03-01 in Madrid.
func aboveAllowance(limit, remaining string) string {
	words := "PermissionDenied ABOVE_ALLOWANCE limit=" + limit + " remaining=" + remaining
	if strings.HasSuffix(limit, "_day") {
		words += " reset_time=2026-03-01T23:00:00Z"
	}
	return words
}

// remains tells what remains of somebody's day.
func (w *world) remains(p person) string {
	w.t.Helper()
	reply := do[*goodshipv1.GetAllowanceResponse](w, p, &goodshipv1.GetAllowanceRequest{})
	return fmt.Sprintf("%s, %d until %s", said(&goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: reply.MoneyRemaining}}),
		reply.BasisPointsRemaining, reply.ResetTime.AsTime().Format(time.RFC3339))
}

// TestAllowanceOfAgents grants up to the allowance, which a reversal does not give back, and above it.
func TestAllowanceOfAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	w.invites(ada, id, ben)
	w.refuses(ada, granting(id, euros(5, 1)), aboveAllowance("money_per_grant", "5.00 EUR"))
	first := w.grants(ada, id, euros(5, 0))
	w.grants(ada, id, euros(5, 0))
	w.refuses(ada, granting(id, euros(2, 1)), aboveAllowance("money_per_day", "2.00 EUR"))
	equal(t, "remains", w.remains(ada), "2.00 EUR, 1200 until 2026-03-01T23:00:00Z")
	do[*goodshipv1.Credit](w, ada, &goodshipv1.ReverseCreditRequest{CreditId: first.Id, Reason: "x"})
	w.refuses(ada, granting(id, euros(2, 1)), aboveAllowance("money_per_day", "2.00 EUR"))
	w.grants(ada, id, euros(2, 0))
	w.grants(ada, id, points(500))
	w.refuses(ada, granting(id, points(501)), aboveAllowance("basis_points_per_grant", "500"))
	equal(t, "remains", w.remains(ada), "0.00 EUR, 700 until 2026-03-01T23:00:00Z")
	w.grants(ben, id, euros(5, 0)) // everyone has their own
	w.grants(lea, id, euros(100, 0))
	w.refuses(lea, granting(id, euros(100, 1)), aboveAllowance("money_per_grant", "100.00 EUR"))
	equal(t, "remains of a leader", w.remains(lea), "900.00 EUR, 9000 until 2026-03-01T23:00:00Z")

	do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{
		DisplayName: "The captain", Allowance: allowance(euros(20, 0), euros(15, 0), 0, 0),
	}})
	w.refuses(ada, granting(id, euros(3, 1)), aboveAllowance("money_per_day", "3.00 EUR"))
	w.grants(ada, id, euros(3, 0))
	w.refuses(ada, granting(id, points(1)), aboveAllowance("basis_points_per_grant", "0"))
	do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: "The captain"}})
	equal(t, "remains of the workspace's, once more was granted", w.remains(ada), "0.00 EUR, 700 until 2026-03-01T23:00:00Z")
}

func TestGetAllowance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	get := &goodshipv1.GetAllowanceRequest{}
	empty := do[*goodshipv1.GetAllowanceResponse](w, ada, get)
	equal(t, "without a currency", empty.MoneyRemaining == nil && empty.Allowance == nil && empty.BasisPointsRemaining == 0, true)
	w.empowers()
	own := do[*goodshipv1.GetAllowanceResponse](w, ada, get)
	same(t, "allowance", own.Allowance, allowance(euros(5, 0), euros(12, 0), 500, 1200))
	equal(t, "agent", own.AgentId, "ada")
	get.AgentId = "ada"
	for _, p := range []person{ada, lea, backend} {
		same(t, "to "+string(p), do[*goodshipv1.GetAllowanceResponse](w, p, get), own)
	}
	w.refuses(ben, get, "PermissionDenied CALLER_NOT_ALLOWED allowed=BACKEND,LEADER caller=AGENT")
	w.refuses(backend, &goodshipv1.GetAllowanceRequest{}, "InvalidArgument INVALID_REQUEST agent_id")
	w.refuses(lea, &goodshipv1.GetAllowanceRequest{AgentId: "nobody"}, "NotFound AGENT_NOT_FOUND agent_id=nobody")
	get.AgentId = "lea"
	same(t, "of a leader", do[*goodshipv1.GetAllowanceResponse](w, backend, get).Allowance, allowance(euros(100, 0), euros(1000, 0), 5000, 9000))
}

// TestDayOfTheWorkspace spends around midnight of the workspace's time zone, on the short and the long day of the year, and when the
// time zone is set in the middle.
func TestDayOfTheWorkspace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		begin           time.Time
		length          time.Duration
		untilReset, end string
	}{
		{"24 hours", time.Date(2026, time.March, 1, 23, 0, 0, 0, time.UTC), 24 * time.Hour, "2026-03-02T23:00:00Z", "2026-03-03T23:00:00Z"},
		{"23 hours", time.Date(2026, time.March, 28, 23, 0, 0, 0, time.UTC), 23 * time.Hour, "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"},
		{"25 hours", time.Date(2026, time.October, 24, 22, 0, 0, 0, time.UTC), 25 * time.Hour, "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := faketime.At(c.begin.Add(-time.Hour))
			w := foundWorld(t, clock, rehearsed{openStore(t, clock.Now)})
			id := creditable(w)
			w.says(ada, id, "It is mended.") // so that she stays the owner
			w.grants(ada, id, euros(4, 0))
			w.clock.Jump(c.begin.Sub(w.clock.Now()))
			w.grants(ada, id, euros(5, 0))
			w.clock.Jump(c.length - time.Minute)
			equal(t, "remains at the end of the day", w.remains(ada), "7.00 EUR, 1200 until "+c.untilReset)
			w.clock.Jump(time.Minute)
			equal(t, "remains on the next", w.remains(ada), "12.00 EUR, 1200 until "+c.end)
		})
	}
	t.Run("another time zone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t) // it is Sunday, 10:00 in Madrid
		id := creditable(w)
		w.grants(ada, id, euros(5, 0))
		w.updates(&goodshipv1.Workspace{TimeZone: "America/New_York"}, "time_zone") // Sunday, 04:00
		equal(t, "remains in New York", w.remains(ada), "7.00 EUR, 1200 until 2026-03-02T05:00:00Z")
		w.grants(ada, id, euros(5, 0))
		w.updates(&goodshipv1.Workspace{TimeZone: "Pacific/Kiritimati"}, "time_zone") // Sunday, 23:00
		equal(t, "remains in Kiritimati", w.remains(ada), "2.00 EUR, 1200 until 2026-03-01T10:00:00Z")
		w.clock.Jump(time.Hour)
		equal(t, "remains on Monday", w.remains(ada), "12.00 EUR, 1200 until 2026-03-02T10:00:00Z")
		w.updates(&goodshipv1.Workspace{TimeZone: "UTC"}, "time_zone") // Sunday again: what was granted on it counts
		equal(t, "remains on Sunday", w.remains(ada), "2.00 EUR, 1200 until 2026-03-02T00:00:00Z")
	})
}

// TestGrantsAtOnce lets agents grant in many conversations together: nobody goes beyond their allowance, and all of it can be used.
func TestGrantsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.empowers()
	var ids []string
	for range 12 {
		id := w.opens(kim, "Hello?")
		w.claims(ada, id)
		w.invites(ada, id, ben)
		ids = append(ids, id)
	}
	granted := map[person]*atomic.Int64{ada: {}, ben: {}, lea: {}}
	var calls sync.WaitGroup
	for p, sum := range granted {
		ctx := w.by(p)
		for i := range 60 {
			calls.Go(func() {
				amount := euros(0, int64(50+10*(i%5)))
				_, err := w.GrantCredit(ctx, granting(ids[i%len(ids)], amount))
				if err == nil {
					mills, _ := rules.Mills(amount.GetMoney())
					sum.Add(mills)
				} else if got := refusal(err); !strings.HasPrefix(got, "PermissionDenied ABOVE_ALLOWANCE limit=money_per_day") {
					t.Errorf("%s: got %s, want ABOVE_ALLOWANCE", p, got)
				}
			})
		}
	}
	calls.Wait()
	for p, most := range map[person]int64{ada: 12_000, ben: 12_000, lea: 1_000_000} {
		if got := granted[p].Load(); got > most || p != lea && got <= most-900 {
			t.Errorf("%s granted: got %d mills, want at most %d and nearly that", p, got, most)
		}
	}
	equal(t, "granted by the leader, whom nothing keeps", granted[lea].Load(), 60*700)
	sum := granted[ada].Load() + granted[ben].Load() + granted[lea].Load()
	ledger := do[*goodshipv1.GetLedgerResponse](w, backend, &goodshipv1.GetLedgerRequest{CustomerId: "kim"})
	same(t, "balance", ledger.Balances[0].Owed, rules.Money("EUR", sum))
}

// TestCurrency holds settings to one currency.
func TestCurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	equal(t, "time zone of a new workspace", do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{}).TimeZone, "UTC")
	w.refuses(lea, granting(id, euros(1, 0)), "FailedPrecondition CURRENCY_MISMATCH")
	francs := func(units int64) *money.Money { return &money.Money{CurrencyCode: "CHF", Units: units} }
	type settings = goodshipv1.Workspace
	for _, c := range []struct {
		name string
		set  *settings
		mask []string
		want string
	}{
		{"an unknown time zone", &settings{TimeZone: "Mars/Olympus"}, []string{"time_zone"}, "workspace.time_zone"},
		{"the machine's time zone", &settings{TimeZone: "Local"}, []string{"time_zone"}, "workspace.time_zone"},
		{"a path", &settings{TimeZone: "../../etc/passwd"}, []string{"time_zone"}, "workspace.time_zone"},
		{"no time zone", &settings{}, []string{"time_zone"}, "workspace.time_zone"},
		{"an unknown currency", &settings{CurrencyCode: "ZZZ"}, []string{"currency_code"}, "workspace.currency_code"},
		{"money without a currency", &settings{Allowance: allowance(euros(1, 0), nil, 0, 0)}, []string{"allowance"}, "workspace.allowance.money_per_grant"},
	} {
		w.refuses(backend, &goodshipv1.UpdateWorkspaceRequest{Workspace: c.set, UpdateMask: mask(c.mask...)}, "InvalidArgument INVALID_REQUEST "+c.want)
	}
	w.updates(&settings{Allowance: allowance(nil, nil, 5, 5)}, "allowance")
	w.empowers()
	for _, c := range []struct {
		name string
		set  *settings
		mask []string
		want string
	}{
		{"another currency", &settings{LeaderAllowance: &goodshipv1.Allowance{MoneyPerDay: francs(1)}}, []string{"leader_allowance"}, "workspace.leader_allowance.money_per_day"},
		{"a ceiling in another", &settings{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: francs(1)}}, []string{"incident_ceiling"}, "workspace.incident_ceiling.money"},
		{"below 0", &settings{Allowance: allowance(euros(-1, 0), nil, 0, 0)}, []string{"allowance"}, "workspace.allowance.money_per_grant"},
		{"too fine", &settings{Allowance: &goodshipv1.Allowance{MoneyPerDay: &money.Money{CurrencyCode: "EUR", Nanos: 1}}}, []string{"allowance"}, "workspace.allowance.money_per_day"},
		{"the currency alone", &settings{CurrencyCode: "CHF"}, []string{"currency_code"}, "workspace.currency_code"},
		{"no currency any more", &settings{}, []string{"currency_code"}, "workspace.currency_code"},
		{"the currency with a part", &settings{CurrencyCode: "CHF"}, []string{"currency_code", "allowance"}, "workspace.currency_code"},
	} {
		w.refuses(backend, &goodshipv1.UpdateWorkspaceRequest{Workspace: c.set, UpdateMask: mask(c.mask...)}, "InvalidArgument INVALID_REQUEST "+c.want)
	}
	upsert := &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: "Ada", Allowance: &goodshipv1.Allowance{MoneyPerGrant: francs(1)}}}
	w.refuses(backend, upsert, "InvalidArgument INVALID_REQUEST agent.allowance.money_per_grant")
	upsert.Agent.Allowance = allowance(euros(9, 0), euros(9, 0), 0, 0)
	same(t, "agent's own", do[*goodshipv1.Agent](w, backend, upsert).Allowance, upsert.Agent.Allowance)
	w.grants(ada, id, euros(9, 0))
	w.refuses(lea, granting(id, &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: francs(1)}}),
		"FailedPrecondition CURRENCY_MISMATCH currency_code=EUR")

	w.updates(&settings{CurrencyCode: "CHF", LeaderAllowance: &goodshipv1.Allowance{MoneyPerGrant: francs(9), MoneyPerDay: francs(9)}},
		"currency_code", "allowance", "leader_allowance")
	inFrancs := &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: francs(9)}}
	w.refuses(ada, granting(id, inFrancs), aboveAllowance("money_per_grant", "0.00 CHF")) // whose own entry is in euros still
	w.grants(lea, id, inFrancs)
	equal(t, "ledger", w.ledgerOf(kim), "owed 9.00 CHF, settled 0.00 CHF, owed 9.00 EUR, settled 0.00 EUR, 1 GRANTED 9.00 EUR, 2 GRANTED 9.00 CHF")
}

// TestKeepFor sets it and clears it, which means never.
func TestKeepFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := w.updates(&goodshipv1.Workspace{KeepFor: durationpb.New(24 * time.Hour)}, "keep_for")
	equal(t, "set", set.KeepFor.AsDuration(), 24*time.Hour)
	equal(t, "cleared", w.updates(&goodshipv1.Workspace{}, "keep_for").KeepFor == nil, true)
}

// TestBillIsFree grants basis points up to a whole bill.
func TestBillIsFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.empowers()
	w.updates(&goodshipv1.Workspace{LeaderAllowance: allowance(nil, nil, 10_000, 1_000_000)}, "leader_allowance")
	id := owned(w)
	first := w.grants(lea, id, points(9000))
	w.refuses(lea, granting(id, points(1001)), "FailedPrecondition BILL_IS_FREE remaining=1000")
	w.grants(lea, id, points(1000))
	w.refuses(lea, granting(id, points(1)), "FailedPrecondition BILL_IS_FREE remaining=0")
	do[*goodshipv1.Credit](w, lea, &goodshipv1.ReverseCreditRequest{CreditId: first.Id, Reason: "x"})
	w.grants(lea, id, points(9000))
	w.grants(lea, w.opens(lou, "Hello?"), points(10_000))
}

// TestResolutionCredits links credits to what made it right.
func TestResolutionCredits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	credit, taken := w.grants(ada, id, euros(1, 0)), w.grants(ada, id, euros(1, 0))
	do[*goodshipv1.Credit](w, ada, &goodshipv1.ReverseCreditRequest{CreditId: taken.Id, Reason: "x"})
	elsewhere := w.grants(lea, w.opens(lou, "Hello?"), euros(1, 0))
	propose := w.proposal(id)
	for _, other := range []string{taken.Id, elsewhere.Id, "cred_" + strings.Repeat("0", 26)} {
		propose.CreditIds = []string{credit.Id, other}
		w.refuses(ada, propose, "InvalidArgument INVALID_REQUEST credit_ids[1]")
	}
	propose.CreditIds, propose.FoundFirst = []string{credit.Id}, true
	question := proto.CloneOf(propose)
	question.Matter = goodshipv1.Matter_MATTER_QUESTION
	w.refuses(ada, question, "InvalidArgument INVALID_REQUEST found_first")
	made := do[*goodshipv1.Resolution](w, ada, propose)
	equal(t, "credits", list(made.CreditIds), credit.Id)
	equal(t, "found first", made.FoundFirst, true)
	seen := do[*goodshipv1.Resolution](w, kim, &goodshipv1.GetResolutionRequest{ConversationId: id, Number: 1})
	equal(t, "credits to the customer", list(seen.CreditIds), credit.Id)
}
