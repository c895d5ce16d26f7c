package support

import (
	"context"
	"crypto/sha256"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Caller is who makes a call: it follows from the credential alone, and from `goodship-act-for` where the credential
// allows that. For a person, whatever credential stands for them, it is the same.
type Caller struct {
	// Kind is what the caller is. An agent with the directory's role LEADER is a leader.
	Kind goodshipv1.Caller
	// Workspace is the credential's.
	Workspace string
	// ID is the agent's or the customer's, under the product's id; empty for who is no person.
	ID string
	// CustomerKeys are the internal keys whose conversations are the customer's, the own one first; of one who is not known
	// yet, a key that is nobody's.
	CustomerKeys []string
	// APIKeyID is the key that the call came with; empty if it came with a token, or is the operator's.
	APIKeyID string
	// Scopes are the key's.
	Scopes []goodshipv1.Scope

	// byToken says that the call came with a token of the person's, and issued when that was made, at the earliest, by the
	// store's clock; zero if it does not say.
	byToken bool
	issued  time.Time
	// expires is when the credential does, by the service's clock; zero if never.
	expires time.Time
	// madeBy is the API key that a token was made with, and signedBy the signing key; empty if none was.
	madeBy, signedBy string
	// agent is the record of an agent who calls. It is there in units only.
	agent *storev1.AgentRecord
}

type callerKey struct{}

// WithCaller returns a context for calls by the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerFrom returns who calls. No transport lets a call pass without a caller, so that one is a bug of ours, and ends here.
func callerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	if c.Kind == goodshipv1.Caller_CALLER_UNSPECIFIED {
		panic("support: a call without a caller")
	}
	return c
}

func (c Caller) isAgent() bool {
	return c.Kind == goodshipv1.Caller_CALLER_AGENT || c.Kind == goodshipv1.Caller_CALLER_LEADER
}

// isCustomer reports whether the caller has the customer's side of conversations: a customer, or a visitor.
func (c Caller) isCustomer() bool {
	return c.Kind == goodshipv1.Caller_CALLER_CUSTOMER || c.Kind == goodshipv1.Caller_CALLER_VISITOR
}

// owns reports whether a conversation is one of the customer's who calls.
func (c Caller) owns(h *storev1.Head) bool { return slices.Contains(c.CustomerKeys, h.CustomerKey) }

// principal names whom request ids and page tokens belong to. A customer is named by the product's id: the first call has no
// other, and its repetition must find it.
func (c Caller) principal() string {
	switch {
	case c.isCustomer():
		return "customer/" + c.ID
	case c.isAgent():
		return "agent/" + c.ID
	case c.Kind == goodshipv1.Caller_CALLER_OPERATOR:
		return "operator"
	}
	return "backend/" + c.APIKeyID
}

// knownAs returns the caller with the key of the customer that it is; an agent or a backend as it is.
func (c Caller) knownAs(customer *storev1.CustomerRecord) Caller {
	if c.isCustomer() {
		c.CustomerKeys = keysOf(customer)
	}
	return c
}

// actor returns the caller as the rules know it.
func (c Caller) actor() rules.Actor {
	a := rules.Actor{APIKeyID: c.APIKeyID}
	switch c.Kind {
	case goodshipv1.Caller_CALLER_CUSTOMER, goodshipv1.Caller_CALLER_VISITOR:
		a.Kind = goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER
	case goodshipv1.Caller_CALLER_AGENT:
		a.Kind, a.AgentID = goodshipv1.ActorKind_ACTOR_KIND_AGENT, c.ID
	case goodshipv1.Caller_CALLER_LEADER:
		a.Kind, a.AgentID = goodshipv1.ActorKind_ACTOR_KIND_LEADER, c.ID
	default:
		a.Kind = goodshipv1.ActorKind_ACTOR_KIND_BACKEND
	}
	return a
}

