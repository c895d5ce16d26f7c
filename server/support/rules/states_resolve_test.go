package rules_test

import "time"

var confirmRows = []row{
	{
		id: "confirm_in_WAITING", given: owned, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED promise_canceled)",
		want: "RESOLVED CONFIRMED; resolved 1m; promise CANCELED 0s-5m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 1",
	},
	{
		id: "confirm_in_WAITING_unowned", given: waiting, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED promise_canceled)",
		want: "RESOLVED CONFIRMED; resolved 1m; promise CANCELED 0s-5m; line 0s; resolution 1; resolutions CONFIRMED; messages 1",
	},
	{
		id: "confirm_in_WAITING_leaves_BROKEN", given: broken, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 6m; promise BROKEN 0s-5m at risk; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 1",
	},
	{
		id: "confirm_in_ANSWERED", given: answered, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id: "confirm_the_proposal_by_number", given: proposed, when: customer.confirms(1),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id: "confirm_the_proposal_without_a_number", given: proposed, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id: "confirm_with_a_text_opens_no_wait", given: proposed, when: customer.confirming(1, words),
		log:  "MessageSent Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 3",
	},
	{
		id: "confirm_a_withdrawn_one_refused", given: withdrawn, when: customer.confirms(1),
		fault: "FailedPrecondition RESOLUTION_NOT_OPEN",
	},
	{
		id: "confirm_a_withdrawn_one_names_the_open_one", given: then(withdrawn, ada.states), when: customer.confirms(1),
		fault: "FailedPrecondition RESOLUTION_NOT_OPEN resolution_number=2",
	},
	{
		id: "confirm_a_superseded_one_refused", given: replaced, when: customer.confirms(1),
		fault: "FailedPrecondition RESOLUTION_NOT_OPEN",
	},
	{
		id: "confirm_a_rejected_one_refused", given: rejected, when: customer.confirms(1),
		fault: "FailedPrecondition RESOLUTION_NOT_OPEN",
	},
	{
		id: "confirm_an_unknown_number_refused", given: answered, when: customer.confirms(1),
		fault: "NotFound RESOLUTION_NOT_FOUND",
	},
	{
		id: "confirmed_without_a_proposal_can_be_rejected", given: then(answered, customer.confirms(0), after(time.Minute)), when: customer.rejects(1),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "confirmed_without_a_proposal_can_be_rated", given: then(answered, customer.confirms(0)), when: customer.comments(true),
		log:  "Rated",
		want: "RESOLVED CONFIRMED; resolved 2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
		check: func(k *talk) {
			if r := k.resolutions[1].Rating; !r.GetSolved() || r.Personal != 5 || r.Easy != 4 || r.Comment != "quick" {
				k.t.Errorf("rating: got %v, want what was given", r)
			}
		},
	},
	{
		id: "confirm_in_RESOLVED_ASSUMED", given: assumed, when: customer.confirms(1),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 72h3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id: "confirm_in_RESOLVED_LAPSED", given: lapsed, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 336h2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 2",
	},
	{
		id: "confirm_in_RESOLVED_INFORMED", given: informed, when: customer.confirms(0),
		log:  "Resolved(CONFIRMED)",
		want: "RESOLVED CONFIRMED; resolved 1m; resolution 1; resolutions CONFIRMED; messages 1",
	},
	{
		id: "confirm_in_RESOLVED_CONFIRMED_refused", given: confirmed, when: customer.confirms(1),
		fault: "FailedPrecondition NOTHING_TO_CONFIRM state=RESOLVED",
	},
	{
		id: "confirm_in_RESOLVED_DISMISSED_refused", given: dismissed, when: customer.confirms(0),
		fault: "FailedPrecondition NOTHING_TO_CONFIRM state=RESOLVED",
	},
}

var silenceRows = []row{
	{
		id: "proposed_is_ASSUMED_after_silence", given: proposed, when: after(72*time.Hour - time.Minute),
		log:  "Resolved(ASSUMED)@72h2m",
		want: "RESOLVED ASSUMED; resolved 72h2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions ASSUMED; messages 2",
	},
	{
		id: "proposed_is_not_ASSUMED_before", given: proposed, when: after(72*time.Hour - time.Minute - time.Microsecond),
	},
	{
		id: "answered_is_LAPSED_after_silence", given: answered, when: after(14*24*time.Hour - time.Minute),
		log:  "Resolved(LAPSED)@336h1m",
		want: "RESOLVED LAPSED; resolved 336h1m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; messages 2",
	},
	{
		id: "answered_is_not_LAPSED_before", given: answered, when: after(14*24*time.Hour - time.Minute - time.Microsecond),
	},
	{
		id: "waiting_never_ends_by_silence", given: broken, when: after(365 * 24 * time.Hour),
	},
	{
		id: "silence_runs_from_our_last_message", given: then(proposed, ada.sends), when: after(72 * time.Hour),
		log:  "Resolved(ASSUMED)@72h3m",
		want: "RESOLVED ASSUMED; resolved 72h3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions ASSUMED; messages 3",
	},
	{
		id: "silence_ignores_automatic_messages", given: then(proposed, backend.sends), when: after(72 * time.Hour),
		log:  "Resolved(ASSUMED)@72h2m",
		want: "RESOLVED ASSUMED; resolved 72h2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions ASSUMED; messages 3",
	},
	{
		id: "silence_ignores_notes_edits_and_ratings", given: then(proposed, ada.notes, ada.edits(2), customer.rates(true)), when: after(72 * time.Hour),
		log:  "Resolved(ASSUMED)@72h2m",
		want: "RESOLVED ASSUMED; resolved 72h2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolution 1; resolutions ASSUMED; messages 2; notes 1",
	},
	{
		id: "silence_of_an_outreach_runs_from_its_opening", given: []step{backend.opens}, when: after(14 * 24 * time.Hour),
		log:  "Resolved(LAPSED)@14d",
		want: "RESOLVED LAPSED; resolved 14d; outreach; messages 1",
	},
}

