package support

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// An agent's absence changes a conversation if the agent is counted on in it. Presence knows in which conversations somebody may
// be: each is noted when a unit leaves it so, with the revision that it had, and forgotten when it was looked at and found
// otherwise. So it never misses one, and may look at one for nothing.

// countedOn returns the agents whose absence would change a conversation: the owner whose customer waits, and the colleague to
// whom it is offered.
func countedOn(h *storev1.Head) []string {
	var agents []string
	if owner := h.Conversation.OwnerId; owner != "" && h.Conversation.State == goodshipv1.State_STATE_WAITING {
		agents = append(agents, owner)
	}
	if offer := h.Conversation.HandOver; offer != nil {
		agents = append(agents, offer.ToAgentId)
	}
	return agents
}

// absence is one that is to come, or has begun.
type absence struct {
	workspace, agentID string
	at                 time.Time
}

// begin makes everybody present who was not disabled, and has alarm told from now on when somebody who is counted on goes away.
func (p *presence) begin(now time.Time, alarm func(time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start, p.alarm = now, alarm
	for _, agents := range p.marks {
		for _, m := range agents {
			m.seen = now
		}
	}
}

// count notes that an agent, of whom there is a mark, is counted on in a conversation as of a revision.
func (p *presence) count(workspace, agentID, conversation string, revision int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.marks[workspace][agentID]
	if m == nil {
		return // the directory does not have them, so that the rules let nobody count on them
	}
	if m.counted == nil {
		m.counted = map[string]int32{}
	}
	m.counted[conversation] = revision
	p.tell(m)
}

// discount forgets that an agent is counted on in a conversation, unless it was noted as of a later revision.
func (p *presence) discount(workspace, agentID, conversation string, revision int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if counted := p.marks[workspace][agentID].counted; counted[conversation] <= revision {
		delete(counted, conversation)
	}
}

// tell tells when an agent goes away, if they are counted on; under the lock.
func (p *presence) tell(m *mark) {
	if at := m.awayAt(); len(m.counted) > 0 && !at.IsZero() {
		p.alarm(at)
	}
}

// lasts sets how long a call by an agent of a workspace lasts.
func (p *presence) lasts(workspace string, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.marks[workspace] {
		m.after = after
	}
}

// nextAbsence returns the first absence of somebody who is counted on; the zero value if there is none to come.
func (p *presence) nextAbsence() absence {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := absence{}
	for workspace, agents := range p.marks {
		for id, m := range agents {
			at := m.awayAt()
			if len(m.counted) > 0 && !at.IsZero() && (next.at.IsZero() || at.Before(next.at)) {
				next = absence{workspace, id, at}
			}
		}
	}
	return next
}

// counts returns the conversations in which an agent may be counted on, and as of which revision that was noted.
func (p *presence) counts(workspace, agentID string) map[string]int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.marks[workspace][agentID].counted)
}

// letGo has time act on the conversations in which people were counted on who have gone away, and returns when the next such
// absence begins. It recounts for each of them once, however often they call meanwhile.
func (k *timekeeper) letGo(ctx context.Context) (time.Time, error) {
	recounted := map[absence]bool{} // without times
	for {
		next := k.service.presence.nextAbsence()
		who := absence{workspace: next.workspace, agentID: next.agentID}
		if next.at.IsZero() || recounted[who] && next.at.After(k.now()) {
			return next.at, nil
		}
		counts := k.service.presence.counts(next.workspace, next.agentID)
		if next.at.After(k.now()) {
			if err := k.recount(ctx, next, counts); err != nil {
				return time.Time{}, err
			}
			recounted[who] = true
			continue
		}
		var due []store.Due
		for _, id := range slices.Sorted(maps.Keys(counts)) {
			due = append(due, store.Due{Workspace: next.workspace, ConversationID: id})
			k.service.presence.discount(next.workspace, next.agentID, id, counts[id])
		}
		if err := k.fire(ctx, due); err != nil {
			for id, revision := range counts {
				k.service.presence.count(next.workspace, next.agentID, id, revision)
			}
			return time.Time{}, err
		}
	}
}

// recount forgets the conversations in which somebody is counted on no more, so that nobody wakes for their absence.
func (k *timekeeper) recount(ctx context.Context, a absence, counts map[string]int32) error {
	for id, revision := range counts {
		head, err := k.service.store.Conversation(ctx, a.workspace, id)
		switch {
		case refuses(err):
			return err
		case err != nil && !errors.Is(err, store.ErrNotFound): // what is damaged is looked at when the time comes
		case err != nil, !slices.Contains(countedOn(head), a.agentID) && head.Conversation.Revision >= revision:
			k.service.presence.discount(a.workspace, a.agentID, id, revision)
		}
	}
	return nil
}

// census is how far it was looked, after a start, in which conversations people are counted on.
type census struct {
	left  []censusList
	begun bool
}

type censusList struct {
	workspace string
	state     goodshipv1.State
	after     *store.Position
}

// muster notes in which conversations people are counted on who were so before the start: a page at a time, and the next at once.
func (k *timekeeper) muster(ctx context.Context) (time.Time, error) {
	c := &k.census
	if !c.begun {
		workspaces, err := k.service.store.Workspaces(ctx)
		if err != nil {
			return time.Time{}, err
		}
		for _, w := range workspaces {
			c.left = append(c.left, censusList{workspace: w.Workspace.Id, state: goodshipv1.State_STATE_WAITING},
				censusList{workspace: w.Workspace.Id, state: goodshipv1.State_STATE_ANSWERED})
		}
		c.begun = true
	}
	if len(c.left) == 0 {
		return time.Time{}, nil
	}
	list := &c.left[0]
	more, err := k.musterPage(ctx, list)
	if refuses(err) {
		return time.Time{}, err
	}
	if err != nil {
		k.log.Error("a list of conversations cannot be read: who goes away stays their owner until somebody calls for the next in line", "workspace", list.workspace, "error", err)
	}
	if err != nil || !more {
		c.left = c.left[1:]
	}
	return k.now(), nil
}

// musterPage notes who is counted on in the next page of a list, and reports whether there is another.
func (k *timekeeper) musterPage(ctx context.Context, list *censusList) (more bool, err error) {
	s := k.service
	settings, err := s.settings(ctx, list.workspace)
	if err != nil {
		return false, err
	}
	const pageSize = 1000
	heads, next, err := s.store.List(ctx, list.workspace, store.Query{State: list.state}, list.after, pageSize)
	if err != nil {
		return false, err
	}
	met := map[string]bool{}
	for _, h := range heads {
		for _, id := range countedOn(h) {
			if !met[id] {
				if err := k.meet(ctx, settings, id); err != nil {
					return false, err
				}
				met[id] = true
			}
			s.presence.count(list.workspace, id, h.Conversation.Id, h.Conversation.Revision)
		}
	}
	list.after = next
	return next != nil, nil
}

// meet makes presence know of an agent, unless their record cannot be read; an error is the store's refusal.
func (k *timekeeper) meet(ctx context.Context, workspace *goodshipv1.Workspace, id string) error {
	s := k.service
	record, err := s.store.Agent(ctx, workspace.Id, id)
	switch {
	case refuses(err):
		return err
	case err != nil:
		k.log.Error("an agent cannot be read, and stays the owner of what they own", "workspace", workspace.Id, "agent", id, "error", err)
	default:
		s.presence.lookup(workspace.Id, record.Agent, workspace.AwayAfter.AsDuration(), s.store.Now())
	}
	return nil
}
