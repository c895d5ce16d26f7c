package support

import (
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// ClaimConversation makes the caller the owner.
func (s *Service) ClaimConversation(ctx context.Context, req *goodshipv1.ClaimConversationRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return u.Claim() })
	return s.changed(ctx, r, err)
}

// ClaimNextConversation makes the caller the owner of the unowned conversation that has waited longest.
func (s *Service) ClaimNextConversation(ctx context.Context, req *goodshipv1.ClaimNextConversationRequest) (*goodshipv1.ClaimNextConversationResponse, error) {
	c := callerFrom(ctx)
	if err := s.returnAbandoned(ctx, c.Workspace); err != nil {
		return nil, err
	}
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		id, err := tx.OldestWaiting()
		if err != nil || id == "" {
			return nil, err
		}
		u, err := s.begin(tx, c, id)
		if err != nil {
			return nil, err
		}
		if err := u.Claim(); err != nil {
			return nil, err
		}
		return u.finish()
	})
	if err != nil || result.Receipt == nil {
		return &goodshipv1.ClaimNextConversationResponse{}, err
	}
	conv, err := s.conversation(ctx, result.Receipt.ConversationId)
	return &goodshipv1.ClaimNextConversationResponse{Conversation: conv}, err
}

// ReleaseConversation gives up ownership.
func (s *Service) ReleaseConversation(ctx context.Context, req *goodshipv1.ReleaseConversationRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return u.Release() })
	return s.changed(ctx, r, err)
}

// InviteHelper makes a colleague a helper.
func (s *Service) InviteHelper(ctx context.Context, req *goodshipv1.InviteHelperRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error {
		if _, err := u.tx.Agent(req.AgentId); err != nil {
			return orMissing(err, noAgent(req.AgentId))
		}
		return u.Invite(req.AgentId)
	})
	return s.changed(ctx, r, err)
}

// RemoveHelper ends somebody's help.
func (s *Service) RemoveHelper(ctx context.Context, req *goodshipv1.RemoveHelperRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return u.RemoveHelper(req.AgentId) })
	return s.changed(ctx, r, err)
}

// HandOverConversation offers the conversation to a colleague.
func (s *Service) HandOverConversation(ctx context.Context, req *goodshipv1.HandOverConversationRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error {
		if _, err := u.tx.Agent(req.ToAgentId); err != nil {
			return orMissing(err, noAgent(req.ToAgentId))
		}
		return u.HandOver(req.ToAgentId, req.Brief)
	})
	return s.changed(ctx, r, err)
}

// AcceptHandOver takes over a conversation on offer.
func (s *Service) AcceptHandOver(ctx context.Context, req *goodshipv1.AcceptHandOverRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return u.AcceptHandOver() })
	return s.changed(ctx, r, err)
}

// DeclineHandOver declines a conversation on offer.
func (s *Service) DeclineHandOver(ctx context.Context, req *goodshipv1.DeclineHandOverRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return u.DeclineHandOver() })
	return s.changed(ctx, r, err)
}
