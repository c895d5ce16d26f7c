package live

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// watcher reads a scope's streams one after the other, and keeps a record of what it is told.
type watcher struct {
	*scene
	name string
	of   scope
	conn *grpc.ClientConn
	by   way
	rng  *rand.Rand

	mu     sync.Mutex
	begins beginning
	cursor string
	record []entry
	// messages are as they were told last, and marks how far people have read.
	messages map[numbered]uint64
	marks    map[reader]int32
	// back is where the watcher once was and may go back to.
	back struct {
		cursor string
		length int
	}
	segments int
	ready    chan struct{} // closed by the first update
	once     sync.Once
	// heard gets a token after each event and read mark.
	heard chan struct{}
}

// way is how a watcher's streams come.
type way int

const (
	byGRPC way = iota
	byHTTP
	bySDK
)

// reader is somebody who reads a conversation: to agents an agent or the customer, to customers a participant.
type reader struct {
	conversation, agent string
	participant         int32
}

// read takes down how far somebody has read. A mark may come twice, but it only grows.
func (w *watcher) read(conversation string, m *goodshipv1.ReadMark) {
	of := reader{conversation: conversation, agent: m.AgentId}
	if w.of.customer() {
		of.participant = m.ParticipantNumber
	}
	w.marks[of] = max(w.marks[of], m.MessageNumber)
}

// run opens streams until the context is done.
func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.segment(ctx)
		if ctx.Err() != nil {
			return
		}
		if !w.lives(err) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(w.rng.IntN(30)) * time.Millisecond):
		}
	}
}

// stay is how many updates a watcher reads from a stream on average before it leaves.
const stay = 80

// segment reads one stream, until it ends or the watcher has enough, which is no error.
func (w *watcher) segment(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := w.ledger.now()
	next, stop, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer stop()
	enough := int(w.rng.ExpFloat64() * stay)
	for n := 0; n <= enough; n++ {
		u, err := next()
		if err != nil {
			return err
		}
		if n == 0 && u.GetProgress() == nil {
			w.t.Errorf("%s: a stream begins with %v", w.name, u)
		}
		w.take(u, opened)
	}
	return nil
}

// open opens a stream where the last one ended, or now and then, while there is load, where an earlier one did.
func (w *watcher) open(ctx context.Context) (next stream, stop func(), err error) {
	w.mu.Lock()
	w.segments++
	if w.back.cursor != "" && !w.calm.Load() && w.rng.IntN(20) == 0 {
		w.cursor, w.record, w.back.cursor = w.back.cursor, w.record[:w.back.length], ""
	} else if w.rng.IntN(20) == 0 {
		w.back.cursor, w.back.length = w.cursor, len(w.record)
	}
	cursor := w.cursor
	w.mu.Unlock()
	stop = func() {}
	switch w.by {
	case byHTTP:
		next, err = w.overHTTP(ctx, w.of, cursor, cursor != "" && w.rng.IntN(2) == 0)
	case bySDK:
		next, stop = w.overSDK(ctx, w.conn, w.of, cursor)
	default:
		next, err = w.overGRPC(ctx, w.conn, w.of, cursor)
	}
	return next, stop, err
}

// take puts an update into the record.
func (w *watcher) take(u *goodshipv1.WatchUpdate, opened int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.Cursor != "" {
		w.cursor = u.Cursor
	}
	switch {
	case u.GetEvent() != nil:
		w.told(u, opened)
	case u.GetReadMark() != nil:
		w.read(u.ConversationId, u.GetReadMark())
	}
	if hasPlace := u.GetReadMark() == nil && u.GetSignal() == nil; hasPlace != (u.Cursor != "") {
		w.t.Errorf("%s: is told %v", w.name, u)
	}
	w.once.Do(func() { close(w.ready) })
	if u.GetEvent() != nil || u.GetReadMark() != nil {
		select {
		case w.heard <- struct{}{}:
		default:
		}
	}
}

// told puts an event into the record. What was gone when the stream was opened must not be told.
func (w *watcher) told(u *goodshipv1.WatchUpdate, opened int64) {
	e, message := entryOf(u.ConversationId, u.GetEvent(), w.of.customer())
	w.record = append(w.record, e)
	if message != nil {
		m := numbered{u.ConversationId, message.Number}
		if message.Text != "" && w.ledger.goneBefore(m, opened) {
			w.t.Errorf("%s: %v says %q, which was redacted before the stream was opened", w.name, e, message.Text)
		}
		w.messages[m] = sum(message)
	}
	w.delivered.add()
}

// lives reports whether a stream's end is one that a client is to live with, and goes on where it says, if it says so.
func (w *watcher) lives(err error) bool {
	if err == nil || errors.Is(err, io.EOF) {
		return true
	}
	reason, cursor := infoOf(err)
	switch {
	case status.Code(err) == codes.Unavailable, status.Code(err) == codes.Canceled:
	case reason == "WATCH_STALLED": // this machine was too busy to read
	default:
		w.t.Errorf("%s: a stream ends with %v", w.name, err)
		return false
	}
	if cursor != "" {
		w.mu.Lock()
		w.cursor = cursor
		w.mu.Unlock()
	}
	return true
}

// knows reports whether a watcher was told of a message.
func (w *watcher) knows(m numbered) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.messages[m]
	return ok
}

// position returns where a watcher is, for another to go on from.
func (w *watcher) position() (cursor string, begins beginning) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.record); n > 0 {
		return w.cursor, beginning{after: w.record[n-1].place}
	}
	return w.cursor, w.begins
}
