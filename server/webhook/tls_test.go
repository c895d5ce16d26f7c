package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// handshakes is a connection's other end that speaks TLS, and answers one request well.
func handshakes(config *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")(tls.Server(c, config))
	}
}

func TestCertificates(t *testing.T) {
	s := newScene(t)
	soon := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		config *tls.Config
		want   Failure
	}{
		"good":          {&tls.Config{Certificates: []tls.Certificate{s.authority.issue(t, "shop.example", soon)}}, ""},
		"of a stranger": {&tls.Config{Certificates: []tls.Certificate{newAuthority(t).issue(t, "shop.example", soon)}}, Untrusted},
		"another name":  {&tls.Config{Certificates: []tls.Certificate{s.authority.issue(t, "other.example", soon)}}, OtherName},
		"an address":    {&tls.Config{Certificates: []tls.Certificate{s.authority.issue(t, "127.0.0.1", soon)}}, OtherName},
		"expired":       {&tls.Config{Certificates: []tls.Certificate{s.authority.issue(t, "shop.example", time.Now().Add(-time.Minute))}}, Expired},
		"old TLS":       {&tls.Config{Certificates: []tls.Certificate{s.authority.issue(t, "shop.example", soon)}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, BadTLS},
	} {
		t.Run(name, func(t *testing.T) {
			at, _ := listen(t, public, 0, handshakes(c.config))
			s.names.set("shop.example", []netip.Addr{public})
			if o := s.post(t, fmt.Sprintf("https://shop.example:%d/", at.Port())); o.Failure != c.want {
				t.Errorf("got %+v, want %q", o, c.want)
			}
		})
	}
	at, _ := listen(t, public, 0, says("HTTP/1.1 200 OK\r\n\r\n"))
	if o := s.post(t, fmt.Sprintf("https://shop.example:%d/", at.Port())); o.Failure != BadTLS {
		t.Errorf("no TLS at all: got %+v", o)
	}
}

// A dial that net/http goes on with ends with the sender.
func TestCloseEndsWhatIsBeingDialled(t *testing.T) {
	s := newScene(t)
	shaking := make(chan struct{})
	at, _ := listen(t, public, 0, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		close(shaking)
		for buf := make([]byte, 4096); ; {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	})
	s.names.set("shop.example", []netip.Addr{public})
	s.limits.connect, s.limits.done = time.Hour, time.Hour // nothing but Close ends it
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-shaking
		cancel()
	}()
	o := s.Send(ctx, Message{URL: fmt.Sprintf("https://shop.example:%d/", at.Port()), ID: "conv_1-7", Time: time.Now(), Secrets: [][]byte{secret}, Body: []byte("{}")})
	if o.Failure == "" || ctx.Err() == nil {
		t.Errorf("got %+v", o)
	}
	s.Close() // or the listener waits for its connection for ever
}
