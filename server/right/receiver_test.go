package right

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// receiver is a product's webhook endpoint, which remembers what it was told.
type receiver struct {
	t        *testing.T
	uri      string
	endpoint string
	// taken is asked after each event that was taken, before the reply; nil asks nobody.
	taken func(r *http.Request, n int)

	mu sync.Mutex
	// revisions are those of each conversation in the order in which they came first.
	revisions map[string][]int32
	// ids are the events by their webhook-id.
	ids map[string]event
	// again counts what came more than once.
	again int
}

// event is one of a conversation.
type event struct {
	conversation string
	revision     int32
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, revisions: map[string][]int32{}, ids: map[string]event{}}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.uri = s.URL
	return r
}

// String tells how much came.
func (r *receiver) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%d events delivered, %d of them again", len(r.ids), r.again)
}

// subscribe has the server send everything that agents see.
func (r *receiver) subscribe(h *house) {
	r.t.Helper()
	made := must(h, "", func(ctx context.Context) (*goodshipv1.CreateWebhookEndpointResponse, error) {
		return h.admin().CreateWebhookEndpoint(ctx, &goodshipv1.CreateWebhookEndpointRequest{
			WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: r.uri, View: goodshipv1.WebhookView_WEBHOOK_VIEW_FULL}, RequestId: "subscribe",
		})
	})
	r.endpoint = made.GetWebhookEndpoint().GetId()
	if r.t.Failed() {
		r.t.FailNow()
	}
}

// ServeHTTP implements http.Handler: it takes an event.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the server was killed
	}
	var p goodshipv1.WebhookPayload
	if err := protojson.Unmarshal(body, &p); err != nil {
		r.t.Errorf("a webhook says %s: %v", body, err)
	}
	n := r.take(req.Header.Get("webhook-id"), p.Data)
	if r.taken != nil {
		r.taken(req, n)
	}
	w.WriteHeader(http.StatusNoContent)
}

// take remembers an event, and returns how many came.
func (r *receiver) take(id string, d *goodshipv1.WebhookData) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := event{d.GetConversationId(), d.GetEvent().GetRevision()}
	if was, ok := r.ids[id]; ok {
		if r.again++; was != e {
			r.t.Errorf("%s is %v, and was %v", id, e, was)
		}
		return len(r.ids) + r.again
	}
	r.ids[id] = e
	if e.revision > 0 {
		r.revisions[e.conversation] = append(r.revisions[e.conversation], e.revision)
	}
	return len(r.ids) + r.again
}

// mustHaveAll waits until everything is delivered, and fails the test unless all that happened in these conversations came, in
// order.
func (r *receiver) mustHaveAll(h *house, conversations map[string]string) {
	r.t.Helper()
	r.catchUp(h)
	for id := range conversations {
		c := must(h, "", func(ctx context.Context) (*goodshipv1.Conversation, error) {
			return h.conversations().GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: id})
		})
		r.mu.Lock()
		if got := r.revisions[id]; len(got) != int(c.GetRevision()) {
			r.t.Errorf("%s: %d of %d events came", id, len(got), c.GetRevision())
		}
		for i, revision := range r.revisions[id] {
			if revision != int32(i+1) {
				r.t.Errorf("%s: revision %d came where %d was due", id, revision, i+1)
				break
			}
		}
		r.mu.Unlock()
	}
}

// catchUp waits until the endpoint is behind no more.
func (r *receiver) catchUp(h *house) {
	r.t.Helper()
	for at, since := int32(-1), time.Now(); ; h.rests() {
		e := must(h, "", func(ctx context.Context) (*goodshipv1.WebhookEndpoint, error) {
			return h.admin().GetWebhookEndpoint(ctx, &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: r.endpoint})
		})
		switch {
		case r.t.Failed(), e.GetBehindCount() == 0 && e.GetRetryingCount() == 0:
			return
		case e.GetBehindCount() != at:
			at, since = e.GetBehindCount(), time.Now()
		case time.Since(since) > patience:
			r.t.Fatalf("nothing is delivered for %v: %v", patience, e)
		}
	}
}
