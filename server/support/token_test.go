package support_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// tokenRequest asks for a token for somebody.
func tokenRequest(p person) *goodshipv1.CreateTokenRequest {
	if strings.HasPrefix(string(p), "agent/") {
		return &goodshipv1.CreateTokenRequest{AgentId: p.id()}
	}
	return &goodshipv1.CreateTokenRequest{CustomerId: p.id()}
}

// tokenFor returns a token for somebody, as the server makes it.
func (w *world) tokenFor(p person) string {
	w.t.Helper()
	return do[*goodshipv1.CreateTokenResponse](w, backend, tokenRequest(p)).Token
}

// ends ends the tokens of somebody from before a time, or from before now, and returns the time.
func (w *world) ends(p person, before *timestamppb.Timestamp) time.Time {
	w.t.Helper()
	req := &goodshipv1.RevokeTokensRequest{NotBeforeTime: before}
	if named := tokenRequest(p); named.AgentId != "" {
		req.AgentId = named.AgentId
	} else {
		req.CustomerId = named.CustomerId
	}
	return do[*goodshipv1.RevokeTokensResponse](w, backend, req).NotBeforeTime.AsTime()
}

var visitor = person("customer/visitor_" + strings.Repeat("0", 26))

func TestCreateToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const new person = "customer/new"
	for _, test := range []struct {
		who      person
		lifetime time.Duration
		kind     goodshipv1.Caller
		want     time.Duration
	}{
		{kim, 0, goodshipv1.Caller_CALLER_CUSTOMER, time.Hour},
		{kim, time.Minute, goodshipv1.Caller_CALLER_CUSTOMER, time.Minute},
		{kim, time.Hour, goodshipv1.Caller_CALLER_CUSTOMER, time.Hour},
		{new, 0, goodshipv1.Caller_CALLER_CUSTOMER, time.Hour},
		{visitor, 0, goodshipv1.Caller_CALLER_VISITOR, time.Hour},
		{ada, 0, goodshipv1.Caller_CALLER_AGENT, 12 * time.Hour},
		{ada, 12 * time.Hour, goodshipv1.Caller_CALLER_AGENT, 12 * time.Hour},
		{lea, time.Hour, goodshipv1.Caller_CALLER_LEADER, time.Hour},
	} {
		req := tokenRequest(test.who)
		if test.lifetime > 0 {
			req.Lifetime = durationpb.New(test.lifetime)
		}
		before := image(t, w.store)
		made := do[*goodshipv1.CreateTokenResponse](w, backend, req)
		w.unchanged(before)
		equal(t, "expires", made.ExpireTime.AsTime(), w.clock.Now().Add(test.want))
		equal(t, "form", strings.HasPrefix(made.Token, "gtk_") && len(made.Token) < 400, true)
		sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(made.Token, "gtk_"))
		equal(t, "shows what it says", err != nil || bytes.Contains(sealed, []byte(w.workspace)), false) // three letters may stand there by chance
		c, err := w.Authenticate(t.Context(), made.Token, "")
		equal(t, "error", refusal(err), "")
		equal(t, "kind", c.Kind, test.kind)
		equal(t, "id", c.ID, test.who.id())
		equal(t, "workspace", c.Workspace, w.workspace)
		equal(t, "key and scopes", c.APIKeyID+fmt.Sprint(c.Scopes), "[]")
		w.unchanged(before)
	}
	first := w.tokenFor(kim)
	equal(t, "another each time", w.tokenFor(kim) != first, true)
}

func TestCreateTokenRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := foundWorld(t, w.clock, w.store)
	other.employ("agent/theirs", goodshipv1.Role_ROLE_AGENT)
	w.disables(ben)
	lasts := func(p person, d time.Duration) *goodshipv1.CreateTokenRequest {
		req := tokenRequest(p)
		req.Lifetime = durationpb.New(d)
		return req
	}
	w.refuses(backend, lasts(kim, time.Hour+time.Nanosecond), "InvalidArgument INVALID_REQUEST lifetime")
	w.refuses(backend, lasts(visitor, 12*time.Hour), "InvalidArgument INVALID_REQUEST lifetime")
	w.refuses(backend, tokenRequest(ben), "PermissionDenied AGENT_DISABLED agent_id=ben")
	w.refuses(backend, tokenRequest("agent/nobody"), "NotFound AGENT_NOT_FOUND agent_id=nobody")
	w.refuses(backend, tokenRequest("agent/theirs"), "NotFound AGENT_NOT_FOUND agent_id=theirs")
	token := w.tokenFor(visitor)
	do[*goodshipv1.SignInVisitorResponse](w, kim, &goodshipv1.SignInVisitorRequest{VisitorToken: token})
	w.refuses(backend, tokenRequest(visitor), "InvalidArgument INVALID_REQUEST customer_id")
	equal(t, "one from before the visitor signed in", w.knocks(token, ""), credentialRevoked)
}

