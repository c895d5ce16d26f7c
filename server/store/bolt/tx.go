package bolt

import (
	"math"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// tx is one unit of work. It reads its own changes, then those of the batch's units before it, then the file; it writes
// to its own changes only.
type tx struct {
	batch     *batch
	workspace *workspace
	now       time.Time
	// values are the unit's changes, sealed; nil for a key that is deleted. log is the order in which they were made.
	values map[place][]byte
	log    []change
	// conversations are those that the unit looked at.
	conversations map[string]*conversation
	// requests are the request ids of the conversation that the unit's own names; none of them is its own.
	requests *chunks
	// tail is the last position in the workspace's feed, 0 unless the unit added to it.
	tail int64
}

// place is a key of a table.
type place struct {
	table table
	key   string
}

// change is a change of one place, and what the unit had there before.
type change struct {
	at     place
	before []byte
	had    bool
}

// newTx returns a unit of work in a batch. A workspace without a number gets the next one, which it keeps if the unit
// writes anything.
func newTx(b *batch, workspaceID string, now time.Time) *tx {
	ws := b.index.workspace(workspaceID)
	if ws == nil {
		ws = &workspace{id: workspaceID, number: b.index.nextNumber}
	}
	return &tx{
		batch:         b,
		workspace:     ws,
		now:           now,
		values:        make(map[place][]byte),
		conversations: make(map[string]*conversation),
	}
}

// Now implements store.Tx.
func (t *tx) Now() time.Time { return t.now }

// contain, deferred, turns a panic on a damaged page into an error, and spoils the batch: bbolt's transaction is no longer
// to be trusted.
func (t *tx) contain(err *error) {
	if p := recover(); p != nil {
		*err = badPage(p)
		t.batch.err = *err
	}
}

func (t *tx) get(table table, key []byte) ([]byte, error) {
	if value, ok := t.values[place{table, string(key)}]; ok {
		if value == nil {
			return nil, nil
		}
		return unseal(table, key, value)
	}
	return t.batch.get(table, key)
}

func (t *tx) damaged(table table, key []byte, how error) error {
	return t.batch.damaged(table, key, how)
}

// put writes a message under a key.
func (t *tx) put(table table, key []byte, m proto.Message) error {
	value, err := sealMessage(table, key, m)
	if err != nil {
		return err
	}
	t.set(table, key, value)
	return nil
}

// putBytes writes bytes that are no message under a key.
func (t *tx) putBytes(table table, key, payload []byte) {
	t.set(table, key, seal(table, key, payload))
}

func (t *tx) remove(table table, key []byte) { t.set(table, key, nil) }

func (t *tx) set(table table, key, value []byte) {
	at := place{table, string(key)}
	before, had := t.values[at]
	t.log = append(t.log, change{at, before, had})
	t.values[at] = value
}

// rewind undoes the changes that were made since the log had a length.
func (t *tx) rewind(length int) {
	for len(t.log) > length {
		c := t.log[len(t.log)-1]
		t.log = t.log[:len(t.log)-1]
		if c.had {
			t.values[c.at] = c.before
		} else {
			delete(t.values, c.at)
		}
	}
}

// conversation is a conversation as it stands in a unit.
type conversation struct {
	id     string
	prefix []byte
	// before is what the index knows of it as of the units before; entry, as of now; nil if there is none.
	before, entry *entry
	// externalID and the numbers are those of the head.
	externalID                    string
	revision, public, resolutions int32
	counts                        [collectionCount]int32
	// added are the records that the unit added, oldest first, without their content.
	added []logRecord
	// logged and loggedCounts are what revision and counts were before them.
	logged       int32
	loggedCounts [collectionCount]int32
	// removed is what it was, if the unit removed it; it may have begun anew since.
	removed *entry
}

// look returns a conversation and its head, which is the caller's; there is no head if there is no such conversation.
func (t *tx) look(id string) (*conversation, *storev1.Head, error) {
	c := t.conversations[id]
	if c == nil {
		if checkID("conversation", id) != nil {
			return nil, nil, notFound("conversation", id) // nobody can have made it
		}
		c = &conversation{id: id, prefix: conversationPrefix(t.workspace.number, id)}
	}
	head, err := load[storev1.Head](t, conversationTable, headKey(c.prefix))
	if err != nil {
		return nil, nil, err
	}
	if t.conversations[id] == nil {
		t.conversations[id] = c
		if head != nil {
			c.stand(newEntry(t.workspace, head), head.GetConversation())
			c.before, c.logged, c.loggedCounts = c.entry, c.revision, c.counts
		}
	}
	return c, head, nil
}

// stand takes over what a head says.
func (c *conversation) stand(e *entry, head *goodshipv1.Conversation) {
	c.entry, c.externalID = e, head.GetExternalId()
	c.revision, c.public = head.GetRevision(), head.GetPublicRevision()
	c.resolutions, c.counts = head.GetResolutionCount(), countsOf(head)
}

// standing returns a conversation without its head.
func (t *tx) standing(id string) (*conversation, error) {
	if c := t.conversations[id]; c != nil {
		return c, nil
	}
	c, _, err := t.look(id)
	return c, err
}

// existing returns a conversation without its head, or ErrNotFound.
func (t *tx) existing(id string) (*conversation, error) {
	c, err := t.standing(id)
	if err == nil && c.entry == nil {
		err = notFound("conversation", id)
	}
	return c, err
}

// Conversation implements store.ConversationTx.
func (t *tx) Conversation(id string) (head *storev1.Head, err error) {
	defer t.contain(&err)
	if _, head, err = t.look(id); err == nil && head == nil {
		err = notFound("conversation", id)
	}
	return head, err
}

// OldestWaiting implements store.ConversationTx.
func (t *tx) OldestWaiting() (string, error) {
	t.batch.settle()
	pivot, ordering := &entry{workspace: t.workspace, line: math.MinInt64}, orderings[unownedOrder]
	within := func(e *entry) bool { return e.workspace.number == t.workspace.number }
	oldest := t.batch.index.first(unownedOrder, pivot, within, func(e *entry) bool { return t.conversations[e.id] != nil })
	for _, c := range t.conversations {
		if c.entry != nil && ordering.holds(c.entry) && (oldest == nil || ordering.compare(c.entry, oldest) < 0) {
			oldest = c.entry
		}
	}
	if oldest == nil {
		return "", nil
	}
	return oldest.id, nil
}

// NewestUnresolved implements store.ConversationTx.
func (t *tx) NewestUnresolved(customerKey string) (string, error) {
	for _, e := range t.unresolved(customerKey, 1) {
		return e.id, nil
	}
	return "", nil
}

// Message implements store.ConversationTx.
func (t *tx) Message(conversation string, number int32) (m *goodshipv1.Message, err error) {
	defer t.contain(&err)
	return numbered[goodshipv1.Message](t, conversation, messages, number)
}

// Note implements store.ConversationTx.
func (t *tx) Note(conversation string, number int32) (n *goodshipv1.Note, err error) {
	defer t.contain(&err)
	return numbered[goodshipv1.Note](t, conversation, notes, number)
}

// Resolution implements store.ConversationTx.
func (t *tx) Resolution(conversation string, number int32) (r *goodshipv1.Resolution, err error) {
	defer t.contain(&err)
	c, err := t.existing(conversation)
	if err != nil {
		return nil, err
	}
	if r, err = load[goodshipv1.Resolution](t, conversationTable, resolutionKey(c.prefix, number)); err == nil && r == nil {
		err = numberNotFound("resolution", number, conversation)
	}
	return r, err
}

// ReadMark implements store.ConversationTx.
func (t *tx) ReadMark(conversation, agentID string) (mark *storev1.ReadMarkRecord, err error) {
	defer t.contain(&err)
	c, err := t.existing(conversation)
	if err != nil {
		return nil, err
	}
	if mark, err = load[storev1.ReadMarkRecord](t, conversationTable, markKey(c.prefix, agentID)); err == nil && mark == nil {
		mark = &storev1.ReadMarkRecord{AgentId: agentID}
	}
	return mark, err
}

// PutReadMark implements store.ConversationTx.
func (t *tx) PutReadMark(conversation string, mark *storev1.ReadMarkRecord) (err error) {
	defer t.contain(&err)
	c, err := t.existing(conversation)
	if err != nil {
		return err
	}
	if id := mark.GetAgentId(); id != "" {
		if err := checkID("agent", id); err != nil {
			return err
		}
	}
	return t.put(conversationTable, markKey(c.prefix, mark.GetAgentId()), mark)
}
