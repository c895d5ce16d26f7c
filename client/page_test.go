package client

import (
	"context"
	"strconv"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// book answers ListConversations with pages of one, none and two conversations; the page after those fails.
func book(_ context.Context, a attempt) (proto.Message, error) {
	c := func(id string) *goodshipv1.Conversation { return &goodshipv1.Conversation{Id: id} }
	switch a.req.(*goodshipv1.ListConversationsRequest).GetPageToken() {
	case "":
		return &goodshipv1.ListConversationsResponse{Conversations: []*goodshipv1.Conversation{c("1")}, NextPageToken: "empty"}, nil
	case "empty":
		return &goodshipv1.ListConversationsResponse{NextPageToken: "two"}, nil
	case "two":
		return &goodshipv1.ListConversationsResponse{Conversations: []*goodshipv1.Conversation{c("2"), c("3")}, NextPageToken: "broken"}, nil
	case "last":
		return &goodshipv1.ListConversationsResponse{Conversations: []*goodshipv1.Conversation{c("4")}}, nil
	}
	return nil, failure(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_PAGE_TOKEN)
}

func TestPages(t *testing.T) {
	const broken = "INVALID_PAGE_TOKEN"
	for name, tc := range map[string]struct {
		from  string
		stop  string
		want  string
		pages int
	}{
		"to the error":        {"", "", "1 2 3 " + broken, 4},
		"to the end":          {"last", "", "4", 1},
		"from the middle":     {"two", "", "2 3 " + broken, 2},
		"stopped at once":     {"", "1", "1", 1},
		"stopped in a page":   {"", "2", "1 2", 3},
		"stopped at its last": {"", "3", "1 2 3", 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, book)
			req := &goodshipv1.ListConversationsRequest{PageSize: 7, Label: "film", PageToken: tc.from}
			before := proto.CloneOf(req)
			got := ""
			for c, err := range s.client().AllConversations(t.Context(), req) {
				if got != "" {
					got += " "
				}
				if err != nil {
					if c != nil {
						t.Error("an error with a conversation")
					}
					got += Reason(err).String()[len("ERROR_REASON_"):]
					continue
				}
				got += c.GetId()
				if c.GetId() == tc.stop {
					break
				}
			}
			if got != tc.want || len(s.seen()) != tc.pages {
				t.Errorf("got %q by %d pages, want %q by %d", got, len(s.seen()), tc.want, tc.pages)
			}
			if !proto.Equal(req, before) {
				t.Errorf("the caller's request became %v", req)
			}
			for _, a := range s.seen() {
				if r := a.req.(*goodshipv1.ListConversationsRequest); r.PageSize != 7 || r.Label != "film" {
					t.Errorf("a page of %v", r)
				}
			}
		})
	}
}

func TestNoPageIsListedBeforeTheLoop(t *testing.T) {
	s := serve(t, book)
	pages := s.client().AllConversations(t.Context(), nil)
	if len(s.seen()) != 0 {
		t.Error("a page was listed that nobody wants yet")
	}
	for range 2 { // each loop begins anew
		for c, err := range pages {
			if c.GetId() != "1" || err != nil {
				t.Errorf("got %v, %v", c, err)
			}
			break
		}
	}
	if len(s.seen()) != 2 {
		t.Errorf("two loops listed %d pages, want 2", len(s.seen()))
	}
}

func TestPagesAreWhole(t *testing.T) {
	s := serve(t, book)
	got := ""
	for page, err := range Pages(t.Context(), s.client().ListConversations, nil) {
		if err != nil {
			break
		}
		got += strconv.Itoa(len(page.GetConversations()))
	}
	if got != "102" {
		t.Errorf("got pages of %s, want 102", got)
	}
}
