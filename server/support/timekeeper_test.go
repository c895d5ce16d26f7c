package support_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
)

// timed is a world in which time acts by itself.
type timed struct {
	*world
	dir string
	// changed tells of each commit.
	changed chan struct{}
	how     support.Options
}

// newTimed returns a world that has started.
func newTimed(t testing.TB) *timed {
	t.Helper()
	clock, dir := faketime.New(), t.TempDir()
	w := &timed{dir: dir, how: support.Options{Clock: clock, Log: slog.New(slog.DiscardHandler)}}
	w.world = foundWorld(t, clock, rehearsed{openStoreIn(t, dir, clock.Now)})
	w.starts()
	return w
}

// starts begins a new life of the service, in which time acts, until the test ends.
func (w *timed) starts() {
	w.t.Helper()
	w.Close()
	w.hears()
	svc, err := support.New(w.store, w.how)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(svc.Close)
	if err := svc.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.Service = svc
}

// hears has changed tell of the commits of the store.
func (w *timed) hears() {
	changed := make(chan struct{}, 1)
	w.changed = changed
	w.t.Cleanup(w.store.Notify(func(store.Hint) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}))
}

// killed begins a new life over the file as it is, as after a kill -9, when the clock has jumped: nobody closed anything.
func (w *timed) killed(jump time.Duration) {
	w.t.Helper()
	dir := w.t.TempDir()
	from, err := os.Open(filepath.Join(w.dir, "goodship.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(filepath.Join(dir, "goodship.db"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		w.t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.Close()
	w.clock.Jump(jump)
	w.dir, w.store = dir, rehearsed{openStoreIn(w.t, dir, w.clock.Now)}
	w.starts()
}

// until returns when something holds; it is asked after every commit.
func (w *timed) until(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for !holds() {
		select {
		case <-w.changed:
		case <-ctx.Done():
			w.t.Fatalf("%s: it never came", what)
		}
	}
}

// sleepsUntil returns when somebody waits for an instant.
func (w *timed) sleepsUntil(at time.Time) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := w.clock.Await(ctx, at); err != nil {
		w.t.Fatalf("nobody waits for %v, %v from now", at, at.Sub(w.clock.Now()))
	}
}

// due returns when time next does something to a conversation by what its head says.
func (w *timed) due(id string) time.Time {
	w.t.Helper()
	return w.head(id).DueTime.AsTime()
}

// count returns how many events of a kind a conversation has, and when the last of them was.
func (w *timed) count(id, kind string) (n int, last time.Time) {
	w.t.Helper()
	for _, e := range w.log(id) {
		m := e.ProtoReflect()
		if string(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")).Name()) == kind {
			n, last = n+1, e.CreateTime.AsTime()
		}
	}
	return n, last
}

// comes moves the clock to an instant for which somebody waits, and waits for an event.
func (w *timed) comes(at time.Time, id, kind string) {
	w.t.Helper()
	before, _ := w.count(id, kind)
	w.sleepsUntil(at)
	w.clock.Jump(at.Sub(w.clock.Now()))
	w.until(kind, func() bool { n, _ := w.count(id, kind); return n > before })
}

// looks lets a customer read all that there is.
func (w *timed) looks(p person, id string) {
	w.t.Helper()
	do[*goodshipv1.ReadMark](w.world, p, &goodshipv1.MarkReadRequest{ConversationId: id, Number: w.head(id).Conversation.MessageCount})
}

// timer is something that time does: how it comes to that, when it is due, and the event that it makes.
type timer struct {
	name  string
	given func(w *timed) (id string, due time.Time)
	kind  string
	// presence says that it is due by somebody's absence, which does not outlive the server; lapses, that it is by a promise too.
	presence, lapses bool
}

var timers = []timer{
	{name: "AT_RISK", kind: "promise_at_risk", given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		return id, w.due(id)
	}},
	{name: "BROKEN", kind: "promise_broken", given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.comes(w.due(id), id, "promise_at_risk")
		return id, w.due(id)
	}},
	{name: "APOLOGIZE", kind: "message_sent", given: func(w *timed) (string, time.Time) {
		w.apologizes()
		id := w.opens(kim, "Hello?")
		w.comes(w.due(id), id, "promise_at_risk")
		return id, w.due(id)
	}},
	{name: "ASSUMED", kind: "resolved", given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.proposes(ada, id)
		w.looks(kim, id)
		return id, w.due(id)
	}},
	{name: "LAPSED", kind: "resolved", given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.says(ada, id, "Hello.")
		w.looks(kim, id)
		w.clock.Jump(13 * 24 * time.Hour) // over the pruning of the feed
		return id, w.due(id)
	}},
	{name: "UNSEEN", kind: "unseen", given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.says(ada, id, "Hello.")
		return id, w.due(id)
	}},
	{name: "owner_AWAY", kind: "released", presence: true, given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.claims(ada, id)
		return id, w.clock.Now().Add(2 * time.Minute)
	}},
	{name: "owner_AWAY_to_whom_the_customer_wrote", kind: "released", presence: true, given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.says(ada, id, "Hello.")
		left := w.clock.Now().Add(2 * time.Minute)
		w.clock.Jump(time.Minute)
		w.says(kim, id, "It skips.")
		return id, left
	}},
	{name: "receiver_AWAY", kind: "hand_over_lapsed", presence: true, lapses: true, given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.claims(ada, id)
		w.avails(ada, available, 8*time.Hour)
		w.offers(ada, id, ben)
		return id, w.clock.Now().Add(2 * time.Minute)
	}},
	{name: "receiver_AWAY_where_nobody_waits", kind: "hand_over_lapsed", presence: true, given: func(w *timed) (string, time.Time) {
		id := w.opens(kim, "Hello?")
		w.says(ada, id, "Hello.")
		w.looks(kim, id)
		w.offers(ada, id, ben)
		return id, w.clock.Now().Add(2 * time.Minute)
	}},
}

