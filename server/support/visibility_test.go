package support_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// customerView returns all that a customer can read, byte for byte.
func (w *world) customerView(p person) map[string]string {
	w.t.Helper()
	view := map[string]string{}
	put := func(name string, m proto.Message) {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(withoutCursor(m))
		if err != nil {
			w.t.Fatalf("marshal: %v", err)
		}
		view[name] = string(b)
	}
	all := do[*goodshipv1.ListConversationsResponse](w, p, &goodshipv1.ListConversationsRequest{PageSize: 100})
	put("list", all)
	for _, state := range []goodshipv1.State{waiting, answered, resolved} {
		put(state.String(), do[*goodshipv1.ListConversationsResponse](w, p, &goodshipv1.ListConversationsRequest{State: state, PageSize: 100}))
	}
	for _, c := range all.Conversations {
		put(c.Id, w.reads(p, c.Id))
		put(c.Id+" wait", do[*goodshipv1.Wait](w, p, &goodshipv1.GetWaitRequest{ConversationId: c.Id}))
		put(c.Id+" messages", do[*goodshipv1.ListMessagesResponse](w, p, &goodshipv1.ListMessagesRequest{ConversationId: c.Id, PageSize: 100}))
		put(c.Id+" resolutions", do[*goodshipv1.ListResolutionsResponse](w, p, &goodshipv1.ListResolutionsRequest{ConversationId: c.Id, PageSize: 100}))
	}
	return view
}

// TestInnerLifeIsInvisible does at random what agents do among themselves, refused or not, on conversations in every state,
// and compares all that the customer can read before and after each.
func TestInnerLifeIsInvisible(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.updates(&goodshipv1.Workspace{Promise: durationpb.New(time.Hour)}, "promise")
			closed := solved(w)
			w.confirms(kim, closed)
			ids := []string{closed, helped(w), solved(w), owned(w), waits(w), signedIn(w)}
			w.opens(lou, "Hello?")
			r, want := rand.New(rand.NewPCG(seed, 0)), w.customerView(kim)
			done := 0
			for step := range 120 {
				p, req := w.innerAct(r, ids)
				_, err := w.call(w.by(p), req)
				if err == nil {
					done++
				}
				if step == 60 { // past AT_RISK, UNSEEN and everybody's absence, within the promise
					w.clock.Jump(55 * time.Minute)
				}
				got := w.customerView(kim)
				for _, name := range slices.Sorted(maps.Keys(got)) {
					if got[name] != want[name] {
						t.Fatalf("step %d, %T %v by %q: got another view of %s: %q, want %q", step, req, req, p, name, got[name], want[name])
					}
				}
			}
			if done < 40 {
				t.Errorf("got %d acts that succeeded, want at least 40", done)
			}
		})
	}
}

// signedIn returns a conversation that a visitor opened who is a customer now.
func signedIn(w *world) string {
	s := w.site()
	session := s.comes()
	id := s.asks(session)
	equal(w.t, "sign in", w.signsIn(kim, session.Token), "")
	return id
}

// innerAct returns one of the things that are not public, by somebody. Who has not spoken marks what they have read.
func (w *world) innerAct(r *rand.Rand, ids []string) (person, proto.Message) {
	agents := []person{ada, ben, lea}
	p, other, id := agents[r.IntN(3)], agents[r.IntN(3)], ids[r.IntN(len(ids))]
	word := fmt.Sprint("canary ", r.IntN(1000))
	switch r.IntN(17) {
	case 0, 1:
		return p, claim(id)
	case 2:
		return p, &goodshipv1.ClaimNextConversationRequest{}
	case 3, 4:
		return p, &goodshipv1.ReleaseConversationRequest{ConversationId: id}
	case 5:
		return p, &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: other.id()}
	case 6:
		return p, &goodshipv1.RemoveHelperRequest{ConversationId: id, AgentId: other.id()}
	case 7:
		return p, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: other.id(), Brief: word}
	case 8:
		return p, &goodshipv1.AcceptHandOverRequest{ConversationId: id}
	case 9:
		return p, &goodshipv1.DeclineHandOverRequest{ConversationId: id}
	case 10:
		return p, &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: word}}
	case 11:
		return p, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: word}
	case 12:
		return p, &goodshipv1.EditNoteRequest{ConversationId: id, Number: 1, Text: word}
	case 13:
		return p, &goodshipv1.RedactNoteRequest{ConversationId: id, Number: 1}
	case 14:
		return p, &goodshipv1.UpdateConversationRequest{
			ConversationId: id, UpdateMask: mask("context", "labels"),
			Conversation: &goodshipv1.ConversationUpdate{Context: map[string]string{"k": word}, Labels: []string{word}},
		}
	case 15:
		return ben, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1}
	default:
		return p, w.availability([]goodshipv1.Availability{byCalls, away}[r.IntN(2)])
	}
}

