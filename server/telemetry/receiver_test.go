package telemetry_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/telemetry"
	"github.com/goodship/goodship/server/webhook"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// patience is after what time a test that waits for something gives up.
const patience = 30 * time.Second

// receiver is a collector: it takes whatever is exported over OTLP.
type receiver struct {
	collectortrace.UnimplementedTraceServiceServer
	address string

	mu sync.Mutex
	// all are the requests as they came.
	all   []proto.Message
	heard chan struct{}
}

// newReceiver serves on loopback until the end of the test.
func newReceiver(t *testing.T) *receiver {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{address: l.Addr().String(), heard: make(chan struct{}, 1)}
	s := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(s, r)
	collectormetrics.RegisterMetricsServiceServer(s, receiverOfMetrics{r: r})
	collectorlogs.RegisterLogsServiceServer(s, receiverOfLogs{r: r})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *receiver) take(m proto.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m)
	select {
	case r.heard <- struct{}{}:
	default:
	}
}

// Export takes spans.
func (r *receiver) Export(_ context.Context, req *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	r.take(req)
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

type receiverOfMetrics struct {
	collectormetrics.UnimplementedMetricsServiceServer
	r *receiver
}

// Export takes metrics.
func (m receiverOfMetrics) Export(_ context.Context, req *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	m.r.take(req)
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

type receiverOfLogs struct {
	collectorlogs.UnimplementedLogsServiceServer
	r *receiver
}

// Export takes log records.
func (l receiverOfLogs) Export(_ context.Context, req *collectorlogs.ExportLogsServiceRequest) (*collectorlogs.ExportLogsServiceResponse, error) {
	l.r.take(req)
	return &collectorlogs.ExportLogsServiceResponse{}, nil
}

// until waits until what has come is enough.
func (r *receiver) until(t *testing.T, what string, enough func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !enough() {
		select {
		case <-r.heard:
		case <-ctx.Done():
			t.Fatalf("%s did not come, but this: %s", what, r.text())
		}
	}
}

// requests returns what has come.
func (r *receiver) requests() []proto.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]proto.Message(nil), r.all...)
}

func (r *receiver) spans() []*tracev1.Span {
	var all []*tracev1.Span
	for _, m := range r.requests() {
		if req, ok := m.(*collectortrace.ExportTraceServiceRequest); ok {
			for _, resource := range req.ResourceSpans {
				for _, scope := range resource.ScopeSpans {
					all = append(all, scope.Spans...)
				}
			}
		}
	}
	return all
}

// span returns the newest span of a name, or nil.
func (r *receiver) span(name string) *tracev1.Span {
	var found *tracev1.Span
	for _, s := range r.spans() {
		if s.Name == name {
			found = s
		}
	}
	return found
}

// metric returns a metric as it came last, or nil.
func (r *receiver) metric(name string) *metricsv1.Metric {
	var found *metricsv1.Metric
	for _, m := range r.requests() {
		if req, ok := m.(*collectormetrics.ExportMetricsServiceRequest); ok {
			for _, resource := range req.ResourceMetrics {
				for _, scope := range resource.ScopeMetrics {
					for _, metric := range scope.Metrics {
						if metric.Name == name {
							found = metric
						}
					}
				}
			}
		}
	}
	return found
}

func (r *receiver) logs() []*logsv1.LogRecord {
	var all []*logsv1.LogRecord
	for _, m := range r.requests() {
		if req, ok := m.(*collectorlogs.ExportLogsServiceRequest); ok {
			for _, resource := range req.ResourceLogs {
				for _, scope := range resource.ScopeLogs {
					all = append(all, scope.LogRecords...)
				}
			}
		}
	}
	return all
}

// text is all that has come, to look for what must not be there.
func (r *receiver) text() string {
	var b strings.Builder
	for _, m := range r.requests() {
		b.WriteString(protojson.Format(m))
	}
	return b.String()
}

// attributes are by key.
func attributes(all []*commonv1.KeyValue) map[string]string {
	values := map[string]string{}
	for _, a := range all {
		switch v := a.Value.Value.(type) {
		case *commonv1.AnyValue_StringValue:
			values[a.Key] = v.StringValue
		default:
			values[a.Key] = protojson.Format(a.Value)
		}
	}
	return values
}

// environment is what OpenTelemetry is told, and nothing that the test's own environment says.
func environment(t *testing.T, variables ...string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

// toReceiver is an environment that exports everything to a receiver, soon.
func (r *receiver) environment(t *testing.T, more ...string) {
	t.Helper()
	environment(t, append([]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + r.address, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_METRIC_EXPORT_INTERVAL=20", "OTEL_BLRP_SCHEDULE_DELAY=20",
	}, more...)...)
}

// start starts telemetry until the end of the test.
func start(t *testing.T, log io.Writer) *telemetry.Telemetry {
	t.Helper()
	observed, err := telemetry.Start(t.Context(), telemetry.Options{Version: "v1.2.3", Log: slog.NewJSONHandler(log, nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := observed.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return observed
}

// serve serves under telemetry until the end of the test.
func serve(t *testing.T, observed *telemetry.Telemetry, opts ...servertest.Option) *servertest.Server {
	t.Helper()
	return servertest.New(t, append(opts, servertest.WithTelemetry(observed.TracerProvider, observed.MeterProvider),
		servertest.WithLog(slog.New(observed.Log)),
		servertest.WithService(func(o *support.Options) {
			o.Webhooks = webhook.Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		}),
		servertest.WithConfig(func(c *rpc.Config) { c.Propagator, c.Metrics = observed.Propagator, observed.Metrics }))...)
}
