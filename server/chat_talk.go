package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/goodship/goodship/client"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// talk is a chat under way. What is typed is done line after line, each by an attempt of its own beside the loop of run. A line
// that the server's absence keeps from being done stays the first until it is. What is not under the lock belongs to the
// attempt while there is one, and else to the loop; from queue to the lock it is the loop's alone.
type talk struct {
	*client.Client
	// agent says that it is an agent's, and self is the person's id.
	agent bool
	self  string

	// life is how long watches and attempts live, and stop ends it.
	life context.Context
	stop context.CancelFunc
	// leave ends the watch of the room.
	leave context.CancelFunc
	// listed are the ids of the conversations that were listed last.
	listed []string
	// watches are under way, and ended is told why one of them is no more.
	watches sync.WaitGroup
	ended   chan error

	// queue are the lines that are not done. missed says that the talk has to begin again before them, and beginning that it does.
	queue             []*line
	missed, beginning bool
	// tried is how the attempt under way goes, nil if there is none; pause is over when the next may begin.
	tried <-chan error
	pause <-chan time.Time
	// kept says that the queue waits for the server to come back.
	kept bool
	// leaving says that nothing more is typed, and cause why not, if it was not the person's will.
	leaving bool
	cause   error

	mu  sync.Mutex
	out io.Writer
	// room is the conversation, nil before there is one. Only the attempt changes it.
	room *room
	// echoes are the texts that were typed here and have not come back as messages, and how often each.
	echoes map[string]int
	// away says that the server was lost, and that it was told.
	away bool
}

// show prints a line. What other people wrote must not steer the terminal.
func (t *talk) show(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintln(t.out, visible(fmt.Sprintf(format, args...))) // a terminal that is gone ends stdin as well
}

// here is the conversation, nil if there is none.
func (t *talk) here() *room {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.room
}

// move makes another conversation the one that the terminal shows; nil for none.
func (t *talk) move(r *room) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.room = r
}

// run takes what is typed until that ends.
func (t *talk) run(ctx context.Context, stdin io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.revive(ctx)
	defer t.rest()
	if err := t.begin(t.life); err != nil {
		return err
	}
	for in := typedLines(ctx, stdin); ; {
		t.next(ctx)
		if err := t.step(ctx, in); err != nil || ctx.Err() != nil {
			return err
		}
		switch {
		case t.leaving && t.kept:
			return fmt.Errorf("the server is away: of the lines that were typed %d may not have been sent", len(t.queue))
		case t.leaving && len(t.queue) == 0:
			return t.cause
		}
	}
}

// step waits until something happens, and draws the conclusion. It returns an error if the talk cannot go on.
func (t *talk) step(ctx context.Context, in *input) error {
	lines := in.lines
	if t.leaving {
		lines = nil
	}
	select {
	case <-ctx.Done():
	case err := <-t.ended:
		return t.miss(err)
	case <-t.pause:
		t.pause = nil
	case err := <-t.tried:
		return t.done(err)
	case text, more := <-lines:
		switch {
		case !more:
			t.leaving, t.cause = true, in.err
		case text == "/quit":
			t.leaving = true
		case text != "":
			t.queue = append(t.queue, t.newLine(text))
		}
	}
	return nil
}

// miss takes note that a watch ended, and returns why unless the talk can begin again: after a restore cursors do not fit, and
// conversations that began after the backup are gone.
func (t *talk) miss(err error) error {
	if !errors.Is(err, client.ErrGap) && status.Code(err) != codes.NotFound {
		return err
	}
	if !t.missed {
		t.show("· the server was restored from a backup: this is what it has now")
	}
	t.missed = true
	return nil
}

// revive ends what is under way and lets it begin anew.
func (t *talk) revive(ctx context.Context) {
	t.rest()
	select {
	case <-t.ended: //nolint:errcheck // another watch, for the same reason
	default:
	}
	t.life, t.stop = context.WithCancel(ctx)
	t.leave = func() {}
}

// rest ends what is under way.
func (t *talk) rest() {
	if t.stop == nil {
		return
	}
	t.stop()
	if t.tried != nil {
		<-t.tried //nolint:errcheck // it was ended
		t.tried = nil
	}
	t.watches.Wait()
}

