package rpc_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	creds "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// authority is a certificate authority of a test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(t, template, template, &a.key.PublicKey)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t *testing.T, template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// pair is a certificate and its key, both in PEM.
type pair struct{ cert, key []byte }

// issue returns a certificate for loopback.
func (a *authority) issue(t *testing.T, serial int64, until time.Time) pair {
	t.Helper()
	key := newKey(t)
	cert := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

// pairFiles are the two files of a certificate.
type pairFiles struct{ cert, key string }

func newPairFiles(t *testing.T) pairFiles {
	t.Helper()
	folder := t.TempDir()
	return pairFiles{filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")}
}

// put replaces the files one after the other, each by a rename.
func (f pairFiles) put(t *testing.T, p pair) {
	t.Helper()
	replace(t, f.cert, p.cert)
	replace(t, f.key, p.key)
}

func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// tester is a loaded certificate with a clock of the test's.
type tester struct {
	config *tls.Config
	now    time.Time
	log    bytes.Buffer
}

func load(t *testing.T, f pairFiles) *tester {
	t.Helper()
	c := &tester{now: time.Now()}
	var err error
	c.config, err = rpc.LoadCertificateAt(f.cert, f.key, slog.New(slog.NewTextHandler(&c.log, nil)), func() time.Time { return c.now })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serial shows a new client, some time later, what is in use.
func (c *tester) serial(t *testing.T, later time.Duration) int64 {
	t.Helper()
	c.now = c.now.Add(later)
	pair, err := c.config.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.Int64()
}

func (c *tester) logged() int { return strings.Count(c.log.String(), "\n") }

func TestACertificateIsReplacedWhileTheServerRuns(t *testing.T) {
	a, tomorrow := newAuthority(t, "first"), time.Now().Add(24*time.Hour)
	files := newPairFiles(t)
	files.put(t, a.issue(t, 1, tomorrow))
	c := load(t, files)
	if got := c.serial(t, time.Minute); got != 1 || c.logged() != 0 {
		t.Errorf("serial %d; the log: %s", got, &c.log)
	}
	files.put(t, newAuthority(t, "second").issue(t, 2, tomorrow))
	if got := c.serial(t, time.Second-1); got != 1 {
		t.Errorf("the files were looked at again within a second: serial %d", got)
	}
	if got := c.serial(t, 1); got != 2 || c.logged() != 1 {
		t.Errorf("serial %d; the log: %s", got, &c.log)
	}
	if got := c.serial(t, time.Minute); got != 2 || c.logged() != 1 {
		t.Errorf("later: serial %d; the log: %s", got, &c.log)
	}
}

// A rename in the same tick of the clock, to a file of the same size, is a change all the same.
func TestAFileThatOnlyLooksTheSameIsAChange(t *testing.T) {
	a, tomorrow := newAuthority(t, "first"), time.Now().Add(24*time.Hour)
	files := newPairFiles(t)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	fill := func(text []byte) []byte { return append(text, bytes.Repeat([]byte("\n"), 2000-len(text))...) }
	put := func(p pair) {
		files.put(t, pair{fill(p.cert), fill(p.key)})
		for _, f := range []string{files.cert, files.key} {
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(a.issue(t, 1, tomorrow))
	c := load(t, files)
	put(a.issue(t, 2, tomorrow))
	if got := c.serial(t, time.Minute); got != 2 {
		t.Errorf("serial %d; the log: %s", got, &c.log)
	}
}

// What is no good never replaces what is, and is told once, until it is put right.
func TestABadPairLeavesTheGoodOneInUse(t *testing.T) {
	a, tomorrow := newAuthority(t, "first"), time.Now().Add(24*time.Hour)
	second, old := a.issue(t, 2, tomorrow), a.issue(t, 3, time.Now().Add(-time.Hour))
	for name, spoil := range map[string]func(*testing.T, pairFiles){
		"the certificate came, the key not yet": func(t *testing.T, f pairFiles) { replace(t, f.cert, second.cert) },
		"half of the certificate":               func(t *testing.T, f pairFiles) { f.put(t, pair{second.cert[:len(second.cert)/2], second.key}) },
		"nothing in the key":                    func(t *testing.T, f pairFiles) { f.put(t, pair{cert: second.cert}) },
		"an expired one":                        func(t *testing.T, f pairFiles) { f.put(t, old) },
		"no key": func(t *testing.T, f pairFiles) {
			if err := os.Remove(f.key); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := newPairFiles(t)
			files.put(t, a.issue(t, 1, tomorrow))
			c := load(t, files)
			spoil(t, files)
			for range 3 {
				if got := c.serial(t, time.Minute); got != 1 || c.logged() != 1 {
					t.Errorf("serial %d; the log: %s", got, &c.log)
				}
			}
			files.put(t, second)
			if got := c.serial(t, time.Minute); got != 2 || c.logged() != 2 {
				t.Errorf("put right: serial %d; the log: %s", got, &c.log)
			}
			if strings.Contains(c.log.String(), "PRIVATE") {
				t.Error("the log holds the key")
			}
		})
	}
}

func TestACertificateThatIsNoGoodFailsTheStart(t *testing.T) {
	a, tomorrow := newAuthority(t, "first"), time.Now().Add(24*time.Hour)
	first, second, old := a.issue(t, 1, tomorrow), a.issue(t, 2, tomorrow), a.issue(t, 3, time.Now().Add(-24*time.Hour))
	files := newPairFiles(t)
	fails := func(name, want string) {
		t.Helper()
		_, err := rpc.LoadCertificate(files.cert, files.key, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	fails("no files", "cannot be read")
	replace(t, files.cert, first.cert)
	fails("no key", files.key)
	files.put(t, pair{second.cert, first.key})
	fails("another's key", "are no certificate and its key")
	files.put(t, pair{first.key, first.cert})
	fails("one for the other", "are no certificate and its key")
	files.put(t, old)
	fails("an expired one", "expired on "+time.Now().Add(-24*time.Hour).UTC().Format(time.DateOnly))
	files.put(t, first)
	if err := os.Chmod(files.key, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // root reads everything
		fails("a key that may not be read", "cannot be read")
	}
}

// trust returns what a client checks servers by: the authority, and nothing else.
func (a *authority) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// overTLS asks for a conversation as a client with a connection of its own, over gRPC and REST, and returns the serial
// numbers of the certificates that it was shown, or why there was no answer.
func overTLS(t *testing.T, to *target, trust *tls.Config) (overGRPC, overREST int64, errGRPC, errREST error) {
	t.Helper()
	conn, err := grpc.NewClient(to.conn.Target(), grpc.WithTransportCredentials(creds.NewTLS(trust)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var from peer.Peer
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+to.key)
	_, errGRPC = goodshipv1.NewConversationServiceClient(conn).GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: conv}, grpc.Peer(&from))
	if info, ok := from.AuthInfo.(creds.TLSInfo); ok {
		overGRPC = info.State.PeerCertificates[0].SerialNumber.Int64()
	}

	transport := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", strings.Replace(to.url, "http:", "https:", 1)+"/v1/conversations/"+conv, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+to.key)
	resp, errREST := transport.RoundTrip(req)
	if errREST != nil {
		return overGRPC, 0, errGRPC, errREST
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("REST answers %s %s", resp.Proto, resp.Status)
	}
	return overGRPC, resp.TLS.PeerCertificates[0].SerialNumber.Int64(), errGRPC, nil
}

func known() *fake {
	return &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		return &goodshipv1.Conversation{Id: conv}, nil
	}}
}

// Both public listeners are encrypted, show a new certificate to those who come after it, and speak with nobody in the
// clear.
func TestThePublicIsServedOverTLS(t *testing.T) {
	a, b := newAuthority(t, "first"), newAuthority(t, "second")
	files := newPairFiles(t)
	files.put(t, a.issue(t, 1, time.Now().Add(time.Hour)))
	c := load(t, files)
	to := serve(t, known(), rpc.Config{TLS: c.config})
	ask := func(trust *tls.Config, want int64) {
		t.Helper()
		overGRPC, overREST, errGRPC, errREST := overTLS(t, to, trust)
		if errGRPC != nil || errREST != nil || overGRPC != want || overREST != want {
			t.Errorf("serials %d and %d, want %d: %v, %v", overGRPC, overREST, want, errGRPC, errREST)
		}
	}
	refused := func(name string, trust *tls.Config) {
		t.Helper()
		if _, _, errGRPC, errREST := overTLS(t, to, trust); status.Code(errGRPC) != codes.Unavailable || errREST == nil {
			t.Errorf("%s: %v, %v", name, errGRPC, errREST)
		}
	}
	ask(a.trust(), 1)
	refused("who trusts another authority", b.trust())
	for _, address := range []string{to.conn.Target(), strings.TrimPrefix(to.url, "http://")} {
		old := a.trust()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		conn, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s takes TLS 1.1", address)
		}
	}

	files.put(t, b.issue(t, 2, time.Now().Add(time.Hour)))
	c.now = c.now.Add(time.Minute)
	ask(b.trust(), 2)
	refused("who trusts the old authority", a.trust())

	if _, err := call(t.Context(), to, "", get); status.Code(err) != codes.Unavailable {
		t.Errorf("gRPC in the clear: %v", err)
	}
	if resp, body := rest(t, to, "GET", "/v1/conversations/"+conv, ""); resp.StatusCode != http.StatusBadRequest || strings.Contains(body, conv) {
		t.Errorf("REST in the clear: HTTP %d %s", resp.StatusCode, body)
	}
}

// On loopback the admin listener speaks in the clear, to probes and collectors; beyond it, with the certificate.
func TestTheAdminListenerIsEncryptedBeyondThisMachine(t *testing.T) {
	a := newAuthority(t, "first")
	files := newPairFiles(t)
	files.put(t, a.issue(t, 1, time.Now().Add(time.Hour)))
	to := serve(t, known(), rpc.Config{TLS: load(t, files).config})
	if code, _ := adminGet(t, to, "/healthz"); code != http.StatusOK {
		t.Errorf("on loopback: HTTP %d", code)
	}

	server, err := rpc.New(known(), rpc.Config{TLS: load(t, files).config, OperatorKey: operatorKey, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "0.0.0.0:0", Encrypted: true})
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strings.TrimPrefix(l.Admin.Addr().String(), "[::]:"))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds.NewTLS(a.trust())))
	if err != nil {
		t.Fatal(err)
	}
	if code, reason := ask(t, conn, checkMethod, &goodshipv1.CheckStoreRequest{}, "authorization", "Bearer "+operatorKey); code != codes.OK {
		t.Errorf("over TLS: %v %s", code, reason)
	}
	if code, _ := ask(t, dial(t, address), checkMethod, &goodshipv1.CheckStoreRequest{}, "authorization", "Bearer "+operatorKey); code != codes.Unavailable {
		t.Errorf("in the clear: %v", code)
	}
	_ = conn.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Whoever speaks HTTP/2, one connection has no more calls in flight than the limit.
