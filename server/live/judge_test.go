package live

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// flaws are what may be wrong with a record, made at a place of one that is right, and how the judge counts it.
var flaws = []struct {
	name string
	make func(record []entry, i int) []entry
	want verdict
}{
	{"an entry is missing", func(r []entry, i int) []entry { return slices.Delete(r, i, i+1) }, verdict{missing: 1}},
	{"an entry is there twice", func(r []entry, i int) []entry { return slices.Insert(r, i, r[i]) }, verdict{twice: 1}},
	{"an entry comes again at the end", func(r []entry, i int) []entry { return append(r, r[i]) }, verdict{twice: 1}},
	{"two entries are swapped", func(r []entry, i int) []entry { r[i], r[i+1] = r[i+1], r[i]; return r }, verdict{disordered: 1}},
	{"an entry is none of the watcher's", func(r []entry, i int) []entry {
		return slices.Insert(r, i, entry{place: place{"another", 1}})
	}, verdict{foreign: 1}},
	{"an entry says something else", func(r []entry, i int) []entry { r[i].sum++; return r }, verdict{wrong: 1}},
}

// mustBeNoticed makes each flaw somewhere in a record that is right, and fails the test unless the judge finds exactly it.
func mustBeNoticed(t *testing.T, want []entry, must int, record []entry, rng *rand.Rand) {
	t.Helper()
	if len(record) < 2 {
		return
	}
	for _, flaw := range flaws {
		i := rng.IntN(len(record) - 1)
		v := judge(want, must, flaw.make(slices.Clone(record), i))
		v.first = ""
		if v != flaw.want {
			t.Errorf("%s, at %d of %d: the judge finds it %v", flaw.name, i, len(record), v)
		}
	}
}

// The judge finds each flaw at each place, the first and the last among them.
func TestTheJudge(t *testing.T) {
	var want []entry
	for i := range 9 {
		want = append(want, entry{place{string(rune('a' + i%3)), int32(1 + i/3)}, "message_sent", uint64(i)})
	}
	if v := judge(want, len(want), want); v != (verdict{}) {
		t.Errorf("what is right is found %v", v)
	}
	if v := judge(want, 7, want[:7]); v != (verdict{}) {
		t.Errorf("what is right as far as it must be is found %v", v)
	}
	for i := range len(want) - 1 {
		for _, flaw := range flaws {
			v := judge(want, len(want), flaw.make(slices.Clone(want), i))
			if v.first == "" {
				t.Errorf("%s, at %d: nothing says where", flaw.name, i)
			}
			v.first = ""
			if v != flaw.want {
				t.Errorf("%s, at %d: found %v", flaw.name, i, v)
			}
		}
	}
	if v := judge(want, len(want), want[:8]); v.missing != 1 {
		t.Errorf("without the last: %v", v)
	}
	if v := judge(want, len(want), want[1:]); v.missing != 1 {
		t.Errorf("without the first: %v", v)
	}
}

// A record begins where its watcher began, and not where it was first told something.
func TestBeginnings(t *testing.T) {
	want := []entry{{place: place{"a", 1}}, {place: place{"b", 1}}, {place: place{"a", 2}}, {place: place{"b", 2}}}
	for _, c := range []struct {
		name string
		b    beginning
		got  []entry
		want int
	}{
		{"nothing was there", beginning{exact: true}, want[2:], 0},
		{"some was there", beginning{floor: map[string]int32{"a": 1, "b": 1}, exact: true}, want[3:], 2},
		{"all was there", beginning{floor: map[string]int32{"a": 2, "b": 2}, exact: true}, nil, 4},
		{"after an entry", beginning{after: place{"b", 1}}, want[3:], 2},
		{"earlier than what was read", beginning{floor: map[string]int32{"a": 1, "b": 1}}, want[1:], 1},
		{"later than what was read", beginning{floor: map[string]int32{"a": 1, "b": 1}}, want[3:], 2},
		{"where nothing was read", beginning{floor: map[string]int32{"a": 1}}, want[1:], 1},
		{"behind where nothing was read", beginning{floor: map[string]int32{"b": 1}}, want[3:], 3},
	} {
		if got := c.b.in(want, c.got); got != c.want {
			t.Errorf("%s: it begins at %d, want %d", c.name, got, c.want)
		}
	}
}
