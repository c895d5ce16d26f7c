package client

import (
	"context"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
)

// openingContext marks a context whose stream is to be told to an *opening.
type openingContext struct{}

// opening is what Watch knows of the stream that it opens.
type opening struct {
	// client is whose stream it is; nil if no Client's.
	client *Client
	// token is what the stream carries.
	token string
}

// replaced reports whether the next stream carries another token.
func (o *opening) replaced() bool { return o.client != nil && o.client.tokens.replaced(o.token) }

// closed is closed with the Client.
func (o *opening) closed() <-chan struct{} {
	if o.client == nil {
		return nil
	}
	return o.client.tokens.open.Done()
}

// openStream is what every stream passes when it is opened.
func (c *Client) openStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	o, ok := ctx.Value(openingContext{}).(*opening)
	if !ok {
		o = &opening{}
	}
	o.client = c
	token, err := c.tokens.get(ctx)
	if err != nil {
		return nil, err
	}
	o.token = token
	actFor := c.actsFor(ctx)
	s, err := open(carry(ctx, token, actFor), desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &stream{ClientStream: s, tokens: c.tokens, token: token, reading: readingOf(ctx), actFor: actFor}, nil
}

// stream is a stream of a Client.
type stream struct {
	grpc.ClientStream
	tokens *tokens
	token  string
	// accepted says that the server took the token.
	accepted bool
	reading  *reading
	actFor   *string
}

// RecvMsg implements grpc.ClientStream.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	switch {
	case refused(err):
		s.tokens.drop(s.token, time.Now())
	case err == nil && !s.accepted:
		s.accepted = true
		s.tokens.accept(s.token)
	}
	if update, ok := m.(*goodshipv1.WatchUpdate); ok && err == nil {
		s.reading.follow(s.actFor, update)
	}
	return err
}
