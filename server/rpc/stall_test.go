package rpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/servertest"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type watcher = grpc.ServerStreamingClient[goodshipv1.WatchUpdate]

// Of twenty who watch a conversation one does not read. It is ended after 10 s, by the server's clock, and when it reads on it has
// what had been sent to it, then why it was ended and a cursor, from which the rest comes: nothing is missing and nothing comes twice.
// The others do not notice.
func TestOneOfManyDoesNotRead(t *testing.T) {
	clock, spans := faketime.New(), tracetest.NewSpanRecorder()
	s := servertest.New(t, servertest.WithClock(clock), servertest.WithTelemetry(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), nil))
	ada := goodshipv1.NewMessageServiceClient(s.Conn("customer/ada"))
	conn, small := targetOf(t, s).conn, smallConn(t, s.GRPC)
	c, err := goodshipv1.NewConversationServiceClient(s.Conn("customer/ada")).CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		t.Fatal(err)
	}
	open := func(conn *grpc.ClientConn, cursor string) watcher {
		t.Helper()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.Key)
		in, err := goodshipv1.NewConversationServiceClient(conn).WatchConversation(ctx, &goodshipv1.WatchConversationRequest{ConversationId: c.GetId(), Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		if first, err := in.Recv(); err != nil || first.GetProgress() == nil {
			t.Fatalf("the first update is %v: %v", first, err)
		}
		return in
	}
	stalled := open(small, "")
	var others []watcher
	for range 19 {
		others = append(others, open(conn, ""))
	}
	said := []string{}
	say := func(text string) {
		t.Helper()
		said = append(said, text)
		if _, err := ada.SendMessage(t.Context(), &goodshipv1.SendMessageRequest{ConversationId: c.GetId(), Text: text}); err != nil {
			t.Fatal(err)
		}
		for _, in := range others {
			if got := nextText(t, in); got != text {
				t.Fatalf("one of the others got %.20q, want %.20q", got, text)
			}
		}
	}
	for n := range 10 { // more than is let be under way to who does not read
		say(fmt.Sprint(n, strings.Repeat("x", 32<<10-2)))
	}
	for round := 0; !hasEnded(spans); round++ {
		if round == 20 {
			t.Fatal("the one that does not read goes on")
		}
		clock.Jump(10 * time.Second)
		say(fmt.Sprint("Aye ", round))
	}
	got, err := texts(stalled)
	reason, md, _ := infoOf(err)
	if status.Code(err) != codes.ResourceExhausted || reason != "WATCH_STALLED" || len(got) == len(said) {
		t.Fatalf("after %d of %d messages: %v", len(got), len(said), err)
	}
	for again := open(conn, md["cursor"]); len(got) < len(said); {
		got = append(got, nextText(t, again))
	}
	if !slices.Equal(got, said) {
		t.Errorf("it got other messages than were sent")
	}
}

// smallConn returns a connection on which no more than 64 KiB of a stream are under way to who does not read.
func smallConn(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// hasEnded reports whether a watch has.
func hasEnded(spans *tracetest.SpanRecorder) bool {
	return slices.ContainsFunc(spans.Ended(), func(s sdktrace.ReadOnlySpan) bool { return strings.HasSuffix(s.Name(), "/WatchConversation") })
}

// nextText returns the text of the next message that a watch tells of.
func nextText(t *testing.T, in watcher) string {
	t.Helper()
	for {
		u, err := in.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m := u.GetEvent().GetMessageSent(); m != nil {
			return m.GetMessage().GetText()
		}
	}
}

// texts reads a watch until it ends.
func texts(in watcher) (all []string, err error) {
	for {
		u, err := in.Recv()
		if err != nil {
			return all, err
		}
		if m := u.GetEvent().GetMessageSent(); m != nil {
			all = append(all, m.GetMessage().GetText())
		}
	}
}
