package support_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// listing is a list in a world that holds something of everything.
type listing struct {
	by person
	// other is somebody else who may read it, if there is anybody.
	other person
	req   proto.Message
	// size is how many items it has.
	size int
}

// filled makes a world with several of everything, and returns lists of it by what they are.
func filled(w *world) map[string]listing {
	id := solved(w)
	for n := range 4 {
		w.says(kim, id, "One more thing.")
		w.proposes(ada, id)
		w.notes(ada, id, "A note")
		w.clock.Jump(time.Second)
		w.opens(kim, "Hello?")
		w.opens(kim, "Hello?") // at the same instant
		w.employ(person(fmt.Sprint("agent/agent-", n)), goodshipv1.Role_ROLE_AGENT)
		w.knows(person(fmt.Sprint("customer/customer-", n)))
		w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Key"})
	}
	const line = goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE
	return map[string]listing{
		"conversations":               {ada, ben, &goodshipv1.ListConversationsRequest{}, 9},
		"conversations of a customer": {kim, lou, &goodshipv1.ListConversationsRequest{}, 9},
		"the line":                    {backend, ada, &goodshipv1.ListConversationsRequest{State: waiting, Order: line}, 8},
		"messages":                    {kim, ada, &goodshipv1.ListMessagesRequest{ConversationId: id}, 10},
		"messages, newest first":      {lea, ada, &goodshipv1.ListMessagesRequest{ConversationId: id, NewestFirst: true}, 10},
		"notes":                       {ada, lea, &goodshipv1.ListNotesRequest{ConversationId: id}, 4},
		"resolutions":                 {kim, backend, &goodshipv1.ListResolutionsRequest{ConversationId: id}, 5},
		"agents":                      {ada, backend, &goodshipv1.ListAgentsRequest{}, 7},
		"customers":                   {backend, ada, &goodshipv1.ListCustomersRequest{}, 6},
		"keys":                        {backend, backend, &goodshipv1.ListApiKeysRequest{}, 5},
	}
}

// page reads a page and returns its items and the token for the next.
func (w *world) page(p person, req proto.Message, size int, token string) ([]proto.Message, string) {
	w.t.Helper()
	reply := do[proto.Message](w, p, paged(req, size, token)).ProtoReflect()
	var items []proto.Message
	fields := reply.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.IsList() {
			for n := range reply.Get(f).List().Len() {
				items = append(items, reply.Get(f).List().Get(n).Message().Interface())
			}
		}
	}
	return items, reply.Get(fields.ByName("next_page_token")).String()
}

func paged(req proto.Message, size int, token string) proto.Message {
	req = proto.Clone(req)
	req.ProtoReflect().Set(req.ProtoReflect().Descriptor().Fields().ByName("page_size"), protoreflect.ValueOfInt32(int32(size)))
	set(req, "page_token", token)
	return req
}

// walk reads a list in pages of a size.
func (w *world) walk(p person, req proto.Message, size int) []proto.Message {
	w.t.Helper()
	var all []proto.Message
	for token, first := "", true; first || token != ""; first = false {
		var items []proto.Message
		items, token = w.page(p, req, size, token)
		if len(items) > size {
			w.t.Errorf("page of %d: got %d items", size, len(items))
		}
		if all = append(all, items...); len(all) > 1000 {
			w.t.Fatalf("%T in pages of %d: got no end", req, size)
		}
	}
	return all
}

