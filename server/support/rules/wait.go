package rules

import (
	"strconv"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// beginWait starts a wait with its promise. Everything that is unanswered is in the head already.
func (c *Conversation) beginWait(start, line time.Time) {
	promise := c.Settings.Promise.AsDuration()
	due := c.Hours.Next(start).Add(promise)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_WaitBegan{WaitBegan: &goodshipv1.WaitBegan{
		StartTime: timestamppb.New(start), LineTime: timestamppb.New(line), DueTime: timestamppb.New(due),
		AtRiskTime: timestamppb.New(due.Add(-promise / 5)),
	}}})
}

// checkSeen refuses an answer whose sender does not say, while the customer waits, what it answers; or who cannot have
// seen that.
func (c *Conversation) checkSeen(seen int32) error {
	newest := strconv.Itoa(int(c.seen))
	if seen > c.seen {
		return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_SEEN_REVISION_AHEAD,
			"seen_revision %d is beyond the newest, %s. Send the revision of the conversation as you read it.", seen, newest).With("revision", newest)
	}
	if c.waiting() && seen == 0 {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_SEEN_REVISION_REQUIRED,
			"The customer waits for an answer. Read what they wrote and send the conversation's revision as seen_revision.").With("revision", newest)
	}
	return nil
}

// crossed reports whether the customer did something that a sender had not seen.
func (c *Conversation) crossed(seen int32) bool {
	n := len(c.Head.Unanswered)
	return n > 0 && c.Head.Unanswered[n-1].Revision > seen
}

// answer lets a person's message answer what its sender had seen. What crossed it begins a wait of its own, which may be
// overdue already.
func (c *Conversation) answer(seen int32) {
	if len(c.Head.Unanswered) == 0 || c.Head.Unanswered[0].Revision > seen {
		return
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_WaitAnswered{WaitAnswered: &goodshipv1.WaitAnswered{SeenRevision: seen, Kept: c.running()}}})
	if len(c.Head.Unanswered) > 0 {
		first := c.Head.Unanswered[0].Time.AsTime()
		c.beginWait(first, first)
	}
}

func customerIsWaiting(newest int32) error {
	n := strconv.Itoa(int(newest))
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_CUSTOMER_IS_WAITING,
		"Something that the customer did is not answered. Read the conversation up to revision %s and answer it, with a message or with the text of the proposal.", n).With("revision", n)
}
