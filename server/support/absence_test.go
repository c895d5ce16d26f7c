package support_test

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/types/known/durationpb"
)

// countedClock counts how often somebody waits for it.
type countedClock struct {
	*faketime.Clock
	timers atomic.Int64
}

func (c *countedClock) Timer(d time.Duration) (<-chan time.Time, func()) {
	c.timers.Add(1)
	return c.Clock.Timer(d)
}

// quiet is a world in which time acts by itself, and everybody has done what there was to do after each jump of the clock.
type quiet struct {
	*timed
	store *troubled
	clock *countedClock
	log   *journal
}

// inQuiet runs a test in a quiet world.
func inQuiet(t *testing.T, test func(t *testing.T, w *quiet)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock, s, log := &countedClock{Clock: faketime.New()}, &troubled{}, &journal{}
		s.Store = openStore(t, clock.Now)
		w := &quiet{timed: &timed{how: support.Options{Clock: clock, Log: slog.New(slog.NewTextHandler(log, nil))}}, store: s, clock: clock, log: log}
		w.world = foundWorld(t, clock.Clock, s)
		w.starts()
		test(t, w)
	})
}

func (w *quiet) passes(d time.Duration) {
	synctest.Wait()
	w.clock.Jump(d)
	synctest.Wait()
}

// owner returns who owns a conversation, once all is done.
func (w *quiet) owner(id string) string {
	w.t.Helper()
	synctest.Wait()
	return w.head(id).Conversation.OwnerId
}

// TestTimeSleepsWhileNothingIsDue counts units, and how often the server wakes, while days pass in which nothing is due: people
// wait whose promise is broken, and agents come and go who own nothing.
func TestTimeSleepsWhileNothingIsDue(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		solved := w.opens(kim, "Hello?")
		w.proposes(ada, solved)
		w.confirms(kim, solved)
		waits := w.opens(lou, "Hello?")
		w.passes(time.Hour)
		equal(t, "promises broken", first(w.count(waits, "promise_broken")), 1)
		sleeps := func(when string, hours int) {
			t.Helper()
			synctest.Wait()
			units, timers := w.store.units.Load(), w.clock.timers.Load()
			for range hours {
				w.passes(time.Hour)
				w.by(ben) // who is seen, and is away within the hour
			}
			equal(t, "units "+when, w.store.units.Load()-units, 0)
			equal(t, "timers set "+when, w.clock.timers.Load()-timers, 0)
		}
		sleeps("in a week", 7*24)
		w.passes(24 * time.Hour) // over the pruning of the feed
		w.passes(time.Hour)
		equal(t, "entries of the feed that are kept", w.feedLength(), 0)
		sleeps("in the month after", 30*24)
		w.notes(ada, solved, "A fan of ships.") // nothing falls due by it
		sleeps("in the week after", 7*24)
		equal(t, "entries of the feed that are kept", w.feedLength(), 1)
		w.passes(25 * time.Hour)
		equal(t, "entries of the feed that are kept", w.feedLength(), 0)
	})
}

// feedLength returns how many entries of the feed are kept.
func (w *quiet) feedLength() int64 {
	w.t.Helper()
	oldest, newest, err := w.store.FeedEnds(w.t.Context(), w.workspace)
	equal(w.t, "error", err, nil)
	return newest - oldest
}

// TestTimeWaitsForNothingThatIsOff has what was due be taken back: nobody is woken for it.
func TestTimeWaitsForNothingThatIsOff(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		id := w.opens(kim, "Hello?")
		w.confirms(kim, id)
		synctest.Wait()
		timers := w.clock.timers.Load()
		w.passes(24 * time.Hour)
		equal(t, "timers set", w.clock.timers.Load()-timers, 0)
	})
}

// TestTheFeedIsPruned keeps 8 days of it, and drops what is older within an hour.
func TestTheFeedIsPruned(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		oldest := func() int64 {
			t.Helper()
			oldest, _, err := w.store.FeedEnds(t.Context(), w.workspace)
			equal(t, "error", err, nil)
			return oldest
		}
		ends := w.opens(kim, "Hello?")
		w.confirms(kim, ends)
		w.passes(24 * time.Hour)
		later := w.opens(lou, "Hello?")
		w.confirms(lou, later)
		w.passes(7*24*time.Hour - time.Second)
		equal(t, "pruned before 8 days", oldest(), 0)
		w.passes(time.Hour)
		equal(t, "pruned after 8 days", oldest(), 2)
		w.passes(23*time.Hour - time.Minute)
		equal(t, "pruned while the rest is younger", oldest(), 2)
		w.passes(time.Hour + time.Minute)
		equal(t, "pruned after another day", oldest(), 4)
	})
}