// TestPagesAreBoundedWhateverPeopleWrite reads lists of the longest texts. A page ends short, and the next one goes on.
func TestPagesAreBoundedWhateverPeopleWrite(t *testing.T) {
	t.Parallel()
	const most = 256<<10 + 64<<10 // what a page may hold, and the item that goes beyond
	w := newWorld(t)
	long := strings.Repeat("x", 32<<10)
	details := map[string]string{}
	for n := range 50 {
		details[fmt.Sprint("key", n)] = strings.Repeat("y", 500)
	}
	var id string
	for range 13 {
		id = do[*goodshipv1.Conversation](w, kim, &goodshipv1.CreateConversationRequest{Text: long, Context: details}).Id
	}
	for range 12 {
		w.says(kim, id, long)
		w.notes(ada, id, long)
	}
	for name, l := range map[string]listing{
		"messages":               {by: kim, req: &goodshipv1.ListMessagesRequest{ConversationId: id}, size: 13},
		"messages, newest first": {by: ada, req: &goodshipv1.ListMessagesRequest{ConversationId: id, NewestFirst: true}, size: 13},
		"notes":                  {by: ada, req: &goodshipv1.ListNotesRequest{ConversationId: id}, size: 12},
		"conversations":          {by: ada, req: &goodshipv1.ListConversationsRequest{}, size: 13},
		"the line":               {by: ada, req: &goodshipv1.ListConversationsRequest{State: waiting, Order: goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE}, size: 13},
	} {
		seen := map[string]bool{}
		pages := 0
		for token, first := "", true; first || token != ""; first = false {
			var items []proto.Message
			items, token = w.page(l.by, l.req, 100, token)
			bytes := 0
			for _, m := range items {
				bytes += proto.Size(m)
				seen[m.(interface{ GetCreateTime() *timestamppb.Timestamp }).GetCreateTime().AsTime().String()] = true
			}
			if bytes > most || len(items) == 0 {
				t.Errorf("%s: a page of %d items has %d bytes, want at most %d", name, len(items), bytes, most)
			}
			pages++
		}
		equal(t, name+": items", len(seen), l.size)
		if pages < 2 {
			t.Errorf("%s: all on one page", name)
		}
	}
}

// TestPagesEqualTheWhole reads each list at once and in pages of every small size.
func TestPagesEqualTheWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, l := range filled(w) {
		whole, token := w.page(l.by, l.req, 100, "")
		equal(t, name+": items", len(whole), l.size)
		equal(t, name+": token after all", token, "")
		for _, size := range []int{1, 2, 3, l.size - 1, l.size, l.size + 1} {
			got := w.walk(l.by, l.req, size)
			if !slices.EqualFunc(got, whole, func(a, b proto.Message) bool { return proto.Equal(a, b) }) {
				t.Errorf("%s in pages of %d: got %v, want %v", name, size, got, whole)
			}
		}
		usual, _ := w.page(l.by, l.req, 0, "")
		equal(t, name+": items by default", len(usual), l.size)
	}
	fresh := w.opens(lou, "Hello?")
	for _, req := range []proto.Message{&goodshipv1.ListNotesRequest{ConversationId: fresh}, &goodshipv1.ListResolutionsRequest{ConversationId: fresh}} {
		equal(t, fmt.Sprintf("items of %T, of nothing", req), len(w.walk(ada, req, 1)), 0)
	}
	for range 20 {
		w.opens(lou, "Hello?")
	}
	usual, token := w.page(ada, &goodshipv1.ListConversationsRequest{}, 0, "")
	equal(t, "items by default", len(usual), 20)
	equal(t, "has a token", token != "", true)
}

func TestListsAreInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lists := filled(w)
	keys := func(name string, key func(m proto.Message) string) []string {
		var all []string
		for _, m := range w.walk(lists[name].by, lists[name].req, 2) {
			all = append(all, key(m))
		}
		return all
	}
	number := func(m proto.Message) string {
		return fmt.Sprintf("%03d", m.ProtoReflect().Get(m.ProtoReflect().Descriptor().Fields().ByName("number")).Int())
	}
	id := func(m proto.Message) string {
		return m.ProtoReflect().Get(m.ProtoReflect().Descriptor().Fields().ByName("id")).String()
	}
	at := func(time *timestamppb.Timestamp) string { return time.AsTime().Format("15:04:05.000000000") }
	for name, order := range map[string]struct {
		key     func(m proto.Message) string
		falling bool
	}{
		"conversations":          {func(m proto.Message) string { return at(m.(*goodshipv1.Conversation).ActivityTime) }, true},
		"the line":               {func(m proto.Message) string { return at(m.(*goodshipv1.Conversation).LineTime) }, false},
		"messages":               {number, false},
		"messages, newest first": {number, true},
		"notes":                  {number, false},
		"resolutions":            {number, false},
		"agents":                 {id, false},
		"customers":              {id, false},
		"keys":                   {id, true},
	} {
		got := keys(name, order.key)
		want := slices.Sorted(slices.Values(got))
		if order.falling {
			slices.Reverse(want)
		}
		equal(t, name, list(got), list(want))
	}
}

