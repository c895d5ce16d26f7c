package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// leastEach is how long each of several addresses is tried, unless there is less time.
const leastEach = 2 * time.Second

// dial connects to one of the addresses of a host.
func (s *Sender) dial(ctx context.Context, _, hostPort string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.connect)
	defer cancel()
	return s.connect(ctx, hostPort)
}

// dialTLS connects, and speaks TLS.
func (s *Sender) dialTLS(ctx context.Context, _, hostPort string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.connect)
	defer cancel()
	raw, err := s.connect(ctx, hostPort)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(hostPort) // which connect did before
	conn := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: strings.TrimSuffix(host, "."), RootCAs: s.options.RootCAs})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, unshaken(ctx, err)
	}
	return conn, nil
}

// connect looks a host up, and tries its addresses one after the other, provided that all may be reached.
func (s *Sender) connect(ctx context.Context, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, undialled(ctx, err)
	}
	addresses, err := s.lookUp(ctx, host)
	if err != nil {
		return nil, undialled(ctx, err)
	}
	for _, a := range addresses {
		if err := s.options.mayReach(a, port); err != nil {
			return nil, err
		}
	}
	err = errors.New("no address")
	for i, a := range addresses {
		var conn net.Conn
		if conn, err = s.connectTo(ctx, net.JoinHostPort(a.String(), port), len(addresses)-i); err == nil {
			return conn, nil
		}
	}
	return nil, undialled(ctx, err)
}

// lookUp returns the addresses of a host. The name is taken for complete: it is not sought in the machine's own domains.
func (s *Sender) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		host += "."
	}
	resolver := s.options.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	return resolver.LookupNetIP(ctx, "ip", host)
}

// connectTo connects to an address, in its share of the time if others are left.
func (s *Sender) connectTo(ctx context.Context, address string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(left), leastEach))
		defer cancel()
	}
	d := net.Dialer{ControlContext: s.control}
	return d.DialContext(ctx, "tcp", address)
}

// control looks at the address of a socket that is about to connect.
func (s *Sender) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	return s.options.mayReach(a, port)
}

// mayReach returns an error unless a port of an address may be connected to.
func (o Options) mayReach(a netip.Addr, port string) error {
	switch {
	case o.allows(a):
		return nil
	case !isPublic(a), !isWebPort(port):
		return &dialError{NotPublic, errors.New("not a web port of a public address")}
	}
	return nil
}
