package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// gateway is REST: the generated gateway between a check of what it takes (strict.go) and a form for what is refused
// (httperror.go).
type gateway struct {
	mux *runtime.ServeMux
	// routes are by HTTP method, a space, and the pattern of the path.
	routes   map[string]*route
	proxies  proxies
	maxBytes int
	// eventPatience is that of the server-sent events.
	eventPatience time.Duration
	links         *chain
	// channel is how calls reach the services.
	channel *inprocgrpc.Channel
}

// newGateway returns the handler of the REST listener.
func newGateway(svc Service, links *chain, c Config) (http.Handler, error) {
	g := &gateway{routes: map[string]*route{}, proxies: c.TrustedProxies, maxBytes: c.Limits.MaxRequestBytes, eventPatience: c.eventPatience, links: links}
	for _, m := range links.methods {
		if m.route != nil {
			g.routes[m.route.verb+" "+m.route.pattern] = m.route
		}
	}
	g.channel = new(inprocgrpc.Channel).WithCloner(frameCloner{}).
		WithServerUnaryInterceptor(inPlace(links.unary)).WithServerStreamInterceptor(streamInPlace(links.stream))
	middlewares := []runtime.Middleware{g.strict}
	if observer := c.observeCalls(); observer != nil {
		g.channel.WithServerStatsHandler(observer)
		middlewares = []runtime.Middleware{g.named, g.strict}
	}
	none := func(string) (string, bool) { return "", false }
	g.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler{&runtime.JSONPb{}}),
		// Else a POST may pass for another method, by a header or as a form.
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithIncomingHeaderMatcher(incomingHeader),
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithMiddlewares(middlewares...),
		runtime.WithForwardResponseOption(setETag),
		runtime.WithErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			g.writeError(w, r, err)
		}),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
			g.noRoute(w, r)
		}),
	)
	for _, s := range services {
		g.channel.RegisterService(s.desc, svc)
		if err := s.rest(context.Background(), g.mux, g.channel); err != nil {
			return nil, err
		}
	}
	if err := g.handleStreams(); err != nil {
		return nil, err
	}
	return g.containHTTP(withCORS(svc, http.HandlerFunc(g.serve))), nil
}

// serve prepares a request and its reply for the mux.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	r = r.WithContext(context.WithValue(r.Context(), arrivalKey{}, g.proxies.arrived(r)))
	// What proxies say of the caller has been read where it may be believed, and trailers carry nothing here.
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "Te"} {
		r.Header.Del(name)
	}
	// The gateway would write a type that it cannot read to the process's log. Two are as good as none.
	if _, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || len(r.Header.Values("Content-Type")) > 1 {
		r.Header.Del("Content-Type")
	}
	r.Body = http.MaxBytesReader(w, r.Body, int64(g.maxBytes))
	g.mux.ServeHTTP(w, r)
}

// incomingHeader says which headers become metadata; `Authorization` does in any case. No other may: a header
// `Grpc-Metadata-…` would let a stranger write metadata as if we had.
func incomingHeader(name string) (string, bool) {
	name = strings.ToLower(name)
	return name, slices.Contains([]string{actForKey, idempotencyKey, ifMatchKey}, name)
}

// setETag gives a resource's etag as the header too.
func setETag(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	if m == nil {
		return nil
	}
	r := m.ProtoReflect()
	if f := stringField(r.Descriptor(), "etag"); f != nil {
		if etag := r.Get(f).String(); etag != "" {
			w.Header().Set("ETag", `"`+etag+`"`)
		}
	}
	return nil
}

// marshaler is JSON by the contract: camelCase, what is unset left out, unknown fields refused.
type marshaler struct{ *runtime.JSONPb }

// Marshal writes one line. protojson puts in spaces at random, by build, so that nobody relies on its bytes.
func (m marshaler) Marshal(v any) ([]byte, error) {
	b, err := m.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	return line(b)
}

// line is JSON in one line that ends, for those who read it in a terminal.
func line(b []byte) ([]byte, error) {
	var buf bytes.Buffer
	if err := json.Compact(&buf, b); err != nil {
		return nil, err
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}

func marshalJSON(m proto.Message) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	return line(b)
}

// routeOf returns where a request that the mux found a place for goes, or nil.
func (g *gateway) routeOf(r *http.Request) *route {
	p, ok := runtime.HTTPPattern(r.Context())
	if !ok {
		return nil
	}
	return g.routes[r.Method+" "+p.String()]
}

// probe is a request that asks only whether the mux has a place for it.
type probe struct{ found bool }

type probeKey struct{}

// allowed returns the HTTP methods that a path takes.
func (g *gateway) allowed(r *http.Request) []string {
	var verbs []string
	for _, verb := range []string{"GET", "PUT", "POST", "PATCH", "DELETE"} {
		p := &probe{}
		asked := r.WithContext(context.WithValue(r.Context(), probeKey{}, p))
		asked.Method = verb
		g.mux.ServeHTTP(nowhere{}, asked)
		if p.found {
			verbs = append(verbs, verb)
		}
	}
	return verbs
}

// nowhere is where the replies to probes go: none is written.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
