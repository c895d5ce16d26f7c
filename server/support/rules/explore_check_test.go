package rules_test

import (
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
)

// checkMove fails unless the events of a move are numbered without gaps and never go back in time, lead from the head before to
// the head after, end every promise one way, and leave nothing of the customer's that nobody had seen.
func (x *exploration) checkMove(from int, n *node, m move, c *rules.Conversation) {
	before := n.head.Conversation
	revision, public, last, kinds := before.Revision, before.PublicRevision, before.UpdateTime.AsTime(), m.who.id+m.name
	for _, e := range c.Events {
		revision++
		if e.PublicRevision != 0 {
			public++
		}
		if e.Revision != revision || e.PublicRevision != 0 && e.PublicRevision != public {
			x.fail(from, m, "numbers of %s: got %d and %d, want %d and %d", tellOne(e), e.Revision, e.PublicRevision, revision, public)
		}
		at := e.CreateTime.AsTime()
		if before.Revision != 0 && at.Before(last) || at.After(c.Now) {
			x.fail(from, m, "time of %s: got %v, want from %v to %v", tellOne(e), at, last, c.Now)
		}
		last, kinds = at, kinds+kindOf(e)
	}
	if x.costly(kinds) {
		folded := proto.CloneOf(n.head)
		for _, e := range c.Events {
			rules.Fold(folded, e)
		}
		if folded.DueTime = c.Head.DueTime; !proto.Equal(folded, c.Head) {
			x.fail(from, m, "fold of %s:\n got %v\nwant %v", tell(c.Events), folded, c.Head)
		}
	}
	x.checkPromise(from, n, m, c)
	x.checkActs(from, n, m, c)
	x.checkApologies(from, m, c)
}

// checkApologies fails unless time apologizes for each promise that breaks, if the workspace wants that, and says nothing else;
// and the messages of a move are those of its events.
func (x *exploration) checkApologies(from int, m move, c *rules.Conversation) {
	wanted, said := 0, []int32{}
	for _, e := range c.Events {
		if sent := e.GetMessageSent(); sent != nil {
			said = append(said, sent.Number)
			if isTime(e) {
				wanted--
			}
		}
		if e.GetPromiseBroken() != nil && x.settings.OnBroken == goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE {
			wanted++
		}
		if wanted < 0 {
			x.fail(from, m, "an apology for nothing: %s", tell(c.Events))
		}
	}
	var added []int32
	for _, message := range c.Messages {
		added = append(added, message.Number)
	}
	if wanted != 0 || !slices.Equal(said, added) {
		x.fail(from, m, "apologies: %d are missing, of messages %v with %v: %s", wanted, said, added, tell(c.Events))
	}
}

func isTime(e *goodshipv1.Event) bool {
	return e.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_TIME
}

// checkRefused fails if a refused command had an effect.
func (x *exploration) checkRefused(from int, n *node, m move, c *rules.Conversation) {
	same := len(c.Events) == 0 && c.Head.Conversation.Revision == n.head.Conversation.Revision
	if !same || x.costly(m.who.id+m.name+stateName(n.head)) && !proto.Equal(c.Head, n.head) {
		x.fail(from, m, "a refused command had an effect, by %s:\n got %v\nwant %v", tell(c.Events), c.Head, n.head)
	}
}

// costly reports whether a costly check is to be made: the first times for each kind of move.
func (x *exploration) costly(kind string) bool {
	x.checked[kind]++
	return x.checked[kind] <= 10
}

