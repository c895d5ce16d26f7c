package support_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

func rate(id string, solved bool) *goodshipv1.RateConversationRequest {
	return &goodshipv1.RateConversationRequest{ConversationId: id, Rating: &goodshipv1.Rating{Solved: proto.Bool(solved), Personal: 5, Easy: 4, Comment: "So."}}
}

func TestPropose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	proposal := w.proposal(id)
	proposal.MadeRight = "A month for free"
	got := do[*goodshipv1.Resolution](w, ada, proposal)
	same(t, "resolution", got, &goodshipv1.Resolution{
		ConversationId: id, Number: 1, State: proposed, Matter: goodshipv1.Matter_MATTER_FAULT, Done: "Mended it", MadeRight: "A month for free",
		AgentId: "ada", MessageNumber: 2, CreateTime: got.CreateTime,
	})
	got.AgentId = ""
	same(t, "resolution, for the customer", do[*goodshipv1.Resolution](w, kim, &goodshipv1.GetResolutionRequest{ConversationId: id, Number: 1}), got)
	equal(t, "resolution of the conversation", w.reads(kim, id).ResolutionNumber, 1)
	w.refuses(ada, w.proposal(id), "FailedPrecondition ALREADY_PROPOSED resolution_number=1")
	w.refuses(ben, &goodshipv1.WithdrawResolutionRequest{ConversationId: id}, "PermissionDenied NOT_A_PARTICIPANT")
	back := do[*goodshipv1.Resolution](w, ada, &goodshipv1.WithdrawResolutionRequest{ConversationId: id, ResolutionNumber: 1})
	equal(t, "state", back.State, withdrawn)
	w.refuses(ada, &goodshipv1.WithdrawResolutionRequest{ConversationId: id}, "FailedPrecondition NOTHING_PROPOSED")
	w.refuses(kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: id, ResolutionNumber: 1}, "FailedPrecondition RESOLUTION_NOT_OPEN")
	silent := w.proposal(id)
	silent.Text = ""
	equal(t, "message of one without words", do[*goodshipv1.Resolution](w, ada, silent).MessageNumber, 0)
	w.refuses(kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: id, ResolutionNumber: 1}, "FailedPrecondition RESOLUTION_NOT_OPEN resolution_number=2")
	w.refuses(kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: id, ResolutionNumber: 3}, "NotFound RESOLUTION_NOT_FOUND")
	w.refuses(kim, &goodshipv1.GetResolutionRequest{ConversationId: id, Number: 3}, "NotFound RESOLUTION_NOT_FOUND")
	w.says(kim, id, "It is not.")
	equal(t, "state once the customer wrote on", do[*goodshipv1.Resolution](w, kim, &goodshipv1.GetResolutionRequest{ConversationId: id, Number: 2}).State, superseded)
}

func TestProposeWhileTheCustomerWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	silent := w.proposal(id)
	silent.Text = ""
	w.refuses(ada, silent, "FailedPrecondition CUSTOMER_IS_WAITING revision=3")
	unseen := w.proposal(id)
	unseen.SeenRevision = 0
	w.refuses(ada, unseen, "FailedPrecondition SEEN_REVISION_REQUIRED revision=3")
	crossed := w.proposal(id)
	w.says(kim, id, "One more thing.")
	w.refuses(ada, crossed, "FailedPrecondition CUSTOMER_IS_WAITING revision=4")
	w.confirms(kim, id)
	w.refuses(ada, w.proposal(id), "FailedPrecondition CONVERSATION_RESOLVED allowed=ConfirmResolution, SendMessage state=RESOLVED")
}

