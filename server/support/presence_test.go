package support_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	byCalls   = goodshipv1.Availability_AVAILABILITY_UNSPECIFIED
	available = goodshipv1.Availability_AVAILABILITY_AVAILABLE
	away      = goodshipv1.Availability_AVAILABILITY_AWAY
)

// avails lets an agent say whether they are there.
func (w *world) avails(p person, a goodshipv1.Availability, until ...time.Duration) *goodshipv1.Agent {
	w.t.Helper()
	return do[*goodshipv1.Agent](w, p, w.availability(a, until...))
}

func (w *world) availability(a goodshipv1.Availability, until ...time.Duration) *goodshipv1.SetAvailabilityRequest {
	req := &goodshipv1.SetAvailabilityRequest{Availability: a}
	for _, d := range until {
		req.UntilTime = timestamppb.New(w.clock.Now().Add(d))
	}
	return req
}

// present reports whether an agent is there, as others see it.
func (w *world) present(p person) bool {
	w.t.Helper()
	return do[*goodshipv1.Agent](w, backend, &goodshipv1.GetAgentRequest{AgentId: p.id()}).Present
}

func TestPresenceByCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	equal(t, "present at the start", w.present(ada), true)
	w.clock.Jump(2*time.Minute - time.Microsecond)
	equal(t, "present just before away_after", w.present(ada), true)
	w.clock.Jump(time.Microsecond)
	equal(t, "present at away_after", w.present(ada), false)
	w.by(ada)
	equal(t, "present after a call", w.present(ada), true)
	equal(t, "another, who did not call", w.present(ben), false)
	w.updates(&goodshipv1.Workspace{AwayAfter: durationpb.New(time.Hour)}, "away_after")
	w.clock.Jump(time.Hour - time.Second)
	equal(t, "present within a longer away_after", w.present(ada), true)
	for _, a := range do[*goodshipv1.ListAgentsResponse](w, backend, &goodshipv1.ListAgentsRequest{}).Agents {
		equal(t, a.Id+" in the list", a.Present, w.present(person("agent/"+a.Id)))
	}
}

func TestSetAvailability(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.avails(ada, available, 8*time.Hour)
	equal(t, "present", got.Present, true)
	equal(t, "until", got.AvailableUntilTime.AsTime(), w.clock.Now().Add(8*time.Hour))
	w.clock.Jump(8*time.Hour - time.Microsecond)
	equal(t, "present just before the time", w.present(ada), true)
	w.clock.Jump(time.Microsecond)
	equal(t, "present at the time", w.present(ada), false)

	w.avails(ada, available, time.Hour)
	equal(t, "present once AWAY", w.avails(ada, away).Present, false)
	equal(t, "until, once AWAY", do[*goodshipv1.Agent](w, backend, &goodshipv1.GetAgentRequest{AgentId: "ada"}).AvailableUntilTime, nil)
	w.updates(&goodshipv1.Workspace{AwayAfter: durationpb.New(time.Hour)}, "away_after")
	equal(t, "present once AWAY, under a longer away_after", w.present(ada), false)
	do[*goodshipv1.Line](w, ada, &goodshipv1.GetLineRequest{})
	equal(t, "present once AWAY, after a call that reads", w.present(ada), false)
	w.opens(kim, "Hello?")
	w.claimsNext(ada)
	equal(t, "present after the next change", w.present(ada), true)
	w.avails(ada, away)
	equal(t, "present once AWAY again", w.present(ada), false)
	equal(t, "present once they say otherwise", w.avails(ada, byCalls).Present, true)

	w.updates(&goodshipv1.Workspace{AwayAfter: durationpb.New(time.Minute)}, "away_after")
	w.avails(ada, available, time.Hour)
	equal(t, "present by calls", w.avails(ada, byCalls).Present, true)
	w.clock.Jump(time.Minute)
	equal(t, "present by calls, later", w.present(ada), false)
}

func TestSetAvailabilityRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, req := range []*goodshipv1.SetAvailabilityRequest{
		w.availability(available), w.availability(available, 0), w.availability(available, -time.Second),
		w.availability(available, 24*time.Hour+time.Second), w.availability(away, time.Hour), w.availability(byCalls, time.Hour),
	} {
		w.refuses(ada, req, "InvalidArgument INVALID_REQUEST until_time")
	}
	w.avails(ada, available, 24*time.Hour)
}