func TestOwnersGoAwayByThemselves(t *testing.T) {
	t.Run("a_call_keeps_them", func(t *testing.T) {
		inQuiet(t, func(t *testing.T, w *quiet) {
			id := w.opens(kim, "Hello?")
			w.claims(ada, id)
			w.passes(90 * time.Second)
			w.by(ada)
			w.passes(2*time.Minute - time.Microsecond)
			equal(t, "owner before away_after", w.owner(id), "ada")
			w.passes(time.Microsecond)
			equal(t, "owner at away_after", w.owner(id), "")
			w.by(ada)
			equal(t, "claimed again", w.claims(ada, id).OwnerId, "ada")
			w.passes(2 * time.Minute)
			equal(t, "owner when they left again", w.owner(id), "")
		})
	})
	t.Run("they_say_so", func(t *testing.T) {
		inQuiet(t, func(t *testing.T, w *quiet) {
			id := w.opens(kim, "Hello?")
			w.claims(ada, id)
			w.avails(ada, available, time.Hour)
			w.passes(30 * time.Minute)
			equal(t, "owner who said to be there", w.owner(id), "ada")
			w.avails(ada, away)
			equal(t, "owner who said to be away", w.owner(id), "")
		})
	})
	t.Run("away_after_changes", func(t *testing.T) {
		inQuiet(t, func(t *testing.T, w *quiet) {
			id := w.opens(kim, "Hello?")
			w.claims(ada, id)
			w.passes(time.Minute)
			w.updates(&goodshipv1.Workspace{AwayAfter: durationpb.New(10 * time.Minute)}, "away_after")
			w.passes(2 * time.Minute)
			equal(t, "owner under a longer away_after", w.owner(id), "ada")
			w.updates(&goodshipv1.Workspace{AwayAfter: durationpb.New(3*time.Minute + time.Second)}, "away_after")
			w.passes(time.Second)
			equal(t, "owner under a shorter away_after", w.owner(id), "")
		})
	})
	t.Run("a_stream_holds_them", func(t *testing.T) {
		inQuiet(t, func(t *testing.T, w *quiet) {
			id := w.opens(kim, "Hello?")
			w.claims(ada, id)
			s := w.sits(ada, &goodshipv1.WatchDeskRequest{})
			s.begins()
			go func() {
				for s.ctx.Err() == nil {
					select {
					case <-s.frames:
					case <-s.ctx.Done():
					}
				}
			}()
			w.passes(8 * time.Minute)
			equal(t, "owner who watches", w.owner(id), "ada")
			s.leave()
			w.passes(2*time.Minute - time.Microsecond)
			equal(t, "owner just after the stream", w.owner(id), "ada")
			w.passes(time.Microsecond)
			equal(t, "owner after the stream", w.owner(id), "")
		})
	})
	t.Run("a_customer_writes_to_them", func(t *testing.T) {
		inQuiet(t, func(t *testing.T, w *quiet) {
			id := w.opens(kim, "Hello?")
			w.says(ada, id, "Hello.")
			w.passes(time.Hour)
			equal(t, "owner away where nobody waits", w.owner(id), "ada")
			w.says(kim, id, "It skips.")
			equal(t, "owner away to whom the customer wrote", w.owner(id), "")
		})
	})
	t.Run("they_are_disabled", func(t *testing.T) {
		inQuiet(t, func(t *testing.T, w *quiet) {
			id := w.opens(kim, "Hello?")
			w.claims(ada, id)
			w.disables(ada)
			equal(t, "owner disabled", w.owner(id), "")
			equal(t, "releases", first(w.count(id, "released")), 1)
		})
	})
	t.Run("the_server_starts_again", func(t *testing.T) {
		inQuiet(t, func(t *testing.T, w *quiet) {
			id := w.opens(kim, "Hello?")
			w.claims(ada, id)
			w.passes(time.Minute)
			w.Close()
			svc, err := support.New(w.store, w.how)
			equal(t, "error", err, nil)
			w.Service = svc
			t.Cleanup(svc.Close)
			w.passes(10 * time.Minute) // until it starts: promises break meanwhile
			slow := func() { w.clock.Jump(time.Minute) }
			w.store.slow.Store(&slow)
			equal(t, "error", svc.Start(t.Context()), nil)
			w.store.slow.Store(nil)
			equal(t, "promises broken", first(w.count(id, "promise_broken")), 1)
			w.passes(2*time.Minute - time.Microsecond)
			equal(t, "owner within away_after of the start", w.owner(id), "ada")
			w.passes(time.Microsecond)
			equal(t, "owner later", w.owner(id), "")
		})
	})
}
