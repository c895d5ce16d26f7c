package erased_test

import (
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// planted are the texts, by where they stand.
func planted() map[string]string {
	words := map[string]string{}
	for _, where := range []string{
		"customer", "name", "visitor's message", "message", "edited message before", "edited message", "answer", "note", "edited note before", "edited note",
		"attachment", "file name", "subject", "context key", "context", "label", "external id", "persona", "done", "made right", "comment", "rejection",
		"confirmation", "block", "credit", "reversal", "refusal", "attribute", "delivery failure", "redacted", "hand-over",
	} {
		words[where] = "planted." + strings.ReplaceAll(strings.ReplaceAll(where, " ", "-"), "'", "")
	}
	words["edited message"] += ".now" // which no other begins with
	words["edited note"] += ".now"
	return words
}

// gone are those that nobody can find before the erasure either: what was edited and redacted.
var gone = []string{"edited message before", "edited note before", "redacted"}

// scene is a customer's life, with all that is planted in it, and what is left to ask for it.
type scene struct {
	*house
	words map[string]string
	// person is the customer's id, and visitor that of the visitor they were, with the tokens of both.
	person, visitor             string
	customerToken, visitorToken string
	conversations               []string
	credits                     []string
	incident, erasure           string
	hooks                       []string
	// desk and own are the oldest cursors, of desks and of the customer.
	desk, own string
}

func (s *scene) opens(c caller, req *goodshipv1.CreateConversationRequest) string {
	s.t.Helper()
	id := do[*goodshipv1.Conversation](s.house, c, req).Id
	s.conversations = append(s.conversations, id)
	return id
}

func (s *scene) revision(id string) int32 {
	s.t.Helper()
	return do[*goodshipv1.Conversation](s.house, s.backend(), &goodshipv1.GetConversationRequest{ConversationId: id}).Revision
}

func (s *scene) says(c caller, id, text string) int32 {
	s.t.Helper()
	return do[*goodshipv1.Message](s.house, c, &goodshipv1.SendMessageRequest{ConversationId: id, Text: text, SeenRevision: s.revision(id)}).Number
}

func euros(units int64) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "EUR", Units: units}}}
}

// newScene plays it.
func newScene(h *house) *scene {
	h.t.Helper()
	s := &scene{house: h, words: planted()}
	s.person = s.words["customer"]
	s.furnish()
	s.visits()
	s.talks()
	s.makesRight()
	s.goesWrong()
	do[*goodshipv1.Customer](h, h.backend(), &goodshipv1.BlockCustomerRequest{CustomerId: s.person, Reason: s.words["block"]})
	return s
}

// furnish sets the workspace up.
func (s *scene) furnish() {
	s.t.Helper()
	h := s.house
	many := &goodshipv1.Allowance{MoneyPerGrant: euros(100).GetMoney(), MoneyPerDay: euros(1000).GetMoney()}
	do[*goodshipv1.Workspace](h, h.backend(), &goodshipv1.UpdateWorkspaceRequest{
		Workspace: &goodshipv1.Workspace{
			CurrencyCode: "EUR", Allowance: many, LeaderAllowance: many, IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(1000).GetMoney()},
			ContactPoints: []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+34 912 345 678"}},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"currency_code", "allowance", "leader_allowance", "incident_ceiling", "contact_points"}},
	})
	for id, role := range map[string]goodshipv1.Role{"ada": goodshipv1.Role_ROLE_AGENT, "ben": goodshipv1.Role_ROLE_AGENT, "lea": goodshipv1.Role_ROLE_LEADER} {
		do[*goodshipv1.Agent](h, h.backend(), &goodshipv1.UpsertAgentRequest{AgentId: id, Agent: &goodshipv1.Agent{DisplayName: id, Role: role}})
	}
	for _, view := range []goodshipv1.WebhookView{goodshipv1.WebhookView_WEBHOOK_VIEW_FULL, goodshipv1.WebhookView_WEBHOOK_VIEW_PUBLIC} {
		made := do[*goodshipv1.CreateWebhookEndpointResponse](h, h.backend(), &goodshipv1.CreateWebhookEndpointRequest{
			WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: h.endpoint.url, View: view},
		})
		s.hooks = append(s.hooks, made.WebhookEndpoint.Id)
	}
	do[*goodshipv1.Customer](h, h.backend(), &goodshipv1.UpsertCustomerRequest{CustomerId: s.person, Customer: &goodshipv1.Customer{DisplayName: s.words["name"]}})
	s.customerToken = do[*goodshipv1.CreateTokenResponse](h, h.backend(), &goodshipv1.CreateTokenRequest{CustomerId: s.person, Lifetime: durationpb.New(time.Hour)}).Token
	s.desk = do[*goodshipv1.ListConversationsResponse](h, h.backend(), &goodshipv1.ListConversationsRequest{}).WatchCursor
	s.own = do[*goodshipv1.ListConversationsResponse](h, h.customer(s.person), &goodshipv1.ListConversationsRequest{}).WatchCursor
}

