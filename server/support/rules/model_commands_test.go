package rules_test

import (
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

// modelScripts reach what no single command in a state does.
var modelScripts = [][]command{
	// A message of ours that answers nothing leaves the customer waiting, and unread.
	{customerOpens, adaSends, {name: "send", who: customer}, {name: "send", who: ada}, {name: "edit", who: ada, number: 3}, past(time.Hour)},
	// We write first.
	{{name: "open", who: ada}, {name: "open", who: ben}, past(time.Hour)},
	{{name: "open", who: backend}, {name: "open", who: ben}, past(time.Hour)},
	{{name: "inform", who: ada}, {name: "open", who: ben}, past(time.Hour)},
	// A rating that is final.
	{customerOpens, adaSends, {name: "confirm", who: customer}, customerRates, past(23 * time.Hour), customerRates, past(time.Hour), customerRates},
	// A block.
	{customerOpens, adaSends, {name: "block"}, {name: "send", who: customer}, {name: "open", who: customer}, {name: "unblock"}, {name: "send", who: customer}},
	// A resolution that is not open any more, and a message that was redacted.
	{customerOpens, adaSends, adaProposes, {name: "withdraw", who: ada}, {name: "confirm", who: customer, number: 1}, {name: "reject", who: customer, number: 1}},
	{customerOpens, {name: "redact", who: customer}, {name: "edit", who: customer}},
	// A colleague who is not there, and a leader who takes over while somebody waits longer.
	{customerOpens, adaClaims, {name: "go away", who: ben}, {name: "hand over", who: ada, other: ben}},
	{customerOpens, customerOpens, {name: "claim", who: ada, talk: 1}, {name: "claim", who: lea, talk: 1}},
}

var customerRates = command{name: "rate", who: customer, solved: true}

// past is time that passes under a clock that fires.
func past(d time.Duration) command { return command{name: "time", wait: d, solved: true} }

// behind returns the same commands for a second conversation, after a first whose customer waits on.
func behind(commands []command) []command {
	later := []command{{name: "open", who: customer, number: 1}}
	for _, c := range commands {
		c.talk = 1
		later = append(later, c)
	}
	return later
}

// Commands by how often chance takes them.
var (
	customerNames = []string{
		"open", "send", "send", "send", "send", "edit", "redact", "confirm", "confirm", "reject", "reject", "rate", "read", "read",
	}
	agentNames = []string{
		"open", "send", "send", "send", "send", "propose", "propose", "propose", "dismiss", "withdraw", "edit", "redact", "note", "describe", "claim",
		"claim", "claim next", "release", "invite", "remove", "hand over", "hand over", "hand over", "hand over", "accept", "accept", "decline",
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
