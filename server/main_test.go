package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store/bolt"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
)

// asServer makes the test binary be the server, so that tests can send it signals.
const asServer = "GOODSHIP_TEST_AS_SERVER"

// quickExit is a value of GORACE. Under the race detector a process waits a second before it exits, for reports of others.
const quickExit = "atexit_sleep_ms=10"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	if err := os.Setenv("GORACE", quickExit); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// args are flags for a server of the test's own.
func args(data string) []string {
	return []string{"--data", data, "--grpc-address", "127.0.0.1:0", "--rest-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"}
}

// buffer is a bytes.Buffer that one goroutine writes and another reads.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
	// heard gets a token after each write.
	heard chan struct{}
}

func newBuffer() *buffer { return &buffer{heard: make(chan struct{}, 1)} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.heard <- struct{}{}:
	default:
	}
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// await waits until an expression matches, and returns what it does.
func (b *buffer) await(r *regexp.Regexp) string {
	for {
		if found := r.FindString(b.String()); found != "" {
			return found
		}
		<-b.heard
	}
}

// serving reports whether a log says that its server serves.
func (b *buffer) serving() bool {
	return strings.Contains(b.String(), "msg=serving") || strings.Contains(b.String(), `"msg":"serving"`)
}

// running is a server under test.
type running struct {
	stdout, stderr *buffer
	// stop ends it and returns what run did.
	stop func() error
}

// start runs a server in the data folder until stop, and returns when it serves.
func start(t testing.TB, data string, more ...string) *running {
	t.Helper()
	r := &running{stdout: newBuffer(), stderr: newBuffer()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, append(args(data), more...), nil, r.stdout, r.stderr) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	for !r.stderr.serving() {
		select {
		case <-r.stderr.heard:
		case err := <-ended:
			ended <- err
			t.Fatalf("run: %v\n%s", err, r.stderr)
		}
	}
	return r
}

var secret = regexp.MustCompile(`gsk_[A-Za-z0-9_-]{43}`)

// A newcomer's first minute: the commands that the server prints work as they stand, and the key is shown once.
func TestTheFirstStartShowsAKeyAndCommandsThatWork(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	r := start(t, data)
	text := r.stdout.String()
	key := secret.FindString(text)
	if key == "" {
		t.Fatalf("no key:\n%s", text)
	}
	t.Run("curl", func(t *testing.T) { tryCurl(t, text) })
	t.Run("grpcurl", func(t *testing.T) { tryGRPCurl(t, text) })
	for path, want := range map[string]fs.FileMode{data: 0o700, filepath.Join(data, "goodship.db"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	again := start(t, data)
	if got := again.stdout.String(); got != "" {
		t.Errorf("the second start says %q", got)
	}
	for _, log := range []string{r.stderr.String(), again.stderr.String()} {
		if secret.MatchString(log) {
			t.Errorf("a key stands in the log:\n%s", log)
		}
	}
	address := regexp.MustCompile(`grpc=(\S+)`).FindStringSubmatch(again.stderr.String())[1]
	if reply := list(t, address, "{}", "authorization", "Bearer "+key, "goodship-act-for", "agent/captain"); len(reply.GetConversations()) != 0 {
		t.Errorf("after a restart the agent sees %v", reply)
	}
}

// tryCurl runs the lines of a text that are commands, in one shell, as a reader would paste them.
func tryCurl(t *testing.T, text string) {
	var script []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "export ") || strings.HasPrefix(line, "curl ") {
			script = append(script, line)
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.Join(script, "echo ---\n")).Output()
	if err != nil || strings.Contains(string(out), "ErrorInfo") {
		t.Fatalf("%v: %s", err, out)
	}
	replies := strings.Split(string(out), "---\n")[1:] // the export says nothing
	wants := []string{`"promise":"300s"`, `"displayName":"Captain"`, `{"watchCursor":`}
	if len(replies) != len(wants) {
		t.Fatalf("got %d replies, want %d:\n%s", len(replies), len(wants), out)
	}
	for i, want := range wants {
		if !json.Valid([]byte(replies[i])) || !strings.Contains(replies[i], want) {
			t.Errorf("command %d answers %s, want %s in it", i+1, replies[i], want)
		}
	}
}

var grpcurlLine = regexp.MustCompile(`grpcurl -plaintext -H "(\S+): Bearer \$KEY" -H '(\S+): ([^']+)' -d '([^']+)' (\S+) (\S+)/(\S+)`)

// tryGRPCurl does what the grpcurl command of a text does, without the tool.
func tryGRPCurl(t *testing.T, text string) {
	p := grpcurlLine.FindStringSubmatch(text)
	if p == nil {
		t.Fatal("no grpcurl command")
	}
	if method := "/" + p[6] + "/" + p[7]; method != goodshipv1.ConversationService_ListConversations_FullMethodName {
		t.Fatalf("it calls %s", method)
	}
	if reply := list(t, p[5], p[4], p[1], "Bearer "+secret.FindString(text), p[2], p[3]); len(reply.GetConversations()) != 0 {
		t.Errorf("it answers %v", reply)
	}
}

func list(t *testing.T, address, body string, md ...string) *goodshipv1.ListConversationsResponse {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var req goodshipv1.ListConversationsRequest
	if err := protojson.Unmarshal([]byte(body), &req); err != nil {
		t.Fatal(err)
	}
	reply, err := goodshipv1.NewConversationServiceClient(conn).ListConversations(metadata.AppendToOutgoingContext(t.Context(), md...), &req)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// onServing is a log that calls a function when the server serves: what should not, must not go on for ever.
type onServing func()

func (f onServing) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("msg=serving")) {
		f()
	}
	return len(p), nil
}

func TestWhatCannotStartSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "goodship.db"), bytes.Repeat([]byte("no store "), 4000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a port in use", append(args(filepath.Join(dir, "never")), "--rest-address", taken.Addr().String()), "is in use: stop the program that has it, or choose another"},
		{"no address", append(args(filepath.Join(dir, "never")), "--grpc-address", "nowhere"), "cannot listen for gRPC"},
		{"a file for a folder", args(file), "choose another with --data"},
		{"a folder below a file", args(filepath.Join(file, "below")), "choose another with --data"},
		{"another program's file", args(foreign), "goodship.db"},
		{"an unknown flag", []string{"--colour"}, "--help"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := run(ctx, c.args, nil, io.Discard, onServing(cancel))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(oneLine(err), "\n") {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "never")); err == nil {
		t.Error("a server that could not listen made its folder")
	}
}

// The process itself: SIGTERM and SIGHUP end it in order, and a failure is one line and a status.
func TestTheProcess(t *testing.T) {
	for _, ending := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(ending) { // as under nohup, where the server outlives its terminal too
			continue
		}
		p := startProcess(t, nil, args(t.TempDir())...)
		if err := p.Signal(ending); err != nil {
			t.Fatal(err)
		}
		if err := <-p.ended; err != nil || !strings.Contains(p.stderr.String(), "stopped") {
			t.Errorf("after %v: %v\n%s", ending, err, p.stderr)
		}
	}

	cmd := exec.CommandContext(t.Context(), os.Args[0], "--grpc-address", "nowhere")
	cmd.Env = append(os.Environ(), asServer+"=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("a server that cannot start ends with %v", err)
	}
	if got := stderr.String(); !strings.HasPrefix(got, "goodship: ") || strings.Count(got, "\n") != 1 {
		t.Errorf("it says %q", got)
	}
}

// A server that starts while a command has the store waits for it.
func TestAServerWaitsForTheStore(t *testing.T) {
	data := t.TempDir()
	kept, err := openStore(data, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closing := make(chan error, 1)
	log := newBuffer()
	go func() {
		log.await(regexp.MustCompile("waiting for the store.*has it open"))
		closing <- kept.Close()
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = run(ctx, args(data), nil, io.Discard, io.MultiWriter(log, onServing(cancel)))
	if err := errors.Join(err, <-closing); err != nil || strings.Count(log.String(), "waiting") != 1 {
		t.Errorf("%v\n%s", err, log)
	}
}

func TestEnvironmentIsTheDefaultOfFlags(t *testing.T) {
	t.Setenv("GOODSHIP_GRPC_ADDRESS", "nowhere")
	if err := run(t.Context(), nil, nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
}

func TestAddressesThatAreShownCanBeCalled(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:0": "127.0.0.1:", ":0": "127.0.0.1:", "0.0.0.0:0": "127.0.0.1:"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(l); !strings.HasPrefix(got, want) {
			t.Errorf("%s is shown as %s", address, got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
