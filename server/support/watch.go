package support

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const (
	// progressAfter is how long a stream is silent before it tells that it is alive.
	progressAfter = 15 * time.Second
	// longestSend is how long a send may take before the stream ends.
	longestSend = 10 * time.Second
	// lastSend is how long the send that goes on may take once the stream has to end, or to see if it has.
	lastSend = 4 * time.Second
	// longestSegment is how long a stream goes on at most, of which up to segmentJitter is taken off, so that not all come again
	// at once.
	longestSegment = 10 * time.Minute
	segmentJitter  = time.Minute
)

var (
	// errSegmentOver ends a stream with OK.
	errSegmentOver = errors.New("support: the segment is over")
	// errHalted ends a turn, so that the next one sees why.
	errHalted = errors.New("support: the turn is to end")
	// ready is what a stream waits for that has not been told everything.
	ready = func() chan struct{} {
		c := make(chan struct{})
		close(c)
		return c
	}()
)

// WatchConversation tells what happens in a conversation, or in all conversations of the customer who calls.
func (s *Service) WatchConversation(req *goodshipv1.WatchConversationRequest, out grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error {
	w := s.newWatch(out)
	if err := w.ofConversation(req.ConversationId); err != nil {
		return err
	}
	return w.serve(req.Cursor)
}

// WatchDesk tells what happens in the conversations of the workspace.
func (s *Service) WatchDesk(req *goodshipv1.WatchDeskRequest, out grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error {
	if req.OwnerId != "" && req.Unowned {
		return fault.Field("unowned", "cannot go with owner_id")
	}
	w := s.newWatch(out)
	if req.State != 0 || req.OwnerId != "" || req.Unowned {
		w.wants = func(d *desk) bool { return deskHolds(req, d.before) || deskHolds(req, d.after) }
	}
	return w.serve(req.Cursor)
}

// deskHolds reports whether what a desk asks for holds for a conversation that stands so; never for one that is not there.
func deskHolds(req *goodshipv1.WatchDeskRequest, at *storev1.Standing) bool {
	return at.GetState() != 0 &&
		(req.State == 0 || req.State == at.State) &&
		(req.OwnerId == "" || req.OwnerId == at.OwnerId) &&
		(!req.Unowned || at.OwnerId == "")
}

// watch is a stream. Its goroutine waits (run); what there is to do is done in turns, each in a goroutine of its own and one at
// a time, which alone read the store and send.
type watch struct {
	service *Service
	ctx     context.Context
	out     grpc.ServerStream
	caller  Caller
	scope   scope
	// wants, if set, says which events of a desk are told.
	wants func(*desk) bool

	topic *topic
	// wake is closed when there may be something to tell, and given is the one that came with the newest end of the topic.
	wake, given <-chan struct{}
	// principal is whose bell the stream listens to; rung is closed when it rings, and looks says that the next turn is to look
	// at the caller again.
	principal string
	bell      *bell
	rung      <-chan struct{}
	looks     bool
	// held says that the agent who calls is held present.
	held bool
	// begun are the read marks as of its begin, and marks those of them that it has to tell yet.
	begun, marks []*goodshipv1.ReadMark
	// news are the notices that it has to tell yet, and posts counts all that it was given.
	news  []*posted
	posts uint64
	// live says that it was told all that there was, and so is told what comes when it comes.
	live bool
	// busy says that the turn told what just happened.
	busy bool
	// end is when the segment is over, and told when something was sent last.
	end, told time.Time

	// timer goes off at due; nil if it is not set.
	timer     <-chan time.Time
	stopTimer func()
	due       time.Time

	mu sync.Mutex
	at position
	// sendBy is until when the send that goes on may take, zero if none does.
	sendBy time.Time
	// halted says that the turn is to end, and send nothing more; stop is closed then.
	halted bool
	stop   chan struct{}
}

// outcome is how a turn ended.
type outcome struct {
	err      error
	panicked any
}

// newWatch returns a stream of the workspace's desk that goes to who calls. It is not inlined: what it needs
// would lie on a stack that is to be small for as long as the stream waits.
//
//go:noinline
func (s *Service) newWatch(out grpc.ServerStream) *watch {
	c := callerFrom(out.Context())
	return &watch{
		service: s, ctx: out.Context(), out: out, caller: c, scope: scope{workspace: c.Workspace}, principal: c.principal(),
		end: s.now().Add(longestSegment - rand.N(segmentJitter)),
	}
}

// ofConversation has the stream be one of a conversation, or, for -, of all conversations of the customer who calls.
func (w *watch) ofConversation(id string) error {
	switch {
	case id != "-":
		w.scope.audience, w.scope.conversation = audienceOf(w.caller), id
	case w.caller.isCustomer():
		w.scope = ofCustomer(w.caller)
	default:
		return fault.Field("conversation_id", "must be the id of a conversation: - is for customers, and WatchDesk watches all of the workspace")
	}
	return nil
}

// serve runs the stream from a cursor.
func (w *watch) serve(cursor string) error {
	hub := w.service.hub
	if err := hub.enter(); err != nil {
		return withCursor(err, cursor)
	}
	defer hub.leave()
	w.subscribe()
	defer w.close()
	err := w.run(func() error { return w.begin(cursor) })
	if errors.Is(err, errSegmentOver) {
		return nil
	}
	return err
}

// subscribe has the stream woken by what concerns it.
func (w *watch) subscribe() {
	s := w.service
	w.bell = s.hub.listen(w.scope.workspace, w.principal)
	w.topic, w.wake, w.rung = s.hub.join(w.scope), ready, ready
	s.streams.add(w.ctx, w.scope.workspace, 1)
}

// close takes the stream away from what it waited for.
func (w *watch) close() {
	s := w.service
	if w.timer != nil {
		w.stopTimer()
	}
	s.hub.part(w.topic, w.given)
	s.hub.hush(w.scope.workspace, w.principal)
	if w.held {
		s.presence.release(w.scope.workspace, w.caller.ID, s.store.Now())
	}
	s.streams.add(w.ctx, w.scope.workspace, -1)
}

// run takes turns, the first one first, until one ends the stream or takes too long.
func (w *watch) run(first func() error) error {
	hub := w.service.hub
	for turn := first; ; turn = w.turn {
		if isClosed(w.rung) {
			w.rung, w.looks = hub.next(w.bell), true
		}
		w.halted, w.stop = false, make(chan struct{})
		rung, done := w.rung, make(chan outcome, 1)
		hub.running.Go(func() { done <- taken(turn) })
		if err := w.await(done, rung); err != nil {
			return err
		}
		w.stop = nil // as little as can be is kept while the stream rests
		if err := w.rest(); err != nil {
			return err
		}
	}
}

// taken takes a turn. A panic is for the stream's goroutine, where the transport expects it.
func taken(turn func() error) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	return outcome{err: turn()}
}

// await waits for a turn to end, and sees to it that it does when there is reason.
func (w *watch) await(done <-chan outcome, rung <-chan struct{}) error {
	left := w.ctx.Done()
	w.setTimer(earlier(w.until(), w.service.now().Add(longestSend)))
	for {
		select {
		case o := <-done:
			if o.panicked != nil {
				panic(o.panicked)
			}
			if errors.Is(o.err, errHalted) {
				return nil
			}
			return o.err
		case <-left:
			left = nil
			w.hasten()
		case <-rung:
			rung = nil
			w.hasten()
		case <-w.timer:
			w.timer = nil
			w.halt()
			if err := w.stalled(w.service.now()); err != nil {
				return err
			}
		}
	}
}

// hasten has the turn end soon.
func (w *watch) hasten() {
	w.halt()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.sendBy.IsZero() {
		w.sendBy = earlier(w.sendBy, w.service.now().Add(lastSend))
		w.setTimer(w.sendBy)
	}
}

// stalled ends the stream if the last send of a halted turn takes too long, or else has the timer go off when it would.
func (w *watch) stalled(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.sendBy.IsZero():
		return nil
	case w.sendBy.After(now):
		w.setTimer(w.sendBy)
		return nil
	}
	return watchStalled().With("cursor", w.cursor())
}

