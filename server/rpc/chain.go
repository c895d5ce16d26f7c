package rpc

import (
	"context"
	"log/slog"
	"strings"

	"buf.build/go/protovalidate"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// chain is what every call passes, whether it came over gRPC or REST.
type chain struct {
	svc       Service
	methods   map[string]*method
	validator protovalidate.Validator
	calls     *calls
	log       *slog.Logger
}

// unary is the server's interceptor. The order is intended: nobody learns of a request's faults without a credential
// that may make it, and a request is whole before it is validated.
func (c *chain) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
	if open(info.FullMethod) {
		defer c.recovered(ctx, info.FullMethod, &err)
		return next(ctx, req)
	}
	return c.contain(ctx, info.FullMethod, func(ctx context.Context) (any, error) {
		m := c.methods[info.FullMethod]
		caller, err := c.authenticate(ctx)
		if err != nil {
			return nil, err
		}
		if err := mayCall(m, info.FullMethod, caller); err != nil {
			return nil, err
		}
		msg, ok := req.(proto.Message)
		if !ok {
			return nil, errNoMessage
		}
		if err := fillFromHeaders(ctx, m, msg); err != nil {
			return nil, err
		}
		if err := c.validate(msg); err != nil {
			return nil, err
		}
		return next(support.WithCaller(ctx, caller), req)
	})
}

// stream is the interceptor for streams: all are refused but those that anybody may open. No method of ours streams yet,
// and methodsOf refuses one until what unary does is done for each message of a stream.
func (c *chain) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	if !open(info.FullMethod) {
		return mayCall(nil, info.FullMethod, support.Caller{})
	}
	// A health watch has no end of its own, so draining ends it.
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(c.calls.draining, cancel)()
	defer c.recovered(ctx, info.FullMethod, &err)
	return next(srv, &streamUntil{ss, ctx})
}

type streamUntil struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamUntil) Context() context.Context { return s.ctx }

// open reports whether a method needs no credential: health and reflection, which tell nothing of anybody. They are
// registered on the gRPC listener only.
func open(fullMethod string) bool {
	return strings.HasPrefix(fullMethod, "/grpc.health.v1.Health/") ||
		strings.HasPrefix(fullMethod, "/grpc.reflection.v1.ServerReflection/") ||
		strings.HasPrefix(fullMethod, "/grpc.reflection.v1alpha.ServerReflection/")
}
