package recovery

import (
	"math"
	"math/rand/v2"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > by {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestWilson compares with the examples of Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
func TestWilson(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		positive, count int32
		low, high       float64
	}{
		{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718},
	} {
		i := wilson(c.positive, c.count)
		near(t, "low", i.low, c.low, 5e-5)
		near(t, "high", i.high, c.high, 5e-5)
		other := wilson(c.count-c.positive, c.count) // what is not so has the mirrored interval
		near(t, "low mirrored", 1-other.high, i.low, 1e-12)
		near(t, "high mirrored", 1-other.low, i.high, 1e-12)
	}
}

// TestNewcombe compares with the examples of Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10.
func TestNewcombe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, m, b, n int32
		low, high  float64
	}{
		{56, 70, 48, 80, 0.0524, 0.3339}, {9, 10, 3, 10, 0.1705, 0.8090}, {6, 7, 2, 7, 0.0582, 0.8062}, {5, 56, 0, 29, -0.0381, 0.1926},
		{0, 10, 0, 20, -0.1611, 0.2775}, {0, 10, 0, 10, -0.2775, 0.2775}, {10, 10, 0, 20, 0.6791, 1}, {10, 10, 0, 10, 0.6075, 1},
	} {
		a, b := wilson(c.a, c.m), wilson(c.b, c.n)
		i := newcombe(a, b)
		near(t, "difference", i.point, a.point-b.point, 1e-12)
		near(t, "low", i.low, c.low, 5e-5)
		near(t, "high", i.high, c.high, 5e-5)
		back := newcombe(b, a)
		near(t, "low turned", -back.high, i.low, 1e-12)
		near(t, "high turned", -back.low, i.high, 1e-12)
	}
}

// TestIntervalsAreWithinBounds looks at every share of small groups.
func TestIntervalsAreWithinBounds(t *testing.T) {
	t.Parallel()
	for n := int32(1); n <= 60; n++ {
		for x := range n + 1 {
			i := wilson(x, n)
			if !(0 <= i.low && i.low <= i.point && i.point <= i.high && i.high <= 1) {
				t.Fatalf("%d of %d: got %v", x, n, i)
			}
			d := newcombe(i, wilson(n/2, n))
			if !(-1-1e-12 <= d.low && d.low <= d.point && d.point <= d.high && d.high <= 1+1e-12) {
				t.Fatalf("%d of %d less %d: got %v", x, n, n/2, d)
			}
		}
	}
}

// draws returns how many of n came true.
func draws(r *rand.Rand, n int32, share float64) int32 {
	x := int32(0)
	for range n {
		x += one(r.Float64() < share)
	}
	return x
}

// TestCoverage draws many groups of which the true shares are known: about 95 % of the intervals hold them.
func TestCoverage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 1998)) //nolint:gosec // the same draws each time
	for _, c := range []struct {
		n, m int32
		p, q float64
	}{{30, 30, 0.9, 0.8}, {30, 200, 0.5, 0.5}, {50, 50, 0.97, 0.6}, {100, 100, 0.85, 0.7}, {1000, 1000, 0.92, 0.9}} {
		const rounds = 10_000
		shares, differences := 0, 0
		for range rounds {
			a, b := wilson(draws(r, c.n, c.p), c.n), wilson(draws(r, c.m, c.q), c.m)
			if a.low <= c.p && c.p <= a.high {
				shares++
			}
			if d := newcombe(a, b); d.low <= c.p-c.q && c.p-c.q <= d.high {
				differences++
			}
		}
		near(t, "coverage of shares", float64(shares)/rounds, 0.95, 0.03)
		near(t, "coverage of differences", float64(differences)/rounds, 0.955, 0.02)
	}
}

func rated(solved bool, personal, easy int32) *goodshipv1.Rating {
	return &goodshipv1.Rating{Solved: proto.Bool(solved), Personal: personal, Easy: easy}
}

