package support

import (
	"context"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// retainEvery is how often the conversations of a workspace are looked through that may be too old: with what a sweep takes, none
	// stays for an hour longer than it should.
	retainEvery = 50 * time.Minute
	// retainSlice is how many are looked at before other duties have their turn.
	retainSlice = 100
)

// retention is what the timekeeper knows of workspaces that do not keep conversations for ever. Of one that does, it knows nothing.
type retention struct {
	sweeps map[string]*sweep
	// begun says that all workspaces were looked at once.
	begun bool
}

// sweep is one look at what may be too old in a workspace; between two of them, the next.
type sweep struct {
	keepFor time.Duration
	// next is when it goes on, and begun when it began, zero if it is to begin.
	next, begun time.Time
	// after is how far it is.
	after *store.Position
	// removal is its entry of the log; nil as long as it removed nothing.
	removal *goodshipv1.Removal
	// failed says that it failed when it last went on.
	failed bool
}

// keeps takes in for how long a workspace keeps conversations. What changes that takes effect at once.
func (r *retention) keeps(workspace string, settings *goodshipv1.Workspace, now time.Time) {
	keepFor := settings.KeepFor.AsDuration()
	known := r.sweeps[workspace]
	switch {
	case keepFor == 0:
		delete(r.sweeps, workspace)
	case known == nil || known.keepFor != keepFor:
		r.sweeps[workspace] = &sweep{keepFor: keepFor, next: now}
	}
}

// retain removes what is too old, a slice of the workspace whose turn it is, and returns when there may be more: never, if all of them
// keep everything.
func (k *timekeeper) retain(ctx context.Context) (time.Time, error) {
	if err := k.beginRetention(ctx); err != nil {
		return time.Time{}, err
	}
	if workspace, turn := k.retention.first(); turn != nil && !k.now().Before(turn.next) {
		err := contained(func() error { return k.sweepOn(ctx, workspace, turn) })
		if refuses(err) {
			return time.Time{}, err
		}
		k.swept(workspace, turn, err)
	}
	_, turn := k.retention.first()
	if turn == nil {
		return time.Time{}, nil
	}
	return turn.next, nil
}

// first returns the sweep that goes on before all others; nil if there is none.
func (r *retention) first() (workspace string, first *sweep) {
	for id, w := range r.sweeps {
		if first == nil || w.next.Before(first.next) {
			workspace, first = id, w
		}
	}
	return workspace, first
}

// swept notes how a slice went. A sweep that failed is left alone for a while, and the log tells of it once.
func (k *timekeeper) swept(workspace string, w *sweep, err error) {
	if err != nil {
		if !w.failed {
			k.log.Error("conversations that are too old cannot be looked for: it is tried again every minute", "workspace", workspace, "error", err)
		}
		w.next = k.now().Add(asideFor)
	}
	w.failed = err != nil
}

// beginRetention looks once at the settings of all workspaces.
func (k *timekeeper) beginRetention(ctx context.Context) error {
	if k.retention.begun {
		return nil
	}
	workspaces, err := k.service.store.Workspaces(ctx)
	if err != nil {
		return err
	}
	for _, w := range workspaces {
		k.retention.keeps(w.Workspace.Id, w.Workspace, k.now())
	}
	k.retention.begun = true
	return nil
}

// sweepOn goes on with a sweep by a slice, at the rate of what falls due.
func (k *timekeeper) sweepOn(ctx context.Context, workspace string, w *sweep) error {
	if w.begun.IsZero() {
		w.begun, w.after, w.removal = k.now(), nil, nil
	}
	heads, after, err := k.service.store.Resolved(ctx, workspace, w.begun.Add(-w.keepFor), w.after, min(retainSlice, k.rate))
	if err != nil {
		return err
	}
	removed := w.removal.GetRemoved().GetConversationCount()
	for len(heads) > 0 {
		var unit []*storev1.Head
		unit, heads = cutUnit(heads)
		if err := k.removeExpired(ctx, workspace, w, unit); err != nil {
			return err
		}
	}
	removed = w.removal.GetRemoved().GetConversationCount() - removed
	if w.after = after; after != nil {
		w.next = k.now().Add(time.Second * time.Duration(removed) / time.Duration(k.rate))
		return nil
	}
	w.next, w.begun = w.begun.Add(retainEvery), time.Time{}
	return nil
}

// cutUnit cuts off the first conversations, as many as one unit removes.
func cutUnit(heads []*storev1.Head) (unit, rest []*storev1.Head) {
	events := int32(0)
	for i, h := range heads {
		if events += h.Conversation.Revision; i == unitConversations || i > 0 && events > unitEvents {
			return heads[:i], heads[i:]
		}
	}
	return heads, nil
}

