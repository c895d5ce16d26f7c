package client

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// call is what every call passes, once, whatever gRPC repeats below it.
func (c *Client) call(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	actFor := c.actsFor(ctx)
	reading := readingOf(ctx)
	if m, ok := req.(proto.Message); ok {
		req = reading.fill(actFor, fillRequestID(m))
	}
	err := c.tokens.use(ctx, func(token string) error {
		return invoke(carry(ctx, token, actFor), method, req, reply, conn, opts...)
	})
	if err == nil {
		reading.note(actFor, req, reply)
	}
	return err
}

// fillRequestID returns a request with a request_id if it can have one.
func fillRequestID(req proto.Message) proto.Message {
	field := fieldOf(req, "request_id")
	if field == nil || req.ProtoReflect().Has(field) {
		return req
	}
	return with(req, field, protoreflect.ValueOfString(uuid.NewString()))
}

// fieldOf returns the field of a message that has a name, nil if there is none.
func fieldOf(m proto.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	return m.ProtoReflect().Descriptor().Fields().ByName(name)
}

// with returns a copy of a message, which may be a nil pointer, in which a field has a value: what a caller gave stays theirs.
func with[M proto.Message](m M, field protoreflect.FieldDescriptor, value protoreflect.Value) M {
	c := m.ProtoReflect().New()
	proto.Merge(c.Interface(), m)
	c.Set(field, value)
	return c.Interface().(M)
}
