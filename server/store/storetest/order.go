package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// Units of a workspace come one after the other, under dense numbers and a clock that only goes on (invariants 3, 4, 14).

func numbersAreDense(s *subject) {
	var want []string
	for i := range 8 {
		for j := range 6 {
			want = append(want, fmt.Sprintf("%d-%d", i, j))
		}
	}
	together(8, func(i int) {
		for j := range 6 {
			_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				return nil, appendTo(tx, "conv", func(d *draft) {
					d.note("note")
					d.say(fmt.Sprintf("%d-%d", i, j))
					if j%2 == 0 {
						d.propose("done")
					}
				})
			})
			s.wantErr("Update", err, nil)
		}
	})
	s.wantMessages("w", "conv", want)
	c := s.head("w", "conv").GetConversation()
	revision, public := int32(0), int32(0)
	events, err := eventsOf(s.ctx, s.store(), "w", "conv", 0, all)
	s.wantErr("Events", err, nil)
	for _, e := range events {
		if revision++; e.GetRevision() != revision {
			s.Errorf("got revision %d, want %d", e.GetRevision(), revision)
		}
		if e.GetPublicRevision() == 0 {
			continue
		}
		if public++; e.GetPublicRevision() != public {
			s.Errorf("got public revision %d, want %d", e.GetPublicRevision(), public)
		}
	}
	if c.GetRevision() != revision || c.GetPublicRevision() != public || c.GetMessageCount() != 48 || c.GetNoteCount() != 48 || c.GetResolutionCount() != 24 {
		s.Errorf("got head %v, want revision %d, public %d, 48 messages, 48 notes, 24 resolutions", c, revision, public)
	}
	notes, err := s.store().Notes(s.ctx, "w", "conv", store.Range{From: 1, Limit: all})
	s.wantErr("Notes", err, nil)
	for i, n := range notes {
		if n.GetNumber() != int32(i+1) {
			s.Errorf("note %d has number %d", i+1, n.GetNumber())
		}
	}
}

// acknowledged is a unit as its caller saw it: when it began and was acknowledged by a counter that all callers share,
// and what it got.
type acknowledged struct {
	began, ended int64
	now          time.Time
	message      int32
}

// realTimeOrderHolds has callers note when units begin and are acknowledged.
func realTimeOrderHolds(s *subject) {
	var counter atomic.Int64
	var mu sync.Mutex
	var units []acknowledged
	together(6, func(int) {
		for range 8 {
			unit := acknowledged{began: counter.Add(1)}
			_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				unit.now = tx.Now()
				return nil, appendTo(tx, "conv", func(d *draft) {
					d.say("message")
					unit.message = d.conversation().GetMessageCount()
				})
			})
			unit.ended = counter.Add(1)
			s.wantErr("Update", err, nil)
			mu.Lock()
			units = append(units, unit)
			mu.Unlock()
		}
	})
	slices.SortFunc(units, func(a, b acknowledged) int { return cmp.Compare(a.message, b.message) })
	for i, a := range units {
		for _, b := range units[i+1:] {
			if b.ended < a.began {
				s.Errorf("%+v was acknowledged before %+v began, and comes after it", b, a)
			}
			if !a.now.Before(b.now) {
				s.Errorf("%+v comes before %+v, but not by its time", a, b)
			}
		}
	}
}

// readersSeeWholeUnits reads while units that each add a message, a note and a resolution are written: whatever was read,
// what it refers to is there, and nothing goes back.
func readersSeeWholeUnits(s *subject) {
	const units = 30
	var writing atomic.Bool
	writing.Store(true)
	s.write("w", "conv", func(*draft) {})
	together(3, func(i int) {
		if i == 0 {
			defer writing.Store(false)
			for range units {
				_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					return nil, appendTo(tx, "conv", func(d *draft) { d.say("message"); d.note("note"); d.propose("done") })
				})
				s.wantErr("Update", err, nil)
			}
			return
		}
		for last := int32(0); writing.Load() && !s.Failed(); {
			last = s.wantWhole(last)
		}
	})
	if last := s.wantWhole(0); last != units {
		s.Errorf("got %d messages, want %d", last, units)
	}
}