// TestCanaries plants words where only agents see them and looks for them in whatever a customer gets, errors too.
func TestCanaries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const captain, mate person = "agent/canary-captain", "agent/canary-mate"
	w.employ(captain, goodshipv1.Role_ROLE_AGENT)
	w.employ(mate, goodshipv1.Role_ROLE_LEADER)
	page := w.site()
	session := page.comes()
	visitor := bearer(session.Token)
	ids := []string{}
	for n := range 8 {
		by := []person{kim, visitor}[n/4]
		n %= 4
		id := w.opens(by, "Hello?")
		ids = append(ids, id)
		do[*goodshipv1.Conversation](w, mate, &goodshipv1.UpdateConversationRequest{
			ConversationId: id, UpdateMask: mask("context", "labels"),
			Conversation: &goodshipv1.ConversationUpdate{Context: map[string]string{"canary": "canary"}, Labels: []string{"canary"}},
		})
		w.claims(captain, id)
		do[*goodshipv1.Conversation](w, captain, &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "Captain"}})
		w.notes(captain, id, "canary")
		w.by(mate)
		do[*goodshipv1.Conversation](w, captain, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: mate.id(), Brief: "canary"})
		if n > 0 {
			w.says(captain, id, "Aye.")
			do[*goodshipv1.ReadMark](w, captain, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 2})
		}
		if n > 1 {
			w.proposes(captain, id)
		}
		if n > 2 {
			w.confirms(by, id)
		}
		do[*goodshipv1.ReadMark](w, mate, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1})
	}
	w.reaches(backend, lou, "Better?")
	for _, p := range []person{kim, lou, visitor} {
		for name, text := range w.customerView(p) {
			noCanary(t, name, text)
		}
	}
	callers := map[goodshipv1.Caller][]person{
		goodshipv1.Caller_CALLER_CUSTOMER: {kim, lou}, goodshipv1.Caller_CALLER_VISITOR: {visitor}, goodshipv1.Caller_CALLER_WIDGET: {bearer(page.key)},
	}
	for name, m := range methods() {
		for _, kind := range m.callers {
			w.provokes(name, ids, callers[kind])
		}
	}
	equal(t, "sign in", w.signsIn(lou, session.Token), "")
	for name, text := range w.customerView(lou) {
		noCanary(t, name, text)
	}
}

// provokes makes calls of customers' that succeed or fail in many ways.
func (w *world) provokes(name string, ids []string, callers []person) {
	if len(callers) == 0 {
		return
	}
	base := newWorld(w.t).example(name)
	for _, id := range ids {
		for _, p := range callers {
			for _, number := range []int32{0, 1, 2, 3, 99} {
				req := proto.Clone(base)
				m, fields := req.ProtoReflect(), req.ProtoReflect().Descriptor().Fields()
				set(req, "conversation_id", id)
				for _, field := range []string{"number", "resolution_number", "seen_revision", "page_size"} {
					if f := fields.ByTextName(field); f != nil {
						m.Set(f, protoreflect.ValueOfInt32(number))
					}
				}
				for _, field := range []string{"owner_id", "label", "etag", "page_token", "external_id", "customer_id", "renewal_token", "visitor_token"} {
					if number > 2 {
						set(req, field, "vip")
					}
				}
				reply, err := w.dispatch(w.by(p), req)
				text := fmt.Sprint(reply)
				var f *fault.Fault
				if errors.As(support.Fault(err), &f) {
					text += f.GRPCStatus().Proto().String()
				} else if err != nil {
					w.t.Errorf("%s: got %v, want a fault", name, err)
				}
				noCanary(w.t, name, text)
			}
		}
	}
}

func noCanary(t testing.TB, what, text string) {
	t.Helper()
	if strings.Contains(text, "canary") || strings.Contains(text, "The real") {
		t.Errorf("%s: got %q, want nothing of what agents keep among themselves", what, text)
	}
}

