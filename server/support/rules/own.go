package rules

import (
	"slices"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc/codes"
)

// takesPart reports whether the actor may write, propose, withdraw, dismiss and invite: owner, helpers and leaders.
func (c *Conversation) takesPart() bool {
	conv := c.Head.Conversation
	return c.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_LEADER || conv.OwnerId == c.Actor.AgentID ||
		slices.Contains(conv.HelperIds, c.Actor.AgentID)
}

// MayWrite reports whether an agent may write in public: who takes part, and anybody where nobody owns what is not resolved.
func (c *Conversation) MayWrite() bool {
	return c.Head.Conversation.OwnerId == "" && !c.resolved() || c.takesPart()
}

func (c *Conversation) mustTakePart() error {
	if c.takesPart() {
		return nil
	}
	how := "Claim the conversation, or ask its owner to invite you."
	switch {
	case c.resolved() && c.Head.Conversation.OwnerId == "":
		how = "The conversation is RESOLVED and has no owner: ask a leader or one of its helpers to do it."
	case c.resolved():
		how = "The conversation is RESOLVED: ask its owner to invite you."
	}
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_NOT_A_PARTICIPANT,
		"Only the owner, helpers and leaders may do this. %s", how)
}

// stepIn lets an agent take part: who writes in a conversation that nobody owns, and that is not resolved, claims it.
func (c *Conversation) stepIn() error {
	if c.Head.Conversation.OwnerId != "" || c.resolved() {
		return c.mustTakePart()
	}
	if _, err := c.sender(); err != nil {
		return err
	}
	c.claim()
	return nil
}

// Claim makes the actor the owner. Claiming what one owns changes nothing.
func (c *Conversation) Claim() error {
	owner := c.Head.Conversation.OwnerId
	if c.resolved() {
		return c.isResolved("CreateNote; for its owner, helpers and leaders SendMessage")
	}
	if owner == c.Actor.AgentID {
		return nil
	}
	if owner != "" && !c.mayTakeFrom(owner) {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_OWNED_BY_ANOTHER,
			"Another agent owns the conversation, is present and in time. Ask them to invite you or to hand it over.").With("owner_id", owner)
	}
	c.lapseHandOver()
	c.claim()
	c.elapse()
	return nil
}

// mayTakeFrom reports whether the actor may claim what another owns: leaders may, and everyone while the owner is away or
// has left the customer waiting too long.
func (c *Conversation) mayTakeFrom(owner string) bool {
	broken := c.waiting() && c.Head.Conversation.AnswerPromise.GetState() == goodshipv1.PromiseState_PROMISE_STATE_BROKEN
	return c.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_LEADER || broken || c.Presence(owner).away(c.Now)
}

func (c *Conversation) claim() {
	conv := c.Head.Conversation
	place := LinePlace{ID: conv.Id, Time: stamp(conv.LineTime)}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Claimed{Claimed: &goodshipv1.Claimed{
		AgentId: c.Actor.AgentID, FormerOwnerId: conv.OwnerId,
		OutOfTurn: c.waiting() && conv.OwnerId == "" && c.Oldest.before(place),
	}}})
}

// Release gives up ownership, one's own or as a leader another's.
func (c *Conversation) Release() error {
	owner := c.Head.Conversation.OwnerId
	if err := c.mustOwn(true); err != nil {
		return err
	}
	c.lapseHandOver()
	c.emit(released(owner, goodshipv1.ReleaseCause_RELEASE_CAUSE_RELEASED))
	c.elapse()
	return nil
}

// mustOwn refuses who is not the owner, nor a leader where one will do.
func (c *Conversation) mustOwn(orLead bool) error {
	owner := c.Head.Conversation.OwnerId
	if owner == "" {
		how := "Claim it first."
		if c.resolved() {
			how = "It is RESOLVED: when a message from the customer opens it again, claim it."
		}
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_NO_OWNER, "The conversation has no owner. %s", how)
	}
	if owner == c.Actor.AgentID || orLead && c.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_LEADER {
		return nil
	}
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_NOT_THE_OWNER,
		"Only the owner may do this. Ask them, or claim the conversation when that is allowed.").With("owner_id", owner)
}

