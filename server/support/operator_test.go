package support_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
)

// TestCreateWorkspace makes a workspace that is fit for use as it is.
func TestCreateWorkspace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := do[*goodshipv1.CreateWorkspaceResponse](w, operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "The product"})
	same(t, "workspace", made.Workspace, &goodshipv1.Workspace{
		Id: made.Workspace.Id, DisplayName: "The product", PersonasAllowed: true, Promise: durationpb.New(5 * time.Minute),
		AssumeAfter: durationpb.New(72 * time.Hour), LapseAfter: durationpb.New(14 * 24 * time.Hour),
		NotifyAfter: durationpb.New(2 * time.Minute), AwayAfter: durationpb.New(2 * time.Minute), OnBroken: goodshipv1.OnBroken_ON_BROKEN_NONE, TimeZone: "UTC",
		Etag: "1", CreateTime: made.Workspace.CreateTime,
	})
	other := do[*goodshipv1.CreateWorkspaceResponse](w, operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "The product"})
	equal(t, "other workspace", other.Workspace.Id != made.Workspace.Id, true)
	w.workspace, w.secret = made.Workspace.Id, made.Secret
	same(t, "workspace as it is read", do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{}), made.Workspace)
	w.knows(kim)
	w.opens(kim, "Hello?")
	w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Shop"})
}

// forgetful is a store that has forgotten every request id.
type forgetful struct{ store.Store }

func (s forgetful) Update(ctx context.Context, workspace string, _ store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	return s.Store.Update(ctx, workspace, store.Once{}, fn)
}

// TestCreateWorkspaceNeverReplaces repeats the making of a workspace when much has happened in it, and when the request id is
// forgotten.
func TestCreateWorkspaceNeverReplaces(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	kept := openStore(t, clock.Now)
	w := foundWorld(t, clock, kept)
	req := &goodshipv1.CreateWorkspaceRequest{DisplayName: "The product", RequestId: "once"}
	made := do[*goodshipv1.CreateWorkspaceResponse](w, operator, req)
	equal(t, "form of the id", len(made.Workspace.Id), len(w.workspace))
	first := w.workspace
	w.workspace, w.secret = made.Workspace.Id, made.Secret
	w.updates(&goodshipv1.Workspace{DisplayName: "Renamed"}, "display_name")
	w.knows(kim)
	w.opens(kim, "Hello?")
	again := do[*goodshipv1.CreateWorkspaceResponse](w, operator, req)
	equal(t, "name in the replay", again.Workspace.DisplayName, "Renamed")
	equal(t, "secret in the replay", again.Secret, "")
	same(t, "key in the replay", again.ApiKey, made.ApiKey)
	w.refuses(operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "Another", RequestId: "once"}, "InvalidArgument REQUEST_ID_REUSED")

	w.store = forgetful{kept}
	w.restart()
	w.refuses(operator, req, "InvalidArgument REQUEST_ID_REUSED")
	other := do[*goodshipv1.CreateWorkspaceResponse](w, operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "The product", RequestId: "twice"})
	equal(t, "other ids", slices.Contains([]string{first, made.Workspace.Id}, other.Workspace.Id), false)
}

// TestListWorkspaces reads all workspaces in pages.
func TestListWorkspaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := []string{w.workspace}
	for i := range 6 {
		req := &goodshipv1.CreateWorkspaceRequest{DisplayName: fmt.Sprint("Product ", i), RequestId: strings.Repeat("x", i)}
		ids = append(ids, do[*goodshipv1.CreateWorkspaceResponse](w, operator, req).Workspace.Id)
	}
	slices.Sort(ids)
	signing := do[*goodshipv1.CreateSigningKeyResponse](w, backend, &goodshipv1.CreateSigningKeyRequest{TokenKind: goodshipv1.TokenKind_TOKEN_KIND_AGENT})
	for size := int32(1); size <= 8; size++ {
		var got []string
		for token, more := "", true; more && len(got) <= len(ids); more = token != "" {
			page := do[*goodshipv1.ListWorkspacesResponse](w, operator, &goodshipv1.ListWorkspacesRequest{PageSize: size, PageToken: token})
			for _, listed := range page.Workspaces {
				got = append(got, listed.Id)
				equal(t, "has an etag", listed.Etag != "", true)
			}
			if text := fmt.Sprint(page); strings.Contains(text, signing.Secret) || strings.Contains(text, signing.SigningKey.Id) {
				t.Errorf("got %s, want no signing keys", text)
			}
			token = page.NextPageToken
		}
		equal(t, fmt.Sprintf("workspaces in pages of %d", size), list(got), list(ids))
	}
	token := do[*goodshipv1.ListCustomersResponse](w, ada, &goodshipv1.ListCustomersRequest{PageSize: 1}).NextPageToken
	w.refuses(operator, &goodshipv1.ListWorkspacesRequest{PageToken: token}, "InvalidArgument INVALID_PAGE_TOKEN")
}

