package rpc

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// entrance is a bounded listener with an accepting side.
type entrance struct {
	t        *testing.T
	listener net.Listener
	// accepted are the server's ends.
	accepted chan net.Conn
	ended    chan error
}

func entranceOf(t *testing.T, c *connections, network, address string) *entrance {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	e := &entrance{t, c.bound(l), make(chan net.Conn, 100), make(chan error, 1)}
	go func() {
		for {
			conn, err := e.listener.Accept()
			if err != nil {
				e.ended <- err
				return
			}
			e.accepted <- conn
		}
	}()
	t.Cleanup(func() {
		if err := e.listener.Close(); err != nil {
			t.Error(err)
		}
		if err := <-e.ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept ended with %v", err)
		}
		if err := e.listener.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
		for {
			select {
			case conn := <-e.accepted:
				_ = conn.Close()
			default:
				return
			}
		}
	})
	return e
}

// dial connects from an address, if that is not empty.
func (e *entrance) dial(from string) net.Conn {
	e.t.Helper()
	d := &net.Dialer{}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.DialContext(e.t.Context(), e.listener.Addr().Network(), e.listener.Addr().String())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// letIn connects and returns the server's end.
func (e *entrance) letIn(from string) net.Conn {
	e.t.Helper()
	_ = e.dial(from)
	select {
	case conn := <-e.accepted:
		return conn
	case <-time.After(10 * time.Second):
		e.t.Fatalf("from %q: not accepted", from)
		return nil
	}
}

// turnedAway connects and waits for the end.
func (e *entrance) turnedAway(from string) {
	e.t.Helper()
	conn := e.dial(from)
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || (!errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset")) {
		e.t.Errorf("from %q: read %d, %v", from, n, err)
	}
	if len(e.accepted) > 0 {
		e.t.Errorf("from %q: accepted", from)
	}
}

func bounds(all, perAddress int) Limits {
	l := DefaultLimits()
	l.MaxConnections, l.MaxConnectionsPerAddress = all, perAddress
	return l
}

var quiet = slog.New(slog.DiscardHandler)

func TestConnectionsPerAddress(t *testing.T) {
	c := newConnections(bounds(100, 2), nil, quiet, newClock().now)
	grpc, rest := entranceOf(t, c, "tcp", "127.0.0.1:0"), entranceOf(t, c, "tcp", "127.0.0.1:0")
	first := grpc.letIn("127.0.0.2")
	rest.letIn("127.0.0.2")
	grpc.turnedAway("127.0.0.2")
	rest.turnedAway("127.0.0.2")
	grpc.letIn("127.0.0.3")
	for range 3 { // only the first makes room
		_ = first.Close()
	}
	rest.letIn("127.0.0.2")
	grpc.turnedAway("127.0.0.2")
}

func TestConnectionsInAll(t *testing.T) {
	c := newConnections(bounds(3, 2), nil, quiet, newClock().now)
	grpc, rest := entranceOf(t, c, "tcp", "127.0.0.1:0"), entranceOf(t, c, "tcp", "127.0.0.1:0")
	first := grpc.letIn("127.0.0.2")
	rest.letIn("127.0.0.3")
	grpc.letIn("127.0.0.4")
	rest.turnedAway("127.0.0.5")
	_ = first.Close()
	rest.letIn("127.0.0.5")
	grpc.turnedAway("127.0.0.2")
}

// A proxy's connections are those of many, and a Unix socket has no address; all count together all the same.
func TestConnectionsWithoutAnAddressOfTheirOwn(t *testing.T) {
	c := newConnections(bounds(5, 1), prefixes("127.0.0.7/32"), quiet, newClock().now)
	tcp := entranceOf(t, c, "tcp", "127.0.0.1:0")
	unix := entranceOf(t, c, "unix", filepath.Join(t.TempDir(), "s"))
	tcp.letIn("127.0.0.7")
	tcp.letIn("127.0.0.7")
	unix.letIn("")
	unix.letIn("")
	tcp.letIn("127.0.0.8")
	tcp.turnedAway("127.0.0.7")
	unix.turnedAway("")
}

// crowd is a listener that always has another connection, from one address.
type crowd struct {
	net.Listener
	from string
}

func (c crowd) Accept() (net.Conn, error) {
	near, _ := net.Pipe()
	return crowdConn{near, &net.TCPAddr{IP: net.ParseIP(c.from)}}, nil
}

type crowdConn struct {
	net.Conn
	from net.Addr
}

func (c crowdConn) RemoteAddr() net.Addr { return c.from }

// A crowd is let in at a pace, after the first ones; but not that which a proxy brings.
func TestConnectionsAreTakenAtAPace(t *testing.T) {
	for from, want := range map[string]time.Duration{"203.0.113.5": 3 * time.Second, "10.0.0.1": 0} {
		synctest.Test(t, func(t *testing.T) {
			l := newConnections(bounds(10_000, 10_000), prefixes("10.0.0.0/8"), quiet, time.Now).bound(crowd{from: from})
			start := time.Now()
			for range maxAccepted/20 + 3*maxAccepted {
				if _, err := l.Accept(); err != nil {
					t.Fatal(err)
				}
			}
			if got := time.Since(start).Round(time.Millisecond); got != want {
				t.Errorf("from %s it took %v, want %v", from, got, want)
			}
		})
	}
}

// A connection on which calls begin faster than the pace is not read until it has fallen back to it.
func TestAConnectionIsReadAtThePaceOfItsCalls(t *testing.T) {
	l := DefaultLimits()
	l.CallsPerConnection = 10
	anybody := netip.MustParseAddr("203.0.113.5")
	for _, c := range []struct {
		name      string
		perSecond float64
		from      netip.Addr
		calls     int
		want      time.Duration
	}{
		{"at its burst", 10, anybody, 10, 0},
		{"ahead", 10, anybody, 15, 500 * time.Millisecond},
		{"no pace", -1, anybody, 1000, 0},
		{"a proxy's", 10, netip.Addr{}, 1000, 0},
		{"less than one a second", 0.5, anybody, 2, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l.CallsPerConnection = c.perSecond
				of := newConnections(l, nil, quiet, time.Now)
				near, far := net.Pipe()
				conn := of.conn(near, c.from)
				defer func() { _, _ = conn.Close(), far.Close() }()
				go func() { _, _ = far.Write([]byte("x")) }()
				for range c.calls {
					conn.begin()
				}
				start := time.Now()
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					t.Error(err)
				}
				if got := time.Since(start).Round(time.Millisecond); got != c.want {
					t.Errorf("it was read after %v, want %v", got, c.want)
				}
			})
		})
	}
}

