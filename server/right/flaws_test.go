package right

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// flaws are what may be wrong with facts that are right, made at the i-th apology, credit or ledger, and how the judge counts it.
var flaws = []struct {
	name string
	make func(f *facts, i int)
	want verdict
}{
	{"an apology is lost", func(f *facts, i int) { f.said = slices.Delete(f.said, i, i+1) }, verdict{missing: 1}},
	{"an apology is there twice", func(f *facts, i int) { f.said = append(f.said, f.said[i]) }, verdict{twice: 1}},
	{"somebody else's apology", func(f *facts, i int) {
		f.said = append(f.said, said{customer: "a stranger", conversation: "another", number: 1, text: f.said[i].text})
	}, verdict{strangers: 1}},
	{"it stands where something else was talked about", func(f *facts, i int) {
		f.before = maps.Clone(f.before)
		f.before["conv_other"] = true
		f.move(i, "conv_other")
	}, verdict{misplaced: 1}},
	{"it says another's word", func(f *facts, i int) { f.said[i].text = "Ahoy Nobody" }, verdict{misread: 1}},
	{"somebody is not listed", func(f *facts, i int) { f.unlist(i) }, verdict{mislisted: 1}},
	{"somebody is listed twice", func(f *facts, i int) { f.apologies = append(f.apologies, f.apologies[i]) }, verdict{mislisted: 1}},
	{"the list says another message", func(f *facts, i int) { f.apologies[i].MessageNumber++ }, verdict{mislisted: 1}},
	{"a credit is lost, and its entry with it", func(f *facts, i int) { f.lose(i) }, verdict{creditsMissing: 1}},
	{"a credit is lost, and its entry is there", func(f *facts, i int) { f.credits = slices.Delete(f.credits, i, i+1) }, verdict{creditsMissing: 1, unbalanced: 1}},
	{"a credit is there twice, with its entry", func(f *facts, i int) { f.double(i) }, verdict{creditsTwice: 1}},
	{"a credit is worth something else", func(f *facts, i int) { f.credits[i].Amount = inMoney(6) }, verdict{creditsWrong: 1, unbalanced: 1}},
	{"a credit is of another conversation", func(f *facts, i int) { f.credits[i].ConversationId = "another" }, verdict{creditsWrong: 1}},
	{"one more is counted as written", func(f *facts, _ int) { f.progress.Written++ }, verdict{miscounted: 1}},
	{"one is counted as pending", func(f *facts, _ int) { f.progress.Pending++ }, verdict{miscounted: 1}},
	{"one more is counted as seen", func(f *facts, _ int) { f.progress.Seen++ }, verdict{miscounted: 1}},
	{"more is credited than was", func(f *facts, _ int) { f.progress.Credited.Units++ }, verdict{miscounted: 1}},
	{"a balance is not the sum", func(f *facts, i int) { f.book(i).balances[0].Owed.Nanos += 10_000_000 }, verdict{unbalanced: 1}},
	{"something was settled that was not", func(f *facts, i int) { f.book(i).balances[0].Settled = euros(5) }, verdict{unbalanced: 1}},
	{"an entry is missing", func(f *facts, i int) { f.book(i).entries = nil }, verdict{unbalanced: 1}},
	{"an entry is there twice", func(f *facts, i int) { f.book(i).again(2) }, verdict{unbalanced: 1}},
	{"an entry has another's number", func(f *facts, i int) { f.book(i).entries[0].Number = 2 }, verdict{unbalanced: 1}},
	{"a ledger is lost", func(f *facts, i int) { delete(f.ledgers, f.credits[i].CustomerId) }, verdict{unbalanced: 1}},
	{"a credit that is pending is settled in the ledger", func(f *facts, i int) { f.book(i).settle() }, verdict{unbalanced: 1}},
}

// move has everything say that the i-th apology stands in another conversation.
func (f *facts) move(i int, conversation string) {
	customer := f.said[i].customer
	f.said[i].conversation = conversation
	for _, a := range f.apologies {
		if a.CustomerId == customer {
			a.ConversationId = conversation
		}
	}
	for _, c := range f.credits {
		if c.CustomerId == customer {
			c.ConversationId = conversation
		}
	}
}

// unlist takes the i-th apology off the list, and out of the count of what became of it.
func (f *facts) unlist(i int) {
	switch f.apologies[i].State {
	case goodshipv1.ApologyState_APOLOGY_STATE_DELIVERED:
		f.progress.Delivered--
	case goodshipv1.ApologyState_APOLOGY_STATE_SEEN:
		f.progress.Seen--
	case goodshipv1.ApologyState_APOLOGY_STATE_FAILED:
		f.progress.Failed--
	}
	f.apologies = slices.Delete(f.apologies, i, i+1)
}

// book returns the ledger of whoever has the i-th credit.
func (f *facts) book(i int) *ledger { return f.ledgers[f.credits[i].CustomerId] }

// lose loses the i-th credit so that the ledger knows nothing of it.
func (f *facts) lose(i int) {
	*f.book(i) = ledger{}
	f.credits = slices.Delete(f.credits, i, i+1)
}