// TestPageTokenBelongsToItsList uses each token where it was not made for.
func TestPageTokenBelongsToItsList(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	w := foundWorld(t, clock, rehearsed{openStore(t, clock.Now)})
	other := foundWorld(t, clock, w.store)
	lists := filled(w)
	tokens := map[string]string{}
	for name, l := range lists {
		_, tokens[name] = w.page(l.by, l.req, 2, "")
	}
	const invalid = "InvalidArgument INVALID_PAGE_TOKEN"
	for name, l := range lists {
		for other, token := range tokens {
			if other != name {
				w.answers(w.by(l.by), paged(l.req, 2, token), invalid)
			}
		}
		good := tokens[name]
		flipped := []byte(good)
		flipped[len(good)/2] ^= 1
		for _, token := range []string{"x", "garbage!", good + "A", good[1:], good[:len(good)-2], string(flipped), strings.Repeat("A", len(good))} {
			w.answers(w.by(l.by), paged(l.req, 2, token), invalid)
		}
		if l.other != l.by {
			w.answers(w.by(l.other), paged(l.req, 2, good), invalid)
		}
		other.answers(other.by(l.by), paged(l.req, 2, good), invalid)
		if items, _ := w.page(l.by, l.req, 3, good); len(items) == 0 {
			t.Errorf("%s: got nothing on the next page of another size, want the rest", name)
		}
	}
	_, token := w.page(ada, &goodshipv1.ListConversationsRequest{State: waiting}, 2, "")
	for _, req := range []*goodshipv1.ListConversationsRequest{
		{}, {State: answered}, {State: waiting, Unowned: true}, {State: waiting, Label: "x"}, {State: waiting, CustomerId: "kim"},
		{State: waiting, Order: goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE}, {State: waiting, ActiveAfter: timestamppb.New(clock.Now())},
	} {
		w.refuses(ada, paged(req, 2, token), invalid)
	}
	key := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Another"})
	_, token = w.page(backend, &goodshipv1.ListCustomersRequest{}, 2, "")
	w.secret = key.Secret
	w.refuses(backend, paged(&goodshipv1.ListCustomersRequest{}, 2, token), invalid)
}

// TestRevisionOfAPage holds that an answer to what a page shows answers no more than that.
func TestRevisionOfAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	list := &goodshipv1.ListMessagesRequest{ConversationId: id, NewestFirst: true, PageSize: 1}
	page := do[*goodshipv1.ListMessagesResponse](w, ada, list)
	equal(t, "revision", page.Revision, w.revision(id))
	equal(t, "revision, for the customer", do[*goodshipv1.ListMessagesResponse](w, kim, list).Revision, 0)
	w.says(kim, id, "One more thing.")
	next := do[*goodshipv1.ListMessagesResponse](w, ada, list)
	equal(t, "revision, later", next.Revision, page.Revision+1)
	equal(t, "newest", next.Messages[0].Number, 2)
}

