package rules_test

import (
	"maps"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
)

// movesFrom returns all that may be tried in a state.
func (x *exploration) movesFrom(n *node) []move {
	moves := append(x.around(n), x.customerMoves(n)...)
	moves = append(moves,
		move{name: "backend sends", who: backend, do: func(c *rules.Conversation) error { return c.Send(words, 0) }},
		move{name: "backend reports", who: backend, do: func(c *rules.Conversation) error {
			return c.ReportDelivery(messageOf(ada, 1), goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED, "")
		}})
	for _, p := range x.helpers {
		if !n.presence[p.id].Disabled {
			moves = append(moves, x.answersBy(p, n)...)
			moves = append(moves, x.agentMoves(p)...)
		}
	}
	return moves
}

// around moves the clock, people in and out, and the customer's eyes.
func (x *exploration) around(n *node) []move {
	passing := func(to time.Time) func(*node) { return func(n *node) { n.now = to } }
	moves := []move{{name: "time passes", around: passing(n.now.Add(5 * unit))}}
	if due := n.head.DueTime; due != nil && due.AsTime().After(n.now) {
		moves = append(moves, move{name: "time comes", around: passing(due.AsTime())})
	}
	for _, p := range x.helpers {
		gone, leaves := n.presence[p.id], func(presence rules.Presence) func(*node) {
			return func(n *node) {
				n.presence = maps.Clone(n.presence)
				n.presence[p.id] = presence
			}
		}
		switch {
		case gone.Left.IsZero():
			moves = append(moves, move{name: p.id + " goes away", around: leaves(rules.Presence{Left: n.now})})
			if p == ada {
				moves = append(moves, move{name: "ada is disabled", around: leaves(rules.Presence{Left: n.now, Disabled: true})})
			}
		default:
			moves = append(moves, move{name: p.id + " comes back", around: leaves(rules.Presence{})})
		}
	}
	if u := n.head.Unread; x.unread && u != nil && n.read < u.LastNumber {
		reading := func(number int32) func(*rules.Conversation) error {
			return func(c *rules.Conversation) error { c.Read(number); return nil }
		}
		moves = append(moves, move{name: "customer reads all", who: customer, do: reading(u.LastNumber)})
		if n.read < u.FirstNumber && u.FirstNumber < u.LastNumber {
			moves = append(moves, move{name: "customer reads one", who: customer, do: reading(u.FirstNumber)})
		}
	}
	return moves
}

func (x *exploration) customerMoves(n *node) []move {
	count := n.head.Conversation.ResolutionCount
	confirms := func(number int32, content rules.Content) func(*rules.Conversation) error {
		return func(c *rules.Conversation) error { return c.Confirm(number, content) }
	}
	rejects := func(number int32, content rules.Content) func(*rules.Conversation) error {
		return func(c *rules.Conversation) error { return c.Reject(number, content) }
	}
	rates := func(solved bool) func(*rules.Conversation) error {
		return func(c *rules.Conversation) error { return c.Rate(0, &goodshipv1.Rating{Solved: &solved}) }
	}
	moves := []move{
		{name: "customer confirms", do: confirms(0, nothing)}, {name: "customer confirms the newest", do: confirms(max(count, 1), words)},
		{name: "customer rejects", do: rejects(0, nothing)}, {name: "customer rates solved", do: rates(true)}, {name: "customer rates not solved", do: rates(false)},
		{name: "customer edits what is answered", do: editing(1 << 30)},
		{name: "customer redacts", do: func(c *rules.Conversation) error { return c.Redact(messageOf(customer, 1)) }},
		{name: "customer sends while blocked", blocked: true, do: func(c *rules.Conversation) error { return c.Send(words, 0) }},
		{name: "customer confirms while blocked", blocked: true, do: confirms(0, nothing)},
		{name: "customer rejects while blocked", blocked: true, do: rejects(0, nothing)},
	}
	if len(n.head.Unanswered) < x.acts {
		moves = append(moves, move{name: "customer sends", do: func(c *rules.Conversation) error { return c.Send(words, 0) }})
		for _, a := range n.head.Unanswered {
			if a.MessageNumber != 0 {
				moves = append(moves, move{name: "customer edits", do: editing(a.MessageNumber)})
				break
			}
		}
		if x.acts > 1 {
			moves = append(moves, move{name: "customer rejects with a text", do: rejects(0, words)})
		}
	}
	for i := range moves {
		moves[i].who = customer
	}
	return moves
}

