package telemetry_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/telemetry"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	callersTrace  = "0af7651916cd43dd8448eb211c80319c"
	callersSpan   = "b7ad6b7169203331"
	callersParent = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// TestOneTrace follows a message from the caller's span through REST, the service and the writer's queue to the disk.
func TestOneTrace(t *testing.T) {
	r := newReceiver(t)
	r.environment(t)
	s := serve(t, start(t, t.Output()))
	reply := s.Do("customer/ada", "POST", "/v1/conversations", `{"text":"Ahoy"}`, "traceparent", callersParent)
	if reply.Code != http.StatusOK {
		t.Fatalf("got %d: %s", reply.Code, reply.Body)
	}
	// Each is the child of the one before its indentation.
	want := []struct{ name, parent string }{
		{"POST /v1/conversations", ""},
		{"goodship.v1.ConversationService/CreateConversation", "POST /v1/conversations"},
		{"store.update", "goodship.v1.ConversationService/CreateConversation"},
		{"store.queue", "store.update"},
		{"store.apply", "store.update"},
		{"store.commit", "store.update"},
		{"store.sync", "store.commit"},
	}
	r.until(t, "the trace", func() bool {
		for _, w := range want {
			if ofCaller(r, w.name) == nil {
				return false
			}
		}
		return true
	})
	for _, w := range want {
		span, parent := ofCaller(r, w.name), ofCaller(r, w.parent)
		parentID := callersSpan
		if parent != nil {
			parentID = hex.EncodeToString(parent.SpanId)
			if span.StartTimeUnixNano < parent.StartTimeUnixNano || span.EndTimeUnixNano < span.StartTimeUnixNano {
				t.Errorf("%s is not within %s", w.name, w.parent)
			}
		}
		if got := hex.EncodeToString(span.ParentSpanId); got != parentID {
			t.Errorf("%s has the parent %s, want %s, %q", w.name, got, parentID, w.parent)
		}
	}
}

// ofCaller returns a span of the caller's trace by its name, or nil.
func ofCaller(r *receiver, name string) *tracev1.Span {
	for _, s := range r.spans() {
		if s.Name == name && hex.EncodeToString(s.TraceId) == callersTrace {
			return s
		}
	}
	return nil
}

// TestTracesOverGRPC has a call that names its trace in its metadata, one of a method that there is none of, and one that is
// no call of anybody's.
func TestTracesOverGRPC(t *testing.T) {
	r := newReceiver(t)
	r.environment(t)
	s := serve(t, start(t, t.Output()))
	conn := s.Conn("customer/ada")
	_ = conn.Invoke(t.Context(), "/goodship.v1."+canary+"/"+canary, &goodshipv1.GetConversationRequest{}, &goodshipv1.Conversation{})
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", callersParent)
	if _, err := goodshipv1.NewConversationServiceClient(conn).ListConversations(ctx, &goodshipv1.ListConversationsRequest{}); err != nil {
		t.Fatal(err)
	}
	const name = "goodship.v1.ConversationService/ListConversations"
	r.until(t, "the spans", func() bool { return ofCaller(r, name) != nil })
	if got := hex.EncodeToString(ofCaller(r, name).ParentSpanId); got != callersSpan {
		t.Errorf("the call has the parent %s, want the caller's, %s", got, callersSpan)
	}
	if got := attributes(ofCaller(r, name).Attributes); got["goodship.workspace.id"] != s.Workspace || got["goodship.caller"] != "CUSTOMER" {
		t.Errorf("the call has the attributes %v", got)
	}
	for _, span := range r.spans() {
		if span.Name != name {
			t.Errorf("there is a span %s", span.Name)
		}
	}
}

