package rpc

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// What a connection gets from its listener is that who vanished is given up in time; one of a Unix socket, which nobody
// vanishes from, is let in as it is.
func TestAConnectionEndsWhenNobodyHearsIt(t *testing.T) {
	c := newConnections(bounds(100, 100), nil, quiet, newClock().now)
	conn := entranceOf(t, c, "tcp", "127.0.0.1:0").letIn("").(*boundConn)
	raw, err := conn.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	after := 0
	read := func(fd uintptr) { after, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout) }
	if failed := raw.Control(read); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	if got := time.Duration(after) * time.Millisecond; got != 80*time.Second {
		t.Errorf("unheard, a connection ends after %v", got)
	}
	entranceOf(t, c, "unix", t.TempDir()+"/s").letIn("")
}
