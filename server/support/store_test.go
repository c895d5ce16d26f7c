package support_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/protobuf/proto"
)

// openStore returns an empty store of the engine that all tests of the package run on.
func openStore(t testing.TB, now func() time.Time) store.Store {
	t.Helper()
	return openStoreIn(t, t.TempDir(), now)
}

// openStoreIn opens the store in a directory.
func openStoreIn(t testing.TB, dir string, now func() time.Time) store.Store {
	t.Helper()
	s, err := bolt.Open(filepath.Join(dir, "goodship.db"), bolt.Options{Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// rehearsed is a store that runs every unit twice, as an engine may, and keeps nothing of the first time. All tests run on
// it: a unit that leaves something outside the transaction fails them.
type rehearsed struct{ store.Store }

var errRehearsed = errors.New("rehearsed")

func (s rehearsed) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	result, err := s.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		if _, err := fn(tx); err != nil {
			return nil, err
		}
		return nil, errRehearsed
	})
	if !errors.Is(err, errRehearsed) {
		return result, err
	}
	return s.Store.Update(ctx, workspace, once, fn)
}

// hooked is a store with something to happen on the way.
type hooked struct {
	store.Store
	// beforeUnit, if set, runs before every unit.
	beforeUnit func()
	// inUnit, if set, runs inside every unit after its fn.
	inUnit func()
	// afterUnit, if set, runs after every unit.
	afterUnit func()
	// afterHead, if set, runs after every reading of a head outside units.
	afterHead func()
	// afterCustomer, if set, runs after every reading of a customer outside units.
	afterCustomer func()
	// tx, if set, stands between every unit and its transaction.
	tx func(store.Tx) store.Tx
	// failure, if set, is what every unit fails with, without running.
	failure error
}

func (s *hooked) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	if s.failure != nil {
		return store.Result{}, s.failure
	}
	if s.beforeUnit != nil {
		s.beforeUnit()
	}
	result, err := s.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		if s.tx != nil {
			tx = s.tx(tx)
		}
		receipt, err := fn(tx)
		if s.inUnit != nil {
			s.inUnit()
		}
		return receipt, err
	})
	if s.afterUnit != nil {
		s.afterUnit()
	}
	return result, err
}

func (s *hooked) Conversation(ctx context.Context, workspace, id string) (*storev1.Head, error) {
	head, err := s.Store.Conversation(ctx, workspace, id)
	if s.afterHead != nil {
		s.afterHead()
	}
	return head, err
}

func (s *hooked) Customer(ctx context.Context, workspace, id string) (*storev1.CustomerRecord, error) {
	r, err := s.Store.Customer(ctx, workspace, id)
	if s.afterCustomer != nil {
		s.afterCustomer()
	}
	return r, err
}

// image returns all that can be read from a store, in stored form, by a name for each thing.
func image(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	all := imager{t: t, store: s, image: map[string]string{}}
	workspaces, err := s.Workspaces(t.Context())
	all.check(err)
	for _, w := range workspaces {
		all.workspace(w)
	}
	return all.image
}

type imager struct {
	t     testing.TB
	store store.Store
	image map[string]string
}

const everything = 1 << 20

func (i imager) check(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatalf("read the store: %v", err)
	}
}

func (i imager) put(name string, m proto.Message) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	i.check(err)
	i.image[name] = string(b)
}

func (i imager) workspace(w *storev1.WorkspaceRecord) {
	id, ctx := w.Workspace.Id, i.t.Context()
	i.put(id, w)
	agents, err := i.store.Agents(ctx, id, "", everything)
	i.check(err)
	for _, r := range agents {
		i.put(id+"/agent/"+r.Agent.Id, r)
	}
	customers, err := i.store.Customers(ctx, id, "", everything)
	i.check(err)
	for _, r := range customers {
		i.put(id+"/customer/"+r.Customer.Id, r)
	}
	keys, err := i.store.APIKeys(ctx, id, "", everything)
	i.check(err)
	for _, r := range keys {
		i.put(id+"/key/"+r.ApiKey.Id, r)
	}
	i.hooks(id)
	oldest, _, err := i.store.FeedEnds(ctx, id)
	i.check(err)
	feed, err := i.store.Feed(ctx, id, oldest, everything)
	i.check(err)
	for _, e := range feed {
		i.put(fmt.Sprintf("%s/feed/%d/%s", id, e.Position, e.ConversationID), e.Record)
	}
	i.credits(id, agents, customers)
	i.incidents(id)
	for _, h := range heads(i.t, i.store, id) {
		i.conversation(id, h)
	}
}

