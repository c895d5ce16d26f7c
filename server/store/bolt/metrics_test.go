package bolt_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestUnitsAreTraced has units that end in every way within a span: what did not happen is not told.
func TestUnitsAreTraced(t *testing.T) {
	t.Parallel()
	const begun, whole = "store.apply store.queue store.update", "store.apply store.commit store.queue store.sync store.update"
	for _, test := range []struct {
		name string
		fn   func(store.Tx) error
		fail error
		want string
		code codes.Code
	}{
		{"good", func(tx store.Tx) error { return say(tx, "conv_001", "text", nil) }, nil, whole, codes.Unset},
		{"refused", func(store.Tx) error { return errors.New("refused") }, nil, begun, codes.Unset},
		{"changing nothing", func(store.Tx) error { return nil }, nil, begun, codes.Unset},
		{"not committed", func(tx store.Tx) error { return say(tx, "conv_001", "text", nil) }, errors.New("the disk"), begun, codes.Error},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st := mustOpen(t, tempFile(t), bolt.Options{})
			bolt.SetHooks(st, nothing, func() error { return test.fail }, nothing)
			recorder := tracetest.NewSpanRecorder()
			ctx, parent := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test").Start(t.Context(), "parent")
			_ = update(ctx, st, test.fn)
			var names []string
			for _, span := range recorder.Ended() {
				names = append(names, span.Name())
				if span.Name() == "store.update" && (span.Status().Code != test.code || span.Parent().SpanID() != parent.SpanContext().SpanID()) {
					t.Errorf("store.update is %v under %v", span.Status(), span.Parent())
				}
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("got the spans %s, want %s", got, test.want)
			}
		})
	}
}

// TestAUnitThatDoesNotBeginIsNotTraced gives up in the queue.
func TestAUnitThatDoesNotBeginIsNotTraced(t *testing.T) {
	t.Parallel()
	st, release, _ := gate(t, nothing)
	recorder := tracetest.NewSpanRecorder()
	ctx, _ := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test").Start(t.Context(), "parent")
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- update(ctx, st, func(store.Tx) error { return nil }) }()
	for bolt.QueueLen(st) == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release(0)
	if got := len(recorder.Ended()); got != 0 {
		t.Errorf("got %d spans", got)
	}
}
