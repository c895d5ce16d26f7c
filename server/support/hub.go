package support

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
)

// hub wakes the streams that watch.
//
// Watching is: read what follows a position, send it, and when there is nothing more, wait until there may be. The store's
// hints say when: they carry no data, so that any number of them merge into one, and none can be lost that matters. Nothing is
// queued for a stream: all that it has of its own is its position.
//
// All streams of one scope share a topic (topic.go). A hint raises the topics that it concerns, and each wakes its streams.
// The first of them reads what is new, for all (scope.go): it is rendered, sealed (cursor.go) and encoded once, as frames
// (frame.go), which the topic keeps until the last of the streams was given them. What goes on right now and is not stored, signals and read marks, lies
// on a board of each topic (board.go): the newest value of each.
//
// A stream looks at its caller again when a hint is of their person, or of the workspace's keys and settings. For that, each
// person who watches has a bell. All bells ring when the server stops.
//
// A stream (watch.go) subscribes first and reads then, so that what happens in between wakes it. Its one goroutine waits; what
// there is to do is done in turns, each in a goroutine of its own, which is left behind when a send takes too long. A turn that
// told what just happened stays for some seconds, since more may follow: waking it costs half as much.
//
// Locks are taken in the order hub, topic. Safe for concurrent use.
type hub struct {
	// read reads what follows a position of a scope.
	read func(context.Context, scope, position) (batch, error)
	// draining says that every stream is to end. It is set under the lock.
	draining atomic.Bool
	// running are the streams and their turns.
	running sync.WaitGroup

	mu     sync.Mutex
	topics map[scope]*topic
	// ofKey are the topics of all conversations of customers, by each of their keys.
	ofKey map[customerKey][]*topic
	// bells are those of persons who watch, by workspace and principal.
	bells map[string]map[string]*bell
}

// customerKey is the internal key of a customer.
type customerKey struct{ workspace, key string }

// bell is rung to tell that what is known of a person may have changed: it is closed then, and made anew.
type bell struct {
	rung    chan struct{}
	streams int
}

func newHub(read func(context.Context, scope, position) (batch, error)) *hub {
	return &hub{
		read:   read,
		topics: map[scope]*topic{}, ofKey: map[customerKey][]*topic{}, bells: map[string]map[string]*bell{},
	}
}

// enter lets a stream begin, unless all are to end; leave must follow.
func (h *hub) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining.Load() {
		return serverStopping()
	}
	h.running.Add(1)
	return nil
}

func (h *hub) leave() { h.running.Done() }

// drain ends all streams, and lets no more in.
func (h *hub) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining.Store(true)
	for workspace := range h.bells {
		h.ringAll(workspace)
	}
}

// hint wakes whom a hint concerns.
func (h *hub) hint(x store.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case x.ConversationID != "":
		h.each(x.Workspace, x.ConversationID, x.CustomerKey, func(t *topic) { t.raise(x.ConversationID) })
	case x.AgentID != "":
		h.bells[x.Workspace]["agent/"+x.AgentID].ring()
	case x.CustomerID != "":
		h.bells[x.Workspace]["customer/"+x.CustomerID].ring()
	default:
		h.ringAll(x.Workspace)
	}
}

// each calls fn with the topics that a conversation is part of; under the lock.
func (h *hub) each(workspace, conversation, key string, fn func(*topic)) {
	for _, s := range [...]scope{
		{workspace: workspace},
		{workspace: workspace, conversation: conversation},
		{workspace: workspace, conversation: conversation, audience: customers},
	} {
		if t := h.topics[s]; t != nil {
			fn(t)
		}
	}
	for _, t := range h.ofKey[customerKey{workspace, key}] {
		fn(t)
	}
}

// post puts a notice of a conversation on the board of every topic that this is part of and somebody watches. render returns it
// as an audience sees it, without a cursor, or nil if that is not told; it is called at most once for each.
func (h *hub) post(workspace string, of *storev1.Head, n notice, render func(audience) *goodshipv1.WatchUpdate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n.conversation, n.standing = of.Conversation.Id, standing(of)
	var frames [2]*Frame
	var rendered [2]bool
	h.each(workspace, n.conversation, of.CustomerKey, func(t *topic) {
		a, n := t.scope.audience, n
		if a == customers {
			n.author = strconv.Itoa(int(n.participant))
		}
		if !rendered[a] {
			rendered[a] = true
			if u := render(a); u != nil {
				frames[a] = NewFrame(u)
			}
		}
		if frames[a] != nil {
			t.post(n, frames[a])
		}
	})
}

// join returns the topic of a scope, with a stream more.
func (h *hub) join(s scope) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[s]
	if t == nil {
		t = newTopic(s, h.read)
		h.topics[s] = t
		for key := range strings.FieldsSeq(s.keys) {
			at := customerKey{s.workspace, key}
			h.ofKey[at] = append(h.ofKey[at], t)
		}
	}
	t.join()
	return t
}

// part takes a stream away from its topic; given is the newest wake that it was given.
func (h *hub) part(t *topic, given <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.part(given) > 0 {
		return
	}
	delete(h.topics, t.scope)
	for key := range strings.FieldsSeq(t.scope.keys) {
		at := customerKey{t.scope.workspace, key}
		if h.ofKey[at] = slices.DeleteFunc(h.ofKey[at], func(other *topic) bool { return other == t }); len(h.ofKey[at]) == 0 {
			delete(h.ofKey, at)
		}
	}
}

// listen returns the bell of a principal, for a stream more; hush must follow.
func (h *hub) listen(workspace, principal string) *bell {
	h.mu.Lock()
	defer h.mu.Unlock()
	bells := h.bells[workspace]
	if bells == nil {
		bells = map[string]*bell{}
		h.bells[workspace] = bells
	}
	b := bells[principal]
	if b == nil {
		b = &bell{rung: make(chan struct{})}
		bells[principal] = b
	}
	b.streams++
	return b
}

// hush ends a stream's listening.
func (h *hub) hush(workspace, principal string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	bells := h.bells[workspace]
	b := bells[principal]
	if b.streams--; b.streams > 0 {
		return
	}
	if delete(bells, principal); len(bells) == 0 {
		delete(h.bells, workspace)
	}
}

// next returns what is closed when a bell rings next.
func (h *hub) next(b *bell) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return b.rung
}

// ringAll rings all bells of a workspace; under the lock.
func (h *hub) ringAll(workspace string) {
	for _, b := range h.bells[workspace] {
		b.ring()
	}
}

// ring rings a bell, if anybody listens.
func (b *bell) ring() {
	if b == nil {
		return
	}
	close(b.rung)
	b.rung = make(chan struct{})
}

func serverStopping() *fault.Fault {
	return fault.New(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_SERVER_STOPPING,
		"The server is stopping. Watch on from the cursor as soon as it or another is up.")
}
