//go:build unix

package rpc

import (
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
)

// lender is a pool that tells of each buffer that is taken, and of each that comes back.
type lender struct{ taken, back chan int }

func newLender() lender { return lender{make(chan int, 10), make(chan int, 10)} }

func (l lender) Get(size int) *[]byte {
	l.taken <- size
	b := make([]byte, size)
	return &b
}

func (l lender) Put(b *[]byte) { l.back <- len(*b) }

var _ mem.BufferPool = lender{}

// A connection on which nothing comes in keeps no buffer, as gRPC reads it.
func TestAnIdleConnectionKeepsNoBuffer(t *testing.T) {
	e := entranceOf(t, newConnections(DefaultLimits(), nil, quiet, time.Now), "tcp", "127.0.0.1:0")
	far := e.dial("")
	conn := (<-e.accepted).(*boundConn)
	defer func() { _ = conn.Close() }()
	said := func(text string) func() error {
		return func() error { _, err := far.Write([]byte(text)); return err }
	}
	for _, c := range []struct {
		name   string
		happen func() error
		want   string
		err    error
	}{
		{"something", said("hello"), "hello", nil},
		{"more", said("again"), "again", nil},
		{"the end", far.Close, "", io.EOF},
	} {
		pool := newLender()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b, n, err := conn.ReadOnReady(32<<10, pool)
			if !errors.Is(err, c.err) || (b == nil) != (c.err != nil) || b != nil && (string((*b)[:n]) != c.want || len(*b) != 32<<10) {
				t.Errorf("%s: read %d bytes, %v", c.name, n, err)
			}
		}()
		<-pool.taken
		<-pool.back // there is nothing to read yet
		if err := c.happen(); err != nil {
			t.Fatal(err)
		}
		<-ended
		if out, want := len(pool.taken)-len(pool.back), len(c.want)/max(len(c.want), 1); out != want {
			t.Errorf("%s: %d buffers are out, want %d", c.name, out, want)
		}
	}
}

// gRPC's way to read is bound by the pace as well, and counts.
func TestReadingWhenReadyKeepsThePace(t *testing.T) {
	l := DefaultLimits()
	l.CallsPerConnection = 10
	of := newConnections(l, nil, quiet, time.Now)
	e := entranceOf(t, of, "tcp", "127.0.0.1:0")
	far := e.dial("")
	conn := of.conn((<-e.accepted).(*boundConn).Conn, netip.MustParseAddr("203.0.113.5"))
	defer func() { _ = conn.Close() }()
	if _, err := far.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	for range 11 {
		conn.begin()
	}
	b, n, err := conn.ReadOnReady(32<<10, newLender())
	if err != nil || n != slowRead || len(*b) != 32<<10 {
		t.Errorf("ahead of the pace: read %d bytes, %v, want %d", n, err, slowRead)
	}
	for conn.turn(32<<10) == slowRead { // it sits out what the first read was ahead
	}
	before := conn.pace.Tokens()
	_, n, err = conn.ReadOnReady(32<<10, newLender())
	if left := conn.pace.Tokens(); err != nil || n < 8<<10 || left > before-float64(n/callBytes)/2 {
		t.Errorf("read %d bytes, %v: %v calls were left, and are %v", n, err, before, left)
	}
}
