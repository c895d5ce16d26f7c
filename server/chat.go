package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// chat is a conversation in a terminal: what comes in is printed in lines, and lines that are typed are sent.
type chat struct {
	inWorkspace
	As     string `help:"Who you are, under the product's id: customer/ID or agent/ID." placeholder:"PERSON" required:""`
	Server string `default:"127.0.0.1:9090" help:"Where the server listens for gRPC; ${default} by default. Encrypted unless it is this machine." placeholder:"HOST:PORT"`
}

// tokenVariable has the credential of a chat. A flag's value would be for everyone to see who lists processes.
const tokenVariable = "GOODSHIP_TOKEN"

// Help is what kong shows beside the flags.
func (*chat) Help() string {
	return tokenVariable + " holds a token of that person, or an API key with the scope act. Without it the server that has the data folder makes the tokens, and knows an agent from then on. /help shows what can be typed."
}

// Run chats until stdin or the context ends.
func (c *chat) Run(ctx context.Context, p *place) error {
	kind, id, _ := strings.Cut(c.As, "/")
	if kind != "customer" && kind != "agent" || id == "" {
		return fmt.Errorf("--as %s is nobody: write customer/ID or agent/ID, with the product's id of the person", c.As)
	}
	opts, err := c.options(ctx, p)
	if err != nil {
		return err
	}
	conn, err := client.New(c.Server, opts...)
	if err != nil {
		return err
	}
	defer conn.Close()
	t := &talk{Client: conn, agent: kind == "agent", self: id, out: p.stdout, leave: func() {}, typed: map[string]int{}, ended: make(chan error, 1)}
	err = t.run(client.Reading(ctx), p.stdin)
	if ctx.Err() != nil {
		return nil
	}
	return plain(err)
}

// options are how the server is reached, and as whom.
func (c *chat) options(ctx context.Context, p *place) ([]client.Option, error) {
	host, _, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, fmt.Errorf("--server %s is no HOST:PORT, as in support.example.com:443", c.Server)
	}
	var opts []client.Option
	if address, err := netip.ParseAddr(host); host == "localhost" || err == nil && address.IsLoopback() {
		opts = append(opts, client.WithInsecure())
	}
	switch token := strings.TrimSpace(os.Getenv(tokenVariable)); {
	case strings.HasPrefix(token, "gsk_"):
		opts = append(opts, client.WithToken(token), client.WithActFor(c.As))
	case token != "":
		opts = append(opts, client.WithToken(token))
	case !p.isServed(ctx):
		return nil, fmt.Errorf("no server has %s: start one, name its folder with --data, or put a token into %s", p.data, tokenVariable)
	default:
		opts = append(opts, client.WithTokenSource(func(ctx context.Context) (client.Token, error) { return c.token(ctx, p) }))
	}
	return opts, nil
}

// token gets a token from the server that has the data folder. It never opens the store: the server may be about to.
func (c *chat) token(ctx context.Context, p *place) (token client.Token, err error) {
	knock, err := p.dial(ctx)
	if err != nil {
		return token, fmt.Errorf("no server has %s: %w", p.data, err)
	}
	_ = knock.Close()
	return token, p.dialled(ctx, c.within(func(ctx context.Context, conn grpc.ClientConnInterface) error {
		made, err := c.made(ctx, conn)
		token = client.Token{Value: made.GetToken(), ExpireTime: made.GetExpireTime().AsTime()}
		return err
	}))
}

// made returns a token that was just made. An agent whom the directory does not know is written into it first.
func (c *chat) made(ctx context.Context, conn grpc.ClientConnInterface) (*goodshipv1.CreateTokenResponse, error) {
	admin, req := goodshipv1.NewAdminServiceClient(conn), &goodshipv1.CreateTokenRequest{}
	if id, ok := strings.CutPrefix(c.As, "agent/"); ok {
		req.AgentId = id
	} else {
		req.CustomerId = strings.TrimPrefix(c.As, "customer/")
	}
	made, err := admin.CreateToken(ctx, req)
	if !client.IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND) {
		return made, err
	}
	first, size := utf8.DecodeRuneInString(req.AgentId)
	name := string(unicode.ToUpper(first)) + req.AgentId[size:]
	_, err = goodshipv1.NewDirectoryServiceClient(conn).UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: req.AgentId, Agent: &goodshipv1.Agent{DisplayName: name}})
	if err != nil {
		return nil, err
	}
	return admin.CreateToken(ctx, req)
}

// talk is a chat under way.
type talk struct {
	*client.Client
	// agent says that it is an agent's, and self is the person's id.
	agent bool
	self  string

	// room is the conversation, nil before there is one, and leave ends its watch.
	room  *room
	leave func()
	// watches are under way, and ended is told why one of them is no more.
	watches sync.WaitGroup
	ended   chan error

	mu  sync.Mutex
	out io.Writer
	// typed are the texts that were typed here and have not come back as messages, and how often each.
	typed map[string]int
	// away says that the server was lost, and that it was told.
	away bool
}