// apologizes makes the workspace one that apologizes for broken promises.
func (w *world) apologizes() {
	w.t.Helper()
	w.updates(&goodshipv1.Workspace{
		OnBroken:      goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE,
		ContactPoints: []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+49 30 1234567"}},
	}, "on_broken", "contact_points")
}

// TestTimers has each timer come: not before its instant, at it, and once.
func TestTimers(t *testing.T) {
	t.Parallel()
	for _, r := range timers {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newTimed(t)
			id, due := r.given(w)
			before, _ := w.count(id, r.kind)
			w.sleepsUntil(due)
			w.clock.Jump(due.Sub(w.clock.Now()) - time.Microsecond)
			w.sleepsUntil(due)
			n, _ := w.count(id, r.kind)
			equal(t, r.kind+" a microsecond before", n, before)
			w.comes(due, id, r.kind)
			w.firedOnce(id, r.kind, before+1, due)
		})
	}
}

// firedOnce fails unless there are so many events of a kind, the last at an instant, and no more follow in an hour.
func (w *timed) firedOnce(id, kind string, want int, at time.Time) {
	w.t.Helper()
	check := func() {
		w.t.Helper()
		n, last := w.count(id, kind)
		if kind == "message_sent" {
			equal(w.t, "apologies", w.apologies(id), 1)
		}
		equal(w.t, kind, n, want)
		equal(w.t, "time of "+kind, last, at)
	}
	check()
	for range 4 {
		w.clock.Jump(15 * time.Minute)
	}
	w.settles()
	check()
}

// settles returns when time has done what is due.
func (w *timed) settles() {
	w.t.Helper()
	w.until("rest", func() bool {
		due, err := w.store.NextDue(w.t.Context(), nil, 1)
		if err != nil {
			w.t.Fatal(err)
		}
		return len(due) == 0 || due[0].Time.After(w.store.Now())
	})
}

