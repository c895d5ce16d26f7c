package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// What is neither a conversation nor of the directory is kept apart, and handed out, as that is.

// othersID is the id of all that others makes.
const othersID = "id"

// others returns one of each of what is neither a conversation nor of the directory, in the order in which putOthers puts them.
func others() []proto.Message {
	sums, entry := entryAfter(&storev1.LedgerRecord{CustomerKey: othersID}, othersID)
	return []proto.Message{
		creditRecord(othersID, othersID, othersID, later(1)), sums, entry, spentRecord(othersID, othersID, 1), statisticsRecord(othersID, 1),
		incidentRecord(othersID, 1), affectedRecord(othersID, othersID, pendingApology), endpointRecord(othersID, 1), progressRecord(othersID, 1),
		parkedRecord(othersID, othersID, 1), delivery(othersID, 1),
		erasureRecord(othersID, goodshipv1.ErasureState_ERASURE_STATE_RUNNING, 1), removal(othersID, 1),
	}
}

// putOthers puts what others returned.
func putOthers(tx store.Tx, given []proto.Message) error {
	return errors.Join(
		tx.PutCredit(given[0].(*storev1.CreditRecord)), tx.AppendLedger(given[1].(*storev1.LedgerRecord), given[2].(*goodshipv1.LedgerEntry)),
		tx.PutSpent(given[3].(*storev1.SpentRecord)), tx.PutStatistics(given[4].(*storev1.StatisticsRecord)),
		tx.PutIncident(given[5].(*storev1.IncidentRecord)), tx.PutAffected(given[6].(*storev1.AffectedRecord)),
		tx.PutWebhookEndpoint(given[7].(*storev1.WebhookEndpointRecord)), tx.PutWebhookProgress(given[8].(*storev1.WebhookProgressRecord)),
		tx.PutParked(given[9].(*storev1.ParkedRecord)), tx.PutDelivery(othersID, given[10].(*goodshipv1.WebhookDelivery)),
		tx.PutErasure(given[11].(*storev1.ErasureRecord)), tx.PutRemoval(given[12].(*goodshipv1.Removal)),
	)
}

// readOthers returns what a unit reads of others.
func readOthers(tx store.Tx) ([]proto.Message, error) {
	credit, err1 := tx.Credit(othersID)
	ledger, err2 := tx.Ledger(othersID)
	spent, err3 := tx.Spent(othersID, othersID)
	statistics, err4 := tx.Statistics(othersID)
	incident, err5 := tx.Incident(othersID)
	affected, err6 := tx.Affected(othersID, othersID)
	endpoint, err7 := tx.WebhookEndpoint(othersID)
	progress, err8 := tx.WebhookProgress(othersID)
	parked, err9 := tx.Parked(othersID, othersID)
	sent, err10 := tx.Delivery(othersID, othersID)
	erasure, err11 := tx.Erasure(othersID)
	return []proto.Message{credit, ledger, spent, statistics, incident, affected, endpoint, progress, parked, sent, erasure},
		errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11)
}

// readOthersOutside returns the errors of all reads of what is neither a conversation nor of the directory. The first reads are of
// one object, and eachOther is how many.
func readOthersOutside(ctx context.Context, st store.Store, w, id string) []error {
	_, err1 := st.Credit(ctx, w, id)
	_, err2 := st.Incident(ctx, w, id)
	_, err3 := st.WebhookEndpoint(ctx, w, id)
	_, err4 := st.WebhookProgress(ctx, w, id)
	_, err5 := st.Erasure(ctx, w, id)
	_, _, err6 := st.Credits(ctx, w, store.CreditQuery{}, "", 1)
	_, err7 := st.CreditsDue(ctx, nil, 1)
	_, err8 := st.Ledger(ctx, w, id)
	_, err9 := st.LedgerEntries(ctx, w, id, 0, 1)
	_, err10 := st.Spent(ctx, w, id, id)
	_, err11 := st.Statistics(ctx, w, "", "9999")
	_, err12 := st.Incidents(ctx, w, "", 1)
	_, _, err13 := st.Affected(ctx, w, id, 0, "", 1)
	_, err14 := st.WebhookEndpoints(ctx, w)
	_, err15 := st.Parked(ctx, w, id, "", 1)
	_, err16 := st.Deliveries(ctx, w, id, "", 1)
	_, _, err17 := st.Resolved(ctx, w, afterAll, nil, 1)
	_, err18 := st.Erasures(ctx, w, "", 1)
	_, err19 := st.Removals(ctx, w, "", 1)
	return []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14, err15, err16, err17, err18, err19}
}

// eachOther is how many of readOthersOutside's reads are of one object, and ErrNotFound if there is none.
const eachOther = 5

