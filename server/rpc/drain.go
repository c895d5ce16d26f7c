package rpc

import (
	"context"
	"errors"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc/codes"
)

// errStopping is why the contexts of calls end when the server waits for them no longer.
var errStopping = errors.New("rpc: the server is stopping")

// stopping returns the fault of a call that the server does not finish.
func stopping() *fault.Fault {
	return fault.New(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE,
		"The server is stopping. Try again, with the same request id, as soon as it or another is up.")
}

// calls counts the calls in flight, so that the store is closed under none of them. The listeners' own draining does not
// suffice: a REST call whose client went away leaves its handler running behind the in-process channel.
//
// It ends in steps: drain says that no new ones are expected, close refuses new ones, end asks those in flight to give up.
type calls struct {
	mu     sync.Mutex
	n      int
	closed bool
	// idle is closed when closed is set and n is 0.
	idle chan struct{}

	draining context.Context
	drain    context.CancelFunc
	ending   context.Context
	end      context.CancelFunc
}

func newCalls() *calls {
	c := &calls{idle: make(chan struct{})}
	c.draining, c.drain = context.WithCancel(context.Background())
	c.ending, c.end = context.WithCancel(context.Background())
	return c
}

// enter counts a call until leave is called. The context ends with the caller's, or when the server waits no longer.
func (c *calls) enter(parent context.Context) (ctx context.Context, leave func(), err error) {
	if !c.join() {
		return nil, nil, stopping()
	}
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(c.ending, func() { cancel(errStopping) })
	return ctx, func() {
		stop()
		cancel(nil)
		c.leave()
	}, nil
}

// join counts a call, unless none are taken any more. All calls meet here: nothing else is done under the lock.
func (c *calls) join() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.n++
	return true
}

func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	c.wakeIfIdle()
}

// close refuses calls from now on.
func (c *calls) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.wakeIfIdle()
	}
}

func (c *calls) wakeIfIdle() {
	if c.closed && c.n == 0 {
		close(c.idle)
	}
}
