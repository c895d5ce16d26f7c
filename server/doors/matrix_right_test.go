package doors_test

import (
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What makes good: credits, incidents, webhooks and erasures, as objects of calls.

// euros is an amount.
func euros(n int64) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "EUR", Units: n}}}
}

// points are basis points of a bill.
func points(n int32) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_BasisPoints{BasisPoints: n}}
}

// mayGive lets the product's people grant what the tests do, and its incidents too.
func (p *product) mayGive() {
	p.t.Helper()
	most := &goodshipv1.Allowance{
		MoneyPerGrant: euros(1000).GetMoney(), MoneyPerDay: euros(1_000_000).GetMoney(), BasisPointsPerGrant: 10_000, BasisPointsPerDay: 1_000_000,
	}
	p.sets(&goodshipv1.Workspace{
		CurrencyCode: "EUR", Allowance: most, LeaderAllowance: most,
		IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(1000).GetMoney(), BasisPoints: 10_000},
		ContactPoints:   []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+34 900 000 000"}},
	}, "currency_code", "allowance", "leader_allowance", "incident_ceiling", "contact_points")
}

// sets changes settings of the product.
func (p *product) sets(w *goodshipv1.Workspace, paths ...string) {
	p.t.Helper()
	p.do(p.backend(), &goodshipv1.UpdateWorkspaceRequest{Workspace: w, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
}

// grant is a request to grant a credit in a conversation.
func grant(id string, amount *goodshipv1.CreditAmount) *goodshipv1.GrantCreditRequest {
	return &goodshipv1.GrantCreditRequest{ConversationId: id, Amount: amount, Reason: "For the trouble"}
}

// granted makes a credit in a new conversation.
func (p *product) granted(c cast) object {
	p.t.Helper()
	o := owned(p, c)
	req := grant(o.id, euros(5))
	req.Reason = "For the trouble, " + p.name
	made := p.do(c.agent, req).(*goodshipv1.Credit)
	return object{id: made.Id, colleague: o.id}
}

// credit is one that was granted to the caller, if that is a customer, and by the caller, if that is an agent.
var credit = thing{
	made: func(p *product, _ row, c caller, another bool) object {
		p.t.Helper()
		return p.granted(p.cast(c, another))
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.granted(p.cast(caller{}, false))
	},
	missing: func(*product) string { return "cred_" + strings.Repeat("0", 26) },
	absent:  "NotFound CREDIT_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		return p.read(p.backend(), &goodshipv1.GetCreditRequest{CreditId: o.id})
	},
}

// debtor is a customer to whom something is owed.
var debtor = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return p.newDebtor()
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.newDebtor()
	},
	missing: customer.missing, absent: customer.absent,
	look: func(p *product, o object) string {
		p.t.Helper()
		return customer.look(p, o) + p.read(p.backend(), &goodshipv1.GetLedgerRequest{CustomerId: o.id}) +
			p.read(p.backend(), &goodshipv1.ListConversationsRequest{CustomerId: o.id})
	},
}

func (p *product) newDebtor() object {
	p.t.Helper()
	o := p.newCustomer()
	p.granted(cast{customer: p.customer(o.id), agent: p.agent(ada)})
	return o
}

// apology is the text of an incident that can be sent.
const apology = "We are sorry. {credit} is yours until {settle_by}. {nothing_to_do} Call {contact}, {seat}."

// outage is what went wrong for many, at a time.
func outage(name string, now time.Time) *goodshipv1.Incident {
	return &goodshipv1.Incident{
		WhatHappened: "inner outage of " + name, WhatWeDid: "inner repair", FromTime: timestamppb.New(now.Add(-time.Hour)),
		Credit: euros(2), SettleByTime: timestamppb.New(now.AddDate(0, 1, 0)), Text: apology,
	}
}

// declared declares an incident.
func (p *product) declared() string {
	p.t.Helper()
	return p.do(p.backend(), &goodshipv1.DeclareIncidentRequest{Incident: outage(p.name, p.clock.Now())}).(*goodshipv1.Incident).Id
}

// incident is one that steps brought to where a call is about it. It is the product's: nobody has one of their own.
func incident(steps ...func(p *product, o *object)) thing {
	made := func(p *product) object {
		p.t.Helper()
		o := object{id: p.declared()}
		for _, step := range steps {
			step(p, &o)
		}
		return o
	}
	return thing{
		made:    func(p *product, _ row, _ caller, _ bool) object { return made(p) },
		abroad:  func(p *product, _ row) object { return made(p) },
		missing: func(*product) string { return "inc_" + strings.Repeat("0", 26) },
		absent:  "NotFound INCIDENT_NOT_FOUND",
		look: func(p *product, o object) string {
			p.t.Helper()
			return p.incident(o.id)
		},
	}
}

// incident returns all that can be read of an incident.
func (p *product) incident(id string) string {
	p.t.Helper()
	return p.read(p.backend(), &goodshipv1.GetIncidentRequest{IncidentId: id}) + p.read(p.backend(), &goodshipv1.ListApologiesRequest{IncidentId: id, PageSize: 100})
}

// passengers are who is affected.
func passengers(ids ...string) []*goodshipv1.AffectedCustomer {
	var all []*goodshipv1.AffectedCustomer
	for _, id := range ids {
		all = append(all, &goodshipv1.AffectedCustomer{CustomerId: id, Attributes: map[string]string{"seat": "12A"}})
	}
	return all
}

func affect(p *product, o *object) {
	p.t.Helper()
	p.do(p.backend(), &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: o.id, Customers: passengers(p.newCustomer().id)})
}

