package rules

import (
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// MayCredit refuses actors who may not grant a credit here: only who takes part may, in any state, and nothing is claimed by it.
func (c *Conversation) MayCredit() error { return c.mustTakePart() }

// CreditGranted tells of a new credit. That it may be granted is the ledger's and the allowance's business.
func (c *Conversation) CreditGranted(id string, amount *goodshipv1.CreditAmount, settleBy time.Time) {
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_CreditGranted{CreditGranted: &goodshipv1.CreditGranted{
		CreditId: id, Amount: amount, SettleByTime: timestamppb.New(settleBy),
	}}})
	c.elapse()
}

// CreditEnded tells how a credit ended: SETTLED, REFUSED or REVERSED.
func (c *Conversation) CreditEnded(id string, state goodshipv1.CreditState) {
	e := &goodshipv1.Event{}
	switch state {
	case goodshipv1.CreditState_CREDIT_STATE_SETTLED:
		e.Kind = &goodshipv1.Event_CreditSettled{CreditSettled: &goodshipv1.CreditSettled{CreditId: id}}
	case goodshipv1.CreditState_CREDIT_STATE_REFUSED:
		e.Kind = &goodshipv1.Event_CreditRefused{CreditRefused: &goodshipv1.CreditRefused{CreditId: id}}
	default:
		e.Kind = &goodshipv1.Event_CreditReversed{CreditReversed: &goodshipv1.CreditReversed{CreditId: id}}
	}
	c.emit(e)
	c.elapse()
}

// CreditOverdue tells that a credit was PENDING when it was due to be settled. Like all that time does, it keeps the time at
// which it fell due, but never one before the event that it follows.
func (c *Conversation) CreditOverdue(id string, settleBy time.Time) {
	c.clock = settleBy
	if last := stamp(c.Head.Conversation.UpdateTime); c.clock.Before(last) {
		c.clock = last
	}
	c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_CreditOverdue{CreditOverdue: &goodshipv1.CreditOverdue{CreditId: id}}})
	c.elapse()
}

// CheckCurrency refuses money that is not in the workspace's currency, which may have none. Basis points need none.
func CheckCurrency(a *goodshipv1.CreditAmount, workspace string) error {
	if m := a.GetMoney(); m == nil || m.CurrencyCode == workspace && workspace != "" {
		return nil
	}
	sentence := "The workspace has no currency: an operator or a key with the scope ADMIN sets currency_code. Until then grant basis_points."
	if workspace != "" {
		sentence = "The workspace's credits are in " + workspace + ", and the amount is in another currency. Say it in " + workspace + "."
	}
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_CURRENCY_MISMATCH, "%s", sentence).With("currency_code", workspace)
}

// Day returns the day that it is in a place, as in `2026-11-22`.
func Day(t time.Time, place *time.Location) string { return t.In(place).Format(time.DateOnly) }

// NextDay returns the first instant after t at which it is another day in a place, whatever is done to the clocks there.
func NextDay(t time.Time, place *time.Location) time.Time {
	day := Day(t, place)
	for at := t.In(place); ; {
		// Until the clocks next change the wall clock runs evenly.
		passed := time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute +
			time.Duration(at.Second())*time.Second + time.Duration(at.Nanosecond())
		next := at.Add(24*time.Hour - passed)
		_, change := at.ZoneBounds()
		if change.IsZero() || next.Before(change) {
			return next.UTC()
		}
		if at = change.In(place); Day(at, place) != day {
			return at.UTC()
		}
	}
}
