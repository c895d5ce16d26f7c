package bolt

import (
	"bytes"
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// inConversation reads in a conversation: its head, and the prefix of its keys.
func (s *Store) inConversation(ctx context.Context, workspace, id string, read func(v *view, head *storev1.Head, prefix []byte) error) error {
	return s.view(ctx, part{workspace: workspace, conversation: id}, func(v *view) error {
		w := v.index.workspace(workspace)
		if w == nil || id == "" || len(id) > maxID {
			return notFound("conversation", id)
		}
		prefix := conversationPrefix(w.number, id)
		head, err := load[storev1.Head](v, conversationTable, headKey(prefix))
		if err != nil {
			return err
		}
		if head == nil {
			return notFound("conversation", id)
		}
		return read(v, head, prefix)
	})
}

// Conversation implements store.ConversationReader.
func (s *Store) Conversation(ctx context.Context, workspace, id string) (head *storev1.Head, err error) {
	err = s.inConversation(ctx, workspace, id, func(_ *view, h *storev1.Head, _ []byte) error {
		head = h
		return nil
	})
	return head, err
}

// Messages implements store.ConversationReader.
func (s *Store) Messages(ctx context.Context, workspace, conversation string, r store.Range) ([]*goodshipv1.Message, error) {
	return collected[goodshipv1.Message](ctx, s, workspace, conversation, messages, r)
}

// Notes implements store.ConversationReader.
func (s *Store) Notes(ctx context.Context, workspace, conversation string, r store.Range) ([]*goodshipv1.Note, error) {
	return collected[goodshipv1.Note](ctx, s, workspace, conversation, notes, r)
}

// collected returns what was added under the numbers of a range.
func collected[T any, M message[T]](ctx context.Context, s *Store, workspace, conversation string, of collection, r store.Range) (all []M, err error) {
	err = s.inConversation(ctx, workspace, conversation, func(v *view, head *storev1.Head, prefix []byte) error {
		c := head.GetConversation()
		return v.readLog(prefix, c.GetRevision()).collect(of, r, countsOf(c)[of], func(record *logRecord, added []byte) error {
			m, err := decode[T, M](v, conversationTable, record.key, added)
			all = append(all, m)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Resolutions implements store.ConversationReader.
func (s *Store) Resolutions(ctx context.Context, workspace, conversation string, r store.Range) (all []*goodshipv1.Resolution, err error) {
	err = s.inConversation(ctx, workspace, conversation, func(v *view, head *storev1.Head, prefix []byte) error {
		count, step, number := head.GetConversation().GetResolutionCount(), int32(1), max(r.From, 1)
		if r.Descending {
			step = -1
			if number = r.From; number == 0 || number > count {
				number = count
			}
		}
		for ; number >= 1 && number <= count && len(all) < r.Limit; number += step {
			key := resolutionKey(prefix, number)
			m, err := load[goodshipv1.Resolution](v, conversationTable, key)
			if err != nil {
				return err
			}
			if m == nil {
				return v.damaged(conversationTable, key, errMissing)
			}
			all = append(all, m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// ReadMarks implements store.ConversationReader. The customer's mark has the empty id, which sorts first.
func (s *Store) ReadMarks(ctx context.Context, workspace, conversation string) (all []*storev1.ReadMarkRecord, err error) {
	err = s.inConversation(ctx, workspace, conversation, func(v *view, _ *storev1.Head, prefix []byte) error {
		prefix = append(prefix, markKind)
		cursor := v.bucket(conversationTable).Cursor()
		for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
			payload, err := v.unseal(conversationTable, key, value)
			if err != nil {
				return err
			}
			m, err := decode[storev1.ReadMarkRecord](v, conversationTable, key, payload)
			if err != nil {
				return err
			}
			all = append(all, m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Records implements store.ConversationReader.
func (s *Store) Records(ctx context.Context, workspace, conversation string, after int32, limit int) (all []*storev1.Record, err error) {
	after = max(after, 0)
	err = s.inConversation(ctx, workspace, conversation, func(v *view, head *storev1.Head, prefix []byte) error {
		newest := head.GetConversation().GetRevision()
		if after >= newest || limit <= 0 {
			return nil
		}
		log := v.readLog(prefix, newest)
		record, err := log.holding(after + 1)
		for ; err == nil && record != nil; record, err = log.newer() {
			m, err := v.record(record)
			if err != nil {
				return err
			}
			all = append(all, m)
			if record.revision == newest || len(all) >= limit {
				return nil
			}
		}
		if err == nil {
			err = v.damaged(conversationTable, recordKey(prefix, newest), errGap)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// record returns what a unit did.
func (f *file) record(r *logRecord) (*storev1.Record, error) {
	m := &storev1.Record{}
	if err := proto.Unmarshal(r.record, m); err != nil {
		return nil, f.damaged(conversationTable, r.key, err)
	}
	return m, nil
}