// TestRequestsAreNamedByTheirPattern holds span names and http.route to the contract's paths, whatever callers write.
func TestRequestsAreNamedByTheirPattern(t *testing.T) {
	r := newReceiver(t)
	r.environment(t)
	s := serve(t, start(t, t.Output()))
	for _, request := range []struct{ method, path, name, route string }{
		{"GET", "/v1/conversations/" + canary, "GET /v1/conversations/{conversation_id}", "/v1/conversations/{conversation_id}"},
		{"POST", "/v1/conversations/" + canary + ":claim", "POST /v1/conversations/{conversation_id}:claim", "/v1/conversations/{conversation_id}:claim"},
		{"GET", "/" + canary, "GET", ""},
		{"DELETE", "/v1/conversations/" + canary, "DELETE", ""}, // answered by asking which methods the path takes
		{canary, "/v1/conversations", "HTTP", ""},
	} {
		s.Do("agent/captain", request.method, request.path, "")
		r.until(t, request.name, func() bool { return r.span(request.name) != nil })
		if got := attributes(r.span(request.name).Attributes)["http.route"]; got != request.route {
			t.Errorf("%s %s has the route %q, want %q", request.method, request.path, got, request.route)
		}
	}
}

// TestMetrics measures a scene, in which nothing is counted twice.
func TestMetrics(t *testing.T) {
	r := newReceiver(t)
	r.environment(t)
	c := newClock()
	s := serve(t, start(t, t.Output()), servertest.WithClock(c))
	s.NewWorkspace() // nobody waits there
	play(t, s, c)
	r.until(t, "the waits", func() bool {
		return points(r, "goodship.wait.duration") == 2 && points(r, "goodship.promises") == 3 && points(r, "goodship.line.length") == 2 &&
			gauge(r, "goodship.line.oldest_wait", s.Workspace) == 30
	})
	for _, p := range r.metric("goodship.wait.duration").GetHistogram().DataPoints {
		of := attributes(p.Attributes)
		want := map[string]float64{"kept": 90, "broken": 400}[of["goodship.promise.state"]]
		if p.Count != 1 || math.Round(p.GetSum()) != want || of["goodship.workspace.id"] != s.Workspace || len(of) != 2 {
			t.Errorf("got %d waits of %v s with %v, want one of %v s", p.Count, p.GetSum(), of, want)
		}
		if !slices.Contains(p.ExplicitBounds, 300) {
			t.Errorf("the bounds %v lack the standard promise", p.ExplicitBounds)
		}
		if len(p.Exemplars) != 1 || hex.EncodeToString(p.Exemplars[0].TraceId) != callersTrace || len(p.Exemplars[0].FilteredAttributes) > 0 {
			t.Errorf("the exemplars are %v, want the trace of the answer", p.Exemplars)
		}
	}
	for _, p := range r.metric("goodship.promises").GetSum().DataPoints {
		if p.GetAsInt() != 1 {
			t.Errorf("got %d promises %v, want 1", p.GetAsInt(), attributes(p.Attributes))
		}
	}
	if got := gauge(r, "goodship.line.length", s.Workspace); got != 1 {
		t.Errorf("got a line of %v, want 1", got)
	}
	for _, name := range []string{"rpc.server.call.duration", "http.server.request.duration", "goodship.store.queue.duration",
		"goodship.store.commit.duration", "goodship.store.commit.batch", "goodship.store.sync.duration"} {
		r.until(t, name, func() bool { return points(r, name) > 0 })
		exemplars := 0
		for _, p := range r.metric(name).GetHistogram().DataPoints {
			exemplars += len(p.Exemplars)
			if p.GetSum() < 0 || p.GetSum() > 1000 {
				t.Errorf("%s of %v has the sum %v", name, attributes(p.Attributes), p.GetSum())
			}
		}
		if exemplars == 0 {
			t.Errorf("%s has no exemplar", name)
		}
	}
	if r.metric("http.server.request.body.size") != nil {
		t.Error("the sizes of bodies are measured")
	}
}

// points returns how many series a metric has.
func points(r *receiver, name string) int {
	m := r.metric(name)
	return len(m.GetHistogram().GetDataPoints()) + len(m.GetSum().GetDataPoints()) + len(m.GetGauge().GetDataPoints())
}

// gauge returns a gauge's value for a workspace, rounded, since no two units have the same time; negative if it has none.
func gauge(r *receiver, name, workspace string) float64 {
	for _, p := range r.metric(name).GetGauge().GetDataPoints() {
		if attributes(p.Attributes)["goodship.workspace.id"] == workspace {
			return math.Round(p.GetAsDouble()) + float64(p.GetAsInt())
		}
	}
	return -1
}

