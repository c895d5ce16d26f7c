package rules

import (
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// public reports whether customers see an event.
func public(e *goodshipv1.Event) bool {
	switch e.Kind.(type) {
	case *goodshipv1.Event_Opened, *goodshipv1.Event_MessageSent, *goodshipv1.Event_MessageEdited, *goodshipv1.Event_MessageRedacted,
		*goodshipv1.Event_DeliveryReported, *goodshipv1.Event_WaitBegan, *goodshipv1.Event_WaitAnswered, *goodshipv1.Event_PromiseBroken,
		*goodshipv1.Event_ResolutionProposed, *goodshipv1.Event_ResolutionWithdrawn, *goodshipv1.Event_ResolutionSuperseded,
		*goodshipv1.Event_ResolutionRejected, *goodshipv1.Event_Resolved, *goodshipv1.Event_Reopened, *goodshipv1.Event_Rated,
		*goodshipv1.Event_SubjectChanged, *goodshipv1.Event_CreditGranted, *goodshipv1.Event_CreditSettled, *goodshipv1.Event_CreditRefused,
		*goodshipv1.Event_CreditReversed:
		return true
	}
	return false
}

// Fold brings a head from before an event to after it. Folding a conversation's log into an empty head gives its head, but
// for what people wrote (subject, context, labels, ids of the product's, personas), which events do not copy, and the due
// time, which follows from the head and the settings.
func Fold(h *storev1.Head, e *goodshipv1.Event) {
	c := h.Conversation
	wasResolved := c.State == goodshipv1.State_STATE_RESOLVED
	fold(h, c, e)
	c.Revision = e.Revision
	c.UpdateTime = e.CreateTime
	if e.PublicRevision != 0 {
		c.PublicRevision = e.PublicRevision
		h.PublicUpdateTime = e.CreateTime
		if !wasResolved || c.State != goodshipv1.State_STATE_RESOLVED {
			c.ActivityTime = e.CreateTime
		}
		if e.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER {
			h.OutreachUnanswered, h.Unread = false, nil
		}
	}
}

func fold(h *storev1.Head, c *goodshipv1.Conversation, e *goodshipv1.Event) {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_Opened:
		c.CreateTime, h.SilenceStartTime = e.CreateTime, e.CreateTime
		c.State, c.OutreachReason = goodshipv1.State_STATE_ANSWERED, k.Opened.OutreachReason
		h.OutreachUnanswered = k.Opened.OutreachReason != goodshipv1.OutreachReason_OUTREACH_REASON_UNSPECIFIED
	case *goodshipv1.Event_MessageSent:
		foldMessage(h, c, e, k.MessageSent)
	case *goodshipv1.Event_MessageEdited:
		if k.MessageEdited.Asks {
			h.Unanswered = append(h.Unanswered, &storev1.Act{Revision: e.Revision, MessageNumber: k.MessageEdited.Number, Time: e.CreateTime})
		}
	case *goodshipv1.Event_WaitBegan, *goodshipv1.Event_WaitAnswered, *goodshipv1.Event_PromiseAtRisk, *goodshipv1.Event_PromiseBroken:
		foldWait(h, c, e)
	case *goodshipv1.Event_ResolutionProposed, *goodshipv1.Event_ResolutionWithdrawn, *goodshipv1.Event_ResolutionSuperseded,
		*goodshipv1.Event_ResolutionRejected, *goodshipv1.Event_Resolved, *goodshipv1.Event_Reopened:
		foldResolution(h, c, e)
	case *goodshipv1.Event_NoteAdded:
		c.NoteCount = k.NoteAdded.Number
	case *goodshipv1.Event_PersonaSet:
		participant(c, k.PersonaSet.Kind, k.PersonaSet.AgentId)
	case *goodshipv1.Event_Unseen:
		h.Unread = nil
	default:
		foldOwnership(h, c, e)
	}
}

func foldMessage(h *storev1.Head, c *goodshipv1.Conversation, e *goodshipv1.Event, m *goodshipv1.MessageSent) {
	c.MessageCount = m.Number
	kind := senderKind(e.Actor)
	if m.ParticipantNumber != 0 {
		participant(c, kind, e.Actor.AgentId).Number = m.ParticipantNumber
	}
	if m.Asks {
		h.Unanswered = append(h.Unanswered, &storev1.Act{Revision: e.Revision, MessageNumber: m.Number, Time: e.CreateTime})
	}
	if kind == goodshipv1.SenderKind_SENDER_KIND_CUSTOMER {
		return
	}
	if kind == goodshipv1.SenderKind_SENDER_KIND_AGENT {
		h.SilenceStartTime = e.CreateTime
	}
	if h.Unread == nil {
		h.Unread = &storev1.Unread{FirstNumber: m.Number, FirstTime: e.CreateTime}
	}
	h.Unread.LastNumber, h.Unread.LastTime = m.Number, e.CreateTime
}

