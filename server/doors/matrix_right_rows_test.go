package doors_test

import (
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const onlyOwn = "PermissionDenied CALLER_NOT_ALLOWED"

// declarers may declare incidents and say sorry.
var declarers = kinds{backends, leaders}

// rightRows are the rows of what makes good.
var rightRows = map[string]row{
	// CreditService

	"GrantCredit": {callers: staff, of: conversation, in: owned, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return grant(o.id, euros(5))
	}},
	"GetCredit":   {callers: everyone, of: credit, call: func(_ caller, o object) proto.Message { return &goodshipv1.GetCreditRequest{CreditId: o.id} }},
	"ListCredits": {callers: everyone, call: func(caller, object) proto.Message { return &goodshipv1.ListCreditsRequest{PageSize: 5} }},
	"ListCredits/conversation": {callers: everyone, of: conversation, in: owned, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ListCreditsRequest{ConversationId: o.id}
	}},
	"SettleCredits": {callers: onlyKeys, scope: billing, of: credit, item: settled, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{
			{CreditId: o.id, Outcome: &goodshipv1.Settlement_BillingReference{BillingReference: "bill-1"}},
		}}
	}},
	"SettleCredits/refused": {callers: onlyKeys, scope: billing, of: credit, item: settled, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{
			{CreditId: o.id, Outcome: &goodshipv1.Settlement_Refusal{Refusal: "No bill"}},
		}}
	}},
	"ReverseCredit": {callers: staff, of: credit, others: outcomes{agents: notAuthor}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ReverseCreditRequest{CreditId: o.id, Reason: "Granted twice"}
	}},
	"GetAllowance": {callers: ours, of: agent, others: outcomes{agents: onlyOwn}, absent: outcomes{agents: onlyOwn},
		call: func(_ caller, o object) proto.Message { return &goodshipv1.GetAllowanceRequest{AgentId: o.id} }},
	"GetLedger": {callers: declarers, of: debtor, call: func(_ caller, o object) proto.Message { return &goodshipv1.GetLedgerRequest{CustomerId: o.id} }},

	// IncidentService

	"DeclareIncident": {callers: declarers, scope: incidents, call: func(caller, object) proto.Message {
		return &goodshipv1.DeclareIncidentRequest{Incident: outage("home", faketime.New().Now())}
	}},
	"GetIncident":   {callers: ours, of: incident(), call: func(_ caller, o object) proto.Message { return &goodshipv1.GetIncidentRequest{IncidentId: o.id} }},
	"ListIncidents": {callers: ours, call: func(caller, object) proto.Message { return &goodshipv1.ListIncidentsRequest{PageSize: 5} }},
	"UpdateIncident": {callers: declarers, scope: incidents, of: incident(), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.UpdateIncidentRequest{
			IncidentId: o.id, Incident: &goodshipv1.IncidentUpdate{WhatWeDid: "inner and more"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"what_we_did"}},
		}
	}},
	"AddAffectedCustomers": {callers: declarers, scope: incidents, of: incident(), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.AddAffectedCustomersRequest{IncidentId: o.id, Customers: passengers(kim)}
	}},
	"BatchAddAffectedCustomers": {callers: declarers, scope: incidents, of: incident(), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: o.id, Customers: passengers(kim)}
	}},
	"PreviewApology": {callers: declarers, scope: incidents, of: incident(affect), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.PreviewApologyRequest{IncidentId: o.id}
	}},
	"SendApology": {callers: declarers, scope: incidents, of: incident(affect, preview), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.SendApologyRequest{IncidentId: o.id, PreviewToken: orToken(o.token)}
	}},
	"PauseApology": {callers: declarers, scope: incidents, of: incident(affect, preview, send), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.PauseApologyRequest{IncidentId: o.id}
	}},
	"ResumeApology": {callers: declarers, scope: incidents, of: incident(affect, preview, send, hold), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ResumeApologyRequest{IncidentId: o.id}
	}},
	"ListApologies": {callers: ours, of: incident(affect), call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ListApologiesRequest{IncidentId: o.id}
	}},

	// InsightService

	"GetRecoveryReport": {callers: declarers, call: func(caller, object) proto.Message { return &goodshipv1.GetRecoveryReportRequest{} }},

	// DirectoryService: privacy

	"ExportCustomer": {callers: onlyKeys, scope: privacy, of: debtor, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ExportCustomerRequest{CustomerId: o.id}
	}},
	"EraseCustomer": {callers: onlyKeys, scope: privacy, of: debtor, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.EraseCustomerRequest{CustomerId: o.id}
	}},
	"GetErasure": {callers: onlyKeys, scope: privacy, of: erasure, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.GetErasureRequest{ErasureId: o.id}
	}},

	// AdminService: webhooks and retention

	"CreateWebhookEndpoint": {callers: keepers, scope: admin, call: func(caller, object) proto.Message {
		return &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: hook("https://hooks.example.com/new")}
	}, after: func(p *product, a answer) {
		p.t.Helper()
		p.do(p.backend(), &goodshipv1.DeleteWebhookEndpointRequest{WebhookEndpointId: a.reply.(*goodshipv1.CreateWebhookEndpointResponse).WebhookEndpoint.Id})
	}},
	"GetWebhookEndpoint": {callers: keepers, scope: admin, of: endpoint, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: o.id}
	}},
	"ListWebhookEndpoints": {callers: keepers, scope: admin, call: func(caller, object) proto.Message { return &goodshipv1.ListWebhookEndpointsRequest{} }},
	"UpdateWebhookEndpoint": {callers: keepers, scope: admin, of: endpoint, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.UpdateWebhookEndpointRequest{
			WebhookEndpointId: o.id, WebhookEndpoint: &goodshipv1.WebhookEndpoint{Description: "For the shop"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"description"}},
		}
	}},
	"DeleteWebhookEndpoint": {callers: keepers, scope: admin, of: newEndpoint, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.DeleteWebhookEndpointRequest{WebhookEndpointId: o.id}
	}},
	"RotateWebhookSecret": {callers: keepers, scope: admin, of: endpoint, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: o.id, ExpireAfter: durationpb.New(0)}
	}},
	"ListWebhookDeliveries": {callers: keepers, scope: admin, of: endpoint, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: o.id}
	}},
	"ReplayWebhook": {callers: keepers, scope: admin, of: endpoint, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: o.id, FromTime: timestamppb.New(faketime.New().Now())}
	}},
	"ListErasures": {callers: onlyKeys, scope: privacy, call: func(caller, object) proto.Message { return &goodshipv1.ListErasuresRequest{} }},
	"ListRemovals": {callers: keepers, scope: admin, call: func(caller, object) proto.Message { return &goodshipv1.ListRemovalsRequest{} }},
}

// settled returns why the one credit of a call was not settled, nil if it was.
func settled(reply proto.Message) *statusv1.Status {
	return reply.(*goodshipv1.SettleCreditsResponse).Results[0].GetError()
}

// orToken returns a token of a preview, or what is none.
func orToken(token string) string {
	if token == "" {
		return "none"
	}
	return token
}
