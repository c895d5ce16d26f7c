package rpc

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"
)

// maxAccepted is how many connections are taken a second, but for those of trusted proxies. To begin one costs as much as some
// calls, and a flood of them would take the time of the callers who are there; so it queues in the kernel.
const maxAccepted = 1000

// slowRead is how much a connection that was ahead of its pace is read at once, in bytes: some dozen calls.
const slowRead = 1 << 10

// callBytes is how much counts as much as a call that begins: net/http throws away unseen what is reset before its turn.
const callBytes = 1 << 10

// longestUnheard is how long a connection stays open whose other side acknowledges nothing. It outlasts the longest that a call
// over HTTP may take by default; a watch, which sends every 15 seconds, is over when its reader has vanished for so long.
const longestUnheard = 80 * time.Second

// connections bounds how many connections the public listeners have open together, so that nobody's take the last file
// descriptor, and how many of them are one address's. What is too many is closed at once, before a byte is read.
//
// It also bounds how fast calls begin on each: calls that are reset at once (rapid reset, CVE-2023-44487) are free of the limit
// of those in flight, and cost no less. A connection that is ahead of its pace is not read until it is not, and so slows its
// caller down. To refuse them instead would be to read them all; and of a stream that its tap refuses, grpc-go keeps the
// deadline's timer for as long as the caller likes. A stream that HTTP/2 refuses, beyond MaxStreams or reset before REST had a
// place for it, begins no call; it counts by its bytes.
type connections struct {
	all, perAddress int
	callsPerSecond  float64
	proxies         proxies
	log             *slog.Logger
	now             func() time.Time
	// draining is closed when nobody waits for connections any longer; nil for never.
	draining <-chan struct{}
	pace     *rate.Limiter

	mu     sync.Mutex
	open   int
	openOf map[netip.Addr]int
	// refused are those since the log was told.
	refused int
	told    time.Time
	// slowTold is when the log was told that a connection is slowed down.
	slowTold time.Time
}

func newConnections(l Limits, p proxies, log *slog.Logger, now func() time.Time) *connections {
	return &connections{
		all: l.MaxConnections, perAddress: l.MaxConnectionsPerAddress, callsPerSecond: l.CallsPerConnection, proxies: p, log: log, now: now,
		pace: rate.NewLimiter(maxAccepted, maxAccepted/20), openOf: map[netip.Addr]int{},
	}
}

// bound returns a listener that accepts only the connections that there is room for.
func (c *connections) bound(l net.Listener) net.Listener { return &boundListener{l, c} }

type boundListener struct {
	net.Listener
	connections *connections
}

// Accept waits for the next connection that there is room for.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := l.connections.counted(addressOf(conn.RemoteAddr()))
		if l.connections.enter(from) {
			if from.IsValid() {
				time.Sleep(l.connections.pace.Reserve().Delay())
			}
			endUnheard(conn, longestUnheard)
			return l.connections.conn(conn, from), nil
		}
		_ = conn.Close() // nothing was sent that could get lost
	}
}

type boundConn struct {
	net.Conn
	leave func()
	// pace is of the calls that begin; nil for any. It does not bind a backend's connection, once it has shown its key.
	pace    *rate.Limiter
	backend atomic.Bool
	// read is how many bytes were read that the pace does not count yet.
	read   int
	of     *connections
	closed chan struct{}
}

// conn returns a connection that counts for an address. Those of many callers, without one, have no pace.
func (c *connections) conn(conn net.Conn, from netip.Addr) *boundConn {
	b := &boundConn{Conn: conn, of: c, closed: make(chan struct{})}
	b.leave = sync.OnceFunc(func() {
		close(b.closed)
		c.leave(from)
	})
	if from.IsValid() && c.callsPerSecond > 0 {
		b.pace = rate.NewLimiter(rate.Limit(c.callsPerSecond), max(int(c.callsPerSecond), 1))
	}
	return b
}

// begin counts a call that begins on the connection.
func (c *boundConn) begin() {
	if c.pace != nil && !c.backend.Load() {
		c.pace.Reserve() // what is ahead of the pace is a debt, which Read sits out
	}
}

// Read waits until no more calls have begun than the pace lets. Then it takes in little, so that not hundreds begin at once.
func (c *boundConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:c.turn(len(b))])
	c.count(n)
	return n, err
}

// turn waits until no more calls have begun than the pace lets, and returns how much of size may be read then.
func (c *boundConn) turn(size int) int {
	if c.pace == nil || c.backend.Load() {
		return size
	}
	ahead := -c.pace.Tokens()
	if ahead <= 0 {
		return size
	}
	c.of.slow()
	timer := time.NewTimer(time.Duration(ahead / float64(c.pace.Limit()) * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closed:
	case <-c.of.draining:
	}
	return min(size, slowRead)
}

// count counts bytes that were read.
func (c *boundConn) count(n int) {
	if c.pace == nil || c.backend.Load() {
		return
	}
	for c.read += n; c.read >= callBytes; c.read -= callBytes {
		c.pace.Reserve()
	}
}

// Close makes room for another connection.
func (c *boundConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// RemoteAddr leads gRPC's calls, which know no more of their connection, back to it.
func (c *boundConn) RemoteAddr() net.Addr { return boundAddr{c.Conn.RemoteAddr(), c} }

// boundAddr is where a connection comes from, and the connection.
type boundAddr struct {
	net.Addr
	conn *boundConn
}

// boundOf returns the connection that a gRPC call came on; nil if it came on none that is bound.
func boundOf(ctx context.Context) *boundConn {
	if p, ok := peer.FromContext(ctx); ok {
		if from, ok := p.Addr.(boundAddr); ok {
			return from.conn
		}
	}
	return nil
}

// counted returns what a connection counts for: the zero Addr if only for all of them, as a proxy's does, which are those
// of many callers, and that of a Unix socket, which has no address.
func (c *connections) counted(from netip.Addr) netip.Addr {
	if c.proxies.trust(from) {
		return netip.Addr{}
	}
	return household(from)
}

// enter counts a connection until leave, if there is room.
func (c *connections) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.open >= c.all:
		c.refuse("max-connections", c.all)
		return false
	case from.IsValid() && c.openOf[from] >= c.perAddress:
		c.refuse("max-connections-per-address", c.perAddress)
		return false
	}
	c.open++
	c.openOf[from]++
	return true
}

func (c *connections) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.openOf[from]--; c.openOf[from] == 0 {
		delete(c.openOf, from)
	}
}

// refuse tells the log, once a minute: it is a flood that this is for.
func (c *connections) refuse(limit string, is int) {
	c.refused++
	now := c.now()
	if !c.told.IsZero() && now.Sub(c.told) < time.Minute {
		return
	}
	c.log.Warn("connections are refused: if the callers are welcome, raise the limit, or name the proxy that they come through in --trusted-proxies",
		"limit", "--"+limit, "is", is, "refused", c.refused)
	c.refused, c.told = 0, now
}

// slow tells the log, once a minute too.
func (c *connections) slow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.slowTold.IsZero() && now.Sub(c.slowTold) < time.Minute {
		return
	}
	c.log.Warn("a connection is slowed down: if its calls are welcome, raise the limit, or name the proxy that they come through in --trusted-proxies",
		"limit", "--calls-per-connection", "is", c.callsPerSecond)
	c.slowTold = now
}
