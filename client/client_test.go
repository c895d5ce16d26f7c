package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// methods returns the methods of all services but the operators', which has a door of its own.
func methods(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("goodship.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				if s.Name() != "OperatorService" {
					all = append(all, s.Methods().Get(j))
				}
			}
		}
		return true
	})
	if len(all) < 50 {
		t.Fatalf("got %d methods", len(all))
	}
	return all
}

// goType returns the generated type of a message.
func goType(t *testing.T, m protoreflect.MessageDescriptor) reflect.Type {
	t.Helper()
	mt, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return reflect.TypeOf(mt.Zero().Interface())
}

// A service that the Client lacks, and a method of the same name in two services, would not be here.
func TestEveryMethodIsReachable(t *testing.T) {
	c := reflect.TypeFor[*client.Client]()
	for _, m := range methods(t) {
		streams, through := m.IsStreamingClient() || m.IsStreamingServer(), map[protoreflect.Name]string{
			"WatchConversation": "Watch", "WatchDesk": "Watch", "ExportCustomer": "Export", "AddAffectedCustomers": "AddAllAffected",
		}
		if streams && through[m.Name()] == "" {
			t.Errorf("%s streams, which the Client has nothing for", m.FullName())
		}
		got, ok := c.MethodByName(string(m.Name()))
		if !ok {
			t.Errorf("a Client has no %s", m.FullName())
			continue
		}
		if streams {
			continue // its type is what that takes, or it does not compile
		}
		if in, out := got.Type.In(2), got.Type.Out(0); in != goType(t, m.Input()) || out != goType(t, m.Output()) {
			t.Errorf("%s takes %v and returns %v", m.FullName(), in, out)
		}
	}
}

