package support_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// exporting takes in an export.
type exporting struct {
	grpc.ServerStream
	ctx   context.Context
	items []*goodshipv1.ExportCustomerResponse
	// after, if set, runs after each item.
	after func(count int)
}

func (e *exporting) Context() context.Context { return e.ctx }

func (e *exporting) Send(item *goodshipv1.ExportCustomerResponse) error {
	e.items = append(e.items, item)
	if e.after != nil {
		e.after(len(e.items))
	}
	return nil
}

// exports returns the items of an export.
func (w *world) exports(ctx context.Context, req *goodshipv1.ExportCustomerRequest) ([]*goodshipv1.ExportCustomerResponse, error) {
	w.t.Helper()
	out := &exporting{ctx: ctx}
	err := w.ExportCustomer(req, out)
	return out.items, err
}

// exported returns the items of an export that must succeed, without their cursors, and those.
func (w *world) exported(p person, cursor string) (items, cursors []string) {
	w.t.Helper()
	all, err := w.exports(w.by(backend), &goodshipv1.ExportCustomerRequest{CustomerId: p.id(), Cursor: cursor})
	if err != nil {
		w.t.Fatalf("export: %v", refusal(err))
	}
	for _, item := range all {
		cursors = append(cursors, item.Cursor)
		item.Cursor = ""
		items = append(items, item.String())
	}
	return items, cursors
}

// itemKinds tells the kinds of items, in order, with how many of one kind follow one another.
func itemKinds(items []*goodshipv1.ExportCustomerResponse) string {
	var kinds []string
	last, n := "", 0
	for _, item := range append(items, &goodshipv1.ExportCustomerResponse{}) {
		m := item.ProtoReflect()
		kind := ""
		if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("item")); f != nil {
			kind = string(f.Name())
		}
		if kind != last && n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, last))
			n = 0
		}
		last = kind
		n++
	}
	return strings.Join(kinds, ", ")
}

// life has kim be somebody: a visitor twice before she signed in, with conversations of every kind of thing, credits, and a part
// in incidents. It returns the ids of the conversations.
func life(w *world) []string {
	w.t.Helper()
	w.empowers()
	w.readies()
	s := w.site()
	var ids []string
	for range 2 {
		session := s.comes()
		ids = append(ids, s.asks(session))
		equal(w.t, "sign in", w.signsIn(kim, session.Token), "")
	}
	id := solved(w)
	w.notes(ada, id, "A note")
	w.notes(ada, id, "Another note")
	w.confirms(kim, id)
	do[*goodshipv1.Resolution](w, kim, &goodshipv1.RateConversationRequest{ConversationId: id, ResolutionNumber: 1, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), Comment: "Aye"}})
	other := owned(w)
	w.grants(ada, other, euros(5, 0))
	w.grants(ada, other, points(100))
	w.adds(w.declares("{title} skipped. Sorry: {credit}. {nothing_to_do} {contact}"), affected(kim, "title", "The voyage"))
	return append(ids, id, other)
}

// TestExport tells everything about one person, and nothing of another.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens(lou, "Nobody's business")
	ids := life(w)
	items, err := w.exports(w.by(backend), &goodshipv1.ExportCustomerRequest{CustomerId: kim.id()})
	equal(t, "error", refusal(err), "")
	equal(t, "items", itemKinds(items), "3 customer, "+
		"1 conversation, 3 event, 1 message, "+
		"1 conversation, 3 event, 1 message, "+
		"1 conversation, 11 event, 2 message, 2 note, 1 resolution, "+
		"1 conversation, 6 event, 1 message, "+
		"2 credit, 1 apology, 1 end")
	var told []string
	for _, item := range items {
		if c := item.GetConversation(); c != nil {
			told = append(told, c.Id)
			same(t, "conversation", c, withoutCursor(w.reads(backend, c.Id)))
		}
		if strings.Contains(item.String(), "Nobody's business") {
			t.Errorf("got %v, want nothing of another", item)
		}
	}
	equal(t, "conversations", list(told), list(ids))
	last := items[len(items)-1]
	equal(t, "items before the end", last.GetEnd().ItemCount, int32(len(items)-1))
	equal(t, "attribute", items[len(items)-2].GetApology().Attributes["title"], "The voyage")
	w.refuses(backend, &goodshipv1.ExportCustomerRequest{CustomerId: "nobody"}, "NotFound CUSTOMER_NOT_FOUND customer_id=nobody")
}

// TestExportGoesOn breaks an export after each item: what follows from its cursor is what would have followed.
func TestExportGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	life(w)
	whole, cursors := w.exported(kim, "")
	for i, cursor := range cursors {
		rest, _ := w.exported(kim, cursor)
		from := min(i+1, len(whole)-1) // behind the end the end comes again, so that no export looks broken off
		equal(t, fmt.Sprintf("after item %d", i), strings.Join(rest, "\n"), strings.Join(whole[from:], "\n"))
	}
	w.refuses(backend, &goodshipv1.ExportCustomerRequest{CustomerId: lou.id(), Cursor: cursors[0]}, "InvalidArgument INVALID_CURSOR")
	w.refuses(backend, &goodshipv1.ExportCustomerRequest{CustomerId: kim.id(), Cursor: "anything"}, "InvalidArgument INVALID_CURSOR")
}

