package doors_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// halfCredentials are headers that almost say who calls.
func halfCredentials(p *product) []string {
	return []string{
		"", "Bearer", "Bearer ", "bearer  " + p.key, p.key, "Basic " + base64.StdEncoding.EncodeToString([]byte("key:"+p.key)),
		"Bearer " + p.key + ", Bearer " + p.key, "Bearer " + p.key + " x", "Token " + p.key, "Bearer null", "Bearer undefined", "Bearer " + strings.Repeat("a", 5000),
	}
}

// nobodyIsRefused calls every method of every service at every listener without a credential, and with halves of one.
func nobodyIsRefused(p *product) {
	for _, r := range table {
		req := r.call(caller{}, object{id: "conv_" + strings.Repeat("0", 26), colleague: ben})
		for _, at := range []listener{public, adminTCP} {
			want := none
			if !at.serves(named(req)) {
				want = "Unimplemented"
			}
			for transport, a := range p.ask(caller{at: at}, req) {
				p.expect(named(req).name+" as nobody over "+transport, a, want)
			}
		}
	}
	for _, half := range halfCredentials(p) {
		reply := p.As("").Do("", http.MethodGet, "/v1/workspace", "", "Authorization", half)
		a := overGRPC(metadata.AppendToOutgoingContext(p.t.Context(), "authorization", half), p.conn, credential{}, &goodshipv1.GetWorkspaceRequest{})
		if reply.Code != http.StatusUnauthorized || !strings.HasPrefix(a.String(), "Unauthenticated CREDENTIAL_") {
			p.t.Errorf("half a credential %.20q: got HTTP %d and %s, want both unauthenticated", half, reply.Code, a)
		}
	}
	twice := metadata.AppendToOutgoingContext(p.t.Context(), "authorization", "Bearer "+p.key)
	p.expect("two credentials", overGRPC(twice, p.conn, p.backend(), &goodshipv1.GetWorkspaceRequest{}), invalid)
	for _, path := range []string{"/", "/v1/", "/v1/conversations?access_token=" + p.key, "/v1/workspace?token=" + p.key, "/debug/pprof/", "/metrics", "/v1/operator"} {
		if reply := p.As("").Do("", http.MethodGet, path, "", "Upgrade", "websocket", "Connection", "Upgrade"); reply.Code < 400 || reply.Code >= 500 {
			p.t.Errorf("GET %s as nobody: got HTTP %d %s, want a refusal", path, reply.Code, reply.Body)
		}
	}
}

// identityHeaders say who calls, or from where, to servers that believe them.
var identityHeaders = []string{
	"X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Auth-Request-User", "X-Auth-Request-Email", "X-User-Id", "X-Goog-Authenticated-User-Email",
	"Grpc-Metadata-Goodship-Act-For", "Grpc-Metadata-Authorization", "X-Goodship-Act-For", "X-Http-Method-Override", "X-Original-Url", "X-Rewrite-Url", "Cookie",
	"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip", "X-Forwarded-Host",
}

// headersAreNoIdentity sends all of them, and finds that nothing changed.
func headersAreNoIdentity(p *product) {
	id := waiting(p, p.cast(caller{}, false)).id
	var all []string
	ctx := p.t.Context()
	for _, name := range identityHeaders {
		value := "agent/" + lea
		if strings.Contains(name, "Authorization") {
			value = "Bearer " + p.key
		}
		all = append(all, name, value)
		ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
	}
	req := &goodshipv1.GetConversationRequest{ConversationId: id}
	for _, c := range []struct {
		credential
		want string
	}{{want: none}, {p.customer(lou), conversation.absent}} {
		p.expect("identity in metadata", overGRPC(ctx, p.conn, c.credential, req), c.want)
		a, err := overREST(p.t.Context(), p.http, p.REST, c.credential, req, all...)
		if err != nil {
			p.t.Fatal(err)
		}
		p.expect("identity in headers", a, c.want)
	}
}

