package support

import (
	"context"
	"errors"
	"fmt"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What is measured is how customers are served: waits, promises, lines and credits, by workspace; and whether they are at all, by the
// store's readiness. Nothing is measured of an agent.

// observeTimeout is how long the lines may take to observe. Prometheus itself sets no deadline, and a store that is broken may
// leave a reader waiting.
const observeTimeout = 5 * time.Second

// measuredStore is a store whose units are measured by the events that they append, once they are done: a unit that fails
// or is repeated by its request id measures nothing.
type measuredStore struct {
	store.Store
	waits    metric.Float64Histogram
	promises metric.Int64Counter
	credits  metric.Int64Counter

	ready, length metric.Int64ObservableGauge
	oldest        metric.Float64ObservableGauge
}

// measure returns the store as it is if there is no provider.
func measure(s store.Store, p metric.MeterProvider) (store.Store, error) {
	if p == nil {
		return s, nil
	}
	m := measuredStore{Store: s}
	meter := p.Meter("github.com/goodship/goodship/server/support")
	var errs [7]error
	m.waits, errs[0] = meter.Float64Histogram("goodship.wait.duration", metric.WithUnit("s"),
		metric.WithDescription("How long customers waited for a person's answer."),
		metric.WithExplicitBucketBoundaries(5, 15, 30, 60, 120, 180, 240, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400))
	m.promises, errs[1] = meter.Int64Counter("goodship.promises", metric.WithUnit("{promise}"),
		metric.WithDescription("Promises of an answer, by how they ended."))
	m.ready, errs[2] = meter.Int64ObservableGauge("goodship.store.ready",
		metric.WithDescription("1 while the store takes writes, 0 while it does not."))
	m.length, errs[3] = meter.Int64ObservableGauge("goodship.line.length", metric.WithUnit("{conversation}"),
		metric.WithDescription("Conversations in which the customer waits."))
	m.oldest, errs[4] = meter.Float64ObservableGauge("goodship.line.oldest_wait", metric.WithUnit("s"),
		metric.WithDescription("How long the first in line has waited; 0 if nobody waits."))
	m.credits, errs[5] = meter.Int64Counter("goodship.credits", metric.WithUnit("{credit}"),
		metric.WithDescription("Credits, by what happened to them."))
	_, errs[6] = meter.RegisterCallback(m.observe, m.ready, m.length, m.oldest)
	return &m, errors.Join(errs[:]...)
}

// observe tells whether the store takes writes, and of every workspace's line. A store that is closed has nothing to tell. An
// error is not returned, since an exporter that pushes would drop everything else with it.
func (m *measuredStore) observe(ctx context.Context, o metric.Observer) error {
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	lines, err := m.Lines(ctx)
	if errors.Is(err, store.ErrUnavailable) { // they are in memory, so only a closed store says this of them
		return nil
	}
	ready := int64(1)
	if m.Ready() != nil {
		ready = 0
	}
	o.ObserveInt64(m.ready, ready)
	if err == nil {
		err = m.observeLines(ctx, o, lines)
	}
	if err != nil {
		otel.Handle(fmt.Errorf("the lines cannot be observed: %w", err))
	}
	return nil
}

// observeLines tells of every workspace's line, of which lines lacks those in which nobody waits.
func (m *measuredStore) observeLines(ctx context.Context, o metric.Observer, lines []store.Line) error {
	workspaces, err := m.Workspaces(ctx)
	if err != nil {
		return err
	}
	byWorkspace := map[string]store.Line{}
	for _, l := range lines {
		byWorkspace[l.Workspace] = l
	}
	for _, w := range workspaces {
		id := w.Workspace.GetId()
		l, wait := byWorkspace[id], time.Duration(0)
		if l.Length > 0 {
			wait = max(0, m.Now().Sub(l.Oldest))
		}
		o.ObserveInt64(m.length, int64(l.Length), metric.WithAttributes(ofWorkspace(id)))
		o.ObserveFloat64(m.oldest, wait.Seconds(), metric.WithAttributes(ofWorkspace(id)))
	}
	return nil
}

func ofWorkspace(id string) attribute.KeyValue { return attribute.String("goodship.workspace.id", id) }

// Update implements store.Updater.
func (m *measuredStore) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	var t *measuredTx
	result, err := m.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		t = &measuredTx{Tx: tx} // anew if fn runs again
		return fn(t)
	})
	if err == nil && !result.Replayed && t != nil {
		m.record(ctx, workspace, t)
	}
	return result, err
}

// record tells of what a unit did.
func (m *measuredStore) record(ctx context.Context, workspace string, t *measuredTx) {
	of := ofWorkspace(workspace)
	for _, w := range t.waits {
		m.waits.Record(ctx, w.duration.Seconds(), metric.WithAttributes(of, attribute.String("goodship.promise.state", keptOrBroken(w.kept))))
	}
	for _, state := range t.promises {
		m.promises.Add(ctx, 1, metric.WithAttributes(of, attribute.String("goodship.promise.state", state)))
	}
	for _, event := range t.credits {
		m.credits.Add(ctx, 1, metric.WithAttributes(of, attribute.String("goodship.credit.event", event)))
	}
}

// creditEvents name what happens to credits.
var creditEvents = map[goodshipv1.LedgerEntryKind]string{
	goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED:  "granted",
	goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED:  "settled",
	goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_REFUSED:  "refused",
	goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_REVERSED: "reversed",
}

