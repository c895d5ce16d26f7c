package right

import (
	"context"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// gather reads the facts of an incident through the API: of the customers affected what each of them sees, and all credits.
func (h *house) gather(want owed) facts {
	h.t.Helper()
	got := facts{progress: h.progress(want.incident), apologies: h.listApologies(want.incident), credits: want.of(h.listCredits()), ledgers: map[string]*ledger{}}
	customers := make([]string, 0, len(want.customers))
	for customer := range want.customers {
		customers = append(customers, customer)
	}
	var mu sync.Mutex
	each(len(customers), func(i int) {
		read, books := h.read(customers[i]), h.ledger(customers[i])
		mu.Lock()
		defer mu.Unlock()
		got.said = append(got.said, read...)
		got.ledgers[customers[i]] = books
	})
	return got
}

func (h *house) progress(incident string) *goodshipv1.ApologyProgress {
	h.t.Helper()
	return must(h, "", func(ctx context.Context) (*goodshipv1.Incident, error) {
		return h.incidents().GetIncident(ctx, &goodshipv1.GetIncidentRequest{IncidentId: incident})
	}).GetProgress()
}

// pages reads all pages of a list.
func pages[T interface{ GetNextPageToken() string }](h *house, who string, page func(ctx context.Context, token string) (T, error)) (all []T) {
	h.t.Helper()
	for token := ""; ; {
		got := must(h, who, func(ctx context.Context) (T, error) { return page(ctx, token) })
		all = append(all, got)
		if token = got.GetNextPageToken(); token == "" {
			return all
		}
	}
}

func (h *house) listApologies(incident string) (all []*goodshipv1.Apology) {
	h.t.Helper()
	for _, page := range pages(h, "", func(ctx context.Context, token string) (*goodshipv1.ListApologiesResponse, error) {
		return h.incidents().ListApologies(ctx, &goodshipv1.ListApologiesRequest{IncidentId: incident, PageSize: 1000, PageToken: token})
	}) {
		all = append(all, page.GetApologies()...)
	}
	return all
}

func (h *house) listCredits() (all []*goodshipv1.Credit) {
	h.t.Helper()
	for _, page := range pages(h, "", func(ctx context.Context, token string) (*goodshipv1.ListCreditsResponse, error) {
		return h.credits().ListCredits(ctx, &goodshipv1.ListCreditsRequest{PageSize: 1000, PageToken: token})
	}) {
		all = append(all, page.GetCredits()...)
	}
	return all
}

// ledger reads a customer's.
func (h *house) ledger(customer string) *ledger {
	h.t.Helper()
	l := &ledger{}
	for _, page := range pages(h, "", func(ctx context.Context, token string) (*goodshipv1.GetLedgerResponse, error) {
		return h.credits().GetLedger(ctx, &goodshipv1.GetLedgerRequest{CustomerId: customer, PageSize: 100, PageToken: token})
	}) {
		l.balances, l.basisPoints = page.GetBalances(), page.GetBasisPointsOwed()
		l.entries = append(l.entries, page.GetEntries()...)
	}
	return l
}

// read returns the apologies that a customer sees, in all their conversations.
func (h *house) read(customer string) (all []said) {
	h.t.Helper()
	for _, c := range h.conversationsOf(customer) {
		for _, m := range h.messagesOf(customer, c.Id) {
			if m.AutomaticReason == goodshipv1.AutomaticReason_AUTOMATIC_REASON_INCIDENT {
				all = append(all, said{customer, c.Id, m.Number, m.Text})
			}
		}
	}
	return all
}

// conversationsOf returns a customer's conversations, as they see them.
func (h *house) conversationsOf(customer string) (all []*goodshipv1.Conversation) {
	h.t.Helper()
	for _, page := range pages(h, "customer/"+customer, func(ctx context.Context, token string) (*goodshipv1.ListConversationsResponse, error) {
		return h.conversations().ListConversations(ctx, &goodshipv1.ListConversationsRequest{PageSize: 100, PageToken: token})
	}) {
		all = append(all, page.GetConversations()...)
	}
	return all
}

// messagesOf returns the messages of a conversation, as its customer sees them.
func (h *house) messagesOf(customer, conversation string) (all []*goodshipv1.Message) {
	h.t.Helper()
	for _, page := range pages(h, "customer/"+customer, func(ctx context.Context, token string) (*goodshipv1.ListMessagesResponse, error) {
		return h.messages().ListMessages(ctx, &goodshipv1.ListMessagesRequest{ConversationId: conversation, PageSize: 100, PageToken: token})
	}) {
		all = append(all, page.GetMessages()...)
	}
	return all
}