// TestSealedTokenEnds lets time pass over a token; there is no leeway, since the clock is one.
func TestSealedTokenEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	customer, agent := w.tokenFor(kim), w.tokenFor(ada)
	w.clock.Jump(time.Hour - time.Microsecond)
	equal(t, "customer's, just before", w.knocks(customer, ""), "")
	w.clock.Jump(time.Microsecond)
	equal(t, "customer's", w.knocks(customer, ""), credentialExpired)
	w.clock.Jump(11*time.Hour - time.Microsecond)
	equal(t, "agent's, just before", w.knocks(agent, ""), "")
	w.clock.Jump(time.Microsecond)
	equal(t, "agent's", w.knocks(agent, ""), credentialExpired)
}

// TestTokenFollowsTheDirectory changes an agent's role under a token: it never allows more than both.
func TestTokenFollowsTheDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leader, agent := w.tokenFor(lea), w.tokenFor(ada)
	kind := func(token string) goodshipv1.Caller {
		t.Helper()
		c, err := w.Authenticate(t.Context(), token, "")
		equal(t, "error", refusal(err), "")
		return c.Kind
	}
	w.employ(lea, goodshipv1.Role_ROLE_AGENT)
	w.employ(ada, goodshipv1.Role_ROLE_LEADER)
	equal(t, "a leader's token, once an agent", kind(leader), goodshipv1.Caller_CALLER_AGENT)
	equal(t, "an agent's token, once a leader", kind(agent), goodshipv1.Caller_CALLER_AGENT)
	equal(t, "a new token", kind(w.tokenFor(ada)), goodshipv1.Caller_CALLER_LEADER)
	signed := w.newSigner(leaderTokens, hs256).token(w, "ada")
	equal(t, "a leader's JWT", kind(signed), goodshipv1.Caller_CALLER_LEADER)
	w.disables(ada)
	for name, token := range map[string]string{"token": agent, "JWT": signed} {
		equal(t, "a disabled agent's "+name, w.knocks(token, ""), "PermissionDenied AGENT_DISABLED agent_id=ada")
	}
	equal(t, "an unknown agent's JWT", w.knocks(w.newSigner(agentTokens, hs256).token(w, "nobody"), ""), "PermissionDenied AGENT_NOT_FOUND agent_id=nobody")
}

// TestSealedTokenRefused knocks with what looks like a token of the server's.
func TestSealedTokenRefused(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	token := w.tokenFor(kim)
	until := timestamppb.New(w.clock.Now().Add(time.Hour))
	sealed := &storev1.Token{Caller: goodshipv1.Caller_CALLER_CUSTOMER, WorkspaceId: w.workspace, Subject: "kim", IssueTime: until, ExpireTime: until}
	equal(t, "one that was sealed so", w.knocks(support.SealToken(w.Service, "gtk_", sealed), ""), "")
	w.opens(kim, "Hello?")
	w.opens(kim, "Hello?")
	page := do[*goodshipv1.ListConversationsResponse](w, backend, &goodshipv1.ListConversationsRequest{PageSize: 1}).NextPageToken
	equal(t, "has a page token", page != "", true)
	renewal := support.SealToken(w.Service, "grt_", sealed)
	for name, forged := range map[string]string{
		"nothing sealed":               "gtk_",
		"a page token":                 "gtk_" + page,
		"a renewal token":              renewal,
		"a renewal token's content":    "gtk_" + strings.TrimPrefix(renewal, "grt_"),
		"another server's":             other.tokenFor(kim),
		"one cut off":                  token[:len(token)-1],
		"one with more":                token + "A",
		"one with another character":   token[:40] + string(token[40]^1) + token[41:],
		"one without its prefix":       strings.TrimPrefix(token, "gtk_"),
		"one with the prefix twice":    "gtk_" + token,
		"one in capitals":              strings.ToUpper(token),
		"an operator's key":            "gok_" + strings.Repeat("A", 43),
		"a signing key's secret":       "gss_" + strings.Repeat("A", 43),
		"an unknown publishable key":   "gpk_" + strings.Repeat("A", 43),
		"a key under the other prefix": "gpk_" + strings.TrimPrefix(w.secret, "gsk_"),
	} {
		t.Run(name, func(t *testing.T) { w.turnsAway(t, forged, credentialInvalid, "") })
	}
}

