package rules_test

import (
	"slices"
	"testing"
	"time"
)

// TestOwnership plays who owns a conversation, who takes part, and what becomes of its place in the line.
func TestOwnership(t *testing.T) { play(t, ownershipRows) }

var ownershipRows = slices.Concat(claimRows, takePartRows, leaveRows, handOverRows, presenceRows)

var claimRows = []row{
	{
		id: "claim_an_unowned_WAITING", given: waiting, when: ada.claims, log: "Claimed(ada)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
	},
	{
		id: "claim_an_unowned_ANSWERED", given: unowned, when: ben.claims, log: "Claimed(ben)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ben; silent since 1m; messages 2",
	},
	{
		id: "claim_while_somebody_waits_longer_is_out_of_turn", given: then(waiting, othersWait(-time.Second)), when: ada.claims,
		log:  "Claimed(ada out_of_turn)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; out of turn 1; messages 1",
	},
	{
		id: "message_while_somebody_waits_longer_is_out_of_turn", given: then(waiting, othersWait(-time.Second)), when: ada.sends,
		log:  "Claimed(ada out_of_turn) MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; out of turn 1; messages 2",
	},
	{
		id: "proposal_while_somebody_waits_longer_is_out_of_turn", given: then(waiting, othersWait(-time.Second)), when: ada.proposes,
		log: "Claimed(ada out_of_turn) MessageSent WaitAnswered(kept) ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; resolution 1; resolutions PROPOSED; " +
			"out of turn 1; messages 2",
	},
	{
		id: "claim_while_somebody_waits_shorter_is_in_turn", given: then(waiting, othersWait(time.Second)), when: ada.claims, log: "Claimed(ada)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
	},
	{
		id: "claim_out_of_turn_goes_by_the_line_time", given: then(rejected, ada.releases, othersWait(time.Minute)), when: ben.claims, log: "Claimed(ben)",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; owner ben; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "claim_of_ANSWERED_is_never_out_of_turn", given: then(unowned, othersWait(-time.Second)), when: ben.claims, log: "Claimed(ben)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ben; silent since 1m; messages 2",
	},
	{
		id: "claim_of_an_owned_one_is_never_out_of_turn", given: then(owned, othersWait(-time.Second)), when: lea.claims, log: "Claimed(lea ada)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner lea; helpers ada; unanswered 1; messages 1",
	},
	{id: "claim_an_owned_WAITING_refused", given: owned, when: ben.claims, fault: "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada"},
	{id: "claim_an_owned_ANSWERED_refused", given: answered, when: ben.claims, fault: "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada"},
	{id: "claim_as_a_helper_refused", given: both, when: ben.claims, fault: "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada"},
	{
		id: "claim_after_a_BROKEN_promise_was_answered_refused", given: then(broken, ada.sends), when: ben.claims,
		fault: "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada",
	},
	{
		id: "claim_by_a_leader_makes_the_owner_a_helper", given: answered, when: lea.claims, log: "Claimed(lea ada)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner lea; helpers ada; silent since 1m; messages 2",
	},
	{
		id: "claim_while_the_owner_is_AWAY_makes_them_a_helper", given: then(both, ada.sends, ada.goesAway), when: ben.claims, log: "Claimed(ben ada)",
		want: "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ben; helpers ada; silent since 2m; messages 2",
	},
	{
		id: "claim_after_the_owner_came_back_refused", given: then(answered, ada.goesAway, after(time.Minute), ada.comesBack), when: ben.claims,
		fault: "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada",
	},
	{
		id: "claim_under_a_BROKEN_promise_makes_the_owner_a_helper", given: broken, when: ben.claims, log: "Claimed(ben ada)",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ben; helpers ada; unanswered 1; messages 1",
	},
	{id: "claim_what_one_owns_changes_nothing", given: owned, when: ada.claims},
	{
		id: "claim_in_RESOLVED_refused", given: confirmed, when: ben.claims,
		fault: "FailedPrecondition CONVERSATION_RESOLVED allowed=CreateNote; for its owner, helpers and leaders SendMessage state=RESOLVED",
	},
	{
		id: "message_claims_an_unowned_WAITING", given: waiting, when: ben.sends, log: "Claimed(ben) MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ben; silent since 1m; messages 2",
	},
	{
		id: "message_that_answers_nothing_claims", given: then(waiting, ben.saw(1)), when: ben.sends, log: "Claimed(ben) MessageSent",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ben; unanswered 1; messages 2",
	},
	{
		id: "message_claims_an_unowned_ANSWERED", given: unowned, when: lea.sends, log: "Claimed(lea) MessageSent",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner lea; silent since 2m; messages 3",
	},
	{
		id: "message_of_a_helper_claims_an_unowned_one", given: then(both, ada.releases), when: ben.sends,
		log:  "Claimed(ben) MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ben; silent since 2m; messages 2",
	},
	{
		id: "automatic_message_claims_nothing", given: waiting, when: backend.sends, log: "MessageSent",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 2",
	},
	{
		id: "note_claims_nothing", given: waiting, when: ben.notes, log: "NoteAdded",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1; notes 1",
	},
}

