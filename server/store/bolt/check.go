package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// mostProblems is how many problems a report lists.
const mostProblems = 1_000

// Check implements store.Keeper. It reads the store slice by slice while units go on; what must agree is compared at one
// instant. Deep, it also
// compares what is in the records with where they stand, and with the form in which they would be written.
func (s *Store) Check(ctx context.Context, deep bool) (store.Report, error) {
	c := &checker{Store: s, deep: deep, gone: make(map[string]int64), numbers: make(map[uint32]string)}
	for t := range tableCount {
		if err := c.table(ctx, t); err != nil {
			return c.report, err
		}
	}
	for o := range orderCount {
		if err := c.memory(ctx, o); err != nil {
			return c.report, err
		}
	}
	return c.report, nil
}

// checker goes through the store and writes down what is wrong.
type checker struct {
	*Store
	deep   bool
	report store.Report
	// log is the conversation that is gone through.
	log logChecker
	// feed is the workspace and position before.
	feedWorkspace uint32
	feedPosition  int64
	// gone are the conversations that entries of that feed are of and that are missing, with the position of the first; their
	// removal must follow.
	gone map[string]int64
	// ledger is the ledger that is gone through.
	ledger  ledgerChecker
	numbers map[uint32]string
}

func (c *checker) problem(format string, args ...any) {
	switch n := len(c.report.Problems); {
	case n < mostProblems:
		c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
	case n == mostProblems:
		c.report.Problems = append(c.report.Problems, "There are more problems than are listed.")
	}
}

// table goes through a table.
func (c *checker) table(ctx context.Context, t table) error {
	var from []byte
	for {
		err := c.view(ctx, everything, func(v *view) error {
			from = c.slice(v, t, from)
			return nil
		})
		if errors.Is(err, store.ErrDataLoss) {
			c.problem("The table %s cannot be read to its end: %v.", tableNames[t], err)
			return nil
		}
		if err != nil || from == nil {
			return err
		}
	}
}

// slice goes through a table from a key on, and returns the key to go on from, nil at the end.
func (c *checker) slice(v *view, t table, from []byte) []byte {
	cursor, seen := v.bucket(t).Cursor(), 0
	for key, value := cursor.Seek(from); key != nil; key, value = cursor.Next() {
		// A head is compared with what stands before it and with its newest record, and a ledger's sums with its entries, so they
		// must be of one instant.
		if seen++; seen > sliceKeys && !c.log.begun() && !c.ledger.begun() {
			return bytes.Clone(key)
		}
		payload, err := v.unseal(t, key, value)
		if err != nil {
			c.damaged(err)
			if k, ok := parseConversationKey(key); ok && t == conversationTable && k.kind >= headKind {
				c.log.lost = true // the other records of the log cannot be compared with this one
			}
			if t == objectTable {
				c.ledger.lost(c, key)
			}
			continue
		}
		if err := c.record(v, t, key, payload); err != nil {
			c.damaged(err)
		}
	}
	switch t {
	case conversationTable:
		c.log.end(c, v)
	case feedTable:
		c.feedEnd(v)
	case objectTable:
		c.ledger.end(c)
	}
	return nil
}

func (c *checker) damaged(err error) { c.problem("A record is damaged: %v.", err) }

// record checks a record against its table and the others.
func (c *checker) record(v *view, t table, key, payload []byte) error {
	if t != metaTable && t != workspaceTable && t != secretTable && t != dueTable && (len(key) < 5 || !c.knows(v, binary.BigEndian.Uint32(key))) {
		c.problem("A record is of a workspace that there is not: %s.", describe(t, key, v.index.name))
		return nil
	}
	switch t {
	case metaTable:
		return c.meta(v, key, payload)
	case workspaceTable:
		c.workspace(key, payload)
		return nil
	case conversationTable:
		return c.conversation(v, key, payload)
	case feedTable:
		return c.feed(v, key, payload)
	case openTable, resolvedTable, customerTable:
		return c.indexEntry(v, t, key, payload)
	case externalTable:
		return c.external(v, key, payload)
	case directoryTable:
		return c.directory(v, key, payload)
	case secretTable:
		return c.secret(v, key, payload)
	case objectTable:
		return c.object(v, key, payload)
	case dueTable:
		return c.due(v, key, payload)
	default:
		_, err := decode[storev1.OnceRecord](v, t, key, payload)
		return err
	}
}

