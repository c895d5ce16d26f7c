package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// scanner reads everything, by every read, into an image. After the first error it reads nothing more.
type scanner struct {
	ctx   context.Context
	store store.Store
	image image
	err   error
}

// scan returns everything that can be read of some workspaces, with lists of some queries, and of the store as a whole.
func scan(ctx context.Context, st store.Store, workspaces []string, queries []store.Query) (image, error) {
	s := &scanner{ctx: ctx, store: st, image: newImage()}
	s.whole()
	for _, w := range workspaces {
		s.directory(w)
		s.feed(w)
		s.conversations(w)
		s.lists(w, queries)
		s.credits(w)
		s.incidents(w)
		s.webhooks(w)
		s.privacy(w)
	}
	return s.image, s.err
}

// read is what a read returned, unless there is an error already; it notes that of the read.
func read[V any](s *scanner, what string, fetch func() (V, error)) V {
	var none V
	if s.err != nil {
		return none
	}
	v, err := fetch()
	if err != nil {
		s.err = fmt.Errorf("%s: %w", what, err)
		return none
	}
	return v
}

func (s *scanner) whole() {
	workspaces := read(s, "Workspaces", func() ([]*storev1.WorkspaceRecord, error) { return s.store.Workspaces(s.ctx) })
	put(s.image, "workspaces", workspaces...)
	for _, w := range workspaces {
		id := w.GetWorkspace().GetId()
		put(s.image, "workspace "+id, read(s, "Workspace", func() (*storev1.WorkspaceRecord, error) { return s.store.Workspace(s.ctx, id) }))
	}
	for i, d := range read(s, "NextDue", func() ([]store.Due, error) { return s.store.NextDue(s.ctx, nil, all) }) {
		put(s.image, fmt.Sprintf("due %d: %s in %s", i, d.ConversationID, d.Workspace), timestamppb.New(d.Time))
	}
	for i, l := range read(s, "Lines", func() ([]store.Line, error) { return s.store.Lines(s.ctx) }) {
		put(s.image, fmt.Sprintf("line %d: %d in %s", i, l.Length, l.Workspace), timestamppb.New(l.Oldest))
	}
	s.creditsDue()
}

func (s *scanner) directory(w string) {
	list := read(s, "Agents", func() ([]*storev1.AgentRecord, error) { return s.store.Agents(s.ctx, w, "", all) })
	put(s.image, w+" agents", list...)
	for _, a := range list {
		id := a.GetAgent().GetId()
		put(s.image, w+" agent "+id, read(s, "Agent", func() (*storev1.AgentRecord, error) { return s.store.Agent(s.ctx, w, id) }))
	}
	people := read(s, "Customers", func() ([]*storev1.CustomerRecord, error) { return s.store.Customers(s.ctx, w, "", all) })
	put(s.image, w+" customers", people...)
	for _, c := range people {
		id, key := c.GetCustomer().GetId(), c.GetKey()
		put(s.image, w+" customer "+id, read(s, "Customer", func() (*storev1.CustomerRecord, error) { return s.store.Customer(s.ctx, w, id) }))
		put(s.image, w+" customer by key "+key, read(s, "CustomerByKey", func() (*storev1.CustomerRecord, error) { return s.store.CustomerByKey(s.ctx, w, key) }))
	}
	keys := read(s, "APIKeys", func() ([]*storev1.ApiKeyRecord, error) { return s.store.APIKeys(s.ctx, w, "", all) })
	put(s.image, w+" keys", keys...)
	for _, k := range keys {
		id, hash := k.GetApiKey().GetId(), k.GetSecretHash()
		put(s.image, w+" key "+id, read(s, "APIKey", func() (*storev1.ApiKeyRecord, error) { return s.store.APIKey(s.ctx, w, id) }))
		put(s.image, w+" key by hash of "+id, read(s, "APIKeyByHash", func() (*storev1.ApiKeyRecord, error) { return s.store.APIKeyByHash(s.ctx, hash) }))
	}
}

// ends are what FeedEnds gives.
type ends struct{ oldest, newest int64 }

func feedEnds(ctx context.Context, st store.Store, w string) (e ends, err error) {
	e.oldest, e.newest, err = st.FeedEnds(ctx, w)
	return e, err
}

func (s *scanner) feed(w string) {
	e := read(s, "FeedEnds", func() (ends, error) { return feedEnds(s.ctx, s.store, w) })
	if e != (ends{}) {
		put(s.image, w+" feed ends", &storev1.FeedRecord{Position: e.oldest}, &storev1.FeedRecord{Position: e.newest})
	}
	s.entries(w+" feed", func() ([]store.FeedEntry, error) { return s.store.Feed(s.ctx, w, e.oldest, all) })
}

// feedOf reads what happened to customers, from the beginning and from the middle.
func (s *scanner) feedOf(w string, e ends, keys ...string) {
	for _, after := range []int64{0, e.newest / 2} {
		s.entries(fmt.Sprintf("%s feed of %q after %d", w, keys, after), func() ([]store.FeedEntry, error) {
			return s.store.FeedOf(s.ctx, w, keys, after, all)
		})
	}
}

