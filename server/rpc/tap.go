package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/tap"
)

// begins returns what gRPC does when a call begins, before anything is read of its message or done for it: it counts the call
// on its connection, and ends it unless arrived is told in time that the message is whole. Else whoever sends one byte too few
// has the rest of the message kept for as long as the connection lasts.
func begins(readTimeout time.Duration) tap.ServerInHandle {
	return func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		if conn := boundOf(ctx); conn != nil {
			conn.begin()
		}
		ctx, cancel := context.WithCancelCause(ctx)
		a := &arriving{}
		a.await = func() {
			timer := time.AfterFunc(readTimeout, func() { cancel(errLate) })
			forget := context.AfterFunc(ctx, func() { timer.Stop() }) // else a call that is over is kept until the timeout
			a.stop = func() {
				forget()
				timer.Stop()
			}
		}
		a.cancel = cancel
		a.await()
		return context.WithValue(ctx, arrivingKey{}, a), nil
	}
}

// errLate is why the context of a call ends of which a message did not arrive in time.
var errLate = errors.New("rpc: the message is late")

type arrivingKey struct{}

// arriving is a message that has time to be whole until stop is called. A watch lasts for long, and so keeps nothing of it; a
// stream of requests awaits one message after the other.
type arriving struct {
	stop, await func()
	cancel      context.CancelCauseFunc
}

// arrived says that a call's message is whole, and that no other is to come.
func arrived(ctx context.Context) {
	if a, ok := ctx.Value(arrivingKey{}).(*arriving); ok && a.stop != nil {
		a.stop()
		*a = arriving{}
	}
}
