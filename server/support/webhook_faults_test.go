package support_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// fails answers 500 to what a test says, and takes the rest.
func fails(which func(arrival) bool) func(arrival) int {
	return func(a arrival) int {
		if which(a) {
			return http.StatusInternalServerError
		}
		return http.StatusNoContent
	}
}

func always(arrival) bool { return true }

// tries waits, while time passes, until an event was tried so often, and returns its delivery.
func (h *hooks) tries(e *goodshipv1.WebhookEndpoint, count int32) *goodshipv1.WebhookDelivery {
	h.t.Helper()
	var found *goodshipv1.WebhookDelivery
	h.untilWhile(fmt.Sprintf("try %d", count), retryStep(count), func() bool {
		i := slices.IndexFunc(h.deliveries(e), func(d *goodshipv1.WebhookDelivery) bool { return d.TryCount == count })
		if i >= 0 {
			found = h.deliveries(e)[i]
		}
		return i >= 0
	})
	return found
}

// retryStep is in what steps time passes until a try.
func retryStep(count int32) time.Duration {
	if count == 1 {
		return 0
	}
	return time.Second << min(2*count, 10)
}

// After ten tries over about three days an event is a dead letter, and its conversation goes on. A replay sends it again.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	bad := func(a arrival) bool { return a.Data.Event.GetMessageSent().Message.Text == "poison" }
	r.answers(fails(bad))
	id := h.asks(kim, "poison")
	h.says(kim, id, "and on")
	took := time.Duration(0)
	for n := range int32(10) {
		if d := h.tries(e, n+1); n < 9 {
			took += d.NextTryTime.AsTime().Sub(d.LastTryTime.AsTime())
		}
	}
	h.settled(e)
	equal(t, "what arrived", texts(r.arrived()), strings.Repeat("poison ", 10)+"and on")
	if took < 60*time.Hour || took > 91*time.Hour {
		t.Errorf("it was given up after %v, want about three days", took)
	}
	dead := h.deliveries(e)[0]
	equal(t, "state", dead.State, goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DEAD)
	equal(t, "tries and status", list([]int32{dead.TryCount, dead.StatusCode}), "10 500")
	equal(t, "next try", dead.NextTryTime == nil, true)

	r.answers(nil)
	replayed := do[*goodshipv1.ReplayWebhookResponse](h.world, backend, &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: e.Id, DeliveryIds: []string{dead.Id, dead.Id, "dlv_00000000000000000000000000"}})
	equal(t, "replayed", replayed.ReplayedCount, 1)
	got := r.awaits(12)
	h.settled(e)
	equal(t, "what arrived", texts(got[11:]), "poison")
	equal(t, "its id", got[11].id, got[0].id)
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:2]")
}

// An endpoint that takes nothing is probed, and nothing is dropped: once it is back, everything arrives, in order.
func TestAnEndpointThatIsDown(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	var ids []string
	for i := range 20 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		id := h.asks(p, "1")
		h.says(p, id, "2")
		ids = append(ids, id)
	}
	h.until("it is down", func() bool { return h.now(e).DownTime != nil })
	h.until("nothing is under way", func() bool { // what was when it went down is parked too
		return int(h.now(e).RetryingCount) == len(r.arrived())
	})
	for probe := range 30 { // over more than an hour, one each time
		before := len(r.arrived())
		pause := min(time.Second<<min(probe, 9), 5*time.Minute)
		h.untilWhile("the next probe", pause/4+time.Millisecond, func() bool { return len(r.arrived()) > before })
		if got := r.arrived(); len(got) > before+1 {
			t.Fatalf("probe %d: got %d requests", probe, len(got)-before)
		}
		h.until("it is noted", func() bool { return h.probes(e) > int32(probe) })
	}
	for _, d := range h.deliveries(e) {
		if d.State != goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING {
			t.Errorf("got a delivery %v", d)
		}
	}
	r.answers(nil)
	h.settledWhile(e, time.Minute)
	equal(t, "down", h.now(e).DownTime == nil, true)
	inOrder(t, r.arrived(), ids, []string{"1", "2"})
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:40]")
}

