package support_test

import (
	"context"
	"io"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc"
)

// Customers are added once, however often they are named, and those who come late get the same apology.
func TestAffectedCustomers(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares("Your {device}. " + plain)
	equal(t, "twice in one call", w.adds(id, affected(kim, "device", "a"), affected(kim, "device", "b")), "2 1 1")
	equal(t, "again", w.adds(id, affected(kim, "device", "b"), affected(lou)), "2 1 2")
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: id}, "InvalidArgument INVALID_REQUEST incident.text")
	equal(t, "with what was missing", w.adds(id, affected(lou, "device", "c")), "1 0 2")
	w.sendsOff(id)
	w.goOut()
	w.refuses(backend, adding(id, affected(person("customer/ida"))), "InvalidArgument INVALID_REQUEST customers[0].attributes")
	_, err := w.streams(w.by(backend), naming(id, affected(kim, "device", "e"), affected(lou, "device", "e")), naming("", affected("customer/ida")))
	equal(t, "refused after two that were taken", refusal(err), "InvalidArgument INVALID_REQUEST received_count=2 customers[0].attributes")
	equal(t, "late", w.adds(id, affected("customer/ida", "device", "d"), affected(kim, "device", "e")), "2 1 3")
	equal(t, "goes out again", w.progress(id), "SENDING 3: 1 2 0 0 0 0")
	w.goOut()
	equal(t, "to those too", w.progress(id), "SENT 3: 0 3 0 0 0 0")
	said := func(p person) string {
		a := w.apologyTo(id, p)
		return do[*goodshipv1.Message](w, ada, &goodshipv1.GetMessageRequest{ConversationId: a.ConversationId, Number: a.MessageNumber}).Text[:7]
	}
	equal(t, "to each their own", said(kim)+said(lou)+said("customer/ida"), "Your b.Your c.Your d.")
}

// Nobody is added whose credit would be late from the start; who is affected already may be named.
func TestNobodyIsAddedAfterTheSettlement(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id, declared := w.declares(plain), w.declares(plain)
	w.adds(id, affected(kim))
	w.sendsOff(id)
	w.clock.Jump(30*24*time.Hour - time.Second)
	equal(t, "in time", w.adds(id, affected(lou)), "1 1 2")
	w.clock.Jump(time.Second)
	w.refuses(backend, adding(id, affected(kim), affected("customer/ida")), "InvalidArgument INVALID_REQUEST customers[1].customer_id")
	equal(t, "affected already", w.adds(id, affected(kim)), "1 0 2")
	equal(t, "not sent off", w.adds(declared, affected("customer/ida")), "1 1 1")
}

// The ceiling counts who has the credit or is to have it, in the currency that was promised.
func TestTheCeilingOfLateOnes(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	w.updates(&goodshipv1.Workspace{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(10, 0).GetMoney()}}, "incident_ceiling")
	id := w.declares(plain)
	w.adds(id, affected(kim), affected(lou))
	w.sendsOff(id)
	w.erases(lou)
	w.goOut()
	equal(t, "one is skipped", w.progress(id), "SENT 2: 0 1 0 0 0 1")
	equal(t, "there is room for one", w.adds(id, affected("customer/ida")), "1 1 3")
	w.refuses(backend, adding(id, affected("customer/one")), "PermissionDenied ABOVE_INCIDENT_CEILING ceiling=10.00 EUR limit=money total=15.00 EUR")
	yen := &goodshipv1.IncidentCeiling{Money: &money.Money{CurrencyCode: "JPY", Units: 1000}}
	w.updates(&goodshipv1.Workspace{CurrencyCode: "JPY", IncidentCeiling: yen}, "currency_code", "incident_ceiling")
	w.refuses(backend, adding(id, affected("customer/one")), "PermissionDenied ABOVE_INCIDENT_CEILING ceiling=0.00 EUR limit=money total=15.00 EUR")
}

// The stream adds what the batch does, of one incident.
func TestAddAffectedCustomersByStream(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id, other := w.declares(plain), w.declares(plain)
	send := func(requests ...*goodshipv1.AddAffectedCustomersRequest) (*goodshipv1.AddAffectedCustomersResponse, string) {
		reply, err := w.streams(w.by(backend), requests...)
		return reply, refusal(err)
	}
	reply, err := send(naming(id, affected(kim)), naming("", affected(kim), affected(lou)), naming(id, affected(ada)))
	equal(t, "refusal", err, "")
	same(t, "sum", reply, &goodshipv1.AddAffectedCustomersResponse{ReceivedCount: 4, AddedCount: 3, AffectedCount: 3})
	_, err = send()
	equal(t, "nothing", err, "InvalidArgument INVALID_REQUEST incident_id")
	_, err = send(naming("", affected(kim)))
	equal(t, "of no incident", err, "InvalidArgument INVALID_REQUEST incident_id")
	_, err = send(naming(id, affected("customer/ida")), naming(other, affected(kim)))
	equal(t, "of two", err, "InvalidArgument INVALID_REQUEST incident_id")
	equal(t, "what came before is added", w.progress(id)+w.progress(other), "DECLARED 4: 4 0 0 0 0 0DECLARED 0: 0 0 0 0 0 0")
}

func naming(id string, customers ...*goodshipv1.AffectedCustomer) *goodshipv1.AddAffectedCustomersRequest {
	return &goodshipv1.AddAffectedCustomersRequest{IncidentId: id, Customers: customers}
}

// giving is a stream of requests.
type giving struct {
	grpc.ServerStream
	ctx      context.Context
	requests []*goodshipv1.AddAffectedCustomersRequest
	reply    *goodshipv1.AddAffectedCustomersResponse
}

// streams sends requests on a stream, and returns what became of it.
func (w *world) streams(ctx context.Context, requests ...*goodshipv1.AddAffectedCustomersRequest) (*goodshipv1.AddAffectedCustomersResponse, error) {
	in := &giving{ctx: ctx, requests: requests}
	err := w.AddAffectedCustomers(&grpc.GenericServerStream[goodshipv1.AddAffectedCustomersRequest, goodshipv1.AddAffectedCustomersResponse]{ServerStream: in})
	return in.reply, err
}

func (g *giving) Context() context.Context { return g.ctx }

func (g *giving) RecvMsg(m any) error {
	if len(g.requests) == 0 {
		return io.EOF
	}
	to, from := m.(*goodshipv1.AddAffectedCustomersRequest), g.requests[0]
	to.IncidentId, to.Customers, g.requests = from.IncidentId, from.Customers, g.requests[1:]
	return nil
}

func (g *giving) SendMsg(m any) error {
	g.reply = m.(*goodshipv1.AddAffectedCustomersResponse)
	return nil
}