func (i imager) credits(workspace string, agents []*storev1.AgentRecord, customers []*storev1.CustomerRecord) {
	ctx := i.t.Context()
	for before, more := "", true; more; more = before != "" {
		credits, next, err := i.store.Credits(ctx, workspace, store.CreditQuery{}, before, 100)
		i.check(err)
		for _, r := range credits {
			i.put(r.Credit.Id, r)
		}
		before = next
	}
	for _, c := range customers {
		ledger, err := i.store.Ledger(ctx, workspace, c.Key)
		i.check(err)
		i.put(workspace+"/ledger/"+c.Key, ledger)
		entries, err := i.store.LedgerEntries(ctx, workspace, c.Key, 0, everything)
		i.check(err)
		for _, e := range entries {
			i.put(fmt.Sprintf("%s/ledger/%s/%d", workspace, c.Key, e.Number), e)
		}
	}
	for _, a := range agents {
		spent, err := i.store.Spent(ctx, workspace, a.Agent.Id, i.store.Now().Format(time.DateOnly))
		i.check(err)
		spent.Day = "" // which is another one as time passes, also where nothing is granted
		i.put(workspace+"/spent/"+a.Agent.Id, spent)
	}
	statistics, err := i.store.Statistics(ctx, workspace, "0000-01-01", "9999-12-31")
	i.check(err)
	for _, s := range statistics {
		i.put(workspace+"/statistics/"+s.Day, s)
	}
}

func (i imager) incidents(workspace string) {
	ctx := i.t.Context()
	incidents, err := i.store.Incidents(ctx, workspace, "", everything)
	i.check(err)
	for _, r := range incidents {
		i.put(r.Incident.Id, r)
		for after, more := "", true; more; more = after != "" {
			page, next, err := i.store.Affected(ctx, workspace, r.Incident.Id, 0, after, 100)
			i.check(err)
			for _, a := range page {
				i.put(r.Incident.Id+"/"+a.CustomerKey, a)
			}
			after = next
		}
	}
}

func (i imager) hooks(workspace string) {
	ctx := i.t.Context()
	endpoints, err := i.store.WebhookEndpoints(ctx, workspace)
	i.check(err)
	for _, r := range endpoints {
		id := r.WebhookEndpoint.Id
		i.put(id, r)
		progress, err := i.store.WebhookProgress(ctx, workspace, id)
		i.check(err)
		i.put(id+"/progress", progress)
		parked, err := i.store.Parked(ctx, workspace, id, "", everything)
		i.check(err)
		for _, p := range parked {
			i.put(id+"/parked/"+p.ConversationId, p)
		}
		deliveries, err := i.store.Deliveries(ctx, workspace, id, "", everything)
		i.check(err)
		for _, d := range deliveries {
			i.put(id+"/"+d.Id, d)
		}
	}
}

func (i imager) conversation(workspace string, h *storev1.Head) {
	id, ctx := h.Conversation.Id, i.t.Context()
	i.put(id, h)
	records, err := i.store.Records(ctx, workspace, id, 0, everything)
	i.check(err)
	for n, r := range records {
		i.put(fmt.Sprintf("%s/record/%d", id, n), r)
	}
	up := store.Range{From: 1, Limit: everything}
	messages, err := i.store.Messages(ctx, workspace, id, up)
	i.check(err)
	for _, m := range messages {
		i.put(fmt.Sprintf("%s/message/%d", id, m.Number), m)
	}
	notes, err := i.store.Notes(ctx, workspace, id, up)
	i.check(err)
	for _, n := range notes {
		i.put(fmt.Sprintf("%s/note/%d", id, n.Number), n)
	}
	resolutions, err := i.store.Resolutions(ctx, workspace, id, up)
	i.check(err)
	for _, r := range resolutions {
		i.put(fmt.Sprintf("%s/resolution/%d", id, r.Number), r)
	}
	marks, err := i.store.ReadMarks(ctx, workspace, id)
	i.check(err)
	for _, m := range marks {
		i.put(id+"/mark/"+m.AgentId, m)
	}
}

// heads returns the heads of all conversations of a workspace.
func heads(t testing.TB, s store.Store, workspace string) []*storev1.Head {
	t.Helper()
	var all []*storev1.Head
	for after, more := (*store.Position)(nil), true; more; more = after != nil {
		page, next, err := s.List(t.Context(), workspace, store.Query{}, after, 100)
		if err != nil {
			t.Fatalf("list conversations: %v", err)
		}
		all, after = append(all, page...), next
	}
	return all
}
