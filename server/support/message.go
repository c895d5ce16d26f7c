package support

import (
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// SendMessage says something in public.
func (s *Service) SendMessage(ctx context.Context, req *goodshipv1.SendMessageRequest) (*goodshipv1.Message, error) {
	content := rules.Content{Text: req.Text, Attachments: req.Attachments}
	if content.Empty() {
		return nil, fault.Field("text", "is required unless there are attachments")
	}
	r, err := s.work(ctx, req, func(u *unit) error { return u.Send(content, req.SeenRevision) })
	return s.said(ctx, r, err)
}

// said returns the message of a receipt as the caller sees it.
func (s *Service) said(ctx context.Context, r *storev1.Receipt, err error) (*goodshipv1.Message, error) {
	if err != nil {
		return nil, err
	}
	return s.GetMessage(ctx, &goodshipv1.GetMessageRequest{ConversationId: r.ConversationId, Number: r.MessageNumber})
}

// GetMessage returns a message.
func (s *Service) GetMessage(ctx context.Context, req *goodshipv1.GetMessageRequest) (*goodshipv1.Message, error) {
	if _, err := s.visible(ctx, req.ConversationId); err != nil {
		return nil, err
	}
	c := callerFrom(ctx)
	messages, err := s.store.Messages(ctx, c.Workspace, req.ConversationId, store.Range{From: req.Number, Limit: 1})
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	if len(messages) == 0 {
		return nil, noMessage()
	}
	return see(c, messages[0]), nil
}

// ListMessages lists messages by number.
func (s *Service) ListMessages(ctx context.Context, req *goodshipv1.ListMessagesRequest) (*goodshipv1.ListMessagesResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	head, err := s.visible(ctx, req.ConversationId)
	if err != nil {
		return nil, err
	}
	from, count := numbers(p, head.Conversation.MessageCount, req.NewestFirst)
	reply := &goodshipv1.ListMessagesResponse{Revision: head.Conversation.Revision, WatchCursor: s.watchCursor(c, head)}
	if count == 0 {
		return see(c, reply), nil
	}
	// No message is newer than the head, so that an answer to the revision answers what the page shows.
	reply.Messages, err = s.store.Messages(ctx, c.Workspace, req.ConversationId, store.Range{From: from, Limit: count, Descending: req.NewestFirst})
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	reply.Messages = fitting(reply.Messages)
	if n := len(reply.Messages); n > 0 {
		last := reply.Messages[n-1].Number
		if last > 1 && req.NewestFirst || last < head.Conversation.MessageCount && !req.NewestFirst {
			reply.NextPageToken = p.nextNumber(last)
		}
	}
	return see(c, reply), nil
}

// numbers returns with which number a page of the numbers 1 to count begins, and how many it has.
func numbers(p page, count int32, descending bool) (from int32, limit int) {
	after := p.number()
	if !descending {
		return after + 1, min(p.size, max(int(count-after), 0))
	}
	if after == 0 {
		after = count + 1
	}
	return after - 1, min(p.size, int(after-1))
}

// EditMessage changes the text of the caller's own message.
func (s *Service) EditMessage(ctx context.Context, req *goodshipv1.EditMessageRequest) (*goodshipv1.Message, error) {
	r, err := s.workOnMessage(ctx, req, func(u *unit, m *goodshipv1.Message) error { return u.Edit(m, req.Text) })
	return s.said(ctx, r, err)
}

// RedactMessage removes the content of a message.
func (s *Service) RedactMessage(ctx context.Context, req *goodshipv1.RedactMessageRequest) (*goodshipv1.Message, error) {
	r, err := s.workOnMessage(ctx, req, func(u *unit, m *goodshipv1.Message) error { return u.Redact(m) })
	return s.said(ctx, r, err)
}

// ReportDelivery notes how the product's delivery of a message ended.
func (s *Service) ReportDelivery(ctx context.Context, req *goodshipv1.ReportDeliveryRequest) (*goodshipv1.Message, error) {
	r, err := s.workOnMessage(ctx, req, func(u *unit, m *goodshipv1.Message) error {
		if err := u.ReportDelivery(m, req.State, req.Failure); err != nil {
			return err
		}
		return u.becomes(reported[req.State], m.Number, m.Number)
	})
	return s.said(ctx, r, err)
}

// reported is what an apology becomes by how its delivery ended.
var reported = map[goodshipv1.DeliveryState]goodshipv1.ApologyState{
	goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED: goodshipv1.ApologyState_APOLOGY_STATE_DELIVERED,
	goodshipv1.DeliveryState_DELIVERY_STATE_FAILED:    goodshipv1.ApologyState_APOLOGY_STATE_FAILED,
}

// numberedRequest names a message, a note or a resolution of a conversation.
type numberedRequest interface {
	conversationRequest
	GetNumber() int32
}

// workOnMessage runs a command on a message that is there.
func (s *Service) workOnMessage(ctx context.Context, req numberedRequest, command func(*unit, *goodshipv1.Message) error) (*storev1.Receipt, error) {
	return s.work(ctx, req, func(u *unit) error {
		m, err := u.tx.Message(req.GetConversationId(), req.GetNumber())
		if err != nil {
			return orMissing(err, noMessage())
		}
		u.receipt.MessageNumber = m.Number
		u.change.Messages = []*goodshipv1.Message{m}
		return command(u, m)
	})
}

// MarkRead says how far the caller has read. It changes no revision itself; but what was unseen until now was unseen.
func (s *Service) MarkRead(ctx context.Context, req *goodshipv1.MarkReadRequest) (*goodshipv1.ReadMark, error) {
	c := callerFrom(ctx)
	reader := ""
	if c.isAgent() {
		reader = c.ID
	}
	var mark *goodshipv1.ReadMark
	var grown *storev1.Head // as of when the mark grew; nil if it did not
	_, err := s.updateUnasked(ctx, c, store.Once{}, func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		grown = nil
		u, err := s.begin(tx, c, req.ConversationId)
		if err != nil {
			return nil, err
		}
		if newest := u.Head.Conversation.MessageCount; req.Number > newest {
			return nil, fault.Field("number", "must be at most that of the newest message, %d", newest)
		}
		record, err := tx.ReadMark(req.ConversationId, reader)
		if err != nil {
			return nil, err
		}
		if record.GetMessageNumber() < req.Number {
			grown = u.Head
			record = &storev1.ReadMarkRecord{AgentId: reader, MessageNumber: req.Number, ReadTime: timestamppb.New(tx.Now())}
			if err := tx.PutReadMark(req.ConversationId, record); err != nil {
				return nil, err
			}
			if c.isCustomer() {
				u.Read(req.Number)
				if err := u.becomes(goodshipv1.ApologyState_APOLOGY_STATE_SEEN, 1, req.Number); err != nil {
					return nil, err
				}
			}
		}
		mark = readMark(u.Head, record)
		return nil, u.append()
	})
	if err != nil {
		return nil, err
	}
	if grown != nil {
		s.postMark(c.Workspace, grown, mark)
	}
	return see(c, mark), nil
}

// postMark tells those who watch a conversation that somebody read on.
func (s *Service) postMark(workspace string, h *storev1.Head, m *goodshipv1.ReadMark) {
	id := h.Conversation.Id
	read := m.ReadTime.AsTime()
	n := notice{
		kind: noticeMark, author: m.AgentId, participant: m.ParticipantNumber, rank: m.MessageNumber,
		time: read, until: read.Add(markLasts),
	}
	s.hub.post(workspace, h, n, func(a audience) *goodshipv1.WatchUpdate {
		seen := markFor(a, m)
		if seen == nil {
			return nil
		}
		return &goodshipv1.WatchUpdate{ConversationId: id, Update: &goodshipv1.WatchUpdate_ReadMark{ReadMark: seen}}
	})
}
