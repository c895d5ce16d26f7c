package support_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	sorry = "Dear {name}, your {device} skipped. {credit} by {settle_by}. {nothing_to_do} Call us: {contact}"
	plain = "Sorry. {credit}. {nothing_to_do} {contact}"
)

// owesApologies is a world that may credit a hundred euros, or half a bill, for an incident.
func owesApologies(t testing.TB) *world {
	w := newWorld(t)
	w.readies()
	return w
}

func (w *world) readies() {
	w.updates(&goodshipv1.Workspace{
		CurrencyCode: "EUR", TimeZone: "Europe/Madrid",
		IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(100, 0).GetMoney(), BasisPoints: 5000},
		ContactPoints:   []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+34 912 345 678"}},
	}, "currency_code", "time_zone", "incident_ceiling", "contact_points")
}

// outage is an incident that may be declared now.
func (w *world) outage(text string, credit *goodshipv1.CreditAmount) *goodshipv1.Incident {
	return &goodshipv1.Incident{
		WhatHappened: "Playback skipped", FromTime: timestamppb.New(w.clock.Now().Add(-time.Hour)), Credit: credit,
		SettleByTime: timestamppb.New(w.clock.Now().Add(30 * 24 * time.Hour)), Text: text,
	}
}

// declares declares an incident of five euros and returns its id.
func (w *world) declares(text string) string {
	w.t.Helper()
	return do[*goodshipv1.Incident](w, lea, &goodshipv1.DeclareIncidentRequest{Incident: w.outage(text, euros(5, 0))}).Id
}

// declaresForNobody declares an incident that touched nobody yet, and returns its id.
func (w *world) declaresForNobody() string {
	w.t.Helper()
	w.readies()
	return w.declares(plain)
}

// declaresForKim declares an incident that touched kim, and returns its id.
func (w *world) declaresForKim() string {
	w.t.Helper()
	id := w.declaresForNobody()
	w.adds(id, affected(kim))
	return id
}

// affected is a customer with attributes, given in pairs.
func affected(p person, pairs ...string) *goodshipv1.AffectedCustomer {
	a := &goodshipv1.AffectedCustomer{CustomerId: p.id(), Attributes: map[string]string{}}
	for pair := range slices.Chunk(pairs, 2) {
		a.Attributes[pair[0]] = pair[1]
	}
	return a
}

// adds adds affected customers, and tells how many were named, new and are affected in all.
func (w *world) adds(id string, customers ...*goodshipv1.AffectedCustomer) string {
	w.t.Helper()
	r := do[*goodshipv1.AddAffectedCustomersResponse](w, backend, adding(id, customers...))
	return fmt.Sprint(r.ReceivedCount, " ", r.AddedCount, " ", r.AffectedCount)
}

func adding(id string, customers ...*goodshipv1.AffectedCustomer) *goodshipv1.BatchAddAffectedCustomersRequest {
	return &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: id, Customers: customers}
}

func (w *world) previews(id string) *goodshipv1.PreviewApologyResponse {
	w.t.Helper()
	return do[*goodshipv1.PreviewApologyResponse](w, lea, &goodshipv1.PreviewApologyRequest{IncidentId: id})
}

// sendsOff previews an apology and sends it off.
func (w *world) sendsOff(id string) *goodshipv1.Incident {
	w.t.Helper()
	return do[*goodshipv1.Incident](w, lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: w.previews(id).PreviewToken})
}

