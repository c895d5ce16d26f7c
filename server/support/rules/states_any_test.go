package rules_test

import (
	"fmt"
	"slices"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// anyStateRows tell what changes no state and no promise: the same commands from each state.
var anyStateRows = slices.Concat(
	resolvedRows, blockedRows,
	changesNothing("WAITING", both, 1, "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; helpers ben; unanswered 1"),
	changesNothing("ANSWERED", then(both, ada.sends), 2,
		"ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; silent since 2m"),
	changesNothing("ANSWERED_PROPOSED", then(both, ada.proposes), 2,
		"ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; silent since 2m; resolution 1; resolutions PROPOSED"),
	changesNothing("RESOLVED", then(both, ada.sends, customer.confirms(0)), 2,
		"RESOLVED CONFIRMED; resolved 2m; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; resolution 1; resolutions CONFIRMED"),
)

var resolvedRows = []row{
	{
		id: "agents_message_in_RESOLVED", given: confirmed, when: ada.sends, log: "MessageSent",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 3",
	},
	{
		id: "helpers_message_in_RESOLVED", given: then(both, ada.sends, customer.confirms(0)), when: ben.sends, log: "MessageSent",
		want: "RESOLVED CONFIRMED; resolved 2m; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; resolution 1; resolutions CONFIRMED; messages 3",
	},
	{
		id: "leaders_message_in_RESOLVED", given: dismissed, when: lea.sends, log: "MessageSent",
		want: "RESOLVED DISMISSED SPAM; resolved 1m; promise CANCELED 0s-5m; line 0s; owner ada; messages 2",
	},
	{
		id: "message_in_RESOLVED_claims_nothing", given: informed, when: lea.sends, log: "MessageSent",
		want: "RESOLVED INFORMED; resolved 0s; messages 2",
	},
	{
		id: "message_of_another_in_RESOLVED_refused", given: confirmed, when: ben.sends,
		fault: "PermissionDenied NOT_A_PARTICIPANT",
	},
	{
		id: "message_of_another_in_an_unowned_RESOLVED_refused", given: informed, when: ben.sends,
		fault: "PermissionDenied NOT_A_PARTICIPANT",
	},
	{
		id: "activity_stands_still_in_RESOLVED", given: then(confirmed, after(time.Hour)), when: ada.sends, log: "MessageSent",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 3",
		check: func(k *talk) {
			c := k.head.Conversation
			compare(k.t, "activity_time", since(c.ActivityTime.AsTime()), "3m")
			compare(k.t, "update_time", since(c.UpdateTime.AsTime()), "1h4m")
		},
	},
}

// changesNothing returns a row for each command that leaves state and promise alone, in a conversation with ada as owner, ben
// as helper, a first message of the customer's, and an outline that goes on with the numbers of messages and notes.
func changesNothing(state string, given []step, messages int, outline string) []row {
	said := fmt.Sprintf("%s; messages %d", outline, messages)
	saidMore := fmt.Sprintf("%s; messages %d", outline, messages+1)
	noted := said + "; notes 1"
	newest := int32(messages + 1)
	rows := []row{
		{id: "note_in_" + state, when: cleo.notes, log: "NoteAdded", want: noted},
		{id: "edited_note_in_" + state, given: []step{cleo.notes}, when: cleo.editsNote(1), log: "NoteEdited", want: noted},
		{id: "redacted_note_in_" + state, given: []step{cleo.notes}, when: lea.redactsNote(1), log: "NoteRedacted", want: noted},
		{id: "automatic_message_in_" + state, when: backend.sends, log: "MessageSent", want: saidMore},
		{id: "incidents_apology_in_" + state, when: backend.saysSorry, log: "MessageSent", want: saidMore},
		{id: "edited_automatic_message_in_" + state, given: []step{backend.sends}, when: backend.edits(newest), log: "MessageEdited", want: saidMore},
		{id: "redaction_by_the_customer_in_" + state, when: customer.redacts(1), log: "MessageRedacted", want: said},
		{id: "redaction_by_an_agent_in_" + state, when: ben.redacts(1), log: "MessageRedacted", want: said},
		{id: "redaction_by_a_backend_in_" + state, when: backend.redacts(1), log: "MessageRedacted", want: said},
		{id: "delivery_in_" + state, given: []step{backend.sends}, when: backend.reports(newest), log: "DeliveryReported", want: saidMore},
		{id: "credit_in_" + state, when: ben.credits, log: "CreditGranted(cred_1)", want: said},
		{id: "credit_ended_in_" + state, given: []step{ben.credits}, when: backend.ends(goodshipv1.CreditState_CREDIT_STATE_SETTLED), log: "CreditSettled(cred_1)", want: said},
		{id: "persona_in_" + state, when: ben.appearsAs("Captain Mike"), log: "PersonaSet(AGENT ben)", want: said},
		{id: "subject_in_" + state, when: ada.describes("subject", "labels"), log: "SubjectChanged DetailsChanged(labels)", want: said},
		{id: "read_mark_in_" + state, when: hasRead(1), want: said},
	}
	for i := range rows {
		rows[i].given = then(given, rows[i].given...)
	}
	return rows
}

var blockedRows = []row{
	{
		id: "blocked_customer_opens_refused", given: []step{isBlocked(0)}, when: customer.opens,
		fault: "PermissionDenied CUSTOMER_BLOCKED",
	},
	{
		id: "blocked_customer_writes_refused_with_until", given: then(answered, isBlocked(time.Hour)), when: customer.sends,
		fault: "PermissionDenied CUSTOMER_BLOCKED until=2026-03-02T10:02:00Z",
	},
	{
		id: "blocked_customer_learns_until_to_the_microsecond", given: then(answered, isBlocked(time.Hour+time.Microsecond)), when: customer.sends,
		fault: "PermissionDenied CUSTOMER_BLOCKED until=2026-03-02T10:02:00.000001Z",
	},
	{
		id: "blocked_customer_edits_refused", given: then(owned, isBlocked(0)), when: customer.edits(1),
		fault: "PermissionDenied CUSTOMER_BLOCKED",
	},
	{
		id: "blocked_customer_confirms_with_a_text_refused", given: then(proposed, isBlocked(0)), when: customer.confirming(1, words),
		fault: "PermissionDenied CUSTOMER_BLOCKED",
	},
	{
		id: "blocked_customer_rejects_with_a_text_refused", given: then(proposed, isBlocked(0)), when: customer.rejecting(1, words),
		fault: "PermissionDenied CUSTOMER_BLOCKED",
	},
	{
		id: "blocked_customer_confirms", given: then(proposed, isBlocked(0)), when: customer.confirms(1), log: "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id: "blocked_customer_rejects", given: then(proposed, isBlocked(0)), when: customer.rejects(1), log: "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "blocked_customer_rates_with_a_comment_refused", given: then(proposed, isBlocked(0)), when: customer.comments(true),
		fault: "PermissionDenied CUSTOMER_BLOCKED",
	},
	{
		id: "blocked_customer_rates", given: then(proposed, isBlocked(0)), when: customer.rates(true), log: "Rated",
	},
	{
		id: "block_resolves_nothing", given: then(owned, isBlocked(0)), when: after(time.Minute),
	},
	{
		id: "blocked_customer_is_answered", given: then(owned, isBlocked(0)), when: ada.sends, log: "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; messages 2",
	},
	{
		id: "block_ends_at_its_time", given: then(answered, isBlocked(time.Hour), after(time.Hour)), when: customer.sends,
		log:  "MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 1h2m-1h7m; line 1h2m; owner ada; unanswered 1; messages 3",
	},
	{
		id: "block_lasts_until_its_time", given: then(answered, isBlocked(time.Hour), after(time.Hour-time.Microsecond)), when: customer.sends,
		fault: "PermissionDenied CUSTOMER_BLOCKED until=2026-03-02T10:02:00Z",
	},
}

var editRows = []row{
	{
		id: "customer_edits_what_is_not_answered", given: owned, when: customer.edits(1), log: "MessageEdited(asks)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 2; messages 1",
		check: func(k *talk) {
			compare(k.t, "edit_time", since(k.messages[1].EditTime.AsTime()), "1m")
			compare(k.t, "text", k.messages[1].Text, "It skips a lot.")
		},
	},
	{id: "customer_edits_what_is_answered_refused", given: answered, when: customer.edits(1), fault: "FailedPrecondition MESSAGE_ANSWERED"},
	{
		id: "customer_edits_an_answered_message_while_another_waits_refused", given: then(answered, customer.sends), when: customer.edits(1),
		fault: "FailedPrecondition MESSAGE_ANSWERED",
	},
	{
		id: "customer_edits_what_a_confirmation_closed_refused", given: then(owned, customer.confirms(0)), when: customer.edits(1),
		fault: "FailedPrecondition MESSAGE_ANSWERED",
	},
	{
		id: "customer_edits_the_text_of_a_confirmation_refused", given: then(answered, customer.confirming(0, words)), when: customer.edits(3),
		fault: "FailedPrecondition MESSAGE_ANSWERED",
	},
	{id: "customer_edits_what_a_dismissal_closed_refused", given: dismissed, when: customer.edits(1), fault: "FailedPrecondition MESSAGE_ANSWERED"},
	{id: "customer_edits_an_agents_message_refused", given: answered, when: customer.edits(2), fault: "PermissionDenied NOT_THE_AUTHOR"},
	{id: "customer_edits_what_is_redacted_refused", given: then(owned, customer.redacts(1)), when: customer.edits(1), fault: "FailedPrecondition REDACTED"},
	{
		id: "agents_edit_is_marked_and_never_answers", given: then(answered, customer.sends, after(time.Minute)), when: ada.edits(2), log: "MessageEdited",
		check: func(k *talk) { compare(k.t, "edit_time", since(k.messages[2].EditTime.AsTime()), "3m") },
	},
	{id: "agent_edits_anothers_message_refused", given: then(both, ada.sends), when: ben.edits(2), fault: "PermissionDenied NOT_THE_AUTHOR"},
	{
		id: "redaction_keeps_what_is_owed", given: owned, when: customer.redacts(1), log: "MessageRedacted",
		check: func(k *talk) {
			m := k.messages[1]
			compare(k.t, "text", m.Text, "")
			compare(k.t, "redact_time", since(m.RedactTime.AsTime()), "1m")
		},
	},
	{id: "redaction_twice_changes_nothing", given: then(owned, customer.redacts(1)), when: customer.redacts(1)},
	{id: "customer_redacts_an_agents_message_refused", given: answered, when: customer.redacts(2), fault: "PermissionDenied NOT_THE_AUTHOR"},
	{id: "redaction_by_another_agent_refused", given: answered, when: ben.redacts(1), fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "note_edited_by_another_refused", given: then(owned, ada.notes), when: lea.editsNote(1), fault: "PermissionDenied NOT_THE_AUTHOR"},
	{id: "note_redacted_by_another_refused", given: then(owned, ada.notes), when: ben.redactsNote(1), fault: "PermissionDenied NOT_THE_AUTHOR"},
	{id: "note_edited_after_redaction_refused", given: then(owned, ada.notes, ada.redactsNote(1)), when: ada.editsNote(1), fault: "FailedPrecondition REDACTED"},
	{id: "note_redacted_twice_changes_nothing", given: then(owned, ada.notes, ada.redactsNote(1)), when: lea.redactsNote(1)},
	{id: "delivery_of_the_customers_message_refused", given: answered, when: backend.reports(1), fault: "InvalidArgument INVALID_REQUEST"},
	{
		id: "delivery_shows_in_the_message", given: answered, when: backend.reports(2), log: "DeliveryReported",
		check: func(k *talk) {
			d := k.messages[2].Delivery
			if d.GetState() != goodshipv1.DeliveryState_DELIVERY_STATE_FAILED || d.Failure != "mailbox full" || !d.ReportTime.AsTime().Equal(k.now) {
				k.t.Errorf("delivery: got %v, want FAILED, why and when", d)
			}
		},
	},
}
