package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// plain is a conversation as design.md tells it: all that ever happened, and questions about it that look through all of that
// anew. It shares nothing with the rules. Nothing in it is kept but facts.
type plain struct {
	desk  *plainDesk
	facts []fact
	// step counts the commands that were accepted.
	step int
}

// plainDesk is what conversations have in common.
type plainDesk struct {
	now      time.Time
	spans    []span // opening hours; always open if none
	place    *time.Location
	away     map[string]bool
	disabled map[string]bool
	sorry    bool // broken promises are apologized for
	openings map[time.Time]time.Time
	talks    []*plain
}

// happening is what a fact tells.
type happening string

const (
	asks      happening = "asks"      // the customer writes
	edits     happening = "edits"     // the customer edits message number
	says      happening = "says"      // a person who helps writes, having seen a step
	automatic happening = "automatic" // a backend writes
	sorry     happening = "sorry"     // the server apologizes
	remarks   happening = "remarks"   // the customer writes under a confirmation
	redacts   happening = "redacts"   // somebody removes message number
	notes     happening = "notes"
	reaches   happening = "reaches" // we open, with a reason
	proposes  happening = "proposes"
	withdraws happening = "withdraws"
	rejects   happening = "rejects"
	rates     happening = "rates"
	confirms  happening = "confirms"
	dismisses happening = "dismisses"
	informs   happening = "informs"
	assumes   happening = "assumes"
	lapses    happening = "lapses"
	owns      happening = "owns" // somebody becomes the owner; number 1: out of turn, 2: by a hand-over
	leaves    happening = "leaves"
	helps     happening = "helps"
	quits     happening = "quits"
	offers    happening = "offers"
	unoffers  happening = "unoffers"
	reads     happening = "reads"
	marks     happening = "marks" // an agent edits message number
)

// fact is something that happened.
type fact struct {
	what   happening
	at     time.Time
	step   int
	who    string // the customer is empty
	number int
	seen   int // the step that the sender of an answer had seen
}

func (p *plain) add(f fact) {
	f.step = p.step
	if f.at.IsZero() {
		f.at = p.desk.now
	}
	p.facts = append(p.facts, f)
}

// closing tells how a fact resolves; empty if it does not.
func (f fact) closing() string {
	switch f.what {
	case confirms:
		return "CONFIRMED"
	case assumes:
		return "ASSUMED"
	case lapses:
		return "LAPSED"
	case dismisses:
		return "DISMISSED"
	case informs:
		return "INFORMED"
	}
	return ""
}

func (f fact) isAct() bool { return f.what == asks || f.what == edits || f.what == rejects }

// owe returns what the customer is owed after a fact, by what they were owed before it.
func owe(acts []fact, f fact) []fact {
	switch {
	case f.isAct():
		return append(slices.Clip(acts), f)
	case f.what == says:
		return slices.DeleteFunc(slices.Clone(acts), func(a fact) bool { return a.step <= f.seen })
	case f.closing() != "":
		return nil
	}
	return acts
}

// owed returns the acts of the customer that no answer's sender had seen and that no closing closed.
func owed(facts []fact) []fact {
	var acts []fact
	for _, f := range facts {
		acts = owe(acts, f)
	}
	return acts
}

// outcome returns how the conversation is resolved, and when; nothing while it is not.
func outcome(facts []fact) (string, time.Time) {
	for _, f := range slices.Backward(facts) {
		if f.isAct() {
			return "", time.Time{}
		}
		if how := f.closing(); how != "" {
			return how, f.at
		}
	}
	return "", time.Time{}
}

func stateOf(facts []fact) string {
	if how, _ := outcome(facts); how != "" {
		return "RESOLVED"
	}
	if len(owed(facts)) > 0 {
		return "WAITING"
	}
	return "ANSWERED"
}

func (p *plain) state() string { return stateOf(p.facts) }

// resolutions returns the state of each resolution, and the number of the one that can be confirmed or rejected.
func resolutions(facts []fact) (states []string, current int) {
	decide := func(state string) {
		if current != 0 {
			states[current-1] = state
		}
	}
	for i, f := range facts {
		switch f.what {
		case proposes:
			states, current = append(states, "PROPOSED"), len(states)+1
		case withdraws, dismisses:
			decide("WITHDRAWN")
			current = 0
		case asks:
			if stateOf(facts[:i]) != "RESOLVED" {
				decide("SUPERSEDED")
			}
			current = 0
		case rejects:
			decide("REJECTED")
			current = 0
		case assumes:
			decide("ASSUMED")
		case confirms:
			if current == 0 {
				states, current = append(states, ""), len(states)+1
			}
			decide("CONFIRMED")
		}
	}
	return states, current
}

func (p *plain) proposed() bool {
	_, current := resolutions(p.facts)
	return current != 0 && p.state() == "ANSWERED"
}

// wait is a time in which the customer was owed an answer.
type wait struct {
	began, start, line time.Time
	answered, closed   time.Time
}

