package storetest

import (
	"errors"
	"fmt"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// What is sent to a webhook endpoint belongs to it, and goes with it.

// putWebhook puts an endpoint, its progress, so many parked conversations and as many deliveries.
func putWebhook(tx store.Tx, id string, count int) error {
	errs := errors.Join(tx.PutWebhookEndpoint(endpointRecord(id, 1)), tx.PutWebhookProgress(progressRecord(id, 7)))
	for i := range count {
		n := i * 7 % count
		errs = errors.Join(errs, tx.PutParked(parkedRecord(id, fmt.Sprintf("conv_%02d", n), int32(n))),
			tx.PutDelivery(id, delivery(fmt.Sprintf("dlv_%02d", n), int32(n))))
	}
	return errs
}

// parkedFor returns the conversations that wait for an endpoint, and deliveriesTo its log.
func (s *subject) parkedFor(w, endpoint, after string, limit int) (ids []string) {
	s.Helper()
	list, err := s.store().Parked(s.ctx, w, endpoint, after, limit)
	s.wantErr("Parked", err, nil)
	for _, p := range list {
		ids = append(ids, p.GetConversationId())
	}
	return ids
}

func (s *subject) deliveriesTo(w, endpoint, before string, limit int) (ids []string) {
	s.Helper()
	list, err := s.store().Deliveries(s.ctx, w, endpoint, before, limit)
	s.wantErr("Deliveries", err, nil)
	for _, d := range list {
		ids = append(ids, d.GetId())
	}
	return ids
}

// webhooksArePaged reads endpoints, and what belongs to each, in order and in pages.
func webhooksArePaged(s *subject) {
	for _, w := range []string{"w", "w2"} {
		s.do(w, func(tx store.Tx) error {
			return errors.Join(putWebhook(tx, "hook_2", 11), putWebhook(tx, "hook_1", 11), putWebhook(tx, "hook_20", 2))
		})
	}
	var parked, newest []string
	for i := range 11 {
		parked, newest = append(parked, fmt.Sprintf("conv_%02d", i)), append(newest, fmt.Sprintf("dlv_%02d", 10-i))
	}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		for _, limit := range []int{1, 3, 11, all} {
			s.wantPages("Parked", parked, limit, func(after string) []string { return s.parkedFor("w", "hook_2", after, limit) })
			s.wantPages("Deliveries", newest, limit, func(before string) []string { return s.deliveriesTo("w", "hook_2", before, limit) })
		}
		list, err := s.store().WebhookEndpoints(s.ctx, "w")
		want := []*storev1.WebhookEndpointRecord{endpointRecord("hook_1", 1), endpointRecord("hook_2", 1), endpointRecord("hook_20", 1)}
		if err != nil || !slices.EqualFunc(list, want, equal[*storev1.WebhookEndpointRecord]) {
			s.Errorf("WebhookEndpoints: got %v, %v, want %v", list, err, want)
		}
	}
	if list, err := s.store().WebhookEndpoints(s.ctx, "nobody's"); err != nil || len(list) != 0 {
		s.Errorf("WebhookEndpoints of a workspace that nobody wrote to: got %v, %v", list, err)
	}
	s.refused("an endpoint without an id", "w", func(tx store.Tx) error { return tx.PutWebhookEndpoint(endpointRecord("", 1)) })
	s.refused("progress of nothing", "w", func(tx store.Tx) error { return tx.PutWebhookProgress(progressRecord("", 1)) })
	s.refused("what waits for nothing", "w", func(tx store.Tx) error { return tx.PutParked(parkedRecord("", "conv_1", 1)) })
	s.refused("nothing that waits", "w", func(tx store.Tx) error { return tx.PutParked(parkedRecord("hook_1", "", 1)) })
	s.refused("a delivery to nothing", "w", func(tx store.Tx) error { return tx.PutDelivery("", delivery("dlv_1", 1)) })
	s.refused("a delivery without an id", "w", func(tx store.Tx) error { return tx.PutDelivery("hook_1", delivery("", 1)) })
}

// parkedAndDeliveriesGo replaces and removes them one by one, in the unit that put them too. There need be no endpoint.
func parkedAndDeliveriesGo(s *subject) {
	s.do("w", func(tx store.Tx) error {
		return errors.Join(tx.PutParked(parkedRecord("hook_1", "conv_1", 1)), tx.PutParked(parkedRecord("hook_1", "conv_10", 1)),
			tx.PutParked(parkedRecord("hook_10", "conv_1", 1)), tx.PutDelivery("hook_1", delivery("dlv_1", 1)),
			tx.PutDelivery("hook_1", delivery("dlv_10", 1)), tx.PutDelivery("hook_10", delivery("dlv_1", 1)))
	})
	s.do("w", func(tx store.Tx) error {
		parked, err1 := tx.Parked("hook_1", "conv_1")
		sent, err2 := tx.Delivery("hook_1", "dlv_1")
		if err := errors.Join(err1, err2); err != nil || !proto.Equal(parked, parkedRecord("hook_1", "conv_1", 1)) || !proto.Equal(sent, delivery("dlv_1", 1)) {
			s.Errorf("in a unit: got %v, %v, %v", parked, sent, err)
		}
		err := errors.Join(tx.RemoveParked("hook_1", "conv_1"), tx.RemoveDelivery("hook_1", "dlv_1"),
			tx.RemoveParked("hook_1", "conv_2"), tx.RemoveDelivery("hook_1", "dlv_2"), tx.RemoveParked("nothing", "conv_1"), tx.RemoveDelivery("nothing", "dlv_1"),
			tx.PutParked(parkedRecord("hook_1", "conv_3", 1)), tx.RemoveParked("hook_1", "conv_3"), tx.PutParked(parkedRecord("hook_1", "conv_10", 2)),
			tx.RemoveDelivery("hook_1", "dlv_10"), tx.PutDelivery("hook_1", delivery("dlv_10", 2)))
		_, err1 = tx.Parked("hook_1", "conv_1")
		_, err2 = tx.Delivery("hook_1", "dlv_1")
		s.wantErr("Parked, in the unit that removed it", err1, store.ErrNotFound)
		s.wantErr("Delivery, in the unit that removed it", err2, store.ErrNotFound)
		return err
	})
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		parked, err1 := s.store().Parked(s.ctx, "w", "hook_1", "", all)
		sent, err2 := s.store().Deliveries(s.ctx, "w", "hook_1", "", all)
		if err := errors.Join(err1, err2); err != nil || !slices.EqualFunc(parked, []*storev1.ParkedRecord{parkedRecord("hook_1", "conv_10", 2)}, equal[*storev1.ParkedRecord]) ||
			!slices.EqualFunc(sent, []*goodshipv1.WebhookDelivery{delivery("dlv_10", 2)}, equal[*goodshipv1.WebhookDelivery]) {
			s.Errorf("after removals: got %v, %v, %v, want the ones that were put again", parked, sent, err)
		}
		if parked, sent := s.parkedFor("w", "hook_10", "", all), s.deliveriesTo("w", "hook_10", "", all); len(parked) != 1 || len(sent) != 1 {
			s.Errorf("of another endpoint: got %q, %q, want one of each", parked, sent)
		}
	}
}

