package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/telemetry"
	"github.com/goodship/goodship/server/webhook"
)

// What lies in the data folder, beside what the store puts there.
const (
	storeName       = "goodship.db"
	socketName      = "goodship.sock"
	operatorKeyName = "operator.key"
)

// Run serves until the context is done.
func (c *config) Run(ctx context.Context, p *place) error {
	observed, err := telemetry.Start(ctx, telemetry.Options{Version: version(), Log: c.log(p.stderr)})
	if err != nil {
		return err
	}
	log := slog.New(observed.Log)
	err = c.open(ctx, p, rpc.Config{
		Log: log, Limits: c.Limits, DrainTimeout: c.DrainTimeout, TrustedProxies: c.TrustedProxies,
		TracerProvider: observed.TracerProvider, MeterProvider: observed.MeterProvider, Propagator: observed.Propagator, Metrics: observed.Metrics,
	})
	if err := observed.Shutdown(context.WithoutCancel(ctx)); err != nil {
		log.Warn("the last telemetry was lost", "error", err)
	}
	return err
}

// version is the module's, as far as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// open opens the listeners and the store, and serves. The order is intended: a mistake in the configuration, or a port in
// use, is found before anything is made, and the store outlives the calls.
func (c *config) open(ctx context.Context, p *place, how rpc.Config) (err error) {
	if how.TLS, err = c.tls(how.Log); err != nil {
		return err
	}
	l, err := c.listen(ctx, how.TLS != nil, how.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := makeFolder(p.data, how.Log); err != nil {
		return err
	}
	kept, err := c.openStore(p.data, how)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	return c.serve(ctx, p, kept, l, how)
}

// patience is how long a server that starts waits for a command, or a server that ends, to close the store.
const patience = 10 * time.Second

// openStore opens the store in the data folder, and waits for who has it open.
func (c *config) openStore(folder string, how rpc.Config) (*bolt.Store, error) {
	o := bolt.Options{AcceptRollback: c.AcceptRollback, Log: how.Log, MeterProvider: how.MeterProvider, LockTimeout: patience / 5}
	kept, err := openStore(folder, o)
	if !errors.Is(err, bolt.ErrOpen) {
		return kept, err
	}
	how.Log.Info("waiting for the store", "error", err)
	o.LockTimeout = patience - o.LockTimeout
	return openStore(folder, o)
}

// serve serves a store on the listeners, and at the operators' door: under the store's lock no other server has that.
func (c *config) serve(ctx context.Context, p *place, kept *bolt.Store, l *rpc.Listeners, how rpc.Config) (err error) {
	if l.Operator, err = rpc.ListenOperator(ctx, filepath.Join(p.data, socketName)); err != nil {
		return err
	}
	if how.OperatorKey, err = operatorKey(filepath.Join(p.data, operatorKeyName), how.Log); err != nil {
		return err
	}
	svc, err := support.New(kept, support.Options{
		Log: how.Log, OverduePerSecond: c.OverdueRate, ApologiesPerSecond: c.ApologiesPerSecond, MeterProvider: how.MeterProvider,
		Webhooks: webhook.Options{AllowHTTP: c.WebhookHTTP, AllowAddresses: c.WebhookNetworks},
	})
	if err != nil {
		return err
	}
	if err := svc.Start(ctx); err != nil {
		return err
	}
	defer svc.Close()
	server, err := rpc.New(svc, how)
	if err != nil {
		return err
	}
	if err := welcome(ctx, svc, l, how.TLS != nil, p.stdout); err != nil {
		return err
	}
	how.Log.Info("serving", "version", version(), "data", p.data, "grpc", l.GRPC.Addr().String(), "rest", l.REST.Addr().String(), "admin", l.Admin.Addr().String())
	if err := server.Serve(ctx, l); err != nil {
		return err
	}
	how.Log.Info("stopped: every call in flight has ended")
	return nil
}

// makeFolder makes the data folder, for its owner alone.
func makeFolder(folder string, log *slog.Logger) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("the data folder cannot be made: %w; choose another with --data", err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("the data folder cannot be read: %w; choose another with --data", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		log.Warn("others than the owner may look into the data folder: chmod 700 it", "data", folder, "mode", info.Mode().Perm().String())
	}
	return nil
}

// openStore opens the store in the data folder.
func openStore(folder string, o bolt.Options) (*bolt.Store, error) {
	kept, err := bolt.Open(filepath.Join(folder, storeName), o)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the data folder %s is not writable: change its owner, or choose another with --data: %w", folder, err)
	case errors.Is(err, bolt.ErrRollback):
		return nil, fmt.Errorf("%w: serve with --accept-rollback", err)
	case errors.Is(err, bolt.ErrOpen):
		return nil, fmt.Errorf("%w: end that process, or wait until it has ended", err)
	case err != nil:
		return nil, fmt.Errorf("%w; --data chooses another folder", err)
	}
	return kept, nil
}

var operatorKeyForm = regexp.MustCompile(`^gok_[A-Za-z0-9_-]{43}$`)

// operatorKey returns the key with which operators come in on the admin address, made if there is no file yet. Who can
// read the file can do everything, so nothing but the file has it.
func operatorKey(path string, log *slog.Logger) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeOperatorKey(path)
	}
	if err != nil {
		return "", fmt.Errorf("the operator's key cannot be read: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others than the owner may use the operator's key: chmod 600 it, or remove it and start again for another", "file", path, "mode", info.Mode().Perm().String())
	}
	key := strings.TrimSpace(string(text))
	if !operatorKeyForm.MatchString(key) {
		return "", fmt.Errorf("%s holds no operator's key: remove the file, and the server makes another", path)
	}
	return key, nil
}

func makeOperatorKey(path string) (string, error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	key := "gok_" + base64.RawURLEncoding.EncodeToString(random)
	err := writeWhole(path, false, func(f *os.File) error {
		_, err := fmt.Fprintln(f, key)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("the operator's key cannot be kept: %w", err)
	}
	return key, nil
}
