// Package telemetry sets up OpenTelemetry as the standard environment variables say, and keeps what is personal out of it.
//
// A signal (TRACES, METRICS, LOGS) is on if OTEL_<signal>_EXPORTER names an exporter, or if OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_<signal>_ENDPOINT is set and it names none; OTEL_SDK_DISABLED=true turns all off. What is off is not
// there: no provider, no goroutine, no handler. Nothing is installed as the process's global but the handlers of
// OpenTelemetry's own errors and log, for which there is no other place; providers are handed on in fields.
//
// Whatever leaves the server this way passes redact.go, which lets through what is on its list and nothing else.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope is what log records are said to come from.
const scope = "github.com/goodship/goodship/server"

// shutdownTimeout is how long Shutdown may take to send what is left.
const shutdownTimeout = 5 * time.Second

// Options say what telemetry is of.
type Options struct {
	// Version is the server's; not told if empty.
	Version string
	// Log is where log records go in any case; slog.Default's if nil.
	Log slog.Handler
}

// Telemetry is what the parts of the server are given. It is used until Shutdown.
type Telemetry struct {
	// TracerProvider and MeterProvider are nil if nothing is traced or measured.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Propagator reads from a call which trace it is a part of: by W3C trace context, or as OTEL_PROPAGATORS says.
	Propagator propagation.TextMapPropagator
	// Metrics answers Prometheus; nil unless OTEL_METRICS_EXPORTER is `prometheus`.
	Metrics http.Handler
	// Log is Options.Log; with traces on, each record says in trace_id and span_id where it belongs, and with logs on it is
	// sent too.
	Log slog.Handler

	shutdown []func(context.Context) error
}

// Start sets up what the environment asks for. The error says in a line which variable cannot be followed; then nothing was
// started.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Log == nil {
		o.Log = slog.Default().Handler()
	}
	reads, err := propagator()
	if err != nil {
		return nil, err
	}
	t := &Telemetry{Log: o.Log, Propagator: reads}
	if off, err := disabled(); off || err != nil {
		return t, err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(serviceOf(o.Version)...), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES cannot be read: %w", err)
	}
	log := slog.New(o.Log)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry is not complete", "error", err) }))
	otel.SetLogger(logr.FromSlogHandler(internalLog{o.Log}))
	for _, signal := range []struct {
		name  string
		start func(context.Context, string, *resource.Resource) error
	}{{"TRACES", t.startTraces}, {"METRICS", t.startMetrics}, {"LOGS", t.startLogs}} {
		exporter := exporterOf(signal.name)
		if exporter == "" {
			continue
		}
		err := checkSignal(signal.name, exporter)
		if err == nil {
			if err = signal.start(ctx, exporter, about); err != nil {
				err = fmt.Errorf("OTEL_%s_EXPORTER %s cannot be used: %w", signal.name, exporter, err)
			}
		}
		if err != nil {
			_ = t.Shutdown(ctx) // nothing was recorded that could get lost
			return nil, err
		}
	}
	return t, nil
}

func serviceOf(version string) []attribute.KeyValue {
	service := []attribute.KeyValue{attribute.String("service.name", "goodship")}
	if version != "" {
		service = append(service, attribute.String("service.version", version))
	}
	return service
}

func (t *Telemetry) startTraces(ctx context.Context, _ string, about *resource.Resource) error {
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return err
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(redactedSpans{exporter}))
	t.TracerProvider = p
	t.Log = traced{t.Log}
	t.shutdown = append(t.shutdown, p.Shutdown)
	return nil
}

func (t *Telemetry) startMetrics(ctx context.Context, exporter string, about *resource.Resource) error {
	reader, err := t.metricReader(ctx, exporter)
	if err != nil {
		return err
	}
	p := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(reader), sdkmetric.WithView(redactedMetrics))
	t.MeterProvider = p
	t.shutdown = append(t.shutdown, p.Shutdown)
	return nil
}

// metricReader returns what reads the metrics. Prometheus is not left to autoexport, which would open a port of its own, and
// whose answer has no exemplars.
func (t *Telemetry) metricReader(ctx context.Context, exporter string) (sdkmetric.Reader, error) {
	if exporter != "prometheus" {
		return autoexport.NewMetricReader(ctx)
	}
	registry := prometheus.NewRegistry()
	t.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	return prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo(),
		prometheusexporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
}

func (t *Telemetry) startLogs(ctx context.Context, _ string, about *resource.Resource) error {
	exporter, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		return err
	}
	p := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(sdklog.NewBatchProcessor(redactedLogs{exporter})))
	t.Log = slog.NewMultiHandler(t.Log, sent{otelslog.NewHandler(scope, otelslog.WithLoggerProvider(p)), t.Log})
	t.shutdown = append(t.shutdown, p.Shutdown)
	return nil
}

// Shutdown sends what is left and ends everything that Start began, within five seconds or the context's end. The error says
// what was lost. Call it last: what is recorded afterwards is dropped. A second call does nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	errs := make([]error, len(t.shutdown))
	var all sync.WaitGroup
	for i, shutdown := range t.shutdown {
		all.Go(func() { errs[i] = shutdown(ctx) }) // none may use up the others' time
	}
	all.Wait()
	t.shutdown = nil
	return errors.Join(errs...)
}

// traced is a log whose records say to which span they belong.
type traced struct{ slog.Handler }

// Handle takes a record.
func (l traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{l.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (l traced) WithGroup(name string) slog.Handler { return traced{l.Handler.WithGroup(name)} }

// sent is a log that is sent away, as far as the server's own tells it.
type sent struct {
	slog.Handler
	own slog.Handler
}

// Enabled implements slog.Handler.
func (l sent) Enabled(ctx context.Context, level slog.Level) bool { return l.own.Enabled(ctx, level) }

// WithAttrs implements slog.Handler.
func (l sent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sent{l.Handler.WithAttrs(attrs), l.own}
}

// WithGroup implements slog.Handler.
func (l sent) WithGroup(name string) slog.Handler { return sent{l.Handler.WithGroup(name), l.own} }
