package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

var (
	// public stands for an address of the public internet, and private for one that is not.
	public, private = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	secret          = []byte("a secret of 24 bytes, ok")
)

// scene is a sender, the name server that it asks, and the authority that it believes.
type scene struct {
	*Sender
	names     *nameServer
	authority *authority
}

// newScene returns one in which nothing lasts long.
func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{names: newNameServer(t), authority: newAuthority(t)}
	s.Sender = NewSender(Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.PrefixFrom(public, 32)}, Resolver: s.names.resolver(), RootCAs: s.authority.pool()})
	t.Cleanup(s.Close)
	return s
}

// hasty has the sender wait for nothing.
func (s *scene) hasty() *scene {
	s.limits = limits{connect: 100 * time.Millisecond, done: 200 * time.Millisecond}
	return s
}

func (s *scene) post(t *testing.T, url string) Outcome {
	t.Helper()
	return s.Send(t.Context(), Message{URL: url, ID: "conv_1-7", Time: time.Now(), Secrets: [][]byte{secret}, Body: []byte(`{"a":1}`)})
}

// listen accepts connections on an address, with a port if it is not 0, and counts them.
func listen(t *testing.T, on netip.Addr, port uint16, serve func(net.Conn)) (netip.AddrPort, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(on, port).String())
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return netip.MustParseAddrPort(l.Addr().String()), &count
}

// says is a connection's other end that says a thing once it was sent something, and hangs up.
func says(reply string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, reply)
	}
}

// A receiver with either secret verifies what it was sent, body and headers alike.
func TestAMessageIsSigned(t *testing.T) {
	s := newScene(t)
	other := []byte("another secret, of more bytes")
	var failed error
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		failed = verify(r, body, secret, other)
	}))
	defer server.Close()
	m := Message{URL: server.URL + "/goodship?a=b", ID: "conv_1-7", Time: time.Now(), Secrets: [][]byte{secret, other}, Body: []byte(`{"text":"héllo"}`), Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	if o := s.Send(t.Context(), m); o.Failure != "" || o.StatusCode != 200 || o.Gone || o.RetryAfter != 0 || o.Duration <= 0 {
		t.Errorf("got %+v", o)
	}
	if failed != nil {
		t.Error(failed)
	}
}

func verify(r *http.Request, body []byte, secrets ...[]byte) error {
	for _, s := range secrets {
		key, err := standardwebhooks.NewWebhookRaw(s)
		if err != nil {
			return err
		}
		if err := key.Verify(body, r.Header); err != nil {
			return err
		}
	}
	for name, want := range map[string]string{
		"Webhook-Id": "conv_1-7", "User-Agent": "Goodship-Webhook/1", "Content-Type": "application/json", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Idempotency-Key": "", "Accept-Encoding": "", "Cookie": "", "Authorization": "",
	} {
		if got := r.Header.Get(name); got != want {
			return fmt.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if n := len(strings.Fields(r.Header.Get("webhook-signature"))); n != len(secrets) || r.Method != http.MethodPost || r.URL.RawQuery != "a=b" || string(body) != `{"text":"héllo"}` {
		return fmt.Errorf("got %s %s with %d signatures and %q", r.Method, r.URL, n, body)
	}
	return nil
}

func TestWhatAReplyMeans(t *testing.T) {
	s := newScene(t)
	now := time.Now()
	for _, c := range []struct {
		status int
		header http.Header
		want   Outcome
	}{
		{200, nil, Outcome{}},
		{202, http.Header{"Retry-After": {"5"}}, Outcome{}},
		{204, nil, Outcome{}},
		{299, nil, Outcome{}},
		{300, nil, Outcome{Failure: Redirected}},
		{304, nil, Outcome{Failure: Redirected}},
		{400, nil, Outcome{Failure: Refused}},
		{404, nil, Outcome{Failure: Refused}},
		{410, nil, Outcome{Failure: Refused, Gone: true}},
		{429, http.Header{"Retry-After": {"120"}}, Outcome{Failure: Refused, RetryAfter: 2 * time.Minute}},
		{500, nil, Outcome{Failure: Refused}},
		{503, http.Header{"Retry-After": {"0"}}, Outcome{Failure: Refused}},
		{503, http.Header{"Retry-After": {"-5"}}, Outcome{Failure: Refused}},
		{503, http.Header{"Retry-After": {"soon"}}, Outcome{Failure: Refused}},
		{503, http.Header{"Retry-After": {"9000000000000000000"}}, Outcome{Failure: Refused, RetryAfter: 24 * time.Hour}},
		{503, http.Header{"Retry-After": {"99999999999999999999999"}}, Outcome{Failure: Refused}},
		{503, http.Header{"Date": {httpTime(now.Add(-time.Hour))}, "Retry-After": {httpTime(now.Add(-time.Hour + time.Minute))}}, Outcome{Failure: Refused, RetryAfter: time.Minute}},
		{503, http.Header{"Date": {httpTime(now)}, "Retry-After": {httpTime(now.Add(-time.Minute))}}, Outcome{Failure: Refused}},
		{503, http.Header{"Date": {httpTime(now)}, "Retry-After": {httpTime(now.Add(1000 * time.Hour))}}, Outcome{Failure: Refused, RetryAfter: 24 * time.Hour}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for name, values := range c.header {
				w.Header()[name] = values
			}
			w.WriteHeader(c.status)
		}))
		got := s.post(t, server.URL)
		server.Close()
		if c.want.StatusCode, got.Duration = c.status, 0; got != c.want {
			t.Errorf("%d %v: got %+v, want %+v", c.status, c.header, got, c.want)
		}
	}
}

