package support_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// patience is how long a test waits for what must come. It decides nothing but how soon a test that fails does.
const patience = 2 * time.Minute

// watching is a stream without a transport: what is sent waits until it is read, as over a connection that holds nothing.
type watching struct {
	grpc.ServerStream
	t      testing.TB
	ctx    context.Context
	frames chan *support.Frame
	// leave ends the stream as a caller who goes away does.
	leave context.CancelFunc
	// end gets how the stream ended, by the service.
	end chan error
}

func (s *watching) Context() context.Context { return s.ctx }

// SendMsg takes nothing but frames: what is sent must be encoded once.
func (s *watching) SendMsg(m any) error {
	select {
	case s.frames <- m.(*support.Frame):
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// still runs a test in a world where time passes by jumps, before and after which everybody has done what there was to do.
func still(t *testing.T, test func(t *testing.T, w *world, jump func(time.Duration))) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(t, w, func(d time.Duration) {
			synctest.Wait()
			w.clock.Jump(d)
			synctest.Wait()
		})
	})
}

// serves runs a stream for a caller's call.
func (w *world) serves(ctx context.Context, watch func(*world, grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error) *watching {
	w.t.Helper()
	s := &watching{t: w.t, frames: make(chan *support.Frame), end: make(chan error, 1)}
	s.ctx, s.leave = context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer s.leave() // as a transport does when the handler has returned
		s.end <- watch(w, &grpc.GenericServerStream[goodshipv1.WatchConversationRequest, goodshipv1.WatchUpdate]{ServerStream: s})
	}()
	w.t.Cleanup(func() {
		s.leave()
		<-gone
	})
	return s
}

// watches begins to watch a conversation, or, by "-", all of a customer's.
func (w *world) watches(p person, id, cursor string) *watching {
	w.t.Helper()
	return w.request(w.by(p), &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: cursor})
}

// sits begins to watch the desk.
func (w *world) sits(p person, req *goodshipv1.WatchDeskRequest) *watching {
	w.t.Helper()
	return w.request(w.by(p), req)
}

// request begins to watch.
func (w *world) request(ctx context.Context, req proto.Message) *watching {
	w.t.Helper()
	return w.serves(ctx, func(w *world, out grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error {
		if desk, ok := req.(*goodshipv1.WatchDeskRequest); ok {
			return w.WatchDesk(desk, out)
		}
		return w.WatchConversation(req.(*goodshipv1.WatchConversationRequest), out)
	})
}

// frame returns the next frame.
func (s *watching) frame() *support.Frame {
	s.t.Helper()
	select {
	case f := <-s.frames:
		return f
	case err := <-s.end:
		s.t.Fatalf("the stream ended with %q, want an update", refusal(err))
	case <-time.After(patience):
		s.t.Fatal("no update came")
	}
	return nil
}

// next returns the next update.
func (s *watching) next() *goodshipv1.WatchUpdate {
	s.t.Helper()
	return s.frame().Update()
}

// begins reads the first update, which is progress, and returns its cursor.
func (s *watching) begins() string {
	s.t.Helper()
	return s.progress()
}

// progress reads an update that is progress, and returns its cursor.
func (s *watching) progress() string {
	s.t.Helper()
	u := s.next()
	if u.GetProgress() == nil || u.Cursor == "" {
		s.t.Fatalf("got %v, want progress", u)
	}
	return u.Cursor
}

// event reads an update that is an event.
func (s *watching) event() *goodshipv1.WatchUpdate {
	s.t.Helper()
	u := s.next()
	if u.GetEvent() == nil || u.Cursor == "" {
		s.t.Fatalf("got %v, want an event", u)
	}
	return u
}

// events reads the events up to one that is of a kind.
func (s *watching) events(last string) []*goodshipv1.WatchUpdate {
	s.t.Helper()
	for all := []*goodshipv1.WatchUpdate(nil); ; {
		u := s.event()
		if all = append(all, u); eventKind(u) == last {
			return all
		}
	}
}

// said reads events up to one in which something was said, and returns what.
func (s *watching) said() string {
	s.t.Helper()
	all := s.events("message_sent")
	return all[len(all)-1].GetEvent().GetMessageSent().Message.Text
}

// eventKind names the kind of an event.
func eventKind(u *goodshipv1.WatchUpdate) string {
	e := u.GetEvent().ProtoReflect()
	return string(e.WhichOneof(e.Descriptor().Oneofs().ByName("kind")).Name())
}

// ends waits for the stream's end and returns its error. What comes before is not looked at.
func (s *watching) ends() error {
	s.t.Helper()
	for {
		select {
		case <-s.frames:
		case err := <-s.end:
			return err
		case <-time.After(patience):
			s.t.Fatal("the stream did not end")
		}
	}
}

// endsWith waits for the stream's end, which must be a refusal with a cursor, and returns that.
func (s *watching) endsWith(want string) string {
	s.t.Helper()
	cursor, err := metadata(s.ends(), "cursor")
	equal(s.t, "the end", err, want)
	return cursor
}

// metadata takes a value out of an error's metadata, and returns both.
func metadata(err error, key string) (value, rest string) {
	for word := range strings.FieldsSeq(refusal(err)) {
		if v, ok := strings.CutPrefix(word, key+"="); ok {
			value = v
			continue
		}
		if rest != "" {
			rest += " "
		}
		rest += word
	}
	return value, rest
}

// goes ends the stream as a caller who goes away does, and waits for its end.
func (s *watching) goes() {
	s.t.Helper()
	s.leave()
	if err := s.ends(); !errors.Is(err, context.Canceled) {
		s.t.Errorf("got the end %v, want that of the context", err)
	}
}
