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
	mu     sync.Mutex
	start  time.Time
	alarm  func(time.Time)             // told when somebody will go away who is counted on
	marks  map[string]map[string]*mark // by workspace and agent
	loaded map[string]bool             // workspaces of which every agent has a mark
}

// mark is what is known of one agent.
type mark struct {
	seen  time.Time     // the last call, or the end of the last stream
	after time.Duration // how long that lasts
	until time.Time     // said to be there until then
	leave time.Time     // said to leave then, and has changed nothing since
	// disabled is when the agent was, who has not called since.
	disabled time.Time
	// streams are open: as long as there are any, there is nothing to last.
	streams int
	// left and back are the latest absence that is over.
	left, back time.Time
	// counted are the conversations in which the agent may be counted on (absence.go).
	counted map[string]int32
	// swept is the absence whose conversations were given back to the line.
	swept time.Time
}

func newPresence(start time.Time) *presence {
	return &presence{start: start, alarm: func(time.Time) {}, marks: map[string]map[string]*mark{}, loaded: map[string]bool{}}
}

// awayAt returns when the agent is away unless they call; zero while they watch.
func (m *mark) awayAt() time.Time {
	at := m.seen.Add(m.after)
	switch {
	case !m.disabled.IsZero():
		return m.disabled
	case !m.leave.IsZero():
		return m.leave
	case m.streams > 0:
		return time.Time{}
	case at.After(m.until):
		return at
	}
	return m.until
}

// away reports whether the agent is away, and since when.
func (m *mark) away(now time.Time) (since time.Time, away bool) {
	at := m.awayAt()
	return at, !at.IsZero() && !at.After(now)
}

// latest returns when the latest absence began, and when it ended; zero for what is not.
func (m *mark) latest(now time.Time) (left, back time.Time) {
	if since, away := m.away(now); away {
		return since, time.Time{}
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

// touch notes a call by an agent. One who said to leave stays away: what calls may be a page that was left open.
func (p *presence) touch(workspace string, a *goodshipv1.Agent, after time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.of(workspace, a, after)
	since, wasAway := m.away(now)
	if now.After(m.seen) {
		m.seen = now
	}
	m.disabled = time.Time{}
	m.returned(since, wasAway, now)
}

// act notes that an agent who has just called changes something: one who said to leave is back.
func (p *presence) act(workspace, agentID string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.marks[workspace][agentID]
	since, wasAway := m.away(now)
	m.leave = time.Time{}
	m.returned(since, wasAway, now)
}

// returned notes the end of an absence, if there was one and it is over.
func (m *mark) returned(since time.Time, wasAway bool, now time.Time) {
	if _, away := m.away(now); wasAway && !away {
		m.left, m.back = since, now
	}
}

// hold makes an agent present who has just called, until they say to leave, or are disabled; release must follow.
func (p *presence) hold(workspace, agentID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks[workspace][agentID].streams++
}

// release ends a hold: from now on the agent is present as after a call.
func (p *presence) release(workspace, agentID string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.marks[workspace][agentID]
	m.streams--
	if now.After(m.seen) {
		m.seen = now
	}
	p.tell(m)
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
	p.tell(m)
}

// lookup returns what the rules need to know of an agent. Who is disabled has a mark too, so that what their disabling, cut
// short, left with them is swept.
func (p *presence) lookup(workspace string, a *goodshipv1.Agent, after time.Duration, now time.Time) rules.Presence {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.of(workspace, a, after)
	if a.DisableTime != nil {
		m.disabled = a.DisableTime.AsTime()
		p.tell(m)
		return rules.Presence{Left: m.disabled, Disabled: true}
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

// count notes on whom it is counted in a conversation that a unit leaves so.
func (p *people) count(h *storev1.Head) {
	for _, id := range countedOn(h) {
		p.service.presence.count(p.workspace.Id, id, h.Conversation.Id, h.Conversation.Revision)
	}
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
		switch err := s.elapseAll(ctx, workspace, q); {
		case refuses(err):
			return err
		case err != nil: // who asks for the next in line is not to suffer from it
			s.keeper.log.Error("not all of what an agent owned who went away could be given back to the line", "workspace", workspace, "agent", id, "error", err)
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

// elapseAll lets time do what it has done to every conversation that a query finds, one unit each. One that fails does not keep the
// others; its error comes last.
func (s *Service) elapseAll(ctx context.Context, workspace string, q store.Query) error {
	var after *store.Position
	var failed error
	for {
		heads, next, err := s.store.List(ctx, workspace, q, after, 100)
		if err != nil {
			return err
		}
		for _, h := range heads {
			switch err := s.keeper.fireOne(ctx, store.Due{Workspace: workspace, ConversationID: h.Conversation.Id}); {
			case refuses(err):
				return err
			case err != nil:
				failed = err
			}
		}
		if next == nil {
			return failed
		}
		after = next
	}
}
