package rules_test

import (
	"slices"
	"strconv"
	"time"
)

// command is a call of the model test. What it refers to is taken modulo what there is.
type command struct {
	name       string
	talk       int
	who, other person
	number     int // of a message or resolution
	text       bool
	solved     bool
	seen       int // the step that an answer's sender had seen; newest, none or ahead
	wait       time.Duration
}

// What an answer's sender may have seen beside a step.
const (
	newest = -1 - iota
	none
	ahead
)

// refusal collects the reasons for which design.md refuses a command. Any of them may be told.
type refusal []string

func (r *refusal) when(holds bool, reason string) {
	if holds {
		*r = append(*r, reason)
	}
}

// plainly decides on a command by design.md and, unless it is refused, notes what happened.
func (p *plain) plainly(c command, blocked bool) refusal {
	before := len(p.facts)
	p.step++
	var r refusal
	switch c.who {
	case customer:
		r = p.byCustomer(c, blocked)
	case backend:
		r = p.byBackend(c)
	default:
		r = p.byAgent(c)
	}
	if len(r) > 0 || len(p.facts) == before {
		p.facts, p.step = p.facts[:before], p.step-1
	}
	p.apologize()
	return r
}

func (p *plain) byCustomer(c command, blocked bool) (r refusal) {
	switch c.name {
	case "send":
		r.when(blocked, "CUSTOMER_BLOCKED")
		p.hear(fact{what: asks})
	case "edit":
		message := p.messages()[c.number-1]
		r.when(blocked, "CUSTOMER_BLOCKED")
		r.when(message.by != "", "NOT_THE_AUTHOR")
		r.when(message.redacted, "REDACTED")
		r.when(!p.pending(c.number), "MESSAGE_ANSWERED")
		p.add(fact{what: edits, number: c.number})
	case "redact":
		r.when(p.messages()[c.number-1].by != "", "NOT_THE_AUTHOR")
		if !p.messages()[c.number-1].redacted {
			p.add(fact{what: redacts, number: c.number})
		}
	case "confirm":
		how, _ := outcome(p.facts)
		p.named(&r, c.number)
		r.when(how == "CONFIRMED" || how == "DISMISSED", "NOTHING_TO_CONFIRM")
		r.when(c.text && blocked, "CUSTOMER_BLOCKED")
		if c.text {
			p.add(fact{what: remarks})
		}
		p.add(fact{what: confirms})
	case "reject", "rate":
		p.reject(&r, c, blocked)
	}
	return r
}

// reject lets the customer say that it is not solved, or rate.
func (p *plain) reject(r *refusal, c command, blocked bool) {
	_, current := resolutions(p.facts)
	p.named(r, c.number)
	r.when(current == 0, "NOTHING_TO_REJECT")
	if c.name == "rate" {
		first := slices.IndexFunc(p.facts, func(f fact) bool { return f.what == rates && f.number == current })
		r.when(first >= 0 && !p.desk.now.Before(p.facts[max(first, 0)].at.Add(24*time.Hour)), "RATING_FINAL")
		p.add(fact{what: rates, number: current})
		if c.solved {
			r.when(c.text && blocked, "CUSTOMER_BLOCKED")
			return
		}
	}
	r.when(c.text && blocked, "CUSTOMER_BLOCKED")
	p.hear(fact{what: rejects})
	if c.name == "reject" && c.text {
		p.add(fact{what: asks})
	}
}

// hear notes an act that may begin a wait; then an owner who is not there loses the conversation.
func (p *plain) hear(f fact) {
	waited := p.state() == "WAITING"
	p.add(f)
	if owner, _ := p.people(); owner != "" && !waited && p.desk.away[owner] {
		p.add(fact{what: leaves})
	}
	p.dropDisabled()
}

// dropDisabled removes disabled agents from what is not RESOLVED.
func (p *plain) dropDisabled() {
	if p.state() == "RESOLVED" {
		return
	}
	owner, helpers := p.people()
	if p.desk.disabled[owner] {
		p.add(fact{what: leaves})
	}
	for _, id := range helpers {
		if p.desk.disabled[id] {
			p.add(fact{what: quits, who: id})
		}
	}
}

