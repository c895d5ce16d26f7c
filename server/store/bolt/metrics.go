package bolt

import (
	"context"
	"errors"
	"time"

	"github.com/goodship/goodship/server/store"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// scope is what the engine is called in metrics and traces.
const scope = "github.com/goodship/goodship/server/store/bolt"

// metrics are what the store measures; nil if nobody asks.
type metrics struct {
	batch               metric.Int64Histogram
	queue, commit, sync metric.Float64Histogram
}

// newMetrics returns nil for no provider.
func newMetrics(p metric.MeterProvider) (*metrics, error) {
	if p == nil {
		return nil, nil
	}
	var m metrics
	var errs [4]error
	meter := p.Meter(scope)
	m.batch, errs[0] = meter.Int64Histogram("goodship.store.commit.batch", metric.WithUnit("{unit}"),
		metric.WithDescription("Units of work that shared a commit."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024))
	times := func(name, what string, err *error) (h metric.Float64Histogram) {
		h, *err = meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what),
			metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
		return h
	}
	m.queue = times("goodship.store.queue.duration", "How long a unit of work waited for the writer.", &errs[1])
	m.commit = times("goodship.store.commit.duration", "How long a commit took, its sync included.", &errs[2])
	m.sync = times("goodship.store.sync.duration", "How long a commit wrote to the disk and waited for it.", &errs[3])
	return &m, errors.Join(errs[:]...)
}

// watch is when a unit came to the points on its way. Only a unit that is measured or traced has one.
type watch struct {
	// span is what the unit is a part of; nil if that is not recorded.
	span                   trace.Span
	queued, begun, applied time.Time
	// commit is the batch's; nil before.
	commit *commitWatch
}

// commitWatch is when a batch was committed.
type commitWatch struct {
	begun, ended time.Time
	// sync is the part of it that was spent on the disk; 0 if nothing was to be written.
	sync  time.Duration
	units int
}

// watch begins to watch a unit; nil if nobody would look.
func (s *Store) watch(ctx context.Context) *watch {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		if s.metrics == nil {
			return nil
		}
		span = nil
	}
	return &watch{span: span, queued: time.Now()}
}

func (w *watch) begin() {
	if w != nil {
		w.begun = time.Now()
	}
}

func (w *watch) apply() {
	if w != nil {
		w.applied = time.Now()
	}
}

// watch begins to watch the batch's commit, for those of its units that are watched; nil if none is.
func (b *batch) watch() *commitWatch {
	var c *commitWatch
	for _, u := range b.units {
		if u.watch == nil {
			continue
		}
		if c == nil {
			c = &commitWatch{begun: time.Now(), units: len(b.units)}
		}
		u.watch.commit = c
	}
	return c
}

// end is called before the units are answered.
func (c *commitWatch) end(b *batch) {
	if c == nil {
		return
	}
	c.ended = time.Now()
	if b.tx != nil {
		stats := b.tx.Stats()
		c.sync = stats.GetWriteTime()
	}
}

// committed measures a commit that wrote something. Its exemplar is the trace of its first unit.
func (m *metrics) committed(b *batch, c *commitWatch) {
	if m == nil || c == nil || c.sync == 0 {
		return
	}
	ctx := b.units[0].ctx
	m.batch.Record(ctx, int64(c.units))
	m.commit.Record(ctx, c.ended.Sub(c.begun).Seconds())
	m.sync.Record(ctx, c.sync.Seconds())
}

// tell measures a unit that has been answered, and adds it to its trace, on its caller's goroutine: the writer has no time
// for that.
func (s *Store) tell(u *unit) {
	w := u.watch
	if w == nil {
		return
	}
	if s.metrics != nil {
		s.metrics.queue.Record(u.ctx, w.begun.Sub(w.queued).Seconds())
	}
	if w.span == nil {
		return
	}
	t := w.span.TracerProvider().Tracer(scope)
	ctx, span := t.Start(u.ctx, "store.update", trace.WithTimestamp(w.queued), trace.WithAttributes(
		attribute.String("goodship.workspace.id", u.workspace), attribute.Bool("goodship.store.replayed", u.result.Replayed)))
	if id := u.result.Receipt.GetConversationId(); id != "" {
		span.SetAttributes(attribute.String("goodship.conversation.id", id))
	}
	period(ctx, t, "store.queue", w.queued, w.begun)
	period(ctx, t, "store.apply", w.begun, w.applied)
	if c := w.commit; c != nil && c.sync > 0 {
		ctx := period(ctx, t, "store.commit", c.begun, c.ended, attribute.Int("goodship.store.commit.batch", c.units))
		period(ctx, t, "store.sync", c.ended.Add(-c.sync), c.ended)
	}
	if failed(u.err) {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// period adds a span that is over, and returns the context for what was inside of it.
func period(ctx context.Context, t trace.Tracer, name string, begun, ended time.Time, attributes ...attribute.KeyValue) context.Context {
	ctx, span := t.Start(ctx, name, trace.WithTimestamp(begun), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(ended))
	return ctx
}

// failed reports whether a unit failed by the store's fault. What fn refuses is no failure.
func failed(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrDataLoss)
}