// TestLogs has a record within a span and one outside: both are in the server's log and sent, without what is not allowed.
func TestLogs(t *testing.T) {
	r := newReceiver(t)
	r.environment(t)
	var own buffer
	observed := start(t, &own)
	ctx, span := observed.TracerProvider.Tracer("test").Start(t.Context(), "span")
	log := slog.New(observed.Log).With("listener", "rest")
	log.ErrorContext(ctx, "a call failed", "method", "/m", "incident", "1234", "error", errors.New(canary), "panic", canary)
	log.Debug("a detail") // which the server's own log leaves out
	log.Info("serving")
	span.End()
	r.until(t, "the records", func() bool { return len(r.logs()) == 2 })
	sent := r.logs()[0]
	want := map[string]string{"method": "/m", "incident": "1234", "listener": "rest", "exception.type": "*errors.errorString"}
	if got := attributes(sent.Attributes); !maps.Equal(got, want) || sent.Body.GetStringValue() != "a call failed" || sent.SeverityText != "ERROR" {
		t.Errorf("got %s %q with %v, want %v", sent.SeverityText, sent.Body.GetStringValue(), got, want)
	}
	id := span.SpanContext()
	if hex.EncodeToString(sent.TraceId) != id.TraceID().String() || hex.EncodeToString(sent.SpanId) != id.SpanID().String() {
		t.Errorf("the record is of the span %x in %x, want %v", sent.SpanId, sent.TraceId, id)
	}
	lines := strings.Split(own.String(), "\n")
	if !strings.Contains(lines[0], `"trace_id":"`+id.TraceID().String()+`","span_id":"`+id.SpanID().String()+`"`) || !strings.Contains(lines[0], canary) {
		t.Errorf("the server's own log has %s", lines[0])
	}
	if strings.Contains(lines[1], "trace_id") {
		t.Errorf("a record of no span has %s", lines[1])
	}
}

// TestShutdownSendsWhatIsLeft has nothing sent before it, by delays that no test would wait for.
func TestShutdownSendsWhatIsLeft(t *testing.T) {
	r := newReceiver(t)
	r.environment(t, "OTEL_BSP_SCHEDULE_DELAY=3600000", "OTEL_METRIC_EXPORT_INTERVAL=3600000", "OTEL_BLRP_SCHEDULE_DELAY=3600000")
	observed := start(t, io.Discard)
	ctx, span := observed.TracerProvider.Tracer("test").Start(t.Context(), "span")
	slog.New(observed.Log).InfoContext(ctx, "record")
	counter, err := observed.MeterProvider.Meter("test").Int64Counter("counter")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(ctx, 1)
	span.End()
	if got := len(r.requests()); got != 0 {
		t.Fatalf("%d exports came by themselves", got)
	}
	if err := observed.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.span("span") == nil || r.metric("counter") == nil || len(r.logs()) != 1 {
		t.Errorf("only this came: %s", r.text())
	}
	if text := r.text(); !strings.Contains(text, "goodship") || !strings.Contains(text, "v1.2.3") {
		t.Errorf("the service or its version is not told: %s", text)
	}
}

// TestShutdownGivesUp ends where no collector answers, and says that something was lost.
func TestShutdownGivesUp(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_EXPORT_TIMEOUT=100")
	observed, err := telemetry.Start(t.Context(), telemetry.Options{Log: slog.DiscardHandler})
	if err != nil {
		t.Fatal(err)
	}
	_, span := observed.TracerProvider.Tracer("test").Start(t.Context(), "span")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := observed.Shutdown(ctx); err == nil {
		t.Error("nobody took the span, and there is no error")
	}
}

