package rpc

import (
	"cmp"
	"fmt"
	"time"
)

// Limits are what the server takes of anybody before it refuses. The tags make each one a flag of the command.
type Limits struct {
	// MaxRequestBytes is how large a request may be, in bytes, as a gRPC message or as JSON; 256 KiB.
	MaxRequestBytes int `name:"max-request-bytes" env:"GOODSHIP_MAX_REQUEST_BYTES" default:"262144" placeholder:"BYTES" help:"How large a request may be; ${default} by default."`
	// MaxHeaderBytes is how large a call's headers or metadata may be together, in bytes; 16 KiB.
	MaxHeaderBytes int `name:"max-header-bytes" env:"GOODSHIP_MAX_HEADER_BYTES" default:"16384" placeholder:"BYTES" help:"How large the headers of a call may be together; ${default} by default."`
	// MaxStreams is how many calls one HTTP/2 connection may have in flight; 128. It keeps a flood of reset streams cheap.
	MaxStreams int `name:"max-streams" env:"GOODSHIP_MAX_STREAMS" default:"128" placeholder:"N" help:"How many calls one HTTP/2 connection may have in flight; ${default} by default."`

	// MaxConnections is how many connections the public listeners have open together; 10,000.
	MaxConnections int `name:"max-connections" env:"GOODSHIP_MAX_CONNECTIONS" default:"10000" placeholder:"N" help:"How many connections may be open at once; ${default} by default."`
	// MaxConnectionsPerAddress is how many of them one address has; 100. A trusted proxy is no address of this kind.
	MaxConnectionsPerAddress int `name:"max-connections-per-address" env:"GOODSHIP_MAX_CONNECTIONS_PER_ADDRESS" default:"100" placeholder:"N" help:"How many connections one address may have open; ${default} by default."`

	// CallsPerConnection is how many calls a second begin on one connection, whatever becomes of them, where each KiB that is
	// read counts as one more; 100, after a second's worth at once, and any if it is negative. What is more waits in the network. It is not for trusted proxies, nor for the
	// connection of a backend that has shown its API key on it.
	CallsPerConnection float64 `name:"calls-per-connection" env:"GOODSHIP_CALLS_PER_CONNECTION" default:"100" placeholder:"RATE" help:"How many calls a second one connection without an API key may begin, -1 for any; ${default} by default."`

	// RatePerWorkspace is how many calls a second are made in one workspace; 2,000. End users leave half of its bucket to the
	// rest. Each rate is that of a bucket which holds 5 seconds' worth, and limits nothing if it is negative.
	RatePerWorkspace float64 `name:"rate-per-workspace" env:"GOODSHIP_RATE_PER_WORKSPACE" default:"2000" placeholder:"RATE" help:"How many calls a second one workspace may make, -1 for any; ${default} by default."`
	// RatePerCaller is how many a second one person makes; 50. A backend that speaks for itself is held to its workspace's rate
	// alone, so that it may bring in what another product had.
	RatePerCaller float64 `name:"rate-per-caller" env:"GOODSHIP_RATE_PER_CALLER" default:"50" placeholder:"RATE" help:"How many calls a second one person may make, -1 for any; ${default} by default."`
	// RatePerAddress is how many a second the customers and visitors behind one address make; 100. So many calls with a bad
	// credential are told why, too, counted apart.
	RatePerAddress float64 `name:"rate-per-address" env:"GOODSHIP_RATE_PER_ADDRESS" default:"100" placeholder:"RATE" help:"How many calls a second customers and visitors may make from one address, -1 for any; ${default} by default."`
	// SessionsPerAddress is how many sessions, and counted apart how many conversations, visitors begin a second from one
	// address; 1. The bucket holds 30 at least.
	SessionsPerAddress float64 `name:"sessions-per-address" env:"GOODSHIP_SESSIONS_PER_ADDRESS" default:"1" placeholder:"RATE" help:"How many sessions a second visitors may begin from one address, -1 for any; ${default} by default."`

	// WatchesPerCaller is how many watches one customer or visitor has open at once; 20.
	WatchesPerCaller int `name:"watches-per-caller" env:"GOODSHIP_WATCHES_PER_CALLER" default:"20" placeholder:"N" help:"How many watches one customer or visitor may have open; ${default} by default."`
	// WatchesPerWorkspace is how many a workspace has, its agents' and backends' among them; 10,000. Customers and visitors have at
	// most half of them.
	WatchesPerWorkspace int `name:"watches-per-workspace" env:"GOODSHIP_WATCHES_PER_WORKSPACE" default:"10000" placeholder:"N" help:"How many watches one workspace may have open, of which customers and visitors may use half; ${default} by default."`

	// HandshakeTimeout is how long a new gRPC connection may take until its first frame, TLS included; 10 s.
	HandshakeTimeout time.Duration `name:"handshake-timeout" env:"GOODSHIP_HANDSHAKE_TIMEOUT" default:"10s" placeholder:"DURATION" help:"How long a new gRPC connection may take to begin; ${default} by default."`
	// ReadHeaderTimeout is how long an HTTP request's headers may take, and a TLS handshake before them; 5 s.
	ReadHeaderTimeout time.Duration `name:"read-header-timeout" env:"GOODSHIP_READ_HEADER_TIMEOUT" default:"5s" placeholder:"DURATION" help:"How long the headers of an HTTP request may take; ${default} by default."`
	// ReadTimeout is how long a whole HTTP request may take to arrive, or a call's message over gRPC; 15 s.
	ReadTimeout time.Duration `name:"read-timeout" env:"GOODSHIP_READ_TIMEOUT" default:"15s" placeholder:"DURATION" help:"How long a whole request may take to arrive; ${default} by default."`
	// WriteTimeout is how long an HTTP call may take from its headers to the end of its reply; 60 s. A stream of events has 10 s
	// for each instead.
	WriteTimeout time.Duration `name:"write-timeout" env:"GOODSHIP_WRITE_TIMEOUT" default:"60s" placeholder:"DURATION" help:"How long an HTTP call may take in all; ${default} by default."`
	// IdleTimeout is how long an HTTP connection stays open without a call; 60 s.
	IdleTimeout time.Duration `name:"idle-timeout" env:"GOODSHIP_IDLE_TIMEOUT" default:"60s" placeholder:"DURATION" help:"How long an HTTP connection stays open without a call; ${default} by default."`

	// KeepaliveMinTime is how often a gRPC client may ping, and only during calls; every 20 s.
	KeepaliveMinTime time.Duration `name:"keepalive-min-time" env:"GOODSHIP_KEEPALIVE_MIN_TIME" default:"20s" placeholder:"DURATION" help:"How much time a gRPC client must leave between pings; ${default} by default."`
	// MaxConnectionIdle is how long a gRPC connection stays open without a call; 5 min.
	MaxConnectionIdle time.Duration `name:"max-connection-idle" env:"GOODSHIP_MAX_CONNECTION_IDLE" default:"5m" placeholder:"DURATION" help:"How long a gRPC connection stays open without a call; ${default} by default."`
	// MaxConnectionAge is when a gRPC connection takes no new calls, so that clients look again where servers are; 30 min.
	MaxConnectionAge time.Duration `name:"max-connection-age" env:"GOODSHIP_MAX_CONNECTION_AGE" default:"30m" placeholder:"DURATION" help:"When a gRPC connection takes no new calls; ${default} by default."`
	// MaxConnectionAgeGrace is how long its calls in flight may take after that; 11 min, which outlives a watch.
	MaxConnectionAgeGrace time.Duration `name:"max-connection-age-grace" env:"GOODSHIP_MAX_CONNECTION_AGE_GRACE" default:"11m" placeholder:"DURATION" help:"How long its calls in flight may take after that; ${default} by default."`
}

