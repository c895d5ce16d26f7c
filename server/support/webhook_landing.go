package support

import (
	"errors"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// land takes in what became of a flight.
func (r *route) land(l landing) {
	f := l.flight
	r.flights--
	if f.retry {
		r.retries--
	}
	f.lane.under = nil
	defer r.tidy(f.lane)
	switch {
	case f.void:
	case l.err == nil:
		r.answered(l)
	case errors.Is(l.err, errNothingToTell):
		if f.delivery != nil { // it was tried, and its conversation was removed since
			r.giveUp(proto.CloneOf(f.delivery), removedBefore)
		}
		r.done(f)
	case errors.Is(l.err, errNotTold):
		if f.delivery != nil {
			r.giveUp(proto.CloneOf(f.delivery), notToldNow)
		}
		r.done(f)
	case refuses(l.err):
		r.standStill(l.err)
	default:
		r.courier.log.Error("an event cannot be shown, and is not sent", "workspace", r.workspace, "endpoint", r.id, "conversation", f.conversation, "revision", f.revision, "error", l.err)
		r.giveUp(r.entry(l), whyUntold(l.err))
		r.done(f)
	}
}

// tooManyWait is why an event was given up that nothing could wait for.
const tooManyWait = "so many other conversations wait already that this one was not tried again: replay it"

// answered takes in how the endpoint took an event.
func (r *route) answered(l landing) {
	f, now := l.flight, r.now()
	r.courier.metrics.tried(r.workspace, l, now)
	if l.outcome.Gone {
		r.unsaved.gone = true
		r.changed.Store(true)
		return
	}
	d := r.entry(l)
	if l.outcome.Failure == "" {
		r.up()
		d.State, d.NextTryTime = goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DELIVERED, nil
		r.unsaved.log = append(r.unsaved.log, d)
		r.done(f)
		return
	}
	if r.isDown() || !f.early {
		r.notTaken(f, l.outcome.RetryAfter)
	} else {
		r.inVain()
	}
	full := f.replay == nil && f.lane.parked == nil && !r.mayPark()
	switch {
	case full && r.isDown(): // it stays where it is in the feed
	case full:
		r.giveUp(d, tooManyWait)
		r.done(f)
	case f.removed.IsZero() && f.replay == nil && f.lane.ends():
		r.giveUp(d, removedBefore)
		r.done(f)
	case d.TryCount >= int32(maxTries) && !f.early:
		r.giveUp(d, d.Failure)
		r.done(f)
	default:
		r.retry(f, d, l.outcome.RetryAfter)
	}
}

// entry returns the log's entry of an event with its latest try.
func (r *route) entry(l landing) *goodshipv1.WebhookDelivery {
	f, d := l.flight, proto.CloneOf(l.delivery)
	if d == nil {
		d = &goodshipv1.WebhookDelivery{
			Id: r.deliveryID(), ConversationId: f.conversation, Revision: f.revision, WebhookId: l.webhookID(r.id), EventKind: l.letter.kind,
			RemovalCause: f.cause,
		}
		if !l.letter.at.IsZero() {
			d.EventTime = timestamppb.New(l.letter.at)
		}
	}
	if !f.early {
		d.TryCount++
	}
	d.StatusCode, d.Failure, d.LastTryTime = int32(l.outcome.StatusCode), string(l.outcome.Failure), timestamppb.New(r.now())
	return d
}

// deliveryID returns an id for a new entry of the log, which sorts after those before it.
func (r *route) deliveryID() string {
	if now := r.now(); now.After(r.latest) {
		r.latest = now
	} else {
		r.latest = r.latest.Add(time.Microsecond)
	}
	return newIDAt(deliveryPrefix, r.latest)
}

// retry has an event tried again.
func (r *route) retry(f *flight, d *goodshipv1.WebhookDelivery, asked time.Duration) {
	d.State = goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING
	if !f.early {
		d.NextTryTime = timestamppb.New(r.now().Add(nextTry(d.WebhookId, d.TryCount, asked)))
	}
	r.unsaved.log = append(r.unsaved.log, d)
	if f.replay != nil {
		f.replay.Delivery = d
		r.unsaved.park(d.Id, f.replay)
		return
	}
	l := f.lane
	if l.parked == nil {
		r.park(l, f.revision-1)
	}
	l.parked.Delivery, l.next = d, again(l, d)
	r.unsaved.park(l.conversation, l.parked)
}

// done goes on behind an event that was delivered or given up.
func (r *route) done(f *flight) {
	l := f.lane
	switch {
	case f.replay != nil:
		delete(r.replays, f.replay.ConversationId)
		r.unsaved.park(f.replay.ConversationId, nil)
	case l.parked != nil:
		l.parked.Revision, l.parked.Delivery, l.next = f.revision, nil, nil
		r.unsaved.park(l.conversation, l.parked)
	default:
		l.queue = l.queue[1:]
		f.slot.left--
		r.settle()
	}
}

// up notes that the endpoint took something. If it was down, what waits is tried once at once: it may have failed for that alone.
func (r *route) up() {
	clear(r.failing)
	r.hurriedInVain = 0
	if !r.isDown() {
		return
	}
	r.progress.DownTime, r.progress.ProbeCount, r.progress.UpTime = nil, 0, timestamppb.New(r.now())
	r.unsaved.progress = true
	r.hurry()
}

// hurry has what waits and was last tried before the endpoint was back tried now.
func (r *route) hurry() {
	for _, l := range r.lanes {
		if l.parked != nil && l.next != nil && longAgo(l.next.delivery, r.progress.UpTime) {
			l.next.ready = r.progress.UpTime.AsTime()
		}
	}
}

// longAgo says whether an event was last tried before a time, nil being none.
func longAgo(d *goodshipv1.WebhookDelivery, t *timestamppb.Timestamp) bool {
	return d != nil && t != nil && d.LastTryTime.AsTime().Before(t.AsTime())
}

// inVain notes that an event was not taken that was tried before its time, and has the others keep to theirs after many such.
func (r *route) inVain() {
	if r.hurriedInVain++; r.hurriedInVain < maxHurriedInVain {
		return
	}
	r.progress.UpTime, r.unsaved.progress = nil, true
	for _, l := range r.lanes {
		if l.next != nil && l.next.delivery != nil {
			l.next.ready = time.Time{}
		}
	}
}

// notTaken notes that the endpoint did not take an event of a conversation, and whether it is down.
func (r *route) notTaken(f *flight, asked time.Duration) {
	r.failing[f.conversation] = struct{}{}
	switch {
	case r.isDown():
		r.progress.ProbeCount++
	case len(r.failing) < downAfter:
		return
	default:
		r.progress.DownTime = timestamppb.New(r.now())
	}
	r.unsaved.progress = true
	r.probeAt = r.now().Add(nextProbe(r.progress.ProbeCount, asked))
}
