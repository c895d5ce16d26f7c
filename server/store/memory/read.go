package memory

import (
	"context"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// conversation returns one as it is now, for reading.
func (s *Store) conversation(ctx context.Context, workspaceID, id string) (*conversation, error) {
	w, err := s.workspace(ctx, workspaceID)
	if err != nil {
		return nil, err
	}
	return w.conversation(id)
}

// Conversation implements store.ConversationReader.
func (s *Store) Conversation(ctx context.Context, workspace, id string) (*storev1.Head, error) {
	c, err := s.conversation(ctx, workspace, id)
	if err != nil {
		return nil, err
	}
	return decode[storev1.Head](c.head)
}

// Messages implements store.ConversationReader.
func (s *Store) Messages(ctx context.Context, workspace, conversation string, r store.Range) ([]*goodshipv1.Message, error) {
	c, err := s.conversation(ctx, workspace, conversation)
	if err != nil {
		return nil, err
	}
	return decodeAll[goodshipv1.Message](pick(c.messages, r))
}

// Notes implements store.ConversationReader.
func (s *Store) Notes(ctx context.Context, workspace, conversation string, r store.Range) ([]*goodshipv1.Note, error) {
	c, err := s.conversation(ctx, workspace, conversation)
	if err != nil {
		return nil, err
	}
	return decodeAll[goodshipv1.Note](pick(c.notes, r))
}

// Resolutions implements store.ConversationReader.
func (s *Store) Resolutions(ctx context.Context, workspace, conversation string, r store.Range) ([]*goodshipv1.Resolution, error) {
	c, err := s.conversation(ctx, workspace, conversation)
	if err != nil {
		return nil, err
	}
	return decodeAll[goodshipv1.Resolution](pick(c.resolutions, r))
}

// pick returns those with numbers from a range, in its order.
func pick(all [][]byte, r store.Range) [][]byte {
	var picked [][]byte
	for i, b := range all {
		number := int32(i + 1)
		switch {
		case !r.Descending && number >= r.From:
			picked = append(picked, b)
		case r.Descending && (number <= r.From || r.From == 0):
			picked = slices.Insert(picked, 0, b)
		}
	}
	return atMost(picked, r.Limit)
}

// ReadMarks implements store.ConversationReader. The customer's mark has the empty id, which sorts first.
func (s *Store) ReadMarks(ctx context.Context, workspace, conversation string) ([]*storev1.ReadMarkRecord, error) {
	c, err := s.conversation(ctx, workspace, conversation)
	if err != nil {
		return nil, err
	}
	return decodeAll[storev1.ReadMarkRecord](sortedValues(c.marks))
}

// atMost returns the first of them.
func atMost[V any](all []V, limit int) []V {
	return all[:min(len(all), max(limit, 0))]
}
