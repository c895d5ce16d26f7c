package doors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
)

// bareHouse is a server put together by the test, so that something inside can go wrong.
type bareHouse struct {
	grpc, rest, admin string
	// workspace is one, and key a key of it with every scope.
	workspace, key string
}

// inside is what goes wrong.
type inside struct {
	// getWorkspace stands for the method, if it is not nil.
	getWorkspace func(context.Context) (*goodshipv1.Workspace, error)
	// store stands before the store.
	store func(store.Store) store.Store
	// config changes how the server is reached.
	config func(*rpc.Config)
}

// bareService is the service with one method that the test has replaced.
type bareService struct {
	*support.Service
	inside inside
}

// GetWorkspace is the test's, or the service's.
func (s *bareService) GetWorkspace(ctx context.Context, req *goodshipv1.GetWorkspaceRequest) (*goodshipv1.Workspace, error) {
	if s.inside.getWorkspace != nil {
		return s.inside.getWorkspace(ctx)
	}
	return s.Service.GetWorkspace(ctx, req)
}

func newBareHouse(t *testing.T, in inside) *bareHouse {
	t.Helper()
	config := rpc.Config{Log: slog.New(slog.DiscardHandler), OperatorKey: "gok_bare"}
	if in.config != nil {
		in.config(&config)
	}
	file, err := bolt.Open(filepath.Join(t.TempDir(), "goodship.db"), bolt.Options{Log: config.Log, MeterProvider: config.MeterProvider})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	kept := store.Store(file)
	if in.store != nil {
		kept = in.store(kept)
	}
	svc, err := support.New(kept, support.Options{MeterProvider: config.MeterProvider})
	if err != nil {
		t.Fatal(err)
	}
	operator := support.WithCaller(t.Context(), support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR})
	made, err := svc.CreateWorkspace(operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "Bare"})
	if err != nil {
		t.Fatal(err)
	}
	h := &bareHouse{workspace: made.Workspace.Id, key: made.Secret}
	h.serve(t, &bareService{svc, in}, config)
	return h
}

// serve serves until the end of the test.
func (h *bareHouse) serve(t *testing.T, svc rpc.Service, config rpc.Config) {
	t.Helper()
	server, err := rpc.New(svc, config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := rpc.Listen(t.Context(), rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	h.grpc, h.rest, h.admin = l.GRPC.Addr().String(), "http://"+l.REST.Addr().String(), "http://"+l.Admin.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// errorsTellNothing lets a method fail and panic with words that must stay inside.
func errorsTellNothing(p *product) {
	const secret = "smtp-password-canary"
	var nothing []string
	for what, fail := range map[string]func(context.Context) (*goodshipv1.Workspace, error){
		"an error": func(context.Context) (*goodshipv1.Workspace, error) { return nil, errors.New(secret) },
		"a panic":  func(context.Context) (*goodshipv1.Workspace, error) { panic(secret) },
		"a slip": func(context.Context) (*goodshipv1.Workspace, error) {
			return nil, fmt.Errorf("%s%s", secret, nothing[len(secret)])
		},
	} {
		h := newBareHouse(p.t, inside{getWorkspace: fail})
		g := overGRPC(p.t.Context(), dial(p.t, h.grpc), bearer(h.key), &goodshipv1.GetWorkspaceRequest{})
		r, err := overREST(p.t.Context(), p.http, h.rest, bearer(h.key), &goodshipv1.GetWorkspaceRequest{})
		if err != nil {
			p.t.Fatal(err)
		}
		for _, a := range []answer{g, r} {
			p.expect(what, a, "Internal INTERNAL")
			for _, word := range []string{secret, ".go:", "goroutine", "runtime error", "support."} {
				if strings.Contains(a.text(), word) {
					p.t.Errorf("%s: the answer holds %q: %s", what, word, a.text())
				}
			}
		}
	}
}
