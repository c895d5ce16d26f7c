package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// lingerTime is how long a call whose caller has gone keeps its place among those that its connection may have in flight.
// To begin a call and reset it at once (rapid reset, CVE-2023-44487) would else be free of that limit: thousands a second on
// each connection. So it is MaxStreams in lingerTime, and what others notice of it is little; who now and then gives up a
// call has places left.
const lingerTime = time.Second

// linger keeps the place of a call, if its caller has gone, until the time is over or the server drains.
func (c *calls) linger(ctx context.Context) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.draining.Done():
	}
}

// lingering are the options by which gRPC's calls linger, with an observer or nil. gRPC counts a call until the last of these
// returns. An observer hears of the end first, so that it measures the call and not the wait.
func (c *calls) lingering(observer stats.Handler) []grpc.ServerOption {
	if observer != nil {
		return []grpc.ServerOption{grpc.StatsHandler(lingeringHandler{observer, c})}
	}
	return []grpc.ServerOption{grpc.UnaryInterceptor(c.lingerUnary), grpc.StreamInterceptor(c.lingerStream)}
}

type lingeringHandler struct {
	stats.Handler
	calls *calls
}

// HandleRPC tells the observer what becomes of a call.
func (h lingeringHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	h.Handler.HandleRPC(ctx, s)
	if _, ok := s.(*stats.End); ok {
		h.calls.linger(ctx)
	}
}

func (c *calls) lingerUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	defer c.linger(ctx)
	return next(ctx, req)
}

func (c *calls) lingerStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	defer c.linger(ss.Context())
	return next(srv, ss)
}

// httpPlaces are a REST connection's. HTTP/2 counts a request until its handler returns, but reads on, and throws away what is
// reset before its turn.
type httpPlaces struct {
	// calls holds a value for each call that runs. The request that it is for may be over before: the channel to the call
	// does not wait.
	calls chan struct{}
	// lingering holds one for each request that lingers. While it is full, the connection is not read.
	lingering chan struct{}
}

func newHTTPPlaces(n int) *httpPlaces {
	return &httpPlaces{make(chan struct{}, n), make(chan struct{}, (n+1)/2)}
}

// lingeringListener is REST's. Each of its connections has so many places.
type lingeringListener struct {
	net.Listener
	places int
}

// Accept waits for the next connection.
func (l lingeringListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingeringConn{conn, newHTTPPlaces(l.places)}, nil
}

// lingeringConn is a REST connection.
type lingeringConn struct {
	net.Conn
	places *httpPlaces
}

// Read waits until there is a place again for who lingers.
func (c *lingeringConn) Read(b []byte) (int, error) {
	c.places.lingering <- struct{}{}
	<-c.places.lingering
	return c.Conn.Read(b)
}

type placesKey struct{}

// withPlaces tells requests the places of their connection. It is an http.Server's ConnContext.
func withPlaces(ctx context.Context, conn net.Conn) context.Context {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	return context.WithValue(ctx, placesKey{}, conn.(*lingeringConn).places)
}

// placesOf returns the places of the connection that a request came on; nil if it came on none, as in a test of the handler.
func placesOf(request context.Context) *httpPlaces {
	p, _ := request.Value(placesKey{}).(*httpPlaces)
	return p
}

// lingerHTTP is the part of linger for REST.
func (c *calls) lingerHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		places := placesOf(r.Context())
		if places == nil || r.Context().Err() == nil {
			return
		}
		select {
		case places.lingering <- struct{}{}:
			c.linger(r.Context())
			<-places.lingering
		case <-c.draining.Done():
		}
	})
}

// inPlace runs REST's calls in the places of their connections.
func inPlace(links grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		places := placesOf(inprocgrpc.ClientContext(ctx))
		if places == nil {
			return links(ctx, req, info, next)
		}
		select {
		case places.calls <- struct{}{}:
			defer func() { <-places.calls }()
			return links(ctx, req, info, next)
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
}
