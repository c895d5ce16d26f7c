package support

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/goodship/goodship/server/store"
)

const (
	// overdueAtStart is how many conversations time acts on before calls are let in, and overduePerSecond how many a second after
	// that, unless it was said otherwise.
	overdueAtStart, overduePerSecond = 1000, 500
	// shortestPause and longestPause bound how long time stands still while the store refuses to write.
	shortestPause, longestPause = time.Second, time.Minute
)

// timekeeper lets time act by itself: on conversations when something falls due, on those of people who go away, and on the feed
// when it is old. Due times stand in heads, so nothing is kept here that a crash could lose; and what time does, a unit decides
// anew. It sleeps until the first of all that is to come. What comes sooner wakes it: hints of the store, and presence.
type timekeeper struct {
	service *Service
	log     *slog.Logger
	rate    int
	stop    func()
	ended   chan struct{}

	mu sync.Mutex
	// target is when it wakes, zero for never, and first, what falls due then, if that is a conversation. again says that it does
	// not any more. wake tells of any change of these.
	target time.Time
	first  store.Due
	again  bool
	wake   chan struct{}
	// paused is until when nothing is done, since the store refuses.
	paused time.Time
	// changed are workspaces whose settings may have changed, and untimed those whose timings were set.
	changed, untimed map[string]struct{}
	// pruneAt is when there is something to prune, zero for never.
	pruneAt time.Time
	// erasures are those to go on with.
	erasures erasures
	credits  creditsDue

	// What follows is the goroutine's.
	pause     time.Duration
	started   time.Time
	duties    []*duty
	backlog   backlog
	census    census
	retiming  retiming
	retention retention
	next      store.Due
	aside     map[store.Due]time.Time
}

// duty is one of the things that it does.
type duty struct {
	name string
	// do does what there is to do, and returns when next there is something.
	do func(context.Context) (time.Time, error)
	// again is when it is tried again, if it failed.
	again time.Time
}

func newTimekeeper(s *Service, log *slog.Logger, rate int) *timekeeper {
	if log == nil {
		log = slog.Default()
	}
	if rate == 0 {
		rate = overduePerSecond
	}
	k := &timekeeper{
		service: s, log: log, rate: rate, wake: make(chan struct{}, 1), aside: map[store.Due]time.Time{},
		changed: map[string]struct{}{}, untimed: map[string]struct{}{}, stop: func() {},
		retention: retention{sweeps: map[string]*sweep{}},
		credits:   creditsDue{aside: map[store.CreditDue]time.Time{}},
	}
	k.duties = []*duty{
		{name: "what falls due", do: k.fireDue}, {name: "what fell due before the start", do: k.catchUp},
		{name: "what was set aside", do: k.retry}, {name: "how long calls last", do: k.relearn},
		{name: "what other timings mean", do: k.retime}, {name: "who is counted on", do: k.muster},
		{name: "who goes away", do: k.letGo}, {name: "what is old in feeds", do: k.prune},
		{name: "what billing has not settled", do: k.overdue}, {name: "who is erased", do: k.erase},
		{name: "what is not to be kept", do: k.retain},
	}
	return k
}

// start does what fell due while nobody served, as far as that is not too much, and goes on with the rest in the background.
func (k *timekeeper) start(ctx context.Context) error {
	k.started = k.now()
	k.pruneAt, k.credits.at = k.started, k.started
	k.service.presence.begin(k.started, k.alarm)
	unheard := k.service.store.Notify(k.hint)
	if err := k.catchUpAtStart(ctx); err != nil {
		unheard()
		return err
	}
	k.service.presence.begin(k.now(), k.alarm) // what was done before may have taken a while
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k.ended = make(chan struct{})
	go func() {
		defer close(k.ended)
		k.run(ctx)
	}()
	k.stop = func() {
		cancel()
		<-k.ended
		unheard()
	}
	return nil
}

func (k *timekeeper) now() time.Time { return k.service.store.Now() }

// hint takes a hint of the store's.
func (k *timekeeper) hint(h store.Hint) {
	switch {
	case h.ConversationID != "":
		k.dueAt(h)
		k.feedGrew()
	case h.CustomerID == "" && h.AgentID == "":
		k.mu.Lock()
		k.changed[h.Workspace] = struct{}{}
		k.mu.Unlock()
		k.alarm(k.now())
	}
}

// dueAt takes in when a conversation is due by now: it may be the next of all, or have been it until now.
func (k *timekeeper) dueAt(h store.Hint) {
	k.mu.Lock()
	defer k.mu.Unlock()
	due := store.Due{Workspace: h.Workspace, ConversationID: h.ConversationID, Time: h.Due}
	switch waited := k.first; {
	case k.wakeAt(h.Due):
		k.first = due
	case waited.ConversationID == due.ConversationID && waited.Workspace == due.Workspace && !waited.Time.Equal(due.Time):
		k.again = true
		k.rouse()
	}
}

