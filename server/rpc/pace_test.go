package rpc_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc/metadata"
)

// A backend that has shown its key makes as many calls on its connection as it likes. At the pace that is set here the test
// would take an hour.
func TestBackendsHaveNoPace(t *testing.T) {
	l := rpc.DefaultLimits()
	l.CallsPerConnection, l.RatePerWorkspace = 0.01, -1
	to := serve(t, &fake{}, rpc.Config{Limits: l})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminKey)
	for range 30 {
		if _, err := goodshipv1.NewConversationServiceClient(to.conn).ListConversations(ctx, &goodshipv1.ListConversationsRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		if code := list(ctx, t, to); code != http.StatusOK {
			t.Fatalf("HTTP %d", code)
		}
	}
}

// list asks REST for conversations as a backend, on the one connection that is kept.
func list(ctx context.Context, t *testing.T, to *target) int {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.url+"/v1/conversations", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := to.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}
