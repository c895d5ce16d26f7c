package bolt

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
	"unique"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/tidwall/btree"
)

// index is what memory holds as of one commit: the workspaces' numbers, and in several orders the conversations to which
// something may still happen. It is persistent: a copy shares all that does not change, so the writer works on a copy,
// which takes the index's place once the file has what it says.
type index struct {
	// commit is the bbolt transaction that the index is as of.
	commit int
	// orders holds the entries in each order.
	orders [orderCount]*btree.BTreeG[*entry]
	// workspaces are by id.
	workspaces *btree.BTreeG[*workspace]
	nextNumber uint32
}

// workspace is a workspace's id and the number that stands for it in keys.
type workspace struct {
	id     string
	number uint32
}

// entry is what the index knows of a conversation. It never changes.
type entry struct {
	workspace *workspace
	id        string
	customer  string
	owner     unique.Handle[string]
	state     goodshipv1.State
	// line, activity, due and create are times as keys hold them; due is never if the conversation has none.
	line, activity, due, create int64
}

// never is no time.
const never = math.MinInt64

// newEntry returns what the index knows of a conversation.
func newEntry(w *workspace, h *storev1.Head) *entry {
	c := h.GetConversation()
	e := &entry{
		workspace: w,
		id:        c.GetId(),
		customer:  h.GetCustomerKey(),
		owner:     unique.Make(c.GetOwnerId()),
		state:     c.GetState(),
		line:      nanoseconds(c.GetLineTime()),
		activity:  nanoseconds(c.GetActivityTime()),
		due:       never,
		create:    nanoseconds(c.GetCreateTime()),
	}
	if h.GetDueTime() != nil {
		e.due = nanoseconds(h.GetDueTime())
	}
	return e
}

var nobody = unique.Make("")

func (e *entry) resolved() bool { return e.state == goodshipv1.State_STATE_RESOLVED }
func (e *entry) waiting() bool  { return e.state == goodshipv1.State_STATE_WAITING }

// dueTime returns when time next does something to the conversation by itself; zero if never.
func (e *entry) dueTime() time.Time {
	if e.due == never {
		return time.Time{}
	}
	return time.Unix(0, e.due).UTC()
}

// indexed says whether memory holds the conversation: the table open lists those.
func (e *entry) indexed() bool { return !e.resolved() || e.due != never }

// order is one of the index's orders.
type order int

const (
	// lineOrder is the line; unownedOrder, those in it that nobody owns.
	lineOrder order = iota
	unownedOrder
	// activityOrder is newest first; ownerOrder the same for each owner.
	activityOrder
	ownerOrder
	// customerOrder is newest by creation first, for each customer.
	customerOrder
	// dueOrder is over all workspaces.
	dueOrder
	orderCount
)

// orderings say of each order which conversations are in it and which comes first.
var orderings = [orderCount]struct {
	holds   func(*entry) bool
	compare func(a, b *entry) int
}{
	lineOrder:     {(*entry).waiting, compareLine},
	unownedOrder:  {func(e *entry) bool { return e.waiting() && e.owner == nobody }, compareLine},
	activityOrder: {func(e *entry) bool { return !e.resolved() }, compareActivity},
	ownerOrder:    {func(e *entry) bool { return !e.resolved() && e.owner != nobody }, compareOwner},
	customerOrder: {func(e *entry) bool { return !e.resolved() }, compareCustomer},
	dueOrder:      {func(e *entry) bool { return e.due != never }, compareDue},
}

func compareWorkspace(a, b *entry) int { return cmp.Compare(a.workspace.number, b.workspace.number) }

func compareLine(a, b *entry) int {
	return cmp.Or(compareWorkspace(a, b), cmp.Compare(a.line, b.line), cmp.Compare(a.id, b.id))
}

func compareActivity(a, b *entry) int {
	return cmp.Or(compareWorkspace(a, b), cmp.Compare(b.activity, a.activity), cmp.Compare(b.id, a.id))
}