// endpointsGoInSlices removes an endpoint in several units, with a restart in between. What is left of it is still read.
func endpointsGoInSlices(s *subject) {
	s.do("w", func(tx store.Tx) error { return errors.Join(putWebhook(tx, "hook_1", 5), putWebhook(tx, "hook_10", 5)) })
	s.do("w2", func(tx store.Tx) error { return putWebhook(tx, "hook_1", 5) })
	left := 10
	for _, step := range []struct {
		limit   int
		restart func()
	}{{0, func() {}}, {3, s.reopen}, {4, s.crash}, {1, func() {}}, {9, s.reopen}, {9, s.crash}} {
		left = max(0, left-step.limit)
		s.do("w", func(tx store.Tx) error {
			more, err := tx.RemoveWebhookEndpoint("hook_1", step.limit)
			if err != nil || more != (left > 0) {
				s.Errorf("RemoveWebhookEndpoint, at most %d: got more %v, %v, want %d left", step.limit, more, err, left)
			}
			_, err1 := tx.WebhookEndpoint("hook_1")
			_, err2 := tx.WebhookProgress("hook_1")
			s.wantErr("the endpoint, in a unit that removed it", err1, store.ErrNotFound)
			s.wantErr("its progress, in a unit that removed it", err2, store.ErrNotFound)
			return err
		})
		step.restart()
		_, err1 := s.store().WebhookEndpoint(s.ctx, "w", "hook_1")
		_, err2 := s.store().WebhookProgress(s.ctx, "w", "hook_1")
		s.wantErr("an endpoint that was removed", err1, store.ErrNotFound)
		s.wantErr("its progress", err2, store.ErrNotFound)
		if got := len(s.parkedFor("w", "hook_1", "", all)) + len(s.deliveriesTo("w", "hook_1", "", all)); got != left {
			s.Errorf("after a removal of at most %d: got %d left, want %d", step.limit, got, left)
		}
	}
	for _, other := range []struct{ w, id string }{{"w", "hook_10"}, {"w2", "hook_1"}} {
		_, err1 := s.store().WebhookEndpoint(s.ctx, other.w, other.id)
		_, err2 := s.store().WebhookProgress(s.ctx, other.w, other.id)
		if got := len(s.parkedFor(other.w, other.id, "", all)) + len(s.deliveriesTo(other.w, other.id, "", all)); err1 != nil || err2 != nil || got != 10 {
			s.Errorf("%s in %s: got %d left, %v, %v, want all", other.id, other.w, got, err1, err2)
		}
	}
	for i := range 3 { // with nothing but an endpoint, with what is parked alone, and with deliveries alone
		s.do("w", func(tx store.Tx) error {
			errs := tx.PutWebhookEndpoint(endpointRecord("hook_3", 1))
			for n := range 4 {
				switch i {
				case 1:
					errs = errors.Join(errs, tx.PutParked(parkedRecord("hook_3", fmt.Sprint("conv_", n), 1)))
				case 2:
					errs = errors.Join(errs, tx.PutDelivery("hook_3", delivery(fmt.Sprint("dlv_", n), 1)))
				}
			}
			return errs
		})
		for _, want := range []bool{i > 0, false, false} {
			s.do("w", func(tx store.Tx) error {
				more, err := tx.RemoveWebhookEndpoint("hook_3", 3)
				if more != want {
					s.Errorf("RemoveWebhookEndpoint of one with 4 of kind %d, at most 3 at a time: got more %v, want %v", i, more, want)
				}
				return err
			})
		}
	}
	s.do("w", func(tx store.Tx) error {
		if err := putWebhook(tx, "hook_1", 2); err != nil {
			return err
		}
		more, err := tx.RemoveWebhookEndpoint("hook_1", 4)
		if more {
			s.Error("RemoveWebhookEndpoint, in the unit that put it: there is more left of it, want nothing")
		}
		return errors.Join(err, tx.PutParked(parkedRecord("hook_1", "conv_01", 2)))
	})
	if got := s.parkedFor("w", "hook_1", "", all); !slices.Equal(got, []string{"conv_01"}) || len(s.deliveriesTo("w", "hook_1", "", all)) != 0 {
		s.Errorf("what was put after the removal, in its unit: got %q", got)
	}
}
