package support

import (
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// tracedStore is a store whose records keep the sampled trace that made them, so that what follows later can link to it.
type tracedStore struct{ store.Store }

// Update implements store.Updater.
func (s tracedStore) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return s.Store.Update(ctx, workspace, once, fn)
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return s.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		return fn(tracedTx{tx, carrier.Get("traceparent")})
	})
}

type tracedTx struct {
	store.Tx
	traceparent string
}

// Append implements store.ConversationTx.
func (t tracedTx) Append(c store.Change) error {
	c.Record.Traceparent = t.traceparent
	return t.Tx.Append(c)
}
