package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// maxSilence is when a watch is taken for broken: a live one tells something every 15 seconds.
	maxSilence = 45 * time.Second
	// firstWatchPause and maxWatchPause are the longest pauses before a watch goes on, after its first failure and at all.
	firstWatchPause = 250 * time.Millisecond
	maxWatchPause   = 10 * time.Second
)

// ErrGap is what a Watch ends with when it cannot go on without a gap: errors.Is tells. Read again, and watch from the
// watch_cursor of the reply.
var ErrGap = errors.New("client: something was missed: read again, and watch from the new watch_cursor")

// errSilent ends a stream that tells nothing.
var errSilent = status.Errorf(codes.Unavailable, "client: the server told nothing for %v", maxSilence)

// Watch watches, with WatchConversation or WatchDesk:
//
//	for update, err := range client.Watch(ctx, c.WatchConversation, req) {
//
// The loop gets each event once and in order, from the request's cursor or from now on, over restarts of the server and
// connections that break, for as long as it wants. It also gets the progress, read marks and signals between them: progress
// comes first, at least every 15 seconds, and again whenever the watch was resumed; a read mark may come twice. Events that the
// loop leaves alone need no care; whoever wants to go on another day keeps the newest cursor that is not empty.
//
// A watch that ends is resumed from its newest cursor: at once where the server ends it in order, else after a random pause of
// up to 1/4 of a second, 1/2 and so on up to 10 seconds, and of as long at least as the server says. It is resumed for as long
// as the context allows when the server is away or has no room, when the connection breaks or nothing comes for 45 seconds,
// when a token ends and the TokenSource gives another, and when that fails with UNAVAILABLE or a net.Error.
//
// What a retry cannot cure ends the watch, as the end of the context does: the loop gets the error as the last element, with a nil
// update. So does an update that gRPC cannot read or take, since it would come again (INTERNAL or RESOURCE_EXHAUSTED without a
// Reason); and, at once but only before the first update, a TLS handshake that fails and a name that does not exist, since
// the options or the target may be wrong; later both are tried again. A port where nobody listens and a name server that does
// not answer are away, from the first try on: a context with a deadline ends with an error that says so.
//
// For the error after which something is certain to have been missed errors.Is(err, ErrGap) holds. That is
// CURSOR_TOO_OLD, whose Metadata has what is left, as oldest_cursor; and INVALID_CURSOR for a cursor that this watch was given:
// the server's store was restored from a backup.
//
// A loop that is slow holds the watch up, and after 10 seconds the server ends it; it is resumed then, and nothing is lost.
func Watch[Req proto.Message](ctx context.Context, watch func(context.Context, Req, ...grpc.CallOption) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error), req Req) iter.Seq2[*goodshipv1.WatchUpdate, error] {
	return func(yield func(*goodshipv1.WatchUpdate, error) bool) {
		field := fieldOf(req, "cursor")
		w := &watcher{cursor: req.ProtoReflect().Get(field).String(), yield: yield}
		w.open = func(ctx context.Context) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error) {
			return watch(ctx, with(req, field, protoreflect.ValueOfString(w.cursor)))
		}
		if err := w.run(ctx); err != nil {
			yield(nil, err)
		}
	}
}

// watcher is a watch under way.
type watcher struct {
	// open opens a stream from the cursor.
	open func(context.Context) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error)
	// yield gives the loop an update, and returns whether it wants more.
	yield func(*goodshipv1.WatchUpdate, error) bool

	// cursor is the newest, and told says that the server gave it, and not the request.
	cursor string
	told   bool
	// heard says that an update came.
	heard bool
	// stream is the newest one.
	stream opening
	// pause is the longest pause after the next failure; 0 while the newest stream works.
	pause time.Duration
	// failed is why the newest stream ended, while there is none that works.
	failed error
}

// errDone is that the loop wants no more.
var errDone = errors.New("done")