// TestTokenOfARestoredStore restores a backup: the tokens of the time before do not work, and those that products sign do.
func TestTokenOfARestoredStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, signed := w.tokenFor(kim), w.newSigner(customerTokens, edDSA).token(w, "kim")
	w.restart()
	equal(t, "after a restart", w.knocks(token, ""), "")
	var backup bytes.Buffer
	if err := w.store.Backup(t.Context(), &backup); err != nil {
		t.Fatalf("back up: %v", err)
	}
	dir := t.TempDir()
	if err := bolt.Restore(filepath.Join(dir, "goodship.db"), &backup); err != nil {
		t.Fatalf("restore: %v", err)
	}
	w.store = openStoreIn(t, dir, w.clock.Now)
	w.restart()
	equal(t, "after a restore", w.knocks(token, ""), credentialInvalid)
	equal(t, "a JWT after a restore", w.knocks(signed, ""), "")
	equal(t, "a key after a restore", w.knocks(w.secret, string(kim)), "")
	equal(t, "a new token", w.knocks(w.tokenFor(kim), ""), "")
}

// TestRevokeTokens ends the tokens of one person; who calls by an API key goes on, and so does everybody else.
func TestRevokeTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const new person = "customer/new"
	for p, kind := range map[person]goodshipv1.TokenKind{kim: customerTokens, new: customerTokens, ada: agentTokens, lea: leaderTokens} {
		k, other := w.newSigner(kind, hs256), map[bool]person{true: lou, false: ben}[kind == customerTokens]
		silent := k.drafts(w, p.id())
		delete(silent.claims, "iat")
		ahead := k.drafts(w, p.id())
		ahead.claims["iat"] = w.in(5 * time.Second)
		tokens := map[string]string{
			"token": w.tokenFor(p), "JWT": k.token(w, p.id()), "JWT without iat": silent.sign(), "JWT of a clock that is ahead": ahead.sign(),
		}
		others := map[string]string{"token": w.tokenFor(other), "JWT": k.token(w, other.id())}
		for name, token := range tokens {
			equal(t, string(p)+"'s "+name+" at first", w.knocks(token, ""), "")
		}
		w.clock.Jump(time.Second)
		at := w.ends(p, nil)
		equal(t, "from now on", at.Sub(w.clock.Now()).Abs() < time.Second, true)
		for name, token := range tokens {
			equal(t, string(p)+"'s "+name, w.knocks(token, ""), credentialRevoked)
		}
		for name, token := range others {
			equal(t, string(other)+"'s "+name, w.knocks(token, ""), "")
		}
		equal(t, string(p)+" by an API key", w.knocks(w.secret, string(p)), "")
		equal(t, string(p)+"'s new token", w.knocks(w.tokenFor(p), ""), "")
		for range 6 { // at once, and up to 5 seconds later
			equal(t, string(p)+"'s new JWT, signed soon", w.knocks(k.token(w, p.id()), ""), credentialRevoked)
			w.clock.Jump(time.Second)
		}
		equal(t, string(p)+"'s new JWT", w.knocks(k.token(w, p.id()), ""), "")
		equal(t, string(p)+"'s new JWT without iat", w.knocks(silent.sign(), ""), credentialRevoked)
		w.revokes(k.key)
	}
}

// TestRevocationNeverGoesBack gives times before, at and after one that was set.
func TestRevocationNeverGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := w.clock.Now().Add(time.Hour)
	w.clock.Jump(time.Hour)
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(d)) }
	for _, p := range []person{kim, "customer/new", visitor, ada} {
		equal(t, "set", w.ends(p, at(-time.Minute)), now.Add(-time.Minute))
		equal(t, "set to before", w.ends(p, at(-time.Hour)), now.Add(-time.Minute))
		before := image(t, w.store)
		equal(t, "set to the same", w.ends(p, at(-time.Minute)), now.Add(-time.Minute))
		w.unchanged(before)
		equal(t, "set to later", w.ends(p, at(-time.Second)), now.Add(-time.Second))
	}
	late := &goodshipv1.RevokeTokensRequest{CustomerId: "kim", NotBeforeTime: at(time.Hour)}
	w.refuses(backend, late, "InvalidArgument INVALID_REQUEST not_before_time")
	w.refuses(backend, &goodshipv1.RevokeTokensRequest{AgentId: "nobody"}, "NotFound AGENT_NOT_FOUND agent_id=nobody")
	w.refuses(backend, &goodshipv1.RevokeTokensRequest{CustomerId: "max", NotBeforeTime: at(time.Hour)}, "InvalidArgument INVALID_REQUEST not_before_time")

	etag := do[*goodshipv1.Customer](w, backend, &goodshipv1.GetCustomerRequest{CustomerId: "kim"}).Etag
	w.ends(kim, nil)
	equal(t, "etag", do[*goodshipv1.Customer](w, backend, &goodshipv1.GetCustomerRequest{CustomerId: "kim"}).Etag, etag)
}