// TestOwnerGoesAway lets the one who owns what waits fall silent: the next in line is theirs, at its place.
func TestOwnerGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.opens(kim, "Hello?"), w.opens(lou, "Hello?")
	place := w.reads(ada, first).LineTime.AsTime()
	equal(t, "claimed", w.claimsNext(ada), first)
	w.clock.Jump(2*time.Minute - time.Second)
	equal(t, "claimed while the owner is present", w.claimsNext(ben), second)
	equal(t, "claimed when nobody waits unowned", w.claimsNext(ben), "")
	w.clock.Jump(time.Second)
	equal(t, "claimed once the owner is away", w.claimsNext(ben), first)
	w.stands(first, "WAITING owner=ben helpers=")
	equal(t, "place", w.reads(ben, first).LineTime.AsTime(), place)
	equal(t, "story", w.story(first), "opened message_sent wait_began claimed released claimed")
	w.by(ada)
	w.refuses(ada, &goodshipv1.ClaimConversationRequest{ConversationId: first}, "FailedPrecondition OWNED_BY_ANOTHER owner_id=ben")
}

// TestOwnerOfManyGoesAway lets go of more than the service looks at in one go.
func TestOwnerOfManyGoesAway(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	w := foundWorld(t, clock, openStore(t, clock.Now))
	ada, kim := w.by(ada), w.by(kim)
	var calls sync.WaitGroup
	for range 105 {
		calls.Go(func() {
			c, err := w.CreateConversation(kim, &goodshipv1.CreateConversationRequest{Text: "Hello?"})
			equal(t, "open", refusal(err), "")
			_, err = w.ClaimConversation(ada, claim(c.GetId()))
			equal(t, "claim", refusal(err), "")
		})
	}
	calls.Wait()
	w.clock.Jump(2 * time.Minute)
	claimed := w.claimsNext(ben)
	for _, h := range heads(t, w.store, w.workspace) {
		equal(t, "owned", h.Conversation.OwnerId != "", h.Conversation.Id == claimed)
	}
}

func TestOwnerReturnsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	for range 3 {
		w.clock.Jump(time.Minute)
		w.by(ada)
	}
	equal(t, "claimed", w.claimsNext(ben), "")
	w.stands(id, "WAITING owner=ada helpers=")
}

// TestOwnerReturnsTooLate lets an owner be away and come back before anybody looks: what waited is in the line all the same.
func TestOwnerReturnsTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	w.clock.Jump(3 * time.Minute)
	w.by(ada)
	equal(t, "claimed", w.claimsNext(ben), id)
}

func TestOwnerAwayWhileAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := replied(w)
	w.avails(ada, away)
	equal(t, "claimed", w.claimsNext(ben), "")
	w.stands(id, "ANSWERED owner=ada helpers=")
	w.says(kim, id, "One more thing.")
	w.stands(id, "WAITING owner= helpers=")
	equal(t, "claimed", w.claimsNext(ben), id)
}

// TestAwayInTheMiddleOfAMessage lets a customer write while the owner is there, and the owner go away before that is
// kept. Whoever then looks at the line must not miss it for ever.
func TestAwayInTheMiddleOfAMessage(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	hooks := &hooked{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, hooks)
	id := replied(w)
	kim, ben := w.by(kim), w.by(ben)
	asked, claimed := make(chan struct{}, 8), make(chan string, 1)
	hooks.beforeUnit = func() { asked <- struct{}{} }
	var once sync.Once
	hooks.inUnit = func() {
		once.Do(func() {
			clock.Jump(2 * time.Minute)
			go func() {
				reply, err := w.ClaimNextConversation(ben, &goodshipv1.ClaimNextConversationRequest{})
				equal(t, "claim next", refusal(err), "")
				claimed <- reply.GetConversation().GetId()
			}()
			<-asked // for this unit
			<-asked // for one of who looks at the line
		})
	}
	if _, err := w.call(kim, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "One more thing."}); err != nil {
		t.Fatalf("send: got %v, want none", err)
	}
	equal(t, "claimed", <-claimed, id)
}

// TestClockIsSetBack starts the server again under a clock that was set back: the store's goes on, and who is there is there.
func TestClockIsSetBack(t *testing.T) {
	t.Parallel()
	clock, dir := faketime.New(), t.TempDir()
	w := foundWorld(t, clock, openStoreIn(t, dir, clock.Now))
	w.opens(lou, "Hello?")
	if err := w.store.Close(); err != nil {
		t.Fatalf("close the store: %v", err)
	}
	clock.Jump(-time.Hour)
	w.store = openStoreIn(t, dir, clock.Now)
	w.restart()
	equal(t, "present after the restart", w.present(ben), true)
	id := replied(w)
	w.says(kim, id, "One more thing.")
	w.stands(id, "WAITING owner=ada helpers=")
	w.offers(ada, id, ben)
	clock.Jump(time.Second)
	do[*goodshipv1.Conversation](w, ben, &goodshipv1.DeclineHandOverRequest{ConversationId: id})
	w.stands(id, "WAITING owner=ada helpers=")
	clock.Jump(2 * time.Minute)
	w.by(ben)
	equal(t, "claimed, whoever opened first", w.claimsNext(ben) != id, true)
	equal(t, "claimed once the owner is away", w.claimsNext(ben), id)
}

