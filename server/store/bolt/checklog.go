package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// logChecker goes through the log of one conversation, from its newest record to its oldest.
type logChecker struct {
	workspace uint32
	id        string
	head      *goodshipv1.Conversation
	// revision, public and counts are those that the next record should end at.
	revision, public int32
	counts           [collectionCount]int32
	// position is that of the record above in the feed; 0 before the first.
	position    int64
	records     int
	resolutions int32
	// lost says that something is damaged that the rest would be compared with.
	lost bool
}

// begun says whether the newest record is still to come.
func (l *logChecker) begun() bool { return l.id != "" && l.records == 0 && !l.lost }

func (l *logChecker) problem(c *checker, format string, args ...any) {
	c.problem("Conversation %q of workspace %q: %s.", l.id, c.numbers[l.workspace], fmt.Sprintf(format, args...))
}

// record checks that a record goes on where the one above it began.
func (l *logChecker) record(c *checker, v *view, key, payload []byte) error {
	l.records++
	m, err := decode[storev1.LogRecord](v, conversationTable, key, payload)
	if err != nil {
		l.lost = true
		return err
	}
	r := m.GetRecord()
	c.report.Events += int64(len(r.GetEvents()))
	if r.GetMessage() != nil {
		c.report.Messages++
	}
	if l.lost || l.head == nil {
		return nil
	}
	before := len(c.report.Problems)
	if got := recordRevision(key); got != l.revision {
		l.problem(c, "the record up to revision %d stands where %d is expected", got, l.revision)
	}
	l.numbers(c, r)
	l.events(c, r.GetEvents())
	if c.deep {
		l.content(c, r, payload)
	}
	l.feed(c, v, recordRevision(key), m.GetFeedPosition())
	l.lost = len(c.report.Problems) > before // one gap is told once
	return nil
}

// feed checks that the feed has a record up to a revision at the position that the record names, unless it was pruned up to
// there.
func (l *logChecker) feed(c *checker, v *view, revision int32, position int64) {
	if position < 1 || l.position > 0 && position >= l.position {
		l.problem(c, "the record up to revision %d names feed entry %d, and the one above it %d", revision, position, l.position)
		return
	}
	l.position = position
	entry, err := load[storev1.FeedRecord](v, feedTable, feedKey(l.workspace, position))
	if err != nil || entry.GetConversationId() == l.id && entry.GetRevision() == revision {
		return // damage is told where the feed is gone through
	}
	if start, err := v.feedStart(l.workspace); entry != nil || err == nil && position > start {
		l.problem(c, "the record up to revision %d names feed entry %d, which is missing or names another", revision, position)
	}
}

// newest checks that an index that says where a conversation's newest record is in the feed is right, or says nothing.
func (c *checker) newest(v *view, key, payload []byte, head *storev1.Head) {
	said, _ := binary.Uvarint(payload)
	w, id := binary.BigEndian.Uint32(key), head.GetConversation().GetId()
	r, err := load[storev1.LogRecord](v, conversationTable, recordKey(conversationPrefix(w, id), head.GetConversation().GetRevision()))
	if said != 0 && err == nil && r.GetFeedPosition() != int64(said) {
		c.problem("The index of customers of workspace %q has the newest record of conversation %q at feed entry %d, and it is at %d.", c.numbers[w], id, said, r.GetFeedPosition())
	}
}

// numbers checks a record's messages and notes.
func (l *logChecker) numbers(c *checker, r *storev1.Record) {
	added := [collectionCount]int32{r.GetMessage().GetNumber(), r.GetNote().GetNumber()}
	present := [collectionCount]bool{r.GetMessage() != nil, r.GetNote() != nil}
	for of, count := range [collectionCount]int32{r.GetMessageCount(), r.GetNoteCount()} {
		if count != l.counts[of] || present[of] && added[of] != count {
			l.problem(c, "%s %d of %d stands where there should be %d", collectionNames[of], added[of], count, l.counts[of])
		}
		if present[of] {
			l.counts[of]--
		}
	}
}

// events checks that events, from the last to the first, go on downwards.
func (l *logChecker) events(c *checker, events []*goodshipv1.Event) {
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.GetRevision() != l.revision || e.GetPublicRevision() != 0 && e.GetPublicRevision() != l.public {
			l.problem(c, "the event with revision %d and public revision %d stands where %d and %d are expected", e.GetRevision(), e.GetPublicRevision(), l.revision, l.public)
		}
		l.revision--
		if e.GetPublicRevision() != 0 {
			l.public--
		}
	}
}

// content checks what is in a record against where it stands, and its bytes against what would be written today.
func (l *logChecker) content(c *checker, r *storev1.Record, payload []byte) {
	for of, id := range [collectionCount]string{r.GetMessage().GetConversationId(), r.GetNote().GetConversationId()} {
		if id != "" && id != l.id {
			l.problem(c, "a %s of it is one of %q", collectionNames[of], id)
		}
	}
	var m storev1.LogRecord
	if err := proto.Unmarshal(payload, &m); err != nil {
		l.problem(c, "a record does not read: %v", err)
		return
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
	if err != nil || !bytes.Equal(again, payload) {
		l.problem(c, "the record up to revision %d is not in the form in which it would be written", l.revision)
	}
}

// end checks that the log went down to its beginning, unless the conversation was removed on the way there.
func (l *logChecker) end(c *checker, v *view) {
	if l.lost || l.id == "" {
		return
	}
	head, err := v.get(conversationTable, headKey(conversationPrefix(l.workspace, l.id)))
	switch {
	case l.head != nil && (err != nil || head == nil):
	case l.head == nil && (l.records > 0 || l.resolutions > 0):
		l.problem(c, "its head is missing")
	case l.revision != 0 || l.public != 0 || l.counts != [collectionCount]int32{}:
		l.problem(c, "its log ends above revision %d, public revision %d, message %d and note %d", l.revision, l.public, l.counts[messages], l.counts[notes])
	case l.resolutions != l.head.GetResolutionCount():
		l.problem(c, "it has %d resolutions, and its head says %d", l.resolutions, l.head.GetResolutionCount())
	}
	l.id = ""
}
