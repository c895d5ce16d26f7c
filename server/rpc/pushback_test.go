package rpc_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// gRPC clients repeat calls by themselves, and are told when by a trailer: what RetryInfo says they do not read.
func TestClientsAreToldWhenToTryAgain(t *testing.T) {
	const full, busy = goodshipv1.ErrorReason_ERROR_REASON_STORE_FULL, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE
	for name, c := range map[string]struct {
		err         error
		least, most time.Duration // both 0 for no trailer, negative for never
	}{
		"soon":            {fault.New(codes.ResourceExhausted, full, "Wait.").RetryAfter(2 * time.Second), 2 * time.Second, 2600 * time.Millisecond},
		"unavailable":     {fault.New(codes.Unavailable, busy, "Wait.").RetryAfter(time.Second), time.Second, 1300 * time.Millisecond},
		"not for a while": {fault.New(codes.ResourceExhausted, full, "Wait.").RetryAfter(time.Minute), -1, -1},
		"never":           {fault.New(codes.ResourceExhausted, full, "Send less."), -1, -1},
		"somewhere else":  {fault.New(codes.Unavailable, busy, "Try another."), 0, 0},
		"another error":   {fault.New(codes.NotFound, full, "No.").RetryAfter(time.Second), 0, 0},
		"a bug":           {errors.New("a bug"), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			to := serve(t, &fake{send: func(context.Context, *goodshipv1.SendMessageRequest) (*goodshipv1.Message, error) { return nil, c.err }}, rpc.Config{})
			var trailer metadata.MD
			_, err := goodshipv1.NewMessageServiceClient(to.conn).SendMessage(
				metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminKey, "goodship-act-for", "customer/ada"), hello(), grpc.Trailer(&trailer))
			if err == nil {
				t.Fatal("the call succeeds")
			}
			got := trailer.Get("grpc-retry-pushback-ms")
			switch {
			case c.least == 0 && len(got) == 0:
			case c.least < 0 && len(got) == 1 && got[0] == "-1":
			case c.least > 0 && len(got) == 1:
				if ms, err := strconv.Atoi(got[0]); err != nil || time.Duration(ms)*time.Millisecond < c.least || time.Duration(ms)*time.Millisecond > c.most {
					t.Errorf("got %v, want %v to %v", got, c.least, c.most)
				}
			default:
				t.Errorf("got %v, want %v to %v", got, c.least, c.most)
			}
		})
	}
}
