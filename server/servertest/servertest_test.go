package servertest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestACustomerWritesAndAnAgentFindsIt(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := servertest.New(t, servertest.WithClock(func() time.Time { return now }))

	directory := goodshipv1.NewDirectoryServiceClient(s.Conn(""))
	if _, err := directory.UpsertAgent(t.Context(), &goodshipv1.UpsertAgentRequest{AgentId: "jo", Agent: &goodshipv1.Agent{DisplayName: "Jo"}}); err != nil {
		t.Fatal(err)
	}
	customer := goodshipv1.NewConversationServiceClient(s.Conn("customer/ada"))
	c, err := customer.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.GetCreateTime().AsTime(); got.Sub(now) < 0 || got.Sub(now) > time.Second {
		t.Errorf("made at %v by a clock that stands at %v", got, now)
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