// putOthersAs puts one of each under an id, for a customer and an agent of that id, each of which says a text.
func putOthersAs(tx store.Tx, id, text string) error {
	credit, incident, endpoint := creditRecord(id, id, id, later(1)), incidentRecord(id, 1), endpointRecord(id, 1)
	credit.Credit.Reason, incident.Incident.WhatHappened, endpoint.WebhookEndpoint.Description = text, text, text
	before, err := tx.Ledger(id)
	sums, entry := entryAfter(before, text)
	affected, parked, sent := affectedRecord(id, id, pendingApology), parkedRecord(id, id, 1), delivery(id, 1)
	affected.Apology.ConversationId, parked.Delivery.Failure, sent.Failure = text, text, text
	erasure := erasureRecord(id, goodshipv1.ErasureState_ERASURE_STATE_RUNNING, 1)
	erasure.CustomerKeys = []string{text}
	return errors.Join(err, tx.PutCredit(credit), tx.AppendLedger(sums, entry), tx.PutIncident(incident), tx.PutAffected(affected),
		tx.PutSpent(spentRecord(id, id, int32(len(text)))), tx.PutStatistics(statisticsRecord(id, int32(len(text)))),
		tx.PutWebhookEndpoint(endpoint), tx.PutWebhookProgress(progressRecord(id, int64(len(text)))), tx.PutParked(parked), tx.PutDelivery(id, sent),
		tx.PutErasure(erasure), tx.PutRemoval(removal(id, int32(len(text)))))
}

// wantOwnOthers fails the test unless every read of an id in a workspace gives what putOthersAs put there, and that alone.
func (s *subject) wantOwnOthers(w, id, text string) {
	s.Helper()
	st, ctx := s.store(), s.ctx
	credit, err1 := st.Credit(ctx, w, id)
	byCustomer, err2 := walkCredits(ctx, st, w, store.CreditQuery{CustomerKeys: []string{id}}, all, nil)
	byConversation, err3 := walkCredits(ctx, st, w, store.CreditQuery{ConversationID: id}, all, nil)
	ledger, err4 := st.Ledger(ctx, w, id)
	lines, err5 := st.LedgerEntries(ctx, w, id, 0, all)
	spent, err6 := st.Spent(ctx, w, id, id)
	statistics, err7 := st.Statistics(ctx, w, id, id)
	incident, err8 := st.Incident(ctx, w, id)
	affected, err9 := walkAffected(ctx, st, w, id, 0, all, nil)
	endpoint, err10 := st.WebhookEndpoint(ctx, w, id)
	progress, err11 := st.WebhookProgress(ctx, w, id)
	parked, err12 := st.Parked(ctx, w, id, "", all)
	sent, err13 := st.Deliveries(ctx, w, id, "", all)
	erasure, err14 := st.Erasure(ctx, w, id)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14); err != nil {
		s.Errorf("in %q, %q: %v", w, id, err)
		return
	}
	if len(byCustomer) != 1 || len(byConversation) != 1 || len(lines) != 1 || len(statistics) != 1 || len(affected) != 1 || len(parked) != 1 || len(sent) != 1 {
		s.Errorf("in %q, %q: got %v, %v, %v, %v, %v, %v, %v, want one of each", w, id, byCustomer, byConversation, lines, statistics, affected, parked, sent)
		return
	}
	for _, got := range []string{
		credit.GetCredit().GetReason(), byCustomer[0].GetCredit().GetReason(), byConversation[0].GetCredit().GetReason(), lines[0].GetCreditId(),
		incident.GetIncident().GetWhatHappened(), affected[0].GetApology().GetConversationId(), endpoint.GetWebhookEndpoint().GetDescription(),
		parked[0].GetDelivery().GetFailure(), sent[0].GetFailure(), erasure.GetCustomerKeys()[0],
	} {
		if got != text {
			s.Errorf("in %q, %q: got %q, want %q", w, id, got, text)
		}
	}
	size := len(text)
	if ledger.GetEntryCount() != 1 || int(spent.GetBasisPoints()) != size || int(statistics[0].GetFaultOnly().GetRated()) != size || int(progress.GetPosition()) != size {
		s.Errorf("in %q, %q: got %v, %v, %v, %v, want its own", w, id, ledger, spent, statistics, progress)
	}
}

