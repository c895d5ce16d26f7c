package bolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

const (
	// sliceKeys and sliceBytes bound what one transaction of a backup reads.
	sliceKeys  = 2_000
	sliceBytes = 1 << 20
	// changedOften is how many changed places a backup lets gather before it writes them again; changedLast, how many it
	// reads at its end, at one instant; changedMost, with how many it gives up.
	changedOften = 50_000
	changedLast  = 10_000
	changedMost  = 2_000_000
	// catchUps is how often it tries to come down to changedLast.
	catchUps = 50
)

// backedUp are the tables whose records a backup holds. The others follow from them.
var backedUp = []table{directoryTable, conversationTable, feedTable, onceTable, objectTable}

// changes are the places that units changed while a backup was under way.
type changes struct {
	mu sync.Mutex
	// places say whether an object that was there was removed; there may be another by now.
	places map[place]bool
	lost   bool
}

// changedPlace is a place that was changed; gone says that an object that was there was removed.
type changedPlace struct {
	place
	gone bool
}

// add takes over what a unit did.
func (c *changes) add(t *tx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range t.log {
		if !slices.Contains(backedUp, change.at.table) {
			continue
		}
		if len(c.places) >= changedMost {
			c.lost = true
			return
		}
		c.places[change.at] = c.places[change.at] || t.values[change.at] == nil && goneAt(change.at) != nil
	}
	for _, changed := range t.conversations {
		if changed.removed != nil {
			c.places[place{conversationTable, string(headKey(changed.prefix))}] = true
		}
	}
}

// size returns how many there are.
func (c *changes) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.places)
}

// take returns all, and forgets them: first where an object is gone, so that what came in its place follows, then in the order of
// their tables and keys.
func (c *changes) take() ([]changedPlace, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return nil, fmt.Errorf("%w: the backup is read more slowly than the store is written to", store.ErrUnavailable)
	}
	places := make([]changedPlace, 0, len(c.places))
	for at, gone := range c.places {
		places = append(places, changedPlace{at, gone})
	}
	clear(c.places)
	slices.SortFunc(places, func(a, b changedPlace) int {
		if a.gone != b.gone {
			if a.gone {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.key, b.key))
	})
	return places, nil
}

// backup is a backup that is being taken.
type backup struct {
	*Store
	out     *store.BackupWriter
	changes *changes
	// now is when it began: what may be forgotten by then is not in it.
	now time.Time
	// names are the workspaces' ids by number.
	names map[uint32]string
}

// Backup implements store.Keeper. It copies the store slice by slice while units go on, and then again what they changed
// meanwhile, until little is left; that it reads at one instant, and the backup is the store as of then. What it writes to
// may be slow: no transaction is open meanwhile. It fails if that is slower than the store is written to.
func (s *Store) Backup(ctx context.Context, w io.Writer) (err error) {
	b := &backup{Store: s, changes: &changes{places: make(map[place]bool)}, now: s.Now(), names: make(map[uint32]string)}
	// Between two batches nothing is half committed: whatever is changed from now on is noted.
	if err := s.onWriter(ctx, func(w *writer) { w.changed[b.changes] = struct{}{} }); err != nil {
		return err
	}
	defer func() {
		// A writer that has ended tells nobody anything.
		_ = s.onWriter(context.WithoutCancel(ctx), func(w *writer) { delete(w.changed, b.changes) })
	}()
	if b.out, err = store.NewBackupWriter(w, s.sealer.Epoch(), s.sealer.RequestKey()); err != nil {
		return err
	}
	for _, t := range backedUp {
		if err := b.table(ctx, t); err != nil {
			return err
		}
	}
	for range catchUps {
		clock, last, err := b.catchUp(ctx)
		if err != nil {
			return err
		}
		if last {
			return b.out.Close(clock)
		}
	}
	return fmt.Errorf("%w: the backup is read more slowly than the store is written to", store.ErrUnavailable)
}

// onWriter runs something on the writer, between two batches.
func (s *Store) onWriter(ctx context.Context, run func(*writer)) error {
	return s.submit(&unit{ctx: ctx, between: run, done: make(chan struct{})})
}

