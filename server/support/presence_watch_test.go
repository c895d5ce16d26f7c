package support_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestPresenceByWatching lets agents watch for longer than a call lasts.
func TestPresenceByWatching(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		first, second := w.sits(ada, &goodshipv1.WatchDeskRequest{}), w.sits(ada, &goodshipv1.WatchDeskRequest{})
		first.begins()
		second.begins()
		jump(150 * time.Second)
		second.progress()
		equal(t, "present while watching", w.present(ada), true)
		equal(t, "another, who does not watch", w.present(ben), false)
		first.goes()
		jump(150 * time.Second)
		second.progress()
		equal(t, "present while watching once more", w.present(ada), true)
		w.avails(ada, away)
		equal(t, "present once AWAY, while watching", w.present(ada), false)
		w.by(ada)
		equal(t, "present once AWAY, after a call", w.present(ada), false)
		w.avails(ada, byCalls)
		jump(150 * time.Second)
		second.progress()
		equal(t, "present once they say otherwise, while watching", w.present(ada), true)
		second.goes()
		jump(2*time.Minute - time.Second)
		equal(t, "present just before away_after from the last stream's end", w.present(ada), true)
		jump(time.Second)
		equal(t, "present at away_after", w.present(ada), false)
	})
}

// TestAwayLeavesThePageOpen has an agent say AWAY and go home. The page that they left goes on by itself, segment after segment;
// they come back when they do something.
func TestAwayLeavesThePageOpen(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Hello?")
		desk, talk := w.everything(ada, ""), w.watches(ada, id, "")
		overall, of := desk.begins(), talk.begins()
		w.avails(ada, away)
		equal(t, "present once AWAY", w.present(ada), false)
		desk.goes()
		talk.goes()
		desk, talk = w.everything(ada, overall), w.watches(ada, id, of)
		desk.begins()
		talk.begins()
		w.reads(ada, id)
		do[*goodshipv1.ReadMark](w, ada, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 1})
		do[*goodshipv1.Signal](w, ada, &goodshipv1.SendSignalRequest{ConversationId: id, Kind: goodshipv1.SignalKind_SIGNAL_KIND_PRESENT})
		equal(t, "present after the segment", w.present(ada), false)
		desk.drains() // what the signal told
		talk.drains()
		jump(150 * time.Second)
		desk.drains()
		talk.drains()
		equal(t, "present later", w.present(ada), false)
		w.refuses(ben, &goodshipv1.HandOverConversationRequest{ConversationId: w.claimsNext(ben), ToAgentId: "ada", Brief: "x"},
			"FailedPrecondition AGENT_NOT_PRESENT agent_id=ada")
		w.claims(ada, w.opens(lou, "Hello?"))
		equal(t, "present once they do something", w.present(ada), true)
		desk.goes()
		talk.goes()
		jump(2 * time.Minute)
		equal(t, "present at away_after", w.present(ada), false)
	})
}

// TestEnabledIsBackByACall enables an agent again, who had said AWAY of nothing.
func TestEnabledIsBackByACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disables(ada)
	equal(t, "present once disabled", w.present(ada), false)
	w.clock.Jump(time.Second)
	do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: "Ada"}, Enable: true})
	equal(t, "present once enabled", w.present(ada), false)
	w.by(ada)
	equal(t, "present after a call", w.present(ada), true)
}

// TestDisabledWhileWatching disables an agent who watches.
func TestDisabledWhileWatching(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := owned(w)
	desk := w.sits(ada, &goodshipv1.WatchDeskRequest{})
	desk.begins()
	w.disables(ada)
	desk.endsWith("PermissionDenied AGENT_DISABLED agent_id=ada")
	equal(t, "present", w.present(ada), false)
	w.stands(id, "WAITING owner= helpers=")
}
