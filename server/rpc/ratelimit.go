package rpc

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// A bucket holds what a rate gives in burstSeconds, so that a page may open or a queue be worked off at once. Sessions come
// in waves, of a class or an office behind one address, and begin one each.
const (
	burstSeconds    = 5
	minSessionBurst = 30
)

// maxBuckets is how many buckets of one kind are kept, twice: some 200 bytes each.
const maxBuckets = 1 << 16

// rateLimiter holds callers to the rates of Limits by token buckets. What a call draws from:
//
//	workspace   every call in a workspace; of the end users', until half of it is left
//	caller      a person's, whichever credential says who it is
//	address     that of the end user: a customer or visitor with a token of its own, a widget
//	sessions    CreateVisitorSession, by address
//	openings    a visitor's CreateConversation, by address
//	failures    calls whose credential is refused, by address
//	strangers   what needs no credential, health and reflection, by address
//
// End users, of whom there may be any number, cannot so lock the workspace's agents and backends out. A widget's key is in
// every copy of a page, so it is no caller whom others could be held to. Operators draw from nothing.
// A call draws from all its buckets or from none: what is refused costs nobody anything.
type rateLimiter struct {
	// now never goes back: time.Now's reading of time that has passed does not.
	now func() time.Time

	mu         sync.Mutex
	workspaces *buckets[string]
	callers    *buckets[principal]
	addresses  *buckets[netip.Addr]
	sessions   *buckets[netip.Addr]
	openings   *buckets[netip.Addr]
	failures   *buckets[netip.Addr]
	strangers  *buckets[netip.Addr]
}

func newRateLimiter(l Limits, now func() time.Time) *rateLimiter {
	return &rateLimiter{
		now:        now,
		workspaces: newBuckets[string]("workspace", l.RatePerWorkspace, 1),
		callers:    newBuckets[principal]("caller", l.RatePerCaller, 1),
		addresses:  newBuckets[netip.Addr]("address", l.RatePerAddress, 1),
		sessions:   newBuckets[netip.Addr]("address", l.SessionsPerAddress, minSessionBurst),
		openings:   newBuckets[netip.Addr]("address", l.SessionsPerAddress, minSessionBurst),
		failures:   newBuckets[netip.Addr]("address", l.RatePerAddress, 1),
		strangers:  newBuckets[netip.Addr]("address", l.RatePerAddress, 1),
	}
}

// principal is whom calls are counted for, within a workspace.
type principal struct {
	workspace string
	side      side
	id        string
}

// side tells apart ids that the product or we give to different kinds of callers.
type side byte

const (
	nobody side = iota
	agent
	customer
)

func principalOf(c support.Caller) principal {
	switch c.Kind {
	case goodshipv1.Caller_CALLER_AGENT, goodshipv1.Caller_CALLER_LEADER:
		return principal{c.Workspace, agent, c.ID}
	case goodshipv1.Caller_CALLER_CUSTOMER, goodshipv1.Caller_CALLER_VISITOR:
		return principal{c.Workspace, customer, c.ID}
	}
	return principal{}
}

// admit draws for a call that has passed the doors, or returns RATE_LIMITED with how long to wait. The address is the zero
// Addr where the caller is none of an end user's own.
func (l *rateLimiter) admit(c support.Caller, address netip.Addr, fullMethod string) error {
	if c.Kind == goodshipv1.Caller_CALLER_OPERATOR {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.draws(c, address, fullMethod)
	return d.take()
}

// await draws for a further message of a call that was admitted, as soon as it can: its sender waits meanwhile, since nothing is
// read of the stream. It returns the fault of a call that ends before.
func (l *rateLimiter) await(ctx context.Context, c support.Caller, address netip.Addr, fullMethod string) error {
	for c.Kind != goodshipv1.Caller_CALLER_OPERATOR {
		l.mu.Lock()
		d := l.draws(c, address, fullMethod)
		wait := d.wait
		if wait == 0 {
			_ = d.take() // there is a token in each
		}
		l.mu.Unlock()
		if wait == 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx)
		}
	}
	return nil
}

// draws returns what a call draws from.
func (l *rateLimiter) draws(c support.Caller, address netip.Addr, fullMethod string) draw {
	d := draw{now: l.now()}
	if address.IsValid() {
		address = household(address)
		l.addresses.join(&d, address)
		switch {
		case fullMethod == goodshipv1.DirectoryService_CreateVisitorSession_FullMethodName:
			l.sessions.join(&d, address)
		case fullMethod == goodshipv1.ConversationService_CreateConversation_FullMethodName && c.Kind == goodshipv1.Caller_CALLER_VISITOR:
			l.openings.join(&d, address)
		}
	}
	if who := principalOf(c); who.side != nobody {
		l.callers.join(&d, who)
	}
	if address.IsValid() {
		l.workspaces.joinHalf(&d, c.Workspace)
	} else {
		l.workspaces.join(&d, c.Workspace)
	}
	return d
}

