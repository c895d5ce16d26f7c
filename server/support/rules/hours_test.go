package rules_test

import (
	"fmt"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"pgregory.net/rapid"
)

// span is an opening interval: a day from 1 (Monday) to 7, and times of the wall clock as 930 for half past nine.
type span struct{ day, open, close int }

func openingHours(zone string, spans ...span) *goodshipv1.OpeningHours {
	h := &goodshipv1.OpeningHours{TimeZone: zone}
	for _, s := range spans {
		h.Intervals = append(h.Intervals, &goodshipv1.OpeningInterval{
			Day: goodshipv1.Weekday(s.day), OpenMinute: minutes(s.open), CloseMinute: minutes(s.close),
		})
	}
	return h
}

func minutes(clock int) int32 { return int32(clock/100*60 + clock%100) }

func mustParseHours(t reporter, h *goodshipv1.OpeningHours) rules.Hours {
	t.Helper()
	hours, err := rules.ParseHours(h)
	if err != nil {
		t.Fatalf("opening hours: %v", err)
	}
	return hours
}

func instant(t reporter, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatalf("instant: %v", err)
	}
	return at
}

// office is a week of five days.
var office = []span{{1, 900, 1700}, {2, 900, 1700}, {3, 900, 1700}, {4, 900, 1700}, {5, 900, 1700}}

// TestHours plays when it is next open. The changes of the clocks in 2026: Europe on 29 March (02:00 to 03:00) and 25 October
// (03:00 to 02:00), New York on 8 March (02:00 to 03:00) and 1 November (02:00 to 01:00), Lord Howe on 5 April (02:00 to
// 01:30) and 4 October (02:00 to 02:30).
func TestHours(t *testing.T) {
	for _, test := range hourRows {
		t.Run(test.id, func(t *testing.T) {
			hours := mustParseHours(t, openingHours(test.zone, test.spans...))
			got := hours.Next(instant(t, test.at))
			if want := instant(t, test.want); !got.Equal(want) {
				t.Errorf("next opening: got %v, want %v", got, want.In(got.Location()))
			}
		})
	}
}

