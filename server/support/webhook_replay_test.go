package support_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/webhook"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Everything since a time comes again, under the same ids; what is not kept any more is refused.
func TestReplaySince(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	id := h.asks(kim, "1")
	h.clock.Jump(time.Hour)
	since := h.clock.Now()
	h.says(kim, id, "2")
	h.says(kim, id, "3")
	h.settled(e)
	for range 2 { // also where the position that is stored is that of the replay already
		count := len(r.arrived())
		do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, since))
		got := r.awaits(count + 2)
		h.settled(e)
		equal(t, "what arrived", texts(got[count:]), "2 3")
		equal(t, "ids", got[count].id+got[count+1].id, got[1].id+got[2].id)
	}
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, since.Add(-2*time.Hour)))
	equal(t, "what arrived from before all", texts(r.awaits(10)[7:]), "1 2 3")
	h.settled(e)
	h.clock.Jump(9 * 24 * time.Hour)
	h.says(kim, id, "4")
	h.untilWhile("the feed is pruned", time.Hour, func() bool {
		oldest, _, err := h.store.FeedEnds(t.Context(), h.workspace)
		return err == nil && oldest > 0
	})
	_, err := h.call(h.by(backend), replayAt(e, since))
	equal(t, "replay of what is gone", refusal(err), "OutOfRange CURSOR_TOO_OLD")
}

func replayAt(e *goodshipv1.WebhookEndpoint, since time.Time) *goodshipv1.ReplayWebhookRequest {
	return &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: e.Id, FromTime: timestamppb.New(since)}
}

// What waits since before a replay goes on; what waits since then comes once, in its order.
func TestReplaySinceWhileEventsWait(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	early := h.asks(kim, "1")
	h.tries(e, 1)
	h.clock.Jump(time.Second)
	since := h.clock.Now()
	r.answers(fails(func(a arrival) bool {
		return a.Data.ConversationId == early || a.Data.Event.GetMessageSent().Number > 1
	}))
	late := h.asks(lou, "1")
	h.says(lou, late, "2")
	h.says(kim, early, "2")
	h.until("both wait", func() bool { return h.now(e).RetryingCount == 2 })
	r.answers(nil)
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, since))
	h.settledWhile(e, time.Second)
	inOrder(t, r.arrived(), []string{early, late}, []string{"1", "2"})
	again := 0
	for _, a := range r.arrived() {
		if a.Data.ConversationId == late && a.Data.Event.GetMessageSent().Number == 1 {
			again++
		}
	}
	equal(t, "how often the first since then arrived", again, 2)
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:5]")
}

// A replay counts also while events are under way, whose marks come after it.
func TestReplayWhileEventsAreUnderWay(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	since := h.clock.Now()
	id := h.asks(kim, "1")
	h.settled(e)
	asked, release := make(chan struct{}, 2), make(chan struct{})
	r.answers(func(arrival) int {
		asked <- struct{}{}
		<-release
		return http.StatusNoContent
	})
	h.says(kim, id, "2")
	<-asked
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, since))
	r.answers(nil)
	close(release)
	h.settled(e)
	r.awaits(4)
	equal(t, "what arrived", texts(r.arrived()), "1 2 1 2")
}

// Whatever the endpoint does, and however often the server dies on the way: every event arrives, each conversation's in order, and each
// event under one id.
func TestWebhooksUnderFire(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			underFire(t, rand.New(rand.NewPCG(seed, 5)))
		})
	}
}

func underFire(t *testing.T, dice *rand.Rand) {
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	moods := rand.New(rand.NewPCG(dice.Uint64(), 1))
	bad := 30
	r.answers(func(arrival) int { // one at a time, under the receiver's own lock
		r.mu.Lock()
		defer r.mu.Unlock()
		if moods.IntN(100) < bad {
			return []int{500, 503, 302, 429, 404}[moods.IntN(5)]
		}
		return 200
	})
	said := map[string][]string{}
	var ids []string
	for i := range 120 {
		switch n := dice.IntN(20); {
		case n == 0:
			h.restarts()
		case n == 1:
			h.clock.Jump(time.Duration(dice.IntN(3600)) * time.Second)
		case n < 5 || len(ids) == 0:
			p := person(fmt.Sprintf("customer/c%d", i))
			h.knows(p)
			id := h.asks(p, "0")
			ids = append(ids, id)
			said[id] = []string{"0"}
		default:
			at := dice.IntN(len(ids))
			text := fmt.Sprint(len(said[ids[at]]))
			do[*goodshipv1.Note](h.world, ada, &goodshipv1.CreateNoteRequest{ConversationId: ids[at], Text: text})
			do[*goodshipv1.Message](h.world, backend, &goodshipv1.SendMessageRequest{ConversationId: ids[at], Text: text})
			said[ids[at]] = append(said[ids[at]], text)
		}
		if i == 80 {
			r.mu.Lock()
			bad = 100
			r.mu.Unlock()
		}
	}
	r.answers(nil)
	h.settledWhile(e, time.Hour)
	byID := map[string]string{}
	for _, a := range r.arrived() {
		event := fmt.Sprint(a.Data.ConversationId, a.Data.Event.Revision)
		if was := byID[a.id]; was != "" && was != event {
			t.Errorf("the id %s is of %s and %s", a.id, was, event)
		}
		byID[a.id] = event
	}
	for _, id := range slices.Sorted(maps.Keys(said)) {
		inOrder(t, r.arrived(), []string{id}, said[id])
	}
	if n := h.states(e)["DEAD"]; n > 0 {
		t.Errorf("%d were given up", n)
	}
}