func httpTime(at time.Time) string { return at.UTC().Format(http.TimeFormat) }

// Without a clock of the endpoint's own, a time is by ours.
func TestRetryAfterByOurClock(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	if got := retryAfter(http.Header{"Retry-After": {httpTime(now.Add(time.Minute))}}, now); got != time.Minute {
		t.Errorf("got %v, want a minute", got)
	}
}

// No redirect is followed, wherever it leads.
func TestRedirectsAreNotFollowed(t *testing.T) {
	s := newScene(t)
	var followed atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{target.URL, "http://127.0.0.2/", "http://169.254.169.254/latest/meta-data/", "/elsewhere"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					followed.Add(1)
				}
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			}))
			if o := s.post(t, server.URL+"/"); o.Failure != Redirected || o.StatusCode != status {
				t.Errorf("%d to %s: got %+v", status, to, o)
			}
			server.Close()
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// A name that first has a public address, and then a private one, is not reached any more; no private address of any name ever is.
func TestNamesOfPrivateAddresses(t *testing.T) {
	trap := "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		answers [][]netip.Addr
		want    []Failure
	}{
		"rebinding.example":    {[][]netip.Addr{{public}, {private}}, []Failure{"", NotPublic, NotPublic}},
		"both.example":         {[][]netip.Addr{{public, private}}, []Failure{NotPublic}},
		"both-turned.example":  {[][]netip.Addr{{private, public}}, []Failure{NotPublic}},
		"private.example":      {[][]netip.Addr{{private}}, []Failure{NotPublic}},
		"v6.example":           {[][]netip.Addr{{public, netip.MustParseAddr("::1")}}, []Failure{NotPublic}},
		"mapped.example":       {[][]netip.Addr{{netip.MustParseAddr("::ffff:127.0.0.2")}}, []Failure{NotPublic}},
		"mapped-too.example":   {[][]netip.Addr{{netip.MustParseAddr("::ffff:7f00:1")}}, []Failure{""}},
		"nat64.example":        {[][]netip.Addr{{netip.MustParseAddr("64:ff9b::7f00:2")}}, []Failure{NotPublic}},
		"metadata.example":     {[][]netip.Addr{{netip.MustParseAddr("169.254.169.254")}}, []Failure{NotPublic}},
		"other-port.example":   {[][]netip.Addr{{netip.MustParseAddr("8.8.8.8")}}, []Failure{NotPublic}},
		"nobody.example":       {nil, []Failure{NotFound}},
		"without.example":      {[][]netip.Addr{{}}, []Failure{NotFound}},
		"unspecified.example":  {[][]netip.Addr{{netip.MustParseAddr("0.0.0.0")}}, []Failure{NotPublic}},
		"unspecified6.example": {[][]netip.Addr{{netip.MustParseAddr("::")}}, []Failure{NotPublic}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			at, _ := listen(t, public, 0, says(trap))
			_, reached := listen(t, private, at.Port(), says(trap))
			s.names.set(name, c.answers...)
			for i, want := range c.want {
				if o := s.post(t, fmt.Sprintf("http://%s:%d/", name, at.Port())); o.Failure != want {
					t.Errorf("message %d: got %+v, want %q", i+1, o, want)
				}
			}
			if n := s.names.times(name); c.answers != nil && n != len(c.want) {
				t.Errorf("the name was looked up %d times for %d connections", n, len(c.want))
			}
			if n := reached.Load(); n != 0 {
				t.Errorf("the private address was reached %d times", n)
			}
		})
	}
}

// What was looked at is what is connected to, should the two ever differ.
func TestTheAddressOfASocketIsLookedAt(t *testing.T) {
	s := newScene(t)
	at, reached := listen(t, private, 0, says(""))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := s.connectTo(ctx, at.String(), 1)
	if err == nil {
		_ = conn.Close()
		t.Error("a private address was connected to")
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("it was reached %d times", n)
	}
}

