package support_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/webhook"
	"google.golang.org/protobuf/encoding/protojson"
)

// receiver is an endpoint: a server over HTTP that keeps what it was sent, and answers as it is told.
type receiver struct {
	*httptest.Server
	t testing.TB

	mu  sync.Mutex
	got []arrival
	// answer returns the status of an answer; nil takes everything.
	answer func(arrival) int
	// news has a value when something arrived.
	news chan struct{}
}

// arrival is a request as it came.
type arrival struct {
	*goodshipv1.WebhookPayload
	id     string
	header http.Header
	body   []byte
	status int
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{t: t, news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	a := arrival{WebhookPayload: &goodshipv1.WebhookPayload{}, id: req.Header.Get("webhook-id"), header: req.Header, body: body, status: http.StatusNoContent}
	if err == nil {
		err = protojson.Unmarshal(body, a.WebhookPayload)
	}
	if err != nil {
		r.t.Errorf("what came is no payload: %v: %s", err, body)
	}
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		a.status = answer(a)
	}
	r.mu.Lock()
	r.got = append(r.got, a)
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
	w.WriteHeader(a.status)
}

// answers sets how it answers from now on.
func (r *receiver) answers(status func(arrival) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = status
}

// arrived returns what arrived by now.
func (r *receiver) arrived() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// awaits returns what arrived, once that are so many.
func (r *receiver) awaits(count int) []arrival {
	r.t.Helper()
	for {
		if got := r.arrived(); len(got) >= count {
			return got
		}
		select {
		case <-r.news:
		case <-time.After(patience):
			r.t.Fatalf("got %d webhooks, want %d: %s", len(r.arrived()), count, story(r.arrived()))
		}
	}
}

// story tells arrivals in short.
func story(all []arrival) string {
	var words []string
	for _, a := range all {
		words = append(words, a.Type)
	}
	return strings.Join(words, " ")
}

// hooks is a world whose events are sent to endpoints on this machine.
type hooks struct {
	*timed
	// units has a value after each unit.
	units chan struct{}
	// unmarked says that no delivery can be noted, and hits counts how often one was not.
	unmarked atomic.Bool
	hits     atomic.Int32
}

func newHooks(t testing.TB) *hooks {
	t.Helper()
	clock, dir := faketime.New(), t.TempDir()
	h := &hooks{units: make(chan struct{}, 1)}
	kept := h.hooked(rehearsed{openStoreIn(t, dir, clock.Now)})
	h.timed = &timed{dir: dir, how: support.Options{
		Clock: clock, Log: slog.New(slog.DiscardHandler),
		Webhooks: webhook.Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}}
	h.world = foundWorld(t, clock, kept)
	h.starts()
	return h
}

// hooked returns a store that tells of its units, and notes no delivery while that is said.
func (h *hooks) hooked(s store.Store) store.Store {
	return &hooked{Store: s, afterUnit: h.unit, tx: func(tx store.Tx) store.Tx { return marking{tx, h} }}
}

// marking is a transaction in which deliveries are noted, or not.
type marking struct {
	store.Tx
	of *hooks
}

func (m marking) PutDelivery(endpoint string, d *goodshipv1.WebhookDelivery) error {
	if m.of.unmarked.Load() {
		m.of.hits.Add(1)
		return fmt.Errorf("no mark: %w", store.ErrUnavailable)
	}
	return m.Tx.PutDelivery(endpoint, d)
}

func (h *hooks) unit() {
	select {
	case h.units <- struct{}{}:
	default:
	}
}

// until waits until something holds. It looks after each unit, and now and then: what is not for an endpoint is passed over without
// one.
func (h *hooks) until(what string, holds func() bool) {
	h.t.Helper()
	h.untilWhile(what, 0, holds)
}

// untilWhile is until while time passes, in steps.
func (h *hooks) untilWhile(what string, step time.Duration, holds func() bool) {
	h.t.Helper()
	for end := time.After(patience); !holds(); {
		select {
		case <-h.units:
		case <-time.After(5 * time.Millisecond):
			h.clock.Jump(step)
		case <-end:
			h.t.Fatalf("%s: it does not come to that", what)
		}
	}
}

// endpoint makes an endpoint, and returns it with its secret.
func (h *hooks) endpoint(r *receiver, view goodshipv1.WebhookView, kinds ...string) (*goodshipv1.WebhookEndpoint, string) {
	h.t.Helper()
	made := do[*goodshipv1.CreateWebhookEndpointResponse](h.world, backend, &goodshipv1.CreateWebhookEndpointRequest{
		WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: r.URL, View: view, EventKinds: kinds},
	})
	return made.WebhookEndpoint, made.Secret
}

// now returns an endpoint as it is.
func (h *hooks) now(e *goodshipv1.WebhookEndpoint) *goodshipv1.WebhookEndpoint {
	h.t.Helper()
	return do[*goodshipv1.WebhookEndpoint](h.world, backend, &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: e.Id})
}

// deliveries returns an endpoint's delivery log, oldest first.
func (h *hooks) deliveries(e *goodshipv1.WebhookEndpoint) []*goodshipv1.WebhookDelivery {
	h.t.Helper()
	var all []*goodshipv1.WebhookDelivery
	for token := ""; ; {
		page := do[*goodshipv1.ListWebhookDeliveriesResponse](h.world, backend, &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: e.Id, PageSize: 7, PageToken: token})
		all = append(all, page.Deliveries...)
		if token = page.NextPageToken; token == "" {
			slices.Reverse(all)
			return all
		}
	}
}

// states counts an endpoint's deliveries by their state, as in DELIVERED:3.
func (h *hooks) states(e *goodshipv1.WebhookEndpoint) map[string]int {
	h.t.Helper()
	count := map[string]int{}
	for _, d := range h.deliveries(e) {
		count[strings.TrimPrefix(d.State.String(), "WEBHOOK_DELIVERY_STATE_")]++
	}
	return count
}

// settled waits until everything was delivered or given up.
func (h *hooks) settled(e *goodshipv1.WebhookEndpoint) {
	h.t.Helper()
	h.settledWhile(e, 0)
}

// settledWhile is settled while time passes.
func (h *hooks) settledWhile(e *goodshipv1.WebhookEndpoint, step time.Duration) {
	h.t.Helper()
	now := h.now(e)
	defer func() {
		if h.t.Failed() {
			h.t.Logf("it stands at %v, with %v", now, h.deliveries(e))
		}
	}()
	h.untilWhile("everything is delivered", step, func() bool {
		now = h.now(e)
		return now.BehindCount == 0 && now.RetryingCount == 0
	})
}

// asks has a customer open a conversation, and returns its id.
func (h *hooks) asks(p person, text string) string {
	h.t.Helper()
	return do[*goodshipv1.Conversation](h.world, p, &goodshipv1.CreateConversationRequest{Text: text}).Id
}

// says has a customer write on.
func (h *hooks) says(p person, conversation, text string) {
	h.t.Helper()
	do[*goodshipv1.Message](h.world, p, &goodshipv1.SendMessageRequest{ConversationId: conversation, Text: text})
}

const (
	publicView = goodshipv1.WebhookView_WEBHOOK_VIEW_PUBLIC
	fullView   = goodshipv1.WebhookView_WEBHOOK_VIEW_FULL
)
