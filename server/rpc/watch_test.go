package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// watching returns a service whose watches tell where they are and wait for Drain, or for their reader to go.
func watching() *fake {
	drained := make(chan struct{})
	return &fake{
		drain: func() { close(drained) },
		watch: func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
			if err := out.SendMsg(progress("c1")); err != nil {
				return err
			}
			select {
			case <-drained:
				return errStopping()
			case <-out.Context().Done():
				return out.Context().Err()
			}
		},
	}
}

// watch opens a watch over gRPC, for somebody if `who` is not empty.
func watch(ctx context.Context, t *testing.T, to *target, who string) grpc.ServerStreamingClient[goodshipv1.WatchUpdate] {
	t.Helper()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+to.key)
	if who != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "goodship-act-for", who)
	}
	in, err := goodshipv1.NewConversationServiceClient(to.conn).WatchConversation(ctx, &goodshipv1.WatchConversationRequest{ConversationId: conv})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// begun returns nil when a watch has told where it is.
func begun(in grpc.ServerStreamingClient[goodshipv1.WatchUpdate]) error {
	first, err := in.Recv()
	if err == nil && first.GetCursor() != "c1" {
		return errors.New("the first update is " + first.String())
	}
	return err
}

// A server that stops ends all watches at once, each with its cursor, and then itself.
func TestWatchesEndWhenTheServerStops(t *testing.T) {
	to := serve(t, watching(), rpc.Config{DrainTimeout: time.Hour})
	const each = 50
	var overGRPC []grpc.ServerStreamingClient[goodshipv1.WatchUpdate]
	var overREST []*page
	for range each {
		in := watch(t.Context(), t, to, "")
		if err := begun(in); err != nil {
			t.Fatal(err)
		}
		overGRPC = append(overGRPC, in)
		overREST = append(overREST, read(t.Context(), t, to.http, to.url+watchPath))
	}
	if err := to.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	for n := range each {
		_, err := overGRPC[n].Recv()
		if reason, md, _ := infoOf(err); status.Code(err) != codes.Unavailable || reason != "SERVER_STOPPING" || md["cursor"] != "c1" {
			t.Errorf("over gRPC: %v", err)
		}
		text, err := io.ReadAll(overREST[n].body)
		if err != nil {
			t.Errorf("over REST: %v", err)
			continue
		}
		if info, _ := detailsOf(t, endOf(t, string(text))); info.GetReason() != "SERVER_STOPPING" || info.GetMetadata()["cursor"] != "c1" {
			t.Errorf("over REST: %s", text)
		}
	}
}

// Who does not read does not keep the server from stopping in time, nor make an error of it.
func TestWhoDoesNotReadDelaysNoStop(t *testing.T) {
	const frame = 64 << 10
	held := make(chan struct{}, 2)
	drained := make(chan struct{})
	svc := &fake{
		drain: func() { close(drained) },
		watch: func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
			sending := make(chan struct{})
			go func() { // as support does it: the watch ends whether or not what it sent has gone
				defer close(sending)
				for n := 0; out.SendMsg(said("c1", strings.Repeat("x", frame))) == nil; n++ {
					if n == 0 {
						held <- struct{}{}
					}
				}
			}()
			<-drained
			return errStopping()
		},
	}
	to := serve(t, svc, rpc.Config{DrainTimeout: 50 * time.Millisecond}.WithEventPatience(50*time.Millisecond))
	watch(t.Context(), t, to, "")
	read(t.Context(), t, to.http, to.url+watchPath)
	<-held
	<-held
	if err := to.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// Over a socket, too, a page that does not read loses its stream, and knows that it did not end.
func TestAPageThatDoesNotReadItsSocketIsLeft(t *testing.T) {
	left := make(chan error, 1)
	svc := &fake{watch: func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
		for {
			if err := out.SendMsg(said("c1", strings.Repeat("x", 1<<20))); err != nil {
				left <- err
				return err
			}
		}
	}}
	to := serve(t, svc, rpc.Config{}.WithEventPatience(50*time.Millisecond))
	p := read(t.Context(), t, to.http, to.url+watchPath)
	if err := <-left; err == nil {
		t.Error("the watch was told of nothing")
	}
	if last, err := p.rest(); err == nil {
		t.Errorf("the stream ended well, after %.40q", last)
	}
}

