package support

import (
	"context"
	"crypto/sha256"
	"errors"
	"regexp"
	"slices"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
)

// Caller is who makes a call: it follows from the credential alone, and from `goodship-act-for` where the credential
// allows that.
type Caller struct {
	// Kind is what the caller is. An agent with the directory's role LEADER is a leader.
	Kind goodshipv1.Caller
	// Workspace is the credential's.
	Workspace string
	// ID is the agent's or the customer's, under the product's id; empty for a backend.
	ID string
	// CustomerKey is the customer's internal key; of one who is not known yet, a key that is nobody's.
	CustomerKey string
	// APIKeyID is the key that the call came with.
	APIKeyID string
	// Scopes are the key's.
	Scopes []goodshipv1.Scope
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

func (c Caller) isCustomer() bool { return c.Kind == goodshipv1.Caller_CALLER_CUSTOMER }

// principal names whom request ids and page tokens belong to. A customer is named by the product's id: the first call has no
// other, and its repetition must find it.
func (c Caller) principal() string {
	switch {
	case c.isCustomer():
		return "customer/" + c.ID
	case c.isAgent():
		return "agent/" + c.ID
	}
	return "backend/" + c.APIKeyID
}

// knownAs returns the caller with the key of the customer that it is; an agent or a backend as it is.
func (c Caller) knownAs(customer *storev1.CustomerRecord) Caller {
	if c.isCustomer() {
		c.CustomerKey = customer.Key
	}
	return c
}

// actor returns the caller as the rules know it.
func (c Caller) actor() rules.Actor {
	a := rules.Actor{APIKeyID: c.APIKeyID}
	switch c.Kind {
	case goodshipv1.Caller_CALLER_CUSTOMER:
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

// personID is what a product may call a customer or an agent.
var personID = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~@+-]{0,127}$`)

// Authenticate returns the caller that a bearer token and the metadata `goodship-act-for` (empty if absent) stand for. A
// call for an agent makes the agent present. One for a customer who is not known yet makes nobody: a call that is refused
// must leave nothing, so the customer comes into being with the first conversation.
func (s *Service) Authenticate(ctx context.Context, token, actFor string) (Caller, error) {
	hash := sha256.Sum256([]byte(token))
	key, err := s.store.APIKeyByHash(ctx, hash[:])
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, badCredential()
	} else if err != nil {
		return Caller{}, err
	}
	if key.ApiKey.RevokeTime != nil || key.ApiKey.ExpireTime != nil && !key.ApiKey.ExpireTime.AsTime().After(s.store.Now()) {
		return Caller{}, badCredential()
	}
	c := Caller{Kind: goodshipv1.Caller_CALLER_BACKEND, Workspace: key.WorkspaceId, APIKeyID: key.ApiKey.Id, Scopes: key.ApiKey.Scopes}
	if actFor == "" {
		return c, nil
	}
	kind, id, _ := strings.Cut(actFor, "/")
	if kind != "customer" && kind != "agent" || !personID.MatchString(id) {
		return Caller{}, fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_ACT_FOR_INVALID,
			"goodship-act-for must be customer/<id> or agent/<id>, with the product's id of the person.")
	}
	if !slices.Contains(c.Scopes, goodshipv1.Scope_SCOPE_ACT) {
		return Caller{}, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_SCOPE_MISSING,
			"This key may not act for others. Use one with the scope ACT.").With("scope", "ACT")
	}
	c.ID = id
	if kind == "agent" {
		return s.asAgent(ctx, c)
	}
	return s.asCustomer(ctx, c)
}

func (s *Service) asAgent(ctx context.Context, c Caller) (Caller, error) {
	agent, err := s.store.Agent(ctx, c.Workspace, c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND,
			"The directory has no such agent. Make one with UpsertAgent first.").With("agent_id", c.ID)
	} else if err != nil {
		return Caller{}, err
	}
	if agent.Agent.DisableTime != nil {
		return Caller{}, agentDisabled(c.ID)
	}
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return Caller{}, err
	}
	s.presence.touch(c.Workspace, agent.Agent, settings.AwayAfter.AsDuration(), s.store.Now())
	c.Kind = goodshipv1.Caller_CALLER_AGENT
	if agent.Agent.Role == goodshipv1.Role_ROLE_LEADER {
		c.Kind = goodshipv1.Caller_CALLER_LEADER
	}
	return c, nil
}

func (s *Service) asCustomer(ctx context.Context, c Caller) (Caller, error) {
	c.Kind = goodshipv1.Caller_CALLER_CUSTOMER
	customer, err := s.store.Customer(ctx, c.Workspace, c.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		c.CustomerKey = newID(customerPrefix)
	case err != nil:
		return Caller{}, err
	default:
		c.CustomerKey = customer.Key
	}
	return c, nil
}

func badCredential() error {
	return fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID,
		"The credential is malformed, unknown, expired or revoked. Send a valid API key as a bearer token.")
}

func agentDisabled(id string) error {
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_AGENT_DISABLED,
		"The agent is disabled. A backend ends that with UpsertAgent and enable.").With("agent_id", id)
}
