package rules

import (
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// defaultApology is what a workspace that has no words of its own says when it broke a promise.
const defaultApology = "You have been waiting longer than we promised, and we are sorry. You keep your place in line, and a person will answer you here. If you would rather not wait, you can also reach a person this way:"

// apologize tells the customer, where the workspace wants that, that the server knows of the broken promise, and how else to
// reach a person. It is no answer, and nobody's message.
func (c *Conversation) apologize() {
	if c.Settings.OnBroken != goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE {
		return
	}
	number := c.Head.Conversation.MessageCount + 1
	c.Messages = append(c.Messages, &goodshipv1.Message{
		ConversationId: c.Head.Conversation.Id, Number: number, CreateTime: timestamppb.New(c.clock), Text: apology(c.Settings),
		Sender:          &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC},
		AutomaticReason: goodshipv1.AutomaticReason_AUTOMATIC_REASON_PROMISE_BROKEN,
	})
	c.emitTime(&goodshipv1.Event{Kind: &goodshipv1.Event_MessageSent{MessageSent: &goodshipv1.MessageSent{Number: number}}})
}

// apology returns the workspace's words, then its contact points, one a line.
func apology(w *goodshipv1.Workspace) string {
	lines := []string{w.ApologyText}
	if w.ApologyText == "" {
		lines[0] = defaultApology
	}
	for _, p := range w.ContactPoints {
		lines = append(lines, p.Value)
	}
	return strings.Join(lines, "\n")
}
