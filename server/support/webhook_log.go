package support

import (
	"context"
	"errors"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// deliveryPage is how many entries of a delivery log are read at once, and scannedDeliveries how many at most for one page of a
	// list: about 50 ms.
	deliveryPage, scannedDeliveries = 250, 50_000
	// sweepEvery is how often a delivery log is cleared of what is old: what was delivered, after as long as the feed is kept, and what
	// was not, after deadKept.
	sweepEvery = time.Hour
	deadKept   = 30 * 24 * time.Hour
)

// ListWebhookDeliveries lists an endpoint's delivery log, newest first.
func (s *Service) ListWebhookDeliveries(ctx context.Context, req *goodshipv1.ListWebhookDeliveriesRequest) (*goodshipv1.ListWebhookDeliveriesResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	endpoint, err := s.store.WebhookEndpoint(ctx, c.Workspace, req.WebhookEndpointId)
	if err != nil {
		return nil, orMissing(err, noEndpoint())
	}
	reply, before := &goodshipv1.ListWebhookDeliveriesResponse{}, string(p.after)
	for scanned := deliveryPage; ; scanned += deliveryPage {
		found, err := s.store.Deliveries(ctx, c.Workspace, req.WebhookEndpointId, before, deliveryPage)
		if err != nil {
			return nil, err
		}
		for i, d := range found {
			before = d.Id
			if req.State != goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_UNSPECIFIED && d.State != req.State {
				continue
			}
			reply.Deliveries = append(reply.Deliveries, seenDelivery(endpoint.WebhookEndpoint.View, d))
			if len(reply.Deliveries) == p.size && (i < len(found)-1 || len(found) == deliveryPage) {
				reply.NextPageToken = p.next([]byte(before))
				return reply, nil
			}
		}
		switch {
		case len(found) < deliveryPage:
			return reply, nil
		case scanned >= scannedDeliveries:
			reply.NextPageToken = p.next([]byte(before))
			return reply, nil
		}
	}
}

// seenDelivery returns an entry as it is seen: what is public tells of no number that is not.
func seenDelivery(view goodshipv1.WebhookView, d *goodshipv1.WebhookDelivery) *goodshipv1.WebhookDelivery {
	if view != goodshipv1.WebhookView_WEBHOOK_VIEW_FULL {
		d.Revision = 0
	}
	return d
}

// ReplayWebhook sends again what was sent.
func (s *Service) ReplayWebhook(ctx context.Context, req *goodshipv1.ReplayWebhookRequest) (*goodshipv1.ReplayWebhookResponse, error) {
	workspace := callerFrom(ctx).Workspace
	if _, err := s.endpoint(ctx, workspace, req.WebhookEndpointId); err != nil {
		return nil, err
	}
	replay := s.replayDeliveries
	if req.FromTime != nil {
		replay = s.replaySince
	}
	count, err := replay(ctx, req)
	if err != nil {
		return nil, err
	}
	s.courier.changed(workspace, req.WebhookEndpointId)
	endpoint, err := s.endpoint(ctx, workspace, req.WebhookEndpointId)
	return &goodshipv1.ReplayWebhookResponse{WebhookEndpoint: endpoint, ReplayedCount: count}, err
}

// replayDeliveries has single events sent again, each on its own, and those that are being tried, in their place, tried now. It
// returns how many. The route knows what is being tried, and so begins again; what it sent and did not store by then comes once more.
func (s *Service) replayDeliveries(ctx context.Context, req *goodshipv1.ReplayWebhookRequest) (int32, error) {
	c, now := callerFrom(ctx), timestamppb.New(s.store.Now()) // a unit's may be ahead of it
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		if _, err := tx.WebhookEndpoint(req.WebhookEndpointId); err != nil {
			return nil, orMissing(err, noEndpoint())
		}
		receipt, retried := &storev1.Receipt{}, false
		for _, id := range slices.Compact(slices.Sorted(slices.Values(req.DeliveryIds))) {
			p, err := parkedAgain(tx, req.WebhookEndpointId, id)
			if err != nil {
				return nil, err
			}
			if p == nil {
				continue
			}
			d := p.Delivery
			retried = retried || d.State == goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING
			d.State, d.TryCount, d.NextTryTime = goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING, 0, now
			if err := errors.Join(tx.PutDelivery(req.WebhookEndpointId, d), tx.PutParked(p)); err != nil {
				return nil, err
			}
			receipt.Count++
		}
		if !retried {
			return receipt, nil
		}
		progress, err := tx.WebhookProgress(req.WebhookEndpointId)
		if err != nil {
			return nil, err
		}
		progress.ReplayCount++
		return receipt, tx.PutWebhookProgress(progress)
	})
	return result.Receipt.GetCount(), err
}