// probes returns how many probes of an endpoint failed.
func (h *hooks) probes(e *goodshipv1.WebhookEndpoint) int32 {
	h.t.Helper()
	p, err := h.store.WebhookProgress(h.t.Context(), h.workspace, e.Id)
	if err != nil {
		h.t.Fatal(err)
	}
	return p.ProbeCount
}

// inOrder checks that each conversation's texts were taken, each for the first time in their order.
func inOrder(t *testing.T, got []arrival, conversations, want []string) {
	t.Helper()
	taken := map[string][]string{}
	for _, a := range got {
		text := a.Data.Event.GetMessageSent().GetMessage().GetText()
		if a.status < 300 && !slices.Contains(taken[a.Data.ConversationId], text) {
			taken[a.Data.ConversationId] = append(taken[a.Data.ConversationId], text)
		}
	}
	for _, id := range conversations {
		if !slices.Equal(taken[id], want) {
			t.Errorf("conversation %s: got %v, want %v", id, taken[id], want)
		}
	}
}

// Poison in many conversations looks like an endpoint that is down, and still does not keep the others.
func TestPoisonDoesNotKeepOthers(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	h.endpoint(r, fullView, "message_sent")
	r.answers(fails(func(a arrival) bool { return a.Data.Event.GetMessageSent().Message.Text == "poison" }))
	for i := range 15 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.asks(p, "poison")
	}
	good := h.asks(kim, "good")
	h.untilWhile("the good one arrives", time.Second, func() bool {
		return strings.Contains(texts(r.arrived()), "good")
	})
	inOrder(t, r.arrived(), []string{good}, []string{"good"})
}

// 410 disables an endpoint at once; enabled again, it goes on where it was.
func TestGoneDisables(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(func(arrival) int { return http.StatusGone })
	id := h.asks(kim, "1")
	h.until("it is disabled", func() bool {
		return h.now(e).State == goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED
	})
	if now := h.now(e); !strings.Contains(now.DisableReason, "410") || now.Etag == e.Etag {
		t.Errorf("got %v", now)
	}
	h.says(kim, id, "2")
	equal(t, "what arrived", texts(r.arrived()), "1")
	r.answers(nil)
	enabled := do[*goodshipv1.WebhookEndpoint](h.world, backend, &goodshipv1.UpdateWebhookEndpointRequest{
		WebhookEndpointId: e.Id, UpdateMask: mask("state"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{State: goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED},
	})
	equal(t, "reason", enabled.DisableReason, "")
	h.settled(e)
	inOrder(t, r.arrived(), []string{id}, []string{"1", "2"})
}

// What was pruned before it was sent is not passed over in silence.
func TestMissedWebhooksAreTold(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED)
	id := h.asks(kim, "old")
	h.says(kim, id, "older than that")
	h.clock.Jump(9 * 24 * time.Hour)
	h.untilWhile("the feed is pruned", time.Hour, func() bool {
		oldest, newest, err := h.store.FeedEnds(t.Context(), h.workspace)
		return err == nil && oldest == newest
	})
	missed := h.now(e).BehindCount
	h.says(kim, id, "new")
	h.switched(e, goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED)
	h.settled(e)
	equal(t, "what arrived", texts(r.arrived()), "new")
	log := h.deliveries(e)
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:1 MISSED:1]")
	equal(t, "missed", log[0].MissedCount, missed)
}

// switched enables or disables an endpoint.
func (h *hooks) switched(e *goodshipv1.WebhookEndpoint, to goodshipv1.WebhookEndpointState) {
	h.t.Helper()
	do[*goodshipv1.WebhookEndpoint](h.world, backend, &goodshipv1.UpdateWebhookEndpointRequest{
		WebhookEndpointId: e.Id, UpdateMask: mask("state"), WebhookEndpoint: &goodshipv1.WebhookEndpoint{State: to},
	})
}