// table copies a table.
func (b *backup) table(ctx context.Context, t table) error {
	var from []byte
	for {
		var entries []*storev1.BackupEntry
		err := b.view(ctx, everything, func(v *view) (err error) {
			entries, from, err = b.slice(v, t, from)
			return err
		})
		if err != nil {
			return err
		}
		if err := b.write(entries); err != nil || from == nil {
			return err
		}
		if b.changes.size() > changedOften {
			if _, _, err := b.catchUp(ctx); err != nil {
				return err
			}
		}
	}
}

// slice returns the entries of a table from a key on, and the key to go on from, nil at the end.
func (b *backup) slice(v *view, t table, from []byte) (entries []*storev1.BackupEntry, next []byte, err error) {
	cursor, size := v.bucket(t).Cursor(), 0
	for key, value := cursor.Seek(from); key != nil; key, value = cursor.Next() {
		if len(entries) >= sliceKeys || size > sliceBytes {
			return entries, bytes.Clone(key), nil
		}
		payload, err := v.unseal(t, key, value)
		if err != nil {
			return nil, nil, err
		}
		more, err := b.entries(v, t, key, payload)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, more...)
		size += len(value)
	}
	return entries, nil, nil
}

func (b *backup) write(entries []*storev1.BackupEntry) error {
	for _, e := range entries {
		if err := b.out.Write(e); err != nil {
			return err
		}
	}
	return nil
}

