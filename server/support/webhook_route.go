package support

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/webhook"
)

const (
	// maxFlights is how many requests to an endpoint are under way at once, and maxRetries how many of these are of events that were
	// tried before, or wait behind such.
	maxFlights, maxRetries = 8, 4
	// maxWindow is how many entries of the feed a route is at work on.
	maxWindow = 256
	// maxHurriedInVain is how many events that wait are tried in vain, in a row, once an endpoint is back, before the others keep to
	// their schedule.
	maxHurriedInVain = 100
	// slowAfter is for how long a request is under way before others overtake its conversation.
	slowAfter = time.Second
	// maxQueue is how many of these a conversation has before it goes by its log, so that one does not take the place of the others.
	maxQueue = maxWindow / maxFlights
	// maxParked is how many conversations wait behind an event that failed. With so many, one more event that fails is a dead letter.
	maxParked = 10_000
)

var (
	// errStale says that what is stored of a route is not what it knew: it begins again.
	errStale = errors.New("support: the route begins again")
	// errOver says that there is no such endpoint any more, or that it is disabled.
	errOver = errors.New("support: the route is over")
)

// route is the way of a workspace's events to one endpoint: one goroutine, which alone knows what follows, and one more for each
// request that is under way.
//
// It reads the feed and gives each conversation a lane. In a lane one event is under way at a time, and of all lanes several. The
// route's position moves up over what is done. Where an event is not taken, its lane is parked: that is stored, the position moves
// on over the conversation, and what follows in it is read from its own log, once the event was delivered or given up. So is
// a lane that keeps the position from moving on while it is slow.
//
// An endpoint that takes nothing of several conversations in a row is down. Then only one request at a time probes it, at growing
// intervals, with what comes next in the feed, so that it is no single event that keeps it down.
//
// What is done is stored after it happened, many events at once. A crash repeats what was not stored: receivers know it by its id.
type route struct {
	courier       *courier
	workspace, id string
	wake          chan struct{}
	// grown says that the feed may have grown, and changed that the endpoint did.
	grown, changed atomic.Bool
	// reached is the position up to which everything is done and stored, and down whether the endpoint is, as it is stored; for others
	// to read.
	reached atomic.Int64
	down    atomic.Bool

	// What follows is the goroutine's.
	endpoint *storev1.WebhookEndpointRecord
	// progress is as stored, and position how far it has come since; read is how far the feed was read, and ended that there was
	// no more.
	progress       *storev1.WebhookProgressRecord
	position, read int64
	ended          bool
	window         []*slot
	lanes          map[string]*lane
	// replays are single events to send again, by their delivery.
	replays map[string]*storev1.ParkedRecord
	// through is up to which revision a conversation was told from its log while the feed was not read as far.
	through map[string]int32
	// unsaved is what is to be stored, and owes says that the store refused it.
	unsaved unsaved
	owes    bool
	// careful is how many entries are read one by one, to find which is damaged.
	careful int

	flights, retries int
	landed           chan landing
	// failing are the conversations of which an event failed since one was delivered.
	failing map[string]struct{}
	// hurriedInVain is how many events in a row were not taken that were tried before their time, since the endpoint was back.
	hurriedInVain int
	// probeAt is when an endpoint that is down may be tried again, paused until when the store is left alone, and sweepAt when the
	// delivery log is cleared of what is old.
	probeAt, paused, sweepAt time.Time
	pause                    time.Duration
	// sweepBefore is where the log is cleared on, empty between two times.
	sweepBefore string
	// latest is the time in the newest id of an entry of the log.
	latest time.Time
}

// slot is an entry of the feed that the route is at work on.
type slot struct {
	position int64
	lane     *lane
	// left is how many of its events are not done.
	left int
}

// lane is a conversation's place on a route.
type lane struct {
	conversation string
	// queue are events from the feed that are not done; the first may be under way. It is empty while parked is set.
	queue []*flight
	// parked is what is stored of the lane while it waits for an event, or goes by the conversation's log.
	parked *storev1.ParkedRecord
	// next is the event that follows in the log, nil while it is not known.
	next *flight
	// under is what is under way; nil if nothing.
	under *flight
}

func newRoute(c *courier, workspace, endpoint string) *route {
	return &route{courier: c, workspace: workspace, id: endpoint, wake: make(chan struct{}, 1)}
}

func (r *route) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *route) now() time.Time { return r.courier.service.store.Now() }

// run goes the route until it is over, or the context is done.
func (r *route) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := contained(func() error { return r.serve(ctx) })
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errStale):
		case errors.Is(err, errOver):
			if r.courier.leave(r) {
				return
			}
		default:
			r.standStill(err)
			r.sleep(ctx, r.paused, false)
		}
	}
}

// standStill has the route leave the store alone for a while, longer each time, and tells once.
func (r *route) standStill(err error) {
	if r.pause == 0 {
		r.courier.log.Error("webhooks of an endpoint wait until the store answers", "workspace", r.workspace, "endpoint", r.id, "error", err)
	}
	r.pause = min(max(2*r.pause, shortestPause), longestPause)
	r.paused = r.now().Add(r.pause)
}

// serve goes the route from where it was stored to be. What is under way at its end is not waited for if the context is done.
func (r *route) serve(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	flying, land := context.WithCancel(ctx)
	defer func() {
		land()
		for ; r.flights > 0; r.flights-- {
			<-r.landed
		}
	}()
	for {
		if err := r.step(ctx, flying); err != nil {
			return err
		}
		if !r.rest(ctx) {
			r.unsaved.progress = true
			return r.save(context.WithoutCancel(ctx))
		}
	}
}

