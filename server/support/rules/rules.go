// Package rules says what may happen to a conversation and what follows from it: the state table, ownership and the line
// of the design, pure and in one place.
//
// A command is a method of Conversation. It is a function of the head, the situation and the command's own arguments: it
// reads no clock, no store and no global, and either returns a fault and means nothing, or adds events. Every change of
// the head is the fold of an event (fold.go), so that the log tells all; texts stand beside the events, never in them.
//
// Time comes first: On applies, in order of due time, what time has already done, before any command is looked at. So
// nothing depends on when a timer fires, and what falls due at an instant comes before what arrives at it. Every command
// ends with it too, for what the command itself made overdue.
package rules

import (
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Bounds of one conversation; beyond them a command is refused LIMIT_REACHED.
const (
	// MaxUnanswered is how many acts of a customer's may wait for one answer.
	MaxUnanswered = 500
	// MaxHelpers is how many helpers there may be for another to be invited. Who loses ownership becomes one all the same.
	MaxHelpers = 20
	// MaxParticipants is how many people may ever take part. The customer and the owner always may, so that nobody who waits
	// is left with somebody who cannot answer.
	MaxParticipants = 100
)

// Actor is who gives a command.
type Actor struct {
	Kind     goodshipv1.ActorKind
	AgentID  string
	APIKeyID string
	// Persona is how the person appears without a chosen persona.
	Persona *goodshipv1.Persona
}

func (a Actor) isAgent() bool {
	return a.Kind == goodshipv1.ActorKind_ACTOR_KIND_AGENT || a.Kind == goodshipv1.ActorKind_ACTOR_KIND_LEADER
}

// Situation is what a command finds beside the conversation itself.
type Situation struct {
	Now   time.Time
	Actor Actor
	// Settings are the workspace's, and Hours its opening hours.
	Settings *goodshipv1.Workspace
	Hours    Hours
	// Presence tells of an agent.
	Presence func(agentID string) Presence
	// Block is the customer's; nil if there is none.
	Block *goodshipv1.Block
	// CustomerRead is the number of the newest message that the customer has read.
	CustomerRead int32
	// Resolution is the one that the head names; nil if it names none.
	Resolution *goodshipv1.Resolution
	// Outreach is the conversation that we opened to the customer and that is unanswered; empty if there is none.
	Outreach string
	// Oldest is the head of the line's unowned conversations as of now; the zero value if nobody waits unowned.
	Oldest LinePlace
}

// LinePlace is where a conversation stands in the line.
type LinePlace struct {
	ID   string
	Time time.Time
}

func (p LinePlace) before(o LinePlace) bool {
	return p.ID != "" && (p.Time.Before(o.Time) || p.Time.Equal(o.Time) && p.ID < o.ID)
}

// Conversation is a conversation while a command works on it.
type Conversation struct {
	// Head is as the events so far left it.
	Head *storev1.Head
	// Events were added, by time and by the command.
	Events []*goodshipv1.Event
	// Message and Note were added by the command, if any.
	Message *goodshipv1.Message
	Note    *goodshipv1.Note
	// Messages were added in the order of their events: Message, and those by which time apologized.
	Messages []*goodshipv1.Message
	// Resolution was added or changed, if any.
	Resolution *goodshipv1.Resolution

	Situation
	// clock is the time of the events being added: the due time for what time does, else Now.
	clock time.Time
	// seen is the newest revision that anybody can have seen: that before this command.
	seen int32
}

// On returns the conversation of a head in a situation, with what time has done to it applied. The head is the
// conversation's to change.
func On(head *storev1.Head, s Situation) *Conversation {
	c := &Conversation{Head: head, Situation: s, clock: s.Now, seen: head.Conversation.Revision}
	c.elapse()
	return c
}

// emit adds an event, by the actor, and folds it into the head.
func (c *Conversation) emit(e *goodshipv1.Event) {
	e.Actor = &goodshipv1.Actor{Kind: c.Actor.Kind, AgentId: c.Actor.AgentID, ApiKeyId: c.Actor.APIKeyID}
	c.add(e)
}

// emitTime adds an event that time made.
func (c *Conversation) emitTime(e *goodshipv1.Event) {
	e.Actor = &goodshipv1.Actor{Kind: goodshipv1.ActorKind_ACTOR_KIND_TIME}
	c.add(e)
}

func (c *Conversation) add(e *goodshipv1.Event) {
	e.Revision = c.Head.Conversation.Revision + 1
	if public(e) {
		e.PublicRevision = c.Head.Conversation.PublicRevision + 1
	}
	e.CreateTime = timestamppb.New(c.clock)
	Fold(c.Head, e)
	c.Events = append(c.Events, e)
}

// resolution returns the resolution that the head names, for the command to change.
func (c *Conversation) resolution() *goodshipv1.Resolution {
	if c.Resolution == nil {
		c.Resolution = proto.CloneOf(c.Situation.Resolution)
	}
	return c.Resolution
}

func (c *Conversation) state() goodshipv1.State { return c.Head.Conversation.State }

func (c *Conversation) resolved() bool { return c.state() == goodshipv1.State_STATE_RESOLVED }

func (c *Conversation) waiting() bool { return c.state() == goodshipv1.State_STATE_WAITING }

// proposed reports whether a resolution is open.
func (c *Conversation) proposed() bool {
	return c.Head.Conversation.ResolutionNumber != 0 && !c.resolved()
}

func (c *Conversation) running() bool {
	return c.Head.Conversation.AnswerPromise.GetState() == goodshipv1.PromiseState_PROMISE_STATE_RUNNING
}
