package support_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const someURI = "https://example.com/goodship"

func create(w *goodshipv1.WebhookEndpoint) *goodshipv1.CreateWebhookEndpointRequest {
	return &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: w}
}

// hook makes an endpoint, and returns its id.
func (w *world) hook() string {
	w.t.Helper()
	return do[*goodshipv1.CreateWebhookEndpointResponse](w, backend, create(&goodshipv1.WebhookEndpoint{Uri: someURI})).WebhookEndpoint.Id
}

func TestWebhookEndpointsAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, uri := range []string{"", "http://example.com", "https://localhost", "https://10.0.0.1", "https://169.254.169.254/latest", "https://metadata.google.internal", "https://example.com:22", "https://a@example.com", "example.com"} {
		w.refuses(backend, create(&goodshipv1.WebhookEndpoint{Uri: uri}), "InvalidArgument INVALID_REQUEST webhook_endpoint.uri")
	}
	for _, kinds := range []string{"messages", "revision", "actor", "note_added"} {
		w.refuses(backend, create(&goodshipv1.WebhookEndpoint{Uri: someURI, EventKinds: []string{"message_sent", kinds}}), "InvalidArgument INVALID_REQUEST webhook_endpoint.event_kinds")
	}
	made := do[*goodshipv1.CreateWebhookEndpointResponse](w, backend, create(&goodshipv1.WebhookEndpoint{
		Uri: someURI, View: fullView, EventKinds: []string{"note_added", "conversation_removed"}, Description: "the shop",
		Id: "hook_00000000000000000000000000", DisableReason: "none", BehindCount: 7,
	})).WebhookEndpoint
	equal(t, "what is output only", made.Id != "hook_00000000000000000000000000" && made.DisableReason == "" && made.BehindCount == 0, true)
	public := do[*goodshipv1.CreateWebhookEndpointResponse](w, backend, create(&goodshipv1.WebhookEndpoint{Uri: someURI, EventKinds: []string{"conversation_removed"}})).WebhookEndpoint
	equal(t, "what was not said", fmt.Sprint(public.View, public.State), "WEBHOOK_VIEW_PUBLIC WEBHOOK_ENDPOINT_STATE_ENABLED")
	// A change is held to the same, as a whole.
	w.refuses(backend, &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: made.Id, UpdateMask: mask("view"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{View: publicView}}, "InvalidArgument INVALID_REQUEST webhook_endpoint.event_kinds")
	w.refuses(backend, &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: made.Id, UpdateMask: mask("uri"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: "http://example.com"}}, "InvalidArgument INVALID_REQUEST webhook_endpoint.uri")
	w.refuses(backend, &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: made.Id, WebhookEndpoint: &goodshipv1.WebhookEndpoint{}}, "InvalidArgument INVALID_REQUEST update_mask")
	w.refuses(backend, &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: made.Id, Etag: "99", UpdateMask: mask("description"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{}}, "Aborted ETAG_MISMATCH")
	changed := do[*goodshipv1.WebhookEndpoint](w, backend, &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: made.Id, Etag: made.Etag, UpdateMask: mask("description", "event_kinds"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: "ignored"}})
	equal(t, "what was changed", changed.Description+changed.Uri+fmt.Sprint(changed.EventKinds), someURI+"[]")
	equal(t, "etag", changed.Etag != made.Etag, true)
}

func TestWebhookEndpointsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const missing = "NotFound WEBHOOK_ENDPOINT_NOT_FOUND"
	nobody := "hook_00000000000000000000000000"
	w.refuses(backend, &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: nobody}, missing)
	w.refuses(backend, &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: nobody, UpdateMask: mask("uri"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: someURI}}, missing)
	w.refuses(backend, &goodshipv1.DeleteWebhookEndpointRequest{WebhookEndpointId: nobody}, missing)
	w.refuses(backend, &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: nobody}, missing)
	w.refuses(backend, &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: nobody}, missing)
	w.refuses(backend, &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: nobody, DeliveryIds: []string{"dlv_00000000000000000000000000"}}, missing)
	var first *goodshipv1.WebhookEndpoint
	for i := range 20 {
		req := create(&goodshipv1.WebhookEndpoint{Uri: someURI})
		req.RequestId = fmt.Sprint(i)
		made := do[*goodshipv1.CreateWebhookEndpointResponse](w, backend, req)
		again := do[*goodshipv1.CreateWebhookEndpointResponse](w, backend, req)
		equal(t, "replay", again.WebhookEndpoint.Id, made.WebhookEndpoint.Id)
		equal(t, "secret", again.Secret+again.SecretAbsentReason.String(), "ERROR_REASON_SECRET_ALREADY_SHOWN")
		if i == 0 {
			first = made.WebhookEndpoint
		}
	}
	w.refuses(backend, create(&goodshipv1.WebhookEndpoint{Uri: someURI}), "FailedPrecondition LIMIT_REACHED limit=20")
	all := do[*goodshipv1.ListWebhookEndpointsResponse](w, backend, &goodshipv1.ListWebhookEndpointsRequest{}).WebhookEndpoints
	equal(t, "endpoints", len(all), 20)
	same(t, "the oldest", all[0], first)
	if _, err := w.call(w.by(backend), &goodshipv1.DeleteWebhookEndpointRequest{WebhookEndpointId: first.Id}); err != nil {
		t.Fatal(err)
	}
	w.refuses(backend, &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: first.Id}, missing)
	do[*goodshipv1.CreateWebhookEndpointResponse](w, backend, create(&goodshipv1.WebhookEndpoint{Uri: someURI}))
}

// Two secrets sign while they are exchanged, and then the new one alone.
func TestWebhookSecretsAreExchanged(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, former := h.endpoint(r, publicView, "message_sent")
	req := &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: e.Id, ExpireAfter: durationpb.New(time.Hour), RequestId: "once"}
	rotated := do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, req)
	equal(t, "until", rotated.WebhookEndpoint.FormerSecretExpireTime.AsTime(), h.clock.Now().Add(time.Hour))
	again := do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, req)
	equal(t, "secret of a replay", again.Secret+again.SecretAbsentReason.String(), "ERROR_REASON_SECRET_ALREADY_SHOWN")
	id := h.asks(kim, "1")
	h.settled(e)
	h.clock.Jump(time.Hour)
	h.says(kim, id, "2")
	h.settled(e)
	equal(t, "until", h.now(e).FormerSecretExpireTime == nil, true)
	last := do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: e.Id, ExpireAfter: durationpb.New(0)})
	h.says(kim, id, "3")
	h.settled(e)
	for i, want := range []string{"0 1", "1", "2"} {
		equal(t, "who signed", signers(t, r.arrived()[i], former, rotated.Secret, last.Secret), want)
	}
}

// signers tells which of some secrets signed what arrived.
func signers(t *testing.T, a arrival, secrets ...string) string {
	t.Helper()
	var signed []int
	for i, secret := range secrets {
		key, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if key.VerifyIgnoringTimestamp(a.body, a.header) == nil {
			signed = append(signed, i)
		}
	}
	return list(signed)
}

