package storetest

import (
	"fmt"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// Ledgers only grow, and what is counted is counted by day.

// ledgersOnlyGrow appends to ledgers, under the numbers that follow and under others.
func ledgersOnlyGrow(s *subject) {
	s.wantLedger("w", "key_1", nil)
	var want, want2 []*goodshipv1.LedgerEntry
	for i, restart := range []func(){func() {}, s.reopen, s.crash, func() {}} {
		s.do("w", func(tx store.Tx) error {
			want, want2 = want[:3*i], want2[:i]
			for n := range 4 {
				key, entries := "key_1", &want
				if n == 3 {
					key, entries = "key_10", &want2
				}
				before, err := tx.Ledger(key)
				if err != nil {
					return err
				}
				sums, entry := entryAfter(before, fmt.Sprint("cred_", n))
				*entries = append(*entries, entry)
				if err := tx.AppendLedger(sums, entry); err != nil {
					return err
				}
			}
			return nil
		})
		restart()
		s.wantLedger("w", "key_1", want)
		s.wantLedger("w", "key_10", want2)
		s.wantLedger("w2", "key_1", nil)
		s.ledgerRefuses(int32(len(want)))
	}
	for after := int32(-1); after <= int32(len(want))+1; after++ {
		for _, limit := range []int{0, 1, 5, all} {
			from := min(max(int(after), 0), len(want))
			wanted := want[from:min(from+limit, len(want))]
			got, err := s.store().LedgerEntries(s.ctx, "w", "key_1", after, limit)
			if err != nil || !slices.EqualFunc(got, wanted, equal[*goodshipv1.LedgerEntry]) {
				s.Errorf("LedgerEntries after %d, at most %d: got %v, %v, want %v", after, limit, got, err, wanted)
			}
		}
	}
}

// wantLedger fails the test unless a ledger has these entries, and the sums of the last, outside and inside a unit.
func (s *subject) wantLedger(w, key string, want []*goodshipv1.LedgerEntry) {
	s.Helper()
	sums := &storev1.LedgerRecord{CustomerKey: key}
	if len(want) > 0 {
		sums, _ = entryAfter(&storev1.LedgerRecord{CustomerKey: key, EntryCount: int32(len(want)) - 1}, "")
	}
	got, err := s.store().Ledger(s.ctx, w, key)
	if err != nil || !proto.Equal(got, sums) {
		s.Errorf("Ledger of %q in %q: got %v, %v, want %v", key, w, got, err, sums)
	}
	s.do(w, func(tx store.Tx) error {
		if got, err := tx.Ledger(key); err != nil || !proto.Equal(got, sums) {
			s.Errorf("Ledger of %q in a unit of %q: got %v, %v, want %v", key, w, got, err, sums)
		}
		return nil
	})
	entries, err := s.store().LedgerEntries(s.ctx, w, key, 0, all)
	if err != nil || !slices.EqualFunc(entries, want, equal[*goodshipv1.LedgerEntry]) {
		s.Errorf("LedgerEntries of %q in %q: got %v, %v, want %v", key, w, entries, err, want)
	}
}

// ledgerRefuses appends under numbers that do not follow those of a ledger of so many.
func (s *subject) ledgerRefuses(count int32) {
	s.Helper()
	for _, wrong := range []struct{ number, count int32 }{
		{count, count}, {count, count + 1}, {count + 1, count}, {count + 2, count + 2}, {count + 1, count + 2}, {0, 0}, {1, 1}, {-1, -1},
	} {
		s.refused(fmt.Sprintf("entry %d of %d after %d", wrong.number, wrong.count, count), "w", func(tx store.Tx) error {
			sums, entry := entryAfter(&storev1.LedgerRecord{CustomerKey: "key_1"}, "cred_9")
			entry.Number, sums.EntryCount = wrong.number, wrong.count
			return tx.AppendLedger(sums, entry)
		})
	}
	s.refused("the same entry twice in a unit", "w", func(tx store.Tx) error {
		sums, entry := entryAfter(&storev1.LedgerRecord{CustomerKey: "key_1", EntryCount: count}, "cred_9")
		if err := tx.AppendLedger(sums, entry); err != nil {
			s.Errorf("AppendLedger: %v", err)
		}
		return tx.AppendLedger(sums, entry)
	})
	s.refused("a ledger of nobody", "w", func(tx store.Tx) error { return tx.AppendLedger(entryAfter(&storev1.LedgerRecord{}, "cred_9")) })
}

// countsAreByDay puts what agents granted and how resolutions were rated, day by day.
func countsAreByDay(s *subject) {
	for round := range int32(3) {
		for _, w := range []string{"w", "w2"} {
			s.do(w, func(tx store.Tx) error {
				for i, day := range days {
					for j, agent := range agents {
						n := round*100 + int32(i*10+j) + 1
						before, err := tx.Spent(agent, day)
						if want := spentRecord(agent, day, max(n-100, 0)*min(round, 1)); err != nil || !proto.Equal(before, want) {
							s.Errorf("in a unit of %q, Spent by %s on %s: got %v, %v, want %v", w, agent, day, before, err, want)
						}
						if err := tx.PutSpent(spentRecord(agent, day, n)); err != nil {
							return err
						}
					}
					if before, err := tx.Statistics(day); err != nil || before.GetDay() != day || before.GetFaultOnly().GetRated() != round {
						s.Errorf("in a unit of %q, Statistics of %s: got %v, %v, want %d", w, day, before, err, round)
					}
					if err := tx.PutStatistics(statisticsRecord(day, round+1)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		s.reopen()
		for i, day := range days {
			for j, agent := range agents {
				want := spentRecord(agent, day, round*100+int32(i*10+j)+1)
				if got, err := s.store().Spent(s.ctx, "w", agent, day); err != nil || !proto.Equal(got, want) {
					s.Errorf("Spent by %s on %s: got %v, %v, want %v", agent, day, got, err, want)
				}
			}
		}
	}
	if got, err := s.store().Spent(s.ctx, "w", "agent_3", days[0]); err != nil || !proto.Equal(got, spentRecord("agent_3", days[0], 0)) {
		s.Errorf("Spent by who granted nothing: got %v, %v", got, err)
	}
	for _, span := range []struct {
		from, to string
		want     []string
	}{
		{"", "9999", days}, {days[0], days[2], days}, {days[1], days[1], days[1:2]}, {days[1], "2026-03-31", days[1:]}, {"2026-02-29", days[1], days[1:2]},
		{days[2], days[0], nil}, {"2026-03-03", "2026-12-31", nil}, {"2025-01-01", "2026-02-27", nil},
	} {
		list, err := s.store().Statistics(s.ctx, "w", span.from, span.to)
		var got []string
		for _, m := range list {
			got = append(got, m.GetDay())
		}
		if err != nil || !slices.Equal(got, span.want) {
			s.Errorf("Statistics from %s to %s: got %q, %v, want %q", span.from, span.to, got, err, span.want)
		}
	}
	s.refused("what nobody granted", "w", func(tx store.Tx) error { return tx.PutSpent(spentRecord("", days[0], 1)) })
	s.refused("what was granted on no day", "w", func(tx store.Tx) error { return tx.PutSpent(spentRecord("agent_1", "", 1)) })
	s.refused("ratings of no day", "w", func(tx store.Tx) error { return tx.PutStatistics(statisticsRecord("", 1)) })
}
