// Package rpc is how the services are reached: gRPC, the same as REST, and a listener for operators. It is the wiring that
// main and servertest share.
//
// # One chain
//
// Every call passes the same chain (chain.go), whichever way it came:
//
//	contain     a panic, or an error that is no fault, is INTERNAL to the caller and whole in the log  recover.go, drain.go
//	who         `authorization: Bearer …` and `goodship-act-for` become a support.Caller               auth.go
//	may         what the contract's option `access` says of the method; denied by default              access.go
//	headers     `Idempotency-Key` and `If-Match` become request_id and etag                            requestid.go
//	valid       no unknown field anywhere, and every rule that the contract declares                   validate.go
//
// REST reaches the services through an in-process channel that runs the same interceptor, so nothing can be asked by REST
// that gRPC would refuse. What the chain needs of the contract is read from the descriptors once (services.go).
//
// # REST
//
// The gateway (gateway.go) is generated, and lenient where the contract is not: it takes unknown query parameters, text
// behind the JSON, a path and a body that disagree. So each request is first held against its method's descriptor
// (strict.go), and whatever is refused, by us or by the gateway, leaves as a google.rpc.Status with exactly one ErrorInfo
// (httperror.go). Violations name fields as the body does, in camelCase, over REST, and as the proto does over gRPC; in
// sentences the proto's names stand, which JSON takes as well.
//
// # What gRPC refuses itself
//
// A frame over the limit, bytes that are no message, an unknown method: grpc-go answers these before any code of ours,
// with its code and without a reason.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// Config is how a server behaves. The zero value is fit for use.
type Config struct {
	// Log is told what goes wrong on our side; slog.Default() if nil. No text, name or credential of anybody's goes there.
	Log *slog.Logger
	// MaxRequestBytes is how large a request may be, as a gRPC message or as JSON; 256 KiB if 0.
	MaxRequestBytes int
	// DrainTimeout is how long Serve waits, when it is to end, for the calls in flight; 10 s if 0. Then they get UNAVAILABLE.
	DrainTimeout time.Duration
}

// Limits of the transports that nobody has needed to set yet.
const (
	maxHeaderBytes    = 16 << 10
	maxStreams        = 128 // per connection; what keeps a flood of reset streams cheap
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = time.Minute
	// endTimeout is how long calls get to give up once DrainTimeout is over.
	endTimeout = 2 * time.Second
)

// Server makes a service reachable. It is used once: New, then Serve.
type Server struct {
	svc    Service
	config Config
	calls  *calls
	grpc   *grpc.Server
	rest   *http.Server
	ops    *http.Server
}

// New returns a server for a service. It opens nothing and starts nothing.
func New(svc Service, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = 256 << 10
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 10 * time.Second
	}
	methods, err := methodsOf(services)
	if err != nil {
		return nil, err
	}
	validator, err := newValidator(methods)
	if err != nil {
		return nil, err
	}
	s := &Server{svc: svc, config: c, calls: newCalls()}
	links := &chain{svc: svc, methods: methods, validator: validator, calls: s.calls, log: c.Log}
	handler, err := newGateway(svc, links, c)
	if err != nil {
		return nil, err
	}
	s.grpc = s.newGRPC(links)
	s.rest = newHTTP(handler, c.Log)
	s.ops = newHTTP(s.admin(), c.Log)
	return s, nil
}

func (s *Server) newGRPC(links *chain) *grpc.Server {
	g := grpc.NewServer(
		grpc.UnaryInterceptor(links.unary),
		grpc.StreamInterceptor(links.stream),
		grpc.MaxRecvMsgSize(s.config.MaxRequestBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle:     5 * time.Minute,
			MaxConnectionAge:      30 * time.Minute,
			MaxConnectionAgeGrace: 30 * time.Second,
		}),
	)
	for _, service := range services {
		g.RegisterService(service.desc, s.svc)
	}
	healthv1.RegisterHealthServer(g, &healthServer{health.NewServer(), s.ready})
	reflection.Register(g)
	return g
}

func newHTTP(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Serve answers calls until the context is done, then drains: it takes no new ones and lets those in flight end, each
// acknowledged or, when DrainTimeout is over, failed with UNAVAILABLE. Readiness turns first, and the admin listener closes
// last. The error is nil after a drain in which every call had its time. When Serve returns, the listeners are closed and no
// call is running, unless the error says so.
func (s *Server) Serve(ctx context.Context, l *Listeners) error {
	ended := make(chan error, 3)
	go func() { ended <- serveGRPC(s.grpc, l.GRPC) }()
	go func() { ended <- serveHTTP(s.rest, l.REST) }()
	go func() { ended <- serveHTTP(s.ops, l.Admin) }()

	running := 3
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended: // a listener broke: the others go too
		running--
	}
	err = errors.Join(err, s.drain(context.WithoutCancel(ctx)))
	for range running {
		err = errors.Join(err, <-ended)
	}
	return errors.Join(err, l.Close())
}

// serveGRPC takes it for no error that the end came before the beginning.
func serveGRPC(g *grpc.Server, l net.Listener) error {
	if err := g.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

func serveHTTP(h *http.Server, l net.Listener) error {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drain ends everything, politely for as long as DrainTimeout.
func (s *Server) drain(ctx context.Context) error {
	s.calls.drain()
	defer func() { _ = s.ops.Close() }() // it has nobody to wait for

	polite, cancel := context.WithTimeout(ctx, s.config.DrainTimeout)
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.grpc.GracefulStop()
	}()
	errREST := s.rest.Shutdown(polite)
	errGRPC := await(polite, stopped)
	// What is in flight only gets fewer now. Left over may be REST calls whose clients went away.
	s.calls.close()
	if errREST == nil && errGRPC == nil && await(polite, s.calls.idle) == nil {
		return nil
	}
	return s.stop(ctx, stopped)
}

// stop ends the calls that had their time.
func (s *Server) stop(ctx context.Context, stopped <-chan struct{}) error {
	s.calls.end()
	hard, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	// They have been told to give up: let their replies out before their connections close.
	_ = await(hard, s.calls.idle)
	_ = s.rest.Shutdown(hard)
	_ = await(hard, stopped)
	_ = s.rest.Close()
	s.grpc.Stop()
	if await(hard, s.calls.idle) != nil {
		return fmt.Errorf("calls were still running %v after they were told to end", endTimeout)
	}
	<-stopped
	return fmt.Errorf("calls took longer than %v and were ended", s.config.DrainTimeout)
}

// await returns nil when the channel is closed, or why it was not waited for any longer.
func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