// A secret signs until its own end, whoever rotates meanwhile, whose replies may be lost; there are three at most, and all former ones
// can be ended.
func TestWebhookSecretsLiveUntilTheirEnd(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, deployed := h.endpoint(r, publicView, "message_sent")
	rotate := func(after time.Duration) *goodshipv1.RotateWebhookSecretRequest {
		return &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: e.Id, ExpireAfter: durationpb.New(after)}
	}
	begin := h.clock.Now()
	lost := do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, rotate(2*time.Hour))
	found := do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, rotate(time.Hour))
	equal(t, "until", found.WebhookEndpoint.FormerSecretExpireTime.AsTime(), begin.Add(2*time.Hour))
	h.answers(h.by(backend), rotate(time.Hour), "FailedPrecondition LIMIT_REACHED limit=3")
	secrets := []string{deployed, lost.Secret, found.Secret}
	id := h.asks(kim, "1")
	h.settled(e)
	h.clock.Jump(time.Hour)
	h.says(kim, id, "2")
	h.settled(e)
	secrets = append(secrets, do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, rotate(time.Hour)).Secret)
	h.answers(h.by(backend), rotate(time.Hour), "FailedPrecondition LIMIT_REACHED limit=3")
	h.says(kim, id, "3")
	h.settled(e)
	secrets = append(secrets, do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, rotate(0)).Secret)
	h.says(kim, id, "4")
	h.settled(e)
	for i, want := range []string{"0 1 2", "0 2", "0 2 3", "4"} {
		equal(t, "who signed", signers(t, r.arrived()[i], secrets...), want)
	}
	equal(t, "until", h.now(e).FormerSecretExpireTime == nil, true)
}

// What is done to an endpoint holds for what is sent next: another view, another address, none.
func TestChangedEndpoints(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	one, other := newReceiver(t), newReceiver(t)
	e, _ := h.endpoint(one, publicView, "message_sent")
	id := h.asks(kim, "1")
	h.settled(e)
	do[*goodshipv1.WebhookEndpoint](h.world, backend, &goodshipv1.UpdateWebhookEndpointRequest{
		WebhookEndpointId: e.Id, UpdateMask: mask("uri", "view"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: other.URL, View: fullView},
	})
	h.says(kim, id, "2")
	h.settled(e)
	equal(t, "what arrived", texts(one.arrived())+"|"+texts(other.arrived()), "1|2")
	equal(t, "revision", other.arrived()[0].Data.Event.Revision > 0, true)
	if _, err := h.call(h.by(backend), &goodshipv1.DeleteWebhookEndpointRequest{WebhookEndpointId: e.Id}); err != nil {
		t.Fatal(err)
	}
	toOne, _ := h.endpoint(one, publicView, "message_sent")
	h.says(kim, id, "3")
	h.settled(toOne)
	equal(t, "what arrived", texts(one.arrived())+"|"+texts(other.arrived()), "1 3|2")
}

// The log is cleared of what was delivered long ago; dead letters stay longer.
func TestDeliveryLogsEnd(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(func(a arrival) bool { return a.Data.Event.GetMessageSent().Message.Text == "poison" }))
	id := h.asks(kim, "fine")
	h.says(kim, id, "poison")
	for n := range int32(10) {
		h.tries(e, n+1)
	}
	h.settled(e)
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DEAD:1 DELIVERED:1]")
	h.untilWhile("what was delivered is forgotten", time.Hour, func() bool { return h.states(e)["DELIVERED"] == 0 })
	equal(t, "dead letters", h.states(e)["DEAD"], 1)
	h.untilWhile("all is forgotten", 6*time.Hour, func() bool { return len(h.deliveries(e)) == 0 })
	if age := h.clock.Now().Sub(r.arrived()[0].Timestamp.AsTime()); age < 30*24*time.Hour {
		t.Errorf("a dead letter was forgotten after %v", age)
	}
}

// The log is listed page by page, by state too.
func TestDeliveriesArePaged(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	id := h.asks(kim, "0")
	for i := range 9 {
		h.says(kim, id, fmt.Sprint(i+1))
	}
	h.settled(e)
	dead := h.deliveries(e)[4]
	for i, d := range h.deliveries(e) {
		equal(t, "id", d.WebhookId, r.arrived()[i].id)
	}
	r.answers(fails(always))
	do[*goodshipv1.ReplayWebhookResponse](h.world, backend, &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: e.Id, DeliveryIds: []string{dead.Id}})
	h.until("it failed", func() bool { return h.deliveries(e)[4].StatusCode == http.StatusInternalServerError })
	first := do[*goodshipv1.ListWebhookDeliveriesResponse](h.world, backend, &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: e.Id, State: goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING, PageSize: 1})
	equal(t, "retrying", first.Deliveries[0].Id, dead.Id)
	h.answers(h.by(backend), &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: e.Id, PageSize: 1, PageToken: first.NextPageToken}, "InvalidArgument INVALID_PAGE_TOKEN")
	again := do[*goodshipv1.ReplayWebhookResponse](h.world, backend, &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: e.Id, DeliveryIds: []string{dead.Id}})
	equal(t, "replayed while it is tried", again.ReplayedCount, 1)
}

