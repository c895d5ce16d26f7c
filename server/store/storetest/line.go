package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
)

// The line is first come first served (invariant 10).

// wantOldest returns an error unless OldestWaiting gives an id.
func wantOldest(tx store.Tx, when, want string) error {
	if got, err := tx.OldestWaiting(); err != nil || got != want {
		return errors.Join(err, fmt.Errorf("OldestWaiting %s: got %q, want %q", when, got, want))
	}
	return nil
}

// oldestWaitingSeesEverything changes the line step by step, several steps to a unit and then one, and asks after each.
func oldestWaitingSeesEverything(s *subject) {
	at := func(n int) time.Time { return faketime.New().Now().Add(time.Duration(n) * time.Second) }
	steps := []struct {
		what string
		id   string
		edit func(*draft)
		want string
	}{
		{"after the first", "conv_2", func(d *draft) { d.wait(at(5)) }, "conv_2"},
		{"after a later one", "conv_1", func(d *draft) { d.wait(at(6)) }, "conv_2"},
		{"after an earlier one", "conv_3", func(d *draft) { d.wait(at(4)) }, "conv_3"},
		{"after one at the same time with a smaller id", "conv_0", func(d *draft) { d.wait(at(4)) }, "conv_0"},
		{"after one at the same time with a greater id", "conv_4", func(d *draft) { d.wait(at(4)) }, "conv_0"},
		{"after the first was claimed", "conv_0", func(d *draft) { d.own("agent_1") }, "conv_3"},
		{"after the next was answered", "conv_3", func(d *draft) { d.answer() }, "conv_4"},
		{"after the next was resolved", "conv_4", func(d *draft) { d.resolve(goodshipv1.Outcome_OUTCOME_CONFIRMED) }, "conv_2"},
		{"after the next waits anew", "conv_2", func(d *draft) { d.wait(at(7)) }, "conv_1"},
		{"after the first was released", "conv_0", func(d *draft) { d.own("") }, "conv_0"},
		{"after one came back ahead of it", "conv_3", func(d *draft) { d.wait(at(1)) }, "conv_3"},
		{"after something that changes nothing", "conv_3", func(d *draft) { d.note("note") }, "conv_3"},
	}
	s.do("one unit", func(tx store.Tx) error {
		if err := wantOldest(tx, "before all", ""); err != nil {
			return err
		}
		for _, step := range steps {
			if err := appendTo(tx, step.id, step.edit); err != nil {
				return err
			}
			if err := wantOldest(tx, step.what, step.want); err != nil {
				return err
			}
		}
		return nil
	})
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		s.do("one unit", func(tx store.Tx) error { return wantOldest(tx, "in the next unit", "conv_3") })
	}
	for _, step := range steps {
		s.write("many units", step.id, step.edit)
		s.do("many units", func(tx store.Tx) error { return wantOldest(tx, step.what, step.want) })
	}
}

// linesCountWhoWaits changes the lines of two workspaces and asks after each change.
func linesCountWhoWaits(s *subject) {
	at := func(n int) time.Time { return faketime.New().Now().Add(time.Duration(n) * time.Second) }
	line := func(workspace string, length int, oldest time.Time) store.Line {
		return store.Line{Workspace: workspace, Length: length, Oldest: oldest}
	}
	steps := []struct {
		what, workspace, id string
		edit                func(*draft)
		want                []store.Line
	}{
		{"after the first", "w2", "conv_1", func(d *draft) { d.wait(at(5)) }, []store.Line{line("w2", 1, at(5))}},
		{"after another workspace's", "w1", "conv_1", func(d *draft) { d.wait(at(7)) }, []store.Line{line("w1", 1, at(7)), line("w2", 1, at(5))}},
		{"after an earlier one", "w1", "conv_2", func(d *draft) { d.wait(at(4)) }, []store.Line{line("w1", 2, at(4)), line("w2", 1, at(5))}},
		{"after it was claimed", "w1", "conv_2", func(d *draft) { d.own("agent_1") }, []store.Line{line("w1", 2, at(4)), line("w2", 1, at(5))}},
		{"after it was answered", "w1", "conv_2", func(d *draft) { d.answer() }, []store.Line{line("w1", 1, at(7)), line("w2", 1, at(5))}},
		{"after the other was resolved", "w1", "conv_1", func(d *draft) { d.resolve(goodshipv1.Outcome_OUTCOME_CONFIRMED) }, []store.Line{line("w2", 1, at(5))}},
	}
	want := func(when string, want []store.Line) {
		if got, err := s.store().Lines(s.ctx); err != nil || !slices.Equal(got, want) {
			s.Errorf("Lines %s: got %v, %v, want %v", when, got, err, want)
		}
	}
	want("before all", nil)
	for _, step := range steps {
		s.write(step.workspace, step.id, step.edit)
		want(step.what, step.want)
	}
	s.reopen()
	want("after a reopening", steps[len(steps)-1].want)
}