// parametersAreNoIdentity names another customer in every place that a request has.
func parametersAreNoIdentity(p *product) {
	id := waiting(p, cast{customer: p.customer(lou)}).id
	us := p.As(p.key)
	for _, parameter := range []string{"customer_id", "customerId", "visitor", "visitor_id", "user", "act_for", "goodship-act-for", "workspace", "workspace_id", "token"} {
		query := "?" + parameter + "=" + url.QueryEscape(lou)
		for _, path := range []string{"/v1/conversations", "/v1/conversations/" + id, "/v1/conversations/" + id + "/messages"} {
			reply := us.Do("customer/"+kim, http.MethodGet, path+query, "")
			if reply.Code != http.StatusBadRequest || strings.Contains(reply.Body, `"conversations"`) {
				p.t.Errorf("GET %s: got HTTP %d %s, want it refused", path+query, reply.Code, reply.Body)
			}
		}
		body := fmt.Sprintf(`{"text":"Aye",%q:%q}`, parameter, lou)
		if reply := us.Do("customer/"+kim, http.MethodPost, "/v1/conversations", body); reply.Code != http.StatusBadRequest {
			p.t.Errorf("POST %s: got HTTP %d %s, want it refused", body, reply.Code, reply.Body)
		}
	}
	for _, who := range []string{"customer/" + lou, "agent/" + ada, lou, ""} { // a token's bearer is nobody else
		token := p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim})
		ctx := metadata.AppendToOutgoingContext(p.t.Context(), "goodship-act-for", who)
		p.expect("a token for "+who, overGRPC(ctx, p.conn, bearer(token), &goodshipv1.GetConversationRequest{ConversationId: id}), badFor)
	}
}

// tokensBelongToTheirMaker uses page tokens and request ids of others.
func tokensBelongToTheirMaker(p *product) {
	far := abroad(p)
	list := &goodshipv1.ListConversationsRequest{PageSize: 1}
	for _, c := range []credential{p.customer(kim), p.customer(lou), far.customer(kim)} {
		for range 2 {
			p.do(c, &goodshipv1.CreateConversationRequest{Text: "Hello?"})
		}
	}
	page := func(c credential) string {
		return p.do(c, list).(*goodshipv1.ListConversationsResponse).NextPageToken
	}
	kims, fars, backs := page(p.customer(kim)), page(far.customer(kim)), page(p.backend())
	const refused = "InvalidArgument INVALID_PAGE_TOKEN"
	for _, try := range []struct {
		credential
		token string
	}{{p.customer(lou), kims}, {p.customer(kim), fars}, {p.customer(kim), backs}, {p.agent(ada), backs}, {far.backend(), backs}, {p.backend(), kims}} {
		p.gets(try.credential, &goodshipv1.ListConversationsRequest{PageSize: 1, PageToken: try.token}, refused)
	}
	p.gets(p.customer(kim), &goodshipv1.ListConversationsRequest{PageSize: 1, PageToken: kims, State: goodshipv1.State_STATE_WAITING}, refused)
	p.gets(p.customer(kim), &goodshipv1.ListCreditsRequest{PageSize: 1, PageToken: kims}, refused)

	// The same request id is another's with each caller, workspace and conversation.
	seen := map[string]bool{}
	for _, c := range []credential{p.customer(kim), p.customer(lou), far.customer(kim), bearer(p.newSession(p.page, "").Token)} {
		made := p.do(c, &goodshipv1.CreateConversationRequest{Text: "Hello?", RequestId: "the-same"}).(*goodshipv1.Conversation)
		if seen[made.Id] {
			p.t.Errorf("a request id gave %s to two callers", made.Id)
		}
		seen[made.Id] = true
	}
	tokensOfAmends(p, far)
}

