package support_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/memory"
	"github.com/goodship/goodship/server/support"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// measured makes a world whose service is measured. Like every world's, its store runs each unit twice.
func measured(t *testing.T) (w *world, read func() string) {
	t.Helper()
	w = newWorld(t)
	return w, w.measure()
}

// measure begins a life of the service that is measured, and returns how to read what was, as in `promises kept 2`.
func (w *world) measure() (read func() string) {
	w.t.Helper()
	reader := sdkmetric.NewManualReader()
	svc, err := support.New(w.store, support.Options{Clock: w.clock, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = svc
	return func() string {
		w.t.Helper()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(w.t.Context(), &all); err != nil {
			w.t.Fatal(err)
		}
		var lines []string
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				lines = append(lines, tell(w.workspace, m)...)
			}
		}
		slices.Sort(lines)
		return strings.Join(lines, ", ")
	}
}

// tell returns a metric of a workspace in words, times in whole seconds.
func tell(workspace string, m metricdata.Metrics) []string {
	name := strings.TrimPrefix(m.Name, "goodship.")
	var lines []string
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			state, _ := p.Attributes.Value("goodship.promise.state")
			lines = append(lines, fmt.Sprintf("%s %s %d of %.0f s", name, state.AsString(), p.Count, p.Sum))
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			state, ok := p.Attributes.Value("goodship.promise.state")
			if !ok {
				state, _ = p.Attributes.Value("goodship.credit.event")
			}
			lines = append(lines, fmt.Sprintf("%s %s %d", name, state.AsString(), p.Value))
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			if id, _ := p.Attributes.Value("goodship.workspace.id"); id.AsString() == workspace {
				lines = append(lines, fmt.Sprintf("%s %d", name, p.Value))
			}
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			if id, _ := p.Attributes.Value("goodship.workspace.id"); id.AsString() == workspace {
				lines = append(lines, fmt.Sprintf("%s %.0f", name, p.Value))
			}
		}
	}
	return lines
}

const nobodyWaits = "line.length 0, line.oldest_wait 0"

func TestWaitsAndPromisesAreMeasured(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		play func(w *world, id string)
		want string
	}{
		{"nobody answers", func(*world, string) {}, "line.length 1, line.oldest_wait 90"},
		{"an answer", func(w *world, id string) { w.says(ada, id, "Hello!") },
			nobodyWaits + ", promises kept 1, wait.duration kept 1 of 90 s"},
		{"an answer to what is answered", func(w *world, id string) {
			w.says(ada, id, "Hello!")
			w.says(ada, id, "And another thing.")
		}, nobodyWaits + ", promises kept 1, wait.duration kept 1 of 90 s"},
		{"an answer that was sent twice", func(w *world, id string) {
			req := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: w.revision(id), RequestId: "hello"}
			do[*goodshipv1.Message](w, ada, req)
			do[*goodshipv1.Message](w, ada, req)
		}, nobodyWaits + ", promises kept 1, wait.duration kept 1 of 90 s"},
		{"an answer that is refused", func(w *world, id string) {
			w.refuses(ada, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!"}, "FailedPrecondition SEEN_REVISION_REQUIRED revision="+fmt.Sprint(w.revision(id)))
		}, "line.length 1, line.oldest_wait 90"},
		{"an answer that a message crossed", func(w *world, id string) {
			seen := w.revision(id)
			w.says(kim, id, "Are you there?")
			w.passes(30 * time.Second)
			do[*goodshipv1.Message](w, ada, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: seen})
			w.passes(30 * time.Second)
			w.says(ada, id, "Yes.") // to what she asked 60 s ago; the other was 120 s ago, then
		}, nobodyWaits + ", promises kept 2, wait.duration kept 2 of 180 s"},
		{"an answer after the promised time", func(w *world, id string) {
			w.passes(10 * time.Minute)
			w.says(ada, id, "Sorry!")
		}, nobodyWaits + ", promises broken 1, wait.duration broken 1 of 690 s"},
		{"a matter that needs no answer", func(w *world, id string) {
			w.claims(ada, id)
			do[*goodshipv1.Conversation](w, ada, &goodshipv1.DismissConversationRequest{ConversationId: id, Reason: goodshipv1.DismissReason_DISMISS_REASON_SPAM, SeenRevision: w.revision(id)})
		}, nobodyWaits + ", promises canceled 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, read := measured(t)
			id := waits(w)
			w.passes(90 * time.Second)
			test.play(w, id)
			if got := read(); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestWhatIsNotKeptIsNotMeasured has an answer that is decided, and then the disk fails.
func TestWhatIsNotKeptIsNotMeasured(t *testing.T) {
	t.Parallel()
	w, _ := measured(t)
	id := waits(w)
	seen := w.revision(id)
	w.store = unkept{w.store}
	read := w.measure()
	w.answers(w.by(ada), &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: seen}, "Unavailable STORE_UNAVAILABLE retry after 1s")
	if got, want := read(), "line.length 1, line.oldest_wait 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// unkept is a store whose units come to nothing after they ran.
type unkept struct{ store.Store }

func (s unkept) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	return s.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		if _, err := fn(tx); err != nil {
			return nil, err
		}
		return nil, store.ErrUnavailable
	})
}

