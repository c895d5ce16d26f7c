package support_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// TestContinueOpenAtOnce lets fifty windows of one customer say their first word together.
func TestContinueOpenAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := w.by(kim)
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			_, err := w.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: fmt.Sprint(i), ContinueOpen: true})
			equal(t, "error", refusal(err), "")
		})
	}
	calls.Wait()
	all := heads(t, w.store, w.workspace)
	equal(t, "conversations", len(all), 1)
	messages := do[*goodshipv1.ListMessagesResponse](w, kim, &goodshipv1.ListMessagesRequest{ConversationId: all[0].Conversation.Id, PageSize: 100}).Messages
	texts := map[string]bool{}
	for i, m := range messages {
		equal(t, "number", m.Number, int32(i+1))
		texts[m.Text] = true
	}
	equal(t, "messages", len(messages), 50)
	equal(t, "different messages", len(texts), 50)
}

// TestClaimNextAtOnce lets agents empty a line together: nobody gets what another has, and of those who waited before, each
// gets who has waited longest.
func TestClaimNextAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	places := map[string]int{}
	for i := range 24 {
		places[w.opens(kim, "Hello?")] = i
	}
	newcomers := w.by(lou)
	var calls sync.WaitGroup
	var mu sync.Mutex
	claimed := map[string]person{}
	for _, p := range []person{ada, ben, lea, ada} {
		ctx := w.by(p)
		calls.Go(func() {
			for last := -1; ; {
				reply, err := w.ClaimNextConversation(ctx, &goodshipv1.ClaimNextConversationRequest{})
				equal(t, "error", refusal(err), "")
				id := reply.GetConversation().GetId()
				if id == "" {
					return
				}
				mu.Lock()
				if other, ok := claimed[id]; ok {
					t.Errorf("%s: got it twice, %q after %q, want it once", id, p, other)
				}
				claimed[id] = p
				mu.Unlock()
				place, waitedBefore := places[id]
				if waitedBefore && place <= last {
					t.Errorf("%q: got place %d after %d, want the line in order", p, place, last)
				}
				last = max(last, place)
			}
		})
	}
	calls.Go(func() {
		for range 6 {
			_, err := w.CreateConversation(newcomers, &goodshipv1.CreateConversationRequest{Text: "Me too!"})
			equal(t, "error", refusal(err), "")
		}
	})
	calls.Wait()
	for w.claimsNext(ada) != "" {
		claimed[fmt.Sprint(len(claimed))] = ada
	}
	equal(t, "claimed", len(claimed), 30)
	for _, h := range heads(t, w.store, w.workspace) {
		equal(t, "out of turn", h.Conversation.OutOfTurnCount, 0)
	}
}

// TestEtagAtOnce makes ten changes with the same etag together: one wins.
func TestEtagAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	etag := w.reads(backend, id).Etag
	customer := do[*goodshipv1.Customer](w, backend, &goodshipv1.GetCustomerRequest{CustomerId: "kim"})
	agent := do[*goodshipv1.Agent](w, backend, &goodshipv1.GetAgentRequest{AgentId: "ada"})
	workspace := do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{})
	for name, change := range map[string]func(text string) proto.Message{
		"conversation": func(text string) proto.Message {
			return &goodshipv1.UpdateConversationRequest{
				ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Subject: text}, UpdateMask: mask("subject"), Etag: etag,
			}
		},
		"customer": func(text string) proto.Message {
			return &goodshipv1.UpsertCustomerRequest{CustomerId: "kim", Customer: &goodshipv1.Customer{DisplayName: text}, Etag: customer.Etag}
		},
		"agent": func(text string) proto.Message {
			return &goodshipv1.UpsertAgentRequest{AgentId: "ada", Agent: &goodshipv1.Agent{DisplayName: text}, Etag: agent.Etag}
		},
		"workspace": func(text string) proto.Message {
			return &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{BrandVoice: text}, UpdateMask: mask("brand_voice"), Etag: workspace.Etag}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := w.by(backend)
			results := make([]string, 10)
			var calls sync.WaitGroup
			for i := range results {
				req := change(fmt.Sprint("change ", i))
				calls.Go(func() {
					_, err := w.dispatch(ctx, req)
					results[i] = refusal(err)
				})
			}
			calls.Wait()
			slices.Sort(results)
			equal(t, "won", results[0], "")
			equal(t, "others", list(slices.Compact(results[1:])), "Aborted ETAG_MISMATCH")
		})
	}
}