func compareOwner(a, b *entry) int {
	if a.owner != b.owner {
		return cmp.Or(compareWorkspace(a, b), cmp.Compare(a.owner.Value(), b.owner.Value()))
	}
	return compareActivity(a, b)
}

func compareCustomer(a, b *entry) int {
	return cmp.Or(compareWorkspace(a, b), cmp.Compare(a.customer, b.customer), cmp.Compare(b.create, a.create), cmp.Compare(b.id, a.id))
}

func compareDue(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.workspace.id, b.workspace.id), cmp.Compare(a.id, b.id))
}

// newIndex returns an index without anything.
func newIndex() *index {
	// The writer copies the nodes that it changes in each batch, so small ones are cheaper than the default.
	options := btree.Options{NoLocks: true, Degree: 16}
	ix := &index{nextNumber: 1}
	for o := range ix.orders {
		compare := orderings[o].compare
		ix.orders[o] = btree.NewBTreeGOptions(func(a, b *entry) bool { return compare(a, b) < 0 }, options)
	}
	ix.workspaces = btree.NewBTreeGOptions(func(a, b *workspace) bool { return a.id < b.id }, options)
	return ix
}

// copy returns an index that can be changed while this one stays what it is. Only the writer may call it.
func (ix *index) copy() *index {
	c := *ix
	for o := range c.orders {
		c.orders[o] = ix.orders[o].Copy()
	}
	c.workspaces = ix.workspaces.Copy()
	return &c
}

// replace puts a conversation in the place of what it was; nil is nothing.
func (ix *index) replace(old, new *entry) {
	for o, ordering := range orderings {
		tree := ix.orders[o]
		was, is := old != nil && ordering.holds(old), new != nil && ordering.holds(new)
		if was && (!is || ordering.compare(old, new) != 0) {
			tree.Delete(old)
		}
		if is {
			tree.Set(new)
		}
	}
}

// load fills an empty index. It is faster than replace for many.
func (ix *index) load(entries []*entry) {
	for o, ordering := range orderings {
		held := slices.DeleteFunc(slices.Clone(entries), func(e *entry) bool { return !ordering.holds(e) })
		slices.SortFunc(held, ordering.compare)
		for _, e := range held {
			ix.orders[o].Load(e)
		}
	}
}

// workspace returns a workspace, or nil if nothing was ever written in it.
func (ix *index) workspace(id string) *workspace {
	w, _ := ix.workspaces.Get(&workspace{id: id})
	return w
}

// addWorkspace adds one that has a number already.
func (ix *index) addWorkspace(w *workspace) {
	ix.workspaces.Set(w)
	ix.nextNumber = max(ix.nextNumber, w.number+1)
}

// name returns the id of the workspace with a number. It is for errors: it looks through all.
func (ix *index) name(number uint32) string {
	name := fmt.Sprintf("#%d", number)
	ix.workspaces.Scan(func(w *workspace) bool {
		if w.number == number {
			name = w.id
		}
		return w.number != number
	})
	return name
}

// first returns the first entry of an order from a pivot on that skip does not hold for, as long as within holds; or nil.
func (ix *index) first(o order, pivot *entry, within, skip func(*entry) bool) *entry {
	var found *entry
	ix.orders[o].Ascend(pivot, func(e *entry) bool {
		if !within(e) {
			return false
		}
		if skip(e) {
			return true
		}
		found = e
		return false
	})
	return found
}

// place returns where a conversation stands in its workspace's line, from 1; 0 if it does not.
func (ix *index) place(e *entry) int {
	if !e.waiting() {
		return 0
	}
	return ix.rank(lineOrder, e) - ix.rank(lineOrder, &entry{workspace: e.workspace, line: math.MinInt64}) + 1
}

// rank returns how many entries of an order come before one. It takes log² steps: some microseconds for 100,000.
func (ix *index) rank(o order, of *entry) int {
	tree := ix.orders[o]
	return sort.Search(tree.Len(), func(i int) bool {
		e, _ := tree.GetAt(i)
		return orderings[o].compare(e, of) >= 0
	})
}
