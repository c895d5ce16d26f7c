package support_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// newKey makes a key of the world's workspace and returns it with its secret.
func (w *world) newKey(req *goodshipv1.CreateApiKeyRequest) *goodshipv1.CreateApiKeyResponse {
	w.t.Helper()
	return do[*goodshipv1.CreateApiKeyResponse](w, backend, req)
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scopes := []goodshipv1.Scope{
		goodshipv1.Scope_SCOPE_ACT, goodshipv1.Scope_SCOPE_ADMIN, goodshipv1.Scope_SCOPE_CREDITS,
		goodshipv1.Scope_SCOPE_INCIDENTS_SEND, goodshipv1.Scope_SCOPE_PRIVACY,
	}
	for _, test := range []struct {
		actFor person
		kind   goodshipv1.Caller
		id     string
	}{
		{backend, goodshipv1.Caller_CALLER_BACKEND, ""},
		{ada, goodshipv1.Caller_CALLER_AGENT, "ada"},
		{lea, goodshipv1.Caller_CALLER_LEADER, "lea"},
		{kim, goodshipv1.Caller_CALLER_CUSTOMER, "kim"},
		{"customer/_.~@+-9", goodshipv1.Caller_CALLER_CUSTOMER, "_.~@+-9"},
	} {
		c, err := w.Authenticate(t.Context(), w.secret, string(test.actFor))
		if err != nil {
			t.Errorf("%q: got %v, want a caller", test.actFor, err)
			continue
		}
		equal(t, "kind", c.Kind, test.kind)
		equal(t, "id", c.ID, test.id)
		equal(t, "workspace", c.Workspace, w.workspace)
		equal(t, "scopes", slices.Equal(c.Scopes, scopes), true)
		equal(t, "has a customer key", len(c.CustomerKeys) > 0, c.Kind == goodshipv1.Caller_CALLER_CUSTOMER)
		equal(t, "has a key id", strings.HasPrefix(c.APIKeyID, "key_"), true)
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := foundWorld(t, w.clock, w.store)
	other.employ("agent/theirs", goodshipv1.Role_ROLE_AGENT)
	w.disables(ben)
	mute := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Mute"}).Secret
	admin := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Admin", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ADMIN}}).Secret
	const (
		invalid   = "Unauthenticated CREDENTIAL_INVALID"
		malformed = "InvalidArgument ACT_FOR_INVALID"
		noScope   = "PermissionDenied SCOPE_MISSING scope=ACT"
	)
	for _, test := range []struct {
		name, token, actFor, want string
	}{
		{"no token", "", "", invalid},
		{"an unknown token", "gsk_" + strings.Repeat("A", 43), "", invalid},
		{"a token cut off", w.secret[:len(w.secret)-1], "", invalid},
		{"a token with more", w.secret + "A", "", invalid},
		{"another's case", strings.ToUpper(w.secret), "", invalid},
		{"an unknown token for somebody", "gsk_x", string(kim), invalid},
		{"a token of no known form", "x", "", invalid},
		{"a name without a kind", w.secret, "kim", malformed},
		{"an unknown kind", w.secret, "leader/lea", malformed},
		{"a kind in capitals", w.secret, "Customer/kim", malformed},
		{"no name", w.secret, "customer/", malformed},
		{"a kind alone", w.secret, "agent", malformed},
		{"a workspace", w.secret, "workspace/" + w.workspace, malformed},
		{"a name with a slash", w.secret, "customer/kim/lou", malformed},
		{"a name with a space", w.secret, "customer/kim ", malformed},
		{"a name with a line end", w.secret, "customer/kim\n", malformed},
		{"a name that begins with a dot", w.secret, "customer/.kim", malformed},
		{"a name too long", w.secret, "customer/" + strings.Repeat("k", 129), malformed},
		{"a key without scopes for a customer", mute, string(kim), noScope},
		{"a key without scopes for an agent", mute, string(ada), noScope},
		{"a key with another scope", admin, string(ada), noScope},
		{"an unknown agent", w.secret, "agent/nobody", "PermissionDenied AGENT_NOT_FOUND agent_id=nobody"},
		{"another workspace's agent", w.secret, "agent/theirs", "PermissionDenied AGENT_NOT_FOUND agent_id=theirs"},
		{"a disabled agent", w.secret, string(ben), "PermissionDenied AGENT_DISABLED agent_id=ben"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := image(t, w.store)
			c, err := w.Authenticate(t.Context(), test.token, test.actFor)
			equal(t, "error", refusal(err), test.want)
			equal(t, "kind", c.Kind, goodshipv1.Caller_CALLER_UNSPECIFIED)
			w.unchanged(before)
		})
	}
}

func TestKeyEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	expires := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "An hour", ExpireTime: timestamppb.New(w.clock.Now().Add(time.Hour))})
	revoked := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Revoked"})
	knocks := func(secret string) string {
		_, err := w.Authenticate(t.Context(), secret, "")
		return refusal(err)
	}
	equal(t, "before the end", knocks(revoked.Secret)+knocks(expires.Secret), "")
	do[*goodshipv1.ApiKey](w, backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: revoked.ApiKey.Id})
	equal(t, "once revoked", knocks(revoked.Secret), "Unauthenticated CREDENTIAL_REVOKED")
	w.clock.Jump(time.Hour - time.Microsecond)
	equal(t, "just before it expires", knocks(expires.Secret), "")
	w.clock.Jump(time.Microsecond)
	equal(t, "when it expires", knocks(expires.Secret), "Unauthenticated CREDENTIAL_EXPIRED")
}

// operator returns the context of a call by the operator, in the world's workspace.
func (w *world) operator() context.Context {
	w.t.Helper()
	c, err := w.Operator(w.t.Context(), "workspace/"+w.workspace)
	if err != nil {
		w.t.Fatalf("the operator: got %v, want a caller", err)
	}
	return support.WithCaller(w.t.Context(), c)
}

func TestOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, test := range []struct{ actFor, workspace, want string }{
		{"", "", ""},
		{"workspace/" + w.workspace, w.workspace, ""},
		{"workspace/work_" + strings.Repeat("0", 26), "", "NotFound WORKSPACE_NOT_FOUND workspace_id=work_" + strings.Repeat("0", 26)},
		{"workspace/", "", "InvalidArgument ACT_FOR_INVALID"},
		{"workspace/x", "", "InvalidArgument ACT_FOR_INVALID"},
		{"workspace/" + w.workspace + "/x", "", "InvalidArgument ACT_FOR_INVALID"},
		{w.workspace, "", "InvalidArgument ACT_FOR_INVALID"},
		{"workspace", "", "InvalidArgument ACT_FOR_INVALID"},
		{"customer/kim", "", "InvalidArgument ACT_FOR_INVALID"},
		{"agent/ada", "", "InvalidArgument ACT_FOR_INVALID"},
	} {
		c, err := w.Operator(t.Context(), test.actFor)
		equal(t, test.actFor+": error", refusal(err), test.want)
		equal(t, test.actFor+": is the operator", c.Kind == goodshipv1.Caller_CALLER_OPERATOR, test.want == "")
		equal(t, test.actFor+": workspace", c.Workspace, test.workspace)
	}
}

// TestOperatorKeepsKeys has the operator keep a workspace's keys and tokens, from outside of it.
func TestOperatorKeepsKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	call := func(req proto.Message) proto.Message {
		t.Helper()
		reply, err := w.call(w.operator(), req)
		if err != nil {
			t.Fatalf("%T: got %v, want none", req, err)
		}
		return reply
	}
	create := &goodshipv1.CreateApiKeyRequest{DisplayName: "Shop", RequestId: "once"}
	made := call(create).(*goodshipv1.CreateApiKeyResponse)
	equal(t, "key works", w.knocks(made.Secret, ""), "")
	equal(t, "key of a repeated call", call(create).(*goodshipv1.CreateApiKeyResponse).ApiKey.Id, made.ApiKey.Id)
	equal(t, "same id by the backend", do[*goodshipv1.CreateApiKeyResponse](w, backend, create).ApiKey.Id != made.ApiKey.Id, true)
	for _, key := range call(&goodshipv1.ListApiKeysRequest{}).(*goodshipv1.ListApiKeysResponse).ApiKeys {
		call(&goodshipv1.RevokeApiKeyRequest{ApiKeyId: key.Id}) // the last one of the workspace too
	}
	equal(t, "the first key", w.knocks(w.secret, ""), credentialRevoked)
	signing := call(signs(customerTokens)).(*goodshipv1.CreateSigningKeyResponse).SigningKey
	call(&goodshipv1.RevokeSigningKeyRequest{SigningKeyId: signing.Id})
	equal(t, "signing keys", len(call(&goodshipv1.ListSigningKeysRequest{}).(*goodshipv1.ListSigningKeysResponse).SigningKeys), 1)
	token := call(tokenRequest(ada)).(*goodshipv1.CreateTokenResponse).Token
	equal(t, "token", w.knocks(token, ""), "")
	call(&goodshipv1.RevokeTokensRequest{AgentId: "ada"})
	equal(t, "token once revoked", w.knocks(token, ""), credentialRevoked)
	call(&goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{BrandVoice: "Warm"}, UpdateMask: mask("brand_voice")})
}

