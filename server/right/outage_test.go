package right

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// outage is an incident and what is done about it, while the server is killed again and again.
type outage struct {
	*mortal
	want owed
	rng  *rand.Rand
	// early are affected and known at once, late only once the apology goes out.
	early, late []string
	before      map[string]bool
	web         *http.Client
}

// declare makes up who is affected, and declares the incident.
func (o *outage) declare() {
	o.t.Helper()
	o.want = owed{amount: inMoney(5), customers: map[string]due{}}
	for i := range *apologies {
		customer := fmt.Sprintf("customer-%06d", i)
		o.want.customers[customer] = due{word: fmt.Sprintf("Number-%06d", i)}
		if i%20 == 7 {
			o.late = append(o.late, customer)
		} else {
			o.early = append(o.early, customer)
		}
	}
	o.want.incident = o.declared("declare", o.want.amount)
	if o.t.Failed() {
		o.t.FailNow()
	}
}

// converse has some customers write before they are told: some in a conversation that names the incident, some of these in two,
// some in one that is resolved by then, and some in one that does not name it.
func (o *outage) converse() {
	o.t.Helper()
	var mu sync.Mutex
	all := slices.Concat(o.early, o.late)
	each(len(all), func(i int) {
		customer := all[i]
		if i%8 >= 5 {
			return
		}
		first := o.open(customer, "first").GetId()
		mu.Lock()
		defer mu.Unlock()
		o.before[first] = true
		one := o.want.customers[customer]
		switch i % 8 {
		case 0:
			one.there = first
		case 1:
			one.there = o.open(customer, "second").GetId()
			o.before[one.there] = true
			o.names(one.there, o.want.incident)
		case 2:
			o.solve(customer, first)
		case 3:
			one.there, one.crossed = first, true
		}
		if i%8 < 4 {
			o.names(first, o.want.incident)
		}
		o.want.customers[customer] = one
	})
}

// solve has a customer say that it is solved.
func (o *outage) solve(customer, conversation string) {
	o.t.Helper()
	must(o.house, "customer/"+customer, func(ctx context.Context) (*goodshipv1.Resolution, error) {
		return goodshipv1.NewResolutionServiceClient(o.conn()).ConfirmResolution(ctx, &goodshipv1.ConfirmResolutionRequest{ConversationId: conversation, RequestId: "solved " + conversation})
	})
}

// cross has the customers resolve their conversations that name the incident, while the apology goes out.
func (o *outage) cross() {
	for customer, one := range o.want.customers {
		if one.crossed {
			o.solve(customer, one.there)
		}
	}
}

// react has customers and the product do something about apologies that are written: read them, report that they arrived or
// did not, write back.
func (o *outage) react(ctx context.Context) {
	rng := random("reactions")
	for i := 0; ctx.Err() == nil; i++ {
		customer := o.early[rng.IntN(len(o.early))]
		read := o.read(customer)
		if len(read) == 0 {
			o.rests()
			continue
		}
		o.answer(rng.IntN(4), customer, fmt.Sprintf("reaction-%d", i), read[0])
	}
}

func (o *outage) answer(how int, customer, requestID string, m said) {
	who := "customer/" + customer
	switch how {
	case 0:
		must(o.house, who, func(ctx context.Context) (*goodshipv1.Message, error) {
			return o.messages().SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: m.conversation, Text: "Thank you!", RequestId: requestID})
		})
	case 1:
		must(o.house, who, func(ctx context.Context) (any, error) {
			return o.messages().MarkRead(ctx, &goodshipv1.MarkReadRequest{ConversationId: m.conversation, Number: m.number})
		})
	default:
		state := []goodshipv1.DeliveryState{goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED, goodshipv1.DeliveryState_DELIVERY_STATE_FAILED}[how-2]
		must(o.house, "", func(ctx context.Context) (any, error) {
			return o.messages().ReportDelivery(ctx, &goodshipv1.ReportDeliveryRequest{ConversationId: m.conversation, Number: m.number, State: state, RequestId: requestID})
		})
	}
}
