package live

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/processtest"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// scene is what writers and watchers share.
type scene struct {
	t      *testing.T
	seed   uint64
	server *processtest.Server
	lines  lines
	conns  []*grpc.ClientConn
	web    *http.Client
	ledger ledger

	customers, agents []string

	mu sync.Mutex
	// conversations are all that were opened, those that are watched first.
	conversations []*conversation

	// delivered counts the events that were told, over all watchers, for those who wait for it.
	delivered count
	// calm says that nobody writes any more.
	calm atomic.Bool
}

// conversation is what writers know of one.
type conversation struct {
	id, customer string
	// messages is how many there are at least.
	messages atomic.Int32
}

// connections are how many all share over gRPC, and watched how many conversations watchers choose from.
const (
	connections = 24
	watched     = 40
	writers     = 50
	watchers    = 200
)

// newScene starts a server with its people, and with conversations.
func newScene(t *testing.T, seed uint64) *scene {
	t.Helper()
	s := &scene{t: t, seed: seed}
	s.server = processtest.New(t, s.random("server", 0))
	s.web = &http.Client{Transport: &http.Transport{DialContext: s.lines.dial, MaxIdleConnsPerHost: 4}}
	t.Cleanup(s.web.CloseIdleConnections)
	for range connections {
		s.conns = append(s.conns, s.server.Conn(s.lines.dial))
	}
	for i := range writers / 2 {
		s.customers, s.agents = append(s.customers, fmt.Sprintf("customer-%d", i)), append(s.agents, fmt.Sprintf("agent-%d", i))
	}
	s.settle()
	return s
}

// random returns what somebody draws from, of their own.
func (s *scene) random(who string, number int) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, sumOf(who)+uint64(number)))
}

// as returns a context whose calls are somebody's, as the server's As does.
func (s *scene) as(ctx context.Context, who string) context.Context { return s.server.As(ctx, who) }

// settle makes the agents and most customers' first conversations; a few customers are not known yet. What time does by itself
// comes soon.
func (s *scene) settle() {
	s.t.Helper()
	backend, directory := s.as(s.t.Context(), ""), goodshipv1.NewDirectoryServiceClient(s.conns[0])
	_, err := goodshipv1.NewAdminServiceClient(s.conns[0]).UpdateWorkspace(backend, &goodshipv1.UpdateWorkspaceRequest{
		Workspace:  &goodshipv1.Workspace{Promise: durationpb.New(time.Minute), NotifyAfter: durationpb.New(10 * time.Second)},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"promise", "notify_after"}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, id := range s.agents {
		if _, err := directory.UpsertAgent(backend, &goodshipv1.UpsertAgentRequest{AgentId: id, Agent: &goodshipv1.Agent{DisplayName: id}}); err != nil {
			s.t.Fatal(err)
		}
	}
	for i := range watched {
		s.open(s.customers[i%(len(s.customers)-4)])
	}
}

// open opens a conversation before anybody watches.
func (s *scene) open(customer string) {
	s.t.Helper()
	text := "the first words of " + customer
	conv, err := goodshipv1.NewConversationServiceClient(s.conns[0]).CreateConversation(s.as(s.t.Context(), "customer/"+customer), &goodshipv1.CreateConversationRequest{Text: text})
	if err != nil {
		s.t.Fatal(err)
	}
	s.opened(conv.Id, customer, text)
}

// opened takes a conversation among those that writers write in.
func (s *scene) opened(id, customer, text string) {
	c := &conversation{id: id, customer: customer}
	c.messages.Store(1)
	s.ledger.said(numbered{id, 1}, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversations = append(s.conversations, c)
}

// all returns the conversations so far.
func (s *scene) all() []*conversation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.conversations)
}

// patience is how long nothing may happen while something must.
const patience = 30 * time.Second

// await waits until so many events were told, and reports whether they were.
func (s *scene) await(ctx context.Context, events int64) bool {
	for at := s.delivered.Load(); ; {
		patient, cancel := context.WithTimeout(ctx, patience)
		told := s.delivered.await(patient, events)
		cancel()
		switch {
		case told:
			return true
		case ctx.Err() != nil:
			return false
		case s.delivered.Load() == at:
			s.t.Errorf("after %d events nobody was told anything for %v", at, patience)
			return false
		}
		at = s.delivered.Load()
	}
}

// count is a number that grows, and wakes those who wait for it.
type count struct {
	atomic.Int64
	mu sync.Mutex
	// waits are until the count is at a number; next is the smallest of these, or larger than any.
	waits map[chan struct{}]int64
	next  atomic.Int64
}

// add raises the count by one.
func (c *count) add() {
	n := c.Add(1)
	if n < c.next.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for over, at := range c.waits {
		if at <= n {
			close(over)
			delete(c.waits, over)
		}
	}
	c.look()
}

// look finds what is next; under the lock.
func (c *count) look() {
	next := int64(math.MaxInt64)
	for _, at := range c.waits {
		next = min(next, at)
	}
	c.next.Store(next)
}

// await waits until the count is at a number, or the context is done, and reports whether it is.
func (c *count) await(ctx context.Context, at int64) bool {
	over := make(chan struct{})
	c.mu.Lock()
	if c.waits == nil {
		c.waits = map[chan struct{}]int64{}
	}
	c.waits[over] = at
	c.look()
	c.mu.Unlock()
	if c.Load() < at {
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	delete(c.waits, over)
	c.mu.Unlock()
	return c.Load() >= at
}
