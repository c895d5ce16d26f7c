package right

import (
	"fmt"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
)

// owed is what everyone affected by an incident is to get.
type owed struct {
	incident string
	amount   *goodshipv1.CreditAmount
	// customers are all who are affected, by id.
	customers map[string]due
}

// due is what one of them is to get.
type due struct {
	// word stands in their apology and in nobody else's.
	word string
	// there is the conversation that it must stand in; empty for one that was opened for it.
	there string
	// crossed says that the conversation that named the incident was resolved by its customer while the apology went out: either
	// will do.
	crossed bool
}

// affects reports whether somebody is affected.
func (o owed) affects(customer string) bool {
	_, ok := o.customers[customer]
	return ok
}

// of returns the credits of the incident, and others of who is affected.
func (o owed) of(all []*goodshipv1.Credit) (some []*goodshipv1.Credit) {
	for _, c := range all {
		if c.IncidentId == o.incident || o.affects(c.CustomerId) {
			some = append(some, c)
		}
	}
	return some
}

// facts are what became of it, as the API tells it or as the file holds it.
type facts struct {
	progress  *goodshipv1.ApologyProgress
	apologies []*goodshipv1.Apology
	// said are the messages of incidents in all conversations.
	said []said
	// before are the conversations that were there before the incident, with those that named it.
	before  map[string]bool
	credits []*goodshipv1.Credit
	// ledgers are by customer.
	ledgers map[string]*ledger
}

// said is an apology as it reads in its conversation.
type said struct {
	customer, conversation string
	number                 int32
	text                   string
}

// ledger is a customer's.
type ledger struct {
	balances    []*goodshipv1.Balance
	basisPoints int32
	entries     []*goodshipv1.LedgerEntry
}

// verdict counts what is wrong.
type verdict struct {
	// apologies that are missing, that somebody has twice, that stand where they should not, that read wrong, and of which
	// ListApologies says something else.
	missing, twice, misplaced, misread, mislisted int
	// credits that are missing, that somebody has twice, and that are not what the apology says.
	creditsMissing, creditsTwice, creditsWrong int
	// strangers got something though they are not affected.
	strangers int
	// miscounted are figures of the progress that are wrong.
	miscounted int
	// unbalanced are ledgers that do not sum up, or do not agree with the credits.
	unbalanced int
	// first says what was found first.
	first string
}

// found counts something.
func (v *verdict) found(count *int, format string, args ...any) {
	*count++
	if v.first == "" {
		v.first = fmt.Sprintf(format, args...)
	}
}

// judge finds what is wrong with the facts.
func judge(want owed, got facts) (v verdict) {
	listed := v.list(want, got)
	read := v.read(want, got, listed)
	v.credit(want, got, listed, read)
	v.count(want, got, listed)
	v.balance(got)
	return v
}

// list holds ListApologies against who is affected.
func (v *verdict) list(want owed, got facts) map[string]*goodshipv1.Apology {
	listed := map[string]*goodshipv1.Apology{}
	for _, a := range got.apologies {
		switch _, affected := want.customers[a.CustomerId]; {
		case !affected:
			v.found(&v.strangers, "%v is listed", a)
		case listed[a.CustomerId] != nil:
			v.found(&v.mislisted, "%s is listed twice", a.CustomerId)
		}
		listed[a.CustomerId] = a
	}
	for customer := range want.customers {
		if a := listed[customer]; a == nil {
			v.found(&v.mislisted, "%s is not listed", customer)
		} else if !written(a.State) {
			v.found(&v.mislisted, "%s is listed as %v", customer, a)
		}
	}
	return listed
}

func written(s goodshipv1.ApologyState) bool {
	switch s {
	case goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN, goodshipv1.ApologyState_APOLOGY_STATE_DELIVERED, goodshipv1.ApologyState_APOLOGY_STATE_SEEN, goodshipv1.ApologyState_APOLOGY_STATE_FAILED:
		return true
	}
	return false
}

