package rules_test

import (
	"fmt"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// enum tells a value without the name of its type: STATE_WAITING is WAITING.
func enum(e protoreflect.Enum) string {
	name := string(e.Descriptor().Values().ByNumber(e.Number()).Name())
	zero := string(e.Descriptor().Values().ByNumber(0).Name())
	return name[len(strings.TrimSuffix(zero, "UNSPECIFIED")):]
}

// outline tells all that the rules decide about a conversation; what is zero is left out.
func outline(k *talk) string {
	c := k.head.Conversation
	if c.Revision == 0 {
		return ""
	}
	var parts []string
	add := func(present bool, format string, args ...any) {
		if present {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(true, "%s", strings.TrimRight(strings.Join([]string{enum(c.State), named(c.Outcome), named(c.DismissReason)}, " "), " "))
	add(c.ResolveTime != nil, "resolved %s", since(c.ResolveTime.AsTime()))
	add(c.AnswerPromise != nil, "%s", promiseOutline(c.AnswerPromise))
	add(c.LineTime != nil, "line %s", since(c.LineTime.AsTime()))
	add(c.OwnerId != "", "owner %s", c.OwnerId)
	add(len(c.HelperIds) > 0, "helpers %s", strings.Join(c.HelperIds, " "))
	add(c.HandOver != nil, "offer %s>%s", c.HandOver.GetFromAgentId(), c.HandOver.GetToAgentId())
	add(len(k.head.Unanswered) > 0, "unanswered %d", len(k.head.Unanswered))
	add(c.State == goodshipv1.State_STATE_ANSWERED, "silent since %s", since(k.head.SilenceStartTime.AsTime()))
	add(c.ResolutionNumber != 0, "resolution %d", c.ResolutionNumber)
	add(c.ResolutionCount != 0, "resolutions %s", resolutionsOutline(k))
	add(c.ReturnCount != 0, "returns %d", c.ReturnCount)
	add(c.RejectionCount != 0, "rejections %d", c.RejectionCount)
	add(c.HandOverCount != 0, "hand-overs %d", c.HandOverCount)
	add(c.OutOfTurnCount != 0, "out of turn %d", c.OutOfTurnCount)
	add(k.head.OutreachUnanswered, "outreach")
	add(true, "messages %d", c.MessageCount)
	add(c.NoteCount != 0, "notes %d", c.NoteCount)
	return strings.Join(parts, "; ")
}

// named tells a value, and nothing if it is unspecified.
func named(e protoreflect.Enum) string {
	if e.Number() == 0 {
		return ""
	}
	return enum(e)
}

func promiseOutline(p *goodshipv1.Promise) string {
	s := fmt.Sprintf("promise %s %s-%s", enum(p.GetState()), since(p.GetStartTime().AsTime()), since(p.GetDueTime().AsTime()))
	if p.GetAtRisk() {
		s += " at risk"
	}
	if p.GetAnsweredTime() != nil {
		s += " answered " + since(p.GetAnsweredTime().AsTime())
	}
	return s
}

func resolutionsOutline(k *talk) string {
	var states []string
	for n := range k.head.Conversation.ResolutionCount {
		states = append(states, enum(k.resolutions[n+1].GetState()))
	}
	return strings.Join(states, " ")
}

// tell names events in order, each with what it says; those that time made carry when.
func tell(events []*goodshipv1.Event) string {
	var words []string
	for _, e := range events {
		words = append(words, tellOne(e))
	}
	return strings.Join(words, " ")
}

func tellOne(e *goodshipv1.Event) string {
	m := e.ProtoReflect()
	kind := m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))).Message()
	var said []string
	fields := kind.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !kind.Has(f) {
			continue
		}
		switch {
		case f.IsList():
			for j := range kind.Get(f).List().Len() {
				said = append(said, kind.Get(f).List().Get(j).String())
			}
		case f.Kind() == protoreflect.BoolKind:
			said = append(said, string(f.Name()))
		case f.Kind() == protoreflect.EnumKind:
			v := f.Enum().Values().ByNumber(kind.Get(f).Enum()).Name()
			said = append(said, string(v)[len(strings.TrimSuffix(string(f.Enum().Values().ByNumber(0).Name()), "UNSPECIFIED")):])
		case f.Kind() == protoreflect.StringKind:
			said = append(said, kind.Get(f).String())
		}
	}
	s := string(kind.Descriptor().Name())
	if len(said) > 0 {
		s += "(" + strings.Join(said, " ") + ")"
	}
	if e.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_TIME {
		s += "@" + since(e.CreateTime.AsTime())
	}
	return s
}

// checkFold fails unless a log is well formed and folds into the head, but for what Fold says that events do not hold.
func checkFold(t reporter, head *storev1.Head, log []*goodshipv1.Event) {
	t.Helper()
	folded, revision, public := newHead(), int32(0), int32(0)
	for i, e := range log {
		revision++
		if e.Revision != revision {
			t.Fatalf("revision of event %d: got %d, want %d", i, e.Revision, revision)
		}
		if e.PublicRevision != 0 {
			public++
			if e.PublicRevision != public {
				t.Fatalf("public revision of event %d: got %d, want %d", i, e.PublicRevision, public)
			}
		}
		if i > 0 && e.CreateTime.AsTime().Before(log[i-1].CreateTime.AsTime()) {
			t.Fatalf("time of event %d (%s): got %v, want not before %v", i, tellOne(e), e.CreateTime.AsTime(), log[i-1].CreateTime.AsTime())
		}
		rules.Fold(folded, e)
	}
	if got, want := bare(folded), bare(head); !proto.Equal(got, want) {
		t.Fatalf("fold of the log:\n got %v\nwant %v", got, want)
	}
}

// bare returns a head without what events do not hold.
func bare(h *storev1.Head) *storev1.Head {
	h = proto.CloneOf(h)
	h.DueTime, h.CustomerKey, h.Personas = nil, "", nil
	c := h.Conversation
	c.Id, c.CustomerId, c.ExternalId, c.IncidentId, c.Subject, c.Context, c.Labels = "", "", "", "", "", nil, nil
	for _, p := range c.Participants {
		p.Persona = nil
	}
	return h
}
