package client

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// attempt is a call as a server got it.
type attempt struct {
	// number counts the attempts, from 1.
	number int
	method string
	req    proto.Message
	md     metadata.MD
}

// first returns the first value of a metadata entry, empty if there is none.
func (a attempt) first(key string) string {
	if v := a.md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// script answers the attempts of a test.
type script func(context.Context, attempt) (proto.Message, error)

// watchScript is what the streams of a test tell, until they return.
type watchScript func(ctx context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error

// exportScript is what the exports of a test tell, until they return.
type exportScript func(ctx context.Context, a attempt, tell func(*goodshipv1.ExportCustomerResponse)) error

// scripted is a gRPC server that answers as a script says: what a real one does not do when a test wants it.
type scripted struct {
	t        *testing.T
	listener *bufconn.Listener
	answer   script
	watched  watchScript
	exported exportScript

	mu       sync.Mutex
	attempts []attempt
}

func serve(t *testing.T, answer script) *scripted {
	t.Helper()
	return (&scripted{t: t, answer: answer}).serve()
}

// serveWatches returns a server whose streams tell what a script says.
func serveWatches(t *testing.T, watched watchScript) *scripted {
	t.Helper()
	return (&scripted{t: t, watched: watched}).serve()
}

// serveExports returns a server whose exports tell what a script says.
func serveExports(t *testing.T, exported exportScript) *scripted {
	t.Helper()
	return (&scripted{t: t, exported: exported}).serve()
}

func (s *scripted) serve() *scripted {
	s.t.Helper()
	s.listener = bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept), grpc.StreamInterceptor(s.stream), grpc.UnknownServiceHandler(s.unknown),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second})) // as the real one's
	goodshipv1.RegisterConversationServiceServer(server, goodshipv1.UnimplementedConversationServiceServer{})
	goodshipv1.RegisterDeskServiceServer(server, goodshipv1.UnimplementedDeskServiceServer{})
	goodshipv1.RegisterDirectoryServiceServer(server, goodshipv1.UnimplementedDirectoryServiceServer{})
	goodshipv1.RegisterIncidentServiceServer(server, goodshipv1.UnimplementedIncidentServiceServer{})
	goodshipv1.RegisterMessageServiceServer(server, goodshipv1.UnimplementedMessageServiceServer{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.listener) }()
	s.t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // which is before it began
			s.t.Error(err)
		}
	})
	return s
}

func (s *scripted) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	return s.answer(ctx, s.take(attempt{method: info.FullMethod, req: req.(proto.Message), md: md}))
}

func (s *scripted) stream(_ any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if s.exported != nil {
		return s.export(stream, info)
	}
	if s.watched == nil {
		return handle(nil, stream)
	}
	var req proto.Message = &goodshipv1.WatchConversationRequest{}
	if info.FullMethod == goodshipv1.DeskService_WatchDesk_FullMethodName {
		req = &goodshipv1.WatchDeskRequest{}
	}
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	return s.watched(stream.Context(), s.take(attempt{method: info.FullMethod, req: req, md: md}), func(updates ...*goodshipv1.WatchUpdate) {
		for _, u := range updates {
			_ = stream.SendMsg(u) // it fails when the stream has ended, which is not this side's
		}
	})
}

func (s *scripted) export(stream grpc.ServerStream, info *grpc.StreamServerInfo) error {
	req := &goodshipv1.ExportCustomerRequest{}
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	return s.exported(stream.Context(), s.take(attempt{method: info.FullMethod, req: req, md: md}), func(item *goodshipv1.ExportCustomerResponse) {
		_ = stream.SendMsg(item) // it fails when the stream has ended, which is not this side's
	})
}

func (s *scripted) unknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	_, err := s.answer(stream.Context(), s.take(attempt{method: method}))
	return err
}

func (s *scripted) take(a attempt) attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.number = len(s.attempts) + 1
	s.attempts = append(s.attempts, a)
	return a
}

// seen returns the attempts so far.
func (s *scripted) seen() []attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

// client returns a client of the server, closed with the test.
func (s *scripted) client(opts ...Option) *Client {
	s.t.Helper()
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.listener.DialContext(ctx) })
	c, err := New("passthrough:///scripted", append([]Option{WithToken("gsk_key"), WithInsecure(), WithDialOptions(dial)}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// failure returns an error as the server makes it.
func failure(code codes.Code, reason goodshipv1.ErrorReason, details ...protoadapt.MessageV1) error {
	name := reason.String()[len("ERROR_REASON_"):]
	s, err := status.New(code, "No.").WithDetails(append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Domain: "goodship", Reason: name}}, details...)...)
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// pushBack tells the client how many milliseconds to wait before it tries again; a negative number tells it not to.
func pushBack(ctx context.Context, ms string) {
	_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", ms))
}
