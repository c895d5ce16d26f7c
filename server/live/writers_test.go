package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// writer is a customer or an agent who does one thing after another.
type writer struct {
	*scene
	who, name string
	// agent is an agent's number, -1 for customers.
	agent int
	// desk is a watcher of all that happens.
	desk  *watcher
	rng   *rand.Rand
	deeds []deed
	calls int
	// messages and notes are its own newest.
	messages, notes []numbered

	conversation goodshipv1.ConversationServiceClient
	message      goodshipv1.MessageServiceClient
	resolution   goodshipv1.ResolutionServiceClient
}

// deed is what a writer may do, so often among all. It returns what to call, nil for nothing this time.
type deed struct {
	name   string
	weight int
	do     func(w *writer, c *conversation, requestID string) call
}

// call does something, and takes down what was acknowledged.
type call func(ctx context.Context) error

// write has all writers write until the context is done and what they have begun is acknowledged, no faster than desks are told.
func (s *scene) write(stop context.Context, desks []*watcher) {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var all sync.WaitGroup
	for i := range writers {
		w := s.writer(i)
		w.desk = desks[i%len(desks)]
		all.Go(func() { w.run(ctx, stop) })
	}
	all.Wait()
}

// writer returns one of the writers: an agent or a customer in turn.
func (s *scene) writer(i int) *writer {
	conn := s.conns[i%len(s.conns)]
	w := &writer{
		scene: s, name: s.customers[i/2], agent: -1, deeds: customerDeeds, rng: s.random("writer", i),
		conversation: goodshipv1.NewConversationServiceClient(conn), message: goodshipv1.NewMessageServiceClient(conn), resolution: goodshipv1.NewResolutionServiceClient(conn),
	}
	w.who = "customer/" + w.name
	if i%2 == 0 {
		w.name, w.agent, w.deeds = s.agents[i/2], i/2, agentDeeds
		w.who = "agent/" + w.name
	}
	return w
}

func (w *writer) run(ctx, stop context.Context) {
	for stop.Err() == nil {
		w.pace(stop)
		w.calls++
		chosen := w.choose()
		if do := chosen.do(w, w.somewhere(), fmt.Sprintf("%s-%d", w.name, w.calls)); do != nil {
			w.attempt(ctx, chosen.name, do)
		}
	}
}

// pace waits while the desk that follows the writer was not told of one of its latest messages; but not for ever, since nobody is
// told anything while the server starts.
func (w *writer) pace(stop context.Context) {
	const ahead = 10
	if len(w.messages) < ahead {
		return
	}
	earlier := w.messages[len(w.messages)-ahead]
	for until := time.Now().Add(time.Second); stop.Err() == nil && !w.desk.knows(earlier) && time.Now().Before(until); {
		w.rest()
	}
}

func (w *writer) choose() deed {
	total := 0
	for _, d := range w.deeds {
		total += d.weight
	}
	n := w.rng.IntN(total)
	for _, d := range w.deeds {
		if n -= d.weight; n < 0 {
			return d
		}
	}
	panic("unreachable")
}

// somewhere returns a conversation in which the writer may write, nil if a customer has none. Agents mostly look after the same.
func (w *writer) somewhere() *conversation {
	all, own := w.all(), []*conversation(nil)
	if w.agent >= 0 && w.rng.IntN(8) == 0 {
		return all[w.rng.IntN(len(all))]
	}
	for i, c := range all {
		if c.customer == w.name || i%len(w.agents) == w.agent {
			own = append(own, c)
		}
	}
	if len(own) == 0 {
		return nil
	}
	return own[w.rng.IntN(len(own))]
}

// attempt repeats a call, with the same request id, until the server says how it ended.
func (w *writer) attempt(ctx context.Context, name string, do call) {
	for until := time.Now().Add(2 * patience); ctx.Err() == nil; {
		once, cancel := context.WithTimeout(w.as(ctx, w.who), patience/10)
		err := do(once)
		cancel()
		switch status.Code(err) {
		case codes.OK:
			w.ledger.count(name, true)
			return
		case codes.FailedPrecondition, codes.PermissionDenied, codes.NotFound:
			w.ledger.count(name, false)
			return
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
			if time.Now().Before(until) {
				w.rest()
				continue
			}
		}
		w.t.Errorf("%s by %s ends with %v", name, w.who, err)
		return
	}
}

// rest leaves a server that starts some time.
func (w *writer) rest() {
	select {
	case <-w.t.Context().Done():
	case <-time.After(time.Duration(w.rng.IntN(20)) * time.Millisecond):
	}
}

// text returns words that nobody else says.
func (w *writer) text(requestID string) string {
	return requestID + strings.Repeat(" ahoy", w.rng.IntN(60))
}

// own returns one of the newest of what the writer wrote, false if there is none.
func (w *writer) own(of []numbered) (numbered, bool) {
	if len(of) == 0 {
		return numbered{}, false
	}
	newest := of[max(0, len(of)-5):]
	return newest[w.rng.IntN(len(newest))], true
}

var customerDeeds = []deed{
	{"SendMessage", 50, func(w *writer, c *conversation, id string) call { return w.say(c, id, false) }},
	{"EditMessage", 12, (*writer).edit},
	{"RedactMessage of one's own", 4, (*writer).redactOwn},
	{"MarkRead", 12, (*writer).read},
	{"SendSignal", 4, (*writer).signal},
	{"CreateConversation", 3, (*writer).begin},
	{"ConfirmResolution", 6, (*writer).confirm},
	{"RejectResolution", 8, (*writer).reject},
}

var agentDeeds = []deed{
	{"SendMessage", 40, func(w *writer, c *conversation, id string) call { return w.say(c, id, true) }},
	{"EditMessage", 6, (*writer).edit},
	{"RedactMessage", 6, (*writer).redactAny},
	{"MarkRead", 8, (*writer).read},
	{"SendSignal", 4, (*writer).signal},
	{"CreateNote", 12, (*writer).note},
	{"EditNote", 3, (*writer).editNote},
	{"RedactNote", 3, (*writer).redactNote},
	{"ClaimConversation", 8, (*writer).claim},
	{"ClaimNextConversation", 2, (*writer).claimNext},
	{"ReleaseConversation", 3, (*writer).release},
	{"ProposeResolution", 14, (*writer).propose},
	{"UpdateConversation", 2, (*writer).update},
}

// sent takes down a message of the writer's.
func (w *writer) sent(c *conversation, number int32, text string) {
	w.ledger.said(numbered{c.id, number}, text)
	w.messages = append(w.messages, numbered{c.id, number})
	grow(&c.messages, number)
}
