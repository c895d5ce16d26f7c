package doors_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/telemetry"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// collector takes whatever is exported over OTLP, as text.
type collector struct {
	collectortrace.UnimplementedTraceServiceServer
	address string
	mu      sync.Mutex
	texts   map[string]*strings.Builder
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: l.Addr().String(), texts: map[string]*strings.Builder{"spans": {}, "metrics": {}, "log records": {}}}
	s := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(s, c)
	collectormetrics.RegisterMetricsServiceServer(s, metricsTo{c: c})
	collectorlogs.RegisterLogsServiceServer(s, logsTo{c: c})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *collector) take(what string, m proto.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts[what].WriteString(protojson.Format(m))
}

// Export takes spans.
func (c *collector) Export(_ context.Context, req *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	c.take("spans", req)
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

type metricsTo struct {
	collectormetrics.UnimplementedMetricsServiceServer
	c *collector
}

// Export takes metrics.
func (m metricsTo) Export(_ context.Context, req *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	m.c.take("metrics", req)
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

type logsTo struct {
	collectorlogs.UnimplementedLogsServiceServer
	c *collector
}

// Export takes log records.
func (l logsTo) Export(_ context.Context, req *collectorlogs.ExportLogsServiceRequest) (*collectorlogs.ExportLogsServiceResponse, error) {
	l.c.take("log records", req)
	return &collectorlogs.ExportLogsServiceResponse{}, nil
}

// lines is a log's place, for many goroutines.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write takes a line.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// watch is all that a server tells its operators, down to debug level, as text and as JSON.
type watch struct {
	t         *testing.T
	telemetry *telemetry.Telemetry
	collector *collector
	text      lines
	json      lines
}

// newWatch starts telemetry with the environment's variables, beside those that lead to the collector.
func newWatch(t *testing.T, variables ...string) *watch {
	t.Helper()
	w := &watch{t: t, collector: newCollector(t)}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for _, v := range append(variables, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+w.collector.address, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc") {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	all := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	var err error
	w.telemetry, err = telemetry.Start(t.Context(), telemetry.Options{
		Version: "v0", Log: slog.NewMultiHandler(slog.NewTextHandler(&w.text, all), slog.NewJSONHandler(&w.json, all)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// config lets a server be watched.
func (w *watch) config(c *rpc.Config) {
	c.Log, c.Propagator, c.Metrics = slog.New(w.telemetry.Log), w.telemetry.Propagator, w.telemetry.Metrics
	c.TracerProvider, c.MeterProvider = w.telemetry.TracerProvider, w.telemetry.MeterProvider
}

func (w *watch) options() []servertest.Option {
	return []servertest.Option{
		servertest.WithLog(slog.New(w.telemetry.Log)), servertest.WithTelemetry(w.telemetry.TracerProvider, w.telemetry.MeterProvider), servertest.WithConfig(w.config),
	}
}

// seen returns all that was told, by where. It ends the telemetry, so that nothing is left to be sent.
func (w *watch) seen(admin string) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, accept := range []string{"text/plain", "application/openmetrics-text"} {
		all["metrics as "+accept] = w.metrics(admin, accept)
	}
	if err := w.telemetry.Shutdown(context.WithoutCancel(w.t.Context())); err != nil {
		w.t.Error(err)
	}
	all["log as text"], all["log as JSON"] = w.text.String(), w.json.String()
	w.collector.mu.Lock()
	defer w.collector.mu.Unlock()
	for what, text := range w.collector.texts {
		all[what] = text.String()
	}
	return all
}

// metrics reads /metrics; empty if nothing is there.
func (w *watch) metrics(admin, accept string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}
