package rpc

import (
	"context"
	"errors"
	"io"

	"github.com/goodship/goodship/server/support"
)

// requestStream is a stream of requests. Each is checked as that of unary is, draws from the rates of its caller, and has the time
// of one message to arrive from when the method asks for it; so what a stream takes is bounded by what is one message. It ends
// when the server drains: what was taken in is done.
type requestStream struct {
	*checkedStream
	caller     support.Caller
	fullMethod string
	// further says that the first request was taken in, for which the call itself has drawn.
	further bool
}

// RecvMsg takes in the next request; io.EOF after the last.
func (s *requestStream) RecvMsg(m any) error {
	if s.further {
		from := s.chain.proxies.arrivalOf(s.ctx)
		if err := s.chain.rates.await(s.ctx, s.caller, endUser(s.ctx, s.caller, from), s.fullMethod); err != nil {
			return err
		}
	}
	s.further = true
	err := s.receive(m)
	switch {
	case err == nil:
		return s.chain.checkRequest(s.ctx, s.method, m)
	case errors.Is(err, io.EOF):
		return io.EOF
	case s.ctx.Err() != nil:
		return ended(s.ctx)
	}
	return malformed("The request cannot be read: %v.", err)
}

// receive waits for a message, for as long as one may take, unless the server drains.
func (s *requestStream) receive(m any) error {
	if a, ok := s.ctx.Value(arrivingKey{}).(*arriving); ok {
		a.stop()
		a.await()
		defer func() { a.stop() }()
		defer context.AfterFunc(s.chain.calls.draining, func() { a.cancel(errStopping) })()
	}
	return s.streamUntil.RecvMsg(m)
}
