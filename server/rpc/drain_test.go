package rpc_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// untilDraining returns when the server says that it is going.
func untilDraining(t *testing.T, to *target) {
	t.Helper()
	for {
		if code, body := adminGet(t, to, "/readyz"); code == http.StatusServiceUnavailable {
			if !strings.Contains(body, "stopping") {
				t.Errorf("readyz says %q", body)
			}
			return
		}
	}
}

// untilClosed returns when nobody can connect any more.
func untilClosed(t *testing.T, to *target) {
	t.Helper()
	u, err := url.Parse(to.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{u.Host, to.conn.Target()} {
		for {
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
			if err != nil {
				break
			}
			_ = c.Close()
		}
	}
}

// slow is a service whose GetConversation waits to be released, or for its context.
func slow(entered chan<- struct{}, release <-chan struct{}) *fake {
	return &fake{get: func(ctx context.Context, _ *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		entered <- struct{}{}
		select {
		case <-release:
			return &goodshipv1.Conversation{Id: conv}, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting: %w", ctx.Err())
		}
	}}
}

// bothWays asks over gRPC and REST at once, and returns when both calls are in their method.
func bothWays(t *testing.T, to *target, entered <-chan struct{}) (overGRPC chan error, overREST chan *status.Status) {
	t.Helper()
	overGRPC, overREST = make(chan error, 1), make(chan *status.Status, 1)
	go func() {
		_, err := call(context.Background(), to, "", get)
		overGRPC <- err
	}()
	go func() {
		resp, body := rest(t, to, "GET", "/v1/conversations/"+conv, "")
		if resp.StatusCode == http.StatusOK {
			overREST <- nil
			return
		}
		overREST <- readStatus(t, []byte(body))
	}()
	<-entered
	<-entered
	return overGRPC, overREST
}

func TestCallsInFlightEndAcknowledged(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	to := serve(t, slow(entered, release), rpc.Config{DrainTimeout: time.Hour})
	overGRPC, overREST := bothWays(t, to, entered)

	served := make(chan error, 1)
	go func() { served <- to.stop() }()
	untilDraining(t, to)
	untilClosed(t, to)
	close(release)
	if err := <-overGRPC; err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if st := <-overREST; st != nil {
		t.Errorf("REST: %v", st)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := call(t.Context(), to, "", get); status.Code(err) != codes.Unavailable {
		t.Errorf("after the end: %v", err)
	}
}

func TestCallsThatTakeTooLongFailCleanly(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	to := serve(t, slow(entered, release), rpc.Config{DrainTimeout: time.Millisecond})
	overGRPC, overREST := bothWays(t, to, entered)

	if err := to.stop(); err == nil || !strings.Contains(err.Error(), "were ended") {
		t.Errorf("Serve: %v", err)
	}
	for over, st := range map[string]*status.Status{"gRPC": status.Convert(<-overGRPC), "REST": <-overREST} {
		if info, _ := detailsOf(t, st); st.Code() != codes.Unavailable || info.GetReason() != "STORE_UNAVAILABLE" {
			t.Errorf("%s: %v", over, st)
		}
	}
}

// A REST call whose client has gone runs on behind the in-process channel. Its store must not be closed under it.
func TestServeWaitsForCallsThatNobodyWaitsFor(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	svc := &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		entered <- struct{}{}
		<-release
		for range 1000 {
			runtime.Gosched() // leaves Serve the time to get it wrong
		}
		finished.Store(true)
		return &goodshipv1.Conversation{}, nil
	}}
	to := serve(t, svc, rpc.Config{DrainTimeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, "GET", to.url+"/v1/conversations/"+conv, nil)
		if err != nil {
			gone <- err
			return
		}
		req.Header.Set("Authorization", "Bearer "+to.key)
		resp, err := to.http.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		gone <- err
	}()
	<-entered
	cancel()
	if err := <-gone; err == nil {
		t.Error("the call was answered")
	}
	served := make(chan error, 1)
	go func() { served <- to.stop() }()
	untilDraining(t, to)
	untilClosed(t, to)
	close(release)
	if err := <-served; err != nil || !finished.Load() {
		t.Errorf("Serve: %v, the call is done: %v", err, finished.Load())
	}
}

// Who watches the server's health has no reason to end the stream, and must not keep the server from ending.
func TestHealthWatchesEndWithTheServer(t *testing.T) {
	to := serve(t, &fake{}, rpc.Config{DrainTimeout: time.Hour})
	watch, err := healthv1.NewHealthClient(to.conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := watch.Recv(); err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("got %v, %v", r, err)
	}
	if err := to.stop(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
}

func TestAnEndBeforeTheBeginningIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		server, err := rpc.New(&fake{}, rpc.Config{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Serve(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABrokenListenerEndsServe(t *testing.T) {
	server, err := rpc.New(&fake{}, rpc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.REST.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(t.Context(), l); err == nil {
		t.Error("Serve says that all went well")
	}
}

func TestAPortInUseIsSaidPlainly(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address := taken.Addr().String()
	_, err = rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: address, Admin: "127.0.0.1:0"})
	if want := "the REST address " + address + " is in use: stop the program that has it, or choose another address"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
}
