package support

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// tailItems and tailBytes are how much a topic keeps at hand for streams that have not been told it yet.
	tailItems = 256
	tailBytes = 512 << 10
	// manyTold is how many streams take longer to wake than a goroutine takes to start: 10,000 take milliseconds.
	manyTold = 100
	// maxTouched is of how many conversations a topic knows when they were hinted at.
	maxTouched = 1000
)

// item is an event of a scope, ready to be sent.
type item struct {
	frame *Frame
	// at is the position after it.
	at position
	// message is the number of the message that it shows, 0 if none, and rewrites says that it changed that message.
	message  int32
	rewrites bool
	// removes says that it tells of the conversation's removal, which every desk is told of.
	removes bool
	bytes   int
	// desk is whose desks are to be told; nil but on desks.
	desk *desk
}

func (i item) conversation() string { return i.frame.update.ConversationId }

// batch is what follows a position, as it was read.
type batch struct {
	items []item
	// end is the position after all that was read, of which some may be nobody's to see in this scope.
	end position
	// complete says that nothing followed.
	complete bool
}

// portion is a batch for one stream.
type portion struct {
	batch
	// version is the topic's as of which the items are as they are stored.
	version uint64
	// wake, if set, says that nothing follows the batch; it is closed when something may.
	wake <-chan struct{}
	// notices, with wake, are those that were posted since, and posts counts the notices by now.
	notices []*posted
	posts   uint64
}

// topic is what all streams of a scope share. It keeps a tail: the newest items, as long as some stream was not told them. A
// stream whose position lies before the tail reads for itself, and puts what it read in front if it fits.
//
// A hint raises the version. Items are as they were in the store at a version: before they are given out at a later one, what
// is new is read, and says if a message that one of them shows was rewritten. A stream that has a portion in its hand asks
// before each item if it is fresh, so that no text is handed to the transport after its redaction was acknowledged.
type topic struct {
	scope scope
	read  func(context.Context, scope, position) (batch, error)
	// reading is held by the stream that reads.
	reading sync.Mutex

	mu      sync.Mutex
	streams int
	// told are those that were given all that there is, as of wake.
	told    int
	wake    chan struct{}
	version atomic.Uint64 // set under the lock
	// touched is the version at which a conversation was hinted at last, of those that were since the version floor.
	touched map[string]uint64
	floor   uint64
	tail    tail
	board   board
}

// tail is a run of items: those from start to end, as of a version. Portions share its memory, so that items are only added
// behind.
type tail struct {
	start   position
	version uint64
	batch
}

// from returns what follows a position that is not before the start.
func (n tail) from(p position) portion {
	i, _ := slices.BinarySearchFunc(n.items, p, func(i item, p position) int {
		if i.at.compare(p) > 0 {
			return 1
		}
		return -1
	})
	return portion{batch: batch{items: n.items[i:], end: n.end, complete: n.complete}, version: n.version}
}

// grow returns the tail with what followed it, which was read at a version.
func (n tail) grow(read batch, version uint64) tail {
	if version != n.version && !read.complete { // what was not read yet may rewrite anything
		n.start, n.items = n.end, nil
	}
	n = n.without(read.items)
	n.items = append(n.items, read.items...)
	n.end, n.complete, n.version = read.end, read.complete, version
	return n
}

// without returns the tail without the messages that items rewrite and the conversations that they remove, and what comes before
// them.
func (n tail) without(rewriting []item) tail {
	for _, r := range rewriting {
		if r.rewrites || r.removes {
			n = n.behind(func(old item) bool {
				return (r.removes || old.message == r.message) && old.conversation() == r.conversation()
			})
		}
	}
	return n
}

// behind returns what comes in the tail behind the last item for which something holds.
func (n tail) behind(holds func(item) bool) tail {
	for i, old := range slices.Backward(n.items) {
		if holds(old) {
			n.start, n.items = old.at, n.items[i+1:]
			break
		}
	}
	return n
}

// followedBy returns a tail and a later one, which begins where it ends or before, as one.
func (n tail) followedBy(later tail) tail {
	var items []item
	for _, i := range n.items {
		if i.at.compare(later.start) <= 0 {
			items = append(items, i)
		}
	}
	later.start, later.items = n.start, append(items, later.items...)
	return later
}

// bounded returns the tail without what is too much, from the front.
func (n tail) bounded() tail {
	bytes := 0
	for i, item := range slices.Backward(n.items) {
		if bytes += item.bytes; bytes > tailBytes || len(n.items)-i > tailItems {
			n.start, n.items = item.at, n.items[i+1:]
			break
		}
	}
	return n
}