func foldWait(h *storev1.Head, c *goodshipv1.Conversation, e *goodshipv1.Event) {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_WaitBegan:
		c.State, c.Outcome, c.DismissReason, c.ResolveTime = goodshipv1.State_STATE_WAITING, 0, 0, nil
		c.LineTime = k.WaitBegan.LineTime
		c.AnswerPromise = &goodshipv1.Promise{State: goodshipv1.PromiseState_PROMISE_STATE_RUNNING, StartTime: k.WaitBegan.StartTime, DueTime: k.WaitBegan.DueTime}
		h.AtRiskTime = k.WaitBegan.AtRiskTime
	case *goodshipv1.Event_WaitAnswered:
		h.Unanswered = slices.DeleteFunc(h.Unanswered, func(a *storev1.Act) bool { return a.Revision <= k.WaitAnswered.SeenRevision })
		if k.WaitAnswered.Kept {
			c.AnswerPromise.State = goodshipv1.PromiseState_PROMISE_STATE_KEPT
		}
		c.AnswerPromise.AnsweredTime = e.CreateTime
		if len(h.Unanswered) == 0 {
			c.State = goodshipv1.State_STATE_ANSWERED
		}
	case *goodshipv1.Event_PromiseAtRisk:
		c.AnswerPromise.AtRisk = true
	case *goodshipv1.Event_PromiseBroken:
		c.AnswerPromise.State = goodshipv1.PromiseState_PROMISE_STATE_BROKEN
	}
}

func foldResolution(h *storev1.Head, c *goodshipv1.Conversation, e *goodshipv1.Event) {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_ResolutionProposed:
		c.ResolutionCount, c.ResolutionNumber = k.ResolutionProposed.Number, k.ResolutionProposed.Number
		h.SilenceStartTime = e.CreateTime
	case *goodshipv1.Event_ResolutionWithdrawn:
		c.ResolutionNumber = 0
		h.SilenceStartTime = e.CreateTime
	case *goodshipv1.Event_ResolutionSuperseded:
		c.ResolutionNumber = 0
	case *goodshipv1.Event_ResolutionRejected:
		c.ResolutionNumber = 0
		c.RejectionCount++
		h.Unanswered = append(h.Unanswered, &storev1.Act{Revision: e.Revision, Time: e.CreateTime})
	case *goodshipv1.Event_Resolved:
		c.State, c.Outcome, c.DismissReason, c.ResolveTime = goodshipv1.State_STATE_RESOLVED, k.Resolved.Outcome, k.Resolved.DismissReason, e.CreateTime
		c.ResolutionNumber = k.Resolved.ResolutionNumber
		c.ResolutionCount = max(c.ResolutionCount, k.Resolved.ResolutionNumber)
		h.Unanswered = nil
		if k.Resolved.Outcome == goodshipv1.Outcome_OUTCOME_INFORMED { // an apology is no outreach
			h.OutreachUnanswered = false
		}
		if k.Resolved.PromiseCanceled {
			c.AnswerPromise.State = goodshipv1.PromiseState_PROMISE_STATE_CANCELED
		}
	case *goodshipv1.Event_Reopened:
		c.ResolutionNumber = 0
		if k.Reopened.Counted {
			c.ReturnCount++
		}
	}
}

func foldOwnership(h *storev1.Head, c *goodshipv1.Conversation, e *goodshipv1.Event) {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_Claimed:
		own(h, c, k.Claimed.AgentId, e.CreateTime)
		if k.Claimed.OutOfTurn {
			c.OutOfTurnCount++
		}
	case *goodshipv1.Event_Released:
		c.OwnerId, h.OwnTime = "", nil
	case *goodshipv1.Event_HelperInvited:
		c.HelperIds = append(c.HelperIds, k.HelperInvited.AgentId)
	case *goodshipv1.Event_HelperRemoved:
		c.HelperIds = without(c.HelperIds, k.HelperRemoved.AgentId)
	case *goodshipv1.Event_HandOverOffered:
		c.HandOver = &goodshipv1.HandOver{
			FromAgentId: c.OwnerId, ToAgentId: k.HandOverOffered.ToAgentId,
			NoteNumber: k.HandOverOffered.NoteNumber, OfferTime: e.CreateTime,
		}
	case *goodshipv1.Event_HandOverAccepted:
		c.HandOver = nil
		own(h, c, k.HandOverAccepted.ToAgentId, e.CreateTime)
		c.HandOverCount++
	case *goodshipv1.Event_HandOverDeclined, *goodshipv1.Event_HandOverLapsed:
		c.HandOver = nil
	}
}

// own makes an agent the owner; who loses ownership becomes a helper.
func own(h *storev1.Head, c *goodshipv1.Conversation, agentID string, at *timestamppb.Timestamp) {
	former := c.OwnerId
	c.OwnerId, h.OwnTime = agentID, at
	c.HelperIds = without(c.HelperIds, agentID)
	if former != "" {
		c.HelperIds = append(c.HelperIds, former)
	}
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(ids, func(s string) bool { return s == id })
}

// participant returns somebody's entry among the participants, made if missing.
func participant(c *goodshipv1.Conversation, kind goodshipv1.SenderKind, agentID string) *goodshipv1.Participant {
	for _, p := range c.Participants {
		if p.Kind == kind && p.AgentId == agentID {
			return p
		}
	}
	p := &goodshipv1.Participant{Kind: kind, AgentId: agentID}
	c.Participants = append(c.Participants, p)
	return p
}

func senderKind(a *goodshipv1.Actor) goodshipv1.SenderKind {
	switch a.Kind {
	case goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER:
		return goodshipv1.SenderKind_SENDER_KIND_CUSTOMER
	case goodshipv1.ActorKind_ACTOR_KIND_AGENT, goodshipv1.ActorKind_ACTOR_KIND_LEADER:
		return goodshipv1.SenderKind_SENDER_KIND_AGENT
	}
	return goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC
}

// stamp is a nil-safe reading of a timestamp: the zero time if it is absent.
func stamp(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
