// Package fault makes the errors that cross the API: a canonical code, a sentence that says what to do next, and exactly
// one google.rpc.ErrorInfo whose reason is a value of the enum ErrorReason.
//
// A fault is made where the failure is understood, and nothing translates it later: the same status leaves over gRPC and
// REST. An error that is no fault is a bug or somebody else's trouble; the rpc package logs it and answers INTERNAL.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is the domain of every ErrorInfo that the server sends.
const Domain = "goodship"

// Fault is an error that crosses the API. It is immutable; With and its kin return changed copies.
type Fault struct {
	code     codes.Code
	reason   goodshipv1.ErrorReason
	message  string
	metadata map[string]string
	details  []protoadapt.MessageV1
	cause    error
}

// New returns a fault. The message is a sentence for a developer that says what to do next; it must hold nothing that
// the caller may not see, and no text, name, address or token of anybody's.
func New(code codes.Code, reason goodshipv1.ErrorReason, format string, args ...any) *Fault {
	return &Fault{code: code, reason: reason, message: fmt.Sprintf(format, args...)}
}

// With returns the fault with an entry more in the metadata of its ErrorInfo; the last value of a key counts. An empty
// value adds nothing.
func (f *Fault) With(key, value string) *Fault {
	if value == "" {
		return f
	}
	c := *f
	c.metadata = make(map[string]string, len(f.metadata)+1)
	maps.Copy(c.metadata, f.metadata)
	c.metadata[key] = value
	return &c
}

// RetryAfter returns the fault with a RetryInfo: how long to wait before trying again.
func (f *Fault) RetryAfter(d time.Duration) *Fault {
	return f.detail(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
}

// Violations returns the fault with a BadRequest that names what is wrong with each field, by its path in the proto.
func (f *Fault) Violations(v ...*errdetails.BadRequest_FieldViolation) *Fault {
	return f.detail(&errdetails.BadRequest{FieldViolations: v})
}

func (f *Fault) detail(d protoadapt.MessageV1) *Fault {
	c := *f
	c.details = append(c.details[:len(c.details):len(c.details)], d)
	return &c
}

// Field returns the fault of one field that breaks a rule which the proto cannot declare. The path is that of the proto.
func Field(path, format string, args ...any) *Fault {
	description := fmt.Sprintf(format, args...)
	return New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "The request is invalid: %s %s.", path, description).
		Violations(&errdetails.BadRequest_FieldViolation{Field: path, Description: description})
}

// Because returns the fault with the error that it was made of. That stays with us: it is for the log.
func (f *Fault) Because(cause error) *Fault {
	c := *f
	c.cause = cause
	return &c
}

// Cause returns the error that the fault was made of; nil if it was not, or nobody needs to know.
func (f *Fault) Cause() error { return f.cause }

// Error returns the sentence.
func (f *Fault) Error() string { return f.message }

// Code returns the canonical code.
func (f *Fault) Code() codes.Code { return f.code }

// Reason returns the machine-readable reason.
func (f *Fault) Reason() goodshipv1.ErrorReason { return f.reason }

// Is reports whether the other error is a fault with the same code and reason.
func (f *Fault) Is(other error) bool {
	var o *Fault
	return errors.As(other, &o) && o.code == f.code && o.reason == f.reason
}

// GRPCStatus returns what goes over the wire. grpc-go and grpc-gateway call it.
func (f *Fault) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{Reason: ReasonName(f.reason), Domain: Domain, Metadata: f.metadata}
	s, err := status.New(f.code, f.message).WithDetails(append([]protoadapt.MessageV1{info}, f.details...)...)
	if err != nil {
		panic(err) // only for code OK, or a detail that cannot be marshaled
	}
	return s
}

// ReasonName returns a reason as it stands on the wire: the enum value without its prefix.
func ReasonName(r goodshipv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}
