package support

import (
	"context"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// maxSilent is how many conversations GetLine names at most whose owners are silent.
const maxSilent = 100

// GetLine tells how the workspace's line stands.
func (s *Service) GetLine(ctx context.Context, _ *goodshipv1.GetLineRequest) (*goodshipv1.Line, error) {
	c := callerFrom(ctx)
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	line, late, err := s.count(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	line.OpenTime = s.openTime(settings)
	line.SilentConversationIds, err = s.silent(ctx, c.Workspace, late, settings.AwayAfter.AsDuration())
	return line, err
}

// countedLine is a workspace's line as it was counted last.
type countedLine struct {
	mu sync.Mutex
	// at is the newest position of the workspace's feed as of then, or before.
	at   int64
	line *goodshipv1.Line
	late []lateConversation
}

// lateConversation is one that waits under a broken promise, and has an owner.
type lateConversation struct{ id, owner string }

// count returns the line, without what is not counted, and who waits under a broken promise and is owned, in the order of the
// line. Counting reads every head of the line, some microseconds each: once for all who ask until something happens in the
// workspace, and one after the other.
func (s *Service) count(ctx context.Context, workspace string) (*goodshipv1.Line, []lateConversation, error) {
	stored, _ := s.lines.LoadOrStore(workspace, &countedLine{})
	counted := stored.(*countedLine)
	counted.mu.Lock()
	defer counted.mu.Unlock()
	_, newest, err := s.store.FeedEnds(ctx, workspace)
	if err != nil {
		return nil, nil, err
	}
	if counted.line == nil || counted.at != newest {
		line, late, err := countLine(ctx, s.store, workspace)
		if err != nil {
			return nil, nil, err
		}
		counted.at, counted.line, counted.late = newest, line, late
	}
	return proto.CloneOf(counted.line), counted.late, nil
}

// countLine counts the conversations that are WAITING.
func countLine(ctx context.Context, s store.Lister, workspace string) (*goodshipv1.Line, []lateConversation, error) {
	line, late := &goodshipv1.Line{}, []lateConversation(nil)
	q := store.Query{Order: store.ByLine, State: goodshipv1.State_STATE_WAITING}
	const batch = 100
	for after, more := (*store.Position)(nil), true; more; more = after != nil {
		var heads []*storev1.Head
		var err error
		if heads, after, err = s.List(ctx, workspace, q, after, batch); err != nil {
			return nil, nil, err
		}
		for _, h := range heads {
			addToLine(line, h.Conversation)
			if broken(h.Conversation) && h.Conversation.OwnerId != "" {
				late = append(late, lateConversation{h.Conversation.Id, h.Conversation.OwnerId})
			}
		}
	}
	return line, late, nil
}

// addToLine counts a conversation, after those that come before it.
func addToLine(line *goodshipv1.Line, c *goodshipv1.Conversation) {
	if line.Length++; line.Length == 1 {
		line.OldestLineTime = c.LineTime
	}
	if c.OwnerId == "" {
		line.UnownedCount++
	}
	switch {
	case broken(c):
		line.BrokenCount++
	case c.AnswerPromise.GetAtRisk():
		line.AtRiskCount++
	}
}

func broken(c *goodshipv1.Conversation) bool {
	return c.AnswerPromise.GetState() == goodshipv1.PromiseState_PROMISE_STATE_BROKEN
}

// silent returns the first of the conversations that wait under a broken promise whose owners are present.
func (s *Service) silent(ctx context.Context, workspace string, late []lateConversation, awayAfter time.Duration) ([]string, error) {
	present := map[string]bool{}
	var ids []string
	for _, l := range late {
		if len(ids) == maxSilent {
			break
		}
		if _, known := present[l.owner]; !known {
			owner, err := s.store.Agent(ctx, workspace, l.owner)
			if err != nil {
				return nil, err
			}
			present[l.owner] = s.agent(workspace, owner, awayAfter).Present
		}
		if present[l.owner] {
			ids = append(ids, l.id)
		}
	}
	return ids, nil
}