// A connection ahead of its pace is read a little at a time.
func TestAConnectionAheadOfItsPaceIsReadLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		conn := newConnections(DefaultLimits(), nil, quiet, time.Now).conn(near, netip.MustParseAddr("203.0.113.5"))
		defer func() { _, _ = conn.Close(), far.Close() }()
		go func() { _, _ = far.Write(make([]byte, 64<<10)) }()
		for range 1001 {
			conn.begin()
		}
		for _, want := range []int{slowRead, 32 << 10} {
			if n, err := conn.Read(make([]byte, 32<<10)); n != want || err != nil {
				t.Errorf("read %d bytes, %v, want %d", n, err, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// What is read counts too, by the KiB; and nothing does on the connection of a backend.
func TestWhatIsReadCountsAsCalls(t *testing.T) {
	for backend, want := range map[bool]float64{false: -50, true: 100} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			conn := newConnections(DefaultLimits(), nil, quiet, time.Now).conn(near, netip.MustParseAddr("203.0.113.5"))
			defer func() { _, _ = conn.Close(), far.Close() }()
			conn.backend.Store(backend)
			go func() { _, _ = far.Write(make([]byte, 150<<10)) }()
			if n, err := conn.Read(make([]byte, 150<<10)); n != 150<<10 || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
			if got := conn.pace.Tokens(); got != want {
				t.Errorf("backend %v: %v calls are left, want %v", backend, got, want)
			}
		})
	}
}

// A connection that is closed, or of a server that drains, is waited for no longer.
func TestAConnectionAheadOfItsPaceCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := DefaultLimits()
		l.CallsPerConnection = 0.001
		near, far := net.Pipe()
		draining := make(chan struct{})
		of := newConnections(l, nil, quiet, time.Now)
		of.draining = draining
		conn := of.conn(near, netip.MustParseAddr("203.0.113.5"))
		defer func() { _ = far.Close() }()
		for range 100 {
			conn.begin()
		}
		start := time.Now()
		time.AfterFunc(time.Second, func() { _ = conn.Close() })
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("the read ended after %v, want a second", got)
		}
		close(draining)
		conn = of.conn(far, netip.MustParseAddr("203.0.113.5"))
		for range 100 {
			conn.begin()
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(start) != time.Second {
			t.Errorf("in a server that drains: %v after %v", err, time.Since(start))
		}
	})
}

func TestWhatAConnectionCountsFor(t *testing.T) {
	c := newConnections(DefaultLimits(), prefixes("2001:db8::7/128", "10.0.0.0/8"), quiet, time.Now)
	for a, want := range map[string]string{
		"203.0.113.5":     "203.0.113.5",
		"2001:db8::9":     "2001:db8::",
		"2001:db8::7":     "",
		"10.1.2.3":        "",
		"::ffff:10.0.0.1": "",
	} {
		got := c.counted(plain(netip.MustParseAddr(a)))
		if w, _ := netip.ParseAddr(want); got != w {
			t.Errorf("%s: got %v, want %v", a, got, w)
		}
	}
}

func TestTheLogSaysWhatToSetOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	now := newClock()
	c := newConnections(bounds(2, 1), nil, slog.New(slog.NewTextHandler(&log, nil)), now.now)
	a, b, d := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("203.0.113.6"), netip.MustParseAddr("203.0.113.7")
	lines := func(want int, holding ...string) {
		t.Helper()
		if got := strings.Count(log.String(), "\n"); got != want {
			t.Errorf("%d lines, want %d:\n%s", got, want, &log)
		}
		for _, h := range holding {
			if !strings.Contains(log.String(), h) {
				t.Errorf("nothing of %q:\n%s", h, &log)
			}
		}
	}
	c.enter(a)
	lines(0)
	for range 5 {
		c.enter(a)
	}
	lines(1, "limit=--max-connections-per-address", "is=1", "refused=1", "--trusted-proxies")
	now.sleep(time.Minute - 1)
	c.enter(a)
	lines(1)
	now.sleep(1)
	c.enter(b)
	c.enter(d)
	lines(2, "limit=--max-connections ", "is=2", "refused=6")
	if strings.Contains(log.String(), "203.0.113") {
		t.Error("the log names addresses")
	}
	for range 3 {
		c.slow()
	}
	lines(3, "limit=--calls-per-connection is=100")
	now.sleep(time.Minute)
	c.slow()
	lines(4)
	c.leave(a)
	c.leave(b)
	if c.open != 0 || len(c.openOf) != 0 {
		t.Errorf("%d open, of %v, after all have left", c.open, c.openOf)
	}
}
