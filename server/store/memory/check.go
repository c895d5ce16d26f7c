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
}

func (c *checker) conversation(where, id string, conv *conversation) {
	head := read[storev1.Head](c, where, conv.head).GetConversation()
	if head.GetId() != id {
		c.problem("%s: its head is of %q", where, head.GetId())
	}
	c.report.Conversations++
	c.report.Messages += int64(len(conv.messages))
	c.report.Events += int64(len(conv.events))
	public := int32(0)
	for i, b := range conv.events {
		e := read[goodshipv1.Event](c, where, b)
		c.expect(where+": revision of an event", e.GetRevision(), int32(i+1))
		if e.GetPublicRevision() != 0 {
			public++
			c.expect(where+": public revision of an event", e.GetPublicRevision(), public)
		}
	}
	readNumbered[goodshipv1.Message](c, where+": number of a message", conv.messages)
	readNumbered[goodshipv1.Note](c, where+": number of a note", conv.notes)
	readNumbered[goodshipv1.Resolution](c, where+": number of a resolution", conv.resolutions)
	c.expect(where+": revision", head.GetRevision(), int32(len(conv.events)))
	c.expect(where+": public revision", head.GetPublicRevision(), public)
	c.expect(where+": message count", head.GetMessageCount(), int32(len(conv.messages)))
	c.expect(where+": note count", head.GetNoteCount(), int32(len(conv.notes)))
	c.expect(where+": resolution count", head.GetResolutionCount(), int32(len(conv.resolutions)))
	for _, b := range sortedValues(conv.marks) {
		read[storev1.ReadMarkRecord](c, where+": read mark", b)
	}
}

// feed walks the feed and the logs together: each entry must go on where its conversation's last one ended.
func (c *checker) feed(where string, w *workspace) {
	seen := make(map[string]int32)
	for i, e := range w.feed {
		c.expect(fmt.Sprintf("%s: feed entry %d: first revision of %q", where, i+1, e.conversation), e.first, seen[e.conversation]+1)
		seen[e.conversation] = e.last
	}
	for _, id := range sortedKeys(w.conversations) {
		c.expect(fmt.Sprintf("%s: conversation %q: revisions in the feed", where, id), seen[id], int32(len(w.conversations[id].events)))
		delete(seen, id)
	}
	for _, id := range sortedKeys(seen) {
		c.problem("%s: the feed names conversation %q, which there is not", where, id)
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
