package rpc_test

import (
	"net"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/rpc"
)

// Nothing listens beyond this machine in the clear unless it was said that it should, and nothing stays open of what was
// refused.
func TestNobodyListensBeyondThisMachineInTheClear(t *testing.T) {
	const here, everywhere = "127.0.0.1:0", "0.0.0.0:0"
	for _, c := range []struct {
		name    string
		a       rpc.Addresses
		refused string
	}{
		{"loopback", rpc.Addresses{GRPC: here, REST: "localhost:0", Admin: here}, ""},
		{"gRPC", rpc.Addresses{GRPC: everywhere, REST: here, Admin: here}, "the gRPC address 0.0.0.0:0 is reached from beyond this machine"},
		{"REST, by no name", rpc.Addresses{GRPC: here, REST: ":0", Admin: here}, "the REST address :0 is reached from beyond this machine"},
		{"admin", rpc.Addresses{GRPC: here, REST: here, Admin: everywhere}, "the admin address 0.0.0.0:0 is reached from beyond this machine"},
		{"insecure all the same", rpc.Addresses{GRPC: everywhere, REST: everywhere, Admin: everywhere, Insecure: true}, ""},
		{"encrypted", rpc.Addresses{GRPC: everywhere, REST: everywhere, Admin: everywhere, Encrypted: true}, ""},
	} {
		l, err := rpc.Listen(t.Context(), c.a)
		if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v", c.name, err)
		}
		if l != nil {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}

	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", here)
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: address, REST: here, Admin: everywhere}); err == nil {
		t.Error("the admin listener is open to all")
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
		_ = c.Close()
		t.Error("the gRPC listener stayed open")
	}
}
