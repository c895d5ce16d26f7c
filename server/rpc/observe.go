package rpc

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"github.com/goodship/goodship/server/support"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/stats"
)

// observed reports whether anybody is told of calls. If not, nothing of this file is in their way.
func (c Config) observed() bool { return c.TracerProvider != nil || c.MeterProvider != nil }

// providers returns the configuration with something in the place of what it lacks: a library that is given nothing would
// ask the process's globals.
func (c Config) providers() Config {
	if c.TracerProvider == nil {
		c.TracerProvider = tracenoop.NewTracerProvider()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = metricnoop.NewMeterProvider()
	}
	if c.Propagator == nil {
		c.Propagator = propagation.TraceContext{}
	}
	return c
}

// observeHTTP makes a span of each REST request, under the caller's if it names one, and measures it.
func (c Config) observeHTTP(next http.Handler) http.Handler {
	if !c.observed() {
		return next
	}
	c = c.providers()
	return otelhttp.NewHandler(next, "REST",
		otelhttp.WithTracerProvider(c.TracerProvider), otelhttp.WithMeterProvider(c.MeterProvider), otelhttp.WithPropagators(c.Propagator))
}

// observeCalls returns what makes a span of each call, and measures it; nil for nothing. Health and reflection are no calls of
// anybody's. Of methods that there are none of, whose names callers make up without end, gRPC tells only the beginning, and
// so nothing comes of them.
func (c Config) observeCalls() stats.Handler {
	if !c.observed() {
		return nil
	}
	c = c.providers()
	return observedCalls{otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(c.TracerProvider), otelgrpc.WithMeterProvider(c.MeterProvider), otelgrpc.WithPropagators(c.Propagator),
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool { return !open(info.FullMethodName) }))}
}

type observedCalls struct{ stats.Handler }

// begunKey holds when a call from REST began.
type begunKey struct{}

// TagRPC begins a call. One that came over REST goes on under its request's span.
func (o observedCalls) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if request := inprocgrpc.ClientContext(ctx); request != nil {
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContextFromContext(request))
		ctx = context.WithValue(ctx, begunKey{}, time.Now())
	}
	return o.Handler.TagRPC(ctx, info)
}

// HandleRPC is told what becomes of a call. The channel from REST does not say when it began.
func (o observedCalls) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok && end.BeginTime.IsZero() {
		whole := *end
		whole.BeginTime, _ = ctx.Value(begunKey{}).(time.Time)
		s = &whole
	}
	o.Handler.HandleRPC(ctx, s)
}

// observeCaller tells a call's span for which workspace it is, and what kind of caller makes it. Who they are stays out: the
// ids of customers and agents are the product's, and may be e-mail addresses.
func observeCaller(ctx context.Context, c support.Caller) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(
			attribute.String("goodship.workspace.id", c.Workspace),
			attribute.String("goodship.caller", strings.TrimPrefix(c.Kind.String(), "CALLER_")))
	}
}

// named tells a request's span and its measures where in REST it goes, as in `GET /v1/conversations/{conversation_id}`.
func (g *gateway) named(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		if route := g.routeOf(r); route != nil && r.Context().Value(probeKey{}) == nil {
			name := strings.ReplaceAll(route.pattern, "=*}", "}")
			attribute := attribute.String("http.route", name)
			span := trace.SpanFromContext(r.Context())
			span.SetName(route.verb + " " + name)
			span.SetAttributes(attribute)
			if labels, ok := otelhttp.LabelerFromContext(r.Context()); ok {
				labels.Add(attribute)
			}
		}
		next(w, r, path)
	}
}

// httpAddress is one as net/http writes it, of ours as well: `read tcp 192.0.2.1:443->192.0.2.7:52011: i/o timeout`.
var httpAddress = regexp.MustCompile(`(\d+(\.\d+){3}|\[[0-9a-fA-F]*:[^\]\s]*\])(:\d+)?`)

// ofCallers is what net/http says of one connection, and what anybody can have it say: failed handshakes, frames that are none.
var ofCallers = regexp.MustCompile(`^(http: TLS handshake error|http2: |timeout waiting for )`)

// httpLog returns the log of an HTTP server, without the addresses of callers.
func httpLog(to *slog.Logger) *log.Logger {
	return log.New(httpLines{to}, "", 0)
}

type httpLines struct{ log *slog.Logger }

// Write takes a line, or a panic with its stack. What callers do is no warning to operators.
func (l httpLines) Write(line []byte) (int, error) {
	text := httpAddress.ReplaceAllString(strings.TrimSpace(string(line)), "somebody")
	level := slog.LevelWarn
	if ofCallers.MatchString(text) && !strings.HasPrefix(text, "http2: panic") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "net/http says", "error", text)
	return len(line), nil
}
