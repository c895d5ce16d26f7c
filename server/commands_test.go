package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// do runs a command in this process and returns what it shows.
func do(t *testing.T, data string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), append([]string{"--data", data}, args...), nil, &stdout, &stderr); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return stdout.String()
}

// find returns what the group of an expression matches.
func find(t *testing.T, expression, text string) string {
	t.Helper()
	found := regexp.MustCompile(expression).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in\n%s", expression, text)
	}
	return found[1]
}

// dial returns a connection to an address.
func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as returns a context whose calls carry a credential.
func as(ctx context.Context, credential string, more ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, append([]string{"authorization", "Bearer " + credential}, more...)...)
}

// What commands make works at the server that runs, and what they revoke has ended when they have.
func TestWhatCommandsMakeWorks(t *testing.T) {
	data := t.TempDir()
	r := start(t, data)
	conn := dial(t, find(t, `grpc=(\S+)`, r.stderr.String()))
	conversations, admin := goodshipv1.NewConversationServiceClient(conn), goodshipv1.NewAdminServiceClient(conn)
	code := func(err error) codes.Code { return status.Code(err) }

	made := do(t, data, "keys", "create", "--name", "Backend", "--scope", "act", "--scope", "admin")
	key := find(t, `key +(gsk_\S+)`, made)
	if _, err := admin.ListApiKeys(as(t.Context(), key), &goodshipv1.ListApiKeysRequest{}); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	narrow := find(t, `key +(gsk_\S+)`, do(t, data, "keys", "create", "--name", "Narrow"))
	if _, err := admin.ListApiKeys(as(t.Context(), narrow), &goodshipv1.ListApiKeysRequest{}); code(err) != codes.PermissionDenied {
		t.Errorf("with a key without scopes: %v, want PERMISSION_DENIED", err)
	}
	do(t, data, "keys", "revoke", find(t, `id +(key_\S+)`, made))
	if _, err := admin.ListApiKeys(as(t.Context(), key), &goodshipv1.ListApiKeysRequest{}); code(err) != codes.Unauthenticated {
		t.Errorf("with the revoked key: %v, want UNAUTHENTICATED", err)
	}

	page := find(t, `key +(gpk_\S+)`, do(t, data, "keys", "create", "--name", "Page", "--publishable"))
	if _, err := goodshipv1.NewDirectoryServiceClient(conn).CreateVisitorSession(as(t.Context(), page), &goodshipv1.CreateVisitorSessionRequest{}); err != nil {
		t.Errorf("with the publishable key: %v", err)
	}

	token := find(t, `(gtk_\S+)`, do(t, data, "tokens", "create", "--customer", "ada"))
	if _, err := conversations.ListConversations(as(t.Context(), token), &goodshipv1.ListConversationsRequest{}); err != nil {
		t.Errorf("with the token: %v", err)
	}
	do(t, data, "tokens", "revoke", "--customer", "ada")
	if _, err := conversations.ListConversations(as(t.Context(), token), &goodshipv1.ListConversationsRequest{}); code(err) != codes.Unauthenticated {
		t.Errorf("with the revoked token: %v, want UNAUTHENTICATED", err)
	}

	other := do(t, data, "workspaces", "create", "Tea shop")
	seen, err := admin.GetWorkspace(as(t.Context(), find(t, `key +(gsk_\S+)`, other)), &goodshipv1.GetWorkspaceRequest{})
	if want := find(t, `workspace +(work_\S+)`, other); err != nil || seen.Id != want {
		t.Errorf("the new workspace's key sees %v, %v; want %s", seen, err, want)
	}
}