// TestRevisionOfACrossedPage lets a customer write between the reading of the head and that of the messages: the page shows
// nothing that its revision does not cover.
func TestRevisionOfACrossedPage(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	hooks := &hooked{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, hooks)
	id := waits(w)
	for _, newestFirst := range []bool{false, true} {
		count, ctx := int(w.reads(ada, id).MessageCount), w.by(ada)
		hooks.afterHead = func() {
			hooks.afterHead = nil
			w.says(kim, id, "One more thing.")
		}
		page, err := w.ListMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: id, NewestFirst: newestFirst})
		equal(t, "error", refusal(err), "")
		equal(t, "messages", len(page.GetMessages()), count)
		for _, m := range page.GetMessages() {
			equal(t, fmt.Sprintf("message %d is of the head", m.Number), int(m.Number) <= count, true)
		}
		equal(t, "newer revisions", w.revision(id)-page.GetRevision(), 1)
	}
}

// TestPagesUnderChange lets new things happen between pages: what was not touched comes exactly once.
func TestPagesUnderChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var untouched []string
	for n := range 12 {
		id := w.opens(kim, fmt.Sprint(n))
		if n%3 != 0 {
			untouched = append(untouched, id)
		}
	}
	all := heads(t, w.store, w.workspace)
	seen := map[string]int{}
	for token, n := "", 0; n == 0 || token != ""; n++ {
		var items []proto.Message
		items, token = w.page(ada, &goodshipv1.ListConversationsRequest{}, 2, token)
		for _, m := range items {
			seen[m.(*goodshipv1.Conversation).Id]++
		}
		if id := all[n%len(all)].Conversation.Id; !slices.Contains(untouched, id) {
			w.says(kim, id, "Touched.")
		}
		w.opens(lou, "New.")
	}
	for _, id := range untouched {
		equal(t, "times that "+id+" was shown", seen[id], 1)
	}
}

// TestFilters compares lists by random filters with a look at everything.
func TestFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	customers, agents := []person{kim, lou}, []person{ada, ben, lea}
	for range 24 {
		id := w.opens(customers[r.IntN(2)], "Hello?")
		if r.IntN(2) == 0 {
			do[*goodshipv1.Conversation](w, backend, &goodshipv1.UpdateConversationRequest{
				ConversationId: id, UpdateMask: mask("labels"), Conversation: &goodshipv1.ConversationUpdate{Labels: []string{"film", "tv"}[:1+r.IntN(2)]},
			})
		}
		p := agents[r.IntN(3)]
		switch r.IntN(5) {
		case 0:
			w.claims(p, id)
		case 1:
			w.says(p, id, "Hello!")
		case 2:
			w.confirms(person("customer/"+w.reads(ada, id).CustomerId), id)
		case 3:
			w.claims(p, id)
			do[*goodshipv1.Conversation](w, p, &goodshipv1.DismissConversationRequest{
				ConversationId: id, Reason: goodshipv1.DismissReason_DISMISS_REASON_SPAM, SeenRevision: w.revision(id),
			})
		}
		w.clock.Jump(time.Second)
	}
	everything := w.walk(ada, &goodshipv1.ListConversationsRequest{}, 100)
	found := 0
	for range 150 {
		req := w.randomFilter(r)
		p := ada
		if r.IntN(3) == 0 && req.OwnerId+req.CustomerId+req.Label == "" && !req.Unowned && req.Order != goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE {
			p = kim
		}
		got := map[string]bool{}
		for _, m := range w.walk(p, req, 1+r.IntN(9)) {
			got[m.(*goodshipv1.Conversation).Id] = true
		}
		want := map[string]bool{}
		for _, m := range everything {
			if c := m.(*goodshipv1.Conversation); holds(req, c) && (p == ada || c.CustomerId == "kim") {
				want[c.Id] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%v by %q: got %v, want %v", req, p, got, want)
		}
		found += len(got)
	}
	if found < 150 {
		t.Errorf("got %d conversations by all filters together, want at least 150", found)
	}
}