var (
	// personID is what a product may call a customer or an agent.
	personID = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~@+-]{0,127}$`)
	// workspaceID is what the server calls a workspace.
	workspaceID = regexp.MustCompile(`^work_[0-9a-v]{26}$`)
)

// Authenticate returns the caller that a bearer token and the metadata `goodship-act-for` (empty if absent) stand for. A
// call for an agent makes the agent present. One for a customer who is not known yet makes nobody: a call that is refused
// must leave nothing, so the customer comes into being with the first conversation.
func (s *Service) Authenticate(ctx context.Context, token, actFor string) (Caller, error) {
	c, err := s.bearer(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	if actFor != "" {
		if c, err = c.actingFor(actFor); err != nil {
			return Caller{}, err
		}
	}
	switch {
	case c.isCustomer():
		return s.asCustomer(ctx, c)
	case c.isAgent():
		return s.asAgent(ctx, c)
	}
	return c, nil
}

// bearer returns the caller that a bearer token stands for, by what the token says alone: a person is one whom the directory
// has not been asked about. It is the one place that tells credentials apart, by their form.
func (s *Service) bearer(ctx context.Context, token string) (Caller, error) {
	switch {
	case strings.HasPrefix(token, secretPrefix), strings.HasPrefix(token, publishablePrefix):
		return s.byAPIKey(ctx, token)
	case strings.HasPrefix(token, tokenPrefix):
		return s.bySealedToken(ctx, token)
	case strings.Count(token, ".") == 2:
		return s.bySignedToken(ctx, token)
	}
	for prefix, sentence := range noCredentials {
		if strings.HasPrefix(token, prefix) {
			return Caller{}, badCredential("%s", sentence)
		}
	}
	return Caller{}, badCredential("The credential is of no known form. Send an API key (gsk_…), a token from CreateToken (gtk_…), or a JWT as a bearer token.")
}

// noCredentials are what is sent by mistake, by prefix.
var noCredentials = map[string]string{
	renewalPrefix:       "A renewal token is no credential. Send it as the renewal_token of CreateVisitorSession.",
	signingSecretPrefix: "A signing key's secret is no credential. Sign a JWT with it, and send that; the secret stays on your servers.",
	"gok_":              "The operator's key works on the admin listener only.",
}

// byAPIKey returns the backend of an API key, or, of a publishable one, the widget.
func (s *Service) byAPIKey(ctx context.Context, token string) (Caller, error) {
	hash := sha256.Sum256([]byte(token))
	r, err := s.store.APIKeyByHash(ctx, hash[:])
	if err != nil {
		return Caller{}, orMissing(err, badCredential("No workspace has this API key. Make one with CreateApiKey."))
	}
	key := r.ApiKey
	if key.RevokeTime != nil {
		return Caller{}, keyRevoked()
	}
	if key.ExpireTime != nil && !key.ExpireTime.AsTime().After(s.now()) {
		return Caller{}, expiredCredential(key.ExpireTime.AsTime(), "Make another API key with CreateApiKey.")
	}
	c := Caller{Kind: goodshipv1.Caller_CALLER_BACKEND, Workspace: r.WorkspaceId, APIKeyID: key.Id, Scopes: key.Scopes}
	if key.ExpireTime != nil {
		c.expires = key.ExpireTime.AsTime()
	}
	if key.Kind == goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE {
		c.Kind = goodshipv1.Caller_CALLER_WIDGET
	}
	return c, nil
}

// actingFor returns the person whom a backend names in `goodship-act-for`.
func (c Caller) actingFor(actFor string) (Caller, error) {
	if c.Kind != goodshipv1.Caller_CALLER_BACKEND {
		return Caller{}, badActFor("Only an API key (gsk_…) with the scope ACT acts for others. Leave goodship-act-for out: the credential says who calls.")
	}
	kind, id, _ := strings.Cut(actFor, "/")
	if kind != "customer" && kind != "agent" || !personID.MatchString(id) {
		return Caller{}, badActFor("goodship-act-for must be customer/<id> or agent/<id>, with the product's id of the person.")
	}
	if !slices.Contains(c.Scopes, goodshipv1.Scope_SCOPE_ACT) {
		return Caller{}, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_SCOPE_MISSING,
			"This key may not act for others. Use one with the scope ACT.").With("scope", "ACT")
	}
	c.ID, c.Kind = id, goodshipv1.Caller_CALLER_CUSTOMER
	if kind == "agent" {
		c.Kind = goodshipv1.Caller_CALLER_LEADER
	}
	return c, nil
}

// asAgent returns the caller as what the directory says of the agent, and no more than what the credential does.
func (s *Service) asAgent(ctx context.Context, c Caller) (Caller, error) {
	agent, err := s.store.Agent(ctx, c.Workspace, c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND,
			"The directory has no such agent. Make one with UpsertAgent first.").With("agent_id", c.ID)
	} else if err != nil {
		return Caller{}, err
	}
	if c, err = c.atMost(agent); err != nil {
		return Caller{}, err
	}
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return Caller{}, err
	}
	s.presence.touch(c.Workspace, agent.Agent, settings.AwayAfter.AsDuration(), s.store.Now())
	return c, nil
}

// atMost returns the caller as what an agent's record lets them be, and no more than they are.
func (c Caller) atMost(agent *storev1.AgentRecord) (Caller, error) {
	if agent.Agent.DisableTime != nil {
		return Caller{}, agentDisabled(c.ID)
	}
	if err := c.checkToken(agent.TokenNotBeforeTime); err != nil {
		return Caller{}, err
	}
	if agent.Agent.Role != goodshipv1.Role_ROLE_LEADER {
		c.Kind = goodshipv1.Caller_CALLER_AGENT
	}
	return c, nil
}

// asCustomer returns the caller with the keys of the customer that it is.
func (s *Service) asCustomer(ctx context.Context, c Caller) (Caller, error) {
	customer, err := s.knows(ctx, c)
	if errors.Is(err, store.ErrNotFound) {
		c.CustomerKeys = []string{newID(customerPrefix)}
		return c, nil
	} else if err != nil {
		return Caller{}, err
	}
	return c.knownAs(customer), nil
}

// knows returns the record of the customer that a caller is, or of the one that a visitor signed in as whom an API key acts
// for; or store.ErrNotFound.
func (s *Service) knows(ctx context.Context, c Caller) (*storev1.CustomerRecord, error) {
	customer, err := s.store.Customer(ctx, c.Workspace, c.ID)
	if err != nil {
		return nil, err
	}
	if err := c.checkCustomer(customer); err != nil {
		return nil, err
	}
	return person(customer, nil, s.underKey(ctx, c.Workspace))
}

// again returns a caller who was let in before as they are now, or why they may not call any more, and the principal whose
// record says so.
func (s *Service) again(ctx context.Context, c Caller) (Caller, string, error) {
	now, err := c.in(callerReader{ctx, s.store, c.Workspace})
	if err != nil || !c.isCustomer() {
		return now, c.principal(), err
	}
	customer, err := s.knows(ctx, c)
	if err != nil { // who is not known yet may be so at any time
		return c, c.principal(), orMissing(err, nil)
	}
	return c.knownAs(customer), "customer/" + customer.Customer.Id, nil
}

// checkCustomer returns nil if what a customer's or visitor's record says lets them call with what they came with. Who
// signed in is no visitor any more: what one wrote would be nobody's.
func (c Caller) checkCustomer(customer *storev1.CustomerRecord) error {
	if c.Kind == goodshipv1.Caller_CALLER_VISITOR && customer.SignedInKey != "" {
		return sessionOver()
	}
	return c.checkToken(customer.TokenNotBeforeTime)
}

// checkToken returns nil unless the call came with a token that was made before the time from which on the person's tokens
// work; nil for ever. An API key that acts for the person goes on.
func (c Caller) checkToken(notBefore *timestamppb.Timestamp) error {
	if !c.byToken || notBefore == nil || !c.issued.Before(notBefore.AsTime()) {
		return nil
	}
	return revokedCredential("The tokens of this person were revoked, and this one was issued before, or does not say when (iat). Make a new one.")
}

// Operator returns the operator as a caller, in the workspace that the metadata `goodship-act-for` names as
// `workspace/<id>`, or in none if it is empty. That the caller is the operator is for the transport to know.
func (s *Service) Operator(ctx context.Context, actFor string) (Caller, error) {
	c := Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR}
	if actFor == "" {
		return c, nil
	}
	id, ok := strings.CutPrefix(actFor, "workspace/")
	if !ok || !workspaceID.MatchString(id) {
		return Caller{}, badActFor("goodship-act-for must be workspace/<id>, with the id of a workspace. List the workspaces to find it.")
	}
	if _, err := s.store.Workspace(ctx, id); err != nil {
		return Caller{}, orMissing(err, fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_WORKSPACE_NOT_FOUND,
			"The server has no such workspace. List the workspaces to find it.").With("workspace_id", id))
	}
	c.Workspace = id
	return c, nil
}

// badCredential is the fault of a credential that is not what it should be. The sentence says how, and holds nothing of it.
func badCredential(format string, args ...any) error {
	return fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID, format, args...)
}

// expiredCredential is the fault of a credential that worked until a time; the sentence says what to do.
func expiredCredential(at time.Time, sentence string) error {
	return fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED,
		"The credential expired at %s. %s", at.UTC().Format(time.RFC3339), sentence)
}

// revokedCredential is the fault of a credential that was ended before its time.
func revokedCredential(sentence string) error {
	return fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_REVOKED, "%s", sentence)
}

func keyRevoked() error {
	return revokedCredential("The API key was revoked, and with it the tokens that it made. Make another with CreateApiKey.")
}

func signingKeyRevoked() error {
	return revokedCredential("The signing key of the token was revoked. Sign with a live one.")
}

func badActFor(sentence string) error {
	return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_ACT_FOR_INVALID, "%s", sentence)
}

func agentDisabled(id string) error {
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_AGENT_DISABLED,
		"The agent is disabled. A backend ends that with UpsertAgent and enable.").With("agent_id", id)
}
