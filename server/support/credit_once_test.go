package support_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/protobuf/proto"
)

// reopenable is a store over a file that can be closed and opened again.
func reopenable(t *testing.T, clock *faketime.Clock, hooks bolt.Hooks) (open func() store.Store) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "goodship.db")
	return func() store.Store {
		t.Helper()
		s, err := bolt.Open(file, bolt.Options{Now: clock.Now, Log: slog.New(slog.DiscardHandler), Hooks: hooks})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// TestGrantedOnce sends one request a hundred times at once, again once the file was opened anew, and after a year: one credit.
func TestGrantedOnce(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	open := reopenable(t, clock, bolt.Hooks{})
	w := foundWorld(t, clock, open())
	id := creditable(w)
	req := granting(id, euros(5, 0))
	req.RequestId = "once"
	repeat := func() *goodshipv1.Credit {
		t.Helper()
		ctx, replies := w.by(ada), make([]*goodshipv1.Credit, 100)
		var calls sync.WaitGroup
		for i := range replies {
			calls.Go(func() {
				credit, err := w.GrantCredit(ctx, proto.CloneOf(req))
				equal(t, "error", refusal(err), "")
				replies[i] = credit
			})
		}
		calls.Wait()
		for _, r := range replies {
			same(t, "reply", r, replies[0])
		}
		return replies[0]
	}
	once := repeat()
	check := func(when string) {
		t.Helper()
		equal(t, "ledger "+when, w.ledgerOf(kim), "owed 5.00 EUR, settled 0.00 EUR, 1 GRANTED 5.00 EUR")
		equal(t, "events "+when, strings.Count(w.story(id), "credit_granted"), 1)
		same(t, "credit "+when, w.credit(once.Id), once)
	}
	check("after a hundred calls")
	equal(t, "remains", w.remains(ada), "7.00 EUR, 1200 until 2026-03-01T23:00:00Z")

	w.Close()
	equal(t, "close", w.store.Close(), nil)
	w.clock.Jump(365 * 24 * time.Hour)
	w.store = open()
	t.Cleanup(func() { equal(t, "close", w.store.Close(), nil) })
	w.restart()
	equal(t, "the same credit", repeat().Id, once.Id)
	check("after a year")
	other := proto.CloneOf(req)
	other.Reason = "Something else"
	w.refuses(ada, other, "InvalidArgument REQUEST_ID_REUSED")
}

// point is where a commit fails, how often it was reached, and how many reaches from now it fails.
type point struct {
	reached, failsIn atomic.Int64
}

var errPoint = errors.New("injected")

func (p *point) hook() error {
	p.reached.Add(1)
	if p.failsIn.Add(-1) == 0 {
		return errPoint
	}
	return nil
}

// TestGrantedOnceThoughCommitsFail fails the commit of a grant, of a settlement and of a reversal, at each of its points, and
// repeats the call: one credit, one entry each, and the allowance taken once.
func TestGrantedOnceThoughCommitsFail(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"before apply", "before commit", "after commit"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := map[string]*point{"before apply": {}, "before commit": {}, "after commit": {}}
			clock := faketime.New()
			open := reopenable(t, clock, bolt.Hooks{
				BeforeApply: points["before apply"].hook, BeforeCommit: points["before commit"].hook, AfterCommit: points["after commit"].hook,
			})
			w := foundWorld(t, clock, open())
			t.Cleanup(func() { _ = w.store.Close() })
			id := creditable(w)
			hit := 0
			// survives makes a call whose commit fails, which may cost the store, and then makes it again.
			survives := func(p person, req proto.Message) proto.Message {
				t.Helper()
				ctx := w.by(p)
				points[name].failsIn.Store(1)
				before := points[name].reached.Load()
				reply, err := w.call(ctx, req)
				if points[name].reached.Load() > before && (err != nil || failedInside(reply)) {
					hit++
				}
				w.Close()
				equal(t, "close", w.store.Close(), nil)
				w.store = open()
				w.restart()
				return do[proto.Message](w, p, req)
			}
			grant := granting(id, euros(5, 0))
			grant.RequestId = "once"
			credit := survives(ada, grant).(*goodshipv1.Credit)
			equal(t, "remains", w.remains(ada), "7.00 EUR, 1200 until 2026-03-01T23:00:00Z")
			survives(backend, &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{bill(credit.Id, "invoice 1")}})
			second := w.grants(ada, id, euros(1, 0))
			survives(lea, &goodshipv1.ReverseCreditRequest{CreditId: second.Id, Reason: "x", RequestId: "once"})
			equal(t, "times that the point was hit", hit, 3)
			equal(t, "ledger", w.ledgerOf(kim), "owed 0.00 EUR, settled 5.00 EUR, 1 GRANTED 5.00 EUR, 2 SETTLED -5.00 EUR, 3 GRANTED 1.00 EUR, 4 REVERSED -1.00 EUR")
			equal(t, "remains", w.remains(ada), "6.00 EUR, 1200 until 2026-03-01T23:00:00Z")
			equal(t, "log", w.story(id), "opened message_sent wait_began claimed credit_granted credit_settled credit_granted credit_reversed")
			report, err := w.store.Check(t.Context(), true)
			equal(t, "check", err, nil)
			equal(t, "problems", list(report.Problems), "")
		})
	}
}

// failedInside reports whether an item of a reply says that the store did not take it.
func failedInside(reply proto.Message) bool {
	r, ok := reply.(*goodshipv1.SettleCreditsResponse)
	return ok && strings.HasPrefix(told(r.GetResults()[0]), "Unavailable STORE_UNAVAILABLE")
}
