package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestApology plays what a workspace says that wants to apologize for broken promises.
func TestApology(t *testing.T) { play(t, apologyRows) }

var apologyRows = []row{
	{
		id: "broken_promise_is_apologized_for", given: then(owned, apologizes), when: after(4 * time.Minute),
		log:   "PromiseAtRisk@4m PromiseBroken@5m MessageSent@5m",
		want:  "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 2",
		check: checkApology(2, "we are sorry"),
	},
	{
		id: "apology_keeps_the_time_at_which_it_was_due", given: then(owned, apologizes), when: after(time.Minute + 3*time.Minute + 30*time.Second),
		log:  "PromiseAtRisk@4m PromiseBroken@5m MessageSent@5m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 2",
		check: func(k *talk) {
			if got := since(k.messages[2].CreateTime.AsTime()); got != "5m" {
				k.t.Errorf("time of the apology: got %s, want 5m", got)
			}
		},
	},
	{
		id: "apology_in_the_words_of_the_workspace", given: then(owned, apologizes, saysSorry), when: after(4 * time.Minute),
		log:   "PromiseAtRisk@4m PromiseBroken@5m MessageSent@5m",
		want:  "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 2",
		check: checkApology(2, "Sorry, all hands are on deck."),
	},
	{
		id: "apology_once_for_each_wait", given: then(owned, apologizes, after(4*time.Minute), customer.sends), when: after(time.Hour),
	},
	{
		id: "apology_again_for_the_next_wait", given: then(owned, apologizes, after(4*time.Minute), ada.sends, customer.sends), when: after(5 * time.Minute),
		log:  "PromiseAtRisk@9m PromiseBroken@10m MessageSent@10m",
		want: "WAITING; promise BROKEN 5m-10m at risk; line 5m; owner ada; unanswered 1; messages 5",
	},
	{
		id: "apology_for_a_wait_that_is_BROKEN_at_once", given: then(owned, apologizes, ada.looks, customer.sends, after(6*time.Minute)), when: ada.sends,
		log:  "MessageSent WaitAnswered WaitBegan PromiseAtRisk@7m PromiseBroken@7m MessageSent@7m",
		want: "WAITING; promise BROKEN 1m-6m at risk; line 1m; owner ada; unanswered 1; messages 5",
	},
	{
		id: "apology_not_for_a_promise_kept", given: then(owned, apologizes, ada.sends), when: after(time.Hour),
	},
	{
		id: "apology_not_unless_the_workspace_wants_it", given: then(owned, apologizes, apologizesNoMore), when: after(4 * time.Minute),
		log:  "PromiseAtRisk@4m PromiseBroken@5m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 1",
	},
	{
		id: "apology_comes_before_what_is_said_after_it", given: then(owned, apologizes, unfired(5*time.Minute)), when: ada.sends,
		log:   "PromiseAtRisk@4m PromiseBroken@5m MessageSent@5m MessageSent WaitAnswered",
		want:  "ANSWERED; promise BROKEN 0s-5m at risk answered 6m; line 0s; owner ada; silent since 6m; messages 3",
		check: checkApology(2, "we are sorry"),
	},
	{
		id: "apology_nobody_looks_at_is_UNSEEN", given: then(owned, apologizes, looksAway), when: after(time.Hour),
		log:  "PromiseAtRisk@4m PromiseBroken@5m MessageSent@5m Unseen@7m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 2",
	},
	{
		id: "apology_and_what_crossed_it", given: then(owned, apologizes, ada.looks, after(4*time.Minute), customer.sends), when: ada.sends,
		log:  "MessageSent WaitAnswered WaitBegan",
		want: "WAITING; promise RUNNING 5m-10m; line 5m; owner ada; unanswered 1; messages 4",
	},
	{
		id: "apology_claims_nothing", given: then([]step{customer.opens}, apologizes), when: after(5 * time.Minute),
		log:  "PromiseAtRisk@4m PromiseBroken@5m MessageSent@5m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; unanswered 1; messages 2",
	},
	{
		id: "apology_lets_a_hand_over_lapse", given: then(offered, apologizes, after(2*time.Minute)), when: after(time.Minute),
		log:  "PromiseBroken@5m MessageSent@5m HandOverLapsed(ben)@5m",
		want: "WAITING; promise BROKEN 0s-5m at risk; line 0s; owner ada; unanswered 1; messages 2; notes 1",
	},
}

// apologizes makes the workspace one that apologizes.
func apologizes(k *talk) error {
	k.settings.OnBroken = goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE
	k.settings.ContactPoints = []*goodshipv1.ContactPoint{
		{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+49 30 1234567"}, {Kind: goodshipv1.ContactKind_CONTACT_KIND_EMAIL, Value: "crew@example.com"},
	}
	return nil
}

// apologizesNoMore ends that; the contact points stay.
func apologizesNoMore(k *talk) error {
	k.settings.OnBroken = goodshipv1.OnBroken_ON_BROKEN_NONE
	return nil
}

// saysSorry gives the workspace words of its own.
func saysSorry(k *talk) error {
	k.settings.ApologyText = "Sorry, all hands are on deck."
	return nil
}

// checkApology fails unless a message is an apology, and is of all the others the only one.
func checkApology(number int32, text string) func(*talk) {
	return func(k *talk) {
		for n, m := range k.messages {
			if (m.AutomaticReason == goodshipv1.AutomaticReason_AUTOMATIC_REASON_PROMISE_BROKEN) != (n == number) {
				k.t.Errorf("automatic reason of message %d: got %v", n, m.AutomaticReason)
			}
		}
		m := k.messages[number]
		if enum(m.GetSender().GetKind()) != "AUTOMATIC" || m.Sender.ParticipantNumber != 0 || m.Sender.Persona != nil || m.Number != number {
			k.t.Errorf("sender of the apology: got %v, want nobody", m)
		}
		if lines := strings.Split(m.GetText(), "\n"); !strings.Contains(lines[0], text) || !slices.Equal(lines[1:], []string{"+49 30 1234567", "crew@example.com"}) {
			k.t.Errorf("apology: got %q, want %q and the contact points, one a line", m.GetText(), text)
		}
	}
}