// double has the i-th credit twice, under another id, so that the ledger agrees.
func (f *facts) double(i int) {
	again := proto.CloneOf(f.credits[i])
	again.Id = "cred_again"
	l := f.book(i)
	l.again(2)
	l.entries[1].CreditId = again.Id
	l.balances[0].Owed.Units *= 2
	f.credits = append(f.credits, again)
}

// again has the first entry again, under a number.
func (l *ledger) again(number int32) {
	e := proto.CloneOf(l.entries[0])
	e.Number = number
	l.entries = append(l.entries, e)
}

// settle settles the first entry's credit, and the sums agree.
func (l *ledger) settle() {
	l.again(2)
	e := l.entries[1]
	e.Kind, e.Money.Units = goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED, -e.Money.Units
	l.balances[0].Settled, l.balances[0].Owed = l.balances[0].Owed, euros(0)
}

// clone returns facts that may be changed at the i-th of each without changing these.
func (f *facts) clone(i int) *facts {
	c := *f
	c.progress = proto.CloneOf(f.progress)
	c.said, c.apologies, c.credits, c.ledgers = slices.Clone(f.said), slices.Clone(f.apologies), slices.Clone(f.credits), maps.Clone(f.ledgers)
	c.apologies[i], c.credits[i] = proto.CloneOf(f.apologies[i]), proto.CloneOf(f.credits[i])
	for _, a := range c.apologies {
		if a.CustomerId == c.said[i].customer && a != c.apologies[i] {
			c.apologies[slices.Index(c.apologies, a)] = proto.CloneOf(a)
		}
	}
	for k, one := range c.credits {
		if one.CustomerId == c.said[i].customer && k != i {
			c.credits[k] = proto.CloneOf(one)
		}
	}
	if l := f.ledgers[c.credits[i].CustomerId]; l != nil {
		c.ledgers[c.credits[i].CustomerId] = l.clone()
	}
	return &c
}

func (l *ledger) clone() *ledger {
	c := &ledger{basisPoints: l.basisPoints}
	for _, b := range l.balances {
		c.balances = append(c.balances, proto.CloneOf(b))
	}
	for _, e := range l.entries {
		c.entries = append(c.entries, proto.CloneOf(e))
	}
	return c
}

// mustBeNoticed makes each flaw somewhere in facts that are right, and fails the test unless the judge finds exactly it.
func mustBeNoticed(t *testing.T, want owed, got facts, rng *rand.Rand) {
	t.Helper()
	for _, flaw := range flaws {
		i := rng.IntN(len(got.said))
		flawed := got.clone(i)
		flaw.make(flawed, i)
		mustNotice(t, want, flawed, flaw.name, flaw.want)
	}
}

func mustNotice(t *testing.T, want owed, flawed *facts, name string, counts verdict) {
	t.Helper()
	v := judge(want, *flawed)
	if v.first == "" {
		t.Errorf("%s: nothing says where", name)
	}
	v.first = ""
	if v != counts {
		t.Errorf("%s: the judge finds %+v, want %+v", name, v, counts)
	}
}

// The judge finds each flaw at each place, and nothing wrong with what is right.
func TestTheJudge(t *testing.T) {
	want, got := made(7)
	if v := judge(want, got); v != (verdict{}) {
		t.Errorf("what is right is found %+v", v)
	}
	for i := range got.said {
		for _, flaw := range flaws {
			flawed := got.clone(i)
			flaw.make(flawed, i)
			mustNotice(t, want, flawed, fmt.Sprintf("%s, at %d", flaw.name, i), flaw.want)
		}
	}
}

// made makes up facts of so many that are right.
func made(n int) (want owed, got facts) {
	want = owed{incident: "inc_1", amount: inMoney(5), customers: map[string]due{}}
	got = facts{
		progress: &goodshipv1.ApologyProgress{Affected: int32(n), Written: int32(n), Seen: 1, Credited: euros(5 * int64(n))},
		before:   map[string]bool{"conv_0": true}, ledgers: map[string]*ledger{},
	}
	for i := range n {
		customer, conversation, credit := fmt.Sprintf("customer-%d", i), fmt.Sprintf("conv_%d", i), fmt.Sprintf("cred_%d", i)
		one, state := due{word: fmt.Sprintf("Number-%d", i)}, goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN
		if i == 0 {
			one.there, state = conversation, goodshipv1.ApologyState_APOLOGY_STATE_SEEN
		}
		want.customers[customer] = one
		got.said = append(got.said, said{customer, conversation, 1, "Ahoy " + one.word})
		got.apologies = append(got.apologies, &goodshipv1.Apology{CustomerId: customer, State: state, ConversationId: conversation, MessageNumber: 1, CreditId: credit})
		got.credits = append(got.credits, &goodshipv1.Credit{Id: credit, CustomerId: customer, ConversationId: conversation, Amount: inMoney(5), State: goodshipv1.CreditState_CREDIT_STATE_PENDING, IncidentId: want.incident})
		got.ledgers[customer] = &ledger{
			balances: []*goodshipv1.Balance{{Owed: euros(5), Settled: euros(0)}},
			entries:  []*goodshipv1.LedgerEntry{{Number: 1, CreditId: credit, Kind: goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED, Money: euros(5)}},
		}
	}
	return want, got
}