// next begins what is to be done next, unless something is.
func (t *talk) next(ctx context.Context) {
	switch {
	case t.pause != nil:
	case t.missed && t.tried == nil:
		t.revive(ctx)
		t.missed, t.beginning = false, true
		t.attempt(t.begin)
	case len(t.queue) > 0 && t.tried == nil:
		first := t.queue[0]
		t.attempt(func(ctx context.Context) error { return t.take(ctx, first) })
	}
}

// callTimeout is how long an attempt may take.
const callTimeout = 15 * time.Second

// attempt does something beside the loop, and tells tried how it went.
func (t *talk) attempt(do func(context.Context) error) {
	tried := make(chan error, 1)
	t.tried = tried
	ctx, cancel := context.WithTimeout(t.life, callTimeout)
	go func() {
		defer cancel()
		tried <- do(ctx)
	}()
}

// retryPause is how long to wait after an attempt that the server's absence spoiled. The attempt itself took its time: the
// client calls again, too.
const retryPause = time.Second

// done draws the conclusion of an attempt, and returns an error if the talk cannot go on.
func (t *talk) done(err error) error {
	began := t.beginning
	t.tried, t.beginning = nil, false
	switch {
	case lost(err):
		t.missed = t.missed || began
		t.pause = time.After(retryPause)
		if !t.kept && len(t.queue) > 0 {
			t.kept = true
			t.show("· the server is away: what you type is kept, and sent when it is back; /quit drops it")
		}
		return nil
	case began:
		return err
	}
	if err != nil {
		t.shown(t.queue[0].echo)
		t.show("! %s", oneLine(plain(err)))
	}
	t.queue = t.queue[1:]
	if t.kept && len(t.queue) == 0 {
		t.kept = false
		t.show("· what was kept is sent")
	}
	return nil
}

// lost reports whether a call failed because the server is away or does not answer, so that it may or may not have been done.
func lost(err error) bool {
	var trouble net.Error // the TokenSource's
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded || errors.As(err, &trouble)
}

// line is what was typed, until it is done.
type line struct {
	text string
	// rest is what follows the command.
	rest string
	// requestID is that of all attempts, so that it is done once.
	requestID string
	// room is the conversation that it was typed in, and seen the revision that was shown of it: what it answers.
	room *room
	seen int32
	// echo is the message that it makes; empty if it makes none.
	echo string
}

func (t *talk) newLine(text string) *line {
	l := &line{text: text, requestID: uuid.NewString()}
	l.in(t.here())
	return l
}

// in says in which conversation the line is said. What was typed before that was entered answers what is shown there then.
func (l *line) in(r *room) {
	if r != nil && l.room != r {
		l.room, l.seen = r, r.seen.Load()
	}
}

// echoed takes note of the message that a line makes: it stands on the screen already, and is not shown again when it comes.
func (t *talk) echoed(l *line, text string) {
	if l.echo != "" || text == "" {
		return
	}
	l.echo = text
	t.mu.Lock()
	defer t.mu.Unlock()
	t.echoes[text]++
}

// shown reports whether a message of the person's own was typed here, once for each time.
func (t *talk) shown(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.echoes[text] == 0 {
		return false
	}
	t.echoes[text]--
	return true
}

// maxLine is how many bytes a line may have: more than a message, so that the server says what is too long.
const maxLine = 1 << 20

// input is what is typed.
type input struct {
	lines chan string
	// err is why it ended; to be read when lines is closed.
	err error
}

// typedLines are the lines of stdin, until it or the context ends.
func typedLines(ctx context.Context, stdin io.Reader) *input {
	in := &input{lines: make(chan string)}
	go func() {
		defer close(in.lines)
		s := bufio.NewScanner(stdin)
		for s.Buffer(nil, maxLine); s.Scan(); {
			select {
			case in.lines <- strings.TrimSpace(s.Text()):
			case <-ctx.Done():
				return
			}
		}
		switch err := s.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			in.err = fmt.Errorf("a line has more than %d bytes, and what follows it was not read: send it in parts", maxLine)
		case err != nil:
			in.err = fmt.Errorf("what is typed cannot be read: %w", err)
		}
	}()
	return in
}
