package main

import (
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func newClient(t *testing.T) *client.Client {
	t.Helper()
	s := servertest.New(t)
	c, err := client.New(s.GRPC, client.WithToken(s.Key), client.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What is set up stays as it is: its own origin is added once, beside others, and an agent who is known is left alone.
func TestPreparingOnlyAdds(t *testing.T) {
	c, told := newClient(t), newOutput()
	_, err := c.UpdateWorkspace(t.Context(), &goodshipv1.UpdateWorkspaceRequest{
		Workspace:  &goodshipv1.Workspace{AllowedOrigins: []string{"https://app.example.com"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"allowed_origins"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := prepare(t.Context(), c, "http://localhost:8000", log.New(told, "", 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UpsertAgent(t.Context(), &goodshipv1.UpsertAgentRequest{AgentId: agent, Agent: &goodshipv1.Agent{DisplayName: "The captain"}}); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.GetWorkspace(t.Context(), &goodshipv1.GetWorkspaceRequest{})
	if want := []string{"https://app.example.com", "http://localhost:8000"}; err != nil || !slices.Equal(w.GetAllowedOrigins(), want) {
		t.Errorf("got %q, %v, want %q", w.GetAllowedOrigins(), err, want)
	}
	known, err := c.GetAgent(t.Context(), &goodshipv1.GetAgentRequest{AgentId: agent})
	if err != nil || known.GetDisplayName() != "The captain" {
		t.Errorf("got %v, %v", known, err)
	}
	if got := strings.Count(told.String(), "\n"); got != 2 {
		t.Errorf("it told of %d changes, want 2:\n%s", got, told)
	}
}

// Tokens are for the page alone: not for other sites, nor for a stranger's name of this machine.
func TestTokensAreForThePage(t *testing.T) {
	p := newProduct(newClient(t), "localhost:8000", "http://127.0.0.1:8080", log.New(newOutput(), "", 0))
	for _, c := range []struct {
		host, site string
		want       int
	}{
		{"localhost:8000", "same-origin", http.StatusOK},
		{"localhost:8000", "cross-site", http.StatusForbidden},
		{"localhost:8000", "same-site", http.StatusForbidden},
		{"rebound.example.com:8000", "same-origin", http.StatusMisdirectedRequest},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/token?as=customer", http.NoBody)
		r.Host = c.host
		r.Header.Set("Sec-Fetch-Site", c.site)
		reply := httptest.NewRecorder()
		p.ServeHTTP(reply, r)
		if token := strings.Contains(reply.Body.String(), "gtk_"); reply.Code != c.want || token != (c.want == http.StatusOK) {
			t.Errorf("%+v: got %d %s", c, reply.Code, reply.Body)
		}
	}
}

// Without a key it says where to get one, and does nothing.
func TestWithoutAKey(t *testing.T) {
	err := run(t.Context(), "127.0.0.1:9090", "http://127.0.0.1:8080", "0", "", log.Default())
	if err == nil || !strings.Contains(err.Error(), "export GOODSHIP=… KEY=…") {
		t.Errorf("got %v", err)
	}
}
