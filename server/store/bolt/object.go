package bolt

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// What is neither a conversation's nor the directory's is an object: credits, incidents, webhooks, what was removed. An object
// stands under its kind and id in one table, and memory knows nothing of it. What finds some of a kind among many are index
// entries, which follow from the record alone: a unit that puts it writes those that are new and removes those that are not
// right any more.

// indexEntry is an entry of an index of the file, and what it says.
type indexEntry struct {
	at      place
	payload string
}

// findObject returns the object under a key, or ErrNotFound.
func findObject[T any, M message[T]](s source, key []byte, what, id string) (M, error) {
	m, err := load[T, M](s, objectTable, key)
	if err == nil && m == nil {
		err = notFound(what, id)
	}
	return m, err
}

// putIndexed writes an object, and moves it in the indexes from what it was.
func (t *tx) putIndexed(key []byte, m proto.Message, before, after []indexEntry) error {
	if err := t.put(objectTable, key, m); err != nil {
		return err
	}
	for _, e := range after {
		if !slices.Contains(before, e) {
			t.putBytes(e.at.table, []byte(e.at.key), []byte(e.payload))
		}
	}
	for _, e := range before {
		if !slices.ContainsFunc(after, func(other indexEntry) bool { return other.at == e.at }) {
			t.remove(e.at.table, []byte(e.at.key))
		}
	}
	return nil
}

// inObjects reads objects of a kind. A workspace that nobody wrote to has none.
func (s *Store) inObjects(ctx context.Context, id string, kind byte, read func(v *view, w uint32) error) error {
	return s.view(ctx, part{kind: kind}, func(v *view) error {
		w := v.index.workspace(id)
		if w == nil {
			w = &workspace{id: id} // no workspace has the number 0
		}
		return read(v, w.number)
	})
}

// readObject returns an object of a kind that belongs to the workspace alone, or ErrNotFound.
func readObject[T any, M message[T]](ctx context.Context, s *Store, workspace string, kind byte, what, id string) (m M, err error) {
	err = s.inObjects(ctx, workspace, kind, func(v *view, w uint32) (err error) {
		m, err = findObject[T, M](v, objectKey(w, kind, id), what, id)
		return err
	})
	return m, err
}

// readObjects returns at most limit objects of a kind that belong to the workspace alone, by id after one, or, descending, before
// one, the newest first.
func readObjects[T any, M message[T]](ctx context.Context, s *Store, workspace string, kind byte, from string, limit int, descending bool) (all []M, err error) {
	err = s.inObjects(ctx, workspace, kind, func(v *view, w uint32) (err error) {
		all, err = objects[T, M](v, objectTable, objectKey(w, kind, ""), from, limit, descending)
		return err
	})
	return all, err
}

// readParts is readObjects for those that belong to another.
func readParts[T any, M message[T]](ctx context.Context, s *Store, workspace string, kind byte, of, from string, limit int, descending bool) (all []M, err error) {
	err = s.inObjects(ctx, workspace, kind, func(v *view, w uint32) (err error) {
		all, err = objects[T, M](v, objectTable, partKey(w, kind, of, ""), from, limit, descending)
		return err
	})
	return all, err
}

// objects returns at most limit objects with a prefix, by what follows it from an id on, without that one; descending from the
// last if the id is empty.
func objects[T any, M message[T]](v *view, t table, prefix []byte, from string, limit int, descending bool) ([]M, error) {
	cursor := v.bucket(t).Cursor()
	start := append(bytes.Clone(prefix), from...)
	key, value := cursor.Seek(start)
	step := cursor.Next
	switch {
	case descending:
		step = cursor.Prev
		if from == "" {
			start = successor(prefix)
			cursor.Seek(start)
		}
		key, value = cursor.Prev()
	case bytes.Equal(key, start):
		key, value = cursor.Next()
	}
	var all []M
	for ; len(all) < limit && bytes.HasPrefix(key, prefix); key, value = step() {
		payload, err := v.unseal(t, key, value)
		if err != nil {
			return nil, err
		}
		m, err := decode[T, M](v, t, key, payload)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// successor returns the first key after all that have a prefix, of which a byte must not be the highest.
func successor(prefix []byte) []byte {
	next := bytes.Clone(bytes.TrimRight(prefix, "\xff"))
	next[len(next)-1]++
	return next
}

// scan calls yield with the keys of a table that have a prefix, in order, as the unit sees them, until it returns false. yield
// may not change the table.
func (t *tx) scan(table table, prefix []byte, yield func(key []byte) bool) {
	var own []string
	for at := range t.values {
		if at.table == table && strings.HasPrefix(at.key, string(prefix)) {
			own = append(own, at.key)
		}
	}
	slices.Sort(own)
	cursor := t.batch.bucket(table).Cursor()
	key, _ := cursor.Seek(prefix)
	for {
		stored := bytes.HasPrefix(key, prefix)
		var next []byte
		switch {
		case len(own) > 0 && (!stored || own[0] <= string(key)):
			next = []byte(own[0])
			if own = own[1:]; stored && bytes.Equal(next, key) {
				key, _ = cursor.Next()
			}
			if t.values[place{table, string(next)}] == nil {
				continue // the unit removed it
			}
		case stored:
			next = bytes.Clone(key)
			key, _ = cursor.Next()
		default:
			return
		}
		if !yield(next) {
			return
		}
	}
}