// visits has them be a visitor before they sign in.
func (s *scene) visits() {
	s.t.Helper()
	h := s.house
	page := do[*goodshipv1.CreateApiKeyResponse](h, h.backend(), &goodshipv1.CreateApiKeyRequest{DisplayName: "Page", Kind: goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE})
	session := do[*goodshipv1.VisitorSession](h, withToken("widget", page.ApiKey.PublishableKey), &goodshipv1.CreateVisitorSessionRequest{})
	s.visitor, s.visitorToken = session.VisitorId, session.Token
	s.words["visitor"] = s.visitor
	s.opens(withToken("visitor", session.Token), &goodshipv1.CreateConversationRequest{Text: s.words["visitor's message"]})
	do[*goodshipv1.SignInVisitorResponse](h, withToken("customer", s.customerToken), &goodshipv1.SignInVisitorRequest{VisitorToken: session.Token})
}

// talks has a conversation in which everything is said.
func (s *scene) talks() {
	s.t.Helper()
	h, w := s.house, s.words
	own, ada := h.customer(s.person), h.agent("ada")
	id := s.opens(own, &goodshipv1.CreateConversationRequest{
		Text: w["message"], Subject: w["subject"], Context: map[string]string{w["context key"]: w["context"]}, ExternalId: w["external id"],
		Attachments: []*goodshipv1.Attachment{{Uri: "https://example.com/" + w["attachment"], MediaType: "image/png", FileName: w["file name"]}},
	})
	do[*goodshipv1.Conversation](h, h.backend(), &goodshipv1.UpdateConversationRequest{
		ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Labels: []string{w["label"]}}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	})
	do[*goodshipv1.Conversation](h, own, &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: w["persona"]}})
	edited := s.says(own, id, w["edited message before"])
	do[*goodshipv1.Message](h, own, &goodshipv1.EditMessageRequest{ConversationId: id, Number: edited, Text: w["edited message"]})
	redacted := s.says(own, id, w["redacted"])
	do[*goodshipv1.Message](h, h.backend(), &goodshipv1.RedactMessageRequest{ConversationId: id, Number: redacted})
	answer := s.says(ada, id, w["answer"])
	do[*goodshipv1.Message](h, h.backend(), &goodshipv1.ReportDeliveryRequest{
		ConversationId: id, Number: answer, State: goodshipv1.DeliveryState_DELIVERY_STATE_FAILED, Failure: w["delivery failure"],
	})
	do[*goodshipv1.Note](h, ada, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: w["note"]})
	note := do[*goodshipv1.Note](h, ada, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: w["edited note before"]})
	do[*goodshipv1.Note](h, ada, &goodshipv1.EditNoteRequest{ConversationId: id, Number: note.Number, Text: w["edited note"]})
	do[*goodshipv1.Agent](h, h.agent("ben"), &goodshipv1.SetAvailabilityRequest{})
	do[*goodshipv1.Conversation](h, ada, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "ben", Brief: w["hand-over"]})
	propose := func() {
		do[*goodshipv1.Resolution](h, ada, &goodshipv1.ProposeResolutionRequest{
			ConversationId: id, Matter: goodshipv1.Matter_MATTER_FAULT, Done: w["done"], MadeRight: w["made right"], Text: "Mended.", SeenRevision: s.revision(id),
		})
	}
	propose()
	do[*goodshipv1.Resolution](h, own, &goodshipv1.RejectResolutionRequest{ConversationId: id, Text: w["rejection"]})
	propose()
	do[*goodshipv1.Resolution](h, own, &goodshipv1.ConfirmResolutionRequest{ConversationId: id, Text: w["confirmation"]})
	do[*goodshipv1.Resolution](h, own, &goodshipv1.RateConversationRequest{
		ConversationId: id, ResolutionNumber: 2, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), Personal: 5, Comment: w["comment"]},
	})
}

