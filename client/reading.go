package client

import (
	"context"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxRead is how many conversations a reading knows; beyond it, it begins anew.
const maxRead = 1000

type readingContext struct{}

// Reading returns a context for one person who reads and then answers: what ListMessages returned under it, and what Watch told
// after that, counts as seen, and SendMessage, ProposeResolution and DismissConversation under it fill in the seen_revision
// that they lack.
//
//	ctx = client.Reading(client.ActFor(ctx, "agent/captain"))
//	for message, err := range c.AllMessages(ctx, …) { … }
//	c.SendMessage(ctx, …) // answers what was read above, and nothing that came later
//
// A conversation counts as seen once a listing of its messages has come to the newest one: on the first page if newest first,
// else on the last; and as it was at the listing's first page. From there on, or from the conversation's first event on, each
// event of a watch that follows on what was seen counts as seen too, when the loop gets it. So list first, and then watch from
// the listing's watch_cursor. GetConversation and the other lists show no messages and do not count. What was not read under the context is not filled in, and the server refuses an answer that needs it
// (SEEN_REVISION_REQUIRED).
//
// The context is right for as long as what is listed under it is what one person looks at: a program that answers by
// itself, or one request of a page that shows and answers. A backend that shows messages now and sends the answer with a
// later request must not use it: pass the reply's revision through the page instead, because what another request, tab or
// server has listed meanwhile was not seen by who typed. The same holds for who repeats a call by the same request_id: the
// seen_revision must be the same too. There is no memory in the Client itself for these reasons.
func Reading(ctx context.Context) context.Context {
	return context.WithValue(ctx, readingContext{}, &reading{seen: map[thread]*sight{}})
}

// readingOf returns the context's reading, nil if it has none.
func readingOf(ctx context.Context) *reading {
	r, _ := ctx.Value(readingContext{}).(*reading)
	return r
}

// reading is what was read under a context. A nil one knows nothing.
type reading struct {
	mu   sync.Mutex
	seen map[thread]*sight
}

// thread is a conversation as one person sees it.
type thread struct{ person, conversation string }

// sight is how much of a conversation was seen.
type sight struct {
	// began is the revision at the first page of the listing under way, oldest first, and next the token of its next page.
	began int32
	next  string
	// seen is the newest revision that was seen; 0 for none.
	seen int32
}

// note takes in what a call returned.
func (r *reading) note(person *string, req, reply any) {
	listed, ok := req.(*goodshipv1.ListMessagesRequest)
	if r == nil || !ok {
		return
	}
	page := reply.(*goodshipv1.ListMessagesResponse)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sight(threadOf(person, listed.GetConversationId()))
	if listed.GetNewestFirst() {
		s.fromNewest(listed, page)
	} else {
		s.fromOldest(listed, page)
	}
}

// follow takes in what a watch told: the event that comes next after what was seen is seen.
func (r *reading) follow(person *string, update *goodshipv1.WatchUpdate) {
	revision := update.GetEvent().GetRevision()
	if r == nil || revision == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := threadOf(person, update.GetConversationId())
	if s, ok := r.seen[t]; ok && s.seen == revision-1 {
		s.seen = revision
	} else if !ok && revision == 1 {
		r.sight(t).seen = revision
	}
}

// fromNewest takes in a page of a listing that shows the newest message first.
func (s *sight) fromNewest(listed *goodshipv1.ListMessagesRequest, page *goodshipv1.ListMessagesResponse) {
	if listed.GetPageToken() == "" {
		s.seen = max(s.seen, page.GetRevision())
	}
}

// fromOldest takes in a page of a listing that shows the newest message last, if it is of the listing under way.
func (s *sight) fromOldest(listed *goodshipv1.ListMessagesRequest, page *goodshipv1.ListMessagesResponse) {
	switch listed.GetPageToken() {
	case "":
		s.began = page.GetRevision()
	case s.next:
	default:
		return
	}
	if s.next = page.GetNextPageToken(); s.next == "" {
		s.seen = max(s.seen, s.began)
	}
}

// sight returns how much of a conversation was seen, to be changed under the lock.
func (r *reading) sight(t thread) *sight {
	s, ok := r.seen[t]
	if !ok {
		if len(r.seen) >= maxRead {
			clear(r.seen)
		}
		s = &sight{}
		r.seen[t] = s
	}
	return s
}

// fill returns a request with the seen_revision that it lacks, if the reading knows it.
func (r *reading) fill(person *string, req proto.Message) proto.Message {
	field := fieldOf(req, "seen_revision")
	if r == nil || field == nil || req.ProtoReflect().Has(field) {
		return req
	}
	named, ok := req.(interface{ GetConversationId() string })
	if !ok {
		return req
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.seen[threadOf(person, named.GetConversationId())]
	if !ok || s.seen == 0 {
		return req
	}
	return with(req, field, protoreflect.ValueOfInt32(s.seen))
}

func threadOf(person *string, conversation string) thread {
	t := thread{conversation: conversation}
	if person != nil {
		t.person = *person
	}
	return t
}
