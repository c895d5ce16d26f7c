package rpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc"
)

// pipes is a listener whose connections are in memory, so that the time of a bubble passes while they wait.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() pipes {
	closed := make(chan struct{})
	return pipes{make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) })}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialed:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	p.close()
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.dialed <- far
	return &lossy{Conn: near}, nil
}

// lossy is a connection whose other side, once it is lost, hears nothing more and is not heard.
type lossy struct {
	net.Conn
	lost atomic.Bool
}

func (l *lossy) Read(b []byte) (int, error) {
	for {
		if n, err := l.Conn.Read(b); err != nil || !l.lost.Load() {
			return n, err
		}
	}
}

func (l *lossy) Write(b []byte) (int, error) {
	if l.lost.Load() {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

// selfSigned returns what a server is encrypted with, and who trusts it.
func selfSigned() (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
}

// protocols are those that a page may speak.
var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// inBubble runs a test in a bubble of synctest, where time passes when everybody waits, with a server that is reached over
// connections in memory, by one of the protocols.
func inBubble(t *testing.T, protocol string, test func(t *testing.T, svc *fake, client *http.Client, url string)) {
	encrypted, trust := selfSigned()
	synctest.Test(t, func(t *testing.T) {
		svc := &fake{}
		book := &logBook{}
		c := rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))}
		over, url := newPipes(), "http://example.com"
		transport := &http.Transport{DialContext: over.dial, TLSClientConfig: trust}
		if protocol == "HTTP/2.0" {
			c.TLS, url = encrypted, "https://example.com"
			transport.ForceAttemptHTTP2 = true
		}
		server, err := rpc.New(svc, c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- server.Serve(ctx, &rpc.Listeners{REST: over}) }()
		test(t, svc, &http.Client{Transport: transport}, url)
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if book.String() != "" { // what readers do is no incident of ours
			t.Errorf("the log has: %s", book)
		}
	})
}

// A stream outlives the time that a whole request may take, and its reply, however quiet it is.
func TestAQuietStreamLives(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			const pause, pauses = 3 * time.Minute, 4
			inBubble(t, protocol, func(t *testing.T, svc *fake, client *http.Client, url string) {
				svc.watch = func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
					for n := range pauses {
						if err := out.SendMsg(progress(fmt.Sprint("c", n))); err != nil {
							return err
						}
						time.Sleep(pause) // of the bubble's time
					}
					return nil
				}
				began := time.Now()
				p := read(t.Context(), t, client, url+watchPath)
				last, err := p.rest()
				if err != nil || !strings.Contains(last, fmt.Sprint("id: c", pauses-1)) || p.resp.Proto != protocol {
					t.Errorf("%s: the last was %q: %v", p.resp.Proto, last, err)
				}
				if took := time.Since(began); took != pause*pauses {
					t.Errorf("it lived for %v, want %v", took, pause*pauses)
				}
			})
		})
	}
}

// A page that does not read holds the watch up, whose frames go nowhere else, and loses the stream after 10 s: not by an end
// that it could take for one of the watch's.
func TestAPageThatDoesNotReadIsLeft(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			inBubble(t, protocol, func(t *testing.T, svc *fake, client *http.Client, url string) {
				var sent atomic.Int64
				left := make(chan time.Time, 1)
				svc.watch = func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
					defer func() { left <- time.Now() }()
					for {
						if err := out.SendMsg(said(fmt.Sprint("c", sent.Load()), strings.Repeat("x", 64<<10))); err != nil {
							return err
						}
						sent.Add(1)
					}
				}
				began := time.Now()
				p := read(t.Context(), t, client, url+watchPath)
				synctest.Wait()
				held := sent.Load()
				// What HTTP/2 lets be under way, and a few: that being written, that in the channel, that being sent.
				if most := int64(4<<20>>16 + 3); held > most {
					t.Errorf("%d frames were sent to nobody, want at most %d", held, most)
				}
				if took := (<-left).Sub(began); took != 10*time.Second {
					t.Errorf("the watch was held up for %v", took)
				}
				if sent.Load() != held {
					t.Errorf("%d frames were sent while the page did not read", sent.Load()-held)
				}
				if last, err := p.rest(); err == nil {
					t.Errorf("the stream ended well, after %.40q", last)
				}
			})
		})
	}
}

// A page that is closed ends its watch, and leaves the connection in order where it serves others.
func TestAPageThatIsClosedEndsItsWatch(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			inBubble(t, protocol, func(t *testing.T, svc *fake, client *http.Client, url string) {
				left := make(chan struct{})
				svc.watch = func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
					defer close(left)
					if err := out.SendMsg(progress("c1")); err != nil {
						return err
					}
					<-out.Context().Done()
					return out.Context().Err()
				}
				ctx, cancel := context.WithCancel(t.Context())
				p := read(ctx, t, client, url+watchPath)
				if _, err := p.next(); err != nil { // retry
					t.Fatal(err)
				}
				if first, err := p.next(); err != nil || !strings.HasPrefix(first, "id: c1\n") {
					t.Fatalf("%q %v", first, err)
				}
				cancel()
				<-left
				svc.watch = nil
				if last, err := read(t.Context(), t, client, url+watchPath).rest(); err != nil || !strings.HasPrefix(last, "id: c0\n") {
					t.Errorf("the next stream: %q %v", last, err)
				}
			})
		})
	}
}

// Who vanishes without a word, as a machine that goes to sleep does, is not waited for until the end of the watch.
func TestWhoVanishesIsNoticed(t *testing.T) {
	inBubble(t, "HTTP/2.0", func(t *testing.T, svc *fake, client *http.Client, url string) {
		left := make(chan struct{})
		svc.watch = func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
			defer close(left)
			if err := out.SendMsg(progress("c1")); err != nil {
				return err
			}
			<-out.Context().Done()
			return out.Context().Err()
		}
		transport := client.Transport.(*http.Transport)
		dial, dialed := transport.DialContext, make(chan *lossy, 1)
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			dialed <- conn.(*lossy)
			return conn, err
		}
		read(t.Context(), t, client, url+watchPath)
		began := time.Now()
		conn := <-dialed
		conn.lost.Store(true)
		<-left
		if took := time.Since(began); took > 81*time.Second {
			t.Errorf("it was noticed after %v", took)
		}
		_ = conn.Close()
	})
}
