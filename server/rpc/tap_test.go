package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/support"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// Who does not send a message to its end is waited for no longer than ReadTimeout, with a credential or without, at whatever
// method.
func TestAMessageThatDoesNotArrive(t *testing.T) {
	to := serve(t, newBrowsers(nil), few(func(l *rpc.Limits) { l.ReadTimeout = 50 * time.Millisecond }))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", to.conn.Target())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	frames := http2.NewFramer(conn, conn)
	_, err = io.WriteString(conn, http2.ClientPreface)
	if err := errors.Join(err, frames.WriteSettings()); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	open := map[uint32]string{}
	for n, method := range []string{
		goodshipv1.ConversationService_GetConversation_FullMethodName,
		healthv1.Health_Check_FullMethodName, healthv1.Health_Watch_FullMethodName,
		reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName,
	} {
		id := uint32(2*n + 1)
		open[id] = method
		block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: method},
			{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
		} {
			if err := encoder.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(
			frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}),
			frames.WriteData(id, false, []byte{0, 0, 0, 0, 2, 10}), // one byte of two
		); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for len(open) > 0 {
		f, err := frames.ReadFrame()
		if err != nil {
			t.Fatalf("%v are still open: %v", open, err)
		}
		if h := f.Header(); h.Type == http2.FrameHeaders && h.Flags.Has(http2.FlagHeadersEndStream) {
			delete(open, h.StreamID)
		}
	}
}

// waiting is a service that knows nobody until it is let.
type waiting struct {
	*browsers
	asked, let chan struct{}
}

func (w waiting) Authenticate(ctx context.Context, token, actFor string) (support.Caller, error) {
	close(w.asked)
	<-w.let
	if ctx.Err() != nil {
		return support.Caller{}, ctx.Err()
	}
	return w.browsers.Authenticate(ctx, token, actFor)
}

// A call whose message has arrived takes as long as it takes.
func TestACallOutlastsTheTimeOfItsMessage(t *testing.T) {
	svc := waiting{newBrowsers(nil), make(chan struct{}), make(chan struct{})}
	to := serve(t, svc, few(func(l *rpc.Limits) { l.ReadTimeout = 20 * time.Millisecond }))
	watch, err := healthv1.NewHealthClient(to.conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := watch.Recv()
		ended <- err
	}()
	called := make(chan error, 1)
	go func() { called <- browseGRPC(t, to, "CUSTOMER/work_1/ada") }()
	<-svc.asked
	slow, err := reflectionv1.NewServerReflectionClient(to.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Recv(); status.Code(err) != codes.Canceled { // which began last
		t.Fatalf("reflection that asks nothing: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("the watch ended: %v", err)
	default:
	}
	close(svc.let)
	if err := <-called; err != nil {
		t.Errorf("the call: %v", err)
	}
}

// Who need not say who they are ask no more than others do.
func TestWhatStrangersMayAsk(t *testing.T) {
	ask := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	reflect := func(c grpc.ClientConnInterface) (answers int, err error) {
		stream, err := reflectionv1.NewServerReflectionClient(c).ServerReflectionInfo(t.Context())
		for err == nil {
			if err = stream.Send(ask); err == nil || errors.Is(err, io.EOF) {
				if _, err = stream.Recv(); err == nil {
					answers++
				}
			}
		}
		return answers, err
	}
	to := serve(t, newBrowsers(nil), few(func(*rpc.Limits) {}))
	if n, err := reflect(to.conn); n != 100 || status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one stream had %d answers and ended with %v, want 100", n, err)
	}
	to = serve(t, newBrowsers(nil), few(func(l *rpc.Limits) { l.RatePerAddress = 0.001 })) // 1
	if n, err := reflect(to.conn); n != 1 || status.Code(err) != codes.ResourceExhausted {
		t.Errorf("an address had %d answers and ended with %v, want 1", n, err)
	}
	if _, err := healthv1.NewHealthClient(to.conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("health from the same address: %v", err)
	}
	if err := browseGRPC(t, to, "BACKEND/work_1/key_1"); err != nil && status.Code(err) == codes.ResourceExhausted {
		t.Errorf("a caller from the same address: %v", err)
	}
}
