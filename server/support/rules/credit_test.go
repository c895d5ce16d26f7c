package rules_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
)

func TestCredits(t *testing.T) {
	t.Parallel()
	play(t, creditRows)
}

// creditRows tell what credits do in a conversation, beside what changesNothing tells of each state.
var creditRows = []row{
	{
		id: "credit_by_the_owner", given: owned, when: ada.credits, log: "CreditGranted(cred_1)",
		check: func(k *talk) {
			granted := k.log[len(k.log)-1].GetCreditGranted()
			compare(k.t, "basis points", granted.Amount.String(), tenPercent().String())
			compare(k.t, "settle by", since(granted.SettleByTime.AsTime()), "1h")
		},
	},
	{id: "credit_by_a_leader", given: owned, when: lea.credits, log: "CreditGranted(cred_1)"},
	{id: "credit_by_another_refused", given: owned, when: ben.credits, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "credit_in_an_unowned_one_by_an_agent_refused", given: []step{customer.opens}, when: ada.credits, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "credit_by_a_leader_claims_nothing", given: []step{customer.opens}, when: lea.credits, log: "CreditGranted(cred_1)"},
	{id: "credit_to_a_blocked_customer", given: then(owned, isBlocked(0)), when: ada.credits, log: "CreditGranted(cred_1)"},
	{
		id: "credit_is_no_answer", given: then(owned, ada.credits), when: unfiredTick(5 * time.Minute),
		log:  "PromiseAtRisk@4m PromiseBroken@5m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 1",
	},
	{id: "credit_settled", given: then(owned, ada.credits), when: backend.ends(goodshipv1.CreditState_CREDIT_STATE_SETTLED), log: "CreditSettled(cred_1)"},
	{id: "credit_refused", given: then(owned, ada.credits), when: backend.ends(goodshipv1.CreditState_CREDIT_STATE_REFUSED), log: "CreditRefused(cred_1)"},
	{id: "credit_reversed", given: then(owned, ada.credits), when: ada.ends(goodshipv1.CreditState_CREDIT_STATE_REVERSED), log: "CreditReversed(cred_1)"},
	{
		id: "credit_is_overdue_at_its_time", given: then(answered, ada.credits), when: then2(unfired(2*time.Hour), isOverdue),
		log: "CreditOverdue(cred_1)@1h",
	},
	{
		id: "credit_is_overdue_not_before_the_event_it_follows", given: then(answered, ada.credits, unfired(2*time.Hour), ada.sends), when: isOverdue,
		log: "CreditOverdue(cred_1)@2h2m",
	},
}

func tenPercent() *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_BasisPoints{BasisPoints: 1000}}
}

// credits grants the credit cred_1, to be settled an hour after the epoch.
func (p person) credits(k *talk) error {
	return k.do(p, func(c *rules.Conversation) error {
		if err := c.MayCredit(); err != nil {
			return err
		}
		c.CreditGranted("cred_1", tenPercent(), epoch.Add(time.Hour))
		return nil
	})
}

// ends brings cred_1 to an end.
func (p person) ends(state goodshipv1.CreditState) step {
	return func(k *talk) error {
		return k.do(p, func(c *rules.Conversation) error { c.CreditEnded("cred_1", state); return nil })
	}
}

// isOverdue lets time tell that cred_1 was not settled.
func isOverdue(k *talk) error {
	return k.do(person{kind: goodshipv1.ActorKind_ACTOR_KIND_TIME}, func(c *rules.Conversation) error {
		c.CreditOverdue("cred_1", epoch.Add(time.Hour))
		return nil
	})
}

// unfiredTick lets time pass at once, and then act.
func unfiredTick(d time.Duration) step { return then2(unfired(d), (*talk).tick) }

// then2 makes one step of two.
func then2(a, b step) step {
	return func(k *talk) error {
		if err := a(k); err != nil {
			return err
		}
		return b(k)
	}
}
