package rules_test

import (
	"time"

	"github.com/goodship/goodship/server/support/rules"
)

var handOverRows = []row{
	{
		id: "hand_over_is_an_offer_with_a_brief", given: owned, when: ada.offers(ben), log: "NoteAdded HandOverOffered(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; offer ada>ben; unanswered 1; messages 1; notes 1",
		check: func(k *talk) {
			compare(k.t, "brief", k.notes[k.head.Conversation.HandOver.NoteNumber].GetText(), "the cable is the matter")
			compare(k.t, "offer_time", since(k.head.Conversation.HandOver.OfferTime.AsTime()), "1m")
		},
	},
	{
		id: "hand_over_in_ANSWERED", given: answered, when: ada.offers(ben), log: "NoteAdded HandOverOffered(ben)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; offer ada>ben; silent since 1m; messages 2; notes 1",
	},
	{
		id: "hand_over_under_a_BROKEN_promise", given: broken, when: ada.offers(ben), log: "NoteAdded HandOverOffered(ben)",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; offer ada>ben; unanswered 1; messages 1; notes 1",
	},
	{id: "hand_over_one_at_a_time", given: offered, when: ada.offers(cleo), fault: "FailedPrecondition HAND_OVER_PENDING to_agent_id=ben"},
	{id: "hand_over_by_a_helper_refused", given: both, when: ben.offers(cleo), fault: "PermissionDenied NOT_THE_OWNER owner_id=ada"},
	{id: "hand_over_by_a_leader_refused", given: owned, when: lea.offers(ben), fault: "PermissionDenied NOT_THE_OWNER owner_id=ada"},
	{id: "hand_over_of_an_unowned_one_refused", given: waiting, when: lea.offers(ben), fault: "FailedPrecondition NO_OWNER"},
	{id: "hand_over_to_oneself_refused", given: owned, when: ada.offers(ada), fault: "InvalidArgument INVALID_REQUEST"},
	{id: "hand_over_to_somebody_AWAY_refused", given: then(owned, ben.goesAway), when: ada.offers(ben), fault: "FailedPrecondition AGENT_NOT_PRESENT agent_id=ben"},
	{id: "hand_over_to_somebody_disabled_refused", given: then(owned, ben.isDisabled), when: ada.offers(ben), fault: "FailedPrecondition AGENT_NOT_PRESENT agent_id=ben"},
	{
		id: "hand_over_to_somebody_who_came_back", given: then(owned, ben.goesAway, after(time.Minute), ben.comesBack), when: ada.offers(ben),
		log:  "NoteAdded HandOverOffered(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; offer ada>ben; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_in_RESOLVED_refused", given: confirmed, when: ada.offers(ben),
		fault: "FailedPrecondition CONVERSATION_RESOLVED allowed=ReleaseConversation state=RESOLVED",
	},
	{
		id: "hand_over_accepted_counts", given: offered, when: ben.accepts, log: "HandOverAccepted(ada ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ben; helpers ada; unanswered 1; hand-overs 1; messages 1; notes 1",
	},
	{
		id: "hand_over_accepted_by_a_helper", given: then(both, ada.offers(ben)), when: ben.accepts, log: "HandOverAccepted(ada ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ben; helpers ada; unanswered 1; hand-overs 1; messages 1; notes 1",
	},
	{
		id: "hand_over_declined_counts_nothing", given: offered, when: ben.declines, log: "HandOverDeclined(ben)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_offered_again_after_it_was_declined", given: then(offered, ben.declines), when: ada.offers(cleo), log: "NoteAdded HandOverOffered(cleo)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; offer ada>cleo; unanswered 1; messages 1; notes 2",
	},
	{id: "hand_over_accepted_by_another_refused", given: offered, when: cleo.accepts, fault: "FailedPrecondition NO_HAND_OVER"},
	{id: "hand_over_accepted_by_a_leader_refused", given: offered, when: lea.accepts, fault: "FailedPrecondition NO_HAND_OVER"},
	{id: "hand_over_declined_by_the_giver_refused", given: offered, when: ada.declines, fault: "FailedPrecondition NO_HAND_OVER"},
	{id: "hand_over_accepted_twice_refused", given: then(offered, ben.accepts), when: ben.accepts, fault: "FailedPrecondition NO_HAND_OVER"},
	{
		id: "giver_answers_while_it_is_offered", given: offered, when: ada.sends, log: "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; offer ada>ben; silent since 2m; messages 2; notes 1",
	},
	{
		id: "customers_message_leaves_the_offer", given: then(offered, ada.sends), when: customer.sends, log: "MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; owner ada; offer ada>ben; unanswered 1; messages 3; notes 1",
	},
	{
		id: "hand_over_lapses_when_the_promise_breaks", given: then(offered, after(2*time.Minute)), when: after(time.Minute),
		log:  "PromiseBroken@5m HandOverLapsed(ben)@5m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_a_promise_breaks_at_once", given: then(crossed, after(4*time.Minute), ada.offers(ben)),
		when: ada.sends,
		log:  "MessageSent WaitAnswered WaitBegan PromiseAtRisk@6m PromiseBroken@6m HandOverLapsed(ben)@6m",
		want: "WAITING; promise BROKEN 1m-6m at risk; line 1m; owner ada; unanswered 1; messages 3; notes 1",
	},
	{
		id: "hand_over_lapses_when_the_receiver_is_AWAY", given: offered, when: ben.goesAway, log: "HandOverLapsed(ben)@2m",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_the_receiver_was_AWAY", given: then(offered, ben.vanishes, unfired(time.Second)), when: ben.accepts,
		fault: "FailedPrecondition NO_HAND_OVER",
	},
	{
		id: "hand_over_lapses_when_the_receiver_is_disabled", given: offered, when: ben.isDisabled, log: "HandOverLapsed(ben)@2m",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_the_giver_releases", given: offered, when: ada.releases, log: "HandOverLapsed(ben)@2m Released(ada RELEASED)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_a_leader_claims", given: offered, when: lea.claims, log: "HandOverLapsed(ben)@2m Claimed(lea ada)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner lea; helpers ada; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_a_leader_releases", given: offered, when: lea.releases, log: "HandOverLapsed(ben)@2m Released(ada RELEASED)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_the_giver_is_AWAY_from_a_wait", given: offered, when: ada.goesAway, log: "HandOverLapsed(ben)@2m Released(ada AWAY)@2m",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_the_giver_is_disabled", given: then(answered, ada.offers(ben)), when: ada.isDisabled,
		log:  "HandOverLapsed(ben)@2m Released(ada DISABLED)@2m",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; silent since 1m; messages 2; notes 1",
	},
	{
		id: "hand_over_lapses_when_it_is_confirmed", given: then(answered, ada.offers(ben)), when: customer.confirms(0),
		log:  "HandOverLapsed(ben)@2m Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2; notes 1",
	},
	{
		id: "hand_over_lapses_when_it_is_dismissed", given: offered, when: ada.dismisses,
		log:  "HandOverLapsed(ben)@2m Resolved(DISMISSED SPAM promise_canceled)",
		want: "RESOLVED DISMISSED SPAM; resolved 2m; promise CANCELED 0s-5m; line 0s; owner ada; messages 1; notes 1",
	},
	{
		id: "hand_over_lapses_when_silence_resolves", given: then(answered, ada.offers(ben)), when: after(14*24*time.Hour - time.Minute),
		log:  "HandOverLapsed(ben)@336h1m Resolved(LAPSED)@336h1m",
		want: "RESOLVED LAPSED; resolved 336h1m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; messages 2; notes 1",
	},
}