// A key can have every scope that the API has.
func TestKeysTakeEveryScope(t *testing.T) {
	for value, name := range goodshipv1.Scope_name {
		scope := label(goodshipv1.Scope(value), "SCOPE_")
		parser, err := newParser(&program{}, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse([]string{"keys", "create", "--name", "Any", "--scope", scope})
		if want := value != int32(goodshipv1.Scope_SCOPE_UNSPECIFIED); (err == nil) != want {
			t.Errorf("%s: --scope %s: %v", name, scope, err)
		}
	}
}

// The key in the data folder opens the admin address, and nothing else does.
func TestTheOperatorsKey(t *testing.T) {
	data := t.TempDir()
	r := start(t, data)
	key, err := os.ReadFile(filepath.Join(data, operatorKeyName))
	if err != nil {
		t.Fatal(err)
	}
	admin := goodshipv1.NewOperatorServiceClient(dial(t, find(t, `admin=(\S+)`, r.stderr.String())))
	if all, err := admin.ListWorkspaces(as(t.Context(), strings.TrimSpace(string(key))), &goodshipv1.ListWorkspacesRequest{}); err != nil || len(all.Workspaces) != 1 {
		t.Errorf("with the operator's key: %v, %v", all, err)
	}
	for _, credential := range []string{secret.FindString(r.stdout.String()), "gok_" + strings.Repeat("A", 43)} {
		if _, err := admin.ListWorkspaces(as(t.Context(), credential), &goodshipv1.ListWorkspacesRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("with %.4s…: %v, want UNAUTHENTICATED", credential, err)
		}
	}
	public := goodshipv1.NewOperatorServiceClient(dial(t, find(t, `grpc=(\S+)`, r.stderr.String())))
	if _, err := public.ListWorkspaces(as(t.Context(), strings.TrimSpace(string(key))), &goodshipv1.ListWorkspacesRequest{}); err == nil {
		t.Error("the operator comes in at the public address")
	}
}

// fill gives a server that began just now a store whose backup has some megabytes.
func fill(t *testing.T, stdout, stderr *buffer) {
	t.Helper()
	conn := dial(t, find(t, `grpc=(\S+)`, stderr.String()))
	ctx := as(t.Context(), stdout.await(secret), "goodship-act-for", "customer/ada")
	for range 40 {
		text := strings.Repeat("The film stops. ", 2000)
		if _, err := goodshipv1.NewConversationServiceClient(conn).CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
}

// between puts itself in the place of the server of a data folder: it passes on what the two sides say, and calls a function
// when the server has said much, but not all, of a backup. Then it falls silent.
func between(t *testing.T, data string, then func(client net.Conn)) {
	t.Helper()
	socket, real := filepath.Join(data, socketName), filepath.Join(data, "s")
	if err := os.Rename(socket, real); err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", real)
			if err != nil {
				t.Error(err)
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			serving.Go(func() {
				if n, _ := io.CopyN(client, server, 300_000); n == 300_000 {
					then(client)
				}
				_, _ = io.Copy(io.Discard, server)
				_ = client.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
}

// A backup that does not come to its end leaves no file, and the one from before as it was.
func TestABackupIsWholeOrNotThere(t *testing.T) {
	for name, c := range map[string]struct {
		then func(cancel func(), client net.Conn)
		want string
	}{
		"interrupted":          {func(cancel func(), _ net.Conn) { cancel() }, "no backup was made: interrupted"},
		"the server goes away": {func(_ func(), client net.Conn) { _ = client.Close() }, "no backup was made: the server went away: "},
	} {
		t.Run(name, func(t *testing.T) {
			data, folder := t.TempDir(), t.TempDir()
			r := start(t, data)
			fill(t, r.stdout, r.stderr)
			reached := make(chan net.Conn, 1)
			between(t, data, func(client net.Conn) { reached <- client })
			before := filepath.Join(folder, "before.backup")
			if err := os.WriteFile(before, []byte("yesterday's"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"backup", filepath.Join(folder, "new.backup")}, {"backup", "--force", before}} {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				var stopping sync.WaitGroup
				stopping.Go(func() {
					select {
					case client := <-reached:
						c.then(cancel, client)
					case <-ended:
						t.Errorf("%v ended before it was stopped", args)
					}
				})
				err := run(ctx, append([]string{"--data", data}, args...), nil, io.Discard, io.Discard)
				if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(oneLine(err), "rpc error") {
					t.Errorf("%v: got %v, want %s", args, err, c.want)
				}
				close(ended)
				stopping.Wait()
				cancel()
			}
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) != 1 {
				t.Errorf("there is %v, %v; want the backup from before alone", entries, err)
			}
			if text, err := os.ReadFile(before); err != nil || string(text) != "yesterday's" {
				t.Errorf("the backup from before is %q, %v", text, err)
			}
		})
	}
}

// A restore whose backup comes no further can be interrupted, and then nothing has changed.
func TestARestoreCanBeInterrupted(t *testing.T) {
	data := t.TempDir()
	if err := start(t, data).stop(); err != nil {
		t.Fatal(err)
	}
	whole := do(t, data, "backup", "-")
	for _, args := range [][]string{{"--data", data, "restore", "--force", "-"}, {"--data", filepath.Join(data, "new"), "restore", "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		out, in := io.Pipe()
		go func() {
			_, _ = io.WriteString(in, whole[:len(whole)/2])
			cancel()
		}()
		err := run(ctx, args, out, io.Discard, io.Discard)
		_ = in.CloseWithError(errors.New("over"))
		if err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("%v: got %v, want interrupted in it", args, err)
		}
	}
	if got := do(t, data, "backup", "-"); got != whole {
		t.Error("the store is another than before")
	}
	left, err := filepath.Glob(filepath.Join(data, "*.new-*"))
	if more, _ := filepath.Glob(filepath.Join(data, "new", "*")); err != nil || len(left)+len(more) > 0 {
		t.Errorf("left behind: %v %v, %v", left, more, err)
	}
}

// Names a person might give a moment.
func TestMoments(t *testing.T) {
	now := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90d":                       now.AddDate(0, 0, 90),
		"12h":                       now.Add(12 * time.Hour),
		"2031-02-03":                time.Date(2031, 2, 3, 0, 0, 0, 0, time.UTC),
		"2031-02-03T04:05:06+01:00": time.Date(2031, 2, 3, 3, 5, 6, 0, time.UTC),
	} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil || !m.after(now).AsTime().Equal(want) {
			t.Errorf("%s: got %v, %v; want %v", text, m.after(now).AsTime(), err, want)
		}
	}
	for _, text := range []string{"", "soon", "90", "9999999d", "2031-02-30", "-"} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, m.after(now).AsTime())
		}
	}
	if got := new(moment).after(now); got != nil {
		t.Errorf("the zero value is %v, want never", got)
	}
}

