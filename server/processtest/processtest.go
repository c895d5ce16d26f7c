// Package processtest runs the program as a process of its own, which a test may kill with SIGKILL and start again in the same
// folder and on the same ports.
//
//	s := processtest.New(t, rng)
//	conn := s.Conn(nil)
//	…
//	s.Kill()
//	s.Start()
//
// Connections outlive the process: their calls wait until it serves again, or fail with UNAVAILABLE if it had them.
package processtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Server is the program as a process. Its methods are for one goroutine at a time, except Conn and As.
type Server struct {
	// GRPC and REST are where it is reached, as in `127.0.0.1:12345`: the same each time that it starts.
	GRPC, REST string
	// Data is its folder.
	Data string
	// Key is a credential that may do everything.
	Key string

	t       *testing.T
	program string
	flags   []string
	cmd     *exec.Cmd
	ended   chan error
	log     *output
}

// unlimited are flags without the limits that writers in a hurry run into.
var unlimited = []string{
	"--rate-per-workspace", "-1", "--rate-per-caller", "-1", "--rate-per-address", "-1", "--calls-per-connection", "-1",
	"--max-connections-per-address", "10000", "--admin-address", "127.0.0.1:0",
}

// patience is how long a server may take to serve.
const patience = 30 * time.Second

// New builds the program and starts it in a new folder, without limits of rates and with these flags besides. It ends with the
// test, and fails the test if it logged an error.
func New(t *testing.T, rng *rand.Rand, flags ...string) *Server {
	t.Helper()
	s := &Server{t: t, program: build(t), flags: flags, Data: t.TempDir(), GRPC: FreeAddress(t, rng), REST: FreeAddress(t, rng)}
	s.Start()
	s.Key = regexp.MustCompile(`gsk_[A-Za-z0-9_-]{43}`).FindString(s.log.String())
	if s.Key == "" {
		t.Fatalf("no key:\n%s", s.log)
	}
	t.Cleanup(s.Kill)
	return s
}

// build makes the program, without the race detector, whose place is in the tests of the packages that it is made of. It looks at
// the program's files, so that the test's result is not taken from a cache when one of them is another.
func build(t *testing.T) string {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		_, missing := os.Stat(path)
		return errors.Join(err, missing)
	})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "server")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/goodship/goodship/server").CombinedOutput()
	if err != nil {
		t.Fatalf("building the server: %v\n%s", err, out)
	}
	return program
}

// FreeAddress returns one with a port below those that the system gives to connections: a client that calls while nobody
// listens could get the very port that it calls, and so keep the server from it.
func FreeAddress(t *testing.T, rng *rand.Rand) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rng.IntN(20_000))
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Start starts the program, and returns when it serves.
func (s *Server) Start() {
	s.t.Helper()
	s.log = &output{serving: make(chan struct{})}
	where := []string{"--data", s.Data, "--grpc-address", s.GRPC, "--rest-address", s.REST}
	s.cmd = exec.CommandContext(context.Background(), s.program, append(append(where, unlimited...), s.flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	s.ended = ended
	go func(cmd *exec.Cmd) { ended <- cmd.Wait() }(s.cmd)
	select {
	case <-s.log.serving:
	case err := <-ended:
		ended <- err
		s.t.Fatalf("the server does not start: %v\n%s", err, s.log)
	case <-time.After(patience):
		s.t.Fatalf("the server does not serve:\n%s", s.log)
	}
}

// Kill ends the process at once, and does nothing if it has ended.
func (s *Server) Kill() { _ = s.end(syscall.SIGKILL) }

// Stop lets it drain.
func (s *Server) Stop() {
	if err := s.end(syscall.SIGTERM); err != nil {
		s.t.Errorf("the server ends with %v\n%s", err, s.log)
	}
}

func (s *Server) end(how syscall.Signal) error {
	if err := s.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("ending the server: %v", err)
	}
	err := <-s.ended
	s.ended <- err
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			s.t.Errorf("the server logs %s", line)
		}
	}
	return err
}

// Conn returns a connection to the server, as Dial does.
func (s *Server) Conn(dial Dialer) *grpc.ClientConn {
	s.t.Helper()
	return Dial(s.t, s.GRPC, dial)
}

// Dialer makes connections; nil makes them as they are.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a connection that comes back soon after a server does, closed at the end of the test. Its calls wait for that, and none
// is repeated by itself.
func Dial(t *testing.T, address string, dial Dialer) *grpc.ClientConn {
	t.Helper()
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	quick := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.5, MaxDelay: 200 * time.Millisecond}, MinConnectTimeout: time.Second}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(quick),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// As returns a context whose calls are somebody's, as the package's As does with the server's key.
func (s *Server) As(ctx context.Context, who string) context.Context { return As(ctx, s.Key, who) }

// As returns a context whose calls are somebody's: `customer/<id>`, `agent/<id>`, or with an empty string the backend's.
func As(ctx context.Context, key, who string) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	if who != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "goodship-act-for", who)
	}
	return ctx
}