// Where one address does not answer, the next one is tried.
func TestTheNextAddressIsTried(t *testing.T) {
	s := newScene(t)
	s.options.AllowAddresses = append(s.options.AllowAddresses, netip.PrefixFrom(private, 32))
	at, _ := listen(t, private, 0, says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	s.names.set("two.example", []netip.Addr{public, private})
	if o := s.post(t, fmt.Sprintf("http://two.example:%d/", at.Port())); o.Failure != "" {
		t.Errorf("got %+v", o)
	}
}

// Proxies of the environment would look names up themselves.
func TestNoProxyIsUsed(t *testing.T) {
	at, used := listen(t, public, 0, says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://"+at.String())
	}
	if s := newScene(t); s.transport.Proxy != nil {
		t.Error("the sender has a proxy")
	} else if o := s.post(t, "http://nobody.example/"); o.Failure != NotFound || used.Load() != 0 {
		t.Errorf("got %+v, and %d connections to the proxy", o, used.Load())
	}
}

// Whatever the other end does, it is a failure in a few words, and soon.
func TestHostileReceivers(t *testing.T) {
	drip := func(c net.Conn, first, drop string) {
		_, _ = c.Read(make([]byte, 4096))
		for _, err := io.WriteString(c, first); err == nil; _, err = io.WriteString(c, drop) {
			time.Sleep(5 * time.Millisecond) // between drops, not to wait for anything
		}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  Failure
	}{
		"hangs before the head": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, TooSlow},
		"hangs in the head":     {func(c net.Conn) { says("HTTP/1.1 200 OK\r\nA: ")(c); _, _ = io.Copy(io.Discard, c) }, TooSlow},
		"drips the head":        {func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nA: ", "a") }, TooSlow},
		"goes on informing":     {func(c net.Conn) { drip(c, "", "HTTP/1.1 103 Early Hints\r\n\r\n") }, TooSlow},
		"hangs up":              {says(""), BadReply},
		"speaks something else": {says("220 mail.example ESMTP\r\n"), BadReply},
		"answers half":          {says("HTTP/1.1 200 OK\r\nContent-"), BadReply},
		"has a large header":    {says("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n"), BadReply},
		"has a huge header":     {says("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 10<<20) + "\r\n\r\n"), BadReply},
		"has many headers":      {says("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: a\r\n", 1<<20) + "\r\n"), BadReply},
		"switches protocols":    {says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), Refused},
		"redirects in a circle": {says("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), Redirected},
		// The status came, and counts.
		"drips the body":         {func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", "a") }, ""},
		"fails and drips":        {func(c net.Conn) { drip(c, "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n") }, Refused},
		"breaks the body off":    {says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\na"), ""},
		"goes on after its end":  {says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + strings.Repeat("a", 1<<20)), ""},
		"says that it is zipped": {says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).hasty()
			at, _ := listen(t, public, 0, c.serve)
			if o := s.post(t, "http://"+at.String()); o.Failure != c.want {
				t.Errorf("got %+v, want %q", o, c.want)
			}
		})
	}
}

// Of 10 MB only the first 64 KB are taken, and what the sockets hold.
func TestALargeReplyIsNotRead(t *testing.T) {
	s := newScene(t)
	sent := make(chan int64, 1)
	at, _ := listen(t, public, 0, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
		n, _ := io.Copy(c, bytes.NewReader(make([]byte, 100<<20)))
		sent <- n
	})
	if o := s.post(t, "http://"+at.String()); o.Failure != "" {
		t.Errorf("got %+v", o)
	}
	if n := <-sent; n > 10<<20 {
		t.Errorf("%d bytes of the reply were taken", n)
	}
}

// A connection is used again; and where the other end has given it up meanwhile, the message is sent on another.
func TestConnectionsAreKept(t *testing.T) {
	s := newScene(t)
	requests := 0
	at, connections := listen(t, public, 0, func(c net.Conn) {
		for n, err := c.Read(make([]byte, 4096)); err == nil && n > 0; n, err = c.Read(make([]byte, 4096)) {
			if requests++; requests == 3 {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for i, want := range []int32{1, 1, 2} {
		if o := s.post(t, "http://"+at.String()); o.Failure != "" || connections.Load() != want {
			t.Errorf("message %d: got %+v over %d connections, want %d", i+1, o, connections.Load(), want)
		}
	}
	s.transport.CloseIdleConnections()
}

func TestNobodyListens(t *testing.T) {
	s := newScene(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if o := s.post(t, "http://"+l.Addr().String()); o.Failure != NoListener {
		t.Errorf("got %+v", o)
	}
}

// A connection that takes too long to be made is a failure: that TLS hangs, or that the name server does.
func TestAConnectionThatHangs(t *testing.T) {
	for name, url := range map[string]string{"TLS": "https://slow.example:%d/", "names": "http://unanswered.example:%d/"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).hasty()
			at, _ := listen(t, public, 0, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			s.names.set("slow.example", []netip.Addr{public})
			if name == "names" {
				s.options.Resolver.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", at.String())
				}
			}
			if o := s.post(t, fmt.Sprintf(url, at.Port())); o.Failure != SlowConnect {
				t.Errorf("got %+v", o)
			}
		})
	}
}
