package rules_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support/rules"
)

// desk is a workspace under test: conversations of the rules, and beside each the plain one that tells what it must be.
type desk struct {
	t         reporter
	now       time.Time
	talks     []*talk
	customers []int // whose each conversation is
	blocks    [2]*goodshipv1.Block
	hours     rules.Hours
	presence  map[string]rules.Presence
	// revisions holds the revision of each conversation after each of its steps.
	revisions [][]int32
	places    map[int]int
	plain     *plainDesk
	hits      tally
	told      []string
}

// tally counts how often a command met a conversation in a state: accepted and refused.
type tally map[meeting]*[2]int

type meeting struct{ state, command string }

func (h tally) hit(state, command string, refused bool) {
	m := meeting{state, command}
	if h[m] == nil {
		h[m] = &[2]int{}
	}
	if refused {
		h[m][1]++
	} else {
		h[m][0]++
	}
}

func newDesk(t reporter, hits tally, spans []span) *desk {
	place, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatalf("zone: %v", err)
	}
	d := &desk{
		t: t, now: epoch, presence: map[string]rules.Presence{}, places: map[int]int{}, hits: hits,
		plain: &plainDesk{spans: spans, place: place, away: map[string]bool{}, disabled: map[string]bool{}, openings: map[time.Time]time.Time{}},
	}
	if spans != nil {
		d.hours = mustParseHours(t, openingHours("Europe/Madrid", spans...))
	}
	d.tellTime(epoch)
	return d
}

// tellTime moves the clock; no clock fires.
func (d *desk) tellTime(now time.Time) {
	d.now, d.plain.now = now, now
	for i, k := range d.talks {
		k.now = now
		d.plain.talks[i].settle()
	}
}

// fire lets time do what it has to do to every conversation.
func (d *desk) fire() {
	for _, k := range d.talks {
		d.must(k.tick())
	}
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("got %v, want no error\n%s", err, strings.Join(d.told, "\n"))
	}
}

// run gives a command to both and compares everything after it. Every command has an instant of its own.
func (d *desk) run(c command) {
	d.t.Helper()
	d.told = append(d.told, fmt.Sprintf("%s %+v", since(d.now), c))
	d.tellTime(d.now.Add(time.Microsecond))
	logs := d.logLengths()
	switch c.name {
	case "time":
		d.pass(c)
	case "go away", "come back", "disable", "enable", "block", "unblock":
		d.change(c)
	case "open", "inform":
		d.open(c)
	default:
		if len(d.talks) > 0 && !d.plain.disabled[c.who.id] {
			d.call(c)
		}
	}
	d.countTime(logs)
	d.compare(c)
}

// pass lets time pass: for a while, or to the next instant at which time does something.
func (d *desk) pass(c command) {
	to := d.now.Add(c.wait)
	if c.wait < 0 {
		due := d.nextDue()
		if due.IsZero() {
			return
		}
		to = due.Add((c.wait + 1) * time.Microsecond)
	}
	if to.After(d.now) {
		d.tellTime(to)
	}
	if c.solved {
		d.fire()
	}
}

func (d *desk) nextDue() time.Time {
	var next time.Time
	for _, c := range d.elapsed() {
		if due := c.Head.DueTime; due != nil && (next.IsZero() || due.AsTime().Before(next)) {
			next = due.AsTime()
		}
	}
	return next
}

// change changes who is there and who may write.
func (d *desk) change(c command) {
	whose, id := c.number%len(d.blocks), c.who.id
	switch c.name {
	case "block":
		d.blocks[whose] = &goodshipv1.Block{Reason: "abuse"}
		return
	case "unblock":
		d.blocks[whose] = nil
		return
	}
	if d.plain.disabled[id] != (c.name == "enable") {
		return
	}
	d.fire() // only the latest absence is remembered
	switch c.name {
	case "go away":
		for _, k := range d.talks {
			if k.head.Conversation.OwnerId == id {
				d.hits.hit(stateName(k.head), "owner goes away", false)
			}
		}
		d.presence[id] = rules.Presence{Left: d.now}
		d.plain.goes(id, false)
	case "disable":
		d.presence[id] = rules.Presence{Left: d.now, Disabled: true}
		d.plain.goes(id, true)
		d.fire()
	case "come back", "enable":
		d.returns(id)
	}
	if c.solved {
		d.fire()
	}
}

// returns makes somebody present.
func (d *desk) returns(id string) {
	if gone := d.presence[id]; gone.Disabled {
		d.presence[id] = rules.Presence{}
	} else if !gone.Left.IsZero() && gone.Back.IsZero() {
		d.presence[id] = rules.Presence{Left: gone.Left, Back: d.now}
	}
	d.plain.away[id], d.plain.disabled[id] = false, false
}

