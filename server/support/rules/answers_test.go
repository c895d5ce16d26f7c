package rules_test

import (
	"testing"
	"time"
)

// TestAnswers plays what an answer answers.
func TestAnswers(t *testing.T) { play(t, answerRows) }

var answerRows = []row{
	{
		id: "answer_in_time_is_KEPT", given: owned, when: ada.sends,
		log:  "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; messages 2",
	},
	{
		id: "answer_when_BROKEN_stays_BROKEN", given: broken, when: ada.sends,
		log:  "MessageSent WaitAnswered",
		want: "ANSWERED; promise BROKEN 0s-5m at risk answered 6m; line 0s; owner ada; silent since 6m; messages 2",
	},
	{
		id: "answer_to_several_messages", given: then(owned, customer.sends, after(time.Minute), customer.edits(2), after(time.Minute)), when: ada.sends,
		log:  "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 3m; line 0s; owner ada; silent since 3m; messages 3",
	},
	{
		id: "answer_to_a_rejection", given: rejected, when: ada.sends,
		log:  "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 3m-8m answered 4m; line 0s; owner ada; silent since 4m; resolutions REJECTED; rejections 1; messages 3",
	},
	{
		id: "answer_by_a_helper", given: both, when: ben.sends,
		log:  "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; silent since 2m; messages 2",
	},
	{
		id: "answer_by_a_leader", given: owned, when: lea.sends,
		log:  "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; messages 2",
	},
	{
		id: "answer_crossed_by_a_message", given: crossed, when: ada.sends,
		log:  "MessageSent WaitAnswered(kept) WaitBegan",
		want: "WAITING; promise RUNNING 1m-6m; line 1m; owner ada; unanswered 1; messages 3",
	},
	{
		id: "answer_crossed_by_an_edit", given: then(owned, ada.looks, customer.edits(1), after(time.Minute)), when: ada.sends,
		log:  "MessageSent WaitAnswered(kept) WaitBegan",
		want: "WAITING; promise RUNNING 1m-6m; line 1m; owner ada; unanswered 1; messages 2",
	},
	{
		id: "answer_crossed_by_a_rejection_answers_nothing", given: then(proposed, ada.looks, customer.rejects(1), after(time.Minute)), when: ada.sends,
		log:  "MessageSent",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 3",
	},
	{
		id:    "answer_crossed_after_a_rejection_loses_the_older_place",
		given: then(rejected, ada.looks, customer.sends, after(time.Minute)), when: ada.sends,
		log:  "MessageSent WaitAnswered(kept) WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 4m; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 4",
	},
	{
		id:    "answer_crossed_when_BROKEN_begins_a_promise",
		given: then(owned, after(3*time.Minute), ada.looks, customer.sends, after(2*time.Minute)), when: ada.sends,
		log:  "MessageSent WaitAnswered WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 4m; owner ada; unanswered 1; messages 3",
	},
	{
		id:    "answer_crossed_begins_a_promise_that_is_BROKEN_at_once",
		given: then(crossed, after(4*time.Minute)), when: ada.sends,
		log:  "MessageSent WaitAnswered WaitBegan PromiseAtRisk@6m PromiseBroken@6m",
		want: "WAITING; promise BROKEN 1m-6m at risk; line 1m; owner ada; unanswered 1; messages 3",
	},
	{
		id:    "answer_crossed_begins_a_promise_that_is_at_risk_at_once",
		given: then(crossed, after(4*time.Minute-time.Second)), when: ada.sends,
		log:  "MessageSent WaitAnswered WaitBegan PromiseAtRisk@5m59s",
		want: "WAITING; promise RUNNING 1m-6m at risk; line 1m; owner ada; unanswered 1; messages 3",
	},
	{
		id:    "answer_crossed_leaves_what_its_sender_had_not_seen",
		given: then(owned, customer.sends, after(time.Minute), ada.looks, customer.sends, after(time.Minute), customer.edits(3)), when: ada.sends,
		log:  "MessageSent WaitAnswered(kept) WaitBegan",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; owner ada; unanswered 2; messages 4",
	},
	{
		id: "answer_that_answers_nothing_changes_nothing", given: then(owned, ada.saw(1)), when: ada.sends,
		log:  "MessageSent",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 2",
	},
	{
		id: "answer_that_answers_nothing_under_BROKEN_changes_nothing", given: then(broken, ada.saw(1)), when: ada.sends,
		log:  "MessageSent",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 2",
	},
	{
		id: "second_answer_after_a_crossed_one", given: then(crossed, ada.sends, after(time.Minute)), when: ada.sends,
		log:  "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 1m-6m answered 3m; line 1m; owner ada; silent since 3m; messages 4",
	},
	{
		id: "colleague_answers_what_crossed", given: then(both, ada.looks, customer.sends, ben.sends), when: ada.sends,
		log:  "MessageSent",
		want: "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; silent since 2m; messages 4",
	},
	{
		id: "seen_revision_required_in_WAITING", given: then(owned, ada.saw(0)), when: ada.sends,
		fault: "FailedPrecondition SEEN_REVISION_REQUIRED revision=4",
	},
	{
		id: "seen_revision_required_of_a_claiming_message", given: then(waiting, ada.saw(0)), when: ada.sends,
		fault: "FailedPrecondition SEEN_REVISION_REQUIRED revision=3",
	},
	{
		id: "seen_revision_not_required_in_ANSWERED", given: then(answered, ada.saw(0)), when: ada.sends,
		log:  "MessageSent",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 2m; messages 3",
	},
	{
		id: "seen_revision_not_required_in_RESOLVED", given: then(confirmed, ada.saw(0)), when: ada.sends,
		log:  "MessageSent",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 3",
	},
	{
		id: "seen_revision_ignored_from_customers", given: then(answered, customer.saw(99)), when: customer.sends,
		log:  "MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; owner ada; unanswered 1; messages 3",
	},
	{
		id: "seen_revision_ignored_from_backends", given: then(owned, backend.saw(99)), when: backend.sends,
		log:  "MessageSent",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 2",
	},
	{
		id: "seen_revision_beyond_the_newest_in_WAITING", given: then(owned, ada.saw(5)), when: ada.sends,
		fault: "InvalidArgument SEEN_REVISION_AHEAD revision=4",
	},
	{
		id: "seen_revision_beyond_the_newest_in_ANSWERED", given: then(answered, ada.saw(7)), when: ada.sends,
		fault: "InvalidArgument SEEN_REVISION_AHEAD revision=6",
	},
	{
		id: "seen_revision_beyond_the_newest_in_RESOLVED", given: then(confirmed, ada.saw(99)), when: ada.sends,
		fault: "InvalidArgument SEEN_REVISION_AHEAD revision=8",
	},
	{
		id: "seen_revision_beyond_the_newest_of_a_proposal", given: then(answered, ada.saw(7)), when: ada.states,
		fault: "InvalidArgument SEEN_REVISION_AHEAD revision=6",
	},
	{
		id: "seen_revision_beyond_the_newest_of_a_dismissal", given: then(answered, ada.saw(7)), when: ada.dismisses,
		fault: "InvalidArgument SEEN_REVISION_AHEAD revision=6",
	},
	{
		id: "nobody_has_seen_what_time_does_only_now", given: then(owned, unfired(time.Hour), ada.saw(5)), when: ada.sends,
		fault: "InvalidArgument SEEN_REVISION_AHEAD revision=4",
	},
}

