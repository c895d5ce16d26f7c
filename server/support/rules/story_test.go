package rules_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// epoch is when every story begins: a Monday morning. Stories tell times as what has passed since.
var epoch = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// person is somebody who gives commands.
type person struct {
	kind goodshipv1.ActorKind
	id   string
}

// The people of the stories.
var (
	customer = person{kind: goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER}
	backend  = person{kind: goodshipv1.ActorKind_ACTOR_KIND_BACKEND}
	ada      = person{goodshipv1.ActorKind_ACTOR_KIND_AGENT, "ada"}
	ben      = person{goodshipv1.ActorKind_ACTOR_KIND_AGENT, "ben"}
	cleo     = person{goodshipv1.ActorKind_ACTOR_KIND_AGENT, "cleo"}
	lea      = person{goodshipv1.ActorKind_ACTOR_KIND_LEADER, "lea"}
)

func (p person) helps() bool { return p.id != "" }

func (p person) actor() rules.Actor {
	a := rules.Actor{Kind: p.kind, AgentID: p.id}
	if p.kind != goodshipv1.ActorKind_ACTOR_KIND_BACKEND {
		a.Persona = &goodshipv1.Persona{DisplayName: "The real " + p.id}
	}
	return a
}

// newSettings returns those of a new workspace.
func newSettings() *goodshipv1.Workspace {
	return &goodshipv1.Workspace{
		PersonasAllowed: true,
		Promise:         durationpb.New(5 * time.Minute),
		AssumeAfter:     durationpb.New(72 * time.Hour),
		LapseAfter:      durationpb.New(14 * 24 * time.Hour),
		NotifyAfter:     durationpb.New(2 * time.Minute),
		AwayAfter:       durationpb.New(2 * time.Minute),
	}
}

// reporter is what a story needs of a test: testing and rapid both have it.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// talk is one conversation with all that is kept of it, and what its commands find.
type talk struct {
	t           reporter
	head        *storev1.Head
	log         []*goodshipv1.Event
	messages    map[int32]*goodshipv1.Message
	notes       map[int32]*goodshipv1.Note
	resolutions map[int32]*goodshipv1.Resolution

	now      time.Time
	settings *goodshipv1.Workspace
	hours    rules.Hours
	presence map[string]rules.Presence
	block    *goodshipv1.Block
	outreach string
	oldest   rules.LinePlace
	// looking says that the customer reads everything at once; else they have read up to read.
	looking bool
	read    int32
	// hurried says that due times are not checked: where the same happens over and over.
	hurried bool
	// looked is the revision that somebody saw when they last looked; whoever has not looked has seen the newest.
	looked map[string]int32
}

func newTalk(t reporter) *talk {
	return &talk{
		t: t, head: newHead(), messages: map[int32]*goodshipv1.Message{}, notes: map[int32]*goodshipv1.Note{},
		resolutions: map[int32]*goodshipv1.Resolution{}, now: epoch, settings: newSettings(),
		presence: map[string]rules.Presence{}, looking: true, looked: map[string]int32{},
	}
}

// newHead returns a head from before its first event.
func newHead() *storev1.Head {
	return &storev1.Head{Conversation: &goodshipv1.Conversation{Id: "conv_1"}}
}

func (k *talk) situation(p person) rules.Situation {
	read := k.read
	if k.looking {
		read = k.head.Conversation.MessageCount
	}
	return rules.Situation{
		Now: k.now, Actor: p.actor(), Settings: k.settings, Hours: k.hours,
		Presence: func(id string) rules.Presence { return k.presence[id] },
		Block:    k.block, CustomerRead: read, Outreach: k.outreach, Oldest: k.oldest,
		Resolution: k.resolutions[k.head.Conversation.ResolutionNumber],
	}
}