// knows says whether there is a workspace with a number. It may have come after the table of workspaces was gone through.
func (c *checker) knows(v *view, number uint32) bool {
	if c.numbers[number] == "" {
		v.index.workspaces.Scan(func(w *workspace) bool {
			if w.number == number {
				c.numbers[number] = w.id
			}
			return c.numbers[number] == ""
		})
	}
	return c.numbers[number] != ""
}

func (c *checker) meta(v *view, key, payload []byte) (err error) {
	switch {
	case bytes.Equal(key, storeKey):
		_, err = decode[storev1.BoltStore](v, metaTable, key, payload)
	case bytes.Equal(key, clockKey):
		_, err = decode[timestamppb.Timestamp](v, metaTable, key, payload)
	default:
		err = v.damaged(metaTable, key, errKey)
	}
	return err
}

func (c *checker) workspace(key, payload []byte) {
	if len(payload) != 4 || binary.BigEndian.Uint32(payload) == 0 || c.numbers[binary.BigEndian.Uint32(payload)] != "" {
		c.problem("Workspace %q has number %x, which is none, or another's.", key, payload)
		return
	}
	c.numbers[binary.BigEndian.Uint32(payload)] = string(key)
}

// indexEntry checks that an entry of one of the file's indexes is of a conversation that belongs there.
func (c *checker) indexEntry(v *view, t table, key, payload []byte) error {
	id, w := key[4:], binary.BigEndian.Uint32(key)
	switch {
	case t == resolvedTable && len(id) > 8:
		id = id[8:]
	case t == customerTable && len(id) > 9+int(id[0]):
		id = id[9+int(id[0]):]
	}
	head, err := load[storev1.Head](v, conversationTable, headKey(conversationPrefix(w, string(id))))
	if err != nil {
		return nil //nolint:nilerr // it is told where the conversation is gone through
	}
	for _, at := range newEntry(&workspace{number: w}, head).places() {
		if head != nil && at == (place{t, string(key)}) {
			c.newest(v, key, payload, head)
			return nil
		}
	}
	c.problem("The index %s of workspace %q has conversation %q, which does not belong there.", tableNames[t], c.numbers[w], id)
	return nil
}

func (c *checker) external(v *view, key, payload []byte) error {
	w := binary.BigEndian.Uint32(key)
	head, err := load[storev1.Head](v, conversationTable, headKey(conversationPrefix(w, string(payload))))
	if err == nil && head.GetConversation().GetExternalId() != string(key[4:]) {
		c.problem("External id %q of workspace %q names conversation %q, which has another or is missing.", key[4:], c.numbers[w], payload)
	}
	return nil
}

// directory checks that what refers to a record of the directory does, both ways.
func (c *checker) directory(v *view, key, payload []byte) error {
	w, id := binary.BigEndian.Uint32(key), string(key[5:])
	var agrees bool
	switch key[4] {
	case settingsKind:
		m, err := decode[storev1.WorkspaceRecord](v, directoryTable, key, payload)
		if err != nil {
			return err
		}
		c.report.Workspaces++
		agrees = m.GetWorkspace().GetId() == c.numbers[w]
	case agentKind:
		m, err := decode[storev1.AgentRecord](v, directoryTable, key, payload)
		if err != nil {
			return err
		}
		agrees = m.GetAgent().GetId() == id
	case customerKind:
		m, err := decode[storev1.CustomerRecord](v, directoryTable, key, payload)
		if err != nil {
			return err
		}
		other, err := v.get(directoryTable, directoryKey(w, customerKeyKind, m.GetKey()))
		agrees = m.GetCustomer().GetId() == id && (err != nil || string(other) == id)
	case customerKeyKind:
		m, err := load[storev1.CustomerRecord](v, directoryTable, directoryKey(w, customerKind, string(payload)))
		agrees = err != nil || m.GetKey() == id
	case apiKeyKind:
		m, err := decode[storev1.ApiKeyRecord](v, directoryTable, key, payload)
		if err != nil {
			return err
		}
		holder, err := v.get(secretTable, m.GetSecretHash())
		agrees = m.GetApiKey().GetId() == id && m.GetWorkspaceId() == c.numbers[w] && (err != nil || bytes.Equal(holder, append(workspacePrefix(w), id...)))
	}
	if !agrees {
		c.problem("In the directory of workspace %q, %s is not what names it.", c.numbers[w], describeDirectory(key[4], key[5:]))
	}
	return nil
}

