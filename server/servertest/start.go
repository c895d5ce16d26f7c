package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
)

// Start starts a server that runs until stop is called: for TestMain and examples, which have no test that it could end with.
// It is like one of New, but panics where that fails its test at once, logs nothing unless it is told WithLog, and stop
// returns what did not end cleanly.
func Start(opts ...Option) (s *Server, stop func() error) {
	n := &noTest{}
	return start(n, opts), n.end
}

// ender is what a server needs to know of what it ends with.
type ender interface {
	Helper()
	Context() context.Context
	Output() io.Writer
	TempDir() string
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

var _ ender = testing.TB(nil)

// noTest stands where a test would.
type noTest struct {
	cleanups []func()
	errs     []error
}

func (n *noTest) end() error {
	for len(n.cleanups) > 0 {
		last := len(n.cleanups) - 1
		f := n.cleanups[last]
		n.cleanups = n.cleanups[:last]
		f()
	}
	return errors.Join(n.errs...)
}

func (*noTest) Helper()                  {}
func (*noTest) Context() context.Context { return context.Background() }
func (*noTest) Output() io.Writer        { return io.Discard }
func (n *noTest) Cleanup(f func())       { n.cleanups = append(n.cleanups, f) }

func (n *noTest) TempDir() string {
	dir, err := os.MkdirTemp("", "servertest")
	if err != nil {
		n.Fatalf("servertest: %v", err)
	}
	n.Cleanup(func() { n.errs = append(n.errs, os.RemoveAll(dir)) })
	return dir
}

func (n *noTest) Errorf(format string, args ...any) {
	n.errs = append(n.errs, fmt.Errorf(format, args...))
}

func (*noTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
