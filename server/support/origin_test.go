package support_test

import (
	"context"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
)

// counted is a store that counts how often all workspaces are read.
type counted struct {
	store.Store
	reads int
}

func (s *counted) Workspaces(ctx context.Context) ([]*storev1.WorkspaceRecord, error) {
	s.reads++
	return s.Store.Workspaces(ctx)
}

// lets asks whether a workspace, or any, allows an origin.
func (w *world) lets(workspace, origin string) bool {
	w.t.Helper()
	ok, err := w.AllowsOrigin(w.t.Context(), workspace, origin)
	equal(w.t, "error", err, nil)
	return ok
}

// allows sets the origins of the world's workspace.
func (w *world) allows(origins ...string) {
	w.t.Helper()
	w.updates(&goodshipv1.Workspace{AllowedOrigins: origins}, "allowed_origins")
}

func TestAllowsOrigin(t *testing.T) {
	t.Parallel()
	ours := newWorld(t)
	theirs := foundWorld(t, ours.clock, ours.store)
	theirs.Service = ours.Service
	const shop, chat = "https://shop.example", "http://localhost:3000"
	ours.allows(shop)
	theirs.allows(chat, "https://chat.example")
	for _, test := range []struct {
		workspace, origin string
		want              bool
	}{
		{"", shop, true}, {"", chat, true}, {"", "https://chat.example", true},
		{ours.workspace, shop, true}, {ours.workspace, chat, false},
		{theirs.workspace, shop, false}, {theirs.workspace, chat, true},
		{"", "http://shop.example", false}, {"", "https://shop.example:8443", false}, {"", "https://shop.example.evil.example", false},
		{"", "https://a.shop.example", false}, {"", "https://Shop.example", false}, {"", "https://shop.example/", false},
		{"", "null", false}, {"", "*", false}, {"", "", false}, {ours.workspace, "", false},
	} {
		equal(t, "workspace "+test.workspace+" lets "+test.origin, ours.lets(test.workspace, test.origin), test.want)
	}
	ours.allows()
	for _, workspace := range []string{"", ours.workspace} {
		equal(t, "workspace "+workspace+" lets what is not listed any more", ours.lets(workspace, shop), false)
	}
	equal(t, "lets what another lists", ours.lets("", chat), true)
}

// TestOriginsThatNobodySends lists origins that no browser sends, beside ones that one may.
func TestOriginsThatNobodySends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.allows("https://shop.example", "https://shop.example:80", "https://shop.example:65535", "http://localhost:443", "http://127.0.0.1:8080")
	for _, origin := range []string{
		"https://shop.example:443", "http://localhost:80", "http://127.0.0.1:80", "https://shop.example:65536", "https://shop.example:99999", "http://localhost:65536",
	} {
		req := &goodshipv1.UpdateWorkspaceRequest{
			Workspace: &goodshipv1.Workspace{AllowedOrigins: []string{"https://shop.example", origin}}, UpdateMask: mask("allowed_origins"),
		}
		w.refuses(backend, req, "InvalidArgument INVALID_REQUEST workspace.allowed_origins[1]")
	}
}

// TestOriginsAreCached counts how often they are read, and has another node change them.
func TestOriginsAreCached(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	counts := &counted{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, counts)
	node, err := support.New(w.store, support.Options{Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	other := *w
	other.Service = node
	const shop = "https://shop.example"
	w.allows(shop)
	for range 100 {
		equal(t, "lets", w.lets("", shop), true)
		equal(t, "lets another", w.lets("", "https://other.example"), false)
	}
	equal(t, "reads", counts.reads, 1)
	other.allows()
	equal(t, "the workspace's own, at once", w.lets(w.workspace, shop), false)
	clock.Jump(5*time.Second - time.Microsecond)
	equal(t, "lets, until five seconds have passed", w.lets("", shop), true)
	clock.Jump(time.Microsecond)
	equal(t, "lets", w.lets("", shop), false)
	equal(t, "reads", counts.reads, 2)
	other.allows(shop)
	clock.Jump(-time.Hour)
	equal(t, "lets, with a clock set back", w.lets("", shop), true)
}