var presenceRows = []row{
	{
		id: "owner_AWAY_from_a_wait_loses_it_and_its_place_stays", given: owned, when: ada.goesAway, log: "Released(ada AWAY)@1m",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1",
	},
	{
		id: "owner_AWAY_under_a_BROKEN_promise_loses_it", given: broken, when: ada.goesAway, log: "Released(ada AWAY)@6m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; unanswered 1; messages 1",
	},
	{
		id: "owner_AWAY_from_a_rejection_loses_it_and_its_place_stays", given: rejected, when: ada.goesAway, log: "Released(ada AWAY)@4m",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{id: "owner_AWAY_keeps_what_is_ANSWERED", given: answered, when: ada.goesAway},
	{id: "owner_AWAY_keeps_what_is_PROPOSED", given: proposed, when: ada.goesAway},
	{id: "owner_AWAY_keeps_what_is_RESOLVED", given: confirmed, when: ada.goesAway},
	{
		id: "owner_who_was_AWAY_from_a_wait_has_lost_it", given: then(owned, ada.vanishes, unfired(time.Second), ada.comesBack, unfired(time.Second)),
		when: customer.sends,
		log:  "Released(ada AWAY)@1m MessageSent(asks)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 2; messages 2",
	},
	{
		id: "owner_who_was_AWAY_from_a_wait_claims_anew_by_writing", given: then(owned, ada.vanishes, unfired(time.Second), othersWait(-time.Second)),
		when: ada.sends,
		log:  "Released(ada AWAY)@1m Claimed(ada out_of_turn) MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m1s; line 0s; owner ada; silent since 1m1s; out of turn 1; messages 2",
	},
	{
		id:    "owner_who_came_back_before_the_wait_keeps_it",
		given: then(answered, ada.goesAway, after(time.Minute), ada.comesBack, after(time.Minute)), when: customer.sends,
		log:  "MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 4m; owner ada; unanswered 1; messages 3",
	},
	{
		id:    "owner_who_came_back_and_claimed_keeps_it",
		given: then(owned, ada.goesAway, after(time.Minute), ada.claims), when: after(time.Second),
	},
	{
		id:    "owner_who_turns_out_to_have_been_AWAY_before_the_wait_loses_it_from_its_start",
		given: then(answered, customer.sends, unfired(time.Second), turnsOut(ada, rules.Presence{Left: epoch.Add(90 * time.Second)})),
		when:  customer.sends,
		log:   "Released(ada AWAY)@2m MessageSent(asks)",
		want:  "WAITING; promise RUNNING 2m-7m; line 2m; unanswered 2; messages 4",
	},
	{
		id: "helper_AWAY_stays_a_helper", given: both, when: ben.goesAway,
	},
	{
		id: "disabling_the_owner_releases_WAITING", given: owned, when: ada.isDisabled, log: "Released(ada DISABLED)@1m",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1",
	},
	{
		id: "disabling_the_owner_releases_ANSWERED", given: answered, when: ada.isDisabled, log: "Released(ada DISABLED)@2m",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; silent since 1m; messages 2",
	},
	{
		id: "disabling_the_owner_releases_PROPOSED", given: proposed, when: ada.isDisabled, log: "Released(ada DISABLED)@3m",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; silent since 2m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{id: "disabling_the_owner_keeps_RESOLVED", given: confirmed, when: ada.isDisabled},
	{
		id: "disabling_a_helper_removes_them", given: both, when: ben.isDisabled, log: "HelperRemoved(ben)@2m",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
	},
	{
		id: "disabling_several_removes_all", given: then(both, ada.invites(cleo), ben.vanishes, ben.isDisabled), when: cleo.isDisabled, log: "HelperRemoved(cleo)@2m",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
	},
	{id: "BROKEN_wait_with_a_present_owner_stays_theirs", given: broken, when: after(24 * time.Hour)},
}

// turnsOut changes what is known of somebody's presence, as when the workspace shortens away_after.
func turnsOut(p person, presence rules.Presence) step {
	return func(k *talk) error {
		k.presence[p.id] = presence
		return nil
	}
}