// TestCrossingCalls lets a customer and the people helping act on one conversation together, all from what they have read,
// and then reads its log: nothing of the customer's was answered or closed by somebody who had not seen it.
func TestCrossingCalls(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := waits(w)
			seen := newWitness()
			var people sync.WaitGroup
			for n, p := range []person{kim, kim, ada, ben, lea} {
				ctx, r := w.by(p), rand.New(rand.NewPCG(seed, uint64(n)))
				people.Go(func() {
					for range 25 {
						if p == kim {
							w.actsAsCustomer(ctx, r, id)
						} else {
							w.actsAsAgent(ctx, r, id, p, seen)
						}
					}
				})
			}
			people.Wait()
			w.checkLog(id, seen)
		})
	}
}

// actsAsCustomer does one thing that a customer can; it may be refused.
func (w *world) actsAsCustomer(ctx context.Context, r *rand.Rand, id string) {
	conv, err := w.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: id})
	equal(w.t, "read: error", refusal(err), "")
	var req proto.Message
	switch r.IntN(6) {
	case 0, 1:
		req = &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello?"}
	case 2:
		req = edit(id, conv.GetMessageCount(), "Hello??")
	case 3:
		req = &goodshipv1.RejectResolutionRequest{ConversationId: id}
	case 4:
		req = &goodshipv1.ConfirmResolutionRequest{ConversationId: id}
	default:
		req = rate(id, r.IntN(2) == 0)
	}
	_, err = w.dispatch(ctx, req)
	w.onlyFaults(req, err)
}

// actsAsAgent reads the conversation and does one thing that an agent can, from that; it may be refused.
func (w *world) actsAsAgent(ctx context.Context, r *rand.Rand, id string, by person, witness *witness) {
	conv, err := w.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: id})
	equal(w.t, "read: error", refusal(err), "")
	seen := max(conv.GetRevision()-int32(r.IntN(4)), 1) // as if read a little earlier
	var req proto.Message
	switch r.IntN(8) {
	case 0, 1, 2:
		req = &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: seen}
	case 3:
		req = &goodshipv1.ProposeResolutionRequest{ConversationId: id, Matter: goodshipv1.Matter_MATTER_QUESTION, Done: "Told", Text: "So.", SeenRevision: seen}
	case 4:
		req = claim(id)
	case 5:
		req = &goodshipv1.ReleaseConversationRequest{ConversationId: id}
	case 6:
		req = &goodshipv1.WithdrawResolutionRequest{ConversationId: id}
	default:
		req = &goodshipv1.DismissConversationRequest{ConversationId: id, Reason: goodshipv1.DismissReason_DISMISS_REASON_SPAM, SeenRevision: seen}
	}
	reply, err := w.dispatch(ctx, req)
	w.onlyFaults(req, err)
	if err == nil {
		witness.notes(by, req, reply, seen)
	}
}

// onlyFaults checks that what went wrong crosses the API as what it is.
func (w *world) onlyFaults(req proto.Message, err error) {
	if got := refusal(err); strings.HasPrefix(got, "no fault") {
		w.t.Errorf("%T: got %s, want a fault or none", req, got)
	}
}

// checkLog reads a conversation's log by itself and holds it to the design's invariants 3 and 15.
func (w *world) checkLog(id string, witness *witness) {
	w.t.Helper()
	events := w.log(id)
	l := logReader{world: w, witness: witness}
	for i, e := range events {
		equal(w.t, "revision", e.Revision, int32(i+1))
		if e.PublicRevision != 0 {
			l.public++
			equal(w.t, "public revision", e.PublicRevision, l.public)
		}
		l.read(e)
	}
	c := w.head(id).Conversation
	equal(w.t, "messages", c.MessageCount, l.messages)
	equal(w.t, "waits", c.State == waiting, len(l.owed) > 0)
	equal(w.t, "promise runs or is broken", l.promised, len(l.owed) > 0)
	equal(w.t, "proposed", c.ResolutionNumber != 0 && c.State != resolved, l.proposed)
}

