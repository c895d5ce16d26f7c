package bolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// Feed implements store.Lister.
func (s *Store) Feed(ctx context.Context, workspace string, after int64, limit int) (all []store.FeedEntry, err error) {
	err = s.view(ctx, everything, func(v *view) error {
		w, oldest, newest, err := v.feedEnds(workspace)
		if err != nil {
			return err
		}
		if after = max(after, 0); after < oldest || after > newest {
			return fmt.Errorf("%w: what follows %d to %d is there, not what follows %d", store.ErrFeedPruned, oldest, newest, after)
		}
		cursor := v.bucket(feedTable).Cursor()
		key, value := cursor.Seek(feedKey(w, after+1))
		for position := after + 1; position <= newest && len(all) < limit; position++ {
			entry, err := v.feedEntry(w, position, key, value)
			if err != nil {
				return err
			}
			all = append(all, entry)
			key, value = cursor.Next()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// feedEntry returns the entry at a position, where a cursor found this, with its record, from the log.
func (f *file) feedEntry(w uint32, position int64, key, value []byte) (store.FeedEntry, error) {
	if wanted := feedKey(w, position); !bytes.Equal(key, wanted) {
		return store.FeedEntry{}, f.damaged(feedTable, wanted, errMissing)
	}
	payload, err := f.unseal(feedTable, key, value)
	if err != nil {
		return store.FeedEntry{}, err
	}
	m, err := decode[storev1.FeedRecord](f, feedTable, key, payload)
	if err != nil {
		return store.FeedEntry{}, err
	}
	entry := store.FeedEntry{Position: position, ConversationID: m.GetConversationId()}
	if m.GetRevision() == 0 {
		entry.RemoveTime, entry.RemovalCause = m.GetRemoveTime().AsTime(), m.GetRemovalCause()
		return entry, nil
	}
	entry.Record, err = f.feedRecord(w, m)
	return entry, err
}

// feedRecord returns the record that an entry of a feed is of; nil if the conversation was removed since.
func (f *file) feedRecord(w uint32, m *storev1.FeedRecord) (*storev1.Record, error) {
	conversation := conversationPrefix(w, m.GetConversationId())
	at := recordKey(conversation, m.GetRevision())
	payload, err := f.get(conversationTable, at)
	if err != nil {
		return nil, err
	}
	if payload != nil {
		r, err := newLogRecord(at, payload)
		if err != nil {
			return nil, f.damaged(conversationTable, at, err)
		}
		if r.position == m.GetPosition() {
			return f.record(&r)
		}
	}
	removed, err := f.removedSince(conversation, m.GetPosition())
	if err == nil && !removed {
		err = f.damaged(conversationTable, at, errMissing)
	}
	return nil, err
}

// removedSince says whether a conversation of which a feed has an entry was removed since: it has no head, or one that began
// later has its id by now.
func (f *file) removedSince(conversation []byte, position int64) (bool, error) {
	head, err := f.get(conversationTable, headKey(conversation))
	if err != nil || head == nil {
		return err == nil, err
	}
	log := f.readLog(conversation, math.MaxInt32)
	oldest, err := log.at(log.cursor.Seek(recordKey(conversation, 1)))
	if err == nil && oldest == nil {
		oldest, err = log.newer()
	}
	return oldest != nil && oldest.position > position, err
}

// FeedEnds implements store.Lister.
func (s *Store) FeedEnds(ctx context.Context, workspace string) (oldest, newest int64, err error) {
	err = s.view(ctx, everything, func(v *view) (err error) {
		_, oldest, newest, err = v.feedEnds(workspace)
		return err
	})
	return oldest, newest, err
}

// feedEnds returns a workspace's number and the ends of its feed; all 0 if nothing was ever written in it.
func (v *view) feedEnds(workspace string) (w uint32, oldest, newest int64, err error) {
	ws := v.index.workspace(workspace)
	if ws == nil {
		return 0, 0, 0, nil
	}
	if oldest, err = v.feedStart(ws.number); err == nil {
		newest, err = v.lastPosition(ws.number)
	}
	return ws.number, oldest, newest, err
}

// feedStart returns the position up to which a workspace's feed was pruned; 0 if it never was.
func (f *file) feedStart(w uint32) (int64, error) {
	m, err := load[storev1.FeedRecord](f, feedTable, feedKey(w, feedStart))
	return m.GetPosition(), err
}

// lastPosition returns the last position in a workspace's feed; 0 if nothing ever happened.
func (f *file) lastPosition(w uint32) (int64, error) {
	cursor := f.bucket(feedTable).Cursor()
	cursor.Seek(feedKey(w+1, 0))
	key, value := cursor.Prev()
	if !bytes.HasPrefix(key, workspacePrefix(w)) {
		return 0, nil
	}
	if _, err := f.unseal(feedTable, key, value); err != nil {
		return 0, err
	}
	if position := int64(binary.BigEndian.Uint64(key[4:])); position != feedStart {
		return position, nil
	}
	return f.feedStart(w)
}

// unread is the log of a conversation with something after a position of the feed: the first of it that was not given out
// yet.
type unread struct {
	id   string
	log  *logReader
	next *logRecord
}

func (u unread) compare(other unread) int { return cmp.Compare(u.next.position, other.next.position) }

// FeedOf implements store.Lister. It goes through the customers' conversations: of each that is RESOLVED the index knows
// whether something happened after the position, of each other its newest record tells.
func (s *Store) FeedOf(ctx context.Context, workspace string, customerKeys []string, after int64, limit int) (all []store.FeedEntry, err error) {
	err = s.view(ctx, everything, func(v *view) error {
		w := v.index.workspace(workspace)
		if w == nil || len(customerKeys) == 0 || limit <= 0 {
			return nil
		}
		logs, err := v.unreadOf(w, customerKeys, after, limit)
		for err == nil && len(logs) > 0 && len(all) < limit {
			first := logs[0]
			entry := store.FeedEntry{Position: first.next.position, ConversationID: first.id}
			if entry.Record, err = v.record(first.next); err != nil {
				return err
			}
			all = append(all, entry)
			logs, err = advance(logs)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// unreadOf returns the logs of customers' conversations with something after a position, by the first of it: as many as a
// page of so many entries can be of.
func (v *view) unreadOf(w *workspace, customerKeys []string, after int64, limit int) ([]unread, error) {
	var logs []unread
	from := v.candidates(w, store.Query{CustomerKeys: customerKeys}, nil)
	for {
		c, ok, err := from.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return soonest(logs, limit), nil
		}
		if c.newest != 0 && c.newest <= after {
			continue
		}
		log := v.readLog(conversationPrefix(w.number, c.id), math.MaxInt32)
		first, err := log.firstAfter(after)
		if err != nil {
			return nil, err
		}
		if first == nil {
			continue
		}
		if logs = append(logs, unread{c.id, log, first}); len(logs) >= 2*limit {
			logs = soonest(logs, limit)
		}
	}
}

// soonest returns those logs that a page of so many entries can be of, in order: each has at least one entry.
func soonest(logs []unread, limit int) []unread {
	slices.SortFunc(logs, unread.compare)
	return logs[:min(limit, len(logs))]
}

// advance goes on to the next record of the first log, and puts that log in its place among the others.
func advance(logs []unread) ([]unread, error) {
	first, others := logs[0], logs[1:]
	if first.next.revision == first.log.newest {
		return others, nil
	}
	next, err := first.log.holding(first.next.revision + 1)
	if err != nil {
		return nil, err
	}
	if next == nil || next.position <= first.next.position {
		return nil, first.log.file.damaged(conversationTable, first.next.key, errGap)
	}
	first.next = next
	at, _ := slices.BinarySearchFunc(others, first, unread.compare)
	return slices.Insert(others, at, first), nil
}