// run watches until the loop wants no more, and then returns nil, or until there is no way on.
func (w *watcher) run(ctx context.Context) error {
	for {
		err := w.segment(ctx)
		switch {
		case errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil:
			return w.ended(ctx)
		case !w.passes(err):
			return w.verdict(err)
		}
		w.failed = err
		w.rest(ctx, err)
	}
}

// segment gives the loop what one stream tells, and returns why it ended.
func (w *watcher) segment(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(maxSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	w.stream.token = ""
	stream, err := w.open(context.WithValue(ctx, openingContext{}, &w.stream))
	for err == nil {
		var update *goodshipv1.WatchUpdate
		if update, err = stream.Recv(); err != nil {
			break
		}
		silence.Stop() // what the loop does with it takes its own time
		w.heard, w.pause, w.failed = true, 0, nil
		w.reach(update.GetCursor())
		if !w.yield(update, nil) {
			return errDone
		}
		silence.Reset(maxSilence)
	}
	w.reach(Metadata(err)["cursor"])
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}

// reach takes note of a cursor, if it is one.
func (w *watcher) reach(cursor string) {
	if cursor != "" {
		w.cursor, w.told = cursor, true
	}
}

// passes reports whether another stream may work after one that ended with an error.
func (w *watcher) passes(err error) bool {
	select {
	case <-w.stream.closed():
		return false
	default:
	}
	if errors.Is(err, io.EOF) {
		return true
	}
	if refused(err) {
		return w.stream.replaced()
	}
	s, called := status.FromError(err)
	if !called { // the TokenSource's
		var trouble net.Error
		return errors.As(err, &trouble)
	}
	switch s.Code() {
	case codes.Unavailable:
		return w.heard || !misled(s)
	case codes.ResourceExhausted: // else an update is larger than gRPC takes
		_, later := RetryDelay(err)
		return later || info(err) != nil
	case codes.Canceled, codes.DeadlineExceeded: // not by us: by something between the server and here
		return true
	case codes.Internal: // how gRPC tells of a stream that broke; with a reason it is a fault of the server's
		return info(err) == nil && !strings.HasPrefix(s.Message(), "grpc: ") // as of an update that it cannot read
	}
	return false
}

// misled reports whether there was no connection for a cause that may be the options' or the target's. gRPC tells it by the
// text alone.
func misled(s *status.Status) bool {
	return slices.ContainsFunc([]string{"authentication handshake failed", "name resolver error", "no such host"}, func(cause string) bool {
		return strings.Contains(s.Message(), cause)
	})
}

// rest waits before the next stream.
func (w *watcher) rest(ctx context.Context, err error) {
	wait := w.wait(err)
	if wait == 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-w.stream.closed():
	}
}

// wait returns how long to wait before the next stream.
func (w *watcher) wait(err error) time.Duration {
	worked := w.pause == 0
	w.pause = min(max(2*w.pause, firstWatchPause), maxWatchPause)
	inOrder := errors.Is(err, io.EOF) || IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_WATCH_STALLED)
	if worked && inOrder {
		return 0
	}
	told, _ := RetryDelay(err)
	return told + rand.N(w.pause)
}

// ended is what the loop gets when the context ends.
func (w *watcher) ended(ctx context.Context) error {
	err := status.FromContextError(ctx.Err()).Err()
	if w.failed != nil {
		err = fmt.Errorf("%w, while the watch was not resumed: %v", err, w.failed) //nolint:errorlint // the first one's code counts
	}
	return err
}

// verdict is what the loop gets when there is no way on.
func (w *watcher) verdict(err error) error {
	switch Reason(err) {
	case goodshipv1.ErrorReason_ERROR_REASON_CURSOR_TOO_OLD:
	case goodshipv1.ErrorReason_ERROR_REASON_INVALID_CURSOR:
		if !w.told {
			return err
		}
	default:
		return err
	}
	return fmt.Errorf("%w: %w", ErrGap, err)
}
