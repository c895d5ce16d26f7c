package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
	t := &talk{Client: conn, agent: kind == "agent", self: id, out: p.stdout, echoes: map[string]int{}, ended: make(chan error, 1)}
	err = t.run(ctx, p.stdin)
	if ctx.Err() != nil {
		return nil
	}
	return c.explained(err)
}

// explained says what to do when nobody was there to chat with; an error of a server says so itself.
func (c *chat) explained(err error) error {
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unavailable && len(s.Details()) == 0 {
		return fmt.Errorf("no server answers at %s: say with --server where it listens for gRPC, which its log tells as grpc=HOST:PORT: %s", c.Server, s.Message())
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
		if whose := bearer(token); whose != "" && whose != c.As {
			return nil, fmt.Errorf("%s holds a token of %s: say --as %s, or put a token of %s into it", tokenVariable, whose, whose, c.As)
		}
		opts = append(opts, client.WithToken(token))
	case !p.isServed(ctx):
		return nil, fmt.Errorf("no server has %s: start one, name its folder with --data, or put a token into %s", p.data, tokenVariable)
	default:
		opts = append(opts, client.WithTokenSource(func(ctx context.Context) (client.Token, error) { return c.token(ctx, p) }))
	}
	return opts, nil
}

// bearer is whose a token says that it is, customer/ID or agent/ID; empty for one that does not say, as those that the server makes.
func bearer(token string) string {
	var c jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil || len(c.Audience) != 1 {
		return ""
	}
	switch c.Audience[0][strings.LastIndex(c.Audience[0], "/")+1:] {
	case "customer":
		return "customer/" + c.Subject
	case "agent", "leader":
		return "agent/" + c.Subject
	}
	return ""
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
