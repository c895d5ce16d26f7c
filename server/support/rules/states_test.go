package rules_test

import (
	"slices"
	"testing"
	"time"
)

// Where stories begin. Each ends at the time that its name is commented with.
var (
	waiting   = []step{customer.opens, after(time.Minute)}                         // 1m
	owned     = then(waiting, ada.claims)                                          // 1m
	broken    = then(owned, after(5*time.Minute))                                  // 6m
	answered  = then(waiting, ada.sends, after(time.Minute))                       // 2m
	proposed  = then(answered, ada.states, after(time.Minute))                     // 3m
	confirmed = then(proposed, customer.confirms(1), after(time.Minute))           // 4m
	assumed   = then(proposed, after(72*time.Hour))                                // 72h3m
	lapsed    = then(answered, after(14*24*time.Hour))                             // 336h2m
	dismissed = then(owned, ada.dismisses, after(time.Minute))                     // 2m
	informed  = []step{backend.informs, after(time.Minute)}                        // 1m
	rejected  = then(proposed, customer.rejects(1), after(time.Minute))            // 4m
	withdrawn = then(proposed, ada.withdraws(1), after(time.Minute))               // 4m
	replaced  = then(proposed, customer.sends, after(time.Minute))                 // 4m, the proposal is SUPERSEDED
	crossed   = then(owned, ada.looks, customer.sends, after(time.Minute))         // 2m, the second message is not seen
	unowned   = then(answered, ada.releases)                                       // 2m, ANSWERED
	outreach  = []step{ada.opens, after(time.Minute)}                              // 1m
	both      = then(owned, ada.invites(ben), after(time.Minute))                  // 2m
	offered   = then(owned, ada.offers(ben), after(time.Minute))                   // 2m
	abandoned = then(answered, ada.vanishes, after(time.Minute))                   // 3m, ANSWERED, the owner is away
	orphaned  = then(answered, customer.confirms(0), ada.vanishes, ada.isDisabled) // 2m, RESOLVED, the owner is disabled
)

// then returns a story that goes on.
func then(given []step, more ...step) []step { return slices.Concat(given, more) }

// TestStates plays each row of the state table.
func TestStates(t *testing.T) { play(t, stateRows) }

// TestEdits plays who may change what was said, and what follows from it.
func TestEdits(t *testing.T) { play(t, editRows) }

var stateRows = slices.Concat(openRows, customerWritesRows, proposeRows, withdrawRows, confirmRows, silenceRows, rejectRows, dismissRows, anyStateRows)

var openRows = []row{
	{
		id: "customer_opens", when: customer.opens,
		log:  "Opened MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1",
	},
	{
		id: "agent_opens_with_a_reason", when: ada.opens,
		log:  "Opened(FAULT_FOUND) Claimed(ada) MessageSent",
		want: "ANSWERED; owner ada; silent since 0s; outreach; messages 1",
	},
	{
		id: "leader_opens_with_a_reason", when: lea.opens,
		log:  "Opened(FAULT_FOUND) Claimed(lea) MessageSent",
		want: "ANSWERED; owner lea; silent since 0s; outreach; messages 1",
	},
	{
		id: "backend_opens_without_an_owner", when: backend.opens,
		log:  "Opened(FAULT_FOUND) MessageSent",
		want: "ANSWERED; silent since 0s; outreach; messages 1",
	},
	{
		id: "agent_refused_while_an_outreach_is_unanswered", given: []step{outreachOpen}, when: ada.opens,
		fault: "FailedPrecondition OUTREACH_UNANSWERED conversation_id=conv_0",
	},
	{
		id: "backend_refused_while_an_outreach_is_unanswered", given: []step{outreachOpen}, when: backend.opens,
		fault: "FailedPrecondition OUTREACH_UNANSWERED conversation_id=conv_0",
	},
	{
		id: "customer_opens_while_an_outreach_is_unanswered", given: []step{outreachOpen}, when: customer.opens,
		log:  "Opened MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1",
	},
	{
		id: "outreach_is_answered_by_a_message", given: outreach, when: customer.sends,
		log:  "MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 1m-6m; line 1m; owner ada; unanswered 1; messages 2",
	},
	{
		id: "outreach_is_answered_by_a_confirmation", given: outreach, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 1m; owner ada; resolution 1; resolutions CONFIRMED; messages 1",
	},
	{
		id: "outreach_stays_unanswered_when_it_lapses", given: outreach, when: after(14*24*time.Hour - time.Minute),
		log:  "Resolved(LAPSED)@14d",
		want: "RESOLVED LAPSED; resolved 14d; owner ada; outreach; messages 1",
	},
	{
		id: "apology_opens_RESOLVED_INFORMED", when: backend.informs,
		log:  "Opened(FAULT_FOUND) MessageSent Resolved(INFORMED)",
		want: "RESOLVED INFORMED; resolved 0s; messages 1",
	},
	{
		id: "apology_is_no_outreach", given: []step{outreachOpen}, when: backend.informs,
		log:  "Opened(FAULT_FOUND) MessageSent Resolved(INFORMED)",
		want: "RESOLVED INFORMED; resolved 0s; messages 1",
	},
}

