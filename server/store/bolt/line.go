package bolt

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// NextDue implements store.Lister. Equal times go by workspace and id.
func (s *Store) NextDue(ctx context.Context, after *store.Due, limit int) (all []store.Due, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	pivot := &entry{workspace: &workspace{}, due: math.MinInt64}
	if after != nil {
		pivot = &entry{workspace: &workspace{id: after.Workspace}, id: after.ConversationID, due: nanosecondsOf(after.Time)}
	}
	s.published.Load().index.orders[dueOrder].Ascend(pivot, func(e *entry) bool {
		if compareDue(e, pivot) > 0 && len(all) < limit {
			all = append(all, store.Due{Workspace: e.workspace.id, ConversationID: e.id, Time: e.dueTime()})
		}
		return len(all) < limit
	})
	return all, nil
}

// Place implements store.Lister. It counts in memory, where the line is; no walk.
func (s *Store) Place(ctx context.Context, workspace, conversation string) (place int, err error) {
	err = s.inConversation(ctx, workspace, conversation, func(v *view, head *storev1.Head, _ []byte) error {
		place = v.index.place(newEntry(v.index.workspace(workspace), head))
		return nil
	})
	return place, err
}

// Lines implements store.Lister.
func (s *Store) Lines(ctx context.Context) ([]store.Line, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	var all []store.Line
	var last *workspace
	s.published.Load().index.orders[lineOrder].Scan(func(e *entry) bool {
		if e.workspace != last {
			last, all = e.workspace, append(all, store.Line{Workspace: e.workspace.id, Oldest: time.Unix(0, e.line).UTC()})
		}
		all[len(all)-1].Length++
		return true
	})
	slices.SortFunc(all, func(a, b store.Line) int { return cmp.Compare(a.Workspace, b.Workspace) })
	return all, nil
}
