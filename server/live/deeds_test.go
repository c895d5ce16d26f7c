package live

import (
	"context"
	"sync/atomic"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// grow raises a number that others raise too.
func grow(n *atomic.Int32, to int32) {
	for at := n.Load(); at < to && !n.CompareAndSwap(at, to); at = n.Load() {
	}
}

// seen returns the revision that an agent has read before an answer.
func (w *writer) seen(ctx context.Context, c *conversation) (int32, error) {
	conv, err := w.conversation.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: c.id})
	return conv.GetRevision(), err
}

func (w *writer) say(c *conversation, id string, asAgent bool) call {
	if c == nil {
		return nil
	}
	req := &goodshipv1.SendMessageRequest{ConversationId: c.id, Text: w.text(id), RequestId: id}
	return func(ctx context.Context) (err error) {
		if asAgent && req.SeenRevision == 0 { // a repeated request is the same
			if req.SeenRevision, err = w.seen(ctx, c); err != nil {
				return err
			}
		}
		m, err := w.message.SendMessage(ctx, req)
		if err == nil {
			w.sent(c, m.Number, req.Text)
		}
		return err
	}
}

func (w *writer) edit(_ *conversation, id string) call {
	own, ok := w.own(w.messages)
	if !ok {
		return nil
	}
	req := &goodshipv1.EditMessageRequest{ConversationId: own.conversation, Number: own.number, Text: w.text(id), RequestId: id}
	return func(ctx context.Context) error {
		_, err := w.message.EditMessage(ctx, req)
		if err == nil {
			w.ledger.said(own, req.Text)
		}
		return err
	}
}

func (w *writer) redact(m numbered, id string) call {
	return func(ctx context.Context) error {
		_, err := w.message.RedactMessage(ctx, &goodshipv1.RedactMessageRequest{ConversationId: m.conversation, Number: m.number, RequestId: id})
		if err == nil {
			w.ledger.removed(m)
		}
		return err
	}
}

func (w *writer) redactOwn(_ *conversation, id string) call {
	own, ok := w.own(w.messages)
	if !ok {
		return nil
	}
	return w.redact(own, id)
}

func (w *writer) redactAny(c *conversation, id string) call {
	return w.redact(numbered{c.id, 1 + w.rng.Int32N(c.messages.Load())}, id)
}

func (w *writer) read(c *conversation, _ string) call {
	if c == nil {
		return nil
	}
	newest := c.messages.Load()
	return func(ctx context.Context) error {
		_, err := w.message.MarkRead(ctx, &goodshipv1.MarkReadRequest{ConversationId: c.id, Number: newest})
		return err
	}
}

func (w *writer) signal(c *conversation, _ string) call {
	if c == nil {
		return nil
	}
	kind := goodshipv1.SignalKind(1 + w.rng.IntN(2))
	return func(ctx context.Context) error {
		_, err := w.message.SendSignal(ctx, &goodshipv1.SendSignalRequest{ConversationId: c.id, Kind: kind})
		return err
	}
}

// begin opens a conversation, as long as there are not many.
func (w *writer) begin(_ *conversation, id string) call {
	if len(w.all()) >= 5*watched {
		return nil
	}
	text := w.text(id)
	return func(ctx context.Context) error {
		made, err := w.conversation.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: text, RequestId: id})
		if err == nil {
			w.opened(made.Id, w.name, text)
			w.messages = append(w.messages, numbered{made.Id, 1})
		}
		return err
	}
}

func (w *writer) confirm(c *conversation, id string) call {
	if c == nil {
		return nil
	}
	return func(ctx context.Context) error {
		_, err := w.resolution.ConfirmResolution(ctx, &goodshipv1.ConfirmResolutionRequest{ConversationId: c.id, RequestId: id})
		return err
	}
}

func (w *writer) reject(c *conversation, id string) call {
	if c == nil {
		return nil
	}
	return func(ctx context.Context) error {
		_, err := w.resolution.RejectResolution(ctx, &goodshipv1.RejectResolutionRequest{ConversationId: c.id, RequestId: id})
		return err
	}
}

func (w *writer) note(c *conversation, id string) call {
	text := w.text(id)
	return func(ctx context.Context) error {
		n, err := w.message.CreateNote(ctx, &goodshipv1.CreateNoteRequest{ConversationId: c.id, Text: text, RequestId: id})
		if err == nil {
			w.ledger.noted(numbered{c.id, n.Number}, text)
			w.notes = append(w.notes, numbered{c.id, n.Number})
		}
		return err
	}
}

func (w *writer) editNote(_ *conversation, id string) call {
	own, ok := w.own(w.notes)
	if !ok {
		return nil
	}
	text := w.text(id)
	return func(ctx context.Context) error {
		_, err := w.message.EditNote(ctx, &goodshipv1.EditNoteRequest{ConversationId: own.conversation, Number: own.number, Text: text, RequestId: id})
		if err == nil {
			w.ledger.noted(own, text)
		}
		return err
	}
}

func (w *writer) redactNote(_ *conversation, id string) call {
	own, ok := w.own(w.notes)
	if !ok {
		return nil
	}
	return func(ctx context.Context) error {
		_, err := w.message.RedactNote(ctx, &goodshipv1.RedactNoteRequest{ConversationId: own.conversation, Number: own.number, RequestId: id})
		if err == nil {
			w.ledger.removedNote(own)
		}
		return err
	}
}

func (w *writer) claim(c *conversation, id string) call {
	return func(ctx context.Context) error {
		_, err := w.conversation.ClaimConversation(ctx, &goodshipv1.ClaimConversationRequest{ConversationId: c.id, RequestId: id})
		return err
	}
}

func (w *writer) claimNext(_ *conversation, id string) call {
	return func(ctx context.Context) error {
		_, err := w.conversation.ClaimNextConversation(ctx, &goodshipv1.ClaimNextConversationRequest{RequestId: id})
		return err
	}
}

func (w *writer) release(c *conversation, id string) call {
	return func(ctx context.Context) error {
		_, err := w.conversation.ReleaseConversation(ctx, &goodshipv1.ReleaseConversationRequest{ConversationId: c.id, RequestId: id})
		return err
	}
}

// propose says with it what was done, so that the customer's wait is over.
func (w *writer) propose(c *conversation, id string) call {
	req := &goodshipv1.ProposeResolutionRequest{ConversationId: c.id, Matter: goodshipv1.Matter_MATTER_FAULT, Done: "the film plays", Text: w.text(id), RequestId: id}
	return func(ctx context.Context) (err error) {
		if req.SeenRevision == 0 {
			if req.SeenRevision, err = w.seen(ctx, c); err != nil {
				return err
			}
		}
		r, err := w.resolution.ProposeResolution(ctx, req)
		if err == nil {
			w.sent(c, r.MessageNumber, req.Text)
		}
		return err
	}
}

func (w *writer) update(c *conversation, id string) call {
	return func(ctx context.Context) error {
		_, err := w.conversation.UpdateConversation(ctx, &goodshipv1.UpdateConversationRequest{
			ConversationId: c.id, RequestId: id, Conversation: &goodshipv1.ConversationUpdate{Subject: id, Labels: []string{id}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"subject", "labels"}},
		})
		return err
	}
}
