package support_test

import (
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// asked returns a visitor who asked something, and the token they sign in with.
func (w *world) asked() (visitor person, token string) {
	w.t.Helper()
	site := w.site()
	session := site.comes()
	site.asks(session)
	return person("customer/" + session.VisitorId), session.Token
}

// Whoever was several visitors gets one apology, whichever of them is affected and whenever they signed in.
func TestOnePersonGetsOneApology(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(w *world, id string)
		want    string
	}{
		"two visitors who signed in": {func(w *world, id string) {
			first, firstToken := w.asked()
			second, secondToken := w.asked()
			w.adds(id, affected(first), affected(second))
			equal(w.t, "signed in", w.signsIn(kim, firstToken)+w.signsIn(kim, secondToken), "")
			w.sendsOff(id)
		}, "SENT 2: 0 1 0 0 0 1"},
		"a visitor who had it": {func(w *world, id string) {
			visitor, token := w.asked()
			w.adds(id, affected(visitor))
			w.sendsOff(id)
			w.goOut()
			w.adds(id, affected(kim))
			equal(w.t, "signed in", w.signsIn(kim, token), "")
		}, "SENT 2: 0 1 0 0 0 1"},
		"a visitor who had it and saw it": {func(w *world, id string) {
			visitor, token := w.asked()
			w.adds(id, affected(visitor))
			w.sendsOff(id)
			w.goOut()
			conv := w.apologyTo(id, visitor).ConversationId
			w.adds(id, affected(kim))
			equal(w.t, "signed in", w.signsIn(kim, token), "")
			do[*goodshipv1.ReadMark](w, kim, &goodshipv1.MarkReadRequest{ConversationId: conv, Number: 1})
		}, "SENT 2: 0 1 0 1 0 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := owesApologies(t)
			id := w.declares(plain)
			c.happens(w, id)
			w.goOut()
			equal(t, "outcome", w.progress(id), c.want)
			equal(t, "credits", len(do[*goodshipv1.ListCreditsResponse](w, kim, &goodshipv1.ListCreditsRequest{}).Credits), 1)
		})
	}
}

// Nothing is written to who is being erased.
func TestWhoIsBeingErasedGetsNoApology(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim), affected(lou))
	_, err := w.store.Update(t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		r, err := tx.Customer(kim.id())
		if err != nil {
			return nil, err
		}
		r.ErasureId = "era_01"
		return nil, tx.PutCustomer(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sendsOff(id)
	w.goOut()
	equal(t, "outcome", w.progress(id), "SENT 2: 0 1 0 0 0 1")
	equal(t, "why", w.apologyTo(id, kim).SkipReason, goodshipv1.SkipReason_SKIP_REASON_ERASED)
}

// damaged is a transaction in which incidents are missing, or the affected customers of them damaged.
type damaged struct {
	store.Tx
	incident, affected error
}

func (tx damaged) Incident(id string) (*storev1.IncidentRecord, error) {
	if tx.incident != nil {
		return nil, tx.incident
	}
	return tx.Tx.Incident(id)
}

func (tx damaged) Affected(incident, key string) (*storev1.AffectedRecord, error) {
	if tx.affected != nil {
		return nil, tx.affected
	}
	return tx.Tx.Affected(incident, key)
}

// A customer's answer is taken though what counts the apology that it answers is missing or damaged.
func TestAnAnswerIsTakenWhateverBecameOfTheIncident(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]damaged{
		"no incident": {incident: store.ErrNotFound}, "a damaged incident": {incident: store.ErrDataLoss}, "a damaged affected customer": {affected: store.ErrDataLoss},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := owesApologies(t)
			id := w.declares(plain)
			w.adds(id, affected(kim))
			w.sendsOff(id)
			w.goOut()
			conv := w.apologyTo(id, kim).ConversationId
			w.store = &hooked{Store: w.store, tx: func(tx store.Tx) store.Tx { d.Tx = tx; return d }}
			w.restart()
			w.says(kim, conv, "It still skips")
			equal(t, "the count is as it was", w.progress(id), "SENT 1: 0 1 0 0 0 0")
		})
	}
}
