package rules

import (
	"strconv"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// RatingOpen is how long a rating can be changed.
const RatingOpen = 24 * time.Hour

// Proposal is what is said to be solved.
type Proposal struct {
	Matter          goodshipv1.Matter
	Done, MadeRight string
	// CreditIDs are of credits that make it right, and FoundFirst says that we found the fault before the customer told us.
	CreditIDs  []string
	FoundFirst bool
	// Content is a message to send with it; while the customer waits it must answer everything.
	Content Content
	Seen    int32
}

// Propose opens a resolution.
func (c *Conversation) Propose(p Proposal) error {
	if c.resolved() {
		return c.isResolved("ConfirmResolution, SendMessage")
	}
	if err := c.checkSeen(p.Seen); err != nil {
		return err
	}
	if c.proposed() {
		number := strconv.Itoa(int(c.Head.Conversation.ResolutionNumber))
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_ALREADY_PROPOSED,
			"Resolution %s is proposed already. Withdraw it first.", number).With("resolution_number", number)
	}
	if c.waiting() && (p.Content.Empty() || c.crossed(p.Seen)) {
		return customerIsWaiting(c.seen)
	}
	if err := c.stepIn(); err != nil {
		return err
	}
	if !p.Content.Empty() {
		if err := c.say(p.Content, false); err != nil {
			return err
		}
		c.answer(p.Seen)
	}
	number := c.Head.Conversation.ResolutionCount + 1
	c.Resolution = &goodshipv1.Resolution{
		ConversationId: c.Head.Conversation.Id, Number: number, State: goodshipv1.ResolutionState_RESOLUTION_STATE_PROPOSED,
		Matter: p.Matter, Done: p.Done, MadeRight: p.MadeRight, AgentId: c.Actor.AgentID,
		MessageNumber: c.Message.GetNumber(), CreateTime: timestamppb.New(c.Now), CreditIds: p.CreditIDs, FoundFirst: p.FoundFirst,
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_ResolutionProposed{ResolutionProposed: &goodshipv1.ResolutionProposed{Number: number}}})
	c.elapse()
	return nil
}

// Withdraw takes the proposed resolution back. A number of 0 means the one that is open.
func (c *Conversation) Withdraw(number int32) error {
	if err := c.mustTakePart(); err != nil {
		return err
	}
	if err := c.mustBeCurrent(number); err != nil {
		return err
	}
	if !c.proposed() {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_NOTHING_PROPOSED, "No resolution is proposed that could be withdrawn. Read the conversation again.")
	}
	c.withdraw()
	c.elapse()
	return nil
}

func (c *Conversation) withdraw() {
	c.decide(goodshipv1.ResolutionState_RESOLUTION_STATE_WITHDRAWN)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_ResolutionWithdrawn{ResolutionWithdrawn: &goodshipv1.ResolutionWithdrawn{Number: c.Head.Conversation.ResolutionNumber}}})
}

// Confirm lets the customer say that it is solved: the proposed resolution, or without one. What is said with it asks for
// no answer.
func (c *Conversation) Confirm(number int32, content Content) error {
	if err := c.confirmable(number); err != nil {
		return err
	}
	if !content.Empty() {
		if err := c.notBlocked(); err != nil {
			return err
		}
		if err := c.say(content, false); err != nil {
			return err
		}
	}
	if n := c.Head.Conversation.ResolutionNumber; n != 0 {
		number = n
		c.decide(goodshipv1.ResolutionState_RESOLUTION_STATE_CONFIRMED)
	} else {
		number = c.Head.Conversation.ResolutionCount + 1
		c.Resolution = &goodshipv1.Resolution{
			ConversationId: c.Head.Conversation.Id, Number: number, State: goodshipv1.ResolutionState_RESOLUTION_STATE_CONFIRMED,
			CreateTime: timestamppb.New(c.Now), DecideTime: timestamppb.New(c.Now),
		}
	}
	c.lapseHandOver()
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Resolved{Resolved: &goodshipv1.Resolved{
		Outcome: goodshipv1.Outcome_OUTCOME_CONFIRMED, ResolutionNumber: number, PromiseCanceled: c.running(),
	}}})
	c.elapse()
	return nil
}

func (c *Conversation) confirmable(number int32) error {
	if err := c.mustBeCurrent(number); err != nil {
		return err
	}
	switch c.Head.Conversation.Outcome {
	case goodshipv1.Outcome_OUTCOME_CONFIRMED, goodshipv1.Outcome_OUTCOME_DISMISSED:
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_NOTHING_TO_CONFIRM,
			"The conversation is RESOLVED and nothing is left to confirm. To go on, send a message.").With("state", stateName(c.state()))
	}
	return nil
}

