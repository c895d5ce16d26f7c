package rpc

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// pushbackKey is the trailer that gRPC clients' own retries heed (gRFC A6): milliseconds to wait, or not to try again.
const pushbackKey = "grpc-retry-pushback-ms"

// maxPushback is the longest wait that a client's own retries sit out within a call.
const maxPushback = 5 * time.Second

// pushBack tells gRPC clients when to try a failed call again: after its RetryInfo and up to a quarter more, so that they do
// not all come at once. Where that is long, or nothing that waiting helps, they are told not to.
func pushBack(ctx context.Context, err error) {
	s := status.Convert(err)
	wait, told := retryDelay(s)
	switch {
	case s.Code() == codes.Unavailable && !told: // another connection may be better at once
		return
	case s.Code() != codes.Unavailable && s.Code() != codes.ResourceExhausted:
		return
	case !told || wait > maxPushback:
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushbackKey, "-1"))
	default:
		wait += rand.N(wait/4 + time.Millisecond)
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushbackKey, strconv.FormatInt(wait.Milliseconds()+1, 10)))
	}
}

func retryDelay(s *status.Status) (time.Duration, bool) {
	for _, d := range s.Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}
