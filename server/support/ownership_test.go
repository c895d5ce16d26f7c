package support_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

func claim(id string) *goodshipv1.ClaimConversationRequest {
	return &goodshipv1.ClaimConversationRequest{ConversationId: id}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.opens(kim, "Hello?"), w.opens(lou, "Hello?")
	equal(t, "out of turn", w.claims(ada, second).OutOfTurnCount, 1)
	equal(t, "out of turn again", w.claims(ada, second).OutOfTurnCount, 1)
	equal(t, "out of turn, the first", w.claims(ada, first).OutOfTurnCount, 0)
	equal(t, "story", w.story(second), "opened message_sent wait_began claimed")
	w.refuses(ben, claim(first), "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada")

	w.passes(5*time.Minute-time.Second, ada)
	w.refuses(ben, claim(first), "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada")
	w.passes(2*time.Second, ada)
	w.claims(ben, first) // its promise is broken
	w.stands(first, "WAITING owner=ben helpers=ada")
	w.claims(lea, first)
	w.stands(first, "WAITING owner=lea helpers=ada ben")
	w.says(lea, first, "Sorry!")
	w.refuses(ada, claim(first), "FailedPrecondition OWNED_BY_ANOTHER owner_id=lea")
	w.avails(lea, away)
	w.claims(ada, first)
	w.stands(first, "ANSWERED owner=ada helpers=ben lea")
	w.confirms(kim, first)
	w.refuses(ben, claim(first), "FailedPrecondition CONVERSATION_RESOLVED allowed=CreateNote; for its owner, helpers and leaders SendMessage state=RESOLVED")
}

// TestClaimByWriting lets agents write in what nobody owns.
func TestClaimByWriting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.opens(kim, "Hello?"), w.opens(lou, "Hello?")
	w.says(ada, second, "Hello!")
	w.stands(second, "ANSWERED owner=ada helpers=")
	equal(t, "out of turn", w.reads(ada, second).OutOfTurnCount, 1)
	w.proposes(ben, first)
	w.stands(first, "ANSWERED owner=ben helpers=")
	equal(t, "out of turn, the first", w.reads(ada, first).OutOfTurnCount, 0)
	w.refuses(ada, &goodshipv1.SendMessageRequest{ConversationId: first, Text: "x"}, "PermissionDenied NOT_A_PARTICIPANT")
	w.notes(ada, first, "A note claims nothing.")
	w.stands(first, "ANSWERED owner=ben helpers=")
}

func TestClaimNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	equal(t, "claimed when nobody waits", w.claimsNext(ada), "")
	var line []string
	for range 4 {
		line = append(line, w.opens(kim, "Hello?"))
	}
	w.says(kim, line[0], "I have waited longest.")
	w.says(ada, line[1], "Hello!")
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.ReleaseConversationRequest{ConversationId: line[1]})
	w.says(kim, line[1], "A new wait, behind the others.")
	equal(t, "claimed", w.claimsNext(ada), line[0])
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.ReleaseConversationRequest{ConversationId: line[0]})
	var got []string
	for _, p := range []person{ben, lea, ada, ben, lea} {
		got = append(got, w.claimsNext(p))
	}
	equal(t, "claimed in order", list(got), list([]string{line[0], line[2], line[3], line[1], ""}))
	reply := do[*goodshipv1.ClaimNextConversationResponse](w, ben, &goodshipv1.ClaimNextConversationRequest{})
	equal(t, "conversation when nobody waits", reply.Conversation, nil)
}

// TestRejectedKeepsItsPlace lets a conversation that was proposed come back: it stands where it stood.
func TestRejectedKeepsItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.opens(kim, "Hello?")
	place := w.reads(ada, first).LineTime.AsTime()
	w.proposes(ada, first)
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.ReleaseConversationRequest{ConversationId: first})
	w.opens(lou, "Hello?")
	w.rejects(kim, first)
	equal(t, "place", w.reads(ada, first).LineTime.AsTime(), place)
	equal(t, "claimed", w.claimsNext(ben), first)
}

func TestRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	place := w.reads(ada, id).LineTime.AsTime()
	release := &goodshipv1.ReleaseConversationRequest{ConversationId: id}
	w.refuses(ben, release, "PermissionDenied NOT_THE_OWNER owner_id=ada")
	equal(t, "owner", do[*goodshipv1.Conversation](w, ada, release).OwnerId, "")
	equal(t, "place", w.reads(ada, id).LineTime.AsTime(), place)
	w.refuses(ada, release, "FailedPrecondition NO_OWNER")
}