func editing(number int32) func(*rules.Conversation) error {
	return func(c *rules.Conversation) error { return c.Edit(messageOf(customer, number), "It skips a lot.") }
}

func messageOf(p person, number int32) *goodshipv1.Message {
	sender := &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_CUSTOMER, AgentId: p.id}
	if p.helps() {
		sender.Kind = goodshipv1.SenderKind_SENDER_KIND_AGENT
	}
	return &goodshipv1.Message{Number: number, Sender: sender}
}

// answersBy returns a person's answers, each as of every revision that matters: none, before everything that is not answered,
// after each act of it, the newest, and beyond.
func (x *exploration) answersBy(p person, n *node) []move {
	newest := n.head.Conversation.Revision
	seen := []int32{0, newest, newest + 1}
	for i, a := range n.head.Unanswered {
		if i == 0 {
			seen = append(seen, max(a.Revision-1, 1))
		}
		if a.Revision != newest {
			seen = append(seen, a.Revision)
		}
	}
	var moves []move
	for _, s := range seen {
		moves = append(moves,
			move{name: "sends", who: p, answers: true, seen: s, do: func(c *rules.Conversation) error { return c.Send(words, s) }},
			move{name: "proposes with a text", who: p, answers: true, seen: s, do: func(c *rules.Conversation) error {
				return c.Propose(rules.Proposal{Matter: matter, Done: "sent a cable", Content: words, Seen: s})
			}},
			move{name: "dismisses", who: p, seen: s, do: func(c *rules.Conversation) error {
				return c.Dismiss(goodshipv1.DismissReason_DISMISS_REASON_SPAM, s)
			}},
		)
	}
	moves = append(moves, move{name: "proposes", who: p, do: func(c *rules.Conversation) error {
		return c.Propose(rules.Proposal{Matter: matter, Done: "sent a cable", Seen: newest})
	}})
	return present(moves, p)
}

// present makes who acts be there.
func present(moves []move, p person) []move {
	for i := range moves {
		moves[i].who = p
		moves[i].around = func(n *node) {
			n.presence = maps.Clone(n.presence)
			delete(n.presence, p.id)
		}
	}
	return moves
}

func (x *exploration) agentMoves(p person) []move {
	moves := []move{
		{name: "withdraws", do: func(c *rules.Conversation) error { return c.Withdraw(0) }},
		{name: "claims", do: (*rules.Conversation).Claim},
		{name: "releases", do: (*rules.Conversation).Release},
		{name: "accepts", do: (*rules.Conversation).AcceptHandOver},
		{name: "declines", do: (*rules.Conversation).DeclineHandOver},
		{name: "notes", do: func(c *rules.Conversation) error { c.AddNote("a fan of ships"); return nil }},
		{name: "edits", do: func(c *rules.Conversation) error { return c.Edit(messageOf(p, 1), "Try the other cable.") }},
		{name: "redacts", do: func(c *rules.Conversation) error { return c.Redact(messageOf(customer, 1)) }},
	}
	for _, o := range x.helpers {
		moves = append(moves, move{name: "removes " + o.id, do: func(c *rules.Conversation) error { return c.RemoveHelper(o.id) }})
		if o != p {
			moves = append(moves,
				move{name: "invites " + o.id, do: func(c *rules.Conversation) error { return c.Invite(o.id) }},
				move{name: "offers to " + o.id, do: func(c *rules.Conversation) error { return c.HandOver(o.id, "the cable") }})
		}
	}
	return present(moves, p)
}
