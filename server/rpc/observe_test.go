package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goodship/goodship/server/rpc"
)

// What net/http says of a caller who speaks no TLS is a detail, in its words but without the caller's address.
func TestWhatCallersDoToTLSIsADetail(t *testing.T) {
	files := newPairFiles(t)
	files.put(t, newAuthority(t, "authority").issue(t, 1, time.Now().Add(time.Hour)))
	var log logBook
	to := serve(t, known(), rpc.Config{TLS: load(t, files).config, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	var address string
	dialer := &net.Dialer{}
	to.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, to)
		if err == nil {
			address = conn.LocalAddr().String()
		}
		return conn, err
	}
	rest(t, to, "GET", "/v1/conversations/"+conv, "")
	if err := to.stop(); err != nil {
		t.Fatal(err)
	}
	const said = `level=DEBUG msg="net/http says" error="http: TLS handshake error from somebody: client sent an HTTP request to an HTTPS server"`
	if text := log.String(); !strings.Contains(text, said) || strings.Contains(text, address) || strings.Contains(text, "WARN") {
		t.Errorf("the caller at %s is logged as %s", address, text)
	}
}

// TestWhatHTTPSays has lines of net/http's.
func TestWhatHTTPSays(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"http: TLS handshake error from 192.0.2.7:52011: tls: client offered only unsupported versions: [302 301]",
			"DEBUG http: TLS handshake error from somebody: tls: client offered only unsupported versions: [302 301]"},
		{"http: TLS handshake error from [2001:db8::7%eth0]:52011: read tcp [2001:db8::1]:443->[2001:db8::7%eth0]:52011: i/o timeout",
			"DEBUG http: TLS handshake error from somebody: read tcp somebody->somebody: i/o timeout"},
		{"http: TLS handshake error from [::ffff:192.0.2.7]:52011: EOF", "DEBUG http: TLS handshake error from somebody: EOF"},
		{"http2: server connection error from 192.0.2.7:52011: PROTOCOL_ERROR", "DEBUG http2: server connection error from somebody: PROTOCOL_ERROR"},
		{"timeout waiting for SETTINGS frames from 192.0.2.7:52011", "DEBUG timeout waiting for SETTINGS frames from somebody"},
		{"http: panic serving 192.0.2.7:52011: at 0x1f\ngoroutine 7 [running]:", "WARN http: panic serving somebody: at 0x1f\ngoroutine 7 [running]:"},
		{"http2: panic serving 192.0.2.7:52011: at 0x1f", "WARN http2: panic serving somebody: at 0x1f"},
		{"http: Accept error: accept tcp 192.0.2.1:443: accept4: too many open files; retrying in 5ms",
			"WARN http: Accept error: accept tcp somebody: accept4: too many open files; retrying in 5ms"},
	} {
		var got record
		rpc.HTTPLog(slog.New(&got)).Print(test.line)
		if got.text != test.want {
			t.Errorf("got  %s\nwant %s", got.text, test.want)
		}
	}
}

// record is a log that keeps the last record's level and error.
type record struct{ text string }

func (r *record) Enabled(context.Context, slog.Level) bool { return true }
func (r *record) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *record) WithGroup(string) slog.Handler            { return r }

func (r *record) Handle(_ context.Context, from slog.Record) error {
	from.Attrs(func(a slog.Attr) bool {
		r.text = from.Level.String() + " " + a.Value.String()
		return true
	})
	return nil
}