// DefaultLimits returns the limits of a server that was told none.
func DefaultLimits() Limits {
	return Limits{
		MaxRequestBytes: 256 << 10,
		MaxHeaderBytes:  16 << 10,
		MaxStreams:      128,

		MaxConnections:           10_000,
		MaxConnectionsPerAddress: 100,

		CallsPerConnection: 100,

		RatePerWorkspace:   2000,
		RatePerCaller:      50,
		RatePerAddress:     100,
		SessionsPerAddress: 1,

		WatchesPerCaller:    20,
		WatchesPerWorkspace: 10_000,

		HandshakeTimeout:  10 * time.Second,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,

		KeepaliveMinTime:      20 * time.Second,
		MaxConnectionIdle:     5 * time.Minute,
		MaxConnectionAge:      30 * time.Minute,
		MaxConnectionAgeGrace: 11 * time.Minute,
	}
}

// Validate returns nil if a server can keep the limits, or else says which it cannot.
func (l Limits) Validate() error {
	return cmp.Or(
		between("max-request-bytes", l.MaxRequestBytes, 1<<10, 64<<20),
		between("max-header-bytes", l.MaxHeaderBytes, 4<<10, 1<<20),
		between("max-streams", l.MaxStreams, 1, 1<<16),
		between("max-connections", l.MaxConnections, 1, 1<<24),
		between("max-connections-per-address", l.MaxConnectionsPerAddress, 1, 1<<24),
		perSecond("calls-per-connection", l.CallsPerConnection),
		perSecond("rate-per-workspace", l.RatePerWorkspace),
		perSecond("rate-per-caller", l.RatePerCaller),
		perSecond("rate-per-address", l.RatePerAddress),
		perSecond("sessions-per-address", l.SessionsPerAddress),
		between("watches-per-caller", l.WatchesPerCaller, 1, 1<<24),
		between("watches-per-workspace", l.WatchesPerWorkspace, 1, 1<<24),
		between("handshake-timeout", l.HandshakeTimeout, time.Millisecond, time.Hour),
		between("read-header-timeout", l.ReadHeaderTimeout, time.Millisecond, time.Hour),
		between("read-timeout", l.ReadTimeout, time.Millisecond, time.Hour),
		between("write-timeout", l.WriteTimeout, time.Millisecond, time.Hour),
		between("idle-timeout", l.IdleTimeout, time.Millisecond, 24*time.Hour),
		between("keepalive-min-time", l.KeepaliveMinTime, time.Second, time.Hour),
		between("max-connection-idle", l.MaxConnectionIdle, time.Second, 24*time.Hour),
		between("max-connection-age", l.MaxConnectionAge, time.Second, 30*24*time.Hour),
		between("max-connection-age-grace", l.MaxConnectionAgeGrace, time.Second, 30*24*time.Hour),
	)
}

// between returns nil if a limit is at least low and at most high, which what is no number is not.
func between[T cmp.Ordered](name string, v, low, high T) error {
	if low <= v && v <= high {
		return nil
	}
	return fmt.Errorf("the limit %s is %v and must be between %v and %v", name, v, low, high)
}

// perSecond returns nil if a limit is a rate, or negative for none.
func perSecond(name string, v float64) error {
	if v < 0 {
		return nil
	}
	if err := between(name, v, 0.001, 1e6); err != nil {
		return fmt.Errorf("%w, or -1 for any", err)
	}
	return nil
}
