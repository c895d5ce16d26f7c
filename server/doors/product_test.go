package doors_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// house is a server with its doors.
type house struct {
	*servertest.Server
	clock *faketime.Clock
	http  *http.Client
	// doors are connections to the gRPC listeners that say nothing of who calls; conn is the public one.
	doors map[listener]*grpc.ClientConn
	conn  *grpc.ClientConn
}

func newHouse(t *testing.T, opts ...servertest.Option) *house {
	t.Helper()
	c := faketime.New()
	s := servertest.New(t, append([]servertest.Option{servertest.WithClock(c)}, opts...)...)
	h := &house{Server: s, clock: c, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	h.conn = dial(t, s.GRPC)
	h.doors = map[listener]*grpc.ClientConn{
		public: h.conn, socket: dial(t, s.Operator().Target()), adminTCP: dial(t, strings.TrimPrefix(s.Admin, "http://")),
	}
	t.Cleanup(h.http.CloseIdleConnections)
	return h
}

func dial(t *testing.T, target string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// The people of every product. What customers must not learn has `inner` in it, what is another customer's `lous`, and what
// is another product's `abroad`.
const (
	ada     = "ada-inner"
	ben     = "ben-inner"
	captain = "captain-inner"
	lea     = "lea-inner"
	jo      = "jo-inner" // disabled
	kim     = "kim"
	lou     = "lous"
)

// product is a workspace with people in it.
type product struct {
	*house
	t *testing.T
	// name stands in every text of the product, and in the ids of whom no other product has.
	name           string
	workspace, key string
	// page is a publishable key.
	page  string
	count *atomic.Int64
}

func newProduct(t *testing.T, h *house, name string) *product {
	t.Helper()
	s := h.NewWorkspace()
	return populate(t, h, name, s.Workspace, s.Key)
}

// populate makes a product of an empty workspace.
func populate(t *testing.T, h *house, name, workspace, key string) *product {
	t.Helper()
	p := &product{house: h, t: t, name: name, workspace: workspace, key: key, count: &atomic.Int64{}}
	for _, id := range []string{ada, ben, captain, jo} {
		p.employ(id, goodshipv1.Role_ROLE_AGENT)
	}
	p.employ(lea, goodshipv1.Role_ROLE_LEADER)
	p.knows(kim)
	p.knows(lou)
	p.page = p.newPage().ApiKey.PublishableKey
	p.mayGive()
	return p
}

func (p *product) employ(id string, role goodshipv1.Role) {
	p.t.Helper()
	p.do(p.backend(), &goodshipv1.UpsertAgentRequest{AgentId: id, Agent: &goodshipv1.Agent{DisplayName: "Mate of " + p.name, Role: role}})
}

func (p *product) knows(id string) {
	p.t.Helper()
	p.do(p.backend(), &goodshipv1.UpsertCustomerRequest{CustomerId: id, Customer: &goodshipv1.Customer{DisplayName: "Guest of " + p.name}})
}

// backend, agent and customer are the credentials that a key with every scope gives.
func (p *product) backend() credential           { return credential{token: p.key} }
func (p *product) agent(id string) credential    { return credential{p.key, "agent/" + id} }
func (p *product) customer(id string) credential { return credential{p.key, "customer/" + id} }

// wake makes the agents present.
func (p *product) wake() {
	p.t.Helper()
	for _, id := range []string{ada, ben, captain, lea} {
		p.do(p.agent(id), &goodshipv1.SetAvailabilityRequest{})
	}
}

// newKey returns a key with scopes, that never expires.
func (p *product) newKey(scopes ...goodshipv1.Scope) *goodshipv1.CreateApiKeyResponse {
	p.t.Helper()
	return p.do(p.backend(), &goodshipv1.CreateApiKeyRequest{DisplayName: p.name, Scopes: scopes}).(*goodshipv1.CreateApiKeyResponse)
}

// fresh returns a name that nothing else in the product has.
func (p *product) fresh(prefix string) string { return fmt.Sprintf("%s-%d", prefix, p.count.Add(1)) }

// do makes a call that must succeed.
func (p *product) do(c credential, req proto.Message) proto.Message {
	p.t.Helper()
	a := overGRPC(p.t.Context(), p.conn, c, req)
	if a.status != nil {
		p.t.Fatalf("%s for %q in %s: got %s: %s", named(req).name, c.actFor, p.name, a, a.status.GetMessage())
	}
	return a.reply
}

// read returns what a read shows, as JSON.
func (p *product) read(c credential, req proto.Message) string {
	p.t.Helper()
	return protojson.MarshalOptions{}.Format(withoutCursor(p.do(c, req)))
}

// image returns all that a backend and an agent can read of the product, but who is present.
func (p *product) image() string {
	p.t.Helper()
	var b strings.Builder
	b.WriteString(p.directory())
	b.WriteString(p.amends())
	list := &goodshipv1.ListConversationsRequest{PageSize: 100}
	for {
		page := p.do(p.backend(), list).(*goodshipv1.ListConversationsResponse)
		for _, c := range page.Conversations {
			b.WriteString(p.conversation(c.Id))
		}
		if list.PageToken = page.NextPageToken; list.PageToken == "" {
			return b.String()
		}
	}
}

// conversation returns all that can be read of a conversation.
func (p *product) conversation(id string) string {
	p.t.Helper()
	return p.read(p.backend(), &goodshipv1.GetConversationRequest{ConversationId: id}) +
		p.read(p.backend(), &goodshipv1.ListMessagesRequest{ConversationId: id, PageSize: 100}) +
		p.read(p.backend(), &goodshipv1.ListResolutionsRequest{ConversationId: id, PageSize: 100}) +
		p.read(p.backend(), &goodshipv1.ListCreditsRequest{ConversationId: id, PageSize: 100}) +
		p.read(p.agent(ada), &goodshipv1.ListNotesRequest{ConversationId: id, PageSize: 100})
}

// directory returns the settings, people and keys of the product.
func (p *product) directory() string {
	p.t.Helper()
	var b strings.Builder
	for _, a := range p.do(p.backend(), &goodshipv1.ListAgentsRequest{PageSize: 100}).(*goodshipv1.ListAgentsResponse).Agents {
		a.Present = false
		b.WriteString(protojson.MarshalOptions{}.Format(a))
	}
	for _, req := range []proto.Message{
		&goodshipv1.GetWorkspaceRequest{}, &goodshipv1.ListCustomersRequest{PageSize: 100}, &goodshipv1.ListApiKeysRequest{PageSize: 100},
		&goodshipv1.ListSigningKeysRequest{PageSize: 100},
	} {
		b.WriteString(p.read(p.backend(), req))
	}
	return b.String()
}