// A text that was redacted while its event waited is not sent any more.
func TestRedactionReachesWebhooks(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, publicView)
	r.answers(fails(always))
	id := h.asks(kim, "my number is 4111")
	h.tries(e, 1)
	do[*goodshipv1.Message](h.world, backend, &goodshipv1.RedactMessageRequest{ConversationId: id, Number: 1})
	r.answers(nil)
	h.settledWhile(e, time.Second)
	for _, a := range r.arrived() {
		if a.status < 300 && strings.Contains(string(a.body), "4111") {
			t.Errorf("it was sent: %s", a.body)
		}
	}
}

// A conversation that is removed tells so, to whoever is told of it; what waits of it is given up.
func TestRemovalReachesWebhooks(t *testing.T) {
	t.Parallel()
	for name, view := range map[string]goodshipv1.WebhookView{"public": publicView, "full": fullView} {
		t.Run(name, func(t *testing.T) {
			h := newHooks(t)
			r := newReceiver(t)
			e, _ := h.endpoint(r, view)
			r.answers(fails(always))
			id := h.asks(kim, "Ahoy")
			h.tries(e, 1)
			_, err := h.store.Update(t.Context(), h.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				return nil, tx.RemoveConversation(id, goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED)
			})
			if err != nil {
				t.Fatal(err)
			}
			h.until("the removal is tried", func() bool { return strings.HasSuffix(story(r.arrived()), "conversation_removed") })
			r.answers(nil)
			h.settledWhile(e, time.Second)
			got := r.arrived()
			last := got[len(got)-1]
			equal(t, "kinds", story(got), "opened conversation_removed conversation_removed")
			equal(t, "cause", last.Data.Event.GetConversationRemoved().Cause, goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED)
			equal(t, "who and where", last.Data.CustomerId+last.Data.ConversationId, id)
			equal(t, "ids", got[1].id, last.id)
			equal(t, "log", fmt.Sprint(h.states(e)), "map[DEAD:1 DELIVERED:1]")

			removal := h.deliveries(e)[1]
			do[*goodshipv1.ReplayWebhookResponse](h.world, backend, &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: e.Id, DeliveryIds: []string{removal.Id}})
			equal(t, "replayed", r.awaits(4)[3].Type, "conversation_removed")
		})
	}
}

// What was sent and could not be noted is sent again, under the same id: the point between send and mark.
func TestBetweenSendAndMark(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	h.unmarked.Store(true)
	id := h.asks(kim, "1")
	r.awaits(1)
	h.until("the mark fails", func() bool { return h.hits.Load() > 0 })
	h.asks(lou, "another") // and nothing more is sent while nothing can be noted
	h.untilWhile("the mark fails again and again", time.Second, func() bool { return h.hits.Load() > 6 })
	equal(t, "what arrived", texts(r.arrived()), "1")
	h.Close()
	h.unmarked.Store(false)
	h.restarts()
	h.says(kim, id, "2")
	h.settled(e)
	inOrder(t, r.arrived(), []string{id}, []string{"1", "2"})
	got := r.arrived()
	if !slices.ContainsFunc(got[1:], func(a arrival) bool { return a.id == got[0].id }) {
		t.Errorf("got %s, want the first one twice under one id", texts(got))
	}
}

// Failures with deliveries between do not make an endpoint down, however many there are.
func TestScatteredFailuresAreNotDown(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(func(a arrival) bool { return a.Data.Event.GetMessageSent().Message.Text == "poison" }))
	good := h.asks(kim, "good")
	for i := range 12 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.asks(p, "poison")
		h.until("it is noted", func() bool { return int(h.now(e).RetryingCount) == i+1 })
		h.says(kim, good, fmt.Sprint(i))
		h.until("the good one arrives", func() bool { return h.now(e).BehindCount == 0 })
	}
	equal(t, "down", h.now(e).DownTime != nil, false)
}

