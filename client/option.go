package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// maxReplyBytes is how large a reply may be: a page of 100 messages, each as large as it may be, has some 6 MB, and gRPC
// takes no more than 4 MiB by itself.
const maxReplyBytes = 16 << 20

// Option changes how a Client is made.
type Option func(*options)

type options struct {
	token    string
	source   TokenSource
	actFor   *string
	tls      *tls.Config
	insecure bool
	dial     []grpc.DialOption
}

// WithToken gives the one credential of all calls: an API key (`gsk_…`), or a token that ends before the Client has to.
func WithToken(token string) Option {
	return func(o *options) { o.token, o.source = token, nil }
}

// WithTokenSource gives a source of tokens. One that it returned is used until shortly before its ExpireTime, or until the
// server says CREDENTIAL_EXPIRED, CREDENTIAL_INVALID or CREDENTIAL_REVOKED; then that call is made once more with the next
// one. If that is refused too, the call fails, and no refusal makes the Client ask the source again for about a second, then
// two and so on, up to a minute. A source that fails is left alone for as long: calls go on with the last token while it
// works, and then fail at once with the source's error.
func WithTokenSource(source TokenSource) Option {
	return func(o *options) { o.token, o.source = "", source }
}

// WithActFor says for whom all calls are made: `customer/<id>` or `agent/<id>`. It needs an API key with the scope ACT.
// ActFor says it for some calls.
func WithActFor(person string) Option {
	return func(o *options) { o.actFor = &person }
}

// WithTLS gives the TLS of the connection, for roots or a client certificate of your own; without it, the system's roots.
func WithTLS(config *tls.Config) Option {
	return func(o *options) { o.tls = config }
}

// WithInsecure makes the connection without TLS: whoever sees it can take the credential. It is for loopback and for
// networks that encrypt by themselves.
func WithInsecure() Option {
	return func(o *options) { o.insecure = true }
}

// WithDialOptions gives the connection more options, which override those of the Client: telemetry, interceptors, a dialer.
// Transport credentials without security are refused; say WithInsecure.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(o *options) { o.dial = append(o.dial, opts...) }
}

// resolve returns what the options say together, or what is wrong with them.
func resolve(opts []Option) (options, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	switch {
	case o.token == "" && o.source == nil:
		return o, errors.New("client: there is no credential; give WithToken an API key or a token, or give WithTokenSource")
	case o.insecure && o.tls != nil:
		return o, errors.New("client: WithTLS and WithInsecure exclude each other; leave one out")
	case o.actFor != nil && *o.actFor == "":
		return o, errors.New("client: WithActFor names nobody; give it customer/<id> or agent/<id>, or leave it out to speak for the backend itself")
	}
	if o.source == nil {
		if err := checkToken(o.token); err != nil {
			return o, fmt.Errorf("client: WithToken: %w", err)
		}
	}
	return o, nil
}

func (c *Client) dialOptions(o options) []grpc.DialOption {
	transport := insecure.NewCredentials()
	if !o.insecure {
		transport = credentials.NewTLS(o.tls)
	}
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(carrier{plaintext: o.insecure}),
		grpc.WithChainUnaryInterceptor(c.call),
		grpc.WithChainStreamInterceptor(c.openStream),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 25 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: connectPauses(), MinConnectTimeout: 20 * time.Second}),
		grpc.WithDefaultServiceConfig(serviceConfig()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReplyBytes)),
	}, o.dial...)
}

// connectPauses are gRPC's own between attempts to connect, except that they do not become minutes: who watches wants to go on
// soon after the server is back.
func connectPauses() grpcbackoff.Config {
	pauses := grpcbackoff.DefaultConfig
	pauses.MaxDelay = maxWatchPause
	return pauses
}