func TestRerate(t *testing.T) {
	t.Parallel()
	fault := goodshipv1.Matter_MATTER_FAULT
	day := &storev1.StatisticsRecord{Day: "2026-11-22"}
	Rerate(day, &goodshipv1.Resolution{Matter: fault, MadeRight: "A new part", FoundFirst: true}, false, nil, rated(true, 5, 0))
	Rerate(day, &goodshipv1.Resolution{Matter: fault, CreditIds: []string{"cred_1"}}, true, nil, rated(false, 3, 4))
	Rerate(day, &goodshipv1.Resolution{Matter: fault, CreditIds: []string{"cred_2"}}, false, nil, rated(true, 4, 3))
	question := &goodshipv1.Resolution{Matter: goodshipv1.Matter_MATTER_QUESTION, MadeRight: "Nothing was wrong"}
	Rerate(day, question, true, nil, rated(true, 1, 1))
	Rerate(day, question, true, rated(true, 1, 1), rated(false, 0, 5))
	if Rerate(day, &goodshipv1.Resolution{}, true, nil, rated(true, 5, 5)) {
		t.Error("a matter that nobody said: got counted, want not")
	}
	want := &storev1.StatisticsRecord{
		Day:            "2026-11-22",
		FaultMadeRight: &storev1.RatingCounts{Rated: 2, FoundFirst: 1, Solved: 1, PersonalRated: 2, PersonalHigh: 1, EasyRated: 1, EasyHigh: 1},
		FaultOnly:      &storev1.RatingCounts{Rated: 1, Solved: 1, PersonalRated: 1, PersonalHigh: 1, EasyRated: 1},
		NoFault:        &storev1.RatingCounts{Rated: 1, EasyRated: 1, EasyHigh: 1},
	}
	if !proto.Equal(day, want) {
		t.Errorf("got %v, want %v", day, want)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := Report([]*storev1.StatisticsRecord{
		{FaultMadeRight: &storev1.RatingCounts{Rated: 40, FoundFirst: 7, Solved: 36, PersonalRated: 29, PersonalHigh: 29, EasyRated: 30, EasyHigh: 15}},
		{FaultMadeRight: &storev1.RatingCounts{Rated: 30, Solved: 20}, FaultOnly: &storev1.RatingCounts{Rated: 80, Solved: 48, EasyRated: 30}},
		{NoFault: &storev1.RatingCounts{Rated: 29, Solved: 29, PersonalRated: 40, PersonalHigh: 30, EasyRated: -1, EasyHigh: 3}},
	})
	if r.FaultMadeRight.RatedCount != 70 || r.FaultMadeRight.FoundFirstCount != 7 || r.NoFault.RatedCount != 29 {
		t.Errorf("counts: got %v", r)
	}
	solved := r.FaultMadeRight.Solved
	if solved.State != goodshipv1.DataState_DATA_STATE_ENOUGH || solved.Count != 70 || solved.PositiveCount != 56 {
		t.Errorf("solved: got %v, want 56 of 70", solved)
	}
	near(t, "share", solved.GetShare(), 0.8, 1e-12)
	near(t, "difference low", r.MadeRightLessFaultOnly.Solved.GetLow(), 0.0524, 5e-5)
	near(t, "difference high", r.MadeRightLessFaultOnly.Solved.GetHigh(), 0.3339, 5e-5)
	for what, s := range map[string]*goodshipv1.Share{"29 of 30": r.FaultMadeRight.Personal, "29 in all": r.NoFault.Solved, "fewer than none": r.NoFault.Easy} {
		if s.State != goodshipv1.DataState_DATA_STATE_NOT_ENOUGH_DATA || s.Share != nil || s.Low != nil || s.High != nil || s.Count < 0 || s.PositiveCount > s.Count {
			t.Errorf("%s: got %v, want not enough data and no share", what, s)
		}
	}
	for what, d := range map[string]*goodshipv1.ShareDifference{"no fault": r.MadeRightLessNoFault.Solved, "personal": r.MadeRightLessNoFault.Personal} {
		if d.State != goodshipv1.DataState_DATA_STATE_NOT_ENOUGH_DATA || d.Difference != nil || d.Low != nil || d.High != nil {
			t.Errorf("%s: got %v, want not enough data", what, d)
		}
	}
	if easy := r.MadeRightLessFaultOnly.Easy; easy.State != goodshipv1.DataState_DATA_STATE_ENOUGH || easy.GetDifference() != 0.5 {
		t.Errorf("easy: got %v, want 0.5 of 30 each", easy)
	}
}
