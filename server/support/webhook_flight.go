package support

import (
	"context"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/webhook"
)

// flight is an event on its way to the endpoint.
type flight struct {
	told
	lane *lane
	slot *slot
	// delivery is its entry in the log from the tries before, nil if there was none; and replay what is stored of it if it is sent
	// once more on its own.
	delivery *goodshipv1.WebhookDelivery
	replay   *storev1.ParkedRecord
	// ready is since when it may be sent, whatever its schedule says; zero if it goes by that.
	ready time.Time
	// retry says that it counts as one of maxRetries, early that it is tried before its time, and void that nobody asks for it any
	// more.
	retry, early, void bool
	// sent is when it was sent off.
	sent time.Time
}

// landing is what became of a flight: it was sent, or err says why not.
type landing struct {
	*flight
	letter  letter
	outcome webhook.Outcome
	err     error
}

// fly sends one event.
func (r *route) fly(ctx context.Context, f *flight, to *goodshipv1.WebhookEndpoint, m webhook.Message) landing {
	s, l := r.courier.service, landing{flight: f}
	l.err = contained(func() (err error) {
		if l.letter, err = s.letter(ctx, r.workspace, to, f.told); err != nil {
			return err
		}
		m.ID, m.Time, m.Body, m.Traceparent = l.webhookID(r.id), s.now(), l.letter.body, l.letter.traceparent
		if l.outcome = r.courier.sender.Send(ctx, m); ctx.Err() != nil && l.outcome.Failure != "" {
			return ctx.Err()
		}
		return nil
	})
	return l
}

// webhookID returns the id that the event was sent under, and is from now on.
func (l *landing) webhookID(endpoint string) string {
	if l.delivery != nil {
		return l.delivery.WebhookId
	}
	return l.told.webhookID(endpoint, l.letter.at)
}

// again returns the flight of an event that was tried before.
func again(l *lane, d *goodshipv1.WebhookDelivery) *flight {
	f := &flight{told: told{conversation: l.conversation, revision: d.Revision}, lane: l, delivery: d, retry: true}
	if d.EventKind == kindRemoved {
		f.removed, f.cause = d.EventTime.AsTime(), d.RemovalCause
	}
	return f
}

// due returns when it is time for an event.
func (f *flight) due() time.Time {
	if !f.ready.IsZero() {
		return f.ready
	}
	return f.nextTry()
}

// nextTry returns when an event is tried again by the schedule, zero if it was not tried.
func (f *flight) nextTry() time.Time {
	if f.delivery.GetNextTryTime() == nil {
		return time.Time{}
	}
	return f.delivery.NextTryTime.AsTime()
}

// soonest and longestLeft are orders of what waits: by when it is due, and by when it was tried last.
func soonest(a, b *flight) bool { return a.due().Before(b.due()) }

func longestLeft(a, b *flight) bool {
	return a.delivery.GetLastTryTime().AsTime().Before(b.delivery.GetLastTryTime().AsTime())
}
