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
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Server is a server that runs until the end of its test, seen from one workspace. Its methods are for that test's
// goroutine.
type Server struct {
	// GRPC and REST are where the API is reached, as in `127.0.0.1:41234` and `http://127.0.0.1:41235`; Admin is where
	// health and readiness are, as REST.
	GRPC, REST, Admin string
	// Workspace is the id of the workspace, and Key a key of it that has every scope; or what As put in its place.
	Workspace, Key string
	// OperatorKey is the credential of operators on the admin listener.
	OperatorKey string

	t      ender
	svc    *support.Service
	http   *http.Client
	socket string
}

// Option changes how a server is made.
type Option func(*options)

type options struct {
	clock   support.Clock
	log     *slog.Logger
	config  []func(*rpc.Config)
	service []func(*support.Options)
	traces  trace.TracerProvider
	meters  metric.MeterProvider
}

// WithClock gives the server its clock, the machine's by default; a faketime.Clock stands still until the test moves it. Due
// times, presence and expiry follow it, of whatever credential. The times that the store gives strictly increase all the same.
func WithClock(c support.Clock) Option { return func(o *options) { o.clock = c } }

// WithLog gives the server its log; the test's output by default.
func WithLog(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithTelemetry tells OpenTelemetry of what the server does; it tells nobody by default. Either provider may be nil.
func WithTelemetry(traces trace.TracerProvider, meters metric.MeterProvider) Option {
	return func(o *options) { o.traces, o.meters = traces, meters }
}

// WithConfig changes how the server is reached, from what it would be: with DefaultLimits, but no rates. Conn and
// Do speak to a server without TLS.
func WithConfig(change func(*rpc.Config)) Option {
	return func(o *options) { o.config = append(o.config, change) }
}

// WithService changes what the server does by itself, from what it would do: where webhooks may lead, and how many apologies it
// writes a second.
func WithService(change func(*support.Options)) Option {
	return func(o *options) { o.service = append(o.service, change) }
}

// New starts a server. It fails the test at once if that does not work.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return start(t, opts)
}

func start(t ender, opts []Option) *Server {
	t.Helper()
	o := options{log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, opt := range opts {
		opt(&o)
	}
	how := bolt.Options{Log: o.log, MeterProvider: o.meters}
	if o.clock != nil {
		how.Now = o.clock.Now
	}
	kept, err := bolt.Open(filepath.Join(t.TempDir(), "goodship.db"), how)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Errorf("servertest: closing the store: %v", err)
		}
	})
	given := support.Options{Clock: o.clock, Log: o.log, MeterProvider: o.meters}
	for _, change := range o.service {
		change(&given)
	}
	svc, err := support.New(kept, given)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	if err := svc.Start(context.Background()); err != nil {
		t.Fatalf("servertest: %v", err)
	}
	t.Cleanup(svc.Close)
	s := &Server{t: t, svc: svc, http: &http.Client{Transport: &http.Transport{}}}
	s.serve(o)
	return s.NewWorkspace()
}

// NewWorkspace returns the same server with another workspace and its key, to test that workspaces share nothing.
func (s *Server) NewWorkspace() *Server {
	s.t.Helper()
	operator := support.WithCaller(context.Background(), support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR})
	made, err := s.svc.CreateWorkspace(operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "Test"})
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	other := *s
	other.Workspace, other.Key = made.Workspace.Id, made.Secret
	return &other
}

// As returns the same server, of which Conn and Do come with another bearer credential; with none if it is empty. A
// credential of one person takes no `actFor`.
func (s *Server) As(credential string) *Server {
	other := *s
	other.Key = credential
	return &other
}

// serve starts the listeners, and ends them with the test before its store is closed.
func (s *Server) serve(o options) {
	s.t.Helper()
	s.OperatorKey = "gok_" + rand.Text()
	config := rpc.Config{Log: o.log, OperatorKey: s.OperatorKey, Limits: limits(), TracerProvider: o.traces, MeterProvider: o.meters}
	for _, change := range o.config {
		change(&config)
	}
	server, err := rpc.New(s.svc, config)
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	l := s.listen()
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

// limits are the defaults, without those that tests in a hurry run into.
func limits() rpc.Limits {
	l := rpc.DefaultLimits()
	l.RatePerWorkspace, l.RatePerCaller, l.RatePerAddress, l.SessionsPerAddress = -1, -1, -1, -1
	l.MaxConnectionsPerAddress, l.CallsPerConnection = l.MaxConnections, -1
	return l
}

// listen opens the listeners on free ports. The operators' socket is in a folder of its own, since the path of a test's may
// be longer than that of a socket.
func (s *Server) listen() *rpc.Listeners {
	s.t.Helper()
	const free = "127.0.0.1:0"
	l, err := rpc.Listen(context.Background(), rpc.Addresses{GRPC: free, REST: free, Admin: free})
	if err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	folder, err := os.MkdirTemp("", "gs")
	if err != nil {
		s.t.Fatalf("servertest: %v", errors.Join(err, l.Close()))
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(folder) })
	s.socket = filepath.Join(folder, "goodship.sock")
	if l.Operator, err = rpc.ListenOperator(context.Background(), s.socket); err != nil {
		s.t.Fatalf("servertest: %v", errors.Join(err, l.Close()))
	}
	return l
}

// Operator returns a connection over the operators' socket, closed at the end of the test. Its calls are the operator's, in
// the workspace of this Server where a method needs one.
func (s *Server) Operator() *grpc.ClientConn {
	s.t.Helper()
	return s.dial("unix:"+s.socket, caller{actFor: "workspace/" + s.Workspace})
}

// Conn returns a connection whose calls carry the key and are for somebody: `customer/<id>`, `agent/<id>`, or with an empty
// string the backend itself. It is closed at the end of the test.
func (s *Server) Conn(actFor string) *grpc.ClientConn {
	s.t.Helper()
	return s.dial(s.GRPC, caller{s.Key, actFor})
}

func (s *Server) dial(target string, as caller) *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(as))
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
	md := map[string]string{}
	if c.key != "" {
		md["authorization"] = "Bearer " + c.key
	}
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
	if s.Key != "" {
		req.Header.Set("Authorization", "Bearer "+s.Key)
	}
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
