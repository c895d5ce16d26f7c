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

// What net/http says of a caller who speaks no TLS reaches the log, without the caller's address.
func TestTheLogNamesNoAddressOfACaller(t *testing.T) {
	files := newPairFiles(t)
	files.put(t, newAuthority(t, "authority").issue(t, 1, time.Now().Add(time.Hour)))
	var log logBook
	to := serve(t, known(), rpc.Config{TLS: load(t, files).config, Log: slog.New(slog.NewTextHandler(&log, nil))})
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
	if text := log.String(); !strings.Contains(text, "TLS handshake error from somebody") || strings.Contains(text, address) {
		t.Errorf("the caller at %s is logged as %s", address, text)
	}
}
