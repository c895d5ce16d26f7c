package rpc

import (
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// newValidator compiles the rules of all requests now, so that no call waits for it and a bad rule fails the start.
func newValidator(methods map[string]*method) (protovalidate.Validator, error) {
	var requests []proto.Message
	for _, m := range methods {
		requests = append(requests, m.input.New().Interface())
	}
	v, err := protovalidate.New(protovalidate.WithMessages(requests...))
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		var invalid *protovalidate.ValidationError
		if err := v.Validate(r); err != nil && !errors.As(err, &invalid) {
			return nil, fmt.Errorf("the rules of %s: %w", r.ProtoReflect().Descriptor().FullName(), err)
		}
	}
	return v, nil
}

// validate returns nil if a request is as the contract wants it. Violations name their fields as the proto does.
func (c *chain) validate(req proto.Message) error {
	if f := flaw(req.ProtoReflect(), ""); f != nil {
		return f
	}
	err := c.validator.Validate(req)
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var violations []*errdetails.BadRequest_FieldViolation
	for _, v := range invalid.Violations[:min(len(invalid.Violations), maxViolations)] {
		path := protovalidate.FieldPathString(v.Proto.GetField())
		if path == "" {
			path = "request"
		}
		violations = append(violations, &errdetails.BadRequest_FieldViolation{
			Field: short(path), Description: short(v.Proto.GetMessage()), Reason: v.Proto.GetRuleId(),
		})
	}
	return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		"The request is invalid: %s. Change that and send it again.", inWords(violations, len(invalid.Violations))).Violations(violations...)
}

// An error travels in trailers over gRPC, and many clients take no more than 8 KiB of them. So a request that is wrong in
// thousands of ways is told of the first ones, and what it says itself is not sent back at length.
const (
	maxViolations = 10
	maxEcho       = 200
)

// short returns the beginning of what a caller may have sent, as text that a status can hold.
func short(s string) string {
	if len(s) <= maxEcho {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:maxEcho], "") + "…"
}

// inWords tells the first violations; the details have more.
func inWords(violations []*errdetails.BadRequest_FieldViolation, all int) string {
	const few = 3
	var words []string
	for _, v := range violations[:min(len(violations), few)] {
		words = append(words, v.GetField()+" "+v.GetDescription())
	}
	if all > few {
		words = append(words, fmt.Sprintf("and %d more", all-few))
	}
	return strings.Join(words, "; ")
}

// unknown returns the fault of a field that the contract does not have.
func unknown(path string) *fault.Fault {
	path = short(path)
	return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_UNKNOWN_FIELD,
		"The request holds a field that the contract does not know: %s. Leave it out, or use a server that knows it.", path).
		Violations(&errdetails.BadRequest_FieldViolation{Field: path, Description: "is no field of the contract"})
}

// flaw returns the first thing in a message that no rule of the contract can speak of, in the order of the contract: a field
// that the contract does not have, its number as its name; or a time that no calendar has, which could not be shown as JSON.
func flaw(m protoreflect.Message, path string) *fault.Fault {
	if raw := m.GetUnknown(); len(raw) > 0 {
		number, _, _ := protowire.ConsumeTag(raw)
		return unknown(join(path, fmt.Sprint(number)))
	}
	if t, ok := m.Interface().(interface{ CheckValid() error }); ok && t.CheckValid() != nil {
		return fault.Field(path, "must be a time in the years 1 to 9999, or a duration of at most 10,000 years, with nanoseconds that fit")
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) || !holdsMessages(f) {
			continue
		}
		if found := flawBelow(m.Get(f), f, join(path, string(f.Name()))); found != nil {
			return found
		}
	}
	return nil
}

func holdsMessages(f protoreflect.FieldDescriptor) bool {
	if f.IsMap() {
		return f.MapValue().Message() != nil
	}
	return f.Message() != nil
}

func flawBelow(v protoreflect.Value, f protoreflect.FieldDescriptor, path string) (found *fault.Fault) {
	switch {
	case f.IsList():
		for i := range v.List().Len() {
			if found = flaw(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", path, i)); found != nil {
				return found
			}
		}
		return nil
	case f.IsMap():
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			found = flaw(v.Message(), fmt.Sprintf("%s[%q]", path, k.String()))
			return found == nil
		})
		return found
	default:
		return flaw(v.Message(), path)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
