//go:build linux

package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/support"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	creds "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// BenchmarkDoors measures how long others wait while somebody attacks. Quiet seconds and seconds of the attack take turns on
// one server, and `x-p99` is how many times their 99th percentile the attack costs them. The attacker is a process of its
// own, of the lowest priority: it should take the server's time, and not the processors that another machine would bring.
// The rates of callers are off, which would refuse most of it at once. It takes about a minute and ends by itself:
//
//	go test ./server/rpc -run xxx -bench Doors -benchtime 1x
func BenchmarkDoors(b *testing.B) {
	for _, attack := range []string{"slow-headers", "resets-gRPC", "resets-REST", "resets-gRPC-full-speed", "resets-REST-full-speed",
		"calls-gRPC", "calls-REST", "calls-gRPC-full-speed", "calls-REST-full-speed", "connections"} {
		b.Run(attack, func(b *testing.B) {
			for range b.N {
				on := besiege(b, few(func(*rpc.Limits) {}), strings.Contains(attack, "REST"))
				on.others() // connects
				on.measure(b, attack)
			}
		})
	}
}

// Quiet and attack take turns so often, for so long each; who attacked gets some time to go home.
const (
	rounds = 3
	phase  = time.Second
	turn   = 300 * time.Millisecond
)

func (on *besieged) measure(b *testing.B, attack string) {
	var quiet, under []time.Duration
	var calls, connections int
	for range rounds {
		quiet = append(quiet, on.others()...)
		stop := on.attack(attack)
		under = append(under, on.others()...)
		n, c := stop()
		calls, connections = calls+n, connections+c
		time.Sleep(turn)
	}
	b.ReportMetric(p99(under)/p99(quiet), "x-p99")
	b.ReportMetric(p99(quiet)*1e6, "µs-quiet")
	b.ReportMetric(p99(under)*1e6, "µs-attacked")
	b.ReportMetric(float64(calls/rounds), "calls/round")
	b.ReportMetric(float64(connections/rounds), "connections/round")
	b.ReportMetric(float64(on.failed.Load()), "failed-calls")
	most, all := on.ran()
	b.ReportMetric(float64(most), "handlers/connection")
	b.ReportMetric(float64(all/rounds), "handlers/round")
	b.ReportMetric(0, "ns/op")
}

// p99 is in seconds.
func p99(d []time.Duration) float64 {
	slices.Sort(d)
	return d[len(d)*99/100].Seconds()
}

// attack starts an attacker and returns how to end it and learn what it did.
func (on *besieged) attack(name string) (stop func() (calls, connections int)) {
	cmd := exec.CommandContext(on.b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "GOODSHIP_ATTACK="+name, "GOODSHIP_GRPC="+on.doors.grpc, "GOODSHIP_REST="+on.doors.rest)
	cmd.Stderr = os.Stderr
	var did bytes.Buffer
	cmd.Stdout = &did
	reins, err := cmd.StdinPipe()
	if err != nil {
		on.b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		on.b.Fatal(err)
	}
	return func() (calls, connections int) {
		_ = reins.Close()
		if err := cmd.Wait(); err != nil {
			on.b.Error(err)
		}
		if _, err := fmt.Sscan(did.String(), &calls, &connections); err != nil {
			on.b.Error(err)
		}
		return calls, connections
	}
}

// besieged is a server under attack, with its other callers.
type besieged struct {
	b     testing.TB
	doors doors
	tls   *tls.Config
	conn  *grpc.ClientConn
	http  *http.Client
	// failed are the others' calls that were refused.
	failed atomic.Int64

	mu sync.Mutex
	// handlers are how many of an attacker's run, by the caller, who is another on each connection.
	handlers map[string]*gauge
}

// gauge counts what there is at once, and in all.
type gauge struct{ now, most, all int }

