package rules_test

import (
	"testing"
	"time"
)

// TestReaching plays how people are reached who are not looking.
func TestReaching(t *testing.T) { play(t, reachingRows) }

var reachingRows = []row{
	{
		id: "unread_message_is_UNSEEN", given: then(owned, looksAway, ada.sends), when: after(2 * time.Minute), log: "Unseen@3m",
		check: func(k *talk) {
			if got, want := k.log[len(k.log)-1].GetUnseen().GetNumber(), int32(2); got != want {
				k.t.Errorf("number of the message not seen: got %d, want %d", got, want)
			}
		},
	},
	{id: "unread_message_is_not_UNSEEN_before", given: then(owned, looksAway, ada.sends), when: after(2*time.Minute - time.Microsecond)},
	{id: "read_message_is_not_UNSEEN", given: then(owned, looksAway, ada.sends, hasRead(2)), when: after(time.Hour)},
	{id: "UNSEEN_is_told_once", given: then(owned, looksAway, ada.sends, after(2*time.Minute)), when: after(time.Hour)},
	{
		id: "UNSEEN_is_told_again_of_a_further_message", given: then(owned, looksAway, ada.sends, after(2*time.Minute), ada.sends), when: after(time.Hour),
		log: "Unseen@5m",
	},
	{
		id: "UNSEEN_runs_from_the_first_message_not_read", given: then(owned, looksAway, ada.sends, after(time.Minute), ada.sends), when: after(time.Minute),
		log: "Unseen@3m",
		check: func(k *talk) {
			if got, want := k.log[len(k.log)-1].GetUnseen().GetNumber(), int32(3); got != want {
				k.t.Errorf("number of the newest message not seen: got %d, want %d", got, want)
			}
		},
	},
	{
		id:    "UNSEEN_runs_from_the_last_message_if_the_first_was_read",
		given: then(owned, looksAway, ada.sends, after(time.Minute), ada.sends, hasRead(2)), when: after(2 * time.Minute),
		log: "Unseen@4m",
	},
	{id: "customer_who_acts_is_looking", given: then(owned, looksAway, ada.proposes, customer.rates(true)), when: after(time.Hour)},
	{id: "customer_who_writes_is_looking", given: then(owned, looksAway, ada.sends, customer.sends, after(time.Minute)), when: after(2 * time.Minute)},
	{
		id: "customer_who_redacts_is_looking", given: then(owned, looksAway, ada.sends, customer.redacts(1)), when: after(time.Hour),
	},
	{
		id: "customer_who_sets_a_persona_shows_nothing", given: then(owned, looksAway, ada.sends, customer.appearsAs("Lieutenant")), when: after(time.Hour),
		log: "Unseen@3m",
	},
	{id: "automatic_message_is_UNSEEN", given: then(owned, looksAway, backend.sends), when: after(2 * time.Minute), log: "Unseen@3m"},
	{id: "message_in_RESOLVED_is_UNSEEN", given: then(confirmed, looksAway, ada.sends), when: after(time.Hour), log: "Unseen@6m"},
	{id: "outreach_is_UNSEEN", given: []step{looksAway, backend.opens}, when: after(2 * time.Minute), log: "Unseen@2m"},
	{id: "apology_is_UNSEEN", given: []step{looksAway, backend.informs}, when: after(2 * time.Minute), log: "Unseen@2m"},
	{id: "customers_message_is_never_UNSEEN", given: then(owned, looksAway, customer.sends), when: after(2 * time.Minute)},
	{id: "note_is_never_UNSEEN", given: then(owned, looksAway, ada.notes), when: after(2 * time.Minute)},
	{
		id: "delivery_reports_need_not_follow_UNSEEN", given: then(owned, looksAway, ada.sends), when: backend.reports(2), log: "DeliveryReported",
	},
}
