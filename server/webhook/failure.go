package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"syscall"
)

// Failure says in a few words why an endpoint did not take a message. It names no address and quotes nothing.
type Failure string

// What can fail.
const (
	NotAllowed  Failure = "the URL is not allowed any more"
	NotFound    Failure = "the host name was not found"
	NotLookedUp Failure = "the host name could not be looked up"
	NotPublic   Failure = "the host name has an address that is not public"
	Unreachable Failure = "no connection"
	SlowConnect Failure = "no connection in time"
	NoListener  Failure = "the connection was refused"
	BadTLS      Failure = "TLS failed"
	Untrusted   Failure = "the certificate is not of a known authority"
	OtherName   Failure = "the certificate is for another name"
	Expired     Failure = "the certificate is not valid at this time"
	TooSlow     Failure = "no reply in time"
	BadReply    Failure = "no reply, or none in HTTP, or its head was too large"
	Redirected  Failure = "the reply was a redirect, and redirects are not followed"
	Refused     Failure = "the reply's status was not from 200 to 299"
)

// dialError is why there is no connection.
type dialError struct {
	failure Failure
	err     error
}

func (e *dialError) Error() string { return "webhook: " + string(e.failure) + ": " + e.err.Error() }

func (e *dialError) Unwrap() error { return e.err }

// undialled returns an error with the failure that it is.
func undialled(ctx context.Context, err error) error {
	failure := Unreachable
	var lookup *net.DNSError
	var earlier *dialError
	switch {
	case errors.As(err, &earlier):
		return err
	case isLate(ctx, err):
		failure = SlowConnect
	case errors.As(err, &lookup) && lookup.IsNotFound:
		failure = NotFound
	case errors.As(err, &lookup):
		failure = NotLookedUp
	case errors.Is(err, syscall.ECONNREFUSED):
		failure = NoListener
	}
	return &dialError{failure, err}
}

// unshaken returns an error of a TLS handshake with the failure that it is.
func unshaken(ctx context.Context, err error) error {
	failure := BadTLS
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case isLate(ctx, err):
		failure = SlowConnect
	case errors.As(err, &authority):
		failure = Untrusted
	case errors.As(err, &name):
		failure = OtherName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		failure = Expired
	}
	return &dialError{failure, err}
}

func isLate(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)
}
