package support

import (
	"context"
	"errors"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/estimate"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// GetWait tells what a customer who waits can know.
func (s *Service) GetWait(ctx context.Context, req *goodshipv1.GetWaitRequest) (*goodshipv1.Wait, error) {
	c := callerFrom(ctx)
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	head, place, err := s.place(ctx, req.ConversationId)
	if err != nil {
		return nil, err
	}
	wait := &goodshipv1.Wait{
		ConversationId: req.ConversationId, State: head.Conversation.State,
		OpenTime: s.openTime(settings), ContactPoints: settings.ContactPoints,
	}
	if place != 0 {
		wait.Place, wait.AnswerPromise = int32(place), head.Conversation.AnswerPromise
		if wait.Estimate, err = s.estimate(ctx, settings, head); err != nil {
			return nil, err
		}
	}
	return see(c, wait), nil
}

// place returns a conversation that the caller may see, and its place in the line, 0 if it is not WAITING.
func (s *Service) place(ctx context.Context, id string) (*storev1.Head, int, error) {
	for {
		head, err := s.visible(ctx, id)
		if err != nil || head.Conversation.State != goodshipv1.State_STATE_WAITING {
			return head, 0, err
		}
		place, err := s.store.Place(ctx, callerFrom(ctx).Workspace, id)
		if err != nil || place != 0 { // else somebody answered in between
			return head, place, orMissing(err, noConversation())
		}
	}
}

// openTime returns when a workspace's desk next opens, or nil while it is open.
func (s *Service) openTime(w *goodshipv1.Workspace) *timestamppb.Timestamp {
	now := s.store.Now()
	if at := s.openingHours(w).Next(now); at.After(now) {
		return timestamppb.New(at)
	}
	return nil
}

// maxBehind is how many entries of a feed are read at most to learn how long waits take: older ones would teach little.
const maxBehind = 10_000

// pastWaits are a workspace's waits as its feed tells of them. They stand in memory, and are learnt from the feed when somebody
// asks: after a start from its newest entries.
type pastWaits struct {
	mu    sync.Mutex
	at    int64 // the position until which the feed was read
	waits estimate.Waits
}

// estimate returns how long a wait may still take.
func (s *Service) estimate(ctx context.Context, w *goodshipv1.Workspace, h *storev1.Head) (*goodshipv1.WaitEstimate, error) {
	stored, _ := s.waits.LoadOrStore(w.Id, &pastWaits{})
	past := stored.(*pastWaits)
	past.mu.Lock()
	defer past.mu.Unlock()
	if err := past.catchUp(ctx, s.store, w.Id, s.openingHours(w).Between); err != nil {
		return nil, err
	}
	// The place is that among those whose begin is known, as were the places that it is compared with.
	p50, p90, ok := past.waits.Estimate(past.waits.Place(h.Conversation.Id, h.Conversation.LineTime.AsTime()))
	if !ok {
		return &goodshipv1.WaitEstimate{State: goodshipv1.EstimateState_ESTIMATE_STATE_UNKNOWN}, nil
	}
	return &goodshipv1.WaitEstimate{State: goodshipv1.EstimateState_ESTIMATE_STATE_KNOWN, P50: durationpb.New(p50), P90: durationpb.New(p90)}, nil
}

// catchUp reads what is new in the feed. Where what follows is not kept, or is too much, it begins anew.
func (p *pastWaits) catchUp(ctx context.Context, s store.Lister, workspace string, open func(from, to time.Time) time.Duration) error {
	oldest, newest, err := s.FeedEnds(ctx, workspace)
	if err != nil {
		return err
	}
	if from := max(oldest, newest-maxBehind); p.at < from {
		p.at, p.waits = from, estimate.Waits{}
	}
	const batch = 500
	for p.at < newest {
		entries, err := s.Feed(ctx, workspace, p.at, batch)
		if errors.Is(err, store.ErrFeedPruned) {
			return p.catchUp(ctx, s, workspace, open)
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			p.learn(e, open)
			p.at = e.Position
		}
	}
	return nil
}

// learn notes which waits began and ended in an entry of the feed.
func (p *pastWaits) learn(entry store.FeedEntry, open func(from, to time.Time) time.Duration) {
	if entry.Record == nil { // removed, so that nobody waits there
		p.waits.Leave(entry.ConversationID)
		return
	}
	for _, e := range entry.Record.Events {
		at := e.CreateTime.AsTime()
		switch k := e.Kind.(type) {
		case *goodshipv1.Event_WaitBegan:
			p.waits.Begin(entry.ConversationID, k.WaitBegan.LineTime.AsTime(), at)
		case *goodshipv1.Event_WaitAnswered:
			p.waits.Answer(entry.ConversationID, at, open)
		case *goodshipv1.Event_Resolved:
			p.waits.Leave(entry.ConversationID)
		}
	}
}
