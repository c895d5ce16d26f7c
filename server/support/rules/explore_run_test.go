package rules_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestExplore explores the rules for one conversation, three people and a small clock, and fails if a state breaks a rule or is
// a dead end.
func TestExplore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		helpers []person
		acts    int
		unread  bool
		onBreak goodshipv1.OnBroken
	}{
		{"customer_agent_agent", []person{ada, ben}, 1, false, 0},
		{"customer_agent_leader", []person{ada, lea}, 2, false, 0},
		{"customer_who_writes_a_lot", []person{ada}, 4, false, 0},
		{"customer_who_looks_away", []person{ada}, 1, true, 0},
		{"customer_who_is_apologized_to", []person{ada}, 2, true, goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			x := newExploration(t, test.helpers, test.acts, test.unread)
			x.settings.OnBroken = test.onBreak
			x.run()
			x.checkEnds()
			t.Logf("%d states, %d transitions, of %d moves tried; %s", len(x.nodes), len(x.edges), x.tried, x.census())
		})
	}
}

// census tells how many states there are of each name.
func (x *exploration) census() string {
	count := map[string]int{}
	for _, n := range x.nodes {
		count[stateName(n.head)]++
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, count[name]))
	}
	return strings.Join(parts, ", ")
}

// checkEnds fails if a state is a dead end: everywhere the customer can confirm by their own acts, everything can wait again,
// and what waits can be answered.
func (x *exploration) checkEnds() {
	is := func(state goodshipv1.State) func(*node) bool {
		return func(n *node) bool { return n.head.Conversation.State == state }
	}
	anyone := func(string) bool { return true }
	byCustomer := func(move string) bool {
		return strings.HasPrefix(move, "customer") && !strings.HasPrefix(move, "customer reads")
	}
	confirmed := x.reaching(func(n *node) bool {
		return n.head.Conversation.Outcome == goodshipv1.Outcome_OUTCOME_CONFIRMED
	}, byCustomer)
	waiting := x.reaching(is(goodshipv1.State_STATE_WAITING), byCustomer)
	answered := x.reaching(is(goodshipv1.State_STATE_ANSWERED), anyone)
	for i, n := range x.nodes {
		switch {
		case !confirmed[i]:
			x.fail(i, move{}, "the customer can never confirm: %v", n.head)
		case !waiting[i]:
			x.fail(i, move{}, "the customer can never wait: %v", n.head)
		case !answered[i]:
			x.fail(i, move{}, "nobody can ever answer: %v", n.head)
		}
	}
}

// reaching returns from which states one that holds can be reached by such moves.
func (x *exploration) reaching(holds func(*node) bool, by func(move string) bool) []bool {
	reach := make([]bool, len(x.nodes))
	for i, n := range x.nodes {
		reach[i] = holds(n)
	}
	allowed := make([]bool, len(x.moves))
	for i, name := range x.moves {
		allowed[i] = by(name)
	}
	for more := true; more; {
		more = false
		for i := len(x.edges) - 1; i >= 0; i-- {
			if e := x.edges[i]; !reach[e.from] && reach[e.to] && allowed[e.move] {
				reach[e.from], more = true, true
			}
		}
	}
	return reach
}