var customerWritesRows = []row{
	{
		id: "customer_writes_in_WAITING", given: owned, when: customer.sends,
		log:  "MessageSent(asks)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 2; messages 2",
	},
	{
		id: "customer_writes_in_WAITING_under_BROKEN", given: broken, when: customer.sends,
		log:  "MessageSent(asks)",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 2; messages 2",
	},
	{
		id: "customer_writes_in_ANSWERED", given: answered, when: customer.sends,
		log:  "MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; owner ada; unanswered 1; messages 3",
	},
	{
		id: "customer_writes_in_ANSWERED_PROPOSED", given: proposed, when: customer.sends,
		log:  "ResolutionSuperseded MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 3m; owner ada; unanswered 1; resolutions SUPERSEDED; messages 3",
	},
	{
		id: "customer_writes_in_RESOLVED_CONFIRMED", given: confirmed, when: customer.sends,
		log:  "MessageSent(asks) Reopened(counted) WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 4m; owner ada; unanswered 1; resolutions CONFIRMED; returns 1; messages 3",
	},
	{
		id: "customer_writes_in_RESOLVED_ASSUMED", given: assumed, when: customer.sends,
		log:  "MessageSent(asks) Reopened(counted) WaitBegan",
		want: "WAITING; promise RUNNING 72h3m-72h8m; line 72h3m; owner ada; unanswered 1; resolutions ASSUMED; returns 1; messages 3",
	},
	{
		id: "customer_writes_in_RESOLVED_LAPSED", given: lapsed, when: customer.sends,
		log:  "MessageSent(asks) Reopened(counted) WaitBegan",
		want: "WAITING; promise RUNNING 336h2m-336h7m; line 336h2m; owner ada; unanswered 1; returns 1; messages 3",
	},
	{
		id: "customer_writes_after_DISMISSED_afresh", given: dismissed, when: customer.sends,
		log:  "MessageSent(asks) Reopened Released(ada REOPENED) WaitBegan",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; unanswered 1; messages 2",
	},
	{
		id: "customer_writes_after_INFORMED_afresh", given: informed, when: customer.sends,
		log:  "MessageSent(asks) Reopened WaitBegan",
		want: "WAITING; promise RUNNING 1m-6m; line 1m; unanswered 1; messages 2",
	},
	{
		id: "customer_writes_to_an_owner_who_is_AWAY", given: abandoned, when: customer.sends,
		log:  "MessageSent(asks) Released(ada AWAY)@3m WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 3m; unanswered 1; messages 3",
	},
	{
		id: "customer_writes_in_RESOLVED_to_an_owner_who_is_AWAY", given: then(confirmed, ada.goesAway, after(time.Minute)), when: customer.sends,
		log:  "MessageSent(asks) Reopened(counted) Released(ada AWAY)@5m WaitBegan",
		want: "WAITING; promise RUNNING 5m-10m; line 5m; unanswered 1; resolutions CONFIRMED; returns 1; messages 3",
	},
	{
		id: "customer_writes_in_RESOLVED_to_a_disabled_owner", given: orphaned, when: customer.sends,
		log:  "MessageSent(asks) Reopened(counted) Released(ada DISABLED)@2m WaitBegan",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; unanswered 1; resolutions CONFIRMED; returns 1; messages 3",
	},
	{
		id:    "customer_writes_in_RESOLVED_with_a_disabled_helper",
		given: then(both, ada.sends, customer.confirms(0), ben.isDisabled), when: customer.sends,
		log:  "MessageSent(asks) Reopened(counted) WaitBegan HelperRemoved(ben)@2m",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; owner ada; unanswered 1; resolutions CONFIRMED; returns 1; messages 3",
	},
}

