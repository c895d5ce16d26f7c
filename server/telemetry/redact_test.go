package telemetry_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

// canary is what must not leave the server: it stands for texts, names, addresses and credentials.
const canary = "canary-4711"

// last is what strangers call last.
const last = "goodship.v1.MessageService/GetMessage"

// strangers makes calls that carry the canary wherever a caller can write something.
func strangers(t *testing.T, s *servertest.Server) {
	t.Helper()
	for _, path := range []string{
		"/" + canary, "/v1/conversations/" + canary, "/v1/conversations?page_token=" + canary, "/v1/conversations?" + canary + "=1",
		"/v1/agents/" + canary + "@example.com",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.REST+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = canary + ".example"
		for name, value := range map[string]string{
			"Authorization": "Bearer " + s.Key, "Goodship-Act-For": "customer/" + canary + "@example.com", "User-Agent": canary,
			"X-Forwarded-For": canary, "Forwarded": "for=" + canary, "Cookie": canary + "=1", "Referer": "http://" + canary + ".example",
			"traceparent": callersParent, "tracestate": "vendor=" + canary, "baggage": "name=" + canary,
		} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	conn := s.Conn("customer/" + canary)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", callersParent, "tracestate", "vendor="+canary, canary, canary, "user-agent", canary)
	_ = conn.Invoke(ctx, "/goodship.v1."+canary+"/"+canary, &goodshipv1.GetConversationRequest{}, &goodshipv1.Conversation{})
	_, _ = goodshipv1.NewMessageServiceClient(conn).GetMessage(ctx, &goodshipv1.GetMessageRequest{ConversationId: canary, Number: 1})
}

// TestNothingPersonalLeaves has the canary in every text and everywhere that a stranger writes, and looks for it, and for
// the key and the addresses of callers, in all that is sent.
func TestNothingPersonalLeaves(t *testing.T) {
	r := newReceiver(t)
	r.environment(t)
	observed := start(t, t.Output())
	c := newClock()
	s := serve(t, observed, servertest.WithClock(c))
	play(t, s, c)
	strangers(t, s)
	careless(t, observed.TracerProvider)
	r.until(t, "the spans, and the metrics of them", func() bool {
		return r.span("careless") != nil && r.span(last) != nil && strings.Contains(r.metric("rpc.server.call.duration").String(), last) &&
			points(r, "goodship.wait.duration") == 2
	})
	text := r.text()
	for _, secret := range []string{canary, s.Key, "127.0.0.1", "captain"} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%q left the server: …%s…", secret, text[max(0, i-300):min(len(text), i+100)])
		}
	}
}

// careless makes a span of code that does not think of it.
func careless(t *testing.T, p trace.TracerProvider) {
	t.Helper()
	linked := trace.Link{SpanContext: trace.SpanContextFromContext(t.Context()), Attributes: []attribute.KeyValue{attribute.String("text", canary)}}
	_, span := p.Tracer("test").Start(t.Context(), "careless", trace.WithLinks(linked), trace.WithAttributes(attribute.String("url.path", canary)))
	span.RecordError(errors.New(canary))
	span.SetStatus(codes.Error, canary)
	span.AddEvent("event", trace.WithAttributes(attribute.String("email", canary)))
	span.End()
}

// TestNothingPersonalIsScraped looks for the same at /metrics, where series are bounded too: strangers add none.
func TestNothingPersonalIsScraped(t *testing.T) {
	environment(t, "OTEL_METRICS_EXPORTER=prometheus")
	observed := start(t, t.Output())
	c := newClock()
	s := serve(t, observed, servertest.WithClock(c))
	play(t, s, c)
	strangers(t, s)
	before := scrape(t, s)
	for tries := 0; !strings.Contains(before, last); tries++ { // a call is measured just after it was answered
		if tries == 1000 {
			t.Fatal("the strangers are not measured")
		}
		before = scrape(t, s)
	}
	for _, secret := range []string{canary, s.Key, "127.0.0.1", "captain"} {
		if strings.Contains(before, secret) {
			t.Errorf("%q is scraped:\n%s", secret, before)
		}
	}
	strangers(t, s)
	if before, after := series(before), series(scrape(t, s)); before != after {
		t.Errorf("there were %d series, and after the same strangers came again %d", before, after)
	}
}

func series(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// scrape returns what /metrics says to who asks for OpenMetrics, as Prometheus does.
func scrape(t *testing.T, s *servertest.Server) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.Admin+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %v: %s", resp.StatusCode, err, text)
	}
	return string(text)
}