// placesCountWhoIsAhead changes conversations in many ways and asks for the place of each: it is that in the line.
func placesCountWhoIsAhead(s *subject) {
	pick := choose(rand.New(rand.NewPCG(7, 8)).IntN)
	ids := []string{"conv_0", "conv_1", "conv_2", "conv_3", "conv_4", "conv_5", "conv_6", "conv_7", "conv_8"}
	for range 30 {
		for _, w := range []string{"w", "v", "x"} {
			s.write(w, one(pick, ids), func(d *draft) { d.shuffle(pick) })
		}
		line, err := walk(s.ctx, s.store(), "w", store.Query{Order: store.ByLine}, all, nil)
		s.wantErr("List", err, nil)
		for _, id := range ids {
			want := slices.IndexFunc(line, func(h *storev1.Head) bool { return h.GetConversation().GetId() == id }) + 1
			_, missing := s.store().Conversation(s.ctx, "w", id)
			if got, err := s.store().Place(s.ctx, "w", id); got != want || (err == nil) != (missing == nil) {
				s.Errorf("Place of %s: got %d, %v, want %d", id, got, err, want)
			}
		}
	}
	_, err := s.store().Place(s.ctx, "w", "nobody's")
	s.wantErr("Place of a conversation that is missing", err, store.ErrNotFound)
	_, err = s.store().Place(s.ctx, "nobody's", "conv_1")
	s.wantErr("Place in a workspace that nobody wrote to", err, store.ErrNotFound)
}

// newestUnresolvedSeesEverything does the same for a customer's conversations. Their ids and creations disagree, as they
// may when the clock that made the ids jumped.
func newestUnresolvedSeesEverything(s *subject) {
	want := func(tx store.Tx, when string, wanted map[string]string) error {
		for key, id := range wanted {
			if got, err := tx.NewestUnresolved(key); err != nil || got != id {
				return errors.Join(err, fmt.Errorf("NewestUnresolved(%q) %s: got %q, want %q", key, when, got, id))
			}
		}
		return nil
	}
	create := func(id, key string) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.Append(begin(id, key, tx.Now()).change()) }
	}
	change := func(id string, edit func(*draft)) func(store.Tx) error {
		return func(tx store.Tx) error { return appendTo(tx, id, edit) }
	}
	resolve := func(d *draft) { d.resolve(goodshipv1.Outcome_OUTCOME_ASSUMED) }
	steps := []struct {
		what   string
		change func(store.Tx) error
		want   map[string]string
	}{
		{"before all", func(store.Tx) error { return nil }, map[string]string{"key": "", "key2": ""}},
		{"after the first", create("conv_5", "key"), map[string]string{"key": "conv_5", "key2": "", "ke": ""}},
		{"after a newer one with a smaller id", create("conv_3", "key"), map[string]string{"key": "conv_3", "key2": ""}},
		{"after another customer's", create("conv_9", "key2"), map[string]string{"key": "conv_3", "key2": "conv_9", "": ""}},
		{"after the newest was resolved", change("conv_3", resolve), map[string]string{"key": "conv_5", "key2": "conv_9"}},
		{"after a newer one that is answered", create("conv_4", "key"), map[string]string{"key": "conv_4"}},
		{"after it was answered", change("conv_4", (*draft).answer), map[string]string{"key": "conv_4"}},
		{"after an older one moved", change("conv_5", func(d *draft) { d.say("message") }), map[string]string{"key": "conv_4"}},
		{"after the resolved one came back", change("conv_3", func(d *draft) { d.wait(d.now) }), map[string]string{"key": "conv_4"}},
		{"after the newest was resolved too", change("conv_4", resolve), map[string]string{"key": "conv_3"}},
		{"after all were resolved", func(tx store.Tx) error {
			return errors.Join(appendTo(tx, "conv_5", resolve), appendTo(tx, "conv_3", resolve))
		}, map[string]string{"key": "", "key2": "conv_9"}},
	}
	for _, step := range steps {
		s.do("many units", step.change)
		s.do("many units", func(tx store.Tx) error { return want(tx, step.what, step.want) })
	}
	s.reopen()
	s.do("many units", func(tx store.Tx) error {
		return want(tx, "after Reopen", map[string]string{"key": "", "key2": "conv_9"})
	})
	// In one unit all creations have one time; so the order is that of the ids.
	s.do("one unit", func(tx store.Tx) error {
		err := errors.Join(create("conv_1", "key")(tx), create("conv_3", "key")(tx), create("conv_2", "key")(tx))
		return errors.Join(err, want(tx, "in its unit", map[string]string{"key": "conv_3"}))
	})
}

