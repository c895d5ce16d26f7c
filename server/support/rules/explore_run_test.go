package rules_test

import "testing"

func TestExplore(t *testing.T) {
	for _, c := range []struct{ name string; helpers []person; acts int; unread bool }{
		{"a", []person{ada}, 2, false},
		{"b", []person{ada}, 2, true},
		{"c", []person{ada, lea}, 1, false},
		{"d", []person{ada, ben}, 1, false},
		{"e", []person{ada, ben}, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newExploration(t, c.helpers, c.acts, c.unread)
			x.run()
			t.Logf("%d states, %d transitions", len(x.nodes), len(x.edges))
		})
	}
}
