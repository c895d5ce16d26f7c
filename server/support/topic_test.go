package support

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// showing returns an item that shows a message as it reads.
func showing(conversation string, number int32, text string, at int64, rewrites bool) item {
	sent := &goodshipv1.MessageSent{Message: &goodshipv1.Message{Text: text}}
	event := &goodshipv1.Event{Kind: &goodshipv1.Event_MessageSent{MessageSent: sent}}
	f := NewFrame(&goodshipv1.WatchUpdate{ConversationId: conversation, Update: &goodshipv1.WatchUpdate_Event{Event: event}})
	return item{frame: f, at: position{at: at}, message: number, rewrites: rewrites, bytes: 10}
}

func (i item) text() string { return i.frame.update.GetEvent().GetMessageSent().Message.Text }

// TestTopicWithoutRewritten redacts a message between two batches of one version: it is not given out at the next one.
func TestTopicWithoutRewritten(t *testing.T) {
	log := []item{showing("c", 1, "secret", 1, false)}
	topic := newTopic(scope{}, func(_ context.Context, _ scope, from position) (batch, error) {
		if from.at == int64(len(log)) {
			return batch{end: from, complete: true}, nil
		}
		next := log[from.at]
		return batch{items: []item{next}, end: next.at, complete: from.at == 1}, nil
	})
	topic.join()
	topic.join()
	after := func(at int64) portion {
		p, err := topic.after(t.Context(), position{at: at}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	after(0)
	log = []item{showing("c", 1, "", 1, false), showing("c", 1, "", 2, true)} // committed, and read before it is hinted at
	after(1)
	topic.raise("c")
	for _, i := range after(0).items {
		if i.text() != "" {
			t.Errorf("%q is told after its redaction", i.text())
		}
	}
}

// deed is an event of the modelled log.
type deed struct {
	conversation string
	number       int32
	rewrites     bool
}

func (d deed) text() string { return fmt.Sprint(d.conversation, d.number) }

// reader is a modelled stream, with a portion in its hand of which it has told a part.
type reader struct {
	at          position
	given, wake <-chan struct{}
	posts       uint64
	hand        portion
}

// topicModel is a topic over a log in memory. What it does is one deed after another, as random as its seed has it, also in the
// middle of a read.
type topicModel struct {
	*rand.Rand
	t       *testing.T
	topic   *topic
	readers []*reader
	// log is what was committed, and hinted how much of it was hinted at.
	log    []deed
	hinted int
	// sent counts the messages of a conversation; redacted are those that read so, and acknowledged those of which that is told.
	sent                   map[string]int32
	redacted, acknowledged map[string]bool
	// calm says that nothing is committed any more.
	calm bool
}

func (m *topicModel) commit() {
	d := deed{conversation: fmt.Sprint("c", m.IntN(3))}
	if sent := m.sent[d.conversation]; sent > 0 && m.IntN(3) == 0 {
		d.number, d.rewrites = 1+m.Int32N(sent), true
		m.redacted[d.text()] = true
	} else {
		m.sent[d.conversation]++
		d.number = m.sent[d.conversation]
	}
	m.log = append(m.log, d)
}

func (m *topicModel) hint() {
	for ; m.hinted < len(m.log); m.hinted++ {
		d := m.log[m.hinted]
		m.topic.raise(d.conversation)
		if d.rewrites {
			m.acknowledged[d.text()] = true
		}
	}
}

// meanwhile is what others do.
func (m *topicModel) meanwhile() {
	for !m.calm && m.IntN(3) == 0 {
		if m.IntN(2) == 0 {
			m.commit()
		} else {
			m.hint()
		}
	}
}

func (m *topicModel) read(_ context.Context, _ scope, from position) (batch, error) {
	m.meanwhile()
	defer m.meanwhile()
	b, most := batch{end: from}, 1+m.IntN(4)
	for n := from.at; n < int64(len(m.log)) && len(b.items) < most; n++ {
		d := m.log[n]
		text := d.text()
		if m.redacted[text] {
			text = ""
		}
		i := showing(d.conversation, d.number, text, n+1, d.rewrites)
		if m.IntN(10) == 0 {
			i.bytes = tailBytes / 2
		}
		b.items, b.end = append(b.items, i), i.at
	}
	b.complete = len(b.items) < most
	return b, nil
}

// step has a stream tell one thing, or ask for more.
func (m *topicModel) step(r *reader) {
	if len(r.hand.items) > 0 {
		m.tell(r)
		return
	}
	if r.wake != nil && !isClosed(r.wake) {
		return
	}
	p, err := m.topic.after(m.t.Context(), r.at, r.posts, r.given)
	if err != nil {
		m.t.Fatal(err)
	}
	if p.wake != nil {
		r.given, r.posts = p.wake, p.posts
	}
	if r.hand, r.wake = p, nil; len(p.items) == 0 {
		r.at, r.wake = p.end, p.wake
	}
}

func (m *topicModel) tell(r *reader) {
	i := r.hand.items[0]
	if !m.topic.fresh(i.conversation(), r.hand.version) {
		r.hand = portion{}
		return
	}
	if m.acknowledged[i.text()] {
		m.t.Fatalf("%q is told after its redaction was", i.text())
	}
	if i.at.at != r.at.at+1 {
		m.t.Fatalf("%d is told after %d", i.at.at, r.at.at)
	}
	if r.at, r.hand.items = i.at, r.hand.items[1:]; len(r.hand.items) == 0 {
		r.wake = r.hand.wake
	}
}

// happens does something.
func (m *topicModel) happens() {
	switch m.IntN(8) {
	case 0:
		m.commit()
	case 1:
		m.hint()
	case 2:
		if len(m.readers) < 4 {
			m.topic.join()
			m.readers = append(m.readers, &reader{at: position{at: m.Int64N(int64(len(m.log) + 1))}})
		}
	case 3:
		if len(m.readers) > 0 && m.IntN(4) == 0 {
			gone := m.IntN(len(m.readers))
			m.topic.part(m.readers[gone].given)
			m.readers = slices.Delete(m.readers, gone, gone+1)
		}
	default:
		if len(m.readers) > 0 {
			m.step(m.readers[m.IntN(len(m.readers))])
		}
	}
}

// settles has all streams tell all that there is.
func (m *topicModel) settles() {
	m.calm = true
	m.hint()
	for range 4 * len(m.log) * (len(m.readers) + 1) {
		for _, r := range m.readers {
			m.step(r)
		}
	}
	for _, r := range m.readers {
		if r.at.at != int64(len(m.log)) || r.wake == nil || isClosed(r.wake) {
			m.t.Fatalf("a stream is at %d of %d", r.at.at, len(m.log))
		}
	}
	if len(m.readers) > 0 && len(m.topic.tail.items)+len(m.topic.touched) > 0 {
		m.t.Fatalf("%d items are kept that all were told", len(m.topic.tail.items))
	}
}

// TestTopicModel has streams come, go and tell while messages are sent and redacted: each is told everything once and in order,
// and nothing as it read before its redaction was acknowledged.
func TestTopicModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		m := &topicModel{
			Rand: rand.New(rand.NewPCG(seed, 1)), t: t,
			sent: map[string]int32{}, redacted: map[string]bool{}, acknowledged: map[string]bool{},
		}
		m.topic = newTopic(scope{}, m.read)
		for range 300 {
			m.happens()
		}
		m.settles()
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

// TestBoardMarks posts read marks late: nobody is told of a lesser one after a greater one, and no stream misses the greatest.
func TestBoardMarks(t *testing.T) {
	topic := newTopic(scope{}, func(_ context.Context, _ scope, from position) (batch, error) {
		return batch{end: from, complete: true}, nil
	})
	topic.join()
	topic.join()
	start := time.Unix(1700000000, 0)
	mark := func(author string, number int32, at time.Time) {
		topic.post(notice{author: author, rank: number, time: at, until: at.Add(markLasts)}, nil)
	}
	var posts uint64
	var given <-chan struct{}
	tells := func(what string, want ...int32) {
		t.Helper()
		p, err := topic.after(t.Context(), position{}, posts, given)
		if err != nil {
			t.Fatal(err)
		}
		posts, given = p.posts, p.wake
		var got []int32
		for _, n := range p.notices {
			got = append(got, n.rank)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v is told, want %v", what, got, want)
		}
	}
	mark("ada", 4, start)
	mark("ada", 5, start)
	tells("the greatest", 5)
	mark("ada", 3, start.Add(markLasts-1))
	tells("less than what was told")
	for n := range int32(100) {
		mark(fmt.Sprint(n), n, start.Add(2*markLasts))
	}
	if p, _ := topic.after(t.Context(), position{}, 0, nil); len(p.notices) != 101 || p.notices[0].rank != 5 {
		t.Errorf("%d marks are told to the other stream, which was told of none; want 101", len(p.notices))
	}
	if _, err := topic.after(t.Context(), position{}, posts, given); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		mark(fmt.Sprint("new", n), 1, start.Add(2*markLasts))
	}
	if topic.board.newest[boardKey{author: "ada"}] != nil {
		t.Error("a mark is kept that is over, and that all were told of")
	}
	if topic.board.newest[boardKey{author: "99"}] == nil {
		t.Error("a mark is not kept that is not over")
	}
}

// BenchmarkBoardSince has a stream ask for the newest of many notices.
func BenchmarkBoardSince(b *testing.B) {
	for _, n := range []int{100, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var all board
			now := time.Unix(1700000000, 0)
			for i := range n {
				all.put(notice{conversation: fmt.Sprint(i), kind: noticePresent, time: now, until: now.Add(time.Minute)}, nil)
			}
			for b.Loop() {
				all.since(all.posts - 1)
			}
		})
	}
}