// A conversation whose events are slow to be taken keeps the place of others no longer than a part of the feed: it goes by its own log
// then, from where it was.
func TestASlowConversationDelaysNoOther(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	slow, others := h.asks(kim, "0"), h.asks(lou, "Ahoy")
	h.settled(e)
	release := make(chan struct{})
	r.answers(func(a arrival) int {
		if a.Data.ConversationId == slow {
			<-release
		}
		return http.StatusNoContent
	})
	h.says(kim, slow, "1")
	h.says(kim, slow, "2")
	for i := range 300 {
		h.says(lou, others, fmt.Sprint(i))
	}
	r.awaits(255) // as many as there are before the slow one keeps the place
	h.untilWhile("the position moves on", 100*time.Millisecond, func() bool { return h.now(e).BehindCount == 0 })
	h.until("only the slow one waits", func() bool { return h.now(e).RetryingCount == 1 })
	h.restarts() // from where it is stored to be
	close(release)
	h.settledWhile(e, time.Second) // on a busy machine it took too long, and is tried again
	h.says(kim, slow, "3")
	h.settledWhile(e, time.Second)
	inOrder(t, r.arrived(), []string{slow}, []string{"0", "1", "2", "3"})
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DELIVERED:305]")
}

// While an endpoint is down, a probe counts as a try of its event only where that was due.
func TestProbesAreNoTries(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	for i := range 5 {
		p := person(fmt.Sprintf("customer/c%d", i))
		h.knows(p)
		h.asks(p, "Ahoy")
	}
	begin := h.clock.Now()
	for probe := range int32(30) {
		h.untilWhile("the next probe", time.Minute, func() bool { return h.probes(e) > probe })
	}
	took, most := h.clock.Now().Sub(begin), int32(1)
	at := time.Duration(0)
	for _, pause := range []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour} {
		if at += pause * 4 / 5; at <= took {
			most++
		}
	}
	for _, d := range h.deliveries(e) {
		if d.TryCount > most {
			t.Errorf("after %v and 30 probes of 5 events, one counts %d tries, want at most %d", took, d.TryCount, most)
		}
	}
}

// torn is a store in which a message of a conversation cannot be read, or reading its log panics.
type torn struct {
	store.Store
	mu           sync.Mutex
	conversation string
	// missing is the number of the message that is damaged, and panics how often reading more than one record is to panic.
	missing int32
	panics  int
}

func (s *torn) Records(ctx context.Context, workspace, conversation string, after int32, limit int) ([]*storev1.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	records, err := s.Store.Records(ctx, workspace, conversation, after, limit)
	if conversation != s.conversation {
		return records, err
	}
	if s.panics > 0 && limit > 1 {
		s.panics--
		panic("the log")
	}
	for _, r := range records {
		for _, e := range r.Events {
			if n := e.GetMessageSent().GetNumber(); n > 0 && n == s.missing {
				return nil, fmt.Errorf("record of message %d: %w", n, store.ErrDataLoss)
			}
		}
	}
	return records, err
}

// What is damaged in the log of a conversation that waits is a dead letter each, and what follows arrives; a panic is nothing but a pause.
func TestADamagedEventHoldsNoneBehindIt(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	s := &torn{Store: h.store}
	h.Close()
	h.store = s
	h.starts()
	r := newReceiver(t)
	e, _ := h.endpoint(r, fullView, "message_sent")
	r.answers(fails(always))
	id := h.asks(kim, "1")
	h.says(kim, id, "2")
	h.says(kim, id, "3")
	h.says(kim, id, "4")
	h.tries(e, 1)
	s.mu.Lock()
	s.conversation, s.missing, s.panics = id, 2, 3
	s.mu.Unlock()
	r.answers(nil)
	h.settledWhile(e, time.Second)
	h.says(kim, id, "5")
	h.settled(e)
	arrived := texts(r.arrived())
	equal(t, "what arrived", arrived[strings.LastIndex(arrived, "1"):], "1 3 4 5")
	equal(t, "log", fmt.Sprint(h.states(e)), "map[DEAD:1 DELIVERED:4]")
}