// parkedAgain returns as what an event waits to be sent again: that it does already, its conversation with what waits behind it,
// or it alone; nil if the event is gone.
func parkedAgain(tx store.Tx, endpoint, id string) (*storev1.ParkedRecord, error) {
	d, err := tx.Delivery(endpoint, id)
	if err != nil || d.ConversationId == "" || d.WebhookId == "" {
		return nil, orMissing(err, nil)
	}
	if _, err := tx.Conversation(d.ConversationId); err != nil && d.EventKind != kindRemoved {
		return nil, orMissing(err, nil)
	}
	p, err := tx.Parked(endpoint, d.ConversationId)
	switch {
	case err == nil && p.Delivery.GetId() == id:
		return p, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return &storev1.ParkedRecord{EndpointId: endpoint, ConversationId: id, Delivery: d}, nil
}

// replaySince has everything since a time sent again: the endpoint's position moves back, and its route sees to the conversations that
// wait, which nobody else changes.
func (s *Service) replaySince(ctx context.Context, req *goodshipv1.ReplayWebhookRequest) (int32, error) {
	c, since := callerFrom(ctx), req.FromTime.AsTime()
	position, err := s.replayFrom(ctx, c.Workspace, since)
	if err != nil {
		return 0, err
	}
	_, err = s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		progress, err := tx.WebhookProgress(req.WebhookEndpointId)
		if err != nil {
			return nil, orMissing(err, noEndpoint())
		}
		progress.ReplayCount++
		progress.Position = min(progress.Position, position)
		if earlier := progress.ReplayFromTime; earlier == nil || since.Before(earlier.AsTime()) {
			progress.ReplayFromTime = req.FromTime
		}
		return &storev1.Receipt{}, tx.PutWebhookProgress(progress)
	})
	return 0, err
}

// positionBefore returns the position of a workspace's feed before the first entry that happened at a time or later. It looks at one entry
// after the other: what time did stands behind what happened after its due time, so times do not grow along a feed.
func (s *Service) positionBefore(ctx context.Context, workspace string, t time.Time) (int64, error) {
	position, _, err := s.store.FeedEnds(ctx, workspace)
	for err == nil {
		var entries []store.FeedEntry
		entries, err = s.store.Feed(ctx, workspace, position, batchRecords)
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if at := entryTime(e); !at.Before(t) {
				return position, nil
			}
			position = e.Position
		}
	}
	return position, err
}

// replayFrom returns the position of a workspace's feed behind which everything is from a time on, or a fault if that is not kept.
func (s *Service) replayFrom(ctx context.Context, workspace string, since time.Time) (int64, error) {
	position, err := s.positionBefore(ctx, workspace, since)
	if err != nil && !errors.Is(err, store.ErrFeedPruned) {
		return 0, err
	}
	oldest, newest, ends := s.store.FeedEnds(ctx, workspace)
	if ends != nil {
		return 0, ends
	}
	// What is before the oldest entry may have happened since then, unless the time is in the part that is kept.
	if err != nil || position < oldest || position == oldest && oldest > 0 && (oldest < newest || since.Before(s.store.Now().Add(-feedKept))) {
		return 0, replayTooOld()
	}
	return position, nil
}

// sweep clears a page of the delivery log of what is old, if it is time.
func (r *route) sweep(ctx context.Context) error {
	now := r.now()
	if now.Before(r.sweepAt) {
		return nil
	}
	if r.sweepBefore == "" {
		r.sweepBefore = firstIDAt(deliveryPrefix, now.Add(-feedKept))
	}
	s := r.courier.service.store
	page, err := s.Deliveries(ctx, r.workspace, r.id, r.sweepBefore, pruneSlice)
	if errors.Is(err, store.ErrDataLoss) && s.Ready() == nil {
		r.courier.log.Error("a delivery log cannot be read, and is not cleared of what is old", "workspace", r.workspace, "endpoint", r.id, "error", err)
		r.sweepBefore, r.sweepAt = "", now.Add(sweepEvery)
		return nil
	}
	if err != nil {
		return err
	}
	if len(page) == pruneSlice {
		r.sweepBefore = page[len(page)-1].Id
	} else {
		r.sweepBefore, r.sweepAt = "", now.Add(sweepEvery)
	}
	return r.forget(ctx, slices.DeleteFunc(page, func(d *goodshipv1.WebhookDelivery) bool { return !isOld(d, now) }))
}

// isOld says whether an entry older than the feed is kept no more.
func isOld(d *goodshipv1.WebhookDelivery, now time.Time) bool {
	switch d.State {
	case goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DELIVERED:
		return d.LastTryTime.AsTime().Before(now.Add(-feedKept))
	case goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING:
		return false
	}
	return d.LastTryTime.AsTime().Before(now.Add(-deadKept))
}

// forget removes entries of the delivery log.
func (r *route) forget(ctx context.Context, old []*goodshipv1.WebhookDelivery) error {
	if len(old) == 0 {
		return nil
	}
	_, err := r.courier.service.store.Update(ctx, r.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		for _, d := range old {
			if err := orMissing(tx.RemoveDelivery(r.id, d.Id), nil); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}

func replayTooOld() error {
	return fault.New(codes.OutOfRange, goodshipv1.ErrorReason_ERROR_REASON_CURSOR_TOO_OLD,
		"What happened then is not kept any more. Replay from a later time: events are kept for 8 days.")
}
