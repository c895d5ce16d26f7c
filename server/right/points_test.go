package right

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

// point is where a commit may fail.
type point string

const (
	beforeApply  point = "before apply"
	beforeCommit point = "before commit"
	afterCommit  point = "after commit"
)

// kind is a thing that a unit does.
type kind string

const (
	messageSent     kind = "a message"
	creditGranted   kind = "a grant"
	creditSettled   kind = "a settlement"
	creditRefused   kind = "a refused settlement"
	creditReversed  kind = "a reversal"
	incidentPut     kind = "an incident"
	affectedAdded   kind = "an affected customer"
	apologyWritten  kind = "an apology"
	erasurePut      kind = "an erasure"
	talkRemoved     kind = "a conversation's removal"
	customerRemoved kind = "a customer's removal"
	deliveryMarked  kind = "the mark of a delivery"
)

// place is a point of a commit in which there is a thing of a kind.
type place struct {
	kind  kind
	point point
}

// places are all, each so many times, in a random order.
func places(times int, rng *rand.Rand) (all []place) {
	for _, k := range []kind{
		messageSent, creditGranted, creditSettled, creditRefused, creditReversed, incidentPut, affectedAdded, apologyWritten,
		erasurePut, talkRemoved, customerRemoved, deliveryMarked,
	} {
		for _, p := range []point{beforeApply, beforeCommit, afterCommit} {
			all = append(all, slices.Repeat([]place{{k, p}}, times)...)
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

var errOnPurpose = errors.New("on purpose")

// faults knows what is in each commit, and has one fail at a place.
type faults struct {
	mu sync.Mutex
	// unit and batch are what the unit that ran last did, and all that are in the commit.
	unit, batch map[kind]bool
	// armed is where a commit is to fail; over the commits that come to it.
	armed *place
	over  int
	// struck gets what failed.
	struck chan place
}

func newFaults() *faults { return &faults{struck: make(chan place, 1)} }

// arm has a commit fail at a place, after it was passed over so many times.
func (f *faults) arm(at place, over int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.over = &at, over
}

// forget begins anew, with a store that was opened anew.
func (f *faults) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unit, f.batch = map[kind]bool{}, map[kind]bool{}
}

// hooks are asked by the engine.
func (f *faults) hooks() bolt.Hooks {
	return bolt.Hooks{
		BeforeApply: func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			for k := range f.unit {
				f.batch[k] = true
			}
			return f.fail(beforeApply, f.unit)
		},
		BeforeCommit: func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.fail(beforeCommit, f.batch)
		},
		AfterCommit: func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			err := f.fail(afterCommit, f.batch)
			f.batch = map[kind]bool{}
			return err
		},
	}
}

// fail returns an error where a commit is to fail; under the lock.
func (f *faults) fail(at point, with map[kind]bool) error {
	if f.armed == nil || f.armed.point != at || !with[f.armed.kind] {
		return nil
	}
	if f.over--; f.over >= 0 {
		return nil
	}
	f.struck <- *f.armed
	f.armed = nil
	return errOnPurpose
}

// did notes what a unit does.
func (f *faults) did(k kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unit[k] = true
}

// noted is a store of which the faults know what is in its units.
type noted struct {
	store.Store
	faults *faults
}

// Update implements store.Updater.
func (s noted) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	return s.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		s.faults.mu.Lock()
		s.faults.unit = map[kind]bool{}
		s.faults.mu.Unlock()
		return fn(notedTx{tx, s.faults})
	})
}

// notedTx is a unit of which the faults know what it does.
type notedTx struct {
	store.Tx
	faults *faults
}

func (t notedTx) Append(c store.Change) error {
	if c.Record.GetMessage() != nil {
		t.faults.did(messageSent)
	}
	return t.Tx.Append(c)
}

func (t notedTx) PutCredit(c *storev1.CreditRecord) error {
	switch c.Credit.State {
	case goodshipv1.CreditState_CREDIT_STATE_PENDING:
		if c.Credit.IncidentId == "" {
			t.faults.did(creditGranted)
		}
	case goodshipv1.CreditState_CREDIT_STATE_SETTLED:
		t.faults.did(creditSettled)
	case goodshipv1.CreditState_CREDIT_STATE_REFUSED:
		t.faults.did(creditRefused)
	case goodshipv1.CreditState_CREDIT_STATE_REVERSED:
		t.faults.did(creditReversed)
	}
	return t.Tx.PutCredit(c)
}

func (t notedTx) PutIncident(i *storev1.IncidentRecord) error {
	t.faults.did(incidentPut)
	return t.Tx.PutIncident(i)
}

func (t notedTx) PutAffected(a *storev1.AffectedRecord) error {
	switch a.Apology.State {
	case goodshipv1.ApologyState_APOLOGY_STATE_PENDING:
		t.faults.did(affectedAdded)
	case goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN:
		t.faults.did(apologyWritten)
	}
	return t.Tx.PutAffected(a)
}

func (t notedTx) PutErasure(e *storev1.ErasureRecord) error {
	t.faults.did(erasurePut)
	return t.Tx.PutErasure(e)
}

func (t notedTx) RemoveConversation(id string, cause goodshipv1.RemovalCause) error {
	t.faults.did(talkRemoved)
	return t.Tx.RemoveConversation(id, cause)
}

func (t notedTx) RemoveCustomer(key string) error {
	t.faults.did(customerRemoved)
	return t.Tx.RemoveCustomer(key)
}

func (t notedTx) PutWebhookProgress(p *storev1.WebhookProgressRecord) error {
	t.faults.did(deliveryMarked)
	return t.Tx.PutWebhookProgress(p)
}
