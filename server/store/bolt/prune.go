package bolt

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// pruneUnit is how many entries of a feed one unit drops at most, so that nobody waits long for it.
const pruneUnit = 500

// PruneFeed implements store.Keeper. It prunes one workspace after the other, by id; one that cannot be pruned holds up no other.
func (s *Store) PruneFeed(ctx context.Context, before time.Time, limit int) (dropped int, err error) {
	var workspaces []*workspace
	err = s.view(ctx, theDirectory, func(v *view) error {
		workspaces = v.index.workspaces.Items()
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, w := range workspaces {
		n, failed := s.pruneWorkspace(ctx, w, before, limit-dropped)
		dropped, err = dropped+n, errors.Join(err, failed)
		if failed != nil && !errors.Is(failed, store.ErrDataLoss) { // it is the store's, or the caller's
			break
		}
	}
	return dropped, err
}

// pruneWorkspace drops at most so many of the oldest entries of a workspace's feed.
func (s *Store) pruneWorkspace(ctx context.Context, w *workspace, before time.Time, limit int) (dropped int, err error) {
	for dropped < limit {
		n, err := s.pruneSome(ctx, w, before, min(limit-dropped, pruneUnit))
		if dropped += n; err != nil {
			return dropped, fmt.Errorf("prune the feed of workspace %q: %w", w.id, err)
		}
		if n == 0 {
			break
		}
	}
	return dropped, nil
}

// pruneSome drops at most so many of the oldest entries of a workspace's feed, in one unit. What it may drop it looks for
// before, so that the writer reads no logs.
func (s *Store) pruneSome(ctx context.Context, w *workspace, before time.Time, most int) (dropped int, err error) {
	var to int64
	err = s.view(ctx, everything, func(v *view) error {
		to, err = v.prunable(w.number, before, most)
		return err
	})
	if err != nil || to == 0 {
		return 0, err
	}
	_, err = s.Update(ctx, w.id, store.Once{}, func(unit store.Tx) (*storev1.Receipt, error) {
		dropped, err = unit.(*tx).pruneFeed(to)
		return nil, err
	})
	if err != nil {
		return 0, err
	}
	return dropped, nil
}

// prunable returns up to where a feed can be pruned, by so many entries at most; 0 if it cannot. Units' times grow along a
// feed, so it searches for the first entry that stays.
func (f *file) prunable(w uint32, before time.Time, most int) (to int64, err error) {
	oldest, err := f.feedStart(w)
	if err != nil {
		return 0, err
	}
	newest, err := f.lastPosition(w)
	if err != nil {
		return 0, err
	}
	n := sort.Search(min(most, int(newest-oldest)), func(i int) bool {
		at, failed := f.feedTime(w, oldest+1+int64(i), newest)
		if failed != nil {
			err = failed
		}
		return failed != nil || !at.Before(before)
	})
	if n == 0 || err != nil {
		return 0, err
	}
	return oldest + int64(n), nil
}

// feedTime returns the time of the newest event of an entry of a feed. That of an entry whose conversation was removed since is not
// known: it is as old as the next one of which it is, at the latest the one that says that it was removed.
func (f *file) feedTime(w uint32, position, newest int64) (time.Time, error) {
	cursor := f.bucket(feedTable).Cursor()
	for key, value := cursor.Seek(feedKey(w, position)); position <= newest; position++ {
		entry, err := f.feedEntry(w, position, key, value)
		if err != nil {
			return time.Time{}, err
		}
		if !entry.RemoveTime.IsZero() {
			return entry.RemoveTime, nil
		}
		if events := entry.Record.GetEvents(); len(events) > 0 {
			return events[len(events)-1].GetCreateTime().AsTime(), nil
		}
		key, value = cursor.Next()
	}
	return time.Time{}, f.damaged(feedTable, feedKey(w, newest), errRemoval)
}

var errRemoval = errors.New("its conversation is missing, and no entry says that it was removed")

// pruneFeed drops the entries of the workspace's feed up to a position, and returns how many there were.
func (t *tx) pruneFeed(to int64) (dropped int, err error) {
	defer t.contain(&err)
	oldest, err := t.batch.feedStart(t.workspace.number)
	if err != nil || oldest >= to {
		return 0, err
	}
	for position := oldest + 1; position <= to; position++ {
		t.remove(feedTable, feedKey(t.workspace.number, position))
	}
	return int(to - oldest), t.putFeedStart(to)
}

// putFeedStart writes down up to where the workspace's feed was pruned.
func (t *tx) putFeedStart(position int64) error {
	return t.put(feedTable, feedKey(t.workspace.number, feedStart), &storev1.FeedRecord{Position: position})
}