// nothingIsRemembered uses what was good a moment ago.
func nothingIsRemembered(p *product) {
	signer := p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, true)
	token := bearer(signer.token(kim))
	p.gets(token, &goodshipv1.ListConversationsRequest{}, ok) // verified now, and remembered
	open := p.open(p.t.Context(), token, mine(""))
	p.do(p.backend(), &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: signer.id})
	p.gets(token, &goodshipv1.ListConversationsRequest{}, gone)
	p.goesOn(open, gone, p.customer(kim), mine)

	key := p.newKey(act)
	p.gets(bearer(key.Secret), &goodshipv1.GetWorkspaceRequest{}, ok)
	open = append(p.open(p.t.Context(), bearer(key.Secret), desk("")), p.open(p.t.Context(), credential{key.Secret, "agent/" + ben}, desk(""))...)
	theirs := p.open(p.t.Context(), credential{key.Secret, "customer/" + kim}, mine(""))
	p.do(p.backend(), &goodshipv1.RevokeApiKeyRequest{ApiKeyId: key.ApiKey.Id})
	p.goesOn(open, gone, p.backend(), desk)
	p.goesOn(theirs, gone, p.customer(kim), mine)
	p.gets(bearer(key.Secret), &goodshipv1.GetWorkspaceRequest{}, gone)
	p.gets(credential{key.Secret, "customer/" + kim}, &goodshipv1.ListConversationsRequest{}, gone)

	// A request id that a visitor used before signing in gives nothing after it.
	visitor := p.newSession(p.page, "")
	first := &goodshipv1.CreateConversationRequest{Text: "Hello?", RequestId: "again"}
	p.gets(bearer(visitor.Token), first, ok)
	open = p.open(p.t.Context(), bearer(visitor.Token), mine(""))
	p.do(p.customer(kim), &goodshipv1.SignInVisitorRequest{VisitorToken: visitor.Token})
	p.gets(bearer(visitor.Token), first, gone)
	p.goesOn(open, gone, p.customer(kim), mine)
	p.gets(bearer(p.page), &goodshipv1.CreateVisitorSessionRequest{RenewalToken: visitor.RenewalToken}, gone)

	// What an agent did while it took part is not shown again once it is no agent.
	id := owned(p, p.cast(caller{}, false)).id
	said := &goodshipv1.CreateNoteRequest{ConversationId: id, Text: "inner", RequestId: "note"}
	p.gets(p.agent(ada), said, ok)
	p.do(p.backend(), &goodshipv1.DisableAgentRequest{AgentId: ada})
	p.gets(p.agent(ada), said, "PermissionDenied AGENT_DISABLED")
}

// revocationEndsTokens ends the tokens of a person, of every make.
func revocationEndsTokens(p *product) {
	customers := p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, false)
	mates := p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_AGENT, true)
	visitor := p.session()
	tokens := map[string]*goodshipv1.RevokeTokensRequest{
		customers.token(kim): {CustomerId: kim},
		p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim}): {CustomerId: kim},
		mates.token(ada): {AgentId: ada},
		p.newToken(&goodshipv1.CreateTokenRequest{AgentId: ada}): {AgentId: ada},
		visitor.Token: {CustomerId: visitor.VisitorId},
	}
	unconcerned := []string{customers.token(lou), mates.token(ben), p.session().Token}
	id := waiting(p, p.cast(caller{}, true)).id // lou's
	staying := append(p.open(p.t.Context(), bearer(unconcerned[0]), mine("")), p.open(p.t.Context(), bearer(unconcerned[1]), desk(""))...)
	ending := map[string][]opened{}
	for token, revoke := range tokens {
		p.gets(bearer(token), &goodshipv1.ListConversationsRequest{}, ok)
		watch := mine
		if revoke.AgentId != "" {
			watch = desk
		}
		ending[token] = p.open(p.t.Context(), bearer(token), watch(""))
	}
	for _, revoke := range tokens {
		p.do(p.backend(), revoke)
	}
	for token := range tokens {
		p.gets(bearer(token), &goodshipv1.ListConversationsRequest{}, gone)
		for _, w := range ending[token] {
			w.ends(gone)
		}
	}
	p.says(p.customer(lou), id)
	for _, w := range staying {
		if u := w.tells(); u.ConversationId != id || u.GetEvent().GetMessageSent() == nil {
			p.t.Errorf("%s of somebody else: got %v, want lou's message", w.name, u)
		}
	}
	p.gets(bearer(p.page), &goodshipv1.CreateVisitorSessionRequest{RenewalToken: visitor.RenewalToken}, gone)
	for _, token := range append(unconcerned, p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim})) {
		p.gets(bearer(token), &goodshipv1.ListConversationsRequest{}, ok)
	}
	p.gets(p.customer(kim), &goodshipv1.ListConversationsRequest{}, ok) // whose backend acts for them
}