// alarm makes it wake at a time, if that is sooner; the zero time is never.
func (k *timekeeper) alarm(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wakeAt(at) {
		k.first = store.Due{}
	}
}

// wakeAt is alarm under the lock, and reports whether the time is sooner.
func (k *timekeeper) wakeAt(at time.Time) bool {
	if !at.IsZero() && at.Before(k.paused) {
		at = k.paused
	}
	soonest := sooner(k.target, at)
	if soonest.Equal(k.target) {
		return false
	}
	k.target = soonest
	k.rouse()
	return true
}

func (k *timekeeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// sooner returns the earlier of two times; the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// run acts whenever it is time, until the context is done.
func (k *timekeeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		k.mu.Lock()
		k.target, k.first, k.again = time.Time{}, store.Due{}, false
		k.mu.Unlock()
		k.wait(k.act(ctx))
		k.sleep(ctx)
	}
}

// wait makes it wake at a time, or sooner if something came up since it last woke.
func (k *timekeeper) wait(until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.wakeAt(until) {
		return
	}
	if k.first = (store.Due{}); until.Equal(k.next.Time) {
		k.first = k.next
	}
}

// act does all that it is time for, and returns when next there is something to do.
func (k *timekeeper) act(ctx context.Context) time.Time {
	if k.now().Before(k.paused) {
		return k.paused
	}
	next := time.Time{}
	for _, d := range k.duties {
		at, err := k.attend(ctx, d)
		if err != nil {
			return k.standStill(ctx, err)
		}
		next = sooner(next, at)
	}
	if k.pause > 0 {
		k.log.Info("time acts again")
		k.pause = 0
	}
	return next
}

// attend does a duty. One that fails is left for a while, told once, and does not keep the others; an error is the store's refusal.
func (k *timekeeper) attend(ctx context.Context, d *duty) (time.Time, error) {
	if k.now().Before(d.again) {
		return d.again, nil
	}
	at, err := d.do(ctx)
	switch {
	case refuses(err):
		return time.Time{}, err
	case err == nil:
		d.again = time.Time{}
		return at, nil
	}
	if d.again.IsZero() {
		k.log.Error("what the server does by itself fails: it is tried again every minute", "duty", d.name, "error", err)
	}
	d.again = k.now().Add(asideFor)
	return d.again, nil
}

// standStill has nothing done for a while, since the store refuses; longer each time, and told once.
func (k *timekeeper) standStill(ctx context.Context, err error) time.Time {
	if k.pause == 0 && ctx.Err() == nil {
		k.log.Error("what falls due waits until the store takes writes again", "error", err)
	}
	k.pause = min(max(2*k.pause, shortestPause), longestPause)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.paused = k.now().Add(k.pause)
	return k.paused
}

// sleep returns when it is time, what it waits for is not to come any more, or the context is done.
func (k *timekeeper) sleep(ctx context.Context) {
	for {
		c, stop, again := k.timer()
		if again {
			return
		}
		select {
		case <-c:
			return
		case <-k.wake:
			stop()
		case <-ctx.Done():
			stop()
			return
		}
	}
}

// timer returns what ends the sleep, nothing if the target is never; or again, where the target is to be found anew.
func (k *timekeeper) timer() (c <-chan time.Time, stop func(), again bool) {
	k.mu.Lock()
	target, again := k.target, k.again
	k.mu.Unlock()
	if again || target.IsZero() {
		return nil, func() {}, again
	}
	c, stop = k.service.clock.Timer(target.Sub(k.now()))
	return c, stop, false
}

// relearn takes in how long calls last, and conversations are kept, where settings may have changed.
func (k *timekeeper) relearn(ctx context.Context) (time.Time, error) {
	k.mu.Lock()
	changed := k.changed
	k.changed = map[string]struct{}{}
	k.mu.Unlock()
	var failed error
	for workspace := range changed {
		settings, err := k.service.settings(ctx, workspace)
		switch {
		case err == nil:
			k.service.presence.lasts(workspace, settings.AwayAfter.AsDuration())
			k.retention.keeps(workspace, settings, k.now())
		case !errors.Is(err, store.ErrNotFound): // which is one that was not made after all
			failed = err
			k.mu.Lock()
			k.changed[workspace] = struct{}{}
			k.mu.Unlock()
		}
	}
	return time.Time{}, failed
}

// contained returns what fn does, of which a panic is a failure.
func contained(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}
