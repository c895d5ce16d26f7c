package support

import (
	"context"
	"slices"
	"time"

	"github.com/goodship/goodship/server/store"
)

// timings are the settings by which due times are found anew each time; of a promise, heads hold the times.
var timings = []string{"assume_after", "lapse_after", "notify_after"}

// retiming is a walk over all that has a due time, by that, to find it anew where timings were set. No timing makes something due
// where nothing was, and units that run meanwhile go by the new ones already. It stands in memory, and there is no walk at a start,
// which would touch everything for nothing: what a restart leaves undone keeps its due time until somebody touches it, or the timing
// is set again.
type retiming struct {
	of   map[string]struct{} // the workspaces; nil between walks
	at   *store.Due
	next time.Time
}

// retimed takes in that settings of a workspace were set, by their names.
func (k *timekeeper) retimed(workspace string, settings []string) {
	if !slices.ContainsFunc(settings, func(name string) bool { return slices.Contains(timings, name) }) {
		return
	}
	k.mu.Lock()
	k.untimed[workspace] = struct{}{}
	k.mu.Unlock()
	k.alarm(k.now())
}

// retime goes on with the walk, a slice at a time, and returns when the next is its turn.
func (k *timekeeper) retime(ctx context.Context) (time.Time, error) {
	walk := &k.retiming
	if k.now().Before(walk.next) {
		return walk.next, nil
	}
	if walk.of == nil && !k.beginRetiming() {
		return time.Time{}, nil
	}
	page, err := k.service.store.NextDue(ctx, walk.at, duePage)
	if err != nil {
		return time.Time{}, err
	}
	due, seen := k.pick(page, walk.of)
	if err := k.fire(ctx, due); err != nil {
		return time.Time{}, err
	}
	if seen < len(page) || seen == duePage {
		walk.at = &page[seen-1]
	} else {
		walk.of, walk.at = nil, nil
	}
	walk.next = k.now().Add(time.Second * time.Duration(len(due)) / time.Duration(k.rate))
	return walk.next, nil
}

// beginRetiming begins a walk, if there is reason for one.
func (k *timekeeper) beginRetiming() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.untimed) == 0 {
		return false
	}
	k.retiming.of, k.untimed = k.untimed, map[string]struct{}{}
	return true
}

// pick returns a slice of a page of due times, those of some workspaces that are not set aside, and how far along the page that is.
func (k *timekeeper) pick(page []store.Due, of map[string]struct{}) (due []store.Due, seen int) {
	for i, d := range page {
		if len(due) == k.slice() {
			return due, i
		}
		_, aside := k.aside[store.Due{Workspace: d.Workspace, ConversationID: d.ConversationID}]
		if _, ok := of[d.Workspace]; ok && !aside {
			due = append(due, d)
		}
	}
	return due, len(page)
}
