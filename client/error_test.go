package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestErrors(t *testing.T) {
	const none, full = goodshipv1.ErrorReason_ERROR_REASON_UNSPECIFIED, goodshipv1.ErrorReason_ERROR_REASON_STORE_FULL
	err := failure(codes.ResourceExhausted, full,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "text"}}})
	foreign, _ := status.New(codes.NotFound, "").WithDetails(&errdetails.ErrorInfo{Domain: "example.com", Reason: "STORE_FULL", Metadata: map[string]string{"k": "v"}})
	newer, _ := status.New(codes.NotFound, "").WithDetails(&errdetails.ErrorInfo{Domain: "goodship", Reason: "NOT_YET", Metadata: map[string]string{"k": "v"}})
	for name, tc := range map[string]struct {
		err        error
		reason     goodshipv1.ErrorReason
		violations int
		metadata   int
		delay      time.Duration
		retry      bool
	}{
		"nil":              {nil, none, 0, 0, 0, false},
		"no status":        {errors.New("no"), none, 0, 0, 0, false},
		"a bare status":    {status.Error(codes.Unavailable, "no"), none, 0, 0, 0, false},
		"the server's":     {err, full, 1, 0, time.Minute, true},
		"wrapped":          {fmt.Errorf("opening: %w", err), full, 1, 0, time.Minute, true},
		"somebody else's":  {foreign.Err(), none, 0, 0, 0, false},
		"a newer server's": {newer.Err(), none, 0, 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Reason(tc.err); got != tc.reason {
				t.Errorf("reason %v, want %v", got, tc.reason)
			}
			if got := IsReason(tc.err, full); got != (tc.reason == full) {
				t.Errorf("IsReason says %v", got)
			}
			if got := len(FieldViolations(tc.err)); got != tc.violations {
				t.Errorf("%d violations, want %d", got, tc.violations)
			}
			if got := len(Metadata(tc.err)); got != tc.metadata {
				t.Errorf("%d of metadata, want %d", got, tc.metadata)
			}
			if d, ok := RetryDelay(tc.err); d != tc.delay || ok != tc.retry {
				t.Errorf("delay %v, %v, want %v, %v", d, ok, tc.delay, tc.retry)
			}
		})
	}
	if IsReason(nil, none) {
		t.Error("nil has a reason")
	}
}