// TestFirstConversationMakesOneCustomer lets a customer who is not known write from many places at once.
func TestFirstConversationMakesOneCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const new person = "customer/new"
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if _, err := w.call(w.by(new), &goodshipv1.CreateConversationRequest{Text: "Hello?"}); err != nil {
				t.Errorf("got %v, want a conversation", err)
			}
		})
	}
	calls.Wait()
	all := do[*goodshipv1.ListConversationsResponse](w, new, &goodshipv1.ListConversationsRequest{PageSize: 100})
	equal(t, "conversations of the one customer", len(all.Conversations), 20)
}

// TestFirstConversationIsSafeToRepeat repeats the request that made the customer.
func TestFirstConversationIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const new person = "customer/new"
	req := &goodshipv1.CreateConversationRequest{Text: "Hello?", RequestId: "first"}
	first := do[*goodshipv1.Conversation](w, new, req)
	same(t, "repeated", do[*goodshipv1.Conversation](w, new, req), first)
}

// TestUnknownCustomerLeavesNothing lets a customer who is not known read, and write what is refused.
func TestUnknownCustomerLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	const new person = "customer/new"
	const missing = "NotFound CONVERSATION_NOT_FOUND"
	w.refuses(new, &goodshipv1.GetConversationRequest{ConversationId: id}, missing)
	w.refuses(new, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello?"}, missing)
	w.refuses(new, &goodshipv1.CreateConversationRequest{}, "InvalidArgument INVALID_REQUEST text")
	equal(t, "conversations seen", len(do[*goodshipv1.ListConversationsResponse](w, new, &goodshipv1.ListConversationsRequest{}).Conversations), 0)
	w.refuses(backend, &goodshipv1.GetCustomerRequest{CustomerId: new.id()}, "NotFound CUSTOMER_NOT_FOUND customer_id=new")
}

// TestWorkspacesAreApart looks from one workspace for what is in another, under the same names.
func TestWorkspacesAreApart(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	ours := foundWorld(t, clock, rehearsed{openStore(t, clock.Now)})
	theirs := foundWorld(t, clock, ours.store)
	their := theirs.opens(kim, "Hello?")
	do[*goodshipv1.Customer](theirs, backend, &goodshipv1.UpsertCustomerRequest{CustomerId: "theirs", Customer: &goodshipv1.Customer{}})
	theirs.employ("agent/theirs", goodshipv1.Role_ROLE_AGENT)
	key := theirs.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Theirs"}).ApiKey.Id
	mine := ours.opens(kim, "Hello!")

	const noConversation = "NotFound CONVERSATION_NOT_FOUND"
	for _, p := range []person{backend, ada, lea, kim} {
		ours.refuses(p, &goodshipv1.GetConversationRequest{ConversationId: their}, noConversation)
		all := do[*goodshipv1.ListConversationsResponse](ours, p, &goodshipv1.ListConversationsRequest{}).Conversations
		if len(all) != 1 || all[0].Id != mine {
			t.Errorf("conversations of %q: got %v, want only %s", p, all, mine)
		}
	}
	ours.refuses(backend, &goodshipv1.GetAgentRequest{AgentId: "theirs"}, "NotFound AGENT_NOT_FOUND agent_id=theirs")
	ours.refuses(backend, &goodshipv1.GetCustomerRequest{CustomerId: "theirs"}, "NotFound CUSTOMER_NOT_FOUND customer_id=theirs")
	ours.refuses(backend, &goodshipv1.BlockCustomerRequest{CustomerId: "theirs", Reason: "x"}, "NotFound CUSTOMER_NOT_FOUND customer_id=theirs")
	ours.refuses(backend, &goodshipv1.DisableAgentRequest{AgentId: "theirs"}, "NotFound AGENT_NOT_FOUND agent_id=theirs")
	ours.refuses(backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: key}, "NotFound API_KEY_NOT_FOUND")
	ours.refuses(backend, &goodshipv1.ListConversationsRequest{CustomerId: "theirs"}, "NotFound CUSTOMER_NOT_FOUND customer_id=theirs")
	ours.refuses(ada, &goodshipv1.CreateConversationRequest{CustomerId: "theirs", OutreachReason: followUp, Text: "x"}, "NotFound CUSTOMER_NOT_FOUND customer_id=theirs")
	ours.claims(ada, mine)
	ours.refuses(ada, &goodshipv1.InviteHelperRequest{ConversationId: mine, AgentId: "theirs"}, "NotFound AGENT_NOT_FOUND agent_id=theirs")
	ours.refuses(ada, &goodshipv1.HandOverConversationRequest{ConversationId: mine, ToAgentId: "theirs", Brief: "x"}, "NotFound AGENT_NOT_FOUND agent_id=theirs")
	equal(t, "claimed next", ours.claimsNext(ada), "")
	equal(t, "workspace", do[*goodshipv1.Workspace](ours, backend, &goodshipv1.GetWorkspaceRequest{}).Id, ours.workspace)
}