// open begins a conversation.
func (d *desk) open(c command) {
	if len(d.talks) == 5 || c.who.helps() && d.plain.disabled[c.who.id] {
		return
	}
	whose := c.number % len(d.blocks)
	k := newTalk(d.t)
	k.head.Conversation.Id = fmt.Sprintf("conv_%d", len(d.talks))
	if d.plain.sorry {
		d.must(apologizes(k))
	}
	k.now, k.presence, k.hours, k.looking, k.block = d.now, d.presence, d.hours, false, d.blocks[whose]
	p := &plain{desk: d.plain, step: 1}
	var r refusal
	r.when(c.name == "open" && c.who == customer && k.block != nil, "CUSTOMER_BLOCKED")
	for i, other := range d.plain.talks {
		if d.customers[i] == whose && other.outreach() {
			r.when(c.name == "open" && c.who != customer, "OUTREACH_UNANSWERED")
			k.outreach = d.talks[i].head.Conversation.Id
		}
	}
	if c.who.helps() {
		d.returns(c.who.id)
	}
	p.begin(c)
	call := c.who.opens
	if c.name == "inform" {
		call = c.who.informs
	}
	err := call(k)
	d.hits.hit("-", label(c), err != nil)
	d.judge(c, err, r)
	if err != nil {
		return
	}
	d.talks, d.customers = append(d.talks, k), append(d.customers, whose)
	d.plain.talks = append(d.plain.talks, p)
	d.revisions = append(d.revisions, []int32{0, k.head.Conversation.Revision})
}

// begin notes how a conversation began.
func (p *plain) begin(c command) {
	switch {
	case c.who == customer:
		p.add(fact{what: asks})
		return
	case c.name == "open":
		p.add(fact{what: reaches})
	}
	switch {
	case c.who == backend:
		p.add(fact{what: automatic})
	case c.name == "inform":
		p.add(fact{what: says, who: c.who.id})
	default:
		p.add(fact{what: owns, who: c.who.id})
		p.add(fact{what: says, who: c.who.id})
	}
	if c.name == "inform" {
		p.add(fact{what: informs})
	}
}

// judge compares what the rules said of a command with what design.md says.
func (d *desk) judge(c command, err error, r refusal) {
	d.t.Helper()
	got := ""
	var f *fault.Fault
	if errors.As(err, &f) {
		got = fault.ReasonName(f.Reason())
		d.hits.hit("-", "refused: "+got, true)
	} else {
		d.must(err)
	}
	if got == "" && len(r) > 0 || got != "" && !slices.Contains(r, got) {
		d.t.Fatalf("%s %s by %q: got refusal %q, want one of %q\n%s", since(d.now), c.name, c.who.id, got, r, strings.Join(d.told, "\n"))
	}
}

// call gives a command to a conversation.
func (d *desk) call(c command) {
	d.t.Helper()
	elapsed := d.elapsed()
	first := firstUnowned(elapsed)
	i := d.seek(c)
	if c.name == "claim next" {
		if i = first; i < 0 {
			return
		}
	}
	c = d.aim(c, i)
	if c.who.helps() {
		d.returns(c.who.id)
	}
	k, p := d.talks[i], d.plain.talks[i]
	k.block, k.oldest = d.blocks[d.customers[i]], rules.LinePlace{}
	if first >= 0 {
		oldest := elapsed[first].Head.Conversation
		k.oldest = rules.LinePlace{ID: oldest.Id, Time: oldest.LineTime.AsTime()}
	}
	if c.name == "read" {
		number := c.number % (len(p.messages()) + 1)
		d.must(hasRead(int32(number))(k))
		p.add(fact{what: reads, number: number})
		return
	}
	if c.name == "edit" || c.name == "redact" || c.name == "report" {
		d.must(k.tick()) // who names a message has seen it
	}
	state := stateName(elapsed[i].Head)
	r := p.plainly(c, k.block != nil)
	err := d.give(k, c, d.revision(c, i))
	d.hits.hit(state, label(c), err != nil)
	d.judge(c, err, r)
	for len(d.revisions[i]) <= p.step {
		d.revisions[i] = append(d.revisions[i], k.head.Conversation.Revision)
	}
}

// seek returns the conversation that a command is for; for who takes an offer and is to succeed, one with an offer.
func (d *desk) seek(c command) int {
	if c.solved && (c.name == "accept" || c.name == "decline") {
		if i := slices.IndexFunc(d.plain.talks, func(p *plain) bool { return p.offer() != "" }); i >= 0 {
			return i
		}
	}
	return c.talk % len(d.talks)
}

// aim makes a command refer to what there is, and one that is to succeed come from who most likely may.
func (d *desk) aim(c command, i int) command {
	p := d.plain.talks[i]
	if owner, _ := p.people(); c.solved && c.who.helps() {
		may := owner
		if c.name == "accept" || c.name == "decline" {
			may = p.offer()
		}
		for _, who := range []person{ada, ben, cleo, lea} {
			if who.id == may && !d.plain.disabled[may] {
				c.who = who
			}
		}
	}
	switch c.name {
	case "edit", "redact", "report":
		c.number = 1 + c.number%len(p.messages())
	case "confirm", "reject", "withdraw":
		states, _ := resolutions(p.facts)
		c.number %= len(states) + 2
	case "rate":
		c.number = 0
	}
	switch {
	case c.seen == newest:
		c.seen = p.step
	case c.seen >= 0:
		c.seen = 1 + c.seen%p.step
	}
	return c
}

// revision returns the revision that an answer's sender had seen.
func (d *desk) revision(c command, i int) int32 {
	switch c.seen {
	case ahead:
		return d.talks[i].head.Conversation.Revision + 1
	case none:
		return 0
	}
	return d.revisions[i][c.seen]
}

// label names a command in the tally.
func label(c command) string {
	name := c.name
	if c.name == "rate" {
		name = map[bool]string{true: "rate solved", false: "rate not solved"}[c.solved]
	}
	if c.name == "propose" {
		name = map[bool]string{true: "propose with a text", false: "propose"}[c.text]
	}
	switch c.who {
	case customer:
		return "customer: " + name
	case backend:
		return "backend: " + name
	}
	return "agent: " + name
}
