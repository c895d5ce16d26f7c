package store

import (
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// Order is the order of a list.
type Order int

// Orders of a list; ties go by id in the same direction.
const (
	// ByActivity is by activity_time, newest first.
	ByActivity Order = iota
	// ByLine is by line_time, oldest first; only conversations that are WAITING.
	ByLine
)

// Query says which conversations to list; all that is set must hold.
type Query struct {
	Order   Order
	State   goodshipv1.State
	Outcome goodshipv1.Outcome
	OwnerID string
	Unowned bool
	Label   string
	// CustomerKeys are customers, whose conversations make one list; all customers if there are none.
	CustomerKeys []string
	// InvolvedID is an agent who owns, helps with, or is offered the conversation.
	InvolvedID string
	// ActiveFrom is inclusive, ActiveBefore exclusive; zero for no bound.
	ActiveFrom, ActiveBefore time.Time
}

// Holds reports whether a query holds for a conversation.
func (q Query) Holds(h *storev1.Head) bool {
	c := h.Conversation
	if q.Order == ByLine && c.State != goodshipv1.State_STATE_WAITING {
		return false
	}
	active := c.ActivityTime.AsTime()
	return (q.State == 0 || q.State == c.State) &&
		(q.Outcome == 0 || q.Outcome == c.Outcome) &&
		(q.OwnerID == "" || q.OwnerID == c.OwnerId) &&
		(!q.Unowned || c.OwnerId == "") &&
		(q.InvolvedID == "" || c.OwnerId == q.InvolvedID || c.HandOver.GetToAgentId() == q.InvolvedID || slices.Contains(c.HelperIds, q.InvolvedID)) &&
		(len(q.CustomerKeys) == 0 || slices.Contains(q.CustomerKeys, h.CustomerKey)) &&
		(q.Label == "" || slices.Contains(c.Labels, q.Label)) &&
		(q.ActiveFrom.IsZero() || !active.Before(q.ActiveFrom)) &&
		(q.ActiveBefore.IsZero() || active.Before(q.ActiveBefore))
}