// TestForeignIsMissing calls every method that names a conversation for one that is another customer's or another
// workspace's, and for one that does not exist: the errors are the same to the byte.
func TestForeignIsMissing(t *testing.T) {
	t.Parallel()
	missing := "conv_" + strings.Repeat("0", 26)
	for _, name := range slices.Sorted(maps.Keys(methods())) {
		m := methods()[name]
		if !m.has("conversation_id") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := faketime.New()
			w := foundWorld(t, clock, rehearsed{openStore(t, clock.Now)})
			other := foundWorld(t, clock, w.store)
			req := deeds[name].prepare(w)
			kinds := map[goodshipv1.Caller]person{
				goodshipv1.Caller_CALLER_BACKEND: backend, goodshipv1.Caller_CALLER_AGENT: ada,
				goodshipv1.Caller_CALLER_LEADER: lea, goodshipv1.Caller_CALLER_CUSTOMER: kim,
				goodshipv1.Caller_CALLER_VISITOR: bearer(other.site().comes().Token),
			}
			for _, kind := range m.callers {
				p, ok := kinds[kind]
				equal(t, "a caller of this kind is there", ok, true)
				other.foreign(p, req, missing)
			}
			if slices.Contains(m.callers, goodshipv1.Caller_CALLER_CUSTOMER) {
				w.foreign(lou, req, missing)
				session := w.site().comes()
				w.foreign(bearer(session.Token), req, missing)
				equal(t, "sign in", w.signsIn(lou, session.Token), "")
				w.foreign(lou, req, missing)
			}
		})
	}
}

// foreign makes a call about what is not the caller's, and the same about what is missing.
func (w *world) foreign(p person, req proto.Message, missing string) {
	w.t.Helper()
	w.refuses(p, req, "NotFound CONVERSATION_NOT_FOUND")
	var answers []string
	for _, id := range []string{req.ProtoReflect().Get(req.ProtoReflect().Descriptor().Fields().ByName("conversation_id")).String(), missing} {
		about := proto.Clone(req)
		set(about, "conversation_id", id)
		_, err := w.call(w.by(p), about)
		var f *fault.Fault
		if !errors.As(support.Fault(err), &f) {
			w.t.Fatalf("%T by %q: got %v, want a fault", req, p, err)
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(f.GRPCStatus().Proto())
		if err != nil {
			w.t.Fatalf("marshal: %v", err)
		}
		answers = append(answers, string(b))
	}
	equal(w.t, fmt.Sprintf("%T by %q, foreign", req, p), answers[0], answers[1])
}

// TestForeignInLists looks for what is another customer's with every filter that a customer may set.
func TestForeignInLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	do[*goodshipv1.Conversation](w, kim, &goodshipv1.CreateConversationRequest{Text: "Hello?", ExternalId: "case-1"})
	mine := w.opens(lou, "Hello?")
	for _, req := range []*goodshipv1.ListConversationsRequest{{}, {State: waiting}, {ExternalId: "case-1"}, {ExternalId: "missing"}} {
		for _, c := range do[*goodshipv1.ListConversationsResponse](w, lou, req).Conversations {
			equal(t, fmt.Sprintf("conversation for %v", req), c.Id, mine)
		}
	}
	for _, req := range []*goodshipv1.ListConversationsRequest{{ExternalId: "case-1"}, {ExternalId: "missing"}} {
		same(t, fmt.Sprintf("reply to %v", req), do[*goodshipv1.ListConversationsResponse](w, lou, req), &goodshipv1.ListConversationsResponse{})
	}
	for field, req := range map[string]*goodshipv1.ListConversationsRequest{
		"owner_id": {OwnerId: "ada"}, "unowned": {Unowned: true}, "customer_id": {CustomerId: "lou"}, "label": {Label: "vip"},
		"order": {State: waiting, Order: goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE},
	} {
		w.refuses(lou, req, "InvalidArgument INVALID_REQUEST "+field)
	}
}

// TestParticipantsAreInOrder lets an agent take a persona before, and speak after, another: the customer is not told who was
// there first.
func TestParticipantsAreInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := helped(w)
	w.invites(ada, id, lea)
	do[*goodshipv1.Conversation](w, ben, &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "Mate"}})
	equal(t, "participants before the mate speaks", len(w.reads(kim, id).Participants), 2)
	w.says(lea, id, "The leader here.")
	w.says(ben, id, "Aye.")
	for i, p := range w.reads(kim, id).Participants {
		equal(t, "number", p.Number, int32(i+1))
	}
}
