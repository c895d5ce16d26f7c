package support

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/apology"
)

const (
	// apologiesPerSecond is how many apologies are written a second, unless it was said otherwise.
	apologiesPerSecond = 500
	// apologyTurns is into how many turns a second of writing is cut, and apologiesAtOnce how many a turn has at most, so that live calls
	// wait for few apologies at once: without it they waited eleven times as long where the rate had no bound, now twice (bench, apologies).
	apologyTurns    = 100
	apologiesAtOnce = 8
	// incidentsAtOnce is how many incidents are read at once, which hold up to 64 KiB each.
	incidentsAtOnce = 50
)

// incidentKey names an incident.
type incidentKey struct{ workspace, id string }

// apologist writes the apologies that were sent off, one unit of work a customer, at a rate. Who has theirs stands in the store,
// and each unit looks there once more; so a crash, a pause and a repetition cost nothing but time. Incidents have their turns one
// after the other. It sleeps while nothing goes out, and is roused when there may be something.
type apologist struct {
	service *Service
	log     *slog.Logger
	rate    int
	stop    func()

	mu     sync.Mutex
	roused map[incidentKey]struct{}
	// wake tells that something was roused.
	wake chan struct{}

	// What follows is the goroutine's: the incidents that go out, in the order of their turns, and how long it stands still if the
	// store refuses once more.
	rounds []*round
	pause  time.Duration
}

// round is one way through the affected customers of an incident whose apology is not written.
type round struct {
	incidentKey
	after string
	// wrote says that this round wrote an apology, and failed that one could not be written.
	wrote, failed bool
	// rest is until when it does not go on; zero if that is no matter any more.
	rest time.Time
}

func newApologist(s *Service, log *slog.Logger, rate int) *apologist {
	if log == nil {
		log = slog.Default()
	}
	return &apologist{
		service: s, log: log, rate: cmp.Or(rate, apologiesPerSecond), stop: func() {},
		roused: map[incidentKey]struct{}{}, wake: make(chan struct{}, 1),
	}
}

// rouse says that the apology of an incident may have to go out to somebody.
func (a *apologist) rouse(k incidentKey) {
	a.mu.Lock()
	a.roused[k] = struct{}{}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// start begins to write what was sent off, before too.
func (a *apologist) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.run(ctx)
	}()
	a.stop = func() {
		cancel()
		<-ended
	}
}

func (a *apologist) run(ctx context.Context) {
	find := func() error { return a.find(ctx) }
	for err := contained(find); err != nil; err = contained(find) {
		if !a.sleep(ctx, a.stoodStill(ctx, err), nil) {
			return
		}
	}
	for {
		a.enlist()
		until, wake := a.next(ctx)
		if !a.sleep(ctx, until, wake) {
			return
		}
	}
}

// find rouses the incidents that were going out when the server last stopped.
func (a *apologist) find(ctx context.Context) error {
	workspaces, err := a.service.store.Workspaces(ctx)
	for _, w := range workspaces {
		for before := ""; err == nil; {
			var page []*storev1.IncidentRecord
			page, err = a.service.store.Incidents(ctx, w.Workspace.Id, before, incidentsAtOnce)
			for _, r := range page {
				if apologyState(r) == goodshipv1.IncidentState_INCIDENT_STATE_SENDING {
					a.rouse(incidentKey{w.Workspace.Id, r.Incident.Id})
				}
				before = r.Incident.Id
			}
			if len(page) < incidentsAtOnce {
				break
			}
		}
	}
	return err
}

// enlist gives the incidents that were roused a round: a new one, for those who came behind where one is. Those that rest come
// last.
func (a *apologist) enlist() {
	a.mu.Lock()
	roused := a.roused
	a.roused = map[incidentKey]struct{}{}
	a.mu.Unlock()
	a.rounds = slices.DeleteFunc(a.rounds, func(r *round) bool { _, again := roused[r.incidentKey]; return again })
	for k := range roused {
		a.rounds = append(a.rounds, &round{incidentKey: k})
	}
	now := a.service.store.Now()
	for _, r := range a.rounds {
		if !r.rest.After(now) {
			r.rest = time.Time{}
		}
	}
	slices.SortStableFunc(a.rounds, func(x, y *round) int { return x.rest.Compare(y.rest) })
}

