package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Lists equal a full scan, and pages show what nobody touches exactly once (invariant 6).

// Values of a head's fields, few, so that many conversations share them.
var (
	states    = []goodshipv1.State{goodshipv1.State_STATE_WAITING, goodshipv1.State_STATE_ANSWERED, goodshipv1.State_STATE_RESOLVED}
	outcomes  = []goodshipv1.Outcome{goodshipv1.Outcome_OUTCOME_CONFIRMED, goodshipv1.Outcome_OUTCOME_ASSUMED, goodshipv1.Outcome_OUTCOME_DISMISSED}
	agents    = []string{"agent_1", "agent_2", "agent_20"}
	customers = []string{defaultCustomer, "key_1", "key_2", "key_20"}
	labels    = []string{"urgent", "urge", "billing"}
)

// choose is a source of choices: a seeded generator, or a rapid test.
type choose func(n int) int

func one[V any](pick choose, from []V) V { return from[pick(len(from))] }

// some returns any of the values, in order.
func some[V any](pick choose, from []V) []V {
	return slices.DeleteFunc(slices.Clone(from), func(V) bool { return pick(2) == 0 })
}

// moment returns one of a few times, so that many are equal.
func moment(pick choose) time.Time {
	return faketime.New().Now().Add(time.Duration(pick(8))*time.Second + time.Duration(pick(2))*time.Microsecond)
}

// shuffle gives a draft's head any state, people, labels and times.
func (d *draft) shuffle(pick choose) {
	c := d.conversation()
	d.state(one(pick, states), goodshipv1.Outcome_OUTCOME_UNSPECIFIED)
	if c.GetState() == goodshipv1.State_STATE_RESOLVED {
		d.resolve(one(pick, outcomes))
	}
	d.own(one(pick, append([]string{""}, agents...)))
	c.HelperIds, c.Labels = some(pick, agents), some(pick, labels)
	if pick(4) == 0 {
		c.HandOver = &goodshipv1.HandOver{ToAgentId: one(pick, agents)}
	}
	c.LineTime, c.ActivityTime = timestamppb.New(moment(pick)), timestamppb.New(moment(pick))
	if d.due(time.Time{}); pick(2) == 0 {
		d.due(moment(pick))
	}
}

// query returns any query; most find something.
func query(pick choose) store.Query {
	var q store.Query
	q.Order = one(pick, []store.Order{store.ByActivity, store.ByLine})
	if pick(3) == 0 {
		q.State = one(pick, states)
	}
	if pick(4) == 0 {
		q.Outcome = one(pick, outcomes)
	}
	switch pick(6) {
	case 0:
		q.OwnerID = one(pick, agents)
	case 1:
		q.Unowned = true
	case 2:
		q.OwnerID, q.Unowned = one(pick, agents), pick(4) == 0
	}
	if pick(4) == 0 {
		q.InvolvedID = one(pick, agents)
	}
	switch pick(5) {
	case 0:
		q.CustomerKeys = []string{one(pick, customers)}
	case 1:
		q.CustomerKeys = []string{one(pick, customers), one(pick, customers), one(pick, customers), "key_of_nobody"}
	}
	if pick(4) == 0 {
		q.Label = one(pick, labels)
	}
	// Bounds are the callers', who may know nothing of microseconds.
	if pick(3) == 0 {
		q.ActiveFrom = moment(pick).Add(time.Duration(pick(2)))
	}
	if pick(3) == 0 {
		q.ActiveBefore = moment(pick).Add(time.Duration(pick(2)))
	}
	return q
}

// holds says whether a query holds for a conversation. It is said a second time in each engine, on purpose.
func holds(q store.Query, h *storev1.Head) bool {
	c, active := h.GetConversation(), h.GetConversation().GetActivityTime().AsTime()
	return (q.Order != store.ByLine || c.GetState() == goodshipv1.State_STATE_WAITING) &&
		(q.State == 0 || q.State == c.GetState()) &&
		(q.Outcome == 0 || q.Outcome == c.GetOutcome()) &&
		(q.OwnerID == "" || q.OwnerID == c.GetOwnerId()) &&
		(!q.Unowned || c.GetOwnerId() == "") &&
		(q.InvolvedID == "" || slices.Contains(append(c.GetHelperIds(), c.GetOwnerId(), c.GetHandOver().GetToAgentId()), q.InvolvedID)) &&
		(len(q.CustomerKeys) == 0 || slices.Contains(q.CustomerKeys, h.GetCustomerKey())) &&
		(q.Label == "" || slices.Contains(c.GetLabels(), q.Label)) &&
		(q.ActiveFrom.IsZero() || !active.Before(q.ActiveFrom)) &&
		(q.ActiveBefore.IsZero() || active.Before(q.ActiveBefore))
}

// inOrder compares conversations as a list does.
func inOrder(o store.Order) func(a, b *storev1.Head) int {
	return func(a, b *storev1.Head) int {
		x, y := a.GetConversation(), b.GetConversation()
		if o == store.ByLine {
			return cmp.Or(x.GetLineTime().AsTime().Compare(y.GetLineTime().AsTime()), cmp.Compare(x.GetId(), y.GetId()))
		}
		return cmp.Or(y.GetActivityTime().AsTime().Compare(x.GetActivityTime().AsTime()), cmp.Compare(y.GetId(), x.GetId()))
	}
}