// restarts begins a new life of the service over the file as it is.
func (h *hooks) restarts() {
	h.t.Helper()
	h.Close()
	h.killed(0)
	h.store = h.hooked(h.store)
	h.starts()
}

// What time did late stands in the feed behind what happened after its due time: a replay leaves nothing out for that.
func TestReplaySinceWhatTimeDidLate(t *testing.T) {
	t.Parallel()
	clock, dir := faketime.New(), t.TempDir()
	h := &hooks{units: make(chan struct{}, 1)}
	kept := h.hooked(rehearsed{openStoreIn(t, dir, clock.Now)})
	h.timed = &timed{dir: dir, how: support.Options{
		Clock: clock, Log: slog.New(slog.DiscardHandler),
		Webhooks: webhook.Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}}
	h.world = foundWorld(t, clock, kept)
	r := newReceiver(t)
	h.asks(kim, "early") // nobody serves when its promise breaks
	h.clock.Jump(2 * time.Hour)
	since := h.clock.Now()
	id := h.asks(lou, "1")
	h.says(lou, id, "2")
	h.says(lou, id, "3")
	h.starts()
	h.says(lou, id, "4")
	h.says(lou, id, "5")
	h.says(lou, id, "6")
	e, _ := h.endpoint(r, fullView, "message_sent")
	before := len(r.arrived())
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, since))
	equal(t, "what arrived", texts(r.awaits(before + 6)[before:]), "1 2 3 4 5 6")
	h.settled(e)
}

// An event that was tried, and whose conversation was removed before the next try, is given up in the log too.
func TestTriedAndThenRemoved(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(func(a arrival) bool { return a.Data.Event.GetMessageSent().GetMessage().GetText() == "poison" }))
	h.asks(kim, "poison")
	h.tries(e, 1)
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED)
	other := h.asks(lou, "0")
	for i := range 2 * support.BatchRecords { // so that the retry comes before the removal is read
		h.says(lou, other, fmt.Sprint(i+1))
	}
	h.erases(kim)
	h.clock.Jump(time.Hour)
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED)
	h.settledWhile(e, time.Second)
	for _, d := range h.deliveries(e) {
		if d.State == goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING {
			t.Errorf("nothing waits, and this is to be tried again: %v", d)
		}
	}
}

// A conversation that goes by its log when a replay comes is told again what it was told since then, too.
func TestReplaySinceOfWhatGoesByItsLog(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	id := h.asks(kim, "1")
	h.settled(e)
	h.clock.Jump(time.Second)
	since := h.clock.Now()
	asked, release := make(chan struct{}), make(chan struct{})
	failed := false
	r.answers(func(a arrival) int { // one at a time, since it is one conversation
		switch text := a.Data.Event.GetMessageSent().GetMessage().GetText(); {
		case text == "2" && !failed:
			failed = true
			return http.StatusInternalServerError
		case text == "4":
			close(asked)
			<-release
		}
		return http.StatusNoContent
	})
	for _, text := range []string{"2", "3", "4"} {
		h.says(kim, id, text)
	}
	h.tries(e, 1)
	h.tries(e, 2)
	<-asked
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, since))
	r.answers(nil)
	close(release)
	h.settledWhile(e, time.Second)
	h.says(kim, id, "5")
	h.settled(e)
	equal(t, "what arrived", texts(r.arrived()), "1 2 2 3 4 2 3 4 5")
	equal(t, "waiting", h.now(e).RetryingCount, 0)
	log := h.deliveries(e)
	if slices.ContainsFunc(log, func(d *goodshipv1.WebhookDelivery) bool {
		return d.State != goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DELIVERED
	}) {
		t.Errorf("the log is %v", log)
	}
}

// A replay of an endpoint that is disabled is made when it is enabled, from the earliest of several times.
func TestReplayWhileDisabled(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	since := h.clock.Now()
	r.answers(fails(always))
	id := h.asks(kim, "1")
	h.says(kim, id, "2")
	h.tries(e, 1)
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED)
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, since))
	h.clock.Jump(time.Second)
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayAt(e, h.clock.Now()))
	r.answers(nil)
	count := len(r.arrived())
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED)
	h.settled(e) // at once: it waits for no next try
	equal(t, "what arrived", texts(r.arrived()[count:]), "1 2")
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:2]")
}

func replayOf(e *goodshipv1.WebhookEndpoint, deliveries ...*goodshipv1.WebhookDelivery) *goodshipv1.ReplayWebhookRequest {
	req := &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: e.Id}
	for _, d := range deliveries {
		req.DeliveryIds = append(req.DeliveryIds, d.Id)
	}
	return req
}

