package support_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim))
	pause, resume := &goodshipv1.PauseApologyRequest{IncidentId: id}, &goodshipv1.ResumeApologyRequest{IncidentId: id}
	w.refuses(lea, pause, "FailedPrecondition APOLOGY_STATE state=DECLARED")
	w.refuses(lea, resume, "FailedPrecondition APOLOGY_STATE state=DECLARED")
	w.sendsOff(id)
	w.refuses(lea, resume, "FailedPrecondition APOLOGY_STATE state=SENDING")
	do[*goodshipv1.Incident](w, lea, pause)
	w.goOut()
	w.adds(id, affected(lou))
	w.goOut()
	equal(t, "paused", w.progress(id), "PAUSED 2: 2 0 0 0 0 0")
	w.refuses(lea, pause, "FailedPrecondition APOLOGY_STATE state=PAUSED")
	do[*goodshipv1.Incident](w, lea, resume)
	w.goOut()
	equal(t, "resumed", w.progress(id), "SENT 2: 0 2 0 0 0 0")
	do[*goodshipv1.Incident](w, lea, pause)
	w.adds(id, affected("customer/ida"))
	w.goOut()
	equal(t, "paused for those who come late", w.progress(id), "PAUSED 3: 1 2 0 0 0 0")
}

// A pause in the middle of a turn stops it: what was not written stays so.
func TestAPauseStopsATurn(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim))
	w.sendsOff(id)
	h := &hooked{Store: w.store}
	w.store = h
	before := w.Service
	w.restart()
	if err := support.FindApologies(w.Service, t.Context()); err != nil {
		t.Fatal(err)
	}
	h.beforeUnit = func() {
		h.beforeUnit = nil
		if _, err := before.PauseApology(w.by(lea), &goodshipv1.PauseApologyRequest{IncidentId: id}); err != nil {
			t.Error(err)
		}
	}
	w.goOut()
	equal(t, "paused", w.progress(id), "PAUSED 1: 1 0 0 0 0 0")
}

// What was going out when the server stopped goes on after it.
func TestApologiesGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id, done, declared := w.declares(plain), w.declares(plain), w.declares(plain)
	for _, i := range []string{id, done, declared} {
		w.adds(i, affected(kim))
	}
	w.sendsOff(done)
	w.goOut()
	w.sendsOff(id)
	w.restart()
	w.goOut()
	equal(t, "before anybody looked", w.progress(id), "SENDING 1: 1 0 0 0 0 0")
	if err := support.FindApologies(w.Service, t.Context()); err != nil {
		t.Fatal(err)
	}
	w.goOut()
	equal(t, "after it", w.progress(id)+w.progress(done)+w.progress(declared), "SENT 1: 0 1 0 0 0 0SENT 1: 0 1 0 0 0 0DECLARED 1: 1 0 0 0 0 0")
}

// What is being written when a unit fails is tried again; what the store refuses waits.
func TestApologiesThatFail(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim), affected(lou))
	w.sendsOff(id)
	damage := damaged{incident: store.ErrDataLoss}
	h := &hooked{Store: w.store, tx: func(tx store.Tx) store.Tx { damage.Tx = tx; return damage }}
	w.store = h
	w.restart()
	if err := support.FindApologies(w.Service, t.Context()); err != nil {
		t.Fatal(err)
	}
	w.goOut()
	equal(t, "failed", w.progress(id), "SENDING 2: 2 0 0 0 0 0")
	h.tx = nil
	w.goOut()
	equal(t, "it rests", w.progress(id), "SENDING 2: 2 0 0 0 0 0")
	w.clock.Jump(time.Minute)
	w.goOut()
	equal(t, "then goes on", w.progress(id), "SENT 2: 0 2 0 0 0 0")
}

// faltering is a store that panics, so often, where it reads who is affected.
type faltering struct {
	store.Store
	panics int
}

func (s *faltering) Affected(ctx context.Context, workspace, incident string, state goodshipv1.ApologyState, after string, limit int) ([]*storev1.AffectedRecord, string, error) {
	if s.panics > 0 {
		s.panics--
		panic("affected")
	}
	return s.Store.Affected(ctx, workspace, incident, state, after, limit)
}

// A panic where apologies are read keeps that incident for a minute.
func TestApologiesThatPanic(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim))
	w.sendsOff(id)
	w.store = &faltering{w.store, 1}
	w.restart()
	if err := support.FindApologies(w.Service, t.Context()); err != nil {
		t.Fatal(err)
	}
	w.goOut()
	equal(t, "after the panic", w.progress(id), "SENDING 1: 1 0 0 0 0 0")
	w.clock.Jump(time.Minute)
	w.goOut()
	equal(t, "a minute later", w.progress(id), "SENT 1: 0 1 0 0 0 0")
}

