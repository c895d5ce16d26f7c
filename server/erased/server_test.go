package erased_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/telemetry"
	"github.com/goodship/goodship/server/webhook"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long the test waits for what must come. It decides nothing but how soon a test that fails does.
const patience = 30 * time.Second

const operatorKey = "gok_erased"

// house is a server over a file that outlives it.
type house struct {
	t *testing.T
	// rest and admin are where it is, and conn and operators are connections.
	rest            string
	conn, operators *grpc.ClientConn
	http            *http.Client
	workspace, key  string
	log, spans      *journal
	telemetry       *telemetry.Telemetry
	endpoint        *endpoint
	// made are the requests with a request id.
	made []request
}

// journal is a log, or what an endpoint took, for many goroutines.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// forget drops what there is.
func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Reset()
}

// newHouse opens a server over a file, until the test ends.
func newHouse(t *testing.T, file string) *house {
	t.Helper()
	h := &house{t: t, log: &journal{}, spans: &journal{}, http: &http.Client{Transport: &http.Transport{}}}
	h.listens()
	log := slog.New(h.telemetry.Log)
	kept, err := bolt.Open(file, bolt.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	svc, err := support.New(kept, support.Options{Log: log, Webhooks: webhook.Options{
		AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(svc.Close)
	h.serve(svc, rpc.Config{Log: log, OperatorKey: operatorKey, Limits: rpc.DefaultLimits(), TracerProvider: h.telemetry.TracerProvider})
	operator := support.WithCaller(context.Background(), support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR})
	made, err := svc.CreateWorkspace(operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	h.workspace, h.key = made.Workspace.Id, made.Secret
	h.endpoint = newEndpoint(t)
	return h
}

// listens begins to take in what the server tells of itself, as it leaves the server.
func (h *house) listens() {
	h.t.Helper()
	l, err := new(net.ListenConfig).Listen(h.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	collector := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(collector, spansTo{journal: h.spans})
	served := make(chan error, 1)
	go func() { served <- collector.Serve(l) }()
	h.t.Cleanup(func() {
		collector.Stop()
		if err := <-served; err != nil {
			h.t.Error(err)
		}
	})
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + l.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none",
	} {
		h.t.Setenv(name, value)
	}
	h.telemetry, err = telemetry.Start(h.t.Context(), telemetry.Options{
		Version: "v0", Log: slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = h.telemetry.Shutdown(context.Background()) }) // again, where the test did
}

// spansTo takes spans in, as text.
type spansTo struct {
	collectortrace.UnimplementedTraceServiceServer
	journal *journal
}

// Export implements collectortrace.TraceServiceServer.
func (s spansTo) Export(_ context.Context, req *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	_, err := io.WriteString(s.journal, protojson.Format(req))
	return &collectortrace.ExportTraceServiceResponse{}, err
}

// serve serves until the test ends.
func (h *house) serve(svc rpc.Service, config rpc.Config) {
	h.t.Helper()
	l := &config.Limits
	l.RatePerWorkspace, l.RatePerCaller, l.RatePerAddress, l.SessionsPerAddress, l.CallsPerConnection = -1, -1, -1, -1, -1
	server, err := rpc.New(svc, config)
	if err != nil {
		h.t.Fatal(err)
	}
	at, err := rpc.Listen(h.t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.rest = "http://" + at.REST.Addr().String()
	h.conn, h.operators = h.dial(at.GRPC.Addr()), h.dial(at.Admin.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, at) }()
	h.t.Cleanup(func() {
		h.http.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			h.t.Error(err)
		}
	})
}

func (h *house) dial(at net.Addr) *grpc.ClientConn {
	h.t.Helper()
	conn, err := grpc.NewClient(at.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// endpoint is where events are sent to. It takes none until it is open.
type endpoint struct {
	url  string
	took journal
	mu   sync.Mutex
	open bool
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{}
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	e.url = s.URL
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	open := e.open
	e.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || !open {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = e.took.Write(body)
	w.WriteHeader(http.StatusNoContent)
}

func (e *endpoint) opens() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = true
}

// caller is who calls.
type caller struct{ name, token, actFor string }

func (h *house) backend() caller           { return caller{"backend", h.key, ""} }
func (h *house) agent(id string) caller    { return caller{"agent " + id, h.key, "agent/" + id} }
func (h *house) customer(id string) caller { return caller{"customer " + id, h.key, "customer/" + id} }
func (h *house) operator() caller          { return caller{"operator", operatorKey, "workspace/" + h.workspace} }
func withToken(name, token string) caller  { return caller{name, token, ""} }
func (h *house) at(c caller) *grpc.ClientConn {
	if c.token == operatorKey {
		return h.operators
	}
	return h.conn
}

// by returns the context of a call.
func (c caller) by(ctx context.Context) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	if c.actFor != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "goodship-act-for", c.actFor)
	}
	return ctx
}

// file is where the store of a test is.
func file(dir string) string { return filepath.Join(dir, "goodship.db") }

// holds returns which of some words are in a text.
func holds(text string, words map[string]string) map[string]bool {
	found := map[string]bool{}
	for name, word := range words {
		if strings.Contains(text, word) {
			found[name] = true
		}
	}
	return found
}
