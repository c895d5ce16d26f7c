package client

import (
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// domain is the domain of the ErrorInfo of every error that the server makes.
const domain = "goodship"

// Reason returns why the server refused a call, also if the error is wrapped. It is UNSPECIFIED for nil, for an error that did
// not come from the server (no connection, a deadline), for what gRPC itself refuses, and for a reason that is newer than
// this package; status.Code tells those apart as far as it matters.
func Reason(err error) goodshipv1.ErrorReason {
	return goodshipv1.ErrorReason(goodshipv1.ErrorReason_value["ERROR_REASON_"+info(err).GetReason()])
}

// IsReason reports whether the server refused a call for a reason.
func IsReason(err error, reason goodshipv1.ErrorReason) bool {
	return err != nil && Reason(err) == reason
}

// Metadata returns what an error's reason comes with, as the proto of ErrorReason says for each; nil if nothing.
func Metadata(err error) map[string]string { return info(err).GetMetadata() }

// FieldViolations returns what is wrong with a request that the server refused as INVALID_REQUEST, field by field, by their
// paths in the proto; nil for other errors.
func FieldViolations(err error) []*errdetails.BadRequest_FieldViolation {
	return detail[*errdetails.BadRequest](err).GetFieldViolations()
}

// RetryDelay returns how long to wait before a call that failed can work, and false if the server says nothing of it. The
// Client has repeated the call already, as far as it was safe and the wait was short.
func RetryDelay(err error) (time.Duration, bool) {
	retry := detail[*errdetails.RetryInfo](err)
	return retry.GetRetryDelay().AsDuration(), retry != nil
}

func info(err error) *errdetails.ErrorInfo {
	if i := detail[*errdetails.ErrorInfo](err); i.GetDomain() == domain {
		return i
	}
	return nil
}

// detail returns the first detail of a type that an error's status has, nil if none.
func detail[T any](err error) T {
	s, _ := status.FromError(err)
	for _, d := range s.Details() {
		if t, ok := d.(T); ok {
			return t
		}
	}
	var none T
	return none
}
