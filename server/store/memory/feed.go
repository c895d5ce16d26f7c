package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// newest returns the last position of the feed.
func (w *workspace) newest() int64 { return w.pruned + int64(len(w.feed)) }

// read returns a record with what it added as it reads now.
func (c *conversation) read(r record) (*storev1.Record, error) {
	m, err := decode[storev1.Record](r.stored)
	if err == nil && r.message != 0 {
		m.Message, err = numbered[goodshipv1.Message](c.messages, r.message)
	}
	if err == nil && r.note != 0 {
		m.Note, err = numbered[goodshipv1.Note](c.notes, r.note)
	}
	return m, err
}

// Records implements store.ConversationReader.
func (s *Store) Records(ctx context.Context, workspace, conversation string, after int32, limit int) ([]*storev1.Record, error) {
	c, err := s.conversation(ctx, workspace, conversation)
	if err != nil {
		return nil, err
	}
	var all []*storev1.Record
	for _, r := range c.records {
		if r.last <= after || len(all) >= limit {
			continue
		}
		m, err := c.read(r)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Feed implements store.Lister.
func (s *Store) Feed(ctx context.Context, workspace string, after int64, limit int) ([]store.FeedEntry, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	if after = max(after, 0); after < w.pruned || after > w.newest() {
		return nil, fmt.Errorf("%w: what follows %d to %d is there, not what follows %d", store.ErrFeedPruned, w.pruned, w.newest(), after)
	}
	var entries []store.FeedEntry
	for position := after + 1; position <= w.newest() && len(entries) < limit; position++ {
		e, err := w.entry(position)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// entry returns the entry at a position of the feed, with its record if that is still there.
func (w *workspace) entry(position int64) (entry store.FeedEntry, err error) {
	e := w.feed[position-w.pruned-1]
	entry = store.FeedEntry{Position: position, ConversationID: e.conversation, RemoveTime: e.removeTime, RemovalCause: e.cause}
	c := w.conversations[e.conversation]
	if c == nil {
		return entry, nil
	}
	at := slices.IndexFunc(c.records, func(r record) bool { return r.position == position })
	if at >= 0 {
		entry.Record, err = c.read(c.records[at])
	}
	return entry, err
}

// FeedEnds implements store.Lister.
func (s *Store) FeedEnds(ctx context.Context, workspace string) (oldest, newest int64, err error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return 0, 0, err
	}
	return w.pruned, w.newest(), nil
}

// FeedOf implements store.Lister.
func (s *Store) FeedOf(ctx context.Context, workspace string, customerKeys []string, after int64, limit int) ([]store.FeedEntry, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	heads, err := w.heads(func(h *storev1.Head) bool { return slices.Contains(customerKeys, h.GetCustomerKey()) })
	if err != nil {
		return nil, err
	}
	theirs := make(map[string]*conversation)
	for _, h := range heads {
		theirs[h.GetConversation().GetId()] = w.conversations[h.GetConversation().GetId()]
	}
	return entriesOf(theirs, after, limit)
}

// entriesOf returns the feed's entries of some conversations, from their logs.
func entriesOf(conversations map[string]*conversation, after int64, limit int) ([]store.FeedEntry, error) {
	type entry struct {
		conversation string
		record       record
	}
	var all []entry
	for id, c := range conversations {
		for _, r := range c.records {
			if r.position > after {
				all = append(all, entry{id, r})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.record.position, b.record.position) })
	var entries []store.FeedEntry
	for _, e := range atMost(all, limit) {
		m, err := conversations[e.conversation].read(e.record)
		if err != nil {
			return nil, err
		}
		entries = append(entries, store.FeedEntry{Position: e.record.position, ConversationID: e.conversation, Record: m})
	}
	return entries, nil
}

// PruneFeed implements store.Keeper. It prunes one workspace after the other, by id.
func (s *Store) PruneFeed(ctx context.Context, before time.Time, limit int) (dropped int, err error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	all, err := s.snapshot(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range sortedKeys(all) {
		w := all[id].copy()
		n, err := w.prune(before, limit-dropped)
		if err == nil && n > 0 {
			err = s.commit(id, w)
		}
		if err != nil {
			return dropped, err
		}
		dropped += n
	}
	return dropped, nil
}

// prune drops at most so many entries from before a time, and returns how many.
func (w *workspace) prune(before time.Time, most int) (int, error) {
	n := 0
	for ; n < min(most, len(w.feed)); n++ {
		at, err := w.feedTime(w.pruned + int64(n) + 1)
		if err != nil {
			return 0, err
		}
		if !at.Before(before) {
			break
		}
	}
	w.feed, w.pruned = w.feed[n:], w.pruned+int64(n)
	return n, nil
}

// feedTime returns when the entry at a position happened. One without a record is as old as the next that has one, or is a
// removal: its own conversation's follows at the latest.
func (w *workspace) feedTime(position int64) (time.Time, error) {
	for ; position <= w.newest(); position++ {
		e, err := w.entry(position)
		switch {
		case err != nil:
			return time.Time{}, err
		case !e.RemoveTime.IsZero():
			return e.RemoveTime, nil
		case e.Record != nil:
			events := e.Record.GetEvents()
			return events[len(events)-1].GetCreateTime().AsTime(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: the feed ends with an entry without a record", store.ErrDataLoss)
}
