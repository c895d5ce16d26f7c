package support

import (
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
)

// notice is something that goes on right now: told to who watches, and not stored.
type notice struct {
	// conversation, author and kind say what it is the newest value of. On customers' boards the author is who they take them
	// for: participant, which is 0 for all who have said nothing.
	conversation, author string
	participant          int32
	kind                 noticeKind
	// standing is how the conversation stands, and so whose desk has to be told of it.
	standing *storev1.Standing
	// rank, of two values, says which is newer, if the later one need not be.
	rank int32
	// time is when it was posted, and until when it is over, both by the store's clock.
	time, until time.Time
}

// over reports whether what the notice tells is.
func (n notice) over(now time.Time) bool { return !n.until.After(now) }

// noticeKind is what a notice tells.
type noticeKind int

const (
	// noticeMark tells how far somebody has read. It is told to who watched when it was posted, even when it is over: it lies on
	// the board for longer so that no lesser one that comes late is told after it.
	noticeMark noticeKind = iota
	// noticeTyping tells that somebody writes.
	noticeTyping
	// noticePresent tells that somebody looks at the conversation.
	noticePresent
)

// markLasts is how long a read mark lies on a board at least.
const markLasts = 30 * time.Second

// board holds the newest value of each notice of a topic, until it is over.
type board struct {
	// posts counts what was ever posted, and told how many of those every stream was told.
	posts, told uint64
	// posted are the notices in the order in which they were, with some that are not the newest any more.
	posted []*posted
	newest map[boardKey]*posted
	// crowded is how many there may be before those that are over are looked for.
	crowded int
}

type boardKey struct {
	conversation, author string
	kind                 noticeKind
}

type posted struct {
	notice
	number uint64
	frame  *Frame
}

func (p *posted) key() boardKey { return boardKey{p.conversation, p.author, p.kind} }

// put puts a notice on the board, and reports whether it is news.
func (b *board) put(n notice, f *Frame) bool {
	p := &posted{n, b.posts + 1, f}
	if old := b.newest[p.key()]; old != nil && (old.rank > n.rank || old.absorbs(n)) {
		return false
	}
	if len(b.posted) >= b.crowded {
		b.clear(n.time)
	}
	b.posts++
	b.posted = append(b.posted, p)
	b.newest[p.key()] = p
	return true
}

// clear takes down what is over.
func (b *board) clear(now time.Time) {
	newest := map[boardKey]*posted{}
	b.posted = slices.DeleteFunc(b.posted, func(p *posted) bool {
		if b.newest[p.key()] != p || p.over(now) && (p.kind != noticeMark || p.number <= b.told) {
			return true
		}
		newest[p.key()] = p
		return false
	})
	b.newest, b.crowded = newest, 2*len(b.posted)+8
}

// since returns what was posted after a count of posts, in order.
func (b *board) since(count uint64) []*posted {
	var news []*posted
	for _, p := range slices.Backward(b.posted) {
		if p.number <= count {
			break
		}
		if b.newest[p.key()] == p {
			news = append(news, p)
		}
	}
	slices.Reverse(news)
	return news
}

// post puts a notice on the board and wakes the streams, if it is news.
func (t *topic) post(n notice, f *Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.board.put(n, f) {
		t.rouse()
	}
}
