package support

import (
	"context"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Prefixes of the tokens that the server makes: what calls are made with, and what renews a visitor's session.
const (
	tokenPrefix   = "gtk_"
	renewalPrefix = "grt_"
)

// The longest that tokens last.
const (
	customerTokenAge = time.Hour
	agentTokenAge    = 12 * time.Hour
)

// tokenAge is the longest that a token of somebody lasts.
func tokenAge(kind goodshipv1.Caller) time.Duration {
	if (Caller{Kind: kind}).isAgent() {
		return agentTokenAge
	}
	return customerTokenAge
}

// sealToken returns a token as its bearer keeps it: the prefix, and what only openToken of this store, in this epoch, reads.
func (s *Service) sealToken(prefix string, t *storev1.Token) string {
	plain, err := proto.Marshal(t)
	if err != nil {
		panic(err) // a message of ours
	}
	return prefix + s.store.Sealer().Seal("token "+prefix, plain)
}

// openToken returns what sealToken sealed under the prefix, until it expires or the API key that made it is revoked. Whether
// the tokens of its person were revoked is for the caller to see.
func (s *Service) openToken(ctx context.Context, prefix, token string) (*storev1.Token, error) {
	t := &storev1.Token{}
	plain, err := s.store.Sealer().Open("token "+prefix, strings.TrimPrefix(token, prefix))
	if err == nil {
		err = proto.Unmarshal(plain, t)
	}
	if err != nil || !strings.HasPrefix(token, prefix) {
		return nil, badCredential("The token was not made by this server, or before its store was restored. Make a new one.")
	}
	if at := t.ExpireTime.AsTime(); !at.After(s.store.Now()) {
		return nil, expiredCredential(at, "Make another with CreateToken; or, for a visitor, with CreateVisitorSession.")
	}
	if t.ApiKeyId != "" {
		if err := orRevoked(s.store.APIKey(ctx, t.WorkspaceId, t.ApiKeyId)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// bySealedToken returns the person of a token that the server made.
func (s *Service) bySealedToken(ctx context.Context, token string) (Caller, error) {
	t, err := s.openToken(ctx, tokenPrefix, token)
	if err != nil {
		return Caller{}, err
	}
	return Caller{
		Kind: t.Caller, Workspace: t.WorkspaceId, ID: t.Subject, byToken: true, issued: t.IssueTime.AsTime(), madeBy: t.ApiKeyId,
		expires: t.ExpireTime.AsTime().Add(s.now().Sub(s.store.Now())), // which it says by the store's clock
	}, nil
}

// CreateToken makes a token for one person. It is kept nowhere.
func (s *Service) CreateToken(ctx context.Context, req *goodshipv1.CreateTokenRequest) (*goodshipv1.CreateTokenResponse, error) {
	t, err := s.tokenFor(ctx, req)
	if err != nil {
		return nil, err
	}
	longest := tokenAge(t.Caller)
	lifetime := longest
	if req.Lifetime != nil {
		lifetime = req.Lifetime.AsDuration()
	}
	if lifetime > longest {
		return nil, fault.Field("lifetime", "must be at most %s for a customer; make another token when this one ends", longest)
	}
	now := s.store.Now()
	t.ApiKeyId, t.ExpireTime = callerFrom(ctx).APIKeyID, timestamppb.New(now.Add(lifetime))
	// What was revoked up to this moment may have been so by a unit whose time is ahead of the clock.
	if t.IssueTime == nil || t.IssueTime.AsTime().Before(now) {
		t.IssueTime = timestamppb.New(now)
	}
	return &goodshipv1.CreateTokenResponse{Token: s.sealToken(tokenPrefix, t), ExpireTime: t.ExpireTime}, nil
}

// tokenFor returns a token for the person that a request names, with the time from which on their tokens work, if any, as the
// one when it was made.
func (s *Service) tokenFor(ctx context.Context, req *goodshipv1.CreateTokenRequest) (*storev1.Token, error) {
	workspace := callerFrom(ctx).Workspace
	if req.AgentId != "" {
		return s.tokenForAgent(ctx, workspace, req.AgentId)
	}
	t := &storev1.Token{Caller: goodshipv1.Caller_CALLER_CUSTOMER, WorkspaceId: workspace, Subject: req.CustomerId}
	if visitorID.MatchString(req.CustomerId) {
		t.Caller = goodshipv1.Caller_CALLER_VISITOR
	}
	customer, err := s.store.Customer(ctx, workspace, req.CustomerId)
	if customer.GetSignedInKey() != "" {
		return nil, fault.Field("customer_id", "is a visitor's who has signed in: name the customer that they are")
	}
	t.IssueTime = customer.GetTokenNotBeforeTime()
	return t, orMissing(err, nil)
}

func (s *Service) tokenForAgent(ctx context.Context, workspace, id string) (*storev1.Token, error) {
	agent, err := s.store.Agent(ctx, workspace, id)
	if err != nil {
		return nil, orMissing(err, noAgent(id))
	}
	if agent.Agent.DisableTime != nil {
		return nil, agentDisabled(id)
	}
	t := &storev1.Token{Caller: goodshipv1.Caller_CALLER_AGENT, WorkspaceId: workspace, Subject: id, IssueTime: agent.TokenNotBeforeTime}
	if agent.Agent.Role == goodshipv1.Role_ROLE_LEADER {
		t.Caller = goodshipv1.Caller_CALLER_LEADER
	}
	return t, nil
}

// RevokeTokens ends the tokens of a person that were issued before a time. A customer who is not known yet is made, to keep it.
func (s *Service) RevokeTokens(ctx context.Context, req *goodshipv1.RevokeTokensRequest) (*goodshipv1.RevokeTokensResponse, error) {
	reply := &goodshipv1.RevokeTokensResponse{}
	_, err := s.update(ctx, callerFrom(ctx), store.Once{}, func(tx store.Tx, _ Caller) (_ *storev1.Receipt, err error) {
		at := req.NotBeforeTime
		if at == nil {
			at = timestamppb.New(tx.Now())
		} else if at.AsTime().After(tx.Now()) {
			return nil, fault.Field("not_before_time", "must not be in the future")
		}
		if req.AgentId != "" {
			reply.NotBeforeTime, err = revokeAgent(tx, req.AgentId, at)
		} else {
			reply.NotBeforeTime, err = revokeCustomer(tx, req.CustomerId, at)
		}
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// revokeAgent ends an agent's tokens from before a time, or from before a later one that was set already, and returns which.
func revokeAgent(tx store.Tx, id string, at *timestamppb.Timestamp) (*timestamppb.Timestamp, error) {
	r, err := tx.Agent(id)
	if err != nil {
		return nil, orMissing(err, noAgent(id))
	}
	if !moves(r.TokenNotBeforeTime, at) {
		return r.TokenNotBeforeTime, nil
	}
	r.TokenNotBeforeTime = at
	return at, tx.PutAgent(r)
}

// revokeCustomer does the same for a customer.
func revokeCustomer(tx store.Tx, id string, at *timestamppb.Timestamp) (*timestamppb.Timestamp, error) {
	r, err := knownCustomer(tx, id)
	if err != nil {
		return nil, err
	}
	if !moves(r.TokenNotBeforeTime, at) {
		return r.TokenNotBeforeTime, nil
	}
	r.TokenNotBeforeTime = at
	return at, tx.PutCustomer(r)
}

// moves reports whether a time is after one that was set before, if it was: tokens that were ended never work again.
func moves(from, to *timestamppb.Timestamp) bool {
	return from == nil || to.AsTime().After(from.AsTime())
}
