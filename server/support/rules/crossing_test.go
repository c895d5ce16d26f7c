package rules_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// crossings are what a customer's and agents' calls cross each other in.
var crossings = []struct {
	name string
	way  []command
	// sorry says that broken promises are apologized for.
	sorry bool
}{
	{"WAITING", []command{customerOpens, adaClaims, benHelps}, false},
	{"WAITING_unowned", []command{customerOpens}, false},
	{"WAITING_offered", []command{customerOpens, adaClaims, benHelps, adaOffers}, false},
	{"WAITING_BROKEN", []command{customerOpens, adaClaims, benHelps, past(5 * time.Minute)}, false},
	{"WAITING_apologized", []command{customerOpens, adaClaims, benHelps, past(5 * time.Minute)}, true},
	{"WAITING_crossed_and_apologized", []command{customerOpens, adaClaims, {name: "send", who: customer}, past(5 * time.Minute)}, true},
	{"WAITING_rejected", []command{customerOpens, adaSends, benHelps, adaProposes, {name: "reject", who: customer}}, false},
	{"ANSWERED", []command{customerOpens, adaSends, benHelps}, false},
	{"ANSWERED_PROPOSED", []command{customerOpens, adaSends, benHelps, adaProposes}, false},
	{"RESOLVED_CONFIRMED", []command{customerOpens, adaSends, benHelps, adaProposes, {name: "confirm", who: customer}}, false},
}

var (
	benHelps  = command{name: "invite", who: ada, other: ben}
	adaOffers = command{name: "hand over", who: ada, other: ben}
)

// crossingCalls are the calls; those that answer are tried with everything that their sender can have seen.
var crossingCalls = []command{
	{name: "send", who: customer}, {name: "edit", who: customer}, {name: "confirm", who: customer}, {name: "reject", who: customer, text: true},
	{name: "rate", who: customer},
	{name: "send", who: ada}, {name: "propose", who: ada, text: true}, {name: "dismiss", who: ada}, {name: "send", who: ben},
	{name: "propose", who: ada, seen: newest}, {name: "claim", who: lea}, adaOffers, {name: "accept", who: ben}, {name: "edit", who: ada, number: 1},
}

// TestCrossing runs every order of three calls, at least one by the customer and one by an agent, and each agent's answer as of
// every earlier point that differs. In none is an act left that no answer's sender had seen, and every call ends as the plain
// model says.
func TestCrossing(t *testing.T) {
	t.Parallel()
	for _, start := range crossings {
		t.Run(start.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, tally{}, nil)
			d.plain.sorry = start.sorry
			for _, c := range start.way {
				d.run(c)
			}
			d.talks[0].hurried = true
			x := &crossing{t: t, states: map[string]int{}}
			x.explore(d, 3, "")
			states := slices.Sorted(maps.Keys(x.states))
			t.Logf("%d orders of calls, which end in: %s", x.orders, strings.Join(states, ", "))
			if x.orders < 2000 {
				t.Errorf("orders of calls: got %d, want some thousand", x.orders)
			}
		})
	}
}

type crossing struct {
	t      *testing.T
	orders int
	states map[string]int
}

// explore tries every call that may come next, and what may come after it. Sides tells whose calls there were.
func (x *crossing) explore(d *desk, calls int, sides string) {
	for _, c := range crossingCalls {
		side := "customer"
		if c.who.helps() {
			side = "agent"
		}
		if calls == 1 && !strings.Contains(sides, map[string]string{"customer": "agent", "agent": "customer"}[side]) {
			continue
		}
		for _, seen := range d.points(c) {
			c.seen = seen
			next := d.clone()
			next.run(c)
			checkSeen(x.t, next)
			x.orders++
			x.states[stateName(next.talks[0].head)]++
			if calls > 1 {
				x.explore(next, calls-1, sides+side)
			}
		}
	}
}

// points returns what the sender of a call can have seen, as far as it differs: every step before which or after which the
// customer did something. Calls that answer nothing have seen the newest.
func (d *desk) points(c command) []int {
	p := d.plain.talks[0]
	answers := c.who.helps() && (c.name == "send" || c.name == "dismiss" || c.name == "propose" && c.text)
	if !answers {
		return []int{newest}
	}
	var points []int
	for step := 1; step < p.step; step++ {
		if slices.ContainsFunc(p.facts, func(f fact) bool { return f.step == step+1 && f.isAct() }) {
			points = append(points, step-1) // aim counts from the first step
		}
	}
	return append(points, newest)
}

// checkSeen fails if invariant 15 does not hold: an act of the customer's that no answer's sender had seen is left in a
// conversation that is ANSWERED or RESOLVED, other than by the customer's own confirmation.
func checkSeen(t *testing.T, d *desk) {
	t.Helper()
	p, c := d.plain.talks[0], d.talks[0].head.Conversation
	var left []fact
	for _, f := range p.facts {
		if f.what == dismisses || f.what == assumes || f.what == lapses {
			missed := slices.DeleteFunc(slices.Clone(left), func(a fact) bool { return a.step <= f.seen })
			if len(missed) > 0 {
				t.Fatalf("acts that %s closed unseen: got %v, want none\n%s", f.what, missed, strings.Join(d.told, "\n"))
			}
		}
		left = owe(left, f)
	}
	if waits := enum(c.State) == "WAITING"; waits != (len(left) > 0) {
		t.Fatalf("state %s with %d acts that nobody had seen\n%s", enum(c.State), len(left), strings.Join(d.told, "\n"))
	}
}

// clone returns a desk that goes on by itself.
func (d *desk) clone() *desk {
	c := *d
	c.presence, c.places, c.told = maps.Clone(d.presence), maps.Clone(d.places), slices.Clip(d.told)
	plain := *d.plain
	plain.away, plain.disabled = maps.Clone(d.plain.away), maps.Clone(d.plain.disabled)
	plain.talks = nil
	c.plain, c.talks, c.revisions = &plain, nil, nil
	for i, k := range d.talks {
		talk, p := *k, *d.plain.talks[i]
		talk.log, talk.presence = slices.Clip(k.log), c.presence
		talk.messages, talk.notes, talk.resolutions = maps.Clone(k.messages), maps.Clone(k.notes), maps.Clone(k.resolutions)
		talk.looked = maps.Clone(k.looked)
		p.desk, p.facts = &plain, slices.Clip(p.facts)
		c.talks, c.plain.talks = append(c.talks, &talk), append(c.plain.talks, &p)
		c.revisions = append(c.revisions, slices.Clip(d.revisions[i]))
	}
	return &c
}
