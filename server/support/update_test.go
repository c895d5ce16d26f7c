package support_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// ending ends what calls come with.
type ending struct {
	// comes lets a call by somebody in, and returns its context and what ends what it came with.
	comes func(w *world, p person) (context.Context, func())
	// tokens says that only people come with it.
	tokens bool
}

var endings = map[string]ending{
	"API key revoked": {func(w *world, p person) (context.Context, func()) {
		key, end := w.spareKey()
		return w.with(key, p), end
	}, false},
	"API key revoked that made the token": {func(w *world, p person) (context.Context, func()) {
		key, end := w.spareKey()
		return w.by(bearer(do[*goodshipv1.CreateTokenResponse](w, bearer(key), tokenRequest(p)).Token)), end
	}, true},
	"signing key revoked": {func(w *world, p person) (context.Context, func()) {
		k := w.newSigner(tokensOf(p), hs256)
		return w.by(bearer(k.token(w, p.id()))), func() { w.revokes(k.key) }
	}, true},
	"signing key forgotten": {func(w *world, p person) (context.Context, func()) {
		k := w.newSigner(tokensOf(p), hs256)
		return w.by(bearer(k.token(w, p.id()))), func() {
			w.revokes(k.key)
			for range 7 {
				w.revokes(w.newSigner(tokensOf(p), hs256).key)
			}
		}
	}, true},
	"tokens revoked": {func(w *world, p person) (context.Context, func()) {
		return w.by(bearer(w.tokenFor(p))), func() { w.ends(p, nil) }
	}, true},
}

// spareKey makes a key that may do everything, and returns its secret and what revokes it.
func (w *world) spareKey() (secret string, revoke func()) {
	w.t.Helper()
	made := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Spare", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT, goodshipv1.Scope_SCOPE_ADMIN}})
	return made.Secret, func() { do[*goodshipv1.ApiKey](w, backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: made.ApiKey.Id}) }
}

// with returns the context of a new call for somebody, by another key of the workspace.
func (w *world) with(secret string, p person) context.Context {
	w.t.Helper()
	other := *w
	other.secret = secret
	return other.by(p)
}

// tokensOf returns the kind of the tokens of somebody.
func tokensOf(p person) goodshipv1.TokenKind {
	switch p {
	case lea:
		return leaderTokens
	case ada, ben:
		return agentTokens
	}
	return customerTokens
}

// withoutUnit are methods with an effect that keep nothing, so that there is nothing to look at again in a unit.
var withoutUnit = []string{
	"CreateToken",          // ends with its key
	"CreateVisitorSession", // by a key that everyone can read
}

// TestEndedMeanwhile lets calls go on that were let in before what they came with was ended: none has an effect.
func TestEndedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(methods())) {
		m := methods()[name]
		onlyOperators := !slices.ContainsFunc(m.callers, func(c goodshipv1.Caller) bool { return c != goodshipv1.Caller_CALLER_OPERATOR })
		if m.reads || onlyOperators || slices.Contains(withoutUnit, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p := newWorld(t), whoCalls(m)
			req := w.example(name)
			for name, e := range endings {
				if e.tokens && p == backend {
					continue
				}
				w.clock.Jump(10 * time.Second) // past the leeway after the revocation of tokens
				ctx, end := e.comes(w, p)
				end()
				before := image(t, w.store)
				_, err := w.call(ctx, req)
				equal(t, name, refusal(err), credentialRevoked)
				w.unchanged(before)
			}
			do[proto.Message](w, p, req)
		})
	}
}

// whoCalls returns a person who may call a method, who can with its example; the backend if there is none.
func whoCalls(m method) person {
	d, ok := deeds[m.name]
	switch {
	case ok && d.by.id() != "":
		return d.by
	case ok:
	case slices.Contains(m.callers, goodshipv1.Caller_CALLER_LEADER):
		return lea
	case slices.Contains(m.callers, goodshipv1.Caller_CALLER_CUSTOMER):
		return kim
	}
	return backend
}

// TestDemotedMeanwhile lets calls go on that were let in before a leader became an agent: none has an effect that only
// leaders' calls have.
func TestDemotedMeanwhile(t *testing.T) {
	t.Parallel()
	tried := 0
	for name, m := range methods() {
		if m.reads || !slices.Contains(m.callers, goodshipv1.Caller_CALLER_LEADER) || slices.Contains(m.callers, goodshipv1.Caller_CALLER_AGENT) {
			continue
		}
		tried++
		w := newWorld(t)
		req, ctx := w.example(name), w.by(lea)
		w.employ(lea, goodshipv1.Role_ROLE_AGENT)
		before := image(t, w.store)
		w.answers(ctx, req, "PermissionDenied CALLER_NOT_ALLOWED allowed=BACKEND,LEADER caller=AGENT")
		w.unchanged(before)
		w.employ(lea, goodshipv1.Role_ROLE_LEADER)
		do[proto.Message](w, lea, req)
	}
	equal(t, "there are such methods", tried > 0, true)
}
