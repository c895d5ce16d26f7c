package rpc_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	checkMethod    = goodshipv1.OperatorService_CheckStore_FullMethodName
	settingsMethod = goodshipv1.AdminService_GetWorkspace_FullMethodName
	backupMethod   = goodshipv1.OperatorService_BackupStore_FullMethodName
)

// dial returns a connection that says nothing of itself.
func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// door is a way in for operators.
type door struct {
	name string
	conn *grpc.ClientConn
	// md is what an operator says of itself there.
	md []string
}

// doorsOf returns both ways in.
func doorsOf(t *testing.T, to *target) []door {
	t.Helper()
	return []door{
		{"socket", dial(t, "unix:"+to.socket), nil},
		{"admin", dial(t, strings.TrimPrefix(to.admin, "http://")), []string{"authorization", "Bearer " + operatorKey}},
	}
}

// ask calls a method and returns the code and reason of the answer.
func ask(t *testing.T, conn *grpc.ClientConn, method string, req proto.Message, md ...string) (codes.Code, string) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), md...)
	// A reply of any type reads as one without fields.
	st := status.Convert(conn.Invoke(ctx, method, req, new(goodshipv1.CheckStoreRequest)))
	info, _ := detailsOf(t, st)
	return st.Code(), info.GetReason()
}

// An operator comes in at the operators' doors only, and nobody else does.
func TestOnlyOperatorsComeInAtTheirDoors(t *testing.T) {
	to := serve(t, &fake{}, rpc.Config{})
	doors := doorsOf(t, to)
	socket, admin := doors[0].conn, doors[1].conn
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
	bearer := func(token string) []string { return []string{"authorization", "Bearer " + token} }
	for _, c := range []struct {
		name   string
		conn   *grpc.ClientConn
		method string
		md     []string
		code   codes.Code
		reason string
	}{
		{"the socket needs no key", socket, checkMethod, nil, codes.OK, ""},
		{"the socket takes the key", socket, checkMethod, bearer(operatorKey), codes.OK, ""},
		{"an API key over the socket", socket, checkMethod, bearer(adminKey), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"a token over the socket", socket, checkMethod, bearer(jwt), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"an empty credential over the socket", socket, checkMethod, []string{"authorization", ""}, codes.Unauthenticated, "CREDENTIAL_MISSING"},

		{"the key at the admin listener", admin, checkMethod, bearer(operatorKey), codes.OK, ""},
		{"nothing at the admin listener", admin, checkMethod, nil, codes.Unauthenticated, "CREDENTIAL_MISSING"},
		{"another key of the kind", admin, checkMethod, bearer("gok_other"), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"a part of the key", admin, checkMethod, bearer(operatorKey[:len(operatorKey)-1]), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"more than the key", admin, checkMethod, bearer(operatorKey + "x"), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"the key twice", admin, checkMethod, append(bearer(operatorKey), bearer(operatorKey)...), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"an API key at the admin listener", admin, checkMethod, bearer(adminKey), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"an API key that acts for somebody", admin, checkMethod, append(bearer(adminKey), "goodship-act-for", "agent/captain"), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"a token at the admin listener", admin, checkMethod, bearer(jwt), codes.Unauthenticated, "CREDENTIAL_INVALID"},

		{"a workspace's method without one", socket, settingsMethod, nil, codes.InvalidArgument, "ACT_FOR_INVALID"},
		{"a workspace's method with one", socket, settingsMethod, []string{"goodship-act-for", "workspace/work_1"}, codes.OK, ""},
		{"the same with the key", admin, settingsMethod, append(bearer(operatorKey), "goodship-act-for", "workspace/work_1"), codes.OK, ""},
		{"two workspaces", socket, settingsMethod, []string{"goodship-act-for", "workspace/work_1", "goodship-act-for", "workspace/work_2"}, codes.InvalidArgument, "ACT_FOR_INVALID"},
		{"a method that operators may not call", socket, goodshipv1.DirectoryService_CreateVisitorSession_FullMethodName,
			[]string{"goodship-act-for", "workspace/work_1"}, codes.PermissionDenied, "CALLER_NOT_ALLOWED"},
		{"a service that is the public's", socket, listMethod, nil, codes.Unimplemented, ""},
		{"the same with the key of the public", admin, listMethod, bearer(adminKey), codes.Unimplemented, ""},

		{"the operator's key at the public's door", to.conn, listMethod, bearer(operatorKey), codes.Unauthenticated, "CREDENTIAL_INVALID"},
		{"the operators' service at the public's door", to.conn, checkMethod, bearer(operatorKey), codes.Unimplemented, ""},
		{"the same with an API key", to.conn, checkMethod, bearer(adminKey), codes.Unimplemented, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, reason := ask(t, c.conn, c.method, &goodshipv1.CheckStoreRequest{}, c.md...); code != c.code || reason != c.reason {
				t.Errorf("%v %s, want %v %s", code, reason, c.code, c.reason)
			}
		})
	}
	to.key = operatorKey
	resp, body := rest(t, to, "GET", "/v1/conversations", "")
	if info, _ := detailsOf(t, readStatus(t, []byte(body))); resp.StatusCode != http.StatusUnauthorized || info.GetReason() != "CREDENTIAL_INVALID" {
		t.Errorf("the operator's key over REST: HTTP %d %s", resp.StatusCode, body)
	}
}

