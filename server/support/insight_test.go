package support_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

func (w *world) rates(p person, id string, rating *goodshipv1.Rating) {
	w.t.Helper()
	do[*goodshipv1.Resolution](w, p, &goodshipv1.RateConversationRequest{ConversationId: id, ResolutionNumber: 1, Rating: rating})
}

func solvedRating(solved bool, personal, easy int32) *goodshipv1.Rating {
	return &goodshipv1.Rating{Solved: proto.Bool(solved), Personal: personal, Easy: easy}
}

func (w *world) report(from, to string) *goodshipv1.RecoveryReport {
	w.t.Helper()
	return do[*goodshipv1.RecoveryReport](w, lea, &goodshipv1.GetRecoveryReportRequest{FromDate: from, ToDate: to})
}

// TestRecoveryReport rates resolutions of each kind, changes a rating on the next day, and reads what is counted of each day.
func TestRecoveryReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.empowers()
	propose := func(change func(*goodshipv1.ProposeResolutionRequest)) string {
		id := w.opens(kim, "Hello?")
		w.claims(ada, id)
		req := w.proposal(id)
		change(req)
		do[*goodshipv1.Resolution](w, ada, req)
		return id
	}
	nothing := func(*goodshipv1.ProposeResolutionRequest) {}
	madeRight := propose(func(r *goodshipv1.ProposeResolutionRequest) { r.MadeRight, r.FoundFirst = "A new part", true })
	credited := propose(func(r *goodshipv1.ProposeResolutionRequest) {
		r.CreditIds = []string{w.grants(ada, r.ConversationId, euros(1, 0)).Id}
	})
	only := propose(nothing)
	question := propose(func(r *goodshipv1.ProposeResolutionRequest) { r.Matter = goodshipv1.Matter_MATTER_QUESTION })
	unsaid := w.opens(lou, "Hello?")
	w.confirms(lou, unsaid)

	w.rates(kim, madeRight, solvedRating(true, 5, 0))
	w.rates(kim, credited, solvedRating(true, 3, 4))
	w.rates(kim, only, solvedRating(true, 4, 2))
	w.rates(kim, question, solvedRating(true, 5, 5))
	w.rates(lou, unsaid, solvedRating(true, 5, 5))
	check := func(when string, r *goodshipv1.RecoveryReport, counts ...int32) {
		t.Helper()
		var got []int32
		for _, g := range []*goodshipv1.RecoveryGroup{r.FaultMadeRight, r.FaultOnly, r.NoFault} {
			got = append(got, g.RatedCount, g.FoundFirstCount, g.Solved.PositiveCount, g.Personal.Count, g.Personal.PositiveCount, g.Easy.Count, g.Easy.PositiveCount)
			if g.Solved.State != goodshipv1.DataState_DATA_STATE_NOT_ENOUGH_DATA || g.Solved.Share != nil {
				t.Errorf("%s: got %v of so few, want not enough data", when, g.Solved)
			}
		}
		equal(t, "counted "+when, list(got), list(counts))
	}
	today := w.report("", "")
	equal(t, "from", today.FromDate, "2025-12-01")
	equal(t, "to", today.ToDate, "2026-03-01")
	check("today", today, 2, 1, 2, 2, 1, 1, 1 /**/, 1, 0, 1, 1, 1, 1, 0 /**/, 1, 0, 1, 1, 1, 1, 1)

	w.clock.Jump(14 * time.Hour) // it is midnight in Madrid
	w.rates(kim, only, solvedRating(false, 0, 5))
	again := &goodshipv1.RateConversationRequest{ConversationId: question, ResolutionNumber: 1, Rating: solvedRating(true, 1, 5), RequestId: "once"}
	for range 3 {
		do[*goodshipv1.Resolution](w, kim, again)
	}
	check("of what was changed", w.report("2026-03-01", "2026-03-01"), 2, 1, 2, 2, 1, 1, 1 /**/, 1, 0, 0, 0, 0, 1, 1 /**/, 1, 0, 1, 1, 0, 1, 1)
	check("on the next day", w.report("2026-03-02", "2026-03-02"), make([]int32, 21)...)
	late := propose(nothing)
	w.rates(kim, late, solvedRating(true, 0, 0))
	check("on the next day", w.report("2026-03-02", "2026-03-02"), 0, 0, 0, 0, 0, 0, 0 /**/, 1, 0, 1, 0, 0, 0, 0 /**/, 0, 0, 0, 0, 0, 0, 0)
	equal(t, "rated on both", w.report("2026-03-01", "2026-03-02").FaultOnly.RatedCount, 2)

	for _, bad := range []*goodshipv1.GetRecoveryReportRequest{
		{FromDate: "2026-02-30"}, {FromDate: "2026-03-02", ToDate: "2026-03-01"}, {FromDate: "2023-02-24", ToDate: "2026-02-28"}, {FromDate: "2027-01-01"},
	} {
		w.refuses(lea, bad, "InvalidArgument INVALID_REQUEST from_date")
	}
	for _, bad := range []string{"2026-13-01", "0000-01-15"} {
		w.refuses(lea, &goodshipv1.GetRecoveryReportRequest{ToDate: bad}, "InvalidArgument INVALID_REQUEST to_date")
	}
	equal(t, "the first days", w.report("", "0001-01-15").FromDate, "0000-10-17")
	equal(t, "the most days", w.report("2023-02-25", "2026-02-28").FromDate, "2023-02-25")
}