// witness knows what agents had seen when they acted: for each message that they said, and for each of their dismissals in
// the order in which each agent did them.
type witness struct {
	mu        sync.Mutex
	messages  map[int32]int32
	dismissed map[string][]int32
}

func newWitness() *witness {
	return &witness{messages: map[int32]int32{}, dismissed: map[string][]int32{}}
}

// notes keeps what an agent had seen when they did something.
func (n *witness) notes(by person, req, reply proto.Message, seen int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch req.(type) {
	case *goodshipv1.SendMessageRequest:
		n.messages[reply.(*goodshipv1.Message).Number] = seen
	case *goodshipv1.ProposeResolutionRequest:
		n.messages[reply.(*goodshipv1.Resolution).MessageNumber] = seen
	case *goodshipv1.DismissConversationRequest:
		n.dismissed[by.id()] = append(n.dismissed[by.id()], seen)
	}
}

// dismissal returns what an agent had seen at the next of their dismissals.
func (n *witness) dismissal(agentID string) int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := n.dismissed[agentID]
	if len(seen) == 0 {
		return 0
	}
	n.dismissed[agentID] = seen[1:]
	return seen[0]
}

// logReader follows what a customer is owed through a log. It knows nothing of the rules' own accounts.
type logReader struct {
	*world
	witness          *witness
	public, messages int32
	// owed are the revisions of what the customer did that was not answered.
	owed               []int32
	promised, proposed bool
}

func (l *logReader) read(e *goodshipv1.Event) {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_MessageSent:
		l.messages++
		equal(l.t, "number", k.MessageSent.Number, l.messages)
		if k.MessageSent.Asks {
			l.owed = append(l.owed, e.Revision)
		}
	case *goodshipv1.Event_MessageEdited:
		if k.MessageEdited.Asks {
			l.owed = append(l.owed, e.Revision)
		}
	case *goodshipv1.Event_ResolutionRejected:
		l.owed, l.proposed = append(l.owed, e.Revision), false
	case *goodshipv1.Event_WaitBegan:
		equal(l.t, "a promise runs when another begins", l.promised, false)
		l.promised = true
	case *goodshipv1.Event_WaitAnswered:
		equal(l.t, "what the answer's sender had seen", k.WaitAnswered.SeenRevision, l.witness.messages[l.messages])
		l.owed = slices.DeleteFunc(l.owed, func(r int32) bool { return r <= k.WaitAnswered.SeenRevision })
		l.promised = false
	case *goodshipv1.Event_ResolutionProposed:
		equal(l.t, "acts owed when it is proposed", len(l.owed), 0)
		equal(l.t, "a resolution is open when another is proposed", l.proposed, false)
		l.proposed = true
	case *goodshipv1.Event_ResolutionWithdrawn, *goodshipv1.Event_ResolutionSuperseded:
		l.proposed = false
	case *goodshipv1.Event_Resolved:
		l.resolved(e, k.Resolved)
	}
}

// resolved checks an end: by the customer's own word, or by somebody who had seen all that they did.
func (l *logReader) resolved(e *goodshipv1.Event, r *goodshipv1.Resolved) {
	if r.Outcome == goodshipv1.Outcome_OUTCOME_DISMISSED {
		if newest, seen := slices.Max(append(l.owed, 0)), l.witness.dismissal(e.Actor.AgentId); newest > seen {
			l.t.Errorf("dismissed at %d: got what was done at %d closed by who had seen %d, want it owed", e.Revision, newest, seen)
		}
	} else if r.Outcome != goodshipv1.Outcome_OUTCOME_CONFIRMED {
		equal(l.t, "acts owed when it is resolved", len(l.owed), 0)
	}
	l.owed, l.promised, l.proposed = nil, false, false
}
