package doors_test

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// caller is somebody who calls.
type caller struct {
	name string
	// kind is what they are, if they are let in.
	kind goodshipv1.Caller
	// person is their id, if they are one.
	person string
	credential
	// scopes are a backend's.
	scopes []goodshipv1.Scope
	// refused is the answer to whatever they call; empty if they are let in.
	refused string
	// at is the listener that they come to: the public ones if empty.
	at listener
	// lost says that an operator names no workspace.
	lost bool
}

// listener is a door of the house.
type listener string

const (
	public   listener = ""
	socket   listener = "socket"
	adminTCP listener = "admin"
)

// served are the services behind the operators' doors; behind the public's are all others, and two of these.
var served = map[string]bool{"OperatorService": true, "AdminService": true, "DirectoryService": true}

// serves reports whether a method can be called at a listener.
func (l listener) serves(m method) bool {
	if l == public {
		return m.service != "OperatorService"
	}
	return served[m.service]
}

func (c caller) isCustomer() bool {
	return c.kind == goodshipv1.Caller_CALLER_CUSTOMER || c.kind == goodshipv1.Caller_CALLER_VISITOR
}

func (c caller) isAgent() bool {
	return c.kind == goodshipv1.Caller_CALLER_AGENT || c.kind == goodshipv1.Caller_CALLER_LEADER
}

// Answers at the door.
const (
	none    = "Unauthenticated CREDENTIAL_MISSING"
	invalid = "Unauthenticated CREDENTIAL_INVALID"
	expired = "Unauthenticated CREDENTIAL_EXPIRED"
	gone    = "Unauthenticated CREDENTIAL_REVOKED"
	noScope = "PermissionDenied SCOPE_MISSING"
	badFor  = "InvalidArgument ACT_FOR_INVALID"
)

// side is whose side the caller is on, in a conversation.
func (c caller) side() goodshipv1.SenderKind {
	switch {
	case c.isCustomer():
		return goodshipv1.SenderKind_SENDER_KIND_CUSTOMER
	case c.isAgent():
		return goodshipv1.SenderKind_SENDER_KIND_AGENT
	}
	return goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC
}

const (
	act       = goodshipv1.Scope_SCOPE_ACT
	admin     = goodshipv1.Scope_SCOPE_ADMIN
	billing   = goodshipv1.Scope_SCOPE_CREDITS
	incidents = goodshipv1.Scope_SCOPE_INCIDENTS_SEND
	privacy   = goodshipv1.Scope_SCOPE_PRIVACY
)

// scopes are all that there are.
var scopes = []goodshipv1.Scope{act, admin, billing, incidents, privacy}

// scopedCallers are backends with a key of one scope each.
func (p *product) scopedCallers() []caller {
	p.t.Helper()
	var all []caller
	for _, s := range scopes {
		name := "backend with " + strings.TrimPrefix(s.String(), "SCOPE_")
		all = append(all, caller{name: name, kind: backends, credential: credential{token: p.newKey(s).Secret}, scopes: []goodshipv1.Scope{s}})
	}
	return all
}

// keyCallers are who comes with an API key, and who comes with nothing.
func (p *product) keyCallers() []caller {
	p.t.Helper()
	short := p.do(p.backend(), &goodshipv1.CreateApiKeyRequest{
		DisplayName: "For a minute", Scopes: []goodshipv1.Scope{act, admin}, ExpireTime: timestamppb.New(p.clock.Now().Add(time.Minute)),
	}).(*goodshipv1.CreateApiKeyResponse).Secret
	p.clock.Jump(time.Minute)
	revoked := p.newKey(act, admin)
	p.do(p.backend(), &goodshipv1.RevokeApiKeyRequest{ApiKeyId: revoked.ApiKey.Id})
	plain := p.newKey().Secret
	p.do(p.backend(), &goodshipv1.DisableAgentRequest{AgentId: jo})

	return append(p.scopedCallers(), []caller{
		{name: "nobody", refused: none},
		{name: "nobody, for an agent", credential: credential{actFor: "agent/" + lea}, refused: none},
		{name: "backend", kind: backends, credential: p.backend(), scopes: scopes},
		{name: "backend without scopes", kind: backends, credential: credential{token: plain}},
		{name: "backend with an unknown key", credential: credential{token: plain[:len(plain)-3] + "aaa"}, refused: invalid},
		{name: "backend with a revoked key", credential: credential{token: revoked.Secret}, refused: gone},
		{name: "backend with an expired key", credential: credential{token: short}, refused: expired},
		{name: "agent with an expired key", credential: credential{short, "agent/" + ada}, refused: expired},
		{name: "agent without the scope", credential: credential{plain, "agent/" + ada}, refused: noScope},
		{name: "customer without the scope", credential: credential{plain, "customer/" + kim}, refused: noScope},
		{name: "somebody of no kind", credential: credential{p.key, "leader/" + lea}, refused: badFor},
		{name: "operator by a key", credential: credential{p.key, "workspace/" + p.workspace}, refused: badFor},
		{name: "agent", kind: agents, person: ada, credential: p.agent(ada)},
		{name: "leader", kind: leaders, person: lea, credential: p.agent(lea)},
		{name: "disabled agent", credential: p.agent(jo), refused: "PermissionDenied AGENT_DISABLED"},
		{name: "unknown agent", credential: p.agent("nobody"), refused: "PermissionDenied AGENT_NOT_FOUND"},
		{name: "customer", kind: customers, person: kim, credential: p.customer(kim)},
	}...)
}