// TestCreditsThatDoNotStand rates where credits were taken back or refused: what stood when it was first rated made it right,
// whatever becomes of it before the rating is changed.
func TestCreditsThatDoNotStand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.empowers()
	credited := func(n int) (id string, credits []string) {
		id = w.opens(kim, "Hello?")
		w.claims(ada, id)
		for range n {
			credits = append(credits, w.grants(ada, id, euros(1, 0)).Id)
		}
		req := w.proposal(id)
		req.CreditIds = credits
		do[*goodshipv1.Resolution](w, ada, req)
		return id, credits
	}
	counts := func(when string, madeRight, only int32) {
		t.Helper()
		r := w.report("", "")
		equal(t, "made right "+when, r.FaultMadeRight.RatedCount, madeRight)
		equal(t, "fault only "+when, r.FaultOnly.RatedCount, only)
	}
	reverse := func(id string) {
		do[*goodshipv1.Credit](w, ada, &goodshipv1.ReverseCreditRequest{CreditId: id, Reason: "A mistake"})
	}
	none, gone := credited(2)
	reverse(gone[0])
	w.settles(refuse(gone[1], "No such account"))
	w.rates(kim, none, solvedRating(true, 5, 5))
	counts("of what fell", 0, 1)
	one, some := credited(3)
	reverse(some[0])
	w.settles(bill(some[1], "inv_1"))
	w.rates(kim, one, solvedRating(true, 5, 5))
	counts("of what stood in part", 1, 1)
	later, last := credited(1)
	w.rates(kim, later, solvedRating(true, 5, 5))
	counts("of what is pending", 2, 1)
	reverse(last[0])
	w.rates(kim, later, solvedRating(false, 1, 1))
	counts("after it fell", 2, 1)
	equal(t, "solved", w.report("", "").FaultMadeRight.Solved.PositiveCount, 1)
}

// TestRecoveryIsReported counts enough to say something: what was rated once for each of many conversations.
func TestRecoveryIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 60 {
		id := w.opens(kim, "Hello?")
		req := w.proposal(id)
		if i%2 == 0 {
			req.MadeRight = "A new part"
		}
		do[*goodshipv1.Resolution](w, ada, req)
		w.rates(kim, id, solvedRating(i%2 == 0 || i%3 == 0, 0, 0))
	}
	r := w.report("", "")
	equal(t, "made right", r.FaultMadeRight.Solved.GetShare(), 1)
	equal(t, "fault only", r.FaultOnly.Solved.GetShare(), 1./3)
	d := r.MadeRightLessFaultOnly.Solved
	equal(t, "state", d.State, goodshipv1.DataState_DATA_STATE_ENOUGH)
	equal(t, "is surely better", d.GetLow() > 0.4 && d.GetLow() < d.GetDifference() && d.GetDifference() < d.GetHigh() && d.GetHigh() < 1, true)
	equal(t, "personal", r.MadeRightLessFaultOnly.Personal.State, goodshipv1.DataState_DATA_STATE_NOT_ENOUGH_DATA)
}