// Reject lets the customer say that it is not solved: they wait again, with a promise from now and their earlier place.
func (c *Conversation) Reject(number int32, content Content) error {
	if err := c.rejectable(number); err != nil {
		return err
	}
	if !content.Empty() {
		if err := c.notBlocked(); err != nil {
			return err
		}
	}
	if err := c.reject(content); err != nil {
		return err
	}
	c.elapse()
	return nil
}

func (c *Conversation) reject(content Content) error {
	line := c.Now
	if t := c.Head.Conversation.LineTime; t != nil {
		line = t.AsTime()
	}
	c.decide(goodshipv1.ResolutionState_RESOLUTION_STATE_REJECTED)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_ResolutionRejected{ResolutionRejected: &goodshipv1.ResolutionRejected{Number: c.Head.Conversation.ResolutionNumber}}})
	if !content.Empty() {
		if err := c.say(content, true); err != nil {
			return err
		}
	}
	c.leaveAbsentOwner()
	c.beginWait(c.Now, line)
	return nil
}

func (c *Conversation) rejectable(number int32) error {
	if err := c.mustBeCurrent(number); err != nil {
		return err
	}
	if c.Head.Conversation.ResolutionNumber == 0 {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_NOTHING_TO_REJECT,
			"No resolution can be rejected or rated: none is proposed and none resolved the conversation. To go on about the matter, send a message.").With("state", stateName(c.state()))
	}
	return nil
}

// Rate keeps what the customer thinks of the resolution; "not solved" rejects it.
func (c *Conversation) Rate(number int32, rating *goodshipv1.Rating) error {
	if err := c.rejectable(number); err != nil {
		return err
	}
	if rating.Comment != "" {
		if err := c.notBlocked(); err != nil {
			return err
		}
	}
	r := c.resolution()
	given := &goodshipv1.Rating{
		Solved: rating.Solved, Personal: rating.Personal, Easy: rating.Easy, Comment: rating.Comment, CreateTime: timestamppb.New(c.Now),
	}
	if before := r.Rating; before != nil {
		if !c.Now.Before(before.CreateTime.AsTime().Add(RatingOpen)) {
			return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_RATING_FINAL,
				"The rating is older than 24 hours and stays. To go on about the matter, send a message.")
		}
		given.CreateTime, given.UpdateTime = before.CreateTime, given.CreateTime
	}
	r.Rating = given
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Rated{Rated: &goodshipv1.Rated{Number: r.Number}}})
	if !rating.GetSolved() {
		if err := c.reject(Content{}); err != nil {
			return err
		}
	}
	c.elapse()
	return nil
}

// Dismiss resolves the conversation as spam or abuse, if its sender had seen all that the customer did.
func (c *Conversation) Dismiss(reason goodshipv1.DismissReason, seen int32) error {
	if c.resolved() {
		return c.isResolved("nothing; it is closed")
	}
	if err := c.mustTakePart(); err != nil {
		return err
	}
	if err := c.checkSeen(seen); err != nil {
		return err
	}
	if c.crossed(seen) {
		return customerIsWaiting(c.seen)
	}
	if c.proposed() {
		c.withdraw()
	}
	c.lapseHandOver()
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Resolved{Resolved: &goodshipv1.Resolved{
		Outcome: goodshipv1.Outcome_OUTCOME_DISMISSED, DismissReason: reason, PromiseCanceled: c.running(),
	}}})
	c.elapse()
	return nil
}

// decide brings the resolution that the head names to its end, or from ASSUMED to CONFIRMED or REJECTED.
func (c *Conversation) decide(state goodshipv1.ResolutionState) {
	r := c.resolution()
	r.State, r.DecideTime = state, timestamppb.New(c.clock)
}

// mustBeCurrent refuses a resolution that was named and is not open any more; 0 names none.
func (c *Conversation) mustBeCurrent(number int32) error {
	current := c.Head.Conversation.ResolutionNumber
	if number == 0 || number == current {
		return nil
	}
	if number > c.Head.Conversation.ResolutionCount {
		return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_RESOLUTION_NOT_FOUND,
			"The conversation has no resolution %d. List its resolutions.", number)
	}
	f := fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_RESOLUTION_NOT_OPEN,
		"Resolution %d is not open any more. Read the conversation again.", number)
	if current != 0 {
		f = f.With("resolution_number", strconv.Itoa(int(current)))
	}
	return f
}

func (c *Conversation) isResolved(allowed string) error {
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_RESOLVED,
		"The conversation is RESOLVED. A message from the customer opens it again; allowed until then: %s.", allowed).
		With("state", stateName(c.state())).With("allowed", allowed)
}

func stateName(s goodshipv1.State) string { return s.String()[len("STATE_"):] }