// tokenCallers are who comes with a token: a JWT, or one that the server made.
func (p *product) tokenCallers(abroad *product) []caller {
	p.t.Helper()
	const ofCustomer, ofAgent, ofLeader = goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, goodshipv1.TokenKind_TOKEN_KIND_AGENT, goodshipv1.TokenKind_TOKEN_KIND_LEADER
	old := p.newSigner(ofCustomer, false)
	p.do(p.backend(), &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: old.id})
	hs, ed := p.newSigner(ofCustomer, false), p.newSigner(ofCustomer, true)
	agentKey, leaderKey := p.newSigner(ofAgent, true), p.newSigner(ofLeader, false)
	all := []caller{
		{name: "customer by HS256", kind: customers, person: kim, credential: bearer(hs.token(kim))},
		{name: "customer by EdDSA", kind: customers, person: kim, credential: bearer(ed.token(kim))},
		{name: "customer by token", kind: customers, person: kim, credential: bearer(p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim}))},
		{name: "customer who was unknown", kind: customers, person: "newcomer", credential: bearer(hs.token("newcomer"))},
		{name: "agent by JWT", kind: agents, person: ada, credential: bearer(agentKey.token(ada))},
		{name: "agent by token", kind: agents, person: ada, credential: bearer(p.newToken(&goodshipv1.CreateTokenRequest{AgentId: ada}))},
		{name: "agent with a leader's JWT", kind: agents, person: ada, credential: bearer(leaderKey.token(ada))},
		{name: "leader by JWT", kind: leaders, person: lea, credential: bearer(leaderKey.token(lea))},
		{name: "leader by token", kind: leaders, person: lea, credential: bearer(p.newToken(&goodshipv1.CreateTokenRequest{AgentId: lea}))},
		{name: "leader with an agent's JWT", kind: agents, person: lea, credential: bearer(agentKey.token(lea))},
		{name: "disabled agent by JWT", credential: bearer(agentKey.token(jo)), refused: "PermissionDenied AGENT_DISABLED"},
		{name: "unknown agent by JWT", credential: bearer(agentKey.token("nobody")), refused: "PermissionDenied AGENT_NOT_FOUND"},
		{name: "customer as an agent by JWT", credential: bearer(agentKey.token(kim)), refused: "PermissionDenied AGENT_NOT_FOUND"},
		{name: "JWT that acts for another", credential: credential{hs.token(kim), "customer/" + lou}, refused: badFor},
		{name: "JWT of a revoked key", credential: bearer(old.token(kim)), refused: gone},
	}
	for name, token := range forged(p, abroad, hs, ed, agentKey) {
		all = append(all, caller{name: "JWT " + name, credential: bearer(token), refused: invalid})
	}
	slices.SortFunc(all, func(a, b caller) int { return strings.Compare(a.name, b.name) }) // the same in every product
	return append(all, p.endedTokens(hs, agentKey)...)
}

