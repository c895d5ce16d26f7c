package support_test

import (
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// deed is one call that succeeds, for tests that hold for every method alike.
type deed struct {
	by person
	// in makes the conversation that the call is about; nil if it is about none.
	in func(w *world) string
	// call is the request.
	call func(w *world, id string) proto.Message
}

// prepare makes what the deed needs in a world, and returns its request.
func (d deed) prepare(w *world) proto.Message {
	w.t.Helper()
	id := ""
	if d.in != nil {
		id = d.in(w)
	}
	return d.call(w, id)
}

// Conversations that deeds are done in.

func waits(w *world) string { return w.opens(kim, "Hello?") }

func owned(w *world) string {
	id := waits(w)
	w.claims(ada, id)
	return id
}

func replied(w *world) string {
	id := waits(w)
	w.says(ada, id, "Hello!")
	return id
}

func helped(w *world) string {
	id := replied(w)
	w.invites(ada, id, ben)
	return id
}

func offered(w *world) string {
	id := replied(w)
	w.offers(ada, id, ben)
	return id
}

func noted(w *world) string {
	id := replied(w)
	w.notes(ada, id, "A note")
	return id
}

func solved(w *world) string {
	id := waits(w)
	w.proposes(ada, id)
	return id
}

// deeds are one for each method that takes a request_id or names a conversation.
var deeds = map[string]deed{
	"CreateConversation": {kim, nil, func(*world, string) proto.Message {
		return &goodshipv1.CreateConversationRequest{Text: "Hello?", Subject: "A matter"}
	}},
	"GetConversation": {kim, waits, func(_ *world, id string) proto.Message { return &goodshipv1.GetConversationRequest{ConversationId: id} }},
	"WatchConversation": {kim, waits, func(_ *world, id string) proto.Message {
		return &goodshipv1.WatchConversationRequest{ConversationId: id}
	}},
	"GetWait": {kim, waits, func(_ *world, id string) proto.Message { return &goodshipv1.GetWaitRequest{ConversationId: id} }},
	"UpdateConversation": {backend, waits, func(_ *world, id string) proto.Message {
		return &goodshipv1.UpdateConversationRequest{
			ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Subject: "Better"}, UpdateMask: mask("subject"),
		}
	}},
	"ClaimConversation": {ada, waits, func(_ *world, id string) proto.Message {
		return &goodshipv1.ClaimConversationRequest{ConversationId: id}
	}},
	"ClaimNextConversation": {ada, nil, func(w *world, _ string) proto.Message {
		waits(w)
		waits(w)
		return &goodshipv1.ClaimNextConversationRequest{}
	}},
	"ReleaseConversation": {ada, owned, func(_ *world, id string) proto.Message {
		return &goodshipv1.ReleaseConversationRequest{ConversationId: id}
	}},
	"InviteHelper": {ada, owned, func(_ *world, id string) proto.Message {
		return &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: ben.id()}
	}},
	"RemoveHelper": {ada, helped, func(_ *world, id string) proto.Message {
		return &goodshipv1.RemoveHelperRequest{ConversationId: id, AgentId: ben.id()}
	}},
	"HandOverConversation": {ada, owned, func(w *world, id string) proto.Message {
		w.by(ben)
		return &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: ben.id(), Brief: "The brief"}
	}},
	"AcceptHandOver":  {ben, offered, func(_ *world, id string) proto.Message { return &goodshipv1.AcceptHandOverRequest{ConversationId: id} }},
	"DeclineHandOver": {ben, offered, func(_ *world, id string) proto.Message { return &goodshipv1.DeclineHandOverRequest{ConversationId: id} }},
	"SetPersona": {kim, waits, func(_ *world, id string) proto.Message {
		return &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "Lieutenant"}}
	}},
	"DismissConversation": {ada, owned, func(w *world, id string) proto.Message {
		return &goodshipv1.DismissConversationRequest{ConversationId: id, Reason: goodshipv1.DismissReason_DISMISS_REASON_SPAM, SeenRevision: w.revision(id)}
	}},
	"SendMessage": {ada, waits, func(w *world, id string) proto.Message {
		return &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: w.revision(id)}
	}},
	"GetMessage": {kim, waits, func(_ *world, id string) proto.Message {
		return &goodshipv1.GetMessageRequest{ConversationId: id, Number: 1}
	}},
	"ListMessages": {kim, waits, func(_ *world, id string) proto.Message { return &goodshipv1.ListMessagesRequest{ConversationId: id} }},
	"EditMessage": {kim, waits, func(_ *world, id string) proto.Message {
		return &goodshipv1.EditMessageRequest{ConversationId: id, Number: 1, Text: "Hello??"}
	}},
	"RedactMessage": {kim, waits, func(_ *world, id string) proto.Message {
		return &goodshipv1.RedactMessageRequest{ConversationId: id, Number: 1}
	}},
	"MarkRead": {kim, replied, func(_ *world, id string) proto.Message {
		return &goodshipv1.MarkReadRequest{ConversationId: id, Number: 2}
	}},
	"SendSignal": {kim, waits, func(_ *world, id string) proto.Message { return signal(id, typing) }},
	"ReportDelivery": {backend, replied, func(_ *world, id string) proto.Message {
		return &goodshipv1.ReportDeliveryRequest{ConversationId: id, Number: 2, State: goodshipv1.DeliveryState_DELIVERY_STATE_FAILED, Failure: "No such address"}
	}},
	"UpsertAgent": {backend, nil, func(*world, string) proto.Message {
		return &goodshipv1.UpsertAgentRequest{AgentId: "max", Agent: &goodshipv1.Agent{DisplayName: "Max"}}
	}},
	"DisableAgent": {backend, owned, func(*world, string) proto.Message { return &goodshipv1.DisableAgentRequest{AgentId: "ada"} }},
	"UpsertCustomer": {backend, nil, func(*world, string) proto.Message {
		return &goodshipv1.UpsertCustomerRequest{CustomerId: "max", Customer: &goodshipv1.Customer{DisplayName: "Max"}}
	}},
	"CreateNote": {ada, owned, func(_ *world, id string) proto.Message {
		return &goodshipv1.CreateNoteRequest{ConversationId: id, Text: "A note"}
	}},
	"ListNotes": {ada, noted, func(_ *world, id string) proto.Message { return &goodshipv1.ListNotesRequest{ConversationId: id} }},
	"EditNote": {ada, noted, func(_ *world, id string) proto.Message {
		return &goodshipv1.EditNoteRequest{ConversationId: id, Number: 1, Text: "A better note"}
	}},
	"RedactNote": {ada, noted, func(_ *world, id string) proto.Message {
		return &goodshipv1.RedactNoteRequest{ConversationId: id, Number: 1}
	}},
	"ProposeResolution": {ada, waits, func(w *world, id string) proto.Message { return w.proposal(id) }},
	"ConfirmResolution": {kim, solved, func(_ *world, id string) proto.Message {
		return &goodshipv1.ConfirmResolutionRequest{ConversationId: id}
	}},
	"RejectResolution": {kim, solved, func(_ *world, id string) proto.Message {
		return &goodshipv1.RejectResolutionRequest{ConversationId: id, Text: "It is not."}
	}},
	"WithdrawResolution": {ada, solved, func(_ *world, id string) proto.Message {
		return &goodshipv1.WithdrawResolutionRequest{ConversationId: id}
	}},
	"GetResolution": {kim, solved, func(_ *world, id string) proto.Message {
		return &goodshipv1.GetResolutionRequest{ConversationId: id, Number: 1}
	}},
	"ListResolutions": {kim, solved, func(_ *world, id string) proto.Message { return &goodshipv1.ListResolutionsRequest{ConversationId: id} }},
	"RateConversation": {kim, solved, func(_ *world, id string) proto.Message {
		return &goodshipv1.RateConversationRequest{ConversationId: id, ResolutionNumber: 1, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), Personal: 5, Easy: 4, Comment: "Aye"}}
	}},
	"GrantCredit": {ada, creditable, func(_ *world, id string) proto.Message { return granting(id, euros(5, 0)) }},
	"ReverseCredit": {ada, creditable, func(w *world, id string) proto.Message {
		return &goodshipv1.ReverseCreditRequest{CreditId: w.grants(ada, id, euros(5, 0)).Id, Reason: "A mistake"}
	}},
	"ListCredits": {kim, waits, func(_ *world, id string) proto.Message { return &goodshipv1.ListCreditsRequest{ConversationId: id} }},
	"DeclareIncident": {lea, nil, func(w *world, _ string) proto.Message {
		w.readies()
		return &goodshipv1.DeclareIncidentRequest{Incident: w.outage(plain, euros(5, 0))}
	}},
	"UpdateIncident": {lea, nil, func(w *world, _ string) proto.Message {
		return &goodshipv1.UpdateIncidentRequest{
			IncidentId: w.declaresForKim(), Incident: &goodshipv1.IncidentUpdate{WhatWeDid: "A new part"}, UpdateMask: mask("what_we_did"),
		}
	}},
	"SendApology": {lea, nil, func(w *world, _ string) proto.Message {
		id := w.declaresForKim()
		return &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: w.previews(id).PreviewToken}
	}},
	"PauseApology": {lea, nil, func(w *world, _ string) proto.Message {
		id := w.declaresForKim()
		w.sendsOff(id)
		return &goodshipv1.PauseApologyRequest{IncidentId: id}
	}},
	"ResumeApology": {lea, nil, func(w *world, _ string) proto.Message {
		id := w.declaresForKim()
		w.sendsOff(id)
		do[*goodshipv1.Incident](w, lea, &goodshipv1.PauseApologyRequest{IncidentId: id})
		return &goodshipv1.ResumeApologyRequest{IncidentId: id}
	}},
	// Who has two conversations, which the feed then tells of, and so is one effect more in all.
	"EraseCustomer": {backend, nil, func(w *world, _ string) proto.Message {
		waits(w)
		waits(w)
		return &goodshipv1.EraseCustomerRequest{CustomerId: kim.id()}
	}},
	"CreateWorkspace": {operator, nil, func(*world, string) proto.Message {
		return &goodshipv1.CreateWorkspaceRequest{DisplayName: "Another product"}
	}},
	"CreateApiKey": {backend, nil, func(*world, string) proto.Message { return &goodshipv1.CreateApiKeyRequest{DisplayName: "Shop"} }},
	"CreateWebhookEndpoint": {backend, nil, func(*world, string) proto.Message {
		return &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: someURI}}
	}},
	"RotateWebhookSecret": {backend, nil, func(w *world, _ string) proto.Message {
		return &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: w.hook()}
	}},
	"ReplayWebhook": {backend, nil, func(w *world, _ string) proto.Message {
		return &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: w.hook(), FromTime: timestamppb.New(w.clock.Now())}
	}},
	"CreateSigningKey": {backend, nil, func(*world, string) proto.Message {
		return &goodshipv1.CreateSigningKeyRequest{TokenKind: goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER}
	}},
}

// TestDeedsAreComplete holds the table to the contract: each deed succeeds, and none is missing.
func TestDeedsAreComplete(t *testing.T) {
	t.Parallel()
	for name, m := range methods() {
		d, ok := deeds[name]
		if needed := m.has("request_id") || m.has("conversation_id"); needed != ok {
			t.Errorf("%s: got a deed: %v, want %v", name, ok, needed)
		}
		if ok {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				do[proto.Message](w, d.by, d.prepare(w))
			})
		}
	}
	for name := range deeds {
		if _, ok := methods()[name]; !ok {
			t.Errorf("got a deed for %s, want only methods of the contract", name)
		}
	}
}
