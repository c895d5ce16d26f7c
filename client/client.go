// Package client calls a Goodship server: the generated services on one connection, with what every caller needs and would
// otherwise write: a credential that renews itself, calls that are safe to repeat and are repeated, pages as iterators,
// errors by their reason, and tokens for a product's people.
//
//	c, err := client.New("support.example.com:443", client.WithToken(key))
//	…
//	defer c.Close()
//	conversation, err := c.CreateConversation(client.ActFor(ctx, "customer/ada"), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
//
// # Calls
//
// A Client has the methods of every public service: requests and replies are the generated types of
// github.com/goodship/goodship/gen/go/goodship/v1, whose protos are the API's documentation. A Client never changes a
// request that it is given. A call lasts as long as its context lets it; give each one a deadline.
//
// # Who calls
//
// A backend's API key speaks for the backend itself, or with the scope ACT for one of its people: always ([WithActFor]), or
// call by call ([ActFor]). A program that is one person has a token of that person, which ends within hours; a
// [TokenSource] gets the next one, such as [Client.TokenSource] of a backend that does not sign tokens itself. A backend
// that does has a [Signer].
//
// Credentials travel over TLS with the system's roots, unless [WithTLS] or [WithInsecure] say otherwise.
//
// # Repeated calls
//
// A call that ends as UNAVAILABLE or RESOURCE_EXHAUSTED is tried up to four times in all: after as long as the server says,
// or about 1/4, 1 and 4 seconds. That is safe: a Client gives every request that has a request_id and lacks one a random
// one, so that it takes effect once, and a method that neither has one nor is idempotent is not repeated. When many calls
// fail, fewer are repeated. A program that repeats a call by itself, after a restart for example, has to give the
// request_id itself, the same each time.
//
// Retries are gRPC's: grpc.WithDisableRetry in [WithDialOptions] turns them off, grpc.WaitForReady(true) lets a call wait
// for a connection until its deadline.
//
// # What an answer answers
//
// An agent who answers says in seen_revision what they had seen, so that nothing which the customer wrote meanwhile counts
// as answered. Only the program knows what its user saw: take it from the reply of ListMessages that was shown, or
// do one person's reading and answering under one context made by [Reading], and the Client fills it in.
//
// # Watching
//
// [Watch] is a loop over what happens, live, which goes on where it was when the server restarts or the connection breaks. A
// stream of WatchConversation or WatchDesk by itself carries the credential too, but is not repeated: it ends.
//
// # Errors
//
// Errors are gRPC statuses: google.golang.org/grpc/status.Code tells the code, [Reason] and its kin the rest. Decide by code
// and reason, never by the text.
//
// # Telemetry
//
// A Client has no telemetry of its own and takes gRPC's: for OpenTelemetry, WithDialOptions(grpc.WithStatsHandler(
// otelgrpc.NewClientHandler())).
//
// # Tests
//
// The package github.com/goodship/goodship/server/servertest runs a whole server in a test.
package client

import (
	"fmt"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
)

// Client calls one workspace of a Goodship server. Its methods may be called from any goroutine.
type Client struct {
	goodshipv1.AdminServiceClient
	goodshipv1.ConversationServiceClient
	goodshipv1.CreditServiceClient
	goodshipv1.DeskServiceClient
	goodshipv1.DirectoryServiceClient
	goodshipv1.IncidentServiceClient
	goodshipv1.InsightServiceClient
	goodshipv1.MessageServiceClient
	goodshipv1.ResolutionServiceClient

	conn   *grpc.ClientConn
	tokens *tokens
	actFor *string
}

// New returns a client of the server at a gRPC target, as in `support.example.com:443` or `dns:///support.example.com:443`.
// It needs a credential, WithToken or WithTokenSource. It connects with the first call: an error here is one of the options
// or the target.
func New(target string, opts ...Option) (*Client, error) {
	o, err := resolve(opts)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") {
		return nil, fmt.Errorf("client: %q is an address of REST: give gRPC's, host and port alone", target)
	}
	c := &Client{tokens: newTokens(o.token, o.source), actFor: o.actFor}
	c.conn, err = grpc.NewClient(target, c.dialOptions(o)...)
	if err != nil {
		c.tokens.close()
		return nil, fmt.Errorf("client: no connection to %q can be made; one without TLS needs WithInsecure: %w", target, err)
	}
	c.AdminServiceClient = goodshipv1.NewAdminServiceClient(c.conn)
	c.ConversationServiceClient = goodshipv1.NewConversationServiceClient(c.conn)
	c.CreditServiceClient = goodshipv1.NewCreditServiceClient(c.conn)
	c.DeskServiceClient = goodshipv1.NewDeskServiceClient(c.conn)
	c.DirectoryServiceClient = goodshipv1.NewDirectoryServiceClient(c.conn)
	c.IncidentServiceClient = goodshipv1.NewIncidentServiceClient(c.conn)
	c.InsightServiceClient = goodshipv1.NewInsightServiceClient(c.conn)
	c.MessageServiceClient = goodshipv1.NewMessageServiceClient(c.conn)
	c.ResolutionServiceClient = goodshipv1.NewResolutionServiceClient(c.conn)
	return c, nil
}

// Close ends the connection and every call on it, and waits for a TokenSource that is at work. A second Close does nothing.
func (c *Client) Close() {
	c.tokens.close()
	c.conn.Close()
}