// TestNobodyIsNotServed calls every method without a caller, which no transport lets happen.
func TestNobodyIsNotServed(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(methods())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			req := w.example(name)
			for _, ctx := range []context.Context{t.Context(), support.WithCaller(t.Context(), support.Caller{})} {
				before := image(t, w.store)
				reply, err := w.survives(ctx, req)
				if err == nil {
					t.Errorf("got %v, want an error", reply)
				}
				w.unchanged(before)
			}
		})
	}
}

// example returns a request that succeeds for somebody.
func (w *world) example(method string) proto.Message {
	w.t.Helper()
	if d, ok := deeds[method]; ok {
		return d.prepare(w)
	}
	switch method {
	case "UpsertAgent":
		return &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: "Ada"}}
	case "UpsertCustomer":
		return &goodshipv1.UpsertCustomerRequest{CustomerId: "kim", Customer: &goodshipv1.Customer{DisplayName: "Kim"}}
	case "SetAvailability":
		return &goodshipv1.SetAvailabilityRequest{Availability: away}
	case "SignInVisitor":
		return &goodshipv1.SignInVisitorRequest{VisitorToken: w.tokenFor(visitor)}
	case "RevokeTokens":
		return &goodshipv1.RevokeTokensRequest{AgentId: "ada"}
	case "RevokeApiKey":
		return &goodshipv1.RevokeApiKeyRequest{ApiKeyId: w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Shop"}).ApiKey.Id}
	case "RevokeSigningKey":
		return &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: w.newSigner(customerTokens, hs256).key.Id}
	case "BatchAddAffectedCustomers":
		return adding(w.declaresForKim(), affected(lou))
	case "AddAffectedCustomers":
		return &goodshipv1.AddAffectedCustomersRequest{IncidentId: w.declaresForKim(), Customers: []*goodshipv1.AffectedCustomer{affected(lou)}}
	case "PreviewApology":
		return &goodshipv1.PreviewApologyRequest{IncidentId: w.declaresForKim()}
	case "SettleCredits":
		credit := w.grants(ada, creditable(w), euros(5, 0))
		return &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{bill(credit.Id, "invoice 1")}}
	case "UpdateWebhookEndpoint":
		return &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: w.hook(), WebhookEndpoint: &goodshipv1.WebhookEndpoint{Description: "Shop"}, UpdateMask: mask("description")}
	case "DeleteWebhookEndpoint":
		return &goodshipv1.DeleteWebhookEndpointRequest{WebhookEndpointId: w.hook()}
	case "UpdateWorkspace":
		return &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{BrandVoice: "Warm"}, UpdateMask: mask("brand_voice")}
	}
	req := newRequest(methods()[method])
	for field, value := range map[string]string{
		"agent_id": "ada", "customer_id": "kim", "reason": "x",
	} {
		set(req, field, value)
	}
	return req
}

// survives calls a method that may panic, which who serves it turns into an error.
func (w *world) survives(ctx context.Context, req proto.Message) (reply proto.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.dispatch(ctx, req)
}

// TestDisabledMeanwhile lets calls go on that were authenticated before their agent was disabled: none has an effect.
func TestDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(methods())) {
		if m := methods()[name]; m.reads || !slices.Contains(m.callers, goodshipv1.Caller_CALLER_AGENT) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := ada
			if d, ok := deeds[name]; ok && d.by == ben {
				p = ben
			}
			req := w.example(name)
			if create, ok := req.(*goodshipv1.CreateConversationRequest); ok {
				w.by(kim)
				create.CustomerId, create.OutreachReason = kim.id(), followUp
			}
			ctx := w.by(p)
			w.disables(p)
			before := image(t, w.store)
			_, err := w.call(ctx, req)
			equal(t, "error", refusal(err), "PermissionDenied AGENT_DISABLED agent_id="+p.id())
			w.unchanged(before)
		})
	}
}

// TestEndedCallHasNoEffect calls with a context that has ended.
func TestEndedCallHasNoEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	ctx, cancel := context.WithCancel(w.by(ada))
	cancel()
	before := image(t, w.store)
	_, err := w.call(ctx, &goodshipv1.ClaimConversationRequest{ConversationId: id})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	w.unchanged(before)
}
