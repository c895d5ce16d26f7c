package support

import (
	"context"
	"errors"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
)

// ProposeResolution opens a resolution.
func (s *Service) ProposeResolution(ctx context.Context, req *goodshipv1.ProposeResolutionRequest) (*goodshipv1.Resolution, error) {
	if req.FoundFirst && req.Matter != goodshipv1.Matter_MATTER_FAULT {
		return nil, fault.Field("found_first", "goes with MATTER_FAULT only")
	}
	r, err := s.work(ctx, req, func(u *unit) error {
		if err := checkCredits(u, req.CreditIds); err != nil {
			return err
		}
		return u.Propose(rules.Proposal{
			Matter: req.Matter, Done: req.Done, MadeRight: req.MadeRight, CreditIDs: req.CreditIds, FoundFirst: req.FoundFirst,
			Content: rules.Content{Text: req.Text}, Seen: req.SeenRevision,
		})
	})
	return s.stated(ctx, r, err)
}

// checkCredits refuses credits that make nothing right in a unit's conversation.
func checkCredits(u *unit, ids []string) error {
	for i, id := range ids {
		path := fmt.Sprintf("credit_ids[%d]", i)
		r, err := u.tx.Credit(id)
		switch {
		case errors.Is(err, store.ErrNotFound) || err == nil && r.Credit.ConversationId != u.Head.Conversation.Id:
			return fault.Field(path, "must be a credit of this conversation")
		case err != nil:
			return err
		}
		switch r.Credit.State {
		case goodshipv1.CreditState_CREDIT_STATE_REFUSED, goodshipv1.CreditState_CREDIT_STATE_REVERSED:
			return fault.Field(path, "must be PENDING or SETTLED, and is %s", creditState(r.Credit))
		}
	}
	return nil
}

// ConfirmResolution lets the customer say that it is solved.
func (s *Service) ConfirmResolution(ctx context.Context, req *goodshipv1.ConfirmResolutionRequest) (*goodshipv1.Resolution, error) {
	r, err := s.work(ctx, req, func(u *unit) error {
		return u.Confirm(req.ResolutionNumber, rules.Content{Text: req.Text})
	})
	return s.stated(ctx, r, err)
}

// RejectResolution lets the customer say that it is not solved.
func (s *Service) RejectResolution(ctx context.Context, req *goodshipv1.RejectResolutionRequest) (*goodshipv1.Resolution, error) {
	r, err := s.work(ctx, req, func(u *unit) error {
		return u.Reject(req.ResolutionNumber, rules.Content{Text: req.Text})
	})
	return s.stated(ctx, r, err)
}

// WithdrawResolution takes the proposed resolution back.
func (s *Service) WithdrawResolution(ctx context.Context, req *goodshipv1.WithdrawResolutionRequest) (*goodshipv1.Resolution, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return u.Withdraw(req.ResolutionNumber) })
	return s.stated(ctx, r, err)
}

// RateConversation keeps what the customer thinks.
func (s *Service) RateConversation(ctx context.Context, req *goodshipv1.RateConversationRequest) (*goodshipv1.Resolution, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return s.rate(u, req.ResolutionNumber, req.Rating) })
	return s.stated(ctx, r, err)
}

// stated returns the resolution of a receipt as the caller sees it.
func (s *Service) stated(ctx context.Context, r *storev1.Receipt, err error) (*goodshipv1.Resolution, error) {
	if err != nil {
		return nil, err
	}
	return s.GetResolution(ctx, &goodshipv1.GetResolutionRequest{ConversationId: r.ConversationId, Number: r.ResolutionNumber})
}

// GetResolution returns a resolution.
func (s *Service) GetResolution(ctx context.Context, req *goodshipv1.GetResolutionRequest) (*goodshipv1.Resolution, error) {
	if _, err := s.visible(ctx, req.ConversationId); err != nil {
		return nil, err
	}
	c := callerFrom(ctx)
	resolutions, err := s.store.Resolutions(ctx, c.Workspace, req.ConversationId, store.Range{From: req.Number, Limit: 1})
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	if len(resolutions) == 0 {
		return nil, noResolution()
	}
	return see(c, resolutions[0]), nil
}

// ListResolutions lists the resolutions of a conversation by number.
func (s *Service) ListResolutions(ctx context.Context, req *goodshipv1.ListResolutionsRequest) (*goodshipv1.ListResolutionsResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	head, err := s.visible(ctx, req.ConversationId)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListResolutionsResponse{}
	from, count := numbers(p, head.Conversation.ResolutionCount, false)
	if count == 0 {
		return reply, nil
	}
	reply.Resolutions, err = s.store.Resolutions(ctx, c.Workspace, req.ConversationId, store.Range{From: from, Limit: count})
	reply.Resolutions = fitting(reply.Resolutions)
	if n := len(reply.Resolutions); n > 0 && reply.Resolutions[n-1].Number < head.Conversation.ResolutionCount {
		reply.NextPageToken = p.nextNumber(reply.Resolutions[n-1].Number)
	}
	return see(c, reply), orMissing(err, noConversation())
}
