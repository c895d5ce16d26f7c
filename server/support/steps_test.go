package support_test

import (
	"fmt"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// Names that stories are told with.
const (
	waiting  = goodshipv1.State_STATE_WAITING
	answered = goodshipv1.State_STATE_ANSWERED
	resolved = goodshipv1.State_STATE_RESOLVED

	proposed   = goodshipv1.ResolutionState_RESOLUTION_STATE_PROPOSED
	confirmed  = goodshipv1.ResolutionState_RESOLUTION_STATE_CONFIRMED
	rejected   = goodshipv1.ResolutionState_RESOLUTION_STATE_REJECTED
	superseded = goodshipv1.ResolutionState_RESOLUTION_STATE_SUPERSEDED
	withdrawn  = goodshipv1.ResolutionState_RESOLUTION_STATE_WITHDRAWN

	followUp = goodshipv1.OutreachReason_OUTREACH_REASON_FOLLOW_UP
)

// opens lets a customer open a conversation and returns its id.
func (w *world) opens(p person, text string) string {
	w.t.Helper()
	return do[*goodshipv1.Conversation](w, p, &goodshipv1.CreateConversationRequest{Text: text}).Id
}

// reaches lets us write to a customer first and returns the conversation's id.
func (w *world) reaches(p, customer person, text string) string {
	w.t.Helper()
	return do[*goodshipv1.Conversation](w, p, &goodshipv1.CreateConversationRequest{
		CustomerId: customer.id(), OutreachReason: followUp, Text: text,
	}).Id
}

// reads returns a conversation as somebody sees it.
func (w *world) reads(p person, id string) *goodshipv1.Conversation {
	w.t.Helper()
	return do[*goodshipv1.Conversation](w, p, &goodshipv1.GetConversationRequest{ConversationId: id})
}

// head returns a conversation as it is kept.
func (w *world) head(id string) *storev1.Head {
	w.t.Helper()
	head, err := w.store.Conversation(w.t.Context(), w.workspace, id)
	if err != nil {
		w.t.Fatalf("read the head of %s: %v", id, err)
	}
	return head
}

// revision returns the newest revision of a conversation: what somebody who has just looked has seen.
func (w *world) revision(id string) int32 {
	w.t.Helper()
	return w.head(id).Conversation.Revision
}

// says lets somebody who has just looked say something.
func (w *world) says(p person, id, text string) *goodshipv1.Message {
	w.t.Helper()
	return do[*goodshipv1.Message](w, p, &goodshipv1.SendMessageRequest{ConversationId: id, Text: text, SeenRevision: w.revision(id)})
}

// claims lets an agent claim a conversation.
func (w *world) claims(p person, id string) *goodshipv1.Conversation {
	w.t.Helper()
	return do[*goodshipv1.Conversation](w, p, &goodshipv1.ClaimConversationRequest{ConversationId: id})
}

// claimsNext returns the id of the conversation that an agent got from the line; empty if there was none.
func (w *world) claimsNext(p person) string {
	w.t.Helper()
	return do[*goodshipv1.ClaimNextConversationResponse](w, p, &goodshipv1.ClaimNextConversationRequest{}).Conversation.GetId()
}

// invites lets somebody invite a colleague.
func (w *world) invites(p person, id string, helper person) {
	w.t.Helper()
	do[*goodshipv1.Conversation](w, p, &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: helper.id()})
}

// offers lets an owner offer a conversation to a colleague, who is present.
func (w *world) offers(p person, id string, to person) *goodshipv1.Conversation {
	w.t.Helper()
	w.by(to)
	return do[*goodshipv1.Conversation](w, p, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: to.id(), Brief: "The brief"})
}

// notes lets an agent write a note.
func (w *world) notes(p person, id, text string) *goodshipv1.Note {
	w.t.Helper()
	return do[*goodshipv1.Note](w, p, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: text})
}

// proposes lets somebody who has just looked propose a resolution, with a text that answers.
func (w *world) proposes(p person, id string) *goodshipv1.Resolution {
	w.t.Helper()
	return do[*goodshipv1.Resolution](w, p, w.proposal(id))
}

func (w *world) proposal(id string) *goodshipv1.ProposeResolutionRequest {
	return &goodshipv1.ProposeResolutionRequest{
		ConversationId: id, Matter: goodshipv1.Matter_MATTER_FAULT, Done: "Mended it", Text: "It is mended.", SeenRevision: w.revision(id),
	}
}

// confirms lets the customer say that it is solved.
func (w *world) confirms(p person, id string) *goodshipv1.Resolution {
	w.t.Helper()
	return do[*goodshipv1.Resolution](w, p, &goodshipv1.ConfirmResolutionRequest{ConversationId: id})
}

// rejects lets the customer say that it is not solved.
func (w *world) rejects(p person, id string) *goodshipv1.Resolution {
	w.t.Helper()
	return do[*goodshipv1.Resolution](w, p, &goodshipv1.RejectResolutionRequest{ConversationId: id})
}

// disables lets the backend disable an agent.
func (w *world) disables(p person) *goodshipv1.Agent {
	w.t.Helper()
	return do[*goodshipv1.Agent](w, backend, &goodshipv1.DisableAgentRequest{AgentId: p.id()})
}

// story tells the events of a conversation, one word each, with who is meant.
func (w *world) story(id string) string {
	w.t.Helper()
	var words []string
	for _, e := range w.log(id) {
		m := e.ProtoReflect()
		words = append(words, string(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")).Name()))
	}
	return strings.Join(words, " ")
}

// log returns the events of a conversation.
func (w *world) log(id string) []*goodshipv1.Event {
	w.t.Helper()
	records, err := w.store.Records(w.t.Context(), w.workspace, id, 0, everything)
	if err != nil {
		w.t.Fatalf("read the log of %s: %v", id, err)
	}
	var events []*goodshipv1.Event
	for _, r := range records {
		events = append(events, r.Events...)
	}
	return events
}

// stands checks state, owner and helpers of a conversation.
func (w *world) stands(id string, want string) {
	w.t.Helper()
	c := w.head(id).Conversation
	got := fmt.Sprintf("%s owner=%s helpers=%s", c.State.String()[len("STATE_"):], c.OwnerId, list(c.HelperIds))
	equal(w.t, "conversation", got, want)
}