// TestConfirm lets the customer confirm in all ways: what is proposed, without a proposal, and after silence.
func TestConfirm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := solved(w)
	got := do[*goodshipv1.Resolution](w, kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: id, ResolutionNumber: 1, Text: "Thank you!"})
	equal(t, "state", got.State, confirmed)
	equal(t, "has a time", got.DecideTime != nil, true)
	equal(t, "messages", w.reads(kim, id).MessageCount, 3)
	w.stands(id, "RESOLVED owner=ada helpers=")
	w.refuses(kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: id}, "FailedPrecondition NOTHING_TO_CONFIRM state=RESOLVED")

	alone := waits(w)
	got = w.confirms(kim, alone)
	same(t, "without a proposal", got, &goodshipv1.Resolution{
		ConversationId: alone, Number: 1, State: confirmed, CreateTime: got.CreateTime, DecideTime: got.CreateTime,
	})
	equal(t, "promise", w.reads(kim, alone).AnswerPromise.State, goodshipv1.PromiseState_PROMISE_STATE_CANCELED)

	silent, lapsed := solved(w), replied(w)
	w.clock.Jump(14*24*time.Hour + time.Second)
	w.notes(ben, silent, "Somebody touches it.")
	w.notes(ben, lapsed, "Somebody touches it.")
	equal(t, "outcome after silence", w.reads(kim, silent).Outcome, goodshipv1.Outcome_OUTCOME_ASSUMED)
	equal(t, "outcome after silence, without a proposal", w.reads(kim, lapsed).Outcome, goodshipv1.Outcome_OUTCOME_LAPSED)
	equal(t, "confirmed after silence", w.confirms(kim, silent).Number, 1)
	equal(t, "confirmed after silence, without a proposal", w.confirms(kim, lapsed).State, confirmed)
	equal(t, "outcome", w.reads(kim, silent).Outcome, goodshipv1.Outcome_OUTCOME_CONFIRMED)
}

// TestTimeComesFirst confirms and rejects what silence has resolved, though nobody has touched it since.
func TestTimeComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := solved(w)
	w.clock.Jump(72*time.Hour + time.Second)
	equal(t, "state", w.rejects(kim, id).State, rejected)
	equal(t, "story", w.story(id), "opened message_sent wait_began claimed message_sent wait_answered resolution_proposed unseen resolved resolution_rejected released wait_began")
	w.stands(id, "WAITING owner= helpers=")
}

func TestReject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := solved(w)
	got := do[*goodshipv1.Resolution](w, kim, &goodshipv1.RejectResolutionRequest{ConversationId: id, ResolutionNumber: 1, Text: "It is not."})
	equal(t, "state", got.State, rejected)
	after := w.reads(ada, id)
	equal(t, "messages", after.MessageCount, 3)
	equal(t, "rejections", after.RejectionCount, 1)
	w.stands(id, "WAITING owner=ada helpers=")
	w.refuses(kim, &goodshipv1.RejectResolutionRequest{ConversationId: id}, "FailedPrecondition NOTHING_TO_REJECT state=WAITING")
	w.proposes(ada, id)
	w.confirms(kim, id)
	w.rejects(kim, id) // what resolved it
	w.stands(id, "WAITING owner=ada helpers=")
}

func TestRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	w.refuses(kim, rate(id, true), "FailedPrecondition NOTHING_TO_REJECT state=WAITING")
	w.proposes(ada, id)
	w.confirms(kim, id)
	got := do[*goodshipv1.Resolution](w, kim, rate(id, true)).Rating
	same(t, "rating", got, &goodshipv1.Rating{Solved: proto.Bool(true), Personal: 5, Easy: 4, Comment: "So.", CreateTime: got.CreateTime})
	w.clock.Jump(24*time.Hour - time.Second)
	again := do[*goodshipv1.Resolution](w, kim, &goodshipv1.RateConversationRequest{ConversationId: id, Rating: &goodshipv1.Rating{Solved: proto.Bool(true)}}).Rating
	same(t, "rating, replaced as a whole", again, &goodshipv1.Rating{Solved: proto.Bool(true), CreateTime: got.CreateTime, UpdateTime: again.UpdateTime})
	w.clock.Jump(2 * time.Second)
	w.refuses(kim, rate(id, true), "FailedPrecondition RATING_FINAL")
	w.says(kim, id, "It is back.")
	w.refuses(kim, rate(id, true), "FailedPrecondition NOTHING_TO_REJECT state=WAITING")
	w.proposes(ada, id)
	equal(t, "state once rated not solved", do[*goodshipv1.Resolution](w, kim, rate(id, false)).State, rejected)
	w.stands(id, "WAITING owner=ada helpers=")
}
