package rules_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestModel compares the rules with a plain model of design.md, after every command, over several conversations with their
// customers, agents, a leader, a line and a clock. First every state meets every command; then what chance brings.
func TestModel(t *testing.T) {
	t.Parallel()
	hits := tally{}
	t.Run("every_state_meets_every_command", func(t *testing.T) { meetAll(t, hits) })
	directed := len(hits)
	for range 2 {
		t.Run("random", rapid.MakeCheck(func(t *rapid.T) { runScript(t, hits) }))
	}
	t.Logf("%d pairs of a state and a command met, %d of them by direction; accepted/refused:\n%s", len(hits), directed, hits.table())
	for _, missed := range hits.missing() {
		t.Errorf("pair never met: %v", missed)
	}
	for command, allowed := range modelAllows {
		for i, s := range modelStates {
			if n := hits[meeting{s.name, command}]; n != nil && (n[0] > 0) != (allowed[i] == 'y') {
				t.Errorf("%s in %s: got %d times accepted, want allowed %c", command, s.name, n[0], allowed[i])
			}
		}
	}
}

// meetAll gives every command to a conversation in every state, by each kind of agent: alone, with a helper to whom it is
// offered, and behind somebody who waits longer. Then the customer writes, so that what it did to what follows shows too.
func meetAll(t *testing.T, hits tally) {
	offer := []command{{name: "invite", who: ada, other: ben}, {name: "hand over", who: ada, other: ben}}
	for _, s := range modelStates {
		for _, c := range modelCommands {
			for _, who := range actors(c) {
				c.who = who
				then := []command{c, {name: "send", who: customer}}
				meet(t, hits, slices.Concat(s.way, then))
				meet(t, hits, slices.Concat(s.way, offer, then))
				meet(t, hits, behind(slices.Concat(s.way, then)))
			}
		}
		meet(t, hits, slices.Concat(s.way, []command{{name: "send", who: backend}, {name: "report", who: backend, number: 1}}))
		meet(t, hits, slices.Concat(s.way, []command{
			{name: "send", who: lea, seen: newest}, {name: "edit", who: lea, number: 2}, {name: "edit", who: lea, number: 1}, past(time.Hour),
		}))
	}
	for _, script := range modelScripts {
		meet(t, hits, script)
	}
}

// actors returns who is to give a command: for an agent's the owner, another agent and a leader.
func actors(c command) []person {
	if c.who == ada {
		return []person{ada, ben, lea}
	}
	return []person{c.who}
}

// meet runs a script on a desk of its own.
func meet(t *testing.T, hits tally, script []command) {
	d := newDesk(t, hits, nil)
	for _, c := range script {
		d.run(c)
	}
	d.finish()
}

// finish checks the logs.
func (d *desk) finish() {
	for _, k := range d.talks {
		checkFold(d.t, k.head, k.log)
	}
}

// runScript runs a script that chance wrote.
func runScript(t *rapid.T, hits tally) {
	spans := rapid.SampledFrom([][]span{nil, nil, office}).Draw(t, "hours")
	d := newDesk(t, hits, spans)
	d.plain.sorry = rapid.Bool().Draw(t, "sorry")
	start := rapid.SampledFrom(modelStates).Draw(t, "start")
	for _, c := range start.way {
		d.run(c)
	}
	for _, c := range rapid.SliceOfN(rapid.Custom(drawCommand), 30, 100).Draw(t, "script") {
		d.run(c)
	}
	d.finish()
}

// modelReasons are the reasons for which design.md refuses.
var modelReasons = []string{
	"AGENT_NOT_PRESENT", "ALREADY_PROPOSED", "CONVERSATION_RESOLVED", "CUSTOMER_BLOCKED", "CUSTOMER_IS_WAITING", "HAND_OVER_PENDING",
	"INVALID_REQUEST", "MESSAGE_ANSWERED", "NOTHING_PROPOSED", "NOTHING_TO_CONFIRM", "NOTHING_TO_REJECT", "NOT_A_HELPER",
	"NOT_A_PARTICIPANT", "NOT_THE_AUTHOR", "NOT_THE_OWNER", "NO_HAND_OVER", "NO_OWNER", "OUTREACH_UNANSWERED", "OWNED_BY_ANOTHER",
	"RATING_FINAL", "REDACTED", "RESOLUTION_NOT_FOUND", "RESOLUTION_NOT_OPEN", "SEEN_REVISION_AHEAD", "SEEN_REVISION_REQUIRED",
}

// missing returns the pairs that must be met and were not.
func (h tally) missing() []meeting {
	var want []meeting
	for _, s := range modelStates {
		for _, c := range modelCommands {
			if c.who != (person{}) && !slices.Contains([]string{"go away", "disable", "claim next"}, c.name) {
				want = append(want, meeting{s.name, label(c)})
			}
		}
		want = append(want, meeting{s.name, "time: Unseen"})
		if s.name != "RESOLVED INFORMED" { // where nobody owns: who informs owns nothing, and RESOLVED cannot be claimed
			want = append(want, meeting{s.name, "owner goes away"})
		}
	}
	want = append(want,
		meeting{"WAITING", "agent: claim next"}, meeting{"WAITING", "time: PromiseAtRisk"}, meeting{"WAITING", "time: PromiseBroken"},
		meeting{"WAITING", "time: MessageSent"},
		meeting{"WAITING", "time: Released AWAY"}, meeting{"WAITING", "time: Released DISABLED"}, meeting{"ANSWERED", "time: Released DISABLED"},
		meeting{"ANSWERED PROPOSED", "time: ASSUMED"}, meeting{"ANSWERED", "time: LAPSED"},
		meeting{"-", "customer: open"}, meeting{"-", "agent: open"}, meeting{"-", "backend: open"}, meeting{"-", "backend: inform"},
		meeting{"-", "agent: inform"},
	)
	for _, reason := range modelReasons {
		want = append(want, meeting{"-", "refused: " + reason})
	}
	return slices.DeleteFunc(want, func(m meeting) bool { return h[m] != nil })
}

// table tells how often each command was accepted and refused in each state.
func (h tally) table() string {
	states, commands := []string{"-"}, map[string]bool{}
	for _, s := range modelStates {
		states = append(states, s.name)
	}
	for m := range h {
		commands[m.command] = true
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s", "")
	for _, s := range states {
		fmt.Fprintf(&b, "%19s", s)
	}
	for _, c := range slices.Sorted(maps.Keys(commands)) {
		fmt.Fprintf(&b, "\n%-28s", c)
		for _, s := range states {
			cell := "."
			if n := h[meeting{s, c}]; n != nil {
				cell = fmt.Sprintf("%d/%d", n[0], n[1])
			}
			fmt.Fprintf(&b, "%19s", cell)
		}
	}
	return b.String()
}
