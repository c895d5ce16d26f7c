package telemetry

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// allowed lets through the attributes that leave the server, of spans, metrics and log records alike. Their values come
// from the contract, from the server's configuration, or are ids that the server makes. What a caller can write (paths,
// queries, headers, the texts of errors), who they are and where they call from is not here.
var allowed = attribute.NewAllowKeysFilter(
	// Calls.
	"http.request.method", "http.route", "http.response.status_code", "http.request.body.size", "http.response.body.size",
	"rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type", "exception.type",
	// Ours.
	"goodship.workspace.id", "goodship.conversation.id", "goodship.caller", "goodship.promise.state",
	"goodship.credit.event", "goodship.webhook.taken", "goodship.store.replayed", "goodship.store.commit.batch",
	// Log records.
	"workspace", "conversation", "revision", "credit", "endpoint", "position", "erasure",
	"method", "incident", "stack", "version", "grpc", "rest", "admin", "listener", "limit", "is", "refused",
)

// redacted returns what of attributes may leave.
func redacted(attributes []attribute.KeyValue) []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(attributes), func(a attribute.KeyValue) bool { return !allowed(a) })
}

// redactedSpans exports what of spans may leave.
type redactedSpans struct{ sdktrace.SpanExporter }

// ExportSpans implements sdktrace.SpanExporter.
func (e redactedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	out := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, s := range spans {
		out[i] = redactedSpan{s}
	}
	return e.SpanExporter.ExportSpans(ctx, out)
}

type redactedSpan struct{ sdktrace.ReadOnlySpan }

// Attributes implements sdktrace.ReadOnlySpan, as the following do.
func (s redactedSpan) Attributes() []attribute.KeyValue { return redacted(s.ReadOnlySpan.Attributes()) }

// SpanContext leaves out the trace state, which callers write.
func (s redactedSpan) SpanContext() trace.SpanContext {
	return s.ReadOnlySpan.SpanContext().WithTraceState(trace.TraceState{})
}

// Parent leaves out the trace state as well.
func (s redactedSpan) Parent() trace.SpanContext {
	return s.ReadOnlySpan.Parent().WithTraceState(trace.TraceState{})
}

// Links are as the span is.
func (s redactedSpan) Links() []sdktrace.Link {
	links := slices.Clone(s.ReadOnlySpan.Links())
	for i := range links {
		links[i].SpanContext = links[i].SpanContext.WithTraceState(trace.TraceState{})
		links[i].Attributes = redacted(links[i].Attributes)
	}
	return links
}

// Events are what happened, without the messages of exceptions.
func (s redactedSpan) Events() []sdktrace.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Attributes = redacted(events[i].Attributes)
	}
	return events
}

// Status is whether it went well, without the sentence that says why not.
func (s redactedSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

// redactedMetrics is the view of every instrument. Sizes of bodies are not measured.
func redactedMetrics(i sdkmetric.Instrument) (sdkmetric.Stream, bool) {
	s := sdkmetric.Stream{Name: i.Name, Description: i.Description, Unit: i.Unit, AttributeFilter: allowed, ExemplarReservoirProviderSelector: redactedExemplars}
	if strings.HasSuffix(i.Name, ".body.size") {
		s.Aggregation = sdkmetric.AggregationDrop{}
	}
	return s, true
}

// redactedExemplars keeps exemplars as the library does, without the attributes that the view took out: those would leave
// with them.
func redactedExemplars(a sdkmetric.Aggregation) exemplar.ReservoirProvider {
	provider := sdkmetric.DefaultExemplarReservoirProviderSelector(a)
	return func(attributes attribute.Set) exemplar.Reservoir { return redactedReservoir{provider(attributes)} }
}

type redactedReservoir struct{ exemplar.Reservoir }

// Offer implements exemplar.Reservoir.
func (r redactedReservoir) Offer(ctx context.Context, at time.Time, v exemplar.Value, _ []attribute.KeyValue) {
	r.Reservoir.Offer(ctx, at, v, nil)
}

// redactedLogs exports what of log records may leave: their messages, which stand in the code, and the attributes that are
// allowed. The errors themselves stay in the server's own log, under the same incident and trace.
type redactedLogs struct{ sdklog.Exporter }

// Export implements sdklog.Exporter.
func (e redactedLogs) Export(ctx context.Context, records []sdklog.Record) error {
	out := make([]sdklog.Record, len(records))
	for i := range records {
		out[i] = records[i].Clone()
		var kept []attribute.KeyValue
		out[i].WalkAttributes(func(a attribute.KeyValue) bool {
			kept = append(kept, a)
			return true
		})
		out[i].SetAttributes(redacted(kept)...)
	}
	return e.Exporter.Export(ctx, out)
}
