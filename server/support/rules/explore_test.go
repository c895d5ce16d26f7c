package rules_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// unit is the step of the small clock of the exploration.
const unit = rules.RatingOpen

// mostStates is how many states there may be: more than there are, so that an exploration without an end fails.
const mostStates = 10_000

// exploration visits every state that a conversation can come to, breadth first: three people, a small clock, at most a few
// acts that wait for an answer. Two conversations are in one state if nothing that the rules look at tells them apart: ids,
// numbers, texts and counts do not count, nor how long ago something is beyond what matters.
type exploration struct {
	t        *testing.T
	helpers  []person
	acts     int  // how many acts may wait for an answer
	unread   bool // the customer does not look unless they say so
	settings *goodshipv1.Workspace

	nodes []*node
	known map[string]int
	edges []edge
	moves []string
	tried int
	// checked counts how often something costly was checked of the same kind of move.
	checked map[string]int
}

// node is a state, with a conversation that is in it.
type node struct {
	head       *storev1.Head
	resolution *goodshipv1.Resolution
	now        time.Time
	presence   map[string]rules.Presence
	read       int32
	from       edge
	spare      *storev1.Head // a copy of the head, to move on
}

type edge struct{ from, to, move int }

// move is a command in the exploration.
type move struct {
	name    string
	who     person
	seen    int32 // the revision as of which it answers or dismisses
	answers bool  // it is a person's answer
	blocked bool  // the customer is blocked
	do      func(*rules.Conversation) error
	// around changes what is around the conversation: the clock, who is there, what was read.
	around func(*node)
}

func newExploration(t *testing.T, helpers []person, acts int, unread bool) *exploration {
	settings := newSettings()
	settings.Promise = durationpb.New(5 * unit)
	settings.AssumeAfter = durationpb.New(5 * unit)
	settings.LapseAfter = durationpb.New(5 * unit)
	settings.NotifyAfter = durationpb.New(2 * unit)
	return &exploration{t: t, helpers: helpers, acts: acts, unread: unread, settings: settings, known: map[string]int{}, checked: map[string]int{}}
}

// run explores everything.
func (x *exploration) run() {
	first := &node{head: newHead(), now: epoch, presence: map[string]rules.Presence{}}
	for _, m := range []move{
		{name: "customer opens", who: customer, do: opening(0)}, {name: "backend opens", who: backend, do: opening(1)},
		{name: "ada opens", who: ada, do: opening(1)}, {name: "backend informs", who: backend, do: informing},
	} {
		x.step(-1, first, m)
	}
	for i := 0; i < len(x.nodes); i++ {
		n := x.nodes[i]
		for _, m := range x.movesFrom(n) {
			x.step(i, n, m)
		}
		n.spare = nil
		if len(x.nodes) > mostStates {
			x.fail(i, move{name: "…"}, "states: got more than %d, want an end", mostStates)
		}
	}
}

func opening(reason goodshipv1.OutreachReason) func(*rules.Conversation) error {
	return func(c *rules.Conversation) error { return c.Open(words, reason) }
}

func informing(c *rules.Conversation) error {
	if err := c.Apologize(words.Text); err != nil {
		return err
	}
	c.Inform()
	return nil
}

// step makes a move, checks what it did, and keeps the state that it led to. A refused command leaves the head as it was, so
// that the next move is made on the same copy.
func (x *exploration) step(from int, n *node, m move) {
	x.tried++
	if n.spare == nil {
		n.spare = proto.CloneOf(n.head)
	}
	next := &node{head: n.spare, resolution: n.resolution, now: n.now, presence: n.presence, read: n.read}
	if m.around != nil {
		m.around(next)
	}
	s := x.situation(next, m.who)
	if m.blocked {
		s.Block = &goodshipv1.Block{Reason: "abuse"}
	}
	c := rules.On(next.head, s)
	if m.do != nil {
		if err := m.do(c); err != nil {
			x.checkRefused(from, n, m, c)
			return
		}
	}
	n.spare = nil
	if x.unread {
		next.read = c.CustomerRead
	}
	if c.Resolution != nil {
		next.resolution = c.Resolution
	}
	x.checkMove(from, n, m, c)
	key := x.key(next)
	to, ok := x.known[key]
	if !ok {
		to = len(x.nodes)
		x.known[key], next.from = to, edge{from, to, x.moveNumber(m)}
		x.nodes = append(x.nodes, next)
		x.checkState(from, m, next)
	}
	if from >= 0 {
		x.edges = append(x.edges, edge{from, to, x.moveNumber(m)})
	}
}