var eventKinds = (&goodshipv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")

func kindOf(e *goodshipv1.Event) string {
	return " " + string(e.ProtoReflect().WhichOneof(eventKinds).Name())
}

// checkPromise fails unless promises begin and end one after the other, each one way.
func (x *exploration) checkPromise(from int, n *node, m move, c *rules.Conversation) {
	running := isRunning(n.head)
	waiting := n.head.Conversation.State == goodshipv1.State_STATE_WAITING
	for _, e := range c.Events {
		answered, resolved := e.GetWaitAnswered(), e.GetResolved()
		wrong := ""
		switch {
		case e.GetWaitBegan() != nil:
			if running {
				wrong = "begins while one runs"
			}
			running, waiting = true, true
		case e.GetPromiseBroken() != nil:
			if !running {
				wrong = "breaks while none runs"
			}
			running = false
		case answered != nil:
			if !waiting || answered.Kept != running {
				wrong = "is kept though none runs, or broken though it runs"
			}
			running, waiting = false, false
		case resolved != nil:
			if resolved.PromiseCanceled != running {
				wrong = "runs on in RESOLVED, or is canceled though none runs"
			}
			running, waiting = false, false
		}
		if wrong != "" {
			x.fail(from, m, "promise %s: %s", wrong, tell(c.Events))
		}
	}
	if got := isRunning(c.Head); got != running {
		x.fail(from, m, "promise runs: got %v, want %v after %s", got, running, tell(c.Events))
	}
}

func isRunning(h *storev1.Head) bool {
	return h.Conversation.AnswerPromise.GetState() == goodshipv1.PromiseState_PROMISE_STATE_RUNNING
}

// checkActs fails unless what waits for an answer is what the customer did and nobody's answer had seen. It follows from the
// acts before and the move alone: what the customer says asks, unless it goes with a confirmation; what an answer's sender had
// seen is answered; a confirmation closes all; nothing else closes anything.
func (x *exploration) checkActs(from int, n *node, m move, c *rules.Conversation) {
	acts := revisionsOf(n.head)
	confirms := slices.ContainsFunc(c.Events, func(e *goodshipv1.Event) bool {
		return e.GetResolved().GetOutcome() == goodshipv1.Outcome_OUTCOME_CONFIRMED
	})
	for _, e := range c.Events {
		said := e.GetMessageSent() != nil && !isTime(e) || e.GetMessageEdited() != nil || e.GetResolutionRejected() != nil
		switch resolved := e.GetResolved(); {
		case said && m.who == customer && !confirms:
			acts = append(acts, e.Revision)
		case said && m.answers, resolved.GetOutcome() == goodshipv1.Outcome_OUTCOME_DISMISSED:
			acts = slices.DeleteFunc(acts, func(r int32) bool { return r <= m.seen })
		case resolved.GetOutcome() == goodshipv1.Outcome_OUTCOME_CONFIRMED:
			acts = nil
		}
		if e.GetResolved() != nil && len(acts) > 0 {
			x.fail(from, m, "acts that nobody had seen in RESOLVED: got %v, want none", acts)
		}
	}
	if got := revisionsOf(c.Head); !slices.Equal(got, acts) {
		x.fail(from, m, "acts that wait for an answer: got %v, want %v", got, acts)
	}
}

func revisionsOf(h *storev1.Head) []int32 {
	var revisions []int32
	for _, a := range h.Unanswered {
		revisions = append(revisions, a.Revision)
	}
	return revisions
}

// checkState fails unless what must hold in every state holds.
func (x *exploration) checkState(from int, m move, n *node) {
	h, c := n.head, n.head.Conversation
	waiting, resolved := c.State == goodshipv1.State_STATE_WAITING, c.State == goodshipv1.State_STATE_RESOLVED
	proposed := n.resolution.GetState() == goodshipv1.ResolutionState_RESOLUTION_STATE_PROPOSED
	closes := map[goodshipv1.Outcome]goodshipv1.ResolutionState{
		goodshipv1.Outcome_OUTCOME_CONFIRMED: goodshipv1.ResolutionState_RESOLUTION_STATE_CONFIRMED,
		goodshipv1.Outcome_OUTCOME_ASSUMED:   goodshipv1.ResolutionState_RESOLUTION_STATE_ASSUMED,
	}
	holds := func(condition bool, what string) {
		if !condition {
			x.fail(from, m, "state breaks the rule that %s: %v", what, h)
		}
	}
	holds(waiting == (len(h.Unanswered) > 0), "WAITING is where something is not answered")
	holds(!isRunning(h) || waiting, "a promise runs in WAITING only")
	holds(!waiting || isRunning(h) || c.AnswerPromise.State == goodshipv1.PromiseState_PROMISE_STATE_BROKEN, "in WAITING a promise runs or is BROKEN")
	holds(resolved == (c.Outcome != 0) && resolved == (c.ResolveTime != nil), "RESOLVED has an outcome and a time, and nothing else has")
	holds(proposed == (c.ResolutionNumber != 0 && !resolved), "the resolution named before RESOLVED is the one PROPOSED")
	holds(!resolved || (c.ResolutionNumber != 0) == (closes[c.Outcome] != 0), "what is RESOLVED names the resolution that resolved it")
	holds(c.ResolutionNumber == 0 || c.ResolutionNumber == c.ResolutionCount, "the resolution named is the newest")
	holds(!resolved || c.ResolutionNumber == 0 || n.resolution.State == closes[c.Outcome], "what resolved is as the outcome says")
	holds(c.HandOver == nil || c.HandOver.FromAgentId == c.OwnerId && c.OwnerId != "" && !resolved, "a hand-over is the owner's, and not in RESOLVED")
	holds(!slices.Contains(c.HelperIds, c.OwnerId), "the owner is no helper")
	for _, p := range x.helpers {
		gone := n.presence[p.id]
		holds(!waiting || c.OwnerId != p.id || gone.Left.IsZero(), "nobody who is away owns what waits")
		holds(!gone.Disabled || resolved || c.OwnerId != p.id && !slices.Contains(c.HelperIds, p.id), "who is disabled takes part in nothing unresolved")
		holds(c.HandOver.GetToAgentId() != p.id || gone.Left.IsZero(), "nothing is offered to who is away")
	}
	x.checkDue(from, m, n)
}

// checkDue fails unless the due time is the first instant at which time does something; no time means never.
func (x *exploration) checkDue(from int, m move, n *node) {
	events := func(now time.Time) string {
		later := *n
		later.head, later.now = proto.CloneOf(n.head), now
		return tell(rules.On(later.head, x.situation(&later, person{})).Events)
	}
	due := n.head.DueTime
	if due == nil {
		if s := events(n.now.Add(1000 * unit)); s != "" {
			x.fail(from, m, "without a due time, time did %s", s)
		}
		return
	}
	if s := events(due.AsTime().Add(-time.Nanosecond)); s != "" {
		x.fail(from, m, "before the due time, time did %s", s)
	}
	if events(due.AsTime()) == "" {
		x.fail(from, m, "at the due time, time did nothing")
	}
}