func TestEveryListenerBoundsStreams(t *testing.T) {
	files := newPairFiles(t)
	a := newAuthority(t, "first")
	files.put(t, a.issue(t, 1, time.Now().Add(time.Hour)))
	limits := rpc.DefaultLimits()
	limits.MaxStreams = 7
	to := serve(t, &fake{}, rpc.Config{TLS: load(t, files).config, Limits: limits})
	for name, c := range map[string]struct {
		network, address string
		encrypted        bool
	}{
		"gRPC":   {"tcp", to.conn.Target(), true},
		"REST":   {"tcp", strings.TrimPrefix(to.url, "http://"), true},
		"admin":  {"tcp", strings.TrimPrefix(to.admin, "http://"), false},
		"socket": {"unix", to.socket, false},
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), c.network, c.address)
		if err != nil {
			t.Fatal(err)
		}
		if c.encrypted {
			trust := a.trust()
			trust.ServerName, trust.NextProtos = "localhost", []string{"h2"}
			conn = tls.Client(conn, trust)
		}
		if got := announcedStreams(t, conn); got != 7 {
			t.Errorf("%s announces %d", name, got)
		}
		_ = conn.Close()
	}
}

// announcedStreams returns how many streams a server says that a connection may have.
func announcedStreams(t *testing.T, conn net.Conn) uint32 {
	t.Helper()
	framer := http2.NewFramer(conn, conn)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
			n, _ := s.Value(http2.SettingMaxConcurrentStreams)
			return n
		}
	}
}
