package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTheReaderOfEvents holds the page's reader of server-sent events to what it should read.
func TestTheReaderOfEvents(t *testing.T) { node(t, "reader_test.mjs") }

// TestInABrowser opens the page as a customer and as an agent in a real Chromium, against a server that is killed and started
// again meanwhile. The script has the story; it asks for what only processes can do at an address of this test.
func TestInABrowser(t *testing.T) {
	chromium := program(t, "chromium", "chromium-browser", "google-chrome")
	if _, err := os.Stat("../../node_modules/playwright-core"); err != nil {
		t.Fatalf("Playwright, which drives the browser, is missing: `make test` installs it (%v)", err)
	}
	s := newServer(t)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`gsk_[A-Za-z0-9_-]{43}`).FindString(s.output.String())
	page := servePage(t, s, key)
	control := httptest.NewServer(s.control())
	defer control.Close()
	node(t, "page_test.mjs", "CHROMIUM="+chromium, "PAGE="+page, "REST=http://"+s.rest, "KEY="+key, "CONTROL="+control.URL)
}

// program returns the path of a program that has one of the names.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("there is no %s on the PATH: `make test` provides it, or install it and try again", strings.Join(names, ", "))
	return ""
}

// node runs a script, for at most two minutes.
func node(t *testing.T, script string, environment ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "node"), "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", script)
	cmd.Env = append(append(os.Environ(), "HOME="+t.TempDir()), environment...)
	// Playwright ends the browser then.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", errors.Join(err, context.Cause(ctx)), out)
	}
	t.Logf("%s", out)
}

// servePage runs the product until the end of the test, and returns its origin.
func servePage(t *testing.T, s *server, key string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := newOutput(), make(chan error, 1)
	go func() { ended <- run(ctx, s.grpc, "http://"+s.rest, "0", key, log.New(told, "", 0)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the page: %v\n%s", err, told)
		}
	})
	address := regexp.MustCompile(`(http://localhost:\d+)/\?as=agent`)
	for {
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("the page: %v\n%s", err, told)
		case <-told.heard:
			if found := address.FindStringSubmatch(told.String()); found != nil {
				return found[1]
			}
		}
	}
}

// server is a process of the real server, with a data folder and addresses that stay when it is started again.
type server struct {
	binary, data string

	mu                sync.Mutex
	grpc, rest, admin string
	process           *os.Process // nil if it has ended
	output            *output
	ended             chan struct{}
}

func newServer(t *testing.T) *server {
	t.Helper()
	folder := t.TempDir()
	s := &server{binary: filepath.Join(folder, "server"), data: filepath.Join(folder, "data"), grpc: "127.0.0.1:0", rest: "127.0.0.1:0", admin: "127.0.0.1:0"}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.binary, "../../server")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	t.Cleanup(func() { s.stop(syscall.SIGKILL) })
	return s
}

var serving = regexp.MustCompile(`msg=serving .* grpc=(\S+) rest=(\S+) admin=(\S+)`)

// start starts the server and returns when it serves.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.output, s.ended = newOutput(), make(chan struct{})
	cmd := exec.Command(s.binary, "--data", s.data, "--grpc-address", s.grpc, "--rest-address", s.rest, "--admin-address", s.admin)
	cmd.Stdout, cmd.Stderr = s.output, s.output
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process = cmd.Process
	ended := s.ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how a killed one ends does not matter
	}()
	for {
		select {
		case <-ended:
			return fmt.Errorf("the server ended:\n%s", s.output)
		case <-s.output.heard:
			if found := serving.FindStringSubmatch(s.output.String()); found != nil {
				s.grpc, s.rest, s.admin = found[1], found[2], found[3]
				return nil
			}
		}
	}
}

// stop sends the server a signal and returns when it has ended.
func (s *server) stop(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Signal(signal) // it fails if the server has ended already
	<-s.ended
	s.process = nil
}

// control does what the script asks for: POST /KILL, /TERM, /start. Its own page is of an origin that nobody allows.
func (s *server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.start(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /KILL", func(http.ResponseWriter, *http.Request) { s.stop(syscall.SIGKILL) })
	mux.HandleFunc("POST /TERM", func(http.ResponseWriter, *http.Request) { s.stop(syscall.SIGTERM) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>A stranger</title>")
	})
	return mux
}

// output keeps what one goroutine writes and another reads.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	// heard gets a token after each write.
	heard chan struct{}
}

func newOutput() *output { return &output{heard: make(chan struct{}, 1)} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.heard <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

// String implements fmt.Stringer.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