// One page reaches what few deliveries are, far down in the log.
func TestRareDeliveriesAreFound(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	e, _ := h.endpoint(newReceiver(t), fullView)
	delivered, dead := goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DELIVERED, goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DEAD
	_, err := h.store.Update(t.Context(), h.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		for i := range 5000 {
			d := &goodshipv1.WebhookDelivery{Id: fmt.Sprintf("dlv_%026d", i), State: delivered, LastTryTime: timestamppb.New(h.clock.Now())}
			if i == 0 {
				d.State = dead
			}
			if err := tx.PutDelivery(e.Id, d); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page := do[*goodshipv1.ListWebhookDeliveriesResponse](h.world, backend, &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: e.Id, State: dead})
	equal(t, "what is found, and whether there is more", fmt.Sprintf("%d %q", len(page.Deliveries), page.NextPageToken), `1 ""`)
}

// Endpoints that hang or fail delay no other: what that one was told is there while the others have not answered at all.
func TestHostileEndpointsDelayNoOther(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	hangs, breaks, good := newReceiver(t), newReceiver(t), newReceiver(t)
	release := make(chan struct{})
	defer close(release)
	hangs.answers(func(arrival) int {
		<-release
		return http.StatusNoContent
	})
	breaks.answers(fails(always))
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer private.Close()
	redirects := httptest.NewServer(http.RedirectHandler(private.URL, http.StatusTemporaryRedirect))
	defer redirects.Close()
	floods := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(make([]byte, 10<<20))
	}))
	defer floods.Close()
	badTLS := httptest.NewUnstartedServer(http.NotFoundHandler())
	badTLS.Config.ErrorLog = log.New(io.Discard, "", 0)
	badTLS.StartTLS()
	defer badTLS.Close()
	toHanging, _ := h.endpoint(hangs, fullView)
	hostile := map[string]*goodshipv1.WebhookEndpoint{"breaks": nil, "redirects": nil, "floods": nil, "bad TLS": nil}
	hostile["breaks"], _ = h.endpoint(breaks, fullView)
	hostile["redirects"], _ = h.endpoint(&receiver{Server: redirects}, fullView)
	hostile["floods"], _ = h.endpoint(&receiver{Server: floods}, fullView)
	hostile["bad TLS"], _ = h.endpoint(&receiver{Server: badTLS}, fullView)
	toGood, _ := h.endpoint(good, fullView)
	for i := range 30 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.asks(p, "Ahoy")
	}
	h.settled(toGood) // without a moment passing
	equal(t, "what arrived", len(good.arrived()), 90)
	for _, d := range h.deliveries(toGood) {
		if lag := d.LastTryTime.AsTime().Sub(d.EventTime.AsTime()); d.TryCount != 1 || lag > time.Second {
			t.Errorf("the good endpoint's lag is %v after %d tries", lag, d.TryCount)
		}
	}
	if h.now(toHanging).BehindCount == 0 || len(hangs.arrived()) > 0 {
		t.Error("the endpoint that hangs was told all")
	}
	for name, e := range hostile {
		h.until(name+" is down", func() bool { return h.now(e).DownTime != nil })
		equal(t, "delivered to the one that "+name, h.states(e)["DELIVERED"], 0)
	}
}