// TestExportOfMuch exports more of everything than is read at once.
func TestExportOfMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := w.opens(kim, "1")
	for i := 2; i <= 230; i++ {
		w.says(kim, long, fmt.Sprint(i))
	}
	for range 220 {
		w.opens(kim, "Hello?")
	}
	items, err := w.exports(w.by(backend), &goodshipv1.ExportCustomerRequest{CustomerId: kim.id()})
	equal(t, "error", refusal(err), "")
	conversations, messages := 0, 0
	for _, item := range items {
		if item.GetConversation() != nil {
			conversations++
		}
		if m := item.GetMessage(); m != nil && m.ConversationId == long {
			messages++
			equal(t, "text", m.Text, fmt.Sprint(messages))
		}
	}
	equal(t, "conversations", conversations, 221)
	equal(t, "messages of the long one", messages, 230)
}

// TestExportWhileTheyWrite has every conversation move in the list while it is read: none is left out.
func TestExportWhileTheyWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for range 150 {
		ids = append(ids, w.opens(kim, "Hello?"))
	}
	ctx := w.by(kim)
	moving := &relisting{Store: w.store}
	moving.between = func() {
		moving.between = nil
		if _, err := w.call(ctx, &goodshipv1.SendMessageRequest{ConversationId: ids[0], Text: "And?"}); err != nil {
			t.Errorf("write: %v", refusal(err))
		}
	}
	w.store = moving
	w.restart()
	items, err := w.exports(w.by(backend), &goodshipv1.ExportCustomerRequest{CustomerId: kim.id()})
	equal(t, "error", refusal(err), "")
	var told []string
	for _, item := range items {
		if c := item.GetConversation(); c != nil {
			told = append(told, c.Id)
		}
	}
	equal(t, "conversations", list(told), list(ids))
}

// relisting is a store in which something happens after the first page of a list.
type relisting struct {
	store.Store
	between func()
}

func (s *relisting) List(ctx context.Context, workspace string, q store.Query, after *store.Position, limit int) (heads []*storev1.Head, next *store.Position, err error) {
	heads, next, err = s.Store.List(ctx, workspace, q, after, limit)
	if between := s.between; between != nil {
		between()
	}
	return heads, next, err
}

// TestExportWhileTheySignIn has a visitor sign in while the person is exported, or between two calls: the export does not pass over what
// is theirs by then, but is begun anew.
func TestExportWhileTheySignIn(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	session := s.comes()
	asked := s.asks(session)
	s.opens(kim, "Hello?")
	_, cursors := s.exported(kim, "")
	ofVisitor := person("customer/" + session.VisitorId)
	_, cursorsOfVisitor := s.exported(ofVisitor, "")
	out := &exporting{ctx: s.by(backend)}
	out.after = func(count int) {
		if count == 3 {
			equal(t, "sign in", s.signsIn(kim, session.Token), "")
		}
	}
	err := s.ExportCustomer(&goodshipv1.ExportCustomerRequest{CustomerId: kim.id()}, out)
	equal(t, "an export meanwhile", refusal(err), "InvalidArgument INVALID_CURSOR")
	s.refuses(backend, &goodshipv1.ExportCustomerRequest{CustomerId: kim.id(), Cursor: cursors[2]}, "InvalidArgument INVALID_CURSOR")
	s.refuses(backend, &goodshipv1.ExportCustomerRequest{CustomerId: session.VisitorId, Cursor: cursorsOfVisitor[1]}, "InvalidArgument INVALID_CURSOR")
	for _, p := range []person{kim, ofVisitor} {
		items, _ := s.exported(p, "")
		if !strings.Contains(strings.Join(items, "\n"), asked) {
			t.Errorf("the export of %s lacks what the visitor asked", p)
		}
	}
}

// TestExportWhileTheyAreErased exports somebody of whom not everything is there any more.
func TestExportWhileTheyAreErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens(kim, "Hello?")
	r, err := w.store.Customer(t.Context(), w.workspace, kim.id())
	equal(t, "error", err, nil)
	r.ErasureId = "era_01"
	_, err = w.store.Update(t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, tx.PutCustomer(r) })
	equal(t, "error", err, nil)
	w.refuses(backend, &goodshipv1.ExportCustomerRequest{CustomerId: kim.id()}, "NotFound CUSTOMER_NOT_FOUND customer_id=kim")
}

// TestExportEnds has an export end when it may not go on: with the caller's right, with the customer, and when the server stops.
func TestExportEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		happens func(w *world, key *goodshipv1.ApiKey)
		want    string
	}{
		"the key is revoked":     {func(w *world, key *goodshipv1.ApiKey) { w.revokesKey(key.Id) }, credentialRevoked},
		"the customer is erased": {func(w *world, _ *goodshipv1.ApiKey) { w.erases(kim) }, "NotFound CUSTOMER_NOT_FOUND customer_id=kim"},
		"the server stops":       {func(w *world, _ *goodshipv1.ApiKey) { w.Drain() }, "Unavailable SERVER_STOPPING"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for range 3 {
				w.opens(kim, "Hello?")
			}
			key := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Privacy", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_PRIVACY}})
			out := &exporting{ctx: w.by(bearer(key.Secret))}
			out.after = func(count int) {
				if count == 2 {
					test.happens(w, key.ApiKey)
				}
			}
			_, err := metadata(w.ExportCustomer(&goodshipv1.ExportCustomerRequest{CustomerId: kim.id()}, out), "cursor")
			equal(t, "the end", err, test.want)
		})
	}
}
