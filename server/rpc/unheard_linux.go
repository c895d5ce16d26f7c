package rpc

import (
	"net"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall does not name. Its unit is the millisecond.
const tcpUserTimeout = 0x12

// endUnheard has the kernel end a connection when the other side acknowledges nothing for so long of what was sent: of who
// vanished, it would send again for a quarter of an hour. That it cannot is no reason to turn anybody away.
func endUnheard(conn net.Conn, after time.Duration) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil { // it has ended
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(after.Milliseconds()))
	})
}
