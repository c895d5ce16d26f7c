// Package recovery compares what customers think of matters in which a fault was made right, of those in which there was only the
// fault, and of those without one. It counts ratings by day, and makes of the counts shares and differences of shares, with
// confidence intervals. It is pure.
package recovery

import (
	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// enough is how many ratings there must be to say something of a group.
const enough = 30

// high is what a rating must give, of 5, to count as high.
const high = 4

// Rerate takes a rating of a resolution out of a day's counts, if there is one, and adds another; credited says that a credit of
// the resolution's stood when it was first rated. It reports whether the counts are others now: where nobody said what the matter
// was, nothing is counted.
func Rerate(day *storev1.StatisticsRecord, r *goodshipv1.Resolution, credited bool, before, after *goodshipv1.Rating) bool {
	group := groupOf(day, r, credited)
	if group == nil {
		return false
	}
	add(group, before, r.FoundFirst, -1)
	add(group, after, r.FoundFirst, 1)
	return true
}

// groupOf returns the counts that a resolution's rating belongs to, nil if nobody said what the matter was.
func groupOf(day *storev1.StatisticsRecord, r *goodshipv1.Resolution, credited bool) *storev1.RatingCounts {
	group := &day.NoFault
	switch {
	case r.Matter == goodshipv1.Matter_MATTER_QUESTION:
	case r.Matter != goodshipv1.Matter_MATTER_FAULT:
		return nil
	case r.MadeRight != "" || credited:
		group = &day.FaultMadeRight
	default:
		group = &day.FaultOnly
	}
	if *group == nil {
		*group = &storev1.RatingCounts{}
	}
	return *group
}

// add counts a rating n times.
func add(c *storev1.RatingCounts, r *goodshipv1.Rating, foundFirst bool, n int32) {
	if r == nil {
		return
	}
	c.Rated += n
	c.FoundFirst += n * one(foundFirst)
	c.Solved += n * one(r.GetSolved())
	c.PersonalRated += n * one(r.Personal > 0)
	c.PersonalHigh += n * one(r.Personal >= high)
	c.EasyRated += n * one(r.Easy > 0)
	c.EasyHigh += n * one(r.Easy >= high)
}

func one(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// Report compares what was counted on some days.
func Report(days []*storev1.StatisticsRecord) *goodshipv1.RecoveryReport {
	var madeRight, only, none storev1.RatingCounts
	for _, d := range days {
		sum(&madeRight, d.FaultMadeRight)
		sum(&only, d.FaultOnly)
		sum(&none, d.NoFault)
	}
	r := &goodshipv1.RecoveryReport{FaultMadeRight: groupFrom(&madeRight), FaultOnly: groupFrom(&only), NoFault: groupFrom(&none)}
	r.MadeRightLessFaultOnly = less(r.FaultMadeRight, r.FaultOnly)
	r.MadeRightLessNoFault = less(r.FaultMadeRight, r.NoFault)
	return r
}

// sum adds a day's counts, nil if there are none.
func sum(to, day *storev1.RatingCounts) {
	to.Rated += day.GetRated()
	to.FoundFirst += day.GetFoundFirst()
	to.Solved += day.GetSolved()
	to.PersonalRated += day.GetPersonalRated()
	to.PersonalHigh += day.GetPersonalHigh()
	to.EasyRated += day.GetEasyRated()
	to.EasyHigh += day.GetEasyHigh()
}

func groupFrom(c *storev1.RatingCounts) *goodshipv1.RecoveryGroup {
	return &goodshipv1.RecoveryGroup{
		RatedCount: max(0, c.Rated), FoundFirstCount: max(0, c.FoundFirst),
		Solved: share(c.Solved, c.Rated), Personal: share(c.PersonalHigh, c.PersonalRated), Easy: share(c.EasyHigh, c.EasyRated),
	}
}

// share returns a part of a whole. A rating that was changed after the workspace's time zone was leaves one too few on one day and
// one too many on the next, so that a count of few days may be below 0, or beyond the whole.
func share(positive, count int32) *goodshipv1.Share {
	count = max(0, count)
	positive = min(max(0, positive), count)
	s := &goodshipv1.Share{State: goodshipv1.DataState_DATA_STATE_NOT_ENOUGH_DATA, Count: count, PositiveCount: positive}
	if count < enough {
		return s
	}
	i := wilson(positive, count)
	s.State, s.Share, s.Low, s.High = goodshipv1.DataState_DATA_STATE_ENOUGH, &i.point, &i.low, &i.high
	return s
}

func less(a, b *goodshipv1.RecoveryGroup) *goodshipv1.RecoveryDifference {
	return &goodshipv1.RecoveryDifference{
		Solved: difference(a.Solved, b.Solved), Personal: difference(a.Personal, b.Personal), Easy: difference(a.Easy, b.Easy),
	}
}

// difference returns how far one share is above another, if there is enough of both.
func difference(a, b *goodshipv1.Share) *goodshipv1.ShareDifference {
	if a.State != goodshipv1.DataState_DATA_STATE_ENOUGH || b.State != goodshipv1.DataState_DATA_STATE_ENOUGH {
		return &goodshipv1.ShareDifference{State: goodshipv1.DataState_DATA_STATE_NOT_ENOUGH_DATA}
	}
	i := newcombe(interval{*a.Share, *a.Low, *a.High}, interval{*b.Share, *b.Low, *b.High})
	return &goodshipv1.ShareDifference{State: goodshipv1.DataState_DATA_STATE_ENOUGH, Difference: &i.point, Low: &i.low, High: &i.high}
}
