package main

import (
	"context"
	"slices"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// begin shows an agent the line, and goes on with the conversation that the person was in, or else with an open one.
func (t *talk) begin(ctx context.Context) error {
	if t.agent {
		if err := t.watchLine(ctx); err != nil {
			return err
		}
	}
	if t.room != nil {
		err := t.enter(ctx, t.room.id)
		if status.Code(err) != codes.NotFound {
			return err
		}
		t.move(nil) // it began after the backup that the server was restored from
	}
	open, err := t.open(ctx)
	switch {
	case err != nil:
		return err
	case len(open) > 0:
		err = t.enter(ctx, open[0].GetId())
	case !t.agent:
		t.show("· write what it is about; /help shows what else can be typed")
	}
	if t.agent && len(open) > 1 {
		t.show("· you have %d open conversations: /list", len(open))
	}
	return err
}

// open are the person's conversations that are not resolved, those in which somebody waits first.
func (t *talk) open(ctx context.Context) (open []*goodshipv1.Conversation, err error) {
	for _, state := range []goodshipv1.State{goodshipv1.State_STATE_WAITING, goodshipv1.State_STATE_ANSWERED} {
		req := &goodshipv1.ListConversationsRequest{State: state}
		if t.agent {
			req.OwnerId = t.self
		}
		for c, err := range t.AllConversations(ctx, req) {
			if err != nil {
				return nil, err
			}
			open = append(open, c)
		}
	}
	return open, nil
}

// watchLine shows an agent how the line stands, and from then on who joins it, and who waits for them elsewhere.
func (t *talk) watchLine(ctx context.Context) error {
	waiting := goodshipv1.State_STATE_WAITING
	page, err := t.ListConversations(ctx, &goodshipv1.ListConversationsRequest{State: waiting, PageSize: 1})
	if err != nil {
		return err
	}
	line, err := t.GetLine(ctx, nil)
	if err != nil {
		return err
	}
	t.show("· %s", lineLine(line))
	nobodys := &goodshipv1.WatchDeskRequest{Cursor: page.GetWatchCursor(), State: waiting, Unowned: true}
	watch(t.life, t, t.WatchDesk, nobodys, func(update *goodshipv1.WatchUpdate) {
		if began := update.GetEvent().GetWaitBegan(); began != nil {
			t.show("· somebody waits, an answer is due by %s: /next", hour(began.GetDueTime()))
		} else if update.GetEvent().GetReleased() != nil {
			t.show("· somebody waits again: /next")
		}
	})
	own := &goodshipv1.WatchDeskRequest{Cursor: page.GetWatchCursor(), OwnerId: t.self}
	watch(t.life, t, t.WatchDesk, own, func(update *goodshipv1.WatchUpdate) {
		began, here := update.GetEvent().GetWaitBegan(), t.here()
		if began != nil && (here == nil || here.id != update.GetConversationId()) {
			t.show("· a customer waits in another conversation of yours, an answer is due by %s: /list", hour(began.GetDueTime()))
		}
	})
	return nil
}

// enter shows a conversation, and from then on what happens in it.
func (t *talk) enter(ctx context.Context, id string) error {
	c, err := t.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: id})
	if err != nil {
		return err
	}
	page, err := t.ListMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: id, NewestFirst: true})
	if err != nil {
		return err
	}
	t.leave()
	r := &room{talk: t, id: id, customer: c.GetCustomerId()}
	r.seen.Store(page.GetRevision())
	t.move(r)
	t.show("· %s", r.heading(c))
	for _, m := range slices.Backward(page.GetMessages()) {
		r.message(m)
	}
	ctx, t.leave = context.WithCancel(t.life)
	watch(ctx, t, t.WatchConversation, &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: page.GetWatchCursor()}, func(update *goodshipv1.WatchUpdate) {
		r.tell(update)
		r.read(ctx)
	})
	return nil
}

// opener is a method that watches.
type opener[Req proto.Message] func(context.Context, Req, ...grpc.CallOption) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error)

// watch does something with each update until the context ends.
func watch[Req proto.Message](ctx context.Context, t *talk, open opener[Req], req Req, do func(*goodshipv1.WatchUpdate)) {
	heeded := func(ctx context.Context, req Req, opts ...grpc.CallOption) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error) {
		stream, err := open(ctx, req, opts...)
		t.heed(err)
		return stream, err
	}
	t.watches.Go(func() {
		for update, err := range client.Watch(ctx, heeded, req) {
			if err == nil {
				do(update)
			} else if ctx.Err() == nil {
				t.end(err)
			}
		}
	})
}

// end ends the talk for a reason, if it has none yet.
func (t *talk) end(err error) {
	select {
	case t.ended <- err:
	default:
	}
}

// heed tells once that the server is lost.
func (t *talk) heed(err error) {
	lost := status.Code(err) == codes.Unavailable
	t.mu.Lock()
	news := lost && !t.away
	t.away = lost
	t.mu.Unlock()
	if news {
		t.show("· reconnecting …")
	}
}
