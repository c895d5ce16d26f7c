package support

import (
	"context"
	"errors"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

const (
	// fireAtOnce is how many conversations time acts on at once, so that they share commits and leave room for live calls.
	fireAtOnce = 64
	// duePage is how many due times are read at once.
	duePage = 1000
	// slicesPerSecond is into how many parts a second of catching up is cut.
	slicesPerSecond = 10
	// asideFor is after how long a conversation is tried again on which time could not act.
	asideFor = time.Minute
)

// refuses says whether the store refuses to read or write at all, or nobody waits any more; another error is of one conversation.
func refuses(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFull) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// elapse lets time do what it has done to a conversation: as one unit, or none if that is nothing, as when it was removed.
func (s *Service) elapse(ctx context.Context, workspace, conversation string) error {
	_, err := s.store.Update(ctx, workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		u, err := s.begin(tx, Caller{Workspace: workspace}, conversation)
		if errors.Is(err, noConversation()) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return nil, u.append()
	})
	return err
}

// fire lets time act on conversations, each in a unit of its own. One that fails is set aside; an error is the store's refusal.
func (k *timekeeper) fire(ctx context.Context, due []store.Due) error {
	errs, slots := make([]error, len(due)), make(chan struct{}, fireAtOnce)
	var wg sync.WaitGroup
	for i, d := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = k.fireOne(ctx, d)
		})
	}
	wg.Wait()
	var refused error
	for i, d := range due {
		d.Time = time.Time{}
		switch err := errs[i]; {
		case err == nil:
			delete(k.aside, d)
		case refuses(err):
			refused = err
		default:
			k.setAside(d, err)
		}
	}
	return refused
}

// fireOne lets time act on a conversation. A panic is its failure.
func (k *timekeeper) fireOne(ctx context.Context, d store.Due) error {
	return contained(func() error { return k.service.elapse(ctx, d.Workspace, d.ConversationID) })
}

// setAside leaves a conversation alone for a while.
func (k *timekeeper) setAside(d store.Due, err error) {
	if k.aside[d].IsZero() {
		k.log.Error("time cannot act on a conversation: it is tried again every minute", "workspace", d.Workspace, "conversation", d.ConversationID, "error", err)
	}
	k.aside[d] = k.now().Add(asideFor)
}

// retry lets time act on what was set aside long enough, and returns when it is to be tried again.
func (k *timekeeper) retry(ctx context.Context) (time.Time, error) {
	var due []store.Due
	for d, at := range k.aside {
		if !at.After(k.now()) {
			due = append(due, d)
		}
	}
	err := k.fire(ctx, due)
	var next time.Time
	for _, at := range k.aside {
		next = sooner(next, at)
	}
	return next, err
}

// afterAll comes after every workspace's id.
const afterAll = "~"

// fireDue lets time act on what fell due since the start, and before it too once the backlog has ended; and returns when the next of
// it does. Of much it acts on a page, so that the other duties have their turn.
func (k *timekeeper) fireDue(ctx context.Context) (time.Time, error) {
	k.next = store.Due{}
	after := &store.Due{Time: k.started, Workspace: afterAll}
	if k.backlog.ended {
		after = nil
	}
	for {
		page, err := k.service.store.NextDue(ctx, after, duePage)
		if err != nil || len(page) == 0 {
			return time.Time{}, err
		}
		due, next := k.split(page, k.now())
		if err := k.fire(ctx, due); err != nil {
			return time.Time{}, err
		}
		switch {
		case !next.Time.IsZero(), len(page) < duePage:
			k.next = next
			return next.Time, nil
		case len(due) > 0:
			return k.now(), nil
		}
		after = &page[len(page)-1]
	}
}

// split returns what of a page of due times is due by a time and not set aside, and the first that is not due yet.
func (k *timekeeper) split(page []store.Due, by time.Time) (due []store.Due, next store.Due) {
	for _, d := range page {
		if d.Time.After(by) {
			return due, d
		}
		if _, aside := k.aside[store.Due{Workspace: d.Workspace, ConversationID: d.ConversationID}]; !aside {
			due = append(due, d)
		}
	}
	return due, store.Due{}
}

// backlog is what fell due before the start.
type backlog struct {
	// at is how far time has acted on it, and next when it goes on.
	at    *store.Due
	next  time.Time
	ended bool
}

// catchUpAtStart lets time act on the first of the backlog. It is no error that the store refuses: reads may go on.
func (k *timekeeper) catchUpAtStart(ctx context.Context) error {
	err := k.catchUpBy(ctx, overdueAtStart)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case err != nil:
		k.standStill(ctx, err)
	case !k.backlog.ended:
		k.log.Warn("more fell due while nobody served than is done before the start: the rest follows beside the calls", "done", overdueAtStart, "per_second", k.rate)
	}
	return nil
}

// catchUp goes on with the backlog, a slice at a time, and returns when the next is its turn.
func (k *timekeeper) catchUp(ctx context.Context) (time.Time, error) {
	if k.backlog.ended || k.now().Before(k.backlog.next) {
		return k.backlog.next, nil
	}
	count := k.slice()
	k.backlog.next = k.now().Add(time.Second * time.Duration(count) / time.Duration(k.rate))
	err := k.catchUpBy(ctx, count)
	if k.backlog.ended {
		k.backlog.next = time.Time{}
	}
	return k.backlog.next, err
}

// slice is how many conversations are one slice.
func (k *timekeeper) slice() int { return max(k.rate/slicesPerSecond, 1) }

// catchUpBy lets time act on so many conversations of the backlog.
func (k *timekeeper) catchUpBy(ctx context.Context, count int) error {
	page, err := k.service.store.NextDue(ctx, k.backlog.at, count+1) // and one, to see whether there is more
	if err != nil {
		return err
	}
	due, next := k.split(page[:min(count, len(page))], k.started)
	if err := k.fire(ctx, due); err != nil {
		return err
	}
	if k.backlog.ended = !next.Time.IsZero() || len(page) <= count || page[count].Time.After(k.started); !k.backlog.ended {
		k.backlog.at = &page[count-1]
	}
	return nil
}
