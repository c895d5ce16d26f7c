// Package rpc is how the services are reached: gRPC, the same as REST, and a listener for operators. It is the wiring that
// main and servertest share.
//
// # Two doors
//
// The public comes in over gRPC and REST. Operators have a door of their own, a Unix socket in the data folder (socket.go),
// and find the same behind the admin listener, over HTTP/2 and with the operator's key (admin.go). Each door has its own
// services and its own way to tell who calls, and takes nobody of the other's.
//
// # One chain
//
// Every call passes the same chain (chain.go), whichever way it came, and whether it has one reply or many:
//
//	contain     a panic, or an error that is no fault, is INTERNAL to the caller and whole in the log  recover.go, drain.go
//	who         `authorization: Bearer …` and `goodship-act-for` become a support.Caller               auth.go, operator.go
//	from where  a web page's origin is one that its workspace allows                                   cors.go
//	may         what the contract's option `access` says of the method; denied by default              access.go
//	how often   token buckets, by workspace, caller and address                                        ratelimit.go
//	headers     `Idempotency-Key` and `If-Match` become request_id and etag                            requestid.go
//	valid       no unknown field anywhere, and every rule that the contract declares                   validate.go
//
// REST reaches the services through an in-process channel that runs the same interceptor, so nothing can be asked by REST
// that gRPC would refuse. What the chain needs of the contract is read from the descriptors once (services.go).
//
// The rates come after the doors: a call that its origin or kind of caller keeps out draws from no bucket, since to refuse it
// for another reason costs as much, and a publishable key in everybody's hands must not empty its workspace's. One whose
// credential is refused draws from a bucket that is for nothing else. So who guesses is told to wait, and whoever has a good
// credential passes, from the same address too.
//
// # Floods
//
// What a caller costs is bounded before it is a caller. Connections (connections.go): how many are open, how many of one
// address, how fast they are taken, and how fast calls begin on each. Calls in flight: MaxStreams a connection, over REST also
// those whose requests are over (inplace.go). Watches, which take their place for minutes (watches.go). A message that is not
// sent to its end (tap.go). The address is the peer's, or what a proxy that is trusted says (address.go).
//
// # REST
//
// The gateway (gateway.go) is generated, and lenient where the contract is not: it takes unknown query parameters, text
// behind the JSON, a path and a body that disagree. So each request is first held against its method's descriptor
// (strict.go), and whatever is refused, by us or by the gateway, leaves as a google.rpc.Status with exactly one ErrorInfo
// (httperror.go). Violations name fields as the body does, in camelCase, over REST, and as the proto does over gRPC; in
// sentences the proto's names stand, which JSON takes as well.
//
// # Watches
//
// What a watch tells many is encoded once: the services send it as a support.Frame, which gRPC's codec and the channel to REST
// pass as it is (codec.go). Over REST a watch is a stream of server-sent events (events.go). A reader who does not read holds the
// watch up, and nothing else: no frame is kept for it but the one on its way.
//
// # What gRPC refuses itself
//
// A frame over the limit, bytes that are no message, an unknown method: grpc-go answers these before any code of ours,
// with its code and without a reason.
package rpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/goodship/goodship/server/support"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// Config is how a server behaves. The zero value is fit for use.
type Config struct {
	// Log is told what goes wrong on our side; slog.Default() if nil. No text, name or credential of anybody's goes there.
	Log *slog.Logger
	// Limits are what the server takes of anybody; DefaultLimits() if zero. Who sets one starts from those.
	Limits Limits
	// DrainTimeout is how long Serve waits, when it is to end, for the calls in flight; 10 s if 0. Then they get UNAVAILABLE.
	DrainTimeout time.Duration
	// TLS is what gRPC and REST are encrypted with, and the admin listener beyond this machine; nil for nothing.
	TLS *tls.Config
	// TrustedProxies are whose word on a caller's address is taken; nobody's if empty.
	TrustedProxies []netip.Prefix
	// OperatorKey is the credential of operators on the admin listener; none come in there if empty.
	OperatorKey string
	// TracerProvider and MeterProvider are told of calls; nothing is traced or measured if they are nil.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Propagator reads from a call which trace it is a part of; W3C trace context if nil.
	Propagator propagation.TextMapPropagator
	// Metrics is served as /metrics on the admin listener; nothing is if nil.
	Metrics http.Handler

	// eventPatience is how long readers of server-sent events may take; eventPatience if 0.
	eventPatience time.Duration
}