// handle is what an attacker asks for. Like a commit, it takes some time whether or not the caller waits.
func (on *besieged) handle(caller string) {
	count := func(n int) {
		on.mu.Lock()
		defer on.mu.Unlock()
		g := on.handlers[caller]
		if g == nil {
			g = &gauge{}
			on.handlers[caller] = g
		}
		g.now += n
		g.all += max(n, 0)
		g.most = max(g.most, g.now)
	}
	count(1)
	time.Sleep(2 * time.Millisecond)
	count(-1)
}

// ran returns how many handlers ran at once for one connection, and how many for all.
func (on *besieged) ran() (most, all int) {
	on.mu.Lock()
	defer on.mu.Unlock()
	for _, g := range on.handlers {
		most, all = max(most, g.most), all+g.all
	}
	return most, all
}

// attacked is the conversation that an attacker asks for.
const attacked = "conv_attackedattackedattackedat"

// attackable is a service that counts what it does for attackers.
type attackable struct {
	*browsers
	on *besieged
}

func (s attackable) Authenticate(ctx context.Context, token, actFor string) (support.Caller, error) {
	c, err := s.browsers.Authenticate(ctx, token, actFor)
	if strings.HasPrefix(c.ID, "eve") {
		c.APIKeyID = "" // who attacks is no backend
		s.on.handle(c.ID)
	}
	return c, err
}

func besiege(b testing.TB, c rpc.Config, encrypted bool) *besieged {
	b.Helper()
	on := &besieged{b: b, handlers: map[string]*gauge{}}
	if encrypted {
		c.TLS, on.tls = selfSigned()
	}
	to := serve(b, attackable{newBrowsers(nil), on}, c)
	on.doors = doors{to.conn.Target(), strings.TrimPrefix(to.url, "http://")}
	on.conn, on.http = to.conn, to.http
	if encrypted {
		var err error
		if on.conn, err = grpc.NewClient(on.doors.grpc, grpc.WithTransportCredentials(creds.NewTLS(on.tls))); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { on.conn.Close() })
		transport := &http.Transport{TLSClientConfig: on.tls, ForceAttemptHTTP2: true}
		b.Cleanup(transport.CloseIdleConnections)
		on.http = &http.Client{Transport: transport}
	}
	return on
}

// overGRPC and overREST make a call of others.
func (on *besieged) overGRPC() error {
	ctx := metadata.AppendToOutgoingContext(on.b.Context(), "authorization", "Bearer CUSTOMER/work_1/ada")
	_, err := goodshipv1.NewConversationServiceClient(on.conn).GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: conv})
	return err
}