// TestSignals reads the environment: what is off is not there.
func TestSignals(t *testing.T) {
	endpoint := "http://127.0.0.1:1"
	for _, test := range []struct {
		name                             string
		environment                      []string
		traces, metrics, logs, collector bool
	}{
		{name: "nothing"},
		{name: "disabled", environment: []string{"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_METRICS_EXPORTER=prometheus"}},
		{name: "none", environment: []string{"OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint}},
		{name: "an endpoint", environment: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint}, traces: true, metrics: true, logs: true},
		{name: "an endpoint of traces", environment: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + endpoint}, traces: true},
		{name: "logs by name", environment: []string{"OTEL_LOGS_EXPORTER=otlp"}, logs: true},
		{name: "prometheus", environment: []string{"OTEL_METRICS_EXPORTER=prometheus"}, metrics: true, collector: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			environment(t, test.environment...)
			before := goleak.IgnoreCurrent()
			own := slog.NewTextHandler(io.Discard, nil)
			observed, err := telemetry.Start(t.Context(), telemetry.Options{Log: own})
			if err != nil {
				t.Fatal(err)
			}
			got := []bool{observed.TracerProvider != nil, observed.MeterProvider != nil, observed.Log != slog.Handler(own), observed.Metrics != nil}
			if want := []bool{test.traces, test.metrics, test.logs || test.traces, test.collector}; !slices.Equal(got, want) {
				t.Errorf("traces, metrics, logs, /metrics: got %v, want %v", got, want)
			}
			if len(test.environment) == 0 || strings.HasPrefix(test.environment[0], "OTEL_SDK") || test.name == "none" {
				goleak.VerifyNone(t, before)
			}
			_ = observed.Shutdown(t.Context()) // nobody listens there
		})
	}
}

// TestMistakesAreRefused has each named by its variable, in one line that quotes what was set, and leave nothing running.
func TestMistakesAreRefused(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"
	for _, test := range [][]string{ // the last is the mistake
		{"OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=carrier-pigeon"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4317"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http:127.0.0.1:4317"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=//collector:4317"},
		{endpoint, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=collector"},
		{"OTEL_PROPAGATORS=tracecontext,smoke"},
		{endpoint, "OTEL_TRACES_SAMPLER=sometimes"},
		{endpoint, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=10%"},
		{endpoint, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=10"},
		{endpoint, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=-0.1"},
		{endpoint, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=NaN"},
		{"OTEL_RESOURCE_ATTRIBUTES=ship"},
		{"OTEL_SDK_DISABLED=1"},
	} {
		t.Run(test[len(test)-1], func(t *testing.T) {
			environment(t, test...)
			before := goleak.IgnoreCurrent()
			_, err := telemetry.Start(t.Context(), telemetry.Options{Log: slog.DiscardHandler})
			name, value, _ := strings.Cut(test[len(test)-1], "=")
			if err == nil || !strings.HasPrefix(err.Error(), name+" ") || !strings.Contains(err.Error(), value) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			goleak.VerifyNone(t, before)
		})
	}
}

// TestWhatIsOffIsNotRead has variables that another program may want.
func TestWhatIsOffIsNotRead(t *testing.T) {
	environment(t, "OTEL_TRACES_EXPORTER=none", "OTEL_TRACES_SAMPLER=xray", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector:4317",
		"OTEL_METRICS_EXPORTER=prometheus", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=collector:4317")
	if got := start(t, t.Output()); got.TracerProvider != nil || got.Metrics == nil {
		t.Errorf("got %+v", got)
	}
}

// buffer is a bytes.Buffer for several goroutines: an exporter that was given up in a test before may still complain, to the
// one handler that the process has.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestWhatOpenTelemetrySaysIsLogged has mistakes that only its library notices, one of them in a credential, and a warning.
func TestWhatOpenTelemetrySaysIsLogged(t *testing.T) {
	environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT=soon", "OTEL_EXPORTER_OTLP_HEADERS="+canary,
		"OTEL_METRICS_EXPORTER=prometheus", "OTEL_LOGS_EXPORTER=none")
	var log buffer
	observed, err := telemetry.Start(t.Context(), telemetry.Options{Log: slog.NewTextHandler(&log, nil)})
	if err != nil {
		t.Fatal(err)
	}
	observed.MeterProvider.Meter("")
	if err := observed.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`level=ERROR msg="OpenTelemetry says: parse duration"`, "soon", "says: parse headers", `level=WARN msg="OpenTelemetry says: Invalid Meter`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, &log)
		}
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the log has the credential: %s", &log)
	}
}
