package rpc

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAccepted is how many connections are taken a second. To begin one costs as much as some calls, and a flood of them would
// take the time of the callers who are there; so it queues in the kernel.
const maxAccepted = 2000

// connections bounds how many connections the public listeners have open together, so that nobody's take the last file
// descriptor, and how many of them are one address's. What is too many is closed at once, before a byte is read.
type connections struct {
	all, perAddress int
	proxies         proxies
	log             *slog.Logger
	now             func() time.Time
	pace            *rate.Limiter

	mu     sync.Mutex
	open   int
	openOf map[netip.Addr]int
	// refused are those since the log was told.
	refused int
	told    time.Time
}

func newConnections(l Limits, p proxies, log *slog.Logger, now func() time.Time) *connections {
	return &connections{
		all: l.MaxConnections, perAddress: l.MaxConnectionsPerAddress, proxies: p, log: log, now: now,
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
			time.Sleep(l.connections.pace.Reserve().Delay())
			return &boundConn{Conn: conn, leave: sync.OnceFunc(func() { l.connections.leave(from) })}, nil
		}
		_ = conn.Close() // nothing was sent that could get lost
	}
}

type boundConn struct {
	net.Conn
	leave func()
}

// Close makes room for another connection.
func (c *boundConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
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
