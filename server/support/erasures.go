package support

import (
	"context"
	"slices"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// erasures are what the timekeeper goes on with.
type erasures struct {
	// begun says that those were found that run since before the start.
	begun bool
	// left are those to go on with; under the timekeeper's lock.
	left []*erasing
}

// resume has the timekeeper go on with an erasure.
func (k *timekeeper) resume(e *erasing) {
	k.mu.Lock()
	k.erasures.left = append(k.erasures.left, e)
	k.mu.Unlock()
	k.alarm(k.now())
}

// erase goes on by a step with the erasure whose turn it is, and returns when the next is.
func (k *timekeeper) erase(ctx context.Context) (time.Time, error) {
	if err := k.findErasures(ctx); err != nil {
		return time.Time{}, err
	}
	if e := k.takeErasure(); e != nil {
		err := contained(func() error { return e.step(ctx) })
		k.stepped(e, err)
		if refuses(err) {
			return time.Time{}, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.erasures.next(k.now()), nil
}

// takeErasure takes out the first that is not left alone for now; nil if there is none.
func (k *timekeeper) takeErasure() *erasing {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	i := slices.IndexFunc(k.erasures.left, func(e *erasing) bool { return !e.again.After(now) })
	if i < 0 {
		return nil
	}
	e := k.erasures.left[i]
	k.erasures.left = slices.Delete(k.erasures.left, i, i+1)
	return e
}

// stepped notes how a step went, and puts the erasure back unless it is done. One that failed is left alone for a while, and the log
// tells of it once.
func (k *timekeeper) stepped(e *erasing, err error) {
	switch {
	case refuses(err):
	case err == nil:
		e.again = time.Time{}
	default:
		if e.again.IsZero() {
			k.log.Error("an erasure cannot go on: it is tried again every minute", "workspace", e.workspace, "erasure", e.id, "error", err)
		}
		e.again = k.now().Add(asideFor)
	}
	if e.done {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.erasures.left = append(k.erasures.left, e)
}

// next returns when there is one to go on with, zero for never.
func (r *erasures) next(now time.Time) time.Time {
	var next time.Time
	for _, e := range r.left {
		if e.again.IsZero() {
			return now
		}
		next = sooner(next, e.again)
	}
	return next
}

// running returns the erasures of a workspace that run.
func (s *Service) running(ctx context.Context, workspace string) (found []*erasing, err error) {
	for before, more := "", true; more; {
		page, err := s.store.Erasures(ctx, workspace, before, erasePage)
		if err != nil {
			return found, err
		}
		for _, r := range page {
			if before = r.Erasure.Id; r.Erasure.State == goodshipv1.ErasureState_ERASURE_STATE_RUNNING {
				found = append(found, &erasing{service: s, workspace: workspace, id: before})
			}
		}
		more = len(page) == erasePage
	}
	return found, nil
}

// findErasures finds, once, those that run since before the start.
func (k *timekeeper) findErasures(ctx context.Context) error {
	if k.erasures.begun {
		return nil
	}
	workspaces, err := k.service.store.Workspaces(ctx)
	if err != nil {
		return err
	}
	var found []*erasing
	for _, w := range workspaces {
		running, err := k.service.running(ctx, w.Workspace.Id)
		if refuses(err) {
			return err
		}
		if err != nil {
			k.log.Error("the erasures of a workspace cannot be read: those that are not done wait for the next start", "workspace", w.Workspace.Id, "error", err)
		}
		found = append(found, running...)
	}
	k.erasures.begun = true
	k.mu.Lock()
	defer k.mu.Unlock()
	k.erasures.left = append(k.erasures.left, found...)
	return nil
}