// removeExpired removes what is too old of some conversations. One that cannot be removed does not keep the others.
func (k *timekeeper) removeExpired(ctx context.Context, workspace string, w *sweep, heads []*storev1.Head) error {
	err := contained(func() (err error) {
		removal, err := k.service.expire(ctx, workspace, w.removal, heads)
		if err == nil {
			w.removal = removal
		}
		return err
	})
	switch {
	case err == nil:
		return nil
	case refuses(err):
		return err
	case len(heads) == 1:
		k.log.Error("a conversation that is too old cannot be removed: it is tried again every hour", "workspace", workspace, "conversation", heads[0].Conversation.Id, "error", err)
		return nil
	}
	for i := range heads {
		if err := k.removeExpired(ctx, workspace, w, heads[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// expire removes those of some conversations that are too old, as one unit, and returns the entry of the log, which it adds them
// to.
func (s *Service) expire(ctx context.Context, workspace string, logged *goodshipv1.Removal, heads []*storev1.Head) (removal *goodshipv1.Removal, err error) {
	credits, err := s.creditsIn(ctx, workspace, heads)
	if err != nil {
		return nil, err
	}
	id := newID(removalPrefix)
	_, err = s.store.Update(ctx, workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		removal = proto.CloneOf(logged)
		settings, err := tx.Workspace()
		if err != nil || settings.Workspace.KeepFor == nil {
			return nil, err
		}
		if removal == nil {
			removal = &goodshipv1.Removal{Id: id, Removed: &goodshipv1.RemovedCounts{}, CreateTime: timestamppb.New(tx.Now())}
		}
		removal.KeepForSeconds = int32(settings.Workspace.KeepFor.Seconds)
		before := removal.Removed.ConversationCount
		for _, h := range heads {
			if err := expireOne(tx, h.Conversation.Id, tx.Now().Add(-settings.Workspace.KeepFor.AsDuration()), credits, removal.Removed); err != nil {
				return nil, err
			}
		}
		if removal.Removed.ConversationCount == before {
			removal = logged
			return nil, nil
		}
		return nil, tx.PutRemoval(removal)
	})
	return removal, err
}

// creditsIn returns the ids of the credits that were granted in conversations, by these.
func (s *Service) creditsIn(ctx context.Context, workspace string, heads []*storev1.Head) (map[string][]string, error) {
	credits := map[string][]string{}
	for _, h := range heads {
		id := h.Conversation.Id
		for before, more := "", true; more; more = before != "" {
			page, next, err := s.store.Credits(ctx, workspace, store.CreditQuery{ConversationID: id}, before, erasePage)
			if err != nil {
				return nil, err
			}
			for _, r := range page {
				credits[id] = append(credits[id], r.Credit.Id)
			}
			before = next
		}
	}
	return credits, nil
}

// expireOne removes a conversation if it still is too old, and nothing has changed in it since a time; then no credit was granted in
// it either that is not among the given ones.
func expireOne(tx store.Tx, id string, before time.Time, credits map[string][]string, counts *goodshipv1.RemovedCounts) error {
	head, err := tx.Conversation(id)
	if err != nil {
		return orMissing(err, nil)
	}
	if !expired(head.Conversation, before) {
		return nil
	}
	for _, credit := range credits[id] {
		if err := changeCredit(tx, credit, func(c *goodshipv1.Credit) { c.ConversationId = "" }); err != nil {
			return err
		}
	}
	if err := leaveApologies(tx, head); err != nil {
		return err
	}
	return remove(tx, head, goodshipv1.RemovalCause_REMOVAL_CAUSE_EXPIRED, counts)
}

// expired reports whether a conversation is not to be kept: it is RESOLVED, not on hold, and nothing happened in it since a time.
func expired(c *goodshipv1.Conversation, since time.Time) bool {
	return c.State == goodshipv1.State_STATE_RESOLVED && !c.Hold && c.UpdateTime.AsTime().Before(since) && c.ActivityTime.AsTime().Before(since)
}

// leaveApologies has the incidents whose apologies stand in a conversation not name it any more.
func leaveApologies(tx store.Tx, head *storev1.Head) error {
	u := &unit{Conversation: &rules.Conversation{Head: head}, tx: tx}
	for _, standing := range head.Apologies {
		r, err := u.affected(standing)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		r.Apology.ConversationId, r.Apology.MessageNumber = "", 0
		if err := tx.PutAffected(r); err != nil {
			return err
		}
	}
	return nil
}

// ListRemovals lists what retention removed, newest first.
func (s *Service) ListRemovals(ctx context.Context, req *goodshipv1.ListRemovalsRequest) (*goodshipv1.ListRemovalsResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	removals, err := s.store.Removals(ctx, c.Workspace, string(p.after), p.size+1)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListRemovalsResponse{}
	reply.Removals, reply.NextPageToken = cut(p, removals, func(r *goodshipv1.Removal) string { return r.Id })
	return reply, nil
}