// listsEqualFullScans asks many queries of many conversations that were changed many times.
func listsEqualFullScans(s *subject) {
	pick := choose(rand.New(rand.NewPCG(1, 2)).IntN)
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprintf("conv_%02d", i))
	}
	for round := range 3 {
		s.do("w", func(tx store.Tx) error {
			for i, id := range ids {
				err := appendTo(tx, id, func(d *draft) {
					d.head.CustomerKey = customers[i%len(customers)]
					d.shuffle(pick)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		var heads []*storev1.Head
		for _, id := range ids {
			heads = append(heads, s.head("w", id))
		}
		for range 150 {
			s.wantList(query(pick), heads, pick(7)+1)
		}
		if round == 1 {
			s.reopen()
		}
	}
}

// wantList fails the test unless a list, in pages, is what a scan of all heads gives.
func (s *subject) wantList(q store.Query, heads []*storev1.Head, limit int) {
	s.Helper()
	want := slices.DeleteFunc(slices.Clone(heads), func(h *storev1.Head) bool { return !holds(q, h) })
	slices.SortFunc(want, inOrder(q.Order))
	got, err := walk(s.ctx, s.store(), "w", q, limit, nil)
	s.wantErr("List", err, nil)
	wantImage, gotImage := newImage(), newImage()
	put(wantImage, "list", want...)
	put(gotImage, "list", got...)
	if diff := wantImage.diff(gotImage); diff != "" {
		s.Errorf("list %+v in pages of %d (- want, + got):\n%s", q, limit, diff)
	}
}

// pagesShowTheUntouchedOnce writes between the pages, and beside them.
func pagesShowTheUntouchedOnce(s *subject) {
	pick := choose(rand.New(rand.NewPCG(3, 4)).IntN)
	s.do("w", func(tx store.Tx) error {
		for i := range 24 {
			id := fmt.Sprintf("%s_%02d", []string{"still", "moving"}[i%2], i)
			err := appendTo(tx, id, func(d *draft) {
				d.shuffle(pick)
				d.wait(moment(pick))
				d.own(agents[0])
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	written := 0
	disturb := func() {
		written++
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			for range 4 {
				id := fmt.Sprintf("moving_%02d", 2*pick(12)+1)
				if err := appendTo(tx, id, func(d *draft) { d.shuffle(pick) }); err != nil {
					return nil, err
				}
			}
			return nil, appendTo(tx, fmt.Sprintf("moving_new_%02d", written%20), func(d *draft) { d.shuffle(pick) })
		})
		s.wantErr("Update", err, nil)
	}
	for _, q := range []store.Query{
		{}, {Order: store.ByLine}, {State: goodshipv1.State_STATE_WAITING, OwnerID: agents[0]}, {Order: store.ByLine, CustomerKeys: []string{defaultCustomer}},
		{CustomerKeys: []string{"key_1", defaultCustomer}},
	} {
		for _, limit := range []int{2, 5} {
			heads, err := walk(s.ctx, s.store(), "w", q, limit, disturb)
			s.wantErr("List between writes", err, nil)
			s.wantStill(q, heads)
		}
		together(2, func(i int) {
			for range 10 {
				if i == 0 {
					disturb()
					continue
				}
				heads, err := walk(s.ctx, s.store(), "w", q, 3, nil)
				s.wantErr("List beside writes", err, nil)
				s.wantStill(q, heads)
			}
		})
	}
}

// customersMakeOneList lists several customers' conversations together, open and RESOLVED, many of them active at one time.
func customersMakeOneList(s *subject) {
	keys := []string{"key_1", "key_10", "key_2", "key_20"}
	var ids []string
	s.do("w", func(tx store.Tx) error {
		for i := range 24 {
			id := fmt.Sprintf("conv_%02d", (i*7)%24) // so that neither customers nor states go with ids
			ids = append(ids, id)
			err := appendTo(tx, id, func(d *draft) {
				d.head.CustomerKey = keys[i%4]
				if i%3 == 0 {
					d.resolve(outcomes[0])
				}
				d.conversation().ActivityTime = timestamppb.New(faketime.New().Now().Add(time.Duration(i/8) * time.Second))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	var heads []*storev1.Head
	for _, id := range ids {
		heads = append(heads, s.head("w", id))
	}
	for _, of := range [][]string{
		keys, {"key_20", "key_1"}, {"key_2", "key_10", "key_2"}, {"key_1", "key_of_nobody"}, {"key_of_nobody", "key_"},
	} {
		for limit := 1; limit <= 3; limit++ {
			for _, state := range append(states, goodshipv1.State_STATE_UNSPECIFIED) {
				s.wantList(store.Query{CustomerKeys: of, State: state}, heads, limit)
			}
			s.wantList(store.Query{CustomerKeys: of, Order: store.ByLine}, heads, limit)
		}
	}
}

// wantStill fails the test unless each conversation that nobody touches is in a list exactly once.
func (s *subject) wantStill(q store.Query, heads []*storev1.Head) {
	s.Helper()
	seen := make(map[string]int)
	for _, h := range heads {
		if !holds(q, h) {
			s.Errorf("list %+v shows %v", q, h)
		}
		seen[h.GetConversation().GetId()]++
	}
	for i := 0; i < 24; i += 2 {
		if id := fmt.Sprintf("still_%02d", i); seen[id] != 1 {
			s.Errorf("list %+v shows %s %d times", q, id, seen[id])
		}
	}
}