func (x *exploration) situation(n *node, who person) rules.Situation {
	read := n.read
	if !x.unread {
		read = math.MaxInt32
	}
	s := rules.Situation{
		Now: n.now, Actor: rules.Actor{Kind: who.kind, AgentID: who.id}, Settings: x.settings, CustomerRead: read,
		Presence: func(id string) rules.Presence { return n.presence[id] },
	}
	if n.head.Conversation.ResolutionNumber != 0 {
		s.Resolution = n.resolution
	}
	return s
}

func (x *exploration) moveNumber(m move) int {
	name := strings.TrimSpace(m.who.id + " " + m.name)
	if i := slices.Index(x.moves, name); i >= 0 {
		return i
	}
	x.moves = append(x.moves, name)
	return len(x.moves) - 1
}

// fail tells what is wrong and how to come there.
func (x *exploration) fail(from int, m move, format string, args ...any) {
	x.t.Helper()
	way := []string{m.who.id + " " + m.name}
	for i := from; i >= 0; i = x.nodes[i].from.from {
		way = append(way, x.moves[x.nodes[i].from.move])
	}
	slices.Reverse(way)
	x.t.Fatalf("%s\nby: %s", fmt.Sprintf(format, args...), strings.Join(way, ", "))
}

// key tells apart states that the rules tell apart.
func (x *exploration) key(n *node) string {
	h, c := n.head, n.head.Conversation
	var b strings.Builder
	age := func(at time.Time, most time.Duration) int { return int(min(n.now.Sub(at), most) / unit) }
	fmt.Fprintf(&b, "%d %d %s %s", c.State, c.Outcome, c.OwnerId, c.HandOver.GetToAgentId())
	for _, p := range x.helpers {
		gone := n.presence[p.id]
		fmt.Fprintf(&b, " %t%t%t", slices.Contains(c.HelperIds, p.id), !gone.Left.IsZero(), gone.Disabled)
	}
	fmt.Fprintf(&b, " %t%t%t", c.LineTime != nil, h.OutreachUnanswered, c.ResolutionNumber != 0)
	if c.ResolutionNumber != 0 {
		rating := n.resolution.GetRating()
		fmt.Fprintf(&b, " %t", rating != nil)
		if rating != nil {
			fmt.Fprintf(&b, "%d", age(rating.CreateTime.AsTime(), rules.RatingOpen))
		}
	}
	switch c.State {
	case goodshipv1.State_STATE_WAITING:
		fmt.Fprintf(&b, " %d%t", c.AnswerPromise.State, c.AnswerPromise.AtRisk)
		if c.AnswerPromise.State == goodshipv1.PromiseState_PROMISE_STATE_RUNNING {
			fmt.Fprintf(&b, " %d", age(c.AnswerPromise.StartTime.AsTime(), 5*unit))
		}
		for _, a := range h.Unanswered {
			fmt.Fprintf(&b, " %t%d", a.MessageNumber != 0, age(a.Time.AsTime(), x.settings.Promise.AsDuration()))
		}
	case goodshipv1.State_STATE_ANSWERED:
		fmt.Fprintf(&b, " %d", age(h.SilenceStartTime.AsTime(), 5*unit))
	}
	if u := h.Unread; u != nil && x.unread {
		notify := x.settings.NotifyAfter.AsDuration()
		fmt.Fprintf(&b, " %d %d %t%t", age(u.FirstTime.AsTime(), notify), age(u.LastTime.AsTime(), notify), n.read >= u.FirstNumber, n.read >= u.LastNumber)
	}
	return b.String()
}
