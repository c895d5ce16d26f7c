package right

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// toil is what people do in a house while commits fail, and what was acknowledged of it.
type toil struct {
	*house
	mu sync.Mutex
	// messages are the texts in each conversation by number, and customers whose it is.
	messages  map[string]map[int32]string
	customers map[string]string
	// credits are as they were acknowledged last, by id.
	credits map[string]*goodshipv1.Credit
	// outages are the incidents of which everyone affected was told, and gone who was erased.
	outages []owed
	gone    []forgotten
}

// forgotten is somebody who was erased, with a conversation and a credit.
type forgotten struct{ customer, conversation, credit string }

func newToil(h *house) *toil {
	return &toil{house: h, messages: map[string]map[int32]string{}, customers: map[string]string{}, credits: map[string]*goodshipv1.Credit{}}
}

// run has everybody at it until the context is done.
func (w *toil) run(ctx context.Context) {
	var all sync.WaitGroup
	for name, do := range map[string]func(name string, rng *rand.Rand, n int){
		"talker-0": w.talk, "talker-1": w.talk, "creditor-0": w.credit, "creditor-1": w.credit, "creditor-2": w.credit,
		"hurt": w.apologize, "gone-0": w.forget, "gone-1": w.forget,
	} {
		all.Go(func() {
			rng := random(name)
			for n := 0; ctx.Err() == nil && !w.t.Failed(); n++ {
				do(name, rng, n)
				w.rests()
			}
		})
	}
	all.Wait()
}

// talk sends a message.
func (w *toil) talk(name string, _ *rand.Rand, n int) {
	conversation := w.home(name)
	text := fmt.Sprintf("%s says %d", name, n)
	m := must(w.house, "customer/"+name, func(ctx context.Context) (*goodshipv1.Message, error) {
		return w.house.messages().SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: conversation, Text: text, RequestId: fmt.Sprintf("say-%d", n)})
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if was, ok := w.messages[conversation][m.GetNumber()]; ok {
		w.t.Errorf("message %d of %s was acknowledged as %q and as %q", m.GetNumber(), conversation, was, text)
	}
	w.messages[conversation][m.GetNumber()] = text
}

// home is a customer's only conversation.
func (w *toil) home(customer string) string {
	id := w.host(agent, customer, "home")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.messages[id] == nil {
		w.messages[id], w.customers[id] = map[int32]string{1: "The film stops."}, customer
	}
	return id
}