func (s *scanner) entries(what string, fetch func() ([]store.FeedEntry, error)) {
	for i, entry := range read(s, what, fetch) {
		at := fmt.Sprintf("%s %d: position %d of %s", what, i, entry.Position, entry.ConversationID)
		put(s.image, at, entry.Record)
		if !entry.RemoveTime.IsZero() || entry.RemovalCause != 0 {
			s.image.removed[fmt.Sprint(at, ", removed: ", entry.RemovalCause)] = entry.RemoveTime
		}
	}
}

func (s *scanner) conversations(w string) {
	heads := read(s, "List", func() ([]*storev1.Head, error) { return walk(s.ctx, s.store, w, store.Query{}, all, nil) })
	s.image.counts.conversations += int64(len(heads))
	e := read(s, "FeedEnds", func() (ends, error) { return feedEnds(s.ctx, s.store, w) })
	keys := make(map[string]bool)
	for _, listed := range heads {
		if key := listed.GetCustomerKey(); !keys[key] {
			keys[key] = true
			s.feedOf(w, e, key)
		}
		id, external := listed.GetConversation().GetId(), listed.GetConversation().GetExternalId()
		put(s.image, w+" head "+id, read(s, "Conversation", func() (*storev1.Head, error) { return s.store.Conversation(s.ctx, w, id) }))
		if external != "" {
			put(s.image, w+" external "+external, read(s, "ByExternalID", func() (*storev1.Head, error) { return s.store.ByExternalID(s.ctx, w, external) }))
		}
		put(s.image, w+" place of "+id, &storev1.FeedRecord{Position: int64(read(s, "Place", func() (int, error) { return s.store.Place(s.ctx, w, id) }))})
		s.log(w, id)
	}
	s.feedOf(w, e, slices.Sorted(maps.Keys(keys))...)
}

func (s *scanner) log(w, id string) {
	records := read(s, "Records", func() ([]*storev1.Record, error) { return s.store.Records(s.ctx, w, id, 0, all) })
	for _, r := range records {
		s.image.counts.events += int64(len(r.GetEvents()))
	}
	put(s.image, w+" records of "+id, records...)
	put(s.image, w+" marks of "+id, read(s, "ReadMarks", func() ([]*storev1.ReadMarkRecord, error) { return s.store.ReadMarks(s.ctx, w, id) })...)
	for of, r := range map[string]store.Range{" of " + id: {From: 1, Limit: all}, " downwards of " + id: {Limit: all, Descending: true}} {
		messages := read(s, "Messages", func() ([]*goodshipv1.Message, error) { return s.store.Messages(s.ctx, w, id, r) })
		if !r.Descending {
			s.image.counts.messages += int64(len(messages))
		}
		put(s.image, w+" messages"+of, messages...)
		put(s.image, w+" notes"+of, read(s, "Notes", func() ([]*goodshipv1.Note, error) { return s.store.Notes(s.ctx, w, id, r) })...)
		put(s.image, w+" resolutions"+of, read(s, "Resolutions", func() ([]*goodshipv1.Resolution, error) { return s.store.Resolutions(s.ctx, w, id, r) })...)
	}
}

func (s *scanner) lists(w string, queries []store.Query) {
	for i, q := range queries {
		heads := read(s, "List", func() ([]*storev1.Head, error) { return walk(s.ctx, s.store, w, q, 3, nil) })
		put(s.image, fmt.Sprint(w, " list ", i), heads...)
	}
}

// someQueries name each filter once in one of the orders, and some together, with values that drafts have.
var someQueries = []store.Query{
	{},
	{Order: store.ByLine},
	{State: goodshipv1.State_STATE_WAITING},
	{State: goodshipv1.State_STATE_RESOLVED},
	{Outcome: goodshipv1.Outcome_OUTCOME_CONFIRMED},
	{OwnerID: "agent_1"},
	{Order: store.ByLine, Unowned: true},
	{InvolvedID: "agent_2"},
	{CustomerKeys: []string{defaultCustomer}},
	{CustomerKeys: []string{"key_2", "key_1", defaultCustomer}},
	{Label: "urgent"},
	{State: goodshipv1.State_STATE_ANSWERED, CustomerKeys: []string{"key_2"}, OwnerID: "agent_2"},
	{Order: store.ByLine, CustomerKeys: []string{"key_2", "key_20"}, Label: "urgent"},
}

// walk reads a list page by page; between is called after each page that is not the last, if it is not nil.
func walk(ctx context.Context, st store.Store, w string, q store.Query, limit int, between func()) ([]*storev1.Head, error) {
	var heads []*storev1.Head
	var after *store.Position
	// Pages may be empty, but some page must get further: more pages than this is a list without an end.
	for range 10 * all {
		page, next, err := st.List(ctx, w, q, after, limit)
		if err != nil {
			return nil, err
		}
		if len(page) > limit {
			return nil, fmt.Errorf("a page of %d, want at most %d", len(page), limit)
		}
		heads = append(heads, page...)
		if next == nil {
			return heads, nil
		}
		after = next
		if between != nil {
			between()
		}
	}
	return nil, fmt.Errorf("no end of the list %+v at %+v", q, after)
}

// scribble empties a message and all that it holds, in place, as only one who owns it may.
func scribble(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool { v.Map().Clear(k); return true })
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				scribble(v.List().Get(i).Message())
			}
		case f.IsList():
			v.List().Truncate(0)
		case f.Kind() == protoreflect.BytesKind:
			clear(v.Bytes())
		case f.Message() != nil:
			scribble(v.Message())
		}
		return true
	})
	proto.Reset(m.Interface())
}