// wantWhole reads a conversation to which units each add one of everything, and returns how many it saw. Each read must
// see at least what the one before it saw.
func (s *subject) wantWhole(last int32) int32 {
	s.Helper()
	newest := store.Range{Limit: 1, Descending: true}
	heads, _, err1 := s.store().List(s.ctx, "w", store.Query{}, nil, all)
	head, err2 := s.store().Conversation(s.ctx, "w", "conv")
	messages, err3 := s.store().Messages(s.ctx, "w", "conv", newest)
	notes, err4 := s.store().Notes(s.ctx, "w", "conv", newest)
	resolutions, err5 := s.store().Resolutions(s.ctx, "w", "conv", newest)
	feed, err6 := s.store().Feed(s.ctx, "w", int64(last), all)
	events, err7 := eventsOf(s.ctx, s.store(), "w", "conv", last, all)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil || len(heads) != 1 || len(feed) == 0 || len(events) == 0 {
		s.Errorf("beside writes: got %v, %d heads, %d feed entries, %d events", err, len(heads), len(feed), len(events))
		return last
	}
	counts := []int32{last}
	for _, c := range []*goodshipv1.Conversation{heads[0].GetConversation(), head.GetConversation()} {
		if c.GetNoteCount() != c.GetMessageCount() || c.GetResolutionCount() != c.GetMessageCount() || c.GetRevision() != 3*c.GetMessageCount()+1 {
			s.Errorf("a head shows a part of a unit: %v", c)
		}
		counts = append(counts, c.GetMessageCount())
	}
	counts = append(counts, number(messages), number(notes), number(resolutions), int32(feed[len(feed)-1].Position)-1, (events[len(events)-1].GetRevision()-1)/3)
	if !slices.IsSorted(counts) {
		s.Errorf("a read saw less than the one before it: counts %v", counts)
	}
	return counts[len(counts)-1]
}

// number returns the number of the only one, or 0 if there is none.
func number[M interface{ GetNumber() int32 }](newest []M) int32 {
	if len(newest) == 0 {
		return 0
	}
	return newest[0].GetNumber()
}

// clockOnlyGoesOn jumps the injected clock in both directions, within one life of the store and across lives.
func clockOnlyGoesOn(s *subject) {
	var last time.Time
	jumpedBack := false
	unit := func(after string) {
		s.Helper()
		var now time.Time
		s.do("w", func(tx store.Tx) error {
			now = tx.Now()
			if now.Location() != time.UTC || !now.Equal(now.Truncate(time.Microsecond)) || !now.Equal(tx.Now()) {
				return fmt.Errorf("after %s: got times %v and %v, want the same, in UTC, in whole microseconds", after, now, tx.Now())
			}
			return appendTo(tx, "conv", func(d *draft) { d.say("message") })
		})
		switch clock := s.harness.Clock.Now().Truncate(time.Microsecond); {
		case !now.After(last):
			s.Errorf("after %s: got time %v, want one after %v", after, now, last)
		case now.Before(clock):
			s.Errorf("after %s: got time %v, want none before the clock's, %v", after, now, clock)
		case !jumpedBack && clock.After(last) && !now.Equal(clock):
			s.Errorf("after %s: got time %v, want the clock's, %v", after, now, clock)
		}
		last = now
	}
	unit("the start")
	for _, jump := range []time.Duration{0, 1, 1001, time.Hour, -time.Hour, -time.Hour, 3 * time.Hour, -3 * time.Hour} {
		for _, life := range []struct {
			name    string
			restart func()
		}{{"", func() {}}, {" and Reopen", s.reopen}, {" and Crash", s.crash}} {
			s.harness.Clock.Jump(jump)
			jumpedBack = jumpedBack || jump < 0
			life.restart()
			unit(fmt.Sprintf("a jump of %v%s", jump, life.name))
			unit(fmt.Sprintf("a jump of %v%s, again", jump, life.name))
		}
	}
}
