package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
)

// TestPersonas plays how people appear, and what customers see of who they are.
func TestPersonas(t *testing.T) { play(t, personaRows) }

var personaRows = []row{
	{
		id: "message_is_said_under_the_own_name", given: waiting, when: ada.claims, log: "Claimed(ada)",
		want:  "WAITING; promise RUNNING 0s-5m; line 0s; owner ada; unanswered 1; messages 1",
		check: func(k *talk) { compare(k.t, "senders", senders(k), "1 The real ") },
	},
	{
		id: "message_keeps_the_persona_it_was_said_under", given: then(answered, ada.appearsAs("Captain Mike"), ada.sends, ada.appearsAs("")), when: ada.sends,
		log:  "MessageSent",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 2m; messages 4",
		check: func(k *talk) {
			compare(k.t, "senders", senders(k), "1 The real , 2 The real ada, 2 Captain Mike, 2 The real ada")
		},
	},
	{
		id: "persona_is_ones_own", given: then(both, ada.appearsAs("Captain Mike"), ada.sends), when: ben.sends,
		log:   "MessageSent",
		want:  "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; silent since 2m; messages 3",
		check: func(k *talk) { compare(k.t, "senders", senders(k), "1 The real , 2 Captain Mike, 3 The real ben") },
	},
	{
		id: "customer_sets_a_persona", given: then(waiting, customer.appearsAs("Lieutenant Norm")), when: customer.sends, log: "MessageSent(asks)",
		want:  "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 2; messages 2",
		check: func(k *talk) { compare(k.t, "senders", senders(k), "1 The real , 1 Lieutenant Norm") },
	},
	{
		id: "participants_are_numbered_at_the_first_message", given: then(both, ben.appearsAs("Captain Mike"), ada.sends), when: ben.sends, log: "MessageSent",
		want:  "ANSWERED; promise KEPT 0s-5m answered 2m; line 0s; owner ada; helpers ben; silent since 2m; messages 3",
		check: func(k *talk) { compare(k.t, "participants", participants(k), "1 CUSTOMER , 3 AGENT ben, 2 AGENT ada") },
	},
	{
		id: "automatic_message_has_no_persona_and_no_number", given: waiting, when: backend.sends, log: "MessageSent",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 2",
		check: func(k *talk) {
			s := k.messages[2].Sender
			if s.Kind != goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC || s.Persona != nil || s.ParticipantNumber != 0 {
				k.t.Errorf("sender: got %v, want AUTOMATIC and no more", s)
			}
		},
	},
	{
		id: "persona_refused_where_not_allowed", given: then(owned, personasForbidden), when: ada.appearsAs("Captain Mike"),
		fault: "FailedPrecondition PERSONAS_NOT_ALLOWED",
	},
	{
		id: "persona_chosen_before_they_were_forbidden_is_not_used", given: then(owned, ada.appearsAs("Captain Mike"), personasForbidden), when: ada.sends,
		log:   "MessageSent WaitAnswered(kept)",
		want:  "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; messages 2",
		check: func(k *talk) { compare(k.t, "senders", senders(k), "1 The real , 2 The real ada") },
	},
	{id: "persona_of_another_agent_refused", given: owned, when: ben.appearsAs("Captain Mike"), fault: "PermissionDenied NOT_A_PARTICIPANT"},
	{
		id: "key_that_acts_for_an_agent_is_recorded", given: owned, when: sendsByKey(ada), log: "MessageSent WaitAnswered(kept)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; messages 2",
		check: func(k *talk) {
			a := k.log[len(k.log)-1].Actor
			compare(k.t, "actor", strings.Join([]string{enum(a.Kind), a.AgentId, a.ApiKeyId}, " "), "AGENT ada key_1")
		},
	},
}

func personasForbidden(k *talk) error {
	k.settings.PersonasAllowed = false
	return nil
}

// sendsByKey makes a backend say something for somebody.
func sendsByKey(p person) step {
	return func(k *talk) error {
		seen := k.head.Conversation.Revision
		return k.do(p, func(c *rules.Conversation) error {
			c.Actor.APIKeyID = "key_1"
			return c.Send(words, seen)
		})
	}
}

func senders(k *talk) string {
	var who []string
	for n := range k.head.Conversation.MessageCount {
		s := k.messages[n+1].Sender
		who = append(who, fmt.Sprintf("%d %s", s.ParticipantNumber, s.Persona.GetDisplayName()))
	}
	return strings.Join(who, ", ")
}

func participants(k *talk) string {
	var who []string
	for _, p := range k.head.Conversation.Participants {
		who = append(who, fmt.Sprintf("%d %s %s", p.Number, enum(p.Kind), p.AgentId))
	}
	return strings.Join(who, ", ")
}

// TestLimits plays the bounds of one conversation.
func TestLimits(t *testing.T) { play(t, limitRows) }

