package live

import (
	"context"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// join has the rest of the watchers come one by one while everybody writes, each with a cursor that a read gave it, or another
// watcher.
func (c *crowd) join(ctx context.Context) {
	late := c.all[c.early:]
	for i, w := range late {
		c.delivered.await(ctx, *deliveries/2*int64(i+1)/int64(len(late)+1))
		if !c.follow(w) {
			c.ask(c.ctx, w)
		}
		c.run.Go(func() { w.run(c.ctx) })
	}
}

// follow takes another watcher's cursor, half of the time, if one watches the same.
func (c *crowd) follow(w *watcher) bool {
	if w.rng.IntN(2) == 0 {
		return false
	}
	for _, other := range c.all[:c.early] {
		if other.of == w.of {
			w.cursor, w.begins = other.position()
			return true
		}
	}
	return false
}

// ask takes the cursor of a reply, and what the reply shows as what was there.
func (c *crowd) ask(ctx context.Context, w *watcher) {
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(c.as(ctx, w.of.who), patience/10)
		err := c.tryAsk(once, w)
		cancel()
		switch status.Code(err) {
		case codes.OK:
			return
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		default:
			c.t.Errorf("%s: asking for a cursor ends with %v", w.name, err)
			return
		}
	}
}

func (c *crowd) tryAsk(ctx context.Context, w *watcher) error {
	conversations := goodshipv1.NewConversationServiceClient(c.conns[0])
	switch {
	case w.of.conversation == "-" || w.of.conversation == "":
		return c.askForAll(ctx, conversations, w)
	case !w.of.customer() && w.rng.IntN(2) == 0:
		got, err := goodshipv1.NewMessageServiceClient(c.conns[0]).ListMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: w.of.conversation})
		w.cursor, w.begins = got.GetWatchCursor(), beginning{floor: map[string]int32{w.of.conversation: got.GetRevision()}}
		return err
	}
	got, err := conversations.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: w.of.conversation})
	w.cursor, w.begins = got.GetWatchCursor(), beginning{floor: map[string]int32{w.of.conversation: got.GetRevision() + got.GetPublicRevision()}, exact: true}
	return err
}

// askForAll reads all pages of a list, of which the first has the cursor.
func (c *crowd) askForAll(ctx context.Context, conversations goodshipv1.ConversationServiceClient, w *watcher) error {
	floor, cursor := map[string]int32{}, ""
	for token := ""; ; {
		page, err := conversations.ListConversations(ctx, &goodshipv1.ListConversationsRequest{PageSize: 100, PageToken: token})
		if err != nil {
			return err
		}
		for _, conv := range page.Conversations {
			floor[conv.Id] = conv.Revision + conv.PublicRevision
		}
		if token == "" {
			cursor = page.WatchCursor
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	w.cursor, w.begins = cursor, beginning{floor: floor}
	return nil
}