var hourRows = []struct {
	id, zone string
	spans    []span
	at, want string
}{
	{"inside", "UTC", office, "2026-03-02T10:00:00.5Z", "2026-03-02T10:00:00.5Z"},
	{"at_the_opening", "UTC", office, "2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z"},
	{"just_before_the_opening", "UTC", office, "2026-03-02T08:59:59.999999Z", "2026-03-02T09:00:00Z"},
	{"just_before_the_closing", "UTC", office, "2026-03-02T16:59:59.999999Z", "2026-03-02T16:59:59.999999Z"},
	{"at_the_closing", "UTC", office, "2026-03-02T17:00:00Z", "2026-03-03T09:00:00Z"},
	{"over_the_weekend", "UTC", office, "2026-03-06T17:00:00Z", "2026-03-09T09:00:00Z"},
	{"the_week_wraps", "UTC", []span{{1, 0, 100}}, "2026-03-02T01:00:00Z", "2026-03-09T00:00:00Z"},
	{"from_sunday_to_monday", "UTC", []span{{1, 800, 900}}, "2026-03-08T23:59:59Z", "2026-03-09T08:00:00Z"},
	{"open_until_24", "UTC", []span{{1, 2200, 2400}}, "2026-03-02T23:59:59Z", "2026-03-02T23:59:59Z"},
	{"closed_from_24", "UTC", []span{{1, 2200, 2400}}, "2026-03-03T00:00:00Z", "2026-03-09T22:00:00Z"},
	{"open_over_midnight", "UTC", []span{{1, 2200, 2400}, {2, 0, 600}}, "2026-03-03T00:00:00Z", "2026-03-03T00:00:00Z"},
	{"open_over_the_end_of_the_week", "UTC", []span{{7, 2200, 2400}, {1, 0, 600}}, "2026-03-09T00:00:00Z", "2026-03-09T00:00:00Z"},
	{"unsorted_and_overlapping", "UTC", []span{{2, 900, 1000}, {1, 1000, 1200}, {1, 900, 1700}}, "2026-03-02T12:30:00Z", "2026-03-02T12:30:00Z"},
	{"by_the_clock_on_the_wall_of_the_place", "Europe/Madrid", office, "2026-03-02T07:59:00Z", "2026-03-02T08:00:00Z"},
	{"another_place_the_same_instant", "America/New_York", office, "2026-03-02T08:00:00Z", "2026-03-02T14:00:00Z"},

	{"madrid_before_summer_time", "Europe/Madrid", office, "2026-03-27T17:00:00Z", "2026-03-30T07:00:00Z"},
	{"madrid_over_the_change_to_summer_time", "Europe/Madrid", []span{{7, 900, 1700}}, "2026-03-29T00:30:00Z", "2026-03-29T07:00:00Z"},
	{"madrid_open_at_the_skipped_hour", "Europe/Madrid", []span{{7, 230, 500}}, "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
	{"madrid_open_only_in_the_skipped_hour", "Europe/Madrid", []span{{7, 200, 300}}, "2026-03-29T00:30:00Z", "2026-04-05T00:00:00Z"},
	{"madrid_open_until_the_skipped_hour", "Europe/Madrid", []span{{7, 100, 230}}, "2026-03-29T01:00:00Z", "2026-04-04T23:00:00Z"},
	{"madrid_back_to_winter_time", "Europe/Madrid", office, "2026-10-23T16:00:00Z", "2026-10-26T08:00:00Z"},
	{"madrid_hour_that_comes_twice_first", "Europe/Madrid", []span{{7, 200, 300}}, "2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z"},
	{"madrid_hour_that_comes_twice_second", "Europe/Madrid", []span{{7, 200, 300}}, "2026-10-25T01:00:00Z", "2026-10-25T01:00:00Z"},
	{"madrid_half_hour_that_comes_twice_again", "Europe/Madrid", []span{{7, 200, 230}}, "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"},
	{"madrid_after_the_hour_that_comes_twice", "Europe/Madrid", []span{{7, 200, 300}}, "2026-10-25T02:00:00Z", "2026-11-01T01:00:00Z"},

	{"new_york_over_the_change_to_summer_time", "America/New_York", office, "2026-03-06T22:00:00Z", "2026-03-09T13:00:00Z"},
	{"new_york_open_at_the_skipped_hour", "America/New_York", []span{{7, 200, 400}}, "2026-03-08T06:59:59Z", "2026-03-08T07:00:00Z"},
	{"new_york_back_to_winter_time", "America/New_York", office, "2026-10-30T21:00:00Z", "2026-11-02T14:00:00Z"},
	{"new_york_hour_that_comes_twice_again", "America/New_York", []span{{7, 100, 130}}, "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z"},

	{"lord_howe_open_in_the_skipped_half_hour", "Australia/Lord_Howe", []span{{7, 200, 300}}, "2026-10-03T15:29:00Z", "2026-10-03T15:30:00Z"},
	{"lord_howe_open_only_in_the_skipped_half_hour", "Australia/Lord_Howe", []span{{7, 200, 230}}, "2026-10-03T15:29:00Z", "2026-10-10T15:00:00Z"},
	{"lord_howe_half_hour_that_comes_twice", "Australia/Lord_Howe", []span{{7, 130, 200}}, "2026-04-04T15:00:00Z", "2026-04-04T15:00:00Z"},
	{"lord_howe_quarter_that_comes_twice_again", "Australia/Lord_Howe", []span{{7, 130, 145}}, "2026-04-04T14:45:00Z", "2026-04-04T15:00:00Z"},
}

// TestHoursAlways holds the zero value open at all times.
func TestHoursAlways(t *testing.T) {
	always := mustParseHours(t, nil)
	if got := always.Next(epoch); !got.Equal(epoch) {
		t.Errorf("next opening: got %v, want %v", got, epoch)
	}
	for _, d := range []time.Duration{time.Hour, 0, -time.Hour} {
		if got, want := always.Between(epoch, epoch.Add(d)), max(0, d); got != want {
			t.Errorf("open between: got %v, want %v", got, want)
		}
	}
}

// TestHoursBetween plays how much of a time it is open.
func TestHoursBetween(t *testing.T) {
	for _, test := range []struct {
		id, zone string
		spans    []span
		from, to string
		want     time.Duration
	}{
		{"inside", "UTC", office, "2026-03-02T10:00:00.5Z", "2026-03-02T10:00:02Z", 1500 * time.Millisecond},
		{"backwards", "UTC", office, "2026-03-02T11:00:00Z", "2026-03-02T10:00:00Z", 0},
		{"closed", "UTC", office, "2026-03-02T17:00:00Z", "2026-03-03T09:00:00Z", 0},
		{"until_the_closing", "UTC", office, "2026-03-02T16:30:00Z", "2026-03-02T20:00:00Z", 30 * time.Minute},
		{"over_a_night", "UTC", office, "2026-03-02T16:30:00Z", "2026-03-03T09:00:15Z", 30*time.Minute + 15*time.Second},
		{"a_week", "UTC", office, "2026-03-07T12:00:00Z", "2026-03-14T12:00:00Z", 40 * time.Hour},
		{"overlapping", "UTC", []span{{1, 900, 1100}, {1, 1000, 1200}, {1, 930, 945}}, "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z", 3 * time.Hour},
		{"the_hour_that_is_skipped", "Europe/Madrid", []span{{7, 100, 400}}, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", 2 * time.Hour},
		{"the_hour_that_comes_twice", "Europe/Madrid", []span{{7, 100, 400}}, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", 4 * time.Hour},
	} {
		t.Run(test.id, func(t *testing.T) {
			hours := mustParseHours(t, openingHours(test.zone, test.spans...))
			if got := hours.Between(instant(t, test.from), instant(t, test.to)); got != test.want {
				t.Errorf("open between: got %v, want %v", got, test.want)
			}
		})
	}
}

// TestHoursUnknownZone refuses a zone that is not in the database, and the machine's own.
func TestHoursUnknownZone(t *testing.T) {
	for _, zone := range []string{"Europe/Atlantis", "Local", "../etc/passwd"} {
		if _, err := rules.ParseHours(openingHours(zone, office...)); err == nil {
			t.Errorf("zone %q: got no error, want one", zone)
		}
	}
}

// TestHoursPromise plays when an answer is due.
func TestHoursPromise(t *testing.T) { play(t, hourPromiseRows) }

var hourPromiseRows = []row{
	{
		id: "due_a_promise_after_the_wait_began_when_open", given: []step{hold("UTC", office...)}, when: customer.opens,
		log:  "Opened MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 0s-5m; line 0s; unanswered 1; messages 1",
	},
	{
		id: "due_a_promise_after_the_next_opening_when_closed", given: []step{hold("UTC", office...), unfired(8 * time.Hour)}, when: customer.opens,
		log:  "Opened MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 8h-24h5m; line 8h; unanswered 1; messages 1",
	},
	{
		id: "due_after_closing_if_it_was_open", given: []step{hold("UTC", office...), unfired(8*time.Hour - time.Minute)}, when: customer.opens,
		log:  "Opened MessageSent(asks) WaitBegan",
		want: "WAITING; promise RUNNING 7h59m-8h4m; line 7h59m; unanswered 1; messages 1",
	},
	{
		id: "at_risk_in_the_last_fifth_after_the_next_opening", given: []step{hold("UTC", office...), unfired(8 * time.Hour), customer.opens},
		when: after(16*time.Hour + 4*time.Minute), log: "PromiseAtRisk@24h4m",
		want: "WAITING; promise RUNNING 8h-24h5m at risk; line 8h; unanswered 1; messages 1",
	},
	{
		id:    "rejection_outside_hours_is_due_after_the_next_opening",
		given: then([]step{hold("UTC", office...)}, then(proposed, after(8*time.Hour))...), when: customer.rejects(1),
		log:  "ResolutionRejected WaitBegan",
		want: "WAITING; promise RUNNING 8h3m-24h5m; line 0s; owner ada; unanswered 1; resolutions REJECTED; rejections 1; messages 2",
	},
	{
		id:    "what_crossed_outside_hours_is_due_after_the_next_opening",
		given: []step{hold("UTC", office...), unfired(8*time.Hour - time.Minute), customer.opens, ada.claims, ada.looks, unfired(time.Minute), customer.sends},
		when:  ada.sends,
		log:   "MessageSent WaitAnswered(kept) WaitBegan",
		want:  "WAITING; promise RUNNING 8h-24h5m; line 8h; owner ada; unanswered 1; messages 3",
	},
}

// hold gives the workspace opening hours.
func hold(zone string, spans ...span) step {
	return func(k *talk) error {
		k.hours = mustParseHours(k.t, openingHours(zone, spans...))
		return nil
	}
}

// TestHoursBruteForce compares the next opening with a walk over the minutes, around changes of the clocks and away from them.
func TestHoursBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"}).Draw(t, "zone")
		change := rapid.SampledFrom([]string{
			"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z", "2026-04-04T15:00:00Z",
			"2026-10-03T15:30:00Z", "2026-07-01T00:00:00Z",
		}).Draw(t, "near")
		near := time.Duration(rapid.Int64Range(int64(-36*time.Hour), int64(12*time.Hour)).Draw(t, "offset"))
		at := instant(t, change).Add(near.Truncate(rapid.SampledFrom([]time.Duration{time.Microsecond, time.Minute, time.Hour}).Draw(t, "grain")))
		spans := rapid.SliceOfN(rapid.Custom(drawSpan), 1, 4).Draw(t, "spans")
		hours := mustParseHours(t, openingHours(zone, spans...))
		place, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}

		got := hours.Next(at)
		if want := walk(spans, place, at); !got.Equal(want) {
			t.Fatalf("next opening after %v: got %v, want %v", at.In(place), got.In(place), want.In(place))
		}
		if got.Before(at) {
			t.Fatalf("next opening: got %v, want not before %v", got, at)
		}
		if again := hours.Next(got); !again.Equal(got) {
			t.Fatalf("next opening at one: got %v, want %v", again, got)
		}
		minute := at.Truncate(time.Minute)
		var open time.Duration
		for m := range 36 * 60 {
			if isOpen(spans, minute.Add(time.Duration(m)*time.Minute).In(place)) {
				open += time.Minute
			}
		}
		if between := hours.Between(minute, minute.Add(36*time.Hour)); between != open {
			t.Fatalf("open between %v and 36 hours later: got %v, want %v", minute.In(place), between, open)
		}
	})
}