// endTimeout is how long calls get to give up once DrainTimeout is over, and their handlers once their connections are.
const endTimeout = 2 * time.Second

// An HTTP/2 connection, gRPC's or REST's, on which nothing came in for pingAfter is asked whether anybody is there, and closed if
// nobody says so within pingTimeout: else who vanished in the middle of a watch would count as present until its end.
const (
	pingAfter   = time.Minute
	pingTimeout = 20 * time.Second
)

// Server makes a service reachable. It is used once: New, then Serve.
type Server struct {
	svc    Service
	config Config
	calls  *calls
	rates  *rateLimiter
	// watches are those that are open.
	watches *watches
	// grpc and rest are for the public.
	grpc *grpc.Server
	rest *http.Server
	// socket is the operators' door. ops is the admin listener, behind which operators find the same over HTTP: a server of
	// its own, since one that has calls of net/http's cannot end politely.
	socket, opsGRPC *grpc.Server
	ops             *http.Server
}

// New returns a server for a service. It opens nothing and starts nothing.
func New(svc Service, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 10 * time.Second
	}
	c.eventPatience = cmp.Or(c.eventPatience, eventPatience)
	if err := c.Limits.Validate(); err != nil {
		return nil, err
	}
	s := &Server{svc: svc, config: c, calls: newCalls(), rates: newRateLimiter(c.Limits, time.Now), watches: newWatches(c.Limits)}
	everyone, err := s.newChain(services, public(svc))
	if err != nil {
		return nil, err
	}
	operators, err := s.newChain(operatorServices, operators(svc, c.OperatorKey))
	if err != nil {
		return nil, err
	}
	handler, err := newGateway(svc, everyone, c)
	if err != nil {
		return nil, err
	}
	s.grpc = s.newGRPC(everyone, services, s.publicOptions()...)
	s.rest = s.newHTTP(begun(c.observeHTTP(handler)))
	s.rest.ConnContext = withConnection(c.Limits.MaxStreams)
	s.socket = s.newGRPC(operators, operatorServices)
	s.opsGRPC = s.newGRPC(operators, operatorServices)
	s.ops = s.newHTTP(s.admin())
	s.ops.Protocols = new(http.Protocols)
	s.ops.Protocols.SetHTTP1(true)
	s.ops.Protocols.SetHTTP2(true)
	s.ops.Protocols.SetUnencryptedHTTP2(true)
	return s, nil
}

// newChain returns the chain of a door.
func (s *Server) newChain(served []service, authenticate func(context.Context) (support.Caller, error)) (*chain, error) {
	methods, err := methodsOf(served)
	if err != nil {
		return nil, err
	}
	validator, err := newValidator(methods)
	if err != nil {
		return nil, err
	}
	return &chain{
		authenticate: authenticate, svc: s.svc, proxies: s.config.TrustedProxies, rates: s.rates, watches: s.watches,
		methods: methods, validator: validator, calls: s.calls, log: s.config.Log, storeRefusals: new(refusals),
	}, nil
}

// newGRPC returns a server of services, and of health and reflection, which tells of these services only.
func (s *Server) newGRPC(links *chain, served []service, more ...grpc.ServerOption) *grpc.Server {
	l := s.config.Limits
	if observer := s.config.observeCalls(); observer != nil {
		more = append(more, grpc.StatsHandler(observer))
	}
	g := grpc.NewServer(append(more,
		grpc.ForceServerCodecV2(newFrameCodec()),
		grpc.UnaryInterceptor(links.unary),
		grpc.StreamInterceptor(links.stream),
		grpc.MaxRecvMsgSize(l.MaxRequestBytes),
		grpc.MaxConcurrentStreams(uint32(l.MaxStreams)),
		grpc.MaxHeaderListSize(uint32(l.MaxHeaderBytes)),
		grpc.ConnectionTimeout(l.HandshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: l.KeepaliveMinTime}),
	)...)
	for _, service := range served {
		g.RegisterService(service.desc, s.svc)
	}
	healthv1.RegisterHealthServer(g, &healthServer{health.NewServer(), s.ready})
	reflection.Register(g)
	return g
}

// publicOptions are those of the public's gRPC. A backup may take longer than a connection of a stranger's.
func (s *Server) publicOptions() []grpc.ServerOption {
	l := s.config.Limits
	options := []grpc.ServerOption{grpc.InTapHandle(begins(l.ReadTimeout)), grpc.KeepaliveParams(keepalive.ServerParameters{
		MaxConnectionIdle:     l.MaxConnectionIdle,
		MaxConnectionAge:      l.MaxConnectionAge,
		MaxConnectionAgeGrace: l.MaxConnectionAgeGrace,
		Time:                  pingAfter,
		Timeout:               pingTimeout,
	})}
	if s.config.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.config.TLS)))
	}
	return options
}