// goOut has the apologies written that were sent off.
func (w *world) goOut() {
	w.t.Helper()
	if err := support.WriteApologies(w.Service, w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// progress tells how far an apology is: its state, then how many are affected, pending, written, delivered, seen, failed, skipped.
func (w *world) progress(id string) string {
	w.t.Helper()
	i := do[*goodshipv1.Incident](w, ada, &goodshipv1.GetIncidentRequest{IncidentId: id})
	p := i.Progress
	return fmt.Sprintf("%s %d: %d %d %d %d %d %d", strings.TrimPrefix(i.State.String(), "INCIDENT_STATE_"),
		p.Affected, p.Pending, p.Written, p.Delivered, p.Seen, p.Failed, p.Skipped)
}

// apologyTo returns what became of a customer's apology.
func (w *world) apologyTo(id string, p person) *goodshipv1.Apology {
	w.t.Helper()
	for _, a := range do[*goodshipv1.ListApologiesResponse](w, ada, &goodshipv1.ListApologiesRequest{IncidentId: id, PageSize: 1000}).Apologies {
		if a.CustomerId == p.id() {
			return a
		}
	}
	w.t.Fatalf("%s is not affected", p)
	return nil
}

// named gives a customer a display name.
func (w *world) named(p person, name string) {
	w.t.Helper()
	do[*goodshipv1.Customer](w, backend, &goodshipv1.UpsertCustomerRequest{CustomerId: p.id(), Customer: &goodshipv1.Customer{DisplayName: name}})
}

// From the declaration to everyone having the apology and the credit: in a conversation of its own, which tells and is over.
func TestAnApologyReachesEveryone(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	w.named(kim, "Kim")
	w.named(lou, "Lou")
	id := w.declares(sorry)
	equal(t, "added", w.adds(id, affected(kim, "device", "television"), affected(lou, "device", "{name}")), "2 2 2")
	equal(t, "declared", w.progress(id), "DECLARED 2: 2 0 0 0 0 0")
	preview := w.previews(id)
	equal(t, "how many get it", preview.Count, 2)
	same(t, "for how much", preview.Total, euros(10, 0).GetMoney())
	texts := map[string]string{}
	for _, s := range preview.Samples {
		texts[s.CustomerId] = s.Text
	}
	equal(t, "how it reads for kim", texts["kim"],
		"Dear Kim, your television skipped. 5.00 EUR by 2026-03-31. You do not need to do anything. Call us: +34 912 345 678")
	sent := do[*goodshipv1.Incident](w, lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: preview.PreviewToken})
	equal(t, "sent off", w.progress(id), "SENDING 2: 2 0 0 0 0 0")
	same(t, "when", sent.SendTime, sent.UpdateTime)
	w.goOut()
	equal(t, "gone out", w.progress(id), "SENT 2: 0 2 0 0 0 0")
	for _, p := range []person{kim, lou} {
		a := w.apologyTo(id, p)
		conv := w.reads(p, a.ConversationId)
		equal(t, "its conversation", fmt.Sprint(conv.State, conv.Outcome, conv.OutreachReason, conv.MessageCount), "STATE_RESOLVED OUTCOME_INFORMED OUTREACH_REASON_FAULT_FOUND 1")
		equal(t, "the incident, for us", w.reads(ada, a.ConversationId).IncidentId, id)
		said := do[*goodshipv1.Message](w, p, &goodshipv1.GetMessageRequest{ConversationId: a.ConversationId, Number: a.MessageNumber})
		equal(t, "what it says", said.Text, texts[p.id()])
		equal(t, "by whom", fmt.Sprint(said.Sender.Kind, said.AutomaticReason), "SENDER_KIND_AUTOMATIC AUTOMATIC_REASON_INCIDENT")
		credit := do[*goodshipv1.Credit](w, ada, &goodshipv1.GetCreditRequest{CreditId: a.CreditId})
		equal(t, "the credit", fmt.Sprintf("%s %t %t %s %q", credit.CustomerId, credit.ConversationId == a.ConversationId, credit.IncidentId == id, credit.State, credit.AgentId), p.id()+` true true CREDIT_STATE_PENDING ""`)
		same(t, "its amount", credit.Amount, euros(5, 0))
		same(t, "by when", credit.SettleByTime, sent.SettleByTime)
		equal(t, "the log", w.events(a.ConversationId), "Opened MessageSent CreditGranted Resolved")
	}
	same(t, "credited", do[*goodshipv1.Incident](w, ada, &goodshipv1.GetIncidentRequest{IncidentId: id}).Progress.Credited, euros(10, 0).GetMoney())
	w.goOut()
	equal(t, "once", w.progress(id), "SENT 2: 0 2 0 0 0 0")
}

// events names the events of a conversation.
func (w *world) events(id string) string {
	w.t.Helper()
	records, err := w.store.Records(w.t.Context(), w.workspace, id, 0, everything)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, r := range records {
		for _, e := range r.Events {
			all = append(all, strings.TrimPrefix(fmt.Sprintf("%T", e.Kind), "*goodshipv1.Event_"))
		}
	}
	return strings.Join(all, " ")
}

// Who has an open conversation about the incident has the apology there, in the newest; another conversation does not count, nor
// one that was resolved by now.
func TestAnApologyGoesWhereTheMatterIs(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	about := func(p person, text string) string {
		conv := w.opens(p, text)
		do[*goodshipv1.Conversation](w, backend, &goodshipv1.UpdateConversationRequest{
			ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{IncidentId: id}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"incident_id"}},
		})
		return conv
	}
	lapsed := about(lou, "It skips")
	w.says(ada, lapsed, "We look into it")
	w.passes(14*24*time.Hour, ada)
	w.clock.Jump(time.Hour) // lapsed, which nobody has noticed
	equal(t, "not noticed", w.head(lapsed).Conversation.State, answered)
	about(kim, "It skips")
	newest := about(kim, "It still skips")
	w.opens(kim, "And another thing")
	w.adds(id, affected(kim), affected(lou))
	before := w.reads(kim, newest)
	w.sendsOff(id)
	w.goOut()
	a := w.apologyTo(id, kim)
	equal(t, "where kim has it", a.ConversationId, newest)
	after := w.reads(kim, newest)
	equal(t, "who waits goes on waiting", fmt.Sprint(after.State, after.MessageCount), fmt.Sprint(waiting, " 2"))
	same(t, "under the same promise", after.AnswerPromise, before.AnswerPromise)
	if got := w.apologyTo(id, lou).ConversationId; got == lapsed {
		t.Error("lou has it in a conversation that is over")
	}
	equal(t, "outcome", w.progress(id), "SENT 2: 0 2 0 0 0 0")
}

