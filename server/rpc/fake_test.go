package rpc_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
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

// operatorKey is the credential of operators on the admin listener.
const operatorKey = "gok_operator"

// allowedOrigin is the one origin of web pages that a fake allows.
const allowedOrigin = "https://app.example.com"

// fake is a service with no store: enough of one to see what reaches it. Its functions are nil where a test has no use for
// them, and then the method does what comes to mind first.
type fake struct {
	goodshipv1.UnimplementedConversationServiceServer
	goodshipv1.UnimplementedMessageServiceServer
	goodshipv1.UnimplementedResolutionServiceServer
	goodshipv1.UnimplementedDeskServiceServer
	goodshipv1.UnimplementedDirectoryServiceServer
	goodshipv1.UnimplementedAdminServiceServer
	goodshipv1.UnimplementedCreditServiceServer
	goodshipv1.UnimplementedIncidentServiceServer
	goodshipv1.UnimplementedInsightServiceServer
	goodshipv1.UnimplementedOperatorServiceServer

	ready       func() error
	drain       func()
	send        func(context.Context, *goodshipv1.SendMessageRequest) (*goodshipv1.Message, error)
	get         func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error)
	update      func(context.Context, *goodshipv1.UpdateConversationRequest) (*goodshipv1.Conversation, error)
	list        func(context.Context, *goodshipv1.ListConversationsRequest) (*goodshipv1.ListConversationsResponse, error)
	settings    func(context.Context, *goodshipv1.UpdateWorkspaceRequest) (*goodshipv1.Workspace, error)
	upsertAgent func(context.Context, *goodshipv1.UpsertAgentRequest) (*goodshipv1.Agent, error)
	check       func()
	backup      func(grpc.ServerStreamingServer[goodshipv1.BackupStoreResponse]) error
	export      func(*goodshipv1.ExportCustomerRequest, grpc.ServerStreamingServer[goodshipv1.ExportCustomerResponse]) error
	watch       func(*goodshipv1.WatchConversationRequest, grpc.ServerStream) error
	desk        func(*goodshipv1.WatchDeskRequest, grpc.ServerStream) error
	affected    func(addStream) error
}

// Drain ends the watches that a test left open.
func (f *fake) Drain() {
	if f.drain != nil {
		f.drain()
	}
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
		c.Scopes = []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT, goodshipv1.Scope_SCOPE_ADMIN, goodshipv1.Scope_SCOPE_PRIVACY, goodshipv1.Scope_SCOPE_INCIDENTS_SEND, goodshipv1.Scope_SCOPE_CREDITS}
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

func (f *fake) Operator(_ context.Context, actFor string) (support.Caller, error) {
	return support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR, Workspace: strings.TrimPrefix(actFor, "workspace/")}, nil
}

func (f *fake) AllowsOrigin(_ context.Context, _, origin string) (bool, error) {
	return origin == allowedOrigin, nil
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

func (f *fake) CreateWorkspace(_ context.Context, r *goodshipv1.CreateWorkspaceRequest) (*goodshipv1.CreateWorkspaceResponse, error) {
	return &goodshipv1.CreateWorkspaceResponse{Workspace: &goodshipv1.Workspace{DisplayName: r.GetDisplayName()}}, nil
}

func (f *fake) AddAffectedCustomers(in addStream) error { return f.affected(in) }

func (f *fake) CheckStore(context.Context, *goodshipv1.CheckStoreRequest) (*goodshipv1.CheckStoreResponse, error) {
	if f.check != nil {
		f.check()
	}
	return &goodshipv1.CheckStoreResponse{}, nil
}

func (f *fake) GetWorkspace(context.Context, *goodshipv1.GetWorkspaceRequest) (*goodshipv1.Workspace, error) {
	return &goodshipv1.Workspace{}, nil
}

func (f *fake) BackupStore(_ *goodshipv1.BackupStoreRequest, out grpc.ServerStreamingServer[goodshipv1.BackupStoreResponse]) error {
	if f.backup == nil {
		return out.Send(&goodshipv1.BackupStoreResponse{Data: []byte("all of it")})
	}
	return f.backup(out)
}

func (f *fake) WatchConversation(r *goodshipv1.WatchConversationRequest, out grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error {
	if f.watch == nil {
		return out.SendMsg(progress("c0"))
	}
	return f.watch(r, out)
}

func (f *fake) ExportCustomer(r *goodshipv1.ExportCustomerRequest, out grpc.ServerStreamingServer[goodshipv1.ExportCustomerResponse]) error {
	if f.export == nil {
		return out.Send(&goodshipv1.ExportCustomerResponse{Cursor: "c0"})
	}
	return f.export(r, out)
}

func (f *fake) WatchDesk(r *goodshipv1.WatchDeskRequest, out grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error {
	if f.desk == nil {
		return out.SendMsg(progress("c0"))
	}
	return f.desk(r, out)
}

// progress is the frame of an update that says only where a watch is.
func progress(cursor string) *support.Frame {
	return support.NewFrame(&goodshipv1.WatchUpdate{Cursor: cursor, Update: &goodshipv1.WatchUpdate_Progress{Progress: &goodshipv1.Progress{}}})
}

// target is a server to call.
type target struct {
	url  string
	http *http.Client
	conn *grpc.ClientConn
	// key is a key of every scope, plain one of none.
	key, plain string
	// admin is where the admin listener is, and socket the operators'.
	admin, socket string
	// stop ends the server and returns what Serve did. It is called by the end of the test at the latest.
	stop func() error
}

// serve starts a server for a service, on sockets of its own.
func serve(t testing.TB, svc rpc.Service, c rpc.Config) *target {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.OperatorKey == "" {
		c.OperatorKey = operatorKey
	}
	if c.Limits == (rpc.Limits{}) { // a test makes more calls than a person
		c.Limits = few(func(*rpc.Limits) {}).Limits
	}
	server, err := rpc.New(svc, c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(socketFolder(t), "goodship.sock")
	if l.Operator, err = rpc.ListenOperator(t.Context(), socket); err != nil {
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
		key: adminKey, plain: plainKey, admin: "http://" + l.Admin.Addr().String(), socket: socket,
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

// socketFolder returns a folder for a Unix socket, whose path may not be as long as that of a test's own folder.
func socketFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "gs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}