// makesRight grants credits, of which one is taken back and one refused.
func (s *scene) makesRight() {
	s.t.Helper()
	h, w := s.house, s.words
	id := s.opens(h.customer(s.person), &goodshipv1.CreateConversationRequest{Text: "And?"})
	for range 3 {
		credit := do[*goodshipv1.Credit](h, h.agent("lea"), &goodshipv1.GrantCreditRequest{ConversationId: id, Amount: euros(5), Reason: w["credit"]})
		s.credits = append(s.credits, credit.Id)
	}
	do[*goodshipv1.Credit](h, h.agent("lea"), &goodshipv1.ReverseCreditRequest{CreditId: s.credits[0], Reason: w["reversal"]})
	do[*goodshipv1.SettleCreditsResponse](h, h.backend(), &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{
		{CreditId: s.credits[1], Outcome: &goodshipv1.Settlement_Refusal{Refusal: w["refusal"]}},
	}})
}

// goesWrong has an incident touch them, for which they get an apology.
func (s *scene) goesWrong() {
	s.t.Helper()
	h := s.house
	incident := do[*goodshipv1.Incident](h, h.backend(), &goodshipv1.DeclareIncidentRequest{Incident: &goodshipv1.Incident{
		WhatHappened: "Playback skipped", FromTime: timestamppb.Now(), Credit: euros(1), SettleByTime: timestamppb.New(time.Now().AddDate(0, 0, 30)),
		Text: "{title} skipped. Sorry: {credit}. {nothing_to_do} {contact}",
	}})
	s.incident = incident.Id
	do[*goodshipv1.AddAffectedCustomersResponse](h, h.backend(), &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: s.incident, Customers: []*goodshipv1.AffectedCustomer{
		{CustomerId: s.person, Attributes: map[string]string{"title": s.words["attribute"]}},
		{CustomerId: "lou", Attributes: map[string]string{"title": "The voyage"}},
	}})
	preview := do[*goodshipv1.PreviewApologyResponse](h, h.backend(), &goodshipv1.PreviewApologyRequest{IncidentId: s.incident})
	do[*goodshipv1.Incident](h, h.backend(), &goodshipv1.SendApologyRequest{IncidentId: s.incident, PreviewToken: preview.PreviewToken})
	s.until("the apologies", func() bool {
		return do[*goodshipv1.Incident](h, h.backend(), &goodshipv1.GetIncidentRequest{IncidentId: s.incident}).Progress.Written == 2
	})
	for _, a := range do[*goodshipv1.ListApologiesResponse](h, h.backend(), &goodshipv1.ListApologiesRequest{IncidentId: s.incident}).Apologies {
		if a.CustomerId == s.person {
			s.conversations = append(s.conversations, a.ConversationId)
			s.credits = append(s.credits, a.CreditId)
		}
	}
}