// TestTime plays what only time does, and that it comes first.
func TestTime(t *testing.T) { play(t, timeRows) }

var timeRows = []row{
	{
		id: "promise_is_at_risk_in_its_last_fifth", given: owned, when: after(3 * time.Minute),
		log:  "PromiseAtRisk@4m",
		want: "WAITING; promise RUNNING 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 1",
	},
	{id: "promise_is_not_at_risk_before", given: owned, when: after(3*time.Minute - time.Microsecond)},
	{
		id: "promise_breaks_at_its_due_time", given: owned, when: after(4 * time.Minute),
		log:  "PromiseAtRisk@4m PromiseBroken@5m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 1",
	},
	{
		id: "promise_is_not_broken_before", given: then(owned, after(3*time.Minute)), when: after(time.Minute - time.Microsecond),
	},
	{
		id: "answer_a_microsecond_before_due_is_KEPT", given: then(owned, unfired(4*time.Minute-time.Microsecond)), when: ada.sends,
		log:  "PromiseAtRisk@4m MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m at risk answered 4m59.999999s; line 0s; owner ada; silent since 4m59.999999s; messages 2",
	},
	{
		id: "answer_at_the_due_instant_is_late", given: then(owned, unfired(4*time.Minute)), when: ada.sends,
		log:  "PromiseAtRisk@4m PromiseBroken@5m MessageSent WaitAnswered",
		want: "ANSWERED; promise BROKEN 0s-5m at risk answered 5m; line 0s; owner ada; silent since 5m; messages 2",
	},
	{
		id: "confirmation_at_the_due_instant_is_late", given: then(owned, unfired(4*time.Minute)), when: customer.confirms(0),
		log:  "PromiseAtRisk@4m PromiseBroken@5m Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 5m; promise BROKEN 0s-5m at risk; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 1",
	},
	{
		id: "message_at_the_instant_of_ASSUMED_is_a_return", given: then(proposed, unfired(72*time.Hour-time.Minute)), when: customer.sends,
		log:  "Resolved(ASSUMED)@72h2m MessageSent(asks) Reopened(counted) WaitBegan",
		want: "WAITING; promise RUNNING 72h2m-72h7m; line 72h2m; owner ada; unanswered 1; resolutions ASSUMED; returns 1; messages 3",
	},
	{
		id: "message_before_the_instant_of_ASSUMED_supersedes", given: then(proposed, unfired(72*time.Hour-time.Minute-time.Microsecond)), when: customer.sends,
		log:  "ResolutionSuperseded MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 72h1m59.999999s-72h6m59.999999s; line 72h1m59.999999s; owner ada; unanswered 1; resolutions SUPERSEDED; messages 3",
	},
	{
		id: "confirmation_at_the_instant_of_ASSUMED", given: then(proposed, unfired(72*time.Hour-time.Minute)), when: customer.confirms(1),
		log:  "Resolved(ASSUMED)@72h2m Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 72h2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id: "rejection_at_the_instant_of_ASSUMED", given: then(proposed, unfired(72*time.Hour-time.Minute)), when: customer.rejects(1),
		log:  "Resolved(ASSUMED)@72h2m ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 72h2m-72h7m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "withdrawal_at_the_instant_of_ASSUMED_refused", given: then(proposed, unfired(72*time.Hour-time.Minute)), when: ada.withdraws(1),
		fault: "FailedPrecondition NOTHING_PROPOSED",
	},
	{
		id: "proposal_at_the_instant_of_LAPSED_refused", given: then(answered, unfired(14*24*time.Hour-time.Minute)), when: ada.states,
		fault: "FailedPrecondition CONVERSATION_RESOLVED allowed=ConfirmResolution, SendMessage state=RESOLVED",
	},
	{
		id: "confirmation_at_the_instant_of_LAPSED_makes_a_resolution", given: then(answered, unfired(14*24*time.Hour-time.Minute)), when: customer.confirms(0),
		log:  "Resolved(LAPSED)@336h1m Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 336h1m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id:    "time_works_in_order_of_due_time",
		given: then(offered, ada.vanishes, unfired(time.Hour)), when: customer.sends,
		log:  "HandOverLapsed(ben)@2m Released(ada AWAY)@2m PromiseAtRisk@4m PromiseBroken@5m MessageSent(asks)",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; unanswered 2; messages 2; notes 1",
	},
	{
		id:    "time_works_in_order_of_due_time_whatever_is_due",
		given: then(owned, unfired(3*time.Minute+30*time.Second), ada.vanishes, unfired(time.Hour)), when: customer.sends,
		log:  "PromiseAtRisk@4m Released(ada AWAY)@4m30s PromiseBroken@5m MessageSent(asks)",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; unanswered 2; messages 2",
	},
	{
		id: "nothing_depends_on_when_a_timer_fires", given: then(owned, after(3*time.Minute), after(time.Hour)), when: customer.sends,
		log:  "MessageSent(asks)",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 2; messages 2",
	},
	{
		id: "promise_is_never_broken_early_by_a_clock_that_stands", given: owned, when: after(0),
	},
}