func (w *world) randomFilter(r *rand.Rand) *goodshipv1.ListConversationsRequest {
	req := &goodshipv1.ListConversationsRequest{}
	if r.IntN(2) == 0 {
		req.State = goodshipv1.State(r.IntN(4))
	}
	if r.IntN(4) == 0 {
		req.Outcome = []goodshipv1.Outcome{goodshipv1.Outcome_OUTCOME_CONFIRMED, goodshipv1.Outcome_OUTCOME_DISMISSED}[r.IntN(2)]
	}
	switch r.IntN(4) {
	case 0:
		req.OwnerId = []string{"ada", "ben", "lea", "nobody"}[r.IntN(4)]
	case 1:
		req.Unowned = true
	}
	if r.IntN(3) == 0 {
		req.CustomerId = []string{"kim", "lou"}[r.IntN(2)]
	}
	if r.IntN(3) == 0 {
		req.Label = []string{"film", "tv", "none"}[r.IntN(3)]
	}
	at := func() *timestamppb.Timestamp {
		return timestamppb.New(w.clock.Now().Add(-time.Duration(r.IntN(25)) * time.Second))
	}
	if r.IntN(3) == 0 {
		req.ActiveAfter = at()
	}
	if r.IntN(3) == 0 {
		req.ActiveBefore = at()
	}
	if req.State == waiting && r.IntN(2) == 0 {
		req.Order = goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE
	}
	return req
}

// holds is what the proto says of the filters.
func holds(req *goodshipv1.ListConversationsRequest, c *goodshipv1.Conversation) bool {
	active := c.ActivityTime.AsTime()
	return (req.State == 0 || c.State == req.State) && (req.Outcome == 0 || c.Outcome == req.Outcome) &&
		(req.OwnerId == "" || c.OwnerId == req.OwnerId) && (!req.Unowned || c.OwnerId == "") &&
		(req.CustomerId == "" || c.CustomerId == req.CustomerId) && (req.Label == "" || slices.Contains(c.Labels, req.Label)) &&
		(req.ActiveAfter == nil || !active.Before(req.ActiveAfter.AsTime())) && (req.ActiveBefore == nil || active.Before(req.ActiveBefore.AsTime()))
}

func TestListConversationsByExternalID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.by(lou)
	id := do[*goodshipv1.Conversation](w, kim, &goodshipv1.CreateConversationRequest{Text: "Hello?", ExternalId: "case-1"}).Id
	w.opens(kim, "Hello?")
	for _, test := range []struct {
		by   person
		req  *goodshipv1.ListConversationsRequest
		want int
	}{
		{ada, &goodshipv1.ListConversationsRequest{ExternalId: "case-1"}, 1},
		{kim, &goodshipv1.ListConversationsRequest{ExternalId: "case-1"}, 1},
		{ada, &goodshipv1.ListConversationsRequest{ExternalId: "case-1", State: waiting, CustomerId: "kim", Unowned: true}, 1},
		{ada, &goodshipv1.ListConversationsRequest{ExternalId: "case-1", State: answered}, 0},
		{ada, &goodshipv1.ListConversationsRequest{ExternalId: "case-1", CustomerId: "lou"}, 0},
		{ada, &goodshipv1.ListConversationsRequest{ExternalId: "case-2"}, 0},
	} {
		got := do[*goodshipv1.ListConversationsResponse](w, test.by, test.req)
		equal(t, fmt.Sprintf("found by %v", test.req), len(got.Conversations), test.want)
		if len(got.Conversations) > 0 {
			equal(t, "conversation", got.Conversations[0].Id, id)
		}
	}
	w.refuses(ada, &goodshipv1.ListConversationsRequest{OwnerId: "ada", Unowned: true}, "InvalidArgument INVALID_REQUEST unowned")
	w.refuses(ada, &goodshipv1.ListConversationsRequest{Order: goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE}, "InvalidArgument INVALID_REQUEST order")
	w.refuses(ada, &goodshipv1.ListConversationsRequest{CustomerId: "nobody"}, "NotFound CUSTOMER_NOT_FOUND customer_id=nobody")
}
