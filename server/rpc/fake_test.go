package rpc_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The keys that a fake knows.
const (
	adminKey = "gsk_admin" // every scope
	plainKey = "gsk_plain" // none
)

// fake is a service with no store: enough of one to see what reaches it. Its functions are nil where a test has no use for
// them, and then the method does what comes to mind first.
type fake struct {
	goodshipv1.UnimplementedConversationServiceServer
	goodshipv1.UnimplementedMessageServiceServer
	goodshipv1.UnimplementedResolutionServiceServer
	goodshipv1.UnimplementedDeskServiceServer
	goodshipv1.UnimplementedDirectoryServiceServer
	goodshipv1.UnimplementedAdminServiceServer

	ready       func() error
	send        func(context.Context, *goodshipv1.SendMessageRequest) (*goodshipv1.Message, error)
	get         func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error)
	update      func(context.Context, *goodshipv1.UpdateConversationRequest) (*goodshipv1.Conversation, error)
	list        func(context.Context, *goodshipv1.ListConversationsRequest) (*goodshipv1.ListConversationsResponse, error)
	settings    func(context.Context, *goodshipv1.UpdateWorkspaceRequest) (*goodshipv1.Workspace, error)
	upsertAgent func(context.Context, *goodshipv1.UpsertAgentRequest) (*goodshipv1.Agent, error)
}

func (f *fake) Ready() error {
	if f.ready == nil {
		return nil
	}
	return f.ready()
}

func (f *fake) Authenticate(_ context.Context, token, actFor string) (support.Caller, error) {
	c := support.Caller{Kind: goodshipv1.Caller_CALLER_BACKEND, Workspace: "work_1", APIKeyID: "key_1"}
	switch token {
	case adminKey:
		c.Scopes = []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT, goodshipv1.Scope_SCOPE_ADMIN}
	case plainKey:
	default:
		return c, fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID, "No such key.")
	}
	kind, id, _ := strings.Cut(actFor, "/")
	switch {
	case actFor == "":
	case kind == "customer" && id != "":
		c.Kind, c.ID = goodshipv1.Caller_CALLER_CUSTOMER, id
	case kind == "agent" && id != "":
		c.Kind, c.ID = goodshipv1.Caller_CALLER_AGENT, id
	default:
		return c, fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_ACT_FOR_INVALID, "Name one person.")
	}
	return c, nil
}

func (f *fake) SendMessage(ctx context.Context, r *goodshipv1.SendMessageRequest) (*goodshipv1.Message, error) {
	if f.send == nil {
		return &goodshipv1.Message{Number: 1, Text: r.GetText()}, nil
	}
	return f.send(ctx, r)
}

func (f *fake) GetConversation(ctx context.Context, r *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
	if f.get == nil {
		return nil, fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_NOT_FOUND, "No such conversation.")
	}
	return f.get(ctx, r)
}

func (f *fake) UpdateConversation(ctx context.Context, r *goodshipv1.UpdateConversationRequest) (*goodshipv1.Conversation, error) {
	return f.update(ctx, r)
}

func (f *fake) ListConversations(ctx context.Context, r *goodshipv1.ListConversationsRequest) (*goodshipv1.ListConversationsResponse, error) {
	switch {
	case f.list != nil:
		return f.list(ctx, r)
	case r.GetPageToken() != "":
		return nil, store.ErrPageToken
	}
	return &goodshipv1.ListConversationsResponse{}, nil
}

func (f *fake) UpdateWorkspace(ctx context.Context, r *goodshipv1.UpdateWorkspaceRequest) (*goodshipv1.Workspace, error) {
	return f.settings(ctx, r)
}

func (f *fake) UpsertAgent(ctx context.Context, r *goodshipv1.UpsertAgentRequest) (*goodshipv1.Agent, error) {
	return f.upsertAgent(ctx, r)
}

// target is a server to call.
type target struct {
	url  string
	http *http.Client
	conn *grpc.ClientConn
	// key is a key of every scope, plain one of none.
	key, plain string
	// admin is where the admin listener is.
	admin string
	// stop ends the server and returns what Serve did. It is called by the end of the test at the latest.
	stop func() error
}

// serve starts a server for a service, on sockets of its own.
func serve(t *testing.T, svc rpc.Service, c rpc.Config) *target {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	server, err := rpc.New(svc, c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()

	conn, err := grpc.NewClient(l.GRPC.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	to := &target{
		url: "http://" + l.REST.Addr().String(), http: &http.Client{Transport: transport}, conn: conn,
		key: adminKey, plain: plainKey, admin: "http://" + l.Admin.Addr().String(),
	}
	stopped := false
	to.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-served
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
		if err := to.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return to
}
