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

// modelStates are the states that a command is to meet, each with the commands that bring a first conversation there.
var modelStates = []struct {
	name string
	way  []command
}{
	{"WAITING", []command{customerOpens, adaClaims}},
	{"ANSWERED", []command{customerOpens, adaSends}},
	{"ANSWERED PROPOSED", []command{customerOpens, adaSends, adaProposes}},
	{"RESOLVED CONFIRMED", []command{customerOpens, adaSends, adaProposes, {name: "confirm", who: customer}}},
	{"RESOLVED ASSUMED", []command{customerOpens, adaSends, adaProposes, past(72 * time.Hour)}},
	{"RESOLVED LAPSED", []command{customerOpens, adaSends, past(14 * 24 * time.Hour)}},
	{"RESOLVED DISMISSED", []command{customerOpens, adaClaims, {name: "dismiss", who: ada, seen: newest}}},
	{"RESOLVED INFORMED", []command{{name: "inform", who: backend}}},
}

var (
	customerOpens = command{name: "open", who: customer}
	adaClaims     = command{name: "claim", who: ada}
	adaSends      = command{name: "send", who: ada, seen: newest}
	adaProposes   = command{name: "propose", who: ada, seen: newest}
)

// modelCommands are what each state is to meet.
var modelCommands = []command{
	{name: "send", who: customer}, {name: "edit", who: customer}, {name: "redact", who: customer},
	{name: "confirm", who: customer}, {name: "confirm", who: customer, number: 1, text: true},
	{name: "reject", who: customer}, {name: "reject", who: customer, number: 1, text: true},
	{name: "rate", who: customer, solved: true}, {name: "rate", who: customer},
	{name: "send", who: backend}, {name: "redact", who: backend}, {name: "report", who: backend},
	{name: "send", who: ada, seen: newest}, {name: "send", who: ada, seen: none}, {name: "send", who: ada, seen: ahead}, {name: "send", who: ada},
	{name: "propose", who: ada, seen: newest}, {name: "propose", who: ada, seen: newest, text: true}, {name: "propose", who: ada, seen: none, text: true},
	{name: "dismiss", who: ada, seen: newest}, {name: "dismiss", who: ada, seen: none},
	{name: "withdraw", who: ada}, {name: "withdraw", who: ada, number: 1}, {name: "withdraw", who: ada, number: 2},
	{name: "edit", who: ada, number: 1}, {name: "redact", who: ada}, {name: "note", who: ada}, {name: "describe", who: ada},
	{name: "claim", who: ada}, {name: "claim next", who: ada}, {name: "release", who: ada},
	{name: "invite", who: ada, other: ben}, {name: "remove", who: ada, other: ben}, {name: "remove", who: ada, other: ada},
	{name: "hand over", who: ada, other: ben}, {name: "hand over", who: ada, other: ada},
	{name: "accept", who: ada}, {name: "decline", who: ada},
	{name: "go away", who: ada}, {name: "disable", who: ada},
	past(2 * time.Minute), past(5 * time.Minute),
	past(72 * time.Hour), past(14 * 24 * time.Hour),
}

// modelAllows says for each state, in the order of modelStates, whether design.md allows a command there to whom it allows it
// (y), or to nobody (n).
var modelAllows = map[string]string{
	"customer: send": "yyyyyyyy", "customer: edit": "ynnnnnnn", "customer: redact": "yyyyyyyn", "customer: confirm": "yyynyyny",
	"customer: reject": "nnyyynnn", "customer: rate solved": "nnyyynnn", "customer: rate not solved": "nnyyynnn",
	"backend: send": "yyyyyyyy", "backend: redact": "yyyyyyyy", "backend: report": "yyyyyyyy",
	"agent: send": "yyyyyyyy", "agent: propose": "nynnnnnn", "agent: propose with a text": "yynnnnnn", "agent: dismiss": "yyynnnnn",
	"agent: withdraw": "nnynnnnn", "agent: edit": "yyyyyyyy", "agent: redact": "yyyyyyyy", "agent: note": "yyyyyyyy", "agent: describe": "yyyyyyyy",
	"agent: claim": "yyynnnnn", "agent: release": "yyyyyyyn", "agent: invite": "yyyyyyyn", "agent: remove": "yyyyyyyn",
	"agent: hand over": "yyynnnnn", "agent: accept": "yyynnnnn", "agent: decline": "yyynnnnn",
}

