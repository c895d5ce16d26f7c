package live

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"go.uber.org/goleak"
)

var (
	deliveries = flag.Int64("deliveries", 100_000, "how many events are told, over all watchers")
	kills      = flag.Int64("kills", 3, "how often the server is killed meanwhile")
	seed       = flag.Uint64("seed", rand.Uint64(), "what writers and watchers choose by")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLive runs the checker, and then holds the checker to what it must find.
func TestLive(t *testing.T) {
	t.Logf("-deliveries %d -kills %d -seed %d", *deliveries, *kills, *seed)
	s := newScene(t, *seed)
	c := newCrowd(s)
	defer c.leave()
	c.gather(t)
	s.load(c)
	s.server.Stop()
	c.catchUp(t, read(t, s.server.Data))
	s.server.Stop()
	c.leave()
	w := read(t, s.server.Data)
	w.mustHold(t, &s.ledger)
	c.judge(t, w)
	s.report(c)
}

// load has everybody at it: until enough was told, and the server killed often enough while it was.
func (s *scene) load(c *crowd) {
	ctx, stop := context.WithCancel(s.t.Context())
	var busy sync.WaitGroup
	busy.Go(func() { s.write(ctx, c.desks()) })
	busy.Go(func() { s.cut(ctx) })
	busy.Go(func() { c.join(ctx) })
	rng, each := s.random("killer", 0), *deliveries/(*kills+1)
	for i := range *kills {
		s.await(ctx, each*(i+1)+rng.Int64N(each/2+1))
		s.server.Kill()
		s.server.Start()
	}
	s.await(ctx, *deliveries)
	stop()
	busy.Wait()
	s.calm.Store(true)
}

// cut cuts a connection, whoever has it, each time that so many events were told.
func (s *scene) cut(ctx context.Context) {
	const every = 500
	rng := s.random("cutter", 0)
	for s.delivered.await(ctx, s.delivered.Load()+1+rng.Int64N(2*every)) {
		s.lines.cut(rng)
	}
}

// crowd are all watchers.
type crowd struct {
	*scene
	ctx   context.Context
	end   context.CancelFunc
	all   []*watcher
	run   sync.WaitGroup
	early int
	// owed is what was to be told when nobody wrote any more. What time does later may be told or not.
	owed *truth
}

func newCrowd(s *scene) *crowd {
	c := &crowd{scene: s}
	c.ctx, c.end = context.WithCancel(s.t.Context())
	rng := s.random("crowd", 0)
	for i := range watchers {
		c.all = append(c.all, s.newWatcher(i, s.scope(i, rng)))
	}
	c.early = watchers * 3 / 4
	return c
}

// scope chooses what a watcher watches: in turn staff and a customer one conversation each, a customer all of theirs, and a desk.
func (s *scene) scope(i int, rng *rand.Rand) scope {
	conv, agent := s.all()[rng.IntN(watched)], "agent/"+s.agents[rng.IntN(len(s.agents))]
	switch i % 5 {
	case 0:
		return scope{conversation: conv.id, who: agent}
	case 1:
		return scope{conversation: conv.id, who: "customer/" + conv.customer}
	case 2:
		return scope{conversation: "-", who: "customer/" + s.customers[(i/5)%len(s.customers)]}
	case 3:
		return scope{who: []string{"", agent}[rng.IntN(2)]}
	}
	return []scope{
		{who: agent, state: goodshipv1.State_STATE_WAITING},
		{who: agent, state: goodshipv1.State_STATE_ANSWERED},
		{who: agent, owner: s.agents[rng.IntN(len(s.agents))]},
		{who: agent, unowned: true},
		{state: goodshipv1.State_STATE_WAITING, unowned: true},
		{state: goodshipv1.State_STATE_RESOLVED},
	}[rng.IntN(6)]
}

// desks are the watchers that began before all others and are told everything.
func (c *crowd) desks() (all []*watcher) {
	for _, w := range c.all[:c.early] {
		if w.of.conversation == "" && !w.of.filters() {
			all = append(all, w)
		}
	}
	return all
}

// newWatcher returns a watcher; of four of a kind two read gRPC's streams, one server-sent events, and one uses the Go SDK.
func (s *scene) newWatcher(i int, of scope) *watcher {
	w := &watcher{
		scene: s, name: fmt.Sprintf("watcher %d of %+v", i, of), of: of, rng: s.random("watcher", i), conn: s.conns[i%len(s.conns)],
		messages: map[numbered]uint64{}, marks: map[reader]int32{}, ready: make(chan struct{}), heard: make(chan struct{}, 1),
	}
	w.by = []way{byHTTP, byGRPC, bySDK, byGRPC}[i/5%4]
	return w
}

// gather has most watchers begin, from now on, while nothing happens.
func (c *crowd) gather(t *testing.T) {
	t.Helper()
	staff, public := c.revisions(t)
	for _, w := range c.all[:c.early] {
		w.begins = beginning{floor: staff, exact: true}
		if w.of.customer() {
			w.begins.floor = public
		}
		c.run.Go(func() { w.run(c.ctx) })
	}
	for _, w := range c.all[:c.early] {
		select {
		case <-w.ready:
		case <-time.After(patience):
			t.Fatalf("%s is told nothing", w.name)
		}
	}
}

// revisions are how far each conversation has come, as agents and as customers count.
func (c *crowd) revisions(t *testing.T) (staff, public map[string]int32) {
	t.Helper()
	staff, public = map[string]int32{}, map[string]int32{}
	client := goodshipv1.NewConversationServiceClient(c.conns[0])
	for _, conv := range c.scene.all() {
		for who, revisions := range map[string]map[string]int32{"": staff, "customer/" + conv.customer: public} {
			got, err := client.GetConversation(c.as(t.Context(), who), &goodshipv1.GetConversationRequest{ConversationId: conv.id})
			if err != nil {
				t.Fatal(err)
			}
			revisions[conv.id] = got.Revision + got.PublicRevision
		}
	}
	return staff, public
}

// catchUp starts the server for those who have not been told everything yet.
func (c *crowd) catchUp(t *testing.T, w *truth) {
	t.Helper()
	c.owed = w
	c.server.Start()
	for _, one := range c.all {
		want, marks := w.entries(one.of), w.marksOf(one.of)
		c.untilStill(one, func() bool { return one.has(want, marks) })
		if !one.has(want, marks) {
			one.mu.Lock()
			defer one.mu.Unlock()
			t.Errorf("%s has not been told everything, and nobody is told anything for %v: %d of at most %d events; marks %v of %v", one.name, patience, len(one.record), len(want), one.marks, marks)
			return
		}
	}
}

// untilStill waits until something is so that changes with what a watcher is told, or until nobody was told anything for long.
func (s *scene) untilStill(w *watcher, so func() bool) {
	patient := time.NewTicker(patience)
	defer patient.Stop()
	for at := s.delivered.Load(); !so(); {
		select {
		case <-w.heard:
		case <-patient.C:
			now := s.delivered.Load()
			if now == at {
				return
			}
			at = now
		}
	}
}

// has reports whether a watcher was told the last of what it was to be, and of one conversation how far people have read.
func (w *watcher) has(want []entry, marks map[reader]int32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of.conversation != "" && w.of.conversation != "-" && !maps.Equal(w.marks, marks) {
		return false
	}
	start := w.begins.in(want, w.record)
	if start >= len(want) {
		return true
	}
	last := want[len(want)-1].place
	for i := len(w.record) - 1; i >= 0; i-- {
		if w.record[i].place == last {
			return true
		}
	}
	return false
}

// leave ends all watchers.
func (c *crowd) leave() {
	c.end()
	c.run.Wait()
}

// judge holds every record against what the store says, and the judge against records that are not right.
func (c *crowd) judge(t *testing.T, w *truth) {
	t.Helper()
	for _, one := range c.all {
		want := w.entries(one.of)
		start := one.begins.in(want, one.record)
		want, must := want[start:], max(0, len(c.owed.entries(one.of))-start)
		if v := judge(want, must, one.record); v != (verdict{}) {
			t.Errorf("%s, of %d events, over %d streams: %v", one.name, must, one.segments, v)
			continue
		}
		if stale := w.stale(one); len(stale) > 0 {
			t.Errorf("%s: was told last of %d messages what they do not say: one is %v", one.name, len(stale), stale[0])
		}
		mustBeNoticed(t, want, must, one.record, one.rng)
	}
}

// report tells what the run was, and fails the test if some of what writers and watchers do never came about, in a run that is
// long enough.
func (s *scene) report(c *crowd) {
	s.t.Helper()
	streams := 0
	for _, w := range c.all {
		streams += w.segments
		if w.segments == 0 {
			s.t.Errorf("%s never watched", w.name)
		}
	}
	s.t.Logf("%d events told to %d watchers over %d streams, %d kills; %d conversations; acknowledged %v, refused %v",
		s.delivered.Load(), len(c.all), streams, *kills, len(s.all()), s.ledger.acked, s.ledger.refused)
	for _, d := range append(customerDeeds, agentDeeds...) {
		if s.ledger.acked[d.name] == 0 && *deliveries >= 100_000 {
			s.t.Errorf("no %s was ever acknowledged", d.name)
		}
	}
}
