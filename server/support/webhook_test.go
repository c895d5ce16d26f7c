package support_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/webhook"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// What happens arrives in order, as the endpoint's view has it, signed, and the log says so.
func TestWebhooksArrive(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	public, full := newReceiver(t), newReceiver(t)
	toPublic, secret := h.endpoint(public, publicView)
	toFull, _ := h.endpoint(full, fullView)
	id := h.asks(kim, "Ahoy, it does not play")
	do[*goodshipv1.Note](h.world, ada, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: "a note among us"})
	do[*goodshipv1.Conversation](h.world, ada, &goodshipv1.ClaimConversationRequest{ConversationId: id})
	h.settled(toPublic)
	h.settled(toFull)

	equal(t, "what is public", story(public.arrived()), "opened message_sent wait_began")
	equal(t, "what agents see", story(full.arrived()), "opened message_sent wait_began note_added claimed")
	for i, a := range public.arrived() {
		key, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.VerifyIgnoringTimestamp(a.body, a.header); err != nil {
			t.Error(err)
		}
		equal(t, "public revision", a.Data.Event.PublicRevision, int32(i+1))
		equal(t, "revision", a.Data.Event.Revision, 0)
		equal(t, "actor", a.Data.Event.Actor.String(), (*goodshipv1.Actor)(nil).String())
		equal(t, "who and where", a.Data.CustomerId+" "+a.Data.ConversationId+" "+a.Data.WorkspaceId, "kim "+id+" "+h.workspace)
		equal(t, "time", a.Timestamp.AsTime(), a.Data.Event.CreateTime.AsTime())
	}
	equal(t, "text", public.arrived()[1].Data.Event.GetMessageSent().Message.Text, "Ahoy, it does not play")
	for i, a := range full.arrived() {
		equal(t, "revision", a.Data.Event.Revision, int32(i+1))
		equal(t, "public revision", a.Data.Event.PublicRevision, 0)
		if strings.Contains(string(a.body), "among us") {
			t.Errorf("a note's text was sent: %s", a.body)
		}
	}
	for e, want := range map[*goodshipv1.WebhookEndpoint]int{toPublic: 3, toFull: 5} {
		log := h.deliveries(e)
		equal(t, "entries of the log", len(log), want)
		for _, d := range log {
			equal(t, "entry", d.State.String()+d.Failure, "WEBHOOK_DELIVERY_STATE_DELIVERED")
			equal(t, "status and tries", list([]int32{d.StatusCode, d.TryCount}), "204 1")
			equal(t, "revision", d.Revision != 0, e == toFull)
		}
	}
}

// ids of arrivals are the log's, differ between events and endpoints, and hold nothing that could be taken apart.
func TestWebhookIDs(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	one, other := newReceiver(t), newReceiver(t)
	toOne, _ := h.endpoint(one, publicView)
	toOther, _ := h.endpoint(other, publicView)
	h.asks(kim, "Ahoy")
	h.settled(toOne)
	h.settled(toOther)
	seen := map[string]bool{}
	for _, a := range append(one.arrived(), other.arrived()...) {
		if seen[a.id] || len(a.id) != 30 || strings.ContainsAny(a.id, ". ") {
			t.Errorf("got the id %q", a.id)
		}
		seen[a.id] = true
	}
	for _, d := range append(h.deliveries(toOne), h.deliveries(toOther)...) {
		if !seen[d.WebhookId] {
			t.Errorf("the log has the id %q, which did not arrive", d.WebhookId)
		}
	}
}

// An endpoint is told of the kinds that it names, from when it is there.
func TestWebhookKinds(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	before := h.asks(kim, "Before")
	r := newReceiver(t)
	e, _ := h.endpoint(r, publicView, "message_sent", "resolved")
	h.says(kim, before, "After")
	do[*goodshipv1.Resolution](h.world, kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: before})
	h.settled(e)
	equal(t, "what arrived", story(r.arrived()), "message_sent resolved")
	equal(t, "text", r.arrived()[0].Data.Event.GetMessageSent().Message.Text, "After")
}