// twoTabsMakeOneConversation has a customer's calls race to go on in an open conversation, or else to begin one.
func twoTabsMakeOneConversation(s *subject) {
	for _, key := range []string{"key_1", "key_2", "key_10"} {
		together(8, func(i int) {
			_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				id, err := tx.NewestUnresolved(key)
				if err != nil {
					return nil, err
				}
				if id != "" {
					return nil, appendTo(tx, id, func(d *draft) { d.say("message") })
				}
				d := begin(fmt.Sprintf("%s_%d", key, i), key, tx.Now())
				d.say("message")
				return nil, tx.Append(d.change())
			})
			s.wantErr("Update", err, nil)
		})
		heads, err := walk(s.ctx, s.store(), "w", store.Query{CustomerKeys: []string{key}}, all, nil)
		if err != nil || len(heads) != 1 || heads[0].GetConversation().GetMessageCount() != 8 {
			s.Errorf("8 calls of customer %q: got %v, %v, want one conversation with their messages", key, heads, err)
		}
	}
}

// claim is what a claim took, with its line time, and when it began by the counter that all callers share.
type claim struct {
	id    string
	line  time.Time
	began int64
}

// claimNext takes the oldest waiting conversation; the claim of an empty line has no id.
func claimNext(s *subject, counter *atomic.Int64) claim {
	taken := claim{began: counter.Add(1)}
	_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		id, err := tx.OldestWaiting()
		if taken.id = id; err != nil || id == "" {
			return nil, err
		}
		return nil, appendTo(tx, id, func(d *draft) {
			if owner := d.conversation().GetOwnerId(); owner != "" {
				s.Errorf("OldestWaiting gave %s, which %s owns", id, owner)
			}
			taken.line = d.conversation().GetLineTime().AsTime()
			d.own("agent_1")
		})
	})
	s.wantErr("claim", err, nil)
	return taken
}

// claimsAreFirstComeFirstServed lets callers claim while others arrive. Nobody is taken twice, and a claim takes nobody
// while somebody waits who arrived earlier and was there before the claim began.
func claimsAreFirstComeFirstServed(s *subject) {
	const callers, each = 4, 12
	var counter atomic.Int64
	var mu sync.Mutex
	var claims []claim
	arrived := make(map[string]int64) // when the arrival was acknowledged
	together(2*callers, func(i int) {
		for j := range each {
			if i%2 == 0 {
				id := fmt.Sprintf("conv_%02d_%02d", i, j)
				_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					return nil, appendTo(tx, id, func(d *draft) { d.say("message") })
				})
				s.wantErr("arrive", err, nil)
				mu.Lock()
				arrived[id] = counter.Add(1)
				mu.Unlock()
				continue
			}
			c := claimNext(s, &counter)
			mu.Lock()
			claims = append(claims, c)
			mu.Unlock()
		}
	})
	for range callers * each {
		claims = append(claims, claimNext(s, &counter))
	}
	claims = slices.DeleteFunc(claims, func(c claim) bool { return c.id == "" })
	wantEachOnceInOrder(s, claims, arrived)
}

// wantEachOnceInOrder checks the history of claims. The claims' own order is that of their units.
func wantEachOnceInOrder(s *subject, claims []claim, arrived map[string]int64) {
	s.Helper()
	order := make(map[string]int) // of the claims, by the feed
	feed, err := s.store().Feed(s.ctx, "w", 0, all)
	s.wantErr("Feed", err, nil)
	for i, entry := range feed {
		order[entry.ConversationID] = i // the claim is the last entry of each
	}
	taken := make(map[string]int)
	for _, c := range claims {
		taken[c.id]++
	}
	for id := range arrived {
		if taken[id] != 1 {
			s.Errorf("%s was taken %d times", id, taken[id])
		}
	}
	for _, a := range claims {
		for _, b := range claims {
			if order[a.id] < order[b.id] && b.line.Before(a.line) && arrived[b.id] < a.began {
				s.Errorf("%+v was taken before %+v, who had waited longer", a, b)
			}
		}
	}
}