// TestAClosedStoreHasNoLine is read after the end, as by the last export.
func TestAClosedStoreHasNoLine(t *testing.T) {
	t.Parallel()
	w, read := measured(t)
	waits(w)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "" {
		t.Errorf("got %s, want nothing", got)
	}
}

// TestReadinessIsMeasured has stores in every state, also those in which nothing else can be told.
func TestReadinessIsMeasured(t *testing.T) {
	t.Parallel()
	damaged := errors.New("a page is damaged")
	for _, test := range []struct {
		name  string
		store ailing
		want  string
	}{
		{"well", ailing{}, "1 and lines"},
		{"full", ailing{ready: store.ErrFull}, "0 and lines"},
		{"broken", ailing{ready: store.ErrUnavailable}, "0 and lines"},
		{"broken, and the file not to be read", ailing{ready: store.ErrUnavailable, workspaces: store.ErrUnavailable}, "0"},
		{"broken, and nothing to be read", ailing{ready: store.ErrUnavailable, lines: damaged, workspaces: damaged}, "0"},
		{"closed", ailing{ready: store.ErrUnavailable, lines: store.ErrUnavailable, workspaces: store.ErrUnavailable}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.store.Store = w.store
			if got := readiness(t, test.store); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestReadinessIsMeasuredOfAStoreThatHangs has a store in which readers wait for what never comes.
func TestReadinessIsMeasuredOfAStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if got := readiness(t, hanging{ailing{Store: memory.New(memory.Options{}), ready: store.ErrUnavailable}}); got != "0" {
			t.Errorf("got %q, want 0", got)
		}
	})
}

// readiness returns what a service over a store measures of it.
func readiness(t *testing.T, s store.Store) (told string) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	if _, err := support.New(s, support.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Errorf("%v: and nothing is exported", err)
	}
	lines := ""
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data, _ := m.Data.(metricdata.Gauge[int64]); m.Name {
			case "goodship.store.ready":
				told += fmt.Sprint(data.DataPoints[0].Value)
			case "goodship.line.length":
				lines = " and lines"
			}
		}
	}
	return told + lines
}

// ailing is a store that says what it lacks.
type ailing struct {
	store.Store
	ready, lines, workspaces error
}

func (s ailing) Ready() error { return s.ready }

func (s ailing) Lines(ctx context.Context) ([]store.Line, error) {
	lines, err := s.Store.Lines(ctx)
	return lines, errors.Join(err, s.lines)
}

func (s ailing) Workspaces(ctx context.Context) ([]*storev1.WorkspaceRecord, error) {
	all, err := s.Store.Workspaces(ctx)
	return all, errors.Join(err, s.workspaces)
}

// hanging is a store whose file nobody comes to read.
type hanging struct{ ailing }

func (hanging) Workspaces(ctx context.Context) ([]*storev1.WorkspaceRecord, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