// pending reports whether something of a customer's message is not answered.
func (p *plain) pending(message int) bool {
	number := 0
	var acts []fact
	for _, f := range p.facts {
		switch f.what {
		case asks, says, automatic, sorry, remarks:
			number++
		}
		if f.what == asks {
			f.number = number
		}
		if f.closing() != "" || f.isAct() || f.what == says {
			acts = append(acts, f)
		}
	}
	return slices.ContainsFunc(owed(acts), func(a fact) bool { return a.number == message })
}

// named refuses the name of a resolution that is not open; 0 names none.
func (p *plain) named(r *refusal, number int) {
	states, current := resolutions(p.facts)
	r.when(number > len(states), "RESOLUTION_NOT_FOUND")
	r.when(number != 0 && number <= len(states) && number != current, "RESOLUTION_NOT_OPEN")
}

// byBackend notes what a backend did; a report of a delivery changes nothing that is compared.
func (p *plain) byBackend(c command) (r refusal) {
	switch c.name {
	case "report":
		r.when(p.messages()[c.number-1].by == "", "INVALID_REQUEST")
	case "send":
		p.add(fact{what: automatic})
	case "redact":
		if !p.messages()[c.number-1].redacted {
			p.add(fact{what: redacts, number: c.number, who: "automatic"})
		}
	}
	return r
}

func (p *plain) byAgent(c command) (r refusal) {
	owner, _ := p.people()
	switch c.name {
	case "send", "propose", "dismiss":
		p.answering(&r, c)
	case "withdraw":
		_, current := resolutions(p.facts)
		p.named(&r, c.number)
		r.when(!p.takesPart(c.who), "NOT_A_PARTICIPANT")
		r.when(!p.proposed(), "NOTHING_PROPOSED")
		p.add(fact{what: withdraws, number: current})
	case "edit":
		message := p.messages()[c.number-1]
		r.when(message.by != c.who.id, "NOT_THE_AUTHOR")
		r.when(message.redacted, "REDACTED")
		p.add(fact{what: marks, number: c.number})
	case "redact":
		message := p.messages()[c.number-1]
		r.when(message.by != c.who.id && !p.takesPart(c.who), "NOT_A_PARTICIPANT")
		if !message.redacted {
			p.add(fact{what: redacts, number: c.number, who: c.who.id})
		}
	case "note":
		p.add(fact{what: notes})
	case "describe":
	case "claim", "claim next":
		r.when(p.state() == "RESOLVED", "CONVERSATION_RESOLVED")
		r.when(owner != "" && owner != c.who.id && !p.mayTake(c.who), "OWNED_BY_ANOTHER")
		if owner != c.who.id {
			p.add(fact{what: owns, who: c.who.id, number: p.turn()})
		}
	default:
		p.organizing(&r, c, owner)
	}
	return r
}

// turn is 1 for a claim while an earlier unowned conversation waits.
func (p *plain) turn() int {
	owner, _ := p.people()
	if p.state() != "WAITING" || owner != "" {
		return 0
	}
	for _, other := range p.desk.line() {
		if other == p {
			return 0
		}
		if owner, _ := other.people(); owner == "" {
			return 1
		}
	}
	return 0
}

// mayTake reports whether somebody may claim what another owns.
func (p *plain) mayTake(who person) bool {
	owner, _ := p.people()
	broken := false
	if p.state() == "WAITING" {
		all := waits(p.facts)
		_, broken = p.desk.breaks(all[len(all)-1])
	}
	return who == lea || p.desk.away[owner] || broken
}

