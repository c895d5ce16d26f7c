package support_test

import (
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// TestHelloToSolved holds a whole conversation: in the line, claimed, talked, handed over, solved, rated, and come back to.
func TestHelloToSolved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := do[*goodshipv1.Conversation](w, kim, &goodshipv1.CreateConversationRequest{
		Text: "My film stops.", Subject: "A film", Context: map[string]string{"device": "TV"},
	}).Id
	w.stands(id, "WAITING owner= helpers=")
	w.clock.Jump(time.Minute)
	equal(t, "claimed", w.claimsNext(ada), id)
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "Captain of the good ship"}})
	w.says(ada, id, "Captain here. What troubles you?")
	w.stands(id, "ANSWERED owner=ada helpers=")
	equal(t, "promise", w.reads(kim, id).AnswerPromise.State, goodshipv1.PromiseState_PROMISE_STATE_KEPT)

	w.clock.Jump(time.Minute)
	w.says(kim, id, "The engine, Captain.")
	w.notes(ada, id, "Who knows engines?")
	w.invites(ada, id, ben)
	w.stands(id, "WAITING owner=ada helpers=ben")
	w.offers(ada, id, ben)
	do[*goodshipv1.Conversation](w, ben, &goodshipv1.AcceptHandOverRequest{ConversationId: id})
	w.stands(id, "WAITING owner=ben helpers=ada")

	stated := w.proposes(ben, id)
	equal(t, "proposed", stated.State, proposed)
	equal(t, "says what was done", stated.Done+" / "+stated.AgentId, "Mended it / ben")
	w.stands(id, "ANSWERED owner=ben helpers=ada")
	equal(t, "once rejected", w.rejects(kim, id).State, rejected)
	w.stands(id, "WAITING owner=ben helpers=ada")
	w.proposes(ben, id)
	equal(t, "once confirmed", w.confirms(kim, id).State, confirmed)
	w.stands(id, "RESOLVED owner=ben helpers=ada")

	rated := do[*goodshipv1.Resolution](w, kim, &goodshipv1.RateConversationRequest{
		ConversationId: id, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), Personal: 5, Easy: 4, Comment: "Aye."},
	})
	equal(t, "rating", rated.Rating.Comment, "Aye.")
	w.says(kim, id, "It stops again.")
	w.stands(id, "WAITING owner=ben helpers=ada")
	got := w.reads(lea, id)
	equal(t, "counts", list([]int32{got.MessageCount, got.NoteCount, got.ResolutionCount, got.ReturnCount, got.RejectionCount, got.HandOverCount, got.OutOfTurnCount}), "6 2 2 1 1 1 0")
	equal(t, "story", w.story(id), "opened message_sent wait_began claimed persona_set message_sent wait_answered message_sent wait_began "+
		"note_added helper_invited note_added hand_over_offered hand_over_accepted message_sent wait_answered resolution_proposed "+
		"resolution_rejected wait_began message_sent wait_answered resolution_proposed resolved rated message_sent reopened wait_began")
}

// TestCreateConversation looks at everything that a first message brings.
func TestCreateConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	attachment := &goodshipv1.Attachment{Uri: "https://example.com/a.png", MediaType: "image/png", FileName: "a.png", SizeBytes: 9}
	got := do[*goodshipv1.Conversation](w, kim, &goodshipv1.CreateConversationRequest{
		Attachments: []*goodshipv1.Attachment{attachment}, Subject: "A film", Context: map[string]string{"device": "TV"}, ExternalId: "case-1",
	})
	now := got.CreateTime
	same(t, "in the customer's view", got, &goodshipv1.Conversation{
		Id: got.Id, CustomerId: "kim", State: waiting, Subject: "A film", ExternalId: "case-1", MessageCount: 1, PublicRevision: 3, Etag: got.Etag,
		Participants: []*goodshipv1.Participant{{Number: 1, Kind: goodshipv1.SenderKind_SENDER_KIND_CUSTOMER}},
		CreateTime:   now, UpdateTime: now, ActivityTime: now,
		AnswerPromise: &goodshipv1.Promise{State: goodshipv1.PromiseState_PROMISE_STATE_RUNNING, StartTime: now, DueTime: w.reads(kim, got.Id).AnswerPromise.DueTime},
	})
	equal(t, "due after", got.AnswerPromise.DueTime.AsTime().Sub(now.AsTime()), 5*time.Minute)
	inner := w.reads(ada, got.Id)
	equal(t, "customer", inner.CustomerId, "kim")
	equal(t, "context", inner.Context["device"], "TV")
	equal(t, "revision", inner.Revision, 3)
	equal(t, "public revision, for an agent", inner.PublicRevision, 0)
	message := do[*goodshipv1.Message](w, ada, &goodshipv1.GetMessageRequest{ConversationId: got.Id, Number: 1})
	same(t, "attachment", message.Attachments[0], attachment)

	w.by(lou)
	labelled := do[*goodshipv1.Conversation](w, ada, &goodshipv1.CreateConversationRequest{
		CustomerId: "lou", OutreachReason: followUp, Text: "Better?", Labels: []string{"film", "tv"},
	})
	equal(t, "labels", list(labelled.Labels), "film tv")
	equal(t, "reason", labelled.OutreachReason, followUp)
}

func TestCreateConversationRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.by(kim)
	for _, test := range []struct {
		by   person
		req  *goodshipv1.CreateConversationRequest
		want string
	}{
		{kim, &goodshipv1.CreateConversationRequest{}, "text"},
		{kim, &goodshipv1.CreateConversationRequest{Text: "x", CustomerId: "kim"}, "customer_id"},
		{kim, &goodshipv1.CreateConversationRequest{Text: "x", CustomerId: "lou"}, "customer_id"},
		{kim, &goodshipv1.CreateConversationRequest{Text: "x", OutreachReason: followUp}, "outreach_reason"},
		{kim, &goodshipv1.CreateConversationRequest{Text: "x", Labels: []string{"vip"}}, "labels"},
		{ada, &goodshipv1.CreateConversationRequest{CustomerId: "kim", OutreachReason: followUp}, "text"},
		{ada, &goodshipv1.CreateConversationRequest{Text: "x", OutreachReason: followUp}, "customer_id"},
		{lea, &goodshipv1.CreateConversationRequest{Text: "x", CustomerId: "kim"}, "outreach_reason"},
		{backend, &goodshipv1.CreateConversationRequest{Text: "x", CustomerId: "kim", OutreachReason: followUp, ContinueOpen: true}, "continue_open"},
	} {
		w.refuses(test.by, test.req, "InvalidArgument INVALID_REQUEST "+test.want)
	}
	w.refuses(ada, &goodshipv1.CreateConversationRequest{Text: "x", CustomerId: "nobody", OutreachReason: followUp}, "NotFound CUSTOMER_NOT_FOUND customer_id=nobody")
}

func TestExternalIDIsUnique(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := &goodshipv1.CreateConversationRequest{Text: "Hello?", ExternalId: "case-1"}
	id := do[*goodshipv1.Conversation](w, kim, req).Id
	w.refuses(lou, req, "AlreadyExists EXTERNAL_ID_TAKEN")
	w.refuses(kim, req, "AlreadyExists EXTERNAL_ID_TAKEN")
	ours := &goodshipv1.CreateConversationRequest{CustomerId: "lou", OutreachReason: followUp, Text: "Hello!", ExternalId: "case-1"}
	w.refuses(ada, ours, "AlreadyExists EXTERNAL_ID_TAKEN conversation_id="+id)
	w.refuses(backend, ours, "AlreadyExists EXTERNAL_ID_TAKEN conversation_id="+id)
	other := foundWorld(t, w.clock, w.store)
	do[*goodshipv1.Conversation](other, kim, req)
}

// TestOutreach holds that we write first with a reason, and once until the customer answers.
func TestOutreach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.by(kim)
	id := w.reaches(ada, kim, "Is it better?")
	w.stands(id, "ANSWERED owner=ada helpers=")
	again := &goodshipv1.CreateConversationRequest{CustomerId: "kim", OutreachReason: followUp, Text: "Well?"}
	for _, p := range []person{ada, ben, lea, backend} {
		w.refuses(p, again, "FailedPrecondition OUTREACH_UNANSWERED conversation_id="+id)
	}
	w.says(ada, id, "I look forward to hearing from you.")
	w.opens(kim, "Another matter.") // which answers nothing there
	w.refuses(ada, again, "FailedPrecondition OUTREACH_UNANSWERED conversation_id="+id)
	w.says(kim, id, "Much better.")
	w.stands(id, "WAITING owner=ada helpers=")

	fromBackend := do[*goodshipv1.Conversation](w, backend, again).Id
	w.stands(fromBackend, "ANSWERED owner= helpers=")
	w.refuses(ben, again, "FailedPrecondition OUTREACH_UNANSWERED conversation_id="+fromBackend)
	w.confirms(kim, fromBackend)
	w.reaches(ben, kim, "Anything else?")
	equal(t, "customer whom a backend names", do[*goodshipv1.Conversation](w, backend, &goodshipv1.CreateConversationRequest{
		CustomerId: "new", OutreachReason: followUp, Text: "Welcome.",
	}).CustomerId, "new")
}

func TestContinueOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.opens(kim, "Hello?")
	second := w.opens(kim, "And another.")
	w.opens(lou, "Hello?")
	again := &goodshipv1.CreateConversationRequest{
		Text: "Go on.", ContinueOpen: true, Subject: "Ignored", ExternalId: "ignored", Context: map[string]string{"ignored": "x"},
	}
	got := do[*goodshipv1.Conversation](w, kim, again)
	equal(t, "continued", got.Id, second)
	equal(t, "messages", got.MessageCount, 2)
	equal(t, "what is ignored", got.Subject+got.ExternalId+w.reads(ada, second).Context["ignored"], "")
	w.says(ada, second, "Hello!")
	equal(t, "continued when answered", do[*goodshipv1.Conversation](w, kim, again).Id, second)
	w.confirms(kim, second)
	equal(t, "continued when the newest is resolved", do[*goodshipv1.Conversation](w, kim, again).Id, first)
	w.confirms(kim, first)
	got = do[*goodshipv1.Conversation](w, kim, again)
	equal(t, "opened when all are resolved", got.Id != first && got.Id != second, true)
	equal(t, "external id of a new one", got.ExternalId, "ignored")
}

// TestBlockedCustomer holds that only writing is refused, in every way of writing.
func TestBlockedCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	waited, open, closed := waits(w), solved(w), solved(w)
	w.confirms(kim, closed)
	do[*goodshipv1.Customer](w, lea, &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "Threats"})
	for _, req := range []proto.Message{
		&goodshipv1.CreateConversationRequest{Text: "x"},
		&goodshipv1.CreateConversationRequest{Text: "x", ContinueOpen: true},
		&goodshipv1.SendMessageRequest{ConversationId: waited, Text: "x"},
		&goodshipv1.SendMessageRequest{ConversationId: closed, Text: "x"},
		&goodshipv1.EditMessageRequest{ConversationId: waited, Number: 1, Text: "x"},
		&goodshipv1.ConfirmResolutionRequest{ConversationId: open, Text: "x"},
		&goodshipv1.RejectResolutionRequest{ConversationId: open, Text: "x"},
	} {
		w.refuses(kim, req, "PermissionDenied CUSTOMER_BLOCKED")
	}
	w.stands(waited, "WAITING owner= helpers=")
	w.reads(kim, waited)
	w.rejects(kim, open)
	w.confirms(kim, waited)
}

func TestDismiss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := solved(w)
	w.says(kim, id, "Buy my pills!")
	dismiss := &goodshipv1.DismissConversationRequest{
		ConversationId: id, Reason: goodshipv1.DismissReason_DISMISS_REASON_SPAM, SeenRevision: w.revision(id), BlockCustomer: true,
	}
	w.says(kim, id, "And these!")
	w.refuses(ada, dismiss, "FailedPrecondition CUSTOMER_IS_WAITING revision="+w.reads(ada, id).Etag)
	dismiss.SeenRevision = w.revision(id)
	w.refuses(ben, dismiss, "PermissionDenied NOT_A_PARTICIPANT")
	got := do[*goodshipv1.Conversation](w, ada, dismiss)
	equal(t, "outcome", got.Outcome, goodshipv1.Outcome_OUTCOME_DISMISSED)
	equal(t, "reason", got.DismissReason, goodshipv1.DismissReason_DISMISS_REASON_SPAM)
	equal(t, "promise", got.AnswerPromise.State, goodshipv1.PromiseState_PROMISE_STATE_CANCELED)
	seen := w.reads(kim, id)
	equal(t, "outcome, for the customer", seen.Outcome, goodshipv1.Outcome_OUTCOME_DISMISSED)
	equal(t, "reason, for the customer", seen.DismissReason, 0)
	customer := do[*goodshipv1.Customer](w, ada, &goodshipv1.GetCustomerRequest{CustomerId: "kim"})
	equal(t, "why blocked", customer.Block.GetReason(), "Dismissed: SPAM")
	w.refuses(kim, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "x"}, "PermissionDenied CUSTOMER_BLOCKED")
	w.refuses(kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: id}, "FailedPrecondition NOTHING_TO_CONFIRM state=RESOLVED")

	do[*goodshipv1.Customer](w, backend, &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "x", UntilTime: got.CreateTime})
	w.says(kim, id, "I am a person!")
	w.stands(id, "WAITING owner= helpers=")
	equal(t, "returns", w.reads(ada, id).ReturnCount, 0)
}

// TestDismissWithoutBlock also looks at a dismissal that fails: it must not block.
func TestDismissWithoutBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	dismiss := &goodshipv1.DismissConversationRequest{ConversationId: id, Reason: goodshipv1.DismissReason_DISMISS_REASON_ABUSE, BlockCustomer: true}
	w.refuses(ada, dismiss, "FailedPrecondition SEEN_REVISION_REQUIRED revision=4")
	dismiss.SeenRevision, dismiss.BlockCustomer = w.revision(id), false
	do[*goodshipv1.Conversation](w, ada, dismiss)
	w.says(kim, id, "Still here.")
}

func TestUpdateConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	incident := do[*goodshipv1.Incident](w, lea, &goodshipv1.DeclareIncidentRequest{Incident: w.outage("", points(1))}).Id
	change := &goodshipv1.ConversationUpdate{Subject: "S", Context: map[string]string{"k": "v"}, Labels: []string{"l"}, IncidentId: incident}
	want := w.reads(ada, id)
	for _, field := range []string{"subject", "context", "labels", "incident_id"} {
		public := w.reads(kim, id)
		got := do[*goodshipv1.Conversation](w, ada, &goodshipv1.UpdateConversationRequest{
			ConversationId: id, Conversation: change, UpdateMask: mask(field), Etag: want.Etag,
		})
		to, from := want.ProtoReflect(), change.ProtoReflect()
		to.Set(to.Descriptor().Fields().ByTextName(field), from.Get(from.Descriptor().Fields().ByTextName(field)))
		want.Revision, want.Etag, want.UpdateTime, want.ActivityTime = got.Revision, got.Etag, got.UpdateTime, got.ActivityTime
		same(t, "after "+field, got, want)
		equal(t, "customer's etag changed by "+field, w.reads(kim, id).Etag != public.Etag, field == "subject")
	}
	all := do[*goodshipv1.Conversation](w, backend, &goodshipv1.UpdateConversationRequest{
		ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{}, UpdateMask: mask("subject", "context", "labels", "incident_id"),
	})
	equal(t, "cleared", all.Subject == "" && len(all.Context)+len(all.Labels) == 0 && all.IncidentId == "", true)

	req := &goodshipv1.UpdateConversationRequest{ConversationId: id, Conversation: change}
	w.refuses(ada, req, "InvalidArgument INVALID_REQUEST update_mask")
	unknown := &goodshipv1.ConversationUpdate{IncidentId: "inc_" + strings.Repeat("0", 26)}
	w.refuses(ada, &goodshipv1.UpdateConversationRequest{ConversationId: id, Conversation: unknown, UpdateMask: mask("incident_id")}, "NotFound INCIDENT_NOT_FOUND")
	req.UpdateMask, req.Etag = mask("subject"), want.Etag
	w.refuses(ada, req, "Aborted ETAG_MISMATCH")
	req.Etag = w.reads(kim, id).Etag // a customer's etag is none of an agent's
	w.refuses(ada, req, "Aborted ETAG_MISMATCH")
}

// TestEtagUnderTime lets time do something after an etag was read: the etag is still that of what was read.
func TestEtagUnderTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	etag := w.reads(ada, id).Etag
	w.clock.Jump(time.Hour)
	w.by(ada)
	got := do[*goodshipv1.Conversation](w, ada, &goodshipv1.ClaimConversationRequest{ConversationId: id, Etag: etag})
	equal(t, "story", w.story(id), "opened message_sent wait_began promise_at_risk promise_broken claimed")
	w.refuses(ada, &goodshipv1.ReleaseConversationRequest{ConversationId: id, Etag: etag}, "Aborted ETAG_MISMATCH")
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.ReleaseConversationRequest{ConversationId: id, Etag: got.Etag})
}

// TestBackendSpeaks holds that a backend's own words are automatic: they answer nothing, and claim nothing.
func TestBackendSpeaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	m := w.says(backend, id, "We will be with you soon.")
	same(t, "sender", m.Sender, &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC})
	w.stands(id, "WAITING owner= helpers=")
	equal(t, "participants", len(w.reads(kim, id).Participants), 1)
	edited := do[*goodshipv1.Message](w, backend, &goodshipv1.EditMessageRequest{ConversationId: id, Number: 2, Text: "Soon."})
	equal(t, "edited", edited.Text, "Soon.")
}

// TestLeader lets a leader do what leaders may in a conversation that is another's.
func TestLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	w.says(lea, id, "The leader here.")
	w.stands(id, "ANSWERED owner=ada helpers=")
	w.invites(lea, id, ben)
	do[*goodshipv1.Conversation](w, lea, &goodshipv1.RemoveHelperRequest{ConversationId: id, AgentId: "ben"})
	w.proposes(lea, id)
	do[*goodshipv1.Resolution](w, lea, &goodshipv1.WithdrawResolutionRequest{ConversationId: id})
	w.claims(lea, id)
	w.stands(id, "ANSWERED owner=lea helpers=ada")
	w.claims(lea, id)
	do[*goodshipv1.Conversation](w, lea, &goodshipv1.ReleaseConversationRequest{ConversationId: id})
	w.claims(ada, id)
	do[*goodshipv1.Conversation](w, lea, &goodshipv1.ReleaseConversationRequest{ConversationId: id})
	w.stands(id, "ANSWERED owner= helpers=")
}