func released(agentID string, cause goodshipv1.ReleaseCause) *goodshipv1.Event {
	return &goodshipv1.Event{Kind: &goodshipv1.Event_Released{Released: &goodshipv1.Released{AgentId: agentID, Cause: cause}}}
}

// Invite makes a colleague a helper. Who takes part already stays as they are.
func (c *Conversation) Invite(agentID string) error {
	conv := c.Head.Conversation
	if conv.OwnerId == "" {
		return c.mustOwn(true)
	}
	if err := c.mustTakePart(); err != nil {
		return err
	}
	if conv.OwnerId == agentID || slices.Contains(conv.HelperIds, agentID) {
		return nil
	}
	if c.Presence(agentID).Disabled {
		return notPresent(agentID)
	}
	if len(conv.HelperIds) >= MaxHelpers {
		return limit(MaxHelpers, "There are %d helpers already. Remove one first.")
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_HelperInvited{HelperInvited: &goodshipv1.HelperInvited{AgentId: agentID}}})
	c.elapse()
	return nil
}

// RemoveHelper ends somebody's help: one's own, or as the owner or a leader another's.
func (c *Conversation) RemoveHelper(agentID string) error {
	if !slices.Contains(c.Head.Conversation.HelperIds, agentID) {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_NOT_A_HELPER,
			"The agent is no helper of this conversation; an owner leaves by releasing it.").With("agent_id", agentID)
	}
	leads := c.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_LEADER
	if agentID != c.Actor.AgentID && !leads {
		if err := c.mustOwn(true); err != nil {
			return err
		}
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_HelperRemoved{HelperRemoved: &goodshipv1.HelperRemoved{AgentId: agentID}}})
	c.elapse()
	return nil
}

// HandOver offers the conversation to a colleague who is present. The brief becomes a note.
func (c *Conversation) HandOver(to, brief string) error {
	if c.resolved() {
		return c.isResolved("ReleaseConversation")
	}
	if err := c.mustOwn(false); err != nil {
		return err
	}
	if to == c.Actor.AgentID {
		return fault.Field("to_agent_id", "must name a colleague, not the owner")
	}
	if offer := c.Head.Conversation.HandOver; offer != nil {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_HAND_OVER_PENDING,
			"A hand-over is offered already. Wait until it is accepted, declined or lapses.").With("to_agent_id", offer.ToAgentId)
	}
	if c.Presence(to).away(c.Now) {
		return notPresent(to)
	}
	number := c.note(brief)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_HandOverOffered{HandOverOffered: &goodshipv1.HandOverOffered{ToAgentId: to, NoteNumber: number}}})
	c.elapse()
	return nil
}

// AcceptHandOver makes the actor the owner; the giver becomes a helper. Only here a hand-over counts.
func (c *Conversation) AcceptHandOver() error {
	offer, err := c.offerToActor()
	if err != nil {
		return err
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_HandOverAccepted{HandOverAccepted: &goodshipv1.HandOverAccepted{
		FromAgentId: offer.FromAgentId, ToAgentId: offer.ToAgentId,
	}}})
	c.elapse()
	return nil
}

// DeclineHandOver leaves the conversation with the giver.
func (c *Conversation) DeclineHandOver() error {
	offer, err := c.offerToActor()
	if err != nil {
		return err
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_HandOverDeclined{HandOverDeclined: &goodshipv1.HandOverDeclined{ToAgentId: offer.ToAgentId}}})
	c.elapse()
	return nil
}

func (c *Conversation) offerToActor() (*goodshipv1.HandOver, error) {
	offer := c.Head.Conversation.HandOver
	if offer == nil || offer.ToAgentId != c.Actor.AgentID {
		return nil, fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_NO_HAND_OVER,
			"No hand-over of this conversation is offered to you; it may have lapsed. Read the conversation again.")
	}
	return offer, nil
}

func notPresent(agentID string) error {
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_PRESENT,
		"The agent is away or disabled. Choose a colleague who is present.").With("agent_id", agentID)
}