var proposeRows = []row{
	{
		id: "propose_in_WAITING_with_a_text", given: owned, when: ada.proposes,
		log:  "MessageSent WaitAnswered(kept) ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "propose_in_WAITING_under_BROKEN", given: broken, when: ada.proposes,
		log:  "MessageSent WaitAnswered ResolutionProposed",
		want: "ANSWERED; promise BROKEN 0s-5m at risk answered 6m; line 0s; owner ada; silent since 6m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "propose_in_ANSWERED_without_a_text", given: answered, when: ada.states,
		log:  "ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 2m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "propose_in_ANSWERED_with_a_text", given: answered, when: ada.proposes,
		log:  "MessageSent ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 2m; resolution 1; resolutions PROPOSED; messages 3",
	},
	{
		id: "propose_claims_an_unowned_WAITING", given: waiting, when: ben.proposes,
		log:  "Claimed(ben) MessageSent WaitAnswered(kept) ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ben; silent since 1m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "propose_claims_an_unowned_ANSWERED", given: unowned, when: ben.states,
		log:  "Claimed(ben) ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ben; silent since 2m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "propose_in_WAITING_without_a_text_refused", given: owned, when: ada.states,
		fault: "FailedPrecondition CUSTOMER_IS_WAITING revision=4",
	},
	{
		id: "propose_crossed_by_a_message_refused", given: crossed, when: ada.proposes,
		fault: "FailedPrecondition CUSTOMER_IS_WAITING revision=5",
	},
	{
		id: "propose_that_saw_nothing_of_the_customer_refused", given: then(owned, ada.saw(1)), when: ada.proposes,
		fault: "FailedPrecondition CUSTOMER_IS_WAITING revision=4",
	},
	{
		id: "propose_without_seen_revision_refused", given: then(owned, ada.saw(0)), when: ada.proposes,
		fault: "FailedPrecondition SEEN_REVISION_REQUIRED revision=4",
	},
	{
		id: "propose_twice_refused", given: proposed, when: ada.states,
		fault: "FailedPrecondition ALREADY_PROPOSED resolution_number=1",
	},
	{
		id: "propose_after_a_withdrawal", given: withdrawn, when: ada.states,
		log:  "ResolutionProposed",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 4m; resolution 2; resolutions WITHDRAWN PROPOSED; messages 2",
	},
	{
		id: "propose_in_RESOLVED_refused", given: confirmed, when: ada.states,
		fault: "FailedPrecondition CONVERSATION_RESOLVED allowed=ConfirmResolution, SendMessage state=RESOLVED",
	},
}

var withdrawRows = []row{
	{
		id: "withdraw_by_the_owner", given: proposed, when: ada.withdraws(1),
		log:  "ResolutionWithdrawn",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 3m; resolutions WITHDRAWN; messages 2",
	},
	{
		id: "withdraw_by_a_helper", given: then(proposed, ada.invites(ben)), when: ben.withdraws(0),
		log:  "ResolutionWithdrawn",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; helpers ben; silent since 3m; resolutions WITHDRAWN; messages 2",
	},
	{
		id: "withdraw_by_a_leader", given: proposed, when: lea.withdraws(1),
		log:  "ResolutionWithdrawn",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 3m; resolutions WITHDRAWN; messages 2",
	},
	{
		id: "withdraw_by_another_refused", given: proposed, when: ben.withdraws(1),
		fault: "PermissionDenied NOT_A_PARTICIPANT",
	},
	{
		id: "withdraw_nothing_refused", given: answered, when: ada.withdraws(0),
		fault: "FailedPrecondition NOTHING_PROPOSED",
	},
	{
		id: "withdraw_twice_refused", given: withdrawn, when: ada.withdraws(1),
		fault: "FailedPrecondition RESOLUTION_NOT_OPEN",
	},
	{
		id: "withdraw_what_is_CONFIRMED_refused", given: confirmed, when: ada.withdraws(1),
		fault: "FailedPrecondition NOTHING_PROPOSED",
	},
	{
		id: "withdraw_an_unknown_number_refused", given: proposed, when: ada.withdraws(2),
		fault: "NotFound RESOLUTION_NOT_FOUND",
	},
	{
		id: "withdraw_starts_the_silence_anew", given: withdrawn, when: after(14*24*time.Hour - time.Minute),
		log:  "Resolved(LAPSED)@336h3m",
		want: "RESOLVED LAPSED; resolved 336h3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolutions WITHDRAWN; messages 2",
	},
}
