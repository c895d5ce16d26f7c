package support_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	typing = goodshipv1.SignalKind_SIGNAL_KIND_TYPING
	looks  = goodshipv1.SignalKind_SIGNAL_KIND_PRESENT
)

func signal(id string, kind goodshipv1.SignalKind) *goodshipv1.SendSignalRequest {
	return &goodshipv1.SendSignalRequest{ConversationId: id, Kind: kind}
}

// signals lets somebody signal, and returns what they are told.
func (w *world) signals(p person, id string, kind goodshipv1.SignalKind) *goodshipv1.Signal {
	w.t.Helper()
	return do[*goodshipv1.Signal](w, p, signal(id, kind))
}

// signal reads an update that is a signal.
func (s *watching) signal(id string) *goodshipv1.Signal {
	s.t.Helper()
	u := s.next()
	if u.GetSignal() == nil || u.ConversationId != id || u.Cursor != "" {
		s.t.Fatalf("got %v, want a signal of %s without a cursor", u, id)
	}
	return u.GetSignal()
}

// mark reads an update that is a read mark.
func (s *watching) mark() *goodshipv1.ReadMark {
	s.t.Helper()
	u := s.next()
	if u.GetReadMark() == nil || u.ConversationId == "" || u.Cursor != "" {
		s.t.Fatalf("got %v, want a read mark without a cursor", u)
	}
	return u.GetReadMark()
}

// expires returns when a signal is over that is sent now, and lasts so long.
func (w *world) expires(d time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(w.store.Now().Add(d))
}

func agentSender(number int32, name, id string) *goodshipv1.Sender {
	s := &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_AGENT, ParticipantNumber: number, AgentId: id}
	if name != "" {
		s.Persona = &goodshipv1.Persona{DisplayName: name}
	}
	return s
}

// TestSignals lets people signal before and after they spoke, and reads what everybody who watches is told.
func TestSignals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	others := w.opens(lou, "Hello?")
	inside, outside, desk, mine, stranger := w.watches(ben, id, ""), w.watches(kim, id, ""), w.sits(lea, &goodshipv1.WatchDeskRequest{}), w.watches(kim, "-", ""), w.watches(lou, "-", "")
	streams := []*watching{inside, outside, desk, mine, stranger}
	for _, s := range streams {
		s.begins()
	}
	told := func(what string, inner, outer *goodshipv1.Signal) {
		t.Helper()
		for _, s := range []*watching{inside, desk} {
			same(t, what+", to colleagues", s.signal(id), inner)
		}
		for _, s := range []*watching{outside, mine} {
			if outer != nil {
				same(t, what+", to the customer", s.signal(id), outer)
			}
		}
	}
	customer := &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_CUSTOMER, ParticipantNumber: 1}

	want := &goodshipv1.Signal{Kind: typing, Sender: customer, ExpireTime: w.expires(6 * time.Second)}
	same(t, "reply to the customer", w.signals(kim, id, typing), want)
	told("the customer writes", want, want)
	want = &goodshipv1.Signal{Kind: looks, Sender: customer, ExpireTime: w.expires(30 * time.Second)}
	w.signals(kim, id, looks)
	told("the customer looks", want, want)

	want = &goodshipv1.Signal{Kind: looks, Sender: agentSender(0, "The real ada", "ada"), ExpireTime: w.expires(30 * time.Second)}
	same(t, "reply to an agent", w.signals(ada, id, looks), want)
	told("who has said nothing looks", want, nil)
	want = &goodshipv1.Signal{Kind: typing, Sender: want.Sender, ExpireTime: w.expires(6 * time.Second)}
	w.signals(ada, id, typing)
	somebody := &goodshipv1.Signal{Kind: typing, Sender: agentSender(0, "", ""), ExpireTime: want.ExpireTime}
	told("who has said nothing writes where nobody owns it", want, somebody)

	w.says(ada, id, "Hello!")
	for _, s := range []*watching{inside, outside, desk, mine} {
		s.events("wait_answered")
	}
	w.clock.Jump(time.Second)
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "Captain"}})
	for _, s := range []*watching{inside, desk} {
		s.events("persona_set")
	}
	want = &goodshipv1.Signal{Kind: looks, Sender: agentSender(2, "Captain", "ada"), ExpireTime: w.expires(30 * time.Second)}
	w.signals(ada, id, looks)
	told("who has spoken looks", want, &goodshipv1.Signal{Kind: looks, Sender: agentSender(2, "The real ada", ""), ExpireTime: want.ExpireTime})

	want = &goodshipv1.Signal{Kind: typing, Sender: agentSender(0, "The real ben", "ben"), ExpireTime: w.expires(6 * time.Second)}
	w.signals(ben, id, typing)
	told("who may not write there writes", want, nil)
	w.clock.Jump(time.Second)
	want = &goodshipv1.Signal{Kind: typing, Sender: agentSender(0, "The real lea", "lea"), ExpireTime: w.expires(6 * time.Second)}
	w.signals(lea, id, typing)
	told("a leader writes", want, &goodshipv1.Signal{Kind: typing, Sender: agentSender(0, "", ""), ExpireTime: want.ExpireTime})

	w.signals(lou, others, looks)
	stranger.signal(others)
	desk.signal(others)
}