// admitStranger draws for what anybody may ask from an address, or returns RATE_LIMITED.
func (l *rateLimiter) admitStranger(address netip.Addr) error {
	if !address.IsValid() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := draw{now: l.now()}
	l.strangers.join(&d, household(address))
	return d.take()
}

// refuse draws for a call whose caller was refused, if that is for its credential, and returns why, or RATE_LIMITED. The
// bucket is one of its own, so that who guesses locks nobody out behind the same address.
func (l *rateLimiter) refuse(address netip.Addr, why error) error {
	var f *fault.Fault
	if !address.IsValid() || !errors.As(why, &f) || f.Code() != codes.Unauthenticated {
		return why
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := draw{now: l.now()}
	l.failures.join(&d, household(address))
	if err := d.take(); err != nil {
		return err
	}
	return why
}

// endUser returns the address that a call is counted for: the zero Addr if it is by an operator, a backend or for somebody,
// whose address is that of a product's servers, or by an agent, who is known to the product.
func endUser(ctx context.Context, c support.Caller, from arrival) netip.Addr {
	switch c.Kind {
	case goodshipv1.Caller_CALLER_WIDGET, goodshipv1.Caller_CALLER_VISITOR, goodshipv1.Caller_CALLER_CUSTOMER:
		if len(metadata.ValueFromIncomingContext(ctx, actForKey)) == 0 {
			return from.address
		}
	}
	return netip.Addr{}
}

// draw is what one call takes from buckets.
type draw struct {
	now  time.Time
	from [4]*rate.Limiter
	n    int
	// wait is how long it takes until each bucket has a token, and limit the kind of the last one that has.
	wait  time.Duration
	limit string
}

// take draws from all buckets, if all have a token.
func (d *draw) take() error {
	if d.wait > 0 {
		wait := (d.wait + time.Millisecond - 1).Truncate(time.Millisecond)
		return fault.New(codes.ResourceExhausted, goodshipv1.ErrorReason_ERROR_REASON_RATE_LIMITED,
			"Too many calls by this %s. Wait %v and send it again; nothing was done.", d.limit, wait).
			With("limit", d.limit).RetryAfter(wait)
	}
	for _, b := range d.from[:d.n] {
		b.AllowN(d.now, 1)
	}
	return nil
}

// buckets are the token buckets of one limit, by whom they count for. A bucket that has had the time to fill is as good as
// none, so they live in two generations: what is used moves to the young one, and the old one, unused since, is dropped as
// a whole when every bucket in it must be full, or when there are too many to keep.
type buckets[K comparable] struct {
	limit      string
	rate       rate.Limit
	burst      int
	young, old map[K]*rate.Limiter
	born       time.Time
}

// newBuckets returns buckets for a rate per second, or nil, which limits nothing, if it is negative.
func newBuckets[K comparable](limit string, perSecond float64, minBurst int) *buckets[K] {
	if perSecond < 0 {
		return nil
	}
	burst := max(int(math.Ceil(perSecond*burstSeconds)), minBurst)
	return &buckets[K]{limit: limit, rate: rate.Limit(perSecond), burst: burst, young: map[K]*rate.Limiter{}}
}

// join makes a bucket one of those that a call draws from.
func (b *buckets[K]) join(d *draw, k K) {
	if b != nil {
		b.joinAbove(d, k, 0)
	}
}

// joinHalf is join for those who leave half of the bucket to others.
func (b *buckets[K]) joinHalf(d *draw, k K) {
	if b != nil {
		b.joinAbove(d, k, b.burst/2)
	}
}

// joinAbove is join for those who leave so many tokens, fewer than the bucket holds.
func (b *buckets[K]) joinAbove(d *draw, k K, left int) {
	bucket := b.of(k, d.now)
	d.from[d.n] = bucket
	d.n++
	missing := float64(1+left) - bucket.TokensAt(d.now)
	if wait := time.Duration(missing / float64(b.rate) * float64(time.Second)); wait > d.wait {
		d.wait, d.limit = wait, b.limit
	}
}

func (b *buckets[K]) of(k K, now time.Time) *rate.Limiter {
	filled := time.Duration(float64(b.burst) / float64(b.rate) * float64(time.Second))
	if age := now.Sub(b.born); age > filled || len(b.young) >= maxBuckets {
		b.young, b.old, b.born = map[K]*rate.Limiter{}, b.young, now
	}
	if bucket := b.young[k]; bucket != nil {
		return bucket
	}
	bucket := b.old[k]
	if bucket == nil {
		bucket = rate.NewLimiter(b.rate, b.burst)
	}
	b.young[k] = bucket
	return bucket
}