func newTopic(s scope, read func(context.Context, scope, position) (batch, error)) *topic {
	return &topic{scope: s, read: read, wake: make(chan struct{})}
}

func (t *topic) join() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams++
}

// part takes a stream away, whose newest wake was told, and returns how many are left.
func (t *topic) part(told <-chan struct{}) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams--
	if told == t.wake {
		t.told--
	}
	t.rest()
	return t.streams
}

// raise tells that a conversation may have changed.
func (t *topic) raise(conversation string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	version := t.version.Add(1)
	if len(t.touched) >= maxTouched {
		t.touched, t.floor = nil, version
	}
	if t.touched == nil {
		t.touched = map[string]uint64{}
	}
	t.touched[conversation] = version
	t.rouse()
}

// rouse wakes all streams; under the lock. Who gives a hint, the store's writer, waits for a few only.
func (t *topic) rouse() {
	if t.told > manyTold {
		go close(t.wake)
	} else {
		close(t.wake)
	}
	t.wake, t.told = make(chan struct{}), 0
}

// rest forgets what every stream was told; under the lock.
func (t *topic) rest() {
	if t.told < t.streams {
		return
	}
	t.tail = tail{}
	t.touched, t.floor = nil, t.version.Load()
	t.board.told = t.board.posts
}

// fresh reports whether what was read of a conversation at a version is still so.
func (t *topic) fresh(conversation string, version uint64) bool {
	if version == t.version.Load() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.still(conversation, version)
}

// still is fresh under the lock, at another version.
func (t *topic) still(conversation string, version uint64) bool {
	return version >= t.floor && t.touched[conversation] <= version
}

// known returns the tail and the version by now. A customer's topic is not told when a conversation is removed, so that its tail is
// without what may have been.
func (t *topic) known() (tail, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.tail
	if t.scope.customer != "" {
		known = known.behind(func(i item) bool { return !t.still(i.conversation(), known.version) })
	}
	return known, t.version.Load()
}

// after returns what follows a position, and, when nothing follows that, what was posted after a count of posts. It may be a
// portion without items before the end. told is the wake of the stream's newest portion that had one, nil if none did.
func (t *topic) after(ctx context.Context, from position, posts uint64, told <-chan struct{}) (portion, error) {
	if p, ok := t.kept(from, posts, told); ok {
		return p, nil
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	if p, ok := t.kept(from, posts, told); ok { // by who read meanwhile
		return p, nil
	}
	known, version := t.known()
	if from.compare(known.end) > 0 { // nobody was further
		known = tail{start: from, batch: batch{end: from}}
	}
	if from.compare(known.start) < 0 && known.version == version {
		return t.before(ctx, known, from)
	}
	read, err := t.read(ctx, t.scope, known.end)
	if err != nil {
		return portion{}, err
	}
	grown := known.grow(read, version)
	if t.keep(grown); from.compare(grown.start) < 0 {
		return t.before(ctx, grown, from)
	}
	if p, ok := t.kept(from, posts, told); ok {
		return p, nil
	}
	return grown.from(from), nil
}

// before reads for a stream that is behind the tail, as of the tail's version.
func (t *topic) before(ctx context.Context, known tail, from position) (portion, error) {
	read, err := t.read(ctx, t.scope, from)
	if err != nil {
		return portion{}, err
	}
	if read.complete && read.end.compare(known.start) < 0 { // what was between is of conversations that were removed
		read.end = known.start
	}
	older := tail{start: from, version: known.version, batch: read}
	if read.end.compare(known.start) >= 0 {
		older = older.followedBy(known)
		t.keep(older)
	}
	return older.from(from), nil
}

// keep sets the tail.
func (t *topic) keep(n tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail = n.bounded()
}

// kept returns what the tail has for a stream, if that is up to date. To be given the end and what is on the board is one step.
func (t *topic) kept(from position, posts uint64, told <-chan struct{}) (portion, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	behind := from.compare(t.tail.end)
	if t.tail.version != t.version.Load() || from.compare(t.tail.start) < 0 || behind > 0 || behind == 0 && !t.tail.complete {
		return portion{}, false
	}
	p := t.tail.from(from)
	if !p.complete {
		return p, true
	}
	p.wake, p.notices, p.posts = t.wake, t.board.since(posts), t.board.posts
	if told != t.wake {
		t.told++
	}
	t.rest()
	return p, true
}