// apologies counts the messages by which the server said sorry.
func (w *timed) apologies(id string) int {
	w.t.Helper()
	n := 0
	for _, m := range do[*goodshipv1.ListMessagesResponse](w.world, kim, &goodshipv1.ListMessagesRequest{ConversationId: id}).Messages {
		if m.AutomaticReason == goodshipv1.AutomaticReason_AUTOMATIC_REASON_PROMISE_BROKEN {
			n++
			equal(w.t, "contact point of the apology", strings.HasSuffix(m.Text, "\n+49 30 1234567"), true)
		}
	}
	return n
}

// TestTimersAndClocksThatJump jumps an hour ahead over what is due, and an hour back before it.
func TestTimersAndClocksThatJump(t *testing.T) {
	t.Parallel()
	for _, r := range timers {
		t.Run(r.name+"/ahead", func(t *testing.T) {
			t.Parallel()
			w := newTimed(t)
			id, due := r.given(w)
			before, _ := w.count(id, r.kind)
			w.sleepsUntil(due)
			w.clock.Jump(due.Sub(w.clock.Now()) + time.Hour)
			w.until(r.kind, func() bool { n, _ := w.count(id, r.kind); return n > before })
			w.firedOnce(id, r.kind, before+1, due)
		})
		t.Run(r.name+"/back", func(t *testing.T) {
			t.Parallel()
			w := newTimed(t)
			id, due := r.given(w)
			before, _ := w.count(id, r.kind)
			w.sleepsUntil(due)
			w.clock.Jump(-time.Hour)
			w.says(lou, w.opens(lou, "Hello?"), "Is anybody there?") // a unit goes on from where time was
			w.clock.Jump(due.Sub(w.clock.Now()) - time.Microsecond)
			w.sleepsUntil(due)
			n, _ := w.count(id, r.kind)
			equal(t, r.kind+" a microsecond before", n, before)
			w.comes(due, id, r.kind)
			w.firedOnce(id, r.kind, before+1, due)
		})
	}
}

// TestTimersOutliveAKill kills the server before each due time: what fell due meanwhile is done, once and as of then, before
// the next one takes calls. Who is there is not known any more, so that absences count anew.
func TestTimersOutliveAKill(t *testing.T) {
	t.Parallel()
	for _, r := range timers {
		for name, jump := range map[string]time.Duration{"in_time": time.Minute, "late": time.Hour} {
			t.Run(r.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := newTimed(t)
				id, due := r.given(w)
				before, _ := w.count(id, r.kind)
				w.killed(jump)
				if r.presence {
					due = w.clock.Now().Add(2 * time.Minute)
				}
				if r.lapses && jump == time.Hour {
					_, due = w.count(id, "promise_broken")
				}
				if due.After(w.clock.Now()) {
					w.comes(due, id, r.kind)
				}
				w.firedOnce(id, r.kind, before+1, due)
			})
		}
	}
}

// TestTimersAndClocksSetWhileDown has the clock set an hour back, and ahead, while nobody serves.
func TestTimersAndClocksSetWhileDown(t *testing.T) {
	t.Parallel()
	for _, r := range timers {
		for name, jump := range map[string]time.Duration{"back": -time.Hour, "ahead": time.Hour} {
			t.Run(r.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := newTimed(t)
				id, due := r.given(w)
				before, _ := w.count(id, r.kind)
				w.killed(jump)
				if r.presence {
					due = w.store.Now().Add(2 * time.Minute)
				}
				if r.lapses && jump > 0 {
					_, due = w.count(id, "promise_broken")
				}
				ahead := w.store.Now().Sub(w.clock.Now()) // the store's time never goes back
				if due.After(w.store.Now()) {
					n, _ := w.count(id, r.kind)
					equal(t, r.kind+" early", n, before)
					w.comes(due.Add(-ahead), id, r.kind)
				}
				w.firedOnce(id, r.kind, before+1, due)
			})
		}
	}
}