func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	w.avails(ben, available, time.Hour)
	w.clock.Jump(90 * time.Second)
	w.restart()
	equal(t, "present after a restart", w.present(ada), true)
	w.clock.Jump(90 * time.Second)
	equal(t, "claimed within away_after of the restart", w.claimsNext(lea), "")
	w.clock.Jump(30 * time.Second)
	equal(t, "present later", w.present(ada), false)
	equal(t, "present who said until when", w.present(ben), true)
	equal(t, "claimed later", w.claimsNext(lea), id)
}

// TestDisabledAgentLosesEverything gives an agent every role in some conversation.
func TestDisabledAgentLosesEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	waited, talked, closed := owned(w), replied(w), solved(w)
	w.confirms(kim, closed)
	helping := w.opens(lou, "Hello?")
	w.says(ben, helping, "Hello!")
	w.invites(ben, helping, ada)
	offeredTo, offeredBy := w.opens(lou, "Hello?"), replied(w)
	w.says(ben, offeredTo, "Hello!")
	w.offers(ben, offeredTo, ada)
	w.offers(ada, offeredBy, ben)
	place := w.reads(ben, waited).LineTime.AsTime()

	gone := w.disables(ada)
	equal(t, "present", gone.Present, false)
	equal(t, "has a time", gone.DisableTime != nil, true)
	w.stands(waited, "WAITING owner= helpers=")
	w.stands(talked, "ANSWERED owner= helpers=")
	w.stands(closed, "RESOLVED owner=ada helpers=")
	w.stands(helping, "ANSWERED owner=ben helpers=")
	equal(t, "offer to them", w.reads(ben, offeredTo).HandOver, nil)
	equal(t, "offer by them", w.reads(ben, offeredBy).HandOver, nil)
	equal(t, "place", w.reads(ben, waited).LineTime.AsTime(), place)
	equal(t, "claimed", w.claimsNext(ben), waited)

	const notPresent = "FailedPrecondition AGENT_NOT_PRESENT agent_id=ada"
	w.refuses(ben, &goodshipv1.InviteHelperRequest{ConversationId: helping, AgentId: "ada"}, notPresent)
	w.refuses(ben, &goodshipv1.HandOverConversationRequest{ConversationId: helping, ToAgentId: "ada", Brief: "x"}, notPresent)
	before := image(t, w.store)
	same(t, "disabled again", w.disables(ada), gone)
	w.unchanged(before)
}

func TestDisabledAgentReturns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, closed := owned(w), solved(w)
	w.confirms(kim, closed)
	w.disables(ada)
	w.clock.Jump(time.Minute)
	stays := do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: "Ada"}})
	equal(t, "disabled after an upsert", stays.DisableTime != nil, true)
	w.says(kim, closed, "It is back.")
	w.stands(closed, "WAITING owner= helpers=")
	back := do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: "Ada"}, Enable: true})
	equal(t, "disabled once enabled", back.DisableTime, nil)
	equal(t, "owns what was theirs", w.head(id).Conversation.OwnerId, "")
	w.claims(ada, id)
	w.says(ada, id, "I am back!")
	w.stands(id, "ANSWERED owner=ada helpers=")
}

// TestDisablingIsInterrupted ends the call after the agent is disabled: what waits is not lost with it.
func TestDisablingIsInterrupted(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	hooks := &hooked{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, hooks)
	id := owned(w)
	ctx, cancel := context.WithCancel(w.by(backend))
	hooks.afterUnit = cancel
	if _, err := w.call(ctx, &goodshipv1.DisableAgentRequest{AgentId: "ada"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("disable: got %v, want %v", err, context.Canceled)
	}
	hooks.afterUnit = nil
	w.stands(id, "WAITING owner=ada helpers=")
	clock.Jump(time.Second)
	equal(t, "claimed", w.claimsNext(ben), id)
	if !strings.HasSuffix(w.story(id), "claimed released claimed") {
		t.Errorf("story: got %s, want it released by time", w.story(id))
	}
}
