// Package webhook sends signed requests to endpoints that strangers named.
//
// A request is one of the Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature), and what can be known of it is its
// Outcome: the status, and a few words of ours. Nothing of the reply is kept or told.
//
// An endpoint may be hostile, or name a machine that is not its owner's. So a name is looked up once for each connection, every
// address that it has must be one of the public internet, and those addresses are dialled, not the name; each is looked at again
// when its socket is about to connect. A redirect is a failure, no proxy of the environment is used, and time and size of a reply
// are bounded. A connection that was made may be used again: its address was looked at.
//
// HTTP/1.1 is spoken, so that each request has a connection of its own, and a slow endpoint delays no other on its host.
package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	// connectWithin is how long name, connection and TLS may take, and doneWithin everything.
	connectWithin, doneWithin = 5 * time.Second, 10 * time.Second
	// longestReply is how many bytes of a reply's body are read, to be dropped, and longestHead how many its head may have.
	longestReply, longestHead = 64 << 10, 32 << 10
	// longestRetryAfter bounds what an endpoint may ask to be left alone for.
	longestRetryAfter = 24 * time.Hour
)

// Options are what a sender does differently. The zero value sends over https to the public internet.
type Options struct {
	// AllowHTTP allows URLs with http.
	AllowHTTP bool
	// AllowAddresses are networks that may be reached although they are not public, on any port; for development, and for endpoints
	// in an operator's own network. Where there are any, URLs may name local hosts and literal addresses of these networks.
	AllowAddresses []netip.Prefix
	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver
	// RootCAs are who may vouch for an endpoint; nil are the system's.
	RootCAs *x509.CertPool
}

// Message is what is sent.
type Message struct {
	URL string
	// ID is the same whenever the same is sent again, so that a receiver can tell. It has no dot and no space.
	ID string
	// Time is now. A receiver refuses what is signed for minutes ago.
	Time time.Time
	// Secrets are the keys to sign with: one, or more while they are exchanged.
	Secrets [][]byte
	// Body is JSON.
	Body []byte
	// Traceparent is the trace that the message belongs to; empty if there is none.
	Traceparent string
}

// Outcome is what became of a message.
type Outcome struct {
	// StatusCode is that of the reply; 0 if there was none.
	StatusCode int
	// Failure is empty if the endpoint took the message, with a status from 200 to 299.
	Failure Failure
	// Gone says that the endpoint wants no more messages, ever: its status was 410.
	Gone bool
	// RetryAfter is for how long the endpoint asked to be left alone, at most 24 h; zero if it did not.
	RetryAfter time.Duration
	// Duration is how long it took.
	Duration time.Duration
}

// Sender sends messages. Safe for concurrent use.
type Sender struct {
	options   Options
	transport *http.Transport
	limits    limits
}

// limits are the constants above; a test has shorter ones.
type limits struct {
	connect, done time.Duration
}

// NewSender returns a sender; Close must follow.
func NewSender(o Options) *Sender {
	s := &Sender{options: o, limits: limits{connectWithin, doneWithin}}
	s.transport = &http.Transport{
		DialContext:            s.dial,
		DialTLSContext:         s.dialTLS,
		DisableCompression:     true, // a small reply must not become a large one
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: longestHead,
		ReadBufferSize:         512, // net/http logs as much of a reply that goes on after its end
	}
	return s
}

// Close ends the connections that are kept or being made. No Send may be under way.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }

// Send sends a message once and tells what became of it. A context that ends is a failure too: ask it.
func (s *Sender) Send(ctx context.Context, m Message) Outcome {
	begin := time.Now()
	o := s.send(ctx, m)
	o.Duration = time.Since(begin)
	return o
}

func (s *Sender) send(ctx context.Context, m Message) Outcome {
	if CheckURL(m.URL, s.options) != nil {
		return Outcome{Failure: NotAllowed}
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.done)
	defer cancel()
	req, err := m.request(ctx)
	if err != nil {
		return Outcome{Failure: NotAllowed}
	}
	// Not http.Client: a redirect is an answer like any other, and nothing is kept between requests.
	reply, err := s.transport.RoundTrip(req)
	if err != nil {
		return Outcome{Failure: whyNoReply(ctx, err)}
	}
	defer reply.Body.Close()
	// The status decides; what follows is read so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, reply.Body, longestReply)
	return outcomeOf(reply, m.Time)
}

// request returns the message as it goes out.
func (m Message) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return nil, err
	}
	signatures, err := m.sign()
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"},
		"User-Agent":   {"Goodship-Webhook/1"},
		// Empty, it is not sent: it has net/http send the message again where a kept connection turns out to have ended.
		"Idempotency-Key": nil,
	}
	req.Header.Set(standardwebhooks.HeaderWebhookID, m.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(m.Time.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signatures)
	if m.Traceparent != "" {
		req.Header.Set("traceparent", m.Traceparent)
	}
	return req, nil
}

// sign returns a signature for each secret.
func (m Message) sign() (string, error) {
	signatures := make([]string, len(m.Secrets))
	for i, secret := range m.Secrets {
		key, err := standardwebhooks.NewWebhookRaw(secret)
		if err == nil {
			signatures[i], err = key.Sign(m.ID, m.Time, m.Body)
		}
		if err != nil {
			return "", err
		}
	}
	return strings.Join(signatures, " "), nil
}

// outcomeOf returns what a reply's head says; now is when the message was signed.
func outcomeOf(reply *http.Response, now time.Time) Outcome {
	o := Outcome{StatusCode: reply.StatusCode}
	switch {
	case reply.StatusCode/100 == 2:
		return o
	case reply.StatusCode/100 == 3:
		o.Failure = Redirected
	case reply.StatusCode == http.StatusGone:
		o.Failure, o.Gone = Refused, true
	default:
		o.Failure = Refused
	}
	o.RetryAfter = retryAfter(reply.Header, now)
	return o
}

// retryAfter returns for how long a reply asks to be left alone: a number of seconds, or until a time by the endpoint's own clock,
// or ours if it does not tell.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(longestRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if there, err := http.ParseTime(h.Get("Date")); err == nil {
		now = there
	}
	return min(max(until.Sub(now), 0), longestRetryAfter)
}

// whyNoReply says why there was no reply.
func whyNoReply(ctx context.Context, err error) Failure {
	var undialled *dialError
	switch {
	case errors.As(err, &undialled):
		return undialled.failure
	case ctx.Err() != nil:
		return TooSlow
	}
	return BadReply
}