// disabledAgentsAreOut calls every method that agents have, as one who was disabled, by every credential.
func disabledAgentsAreOut(p *product) {
	o := helped(p, p.cast(caller{}, false))
	o.colleague = ben
	all := []credential{
		p.agent(ada), bearer(p.newToken(&goodshipv1.CreateTokenRequest{AgentId: ada})),
		bearer(p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_AGENT, false).token(ada)), bearer(p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_LEADER, true).token(ada)),
	}
	for _, c := range all {
		p.gets(c, &goodshipv1.GetConversationRequest{ConversationId: o.id}, ok)
	}
	var open []opened
	for _, c := range all {
		open = append(open, p.open(p.t.Context(), c, desk(""))...)
	}
	p.do(p.backend(), &goodshipv1.DisableAgentRequest{AgentId: ada})
	p.goesOn(open, "PermissionDenied AGENT_DISABLED", p.agent(ben), desk)
	before := p.get(o.id)
	for _, r := range table {
		if m := named(r.call(caller{}, o)); !public.serves(m) {
			continue
		}
		for _, c := range all {
			p.gets(c, r.call(caller{kind: agents}, o), "PermissionDenied AGENT_DISABLED")
		}
	}
	if after := p.get(o.id); !proto.Equal(withoutCursor(before), withoutCursor(after)) {
		p.t.Errorf("a disabled agent changed something: got %v, want %v", after, before)
	}
	p.gets(p.backend(), &goodshipv1.CreateTokenRequest{AgentId: ada}, "PermissionDenied AGENT_DISABLED")
}

// guessingIsHopeless looks at secrets, and guesses.
func guessingIsHopeless(p *product) {
	signer := p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, false)
	for prefix, secret := range map[string]string{"gsk_": p.newKey().Secret, "gpk_": p.page, "gss_": string(signer.key.([]byte))} {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(secret, prefix))
		if err != nil || len(raw) != 32 {
			p.t.Errorf("the secret %s… has %d bytes (%v), want 32", prefix, len(raw), err)
		}
	}
	again := p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim})
	if first := p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim}); first == again || strings.Contains(first, kim) {
		p.t.Error("tokens repeat themselves, or can be read")
	}
	limited := limitedHouse(p)
	limited.gets(bearer("gsk_guess"), &goodshipv1.GetWorkspaceRequest{}, tooMany)
	limited.gets(limited.backend(), &goodshipv1.GetWorkspaceRequest{}, ok) // who knows the key is not locked out
}

const tooMany = "ResourceExhausted RATE_LIMITED"

// limitedHouse returns a product in a house of its own, in which the address of this test has guessed once too often.
func limitedHouse(p *product, proxies ...netip.Prefix) *product {
	p.t.Helper()
	limited := newProduct(p.t, newHouse(p.t, servertest.WithConfig(func(c *rpc.Config) {
		c.Limits.RatePerAddress, c.TrustedProxies = 0.001, proxies
	})), "limited")
	a := overGRPC(p.t.Context(), limited.conn, bearer("gsk_guess"), &goodshipv1.GetWorkspaceRequest{})
	limited.expect("the first guess", a, invalid)
	return limited
}

// addressesAreNotBelieved guesses on under other addresses, as headers have them.
func addressesAreNotBelieved(p *product) {
	guess := func(limited *product, header, address string) []answer {
		ctx := metadata.AppendToOutgoingContext(p.t.Context(), strings.ToLower(header), address)
		grpc := overGRPC(ctx, limited.conn, bearer("gsk_guess"), &goodshipv1.GetWorkspaceRequest{})
		rest, err := overREST(p.t.Context(), limited.http, limited.REST, bearer("gsk_guess"), &goodshipv1.GetWorkspaceRequest{}, header, address)
		if err != nil {
			p.t.Fatal(err)
		}
		return []answer{grpc, rest}
	}
	limited := limitedHouse(p)
	for i, header := range identityHeaders {
		for _, a := range guess(limited, header, fmt.Sprintf("203.0.113.%d", i)) {
			limited.expect("a guess with "+header, a, tooMany)
		}
	}
	// Behind a proxy that is trusted, its word counts, and no other header's.
	behind := limitedHouse(p, netip.MustParsePrefix("127.0.0.0/8"))
	for i, header := range identityHeaders {
		if header == "X-Forwarded-For" {
			continue
		}
		for _, a := range guess(behind, header, fmt.Sprintf("203.0.113.%d", i)) {
			behind.expect("a guess behind a proxy with "+header, a, tooMany)
		}
	}
	all := guess(behind, "X-Forwarded-For", "198.51.100.9, 203.0.113.200")
	behind.expect("another client's first guess", all[0], invalid)
	behind.expect("another client's second guess, with another word of its own", guess(behind, "X-Forwarded-For", "198.51.100.10, 203.0.113.200")[1], tooMany)
}