// The same against the real services: keys and workspaces that there are.
func TestTheRealServicesKnowTheirDoors(t *testing.T) {
	s := servertest.New(t)
	admin := dial(t, strings.TrimPrefix(s.Admin, "http://"))
	req := &goodshipv1.GetWorkspaceRequest{}
	workspace := []string{"goodship-act-for", "workspace/" + s.Workspace}
	if code, reason := ask(t, admin, settingsMethod, req, append(workspace, "authorization", "Bearer "+s.Key)...); code != codes.Unauthenticated || reason != "CREDENTIAL_INVALID" {
		t.Errorf("an API key at the admin listener: %v %s", code, reason)
	}
	if code, reason := ask(t, dial(t, s.GRPC), settingsMethod, req, append(workspace, "authorization", "Bearer "+s.OperatorKey)...); code != codes.Unauthenticated || reason != "CREDENTIAL_INVALID" {
		t.Errorf("the operator's key at the public's door: %v %s", code, reason)
	}
	for name, conn := range map[string]*grpc.ClientConn{"socket": s.Operator(), "admin": dial(t, strings.TrimPrefix(s.Admin, "http://"))} {
		md := []string{"authorization", "Bearer " + s.OperatorKey}
		if name == "admin" {
			md = append(md, workspace...)
		}
		w, err := goodshipv1.NewAdminServiceClient(conn).GetWorkspace(metadata.AppendToOutgoingContext(t.Context(), md...), req)
		if err != nil || w.GetId() != s.Workspace {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
	if code, reason := ask(t, admin, settingsMethod, req, "authorization", "Bearer "+s.OperatorKey, "goodship-act-for", "workspace/work_00000000000000000000000000"); code != codes.NotFound || reason != "WORKSPACE_NOT_FOUND" {
		t.Errorf("an unknown workspace: %v %s", code, reason)
	}
}

// What vouches for an operator over the socket is gRPC's own transport. A call that net/http took in has an address that a
// string was made of, and never passes for one of the socket.
func TestHTTPNeverPassesForTheSocket(t *testing.T) {
	server, err := rpc.New(&fake{}, rpc.Config{OperatorKey: operatorKey, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Admin.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(socketFolder(t), "admin.sock")
	if l.Admin, err = new(net.ListenConfig).Listen(t.Context(), "unix", path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	conn := dial(t, "unix:"+path)
	if code, reason := ask(t, conn, checkMethod, &goodshipv1.CheckStoreRequest{}); code != codes.Unauthenticated || reason != "CREDENTIAL_MISSING" {
		t.Errorf("without a key: %v %s", code, reason)
	}
	if code, _ := ask(t, conn, checkMethod, &goodshipv1.CheckStoreRequest{}, "authorization", "Bearer "+operatorKey); code != codes.OK {
		t.Errorf("with the key: %v", code)
	}
	_ = conn.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestReflectionTellsOfItsDoorOnly(t *testing.T) {
	to := serve(t, &fake{}, rpc.Config{})
	for _, d := range append(doorsOf(t, to), door{"public", to.conn, nil}) {
		names := servicesAt(t, d.conn)
		public := d.name == "public"
		if strings.Contains(names, "OperatorService") == public || strings.Contains(names, "ConversationService") != public {
			t.Errorf("%s: %s", d.name, names)
		}
	}
}

// servicesAt asks reflection for the names of the services.
func servicesAt(t *testing.T, conn *grpc.ClientConn) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return reply.String()
}

// Beside the operators' calls the admin listener is what it was.
func TestTheAdminListenerServesProbesAndMetrics(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "waits 1") })
	to := serve(t, &fake{}, rpc.Config{Metrics: metrics})
	if code, body := adminGet(t, to, "/metrics"); code != http.StatusOK || body != "waits 1" {
		t.Errorf("/metrics: HTTP %d %s", code, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", to.admin+checkMethod, strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Authorization", "Bearer "+operatorKey)
	resp, err := to.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("gRPC in HTTP/1.1: HTTP %d", resp.StatusCode)
	}
	if code, _ := adminGet(t, serve(t, &fake{}, rpc.Config{}), "/metrics"); code != http.StatusNotFound {
		t.Errorf("/metrics of nothing: HTTP %d", code)
	}
}

// The limits on how long a stranger's call takes do not end an operator's backup.
func TestABackupTakesAsLongAsItTakes(t *testing.T) {
	limits := rpc.DefaultLimits()
	limits.ReadTimeout, limits.WriteTimeout = 10*time.Millisecond, 10*time.Millisecond
	svc := &fake{backup: func(out grpc.ServerStreamingServer[goodshipv1.BackupStoreResponse]) error {
		if err := out.Send(&goodshipv1.BackupStoreResponse{Data: []byte("some")}); err != nil {
			return err
		}
		// Not for something to happen, but for a limit to pass: a slow machine only makes this more certain.
		<-time.After(10 * limits.WriteTimeout)
		return out.Send(&goodshipv1.BackupStoreResponse{Data: []byte(" more")})
	}}
	for _, d := range doorsOf(t, serve(t, svc, rpc.Config{Limits: limits})) {
		t.Run(d.name, func(t *testing.T) {
			if got, err := backup(t, d); got != "some more" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// backup asks for a backup and returns what comes, and how it ends: nil if it is whole.
func backup(t *testing.T, d door, md ...string) (string, error) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), append(md, d.md...)...)
	in, err := goodshipv1.NewOperatorServiceClient(d.conn).BackupStore(ctx, &goodshipv1.BackupStoreRequest{})
	if err != nil {
		return "", err
	}
	return readAll(in)
}

// readAll reads a stream to its end, which is nil if it is OK.
func readAll(in grpc.ServerStreamingClient[goodshipv1.BackupStoreResponse]) (string, error) {
	var all strings.Builder
	for {
		part, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return all.String(), nil
		} else if err != nil {
			return all.String(), err
		}
		all.Write(part.GetData())
	}
}
