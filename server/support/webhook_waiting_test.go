package support_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
)

// Once an endpoint that was down for a day is back, what waits arrives with the next probe, and not when its next try was to be.
func TestWhatWaitsArrivesOnceItIsBack(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	var ids []string
	for i := range 8 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		ids = append(ids, h.asks(p, "1"))
		h.says(p, ids[i], "2")
	}
	for begin := h.clock.Now(); h.clock.Now().Sub(begin) < 24*time.Hour; {
		before := h.probes(e)
		h.untilWhile("the next probe", time.Minute, func() bool { return h.probes(e) > before })
	}
	r.answers(nil)
	h.untilWhile("a probe is taken", time.Minute, func() bool { return h.now(e).DownTime == nil })
	h.settled(e) // with no time between
	inOrder(t, r.arrived(), ids, []string{"1", "2"})
}

// That what waits is to be tried outlives the server.
func TestWhatWaitsArrivesAfterARestart(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	var ids []string
	for i := range 8 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		ids = append(ids, h.asks(p, "1"))
	}
	for begin := h.clock.Now(); h.clock.Now().Sub(begin) < 24*time.Hour; {
		before := h.probes(e)
		h.untilWhile("the next probe", time.Minute, func() bool { return h.probes(e) > before })
	}
	release := make(chan struct{})
	var taken atomic.Bool
	r.answers(func(arrival) int { // one, and the others hang until the server is gone
		if taken.Swap(true) {
			<-release
		}
		return http.StatusNoContent
	})
	h.untilWhile("a probe is taken", time.Minute, func() bool { return h.states(e)["DELIVERED"] == 1 })
	h.Close()
	close(release)
	r.answers(nil)
	h.restarts()
	h.settled(e) // with no time between
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:8]")
	inOrder(t, r.arrived(), ids, []string{"1"})
}

// Events that always fail do not make an endpoint down again each time that it takes another one.
func TestPoisonIsNoOutage(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(func(a arrival) bool { return a.Data.Event.GetMessageSent().Message.Text == "poison" }))
	for i := range 6 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.asks(p, "poison")
	}
	h.until("it seems down, and all wait", func() bool { return h.now(e).DownTime != nil && h.states(e)["RETRYING"] == 6 })
	good := h.asks(kim, "good")
	h.untilWhile("the first good one arrives", 2*time.Millisecond, func() bool { return strings.Contains(texts(r.arrived()), "good") })
	h.until("it is noted", func() bool { return h.now(e).BehindCount == 0 })
	h.until("the others are tried once more", func() bool { return strings.Count(texts(r.arrived()), "poison") >= 12 })
	h.says(kim, good, "2")
	h.until("it arrives at once", func() bool { return h.now(e).BehindCount == 0 })
}

// An event whose next try is due comes before what was found after that in conversations that go by their log.
func TestBusyConversationsDelayNoRetry(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	retried := h.asks(lou, "retried")
	h.tries(e, 1)
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED)
	for i := range 6 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		id := h.asks(p, "0")
		for n := range 60 {
			h.says(p, id, fmt.Sprint(n+1))
		}
	}
	var count atomic.Int32
	r.answers(func(arrival) int {
		if count.Add(1) == 100 {
			h.clock.Jump(time.Minute) // now the retry is due
		}
		return http.StatusNoContent
	})
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED)
	h.settled(e)
	for i, a := range r.arrived()[1:] {
		if a.Data.ConversationId == retried && (i < 99 || i > 200) {
			t.Errorf("the retry is the %dth to arrive of %d", i+1, count.Load())
		}
	}
}

// What is tried before its time since the endpoint is back counts as no try.
func TestComingBackIsNoTry(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	for i := range 5 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.asks(p, "poison")
	}
	h.until("it is down", func() bool { return h.now(e).DownTime != nil })
	h.until("all wait", func() bool { return h.states(e)["RETRYING"] == 5 })
	r.answers(fails(func(a arrival) bool { return a.Data.Event.GetMessageSent().Message.Text == "poison" }))
	h.asks(kim, "good")
	h.untilWhile("it is back", 2*time.Millisecond, func() bool { return strings.Contains(texts(r.arrived()), "good") && h.now(e).DownTime == nil })
	got := r.awaits(11) // each of the five, the good one, and each once more
	for _, d := range h.deliveries(e) {
		if d.State == goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING && d.TryCount > 1 {
			t.Errorf("after %s one counts %d tries", texts(got), d.TryCount)
		}
	}
}

// A conversation in which much happened while nothing was sent does not keep the others behind it.
func TestABusyConversationDelaysNoOther(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED)
	busy := h.asks(kim, "0")
	for i := range 450 { // more than the route is at work on at once
		h.says(kim, busy, fmt.Sprint(i+1))
	}
	h.asks(lou, "other")
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED)
	h.until("the other one arrives", func() bool { return strings.Contains(texts(r.arrived()), "other") })
	next := 0
	for i, a := range r.arrived() {
		switch text := a.Data.Event.GetMessageSent().Message.Text; {
		case text == "other" && i > 100:
			t.Errorf("the other conversation's event is the %dth to arrive", i+1)
		case text != "other" && text != fmt.Sprint(next):
			t.Errorf("%s comes, want %d", text, next)
		case text != "other":
			next++
		}
	}
}

