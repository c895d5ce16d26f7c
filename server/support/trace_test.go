package support_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"go.opentelemetry.io/otel/trace"
)

// What follows from an event, a webhook, a report, comes later and in a trace of its own. It links to the one that made it.
func TestRecordsKeepTheTraceThatMadeThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller, err := w.Authenticate(t.Context(), w.secret, "customer/kim")
	if err != nil {
		t.Fatal(err)
	}
	span := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}
	for _, flags := range []trace.TraceFlags{trace.FlagsSampled, 0} {
		span.TraceFlags = flags
		ctx := trace.ContextWithSpanContext(support.WithCaller(t.Context(), caller), trace.NewSpanContext(span))
		if _, err := w.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: "Ahoy"}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"00-01000000000000000000000000000000-0200000000000000-01", ""}
	if got := traceparents(t, w.store); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// traceparents returns those of all records of a store, in the order of conversations.
func traceparents(t *testing.T, s store.Store) (all []string) {
	t.Helper()
	var backup bytes.Buffer
	if err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	r, err := store.NewBackupReader(&backup)
	for err == nil {
		entry, e := r.Next()
		if record := entry.GetLogRecord(); e == nil && record != nil {
			all = append(all, record.Record.Traceparent)
		}
		err = e
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}