var rejectRows = []row{
	{
		id: "reject_the_proposal", given: proposed, when: customer.rejects(1),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "reject_with_a_text", given: proposed, when: customer.rejecting(0, words),
		log:  "ResolutionRejected MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; owner ada; unanswered 2; resolutions REJECTED; rejections 1; messages 3",
	},
	{
		id: "reject_in_RESOLVED_CONFIRMED", given: confirmed, when: customer.rejects(1),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "reject_in_RESOLVED_ASSUMED", given: assumed, when: customer.rejects(0),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 72h3m-72h8m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "rate_not_solved_rejects_the_proposal", given: proposed, when: customer.rates(false),
		log:  "Rated ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "rate_not_solved_rejects_what_resolved", given: confirmed, when: customer.rates(false),
		log:  "Rated ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "rate_solved_rejects_nothing", given: proposed, when: customer.rates(true),
		log:  "Rated",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 2m; resolution 1; resolutions PROPOSED; messages 2",
	},
	{
		id: "rate_again_within_24_hours", given: then(confirmed, customer.rates(true), unfired(24*time.Hour-time.Microsecond)), when: customer.rates(true),
		log: "Rated",
		check: func(k *talk) {
			r := k.resolutions[1].Rating
			if got, want := since(r.CreateTime.AsTime()), "4m"; got != want {
				k.t.Errorf("create_time of the rating: got %s, want %s", got, want)
			}
			if got, want := r.UpdateTime.AsTime(), k.now; !got.Equal(want) {
				k.t.Errorf("update_time of the rating: got %v, want %v", got, want)
			}
		},
	},
	{
		id: "rate_again_after_24_hours_refused", given: then(confirmed, customer.rates(true), unfired(24*time.Hour)), when: customer.rates(false),
		fault: "FailedPrecondition RATING_FINAL",
	},
	{
		id: "reject_after_a_final_rating", given: then(confirmed, customer.rates(true), unfired(24*time.Hour)), when: customer.rejects(1),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 24h4m-24h9m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id:    "reject_keeps_the_line_time_of_the_newest_wait",
		given: then(answered, customer.sends, after(time.Minute), ada.proposes, after(time.Minute)), when: customer.rejects(0),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 2m; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 4",
	},
	{
		id:    "reject_keeps_the_line_time_of_a_wait_that_began_by_a_rejection",
		given: then(rejected, ada.proposes, after(time.Minute)), when: customer.rejects(0),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 5m-10m; line 0s; owner ada; unanswered 1; resolutions REJECTED REJECTED; rejections 2; messages 3",
	},
	{
		id: "reject_without_an_earlier_wait_takes_now", given: then(outreach, ada.states, after(time.Minute)), when: customer.rejects(1),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 2m-7m; line 2m; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 1",
	},
	{
		id: "reject_under_an_owner_who_is_AWAY", given: then(proposed, ada.vanishes), when: customer.rejects(1),
		log:  "ResolutionRejected Released(ada AWAY)@3m WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "reject_under_a_disabled_owner", given: then(confirmed, ada.isDisabled), when: customer.rejects(1),
		log:  "ResolutionRejected Released(ada DISABLED)@4m WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 0s; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id: "rate_not_solved_under_an_owner_who_is_AWAY", given: then(proposed, ada.vanishes), when: customer.rates(false),
		log:  "Rated ResolutionRejected Released(ada AWAY)@3m WaitBegan",
		want: "WAITING; promise RUNNING 3m-8m; line 0s; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{id: "nothing_to_reject_in_WAITING", given: owned, when: customer.rejects(0), fault: "FailedPrecondition NOTHING_TO_REJECT state=WAITING"},
	{id: "nothing_to_reject_in_ANSWERED", given: answered, when: customer.rejects(0), fault: "FailedPrecondition NOTHING_TO_REJECT state=ANSWERED"},
	{id: "nothing_to_reject_in_RESOLVED_LAPSED", given: lapsed, when: customer.rejects(0), fault: "FailedPrecondition NOTHING_TO_REJECT state=RESOLVED"},
	{id: "nothing_to_reject_in_RESOLVED_DISMISSED", given: dismissed, when: customer.rejects(0), fault: "FailedPrecondition NOTHING_TO_REJECT state=RESOLVED"},
	{id: "nothing_to_reject_in_RESOLVED_INFORMED", given: informed, when: customer.rejects(0), fault: "FailedPrecondition NOTHING_TO_REJECT state=RESOLVED"},
	{id: "nothing_to_rate_in_WAITING", given: owned, when: customer.rates(true), fault: "FailedPrecondition NOTHING_TO_REJECT state=WAITING"},
	{id: "nothing_to_rate_in_ANSWERED", given: answered, when: customer.rates(false), fault: "FailedPrecondition NOTHING_TO_REJECT state=ANSWERED"},
	{id: "nothing_to_rate_in_RESOLVED_LAPSED", given: lapsed, when: customer.rates(false), fault: "FailedPrecondition NOTHING_TO_REJECT state=RESOLVED"},
	{id: "reject_what_a_message_superseded_refused", given: replaced, when: customer.rejects(1), fault: "FailedPrecondition RESOLUTION_NOT_OPEN"},
	{
		id: "reject_what_resolved_before_a_message_refused", given: then(confirmed, customer.sends, ada.sends), when: customer.rejects(0),
		fault: "FailedPrecondition NOTHING_TO_REJECT state=ANSWERED",
	},
	{id: "reject_twice_refused", given: rejected, when: customer.rejects(1), fault: "FailedPrecondition RESOLUTION_NOT_OPEN"},
	{id: "rate_after_a_rejection_refused", given: rejected, when: customer.rates(true), fault: "FailedPrecondition NOTHING_TO_REJECT state=WAITING"},
	{
		id: "agents_message_leaves_what_resolved_rejectable", given: then(confirmed, ada.sends), when: customer.rejects(1),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 4m-9m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 3",
	},
}

var dismissRows = []row{
	{
		id: "dismiss_in_WAITING", given: owned, when: ada.dismisses,
		log:  "Resolved(DISMISSED SPAM promise_canceled)",
		want: "RESOLVED DISMISSED SPAM; resolved 1m; promise CANCELED 0s-5m; line 0s; owner ada; messages 1",
	},
	{
		id: "dismiss_in_WAITING_leaves_BROKEN", given: broken, when: ada.dismisses,
		log:  "Resolved(DISMISSED SPAM)",
		want: "RESOLVED DISMISSED SPAM; resolved 6m; promise BROKEN 0s-5m at risk; line 0s; owner ada; messages 1",
	},
	{
		id: "dismiss_in_ANSWERED", given: answered, when: ada.dismisses,
		log:  "Resolved(DISMISSED SPAM)",
		want: "RESOLVED DISMISSED SPAM; resolved 2m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; messages 2",
	},
	{
		id: "dismiss_in_ANSWERED_PROPOSED_withdraws", given: proposed, when: ada.dismisses,
		log:  "ResolutionWithdrawn Resolved(DISMISSED SPAM)",
		want: "RESOLVED DISMISSED SPAM; resolved 3m; promise KEPT 0s-5m answered 1m; line 0s; owner ada; resolutions WITHDRAWN; messages 2",
	},
	{
		id: "dismiss_crossed_by_a_message_refused", given: crossed, when: ada.dismisses,
		fault: "FailedPrecondition CUSTOMER_IS_WAITING revision=5",
	},
	{
		id: "dismiss_crossed_by_an_edit_refused", given: then(owned, ada.looks, customer.edits(1)), when: ada.dismisses,
		fault: "FailedPrecondition CUSTOMER_IS_WAITING revision=5",
	},
	{
		id: "dismiss_crossed_by_a_rejection_refused", given: then(proposed, ada.looks, customer.rejects(1)), when: ada.dismisses,
		fault: "FailedPrecondition CUSTOMER_IS_WAITING revision=9",
	},
	{
		id: "dismiss_without_seen_revision_refused", given: then(owned, ada.saw(0)), when: ada.dismisses,
		fault: "FailedPrecondition SEEN_REVISION_REQUIRED revision=4",
	},
	{
		id: "dismiss_by_a_leader_of_an_unowned_one", given: waiting, when: lea.dismisses,
		log:  "Resolved(DISMISSED SPAM promise_canceled)",
		want: "RESOLVED DISMISSED SPAM; resolved 1m; promise CANCELED 0s-5m; line 0s; messages 1",
	},
	{
		id: "dismiss_by_another_refused", given: owned, when: ben.dismisses,
		fault: "PermissionDenied NOT_A_PARTICIPANT",
	},
	{
		id: "dismiss_in_RESOLVED_refused", given: confirmed, when: ada.dismisses,
		fault: "FailedPrecondition CONVERSATION_RESOLVED allowed=nothing; it is closed state=RESOLVED",
	},
}
