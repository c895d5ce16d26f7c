package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/goodship/goodship/server/store"
)

// A feed is pruned from its beginning, and goes on where it was; the logs stay.

// afterAll is a time after whatever a test writes.
var afterAll = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// prune drops at most so many entries from before a time, and fails the test unless it drops as many as wanted.
func (s *subject) prune(before time.Time, limit, want int) {
	s.Helper()
	if got, err := s.store().PruneFeed(s.ctx, before, limit); err != nil || got != want {
		s.Errorf("PruneFeed before %v, at most %d: got %d, %v, want %d", before, limit, got, err, want)
	}
}

// wantEnds fails the test unless a feed is kept between two positions, and works after each, and after no other.
func (s *subject) wantEnds(workspace string, oldest, newest int64) {
	s.Helper()
	got, err := feedEnds(s.ctx, s.store(), workspace)
	if err != nil || got != (ends{oldest, newest}) {
		s.Errorf("FeedEnds of %q: got %v, %v, want %d to %d", workspace, got, err, oldest, newest)
	}
	for after := int64(0); after <= newest+2; after++ {
		feed, err := s.store().Feed(s.ctx, workspace, after, all)
		if after < oldest || after > newest {
			if !errors.Is(err, store.ErrFeedPruned) {
				s.Errorf("Feed of %q after %d: got %d entries, %v, want ErrFeedPruned", workspace, after, len(feed), err)
			}
			continue
		}
		var want []int64
		for position := after + 1; position <= newest; position++ {
			want = append(want, position)
		}
		if err != nil || !slices.Equal(positions(feed), want) {
			s.Errorf("Feed of %q after %d: got positions %d, %v, want %d", workspace, after, positions(feed), err, want)
		}
	}
}

func positions(feed []store.FeedEntry) []int64 {
	var all []int64
	for _, entry := range feed {
		all = append(all, entry.Position)
	}
	return all
}

// writeMany appends to conversations of a workspace, a minute apart, and returns when.
func (s *subject) writeMany(workspace string, times int) []time.Time {
	s.Helper()
	written := make([]time.Time, times)
	for i := range written {
		s.harness.Clock.Jump(time.Minute)
		s.do(workspace, func(tx store.Tx) error {
			written[i] = tx.Now()
			return appendTo(tx, []string{"conv_1", "conv_2", "conv_1"}[i%3], func(d *draft) { d.say("message"); d.note("note") })
		})
	}
	return written
}

// prunedFeedGoesOn prunes a part and then all, restarts after each, and writes on.
func prunedFeedGoesOn(s *subject) {
	s.wantEnds("w", 0, 0)
	s.prune(afterAll, all, 0)
	s.writeMany("w", 7)
	s.writeMany("w2", 2)
	before := s.image()
	s.wantEnds("w", 0, 7)
	for _, step := range []struct{ limit, dropped, oldest, oldest2 int }{{0, 0, 0, 0}, {-1, 0, 0, 0}, {3, 3, 3, 0}, {5, 5, 7, 1}, {5, 1, 7, 2}, {5, 0, 7, 2}} {
		s.prune(afterAll, step.limit, step.dropped)
		for _, restart := range []func(){func() {}, s.reopen, s.crash} {
			restart()
			s.wantEnds("w", int64(step.oldest), 7)
			s.wantEnds("w2", int64(step.oldest2), 2)
			s.sound(before)
		}
	}
	s.wantEnds("nobody's", 0, 0)
	records, err := s.store().Records(s.ctx, "w", "conv_1", 0, all)
	of, errOf := s.store().FeedOf(s.ctx, "w", []string{defaultCustomer}, 0, all)
	if err != nil || errOf != nil || len(records) != 5 || len(of) != 7 {
		s.Errorf("after the feed was pruned: got %d records, %v, and %d entries of the customer, %v, want 5 and 7", len(records), err, len(of), errOf)
	}
	s.writeMany("w", 3)
	s.wantEnds("w", 7, 10)
	s.prune(afterAll, 1, 1)
	s.wantEnds("w", 8, 10)
}

// pruningGoesByTime prunes before each moment: what is from then stays.
func pruningGoesByTime(s *subject) {
	written := s.writeMany("w", 9)
	written2 := s.writeMany("w2", 4)
	s.prune(written[0].Add(-time.Hour), all, 0)
	s.prune(written[0], all, 0)
	s.prune(written[2], all, 2)
	s.prune(written[3].Add(time.Microsecond), all, 2)
	s.wantEnds("w", 4, 9)
	s.wantEnds("w2", 0, 4)
	s.prune(written2[1], all, 6)
	s.wantEnds("w", 9, 9)
	s.wantEnds("w2", 1, 4)
	// An entry is as old as its newest event.
	s.do("w", func(tx store.Tx) error {
		return appendTo(tx, "conv_1", func(d *draft) {
			now := d.now
			d.now = now.Add(-time.Hour)
			d.say("an hour ago")
			d.now = now
			d.note("now")
		})
	})
	s.prune(written2[1], all, 0)
	s.wantEnds("w", 9, 10)
}

// pruningFails fails a unit that prunes: the feed is as it was, or pruned.
func pruningFails(s *subject) {
	if s.harness.Fail == nil {
		s.Skip("the engine has no points to fail at")
	}
	s.writeMany("w", 5)
	for oldest, point := range []Point{BeforeApply, BeforeCommit, AfterCommit} {
		s.harness.Fail(point)
		_, err := s.store().PruneFeed(s.ctx, afterAll, 1)
		s.wantErr("PruneFeed that fails "+string(point), err, store.ErrUnavailable)
		s.recover()
		if point == AfterCommit {
			oldest++
		}
		s.wantEnds("w", int64(oldest), 5)
		if point != AfterCommit {
			s.prune(afterAll, 1, 1)
		}
	}
	s.writeMany("w", 1)
	s.wantEnds("w", 3, 6)
}

// prunedIsBackedUp backs up feeds of which one was pruned, and all. What is restored goes on from there.
func prunedIsBackedUp(s *subject) {
	s.writeMany("w", 8)
	s.writeMany("w2", 4)
	for _, limit := range []int{3, 9} {
		s.prune(afterAll, limit, limit)
		restored, err := restore(s.ctx, s.store(), s.harness.Clock)
		s.wantErr("backup and restore", err, nil)
		s.wantRestored(restored)
		want, err := feedEnds(s.ctx, s.store(), "w")
		s.wantErr("FeedEnds", err, nil)
		_, err = restored.Update(s.ctx, "w", store.Once{}, say("conv_1"))
		s.wantErr("Update of what was restored", err, nil)
		if got, err := feedEnds(s.ctx, restored, "w"); err != nil || got != (ends{want.oldest, want.newest + 1}) {
			s.Errorf("the feed goes on in what was restored as %v, %v, after %v", got, err, want)
		}
	}
}

// wantRestored fails the test unless another store reads as the one under test.
func (s *subject) wantRestored(restored store.Store) {
	s.Helper()
	got, err := scan(s.ctx, restored, s.workspaces, someQueries)
	s.wantErr("full scan of what was restored", err, nil)
	if diff := s.image().diff(got); diff != "" {
		s.Errorf("what was restored differs (- store, + restored):\n%s", diff)
	}
}
