package bolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"time"
	"unique"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/tidwall/btree"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// pageHeads is how many heads are read for one page at most, and pageEntries how many conversations are looked at in
	// memory and in the file's indexes.
	pageHeads   = 1_000
	pageEntries = 100_000
)

// lastID sorts after every id.
var lastID = strings.Repeat("\xff", maxID+1)

// candidate is a conversation where a list may have it.
type candidate struct {
	at int64
	id string
	// entry is what memory knows of it, nil for one that is in the file's indexes.
	entry *entry
	// newest is the position of its newest record in the feed; 0 if that is not known.
	newest int64
}

func (c candidate) position() *store.Position {
	return &store.Position{Time: time.Unix(0, c.at).UTC(), ID: c.id}
}

// candidates gives out candidates in the order of a list.
type candidates interface {
	next() (candidate, bool, error)
}

// List implements store.Lister.
func (s *Store) List(ctx context.Context, workspace string, q store.Query, after *store.Position, limit int) (heads []*storev1.Head, next *store.Position, err error) {
	if limit <= 0 {
		return nil, after, nil
	}
	err = s.view(ctx, everything, func(v *view) error {
		w := v.index.workspace(workspace)
		if w == nil {
			return nil
		}
		p := page{view: v, workspace: w, query: q, limit: limit, activeFrom: math.MinInt64, activeBefore: math.MaxInt64}
		if !q.ActiveFrom.IsZero() {
			p.activeFrom = nanosecondsOf(q.ActiveFrom)
		}
		if !q.ActiveBefore.IsZero() {
			p.activeBefore = nanosecondsOf(q.ActiveBefore)
		}
		next, err = p.fill(v.candidates(w, q, after))
		heads = p.heads
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return heads, next, nil
}

// page is a page of a list on its way.
type page struct {
	*view
	workspace *workspace
	query     store.Query
	limit     int
	// activeFrom and activeBefore are the query's, or beyond all.
	activeFrom, activeBefore int64
	heads                    []*storev1.Head
	key                      []byte
	// read and seen count towards pageHeads and pageEntries.
	read, seen int
}

// fill fills the page and returns the position to go on from, nil at the end.
func (p *page) fill(from candidates) (*store.Position, error) {
	var last candidate
	for {
		c, ok, err := from.next()
		if err != nil || !ok || p.past(c) {
			return nil, err
		}
		if p.seen++; p.seen > pageEntries || p.read >= pageHeads {
			return last.position(), nil
		}
		if c.entry != nil && !p.mayHold(c.entry) {
			last = c
			continue
		}
		if len(p.heads) == p.limit {
			return last.position(), nil
		}
		if err := p.add(c); err != nil {
			return nil, err
		}
		last = c
	}
}

// past says whether a candidate, and so all after it, comes after what is asked for.
func (p *page) past(c candidate) bool {
	return p.query.Order == store.ByActivity && c.at < p.activeFrom
}

// add adds a candidate if the query holds for it.
func (p *page) add(c candidate) error {
	p.read++
	p.key = append(appendConversation(p.key[:0], p.workspace.number, c.id), headKind)
	head, err := load[storev1.Head](p.view, conversationTable, p.key)
	if err != nil {
		return err
	}
	if head == nil {
		return p.damaged(conversationTable, p.key, errMissing)
	}
	if p.query.Holds(head) {
		p.heads = append(p.heads, head)
	}
	return nil
}

var errMissing = errors.New("it is missing")

func nanosecondsOf(t time.Time) int64 { return nanoseconds(timestamppb.New(t)) }

// mayHold says whether the query can hold for a conversation, as far as memory knows.
func (p *page) mayHold(e *entry) bool {
	q := p.query
	return (q.State == goodshipv1.State_STATE_UNSPECIFIED || e.state == q.State) &&
		(q.OwnerID == "" || e.owner.Value() == q.OwnerID) &&
		(!q.Unowned || e.owner == nobody) &&
		(len(q.CustomerKeys) == 0 || slices.Contains(q.CustomerKeys, e.customer)) &&
		e.activity >= p.activeFrom && (e.activity < p.activeBefore || q.ActiveBefore.IsZero())
}

// candidates returns where a list looks: what is open in memory, what is RESOLVED in the file.
func (v *view) candidates(w *workspace, q store.Query, after *store.Position) candidates {
	if q.Order == store.ByLine {
		return v.line(w, q, after)
	}
	from := candidate{at: math.MaxInt64, id: lastID}
	if !q.ActiveBefore.IsZero() {
		from = candidate{at: nanosecondsOf(q.ActiveBefore) - 1, id: lastID}
	}
	if after != nil {
		if position := (candidate{at: nanosecondsOf(after.Time), id: after.ID}); position.before(from) {
			from = position
		}
	}
	resolved := q.State == goodshipv1.State_STATE_RESOLVED || q.Outcome != goodshipv1.Outcome_OUTCOME_UNSPECIFIED
	var sources []candidates
	if !resolved {
		sources = append(sources, v.open(w, q, from))
	}
	if resolved || q.State == goodshipv1.State_STATE_UNSPECIFIED {
		sources = append(sources, v.resolved(w, q, from)...)
	}
	if len(sources) == 1 {
		return sources[0]
	}
	return newMerge(sources)
}

// before says whether one comes before another by time and id, upwards.
func (c candidate) before(other candidate) bool {
	return cmp.Or(cmp.Compare(c.at, other.at), cmp.Compare(c.id, other.id)) < 0
}

// line returns the candidates of the line, oldest first, after a position.
func (v *view) line(w *workspace, q store.Query, after *store.Position) candidates {
	o, pivot := lineOrder, &entry{workspace: w, line: math.MinInt64}
	if q.Unowned {
		o = unownedOrder
	}
	if after != nil {
		pivot.line, pivot.id = nanosecondsOf(after.Time), after.ID
	}
	return v.index.from(o, pivot, func(e *entry) int64 { return e.line }, func(e *entry) bool { return e.workspace == w })
}

// open returns what is open, newest activity first, below a position.
func (v *view) open(w *workspace, q store.Query, from candidate) candidates {
	activity := func(e *entry) int64 { return e.activity }
	pivot := &entry{workspace: w, activity: from.at, id: from.id}
	switch {
	case len(q.CustomerKeys) > 0:
		return v.ofCustomers(w, q.CustomerKeys, from)
	case q.OwnerID != "":
		pivot.owner = unique.Make(q.OwnerID)
		return v.index.from(ownerOrder, pivot, activity, func(e *entry) bool { return e.workspace == w && e.owner == pivot.owner })
	default:
		return v.index.from(activityOrder, pivot, activity, func(e *entry) bool { return e.workspace == w })
	}
}

// ofCustomers returns customers' open conversations. They are few, and memory has them by creation.
func (v *view) ofCustomers(w *workspace, customers []string, from candidate) candidates {
	var all []*entry
	for _, customer := range distinct(customers) {
		v.index.orders[customerOrder].Ascend(&entry{workspace: w, customer: customer, create: math.MaxInt64}, func(e *entry) bool {
			if e.workspace != w || e.customer != customer {
				return false
			}
			if (candidate{at: e.activity, id: e.id}).before(from) {
				all = append(all, e)
			}
			return true
		})
	}
	slices.SortFunc(all, compareActivity)
	return &listed{all}
}

// distinct returns the keys, each once: a list shows no conversation twice, whoever asks how.
func distinct(keys []string) []string {
	if len(keys) < 2 {
		return keys
	}
	return slices.Compact(slices.Sorted(slices.Values(keys)))
}

// listed are candidates that were gathered before.
type listed struct{ entries []*entry }

func (l *listed) next() (candidate, bool, error) {
	if len(l.entries) == 0 {
		return candidate{}, false, nil
	}
	e := l.entries[0]
	l.entries = l.entries[1:]
	return candidate{at: e.activity, id: e.id, entry: e}, true, nil
}

// indexed are candidates from an order of the index.
type indexed struct {
	cursor btree.IterG[*entry]
	ok     bool
	time   func(*entry) int64
	within func(*entry) bool
}

// from returns the entries of an order after a pivot, as long as within holds.
func (ix *index) from(o order, pivot *entry, time func(*entry) int64, within func(*entry) bool) candidates {
	i := &indexed{cursor: ix.orders[o].Iter(), time: time, within: within}
	i.ok = i.cursor.Seek(pivot)
	if i.ok && orderings[o].compare(i.cursor.Item(), pivot) == 0 {
		i.ok = i.cursor.Next()
	}
	return i
}

func (i *indexed) next() (candidate, bool, error) {
	if !i.ok {
		return candidate{}, false, nil
	}
	e := i.cursor.Item()
	if !i.within(e) {
		return candidate{}, false, nil
	}
	i.ok = i.cursor.Next()
	return candidate{at: i.time(e), id: e.id, entry: e}, true, nil
}

// stored are candidates from one of the file's indexes, walked from its end.
type stored struct {
	file   *file
	table  table
	cursor *bbolt.Cursor
	prefix []byte
}

// resolved returns what is RESOLVED below a position: one run, or one for each customer, newest activity first.
func (v *view) resolved(w *workspace, q store.Query, from candidate) []candidates {
	if len(q.CustomerKeys) == 0 {
		return []candidates{v.stored(resolvedTable, workspacePrefix(w.number), from)}
	}
	var runs []candidates
	for _, customer := range distinct(q.CustomerKeys) {
		runs = append(runs, v.stored(customerTable, customerPrefix(w.number, customer), from))
	}
	return runs
}

// stored returns what an index has under a prefix below a position.
func (v *view) stored(t table, prefix []byte, from candidate) *stored {
	s := &stored{file: &v.file, table: t, prefix: prefix, cursor: v.bucket(t).Cursor()}
	s.cursor.Seek(append(appendTime(bytes.Clone(prefix), from.at), from.id...))
	return s
}

func (s *stored) next() (candidate, bool, error) {
	key, value := s.cursor.Prev()
	if !bytes.HasPrefix(key, s.prefix) {
		return candidate{}, false, nil
	}
	payload, err := s.file.unseal(s.table, key, value)
	if err != nil {
		return candidate{}, false, err
	}
	k, ok := parseTimedKey(key[len(s.prefix):])
	if !ok {
		return candidate{}, false, s.file.damaged(s.table, key, errKey)
	}
	newest, _ := binary.Uvarint(payload)
	return candidate{at: k.time, id: k.id, newest: int64(newest)}, true, nil
}

var errKey = errors.New("its key is none of ours")

// merge merges runs of candidates, newest first.
type merge struct{ runs []run }

// run is a run of candidates, and the first of it that was not given out yet, if it was looked at.
type run struct {
	candidates
	first        candidate
	known, ended bool
}

func newMerge(sources []candidates) *merge {
	m := &merge{make([]run, len(sources))}
	for i, s := range sources {
		m.runs[i].candidates = s
	}
	return m
}

func (m *merge) next() (candidate, bool, error) {
	var newest *run
	for i := range m.runs {
		r := &m.runs[i]
		if err := r.look(); err != nil {
			return candidate{}, false, err
		}
		if !r.ended && (newest == nil || newest.first.before(r.first)) {
			newest = r
		}
	}
	if newest == nil {
		return candidate{}, false, nil
	}
	newest.known = false
	return newest.first, true, nil
}

// look makes the first one known.
func (r *run) look() error {
	if r.known || r.ended {
		return nil
	}
	first, ok, err := r.next()
	r.first, r.known, r.ended = first, true, !ok
	return err
}

// ByExternalID implements store.Lister.
func (s *Store) ByExternalID(ctx context.Context, workspace, externalID string) (head *storev1.Head, err error) {
	err = s.view(ctx, everything, func(v *view) error {
		w := v.index.workspace(workspace)
		if w == nil || externalID == "" {
			return notFound("external id", externalID)
		}
		id, err := v.get(externalTable, externalKey(w.number, externalID))
		if err != nil {
			return err
		}
		if id == nil {
			return notFound("external id", externalID)
		}
		key := headKey(conversationPrefix(w.number, string(id)))
		if head, err = load[storev1.Head](v, conversationTable, key); err == nil && head == nil {
			err = v.damaged(conversationTable, key, errMissing)
		}
		return err
	})
	return head, err
}