// Every List method that has pages has an iterator over what it lists.
func TestEveryListIsIterated(t *testing.T) {
	c := reflect.TypeFor[*client.Client]()
	for _, m := range methods(t) {
		plural, ok := strings.CutPrefix(string(m.Name()), "List")
		if !ok || m.Input().Fields().ByName("page_token") == nil {
			continue
		}
		got, ok := c.MethodByName("All" + plural)
		if !ok {
			t.Errorf("a Client has no All%s", plural)
			continue
		}
		fields := m.Output().Fields()
		var item protoreflect.MessageDescriptor
		for i := range fields.Len() {
			if f := fields.Get(i); f.IsList() {
				item = f.Message()
			}
		}
		// func(yield func(T, error) bool)
		if yields := got.Type.Out(0).In(0).In(0); got.Type.In(2) != goType(t, m.Input()) || yields != goType(t, item) {
			t.Errorf("%s is %v", got.Name, got.Type)
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	withToken := client.WithToken("gsk_secret")
	plain := client.WithDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))
	for name, tc := range map[string]struct {
		opts []client.Option
		want string
	}{
		"no credential":            {nil, "no credential"},
		"an empty token":           {[]client.Option{client.WithToken("")}, "no credential"},
		"a token and a line break": {[]client.Option{client.WithToken("gsk_secret\n")}, "line break"},
		"two tokens":               {[]client.Option{client.WithToken("gsk_secret,gsk_secret")}, "another character"},
		"TLS and none":             {[]client.Option{withToken, client.WithTLS(&tls.Config{}), client.WithInsecure()}, "exclude each other"},
		"for nobody":               {[]client.Option{withToken, client.WithActFor("")}, "names nobody"},
		"in plaintext, unsaid":     {[]client.Option{withToken, plain}, "needs WithInsecure: grpc: the credentials require transport level security"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.New("support.example.com:443", tc.opts...)
			if err == nil || c != nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want an error with %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "gsk_secret") {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
	for _, target := range []string{"http://127.0.0.1:8080", "https://support.example.com"} {
		if c, err := client.New(target, withToken, client.WithInsecure()); err == nil || c != nil || !strings.Contains(err.Error(), "address of REST") {
			t.Errorf("%s: got %v", target, err)
		}
	}
	c, err := client.New("127.0.0.1:1", withToken, plain, client.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestAClosedClient(t *testing.T) {
	c := dial(t, servertest.New(t))
	for range 2 {
		c.Close()
	}
	if _, err := c.GetWorkspace(t.Context(), nil); status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want CANCELLED", err)
	}
}

// secured is a server with TLS that tells who called.
func secured(t *testing.T) (target string, roots *x509.CertPool, called <-chan metadata.MD) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan metadata.MD, 10)
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])),
		grpc.UnaryInterceptor(func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			calls <- md
			return &goodshipv1.Workspace{}, nil
		}))
	goodshipv1.RegisterAdminServiceServer(server, goodshipv1.UnimplementedAdminServiceServer{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	roots = x509.NewCertPool()
	roots.AddCert(web.Certificate())
	return listener.Addr().String(), roots, calls
}

func TestTLS(t *testing.T) {
	target, roots, called := secured(t)
	for name, tc := range map[string]struct {
		opt  client.Option
		want codes.Code
	}{
		"roots of one's own": {client.WithTLS(&tls.Config{RootCAs: roots}), codes.OK},
		"the system's roots": {client.WithTLS(nil), codes.Unavailable},
		"no TLS":             {client.WithInsecure(), codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.New(target, client.WithToken("gsk_key"), tc.opt, client.WithDialOptions(grpc.WithDisableRetry()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.GetWorkspace(t.Context(), nil); status.Code(err) != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if md := <-called; len(called) != 0 || md.Get("authorization")[0] != "Bearer gsk_key" {
		t.Errorf("the server was called as %v, and %d times more", md, len(called))
	}
}

func TestActFor(t *testing.T) {
	s := servertest.New(t)
	c := dial(t, s, client.WithActFor("customer/ada"))
	open := func(ctx context.Context) string {
		got, err := c.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
		if err != nil {
			return client.Reason(err).String()
		}
		return got.GetCustomerId()
	}
	ben := client.ActFor(t.Context(), "customer/ben")
	for want, ctx := range map[string]context.Context{
		"ada":                          t.Context(),
		"ben":                          ben,
		"lou":                          client.ActFor(ben, "customer/lou"),
		"ERROR_REASON_ACT_FOR_INVALID": client.ActFor(t.Context(), ""), // and not the backend, nor ada
	} {
		if got := open(ctx); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The server answers a repeated request_id with what it did before: a call that was repeated has one effect.
func TestARepeatedCallHasOneEffect(t *testing.T) {
	lost := 0
	loseReplies := func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		for {
			err := invoke(ctx, method, req, reply, conn, opts...)
			if lost++; err != nil || lost > 2 {
				return err
			}
			proto.Reset(reply.(proto.Message))
		}
	}
	c := dial(t, servertest.New(t), client.WithActFor("customer/ada"), client.WithDialOptions(grpc.WithChainUnaryInterceptor(loseReplies)))
	if _, err := c.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range c.AllConversations(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if lost < 3 || n != 1 {
		t.Errorf("%d conversations after a reply was lost %d times, want 1", n, lost-1)
	}
}

// With a real server: what came after the reading is not answered by it.
func TestAReadingAnswersWhatWasRead(t *testing.T) {
	backend := dial(t, servertest.New(t))
	employ(t, backend, "captain", goodshipv1.Role_ROLE_AGENT)
	customer, agent := client.ActFor(t.Context(), "customer/ada"), client.ActFor(t.Context(), "agent/captain")
	opened, err := backend.CreateConversation(customer, &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		t.Fatal(err)
	}
	id := opened.GetId()
	answer := func(ctx context.Context) (goodshipv1.State, error) {
		if _, err := backend.SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Ahoy!"}); err != nil {
			return 0, err
		}
		c, err := backend.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: id})
		return c.GetState(), err
	}
	if _, err := answer(client.Reading(agent)); !client.IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_SEEN_REVISION_REQUIRED) {
		t.Errorf("unread: %v", err)
	}
	read := func() context.Context {
		ctx := client.Reading(agent)
		for _, err := range backend.AllMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: id}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		return ctx
	}
	first := read()
	if _, err := backend.SendMessage(customer, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Is anybody there?"}); err != nil {
		t.Fatal(err)
	}
	if state, err := answer(first); state != goodshipv1.State_STATE_WAITING || err != nil {
		t.Errorf("an answer to what was read first leaves it %v, %v", state, err)
	}
	if state, err := answer(read()); state != goodshipv1.State_STATE_ANSWERED || err != nil {
		t.Errorf("an answer to everything leaves it %v, %v", state, err)
	}
}

func TestATokenSourceOfABackend(t *testing.T) {
	s := servertest.New(t)
	backend := dial(t, s)
	employ(t, backend, "kim", goodshipv1.Role_ROLE_AGENT)
	for person, want := range map[string]codes.Code{"customer/ada": codes.OK, "agent/kim": codes.OK, "agent/ben": codes.NotFound, "visitor/1": codes.Unknown, "agent/": codes.Unknown, "": codes.Unknown} {
		c := dial(t, s, client.WithTokenSource(backend.TokenSource(person)))
		_, err := c.ListConversations(t.Context(), nil)
		if status.Code(err) != want {
			t.Errorf("as %q: got %v, want %v", person, err, want)
		}
	}
}

// A credential in a request is another than the call's own: that it is refused says nothing of the token.
func TestATokenInARequestIsNotTheCalls(t *testing.T) {
	s := servertest.New(t)
	backend := dial(t, s)
	var made atomic.Int32
	lea := dial(t, s, client.WithTokenSource(func(ctx context.Context) (client.Token, error) {
		made.Add(1)
		return backend.TokenSource("customer/lea")(ctx)
	}))
	_, err := lea.SignInVisitor(t.Context(), &goodshipv1.SignInVisitorRequest{VisitorToken: "gtk_stolen"})
	if client.Metadata(err)["field"] != "visitor_token" || made.Load() != 1 {
		t.Errorf("got %v with %d tokens, want a refusal of visitor_token with one", err, made.Load())
	}
}

func TestTokensThatTheServerEndsAreReplaced(t *testing.T) {
	clock := faketime.At(time.Now())
	s := servertest.New(t, servertest.WithClock(clock))
	backend := dial(t, s)
	var made atomic.Int32
	lea := dial(t, s, client.WithTokenSource(func(ctx context.Context) (client.Token, error) {
		if made.Add(1) == 1 { // as from before the server's store was restored
			return client.Token{Value: "gtk_" + strings.Repeat("A", 48), ExpireTime: time.Now().Add(time.Hour)}, nil
		}
		return backend.TokenSource("customer/lea")(ctx)
	}))
	for want := int32(2); want < 5; want++ {
		for range 2 {
			if _, err := lea.ListConversations(t.Context(), nil); err != nil || made.Load() != want {
				t.Fatalf("got %v with token %d, want none with token %d", err, made.Load(), want)
			}
		}
		clock.Jump(10 * time.Second)
		if _, err := backend.RevokeTokens(t.Context(), &goodshipv1.RevokeTokensRequest{CustomerId: "lea"}); err != nil {
			t.Fatal(err)
		}
		clock.Jump(10 * time.Second)
	}
}