// credit grants a credit, and settles, refuses or reverses it, or leaves it.
func (w *toil) credit(name string, rng *rand.Rand, n int) {
	c, err := w.grant(agent, w.home(name), fmt.Sprintf("grant-%d", n), 1+rng.Int64N(9))
	if err != nil {
		w.t.Errorf("granting ends with %v", err)
		return
	}
	w.mu.Lock()
	if was := w.credits[c.Id]; was != nil {
		w.t.Errorf("two grants are %s", c.Id)
	}
	w.credits[c.Id] = c
	w.mu.Unlock()
	switch rng.IntN(4) {
	case 0:
		c = w.settle(&goodshipv1.Settlement{CreditId: c.Id, Outcome: &goodshipv1.Settlement_BillingReference{BillingReference: "bill " + c.Id}})
	case 1:
		c = w.settle(&goodshipv1.Settlement{CreditId: c.Id, Outcome: &goodshipv1.Settlement_Refusal{Refusal: "the account is closed"}})
	case 2:
		c = must(w.house, "agent/"+agent, func(ctx context.Context) (*goodshipv1.Credit, error) {
			return w.house.credits().ReverseCredit(ctx, &goodshipv1.ReverseCreditRequest{CreditId: c.Id, Reason: "a mistake", RequestId: "reverse " + c.Id})
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.credits[c.GetId()] = c
}

// settle tells what billing did.
func (w *toil) settle(s *goodshipv1.Settlement) *goodshipv1.Credit {
	got := must(w.house, "", func(ctx context.Context) (*goodshipv1.SettleCreditsResponse, error) {
		got, err := w.house.credits().SettleCredits(ctx, &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{s}})
		if of := got.GetResults(); len(of) == 1 && codes.Code(of[0].GetError().GetCode()) == codes.Unavailable {
			err = status.ErrorProto(of[0].GetError())
		}
		return got, err
	})
	if len(got.GetResults()) != 1 || got.Results[0].GetCredit() == nil {
		w.t.Errorf("settling ends with %v", got)
		return &goodshipv1.Credit{Id: s.CreditId}
	}
	return got.Results[0].GetCredit()
}

// apologize declares an incident of a few customers, one of whom has said so already, and waits until all are told.
func (w *toil) apologize(name string, _ *rand.Rand, n int) {
	want := owed{amount: inMoney(2), customers: map[string]due{}}
	want.incident = w.declared(fmt.Sprintf("declare-%d", n), want.amount)
	var affected []*goodshipv1.AffectedCustomer
	for i := range 6 {
		customer, word := fmt.Sprintf("%s-%d-%d", name, n, i), fmt.Sprintf("Number-%d-%d.", n, i)
		want.customers[customer] = due{word: word}
		affected = append(affected, &goodshipv1.AffectedCustomer{CustomerId: customer, Attributes: map[string]string{"first": word}})
	}
	customer := affected[0].CustomerId
	there := w.home(customer)
	w.names(there, want.incident)
	want.customers[customer] = due{word: affected[0].Attributes["first"], there: there}
	must(w.house, "", func(ctx context.Context) (any, error) {
		return w.incidents().BatchAddAffectedCustomers(ctx, &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: want.incident, Customers: affected})
	})
	preview := must(w.house, "", func(ctx context.Context) (*goodshipv1.PreviewApologyResponse, error) {
		return w.incidents().PreviewApology(ctx, &goodshipv1.PreviewApologyRequest{IncidentId: want.incident})
	})
	must(w.house, "", func(ctx context.Context) (any, error) {
		return w.incidents().SendApology(ctx, &goodshipv1.SendApologyRequest{IncidentId: want.incident, PreviewToken: preview.GetPreviewToken(), RequestId: fmt.Sprintf("send-%d", n)})
	})
	w.written(want)
}

// written waits until all are told.
func (w *toil) written(want owed) {
	for until := time.Now().Add(patience); int(w.progress(want.incident).GetWritten()) < len(want.customers); w.rests() {
		if time.Now().After(until) {
			w.t.Errorf("not all are told after %v: %v", patience, w.progress(want.incident))
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outages = append(w.outages, want)
}

// apology is what they read.
const apology = "Ahoy {first}, films stopped on Sunday and we are sorry. You have {credit} already. {nothing_to_do} {contact}"

// declared declares an incident.
func (h *house) declared(requestID string, credit *goodshipv1.CreditAmount) string {
	now := time.Now().Truncate(time.Second)
	req := &goodshipv1.DeclareIncidentRequest{
		Incident: &goodshipv1.Incident{
			WhatHappened: "films stopped", WhatWeDid: "the films play again", FromTime: timestamppb.New(now.Add(-3 * time.Hour)),
			Credit: credit, SettleByTime: timestamppb.New(now.Add(30 * 24 * time.Hour)), Text: apology,
		},
		RequestId: requestID,
	}
	return must(h, "", func(ctx context.Context) (*goodshipv1.Incident, error) {
		return h.incidents().DeclareIncident(ctx, req)
	}).GetId()
}

// names has a conversation name an incident.
func (h *house) names(conversation, incident string) {
	must(h, "", func(ctx context.Context) (any, error) {
		return h.conversations().UpdateConversation(ctx, &goodshipv1.UpdateConversationRequest{
			ConversationId: conversation, Conversation: &goodshipv1.ConversationUpdate{IncidentId: incident},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"incident_id"}}, RequestId: "name " + conversation,
		})
	})
}

// forget erases a customer who was talked with and has a credit, and waits until nothing is left.
func (w *toil) forget(name string, _ *rand.Rand, n int) {
	one := forgotten{customer: fmt.Sprintf("%s-%d", name, n)}
	one.conversation = w.host(agent, one.customer, "home")
	c, err := w.grant(agent, one.conversation, "grant", 3)
	if err != nil {
		w.t.Errorf("granting ends with %v", err)
		return
	}
	one.credit = c.Id
	e := must(w.house, "", func(ctx context.Context) (*goodshipv1.Erasure, error) {
		return w.directory().EraseCustomer(ctx, &goodshipv1.EraseCustomerRequest{CustomerId: one.customer, RequestId: "erase " + one.customer})
	})
	for until := time.Now().Add(patience); e.GetState() != goodshipv1.ErasureState_ERASURE_STATE_DONE; w.rests() {
		if time.Now().After(until) || w.t.Failed() {
			w.t.Errorf("%s is not erased after %v: %v", one.customer, patience, e)
			return
		}
		e = must(w.house, "", func(ctx context.Context) (*goodshipv1.Erasure, error) {
			return w.directory().GetErasure(ctx, &goodshipv1.GetErasureRequest{ErasureId: e.GetId()})
		})
	}
	if e.Removed.GetConversationCount() != 1 || e.CreditCount != 1 {
		w.t.Errorf("the receipt of %s is %v", one.customer, e)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = append(w.gone, one)
}
