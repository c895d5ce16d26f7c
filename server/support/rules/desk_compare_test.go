package rules_test

import (
	"slices"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
)

// give gives a command to the rules.
func (d *desk) give(k *talk, c command, seen int32) error {
	content, number := rules.Content{}, int32(c.number)
	if c.text {
		content = words
	}
	if c.who.helps() {
		d.must(c.who.saw(seen)(k))
		defer delete(k.looked, c.who.id)
	}
	steps := map[string]func() step{
		"send":       func() step { return c.who.sends },
		"edit":       func() step { return c.who.edits(number) },
		"redact":     func() step { return c.who.redacts(number) },
		"report":     func() step { return c.who.reports(number) },
		"note":       func() step { return c.who.notes },
		"describe":   func() step { return c.who.describes("subject", "labels") },
		"confirm":    func() step { return c.who.confirming(number, content) },
		"reject":     func() step { return c.who.rejecting(number, content) },
		"rate":       func() step { return c.who.rating(c.solved, content.Text) },
		"propose":    func() step { return c.who.proposing(content) },
		"withdraw":   func() step { return c.who.withdraws(number) },
		"dismiss":    func() step { return c.who.dismisses },
		"claim":      func() step { return c.who.claims },
		"claim next": func() step { return c.who.claims },
		"release":    func() step { return c.who.releases },
		"invite":     func() step { return c.who.invites(c.other) },
		"remove":     func() step { return c.who.removes(c.other) },
		"hand over":  func() step { return c.who.offers(c.other) },
		"accept":     func() step { return c.who.accepts },
		"decline":    func() step { return c.who.declines },
	}
	return steps[c.name]()(k)
}

// view is what the model test compares of a conversation.
type view struct {
	State, Resolved, Promise, Line, Owner, Helpers, Offer, Silent, Resolutions                 string
	Unanswered, Resolution, Returns, Rejections, HandOvers, OutOfTurn, Messages, Notes, Unseen int
	Outreach                                                                                   bool
}

// viewOf tells of a conversation as of now.
func viewOf(k *talk, now *rules.Conversation) view {
	h, c := now.Head, now.Head.Conversation
	v := view{
		State: strings.TrimSpace(enum(c.State) + " " + named(c.Outcome)), Owner: c.OwnerId, Helpers: strings.Join(c.HelperIds, " "),
		Offer: c.HandOver.GetToAgentId(), Unanswered: len(h.Unanswered), Resolution: int(c.ResolutionNumber), Outreach: h.OutreachUnanswered,
		Returns: int(c.ReturnCount), Rejections: int(c.RejectionCount), HandOvers: int(c.HandOverCount), OutOfTurn: int(c.OutOfTurnCount),
		Messages: int(c.MessageCount), Notes: int(c.NoteCount),
	}
	if c.ResolveTime != nil {
		v.Resolved = since(c.ResolveTime.AsTime())
	}
	if c.AnswerPromise != nil {
		v.Promise = strings.TrimPrefix(promiseOutline(c.AnswerPromise), "promise ")
		v.Line = since(c.LineTime.AsTime())
	}
	if c.State == goodshipv1.State_STATE_ANSWERED {
		v.Silent = since(h.SilenceStartTime.AsTime())
	}
	var states []string
	for n := range c.ResolutionCount {
		r := k.resolutions[n+1]
		if now.Resolution.GetNumber() == n+1 {
			r = now.Resolution
		}
		states = append(states, enum(r.GetState()))
	}
	v.Resolutions = strings.Join(states, " ")
	for _, events := range [][]*goodshipv1.Event{k.log, now.Events} {
		for _, e := range events {
			if e.GetUnseen() != nil {
				v.Unseen++
			}
		}
	}
	return v
}

// elapsed returns every conversation as of now, whether or not a clock fired.
func (d *desk) elapsed() []*rules.Conversation {
	var all []*rules.Conversation
	for _, k := range d.talks {
		all = append(all, rules.On(proto.CloneOf(k.head), k.situation(person{})))
	}
	return all
}

