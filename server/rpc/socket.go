package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath is how many bytes the path of a Unix socket may have wherever the server runs.
const maxSocketPath = 103

// ListenOperator opens the operators' door: a Unix socket that only the owner of the process may use. A socket that a
// server left behind when it died gives way; one that answers does not. Call it with the store in its folder open: the
// store's lock keeps two servers from opening one door at once.
func ListenOperator(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path of the operators' socket has %d bytes and may have %d: choose a shorter data folder: %s", len(path), maxSocketPath, path)
	}
	if err := vacant(ctx, path); err != nil {
		return nil, err
	}
	// Made in a folder that nobody else enters and moved when it is closed to others, the socket is at no time open to them,
	// whatever the process's umask.
	folder, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, fmt.Errorf("cannot make the operators' socket: %w", err)
	}
	defer func() { _ = os.Remove(folder) }()
	made := filepath.Join(folder, "s")
	l, err := new(net.ListenConfig).Listen(ctx, "unix", made)
	if err != nil {
		return nil, fmt.Errorf("cannot make the operators' socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make the operators' socket: %w", err), l.Close(), os.Remove(made))
	}
	return &socket{l, path}, nil
}

// vacant returns nil if nothing stands at a path, or only the socket of a process that is dead.
func vacant(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot look at the operators' socket: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is no socket, and the operators' socket has its place there: move it away", path)
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("another server answers at %s: stop it, or choose another data folder", path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("cannot tell whether a server answers at %s: %w", path, err)
	}
	return nil
}

// socket is a Unix socket that was moved after it was made, and goes with its listener.
type socket struct {
	net.Listener
	path string
}

// Addr returns where the socket is.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close removes the socket the first time only: what stands there later is another's.
func (s *socket) Close() error {
	if err := s.Listener.Close(); err != nil {
		return err
	}
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
