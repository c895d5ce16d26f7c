package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// Who is affected by an incident is found by what became of their apology, also while that changes.

const pendingApology = goodshipv1.ApologyState_APOLOGY_STATE_PENDING

// affectedEqualFullScans moves affected customers of two incidents between all states.
func affectedEqualFullScans(s *subject) {
	pick := choose(rand.New(rand.NewPCG(13, 14)).IntN)
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		want := make(map[string][]*storev1.AffectedRecord)
		s.do("w", func(tx store.Tx) error {
			clear(want)
			for _, incident := range []string{"inc_1", "inc_10"} {
				for i := range 20 {
					a := affectedRecord(incident, fmt.Sprintf("key_%02d", i), one(pick, apologyStates))
					want[incident] = append(want[incident], a)
					if err := tx.PutAffected(a); err != nil {
						return err
					}
				}
			}
			return nil
		})
		restart()
		for incident, records := range want {
			for _, state := range append([]goodshipv1.ApologyState{0, goodshipv1.ApologyState_APOLOGY_STATE_FAILED}, apologyStates...) {
				for _, limit := range []int{1, 3, 7, all} {
					wanted := slices.DeleteFunc(slices.Clone(records), func(a *storev1.AffectedRecord) bool {
						return state != 0 && a.GetApology().GetState() != state
					})
					got, err := walkAffected(s.ctx, s.store(), "w", incident, state, limit, nil)
					if err != nil || !slices.EqualFunc(got, wanted, equal[*storev1.AffectedRecord]) {
						s.Errorf("affected by %s in %v, in pages of %d: got %v, %v, want %v", incident, state, limit, got, err, wanted)
					}
				}
			}
		}
	}
	for _, of := range []struct{ w, incident string }{{"w", "inc"}, {"w", "inc_2"}, {"w2", "inc_1"}} {
		if got, err := walkAffected(s.ctx, s.store(), of.w, of.incident, 0, 3, nil); err != nil || len(got) != 0 {
			s.Errorf("affected by %s in %s: got %v, %v, want nobody", of.incident, of.w, got, err)
		}
	}
	page, _, err := s.store().Affected(s.ctx, "w", "inc_1", 0, "key_05", 1)
	if err != nil || len(page) > 0 && page[0].GetCustomerKey() != "key_06" {
		s.Errorf("Affected after key_05: got %v, %v, want key_06 first", page, err)
	}
}

// everyApologyIsWrittenOnce goes through those whose apology is PENDING, page by page, and writes each, while more are added and
// others are skipped: nobody is met twice, and nobody is left out.
func everyApologyIsWrittenOnce(s *subject) {
	put := func(state goodshipv1.ApologyState, keys ...string) {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			for _, key := range keys {
				if err := tx.PutAffected(affectedRecord("inc_1", key, state)); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		s.wantErr("Update", err, nil)
	}
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("key_%02d", i))
	}
	put(pendingApology, keys...)
	written := make(map[string]int)
	page := 0
	write := func(list []*storev1.AffectedRecord) {
		for _, a := range list {
			if a.GetApology().GetState() != pendingApology {
				s.Errorf("got %v among the PENDING", a)
			}
			written[a.GetCustomerKey()]++
			put(goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN, a.GetCustomerKey())
		}
		if page++; page <= 4 {
			put(pendingApology, fmt.Sprintf("key_%02d_late", 5*page), fmt.Sprintf("key_00_late_%d", page))
		}
	}
	for rounds := 0; ; rounds++ {
		var after string
		met := 0
		for {
			list, next, err := s.store().Affected(s.ctx, "w", "inc_1", pendingApology, after, 3)
			s.wantErr("Affected", err, nil)
			write(list)
			met += len(list)
			if after = next; next == "" {
				break
			}
		}
		if met == 0 || rounds > 10 {
			break
		}
		s.reopen()
	}
	if len(written) != len(keys)+8 {
		s.Errorf("%d apologies were written, want %d", len(written), len(keys)+8)
	}
	for key, times := range written {
		if times != 1 {
			s.Errorf("the apology of %s was written %d times", key, times)
		}
	}
}