// A text that is too long is cut at a letter, so that the payload has less than 20 KB.
func TestLongWebhooksAreCut(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, publicView, "message_sent")
	attachments := make([]*goodshipv1.Attachment, 10)
	for i := range attachments {
		attachments[i] = &goodshipv1.Attachment{Uri: "https://example.com/" + strings.Repeat("a", 2000), MediaType: "image/png", FileName: "a.png", SizeBytes: 1}
	}
	id := h.asks(kim, "short")
	for _, text := range []string{strings.Repeat("é", 16_000), strings.Repeat("a\n", 16_000), strings.Repeat("🚢", 8000), strings.Repeat("a", 19_000), strings.Repeat("a", 20_000)} {
		h.says(kim, id, text)
	}
	do[*goodshipv1.Message](h.world, kim, &goodshipv1.SendMessageRequest{ConversationId: id, Text: strings.Repeat("a", 1000), Attachments: attachments})
	h.settled(e)
	for i, cut := range []bool{false, true, true, true, false, true, true} {
		a := r.arrived()[i]
		m := a.Data.Event.GetMessageSent().Message
		equal(t, "cut", a.Data.TextTruncated, cut)
		if len(a.body) >= 20_000 || cut && i < 6 && len(a.body) < 19_900 {
			t.Errorf("payload %d has %d bytes", i, len(a.body))
		}
		equal(t, "number", m.Number, int32(i+1))
		if !json.Valid(a.body) || bytes.ContainsRune([]byte(m.Text), '\uFFFD') {
			t.Errorf("payload %d was not cut at a letter", i)
		}
	}
	if last := r.arrived()[6].Data.Event.GetMessageSent().Message; len(last.Attachments) == 0 || len(last.Attachments) == 10 {
		t.Errorf("got %d attachments and a text of %d bytes", len(last.Attachments), len(last.Text))
	}
}

// The event that failed is tried again, and what follows in its conversation waits; others go on.
func TestAFailedWebhookHoldsItsConversationOnly(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, publicView, "message_sent")
	bad := h.asks(kim, "first")
	h.settled(e)
	r.answers(func(a arrival) int {
		if a.Data.ConversationId == bad {
			return http.StatusInternalServerError
		}
		return http.StatusNoContent
	})
	h.says(kim, bad, "second")
	h.until("it is tried again", func() bool { return h.now(e).RetryingCount == 1 })
	h.says(kim, bad, "third")
	good := h.asks(lou, "another")
	h.says(lou, good, "and on")
	h.until("the others are through", func() bool { return h.now(e).BehindCount == 0 })
	equal(t, "what arrived", texts(r.arrived()), "first second another and on")
	waits := h.deliveries(e)[1]
	equal(t, "state", waits.State, goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING)
	equal(t, "failure", waits.Failure, string(webhook.Refused))
	if pause := waits.NextTryTime.AsTime().Sub(waits.LastTryTime.AsTime()); pause < 4*time.Second || pause > 6*time.Second {
		t.Errorf("the next try is after %v, want 5 s and a fifth more or less", pause)
	}
	r.answers(nil)
	h.settledWhile(e, time.Second)
	equal(t, "what arrived", texts(r.arrived()), "first second another and on second third")
	equal(t, "ids of the tries", r.arrived()[1].id, r.arrived()[4].id)
	equal(t, "log", list([]int{h.states(e)["DELIVERED"], len(h.deliveries(e))}), "5 5")
	equal(t, "tries", h.deliveries(e)[1].TryCount, 2)
}

// texts tells the messages of arrivals.
func texts(all []arrival) string {
	var words []string
	for _, a := range all {
		words = append(words, a.Data.Event.GetMessageSent().GetMessage().GetText())
	}
	return strings.Join(words, " ")
}
