package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// gone returns the context of a call whose caller has gone.
func gone(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(parent)
	cancel()
	return ctx
}

// A call lingers if its caller has gone, and only then, over gRPC with an observer and without, and over REST.
func TestWhoLingers(t *testing.T) {
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	observed := 0
	ways := map[string]func(*calls, context.Context){
		"unary": func(c *calls, ctx context.Context) {
			_, _ = c.lingerUnary(ctx, nil, nil, func(context.Context, any) (any, error) { return nil, nil })
		},
		"stream": func(c *calls, ctx context.Context) {
			_ = c.lingerStream(nil, stubStream{ctx: ctx}, nil, func(any, grpc.ServerStream) error { return nil })
		},
		"observed": func(c *calls, ctx context.Context) {
			h := lingeringHandler{observer{&observed}, c}
			h.HandleRPC(ctx, &stats.InHeader{})
			h.HandleRPC(ctx, &stats.End{})
		},
		"REST": func(c *calls, ctx context.Context) {
			ctx = context.WithValue(ctx, placesKey{}, newHTTPPlaces(2))
			r := httptest.NewRequestWithContext(ctx, "GET", "/", http.NoBody)
			c.lingerHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(nil, r)
		},
	}
	for name, call := range ways {
		for _, c := range []struct {
			name string
			ctx  context.Context
			want time.Duration
		}{{"who stays", t.Context(), 0}, {"who is late", late, 0}, {"who has gone", gone(t.Context()), lingerTime}} {
			if name == "REST" && c.ctx == late {
				continue // a request has no deadline of its caller's
			}
			t.Run(name+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					call(newCalls(), c.ctx)
					if got := time.Since(start); got != c.want {
						t.Errorf("it lasted %v, want %v", got, c.want)
					}
				})
			})
		}
	}
	if observed != 6 {
		t.Errorf("the observer heard of %d events, want 6", observed)
	}
}

type observer struct{ heard *int }

func (o observer) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (o observer) HandleRPC(context.Context, stats.RPCStats)                         { *o.heard++ }
func (o observer) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (o observer) HandleConn(context.Context, stats.ConnStats)                       {}

func TestNobodyLingersInAServerThatDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		time.AfterFunc(lingerTime/4, c.drain)
		start := time.Now()
		ctx := context.WithValue(gone(t.Context()), placesKey{}, newHTTPPlaces(1))
		r := httptest.NewRequestWithContext(ctx, "GET", "/", http.NoBody)
		var all sync.WaitGroup
		for range 3 { // one lingers, and two wait for its place
			all.Go(func() {
				c.lingerHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(nil, r)
			})
		}
		all.Go(func() { c.linger(ctx) })
		all.Wait()
		if got := time.Since(start); got != lingerTime/4 {
			t.Errorf("it lasted %v, want %v", got, lingerTime/4)
		}
	})
}

// A REST connection is not read while half of its places are taken by requests that linger.
func TestAConnectionOfResetsIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		conn := &lingeringConn{near, newHTTPPlaces(4)}
		go func() {
			for range 3 {
				_, _ = far.Write([]byte("x"))
			}
		}()
		c := newCalls()
		ctx := withPlaces(t.Context(), tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12}))
		r := httptest.NewRequestWithContext(gone(ctx), "GET", "/", http.NoBody)
		start := time.Now()
		for n, want := range []time.Duration{0, 0, lingerTime} {
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			if got := time.Since(start); got != want {
				t.Errorf("with %d lingering, read after %v, want %v", n, got, want)
			}
			go c.lingerHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(nil, r)
			synctest.Wait()
		}
		time.Sleep(lingerTime)
		synctest.Wait()
	})
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
		connection := context.WithValue(t.Context(), placesKey{}, newHTTPPlaces(2))
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