// affectedPagesShowTheUntouchedOnce moves affected customers between states beside those who page through them.
func affectedPagesShowTheUntouchedOnce(s *subject) {
	pick := choose(rand.New(rand.NewPCG(15, 16)).IntN)
	move := func(key string, state goodshipv1.ApologyState) {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			return nil, tx.PutAffected(affectedRecord("inc_1", key, state))
		})
		s.wantErr("Update", err, nil)
	}
	for i := range 24 {
		move(fmt.Sprintf("key_%02d_%s", i, []string{"still", "moving"}[i%2]), pendingApology)
	}
	var reading atomic.Bool
	reading.Store(true)
	together(2, func(i int) {
		if i == 0 {
			for reading.Load() {
				move(fmt.Sprintf("key_%02d_moving", 2*pick(12)+1), one(pick, apologyStates))
			}
			return
		}
		defer reading.Store(false)
		for n := range 20 {
			state := []goodshipv1.ApologyState{pendingApology, 0}[n%2]
			list, err := walkAffected(s.ctx, s.store(), "w", "inc_1", state, n%4+1, nil)
			s.wantErr("Affected", err, nil)
			still := 0
			for i, a := range list {
				if strings.HasSuffix(a.GetCustomerKey(), "still") {
					still++
				}
				if i > 0 && a.GetCustomerKey() <= list[i-1].GetCustomerKey() || state != 0 && a.GetApology().GetState() != state {
					s.Errorf("affected in %v: got %v after %v", state, a, list[max(i-1, 0)])
				}
			}
			if still != 12 {
				s.Errorf("affected in %v: got %d of the 12 that nobody touches", state, still)
			}
		}
	})
}

// incidentsAreNewestFirst reads incidents page by page, and affected customers one by one.
func incidentsAreNewestFirst(s *subject) {
	var newest []string
	s.do("w", func(tx store.Tx) error {
		newest = nil
		for i := range 11 {
			newest = append(newest, fmt.Sprintf("inc_%02d", 10-i))
			if err := tx.PutIncident(incidentRecord(fmt.Sprintf("inc_%02d", i*7%11), 1)); err != nil {
				return err
			}
		}
		return errors.Join(tx.PutIncident(incidentRecord("inc_03", 2)), tx.PutAffected(affectedRecord("inc_03", "key_1", pendingApology)))
	})
	for _, limit := range []int{1, 3, 11, all} {
		s.wantPages("Incidents", newest, limit, func(before string) (page []string) {
			got, err := s.store().Incidents(s.ctx, "w", before, limit)
			s.wantErr("Incidents", err, nil)
			for _, i := range got {
				page = append(page, i.GetIncident().GetId())
			}
			return page
		})
	}
	incident, err := s.store().Incident(s.ctx, "w", "inc_03")
	if err != nil || !proto.Equal(incident, incidentRecord("inc_03", 2)) {
		s.Errorf("Incident: got %v, %v, want what was put last", incident, err)
	}
	_, err = s.store().Incident(s.ctx, "w2", "inc_03")
	s.wantErr("Incident in another workspace", err, store.ErrNotFound)
	s.do("w", func(tx store.Tx) error {
		if a, err := tx.Affected("inc_03", "key_1"); err != nil || !proto.Equal(a, affectedRecord("inc_03", "key_1", pendingApology)) {
			s.Errorf("Affected in a unit: got %v, %v", a, err)
		}
		_, err1 := tx.Affected("inc_03", "key_10")
		_, err2 := tx.Affected("inc_04", "key_1")
		_, err3 := tx.Incident("inc_11")
		for i, err := range []error{err1, err2, err3} {
			s.wantErr(fmt.Sprint("in a unit, missing ", i), err, store.ErrNotFound)
		}
		return nil
	})
	s.refused("an incident without an id", "w", func(tx store.Tx) error { return tx.PutIncident(incidentRecord("", 1)) })
	s.refused("who is affected by nothing", "w", func(tx store.Tx) error { return tx.PutAffected(affectedRecord("", "key_1", pendingApology)) })
	s.refused("nobody who is affected", "w", func(tx store.Tx) error { return tx.PutAffected(affectedRecord("inc_03", "", pendingApology)) })
}
