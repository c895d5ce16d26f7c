package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is the program as a process, which may be killed and started again in the same folder and on the same ports.
type server struct {
	t          *testing.T
	program    string
	data       string
	grpc, rest string
	// key is a credential that may do everything.
	key   string
	cmd   *exec.Cmd
	ended chan error
	log   *output
}

// unlimited are flags without the limits that writers in a hurry run into.
var unlimited = []string{
	"--rate-per-workspace", "-1", "--rate-per-caller", "-1", "--rate-per-address", "-1", "--calls-per-connection", "-1",
	"--max-connections-per-address", "10000", "--admin-address", "127.0.0.1:0",
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

// newServer starts the program in a new folder.
func newServer(t *testing.T, rng *rand.Rand) *server {
	t.Helper()
	s := &server{t: t, program: build(t), data: t.TempDir(), grpc: freeAddress(t, rng), rest: freeAddress(t, rng)}
	s.start()
	s.key = regexp.MustCompile(`gsk_[A-Za-z0-9_-]{43}`).FindString(s.log.String())
	if s.key == "" {
		t.Fatalf("no key:\n%s", s.log)
	}
	t.Cleanup(s.kill)
	return s
}

// freeAddress returns one with a port below those that the system gives to connections: a client that calls while nobody
// listens could get the very port that it calls, and so keep the server from it.
func freeAddress(t *testing.T, rng *rand.Rand) string {
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

// start starts the program, and returns when it serves.
func (s *server) start() {
	s.t.Helper()
	s.log = &output{serving: make(chan struct{})}
	s.cmd = exec.CommandContext(context.Background(), s.program, append([]string{"--data", s.data, "--grpc-address", s.grpc, "--rest-address", s.rest}, unlimited...)...)
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

// kill ends the process at once, and does nothing if it has ended.
func (s *server) kill() { _ = s.end(syscall.SIGKILL) }

// stop lets it drain.
func (s *server) stop() {
	if err := s.end(syscall.SIGTERM); err != nil {
		s.t.Errorf("the server ends with %v\n%s", err, s.log)
	}
}

func (s *server) end(how syscall.Signal) error {
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

// output is what the process writes.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	serving chan struct{}
	once    sync.Once
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.buf.Write(p)
	if bytes.Contains(o.buf.Bytes(), []byte("msg=serving")) {
		o.once.Do(func() { close(o.serving) })
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// lines are the connections of everybody, so that some can be cut.
type lines struct {
	mu   sync.Mutex
	open []*line
}

// line is a connection that leaves the others when it is closed.
type line struct {
	net.Conn
	all *lines
}

// dial connects, and keeps the connection among the others.
func (l *lines) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	made := &line{conn, l}
	l.open = append(l.open, made)
	return made, nil
}

// Close implements net.Conn.
func (c *line) Close() error {
	c.all.mu.Lock()
	for i, other := range c.all.open {
		if other == c {
			c.all.open[i] = c.all.open[len(c.all.open)-1]
			c.all.open = c.all.open[:len(c.all.open)-1]
			break
		}
	}
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// cut closes one connection, whoever has it.
func (l *lines) cut(rng *rand.Rand) {
	l.mu.Lock()
	var unlucky net.Conn
	if len(l.open) > 0 {
		unlucky = l.open[rng.IntN(len(l.open))].Conn
	}
	l.mu.Unlock()
	if unlucky != nil {
		_ = unlucky.Close()
	}
}
