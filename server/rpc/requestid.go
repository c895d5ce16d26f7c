package rpc

import (
	"context"
	"strings"

	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The metadata that stands for a field of the request. Over REST they are headers.
const (
	idempotencyKey = "idempotency-key"
	ifMatchKey     = "if-match"
)

// fillFromHeaders puts the headers `Idempotency-Key` and `If-Match` into the request's request_id and etag. What is given
// twice must be equal, and a method that has no such field refuses the header: who sends it relies on it.
func fillFromHeaders(ctx context.Context, m *method, req proto.Message) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if keys := md.Get(idempotencyKey); len(keys) > 0 {
		if err := fill(req, m.name, m.requestID, "request_id", "Idempotency-Key", keys, nil); err != nil {
			return err
		}
	}
	if etags := md.Get(ifMatchKey); len(etags) > 0 {
		return fill(req, m.name, m.etag, "etag", "If-Match", etags, unquoteETag)
	}
	return nil
}

func fill(req proto.Message, name string, field protoreflect.FieldDescriptor, path, header string, values []string, parse func(string) (string, error)) error {
	if field == nil {
		return fault.Field(path, "cannot be given by the header %s: %s does not take one. Leave the header out", header, name)
	}
	if len(values) > 1 || values[0] == "" {
		return fault.Field(path, "is given by the header %s, which is empty or given twice", header)
	}
	value := values[0]
	if parse != nil {
		var err error
		if value, err = parse(value); err != nil {
			return err
		}
	}
	m := req.ProtoReflect()
	if there := m.Get(field).String(); there != "" && there != value {
		return fault.Field(path, "and the header %s are both given and differ. Send one of them", header)
	}
	m.Set(field, protoreflect.ValueOfString(value))
	return nil
}

// unquoteETag returns the one etag of an If-Match header, which HTTP writes as `"12"`; bare, it is taken too.
func unquoteETag(v string) (string, error) {
	switch {
	case v == "*":
		return "", fault.Field("etag", "cannot be `*`: every call needs its object to exist. Send the etag that you read, or leave If-Match out")
	case strings.HasPrefix(v, "W/"):
		return "", fault.Field("etag", "in If-Match is a weak one, which matches nothing. Send the etag as you read it")
	}
	tag := v
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		tag = v[1 : len(v)-1]
	}
	if tag == "" || strings.ContainsAny(tag, "\", ") {
		return "", fault.Field("etag", "in If-Match must be one etag in double quotes")
	}
	return tag, nil
}