// catchUp writes again what was changed since the last time. It says whether that was so little that all of it was read
// at one instant, and the time of the newest unit then.
func (b *backup) catchUp(ctx context.Context) (clock time.Time, last bool, err error) {
	var places []changedPlace
	var v *view
	var failed error
	err = b.onWriter(ctx, func(w *writer) {
		clock = w.clock.last
		if places, failed = b.changes.take(); failed == nil && len(places) <= changedLast {
			v, failed = b.begin()
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return clock, false, err
	}
	if v != nil {
		entries, err := b.readAll(v, places)
		if err != nil {
			return clock, false, err
		}
		return clock, true, b.write(entries)
	}
	for slice := range slices.Chunk(places, sliceKeys) {
		var entries []*storev1.BackupEntry
		err := b.view(ctx, everything, func(v *view) (err error) {
			entries, err = b.read(v, slice)
			return err
		})
		if err := errors.Join(err, b.write(entries)); err != nil {
			return clock, false, err
		}
	}
	return clock, false, nil
}

// begin begins a read on the writer, where the newest commit is the one that is published.
func (b *backup) begin() (*view, error) {
	tx, err := b.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return &view{file{tx: tx, index: b.published.Load().index}}, nil
}

// readAll reads places in a transaction that it ends.
func (b *backup) readAll(v *view, places []changedPlace) (entries []*storev1.BackupEntry, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer b.contain(&err)
	defer v.tx.Rollback() //nolint:errcheck // of a read transaction it never fails
	return b.read(v, places)
}

// read returns the entries of places: what is gone, then what is there by now.
func (b *backup) read(v *view, places []changedPlace) ([]*storev1.BackupEntry, error) {
	var entries []*storev1.BackupEntry
	for _, at := range places {
		if at.gone {
			entries = append(entries, &storev1.BackupEntry{
				WorkspaceId: b.name(v, binary.BigEndian.Uint32([]byte(at.key))), Object: &storev1.BackupEntry_Gone{Gone: goneAt(at.place)},
			})
		}
	}
	for _, at := range places {
		key := []byte(at.key)
		payload, err := v.get(at.table, key)
		if err != nil {
			return nil, err
		}
		if payload == nil {
			continue
		}
		more, err := b.entries(v, at.table, key, payload)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	return entries, nil
}

// entries returns the entries of a record: none if it follows from others, or may be forgotten.
func (b *backup) entries(v *view, t table, key, payload []byte) ([]*storev1.BackupEntry, error) {
	e := &storev1.BackupEntry{WorkspaceId: b.name(v, binary.BigEndian.Uint32(key))}
	var err error
	switch t {
	case directoryTable:
		err = directoryEntry(e, v, key, payload)
	case conversationTable:
		k, ok := parseConversationKey(key)
		if !ok {
			return nil, v.damaged(t, key, errKey)
		}
		if e.ConversationId = k.id; k.kind == onceKind {
			return b.onceEntries(e, v, key, payload)
		}
		err = conversationEntry(e, v, k.kind, key, payload)
	case objectTable:
		err = objectEntry(e, v, key, payload)
	case feedTable:
		var m *storev1.FeedRecord
		m, err = decode[storev1.FeedRecord](v, t, key, payload)
		e.Object = &storev1.BackupEntry_Feed{Feed: m}
	case onceTable:
		var m *storev1.OnceRecord
		if m, err = decode[storev1.OnceRecord](v, t, key, payload); err == nil && !forgotten(m, b.now) {
			m.Key = bytes.Clone(key[len(key)-onceSize:])
			e.Object = &storev1.BackupEntry_Once{Once: m}
		}
	}
	if err != nil || e.Object == nil {
		return nil, err
	}
	return []*storev1.BackupEntry{e}, nil
}

// onceEntries returns the entries of a chunk of a conversation's request ids.
func (b *backup) onceEntries(of *storev1.BackupEntry, v *view, key, payload []byte) ([]*storev1.BackupEntry, error) {
	m, err := decode[storev1.OnceRecords](v, conversationTable, key, payload)
	if err != nil {
		return nil, err
	}
	var entries []*storev1.BackupEntry
	for _, seen := range m.GetRecords() {
		if !forgotten(seen, b.now) {
			entries = append(entries, &storev1.BackupEntry{
				WorkspaceId: of.GetWorkspaceId(), ConversationId: of.GetConversationId(), Object: &storev1.BackupEntry_Once{Once: seen},
			})
		}
	}
	return entries, nil
}

// name returns the id of a workspace.
func (b *backup) name(v *view, number uint32) string {
	if b.names[number] == "" {
		b.names[number] = v.index.name(number)
	}
	return b.names[number]
}

// directoryEntry fills the entry of a record of the directory.
func directoryEntry(e *storev1.BackupEntry, v *view, key, payload []byte) error {
	switch key[4] {
	case settingsKind:
		m, err := decode[storev1.WorkspaceRecord](v, directoryTable, key, payload)
		e.Object = &storev1.BackupEntry_Workspace{Workspace: m}
		return err
	case agentKind:
		m, err := decode[storev1.AgentRecord](v, directoryTable, key, payload)
		e.Object = &storev1.BackupEntry_Agent{Agent: m}
		return err
	case customerKind:
		m, err := decode[storev1.CustomerRecord](v, directoryTable, key, payload)
		e.Object = &storev1.BackupEntry_Customer{Customer: m}
		return err
	case apiKeyKind:
		m, err := decode[storev1.ApiKeyRecord](v, directoryTable, key, payload)
		e.Object = &storev1.BackupEntry_ApiKey{ApiKey: m}
		return err
	}
	return nil
}

// conversationEntry fills the entry of a record of a conversation.
func conversationEntry(e *storev1.BackupEntry, v *view, kind byte, key, payload []byte) error {
	switch kind {
	case headKind:
		m, err := decode[storev1.Head](v, conversationTable, key, payload)
		e.Object = &storev1.BackupEntry_Head{Head: m}
		return err
	case recordKind:
		m, err := decode[storev1.LogRecord](v, conversationTable, key, payload)
		e.Object = &storev1.BackupEntry_LogRecord{LogRecord: m}
		return err
	case markKind:
		m, err := decode[storev1.ReadMarkRecord](v, conversationTable, key, payload)
		e.Object = &storev1.BackupEntry_ReadMark{ReadMark: m}
		return err
	case resolutionKind:
		m, err := decode[goodshipv1.Resolution](v, conversationTable, key, payload)
		e.Object = &storev1.BackupEntry_Resolution{Resolution: m}
		return err
	}
	return v.damaged(conversationTable, key, errKey)
}