// operates serves the service over a connection in memory, where every call is the operator's, and returns a client. What
// became of each stream is sent to ended.
func (w *world) operates(ended chan<- error) goodshipv1.OperatorServiceClient {
	w.t.Helper()
	pipe := bufconn.Listen(1 << 10)
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		caller := support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR}
		err := handle(srv, &streamOf{stream, support.WithCaller(stream.Context(), caller)})
		ended <- err
		return support.Fault(err)
	}))
	goodshipv1.RegisterOperatorServiceServer(server, w.Service)
	go server.Serve(pipe) //nolint:errcheck // it ends with Stop
	w.t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:operator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	if err != nil {
		w.t.Fatalf("connect: %v", err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return goodshipv1.NewOperatorServiceClient(conn)
}

// streamOf is a stream with another context.
type streamOf struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamOf) Context() context.Context { return s.ctx }

// fills writes more than a backup sends at once.
func (w *world) fills(size int) {
	w.t.Helper()
	for range size/(32<<10) + 1 {
		w.opens(kim, strings.Repeat("x", 32<<10))
	}
}

// TestBackupStore restores what was sent.
func TestBackupStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fills(300 << 10)
	ended := make(chan error, 1)
	stream, err := w.operates(ended).BackupStore(t.Context(), &goodshipv1.BackupStoreRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if n := len(chunk.Data); n == 0 || n > 64<<10 {
			t.Errorf("got a chunk of %d bytes, want 1 to 65536", n)
		}
		backup.Write(chunk.Data)
	}
	equal(t, "end", <-ended, nil)
	path := filepath.Join(t.TempDir(), "goodship.db")
	if err := bolt.Restore(path, &backup); err != nil {
		t.Fatalf("restore: %v", err)
	}
	restored, err := bolt.Open(path, bolt.Options{Now: w.clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = restored.Close() }()
	want := image(t, w.store)
	w.store = restored
	w.unchanged(want)
}

// TestBackupStoreEnds stops to read a backup in the middle: it ends at once, and leaves nothing behind.
func TestBackupStoreEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fills(1 << 20)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := w.operates(ended).BackupStore(ctx, &goodshipv1.BackupStoreRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatalf("receive: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("got the end (%v) of a backup that is not read, want it to wait", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("end: got %v, want %v", err, context.Canceled)
	}
	w.opens(kim, "Hello?")
}

// unsound is a store whose backups break off, and whose checks find what they are told to.
type unsound struct {
	store.Store
	report store.Report
}

func (unsound) Backup(_ context.Context, out io.Writer) error {
	_, err := out.Write(make([]byte, 200<<10))
	return errors.Join(err, fmt.Errorf("%w: the rest", store.ErrDataLoss))
}

func (s unsound) Check(context.Context, bool) (store.Report, error) { return s.report, nil }

// TestBackupStoreFails ends the stream with what went wrong, and not as if the backup were whole.
func TestBackupStoreFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store = unsound{Store: w.store}
	w.restart()
	ended := make(chan error, 1)
	stream, err := w.operates(ended).BackupStore(t.Context(), &goodshipv1.BackupStoreRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	chunk, err := stream.Recv()
	for ; err == nil; chunk, err = stream.Recv() {
		sizes = append(sizes, len(chunk.Data))
	}
	equal(t, "chunks", list(sizes), "65536 65536 65536 8192")
	equal(t, "code", status.Code(err), codes.DataLoss)
	equal(t, "refusal", refusal(<-ended), "DataLoss DATA_LOSS")
}

// TestCheckStore counts what is there, and tells of problems as many as a reply has room for.
func TestCheckStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := replied(w)
	events := w.revision(id)
	for _, deep := range []bool{false, true} {
		same(t, "report", do[*goodshipv1.CheckStoreResponse](w, operator, &goodshipv1.CheckStoreRequest{Deep: deep}), &goodshipv1.CheckStoreResponse{
			WorkspaceCount: 1, ConversationCount: 1, MessageCount: 2, EventCount: events,
		})
	}
	problems := make([]string, 150)
	for i := range problems {
		problems[i] = fmt.Sprint("Problem ", i)
	}
	w.store = unsound{w.store, store.Report{Workspaces: 2, Conversations: math.MaxInt32, Messages: math.MaxInt32 + 1, Events: math.MaxInt64, Problems: problems}}
	w.restart()
	reply := do[*goodshipv1.CheckStoreResponse](w, operator, &goodshipv1.CheckStoreRequest{})
	equal(t, "problems", list(reply.Problems), list(problems[:100]))
	same(t, "report", reply, &goodshipv1.CheckStoreResponse{
		WorkspaceCount: 2, ConversationCount: math.MaxInt32, MessageCount: math.MaxInt32, EventCount: math.MaxInt32,
		Problems: problems[:100], ProblemCount: 150,
	})
}

// received is a stream of which nobody looks at what is sent.
type received struct {
	grpc.ServerStream
	ctx context.Context
}

func (r *received) Context() context.Context { return r.ctx }

func (*received) Send(*goodshipv1.BackupStoreResponse) error { return nil }