// step does all that there is to do now.
func (r *route) step(ctx, flying context.Context) error {
	if r.now().Before(r.paused) {
		return nil
	}
	if r.owes { // nothing more is sent that could not be noted
		if err := r.save(ctx); err != nil {
			return r.unlessRefused(err)
		}
	}
	changed := r.changed.Load()
	if !changed {
		if err := r.fill(ctx); err != nil {
			return r.unlessRefused(err)
		}
		r.dispatch(flying)
	}
	if err := r.save(ctx); err != nil {
		return r.unlessRefused(err)
	}
	if changed && r.flights == 0 {
		return errStale
	}
	return r.unlessRefused(r.sweep(ctx))
}

// unlessRefused returns an error, unless it is that the store refuses for now: then what is not stored yet is kept.
func (r *route) unlessRefused(err error) error {
	if !refuses(err) {
		if err == nil {
			r.pause = 0
		}
		return err
	}
	r.standStill(err)
	return nil
}

// dispatch sends off what may be sent now.
func (r *route) dispatch(ctx context.Context) {
	for f := r.next(); f != nil; f = r.next() {
		f.lane.under, f.sent = f, r.now()
		r.flights++
		if f.retry {
			r.retries++
		}
		go func(to *goodshipv1.WebhookEndpoint, keys [][]byte) {
			r.landed <- r.fly(ctx, f, to, webhook.Message{URL: to.Uri, Secrets: keys})
		}(r.endpoint.WebhookEndpoint, signingKeys(r.endpoint, r.courier.service.now()))
	}
}

// next returns what is to be sent now, nil if nothing is.
func (r *route) next() *flight {
	switch {
	case r.isDown():
		if r.flights > 0 || r.now().Before(r.probeAt) {
			return nil
		}
		if f := r.fromFeed(); f != nil {
			return f
		}
		return r.waiting(longestLeft)
	case r.flights >= maxFlights:
		return nil
	case r.retries < maxRetries:
		f := r.waiting(soonest)
		if f != nil && !f.due().After(r.now()) {
			return f
		}
	}
	return r.fromFeed()
}

func (r *route) isDown() bool { return r.progress.DownTime != nil }

// fromFeed returns the first event from the feed whose lane is free; of an endpoint that is down another one for each probe, since
// that one may be to blame.
func (r *route) fromFeed() *flight {
	first := int(r.progress.ProbeCount)
	for i := range r.window {
		s := r.window[(first+i)%len(r.window)]
		if s.left > 0 && s.lane.under == nil && len(s.lane.queue) > 0 {
			return s.lane.queue[0]
		}
	}
	return nil
}

// waiting returns, of what waits to be tried again, the first by an order.
func (r *route) waiting(before func(a, b *flight) bool) *flight {
	var first *flight
	offer := func(f *flight) {
		if f.lane.under == nil && (first == nil || before(f, first)) {
			first = f
		}
	}
	for _, l := range r.lanes {
		if l.parked != nil && l.next != nil {
			offer(l.next)
		}
	}
	for _, p := range r.replays {
		offer(r.replay(p))
	}
	if first != nil {
		first.early = first.nextTry().After(r.now())
	}
	return first
}

// replay returns the flight of a single event that is sent again.
func (r *route) replay(p *storev1.ParkedRecord) *flight {
	f := again(r.lane(p.Delivery.ConversationId), p.Delivery)
	f.replay = p
	return f
}

// rest waits until there is something to do, and takes in what landed. It returns false if the context is done.
func (r *route) rest(ctx context.Context) bool {
	now := r.now()
	if now.Before(r.paused) {
		return r.sleep(ctx, r.paused, true)
	}
	until := r.sweepAt
	switch f := r.waiting(soonest); {
	case r.reads():
		until = now
	case r.changed.Load(): // nothing is sent before what is under way has landed
	case r.isDown():
		if r.flights == 0 && (f != nil || r.fromFeed() != nil) {
			until = sooner(until, r.probeAt)
		}
	case f != nil && r.flights < maxFlights && r.retries < maxRetries:
		until = sooner(until, f.due()) // which may have come since it was looked at
	}
	if l := r.slow(); l != nil {
		until = sooner(until, l.under.sent.Add(slowAfter))
	}
	return r.sleep(ctx, until, true)
}

// sleep waits for a time, the zero time being never, and, if landing is set, for what lands or wakes the route before.
func (r *route) sleep(ctx context.Context, until time.Time, landing bool) bool {
	var timer <-chan time.Time
	if !until.IsZero() {
		c, stop := r.courier.service.clock.Timer(until.Sub(r.now()))
		timer = c
		defer stop()
	}
	landed, wake := r.landed, r.wake
	if !landing {
		landed, wake = nil, nil
	}
	select {
	case <-ctx.Done():
		return false
	case l := <-landed:
		r.land(l)
	case <-wake:
	case <-timer:
	}
	for { // all at once, so that they are stored at once
		select {
		case l := <-landed:
			r.land(l)
		default:
			return true
		}
	}
}

// mayPark says whether one lane more may be parked.
func (r *route) mayPark() bool {
	n := 0
	for _, l := range r.lanes {
		if l.parked != nil {
			n++
		}
	}
	return n < r.courier.maxParked
}
