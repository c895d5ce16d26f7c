package bolt

import (
	"bytes"
	"context"
	"math"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// Erasure implements store.PrivacyTx.
func (t *tx) Erasure(id string) (e *storev1.ErasureRecord, err error) {
	defer t.contain(&err)
	return findObject[storev1.ErasureRecord](t, objectKey(t.workspace.number, erasureKind, id), "erasure", id)
}

// PutErasure implements store.PrivacyTx.
func (t *tx) PutErasure(e *storev1.ErasureRecord) error {
	if err := checkID("erasure", e.GetErasure().GetId()); err != nil {
		return err
	}
	return t.put(objectTable, objectKey(t.workspace.number, erasureKind, e.GetErasure().GetId()), e)
}

// PutRemoval implements store.PrivacyTx.
func (t *tx) PutRemoval(r *goodshipv1.Removal) error {
	if err := checkID("removal", r.GetId()); err != nil {
		return err
	}
	return t.put(objectTable, objectKey(t.workspace.number, removalKind, r.GetId()), r)
}

// Erasure implements store.PrivacyReader.
func (s *Store) Erasure(ctx context.Context, workspace, id string) (*storev1.ErasureRecord, error) {
	return readObject[storev1.ErasureRecord](ctx, s, workspace, erasureKind, "erasure", id)
}

// Erasures implements store.PrivacyReader.
func (s *Store) Erasures(ctx context.Context, workspace, before string, limit int) ([]*storev1.ErasureRecord, error) {
	return readObjects[storev1.ErasureRecord](ctx, s, workspace, erasureKind, before, limit, true)
}

// Removals implements store.PrivacyReader.
func (s *Store) Removals(ctx context.Context, workspace, before string, limit int) ([]*goodshipv1.Removal, error) {
	return readObjects[goodshipv1.Removal](ctx, s, workspace, removalKind, before, limit, true)
}

// Resolved implements store.PrivacyReader. It goes through the index of what is RESOLVED.
func (s *Store) Resolved(ctx context.Context, workspace string, before time.Time, after *store.Position, limit int) (heads []*storev1.Head, next *store.Position, err error) {
	if limit <= 0 {
		return nil, after, nil
	}
	err = s.view(ctx, everything, func(v *view) (err error) {
		if w := v.index.workspace(workspace); w != nil {
			heads, next, err = v.resolvedBefore(w.number, nanosecondsOf(before), after, limit)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return heads, next, nil
}

// resolvedBefore returns the heads of what is RESOLVED with an activity before a time, the oldest first, after a position.
func (v *view) resolvedBefore(w uint32, before int64, after *store.Position, limit int) (heads []*storev1.Head, next *store.Position, err error) {
	from := resolvedKey(w, math.MinInt64, "")
	if after != nil {
		from = resolvedKey(w, nanosecondsOf(after.Time), after.ID)
	}
	cursor, prefix := v.bucket(resolvedTable).Cursor(), workspacePrefix(w)
	key, value := cursor.Seek(from)
	if after != nil && bytes.Equal(key, from) {
		key, value = cursor.Next()
	}
	for last := (candidate{}); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		if _, err := v.unseal(resolvedTable, key, value); err != nil {
			return nil, nil, err
		}
		k, ok := parseTimedKey(key[len(prefix):])
		switch {
		case !ok:
			return nil, nil, v.damaged(resolvedTable, key, errKey)
		case k.time >= before:
			return heads, nil, nil
		case len(heads) == limit:
			return heads, last.position(), nil
		}
		at := headKey(conversationPrefix(w, k.id))
		head, err := load[storev1.Head](v, conversationTable, at)
		if err != nil {
			return nil, nil, err
		}
		if head == nil {
			return nil, nil, v.damaged(conversationTable, at, errMissing)
		}
		heads, last = append(heads, head), candidate{at: k.time, id: k.id}
	}
	return heads, nil, nil
}