// next does a turn, and returns until when to sleep then (zero for ever), and what ends that sleep, if anything.
func (a *apologist) next(ctx context.Context) (until time.Time, wake <-chan struct{}) {
	now := a.service.store.Now()
	if len(a.rounds) == 0 {
		return time.Time{}, a.wake
	}
	r := a.rounds[0]
	if r.rest.After(now) {
		return r.rest, a.wake
	}
	a.rounds = a.rounds[1:]
	count, again, err := a.turn(ctx, r)
	if again {
		a.rounds = append(a.rounds, r)
	}
	if err != nil {
		return a.stoodStill(ctx, err), nil
	}
	a.pause = 0
	return now.Add(time.Second * time.Duration(count) / time.Duration(a.rate)), nil
}

// stoodStill returns until when nothing is written, since the store refuses; longer each time, and told once.
func (a *apologist) stoodStill(ctx context.Context, err error) time.Time {
	if a.pause == 0 && ctx.Err() == nil {
		a.log.Error("apologies wait until the store takes writes again", "error", err)
	}
	a.pause = min(max(2*a.pause, shortestPause), longestPause)
	return a.service.store.Now().Add(a.pause)
}

// sleep returns when it is time, or something wakes it; false if the context is done.
func (a *apologist) sleep(ctx context.Context, until time.Time, wake <-chan struct{}) bool {
	var timer <-chan time.Time
	if !until.IsZero() {
		left := until.Sub(a.service.store.Now())
		if left <= 0 {
			return ctx.Err() == nil
		}
		c, stop := a.service.clock.Timer(left)
		defer stop()
		timer = c
	}
	select {
	case <-timer:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// turn writes a few of the apologies of an incident. It returns how many, and whether the incident has another turn. An error is
// the store's refusal.
func (a *apologist) turn(ctx context.Context, r *round) (count int, again bool, err error) {
	var page []*storev1.AffectedRecord
	var next string
	err = contained(func() error {
		var text apology.Template
		var err error
		if page, next, text, err = a.read(ctx, r); err != nil {
			return err
		}
		return a.write(ctx, r, page, text)
	})
	switch {
	case err == nil:
		if r.after = next; next == "" {
			a.ended(r)
		}
		return len(page), true, nil
	case errors.Is(err, errHeld), errors.Is(err, store.ErrNotFound):
		return len(page), false, nil
	case refuses(err):
		return len(page), true, err
	}
	a.log.Error("an apology cannot go on: it is tried again in a minute", "workspace", r.workspace, "incident", r.id, "error", err)
	r.rest = a.service.store.Now().Add(asideFor)
	return len(page), true, nil
}

// read returns whom to write to next, where the ones after them begin, and the text. It is errHeld if nothing goes out.
func (a *apologist) read(ctx context.Context, r *round) (page []*storev1.AffectedRecord, next string, text apology.Template, err error) {
	s := a.service.store
	record, err := s.Incident(ctx, r.workspace, r.id)
	if err != nil {
		return nil, "", text, err
	}
	if apologyState(record) != goodshipv1.IncidentState_INCIDENT_STATE_SENDING {
		return nil, "", text, errHeld
	}
	text, violations := apology.Parse(record.SentText)
	if len(violations) > 0 {
		return nil, "", text, fmt.Errorf("%w: the text of %s", store.ErrDataLoss, r.id)
	}
	page, next, err = s.Affected(ctx, r.workspace, r.id, goodshipv1.ApologyState_APOLOGY_STATE_PENDING, r.after, min(max(a.rate/apologyTurns, 1), apologiesAtOnce))
	return page, next, text, err
}

// ended begins a round anew, after a rest if something failed, or nothing was there to write.
func (a *apologist) ended(r *round) {
	if r.failed || !r.wrote {
		r.rest = a.service.store.Now().Add(asideFor)
	}
	r.wrote, r.failed = false, false
}

// write writes the apologies of a page, at once, so that they share commits. An error is the store's refusal, or errHeld; who
// cannot be written to for another reason has to wait for the next round.
func (a *apologist) write(ctx context.Context, r *round, page []*storev1.AffectedRecord, text apology.Template) error {
	errs := make([]error, len(page))
	var wg sync.WaitGroup
	for i, to := range page {
		wg.Go(func() {
			errs[i] = contained(func() error { return a.service.apologize(ctx, r.incidentKey, to.CustomerKey, text) })
		})
	}
	wg.Wait()
	var stopped error
	for i, err := range errs {
		switch {
		case err == nil:
			r.wrote = true
		case refuses(err), errors.Is(err, errHeld):
			stopped = err
		default:
			if !r.failed {
				a.log.Error("an apology cannot be written: it is tried again every minute, and so are others of the incident",
					"workspace", r.workspace, "incident", r.id, "customer_key", page[i].CustomerKey, "error", err)
			}
			r.failed = true
		}
	}
	return stopped
}
