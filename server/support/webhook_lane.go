package support

import (
	"context"
	"errors"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// removedBefore is why an event was given up whose conversation is gone, and notToldNow why one of which the endpoint is not told any more.
const (
	removedBefore = "the conversation was removed before it was delivered"
	notToldNow    = "the endpoint's view and event_kinds have no such event any more"
)

// fill gives lanes what comes next: of the feed, or, where they are parked, of their conversation's log.
func (r *route) fill(ctx context.Context) error {
	if r.grown.Swap(false) {
		r.ended = false
	}
	for _, l := range r.lanes {
		if l.parked != nil && l.next == nil && l.under == nil {
			if err := r.follow(ctx, l); err != nil {
				return err
			}
		}
	}
	if r.reads() {
		return r.readFeed(ctx)
	}
	r.overtake()
	return nil
}

// reads says whether more of the feed is to be read now.
func (r *route) reads() bool {
	return !r.ended && !r.changed.Load() && len(r.window) < maxWindow
}

// readFeed reads a page of the feed.
func (r *route) readFeed(ctx context.Context) error {
	limit := batchRecords
	if r.careful > 0 {
		limit, r.careful = 1, r.careful-1
	}
	page, err := r.courier.service.store.Feed(ctx, r.workspace, r.read, limit)
	switch {
	case errors.Is(err, store.ErrFeedPruned):
		return r.skipPruned(ctx)
	case errors.Is(err, store.ErrDataLoss):
		return r.skipDamaged(err, limit)
	case err != nil:
		return err
	}
	for _, e := range page {
		r.take(e)
	}
	r.settle()
	if len(page) < limit {
		r.ended = true
		clear(r.through)
	}
	return nil
}

// skipPruned goes on where the feed begins, and notes what was missed; or where it ends, if a file was rolled back.
func (r *route) skipPruned(ctx context.Context) error {
	oldest, newest, err := r.courier.service.store.FeedEnds(ctx, r.workspace)
	if err != nil {
		return err
	}
	if missed := oldest - r.read; missed > 0 {
		now := timestamppb.New(r.now())
		r.unsaved.log = append(r.unsaved.log, &goodshipv1.WebhookDelivery{
			Id: r.deliveryID(), State: goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_MISSED, MissedCount: countOf(missed), LastTryTime: now,
			Failure: "what happened is not kept any more",
		})
	}
	r.read = min(max(r.read, oldest), newest)
	r.window = append(r.window, &slot{position: r.read})
	r.settle()
	return nil
}

// skipDamaged finds which entry is damaged, and then leaves that out; unless all of the store is.
func (r *route) skipDamaged(err error, limit int) error {
	s := r.courier.service
	switch {
	case s.store.Ready() != nil:
		return s.store.Ready()
	case limit > 1:
		r.careful = limit
		return nil
	}
	r.courier.log.Error("an event cannot be read, and is not sent", "workspace", r.workspace, "endpoint", r.id, "position", r.read+1, "error", err)
	r.unsaved.log = append(r.unsaved.log, &goodshipv1.WebhookDelivery{
		Id: r.deliveryID(), State: goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DEAD, Failure: whyUntold(err), LastTryTime: timestamppb.New(r.now()),
	})
	r.read++
	r.window = append(r.window, &slot{position: r.read})
	r.settle()
	return nil
}

// take puts what an entry of the feed tells the endpoint into its lane.
func (r *route) take(e store.FeedEntry) {
	r.read = e.Position
	s := &slot{position: e.Position}
	r.window = append(r.window, s)
	if !e.RemoveTime.IsZero() {
		if l := r.lanes[e.ConversationID]; l != nil {
			r.abandon(l)
		}
		if wants(r.endpoint.WebhookEndpoint, kindRemoved) {
			r.enqueue(s, told{conversation: e.ConversationID, removed: e.RemoveTime, cause: e.RemovalCause})
		}
		return
	}
	for _, event := range e.Record.GetEvents() { // none if the conversation was removed since
		if l := r.lanes[e.ConversationID]; isTold(r.endpoint.WebhookEndpoint, event) && event.Revision > r.through[e.ConversationID] && (l == nil || l.parked == nil) {
			r.enqueue(s, told{conversation: e.ConversationID, revision: event.Revision})
		}
	}
}

func (r *route) enqueue(s *slot, of told) {
	l := r.lane(of.conversation)
	s.lane, s.left = l, s.left+1
	if l.queue = append(l.queue, &flight{told: of, lane: l, slot: s}); len(l.queue) > maxQueue && !l.ends() && r.mayPark() {
		r.park(l, l.queue[0].revision-1)
	}
}

// isTold says whether an endpoint is told of an event.
func isTold(w *goodshipv1.WebhookEndpoint, e *goodshipv1.Event) bool {
	return (w.View == goodshipv1.WebhookView_WEBHOOK_VIEW_FULL || e.PublicRevision > 0) && wants(w, eventKind(e))
}

// wants says whether an endpoint is told of a kind of events.
func wants(w *goodshipv1.WebhookEndpoint, kind string) bool {
	return len(w.EventKinds) == 0 || slices.Contains(w.EventKinds, kind)
}

// lane returns a conversation's lane, a new one if it has none.
func (r *route) lane(conversation string) *lane {
	l := r.lanes[conversation]
	if l == nil {
		l = &lane{conversation: conversation}
		r.lanes[conversation] = l
	}
	return l
}

// tidy forgets a lane that nothing is in.
func (r *route) tidy(l *lane) {
	if l.parked == nil && l.under == nil && len(l.queue) == 0 {
		delete(r.lanes, l.conversation)
	}
}

// settle moves the position up over what is done.
func (r *route) settle() {
	for len(r.window) > 0 && r.window[0].left == 0 {
		r.position = r.window[0].position
		r.window = r.window[1:]
	}
}

// overtake lets the position move on over a lane that is slow and keeps it: the lane goes by its log from now on.
func (r *route) overtake() {
	if l := r.slow(); l != nil && !r.now().Before(l.under.sent.Add(slowAfter)) {
		r.park(l, l.queue[0].revision-1)
	}
}

// slow returns the lane that keeps the position from moving on, if no more of the feed is read for it; nil if there is none.
func (r *route) slow() *lane {
	if len(r.window) < maxWindow || !r.mayPark() || r.changed.Load() {
		return nil
	}
	l := r.window[0].lane
	if l == nil || l.under == nil || l.parked != nil || l.ends() {
		return nil
	}
	return l
}

// ends says whether the removal of its conversation is in a lane.
func (l *lane) ends() bool {
	return slices.ContainsFunc(l.queue, func(f *flight) bool { return !f.removed.IsZero() })
}

// park has a lane go by its conversation's log, from a revision.
func (r *route) park(l *lane, revision int32) {
	for _, f := range l.queue {
		f.slot.left--
	}
	l.queue, l.parked = nil, &storev1.ParkedRecord{EndpointId: r.id, ConversationId: l.conversation, Revision: max(revision, 0)}
	r.unsaved.park(l.conversation, l.parked)
	r.settle()
}

// unpark has a lane go by the feed again, which was told up to a revision.
func (r *route) unpark(l *lane, revision int32) {
	l.parked, l.next = nil, nil
	r.through[l.conversation] = revision
	r.unsaved.park(l.conversation, nil)
	r.tidy(l)
}

// abandon gives up what a lane waits for, since its conversation was removed.
func (r *route) abandon(l *lane) {
	if l.parked == nil {
		return
	}
	if d := l.parked.Delivery; d != nil {
		r.giveUp(proto.CloneOf(d), removedBefore)
	}
	if l.under != nil && l.under.replay == nil {
		l.under.void = true
	}
	r.unpark(l, 0)
}

// follow finds what comes next in a parked lane's log. Where nothing does, the lane goes by the feed again: this is the goroutine
// that reads the feed, so nothing that was appended meanwhile is behind what it read.
func (r *route) follow(ctx context.Context, l *lane) error {
	revision, limit := l.parked.Revision, batchRecords
	for {
		records, err := r.courier.service.store.Records(ctx, r.workspace, l.conversation, revision, limit)
		switch {
		case errors.Is(err, store.ErrNotFound):
			r.unpark(l, 0)
			return nil
		case errors.Is(err, store.ErrDataLoss) && limit > 1: // find which is damaged
			limit = 1
			continue
		case errors.Is(err, store.ErrDataLoss):
			if err := r.skipRevision(ctx, l, revision+1, err); err != nil || l.parked == nil {
				return err
			}
			revision++
			continue
		case err != nil:
			return err
		}
		for _, record := range records {
			for _, e := range record.Events {
				if e.Revision > revision && isTold(r.endpoint.WebhookEndpoint, e) {
					l.next = &flight{told: told{conversation: l.conversation, revision: e.Revision}, lane: l, ready: r.now(), retry: true}
					return nil
				}
				revision = max(revision, e.Revision)
			}
		}
		if len(records) == 0 || len(records) < limit {
			r.unpark(l, revision)
			return nil
		}
	}
}

// skipRevision gives up a revision of a parked lane's log that is damaged, and the lane with it if no more is to be read of that;
// unless all of the store is damaged.
func (r *route) skipRevision(ctx context.Context, l *lane, revision int32, damage error) error {
	s := r.courier.service.store
	if err := s.Ready(); err != nil {
		return err
	}
	newest := revision // of a head that is gone, or damaged too
	head, err := s.Conversation(ctx, r.workspace, l.conversation)
	switch {
	case err == nil:
		newest = head.Conversation.Revision
	case !errors.Is(err, store.ErrDataLoss) && !errors.Is(err, store.ErrNotFound):
		return err
	}
	d := &goodshipv1.WebhookDelivery{Id: r.deliveryID(), ConversationId: l.conversation, Revision: revision, LastTryTime: timestamppb.New(r.now())}
	r.giveUp(d, whyUntold(damage))
	if revision >= newest {
		r.unpark(l, revision)
		return nil
	}
	l.parked.Revision = revision
	r.unsaved.park(l.conversation, l.parked)
	return nil
}

// giveUp makes a delivery a dead letter.
func (r *route) giveUp(d *goodshipv1.WebhookDelivery, failure string) {
	d.State, d.Failure, d.NextTryTime = goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_DEAD, failure, nil
	r.unsaved.log = append(r.unsaved.log, d)
}