// compare fails unless every conversation and the line are what design.md says.
func (d *desk) compare(c command) {
	d.t.Helper()
	elapsed := d.elapsed()
	for i, k := range d.talks {
		if got, want := viewOf(k, elapsed[i]), d.plain.talks[i].view(); got != want {
			d.t.Fatalf("conversation %d:\n got %+v\nwant %+v\n%s\n%s", i, got, want, strings.Join(d.told, "\n"), tell(k.log))
		}
	}
	line := lineOf(elapsed)
	var want []int
	for _, p := range d.plain.line() {
		want = append(want, slices.Index(d.plain.talks, p))
	}
	if !slices.Equal(line, want) {
		d.t.Fatalf("line: got %v, want %v\n%s", line, want, strings.Join(d.told, "\n"))
	}
	d.checkPlaces(c, line)
}

// lineOf returns the conversations that wait, in the order of the line.
func lineOf(all []*rules.Conversation) []int {
	var line []int
	for i, c := range all {
		if c.Head.Conversation.State == goodshipv1.State_STATE_WAITING {
			line = append(line, i)
		}
	}
	slices.SortFunc(line, func(a, b int) int {
		one, other := all[a].Head.Conversation, all[b].Head.Conversation
		if order := one.LineTime.AsTime().Compare(other.LineTime.AsTime()); order != 0 {
			return order
		}
		return strings.Compare(one.Id, other.Id)
	})
	return line
}

// firstUnowned returns whom ClaimNext takes; -1 if nobody waits unowned.
func firstUnowned(all []*rules.Conversation) int {
	for _, i := range lineOf(all) {
		if all[i].Head.Conversation.OwnerId == "" {
			return i
		}
	}
	return -1
}

// checkPlaces fails if a place grew that must not: only a rejection of another's, or a crossed answer of its own, moves back.
func (d *desk) checkPlaces(c command, line []int) {
	d.t.Helper()
	places := map[int]int{}
	for n, i := range line {
		places[i] = n + 1
		rejected := c.name == "reject" || c.name == "rate"
		crossed := c.who.helps() && (c.name == "send" || c.name == "propose") && c.talk%len(d.talks) == i
		if before := d.places[i]; before != 0 && places[i] > before && !rejected && !crossed {
			d.t.Fatalf("place of conversation %d after %s: got %d, want at most %d\n%s", i, c.name, places[i], before, strings.Join(d.told, "\n"))
		}
	}
	d.places = places
}

func (d *desk) logLengths() []int {
	var lengths []int
	for _, k := range d.talks {
		lengths = append(lengths, len(k.log))
	}
	return lengths
}

// countTime counts what time did to the conversations that there were.
func (d *desk) countTime(logs []int) {
	for i, n := range logs {
		log := d.talks[i].log
		for j := n; j < len(log); j++ {
			if !isTime(log[j]) {
				continue
			}
			head := newHead()
			for _, e := range log[:j] {
				rules.Fold(head, e)
			}
			d.hits.hit(stateName(head), timeLabel(log[j]), false)
		}
	}
}

// timeLabel names in the tally what time did.
func timeLabel(e *goodshipv1.Event) string {
	name, _, _ := strings.Cut(tellOne(e), "@")
	name, _, _ = strings.Cut(name, "(")
	switch {
	case e.GetResolved() != nil:
		name = enum(e.GetResolved().Outcome)
	case e.GetReleased() != nil:
		name += " " + enum(e.GetReleased().Cause)
	}
	return "time: " + name
}

// stateName tells a state with what matters of it.
func stateName(h *storev1.Head) string {
	c := h.Conversation
	if c.State == goodshipv1.State_STATE_ANSWERED && c.ResolutionNumber != 0 {
		return "ANSWERED PROPOSED"
	}
	return strings.TrimSpace(enum(c.State) + " " + named(c.Outcome))
}
