package servertest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/servertest"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestACustomerWritesAndAnAgentFindsIt(t *testing.T) {
	clock := faketime.New()
	s := servertest.New(t, servertest.WithClock(clock))

	directory := goodshipv1.NewDirectoryServiceClient(s.Conn(""))
	if _, err := directory.UpsertAgent(t.Context(), &goodshipv1.UpsertAgentRequest{AgentId: "jo", Agent: &goodshipv1.Agent{DisplayName: "Jo"}}); err != nil {
		t.Fatal(err)
	}
	customer := goodshipv1.NewConversationServiceClient(s.Conn("customer/ada"))
	c, err := customer.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.GetCreateTime().AsTime(); got.Sub(clock.Now()) < 0 || got.Sub(clock.Now()) > time.Second {
		t.Errorf("made at %v by a clock that stands at %v", got, clock.Now())
	}
	r := s.Do("agent/jo", "GET", "/v1/conversations?state=STATE_WAITING", "")
	if r.Code != http.StatusOK || !strings.Contains(r.Body, c.GetId()) {
		t.Errorf("HTTP %d %s", r.Code, r.Body)
	}
	r = s.Do("agent/jo", "GET", "/v1/conversations/"+c.GetId(), "")
	if r.Header.Get("ETag") == "" {
		t.Errorf("no ETag: HTTP %d %s", r.Code, r.Body)
	}
	r = s.Do("agent/jo", "PATCH", "/v1/conversations/"+c.GetId(), `{"subject":"Ahoy"}`, "If-Match", `"stale"`)
	if r.Code != http.StatusPreconditionFailed || !strings.Contains(r.Body, "ETAG_MISMATCH") {
		t.Errorf("a stale etag: HTTP %d %s", r.Code, r.Body)
	}
}

func TestServersShareNothing(t *testing.T) {
	a, b := servertest.New(t), servertest.New(t)
	if a.Key == b.Key || a.Workspace == b.Workspace {
		t.Error("two servers have one key or workspace")
	}
	b.Key = a.Key
	if r := b.Do("", "GET", "/v1/workspace", ""); r.Code != http.StatusUnauthorized {
		t.Errorf("a key of another server: HTTP %d %s", r.Code, r.Body)
	}
}

func TestTheOperatorComesOverTheSocket(t *testing.T) {
	s := servertest.New(t)
	operator := s.NewWorkspace().Operator()
	made, err := goodshipv1.NewAdminServiceClient(operator).CreateApiKey(t.Context(), &goodshipv1.CreateApiKeyRequest{DisplayName: "Spare"})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.As(made.GetSecret()).Do("", "GET", "/v1/workspace", ""); r.Code != http.StatusOK || strings.Contains(r.Body, s.Workspace) {
		t.Errorf("the key is of another workspace: HTTP %d %s", r.Code, r.Body)
	}
	check, err := goodshipv1.NewOperatorServiceClient(operator).CheckStore(t.Context(), &goodshipv1.CheckStoreRequest{})
	if err != nil || check.GetWorkspaceCount() != 2 || check.GetProblemCount() != 0 {
		t.Errorf("the store: %v, %v", check, err)
	}
}

func TestCallsComeWithAnyCredential(t *testing.T) {
	s := servertest.New(t)
	made, err := goodshipv1.NewAdminServiceClient(s.Conn("")).CreateToken(t.Context(), &goodshipv1.CreateTokenRequest{CustomerId: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	ada := s.As(made.GetToken())
	c, err := goodshipv1.NewConversationServiceClient(ada.Conn("")).CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		t.Fatal(err)
	}
	if r := ada.Do("", "GET", "/v1/conversations/"+c.GetId(), ""); r.Code != http.StatusOK {
		t.Errorf("ada, by her token: HTTP %d %s", r.Code, r.Body)
	}
	if r := s.Do("customer/ada", "GET", "/v1/conversations/"+c.GetId(), ""); r.Code != http.StatusOK {
		t.Errorf("the key goes on as it was: HTTP %d %s", r.Code, r.Body)
	}
	nobody := s.As("")
	if r := nobody.Do("", "GET", "/v1/conversations", ""); r.Code != http.StatusUnauthorized || !strings.Contains(r.Body, "CREDENTIAL_MISSING") {
		t.Errorf("nobody: HTTP %d %s", r.Code, r.Body)
	}
	if _, err := goodshipv1.NewConversationServiceClient(nobody.Conn("")).ListConversations(t.Context(), &goodshipv1.ListConversationsRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}
}

// No test runs into the rates of a server that it did not set.
func TestTestsMayHurry(t *testing.T) {
	s := servertest.New(t)
	for range 500 {
		if r := s.Do("customer/ada", "GET", "/v1/conversations", ""); r.Code != http.StatusOK {
			t.Fatalf("HTTP %d %s", r.Code, r.Body)
		}
	}
	limits := rpc.DefaultLimits()
	limits.RatePerCaller = 0.001
	slow := servertest.New(t, servertest.WithConfig(func(c *rpc.Config) { c.Limits = limits }))
	if r := slow.Do("customer/ada", "GET", "/v1/conversations", ""); r.Code != http.StatusOK {
		t.Errorf("the first call: HTTP %d %s", r.Code, r.Body)
	}
	if r := slow.Do("customer/ada", "GET", "/v1/conversations", ""); r.Code != http.StatusTooManyRequests {
		t.Errorf("the second call: HTTP %d %s", r.Code, r.Body)
	}
}