// drawSpan prefers the hours in which clocks change.
func drawSpan(t *rapid.T) span {
	quarter := rapid.OneOf(rapid.IntRange(0, 16), rapid.IntRange(0, 96))
	from, to := quarter.Draw(t, "open"), quarter.Draw(t, "close")
	if from > to {
		from, to = to, from
	}
	if from == to {
		from, to = from*95/96, from*95/96+1
	}
	day := rapid.OneOf(rapid.Just(7), rapid.IntRange(1, 7)).Draw(t, "day")
	return span{day, from/4*100 + from%4*15, to/4*100 + to%4*15}
}

// walk finds the next opening minute by minute. Offsets of these places are whole minutes, so that minutes of the wall clock
// begin where those of the absolute clock do.
func walk(spans []span, place *time.Location, at time.Time) time.Time {
	if isOpen(spans, at.In(place)) {
		return at
	}
	minute := at.Truncate(time.Minute)
	for range 9 * 24 * 60 {
		minute = minute.Add(time.Minute)
		if isOpen(spans, minute.In(place)) {
			return minute
		}
	}
	panic(fmt.Sprintf("closed for nine days: %v", spans))
}

func isOpen(spans []span, wall time.Time) bool {
	for _, s := range spans {
		clock := wall.Hour()*100 + wall.Minute()
		if (int(wall.Weekday())+6)%7+1 == s.day && s.open <= clock && clock < s.close {
			return true
		}
	}
	return false
}
