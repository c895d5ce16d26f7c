package right

import (
	"context"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// TestFaults has commits fail at each point, with each kind of thing in them, while everything goes on. What was acknowledged is there
// once, and nothing else. It fails unless there was a failure at each place.
func TestFaults(t *testing.T) {
	t.Logf("-failures %d -seed %d", *failures, *seed)
	f := newFragile(t)
	hook := newReceiver(t)
	hook.subscribe(f.house)
	w := newToil(f.house)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	hits := f.fail()
	stop()
	<-done
	w.mustHold()
	hook.mustHaveAll(f.house, w.customers)
	f.close()
	w.mustBeStored(look(t, f.data))
	t.Logf("%d failures at %d places; %d messages, %d credits, %d incidents, %d erased, %s", total(hits), len(hits), w.count(), len(w.credits), len(w.outages), len(w.gone), hook)
}

// fail has commits fail one after the other, so often at every place, opens the server anew each time, and checks the store now and
// then.
func (f *fragile) fail() map[place]int {
	rng, hits := random("faults"), map[place]int{}
	all := places(*failures, rng)
	for i, at := range all {
		f.faults.arm(at, rng.IntN(4))
		select {
		case struck := <-f.faults.struck:
			hits[struck]++
		case <-time.After(patience):
			f.t.Errorf("nothing failed %s with %s in it", at.point, at.kind)
		}
		if f.t.Failed() {
			break
		}
		f.close()
		f.open()
		if i%10 == 0 {
			mustBeSound(f.t, f.store)
		}
	}
	for _, at := range all {
		if hits[at] == 0 {
			f.t.Errorf("there never was a failure %s with %s in it", at.point, at.kind)
		}
	}
	return hits
}

func total(hits map[place]int) (n int) {
	for _, h := range hits {
		n += h
	}
	return n
}

func (w *toil) count() (n int) {
	for _, of := range w.messages {
		n += len(of)
	}
	return n
}

// mustHold fails the test unless the API tells what was acknowledged, and nothing else.
func (w *toil) mustHold() {
	w.t.Helper()
	for conversation, want := range w.messages {
		w.mustRead(conversation, want)
	}
	w.mustOwe()
	for _, want := range w.outages {
		got := w.gather(want)
		got.before = w.homes()
		if v := judge(want, got); v != (verdict{}) {
			w.t.Errorf("%s: %+v", want.incident, v)
		}
	}
	for _, one := range w.gone {
		w.mustBeGone(one)
	}
}

// homes are the conversations that customers opened.
func (w *toil) homes() map[string]bool {
	all := map[string]bool{}
	for c := range w.customers {
		all[c] = true
	}
	return all
}

// mustRead fails the test unless a conversation says what was acknowledged, apologies aside, numbered without gaps.
func (w *toil) mustRead(conversation string, want map[int32]string) {
	w.t.Helper()
	said := 0
	for i, m := range w.messagesOf(w.customers[conversation], conversation) {
		if int(m.Number) != i+1 {
			w.t.Errorf("%s: message %d has the number %d", conversation, i+1, m.Number)
		}
		if m.AutomaticReason != goodshipv1.AutomaticReason_AUTOMATIC_REASON_UNSPECIFIED {
			continue
		}
		if said++; m.Text != want[m.Number] {
			w.t.Errorf("%s: message %d is %q, and was acknowledged as %q", conversation, m.Number, m.Text, want[m.Number])
		}
	}
	if said != len(want) {
		w.t.Errorf("%s: %d messages, of %d acknowledged", conversation, said, len(want))
	}
}

// mustOwe fails the test unless there are exactly the credits that were acknowledged, and those of incidents, and the ledgers agree;
// and the agent's day has what the grants left of it.
func (w *toil) mustOwe() {
	w.t.Helper()
	all, books, spent, found := w.listCredits(), map[string]*ledger{}, int64(0), 0
	gone := map[string]bool{}
	for _, one := range w.gone {
		gone[one.credit] = true
	}
	var kept []*goodshipv1.Credit
	for _, c := range all {
		if c.IncidentId == "" {
			spent += mills(c.Amount.GetMoney())
		}
		if want := w.credits[c.Id]; want != nil {
			if found++; !proto.Equal(want, c) {
				w.t.Errorf("%v was acknowledged, and is %v", want, c)
			}
		} else if c.IncidentId == "" && !gone[c.Id] {
			w.t.Errorf("nobody was told of %v", c)
		}
		if gone[c.Id] {
			w.mustBeNobodys(c)
			continue
		}
		kept = append(kept, c)
		if books[c.CustomerId] == nil {
			books[c.CustomerId] = w.ledger(c.CustomerId)
		}
	}
	if found != len(w.credits) {
		w.t.Errorf("%d of %d credits are there", found, len(w.credits))
	}
	mustBalance(w.t, kept, books)
	if got := w.allowance(agent).GetMoneyRemaining(); mills(got) != perDay*1000-spent {
		w.t.Errorf("%d thousandths were granted, and %v remains of %d", spent, got, perDay)
	}
}

// mustBeNobodys fails the test if a credit says whose it was.
func (w *toil) mustBeNobodys(c *goodshipv1.Credit) {
	w.t.Helper()
	if c.CustomerId != "" || c.ConversationId != "" || c.Reason != "" || mills(c.Amount.GetMoney()) != 3000 {
		w.t.Errorf("after the erasure there is %v", c)
	}
}

// mustBeGone fails the test unless nobody finds somebody who was erased.
func (w *toil) mustBeGone(one forgotten) {
	w.t.Helper()
	_, err := ask(w.house, "", func(ctx context.Context) (any, error) {
		return w.directory().GetCustomer(ctx, &goodshipv1.GetCustomerRequest{CustomerId: one.customer})
	})
	_, err2 := ask(w.house, "", func(ctx context.Context) (any, error) {
		return w.conversations().GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: one.conversation})
	})
	if status.Code(err) != codes.NotFound || status.Code(err2) != codes.NotFound {
		w.t.Errorf("%v was erased: %v, %v", one, err, err2)
	}
}

// mustBeStored fails the test unless the file says the same of credits and apologies.
func (w *toil) mustBeStored(s *truth) {
	w.t.Helper()
	books := map[string]*ledger{}
	credits := s.credits(books)
	mustBalance(w.t, credits, books)
	s.mustTellOfCredits(credits)
	if want := len(w.credits) + len(w.gone) + 6*len(w.outages); len(credits) != want {
		w.t.Errorf("%d credits are stored, want %d", len(credits), want)
	}
	for _, want := range w.outages {
		got := s.gather(want)
		got.before = w.homes()
		if v := judge(want, got); v != (verdict{}) {
			w.t.Errorf("%s, in the file: %+v", want.incident, v)
		}
	}
}
