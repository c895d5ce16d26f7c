package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A request that was reset before its turn is not served.
func TestWhoHasGoneIsNotServed(t *testing.T) {
	served := 0
	h := begun(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{gone, t.Context()} {
		h.ServeHTTP(nil, httptest.NewRequestWithContext(ctx, "GET", "/", http.NoBody))
	}
	if served != 1 {
		t.Errorf("%d of two requests were served, want 1", served)
	}
}

// Requests count on their connection, encrypted or not, served or not.
func TestRequestsBeginOnTheirConnection(t *testing.T) {
	l := DefaultLimits()
	l.CallsPerConnection = 0.001 // 1, and the next in a quarter of an hour
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	conn := newConnections(l, nil, quiet, newClock().now).conn(near, home)
	defer func() { _ = conn.Close() }()
	h := begun(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	h.ServeHTTP(nil, httptest.NewRequestWithContext(withConnection(1)(t.Context(), conn), "GET", "/", http.NoBody))
	encrypted := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12})
	h.ServeHTTP(nil, httptest.NewRequestWithContext(withConnection(1)(gone, encrypted), "GET", "/", http.NoBody))
	if left := conn.pace.Tokens(); left > -0.9 {
		t.Errorf("%v calls are left of one after two", left)
	}
}

// slowly is a service whose calls take until they are let go, whether or not the caller waits.
type slowly struct {
	goodshipv1.UnimplementedConversationServiceServer
	began chan struct{}
	let   chan struct{}
}

func (s slowly) GetConversation(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
	s.began <- struct{}{}
	<-s.let
	return &goodshipv1.Conversation{}, nil
}

// A REST connection runs no more calls than it has places, also of requests that are over.
func TestCallsOutliveTheirRequestsInTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowly{began: make(chan struct{}, 10), let: make(chan struct{})}
		channel := new(inprocgrpc.Channel).WithServerUnaryInterceptor(inPlace(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				return next(ctx, req)
			}))
		goodshipv1.RegisterConversationServiceServer(channel, s)
		conversations := goodshipv1.NewConversationServiceClient(channel)
		connection := withConnection(2)(t.Context(), nil)
		request := func(ctx context.Context) (err chan error) {
			err = make(chan error, 1)
			go func() {
				_, e := conversations.GetConversation(ctx, &goodshipv1.GetConversationRequest{})
				err <- e
			}()
			synctest.Wait()
			return err
		}
		for range 2 {
			ctx, cancel := context.WithCancel(connection)
			got := request(ctx)
			cancel()
			if code := status.Code(<-got); code != codes.Canceled {
				t.Errorf("a call without its caller ended with %v", code)
			}
		}
		ctx, cancel := context.WithCancel(connection)
		third, fourth := request(connection), request(ctx)
		if n := len(s.began); n != 2 {
			t.Fatalf("%d calls run, want 2", n)
		}
		cancel() // of the fourth, which has not begun
		if code := status.Code(<-fourth); code != codes.Canceled {
			t.Errorf("the fourth call ended with %v", code)
		}
		s.let <- struct{}{}
		synctest.Wait()
		if n := len(s.began); n != 3 {
			t.Errorf("%d calls began after one had ended, want 3", n)
		}
		close(s.let)
		if err := <-third; err != nil {
			t.Errorf("the third call: %v", err)
		}
		synctest.Wait()
		if n := len(s.began); n != 3 {
			t.Errorf("%d calls began, of which one was given up before, want 3", n)
		}
	})
}

// WatchConversation takes until it is let go, too.
func (s slowly) WatchConversation(*goodshipv1.WatchConversationRequest, grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error {
	s.began <- struct{}{}
	<-s.let
	return nil
}

// So do streams, whose requests may be reset as fast as they come.
func TestStreamsOutliveTheirRequestsInTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowly{began: make(chan struct{}, 10), let: make(chan struct{})}
		channel := new(inprocgrpc.Channel).WithServerStreamInterceptor(streamInPlace(
			func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				return next(srv, ss)
			}))
		goodshipv1.RegisterConversationServiceServer(channel, s)
		connection := withConnection(2)(t.Context(), nil)
		for range 3 { // the third is reset before its turn
			ctx, cancel := context.WithCancel(connection)
			in, err := goodshipv1.NewConversationServiceClient(channel).WatchConversation(ctx, &goodshipv1.WatchConversationRequest{})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			cancel()
			if _, err := in.Recv(); status.Code(err) != codes.Canceled {
				t.Errorf("a stream without its caller ended with %v", err)
			}
			synctest.Wait()
		}
		close(s.let)
		synctest.Wait()
		if n := len(s.began); n != 2 {
			t.Errorf("%d streams ran in two places", n)
		}
	})
}