// waits returns the waits: each from the first act not answered until an answer to it, or a closing.
func waits(facts []fact) []wait {
	var all []wait
	var before []fact
	for _, f := range facts {
		after := owe(before, f)
		last := max(len(all)-1, 0)
		switch {
		case len(before) == 0 && len(after) > 0:
			w := wait{began: f.at, start: f.at, line: f.at}
			if f.what == rejects && len(all) > 0 {
				w.line = all[last].line
			}
			all = append(all, w)
		case f.what == says && len(after) < len(before):
			all[last].answered = f.at
			if len(after) > 0 {
				all = append(all, wait{began: f.at, start: after[0].at, line: after[0].at})
			}
		case len(after) < len(before):
			all[last].closed = f.at
		}
		before = after
	}
	return all
}

// due returns when a wait's answer is due.
func (d *plainDesk) due(w wait) time.Time {
	opening, ok := d.openings[w.start]
	if !ok {
		opening = w.start
		if d.spans != nil {
			opening = walk(d.spans, d.place, w.start)
		}
		d.openings[w.start] = opening
	}
	return opening.Add(5 * time.Minute)
}

// breaks returns when a wait's promise breaks, if it has by now.
func (d *plainDesk) breaks(w wait) (time.Time, bool) {
	at, end := d.due(w), d.now
	if at.Before(w.began) {
		at = w.began
	}
	for _, ended := range []time.Time{w.answered, w.closed} {
		if !ended.IsZero() {
			end = ended
		}
	}
	return at, !end.Before(at)
}

func (d *plainDesk) promise(w wait) string {
	due, end, state := d.due(w), d.now, "RUNNING"
	if !w.answered.IsZero() {
		end, state = w.answered, "KEPT"
	}
	if !w.closed.IsZero() {
		end, state = w.closed, "CANCELED"
	}
	if _, broken := d.breaks(w); broken {
		state = "BROKEN"
	}
	s := fmt.Sprintf("%s %s-%s", state, since(w.start), since(due))
	if !end.Before(due.Add(-time.Minute)) {
		s += " at risk"
	}
	if !w.answered.IsZero() {
		s += " answered " + since(w.answered)
	}
	return s
}

// silentSince returns the later of our last public message by a person, the proposal, or a withdrawal.
func (p *plain) silentSince() time.Time {
	from := p.facts[0].at
	for _, f := range p.facts {
		if f.what == says || f.what == proposes || f.what == withdraws {
			from = f.at
		}
	}
	return from
}

// apologize notes an apology for the newest wait, if its promise is broken by now and there was none yet.
func (p *plain) apologize() {
	all, last := waits(p.facts), time.Time{}
	broken := 0
	for _, w := range all {
		if at, ok := p.desk.breaks(w); ok {
			broken, last = broken+1, at
		}
	}
	if p.desk.sorry && broken > p.count(func(_ int, f fact) bool { return f.what == sorry }) {
		p.add(fact{what: sorry, at: last})
	}
}

// settle notes what time has done by now: an apology, or what comes of silence.
func (p *plain) settle() {
	p.apologize()
	if p.state() != "ANSWERED" {
		return
	}
	what, end := lapses, p.silentSince().Add(14*24*time.Hour)
	if p.proposed() {
		what, end = assumes, p.silentSince().Add(72*time.Hour)
	}
	if !end.After(p.desk.now) {
		p.add(fact{what: what, at: end})
	}
}

// count counts facts.
func (p *plain) count(holds func(i int, f fact) bool) int {
	n := 0
	for i, f := range p.facts {
		if holds(i, f) {
			n++
		}
	}
	return n
}

func (p *plain) returns() int {
	return p.count(func(i int, f fact) bool {
		how, _ := outcome(p.facts[:i])
		return f.what == asks && how != "" && how != "DISMISSED" && how != "INFORMED"
	})
}

// view tells the same of a plain conversation as of a real one.
func (p *plain) view() view {
	owner, helpers := p.people()
	states, current := resolutions(p.facts)
	how, when := outcome(p.facts)
	v := view{
		State: strings.TrimSpace(p.state() + " " + how), Owner: owner, Helpers: strings.Join(helpers, " "), Offer: p.offer(),
		Unanswered: len(owed(p.facts)), Resolution: current, Resolutions: strings.Join(states, " "), Outreach: p.outreach(),
		Messages: len(p.messages()), Unseen: p.unseen(), Returns: p.returns(),
		Notes:      p.count(func(_ int, f fact) bool { return f.what == notes || f.what == offers }),
		Rejections: p.count(func(_ int, f fact) bool { return f.what == rejects }),
		OutOfTurn:  p.count(func(_ int, f fact) bool { return f.what == owns && f.number == 1 }),
		HandOvers:  p.count(func(_ int, f fact) bool { return f.what == owns && f.number == 2 }),
	}
	if how != "" {
		v.Resolved = since(when)
	}
	if all := waits(p.facts); len(all) > 0 {
		last := all[len(all)-1]
		v.Promise, v.Line = p.desk.promise(last), since(last.line)
	}
	if v.State == "ANSWERED" {
		v.Silent = since(p.silentSince())
	}
	return v
}