// An event that is being tried is tried now when it is replayed, in its place, and its tries begin anew.
func TestRetryNow(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	id := h.asks(kim, "1")
	h.says(kim, id, "2")
	h.tries(e, 1)
	d := h.tries(e, 2)
	replayed := do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayOf(e, d))
	equal(t, "replayed", replayed.ReplayedCount, 1)
	h.until("it is tried now, and fails", func() bool { return h.deliveries(e)[0].TryCount == 1 })
	d = h.deliveries(e)[0]
	if pause := d.NextTryTime.AsTime().Sub(h.clock.Now()); pause <= 0 || pause > 6*time.Second {
		t.Errorf("the next try is after %v, want that after the first", pause)
	}
	r.answers(nil)
	before := len(r.arrived())
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayOf(e, d))
	h.settled(e) // at once: it waits for no next try
	equal(t, "what arrived", texts(r.arrived()[before:]), "1 2")
	equal(t, "ids", r.arrived()[before].id, r.arrived()[0].id)
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:2]")
}

// What is replayed on its own and waits is tried now, too.
func TestRetryNowOfAReplay(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	h.asks(kim, "1")
	h.settled(e)
	r.answers(fails(always))
	d := h.deliveries(e)[0]
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayOf(e, d))
	h.tries(e, 1)
	r.awaits(2)
	h.until("it is noted", func() bool { return h.deliveries(e)[0].StatusCode == http.StatusInternalServerError })
	r.answers(nil)
	equal(t, "replayed", do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayOf(e, d)).ReplayedCount, 1)
	h.settled(e)
	equal(t, "what arrived", texts(r.arrived()), "1 1 1")
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:1]")
}

// What is replayed while it is under way is not undone by how that ends.
func TestRetryNowWhileItIsUnderWay(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	h.asks(kim, "1")
	first := h.tries(e, 1)
	asked, release := make(chan struct{}), make(chan struct{})
	r.answers(func(arrival) int {
		asked <- struct{}{}
		<-release
		return http.StatusInternalServerError
	})
	h.clock.Jump(6 * time.Second)
	<-asked
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayOf(e, first))
	r.answers(nil)
	close(release)
	h.settled(e) // the second try failed, and it waits for no third
	equal(t, "tries since", h.deliveries(e)[0].TryCount, 1)
}

// An endpoint that is down and whose events are replayed is probed at once, and takes all of them if it is back.
func TestRetryNowOfAnEndpointThatIsDown(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	h.Close()
	log, reader := &journal{}, sdkmetric.NewManualReader()
	h.how.Log, h.how.MeterProvider = slog.New(slog.NewTextHandler(log, nil)), sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	h.starts()
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	h.asks(kim, "1")
	h.settled(e)
	equal(t, "down", h.down(reader), "0")
	r.answers(fails(always))
	for i := range 6 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.asks(p, "1")
	}
	h.until("it is down", func() bool { return h.now(e).DownTime != nil })
	for probe := range int32(8) {
		h.untilWhile("the next probe", time.Minute, func() bool { return h.probes(e) > probe })
	}
	equal(t, "down", h.down(reader), "1")
	var waiting []*goodshipv1.WebhookDelivery
	for _, d := range h.deliveries(e) {
		if d.State == goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING {
			waiting = append(waiting, d)
		}
	}
	equal(t, "log tells", fmt.Sprint(log.says("takes nothing"), log.says("takes events again"), log.says("disabled")), "1 0 0")
	r.answers(nil)
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, replayOf(e, waiting...))
	h.settled(e)
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:7]")
	equal(t, "log tells", fmt.Sprint(log.says("takes nothing"), log.says("takes events again"), log.says("disabled")), "1 1 0")
	if level, of := "level=WARN msg=\"a webhook endpoint takes nothing", "workspace="+h.workspace+" endpoint="+e.Id; log.says(level) != 1 || log.says(of) != 2 || log.says("127.0.0.1") > 0 {
		t.Errorf("the log is %s", log.text.String())
	}
	r.answers(func(arrival) int { return http.StatusGone })
	for i := range 6 {
		h.asks(person(fmt.Sprintf("customer/c%d", i)), "2")
	}
	h.until("it is disabled", func() bool { return log.says("is disabled") > 0 })
	h.until("nobody goes there", func() bool { return h.down(reader) == "" })
	equal(t, "log tells", fmt.Sprint(log.says("takes nothing"), log.says("takes events again"), log.says("is disabled")), "1 1 1")
}

// down returns how many endpoints are measured as down.
func (h *hooks) down(reader sdkmetric.Reader) string {
	h.t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(h.t.Context(), &all); err != nil {
		h.t.Fatal(err)
	}
	var found []int64
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if gauge, ok := m.Data.(metricdata.Gauge[int64]); ok && m.Name == "goodship.webhook.down" {
				for _, p := range gauge.DataPoints {
					found = append(found, p.Value)
				}
			}
		}
	}
	return list(found)
}