func (s *Server) newHTTP(h http.Handler) *http.Server {
	l := s.config.Limits
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    l.MaxHeaderBytes,
		ReadHeaderTimeout: l.ReadHeaderTimeout,
		ReadTimeout:       l.ReadTimeout,
		WriteTimeout:      l.WriteTimeout,
		IdleTimeout:       l.IdleTimeout,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: l.MaxStreams,
			SendPingTimeout:      pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: pingTimeout,
		},
		ErrorLog: httpLog(s.config.Log),
	}
}

// Serve answers calls until the context is done, then drains: it takes no new ones and lets those in flight end, each
// acknowledged or, when DrainTimeout is over, failed with UNAVAILABLE. Readiness turns first, and the admin listener closes
// last. The error is nil after a drain in which every call had its time. When Serve returns, the listeners are closed and no
// call is running, unless the error says so.
func (s *Server) Serve(ctx context.Context, l *Listeners) error {
	public := newConnections(s.config.Limits, s.config.TrustedProxies, s.config.Log, time.Now)
	public.draining = s.calls.draining.Done()
	var serve []func() error
	if l.GRPC != nil {
		serve = append(serve, func() error { return serveGRPC(s.grpc, public.bound(l.GRPC)) })
	}
	if l.REST != nil {
		serve = append(serve, func() error {
			return serveHTTP(s.rest, public.bound(l.REST), s.config.TLS)
		})
	}
	if l.Admin != nil {
		admin := newConnections(s.config.Limits, s.config.TrustedProxies, s.config.Log, time.Now)
		admin.callsPerSecond = -1 // who may call there is the operator
		serve = append(serve, func() error { return serveHTTP(s.ops, admin.bound(l.Admin), s.adminTLS(l.Admin)) })
	}
	if l.Operator != nil {
		serve = append(serve, func() error { return serveGRPC(s.socket, l.Operator) })
	}
	running := len(serve)
	ended := make(chan error, running)
	for _, f := range serve {
		go func() { ended <- f() }()
	}
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

func serveHTTP(h *http.Server, l net.Listener, c *tls.Config) error {
	serve := h.Serve
	if c != nil {
		h.TLSConfig = c.Clone() // net/http adds its protocols to it
		serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// adminTLS returns what the admin listener is encrypted with: nothing on loopback, where probes and collectors ask.
func (s *Server) adminTLS(l net.Listener) *tls.Config {
	if onLoopback(l) {
		return nil
	}
	return s.config.TLS
}

// drain ends everything, politely for as long as DrainTimeout.
func (s *Server) drain(ctx context.Context) error {
	s.svc.Drain()
	s.calls.drain()
	polite, cancel := context.WithTimeout(ctx, s.config.DrainTimeout)
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		var both sync.WaitGroup
		both.Go(s.grpc.GracefulStop)
		both.Go(s.socket.GracefulStop)
		both.Wait()
	}()
	errREST := s.rest.Shutdown(polite)
	errGRPC := await(polite, stopped)
	// What is in flight only gets fewer now. Left over may be REST calls whose clients went away, and operators' over HTTP.
	s.calls.close()
	if await(polite, s.calls.idle) != nil {
		return s.stop(ctx, stopped)
	}
	if errREST != nil || errGRPC != nil { // what is left are connections whose callers do not read what they were told, or say nothing
		s.closePublic()
	}
	hard, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	s.closeOps(hard)
	<-stopped
	return nil
}

// closePublic ends the public's connections and the operators' at the socket, whatever is under way on them.
func (s *Server) closePublic() {
	_ = s.rest.Close()
	s.grpc.Stop()
	s.socket.Stop()
}

// closeOps ends the admin listener, which answered until now, when the replies that are still on their way have left.
func (s *Server) closeOps(ctx context.Context) {
	_ = s.ops.Shutdown(ctx)
	_ = s.ops.Close()
	s.opsGRPC.Stop()
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
	s.closePublic()
	s.closeOps(hard)
	// A call that waits for its client to read ends with the connection only.
	last, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if await(last, s.calls.idle) != nil {
		return fmt.Errorf("calls were still running %v after they were told to end", 2*endTimeout)
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