// rest waits until there is something to do.
func (w *watch) rest() error {
	for {
		due := earlier(w.until(), w.told.Add(progressAfter))
		if len(w.news) > 0 || !due.After(w.service.now()) {
			return nil
		}
		w.setTimer(due)
		select {
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-w.rung:
			return nil
		case <-w.wake:
			return nil
		case <-w.timer:
			w.timer = nil
		}
	}
}

// setTimer has the timer go off at a time, if it does not before.
func (w *watch) setTimer(due time.Time) {
	if w.timer != nil {
		if !due.Before(w.due) {
			return
		}
		w.stopTimer()
	}
	w.due = due
	w.timer, w.stopTimer = w.service.clock.Timer(due.Sub(w.service.now()))
}

// until is when the stream ends.
func (w *watch) until() time.Time {
	if w.caller.expires.IsZero() {
		return w.end
	}
	return earlier(w.end, w.caller.expires)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// halt has the turn end before it sends more.
func (w *watch) halt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.halted {
		w.halted = true
		close(w.stop)
	}
}

func (w *watch) isHalted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.halted
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func watchStalled() *fault.Fault {
	return fault.New(codes.ResourceExhausted, goodshipv1.ErrorReason_ERROR_REASON_WATCH_STALLED,
		"Nobody read the watch for too long. Watch on from the cursor, and read as it comes.")
}
