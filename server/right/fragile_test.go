package right

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/processtest"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/webhook"
)

// fragile is a whole server in this process, over real sockets and a real file, whose commits may fail. Then it is opened anew, as a
// process that was started again.
type fragile struct {
	*house
	data      string
	addresses rpc.Addresses
	faults    *faults

	store  *bolt.Store
	svc    *support.Service
	leave  func()
	served chan error
}

// quiet has nobody read what is logged, since commits fail on purpose.
var quiet = slog.New(slog.DiscardHandler)

// newFragile starts a server in a new folder, and furnishes it.
func newFragile(t *testing.T) *fragile {
	t.Helper()
	rng := random("fragile")
	f := &fragile{
		house: &house{t: t}, data: t.TempDir(), faults: newFaults(),
		addresses: rpc.Addresses{GRPC: processtest.FreeAddress(t, rng), REST: processtest.FreeAddress(t, rng), Admin: processtest.FreeAddress(t, rng)},
	}
	f.rest = f.addresses.REST
	f.open()
	t.Cleanup(func() {
		if f.store != nil {
			f.close()
		}
	})
	made, err := f.svc.CreateWorkspace(support.WithCaller(t.Context(), support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR}), &goodshipv1.CreateWorkspaceRequest{DisplayName: "Fragile"})
	if err != nil {
		t.Fatal(err)
	}
	f.key = made.Secret
	f.as = func(ctx context.Context, who string) context.Context { return processtest.As(ctx, f.key, who) }
	for range 4 {
		f.conns = append(f.conns, processtest.Dial(t, f.addresses.GRPC, nil))
	}
	f.furnish()
	return f
}

// open opens the store and serves it.
func (f *fragile) open() {
	f.t.Helper()
	f.faults.forget()
	var err error
	if f.store, err = bolt.Open(filepath.Join(f.data, "goodship.db"), bolt.Options{Log: quiet, Hooks: f.faults.hooks()}); err != nil {
		f.t.Fatal(err)
	}
	f.svc, err = support.New(noted{f.store, f.faults}, support.Options{Log: quiet, ApologiesPerSecond: 20_000, Webhooks: webhook.Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.svc.Start(context.WithoutCancel(f.t.Context())); err != nil {
		f.t.Fatal(err)
	}
	f.serve()
}

// serve serves on the same addresses each time.
func (f *fragile) serve() {
	f.t.Helper()
	limits := rpc.DefaultLimits()
	limits.RatePerWorkspace, limits.RatePerCaller, limits.RatePerAddress, limits.CallsPerConnection = -1, -1, -1, -1
	server, err := rpc.New(f.svc, rpc.Config{Log: quiet, Limits: limits, DrainTimeout: time.Second})
	if err != nil {
		f.t.Fatal(err)
	}
	l, err := rpc.Listen(f.t.Context(), f.addresses)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.WithoutCancel(f.t.Context()))
	f.leave, f.served = leave, make(chan error, 1)
	go func(served chan error) { served <- server.Serve(ctx, l) }(f.served)
}

// close ends the server, and then its store.
func (f *fragile) close() {
	f.t.Helper()
	f.leave()
	if err := <-f.served; err != nil {
		f.t.Error(err)
	}
	f.svc.Close()
	if err := f.store.Close(); err != nil {
		f.t.Error(err)
	}
	f.store = nil
}
