package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

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
// /readyz, whether it does its work now. Both answer 200, or 503 with the reason in a line. /metrics is for collectors. What
// comes as gRPC is for operators.
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
	if s.config.Metrics != nil {
		mux.Handle("GET /metrics", s.config.Metrics)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			s.operatorHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// operatorHTTP serves operators over HTTP/2. A backup takes as long as it takes.
func (s *Server) operatorHTTP(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
		s.config.Log.WarnContext(r.Context(), "a call of an operator has a deadline", "error", err)
	}
	s.opsGRPC.ServeHTTP(w, r)
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
