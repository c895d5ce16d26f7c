package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
)

// httpConnection is what requests know of the connection that they came on.
type httpConnection struct {
	conn *boundConn
	// places holds a value for each call that runs. HTTP/2 counts a request until its handler returns, but the request that a
	// call is for may be over before: the channel to the call does not wait.
	places chan struct{}
}

type httpConnectionKey struct{}

// withConnection tells requests of their connection, which runs so many calls at once. It is an http.Server's ConnContext.
func withConnection(places int) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, conn net.Conn) context.Context {
		if encrypted, ok := conn.(*tls.Conn); ok {
			conn = encrypted.NetConn()
		}
		bound, _ := conn.(*boundConn)
		return context.WithValue(ctx, httpConnectionKey{}, &httpConnection{bound, make(chan struct{}, places)})
	}
}

// connectionOf returns the connection that a request came on; nil if it came on none, as in a test of the handler.
func connectionOf(request context.Context) *httpConnection {
	c, _ := request.Value(httpConnectionKey{}).(*httpConnection)
	return c
}

// ofBackend says of the connection that a call came on, over gRPC or REST, that a backend has shown its key there.
func ofBackend(ctx context.Context) {
	if request := inprocgrpc.ClientContext(ctx); request != nil {
		if c := connectionOf(request); c != nil && c.conn != nil {
			c.conn.backend.Store(true)
		}
		return
	}
	if conn := boundOf(ctx); conn != nil {
		conn.backend.Store(true)
	}
}

// begun counts requests on their connections. One that was reset before its turn is not served.
func begun(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := connectionOf(r.Context()); c != nil && c.conn != nil {
			c.conn.begin()
		}
		if r.Context().Err() == nil {
			next.ServeHTTP(w, r)
		}
	})
}

// inPlace runs REST's calls in the places of their connections.
func inPlace(links grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		leave, err := takePlace(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		return links(ctx, req, info, next)
	}
}

// streamInPlace is inPlace for streams. Each is one of a request that HTTP/2 counts, so they take no place that another call
// of the connection could have.
func streamInPlace(links grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		leave, err := takePlace(ss.Context())
		if err != nil {
			return err
		}
		defer leave()
		return links(srv, ss, info, next)
	}
}

// takePlace waits for a place on the connection that a call from REST came on, and returns how to leave it.
func takePlace(ctx context.Context) (leave func(), err error) {
	c := connectionOf(inprocgrpc.ClientContext(ctx))
	if c == nil {
		return func() {}, nil
	}
	select {
	case c.places <- struct{}{}:
		return func() { <-c.places }, nil
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}
