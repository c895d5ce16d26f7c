package rules_test

import (
	"slices"
	"time"
)

// people returns who owns the conversation and who helps.
func (p *plain) people() (owner string, helpers []string) {
	for i, f := range p.facts {
		switch f.what {
		case owns:
			if owner != "" {
				helpers = append(helpers, owner)
			}
			owner, helpers = f.who, slices.DeleteFunc(helpers, func(id string) bool { return id == f.who })
		case leaves:
			owner = ""
		case helps:
			helpers = append(helpers, f.who)
		case quits:
			helpers = slices.DeleteFunc(helpers, func(id string) bool { return id == f.who })
		case asks:
			if how, _ := outcome(p.facts[:i]); how == "DISMISSED" || how == "INFORMED" {
				owner = ""
			}
		}
	}
	return owner, helpers
}

// offer returns to whom a hand-over is offered; nobody if it was answered or lapsed.
func (p *plain) offer() string {
	to, at := "", time.Time{}
	for _, f := range p.facts {
		switch {
		case f.what == offers:
			to, at = f.who, f.at
		case f.what == unoffers, f.what == owns, f.what == leaves, f.closing() != "":
			to = ""
		}
	}
	for _, w := range waits(p.facts) {
		if broke, ok := p.desk.breaks(w); ok && broke.After(at) {
			to = ""
		}
	}
	return to
}

// takesPart reports whether an agent may write, propose, withdraw, dismiss and invite.
func (p *plain) takesPart(who person) bool {
	owner, helpers := p.people()
	return who == lea || owner == who.id || slices.Contains(helpers, who.id)
}

// said is a message: of the customer (empty), an agent or "automatic".
type said struct {
	by       string
	redacted bool
}

// messages returns all that was said.
func (p *plain) messages() []said {
	var all []said
	for _, f := range p.facts {
		switch f.what {
		case asks, remarks, says:
			all = append(all, said{by: f.who})
		case automatic, sorry:
			all = append(all, said{by: "automatic"})
		case redacts:
			all[f.number-1].redacted = true
		}
	}
	return all
}

// outreach reports whether we wrote first and the customer has done nothing since.
func (p *plain) outreach() bool {
	waits := false
	for _, f := range p.facts {
		waits = f.what == reaches || waits && !f.byCustomer()
	}
	return waits
}

// byCustomer reports whether a fact is something that the customer did for all to see.
func (f fact) byCustomer() bool {
	switch f.what {
	case remarks, rates, confirms:
		return true
	case redacts:
		return f.who == ""
	}
	return f.isAct()
}

// unread is a message of ours that the customer may not have seen.
type unread struct {
	number int
	at     time.Time
}

// unseen counts how often it was told that the customer had not looked.
func (p *plain) unseen() int {
	told, number, reading := 0, 0, 0
	var run []unread
	tell := func(now time.Time) {
		if len(run) == 0 || reading >= run[len(run)-1].number {
			return
		}
		from := run[0].at
		if reading >= run[0].number {
			from = run[len(run)-1].at
		}
		if !from.Add(2 * time.Minute).After(now) {
			told, run = told+1, nil
		}
	}
	for _, f := range p.facts {
		tell(f.at)
		switch f.what {
		case asks, remarks:
			number++
		case says, automatic, sorry:
			number++
			run = append(run, unread{number, f.at})
		case reads:
			reading = max(reading, f.number)
		}
		if f.byCustomer() {
			run = nil
		}
	}
	tell(p.desk.now)
	return told
}
