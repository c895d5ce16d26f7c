package support

import (
	"cmp"
	"context"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/recovery"
	"github.com/goodship/goodship/server/support/rules"
)

const (
	// reportedDays is how many days before its last a report begins if nobody says, and mostReportedDays how many it has at most.
	reportedDays, mostReportedDays = 90, 1100
)

// rate lets the customer of a unit rate, and counts it on the day that the rating was first given.
func (s *Service) rate(u *unit, number int32, rating *goodshipv1.Rating) error {
	before := u.Situation.Resolution.GetRating()
	if err := u.Rate(number, rating); err != nil {
		return err
	}
	after := u.Resolution.Rating
	counts, err := u.tx.Statistics(rules.Day(after.CreateTime.AsTime(), s.zone(u.Settings)))
	if err != nil {
		return err
	}
	credited, err := stood(u.tx, u.Resolution.CreditIds, after.CreateTime.AsTime())
	if err != nil || !recovery.Rerate(counts, u.Resolution, credited, before, after) {
		return err
	}
	return u.tx.PutStatistics(counts)
}

// stood reports whether one of some credits was neither refused nor reversed at the time of a unit, this or an earlier one.
func stood(tx store.Tx, credits []string, at time.Time) (bool, error) {
	for _, id := range credits {
		r, err := tx.Credit(id)
		if err != nil {
			return false, err
		}
		switch r.Credit.State {
		case goodshipv1.CreditState_CREDIT_STATE_REFUSED, goodshipv1.CreditState_CREDIT_STATE_REVERSED:
			if !r.Credit.EndTime.AsTime().After(at) {
				continue
			}
		}
		return true, nil
	}
	return false, nil
}

// GetRecoveryReport compares ratings by what was made right.
func (s *Service) GetRecoveryReport(ctx context.Context, req *goodshipv1.GetRecoveryReportRequest) (*goodshipv1.RecoveryReport, error) {
	c := callerFrom(ctx)
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	from, to, err := days(req, rules.Day(s.store.Now(), s.zone(settings)))
	if err != nil {
		return nil, err
	}
	counted, err := s.store.Statistics(ctx, c.Workspace, from, to)
	if err != nil {
		return nil, err
	}
	r := recovery.Report(counted)
	r.FromDate, r.ToDate = from, to
	return r, nil
}

// days returns the first and the last day that a request asks for.
func days(req *goodshipv1.GetRecoveryReportRequest, today string) (from, to string, err error) {
	last, err := day("to_date", cmp.Or(req.ToDate, today))
	if err != nil {
		return "", "", err
	}
	first := last.AddDate(0, 0, -reportedDays)
	if req.FromDate != "" {
		first, err = day("from_date", req.FromDate)
	}
	switch {
	case err != nil:
		return "", "", err
	case first.After(last):
		return "", "", fault.Field("from_date", "must not be after the last day")
	case !last.AddDate(0, 0, -mostReportedDays).Before(first):
		return "", "", fault.Field("from_date", "must leave at most %d days", mostReportedDays)
	}
	return first.Format(time.DateOnly), last.Format(time.DateOnly), nil
}

// day reads a day that a request names in a field.
func day(field, named string) (time.Time, error) {
	at, err := time.Parse(time.DateOnly, named)
	if err != nil || at.Year() < 1 {
		return time.Time{}, fault.Field(field, "must be a day, as in 2026-11-22")
	}
	return at, nil
}
