package client

import (
	"context"
	"fmt"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// growing answers like a conversation of three pages of messages, of which every call makes another event: the first page
// shows revision 1, the next call's 2 …
func growing(_ context.Context, a attempt) (proto.Message, error) {
	list, ok := a.req.(*goodshipv1.ListMessagesRequest)
	if !ok {
		return &goodshipv1.Message{}, nil
	}
	page := &goodshipv1.ListMessagesResponse{Revision: int32(a.number), Messages: []*goodshipv1.Message{{}}}
	switch list.GetPageToken() {
	case "":
		page.NextPageToken = "2"
	case "2":
		page.NextPageToken = "3"
	}
	return page, nil
}

// said returns the seen_revision of the server's last attempt.
func said(s *scripted) int32 {
	all := s.seen()
	return all[len(all)-1].req.(*goodshipv1.SendMessageRequest).GetSeenRevision()
}

func TestReading(t *testing.T) {
	list := func(conversation, token string, newestFirst bool) func(context.Context, *Client) {
		return func(ctx context.Context, c *Client) {
			_, _ = c.ListMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: conversation, PageToken: token, NewestFirst: newestFirst})
		}
	}
	as := func(person string, read func(context.Context, *Client)) func(context.Context, *Client) {
		return func(ctx context.Context, c *Client) { read(ActFor(ctx, person), c) }
	}
	elsewhere := func(read func(context.Context, *Client)) func(context.Context, *Client) {
		return func(ctx context.Context, c *Client) { read(Reading(ctx), c) }
	}
	type reads []func(context.Context, *Client)
	for name, tc := range map[string]struct {
		reads reads
		want  int32
	}{
		"nothing":                             {nil, 0},
		"the newest page":                     {reads{list("conv", "", true)}, 1},
		"the newest page, twice":              {reads{list("conv", "", true), list("conv", "", true)}, 2},
		"the newest page and an older one":    {reads{list("conv", "", true), list("conv", "2", true)}, 1},
		"the oldest page of three":            {reads{list("conv", "", false)}, 0},
		"all pages":                           {reads{list("conv", "", false), list("conv", "2", false), list("conv", "3", false)}, 1},
		"the last page, of a listing unknown": {reads{list("conv", "3", false)}, 0},
		"all, and the first one again":        {reads{list("conv", "", true), list("conv", "", false)}, 1},
		"the newest, between all":             {reads{list("conv", "", false), list("conv", "", true), list("conv", "2", false), list("conv", "3", false)}, 2},
		"two listings, oldest first":          {reads{list("conv", "", false), list("conv", "2", false), list("conv", "", false), list("conv", "3", false)}, 0},
		"two listings, either way":            {reads{list("conv", "", true), list("conv", "", false), list("conv", "2", true)}, 1},
		"another conversation":                {reads{list("other", "", true)}, 0},
		"somebody else":                       {reads{as("agent/ben", list("conv", "", true))}, 0},
		"elsewhere":                           {reads{elsewhere(list("conv", "", true))}, 0},
		"the conversation, not its messages": {reads{func(ctx context.Context, c *Client) {
			_, _ = c.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: "conv"})
		}}, 0},
		"with an iterator": {reads{func(ctx context.Context, c *Client) {
			for _, err := range c.AllMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: "conv"}) {
				if err != nil {
					panic(err)
				}
			}
		}}, 1},
		"with an iterator, not to the end": {reads{func(ctx context.Context, c *Client) {
			for _, err := range c.AllMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: "conv"}) {
				if err != nil {
					panic(err)
				}
				break
			}
		}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, growing)
			c := s.client(WithActFor("agent/ada"))
			ctx := Reading(t.Context())
			for _, read := range tc.reads {
				read(ctx, c)
			}
			answer := &goodshipv1.SendMessageRequest{ConversationId: "conv", Text: "Ahoy"}
			if _, err := c.SendMessage(ctx, answer); err != nil {
				t.Fatal(err)
			}
			if got := said(s); got != tc.want {
				t.Errorf("answers %d, want %d", got, tc.want)
			}
			if answer.SeenRevision != 0 {
				t.Errorf("the caller's request became %v", answer)
			}
			if _, err := c.SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: "conv", SeenRevision: 7}); err != nil || said(s) != 7 {
				t.Errorf("what the caller says became %d, %v", said(s), err)
			}
			if _, err := c.SendMessage(t.Context(), answer); err != nil || said(s) != 0 {
				t.Errorf("without a reading: %d, %v", said(s), err)
			}
		})
	}
}

