// Package servertest runs a whole Goodship server inside a test: real sockets on loopback, a real file in the test's
// temporary directory, every interceptor. It is for tests of ours and of programs that use Goodship.
//
//	func TestAhoy(t *testing.T) {
//		s := servertest.New(t)
//		customer := goodshipv1.NewConversationServiceClient(s.Conn("customer/ada"))
//		c, err := customer.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
//		…
//		reply := s.Do("agent/jo", "GET", "/v1/conversations", "")
//		…
//	}
//
// The server has one workspace, empty but for a key that may do everything: a call for a customer makes the customer, and
// agents are made with UpsertAgent. Everything ends with the test, which fails if the server does not end cleanly. What
// the server logs stands in the test's output.
package servertest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Server is a server that runs until the end of its test, seen from one workspace. Its methods are for that test's
// goroutine.
type Server struct {
	// GRPC and REST are where the API is reached, as in `127.0.0.1:41234` and `http://127.0.0.1:41235`; Admin is where
	// health and readiness are, as REST.
	GRPC, REST, Admin string
	// Workspace is the id of the workspace, and Key a key of it that has every scope.
	Workspace, Key string

	t    testing.TB
	svc  *support.Service
	http *http.Client
}

// Option changes how a server is made.
type Option func(*options)

type options struct {
	now func() time.Time
	log *slog.Logger
}

// WithClock gives the server its clock, which may be called from any goroutine; time.Now by default. Due times, presence
// and expiry follow it. The times that the store gives strictly increase all the same.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithLog gives the server its log; the test's output by default.
func WithLog(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// New starts a server. It fails the test at once if that does not work.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	o := options{now: time.Now, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, opt := range opts {
		opt(&o)
	}
	kept, err := bolt.Open(filepath.Join(t.TempDir(), "goodship.db"), bolt.Options{Now: o.now, Log: o.log})
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Errorf("servertest: closing the store: %v", err)
		}
	})
	s := &Server{t: t, svc: support.New(kept), http: &http.Client{Transport: &http.Transport{}}}
	s.serve(o.log)
	return s.NewWorkspace()
}

// NewWorkspace returns the same server with another workspace and its key, to test that workspaces share nothing.
func (s *Server) NewWorkspace() *Server {
	s.t.Helper()
	id, key, err := s.svc.CreateWorkspace(context.Background(), "Test")
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	other := *s
	other.Workspace, other.Key = id, key
	return &other
}

// serve starts the listeners, and ends them with the test before its store is closed.
func (s *Server) serve(log *slog.Logger) {
	s.t.Helper()
	server, err := rpc.New(s.svc, rpc.Config{Log: log})
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	const free = "127.0.0.1:0"
	l, err := rpc.Listen(context.Background(), rpc.Addresses{GRPC: free, REST: free, Admin: free})
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	s.GRPC = l.GRPC.Addr().String()
	s.REST, s.Admin = "http://"+l.REST.Addr().String(), "http://"+l.Admin.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	s.t.Cleanup(func() {
		s.http.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			s.t.Errorf("servertest: %v", err)
		}
	})
}

// Conn returns a connection whose calls carry the key and are for somebody: `customer/<id>`, `agent/<id>`, or with an empty
// string the backend itself. It is closed at the end of the test.
func (s *Server) Conn(actFor string) *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient(s.GRPC,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(caller{s.Key, actFor}))
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// caller says on every call who makes it.
type caller struct{ key, actFor string }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c caller) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	md := map[string]string{"authorization": "Bearer " + c.key}
	if c.actFor != "" {
		md["goodship-act-for"] = c.actFor
	}
	return md, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: loopback needs none.
func (caller) RequireTransportSecurity() bool { return false }

// Reply is what REST answered.
type Reply struct {
	// Code is the HTTP status code.
	Code int
	// Header holds ETag and Retry-After, among others.
	Header http.Header
	// Body is JSON: the resource, or a google.rpc.Status.
	Body string
}

// Do calls REST with the key, for somebody as Conn says. The body is JSON, or empty for none; headers are names and values
// in turn, as in `"If-Match", etag`. It fails the test at once if there is no reply; any status is one.
func (s *Server) Do(actFor, method, path, body string, headers ...string) Reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.REST+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Key)
	if actFor != "" {
		req.Header.Set("Goodship-Act-For", actFor)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	return Reply{Code: resp.StatusCode, Header: resp.Header, Body: string(text)}
}