func preview(p *product, o *object) {
	p.t.Helper()
	o.token = p.do(p.backend(), &goodshipv1.PreviewApologyRequest{IncidentId: o.id}).(*goodshipv1.PreviewApologyResponse).PreviewToken
}

func send(p *product, o *object) {
	p.t.Helper()
	p.do(p.backend(), &goodshipv1.SendApologyRequest{IncidentId: o.id, PreviewToken: o.token})
}

func hold(p *product, o *object) {
	p.t.Helper()
	p.do(p.backend(), &goodshipv1.PauseApologyRequest{IncidentId: o.id})
}

// lull lets the house write its last apology for as long as the clock stands: who writes them rests after each.
func (p *product) lull() {
	p.t.Helper()
	told := p.open(p.t.Context(), p.agent(ada), desk(""))[0]
	o := object{id: p.declared()}
	for _, step := range []func(*product, *object){affect, preview, send} {
		step(p, &o)
	}
	for told.tells().GetEvent().GetCreditGranted() == nil {
	}
}

// sorry sends an apology to customers, and returns the incident when it is written to all.
func (p *product) sorry(to ...*goodshipv1.AffectedCustomer) string {
	p.t.Helper()
	o := object{id: p.declared()}
	p.do(p.backend(), &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: o.id, Customers: to})
	p.sent(&o)
	return o.id
}

// sent sends the apology of an incident off, and returns when it is written to all. Who writes them rests by the clock.
func (p *product) sent(o *object) {
	p.t.Helper()
	preview(p, o)
	send(p, o)
	for p.do(p.backend(), &goodshipv1.GetIncidentRequest{IncidentId: o.id}).(*goodshipv1.Incident).State != goodshipv1.IncidentState_INCIDENT_STATE_SENT {
		p.clock.Jump(time.Millisecond)
	}
}

// endpoint is where events would be sent, if it were not disabled. There is one for all calls that leave it there.
var endpoint = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return p.endpoint()
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.endpoint()
	},
	missing: func(*product) string { return "hook_" + strings.Repeat("0", 26) },
	absent:  "NotFound WEBHOOK_ENDPOINT_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		return p.endpointText(o.id)
	},
}

// newEndpoint is an endpoint that no other call is about.
var newEndpoint = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return p.newEndpoint()
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.newEndpoint()
	},
	missing: endpoint.missing, absent: endpoint.absent, look: endpoint.look,
}

// hook is an endpoint that nothing is sent to.
func hook(uri string) *goodshipv1.WebhookEndpoint {
	return &goodshipv1.WebhookEndpoint{Uri: uri, State: goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED}
}

func (p *product) newEndpoint() object {
	p.t.Helper()
	made := p.do(p.backend(), &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: hook("https://hooks.example.com/" + p.name)})
	return object{id: made.(*goodshipv1.CreateWebhookEndpointResponse).WebhookEndpoint.Id}
}

func (p *product) endpoint() object {
	p.t.Helper()
	if there := p.endpoints(); len(there) > 0 {
		return object{id: there[0].Id}
	}
	return p.newEndpoint()
}

func (p *product) endpoints() []*goodshipv1.WebhookEndpoint {
	p.t.Helper()
	return p.do(p.backend(), &goodshipv1.ListWebhookEndpointsRequest{}).(*goodshipv1.ListWebhookEndpointsResponse).WebhookEndpoints
}

// endpointText returns how an endpoint reads, without what follows from what happens elsewhere.
func (p *product) endpointText(id string) string {
	p.t.Helper()
	w := p.do(p.backend(), &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: id}).(*goodshipv1.WebhookEndpoint)
	w.BehindCount = 0
	return answer{reply: w}.text()
}

// erasure is what is left of a customer.
var erasure = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return p.erased()
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.erased()
	},
	missing: func(*product) string { return "era_" + strings.Repeat("0", 26) },
	absent:  "NotFound ERASURE_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		return p.read(p.backend(), &goodshipv1.GetErasureRequest{ErasureId: o.id})
	},
}

func (p *product) erased() object {
	p.t.Helper()
	return object{id: p.do(p.backend(), &goodshipv1.EraseCustomerRequest{CustomerId: p.newDebtor().id}).(*goodshipv1.Erasure).Id}
}

// amends returns all that the product has made good, and its webhooks.
func (p *product) amends() string {
	p.t.Helper()
	var b strings.Builder
	b.WriteString(p.read(p.backend(), &goodshipv1.ListCreditsRequest{PageSize: 1000}))
	for _, i := range p.do(p.backend(), &goodshipv1.ListIncidentsRequest{PageSize: 100}).(*goodshipv1.ListIncidentsResponse).Incidents {
		b.WriteString(p.incident(i.Id))
	}
	for _, w := range p.endpoints() {
		b.WriteString(p.endpointText(w.Id))
		b.WriteString(p.read(p.backend(), &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: w.Id}))
	}
	for _, id := range []string{kim, lou} {
		b.WriteString(p.read(p.backend(), &goodshipv1.GetLedgerRequest{CustomerId: id, PageSize: 100}))
	}
	for _, req := range []proto.Message{
		&goodshipv1.GetRecoveryReportRequest{}, &goodshipv1.ListRemovalsRequest{}, &goodshipv1.GetAllowanceRequest{AgentId: ada}, &goodshipv1.GetAllowanceRequest{AgentId: lea},
	} {
		b.WriteString(p.read(p.backend(), req))
	}
	return b.String()
}
