package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goodship/goodship/server/rpc"
)

// config is how the server is set up. Each field is a flag, with an environment variable that is its default; the table in
// docs/operating.md is held to it.
type config struct {
	GRPCAddress  string `default:"127.0.0.1:9090" env:"GOODSHIP_GRPC_ADDRESS" group:"addresses" help:"Where gRPC listens; ${default} by default." name:"grpc-address" placeholder:"HOST:PORT"`
	RESTAddress  string `default:"127.0.0.1:8080" env:"GOODSHIP_REST_ADDRESS" group:"addresses" help:"Where REST listens; ${default} by default." name:"rest-address" placeholder:"HOST:PORT"`
	AdminAddress string `default:"127.0.0.1:9091" env:"GOODSHIP_ADMIN_ADDRESS" group:"addresses" help:"Where health, readiness, metrics and operators' gRPC listen; ${default} by default." name:"admin-address" placeholder:"HOST:PORT"`

	TLSCert        string         `env:"GOODSHIP_TLS_CERT" group:"network" help:"Certificate with its chain, in PEM; read again when it changes." name:"tls-cert" placeholder:"FILE"`
	TLSKey         string         `env:"GOODSHIP_TLS_KEY" group:"network" help:"Private key of the certificate, in PEM." name:"tls-key" placeholder:"FILE"`
	Insecure       bool           `env:"GOODSHIP_INSECURE" group:"network" help:"Listen beyond this machine without TLS. Only where something in front encrypts, or the network is your own."`
	TrustedProxies []netip.Prefix `env:"GOODSHIP_TRUSTED_PROXIES" group:"network" help:"Networks of the proxies whose word on callers' addresses counts, with commas, as in 10.0.0.0/8 or 10.0.0.1; none if empty." placeholder:"PREFIX"`

	Limits rpc.Limits `embed:"" group:"limits"`

	LogFormat    string        `default:"text" enum:"text,json" env:"GOODSHIP_LOG_FORMAT" group:"running" help:"How the log is written on stderr: text or json; ${default} by default." placeholder:"FORMAT"`
	LogLevel     string        `default:"info" enum:"debug,info,warn,error" env:"GOODSHIP_LOG_LEVEL" group:"running" help:"The least that is logged: debug, info, warn or error; ${default} by default." placeholder:"LEVEL"`
	DrainTimeout time.Duration `default:"10s" env:"GOODSHIP_DRAIN_TIMEOUT" group:"running" help:"How long calls in flight get to end when the server stops; ${default} by default." placeholder:"DURATION"`

	OverdueRate        int            `default:"500" env:"GOODSHIP_OVERDUE_RATE" group:"running" help:"How many promises and other things that fell due while the server was down are done a second once it serves; and how many conversations it goes through when settings change their times; ${default} by default." name:"overdue-rate" placeholder:"N"`
	ApologiesPerSecond int            `default:"500" env:"GOODSHIP_APOLOGIES_PER_SECOND" group:"running" help:"How many apologies of incidents are written a second, beside the calls; ${default} by default." name:"apologies-per-second" placeholder:"N"`
	WebhookHTTP        bool           `env:"GOODSHIP_WEBHOOK_HTTP" group:"running" help:"Let webhook endpoints have http:// URIs. What is sent there can be read on the way." name:"webhook-http"`
	WebhookNetworks    []netip.Prefix `env:"GOODSHIP_WEBHOOK_NETWORKS" group:"running" help:"Networks that webhooks may reach, on any port, although they are not of the open internet, with commas; none if empty." placeholder:"PREFIX"`
	AcceptRollback     bool           `env:"GOODSHIP_ACCEPT_ROLLBACK" group:"running" help:"Open a file that lost one of its two meta pages, and with it perhaps the newest change."`
}

// groups are the headings of the flags in the help.
var groups = []kong.Group{
	{Key: "addresses", Title: "Addresses:"},
	{Key: "network", Title: "Network:"},
	{Key: "limits", Title: "Limits:"},
	{Key: "running", Title: "Running:"},
}

// Help is what kong shows beside the flags.
func (*config) Help() string {
	return "Traces, metrics and logs go where OpenTelemetry's own variables say: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER (prometheus: /metrics on the admin address), OTEL_LOGS_EXPORTER and their kin. Without them nothing is traced or measured."
}

// Validate is called by kong, as that of the limits is.
func (c *config) Validate() error {
	if c.DrainTimeout <= 0 {
		return fmt.Errorf("--drain-timeout is %v: give the calls in flight some time, as in 10s", c.DrainTimeout)
	}
	if c.OverdueRate <= 0 {
		return fmt.Errorf("--overdue-rate is %d: what fell due has to be done some time, as at 500 a second", c.OverdueRate)
	}
	if c.ApologiesPerSecond <= 0 {
		return fmt.Errorf("--apologies-per-second is %d: apologies that were sent off have to go out, as at 500 a second; to hold one, call PauseApology", c.ApologiesPerSecond)
	}
	return nil
}

// log returns where the server tells what happens.
func (c *config) log(stderr io.Writer) slog.Handler {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // kong lets none through that it does not know
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.NewJSONHandler(stderr, o)
	}
	return slog.NewTextHandler(stderr, o)
}

// tls returns how connections are encrypted, nil for not.
func (c *config) tls(log *slog.Logger) (*tls.Config, error) {
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		return nil, nil
	case c.TLSKey == "":
		return nil, errors.New("--tls-cert needs --tls-key, the file with the certificate's private key in PEM")
	case c.TLSCert == "":
		return nil, errors.New("--tls-key needs --tls-cert, the file with the certificate in PEM")
	}
	return rpc.LoadCertificate(c.TLSCert, c.TLSKey, log)
}

// listen opens the sockets that are reached by address.
func (c *config) listen(ctx context.Context, encrypted bool, log *slog.Logger) (*rpc.Listeners, error) {
	l, err := rpc.Listen(ctx, rpc.Addresses{GRPC: c.GRPCAddress, REST: c.RESTAddress, Admin: c.AdminAddress, Encrypted: encrypted, Insecure: c.Insecure})
	if err != nil {
		return nil, fmt.Errorf("%w; --grpc-address, --rest-address and --admin-address take HOST:PORT, --tls-cert and --tls-key a certificate, and --insecure does without", err)
	}
	for name, listener := range map[string]net.Listener{"grpc": l.GRPC, "rest": l.REST, "admin": l.Admin} {
		if !encrypted && !onLoopback(listener) {
			log.Warn("listening beyond this machine without TLS: something in front must encrypt", "listener", name, "address", listener.Addr().String())
		}
	}
	return l, nil
}
