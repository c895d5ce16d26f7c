package rules

import (
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Presence is when an agent was there, as far as it is known. The zero value was never away.
type Presence struct {
	// Left is when the agent last went away, or was disabled; zero if never.
	Left time.Time
	// Back is when the agent came back from there; zero while away.
	Back time.Time
	// Disabled says that the agent cannot come back by calling.
	Disabled bool
}

func (p Presence) away(at time.Time) bool {
	return p.Disabled || !p.Left.IsZero() && !p.Left.After(at) && p.Back.IsZero()
}

// absent returns when the agent first was away since an instant; zero if not.
func (p Presence) absent(since time.Time) time.Time {
	switch {
	case p.Left.IsZero(), !p.Back.IsZero() && !p.Back.After(since):
		return time.Time{}
	case p.Left.Before(since):
		return since
	}
	return p.Left
}

// due is something that time does at an instant.
type due struct {
	at time.Time
	do func()
}

// elapse applies what time has done by now, in order of due time, and notes when time comes next. An event keeps the time at
// which it fell due, but never one before the event that it follows.
func (c *Conversation) elapse() {
	for {
		next := due{}
		for _, d := range c.dues() {
			if !d.at.IsZero() && (next.do == nil || d.at.Before(next.at)) {
				next = d
			}
		}
		if next.do == nil || next.at.After(c.Now) {
			c.clock, c.Head.DueTime = c.Now, c.nextDue()
			return
		}
		c.clock = next.at
		if last := stamp(c.Head.Conversation.UpdateTime); c.clock.Before(last) {
			c.clock = last
		}
		next.do()
	}
}

// dues lists what time will do if nothing else happens. A zero time means never.
func (c *Conversation) dues() []due {
	return []due{
		{c.ownerGone(), c.loseOwner},
		{c.helperDisabled(), c.dropDisabledHelper},
		{c.receiverGone(), c.lapseHandOver},
		{c.atRisk(), func() {
			c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_PromiseAtRisk{PromiseAtRisk: &goodshipv1.PromiseAtRisk{}}})
		}},
		{c.promiseDue(), c.breakPromise},
		{c.silenceEnds(), c.resolveBySilence},
		{c.unseen(), func() {
			c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_Unseen{Unseen: &goodshipv1.Unseen{Number: c.Head.Unread.LastNumber}}})
		}},
	}
}

// nextDue returns when time next does something by what the head says; absent if never. Presence is not in it: it stands
// in memory, and whoever keeps it acts when somebody goes away.
func (c *Conversation) nextDue() *timestamppb.Timestamp {
	var next time.Time
	for _, at := range []time.Time{c.atRisk(), c.promiseDue(), c.silenceEnds(), c.unseen()} {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if next.IsZero() {
		return nil
	}
	return timestamppb.New(next)
}

func (c *Conversation) atRisk() time.Time {
	if !c.running() || c.Head.Conversation.AnswerPromise.AtRisk {
		return time.Time{}
	}
	return stamp(c.Head.AtRiskTime)
}

func (c *Conversation) promiseDue() time.Time {
	if !c.running() {
		return time.Time{}
	}
	return stamp(c.Head.Conversation.AnswerPromise.DueTime)
}

func (c *Conversation) breakPromise() {
	c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_PromiseBroken{PromiseBroken: &goodshipv1.PromiseBroken{}}})
	c.apologize()
	c.lapseHandOver()
}

// silenceEnds returns when the customer's silence resolves the conversation.
func (c *Conversation) silenceEnds() time.Time {
	if c.state() != goodshipv1.State_STATE_ANSWERED {
		return time.Time{}
	}
	after := c.Settings.LapseAfter
	if c.proposed() {
		after = c.Settings.AssumeAfter
	}
	return stamp(c.Head.SilenceStartTime).Add(after.AsDuration())
}

func (c *Conversation) resolveBySilence() {
	resolved := &goodshipv1.Resolved{Outcome: goodshipv1.Outcome_OUTCOME_LAPSED}
	if c.proposed() {
		resolved.Outcome, resolved.ResolutionNumber = goodshipv1.Outcome_OUTCOME_ASSUMED, c.Head.Conversation.ResolutionNumber
		c.decide(goodshipv1.ResolutionState_RESOLUTION_STATE_ASSUMED)
	}
	c.lapseHandOver()
	c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_Resolved{Resolved: resolved}})
}

// Read notes how far the customer has read, which no event tells: it changes only when time next does something.
func (c *Conversation) Read(number int32) {
	c.CustomerRead = max(c.CustomerRead, number)
	c.elapse()
}

// unseen returns when it is to be told that the customer has not looked. If they have read the first but not the last of
// what was said, it counts from the last.
func (c *Conversation) unseen() time.Time {
	u := c.Head.Unread
	if u == nil || c.CustomerRead >= u.LastNumber {
		return time.Time{}
	}
	from := u.FirstTime
	if c.CustomerRead >= u.FirstNumber {
		from = u.LastTime
	}
	return from.AsTime().Add(c.Settings.NotifyAfter.AsDuration())
}

// ownerGone returns when the owner went away from a customer who waits, or was disabled.
func (c *Conversation) ownerGone() time.Time {
	owner := c.Head.Conversation.OwnerId
	if owner == "" || c.resolved() {
		return time.Time{}
	}
	since := stamp(c.Head.OwnTime)
	if c.waiting() {
		if start := stamp(c.Head.Conversation.AnswerPromise.StartTime); start.After(since) {
			since = start
		}
		return c.Presence(owner).absent(since)
	}
	if p := c.Presence(owner); p.Disabled {
		return p.absent(since)
	}
	return time.Time{}
}

// loseOwner puts a conversation back without an owner; its place in the line stays.
func (c *Conversation) loseOwner() {
	owner := c.Head.Conversation.OwnerId
	cause := goodshipv1.ReleaseCause_RELEASE_CAUSE_AWAY
	if c.Presence(owner).Disabled {
		cause = goodshipv1.ReleaseCause_RELEASE_CAUSE_DISABLED
	}
	c.lapseHandOver()
	c.emitTime(released(owner, cause))
}

// helperDisabled returns when the first disabled helper was.
func (c *Conversation) helperDisabled() time.Time {
	if _, p := c.disabledHelper(); p.Disabled && !c.resolved() {
		return p.Left
	}
	return time.Time{}
}

func (c *Conversation) dropDisabledHelper() {
	id, _ := c.disabledHelper()
	c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_HelperRemoved{HelperRemoved: &goodshipv1.HelperRemoved{AgentId: id}}})
}

func (c *Conversation) disabledHelper() (string, Presence) {
	for _, id := range c.Head.Conversation.HelperIds {
		if p := c.Presence(id); p.Disabled {
			return id, p
		}
	}
	return "", Presence{}
}

// receiverGone returns when the colleague to whom a hand-over is offered went away.
func (c *Conversation) receiverGone() time.Time {
	offer := c.Head.Conversation.HandOver
	if offer == nil {
		return time.Time{}
	}
	return c.Presence(offer.ToAgentId).absent(stamp(offer.OfferTime))
}

// lapseHandOver ends an offer that nobody answered, if there is one.
func (c *Conversation) lapseHandOver() {
	if offer := c.Head.Conversation.HandOver; offer != nil {
		c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_HandOverLapsed{HandOverLapsed: &goodshipv1.HandOverLapsed{ToAgentId: offer.ToAgentId}}})
	}
}