// show prints a line. What other people wrote must not steer the terminal.
func (t *talk) show(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintln(t.out, visible(fmt.Sprintf(format, args...))) // a terminal that is gone ends stdin as well
}

// run takes what is typed until that ends.
func (t *talk) run(ctx context.Context, stdin io.Reader) error {
	defer func() {
		t.leave()
		t.watches.Wait()
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := t.begin(ctx); err != nil {
		return err
	}
	for lines := typedLines(ctx, stdin); ; {
		select {
		case <-ctx.Done():
			return nil
		case err := <-t.ended:
			return err
		case line, more := <-lines:
			if !more || line == "/quit" {
				return nil
			}
			if err := t.take(ctx, line); err != nil {
				t.show("! %s", oneLine(plain(err)))
			}
		}
	}
}

// maxLine is how many bytes a line may have: more than a message, so that the server says what is too long.
const maxLine = 1 << 20

// typedLines are the lines of stdin, until it or the context ends.
func typedLines(ctx context.Context, stdin io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(stdin)
		for s.Buffer(nil, maxLine); s.Scan(); {
			select {
			case lines <- strings.TrimSpace(s.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// begin goes on with the person's open conversation, and shows an agent the line.
func (t *talk) begin(ctx context.Context) error {
	if t.agent {
		if err := t.watchLine(ctx); err != nil {
			return err
		}
	}
	req := &goodshipv1.ListConversationsRequest{}
	if t.agent {
		req.OwnerId = t.self
	}
	for c, err := range t.AllConversations(ctx, req) {
		if err != nil {
			return err
		}
		if c.GetState() != goodshipv1.State_STATE_RESOLVED {
			return t.enter(ctx, c.GetId())
		}
	}
	if !t.agent {
		t.show("· write what it is about; /help shows what else can be typed")
	}
	return nil
}

// watchLine shows an agent how the line stands, and from then on who joins it.
func (t *talk) watchLine(ctx context.Context) error {
	waiting := goodshipv1.State_STATE_WAITING
	page, err := t.ListConversations(ctx, &goodshipv1.ListConversationsRequest{State: waiting, PageSize: 1})
	if err != nil {
		return err
	}
	line, err := t.GetLine(ctx, nil)
	if err != nil {
		return err
	}
	t.show("· %s", lineLine(line))
	req := &goodshipv1.WatchDeskRequest{Cursor: page.GetWatchCursor(), State: waiting, Unowned: true}
	watch(ctx, t, t.WatchDesk, req, func(update *goodshipv1.WatchUpdate) {
		if began := update.GetEvent().GetWaitBegan(); began != nil {
			t.show("· somebody waits, an answer is due by %s: /next", hour(began.GetDueTime()))
		} else if update.GetEvent().GetReleased() != nil {
			t.show("· somebody waits again: /next")
		}
	})
	return nil
}

// enter shows a conversation, and from then on what happens in it.
func (t *talk) enter(ctx context.Context, id string) error {
	c, err := t.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: id})
	if err != nil {
		return err
	}
	page, err := t.ListMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: id, NewestFirst: true})
	if err != nil {
		return err
	}
	t.leave()
	r := &room{talk: t, id: id, customer: c.GetCustomerId()}
	t.room = r
	t.show("· %s", r.heading(c))
	for _, m := range slices.Backward(page.GetMessages()) {
		r.message(m)
	}
	ctx, t.leave = context.WithCancel(context.WithoutCancel(ctx))
	r.read(ctx)
	watch(ctx, t, t.WatchConversation, &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: page.GetWatchCursor()}, func(update *goodshipv1.WatchUpdate) {
		r.tell(update)
		r.read(ctx)
	})
	return nil
}

// opener is a method that watches.
type opener[Req proto.Message] func(context.Context, Req, ...grpc.CallOption) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error)

// watch does something with each update until the context ends.
func watch[Req proto.Message](ctx context.Context, t *talk, open opener[Req], req Req, do func(*goodshipv1.WatchUpdate)) {
	heeded := func(ctx context.Context, req Req, opts ...grpc.CallOption) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error) {
		stream, err := open(ctx, req, opts...)
		t.heed(err)
		return stream, err
	}
	t.watches.Go(func() {
		for update, err := range client.Watch(ctx, heeded, req) {
			if err == nil {
				do(update)
			} else if ctx.Err() == nil {
				t.end(err)
			}
		}
	})
}

// end ends the talk for a reason, if it has none yet.
func (t *talk) end(err error) {
	select {
	case t.ended <- err:
	default:
	}
}

// heed tells once that the server is lost.
func (t *talk) heed(err error) {
	lost := status.Code(err) == codes.Unavailable
	t.mu.Lock()
	news := lost && !t.away
	t.away = lost
	t.mu.Unlock()
	if news {
		t.show("· reconnecting …")
	}
}
