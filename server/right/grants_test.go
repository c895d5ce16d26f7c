package right

import (
	"context"
	"fmt"
	"sync"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// TestGrants grants credits while the server is killed: one request id, asked for by 100 at once and again after each restart, is one
// credit; and many who grant in different conversations never grant more than the agent's allowance.
func TestGrants(t *testing.T) {
	t.Logf("-seed %d", *seed)
	m := newMortal(t, random("server of grants"))
	m.once()
	m.within()
	m.server.Stop()
	books := map[string]*ledger{}
	w := look(t, m.server.Data)
	mustBalance(t, w.credits(books), books)
}

// grant grants money in a conversation.
func (h *house) grant(by, conversation, requestID string, units int64) (*goodshipv1.Credit, error) {
	return ask(h, "agent/"+by, func(ctx context.Context) (*goodshipv1.Credit, error) {
		return h.credits().GrantCredit(ctx, &goodshipv1.GrantCreditRequest{ConversationId: conversation, Amount: inMoney(units), Reason: "the film stopped", RequestId: requestID})
	})
}

// once grants one credit a hundred times at once, three kills long.
func (m *mortal) once() {
	m.t.Helper()
	const callers, rounds = 100, 20
	conversation := m.host(agent, "ada", "open")
	ids := make([]string, callers)
	m.struck(moments(random("once"), 3, callers*rounds), func(step func()) {
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				for range rounds {
					step()
					c, err := m.grant(agent, conversation, "the one", 7)
					if ids[i] == "" {
						ids[i] = c.GetId()
					}
					if err != nil || c.GetId() != ids[i] {
						m.t.Errorf("granting again gives %q, and before %q: %v", c.GetId(), ids[i], err)
					}
				}
			})
		}
		all.Wait()
	})
	for _, id := range ids {
		if id != ids[0] {
			m.t.Errorf("one request id made %s and %s", ids[0], id)
		}
	}
	if all := m.listCredits(); len(all) != 1 || all[0].Id != ids[0] {
		m.t.Errorf("there are %v", all)
	}
	m.spentIs(agent, perDay-7)
}

// within grants more than an agent may, in many conversations at once, three kills long.
func (m *mortal) within() {
	m.t.Helper()
	const by, may, units, callers, rounds = "engineer", 100, 7, 40, 3
	m.employ(by, &goodshipv1.Allowance{MoneyPerGrant: euros(may), MoneyPerDay: euros(may)})
	var mu sync.Mutex
	granted, refused := 0, 0
	m.struck(moments(random("within"), 3, callers*rounds), func(step func()) {
		each(callers, func(i int) {
			conversation := m.host(by, fmt.Sprintf("customer-%d", i), "open")
			for round := range rounds {
				step()
				_, err := m.grant(by, conversation, fmt.Sprintf("grant-%d", round), units)
				mu.Lock()
				switch reason := reasonOf(err); {
				case err == nil:
					granted++
				case reason == "ABOVE_ALLOWANCE":
					refused++
				default:
					m.t.Errorf("granting ends with %v", err)
				}
				mu.Unlock()
			}
		})
	})
	if granted != may/units || granted+refused != callers*rounds {
		m.t.Fatalf("%d grants of %d of %d, %d refused", granted, units, may, refused)
	}
	m.spentIs(by, may%units)
	m.strike()
	m.spentIs(by, may%units)
	m.reverse(by)
}

// reverse takes the newest credit back, which gives nothing of the allowance back.
func (m *mortal) reverse(by string) {
	m.t.Helper()
	newest := m.listCredits()[0]
	must(m.house, "agent/"+by, func(ctx context.Context) (*goodshipv1.Credit, error) {
		return m.credits().ReverseCredit(ctx, &goodshipv1.ReverseCreditRequest{CreditId: newest.Id, Reason: "another conversation", RequestId: "reverse"})
	})
	before := m.allowance(by).GetMoneyRemaining()
	if _, err := m.grant(by, newest.ConversationId, "once more", 7); reasonOf(err) != "ABOVE_ALLOWANCE" || mills(before) != 2000 {
		m.t.Errorf("after a reversal %v remains, and granting ends with %v", before, err)
	}
	credits, books := m.listCredits(), map[string]*ledger{}
	for _, c := range credits {
		if books[c.CustomerId] == nil {
			books[c.CustomerId] = m.ledger(c.CustomerId)
		}
	}
	mustBalance(m.t, credits, books)
}

// spentIs fails the test unless so much remains of an agent's day.
func (m *mortal) spentIs(by string, remains int64) {
	m.t.Helper()
	if got := m.allowance(by); mills(got.GetMoneyRemaining()) != remains*1000 {
		m.t.Errorf("of %s's day remains %v, want %d", by, got.GetMoneyRemaining(), remains)
	}
}

func (h *house) allowance(of string) *goodshipv1.GetAllowanceResponse {
	h.t.Helper()
	return must(h, "", func(ctx context.Context) (*goodshipv1.GetAllowanceResponse, error) {
		return h.credits().GetAllowance(ctx, &goodshipv1.GetAllowanceRequest{AgentId: of})
	})
}

// mustBalance fails the test unless the ledgers are what the credits make.
func mustBalance(t *testing.T, credits []*goodshipv1.Credit, books map[string]*ledger) {
	t.Helper()
	var v verdict
	if v.balance(facts{credits: credits, ledgers: books}); v.unbalanced > 0 {
		t.Errorf("%d ledgers do not balance: %s", v.unbalanced, v.first)
	}
}

// reasonOf returns the reason of an error, as on the wire; empty if it has none.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return ""
}