func (on *besieged) overREST() error {
	scheme := "http://"
	if on.tls != nil {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(on.b.Context(), "GET", scheme+on.doors.rest+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer CUSTOMER/work_1/ada")
	resp, err := on.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d %s: %w", resp.StatusCode, body, err)
	}
	return nil
}

// others call over gRPC and REST every other millisecond for a phase, and return how long each call took.
func (on *besieged) others() []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var callers sync.WaitGroup
	for _, call := range []func() error{on.overGRPC, on.overREST} {
		callers.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(phase); time.Now().Before(end); <-tick.C {
				start := time.Now()
				if call() != nil {
					on.failed.Add(1)
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	return took
}

// However many calls are begun and reset, no more run at once than the connection may have in flight, nor more in all than
// its pace lets begin, and others are served (grpc-go GHSA-m425-mq94-257g, CVE-2023-44487).
func TestAStormOfResets(t *testing.T) {
	const streams, pace = 8, 100
	for _, c := range []struct {
		name  string
		rest  bool
		storm func(doors, context.Context, int, bool)
	}{{"gRPC", false, doors.stormGRPC}, {"REST", true, doors.stormREST}} {
		t.Run(c.name, func(t *testing.T) {
			on := besiege(t, few(func(l *rpc.Limits) { l.MaxStreams, l.CallsPerConnection = streams, pace }), c.rest)
			before, begun := connectionsMade.Load(), callsBegun.Load()
			start := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			var storm sync.WaitGroup
			storm.Go(func() { c.storm(on.doors, ctx, 10_000, true) })
			for callsBegun.Load()-begun < 100*pace { // which is a second
				time.Sleep(time.Millisecond)
			}
			for n := range 50 {
				if err := on.overGRPC(); err != nil {
					t.Errorf("gRPC, call %d: %v", n, err)
				}
				if err := on.overREST(); err != nil {
					t.Errorf("REST, call %d: %v", n, err)
				}
			}
			cancel()
			storm.Wait()
			most, all := on.ran()
			if most > streams {
				t.Errorf("%d handlers ran at once for one connection, want %d at most", most, streams)
			}
			if all == 0 && !c.rest {
				t.Error("no call ran: that is no storm")
			}
			// A second's worth at once, and the pace; what one read brought in may be ahead of it.
			const read = 100
			connections := float64(connectionsMade.Load() - before)
			if bound := connections * (pace*(1+time.Since(start).Seconds()) + read); float64(all) > bound {
				t.Errorf("%d handlers ran, want %v at most", all, bound)
			}
		})
	}
}

// What an attacker has done, in its own process.
var callsBegun, connectionsMade atomic.Int64

// An attacker is this test's program, started with the name of its attack. It goes on until its input ends.
func init() {
	d := doors{os.Getenv("GOODSHIP_GRPC"), os.Getenv("GOODSHIP_REST")}
	attacks := map[string]func(context.Context){
		"slow-headers":           d.slowHeaders,
		"resets-gRPC":            func(ctx context.Context) { d.stormGRPC(ctx, 10_000, true) },
		"resets-REST":            func(ctx context.Context) { d.stormREST(ctx, 10_000, true) },
		"resets-gRPC-full-speed": func(ctx context.Context) { d.stormGRPC(ctx, 0, true) },
		"resets-REST-full-speed": func(ctx context.Context) { d.stormREST(ctx, 0, true) },
		"calls-gRPC":             func(ctx context.Context) { d.stormGRPC(ctx, 10_000, false) },
		"calls-REST":             func(ctx context.Context) { d.stormREST(ctx, 10_000, false) },
		"calls-gRPC-full-speed":  func(ctx context.Context) { d.stormGRPC(ctx, 0, false) },
		"calls-REST-full-speed":  func(ctx context.Context) { d.stormREST(ctx, 0, false) },
		"connections":            d.connections,
	}
	attack := attacks[os.Getenv("GOODSHIP_ATTACK")]
	if attack == nil {
		return
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	attack(ctx)
	fmt.Println(callsBegun.Load(), connectionsMade.Load())
	os.Exit(0)
}

// doors are where a server is attacked.
type doors struct{ grpc, rest string }

// dial connects from the n-th address of loopback that an attacker has.
func (d doors) dial(ctx context.Context, n int, rest bool) (net.Conn, error) {
	to := d.grpc
	if rest {
		to = d.rest
	}
	from := []byte{127, 1, 0, 1}
	binary.BigEndian.PutUint32(from, binary.BigEndian.Uint32(from)+uint32(n))
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext(ctx, "tcp", to)
	if err == nil {
		connectionsMade.Add(1)
		_ = conn.(*net.TCPConn).SetLinger(0) // thousands leave no trace for the next round
	}
	return conn, err
}

// slowHeaders are 500 clients that send a byte a second of what would be a call, ten of one address, and come again.
func (d doors) slowHeaders(ctx context.Context) {
	var army sync.WaitGroup
	for n := range 500 {
		army.Go(func() {
			for ctx.Err() == nil {
				d.slowClient(ctx, n)
			}
		})
	}
	army.Wait()
}

func (d doors) slowClient(ctx context.Context, n int) {
	rest := n%2 == 0
	conn, err := d.dial(ctx, n/10, rest)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	says := http2.ClientPreface + "\x00\x00\x12\x04\x00\x00\x00\x00\x00"
	if rest {
		says = "GET " + path + " HTTP/1.1\r\nHost: x\r\nX-Slow: "
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := conn.Write([]byte{says[min(i, len(says)-1)]}); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d doors) stormGRPC(ctx context.Context, perSecond int, reset bool) {
	body, err := proto.Marshal(&goodshipv1.GetConversationRequest{ConversationId: attacked})
	if err != nil {
		panic(err)
	}
	d.storm(ctx, perSecond, false, reset, append([]byte{0, 0, 0, 0, byte(len(body))}, body...), []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"},
		{Name: ":path", Value: goodshipv1.ConversationService_GetConversation_FullMethodName},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	})
}

func (d doors) stormREST(ctx context.Context, perSecond int, reset bool) {
	d.storm(ctx, perSecond, true, reset, nil, []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"},
		{Name: ":path", Value: "/v1/conversations/" + attacked},
	})
}

// storm begins calls on four connections, and may reset each at once: so many a second together, or if that is 0 as fast as
// the server reads. It comes again when it is thrown out.
func (d doors) storm(ctx context.Context, perSecond int, rest, reset bool, body []byte, header []hpack.HeaderField) {
	const fronts = 4
	var fighters sync.WaitGroup
	for n := range fronts {
		fighters.Go(func() {
			for life := 0; ctx.Err() == nil; life++ {
				who := hpack.HeaderField{Name: "authorization", Value: fmt.Sprintf("Bearer CUSTOMER/work_1/eve-%d-%d-%d", os.Getpid(), n, life)}
				f := fighter{perTick: perSecond / fronts / 100, reset: reset, body: body, header: append(slices.Clone(header), who)}
				if conn, err := d.dial(ctx, n, rest); err == nil {
					f.run(ctx, conn, rest)
				}
			}
		})
	}
	fighters.Wait()
}

type fighter struct {
	// perTick is how many calls begin every 10 ms; 0 for any.
	perTick int
	reset   bool
	body    []byte
	header  []hpack.HeaderField
}

func (f *fighter) run(ctx context.Context, conn net.Conn, encrypted bool) {
	if encrypted {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}})
	}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	defer reading.Wait()
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	out := bufio.NewWriterSize(conn, 16<<10)
	frames := http2.NewFramer(out, nil)
	_, _ = out.WriteString(http2.ClientPreface)
	_ = frames.WriteSettings()
	_ = frames.WriteWindowUpdate(0, 1<<30) // replies are welcome
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for id := uint32(1); id < 1<<31; id += 2 {
		block.Reset()
		for _, h := range f.header {
			_ = encoder.WriteField(h)
		}
		if f.write(frames, id, block.Bytes()) != nil {
			return
		}
		if callsBegun.Add(1); f.perTick > 0 && int(id/2)%f.perTick == 0 {
			if out.Flush() != nil {
				return
			}
			<-tick.C
		}
	}
}

// write begins a call, and may reset it.
func (f *fighter) write(frames *http2.Framer, id uint32, block []byte) error {
	err := frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: f.body == nil})
	if err == nil && f.body != nil {
		err = frames.WriteData(id, true, f.body)
	}
	if err == nil && f.reset {
		err = frames.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	return err
}

// connections opens 10,000 connections, each from another address, and holds them.
func (d doors) connections(ctx context.Context) {
	const all = 10_000
	conns := make(chan net.Conn, all)
	var next atomic.Int64
	var openers sync.WaitGroup
	for range 50 {
		openers.Go(func() {
			for n := int(next.Add(1)); n <= all && ctx.Err() == nil; n = int(next.Add(1)) {
				if conn, err := d.dial(ctx, n, n%2 == 0); err == nil {
					conns <- conn
				}
			}
		})
	}
	openers.Wait()
	<-ctx.Done()
	close(conns)
	for conn := range conns {
		_ = conn.Close()
	}
}
