package support

import (
	"context"
	"errors"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
)

// presence knows who is there. It stands in memory: after a start everybody counts as present until they would be away.
// All its times are the store's, so that they can be compared with those of units. Safe for concurrent use.
type presence struct {
	start time.Time

	mu     sync.Mutex
	marks  map[string]map[string]*mark // by workspace and agent
	loaded map[string]bool             // workspaces of which every agent has a mark
}

// mark is what is known of one agent.
type mark struct {
	seen  time.Time     // the last call
	after time.Duration // how long that lasts
	until time.Time     // said to be there until then
	leave time.Time     // said to leave then, or was disabled, and has not called since
	// left and back are the latest absence that is over.
	left, back time.Time
	// swept is the absence whose conversations were given back to the line.
	swept time.Time
}

func newPresence(start time.Time) *presence {
	return &presence{start: start, marks: map[string]map[string]*mark{}, loaded: map[string]bool{}}
}

// awayAt returns when the agent is away unless they call.
func (m *mark) awayAt() time.Time {
	if !m.leave.IsZero() {
		return m.leave
	}
	if at := m.seen.Add(m.after); at.After(m.until) {
		return at
	}
	return m.until
}

// latest returns when the latest absence began, and when it ended; zero for what is not.
func (m *mark) latest(now time.Time) (left, back time.Time) {
	if at := m.awayAt(); !at.After(now) {
		return at, time.Time{}
	}
	return m.left, m.back
}

// of returns the mark of an agent; under the lock. What was said to last and how long a call lasts is taken anew.
func (p *presence) of(workspace string, a *goodshipv1.Agent, after time.Duration) *mark {
	agents := p.marks[workspace]
	if agents == nil {
		agents = map[string]*mark{}
		p.marks[workspace] = agents
	}
	m := agents[a.Id]
	if m == nil {
		m = &mark{seen: p.start, after: after}
		if a.AvailableUntilTime != nil {
			m.until = a.AvailableUntilTime.AsTime()
		}
		agents[a.Id] = m
	}
	m.after = after
	return m
}

// touch notes a call by an agent.
func (p *presence) touch(workspace string, a *goodshipv1.Agent, after time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.of(workspace, a, after)
	if at := m.awayAt(); !at.After(now) {
		m.left, m.back = at, now
	}
	if now.After(m.seen) {
		m.seen = now
	}
	m.leave = time.Time{}
}

// set notes what an agent said: to be there until a time, or, with a zero one, by calls alone; or to leave at once.
func (p *presence) set(workspace string, a *goodshipv1.Agent, after time.Duration, until time.Time, leave bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.of(workspace, a, after)
	m.until, m.leave = until, time.Time{}
	if leave {
		m.leave = now
	}
}

// lookup returns what the rules need to know of an agent. Who is disabled has a mark too, so that what their disabling, cut
// short, left with them is swept.
func (p *presence) lookup(workspace string, a *goodshipv1.Agent, after time.Duration, now time.Time) rules.Presence {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.of(workspace, a, after)
	if a.DisableTime != nil {
		m.leave = a.DisableTime.AsTime()
		return rules.Presence{Left: m.leave, Disabled: true}
	}
	left, back := m.latest(now)
	return rules.Presence{Left: left, Back: back}
}

// unswept returns the agents of a workspace with an absence that was not swept, and when each began.
func (p *presence) unswept(workspace string, now time.Time) map[string]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := map[string]time.Time{}
	for id, m := range p.marks[workspace] {
		if left, _ := m.latest(now); left.After(m.swept) {
			gone[id] = left
		}
	}
	return gone
}

func (p *presence) sweptAt(workspace, agentID string, left time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks[workspace][agentID].swept = left
}

// people tells the rules who is there, as one unit sees it. Rules cannot fail for want of a record, so that a failure to read
// one is kept until the unit ends.
type people struct {
	service   *Service
	tx        store.Tx
	workspace *goodshipv1.Workspace
	known     map[string]rules.Presence
	err       error
}

// presence returns an agent's. Who is not in the directory is as good as disabled.
func (p *people) presence(id string) rules.Presence {
	presence, ok := p.known[id]
	if ok {
		return presence
	}
	agent, err := p.tx.Agent(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		presence = rules.Presence{Left: p.workspace.CreateTime.AsTime(), Disabled: true}
	case err != nil:
		p.err = err
	default:
		presence = p.service.presence.lookup(p.workspace.Id, agent.Agent, p.workspace.AwayAfter.AsDuration(), p.tx.Now())
	}
	p.known[id] = presence
	return presence
}

// returnAbandoned gives back to the line, unowned, the conversations whose owners went away from a waiting customer. The
// rules would do so as soon as somebody touched them; who takes the next one in line must see them before.
func (s *Service) returnAbandoned(ctx context.Context, workspace string) error {
	if err := s.loadAgents(ctx, workspace); err != nil {
		return err
	}
	gone := s.presence.unswept(workspace, s.store.Now())
	if len(gone) == 0 {
		return nil
	}
	// A unit that began while they were there may not be in a list yet. It is once a later one is done.
	_, err := s.store.Update(ctx, workspace, store.Once{}, func(store.Tx) (*storev1.Receipt, error) { return nil, nil })
	if err != nil {
		return err
	}
	for id, left := range gone {
		q := store.Query{Order: store.ByLine, State: goodshipv1.State_STATE_WAITING, OwnerID: id}
		if err := s.elapseAll(ctx, workspace, q); err != nil {
			return err
		}
		s.presence.sweptAt(workspace, id, left)
	}
	return nil
}

// loadAgents makes presence know of every agent, once: of those too who have not called since the start.
func (s *Service) loadAgents(ctx context.Context, workspace string) error {
	s.presence.mu.Lock()
	loaded := s.presence.loaded[workspace]
	s.presence.mu.Unlock()
	if loaded {
		return nil
	}
	settings, err := s.settings(ctx, workspace)
	if err != nil {
		return err
	}
	const batch = 1000
	for after, more := "", true; more; {
		agents, err := s.store.Agents(ctx, workspace, after, batch)
		if err != nil {
			return err
		}
		for _, a := range agents {
			s.presence.lookup(workspace, a.Agent, settings.AwayAfter.AsDuration(), s.store.Now())
			after = a.Agent.Id
		}
		more = len(agents) == batch
	}
	s.presence.mu.Lock()
	defer s.presence.mu.Unlock()
	s.presence.loaded[workspace] = true
	return nil
}

// elapseAll lets time do what it has done to every conversation that a query finds, one unit each.
func (s *Service) elapseAll(ctx context.Context, workspace string, q store.Query) error {
	var after *store.Position
	for {
		heads, next, err := s.store.List(ctx, workspace, q, after, 100)
		if err != nil {
			return err
		}
		for _, h := range heads {
			_, err := s.store.Update(ctx, workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				u, err := s.begin(tx, Caller{Workspace: workspace}, h.Conversation.Id)
				if err != nil {
					return nil, err
				}
				return nil, u.append()
			})
			if err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		after = next
	}
}
