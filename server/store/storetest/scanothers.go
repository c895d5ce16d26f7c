package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// found is read for what may be missing, of which it returns nil.
func found[V any](s *scanner, what string, fetch func() (*V, error)) *V {
	return read(s, what, func() (*V, error) {
		v, err := fetch()
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		return v, err
	})
}

// creditQueries name each filter once, and some together.
var creditQueries = []store.CreditQuery{
	{},
	{State: goodshipv1.CreditState_CREDIT_STATE_PENDING},
	{State: goodshipv1.CreditState_CREDIT_STATE_SETTLED},
	{ConversationID: "conv_1"},
	{CustomerKeys: []string{"key_1"}},
	{CustomerKeys: []string{"key_20", defaultCustomer, "key_20"}, State: goodshipv1.CreditState_CREDIT_STATE_PENDING},
	{CustomerKeys: []string{"key_2"}, ConversationID: "conv_01"},
	{CustomerKeys: []string{}},
}

func (s *scanner) credits(w string) {
	owners := make(map[string]bool)
	for _, key := range customers {
		owners[key] = true
	}
	for i, q := range creditQueries {
		list := read(s, "Credits", func() ([]*storev1.CreditRecord, error) { return walkCredits(s.ctx, s.store, w, q, 3, nil) })
		put(s.image, fmt.Sprint(w, " credits ", i), list...)
		for _, c := range list {
			id := c.GetCredit().GetId()
			owners[c.GetCustomerKey()] = true
			put(s.image, w+" credit "+id, read(s, "Credit", func() (*storev1.CreditRecord, error) { return s.store.Credit(s.ctx, w, id) }))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(owners)) {
		ledger := read(s, "Ledger", func() (*storev1.LedgerRecord, error) { return s.store.Ledger(s.ctx, w, key) })
		if !proto.Equal(ledger, &storev1.LedgerRecord{CustomerKey: key}) {
			put(s.image, w+" ledger of "+key, ledger)
		}
		put(s.image, w+" ledger entries of "+key, read(s, "LedgerEntries", func() ([]*goodshipv1.LedgerEntry, error) {
			return s.store.LedgerEntries(s.ctx, w, key, 0, all)
		})...)
	}
	for _, agent := range agents {
		for _, day := range days {
			spent := read(s, "Spent", func() (*storev1.SpentRecord, error) { return s.store.Spent(s.ctx, w, agent, day) })
			if !proto.Equal(spent, spentRecord(agent, day, 0)) {
				put(s.image, w+" spent by "+agent+" on "+day, spent)
			}
		}
	}
	put(s.image, w+" statistics", read(s, "Statistics", func() ([]*storev1.StatisticsRecord, error) { return s.store.Statistics(s.ctx, w, "", "9999") })...)
}

// walkCredits reads a list of credits page by page; between is called after each page that is not the last, if it is not nil.
func walkCredits(ctx context.Context, st store.Store, w string, q store.CreditQuery, limit int, between func()) ([]*storev1.CreditRecord, error) {
	return walkIDs(limit, between, func(before string) ([]*storev1.CreditRecord, string, error) {
		return st.Credits(ctx, w, q, before, limit)
	})
}

// walkAffected reads affected customers page by page, as walkCredits does.
func walkAffected(ctx context.Context, st store.Store, w, incident string, state goodshipv1.ApologyState, limit int, between func()) ([]*storev1.AffectedRecord, error) {
	return walkIDs(limit, between, func(after string) ([]*storev1.AffectedRecord, string, error) {
		return st.Affected(ctx, w, incident, state, after, limit)
	})
}

// walkIDs reads page by page what is listed from an id on.
func walkIDs[M any](limit int, between func(), fetch func(from string) ([]M, string, error)) ([]M, error) {
	var list []M
	from := ""
	for range 10 * all {
		page, next, err := fetch(from)
		if err != nil {
			return nil, err
		}
		if len(page) > limit {
			return nil, fmt.Errorf("a page of %d, want at most %d", len(page), limit)
		}
		list = append(list, page...)
		if next == "" {
			return list, nil
		}
		from = next
		if between != nil {
			between()
		}
	}
	return nil, fmt.Errorf("no end of a list at %q", from)
}

func (s *scanner) incidents(w string) {
	list := read(s, "Incidents", func() ([]*storev1.IncidentRecord, error) { return s.store.Incidents(s.ctx, w, "", all) })
	put(s.image, w+" incidents", list...)
	for _, i := range list {
		id := i.GetIncident().GetId()
		put(s.image, w+" incident "+id, read(s, "Incident", func() (*storev1.IncidentRecord, error) { return s.store.Incident(s.ctx, w, id) }))
	}
	for _, id := range incidents {
		for _, state := range append([]goodshipv1.ApologyState{0}, apologyStates...) {
			put(s.image, fmt.Sprintf("%s affected by %s in state %d", w, id, state), read(s, "Affected", func() ([]*storev1.AffectedRecord, error) {
				return walkAffected(s.ctx, s.store, w, id, state, 3, nil)
			})...)
		}
	}
}

func (s *scanner) webhooks(w string) {
	put(s.image, w+" endpoints", read(s, "WebhookEndpoints", func() ([]*storev1.WebhookEndpointRecord, error) { return s.store.WebhookEndpoints(s.ctx, w) })...)
	for _, id := range hooks {
		endpoint := found(s, "WebhookEndpoint", func() (*storev1.WebhookEndpointRecord, error) { return s.store.WebhookEndpoint(s.ctx, w, id) })
		if endpoint != nil {
			put(s.image, w+" endpoint "+id, endpoint)
		}
		progress := found(s, "WebhookProgress", func() (*storev1.WebhookProgressRecord, error) { return s.store.WebhookProgress(s.ctx, w, id) })
		if progress != nil {
			put(s.image, w+" progress of "+id, progress)
		}
		put(s.image, w+" parked for "+id, read(s, "Parked", func() ([]*storev1.ParkedRecord, error) { return s.store.Parked(s.ctx, w, id, "", all) })...)
		put(s.image, w+" deliveries to "+id, read(s, "Deliveries", func() ([]*goodshipv1.WebhookDelivery, error) {
			return s.store.Deliveries(s.ctx, w, id, "", all)
		})...)
	}
}

func (s *scanner) privacy(w string) {
	for _, before := range []time.Time{afterAll, later(4)} {
		put(s.image, fmt.Sprint(w, " resolved before ", before), read(s, "Resolved", func() ([]*storev1.Head, error) {
			return walkResolved(s.ctx, s.store, w, before, 3, nil)
		})...)
	}
	put(s.image, w+" erasures", read(s, "Erasures", func() ([]*storev1.ErasureRecord, error) { return s.store.Erasures(s.ctx, w, "", all) })...)
	for _, id := range erasures {
		if e := found(s, "Erasure", func() (*storev1.ErasureRecord, error) { return s.store.Erasure(s.ctx, w, id) }); e != nil {
			put(s.image, w+" erasure "+id, e)
		}
	}
	put(s.image, w+" removals", read(s, "Removals", func() ([]*goodshipv1.Removal, error) { return s.store.Removals(s.ctx, w, "", all) })...)
}

// walkResolved reads what was resolved long ago page by page, as walk does.
func walkResolved(ctx context.Context, st store.Store, w string, before time.Time, limit int, between func()) ([]*storev1.Head, error) {
	var heads []*storev1.Head
	var after *store.Position
	for range 10 * all {
		page, next, err := st.Resolved(ctx, w, before, after, limit)
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
	return nil, fmt.Errorf("no end of what was resolved at %+v", after)
}

func (s *scanner) creditsDue() {
	for i, d := range read(s, "CreditsDue", func() ([]store.CreditDue, error) { return s.store.CreditsDue(s.ctx, nil, all) }) {
		put(s.image, fmt.Sprintf("credit due %d: %s in %s", i, d.CreditID, d.Workspace), timestamppb.New(d.Time))
	}
}