func (c *checker) secret(v *view, key, payload []byte) error {
	if len(payload) > 4 {
		w, id := binary.BigEndian.Uint32(payload), string(payload[4:])
		m, err := load[storev1.ApiKeyRecord](v, directoryTable, directoryKey(w, apiKeyKind, id))
		if err != nil || bytes.Equal(m.GetSecretHash(), key) {
			return nil //nolint:nilerr // damage is told where the directory is gone through
		}
	}
	c.problem("The hash of a secret names API key %q, which has another or is missing.", payload)
	return nil
}

// conversation checks a record of a conversation, in the order of its keys.
func (c *checker) conversation(v *view, key, payload []byte) error {
	k, ok := parseConversationKey(key)
	if !ok {
		return v.damaged(conversationTable, key, errKey)
	}
	if k.workspace != c.log.workspace || k.id != c.log.id {
		c.log.end(c, v)
		c.log = logChecker{workspace: k.workspace, id: k.id}
	}
	switch k.kind {
	case headKind:
		return c.head(v, key, payload)
	case recordKind:
		return c.log.record(c, v, key, payload)
	case onceKind:
		m, err := decode[storev1.OnceRecords](v, conversationTable, key, payload)
		if err == nil && len(m.GetRecords()) == 0 {
			err = v.damaged(conversationTable, key, errMissing)
		}
		return err
	case markKind:
		m, err := decode[storev1.ReadMarkRecord](v, conversationTable, key, payload)
		if err == nil && m.GetAgentId() != string(k.rest) {
			err = v.damaged(conversationTable, key, errKey)
		}
		return err
	case resolutionKind:
		m, err := decode[goodshipv1.Resolution](v, conversationTable, key, payload)
		if c.log.resolutions++; err == nil && (m.GetNumber() != c.log.resolutions || len(k.rest) != 4 || binary.BigEndian.Uint32(k.rest) != uint32(m.GetNumber())) {
			c.log.problem(c, "resolution %d stands where number %d is expected", m.GetNumber(), c.log.resolutions)
		}
		return err
	}
	return v.damaged(conversationTable, key, errKey)
}

// head checks a head against the indexes, in the file and in memory, and begins the log below it.
func (c *checker) head(v *view, key, payload []byte) error {
	head, err := decode[storev1.Head](v, conversationTable, key, payload)
	if err != nil {
		c.log.lost = true
		return err
	}
	c.report.Conversations++
	l, conversation := &c.log, head.GetConversation()
	l.head, l.revision, l.public, l.counts = conversation, conversation.GetRevision(), conversation.GetPublicRevision(), countsOf(conversation)
	if conversation.GetId() != l.id {
		l.problem(c, "its head is of %q", conversation.GetId())
	}
	e := newEntry(v.index.workspace(c.numbers[l.workspace]), head)
	for _, at := range e.places() {
		if payload, err := v.get(at.table, []byte(at.key)); err == nil && payload == nil {
			l.problem(c, "it is missing in the index %s", tableNames[at.table])
		}
	}
	if id := conversation.GetExternalId(); id != "" {
		if payload, err := v.get(externalTable, externalKey(l.workspace, id)); err == nil && string(payload) != l.id {
			l.problem(c, "its external id names %q", payload)
		}
	}
	for o, ordering := range orderings {
		held, ok := v.index.orders[o].Get(e)
		if ok != ordering.holds(e) || ok && *held != *e {
			l.problem(c, "memory has it wrongly in its order %d", o)
		}
	}
	return nil
}

// memory checks that what an order of the index holds is what the file says.
func (c *checker) memory(ctx context.Context, o order) error {
	var from *entry
	for {
		err := c.view(ctx, everything, func(v *view) error {
			from = c.entries(v, o, from)
			return nil
		})
		if err != nil || from == nil {
			return err
		}
	}
}

// entries checks a slice of an order from an entry on, and returns where to go on, nil at the end.
func (c *checker) entries(v *view, o order, from *entry) (next *entry) {
	seen := 0
	check := func(e *entry) bool {
		if seen++; seen > sliceKeys {
			next = e
			return false
		}
		head, err := load[storev1.Head](v, conversationTable, headKey(conversationPrefix(e.workspace.number, e.id)))
		if err == nil && (head == nil || *newEntry(e.workspace, head) != *e) {
			c.problem("Memory has conversation %q of workspace %q otherwise than its head, in its order %d.", e.id, e.workspace.id, o)
		}
		return true
	}
	if from == nil {
		v.index.orders[o].Scan(check)
	} else {
		v.index.orders[o].Ascend(from, check)
	}
	return next
}
