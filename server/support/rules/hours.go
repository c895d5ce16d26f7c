package rules

import (
	"fmt"
	"slices"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// week is the length of a week on the wall clock, in minutes.
const week = 7 * 24 * 60

// Hours are opening hours: minutes of the week by the clock on the wall of a place. The zero value is always open.
type Hours struct {
	place *time.Location
	open  []interval
}

// interval is a run of minutes of the week that starts on Monday, from inclusive, to exclusive.
type interval struct{ from, to int }

// ParseHours returns the opening hours of a workspace; nil means always. It fails for an unknown time zone.
func ParseHours(h *goodshipv1.OpeningHours) (Hours, error) {
	if h == nil {
		return Hours{}, nil
	}
	place, err := time.LoadLocation(h.TimeZone)
	if err != nil || h.TimeZone == "Local" {
		return Hours{}, fmt.Errorf("unknown time zone %q", h.TimeZone)
	}
	hours := Hours{place: place}
	for _, i := range h.Intervals {
		midnight := (int(i.Day) - 1) * 24 * 60
		hours.open = append(hours.open, interval{midnight + int(i.OpenMinute), midnight + int(i.CloseMinute)})
	}
	slices.SortFunc(hours.open, func(a, b interval) int { return a.from - b.from })
	return hours, nil
}

// Next returns the first instant at or after t at which it is open by the wall clock. Where a change of the clocks skips an
// opening time, it is open from the change on; an interval that is skipped whole is not open that day, and one that comes
// twice is open twice.
func (h Hours) Next(t time.Time) time.Time {
	if len(h.open) == 0 {
		return t
	}
	at := t.In(h.place)
	for {
		// Until the clocks next change the wall clock runs evenly, so that minutes of the week can be counted.
		next := at.Add(h.wait(at))
		_, change := at.ZoneBounds()
		if change.IsZero() || next.Before(change) {
			return next.In(t.Location())
		}
		at = change
	}
}

// Between returns for how much of the time from one instant to another it is open.
func (h Hours) Between(from, to time.Time) time.Duration {
	if len(h.open) == 0 {
		return max(0, to.Sub(from))
	}
	var sum time.Duration
	for at := h.Next(from); at.Before(to); {
		end := at.Add(h.left(at.In(h.place)))
		if _, change := at.In(h.place).ZoneBounds(); !change.IsZero() && change.Before(end) {
			end = change
		}
		if to.Before(end) {
			end = to
		}
		sum += end.Sub(at)
		at = h.Next(end)
	}
	return sum
}

// wait returns how long it is until the wall clock, were it to run evenly, shows an open minute.
func (h Hours) wait(at time.Time) time.Duration {
	minute, into := minuteOfWeek(at)
	for _, i := range h.open {
		if minute < i.from {
			return time.Duration(i.from-minute)*time.Minute - into
		}
		if minute < i.to {
			return 0
		}
	}
	return time.Duration(week-minute+h.open[0].from)*time.Minute - into
}

// left returns how long an interval that the wall clock is in goes on, were it to run evenly; 0 if it is in none.
func (h Hours) left(at time.Time) time.Duration {
	minute, into := minuteOfWeek(at)
	for _, i := range h.open {
		if i.from <= minute && minute < i.to {
			return time.Duration(i.to-minute)*time.Minute - into
		}
	}
	return 0
}

// minuteOfWeek returns the minute of the week that the wall clock shows, and how much of it has passed.
func minuteOfWeek(at time.Time) (minute int, into time.Duration) {
	weekday := (int(at.Weekday()) + 6) % 7
	return (weekday*24+at.Hour())*60 + at.Minute(), time.Duration(at.Second())*time.Second + time.Duration(at.Nanosecond())
}