// The amount was bound when the apology was sent off: it goes out though the workspace has another currency since.
func TestAnotherCurrencyHoldsNoApology(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim))
	w.sendsOff(id)
	w.updates(&goodshipv1.Workspace{CurrencyCode: "USD"}, "currency_code", "incident_ceiling")
	w.goOut()
	equal(t, "outcome", w.progress(id), "SENT 1: 0 1 0 0 0 0")
	same(t, "the credit", do[*goodshipv1.Credit](w, ada, &goodshipv1.GetCreditRequest{CreditId: w.apologyTo(id, kim).CreditId}).Amount, euros(5, 0))
}

// An incident that rested has its turns as others have, once that is over.
func TestWhoRestedHasATurn(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	w.updates(&goodshipv1.Workspace{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(1000, 0).GetMoney()}}, "incident_ceiling")
	h := &hooked{Store: w.store}
	w.store = h
	w.restart()
	rested, other := w.declares(plain), w.declares(plain)
	w.adds(rested, affected(kim))
	w.sendsOff(rested)
	damage := damaged{incident: store.ErrDataLoss}
	h.tx = func(tx store.Tx) store.Tx { damage.Tx = tx; return damage }
	w.goOut()
	h.tx = nil
	var many []*goodshipv1.AffectedCustomer
	for i := range 100 {
		many = append(many, affected(person(fmt.Sprintf("customer/%02d", i))))
	}
	w.adds(other, many...)
	w.sendsOff(other)
	w.clock.Jump(2 * time.Minute)
	for range 3 {
		support.WriteSomeApologies(w.Service, t.Context())
	}
	equal(t, "outcome", w.progress(rested), "SENT 1: 0 1 0 0 0 0")
}

// What was sent off goes out though the caller learnt of no commit.
func TestAnApologyGoesOutThoughTheReplyWasLost(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(w *world, id string) error{
		"sent": func(w *world, id string) error {
			_, err := w.call(w.by(lea), &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: w.previews(id).PreviewToken})
			return err
		},
		"resumed": func(w *world, id string) error {
			_, err := w.call(w.by(lea), &goodshipv1.ResumeApologyRequest{IncidentId: id})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := owesApologies(t)
			id := w.declares(plain)
			w.adds(id, affected(kim))
			if name == "resumed" {
				w.sendsOff(id)
				do[*goodshipv1.Incident](w, lea, &goodshipv1.PauseApologyRequest{IncidentId: id})
			}
			kept := w.store
			w.store = &faulty{Store: kept, units: 4} // whose next unit fails after its commit
			w.restart()
			if err := send(w, id); err == nil {
				t.Fatal("got no error, want one")
			}
			w.goOut()
			equal(t, "outcome", w.progress(id), "SENT 1: 0 1 0 0 0 0")
		})
	}
}

// pages is a store that notes how many incidents are read at once.
type pages struct {
	store.Store
	most int
}

func (s *pages) Incidents(ctx context.Context, workspace, before string, limit int) ([]*storev1.IncidentRecord, error) {
	s.most = max(s.most, limit)
	return s.Store.Incidents(ctx, workspace, before, limit)
}

// Incidents hold up to 64 KiB each: few are read at once when the server starts, and all are.
func TestFewIncidentsAreReadAtOnce(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim))
	w.sendsOff(id)
	for range 50 {
		w.declares(plain)
	}
	p := &pages{Store: w.store}
	w.store = p
	w.restart()
	if err := support.FindApologies(w.Service, t.Context()); err != nil {
		t.Fatal(err)
	}
	w.goOut()
	equal(t, "the oldest", w.progress(id), "SENT 1: 0 1 0 0 0 0")
	equal(t, "at once", p.most, 50)
}

// The apologist that runs by itself is roused by what is sent off, and finds what was before.
func TestTheApologistRuns(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	before, after := w.declares(plain), w.declares(plain)
	w.adds(before, affected(kim), affected(lou))
	w.adds(after, affected(kim), affected(lou))
	w.sendsOff(before)
	w.restart()
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for w.progress(before) != "SENT 2: 0 2 0 0 0 0" {
		w.clock.Jump(time.Second)
	}
	w.sendsOff(after)
	for w.progress(after) != "SENT 2: 0 2 0 0 0 0" {
		w.clock.Jump(time.Second)
	}
}

