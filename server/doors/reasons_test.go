package doors_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// refusal is how somebody reaches a reason of errors.
type refusal struct {
	want string
	http int
	// metadata are the names of what is told beside the reason.
	metadata []string
	// of makes what is refused, to whom.
	of func(p *product) (credential, proto.Message)
}

// refusals are the reasons of what makes good.
var refusals = map[goodshipv1.ErrorReason]refusal{
	goodshipv1.ErrorReason_ERROR_REASON_CREDIT_NOT_FOUND: {credit.absent, http.StatusNotFound, nil, func(p *product) (credential, proto.Message) {
		return p.agent(ada), &goodshipv1.GetCreditRequest{CreditId: credit.missing(p)}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_INCIDENT_NOT_FOUND: {"NotFound INCIDENT_NOT_FOUND", http.StatusNotFound, nil, func(p *product) (credential, proto.Message) {
		return p.agent(ada), &goodshipv1.GetIncidentRequest{IncidentId: incident().missing(p)}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_WEBHOOK_ENDPOINT_NOT_FOUND: {endpoint.absent, http.StatusNotFound, nil, func(p *product) (credential, proto.Message) {
		return p.backend(), &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: endpoint.missing(p)}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_ERASURE_NOT_FOUND: {erasure.absent, http.StatusNotFound, nil, func(p *product) (credential, proto.Message) {
		return p.backend(), &goodshipv1.GetErasureRequest{ErasureId: erasure.missing(p)}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_ABOVE_ALLOWANCE: {"PermissionDenied ABOVE_ALLOWANCE", http.StatusForbidden, []string{"limit", "remaining"}, func(p *product) (credential, proto.Message) {
		return p.agent(ada), grant(owned(p, p.cast(caller{}, false)).id, euros(1001))
	}},
	goodshipv1.ErrorReason_ERROR_REASON_CURRENCY_MISMATCH: {"FailedPrecondition CURRENCY_MISMATCH", http.StatusBadRequest, []string{"currency_code"}, func(p *product) (credential, proto.Message) {
		other := &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "USD", Units: 1}}}
		return p.agent(ada), grant(owned(p, p.cast(caller{}, false)).id, other)
	}},
	goodshipv1.ErrorReason_ERROR_REASON_BILL_IS_FREE: {"FailedPrecondition BILL_IS_FREE", http.StatusBadRequest, []string{"remaining"}, func(p *product) (credential, proto.Message) {
		id := owned(p, cast{customer: p.customer(lou), agent: p.agent(ada)}).id
		p.do(p.agent(ada), grant(id, points(9_999)))
		return p.agent(ada), grant(id, points(2))
	}},
	goodshipv1.ErrorReason_ERROR_REASON_CREDIT_NOT_PENDING: {"FailedPrecondition CREDIT_NOT_PENDING", http.StatusBadRequest, []string{"state"}, func(p *product) (credential, proto.Message) {
		req := &goodshipv1.ReverseCreditRequest{CreditId: p.granted(p.cast(caller{}, false)).id, Reason: "Twice"}
		p.do(p.agent(ada), req)
		return p.agent(ada), req
	}},
	goodshipv1.ErrorReason_ERROR_REASON_PREVIEW_CHANGED: {"Aborted PREVIEW_CHANGED", http.StatusPreconditionFailed, nil, func(p *product) (credential, proto.Message) {
		o := incident(affect, preview, affect).made(p, row{}, caller{}, false)
		return p.agent(lea), &goodshipv1.SendApologyRequest{IncidentId: o.id, PreviewToken: o.token}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_ABOVE_INCIDENT_CEILING: {"PermissionDenied ABOVE_INCIDENT_CEILING", http.StatusForbidden, []string{"ceiling", "limit", "total"}, func(p *product) (credential, proto.Message) {
		i := outage(p.name, p.clock.Now())
		i.Credit = euros(1001)
		o := object{id: p.do(p.agent(lea), &goodshipv1.DeclareIncidentRequest{Incident: i}).(*goodshipv1.Incident).Id}
		affect(p, &o)
		return p.agent(lea), &goodshipv1.PreviewApologyRequest{IncidentId: o.id}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_APOLOGY_SENT: {"FailedPrecondition APOLOGY_SENT", http.StatusBadRequest, []string{"fields"}, func(p *product) (credential, proto.Message) {
		o := incident(affect, preview, send).made(p, row{}, caller{}, false)
		return p.agent(lea), &goodshipv1.UpdateIncidentRequest{IncidentId: o.id, Incident: &goodshipv1.IncidentUpdate{Text: "Aye", WhatWeDid: "More"}, UpdateMask: mask("text", "what_we_did")}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_APOLOGY_STATE: {"FailedPrecondition APOLOGY_STATE", http.StatusBadRequest, []string{"state"}, func(p *product) (credential, proto.Message) {
		return p.agent(lea), &goodshipv1.PauseApologyRequest{IncidentId: p.declared()}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_NOBODY_AFFECTED: {"FailedPrecondition NOBODY_AFFECTED", http.StatusBadRequest, nil, func(p *product) (credential, proto.Message) {
		return p.agent(lea), &goodshipv1.PreviewApologyRequest{IncidentId: p.declared()}
	}},
	goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_ON_HOLD: {"FailedPrecondition CONVERSATION_ON_HOLD", http.StatusBadRequest, []string{"conversation_id"}, func(p *product) (credential, proto.Message) {
		o := waiting(p, p.cast(caller{}, false))
		p.do(p.backend(), &goodshipv1.UpdateConversationRequest{ConversationId: o.id, Conversation: &goodshipv1.ConversationUpdate{Hold: true}, UpdateMask: mask("hold")})
		return p.backend(), &goodshipv1.EraseCustomerRequest{CustomerId: kim}
	}},
}

// sentences begin with a capital letter and end with a full stop, and there are two, or a colon behind which is what to do.
var sentences = regexp.MustCompile(`^[A-Z][^%]*([.:] [A-Za-z0-9][^%]*)+\.$`)

// TestReasonsAreReached reaches every reason of what makes good, over gRPC and REST, and reads what it says.
func TestReasonsAreReached(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for reason := goodshipv1.ErrorReason_ERROR_REASON_CREDIT_NOT_FOUND; reason <= goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_ON_HOLD; reason++ {
		isNew := reason <= goodshipv1.ErrorReason_ERROR_REASON_ERASURE_NOT_FOUND || reason >= goodshipv1.ErrorReason_ERROR_REASON_ABOVE_ALLOWANCE
		if _, there := goodshipv1.ErrorReason_name[int32(reason)]; there && isNew && refusals[reason].of == nil {
			t.Errorf("nobody reaches %s", reason)
		}
	}
	for reason, r := range refusals {
		p := newProduct(t, h, "home")
		c, req := r.of(p)
		for transport, a := range p.ask(caller{credential: c}, req) {
			p.expect(transport, a, r.want)
			if !sentences.MatchString(a.status.GetMessage()) {
				t.Errorf("%s over %s reads %q", reason, transport, a.status.GetMessage())
			}
			if got := slices.Sorted(maps.Keys(infoOf(a).GetMetadata())); !slices.Equal(got, r.metadata) {
				t.Errorf("%s over %s tells %v, want %v", reason, transport, infoOf(a).GetMetadata(), r.metadata)
			}
		}
		if got := p.whole(c, req); !strings.HasPrefix(got, strconv.Itoa(r.http)+" ") {
			t.Errorf("%s: got HTTP %s, want %d", reason, got, r.http)
		}
	}
}

// infoOf returns what an error tells of its reason.
func infoOf(a answer) *errdetails.ErrorInfo {
	for _, d := range a.status.GetDetails() {
		info := &errdetails.ErrorInfo{}
		if d.MessageIs(info) && d.UnmarshalTo(info) == nil {
			return info
		}
	}
	return nil
}
