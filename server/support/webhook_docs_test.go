package support_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// webhookPage returns what stands in docs/webhooks.md between two texts.
func webhookPage(t *testing.T, from, to string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, found, ok := strings.Cut(string(page), from)
	found, _, ended := strings.Cut(found, to)
	if !ok || !ended {
		t.Fatalf("docs/webhooks.md has nothing between %q and %q", from, to)
	}
	return found
}

// docs/webhooks.md names every kind of events there is, under the view that shows it, and its example is one that is taken and that
// names conversation_removed.
func TestDocsNameTheKindsOfEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.hook()
	var both, full []string
	kinds := (&goodshipv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		kind := string(kinds.Get(i).Name())
		_, err := w.call(w.by(backend), &goodshipv1.UpdateWebhookEndpointRequest{
			WebhookEndpointId: id, UpdateMask: mask("event_kinds"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{EventKinds: []string{kind}},
		})
		if err == nil {
			both = append(both, "`"+kind+"`")
		} else {
			full = append(full, "`"+kind+"`")
		}
	}
	for row, want := range map[string][]string{"\n| both | ": both, "\n| FULL only | ": full} {
		equal(t, row, webhookPage(t, row, " |\n"), strings.Join(want, ", "))
	}
	var example struct {
		WebhookEndpoint struct {
			URI, View  string
			EventKinds []string
		}
	}
	if err := json.Unmarshal([]byte(webhookPage(t, "```json\n", "```")), &example); err != nil {
		t.Fatal(err)
	}
	e := example.WebhookEndpoint
	do[*goodshipv1.CreateWebhookEndpointResponse](w, backend, create(&goodshipv1.WebhookEndpoint{
		Uri: e.URI, View: goodshipv1.WebhookView(goodshipv1.WebhookView_value[e.View]), EventKinds: e.EventKinds,
	}))
	equal(t, "tells what to forget", slices.Contains(e.EventKinds, "conversation_removed"), true)
}

// What docs/webhooks.md says of verifying without a library holds for what arrives, while two secrets sign too; so does its Python where
// there is a python3.
func TestDocsVerifyByHand(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, former := h.endpoint(r, publicView, "message_sent")
	newest := do[*goodshipv1.RotateWebhookSecretResponse](h.world, backend, &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: e.Id}).Secret
	h.asks(kim, "Ahoy, 🚢")
	h.settled(e)
	a := r.arrived()[0]
	signatures := strings.Split(a.header.Get("webhook-signature"), " ")
	equal(t, "signatures", len(signatures), 2)
	for _, secret := range []string{former, newest} {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(a.header.Get("webhook-id") + "." + a.header.Get("webhook-timestamp") + "." + string(a.body)))
		equal(t, "signed", slices.Contains(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))), true)
	}

	snippet := webhookPage(t, "```python\n", "```")
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 to run the page's code")
	}
	other := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		name, secret string
		body         []byte
		age          time.Duration
		want         string
	}{
		{"by the former", former, a.body, 0, "True"},
		{"by the newest", newest, a.body, 5 * time.Minute, "True"},
		{"by another", other, a.body, 0, "False"},
		{"of another body", newest, append(slices.Clone(a.body), ' '), 0, "False"},
		{"too old", newest, a.body, 5*time.Minute + time.Second, "False"},
		{"of the future", newest, a.body, -5*time.Minute - time.Second, "False"},
	} {
		input, err := json.Marshal(map[string]any{"secret": c.secret, "headers": lowered(a.header), "body": c.body, "now": h.clock.Now().Add(c.age).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		run := exec.CommandContext(t.Context(), python, "-c", snippet+`
import json, sys
given = json.load(sys.stdin)
time.time = lambda: given["now"]
print(is_signed(given["secret"], given["headers"], base64.b64decode(given["body"])))`)
		run.Stdin, run.Stderr = strings.NewReader(string(input)), t.Output()
		said, err := run.Output()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.name, strings.TrimSpace(string(said)), c.want)
	}
}

// lowered returns headers as the page's code takes them.
func lowered(h http.Header) map[string]string {
	all := map[string]string{}
	for name := range h {
		all[strings.ToLower(name)] = h.Get(name)
	}
	return all
}