// read holds the messages against what each customer is to read.
func (v *verdict) read(want owed, got facts, listed map[string]*goodshipv1.Apology) map[string]said {
	read := map[string]said{}
	for _, m := range got.said {
		due, affected := want.customers[m.customer]
		if _, again := read[m.customer]; again {
			v.found(&v.twice, "%s has an apology more in %s", m.customer, m.conversation)
			continue
		} else if !affected {
			v.found(&v.strangers, "%s has an apology", m.customer)
			continue
		}
		read[m.customer] = m
		if !strings.Contains(m.text, due.word) {
			v.found(&v.misread, "%s reads %q", m.customer, m.text)
		}
		if due.there == "" && got.before[m.conversation] || due.there != "" && due.there != m.conversation && (!due.crossed || got.before[m.conversation]) {
			v.found(&v.misplaced, "the apology to %s, due in %q, stands in %s", m.customer, due.there, m.conversation)
		}
		if a := listed[m.customer]; a != nil && (a.ConversationId != m.conversation || a.MessageNumber != m.number) {
			v.found(&v.mislisted, "%v is listed, and stands in %s as %d", a, m.conversation, m.number)
		}
	}
	for customer := range want.customers {
		if _, ok := read[customer]; !ok {
			v.found(&v.missing, "%s has no apology", customer)
		}
	}
	return read
}

// credit holds the incident's credits against the apologies.
func (v *verdict) credit(want owed, got facts, listed map[string]*goodshipv1.Apology, read map[string]said) {
	has := map[string]bool{}
	for _, c := range got.credits {
		_, affected := want.customers[c.CustomerId]
		switch {
		case c.IncidentId != want.incident:
			continue
		case !affected:
			v.found(&v.strangers, "%v is for nobody affected", c)
			continue
		case has[c.CustomerId]:
			v.found(&v.creditsTwice, "%s has a credit more, %s", c.CustomerId, c.Id)
			continue
		}
		has[c.CustomerId] = true
		a, m := listed[c.CustomerId], read[c.CustomerId]
		if !proto.Equal(c.Amount, want.amount) || a != nil && a.CreditId != c.Id || m.conversation != "" && m.conversation != c.ConversationId {
			v.found(&v.creditsWrong, "%v goes with %v", c, a)
		}
	}
	for customer := range want.customers {
		if !has[customer] {
			v.found(&v.creditsMissing, "%s has no credit", customer)
		}
	}
}

// count holds the progress against a count of what is listed.
func (v *verdict) count(want owed, got facts, listed map[string]*goodshipv1.Apology) {
	in := map[goodshipv1.ApologyState]int{}
	for _, a := range listed {
		in[a.State]++
	}
	all, p := len(want.customers), got.progress
	for _, figure := range []struct {
		name      string
		got, want int
	}{
		{"affected", int(p.GetAffected()), all},
		{"pending", int(p.GetPending()), 0},
		{"written", int(p.GetWritten()), all},
		{"delivered", int(p.GetDelivered()), in[goodshipv1.ApologyState_APOLOGY_STATE_DELIVERED]},
		{"seen", int(p.GetSeen()), in[goodshipv1.ApologyState_APOLOGY_STATE_SEEN]},
		{"failed", int(p.GetFailed()), in[goodshipv1.ApologyState_APOLOGY_STATE_FAILED]},
		{"skipped", int(p.GetSkipped()), 0},
		{"credited", int(mills(p.GetCredited())), int(mills(want.amount.GetMoney())) * all},
	} {
		if figure.got != figure.want {
			v.found(&v.miscounted, "%d are %s, and should be %d", figure.got, figure.name, figure.want)
		}
	}
}

// balance holds each ledger against itself and against the customer's credits.
func (v *verdict) balance(got facts) {
	credits := map[string]map[string]*goodshipv1.Credit{}
	for customer := range got.ledgers {
		credits[customer] = map[string]*goodshipv1.Credit{}
	}
	for _, c := range got.credits {
		if credits[c.CustomerId] == nil {
			v.found(&v.unbalanced, "%s has %s and no ledger", c.CustomerId, c.Id)
			credits[c.CustomerId] = map[string]*goodshipv1.Credit{}
		}
		credits[c.CustomerId][c.Id] = c
	}
	for customer, l := range got.ledgers {
		if err := l.holds(credits[customer]); err != nil {
			v.found(&v.unbalanced, "%s: %v", customer, err)
		}
	}
}

// mills is money in thousandths.
func mills(m *money.Money) int64 { return m.GetUnits()*1000 + int64(m.GetNanos())/1_000_000 }
