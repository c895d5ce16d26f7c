package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc/codes"
)

// errNoMessage cannot happen while every service is generated from protos.
var errNoMessage = errors.New("the request is no proto message")

// contain runs a call so that whatever it does ends as a reply or as one fault: a panic and an error that is no fault are
// told to the log whole, and to the caller as INTERNAL.
func (c *chain) contain(ctx context.Context, name string, call func(context.Context) (any, error)) (resp any, err error) {
	ctx, leave, err := c.calls.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, panicked(ctx, c.log, name, p)
		}
	}()
	if resp, err = call(ctx); err != nil {
		return nil, c.asFault(ctx, name, err)
	}
	return resp, nil
}

// recovered, deferred, makes INTERNAL of a panic, for calls whose other errors are not ours.
func (c *chain) recovered(ctx context.Context, name string, err *error) {
	if p := recover(); p != nil {
		*err = panicked(ctx, c.log, name, p)
	}
}

// asFault returns the fault that an error is, or that it is to the caller. What is wrapped around a fault or an error of
// the store's stays with us.
func (c *chain) asFault(ctx context.Context, name string, err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		if cause := f.Cause(); cause != nil {
			c.logStore(ctx, name, f.Code(), cause)
		}
		return f
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return ended(ctx)
	}
	if errors.As(support.Fault(err), &f) {
		c.logStore(ctx, name, f.Code(), err)
		return f
	}
	id := incidentID()
	c.log.ErrorContext(ctx, "a call failed", "method", name, "incident", id, "error", err)
	return internal(id)
}

// logStore tells the log what the store said where that is for operators to know.
func (c *chain) logStore(ctx context.Context, name string, code codes.Code, err error) {
	switch code {
	case codes.DataLoss:
		c.log.ErrorContext(ctx, "a stored record is damaged", "method", name, "error", err)
	case codes.Unavailable, codes.ResourceExhausted:
		if refused := c.storeRefusals.told(); refused > 0 {
			c.log.WarnContext(ctx, "the store takes no changes", "method", name, "error", err, "refused", refused)
		}
	}
}

// refusals are counted for the log, which is told once a minute: callers repeat what is refused.
type refusals struct {
	mu    sync.Mutex
	count int
	last  time.Time
}

// told counts a refusal and returns how many the log is to be told of now, those since the last time; 0 if it is to wait.
func (r *refusals) told() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	now := time.Now()
	if !r.last.IsZero() && now.Sub(r.last) < time.Minute {
		return 0
	}
	count := r.count
	r.count, r.last = 0, now
	return count
}

// panicked logs a panic and returns what the caller gets to know of it.
func panicked(ctx context.Context, log *slog.Logger, name string, p any) error {
	id := incidentID()
	log.ErrorContext(ctx, "a call panicked", "method", name, "incident", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return internal(id)
}

// ended returns the fault of a call whose context is done.
func ended(ctx context.Context) *fault.Fault {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStopping):
		return stopping()
	case errors.Is(cause, errLate):
		return callEnded(codes.DeadlineExceeded, "Not all of the call's message arrived in time")
	case errors.Is(cause, context.DeadlineExceeded):
		return callEnded(codes.DeadlineExceeded, "The deadline passed before the call was done")
	default:
		return callEnded(codes.Canceled, "The caller ended the call before it was done")
	}
}

func callEnded(code codes.Code, what string) *fault.Fault {
	return fault.New(code, goodshipv1.ErrorReason_ERROR_REASON_CALL_ENDED,
		"%s. Repeat it with the same request id to learn whether it took effect.", what)
}

func internal(incident string) *fault.Fault {
	return fault.New(codes.Internal, goodshipv1.ErrorReason_ERROR_REASON_INTERNAL,
		"Something failed on our side. Try again, with the same request id; if it stays, give the operators the incident %s.", incident).
		With("incident", incident)
}

// incidentID returns a name to find a failure in the log by.
func incidentID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return hex.EncodeToString(b[:])
}

// containHTTP does for the gateway's own code what contain does for calls.
func (g *gateway) containHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) { // net/http's own way to drop a connection
				panic(p)
			}
			g.writeError(w, r, panicked(r.Context(), g.links.log, "REST", p))
		}()
		next.ServeHTTP(w, r)
	})
}