// TestTokenAtTheEdgeOfRevocation has the clock stand still, and go back, between a revocation and a new token.
func TestTokenAtTheEdgeOfRevocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []person{kim, ada} {
		before := w.tokenFor(p)
		at := w.ends(p, nil)
		equal(t, "made at the time itself", w.knocks(w.tokenFor(p), ""), "")
		w.clock.Jump(-time.Minute)
		equal(t, "made when the clock was set back", w.knocks(w.tokenFor(p), ""), "")
		equal(t, "made before", w.knocks(before, ""), credentialRevoked)
		w.clock.Jump(time.Minute)
		d := w.newSigner(map[person]goodshipv1.TokenKind{kim: customerTokens, ada: agentTokens}[p], hs256).drafts(w, p.id())
		exactly := at.Truncate(time.Second).Add(time.Second)
		w.clock.Jump(time.Hour)
		w.ends(p, timestamppb.New(exactly))
		d.claims["exp"] = w.in(time.Minute)
		d.claims["iat"] = exactly.Unix() + 5
		equal(t, "a JWT that says 5 seconds after", w.knocks(d.sign(), ""), "")
		d.claims["iat"] = exactly.Unix() + 4
		equal(t, "a JWT that says 4 seconds after", w.knocks(d.sign(), ""), credentialRevoked)
	}
}

// TestTokensEndWithTheirKey revokes an API key: the tokens that it made end, and no others.
func TestTokensEndWithTheirKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.newKey(&goodshipv1.CreateApiKeyRequest{
		DisplayName: "Shop", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT}, ExpireTime: timestamppb.New(w.clock.Now().Add(time.Minute)),
	})
	made := map[person]string{}
	for _, p := range []person{kim, "customer/new", visitor, ada, lea} {
		made[p] = do[*goodshipv1.CreateTokenResponse](w, bearer(key.Secret), tokenRequest(p)).Token
	}
	w.clock.Jump(time.Hour / 2)
	for p, token := range made {
		equal(t, string(p)+"'s, when the key has expired", w.knocks(token, ""), "")
	}
	others := w.tokenFor(kim)
	byOperator, err := w.CreateToken(w.operator(), tokenRequest(kim))
	equal(t, "error", refusal(err), "")
	do[*goodshipv1.ApiKey](w, backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: key.ApiKey.Id})
	for p, token := range made {
		equal(t, string(p)+"'s, when the key is revoked", w.knocks(token, ""), credentialRevoked)
	}
	equal(t, "sign in with one", w.signsIn(kim, made[visitor]), credentialRevoked+ofVisitor)
	equal(t, "another key's", w.knocks(others, ""), "")
	equal(t, "the operator's", w.knocks(byOperator.GetToken(), ""), "")
}

// TestKeyRevokedWhileSigningIn revokes the API key that made a visitor's token just before the visitor signs in with it.
func TestKeyRevokedWhileSigningIn(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	hooks := &hooked{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, hooks)
	key, revoke := w.spareKey()
	token := do[*goodshipv1.CreateTokenResponse](w, bearer(key), tokenRequest(visitor)).Token
	hooks.beforeUnit = func() {
		hooks.beforeUnit = nil
		revoke()
	}
	equal(t, "sign in", w.signsIn(kim, token), credentialRevoked+ofVisitor)
}

// TestEnabledAgain disables an agent and enables them again, which revives no token.
func TestEnabledAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.newSigner(agentTokens, hs256)
	silent := k.drafts(w, "ada")
	delete(silent.claims, "iat")
	tokens := map[string]string{"JWT": k.token(w, "ada"), "JWT without iat": silent.sign(), "token": w.tokenFor(ada)}
	w.clock.Jump(time.Minute)
	at := w.disables(ada).DisableTime.AsTime()
	for name, token := range tokens {
		equal(t, name+" of who is disabled", w.knocks(token, ""), "PermissionDenied AGENT_DISABLED agent_id=ada")
	}
	w.clock.Jump(time.Minute)
	do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: "Ada"}, Enable: true})
	for name, token := range tokens {
		equal(t, name+" of who was disabled", w.knocks(token, ""), credentialRevoked)
	}
	equal(t, "new ones", w.knocks(k.token(w, "ada"), "")+w.knocks(w.tokenFor(ada), "")+w.knocks(w.secret, string(ada)), "")
	equal(t, "revoked from before then", w.ends(ada, timestamppb.New(at.Add(-time.Second))), at)
}
