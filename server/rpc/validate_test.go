package rpc

import (
	"errors"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Times that no calendar has pass for valid on the wire, and could not be shown as JSON once they are kept.
func TestTimesThatNoCalendarHas(t *testing.T) {
	methods, err := methodsOf(services)
	if err != nil {
		t.Fatal(err)
	}
	validator, err := newValidator(methods)
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{validator: validator}
	until := func(at *timestamppb.Timestamp) proto.Message {
		return &goodshipv1.BlockCustomerRequest{CustomerId: "lieutenant", Reason: "x", UntilTime: at}
	}
	promise := func(d *durationpb.Duration) proto.Message {
		return &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{Promise: d}}
	}
	for _, good := range []proto.Message{until(&timestamppb.Timestamp{Seconds: 1 << 33, Nanos: 1}), promise(&durationpb.Duration{Seconds: 70, Nanos: 1})} {
		if err := c.validate(good); err != nil {
			t.Errorf("%v: got %v, want none", good, err)
		}
	}
	for _, bad := range []proto.Message{
		until(&timestamppb.Timestamp{Seconds: 1 << 40}), until(&timestamppb.Timestamp{Seconds: -1 << 40}),
		until(&timestamppb.Timestamp{Seconds: 1 << 33, Nanos: -1}), until(&timestamppb.Timestamp{Seconds: 1 << 33, Nanos: 1e9}),
		promise(&durationpb.Duration{Seconds: 70, Nanos: -1}), promise(&durationpb.Duration{Seconds: 70, Nanos: 1e9}),
	} {
		var f *fault.Fault
		if err := c.validate(bad); !errors.As(err, &f) || f.Reason() != goodshipv1.ErrorReason_ERROR_REASON_INVALID_REQUEST {
			t.Errorf("%v: got %v, want INVALID_REQUEST", bad, err)
		}
	}
}