// Apologies go out at a rate, a few at once, and incidents take turns.
func TestTheRateOfApologies(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	w.updates(&goodshipv1.Workspace{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(1000, 0).GetMoney()}}, "incident_ceiling")
	first, second := w.declares(plain), w.declares(plain)
	var many []*goodshipv1.AffectedCustomer
	for i := range 60 {
		many = append(many, affected(person(fmt.Sprintf("customer/%02d", i))))
	}
	for _, id := range []string{first, second} {
		w.adds(id, many...)
		w.sendsOff(id)
	}
	turn := func() string {
		pause := support.WriteSomeApologies(w.Service, t.Context())
		var written []int32
		for _, id := range []string{first, second} {
			written = append(written, do[*goodshipv1.Incident](w, ada, &goodshipv1.GetIncidentRequest{IncidentId: id}).Progress.Written)
		}
		slices.Sort(written)
		return fmt.Sprint(pause.Round(time.Millisecond), written)
	}
	for _, want := range []string{"10ms [0 5]", "10ms [5 5]", "10ms [5 10]", "10ms [10 10]", "10ms [10 15]", "10ms [15 15]"} {
		equal(t, "a turn", turn(), want)
	}
}

// faulty is a store that fails units: before they begin, or after their commit and before the reply.
type faulty struct {
	store.Store
	mu sync.Mutex
	// units counts the units, and before and after those that failed so.
	units, before, after int
}

func (s *faulty) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	s.mu.Lock()
	s.units++
	n := s.units % 7
	switch n {
	case 3:
		s.before++
	case 5:
		s.after++
	}
	s.mu.Unlock()
	if n == 3 {
		return store.Result{}, store.ErrUnavailable
	}
	result, err := s.Store.Update(ctx, workspace, once, fn)
	if n == 5 && err == nil {
		return store.Result{}, store.ErrUnavailable
	}
	return result, err
}

// However units fail, and though several apologists write at once, each has one apology and one credit.
func TestEachHasOneApologyUnderFaults(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	const many = 120
	w.updates(&goodshipv1.Workspace{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(5*many, 0).GetMoney()}}, "incident_ceiling")
	id := w.declares(plain)
	var all []*goodshipv1.AffectedCustomer
	for i := range many {
		all = append(all, affected(person(fmt.Sprintf("customer/%03d", i))))
	}
	w.adds(id, all...)
	w.sendsOff(id)
	f := &faulty{Store: w.store}
	for round := 0; w.progress(id) != fmt.Sprintf("SENT %d: 0 %d 0 0 0 0", many, many); round++ {
		if round > many {
			t.Fatalf("got %s after so many rounds", w.progress(id))
		}
		var wg sync.WaitGroup
		for range 3 {
			svc, err := support.New(f, support.Options{Clock: w.clock, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer svc.Close()
			wg.Go(func() {
				_ = support.FindApologies(svc, t.Context())
				_ = support.WriteApologies(svc, t.Context()) // until the store refuses
			})
		}
		wg.Wait()
		w.clock.Jump(time.Minute)
	}
	if f.before == 0 || f.after == 0 {
		t.Errorf("units that failed before: %d, after: %d; want some of each", f.before, f.after)
	}
	w.countsEach(id, all)
}

// countsEach counts, for each affected customer, the conversations, the messages in them, the credits and the ledger's sum.
func (w *world) countsEach(id string, all []*goodshipv1.AffectedCustomer) {
	w.t.Helper()
	for _, c := range all {
		p := person("customer/" + c.CustomerId)
		conversations := do[*goodshipv1.ListConversationsResponse](w, p, &goodshipv1.ListConversationsRequest{}).Conversations
		credits := do[*goodshipv1.ListCreditsResponse](w, p, &goodshipv1.ListCreditsRequest{}).Credits
		if len(conversations) != 1 || conversations[0].MessageCount != 1 || len(credits) != 1 {
			w.t.Errorf("%s: got %v and %v, want one of each", p, conversations, credits)
			continue
		}
		a := w.apologyTo(id, p)
		equal(w.t, "where it stands", a.ConversationId+a.CreditId, conversations[0].Id+credits[0].Id)
		key, err := w.store.Customer(w.t.Context(), w.workspace, c.CustomerId)
		if err != nil {
			w.t.Fatal(err)
		}
		ledger, err := w.store.Ledger(w.t.Context(), w.workspace, key.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		equal(w.t, "entries", ledger.EntryCount, 1)
		same(w.t, "owed", ledger.Balances[0].Owed, euros(5, 0).GetMoney())
	}
}