// TestModel compares the rules with a plain model of design.md, after every command, over several conversations with their
// customers, agents, a leader, a line and a clock. First every state meets every command; then what chance brings.
func TestModel(t *testing.T) {
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

// meetAll gives every command to a conversation in every state, by each kind of agent, without and with a helper to whom it is
// offered; then the customer writes, so that what it did to what follows shows too.
func meetAll(t *testing.T, hits tally) {
	offer := []command{{name: "invite", who: ada, other: ben}, {name: "hand over", who: ada, other: ben}}
	for _, s := range modelStates {
		for _, c := range modelCommands {
			for _, who := range actors(c) {
				c.who = who
				meet(t, hits, s.way, []command{c, {name: "send", who: customer}})
				meet(t, hits, s.way, offer, []command{c, {name: "send", who: customer}})
			}
		}
		meet(t, hits, s.way, []command{{name: "send", who: lea, seen: newest}, {name: "edit", who: lea, number: 2}, {name: "edit", who: lea, number: 1}, past(time.Hour)})
	}
	for _, opening := range []command{{name: "open", who: ada}, {name: "open", who: backend}, {name: "inform", who: ada}} {
		meet(t, hits, []command{opening, {name: "open", who: ben}, past(time.Hour)})
	}
	// A message of ours that answers nothing leaves the customer waiting, and unread.
	meet(t, hits, []command{
		customerOpens, adaSends, {name: "send", who: customer}, {name: "send", who: ada}, {name: "edit", who: ada, number: 3}, past(time.Hour),
	})
}

// actors returns who is to give a command: for an agent's the owner, another agent and a leader.
func actors(c command) []person {
	if c.who == ada {
		return []person{ada, ben, lea}
	}
	return []person{c.who}
}

// past is time that passes under a clock that fires.
func past(d time.Duration) command { return command{name: "time", wait: d, solved: true} }

// meet runs a script on a desk of its own.
func meet(t *testing.T, hits tally, scripts ...[]command) {
	d := newDesk(t, hits, nil)
	for _, c := range slices.Concat(scripts...) {
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
	start := rapid.SampledFrom(modelStates).Draw(t, "start")
	for _, c := range start.way {
		d.run(c)
	}
	for _, c := range rapid.SliceOfN(rapid.Custom(drawCommand), 30, 100).Draw(t, "script") {
		d.run(c)
	}
	d.finish()
}

// Commands by how often chance takes them.
var (
	customerNames = []string{
		"open", "send", "send", "send", "send", "edit", "redact", "confirm", "confirm", "reject", "reject", "rate", "read", "read",
	}
	agentNames = []string{
		"open", "send", "send", "send", "send", "propose", "propose", "propose", "dismiss", "withdraw", "edit", "redact", "note", "describe", "claim",
		"claim", "claim next", "release", "invite", "remove", "hand over", "hand over", "accept", "accept", "decline",
	}
	deskNames = []string{"go away", "come back", "disable", "enable", "enable", "block", "unblock", "unblock"}
	// Negative waits end at the next due instant, or so that the next command comes at it or just before it.
	passes = []time.Duration{
		0, -1, -1, -2, -2, -3, time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, time.Hour, 24 * time.Hour,
		72 * time.Hour, 14 * 24 * time.Hour,
	}
)

func drawCommand(t *rapid.T) command {
	c := command{
		talk: rapid.IntRange(0, 4).Draw(t, "talk"), number: rapid.IntRange(0, 6).Draw(t, "number"),
		text: rapid.Bool().Draw(t, "text"), solved: rapid.Bool().Draw(t, "solved"), other: ben,
	}
	draw := func(names []string) string { return rapid.SampledFrom(names).Draw(t, "name") }
	switch rapid.IntRange(0, 9).Draw(t, "side") {
	case 0, 1, 2:
		c.who, c.name = customer, draw(customerNames)
	case 3, 4, 5, 6:
		c.who = rapid.SampledFrom([]person{ada, ada, ben, ben, lea}).Draw(t, "who")
		c.other = rapid.SampledFrom([]person{ada, ben, lea, cleo}).Draw(t, "other")
		c.seen = rapid.OneOf(rapid.SampledFrom([]int{newest, newest, newest, none, ahead}), rapid.IntRange(0, 20)).Draw(t, "seen")
		c.name = draw(agentNames)
	case 7:
		c.who, c.name = backend, draw([]string{"open", "inform", "send", "redact", "report"})
	case 8:
		c.who = rapid.SampledFrom([]person{ada, ben, lea, cleo}).Draw(t, "who")
		c.name = draw(deskNames)
	case 9:
		c.name, c.wait = "time", rapid.SampledFrom(passes).Draw(t, "wait")
	}
	return c
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
		meeting{"WAITING", "time: Released AWAY"}, meeting{"WAITING", "time: Released DISABLED"}, meeting{"ANSWERED", "time: Released DISABLED"},
		meeting{"ANSWERED PROPOSED", "time: ASSUMED"}, meeting{"ANSWERED", "time: LAPSED"},
		meeting{"-", "customer: open"}, meeting{"-", "agent: open"}, meeting{"-", "backend: open"}, meeting{"-", "backend: inform"},
		meeting{"-", "agent: inform"},
	)
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