// forged returns tokens that must not be believed, by what is wrong with them.
func forged(p, abroad *product, hs, ed, agent signer) map[string]string {
	p.t.Helper()
	other := abroad.newSigner(goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, false)
	defer abroad.do(abroad.backend(), &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: other.id})
	with := func(s signer, method jwt.SigningMethod, key any) signer { s.method, s.key = method, key; return s }
	now := p.clock.Now()
	signed := hs.token(kim)
	return map[string]string{
		"without a signature":                  with(hs, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType).token(kim),
		"with an empty signature":              signed[:strings.LastIndexByte(signed, '.')+1],
		"signed with the public key":           with(ed, jwt.SigningMethodHS256, []byte(publicPEM(p.t, ed.key.(ed25519.PrivateKey).Public().(ed25519.PublicKey)))).token(kim),
		"signed with the kid":                  with(hs, jwt.SigningMethodHS256, []byte(hs.id)).token(kim),
		"of another algorithm":                 with(hs, jwt.SigningMethodHS512, hs.key).token(kim),
		"of another's key":                     with(hs, other.method, other.key).token(kim),
		"of another workspace's key":           other.token(kim, claimed("aud", hs.aud)),
		"of our key for another workspace":     hs.token(kim, claimed("aud", other.aud)),
		"of a customer's key for agents":       hs.token(ada, claimed("aud", agent.aud)),
		"of a customer's key under an agent's": with(agent, hs.method, hs.key).token(ada),
		"for two audiences":                    hs.token(kim, claimed("aud", []string{hs.aud, agent.aud})),
		"for no audience":                      hs.token(kim, claimed("aud", nil)),
		"without a kid":                        hs.token(kim, headed("kid", "")),
		"without a subject":                    hs.token("", claimed("sub", nil)),
		"for an id that is none":               hs.token("../" + kim),
		"for a visitor":                        hs.token("visitor_" + strings.Repeat("0", 26)),
		"without an end":                       hs.token(kim, claimed("exp", nil)),
		"that lasts too long":                  hs.token(kim, claimed("exp", now.Add(2*time.Hour).Unix())),
		"from the future":                      hs.token(kim, claimed("iat", now.Add(50*time.Minute).Unix()), claimed("exp", now.Add(55*time.Minute).Unix())),
		"not good yet":                         hs.token(kim, claimed("nbf", now.Add(50*time.Minute).Unix()), claimed("exp", now.Add(55*time.Minute).Unix())),
		"with a critical extension":            hs.token(kim, headed("crit", []string{"b64"})),
		"in pieces":                            "..",
		"changed after it was signed":          changed(signed, hs.token(lou)),
	}
}

// changed returns the claims of one token under the signature of another.
func changed(signed, claims string) string {
	a, b := strings.Split(signed, "."), strings.Split(claims, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

// endedTokens are tokens that worked once, and what else is none.
func (p *product) endedTokens(hs, agentKey signer) []caller {
	p.t.Helper()
	p.employ("purser-inner", goodshipv1.Role_ROLE_AGENT)
	ended := map[string]string{
		"customer with revoked JWT":                  hs.token("passenger"),
		"customer with revoked token":                p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: "passenger"}),
		"agent with revoked JWT":                     agentKey.token("purser-inner"),
		"agent with revoked token":                   p.newToken(&goodshipv1.CreateTokenRequest{AgentId: "purser-inner"}),
		"customer with a JWT that does not say when": hs.token("passenger", claimed("iat", nil)),
	}
	p.do(p.backend(), &goodshipv1.RevokeTokensRequest{CustomerId: "passenger"})
	p.do(p.backend(), &goodshipv1.RevokeTokensRequest{AgentId: "purser-inner"})
	var all []caller
	for name, token := range ended {
		all = append(all, caller{name: name, credential: bearer(token), refused: gone})
	}
	slices.SortFunc(all, func(a, b caller) int { return strings.Compare(a.name, b.name) })
	short := p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim, Lifetime: durationpb.New(time.Minute)})
	shortJWT := hs.token(kim, claimed("exp", p.clock.Now().Add(time.Second).Unix()))
	p.clock.Jump(2 * time.Minute)
	return append(all,
		caller{name: "customer with an expired token", credential: bearer(short), refused: expired},
		caller{name: "customer with an expired JWT", credential: bearer(shortJWT), refused: expired},
		caller{name: "token that was changed", credential: bearer(short[:len(short)-4] + "aaaa"), refused: invalid},
		caller{name: "signing key's secret", credential: bearer(string(hs.key.([]byte))), refused: invalid},
		caller{name: "operator's key in public", credential: bearer(p.OperatorKey), refused: invalid},
	)
}

// newToken makes a token with CreateToken.
func (p *product) newToken(req *goodshipv1.CreateTokenRequest) string {
	p.t.Helper()
	return p.do(p.backend(), req).(*goodshipv1.CreateTokenResponse).Token
}

