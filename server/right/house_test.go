package right

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// house is a server as a product reaches it that goes on after the server failed.
type house struct {
	t *testing.T
	// as returns a context whose calls are somebody's: `customer/<id>`, `agent/<id>`, or the backend's if empty.
	as func(ctx context.Context, who string) context.Context
	// rest is where REST is, as in `127.0.0.1:12345`, and key the credential of all.
	rest, key string

	conns []*grpc.ClientConn
	turn  atomic.Uint32
}

// conn returns the connections in turn.
func (h *house) conn() *grpc.ClientConn { return h.conns[int(h.turn.Add(1))%len(h.conns)] }

func (h *house) conversations() goodshipv1.ConversationServiceClient {
	return goodshipv1.NewConversationServiceClient(h.conn())
}

func (h *house) messages() goodshipv1.MessageServiceClient {
	return goodshipv1.NewMessageServiceClient(h.conn())
}

func (h *house) credits() goodshipv1.CreditServiceClient {
	return goodshipv1.NewCreditServiceClient(h.conn())
}

func (h *house) incidents() goodshipv1.IncidentServiceClient {
	return goodshipv1.NewIncidentServiceClient(h.conn())
}

func (h *house) directory() goodshipv1.DirectoryServiceClient {
	return goodshipv1.NewDirectoryServiceClient(h.conn())
}

func (h *house) admin() goodshipv1.AdminServiceClient {
	return goodshipv1.NewAdminServiceClient(h.conn())
}

// ask repeats a call, which is to have the same request id each time, as a client does that does not know what happened, until the
// server says how it ended.
func ask[T any](h *house, who string, call func(ctx context.Context) (T, error)) (T, error) {
	for until := time.Now().Add(2 * patience); ; {
		once, cancel := context.WithTimeout(h.as(h.t.Context(), who), patience/3)
		got, err := call(once)
		cancel()
		if !unknown(err) || h.t.Context().Err() != nil || time.Now().After(until) {
			return got, err
		}
		h.rests()
	}
}

// must does what ask does, and fails the test if it is refused.
func must[T any](h *house, who string, call func(ctx context.Context) (T, error)) T {
	h.t.Helper()
	got, err := ask(h, who, call)
	if err != nil {
		h.t.Errorf("a call by %q ends with %v", who, err)
	}
	return got
}

// unknown reports whether an error leaves open what happened.
func unknown(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return false
}

// rests leaves a server that starts some time.
func (h *house) rests() {
	select {
	case <-h.t.Context().Done():
	case <-time.After(5 * time.Millisecond):
	}
}

// each runs something for each number below n, several at once.
func each(n int, do func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, 64) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	all.Wait()
}

// currency is that of all money.
const currency = "EUR"

// euros is an amount of money.
func euros(units int64) *money.Money { return &money.Money{CurrencyCode: currency, Units: units} }

// inMoney is a credit of money.
func inMoney(units int64) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: euros(units)}}
}

// agent grants credits, perDay a day at most.
const (
	agent  = "captain"
	perDay = 100_000
)

// furnish sets the workspace up: a currency and allowances, a ceiling for incidents, a way to reach a person, and an agent.
func (h *house) furnish() {
	h.t.Helper()
	must(h, "", func(ctx context.Context) (*goodshipv1.Workspace, error) {
		return h.admin().UpdateWorkspace(ctx, &goodshipv1.UpdateWorkspaceRequest{
			Workspace: &goodshipv1.Workspace{
				CurrencyCode: currency, TimeZone: noon(),
				ContactPoints:   []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+34 600 000 000"}},
				Allowance:       &goodshipv1.Allowance{MoneyPerGrant: euros(100), MoneyPerDay: euros(perDay)},
				IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(1_000_000)},
			},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"currency_code", "time_zone", "contact_points", "allowance", "incident_ceiling"}},
		})
	})
	h.employ(agent, nil)
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// employ makes an agent, with an allowance of their own if it is not nil.
func (h *house) employ(id string, allowance *goodshipv1.Allowance) {
	h.t.Helper()
	must(h, "", func(ctx context.Context) (*goodshipv1.Agent, error) {
		return h.directory().UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: id, Agent: &goodshipv1.Agent{DisplayName: id, Allowance: allowance}})
	})
}

// noon is a time zone in which it is between 12 and 13 o'clock, so that no day ends during a test.
func noon() string { return fmt.Sprintf("Etc/GMT%+d", time.Now().UTC().Hour()-12) }

// open opens a customer's conversation.
func (h *house) open(customer, requestID string) *goodshipv1.Conversation {
	h.t.Helper()
	return must(h, "customer/"+customer, func(ctx context.Context) (*goodshipv1.Conversation, error) {
		return h.conversations().CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: "The film stops.", RequestId: requestID})
	})
}

// host opens a customer's conversation, and has an agent claim it.
func (h *house) host(by, customer, requestID string) string {
	h.t.Helper()
	id := h.open(customer, requestID).GetId()
	must(h, "agent/"+by, func(ctx context.Context) (any, error) {
		return h.conversations().ClaimConversation(ctx, &goodshipv1.ClaimConversationRequest{ConversationId: id, RequestId: "claim"})
	})
	return id
}
