package right

import (
	"context"
	"maps"
	"path/filepath"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/genproto/googleapis/type/money"
)

// truth is what a store holds, read from its file while no server has it.
type truth struct {
	t         *testing.T
	st        store.Store
	workspace string
	// names are customers' ids by their internal keys; who was erased is named by the key.
	names map[string]string
	heads map[string]*storev1.Head
	feed  []store.FeedEntry
}

// look opens the file in a data folder, and checks it.
func look(t *testing.T, data string) *truth {
	t.Helper()
	st, err := bolt.Open(filepath.Join(data, "goodship.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	mustBeSound(t, st)
	known, err := st.Workspaces(t.Context())
	if err != nil || len(known) != 1 {
		t.Fatalf("%d workspaces, %v", len(known), err)
	}
	w := &truth{t: t, st: st, workspace: known[0].Workspace.Id, names: map[string]string{}, heads: map[string]*storev1.Head{}}
	w.readFeed()
	return w
}

// mustBeSound fails the test unless a store agrees with itself.
func mustBeSound(t *testing.T, st store.Store) {
	t.Helper()
	if report, err := st.Check(context.WithoutCancel(t.Context()), true); err != nil || len(report.Problems) > 0 {
		t.Errorf("the store is not sound: %v %v", report.Problems, err)
	}
}

func (w *truth) readFeed() {
	w.t.Helper()
	for after := int64(0); ; {
		page, err := w.st.Feed(w.t.Context(), w.workspace, after, 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page) == 0 {
			return
		}
		w.feed = append(w.feed, page...)
		after = page[len(page)-1].Position
	}
}

// name returns the id of a customer by the internal key; the key, if there is nobody of it.
func (w *truth) name(key string) string {
	w.t.Helper()
	if w.names[key] == "" {
		w.names[key] = key
		if c, err := w.st.CustomerByKey(w.t.Context(), w.workspace, key); err == nil {
			w.names[key] = c.Customer.Id
		}
	}
	return w.names[key]
}

// gather reads the facts of an incident from the file.
func (w *truth) gather(want owed) facts {
	w.t.Helper()
	incident, err := w.st.Incident(w.t.Context(), w.workspace, want.incident)
	if err != nil {
		w.t.Fatal(err)
	}
	got := facts{progress: incident.Incident.Progress, said: w.said(want.incident), ledgers: map[string]*ledger{}}
	for after := ""; ; {
		page, next, err := w.st.Affected(w.t.Context(), w.workspace, want.incident, goodshipv1.ApologyState_APOLOGY_STATE_UNSPECIFIED, after, 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, a := range page {
			a.Apology.CustomerId = w.name(a.CustomerKey)
			got.apologies = append(got.apologies, a.Apology)
		}
		if after = next; after == "" {
			break
		}
	}
	got.credits = want.of(w.credits(got.ledgers))
	got.progress.Credited = sumOf(got.credits, want.incident) // which is not stored
	maps.DeleteFunc(got.ledgers, func(customer string, _ *ledger) bool { return !want.affects(customer) })
	return got
}

// sumOf returns what an incident's credits are worth.
func sumOf(credits []*goodshipv1.Credit, incident string) *money.Money {
	sum := int64(0)
	for _, c := range credits {
		if c.IncidentId == incident {
			sum += mills(c.Amount.GetMoney())
		}
	}
	return &money.Money{CurrencyCode: currency, Units: sum / 1000, Nanos: int32(sum%1000) * 1_000_000}
}

// said returns the messages of an incident.
func (w *truth) said(incident string) (all []said) {
	w.t.Helper()
	for _, e := range w.feed {
		if m := e.Record.GetMessage(); m.GetAutomaticReason() == goodshipv1.AutomaticReason_AUTOMATIC_REASON_INCIDENT {
			head := w.head(e.ConversationID)
			if head.Conversation.IncidentId == incident {
				all = append(all, said{w.name(head.CustomerKey), e.ConversationID, m.Number, m.Text})
			}
		}
	}
	return all
}

func (w *truth) head(conversation string) *storev1.Head {
	w.t.Helper()
	if w.heads[conversation] == nil {
		head, err := w.st.Conversation(w.t.Context(), w.workspace, conversation)
		if err != nil {
			w.t.Fatal(err)
		}
		w.heads[conversation] = head
	}
	return w.heads[conversation]
}

// credits reads all credits, and the ledgers of their customers.
func (w *truth) credits(ledgers map[string]*ledger) (all []*goodshipv1.Credit) {
	w.t.Helper()
	for before := ""; ; {
		page, next, err := w.st.Credits(w.t.Context(), w.workspace, store.CreditQuery{}, before, 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range page {
			c.Credit.CustomerId = w.name(c.CustomerKey)
			if ledgers[c.Credit.CustomerId] == nil {
				ledgers[c.Credit.CustomerId] = w.ledger(c.CustomerKey)
			}
			all = append(all, c.Credit)
		}
		if before = next; before == "" {
			return all
		}
	}
}

func (w *truth) ledger(key string) *ledger {
	w.t.Helper()
	sums, err := w.st.Ledger(w.t.Context(), w.workspace, key)
	if err != nil {
		w.t.Fatal(err)
	}
	l := &ledger{balances: sums.Balances, basisPoints: sums.BasisPointsOwed}
	for after := int32(0); ; after = int32(len(l.entries)) {
		page, err := w.st.LedgerEntries(w.t.Context(), w.workspace, key, after, 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		l.entries = append(l.entries, page...)
		if len(page) == 0 {
			break
		}
	}
	if len(l.entries) != int(sums.EntryCount) {
		w.t.Errorf("%s: %d entries are counted, there are %d", w.name(key), sums.EntryCount, len(l.entries))
	}
	return l
}

// mustTellOfCredits fails the test unless each credit was told of once in its conversation, and no other.
func (w *truth) mustTellOfCredits(credits []*goodshipv1.Credit) {
	w.t.Helper()
	told := map[string]int{}
	for _, e := range w.feed {
		for _, event := range e.Record.GetEvents() {
			if granted := event.GetCreditGranted(); granted != nil {
				told[granted.CreditId+e.ConversationID]++
			}
		}
	}
	for _, c := range credits {
		if c.ConversationId == "" {
			continue // it was removed, and its events with it
		}
		if n := told[c.Id+c.ConversationId]; n != 1 {
			w.t.Errorf("the log of %s tells %d times of %s", c.ConversationId, n, c.Id)
		}
		delete(told, c.Id+c.ConversationId)
	}
	if len(told) > 0 {
		w.t.Errorf("logs tell of credits that are not there: %v", told)
	}
}