var takePartRows = []row{
	{id: "others_may_not_write", given: owned, when: ben.sends, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "others_may_not_propose", given: answered, when: ben.states, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "others_may_not_propose_with_a_text", given: owned, when: ben.proposes, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "others_may_not_withdraw", given: proposed, when: ben.withdraws(0), fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "others_may_not_dismiss", given: owned, when: ben.dismisses, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "others_may_not_dismiss_an_unowned_one", given: waiting, when: ben.dismisses, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "others_may_not_invite", given: owned, when: ben.invites(cleo), fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{id: "others_may_not_write_as_a_former_owner", given: then(owned, ada.releases, ben.claims), when: ada.sends, fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{
		id: "helper_proposes", given: both, when: ben.proposes, log: "MessageSent WaitAnswered(kept) ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; silent since 2m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "helper_dismisses", given: both, when: ben.dismisses, log: "Resolved(DISMISSED SPAM promise_canceled)",
		want: "RESOLVED DISMISSED SPAM; resolved 2m; promise CANCELED 0s-5m; line 0s; owner ada; helpers ben; messages 1",
	},
	{
		id: "leader_proposes_and_the_owner_stays", given: answered, when: lea.states, log: "ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 2m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "leader_dismisses", given: owned, when: lea.dismisses, log: "Resolved(DISMISSED SPAM promise_canceled)",
		want: "RESOLVED DISMISSED SPAM; resolved 1m; promise CANCELED 0s-5m; line 0s; owner ada; messages 1",
	},
	{
		id: "owner_invites", given: owned, when: ada.invites(ben), log: "HelperInvited(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; helpers ben; unanswered 1; messages 1",
	},
	{
		id: "helper_invites", given: both, when: ben.invites(cleo), log: "HelperInvited(cleo)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; helpers ben cleo; unanswered 1; messages 1",
	},
	{
		id: "leader_invites", given: owned, when: lea.invites(ben), log: "HelperInvited(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; helpers ben; unanswered 1; messages 1",
	},
	{id: "invite_a_helper_again_changes_nothing", given: both, when: ada.invites(ben)},
	{id: "invite_the_owner_changes_nothing", given: both, when: ben.invites(ada)},
	{id: "invite_needs_an_owner", given: waiting, when: lea.invites(ben), fault: "FailedPrecondition NO_OWNER"},
	{id: "invite_somebody_disabled_refused", given: then(owned, ben.isDisabled), when: ada.invites(ben), fault: "FailedPrecondition AGENT_NOT_PRESENT agent_id=ben"},
	{
		id: "invite_somebody_AWAY", given: then(owned, ben.goesAway), when: ada.invites(ben), log: "HelperInvited(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; helpers ben; unanswered 1; messages 1",
	},
}

var leaveRows = []row{
	{
		id: "helper_leaves", given: both, when: ben.removes(ben), log: "HelperRemoved(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
	},
	{
		id: "owner_removes_a_helper", given: both, when: ada.removes(ben), log: "HelperRemoved(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
	},
	{
		id: "leader_removes_a_helper", given: both, when: lea.removes(ben), log: "HelperRemoved(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
	},
	{id: "helper_removes_another_refused", given: then(both, ada.invites(cleo)), when: cleo.removes(ben), fault: "PermissionDenied NOT_THE_OWNER owner_id=ada"},
	{id: "remove_from_an_unowned_one_refused", given: then(both, ada.releases), when: cleo.removes(ben), fault: "FailedPrecondition NO_OWNER"},
	{id: "owner_leaves_not_by_RemoveHelper", given: both, when: ada.removes(ada), fault: "FailedPrecondition NOT_A_HELPER agent_id=ada"},
	{id: "remove_who_is_no_helper_refused", given: owned, when: ada.removes(ben), fault: "FailedPrecondition NOT_A_HELPER agent_id=ben"},
	{
		id: "owner_leaves_by_Release_and_the_place_stays", given: owned, when: ada.releases, log: "Released(ada RELEASED)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1",
	},
	{
		id: "release_keeps_the_place_of_a_rejection", given: rejected, when: ada.releases, log: "Released(ada RELEASED)",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "release_by_a_leader", given: answered, when: lea.releases, log: "Released(ada RELEASED)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; silent since 1m; messages 2",
	},
	{
		id: "release_in_RESOLVED", given: confirmed, when: ada.releases, log: "Released(ada RELEASED)",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{id: "release_by_another_refused", given: owned, when: ben.releases, fault: "PermissionDenied NOT_THE_OWNER owner_id=ada"},
	{id: "release_by_a_helper_refused", given: both, when: ben.releases, fault: "PermissionDenied NOT_THE_OWNER owner_id=ada"},
	{id: "release_of_an_unowned_one_refused", given: waiting, when: ada.releases, fault: "FailedPrecondition NO_OWNER"},
}
