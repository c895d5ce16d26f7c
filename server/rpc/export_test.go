package rpc

import (
	"context"
	"log/slog"
	"time"
)

// LoadCertificateAt is LoadCertificate with a clock of the caller's.
var LoadCertificateAt = loadCertificate

// HTTPLog is what HTTP servers log to.
var HTTPLog = httpLog

// WithEventPatience returns the configuration of a server whose readers of server-sent events are given so long.
func (c Config) WithEventPatience(d time.Duration) Config {
	c.eventPatience = d
	return c
}

// Refuser returns what a chain makes of errors.
func Refuser(log *slog.Logger) func(error) error {
	c := &chain{log: log, storeRefusals: new(refusals)}
	return func(err error) error { return c.asFault(context.Background(), "/m", err) }
}
