package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// wire is a TCP proxy whose connections can be cut.
type wire struct {
	l  net.Listener
	to string

	// made counts the connections.
	made atomic.Int32
	work sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// newWire returns a proxy to an address, which ends with the test.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, to: to, conns: map[net.Conn]bool{}}
	w.work.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
		w.work.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		in, err := w.l.Accept()
		if err != nil {
			return
		}
		out, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		w.mu.Lock()
		w.conns[in], w.conns[out] = true, true
		w.mu.Unlock()
		w.made.Add(1)
		w.work.Go(func() { w.carry(in, out) })
		w.work.Go(func() { w.carry(out, in) })
	}
}

// carry carries bytes one way until either end closes, and then closes both.
func (w *wire) carry(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, from)
	delete(w.conns, to)
}

// cut closes every connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

// Connections that break at any moment lose nothing and repeat nothing, whoever watches what.
func TestAWatchOutlivesConnections(t *testing.T) {
	s := servertest.New(t)
	w := newWire(t, s.GRPC)
	direct := dial(t, s)
	employ(t, direct, "captain", goodshipv1.Role_ROLE_AGENT)
	ada := client.ActFor(t.Context(), "customer/ada")
	opened, err := direct.CreateConversation(ada, &goodshipv1.CreateConversationRequest{Text: "0"})
	if err != nil {
		t.Fatal(err)
	}
	conversation, err := direct.GetConversation(ada, &goodshipv1.GetConversationRequest{ConversationId: opened.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := direct.ListConversations(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	watching, err := client.New(w.l.Addr().String(), client.WithToken(s.Key), client.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Close()

	const messages = 60
	var watches sync.WaitGroup
	told := func(update *goodshipv1.WatchUpdate) {
		if n := update.GetEvent().GetMessageSent().GetNumber(); n%10 == 3 {
			w.cut()
		}
	}
	all := func(name string, updates func(func(*goodshipv1.WatchUpdate, error) bool)) {
		watches.Go(func() {
			want := int32(2)
			for update, err := range updates {
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				sent := update.GetEvent().GetMessageSent()
				if sent == nil {
					continue
				}
				if sent.GetNumber() != want || sent.GetMessage().GetText() != fmt.Sprint(want-1) {
					t.Errorf("%s: got message %d, %q, want %d", name, sent.GetNumber(), sent.GetMessage().GetText(), want)
				}
				if told(update); want == messages {
					return
				}
				want++
			}
		})
	}
	captain := client.ActFor(t.Context(), "agent/captain")
	all("its customer", client.Watch(ada, watching.WatchConversation, &goodshipv1.WatchConversationRequest{ConversationId: opened.GetId(), Cursor: conversation.GetWatchCursor()}))
	read, err := direct.ListMessages(captain, &goodshipv1.ListMessagesRequest{ConversationId: opened.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	all("an agent", client.Watch(captain, watching.WatchConversation, &goodshipv1.WatchConversationRequest{ConversationId: opened.GetId(), Cursor: read.GetWatchCursor()}))
	all("the desk", client.Watch(captain, watching.WatchDesk, &goodshipv1.WatchDeskRequest{Cursor: listed.GetWatchCursor()}))
	for i := range messages - 1 {
		if _, err := direct.SendMessage(ada, &goodshipv1.SendMessageRequest{ConversationId: opened.GetId(), Text: fmt.Sprint(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	watches.Wait()
	if made := w.made.Load(); made < 3 {
		t.Errorf("%d connections, so none was cut", made)
	}
}

// With the real server: what it refuses ends a watch, and a cursor of something else is no gap.
func TestWhatTheServerRefusesEndsAWatch(t *testing.T) {
	s := servertest.New(t)
	c := dial(t, s)
	employ(t, c, "captain", goodshipv1.Role_ROLE_AGENT)
	ada, captain := client.ActFor(t.Context(), "customer/ada"), client.ActFor(t.Context(), "agent/captain")
	mine, err := c.CreateConversation(ada, &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := c.ListConversations(captain, nil)
	if err != nil {
		t.Fatal(err)
	}
	watch := func(ctx context.Context, id, cursor string) error {
		for _, err := range client.Watch(ctx, c.WatchConversation, &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: cursor}) {
			return err
		}
		return nil
	}
	desk := func(ctx context.Context) error {
		for _, err := range client.Watch(ctx, c.WatchDesk, nil) {
			return err
		}
		return nil
	}
	for name, tc := range map[string]struct {
		got  error
		want codes.Code
	}{
		"her own":                  {watch(ada, mine.GetId(), ""), codes.OK},
		"all of hers":              {watch(ada, "-", ""), codes.OK},
		"somebody else's":          {watch(client.ActFor(t.Context(), "customer/ben"), mine.GetId(), ""), codes.NotFound},
		"no conversation":          {watch(ada, "ahoy", ""), codes.InvalidArgument},
		"a cursor of the desk's":   {watch(captain, mine.GetId(), listed.GetWatchCursor()), codes.InvalidArgument},
		"the desk":                 {desk(captain), codes.OK},
		"the desk, for a customer": {desk(ada), codes.PermissionDenied},
		"the desk, for a stranger": {desk(client.ActFor(t.Context(), "agent/nobody")), codes.PermissionDenied},
	} {
		if status.Code(tc.got) != tc.want || errors.Is(tc.got, client.ErrGap) {
			t.Errorf("%s: got %v, want %v", name, tc.got, tc.want)
		}
	}
}

// A token that is revoked ends its streams, and a watch goes on with the next one.
func TestAWatchGoesOnAfterARevocation(t *testing.T) {
	s := servertest.New(t)
	backend := dial(t, s)
	lea := dial(t, s, client.WithTokenSource(backend.TokenSource("customer/lea")))
	c, err := lea.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for update, err := range client.Watch(t.Context(), lea.WatchConversation, &goodshipv1.WatchConversationRequest{ConversationId: c.GetId()}) {
		if err != nil {
			t.Fatal(err)
		}
		if update.GetEvent().GetMessageSent().GetMessage().GetText() == "Still there?" {
			break
		}
		if update.GetProgress() == nil {
			continue
		}
		switch n++; n {
		case 1:
			if _, err := backend.RevokeTokens(t.Context(), &goodshipv1.RevokeTokensRequest{CustomerId: "lea"}); err != nil {
				t.Fatal(err)
			}
		case 2: // resumed
			if _, err := backend.SendMessage(client.ActFor(t.Context(), "customer/lea"), &goodshipv1.SendMessageRequest{ConversationId: c.GetId(), Text: "Still there?"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n < 2 {
		t.Errorf("the watch was resumed %d times", n-1)
	}
}
