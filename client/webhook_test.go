package client_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/webhook"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// What a server sends is received, with either secret while they are exchanged.
func TestReceiveWebhook(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, servertest.WithService(func(o *support.Options) {
		o.Webhooks = webhook.Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	}))
	type secrets struct{ first, second string }
	with, got := make(chan secrets, 1), make(chan *client.Webhook)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := <-with
		with <- known
		var tried [2]*client.Webhook
		body := &bytes.Buffer{}
		_, _ = body.ReadFrom(r.Body)
		for i, secret := range []string{known.first, known.second} {
			r.Body = readCloser(body.String())
			var err error
			if tried[i], err = client.ReceiveWebhook(r, secret); err != nil {
				t.Error(err)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
		got <- tried[1]
	}))
	defer receiver.Close()
	admin := goodshipv1.NewAdminServiceClient(s.Conn(""))
	made, err := admin.CreateWebhookEndpoint(t.Context(), &goodshipv1.CreateWebhookEndpointRequest{
		WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: receiver.URL, EventKinds: []string{"message_sent"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := admin.RotateWebhookSecret(t.Context(), &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: made.WebhookEndpoint.Id})
	if err != nil {
		t.Fatal(err)
	}
	with <- secrets{made.Secret, rotated.Secret}
	customer := goodshipv1.NewConversationServiceClient(s.Conn("customer/ada"))
	if _, err := customer.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"}); err != nil {
		t.Fatal(err)
	}
	event := <-got
	if text := event.Data.Event.GetMessageSent().GetMessage().GetText(); text != "Ahoy" || event.Type != "message_sent" || event.ID == "" {
		t.Errorf("got %v", event)
	}
}

func readCloser(text string) *body { return &body{strings.NewReader(text)} }

type body struct{ *strings.Reader }

func (*body) Close() error { return nil }

func TestReceiveWebhookRefuses(t *testing.T) {
	t.Parallel()
	const secret, payload = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"type":"message_sent","data":{"conversationId":"conv_1","newer":1}}`
	signed := func(at time.Time, text string) *http.Request {
		key, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(text))
		signature, err := key.Sign("evt_1", at, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("webhook-id", "evt_1")
		r.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		r.Header.Set("webhook-signature", "v1,bm8= "+signature)
		return r
	}
	if w, err := client.ReceiveWebhook(signed(time.Now(), payload), "whsec_AAAA", secret); err != nil || w.Data.ConversationId != "conv_1" || w.ID != "evt_1" {
		t.Errorf("got %v, %v", w, err)
	}
	changed := signed(time.Now(), payload)
	changed.Body = readCloser(strings.Replace(payload, "conv_1", "conv_2", 1))
	renamed := signed(time.Now(), payload)
	renamed.Header.Set("webhook-id", "evt_2")
	unsigned := signed(time.Now(), payload)
	unsigned.Header.Del("webhook-signature")
	for name, c := range map[string]struct {
		request *http.Request
		secrets []string
	}{
		"another secret": {signed(time.Now(), payload), []string{"whsec_AAAA"}},
		"no secret":      {signed(time.Now(), payload), nil},
		"old":            {signed(time.Now().Add(-6*time.Minute), payload), []string{secret}},
		"of the future":  {signed(time.Now().Add(6*time.Minute), payload), []string{secret}},
		"changed":        {changed, []string{secret}},
		"renamed":        {renamed, []string{secret}},
		"unsigned":       {unsigned, []string{secret}},
		"too large":      {signed(time.Now(), payload+strings.Repeat(" ", 64<<10)), []string{secret}},
	} {
		if w, err := client.ReceiveWebhook(c.request, c.secrets...); !errors.Is(err, client.ErrNotSigned) || w != nil {
			t.Errorf("%s: got %v, %v", name, w, err)
		}
	}
	for name, c := range map[string]struct{ text, secret string }{"no JSON": {"{", secret}, "an empty secret": {payload, ""}, "a wrong secret": {payload, "gsk_?"}} {
		if w, err := client.ReceiveWebhook(signed(time.Now(), c.text), c.secret); err == nil || errors.Is(err, client.ErrNotSigned) || w != nil {
			t.Errorf("%s: got %v, %v", name, w, err)
		}
	}
}
