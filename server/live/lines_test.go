package live

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
)

// lines are the connections of everybody, so that some can be cut.
type lines struct {
	mu   sync.Mutex
	open []*line
}

// line is a connection that leaves the others when it is closed.
type line struct {
	net.Conn
	all *lines
}

// dial connects, and keeps the connection among the others.
func (l *lines) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	made := &line{conn, l}
	l.open = append(l.open, made)
	return made, nil
}

// Close implements net.Conn.
func (c *line) Close() error {
	c.all.mu.Lock()
	for i, other := range c.all.open {
		if other == c {
			c.all.open[i] = c.all.open[len(c.all.open)-1]
			c.all.open = c.all.open[:len(c.all.open)-1]
			break
		}
	}
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// cut closes one connection, whoever has it.
func (l *lines) cut(rng *rand.Rand) {
	l.mu.Lock()
	var unlucky net.Conn
	if len(l.open) > 0 {
		unlucky = l.open[rng.IntN(len(l.open))].Conn
	}
	l.mu.Unlock()
	if unlucky != nil {
		_ = unlucky.Close()
	}
}
