package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// Addresses are where the server listens, as in `127.0.0.1:9090`. Port 0 takes a free one.
type Addresses struct {
	// GRPC is for gRPC clients; 127.0.0.1:9090 if empty.
	GRPC string
	// REST is for HTTP clients; 127.0.0.1:8080 if empty.
	REST string
	// Admin is for health, readiness and operators; 127.0.0.1:9091 if empty.
	Admin string

	// Encrypted says that Config.TLS will be set.
	Encrypted bool
	// Insecure allows addresses beyond this machine without it. Credentials and conversations then cross the network in the
	// clear, unless something before the server encrypts them.
	Insecure bool
}

// Listeners are the open sockets of a server. Serve closes them; where one is nil, it serves nothing there.
type Listeners struct {
	GRPC, REST, Admin net.Listener
	// Operator is the operators' door, of ListenOperator.
	Operator net.Listener
}

// Listen opens the sockets, or none and an error that says what to do. It stands apart from New so that a port in use is
// known before a store is opened or anything is made in it.
func Listen(ctx context.Context, a Addresses) (*Listeners, error) {
	l := &Listeners{}
	for _, s := range []struct {
		name, address, standard string
		listener                *net.Listener
	}{
		{"gRPC", a.GRPC, "127.0.0.1:9090", &l.GRPC},
		{"REST", a.REST, "127.0.0.1:8080", &l.REST},
		{"admin", a.Admin, "127.0.0.1:9091", &l.Admin},
	} {
		if s.address == "" {
			s.address = s.standard
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
		if err != nil {
			return nil, errors.Join(listenError(s.name, s.address, err), l.Close())
		}
		*s.listener = listener
		if !onLoopback(listener) && !a.Encrypted && !a.Insecure {
			return nil, errors.Join(exposed(s.name, s.address), l.Close())
		}
	}
	return l, nil
}

func listenError(name, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("the %s address %s is in use: stop the program that has it, or choose another address", name, address)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the %s address %s may not be used: choose a port above 1023", name, address)
	default:
		return fmt.Errorf("cannot listen for %s: %w", name, err)
	}
}

// onLoopback reports whether only this machine reaches a listener.
func onLoopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

func exposed(name, address string) error {
	return fmt.Errorf("the %s address %s is reached from beyond this machine and has no TLS: give the server a certificate, "+
		"listen on 127.0.0.1, or say that it is insecure all the same, for a proxy in front that encrypts", name, address)
}

// Close closes the sockets.
func (l *Listeners) Close() error {
	var errs []error
	for _, s := range []net.Listener{l.GRPC, l.REST, l.Admin, l.Operator} {
		if s == nil {
			continue
		}
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
