package rpc_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

func adminGet(t *testing.T, to *target, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", to.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := to.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealthAndReadiness(t *testing.T) {
	svc := &fake{}
	to := serve(t, svc, rpc.Config{})
	health := healthv1.NewHealthClient(to.conn)
	for _, c := range []struct {
		name  string
		ready error
		http  int
		body  string
		grpc  healthv1.HealthCheckResponse_ServingStatus
	}{
		{"ready", nil, 200, "ok", healthv1.HealthCheckResponse_SERVING},
		{"not ready", errors.New("the disk is full"), 503, "not ready: the disk is full", healthv1.HealthCheckResponse_NOT_SERVING},
		{"ready again", nil, 200, "ok", healthv1.HealthCheckResponse_SERVING},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc.ready = func() error { return c.ready }
			if code, body := adminGet(t, to, "/readyz"); code != c.http || strings.TrimSpace(body) != c.body {
				t.Errorf("readyz: %d %q", code, body)
			}
			if code, body := adminGet(t, to, "/healthz"); code != 200 || strings.TrimSpace(body) != "ok" {
				t.Errorf("healthz: %d %q", code, body)
			}
			if r, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil || r.GetStatus() != c.grpc {
				t.Errorf("gRPC health: %v, %v", r, err)
			}
		})
	}
	if _, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "nobody's"}); status.Code(err) != codes.NotFound {
		t.Errorf("health of an unknown service: %v", err)
	}
	if code, _ := adminGet(t, to, "/v1/conversations"); code != http.StatusNotFound {
		t.Errorf("the admin listener answers %d for the API", code)
	}
	if resp, _ := rest(t, to, "GET", "/healthz", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the REST listener answers %d for /healthz", resp.StatusCode)
	}
}

// grpcurl and its like find the services without a credential.
func TestReflectionListsTheServices(t *testing.T) {
	to := serve(t, &fake{}, rpc.Config{})
	stream, err := reflectionv1.NewServerReflectionClient(to.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(reply.String(), "goodship.v1.ConversationService") {
		t.Errorf("got %v", reply)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
