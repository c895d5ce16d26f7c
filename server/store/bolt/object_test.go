package bolt_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

// TestReadsOfObjectsWait reads while a commit is in the file and not known to be durable: who reads what it changes waits.
func TestReadsOfObjectsWait(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, 3)
	seen, known := make(chan struct{}), make(chan struct{})
	bolt.SetHooks(st, nil, nil, func() error {
		close(seen)
		<-known
		return nil
	})
	var writing sync.WaitGroup
	writing.Go(func() {
		mustUpdate(t, st, func(tx store.Tx) error { return tx.PutCredit(credit(9)) })
	})
	<-seen
	for what, read := range map[string]func(context.Context) error{
		"Credit": func(ctx context.Context) error {
			_, err := st.Credit(ctx, workspace, "cred_009")
			return err
		},
		"CreditsDue": func(ctx context.Context) error {
			_, err := st.CreditsDue(ctx, nil, 10)
			return err
		},
	} {
		if err := read(&endedContext{Context: t.Context()}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want it to wait until its context ends", what, err)
		}
	}
	if _, err := st.Incidents(&endedContext{Context: t.Context()}, workspace, "", 10); err != nil {
		t.Errorf("Incidents, of which none is changed: %v", err)
	}
	close(known)
	writing.Wait()
}

// endedContext says that it goes on when it is asked first, and is over for who waits.
type endedContext struct {
	context.Context
	asked bool
}

func (c *endedContext) Err() error {
	if !c.asked {
		c.asked = true
		return nil
	}
	return context.Canceled
}

func (*endedContext) Done() <-chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}

// TestCreditsDueOrder lists what is due over workspaces whose ids are hard to sort.
func TestCreditsDueOrder(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	workspaces := []string{"a", "a\x00", "a\x00\x01", "a\x00\xff", "a\x01", "ab", "b"}
	for _, w := range slices.Backward(workspaces) {
		_, err := st.Update(t.Context(), w, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			return nil, errors.Join(tx.PutCredit(credit(3)), tx.PutCredit(credit(1)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	var after *store.CreditDue
	for {
		page, err := st.CreditsDue(t.Context(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			got = append(got, d.Workspace+" "+d.CreditID)
		}
		if len(page) == 0 {
			break
		}
		after = &page[len(page)-1]
	}
	var want []string
	for _, id := range []string{"cred_003", "cred_001"} { // the first is due earlier
		for _, w := range workspaces {
			want = append(want, w+" "+id)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	mustBeSound(t, st)
}