// TestSignalsAreOne sends signals faster than they are told, lets them be over, and begins to watch later.
func TestSignalsAreOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	first := w.watches(ada, id, "")
	first.begins()
	for range 2 {
		told := w.signals(kim, id, typing)
		same(t, "what is told", first.signal(id), told)
		for range 9 {
			w.clock.Jump(100 * time.Millisecond)
			w.signals(kim, id, typing)
		}
		w.clock.Jump(100 * time.Millisecond)
	}
	w.signals(kim, id, looks)
	same(t, "another kind", first.signal(id).ExpireTime, w.expires(30*time.Second))

	second := w.watches(ben, id, "")
	second.begins()
	equal(t, "who comes later is told of the one", second.signal(id).Kind, typing)
	equal(t, "and of the other", second.signal(id).Kind, looks)
	w.clock.Jump(5 * time.Second) // 6 after what was told last
	third := w.watches(lea, id, "")
	third.begins()
	equal(t, "what is not over", third.signal(id).Kind, looks)
	w.signals(ada, id, looks)
	equal(t, "what comes next", third.signal(id).Sender.AgentId, "ada")
}

// TestSignalsAreNotStored signals, and is refused to.
func TestSignalsAreNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	before := image(t, w.store)
	for _, p := range []person{kim, ada, lea} {
		w.signals(p, id, typing)
		w.signals(p, id, looks)
	}
	w.unchanged(before)
	until := w.clock.Now().Add(time.Hour)
	do[*goodshipv1.Customer](w, lea, &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "Abuse", UntilTime: timestamppb.New(until)})
	w.refuses(kim, signal(id, typing), "PermissionDenied CUSTOMER_BLOCKED until="+until.Format(time.RFC3339Nano))
	w.signals(kim, id, looks)
	w.signals(ada, id, typing)
	w.clock.Jump(time.Hour)
	w.signals(kim, id, typing)
}

// TestMarksAreTold reads on, and reads what those who watch are told.
func TestMarksAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	w.says(ada, id, "Hello!")
	reads := func(p person, n int32) *goodshipv1.ReadMark {
		return do[*goodshipv1.ReadMark](w, p, &goodshipv1.MarkReadRequest{ConversationId: id, Number: n})
	}
	reads(ben, 1)
	inside, outside := w.watches(lea, id, ""), w.watches(kim, id, "")
	inside.begins()
	outside.begins()
	equal(t, "where colleagues begin", inside.mark().AgentId, "ben")
	mark := reads(kim, 1)
	same(t, "the customer's, to colleagues", inside.mark(), mark)
	same(t, "the customer's, to the customer", outside.mark(), mark)
	reads(kim, 1) // does not grow
	mark = reads(ada, 2)
	same(t, "a participant's, to colleagues", inside.mark(), mark)
	mark.AgentId = ""
	same(t, "a participant's, to the customer", outside.mark(), mark)
	reads(ben, 2)
	equal(t, "one's who has said nothing, to colleagues", inside.mark().AgentId, "ben")
	reads(kim, 2)
	equal(t, "what the customer is told next", outside.mark().ParticipantNumber, 1)
}

// nothing expects that nothing is told, of all that happened.
func (s *watching) nothing(what string) {
	s.t.Helper()
	select {
	case f := <-s.frames:
		s.t.Errorf("%s: told %v, want nothing", what, f.Update())
	default:
	}
}

// TestSomebodyWrites has three agents write who have said nothing: the customer may learn that somebody does, not how many.
func TestSomebodyWrites(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Ahoy")
		outside, inside := w.watches(kim, id, ""), w.watches(ada, id, "")
		outside.begins()
		inside.begins()
		jump(0)
		for _, p := range []person{ada, ben, lea} {
			w.signals(p, id, typing)
		}
		equal(t, "told", outside.signal(id).Sender.Kind, goodshipv1.SenderKind_SENDER_KIND_AGENT)
		for _, author := range []string{"ada", "ben", "lea"} {
			equal(t, "told colleagues", inside.signal(id).Sender.AgentId, author)
		}
		jump(0)
		outside.nothing("the customer")
	})
}

// TestSignalsAreNotHeldBack has the time for progress come while a signal is told: the next one follows at once.
func TestSignalsAreNotHeldBack(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Ahoy")
		s := w.watches(ada, id, "")
		s.begins()
		jump(14 * time.Second)
		w.signals(kim, id, typing)
		w.signals(kim, id, looks)
		jump(time.Second)
		equal(t, "told", s.signal(id).Kind, typing)
		jump(0)
		select {
		case f := <-s.frames:
			equal(t, "told next", f.Update().GetSignal().GetKind(), looks)
		default:
			t.Error("the second signal is held back")
		}
	})
}

// TestDesksAreToldOfTheirOwn signals and reads in conversations of one's desk and of others.
func TestDesksAreToldOfTheirOwn(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		mine, others := w.opens(kim, "Hello?"), w.opens(lou, "Hello?")
		w.claims(ada, mine)
		s := w.sits(ada, &goodshipv1.WatchDeskRequest{OwnerId: "ada"})
		s.begins()
		jump(0)
		for _, id := range []string{others, mine} {
			w.signals(lea, id, typing)
			do[*goodshipv1.ReadMark](w, lea, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1})
		}
		s.signal(mine)
		equal(t, "the mark's", s.mark().AgentId, "lea")
		jump(0)
		s.nothing("the desk")
	})
}

// TestMarksAreToldOnce begins to watch after somebody read on, which others were told of.
func TestMarksAreToldOnce(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Hello?")
		first := w.watches(ada, id, "")
		first.begins()
		jump(0)
		do[*goodshipv1.ReadMark](w, ben, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1})
		first.mark()
		second := w.watches(lea, id, "")
		second.begins()
		equal(t, "the mark's", second.mark().AgentId, "ben")
		jump(0)
		second.nothing("who began with the mark")
	})
}