var limitRows = []row{
	{
		id: "unanswered_messages", given: then(owned, times(rules.MaxUnanswered-1, customer.sends)), when: customer.sends,
		fault: "FailedPrecondition LIMIT_REACHED limit=500",
	},
	{
		id: "unanswered_edits", given: then(owned, times(rules.MaxUnanswered-1, customer.edits(1))), when: customer.edits(1),
		fault: "FailedPrecondition LIMIT_REACHED limit=500",
	},
	{
		id: "customer_at_the_limit_still_confirms", given: then(owned, times(rules.MaxUnanswered-1, customer.sends)), when: customer.confirms(0),
		log:  "Resolved(CONFIRMED promise_canceled)",
		want: "RESOLVED CONFIRMED; resolved 1m; promise CANCELED 0s-5m; line 0s; owner ada; resolution 1; resolutions CONFIRMED; messages 500",
	},
	{
		id: "helpers", given: then(owned, many(rules.MaxHelpers, func(p person) step { return ada.invites(p) })), when: ada.invites(ben),
		fault: "FailedPrecondition LIMIT_REACHED limit=20",
	},
	{
		id: "former_owner_becomes_a_helper_beyond_the_limit", given: then(owned, many(rules.MaxHelpers, func(p person) step { return ada.invites(p) })),
		when: lea.claims, log: "Claimed(lea ada)",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; owner lea; helpers " + names(rules.MaxHelpers) + " ada; unanswered 1; messages 1",
	},
	{
		id: "participants_write", given: then(waiting, many(rules.MaxParticipants-1, claimsAndSends)), when: lea.sends,
		fault: "FailedPrecondition LIMIT_REACHED limit=100",
	},
	{
		id: "participants_write_as_helpers", given: then(waiting, many(rules.MaxParticipants-1, claimsAndSends), agent(1).claims, agent(1).invites(ben)), when: ben.sends,
		fault: "FailedPrecondition LIMIT_REACHED limit=100",
	},
	{
		id: "participants_claim", given: then(waiting, many(rules.MaxParticipants-1, claimsAndSends)), when: ada.claims,
		log:  "Claimed(ada)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; messages 100",
	},
	{
		id: "owner_always_gets_a_word_in", given: then(waiting, many(rules.MaxParticipants-1, claimsAndSends), ada.claims), when: ada.sends,
		log:  "MessageSent",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ada; silent since 1m; messages 101",
	},
	{
		id: "participants_accept", given: then(waiting, many(rules.MaxParticipants-1, claimsAndSends), agent(1).claims, agent(1).offers(ben)), when: ben.accepts,
		log:  "HandOverAccepted(agent 1 ben)",
		want: "ANSWERED; promise KEPT 0s-5m answered 1m; line 0s; owner ben; helpers agent 1; silent since 1m; hand-overs 1; messages 100; notes 1",
	},
	{
		id: "participants_set_a_persona", given: then(waiting, many(rules.MaxParticipants-1, claimsAndSends)), when: lea.appearsAs("Captain Mike"),
		fault: "FailedPrecondition LIMIT_REACHED limit=100",
	},
	{
		id: "customer_always_gets_a_word_in", given: []step{agent(1).opens, agent(1).releases, many(rules.MaxParticipants, claimsAndSends)}, when: customer.sends,
		log:  "MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 102",
	},
}

func agent(n int) person {
	return person{goodshipv1.ActorKind_ACTOR_KIND_AGENT, fmt.Sprintf("agent %d", n)}
}

func names(n int) string {
	var ids []string
	for i := range n {
		ids = append(ids, agent(i+1).id)
	}
	return strings.Join(ids, " ")
}

func times(n int, s step) step { return all(slices.Repeat([]step{s}, n)) }

// many does the same for many agents.
func many(n int, each func(person) step) step {
	var steps []step
	for i := range n {
		steps = append(steps, each(agent(i+1)))
	}
	return all(steps)
}

func all(steps []step) step {
	return func(k *talk) error {
		k.hurried = true
		defer func() { k.hurried = false }()
		for _, s := range steps {
			if err := s(k); err != nil {
				return err
			}
		}
		return nil
	}
}

func claimsAndSends(p person) step { return all([]step{p.claims, p.sends, p.releases}) }

// TestPublic holds every kind of event to what customers see.
func TestPublic(t *testing.T) {
	hidden := []string{
		"PromiseAtRisk", "Claimed", "Released", "HelperInvited", "HelperRemoved", "HandOverOffered", "HandOverAccepted", "HandOverDeclined",
		"HandOverLapsed", "PersonaSet", "DetailsChanged", "NoteAdded", "NoteEdited", "NoteRedacted", "Unseen", "CreditOverdue",
	}
	seen := map[string]bool{"ConversationRemoved": true} // which is in no log
	for _, given := range [][]step{
		then(both, looksAway, ada.appearsAs("Captain Mike"), ada.notes, ada.editsNote(1), ada.redactsNote(1), ada.describes("subject", "context"),
			ada.offers(cleo), cleo.declines, ada.offers(cleo), cleo.accepts, cleo.offers(ada), after(time.Hour), customer.edits(1), cleo.proposes,
			after(time.Hour), cleo.withdraws(1), cleo.states, customer.sends, cleo.proposes, customer.rates(false), backend.reports(2), ada.redacts(2),
			cleo.removes(ben), cleo.releases),
		then(confirmed, customer.sends),
		then(owned, ada.credits, backend.ends(goodshipv1.CreditState_CREDIT_STATE_SETTLED), backend.ends(goodshipv1.CreditState_CREDIT_STATE_REFUSED),
			ada.ends(goodshipv1.CreditState_CREDIT_STATE_REVERSED), unfired(time.Hour), isOverdue),
	} {
		k := newTalk(t)
		for i, s := range given {
			if err := s(k); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		for _, e := range k.log {
			name, _, _ := strings.Cut(tellOne(e), "(")
			name, _, _ = strings.Cut(name, "@")
			seen[name] = true
			if got, want := e.PublicRevision != 0, !slices.Contains(hidden, name); got != want {
				t.Errorf("%s is public: got %v, want %v", name, got, want)
			}
		}
	}
	kinds := (&goodshipv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		if name := string(kinds.Get(i).Message().Name()); !seen[name] {
			t.Errorf("kind of event: got no %s, want one of each", name)
		}
	}
}