// bearer is a credential that says all by itself.
func bearer(token string) credential { return credential{token: token} }

// visitorCallers are who comes with a publishable key, and the visitors whom it lets in.
func (p *product) visitorCallers() []caller {
	p.t.Helper()
	page, old := p.newPage(), p.newPage()
	p.do(p.backend(), &goodshipv1.RevokeApiKeyRequest{ApiKeyId: old.ApiKey.Id})
	key := page.ApiKey.PublishableKey
	visitor, renewed, signedIn := p.newSession(key, ""), p.newSession(key, ""), p.newSession(key, "")
	again := p.newSession(key, renewed.RenewalToken)
	p.do(p.customer(kim), &goodshipv1.SignInVisitorRequest{VisitorToken: signedIn.Token})
	return []caller{
		{name: "widget", kind: widgets, credential: bearer(key)},
		{name: "widget with a revoked key", credential: bearer(old.ApiKey.PublishableKey), refused: gone},
		{name: "widget that acts for a customer", credential: credential{key, "customer/" + kim}, refused: badFor},
		{name: "visitor", kind: visitors, person: visitor.VisitorId, credential: bearer(visitor.Token)},
		{name: "visitor of a renewed session", kind: visitors, person: again.VisitorId, credential: bearer(again.Token)},
		{name: "visitor who acts for a customer", credential: credential{visitor.Token, "customer/" + kim}, refused: badFor},
		{name: "visitor who signed in", credential: bearer(signedIn.Token), refused: gone},
		{name: "renewal token", credential: bearer(visitor.RenewalToken), refused: invalid},
	}
}

// newPage makes a publishable key.
func (p *product) newPage() *goodshipv1.CreateApiKeyResponse {
	p.t.Helper()
	return p.do(p.backend(), &goodshipv1.CreateApiKeyRequest{
		DisplayName: "Page", Kind: goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE,
	}).(*goodshipv1.CreateApiKeyResponse)
}

// newSession begins a visitor's session, or goes on with one.
func (p *product) newSession(key, renewal string) *goodshipv1.VisitorSession {
	p.t.Helper()
	return p.do(bearer(key), &goodshipv1.CreateVisitorSessionRequest{RenewalToken: renewal}).(*goodshipv1.VisitorSession)
}

// operatorCallers are who comes to the operators' doors.
func (p *product) operatorCallers() []caller {
	p.t.Helper()
	here, key := "workspace/"+p.workspace, p.OperatorKey
	return []caller{
		{name: "operator", kind: operators, at: socket, credential: credential{actFor: here}},
		{name: "operator with the key", kind: operators, at: adminTCP, credential: credential{key, here}},
		{name: "operator of no workspace", kind: operators, at: socket, lost: true},
		{name: "operator of an unknown workspace", at: socket, credential: credential{actFor: "workspace/work_" + strings.Repeat("0", 26)}, refused: "NotFound WORKSPACE_NOT_FOUND"},
		{name: "operator for a customer", at: adminTCP, credential: credential{key, "customer/" + kim}, refused: badFor},
		{name: "nobody at the admin listener", at: adminTCP, refused: none},
		{name: "nobody for a workspace at the admin listener", at: adminTCP, credential: credential{actFor: here}, refused: none},
		{name: "backend at the admin listener", at: adminTCP, credential: p.backend(), refused: invalid},
		{name: "agent at the socket", at: socket, credential: p.agent(lea), refused: invalid},
	}
}

// door returns the answer that a caller gets to a method before anything is looked at, or OK.
func (r row) door(c caller) string {
	m := named(r.call(c, object{}))
	switch {
	case !c.at.serves(m):
		return "Unimplemented"
	case c.refused != "":
		return c.refused
	case !slices.Contains(r.callers, c.kind):
		return "PermissionDenied CALLER_NOT_ALLOWED"
	case c.lost && m.service != "OperatorService":
		return badFor
	case c.kind == backends && r.scope != 0 && !slices.Contains(c.scopes, r.scope):
		return noScope
	}
	return ok
}

// want returns the answer that a caller gets who is let in.
func (r row) want(c caller, col column) string {
	all, usual := r.absent, r.of.absent
	switch col {
	case own:
		return ok
	case another:
		if all = r.others; !c.isCustomer() {
			usual = ok
		}
	}
	if answer, there := all[c.kind]; there {
		return answer
	}
	return usual
}