// wantNoOthers fails the test unless every read of an id in a workspace, outside and inside a unit, finds nothing.
func (s *subject) wantNoOthers(w, id string) {
	s.Helper()
	for i, err := range readOthersOutside(s.ctx, s.store(), w, id) {
		if i < eachOther {
			s.wantErr(fmt.Sprintf("in %q, %q: other read %d", w, id, i), err, store.ErrNotFound)
		} else {
			s.wantErr(fmt.Sprintf("in %q, %q: other read %d", w, id, i), err, nil)
		}
	}
	parked, sent := s.parkedFor(w, id, "", all), s.deliveriesTo(w, id, "", all)
	byCustomer, err1 := walkCredits(s.ctx, s.store(), w, store.CreditQuery{CustomerKeys: []string{id}}, all, nil)
	affected, err2 := walkAffected(s.ctx, s.store(), w, id, 0, all, nil)
	lines, err3 := s.store().LedgerEntries(s.ctx, w, id, 0, all)
	spent, err4 := s.store().Spent(s.ctx, w, id, id)
	if err := errors.Join(err1, err2, err3, err4); err != nil || len(parked)+len(sent)+len(byCustomer)+len(affected)+len(lines)+int(spent.GetBasisPoints()) != 0 {
		s.Errorf("in %q, %q: got %q, %q, %v, %v, %v, %v, %v, want nothing", w, id, parked, sent, byCustomer, affected, lines, spent, err)
	}
	s.do(w, func(tx store.Tx) error {
		_, err1 := tx.Credit(id)
		_, err2 := tx.Incident(id)
		_, err3 := tx.Affected(id, id)
		_, err4 := tx.WebhookEndpoint(id)
		_, err5 := tx.WebhookProgress(id)
		_, err6 := tx.Parked(id, id)
		_, err7 := tx.Delivery(id, id)
		_, err8 := tx.Erasure(id)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, tx.RemoveConversation(id, erased), tx.RemoveCustomer("key of " + id)} {
			s.wantErr(fmt.Sprintf("in %q, %q: other read %d in a unit", w, id, i), err, store.ErrNotFound)
		}
		return nil
	})
}

// pairsAreApart puts what has two ids under all pairs of ids that are alike, and removes some of it.
func pairsAreApart(s *subject) {
	s.do("w", func(tx store.Tx) error {
		var errs error
		for i, a := range alike {
			for j, b := range alike {
				n := int32(10*i + j + 1)
				errs = errors.Join(errs, tx.PutSpent(spentRecord(a, b, n)), tx.PutAffected(affectedRecord(a, b, pendingApology)),
					tx.PutParked(parkedRecord(a, b, n)), tx.PutDelivery(a, delivery(b, n)))
			}
		}
		return errs
	})
	sorted := slices.Sorted(slices.Values(alike))
	newest := slices.Clone(sorted)
	slices.Reverse(newest)
	for i, a := range alike {
		for j, b := range alike {
			n := int32(10*i + j + 1)
			if got, err := s.store().Spent(s.ctx, "w", a, b); err != nil || !proto.Equal(got, spentRecord(a, b, n)) {
				s.Errorf("Spent(%q, %q): got %v, %v, want %d", a, b, got, err, n)
			}
			s.do("w", func(tx store.Tx) error {
				parked, err1 := tx.Parked(a, b)
				sent, err2 := tx.Delivery(a, b)
				if err := errors.Join(err1, err2); err != nil || !proto.Equal(parked, parkedRecord(a, b, n)) || !proto.Equal(sent, delivery(b, n)) {
					s.Errorf("%q, %q: got %v, %v, %v, want %d", a, b, parked, sent, err, n)
				}
				return nil
			})
		}
		var affected []string
		list, err := walkAffected(s.ctx, s.store(), "w", a, pendingApology, 3, nil)
		for _, of := range list {
			affected = append(affected, of.GetCustomerKey())
		}
		parked, sent := s.parkedFor("w", a, "", all), s.deliveriesTo("w", a, "", all)
		if err != nil || !slices.Equal(affected, sorted) || !slices.Equal(parked, sorted) || !slices.Equal(sent, newest) {
			s.Errorf("%q: got affected %q, %v, parked %q, deliveries %q, want %q of each", a, affected, err, parked, sent, sorted)
		}
	}
	s.do("w", func(tx store.Tx) error {
		_, err := tx.RemoveWebhookEndpoint("a", all)
		return errors.Join(err, tx.RemoveParked("a\x00", "b"), tx.RemoveDelivery("a\x00", "b"))
	})
	for _, a := range alike {
		want := map[string]int{"a": 0, "a\x00": len(alike) - 1}
		left, ok := want[a]
		if !ok {
			left = len(alike)
		}
		if parked, sent := s.parkedFor("w", a, "", all), s.deliveriesTo("w", a, "", all); len(parked) != left || len(sent) != left {
			s.Errorf("%q after removals: got parked %q, deliveries %q, want %d of each", a, parked, sent, left)
		}
	}
}