// AppendLedger implements store.CreditTx.
func (t *measuredTx) AppendLedger(l *storev1.LedgerRecord, e *goodshipv1.LedgerEntry) error {
	t.credits = append(t.credits, creditEvents[e.Kind])
	return t.Tx.AppendLedger(l, e)
}

func keptOrBroken(kept bool) string {
	if kept {
		return "kept"
	}
	return "broken"
}

// measuredTx notes the waits and promises that end in a unit.
type measuredTx struct {
	store.Tx
	waits    []wait
	promises []string
	credits  []string
}

// wait is a wait that a person's answer ended.
type wait struct {
	duration time.Duration
	kept     bool
}

// Append implements store.ConversationTx.
func (t *measuredTx) Append(c store.Change) error {
	start, err := t.waitStart(c)
	if err != nil {
		return err
	}
	if err := t.Tx.Append(c); err != nil {
		return err
	}
	for _, e := range c.Record.Events {
		switch k := e.Kind.(type) {
		case *goodshipv1.Event_WaitBegan:
			start = k.WaitBegan.StartTime
		case *goodshipv1.Event_WaitAnswered:
			t.waits = append(t.waits, wait{e.CreateTime.AsTime().Sub(start.AsTime()), k.WaitAnswered.Kept})
			if k.WaitAnswered.Kept {
				t.promises = append(t.promises, "kept")
			}
		case *goodshipv1.Event_PromiseBroken:
			t.promises = append(t.promises, "broken")
		case *goodshipv1.Event_Resolved:
			if k.Resolved.PromiseCanceled {
				t.promises = append(t.promises, "canceled")
			}
		}
	}
	return nil
}

// waitStart returns when the wait began that a change ends, as it stood before; nil if it ends none.
func (t *measuredTx) waitStart(c store.Change) (*timestamppb.Timestamp, error) {
	for _, e := range c.Record.Events {
		if e.GetWaitAnswered() == nil {
			continue
		}
		head, err := t.Conversation(c.Head.Conversation.Id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		return head.GetConversation().GetAnswerPromise().GetStartTime(), err
	}
	return nil, nil
}

// streamMetrics measure the streams that watch; nil measures nothing.
type streamMetrics struct {
	open     metric.Int64UpDownCounter
	delivery metric.Float64Histogram
}

// measureStreams returns nil if there is no provider.
func measureStreams(p metric.MeterProvider) (*streamMetrics, error) {
	if p == nil {
		return nil, nil
	}
	meter := p.Meter("github.com/goodship/goodship/server/support")
	var m streamMetrics
	var errs [2]error
	m.open, errs[0] = meter.Int64UpDownCounter("goodship.watch.streams", metric.WithUnit("{stream}"),
		metric.WithDescription("Streams that watch."))
	m.delivery, errs[1] = meter.Float64Histogram("goodship.watch.delivery", metric.WithUnit("s"),
		metric.WithDescription("How long after an event a stream that was up to date was told of it."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	return &m, errors.Join(errs[:]...)
}

// add counts a stream that begins, or with -1 one that ends.
func (m *streamMetrics) add(ctx context.Context, workspace string, n int64) {
	if m != nil {
		m.open.Add(ctx, n, metric.WithAttributes(ofWorkspace(workspace)))
	}
}

// delivered tells that a stream was told of an event, by the store's clock.
func (m *streamMetrics) delivered(ctx context.Context, workspace string, clock store.Keeper, e *goodshipv1.Event) {
	if m != nil {
		after := clock.Now().Sub(e.CreateTime.AsTime())
		m.delivery.Record(ctx, after.Seconds(), metric.WithAttributes(ofWorkspace(workspace)))
	}
}

// webhookMetrics measure what is sent to webhook endpoints; nil measures nothing.
type webhookMetrics struct {
	tries    metric.Int64Counter
	delivery metric.Float64Histogram
}

// measureWebhooks returns nil if there is no provider; down tells how many endpoints are down, by workspace.
func measureWebhooks(p metric.MeterProvider, down func() map[string]int64) (*webhookMetrics, error) {
	if p == nil {
		return nil, nil
	}
	meter := p.Meter("github.com/goodship/goodship/server/support")
	var m webhookMetrics
	var errs [3]error
	m.tries, errs[0] = meter.Int64Counter("goodship.webhook.tries", metric.WithUnit("{request}"),
		metric.WithDescription("Requests to webhook endpoints, by whether they took the event."))
	m.delivery, errs[1] = meter.Float64Histogram("goodship.webhook.delivery", metric.WithUnit("s"),
		metric.WithDescription("How long after an event a webhook endpoint took it; not of what is replayed by its delivery."),
		metric.WithExplicitBucketBoundaries(.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400))
	_, errs[2] = meter.Int64ObservableGauge("goodship.webhook.down", metric.WithUnit("{endpoint}"),
		metric.WithDescription("Webhook endpoints that are enabled and take nothing, so that they are only probed."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for workspace, endpoints := range down() {
				o.Observe(endpoints, metric.WithAttributes(ofWorkspace(workspace)))
			}
			return nil
		}))
	return &m, errors.Join(errs[:]...)
}

// tried tells of a request, that was answered now.
func (m *webhookMetrics) tried(workspace string, l landing, now time.Time) {
	if m == nil {
		return
	}
	taken := l.outcome.Failure == ""
	m.tries.Add(context.Background(), 1, metric.WithAttributes(ofWorkspace(workspace), attribute.Bool("goodship.webhook.taken", taken)))
	if taken && l.replay == nil {
		m.delivery.Record(context.Background(), now.Sub(l.letter.at).Seconds(), metric.WithAttributes(ofWorkspace(workspace)))
	}
}