// A list is whole however many pages it has.
func TestListsAreWhole(t *testing.T) {
	data := t.TempDir()
	start(t, data)
	operator := goodshipv1.NewOperatorServiceClient(dial(t, "unix:"+filepath.Join(data, socketName)))
	for range 101 {
		if _, err := operator.CreateWorkspace(t.Context(), &goodshipv1.CreateWorkspaceRequest{DisplayName: "One of many"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(do(t, data, "workspaces", "list"), "One of many"); got != 101 {
		t.Errorf("%d workspaces are listed, want 101", got)
	}
}

// What is damaged is told with its record and an exit status, and no backup is made of it.
func TestACheckFindsDamage(t *testing.T) {
	data, folder := t.TempDir(), t.TempDir()
	r := start(t, data)
	fill(t, r.stdout, r.stderr)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(data, storeName)
	store, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	store = bytes.ReplaceAll(store, []byte("The film stops."), []byte("The film plays."))
	if err := os.WriteFile(file, store, 0o600); err != nil {
		t.Fatal(err)
	}

	var stdout, stderr bytes.Buffer
	err = run(t.Context(), []string{"--data", data, "check"}, nil, &stdout, &stderr)
	if err == nil || !strings.Contains(err.Error(), "the store has problems (") {
		t.Errorf("the check ends with %v", err)
	}
	if !strings.Contains(stdout.String(), "A record is damaged: ") || strings.Contains(stdout.String(), "nothing is wrong") || strings.Contains(stdout.String(), "film") {
		t.Errorf("it shows\n%s", &stdout)
	}
	if err := run(t.Context(), []string{"--data", data, "backup", filepath.Join(folder, "damaged.backup")}, nil, io.Discard, io.Discard); err == nil {
		t.Error("there is a backup of what is damaged")
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}
