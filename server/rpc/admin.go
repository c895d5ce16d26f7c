package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// ready returns nil if calls are worth sending.
func (s *Server) ready() error {
	if s.calls.draining.Err() != nil {
		return errors.New("the server is stopping")
	}
	return s.svc.Ready()
}

// admin serves what operators' machines ask: /healthz, whether the process is alive and need not be restarted, and
// /readyz, whether it does its work now. Both answer 200, or 503 with the reason in a line.
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	return mux
}

// healthServer is gRPC's own health service. It says what ready says at the time of a Check; who watches learns of a
// change at the next Check, and of the end of the server.
type healthServer struct {
	*health.Server
	ready func() error
}

// Check says whether the server as a whole, the empty service, is ready.
func (h *healthServer) Check(ctx context.Context, req *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	state := healthv1.HealthCheckResponse_SERVING
	if h.ready() != nil {
		state = healthv1.HealthCheckResponse_NOT_SERVING
	}
	h.SetServingStatus("", state)
	return h.Server.Check(ctx, req)
}
