package support

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// saveAfter is over how many entries that are not for the endpoint the position moves before that alone is stored.
const saveAfter = 1000

// unsaved is what happened on a route and is not stored.
type unsaved struct {
	// parked are by what they stand under; nil ones are removed.
	parked map[string]*storev1.ParkedRecord
	log    []*goodshipv1.WebhookDelivery
	// forgotten are the ids of entries of the log that are removed.
	forgotten []string
	// progress says that whether the endpoint is down is another, and gone that it wants no more.
	progress, gone bool
}

func (u *unsaved) park(id string, p *storev1.ParkedRecord) {
	if u.parked == nil {
		u.parked = map[string]*storev1.ParkedRecord{}
	}
	u.parked[id] = p
}

func (u *unsaved) empty() bool {
	return len(u.parked) == 0 && len(u.log) == 0 && len(u.forgotten) == 0 && !u.progress && !u.gone
}

// save stores what happened, in one unit. It returns errStale if somebody else stored something of the route meanwhile.
func (r *route) save(ctx context.Context) error {
	if r.unsaved.empty() && r.position-r.progress.Position < saveAfter {
		r.reached.Store(r.position)
		return nil
	}
	progress, disabled := proto.CloneOf(r.progress), false
	progress.Position = r.position
	_, err := r.courier.service.store.Update(ctx, r.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		stored, err := tx.WebhookProgress(r.id)
		if err != nil {
			return nil, orMissing(err, errStale)
		}
		if stored.ReplayCount != progress.ReplayCount {
			return nil, errStale
		}
		if disabled, err = r.disable(tx); err != nil {
			return nil, err
		}
		return nil, r.put(tx, progress)
	})
	if err != nil {
		r.owes = true
		return err
	}
	r.progress, r.unsaved, r.owes = progress, unsaved{}, false
	r.reached.Store(r.position)
	r.tell(disabled)
	return nil
}

// tell tells once, when it is stored, that the endpoint is down, takes events again, or was disabled.
func (r *route) tell(disabled bool) {
	log, down := r.courier.log.With("workspace", r.workspace, "endpoint", r.id), r.isDown()
	switch was := r.down.Swap(down); {
	case disabled:
		log.Warn("a webhook endpoint answered 410 and is disabled: nothing is sent to it until it is enabled again")
	case down && !was:
		log.Warn("a webhook endpoint takes nothing: it is probed, and what happens waits until it does")
	case was && !down:
		log.Info("a webhook endpoint takes events again")
	}
}

// put stores what is unsaved.
func (r *route) put(tx store.Tx, progress *storev1.WebhookProgressRecord) error {
	for _, id := range slices.Sorted(maps.Keys(r.unsaved.parked)) {
		var err error
		if p := r.unsaved.parked[id]; p != nil {
			err = tx.PutParked(p)
		} else {
			err = orMissing(tx.RemoveParked(r.id, id), nil)
		}
		if err != nil {
			return err
		}
	}
	for _, d := range r.unsaved.log {
		if err := tx.PutDelivery(r.id, d); err != nil {
			return err
		}
	}
	for _, id := range r.unsaved.forgotten {
		if err := tx.RemoveDelivery(r.id, id); err != nil {
			return err
		}
	}
	return tx.PutWebhookProgress(progress)
}

// disable disables the endpoint if it wants no more, and says whether it does.
func (r *route) disable(tx store.Tx) (bool, error) {
	if !r.unsaved.gone {
		return false, nil
	}
	e, err := tx.WebhookEndpoint(r.id)
	if err != nil {
		return false, orMissing(err, errStale)
	}
	if e.Version != r.endpoint.Version { // it may be another one that wants no more
		return false, errStale
	}
	w := e.WebhookEndpoint
	w.State = goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_DISABLED
	w.DisableReason = "The endpoint answered 410: it wants no more. What happens from then on is sent when it is enabled again."
	w.UpdateTime = timestamppb.New(tx.Now())
	e.Version++
	return true, tx.PutWebhookEndpoint(e)
}

// load reads how the route is stored. It returns errOver unless there is such an endpoint that is enabled.
func (r *route) load(ctx context.Context) error {
	r.changed.Store(false) // before it is read, so that no change is missed
	s := r.courier.service.store
	var err error
	if r.endpoint, err = s.WebhookEndpoint(ctx, r.workspace, r.id); err != nil {
		return orMissing(err, errOver)
	}
	if r.endpoint.WebhookEndpoint.State != goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED {
		return errOver
	}
	if r.progress, err = s.WebhookProgress(ctx, r.workspace, r.id); err != nil {
		return orMissing(err, errOver)
	}
	r.position, r.read, r.ended, r.careful, r.window = r.progress.Position, r.progress.Position, false, 0, nil
	r.reached.Store(r.position)
	r.down.Store(r.isDown())
	r.lanes, r.replays, r.through = map[string]*lane{}, map[string]*storev1.ParkedRecord{}, map[string]int32{}
	r.unsaved, r.owes, r.failing = unsaved{}, false, map[string]struct{}{}
	r.flights, r.retries, r.landed = 0, 0, make(chan landing, maxFlights)
	r.probeAt, r.sweepAt, r.sweepBefore = r.now(), r.now(), ""
	if err = r.loadParked(ctx); err != nil {
		return err
	}
	r.hurriedInVain = 0
	r.hurry()
	return r.rewind(ctx)
}

func (r *route) loadParked(ctx context.Context) error {
	for after := ""; ; {
		page, err := r.courier.service.store.Parked(ctx, r.workspace, r.id, after, duePage)
		if err != nil {
			return err
		}
		for _, p := range page {
			if p.Delivery != nil && p.ConversationId == p.Delivery.Id {
				r.replays[p.ConversationId] = p
				continue
			}
			l := r.lane(p.ConversationId)
			if l.parked = p; p.Delivery != nil {
				l.next = again(l, p.Delivery)
			}
		}
		if len(page) < duePage {
			return nil
		}
		after = page[len(page)-1].ConversationId
	}
}

// rewind has what waits told by the feed again where something of it was told since the time of a replay.
func (r *route) rewind(ctx context.Context) error {
	if r.progress.ReplayFromTime == nil {
		return nil
	}
	since := r.progress.ReplayFromTime.AsTime()
	for id, p := range r.replays {
		if !p.Delivery.EventTime.AsTime().Before(since) {
			delete(r.replays, id)
			r.unsaved.park(id, nil)
			r.unsaved.forgotten = append(r.unsaved.forgotten, p.Delivery.Id)
		}
	}
	for _, l := range r.lanes {
		if l.parked == nil {
			continue
		}
		last, err := r.lastTried(ctx, l.parked)
		if err != nil {
			return err
		}
		if last.Before(since) {
			continue
		}
		if d := l.parked.Delivery; d != nil {
			r.unsaved.forgotten = append(r.unsaved.forgotten, d.Id)
		}
		r.unpark(l, 0)
	}
	r.progress.ReplayFromTime, r.unsaved.progress = nil, true
	return nil
}

// lastTried returns when the last event happened that was tried of a parked conversation; zero if none was, or it cannot be read.
func (r *route) lastTried(ctx context.Context, p *storev1.ParkedRecord) (time.Time, error) {
	if p.Delivery != nil {
		return p.Delivery.EventTime.AsTime(), nil
	}
	s := r.courier.service
	_, event, err := s.eventAt(ctx, r.workspace, told{conversation: p.ConversationId, revision: p.Revision})
	switch {
	case err == nil:
		return event.CreateTime.AsTime(), nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrDataLoss) && s.store.Ready() == nil:
		return time.Time{}, nil
	}
	return time.Time{}, err
}