// answering is what carries seen_revision.
func (p *plain) answering(r *refusal, c command) {
	state := p.state()
	acts := owed(p.facts)
	missed := slices.ContainsFunc(acts, func(a fact) bool { return a.step > c.seen })
	owner, _ := p.people()
	joins := c.name != "dismiss" && owner == "" && state != "RESOLVED"
	r.when(c.name != "send" && state == "RESOLVED", "CONVERSATION_RESOLVED")
	r.when(c.seen == ahead, "SEEN_REVISION_AHEAD")
	r.when(!joins && !p.takesPart(c.who), "NOT_A_PARTICIPANT")
	if state == "WAITING" && c.seen == none {
		r.when(true, "SEEN_REVISION_REQUIRED")
		return
	}
	r.when(c.name == "propose" && p.proposed(), "ALREADY_PROPOSED")
	r.when(c.name == "propose" && len(acts) > 0 && (missed || !c.text), "CUSTOMER_IS_WAITING")
	r.when(c.name == "dismiss" && missed, "CUSTOMER_IS_WAITING")
	if len(*r) > 0 {
		return
	}
	if joins {
		p.add(fact{what: owns, who: c.who.id, number: p.turn()})
	}
	if c.name == "send" || c.text && c.name == "propose" {
		p.add(fact{what: says, who: c.who.id, seen: c.seen})
	}
	switch c.name {
	case "propose":
		p.add(fact{what: proposes})
	case "dismiss":
		p.add(fact{what: dismisses, seen: c.seen})
	}
}

// organizing is who owns and who helps.
func (p *plain) organizing(r *refusal, c command, owner string) {
	_, helpers := p.people()
	mine, leads := owner == c.who.id, c.who == lea
	switch c.name {
	case "release":
		r.when(owner == "", "NO_OWNER")
		r.when(owner != "" && !mine && !leads, "NOT_THE_OWNER")
		p.add(fact{what: leaves})
	case "invite":
		known := owner == c.other.id || slices.Contains(helpers, c.other.id)
		r.when(owner == "", "NO_OWNER")
		r.when(!p.takesPart(c.who), "NOT_A_PARTICIPANT")
		r.when(!known && p.desk.disabled[c.other.id], "AGENT_NOT_PRESENT")
		if !known {
			p.add(fact{what: helps, who: c.other.id})
		}
	case "remove":
		others := c.other != c.who && !leads
		r.when(!slices.Contains(helpers, c.other.id), "NOT_A_HELPER")
		r.when(others && owner == "", "NO_OWNER")
		r.when(others && owner != "" && !mine, "NOT_THE_OWNER")
		p.add(fact{what: quits, who: c.other.id})
	case "hand over":
		r.when(p.state() == "RESOLVED", "CONVERSATION_RESOLVED")
		r.when(owner == "", "NO_OWNER")
		r.when(owner != "" && !mine, "NOT_THE_OWNER")
		r.when(c.other == c.who, "INVALID_REQUEST")
		r.when(p.offer() != "", "HAND_OVER_PENDING")
		r.when(p.desk.away[c.other.id], "AGENT_NOT_PRESENT")
		p.add(fact{what: offers, who: c.other.id})
	case "accept", "decline":
		r.when(p.offer() != c.who.id, "NO_HAND_OVER")
		if c.name == "accept" {
			p.add(fact{what: owns, who: c.who.id, number: 2})
		} else {
			p.add(fact{what: unoffers})
		}
	default:
		panic("unknown command " + c.name + " " + strconv.Quote(c.who.id))
	}
}

// line returns the conversations that wait, by line time.
func (d *plainDesk) line() []*plain {
	var line []*plain
	for _, p := range d.talks {
		if p.state() == "WAITING" {
			line = append(line, p)
		}
	}
	slices.SortStableFunc(line, func(a, b *plain) int { return a.lineTime().Compare(b.lineTime()) })
	return line
}

func (p *plain) lineTime() time.Time {
	all := waits(p.facts)
	return all[len(all)-1].line
}

// goes ends somebody's presence: by absence, or for good.
func (d *plainDesk) goes(id string, disabled bool) {
	d.away[id] = true
	d.disabled[id] = disabled
	for _, p := range d.talks {
		if p.offer() == id {
			p.add(fact{what: unoffers})
		}
		if owner, _ := p.people(); owner == id && p.state() == "WAITING" {
			p.add(fact{what: leaves})
		}
		p.dropDisabled()
	}
}
