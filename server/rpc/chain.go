package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"buf.build/go/protovalidate"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// chain is what every call at a door passes, whether it came over gRPC or REST. There are two: the public's and the
// operators'.
type chain struct {
	// authenticate returns who calls, by the metadata, or refuses.
	authenticate func(context.Context) (support.Caller, error)
	svc          Service
	proxies      proxies
	rates        *rateLimiter
	watches      *watches
	methods      map[string]*method
	validator    protovalidate.Validator
	calls        *calls
	log          *slog.Logger
	// storeRefusals are those by a store that takes no changes.
	storeRefusals *refusals
}

// unary is the interceptor of calls with one reply. The order is intended: nobody learns of a request's faults without a
// credential that may make it, and a request is whole before it is validated.
func (c *chain) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
	arrived(ctx)
	if open(info.FullMethod) {
		defer c.recovered(ctx, info.FullMethod, &err)
		if err := c.rates.admitStranger(c.proxies.arrivalOf(ctx).address); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
	resp, err := c.contain(ctx, info.FullMethod, func(ctx context.Context) (any, error) {
		m := c.methods[info.FullMethod]
		ctx, _, err := c.admit(ctx, m, info.FullMethod)
		if err != nil {
			return nil, err
		}
		if err := c.checkRequest(ctx, m, req); err != nil {
			return nil, err
		}
		return next(ctx, req)
	})
	if err != nil {
		pushBack(ctx, err)
	}
	return resp, err
}

// admit returns the context of a call that its caller may make, and the caller.
func (c *chain) admit(ctx context.Context, m *method, fullMethod string) (context.Context, support.Caller, error) {
	from := c.proxies.arrivalOf(ctx)
	caller, err := c.authenticate(ctx)
	if err != nil {
		return nil, caller, c.rates.refuse(from.address, err)
	}
	if err := checkOrigin(ctx, c.svc, caller.Workspace, from.origins); err != nil {
		return nil, caller, err
	}
	if err := mayCall(m, fullMethod, caller); err != nil {
		return nil, caller, err
	}
	if err := c.rates.admit(caller, endUser(ctx, caller, from), fullMethod); err != nil {
		return nil, caller, err
	}
	if caller.APIKeyID != "" && caller.Kind != goodshipv1.Caller_CALLER_WIDGET {
		ofBackend(ctx)
	}
	observeCaller(ctx, caller)
	return support.WithCaller(ctx, caller), caller, nil
}

// checkRequest completes a request by its headers and returns nil if it is as the contract wants it.
func (c *chain) checkRequest(ctx context.Context, m *method, req any) error {
	msg, ok := req.(proto.Message)
	if !ok {
		return errNoMessage
	}
	if err := fillFromHeaders(ctx, m, msg); err != nil {
		return err
	}
	return c.validate(msg)
}

// stream is the interceptor of calls whose replies or requests are many. Its order is that of unary: a request is checked when
// the method takes it in.
func (c *chain) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if open(info.FullMethod) {
		return c.serveOpen(srv, ss, info, next)
	}
	_, err := c.contain(ss.Context(), info.FullMethod, func(ctx context.Context) (any, error) {
		s, leave, err := c.admitStream(ctx, ss, info.FullMethod)
		if err != nil {
			return nil, err
		}
		defer leave()
		return nil, next(srv, s)
	})
	if err != nil {
		pushBack(ss.Context(), err)
	}
	return err
}

// admitStream returns a stream that its caller may open; leave must be called when it is over. It is not inlined, so that a
// Caller does not lie on the stack for as long as the stream goes on.
//
//go:noinline
func (c *chain) admitStream(ctx context.Context, ss grpc.ServerStream, fullMethod string) (_ grpc.ServerStream, leave func(), err error) {
	m := c.methods[fullMethod]
	ctx, caller, err := c.admit(ctx, m, fullMethod)
	if err != nil {
		return nil, nil, err
	}
	leave = func() {}
	if m.watch {
		if leave, err = c.watches.enter(caller); err != nil {
			return nil, nil, err
		}
	}
	checked := &checkedStream{streamUntil{ss, ctx}, c, m}
	if m.requests {
		return &requestStream{checkedStream: checked, caller: caller, fullMethod: fullMethod}, leave, nil
	}
	return checked, leave, nil
}

// serveOpen serves a stream that anybody may open. A health watch has no end of its own, so draining ends it.
func (c *chain) serveOpen(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(c.calls.draining, cancel)()
	defer c.recovered(ctx, info.FullMethod, &err)
	return next(srv, &openStream{streamUntil{ss, ctx}, c, maxOpenMessages})
}

// maxOpenMessages is how much can be asked on one stream that anybody may open.
const maxOpenMessages = 100

// openStream is a stream that anybody may open. It ends if not all of what it asks has arrived in the time of one message,
// or if it asks for more than left. A health watch asks once.
type openStream struct {
	streamUntil
	chain *chain
	left  int
}

// RecvMsg takes in a question.
func (s *openStream) RecvMsg(m any) error {
	if err := s.streamUntil.RecvMsg(m); err != nil {
		return err
	}
	if s.left--; s.left < 0 {
		return status.Errorf(codes.ResourceExhausted, "A stream takes %d messages. Open another one.", maxOpenMessages)
	}
	if _, watch := m.(*healthv1.HealthCheckRequest); watch {
		arrived(s.ctx)
	}
	return s.chain.rates.admitStranger(s.chain.proxies.arrivalOf(s.ctx).address)
}

// streamUntil is a stream with a context of ours.
type streamUntil struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamUntil) Context() context.Context { return s.ctx }

// checkedStream is a stream of ours: what comes in is checked as unary does, and a reply that does not go out is the end
// of the call, not a fault of the method that sends it.
type checkedStream struct {
	streamUntil
	chain  *chain
	method *method
}

// RecvMsg takes in the request. One that cannot be read was answered by grpc-go already; the fault says that it is no
// incident.
func (s *checkedStream) RecvMsg(m any) error {
	if err := s.streamUntil.RecvMsg(m); err != nil {
		if s.ctx.Err() != nil {
			return ended(s.ctx)
		}
		return malformed("The request cannot be read: %v.", err)
	}
	arrived(s.ctx)
	return s.chain.checkRequest(s.ctx, s.method, m)
}

// SendMsg sends a reply, unless the call has ended. That nobody hears it any more may show here before the context ends.
func (s *checkedStream) SendMsg(m any) error {
	if s.ctx.Err() != nil {
		return ended(s.ctx)
	}
	err := s.streamUntil.SendMsg(m)
	switch {
	case err == nil:
		return nil
	case s.ctx.Err() != nil:
		return ended(s.ctx)
	case errors.Is(err, io.EOF), errors.Is(err, context.Canceled), status.Code(err) == codes.Unavailable, status.Code(err) == codes.Canceled:
		return callEnded(codes.Canceled, "The caller ended the call before it was done")
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return callEnded(codes.DeadlineExceeded, "The deadline passed before the call was done")
	default:
		return err
	}
}

// open reports whether a method needs no credential: health and reflection, which tell nothing of anybody. They are
// registered for gRPC only.
func open(fullMethod string) bool {
	return strings.HasPrefix(fullMethod, "/grpc.health.v1.Health/") ||
		strings.HasPrefix(fullMethod, "/grpc.reflection.v1.ServerReflection/") ||
		strings.HasPrefix(fullMethod, "/grpc.reflection.v1alpha.ServerReflection/")
}