func TestHelpers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	invite := &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: "ben"}
	w.refuses(ada, invite, "FailedPrecondition NO_OWNER")
	w.claims(ada, id)
	w.refuses(ben, invite, "PermissionDenied NOT_A_PARTICIPANT")
	w.refuses(ada, &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: "nobody"}, "NotFound AGENT_NOT_FOUND agent_id=nobody")
	w.invites(ada, id, ben)
	w.invites(ada, id, ben)
	w.invites(ada, id, ada)
	w.stands(id, "WAITING owner=ada helpers=ben")
	w.says(ben, id, "A helper's message answers.")
	w.stands(id, "ANSWERED owner=ada helpers=ben")
	w.invites(ben, id, lea)

	remove := func(p person) *goodshipv1.RemoveHelperRequest {
		return &goodshipv1.RemoveHelperRequest{ConversationId: id, AgentId: p.id()}
	}
	w.refuses(ben, remove(lea), "PermissionDenied NOT_THE_OWNER owner_id=ada")
	w.refuses(ada, remove(ada), "FailedPrecondition NOT_A_HELPER agent_id=ada")
	do[*goodshipv1.Conversation](w, ben, remove(ben))
	do[*goodshipv1.Conversation](w, ada, remove(lea))
	w.refuses(ada, remove(lea), "FailedPrecondition NOT_A_HELPER agent_id=lea")
	w.stands(id, "ANSWERED owner=ada helpers=")
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	offer := &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "ben", Brief: "The engine needs you."}
	accept := &goodshipv1.AcceptHandOverRequest{ConversationId: id}
	w.refuses(ben, accept, "FailedPrecondition NO_HAND_OVER")
	w.refuses(lea, offer, "PermissionDenied NOT_THE_OWNER owner_id=ada")
	w.refuses(ada, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "nobody", Brief: "x"}, "NotFound AGENT_NOT_FOUND agent_id=nobody")
	w.refuses(ada, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "ada", Brief: "x"}, "InvalidArgument INVALID_REQUEST to_agent_id")
	got := do[*goodshipv1.Conversation](w, ada, offer)
	same(t, "offer", got.HandOver, &goodshipv1.HandOver{FromAgentId: "ada", ToAgentId: "ben", NoteNumber: 1, OfferTime: got.HandOver.OfferTime})
	equal(t, "owner", got.OwnerId, "ada")
	notes := do[*goodshipv1.ListNotesResponse](w, ben, &goodshipv1.ListNotesRequest{ConversationId: id}).Notes
	equal(t, "brief", notes[0].Text+" / "+notes[0].AgentId, "The engine needs you. / ada")
	w.refuses(ada, offer, "FailedPrecondition HAND_OVER_PENDING to_agent_id=ben")
	w.refuses(lea, accept, "FailedPrecondition NO_HAND_OVER")

	do[*goodshipv1.Conversation](w, ben, &goodshipv1.DeclineHandOverRequest{ConversationId: id})
	w.stands(id, "WAITING owner=ada helpers=")
	w.offers(ada, id, ben)
	taken := do[*goodshipv1.Conversation](w, ben, accept)
	equal(t, "hand-overs counted", taken.HandOverCount, 1)
	w.stands(id, "WAITING owner=ben helpers=ada")
}

// TestHandOverLapses ends offers in all ways that time and others do.
func TestHandOverLapses(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, id string){
		"the promise breaks":       func(w *world, _ string) { w.passes(6*time.Minute, ada, ben) },
		"the receiver is away":     func(w *world, _ string) { w.avails(ben, away); w.clock.Jump(time.Second) },
		"the receiver is disabled": func(w *world, _ string) { w.disables(ben) },
		"the giver is disabled":    func(w *world, _ string) { w.disables(ada) },
		"another claims":           func(w *world, id string) { w.claims(lea, id) },
		"the giver releases": func(w *world, id string) {
			do[*goodshipv1.Conversation](w, ada, &goodshipv1.ReleaseConversationRequest{ConversationId: id})
		},
		"the customer is contented": func(w *world, id string) { w.confirms(kim, id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := owned(w)
			w.offers(ada, id, ben)
			end(w, id)
			w.employ(ben, goodshipv1.Role_ROLE_AGENT)
			do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{AgentId: "ben", Agent: &goodshipv1.Agent{DisplayName: "Ben"}, Enable: true})
			w.refuses(ben, &goodshipv1.AcceptHandOverRequest{ConversationId: id}, "FailedPrecondition NO_HAND_OVER")
			w.notes(lea, id, "Somebody touches it.")
			equal(t, "offer", w.reads(lea, id).HandOver, nil)
		})
	}
	w := newWorld(t)
	id := owned(w)
	w.clock.Jump(3 * time.Minute)
	w.claims(ada, id)
	w.refuses(ada, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "ben", Brief: "x"}, "FailedPrecondition AGENT_NOT_PRESENT agent_id=ben")
}

// TestPersona holds that a message keeps the persona it was said under.
func TestPersona(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	captain := &goodshipv1.Persona{DisplayName: "Captain", AvatarUri: "https://example.com/captain.png"}
	persona := &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: captain}
	w.refuses(ben, persona, "PermissionDenied NOT_A_PARTICIPANT")
	w.says(ada, id, "Myself.")
	got := do[*goodshipv1.Conversation](w, ada, persona)
	same(t, "persona, at once for agents", got.Participants[1].Persona, captain)
	equal(t, "persona, before something is said under it", w.reads(kim, id).Participants[1].Persona.DisplayName, "The real ada")
	w.says(ada, id, "In character.")
	same(t, "persona, once something is", w.reads(kim, id).Participants[1].Persona, captain)
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.SetPersonaRequest{ConversationId: id})
	w.says(ada, id, "Myself again.")
	do[*goodshipv1.Conversation](w, kim, &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "Lieutenant"}})
	w.says(kim, id, "Aye.")
	var names []string
	for _, m := range do[*goodshipv1.ListMessagesResponse](w, kim, &goodshipv1.ListMessagesRequest{ConversationId: id}).Messages {
		names = append(names, m.Sender.Persona.GetDisplayName())
	}
	equal(t, "personas", list(names), list([]string{"", "The real ada", "Captain", "The real ada", "Lieutenant"}))

	w.updates(&goodshipv1.Workspace{}, "personas_allowed")
	w.refuses(ada, persona, "FailedPrecondition PERSONAS_NOT_ALLOWED")
	equal(t, "persona, when none is allowed", w.says(kim, id, "Myself.").Sender.Persona, nil)
}