func TestAReadingFollowsAWatch(t *testing.T) {
	type told []*goodshipv1.WatchUpdate
	for name, tc := range map[string]struct {
		// listed is the revision of a listing before; 0 for none.
		listed int32
		told   told
		want   int32
	}{
		"what comes next":              {7, told{event("conv", 8), event("conv", 9)}, 9},
		"with other things between":    {7, told{progress("a"), event("conv", 8), signal(), event("other", 3), event("conv", 9)}, 9},
		"what was listed, again":       {7, told{event("conv", 6), event("conv", 7), event("conv", 8)}, 8},
		"after a gap":                  {7, told{event("conv", 9), event("conv", 10)}, 7},
		"without what came before":     {0, told{event("conv", 8), event("conv", 9)}, 0},
		"from the beginning":           {0, told{event("conv", 1), event("conv", 2)}, 2},
		"another one":                  {7, told{event("other", 8)}, 7},
		"a customer's, which has none": {7, told{event("conv", 0)}, 7},
		"what is no event":             {7, told{signal()}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(_ context.Context, a attempt) (proto.Message, error) {
				if _, ok := a.req.(*goodshipv1.ListMessagesRequest); ok {
					return &goodshipv1.ListMessagesResponse{Revision: tc.listed}, nil
				}
				return &goodshipv1.Message{}, nil
			})
			s.watched = func(_ context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
				tell(tc.told...)
				return failure(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_NOT_FOUND)
			}
			c, ctx := s.client(WithActFor("agent/ada")), Reading(t.Context())
			if tc.listed != 0 {
				if _, err := c.ListMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: "conv"}); err != nil {
					t.Fatal(err)
				}
			}
			for _, err := range Watch(ctx, c.WatchConversation, nil) {
				if err != nil && status.Code(err) != codes.NotFound {
					t.Fatal(err)
				}
			}
			if _, err := c.SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: "conv"}); err != nil || said(s) != tc.want {
				t.Errorf("answers %d, %v, want %d", said(s), err, tc.want)
			}
			if _, err := c.SendMessage(ActFor(ctx, "agent/ben"), &goodshipv1.SendMessageRequest{ConversationId: "conv"}); err != nil || said(s) != 0 {
				t.Errorf("somebody else answers %d, %v", said(s), err)
			}
		})
	}
}

// An event counts as seen when the loop gets it, not when it arrives here.
func TestAWatchIsReadOneByOne(t *testing.T) {
	s := serve(t, func(context.Context, attempt) (proto.Message, error) { return &goodshipv1.Message{}, nil })
	s.watched = func(ctx context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
		tell(event("conv", 1), event("conv", 2), event("conv", 3))
		<-ctx.Done()
		return nil
	}
	c, ctx := s.client(), Reading(t.Context())
	for update, err := range Watch(ctx, c.WatchConversation, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: "conv"}); err != nil || said(s) != update.GetEvent().GetRevision() {
			t.Errorf("at %v it answers %d, %v", update, said(s), err)
		}
		if update.GetCursor() == "3" {
			break
		}
	}
}

func TestAReadingIsBounded(t *testing.T) {
	r := readingOf(Reading(t.Context()))
	for i := range 10 * maxRead {
		r.note(nil, &goodshipv1.ListMessagesRequest{ConversationId: fmt.Sprint(i)}, &goodshipv1.ListMessagesResponse{Revision: 1})
	}
	if len(r.seen) > maxRead {
		t.Errorf("a reading knows %d conversations, at most %d wanted", len(r.seen), maxRead)
	}
	last := &goodshipv1.SendMessageRequest{ConversationId: fmt.Sprint(10*maxRead - 1)}
	if got := r.fill(nil, last).(*goodshipv1.SendMessageRequest).SeenRevision; got != 1 {
		t.Errorf("the last conversation was seen at %d, want 1", got)
	}
}

// Replies may overtake each other.
func TestAnOlderPageTakesNothingBack(t *testing.T) {
	r := readingOf(Reading(t.Context()))
	for _, revision := range []int32{5, 3} {
		r.note(nil, &goodshipv1.ListMessagesRequest{NewestFirst: true}, &goodshipv1.ListMessagesResponse{Revision: revision})
	}
	if got := r.fill(nil, &goodshipv1.SendMessageRequest{}).(*goodshipv1.SendMessageRequest).SeenRevision; got != 5 {
		t.Errorf("seen at %d, want 5", got)
	}
}