// Answering an apology opens an ordinary wait, and it is no outreach.
func TestAnsweringAnApology(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim), affected(lou))
	w.sendsOff(id)
	w.goOut()
	w.reaches(ada, lou, "How is it now?") // an unanswered outreach would refuse it
	conv := w.apologyTo(id, kim).ConversationId
	w.says(kim, conv, "Thank you, but it still skips")
	after := w.reads(ada, conv)
	equal(t, "an ordinary wait", fmt.Sprintf("%s %q %d %s", after.State, after.OwnerId, after.ReturnCount, after.AnswerPromise.State), `STATE_WAITING "" 0 PROMISE_STATE_RUNNING`)
	equal(t, "claimed next", w.claimsNext(ada), conv)
	equal(t, "who answered has seen it", w.progress(id), "SENT 2: 0 2 0 1 0 0")
}

// What became of an apology: delivered or not, until it is seen, which it stays.
func TestWhatBecomesOfAnApology(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim), affected(lou))
	w.sendsOff(id)
	w.goOut()
	a := w.apologyTo(id, kim)
	report := func(state goodshipv1.DeliveryState) {
		do[*goodshipv1.Message](w, backend, &goodshipv1.ReportDeliveryRequest{ConversationId: a.ConversationId, Number: a.MessageNumber, State: state})
	}
	report(goodshipv1.DeliveryState_DELIVERY_STATE_FAILED)
	equal(t, "failed", w.progress(id)+" "+w.apologyTo(id, kim).State.String(), "SENT 2: 0 2 0 0 1 0 APOLOGY_STATE_FAILED")
	report(goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED)
	since := w.apologyTo(id, kim).UpdateTime
	report(goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED)
	same(t, "delivered since", w.apologyTo(id, kim).UpdateTime, since)
	equal(t, "delivered", w.progress(id)+" "+w.apologyTo(id, kim).State.String(), "SENT 2: 0 2 1 0 0 0 APOLOGY_STATE_DELIVERED")
	do[*goodshipv1.ReadMark](w, ada, &goodshipv1.MarkReadRequest{ConversationId: a.ConversationId, Number: 1})
	equal(t, "read by one of us", w.progress(id), "SENT 2: 0 2 1 0 0 0")
	do[*goodshipv1.ReadMark](w, kim, &goodshipv1.MarkReadRequest{ConversationId: a.ConversationId, Number: 1})
	equal(t, "seen", w.progress(id)+" "+w.apologyTo(id, kim).State.String(), "SENT 2: 0 2 0 1 0 0 APOLOGY_STATE_SEEN")
	report(goodshipv1.DeliveryState_DELIVERY_STATE_FAILED)
	equal(t, "still seen", w.progress(id), "SENT 2: 0 2 0 1 0 0")
	in := func(state goodshipv1.ApologyState) int {
		return len(do[*goodshipv1.ListApologiesResponse](w, ada, &goodshipv1.ListApologiesRequest{IncidentId: id, State: state}).Apologies)
	}
	equal(t, "listed as seen", in(goodshipv1.ApologyState_APOLOGY_STATE_SEEN), 1)
	equal(t, "listed as written", in(goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN), 1)
	equal(t, "listed as failed", in(goodshipv1.ApologyState_APOLOGY_STATE_FAILED), 0)
}

// Whoever is blocked gets the apology too, and a visitor who signed in since gets it once.
func TestWhoElseGetsAnApology(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	do[*goodshipv1.Customer](w, lea, &goodshipv1.BlockCustomerRequest{CustomerId: kim.id(), Reason: "Abuse"})
	site := w.site()
	session := site.comes()
	visitor := person("customer/" + session.VisitorId)
	site.asks(session)
	w.adds(id, affected(kim), affected(lou), affected(visitor))
	other := w.declares(plain)
	w.adds(other, affected(visitor))
	equal(t, "signed in", w.signsIn(lou, session.Token), "")
	equal(t, "affected already, as the visitor", w.adds(other, affected(lou)), "1 0 1")
	w.sendsOff(other)
	equal(t, "added as one", w.adds(id, affected(visitor), affected(lou)), "2 0 3")
	w.sendsOff(id)
	w.goOut()
	equal(t, "outcome", w.progress(id), "SENT 3: 0 2 0 0 0 1")
	listed := do[*goodshipv1.ListApologiesResponse](w, ada, &goodshipv1.ListApologiesRequest{IncidentId: id, State: goodshipv1.ApologyState_APOLOGY_STATE_SKIPPED})
	equal(t, "why", listed.Apologies[0].SkipReason, goodshipv1.SkipReason_SKIP_REASON_SAME_PERSON)
	equal(t, "of the other", w.progress(other), "SENT 1: 0 1 0 0 0 0")
	a := w.apologyTo(id, kim)
	equal(t, "blocked", a.State, goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN)
}