// do gives a command; what is refused must have no effect. By acting somebody is present.
func (k *talk) do(p person, command func(*rules.Conversation) error) error {
	k.t.Helper()
	k.comesBack(p)
	s := k.situation(p)
	c := rules.On(proto.CloneOf(k.head), s)
	settled, events := proto.CloneOf(c.Head), len(c.Events)
	if err := command(c); err != nil {
		if !proto.Equal(c.Head, settled) || len(c.Events) != events {
			k.t.Errorf("events of a refused command: got %s, want %s and the same head", tell(c.Events), tell(c.Events[:events]))
		}
		return err
	}
	k.keep(c)
	s.CustomerRead = c.CustomerRead
	if !k.hurried {
		checkDueTime(k.t, k.head, s, k.resolutions)
	}
	return nil
}

// tick lets time do what it has to do: the clock fires.
func (k *talk) tick() error {
	return k.do(person{kind: goodshipv1.ActorKind_ACTOR_KIND_TIME}, func(*rules.Conversation) error { return nil })
}

func (k *talk) keep(c *rules.Conversation) {
	k.head, k.log = c.Head, append(k.log, c.Events...)
	for _, m := range c.Messages {
		k.messages[m.Number] = m
	}
	if c.Note != nil {
		k.notes[c.Note.Number] = c.Note
	}
	if c.Resolution != nil {
		k.resolutions[c.Resolution.Number] = c.Resolution
	}
}

// checkDueTime fails unless the head's due time is exactly when time does something next, by itself and if nobody goes away.
func checkDueTime(t reporter, head *storev1.Head, s rules.Situation, resolutions map[int32]*goodshipv1.Resolution) {
	t.Helper()
	s.Resolution = resolutions[head.Conversation.ResolutionNumber]
	s.Presence = func(id string) rules.Presence { return rules.Presence{} }
	at := func(now time.Time) int {
		s.Now = now
		return len(rules.On(proto.CloneOf(head), s).Events)
	}
	if head.DueTime == nil {
		if n := at(s.Now.AddDate(2, 0, 0)); n != 0 {
			t.Errorf("events of time without a due time: got %d, want 0", n)
		}
		return
	}
	due := head.DueTime.AsTime()
	if n := at(due.Add(-time.Nanosecond)); n != 0 {
		t.Errorf("events of time before the due time: got %d, want 0", n)
	}
	if at(due) == 0 {
		t.Errorf("events of time at the due time: got none, want some")
	}
}

// step is something that happens in a story.
type step func(*talk) error

// row is a short story with the end that it must have.
type row struct {
	// id names the test; docs/rules.md refers to it.
	id    string
	given []step
	when  step
	// fault is the code, reason and metadata of a refusal; empty if the step must succeed.
	fault string
	// log tells the events that the step must add.
	log string
	// want is the outline of the conversation after it; empty for as before.
	want string
	// check looks at what the outline does not tell.
	check func(*talk)
}

// play runs stories as subtests.
func play(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.id, func(t *testing.T) {
			k := newTalk(t)
			for i, s := range r.given {
				if err := s(k); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			before, events := outline(k), len(k.log)
			if r.want == "" {
				r.want = before
			}
			err := r.when(k)
			compare(t, "fault", describe(t, err), r.fault)
			compare(t, "events", tell(k.log[events:]), r.log)
			compare(t, "outline", outline(k), r.want)
			if r.check != nil {
				r.check(k)
			}
			checkFold(t, k.head, k.log)
		})
	}
}

func compare(t reporter, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// describe returns a fault as its code, its reason and its metadata.
func describe(t reporter, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var f *fault.Fault
	if !errors.As(err, &f) {
		t.Fatalf("error: got %T (%v), want a fault", err, err)
	}
	parts := []string{f.Code().String(), fault.ReasonName(f.Reason())}
	for _, d := range f.GRPCStatus().Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(info.Metadata)) {
			parts = append(parts, key+"="+info.Metadata[key])
		}
	}
	return strings.Join(parts, " ")
}

// since tells an instant as what has passed since the epoch, without the units that are zero.
func since(at time.Time) string {
	d := at.Sub(epoch)
	if d%(24*time.Hour) == 0 && d != 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