// A customer watches so much at once, over gRPC and REST together, whoever says who it is; and no more, until one has ended, however.
func TestACustomerHasSoManyWatches(t *testing.T) {
	svc := watching()
	waiting := svc.watch
	limits := few(func(l *rpc.Limits) { l.WatchesPerCaller = 2 })
	to := serve(t, svc, limits)
	const ada = "customer/ada"
	// enter opens a watch of ada's, as soon as there is room.
	enter := func(ctx context.Context) {
		t.Helper()
		for {
			err := begun(watch(ctx, t, to, ada))
			if err == nil {
				return
			}
			if reason, _, _ := infoOf(err); reason != "TOO_MANY_WATCHES" {
				t.Fatal(err)
			}
		}
	}
	full := func(when string) {
		t.Helper()
		err := begun(watch(t.Context(), t, to, ada))
		if reason, md, _ := infoOf(err); status.Code(err) != codes.ResourceExhausted || reason != "TOO_MANY_WATCHES" || md["limit"] != "caller" {
			t.Errorf("%s, over gRPC: %v", when, err)
		}
		resp, body := rest(t, to, "GET", watchPath, "", "Goodship-Act-For", ada)
		if info, _ := detailsOf(t, readStatus(t, []byte(body))); resp.StatusCode != http.StatusTooManyRequests || info.GetReason() != "TOO_MANY_WATCHES" {
			t.Errorf("%s, over REST: HTTP %d %s", when, resp.StatusCode, body)
		}
	}
	enter(t.Context())
	p := read(t.Context(), t, to.http, to.url+watchPath, "Goodship-Act-For", ada)
	full("two are open")
	if err := begun(watch(t.Context(), t, to, "customer/ben")); err != nil {
		t.Errorf("ben pays for ada: %v", err)
	}
	for range 5 {
		if err := begun(watch(t.Context(), t, to, "agent/kim")); err != nil {
			t.Errorf("an agent: %v", err)
		}
	}
	_ = p.resp.Body.Close()
	for _, end := range []struct {
		name string
		by   func() error
	}{
		{"ended well", func() error { return nil }},
		{"failed", errStopping},
		{"panicked", func() error { panic("a watch") }},
	} {
		svc.watch = func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
			return errors.Join(out.SendMsg(progress("c1")), end.by())
		}
		enter(t.Context())
		svc.watch = waiting
		ctx, cancel := context.WithCancel(t.Context())
		enter(ctx)
		full("after one " + end.name)
		cancel()
	}
	// A request that is refused for what it says is no watch.
	for range 3 {
		if resp, body := rest(t, to, "GET", watchPath+"?cursor="+strings.Repeat("x", 1025), "", "Goodship-Act-For", "customer/lea"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("HTTP %d %s", resp.StatusCode, body)
		}
	}
}

// A workspace has its limit of watches too, which backends and agents are counted for.
func TestAWorkspaceHasSoManyWatches(t *testing.T) {
	to := serve(t, watching(), few(func(l *rpc.Limits) { l.WatchesPerWorkspace = 2 }))
	for _, who := range []string{"", "agent/kim"} {
		if err := begun(watch(t.Context(), t, to, who)); err != nil {
			t.Fatal(err)
		}
	}
	for _, who := range []string{"", "agent/kim", "customer/ada"} {
		err := begun(watch(t.Context(), t, to, who))
		if reason, md, _ := infoOf(err); reason != "TOO_MANY_WATCHES" || md["limit"] != "workspace" {
			t.Errorf("%q: %v", who, err)
		}
	}
}

// A watch's spans end with it, of the request and of the call under it, and say where in REST it was.
func TestAWatchIsASpan(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	c := few(func(*rpc.Limits) {})
	c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	to := serve(t, watching(), c)
	p := read(t.Context(), t, to.http, to.url+watchPath)
	if n := len(spans.Ended()); n != 0 {
		t.Errorf("%d spans ended while the watch goes on", n)
	}
	if err := to.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.rest(); err != nil {
		t.Error(err)
	}
	const route = "/v1/conversations/{conversation_id}:watch"
	var request, call sdktrace.ReadOnlySpan
	for _, s := range spans.Ended() {
		switch s.Name() {
		case "GET " + route:
			request = s
		case "goodship.v1.ConversationService/WatchConversation":
			call = s
		}
	}
	if request == nil || call == nil || call.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Fatalf("the spans are %v", spans.Ended())
	}
	var routed bool
	for _, a := range request.Attributes() {
		routed = routed || a == attribute.String("http.route", route)
	}
	if !routed {
		t.Errorf("the attributes are %v", request.Attributes())
	}
}
