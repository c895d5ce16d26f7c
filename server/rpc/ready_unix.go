//go:build unix

package rpc

import (
	"errors"
	"io"
	"net"
	"syscall"

	"google.golang.org/grpc/mem"
)

// ReadOnReady is Read into a buffer of the pool's, which is taken when there is something to read: it returns the buffer and how
// much was read into it, or no buffer and an error. gRPC asks for it, so that an idle connection keeps no buffer. An encrypted
// one does all the same.
func (c *boundConn) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	most := c.turn(size)
	var buffer *[]byte
	n, err := readReady(c.Conn, func() []byte {
		buffer = pool.Get(size)
		return (*buffer)[:most]
	}, func() { pool.Put(buffer) })
	if err != nil {
		return nil, 0, err
	}
	c.count(n)
	return buffer, n, nil
}

// readReady reads into what take returns. Of a socket, take is called each time that there seems to be something to read, and drop
// if nothing is.
func readReady(conn net.Conn, take func() []byte, drop func()) (n int, err error) {
	socket, ok := conn.(syscall.Conn)
	if !ok { // no socket
		if n, err = conn.Read(take()); err != nil {
			drop()
		}
		return n, err
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, failed = syscall.Read(int(fd), take())
		if n <= 0 {
			drop()
		}
		return !errors.Is(failed, syscall.EAGAIN)
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, failed
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}