// Where as many conversations wait as may, others go on: an event that fails then is a dead letter at once, unless the endpoint takes
// nothing at all.
func TestAsManyAsMayWait(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	support.SetMaxParked(h.Service, 3)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(func(a arrival) bool { return a.Data.Event.GetMessageSent().Message.Text == "poison" }))
	good := h.asks(lou, "0")
	for i := range 6 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.says(p, h.asks(p, "poison"), "and on")
		h.until("it was tried", func() bool { s := h.states(e); return s["RETRYING"]+s["DEAD"] == i+1 })
		h.says(lou, good, fmt.Sprint(i+1))
		h.until("what is good arrives", func() bool { return h.now(e).BehindCount == 0 })
	}
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DEAD:3 DELIVERED:10 RETRYING:3]")
	inOrder(t, r.arrived(), []string{good}, []string{"0", "1", "2", "3", "4", "5", "6"})

	r.answers(fails(always))
	for i := range 8 {
		p := person(fmt.Sprintf("customer/d%d", i))
		h.knows(p)
		h.asks(p, "late")
	}
	h.untilWhile("it is down", time.Second, func() bool { return h.now(e).DownTime != nil })
	begin := h.probes(e)
	h.untilWhile("nothing is under way but probes", time.Minute, func() bool { return h.probes(e) > begin+1 })
	dead := h.states(e)["DEAD"]
	h.untilWhile("more probes", time.Minute, func() bool { return h.probes(e) > begin+8 })
	equal(t, "given up while it takes nothing", h.states(e)["DEAD"]-dead, 0)
	r.answers(fails(func(a arrival) bool { return a.Data.ConversationId != good }))
	h.says(lou, good, "fresh")
	h.untilWhile("what is good is probed, too", time.Minute, func() bool { return strings.Contains(texts(r.arrived()), "fresh") })
	r.answers(nil)
	h.settledWhile(e, time.Minute)
}

// What an endpoint is told of holds for what waits, too.
func TestSettingsHoldForWhatWaits(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]*goodshipv1.WebhookEndpoint{
		"view": {View: publicView}, "event_kinds": {EventKinds: []string{"message_sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHooks(t)
			r := newReceiver(t)
			e, _ := h.endpoint(r, fullView)
			r.answers(fails(func(a arrival) bool { return a.Type == "note_added" }))
			id := h.asks(kim, "1")
			do[*goodshipv1.Note](h.world, ada, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: "among us"})
			h.until("the note waits", func() bool { return h.now(e).RetryingCount == 1 })
			count := len(r.arrived())
			do[*goodshipv1.WebhookEndpoint](h.world, backend, &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: e.Id, UpdateMask: mask(name), WebhookEndpoint: to})
			r.answers(nil)
			h.says(kim, id, "2")
			h.settledWhile(e, time.Second)
			equal(t, "what arrived then", story(r.arrived()[count:]), "message_sent")
			equal(t, "given up", h.states(e)["DEAD"], 1)
		})
	}
}

// A 410 of the URI that an endpoint had before disables nothing.
func TestGoneOfAFormerURI(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	old, r := newReceiver(t), newReceiver(t)
	e, _ := h.endpoint(old, fullView, "message_sent")
	asked, release := make(chan struct{}, 1), make(chan struct{})
	old.answers(func(arrival) int {
		asked <- struct{}{}
		<-release
		return http.StatusGone
	})
	id := h.asks(kim, "1")
	<-asked
	do[*goodshipv1.WebhookEndpoint](h.world, backend, &goodshipv1.UpdateWebhookEndpointRequest{
		WebhookEndpointId: e.Id, UpdateMask: mask("uri"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: r.URL},
	})
	close(release)
	h.says(kim, id, "2")
	h.settledWhile(e, time.Second)
	equal(t, "state", h.now(e).State, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED)
	inOrder(t, r.arrived(), []string{id}, []string{"1", "2"})
}

// After a restore another event may have the revision of one that was sent: it has an id of its own, so that no receiver drops it.
func TestWebhookIDsAfterARestore(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	id := h.asks(kim, "1")
	h.settled(e)
	backup := h.dir
	h.killed(time.Second)
	h.says(kim, id, "lost")
	r.awaits(2)
	h.dir = backup
	h.killed(time.Second)
	h.says(kim, id, "new")
	got := r.awaits(3)
	equal(t, "texts", texts(got), "1 lost new")
	equal(t, "revisions", got[1].Data.Event.Revision, got[2].Data.Event.Revision)
	if got[1].id == got[2].id {
		t.Errorf("both have the id %s", got[1].id)
	}
}
