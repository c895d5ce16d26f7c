package memory

import (
	"context"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// Check implements store.Keeper. There are no checksums, indexes or folds here to be wrong; it verifies that every
// record reads, that all numbers are dense and as the heads say, and that the feed holds every log, once and in order.
func (s *Store) Check(ctx context.Context, _ bool) (store.Report, error) {
	all, err := s.snapshot(ctx)
	if err != nil {
		return store.Report{}, err
	}
	var c checker
	for _, id := range sortedKeys(all) {
		c.workspace(id, all[id])
	}
	return c.report, nil
}

// checker counts what it sees and writes down what is wrong.
type checker struct {
	report store.Report
}

func (c *checker) problem(format string, args ...any) {
	c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
}

// expect writes down a number that is not what it should be.
func (c *checker) expect(what string, got, want int32) {
	if got != want {
		c.problem("%s is %d, want %d", what, got, want)
	}
}

func (c *checker) workspace(id string, w *workspace) {
	where := fmt.Sprintf("workspace %q", id)
	if w.record != nil {
		c.report.Workspaces++
		record := read[storev1.WorkspaceRecord](c, where, w.record)
		if got := record.GetWorkspace().GetId(); got != id {
			c.problem("%s: its record is of %q", where, got)
		}
	}
	for _, key := range sortedKeys(w.agents) {
		read[storev1.AgentRecord](c, fmt.Sprintf("%s: agent %q", where, key), w.agents[key])
	}
	for _, key := range sortedKeys(w.customers) {
		read[storev1.CustomerRecord](c, fmt.Sprintf("%s: customer with key %q", where, key), w.customers[key])
	}
	for _, key := range sortedKeys(w.apiKeys) {
		read[storev1.ApiKeyRecord](c, fmt.Sprintf("%s: API key %q", where, key), w.apiKeys[key])
	}
	for _, id := range sortedKeys(w.conversations) {
		c.conversation(fmt.Sprintf("%s: conversation %q", where, id), id, w.conversations[id])
	}
	c.feed(where, w)
	c.others(where, w)
}

func (c *checker) conversation(where, id string, conv *conversation) {
	head := read[storev1.Head](c, where, conv.head).GetConversation()
	if head.GetId() != id {
		c.problem("%s: its head is of %q", where, head.GetId())
	}
	c.report.Conversations++
	c.report.Messages += int64(len(conv.messages))
	revision, public := c.log(where, conv)
	readNumbered[goodshipv1.Message](c, where+": number of a message", conv.messages)
	readNumbered[goodshipv1.Note](c, where+": number of a note", conv.notes)
	readNumbered[goodshipv1.Resolution](c, where+": number of a resolution", conv.resolutions)
	c.expect(where+": revision", head.GetRevision(), revision)
	c.expect(where+": public revision", head.GetPublicRevision(), public)
	c.expect(where+": message count", head.GetMessageCount(), int32(len(conv.messages)))
	c.expect(where+": note count", head.GetNoteCount(), int32(len(conv.notes)))
	c.expect(where+": resolution count", head.GetResolutionCount(), int32(len(conv.resolutions)))
	for _, b := range sortedValues(conv.marks) {
		read[storev1.ReadMarkRecord](c, where+": read mark", b)
	}
}

// log goes through a log, and returns the revision and the public revision that it ends at.
func (c *checker) log(where string, conv *conversation) (revision, public int32) {
	position := int64(0)
	for _, r := range conv.records {
		for _, e := range read[storev1.Record](c, where, r.stored).GetEvents() {
			c.report.Events++
			revision++
			c.expect(where+": revision of an event", e.GetRevision(), revision)
			if e.GetPublicRevision() != 0 {
				public++
				c.expect(where+": public revision of an event", e.GetPublicRevision(), public)
			}
		}
		c.expect(where+": revision at the end of a record", r.last, revision)
		if r.position <= position {
			c.problem("%s: feed position %d follows %d", where, r.position, position)
		}
		position = r.position
	}
	return revision, public
}

// feed compares the feed with the logs: what follows the position up to which it was pruned it must have, of each conversation
// that was not removed since.
func (c *checker) feed(where string, w *workspace) {
	expected := make(map[int64]feedEntry)
	for id, conv := range w.conversations {
		for _, r := range conv.records {
			if r.position > w.pruned {
				expected[r.position] = feedEntry{conversation: id, revision: r.last}
			}
		}
	}
	removed := make(map[string]int64)
	for i, e := range w.feed {
		if e.revision == 0 {
			removed[e.conversation] = w.pruned + int64(i+1)
		}
	}
	for i, e := range w.feed {
		position := w.pruned + int64(i+1)
		switch in, ok := expected[position]; {
		case ok && position < removed[e.conversation]:
			c.problem("%s: feed entry %d is there, of conversation %q, which was removed by %d", where, position, e.conversation, removed[e.conversation])
		case ok && in != e:
			c.problem("%s: feed entry %d names revision %d of %q, want %+v", where, position, e.revision, e.conversation, in)
		case !ok && position > removed[e.conversation]:
			c.problem("%s: feed entry %d names revision %d of %q, which is not there", where, position, e.revision, e.conversation)
		case e.revision == 0 && (e.removeTime.IsZero() || e.cause == 0):
			c.problem("%s: feed entry %d is neither of a change nor of a removal", where, position)
		}
		delete(expected, position)
	}
	for position, e := range expected {
		c.problem("%s: feed entry %d, %+v, is missing", where, position, e)
	}
}

// read decodes a record, or writes down that it cannot.
func read[T any, M message[T]](c *checker, where string, b []byte) M {
	m, err := decode[T, M](b)
	if err != nil {
		c.problem("%s: %v", where, err)
		return new(T)
	}
	return m
}

// readNumbered reads records that should be numbered from 1.
func readNumbered[T any, M interface {
	message[T]
	GetNumber() int32
}](c *checker, what string, all [][]byte) {
	for i, b := range all {
		c.expect(what, read[T, M](c, what, b).GetNumber(), int32(i+1))
	}
}
