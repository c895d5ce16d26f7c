package rules

import goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"

// Apologize says an incident's apology: as the first words of a conversation, or in one that is there, where it answers nobody. It
// is no outreach, though we speak first.
func (c *Conversation) Apologize(text string) error {
	if c.Head.Conversation.Revision == 0 {
		c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Opened{Opened: &goodshipv1.Opened{OutreachReason: goodshipv1.OutreachReason_OUTREACH_REASON_FAULT_FOUND}}})
	}
	if err := c.say(Content{Text: text}, false); err != nil {
		return err
	}
	c.Message.AutomaticReason = goodshipv1.AutomaticReason_AUTOMATIC_REASON_INCIDENT
	c.elapse()
	return nil
}

// Inform ends a conversation in which everything there is to tell was told. Writing in it opens it.
func (c *Conversation) Inform() {
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Resolved{Resolved: &goodshipv1.Resolved{Outcome: goodshipv1.Outcome_OUTCOME_INFORMED}}})
	c.elapse()
}
