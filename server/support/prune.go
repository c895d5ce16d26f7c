package support

import (
	"context"
	"time"
)

const (
	// feedKept is how long a feed is kept at least.
	feedKept = 8 * 24 * time.Hour
	// pruneEvery is how often it is pruned at most, and pruneSlice by how many entries at once.
	pruneEvery, pruneSlice = time.Hour, 1000
)

// feedGrew notes, where no feed had an entry, that one will be old enough to prune one day.
func (k *timekeeper) feedGrew() {
	k.mu.Lock()
	at := time.Time{}
	if k.pruneAt.IsZero() {
		at = k.now().Add(feedKept)
		k.pruneAt = at
	}
	k.mu.Unlock()
	k.alarm(at)
}

// prune drops what is too old from the feeds, if there is any, and returns when next there is.
func (k *timekeeper) prune(ctx context.Context) (time.Time, error) {
	k.mu.Lock()
	at := k.pruneAt
	k.mu.Unlock()
	if at.IsZero() || k.now().Before(at) {
		return at, nil
	}
	dropped, err := k.service.store.PruneFeed(ctx, k.now().Add(-feedKept), pruneSlice)
	switch {
	case err != nil:
		return time.Time{}, err
	case dropped == pruneSlice:
		return k.now(), nil
	}
	return k.planPruning(ctx)
}

// planPruning sets when next there is something to prune, and returns that: never, if no feed has an entry.
func (k *timekeeper) planPruning(ctx context.Context) (time.Time, error) {
	k.pruneNext(time.Time{}) // before the feeds are read, so that what comes meanwhile is not missed
	oldest, err := k.service.oldestOfAll(ctx)
	if err != nil {
		k.pruneNext(k.now())
		return time.Time{}, err
	}
	if oldest.IsZero() {
		return time.Time{}, nil
	}
	at := oldest.Add(feedKept)
	if earliest := k.now().Add(pruneEvery); at.Before(earliest) {
		at = earliest
	}
	k.pruneNext(at)
	return at, nil
}

func (k *timekeeper) pruneNext(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pruneAt = at
}

// oldestOfAll returns when the oldest entry of all feeds was made; zero if there is none.
func (s *Service) oldestOfAll(ctx context.Context) (time.Time, error) {
	workspaces, err := s.store.Workspaces(ctx)
	if err != nil {
		return time.Time{}, err
	}
	oldest := time.Time{}
	for _, w := range workspaces {
		at, err := s.oldestEntry(ctx, w.Workspace.Id)
		if err != nil {
			return time.Time{}, err
		}
		oldest = sooner(oldest, at)
	}
	return oldest, nil
}

// oldestEntry returns when the oldest entry was made that a workspace's feed has, of those of which that can be said; zero if it has
// none.
func (s *Service) oldestEntry(ctx context.Context, workspace string) (time.Time, error) {
	oldest, _, err := s.store.FeedEnds(ctx, workspace)
	if err != nil {
		return time.Time{}, err
	}
	return s.firstTimeAfter(ctx, workspace, oldest)
}

// firstTimeAfter returns when the first entry after a position happened of which that can be said: not of one whose conversation was
// removed since. It returns zero if there is none.
func (s *Service) firstTimeAfter(ctx context.Context, workspace string, after int64) (time.Time, error) {
	for limit := 1; ; limit = batchRecords {
		entries, err := s.store.Feed(ctx, workspace, after, limit)
		if err != nil || len(entries) == 0 {
			return time.Time{}, err
		}
		for _, e := range entries {
			if at := entryTime(e); !at.IsZero() {
				return at, nil
			}
		}
		after = entries[len(entries)-1].Position
	}
}
