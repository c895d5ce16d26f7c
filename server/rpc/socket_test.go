package rpc_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/goodship/goodship/server/rpc"
)

// listenAt opens the operators' socket until the end of the test.
func listenAt(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := rpc.ListenOperator(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func connects(t *testing.T, path string) bool {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// Whatever the umask, nobody but the owner may use the socket, and nothing else is left in the folder.
func TestTheSocketIsItsOwnersOnly(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	folder := socketFolder(t)
	path := filepath.Join(folder, "goodship.sock")
	l := listenAt(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
	if got := l.Addr().String(); got != path || !connects(t, path) {
		t.Errorf("the socket says that it is at %s", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("afterwards the folder holds %v, %v", left, err)
	}
}

func TestASocketOfTheDeadGivesWay(t *testing.T) {
	path := filepath.Join(socketFolder(t), "goodship.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("nothing is left behind: %v", err)
	}
	if listenAt(t, path); !connects(t, path) {
		t.Error("nobody answers")
	}
}

func TestASocketOfTheLivingStays(t *testing.T) {
	path := filepath.Join(socketFolder(t), "goodship.sock")
	first := listenAt(t, path)
	_, err := rpc.ListenOperator(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), "another server answers at "+path) {
		t.Errorf("got %v", err)
	}
	if !connects(t, path) {
		t.Error("the first one's socket has gone")
	}
	// A second Close must not take away what came to stand there after the first.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	listenAt(t, path)
	if err := first.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
	if !connects(t, path) {
		t.Error("the second one's socket has gone")
	}
}

func TestWhereASocketCannotBe(t *testing.T) {
	folder := socketFolder(t)
	file := filepath.Join(folder, "goodship.sock")
	if err := os.WriteFile(file, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, says string }{
		"a file is there":  {file, "is no socket"},
		"no folder":        {filepath.Join(folder, "none", "goodship.sock"), "cannot make the operators' socket"},
		"too long a path":  {filepath.Join(folder, strings.Repeat("x", 100), "goodship.sock"), "choose a shorter data folder"},
		"a file as folder": {filepath.Join(file, "goodship.sock"), "cannot look at the operators' socket"},
	} {
		if _, err := rpc.ListenOperator(t.Context(), c.path); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "dear diary" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

// The longest path that is taken must work.
func TestTheLongestPathOfASocket(t *testing.T) {
	folder := socketFolder(t)
	path := filepath.Join(folder, strings.Repeat("x", 103-len(folder)-1))
	if listenAt(t, path); !connects(t, path) {
		t.Error("nobody answers")
	}
	deep := filepath.Join(folder, strings.Repeat("y", 103-len(folder)-2-len("goodship.sock")))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(deep, "goodship.sock")
	if listenAt(t, path); !connects(t, path) {
		t.Errorf("nobody answers at %d bytes", len(path))
	}
}
