package support

import (
	"context"
	"maps"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// creditsDue is what time knows of the credits that billing settles by a time: not which, since there may be a million, but when to
// look.
type creditsDue struct {
	// at is when the first that is known of falls due, zero for never. It is under the timekeeper's lock.
	at time.Time
	// aside are credits that time could not act on, and until when they are left alone.
	aside map[store.CreditDue]time.Time
}

// creditDue notes that a credit is to be settled by a time; the zero time is never. It is for after the unit that granted it, whatever
// became of that.
func (k *timekeeper) creditDue(at time.Time) {
	k.mu.Lock()
	k.credits.at = sooner(k.credits.at, at)
	k.mu.Unlock()
	k.alarm(at)
}

// overdue tells of credits that fell due to be settled, a slice at a time, and returns when the next does.
func (k *timekeeper) overdue(ctx context.Context) (time.Time, error) {
	k.mu.Lock()
	at := k.credits.at
	if at.IsZero() || k.now().Before(at) {
		k.mu.Unlock()
		return at, nil
	}
	k.credits.at = time.Time{} // before credits are read, so that what comes meanwhile is not missed
	k.mu.Unlock()
	next, err := k.overdueSlice(ctx)
	if err != nil {
		next = k.now()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.credits.at = sooner(k.credits.at, next)
	return k.credits.at, err
}

// overdueSlice tells of one slice of what fell due.
func (k *timekeeper) overdueSlice(ctx context.Context) (time.Time, error) {
	now, count := k.now(), k.slice()
	due, next, err := k.overdueCredits(ctx, now, count)
	if err != nil {
		return time.Time{}, err
	}
	errs := make([]error, len(due))
	slots := make(chan struct{}, fireAtOnce)
	var all sync.WaitGroup
	for i, d := range due {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			errs[i] = contained(func() error { return k.service.overdue(ctx, d) })
		})
	}
	all.Wait()
	for i, d := range due {
		if refuses(errs[i]) {
			return time.Time{}, errs[i]
		}
		k.leave(d, errs[i])
	}
	if len(due) < count { // all that is due was looked at: who was left alone until now and not found is not due any more
		maps.DeleteFunc(k.credits.aside, func(_ store.CreditDue, until time.Time) bool { return !until.After(now) })
	}
	for _, until := range k.credits.aside {
		next = sooner(next, until)
	}
	return next, nil
}

// leave leaves a credit alone for a while that time could not act on.
func (k *timekeeper) leave(d store.CreditDue, err error) {
	if err == nil {
		delete(k.credits.aside, d)
		return
	}
	if k.credits.aside[d].IsZero() {
		k.log.Error("time cannot act on a credit: it is tried again every minute", "workspace", d.Workspace, "credit", d.CreditID, "error", err)
	}
	k.credits.aside[d] = k.now().Add(asideFor)
}

// overdueCredits returns at most count credits that fell due by now and are not left alone, and when to go on.
func (k *timekeeper) overdueCredits(ctx context.Context, now time.Time, count int) ([]store.CreditDue, time.Time, error) {
	var due []store.CreditDue
	var after *store.CreditDue
	for {
		page, err := k.service.store.CreditsDue(ctx, after, count)
		if err != nil {
			return nil, time.Time{}, err
		}
		for _, d := range page {
			switch {
			case d.Time.After(now):
				return due, d.Time, nil
			case len(due) == count:
				return due, now.Add(time.Second * time.Duration(count) / time.Duration(k.rate)), nil
			case !k.credits.aside[d].After(now):
				due = append(due, d)
			}
		}
		if len(page) < count {
			return due, time.Time{}, nil
		}
		after = &page[len(page)-1]
	}
}

// overdue notes that a credit was not settled in time, unless it was meanwhile.
func (s *Service) overdue(ctx context.Context, d store.CreditDue) error {
	_, err := s.store.Update(ctx, d.Workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		u, err := s.openCredit(tx, Caller{Workspace: d.Workspace}, d.CreditID)
		if err != nil || !u.pending() {
			return nil, err
		}
		return nil, u.finish()
	})
	return err
}
