package rules_test

import (
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func euros(mills int64) *money.Money { return rules.Money("EUR", mills) }

func eurosOf(mills int64) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: euros(mills)}}
}

func pointsOf(n int32) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_BasisPoints{BasisPoints: n}}
}

// purse is one of 5 a grant and 12 a day, in euros and in hundreds of basis points.
func purse(spent *storev1.SpentRecord) rules.Purse {
	return rules.Purse{
		Allowance: &goodshipv1.Allowance{MoneyPerGrant: euros(5000), MoneyPerDay: euros(12_000), BasisPointsPerGrant: 500, BasisPointsPerDay: 1200},
		Spent:     spent, Currency: "EUR", Reset: epoch.Add(15 * time.Hour),
	}
}

func TestAllowance(t *testing.T) {
	t.Parallel()
	const above = "PermissionDenied ABOVE_ALLOWANCE limit="
	reset := " reset_time=2026-03-03T00:00:00Z"
	for _, c := range []struct {
		name   string
		spent  *storev1.SpentRecord
		change func(*rules.Purse)
		amount *goodshipv1.CreditAmount
		want   string
	}{
		{name: "a grant at its limit", amount: eurosOf(5000)},
		{name: "a grant above its limit", amount: eurosOf(5001), want: above + "money_per_grant remaining=5.00 EUR"},
		{name: "the last of the day", spent: &storev1.SpentRecord{Money: []*money.Money{euros(7000)}}, amount: eurosOf(5000)},
		{
			name: "more than the rest of the day", spent: &storev1.SpentRecord{Money: []*money.Money{euros(8500)}}, amount: eurosOf(3501),
			want: above + "money_per_day remaining=3.50 EUR" + reset,
		},
		{
			name: "more than a grant when less is left of the day", spent: &storev1.SpentRecord{Money: []*money.Money{euros(11_995)}}, amount: eurosOf(9000),
			want: above + "money_per_day remaining=0.005 EUR" + reset,
		},
		{
			name: "after the allowance was lowered", spent: &storev1.SpentRecord{Money: []*money.Money{euros(20_000)}}, amount: eurosOf(1),
			want: above + "money_per_day remaining=0.00 EUR" + reset,
		},
		{name: "what was granted in another currency counts apart", spent: &storev1.SpentRecord{Money: []*money.Money{rules.Money("CHF", 12_000)}}, amount: eurosOf(5000)},
		{
			name: "an allowance in a currency that is not the workspace's any more", change: func(p *rules.Purse) { p.Currency = "CHF" },
			amount: &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: rules.Money("CHF", 1)}},
			want:   above + "money_per_grant remaining=0.00 CHF",
		},
		{name: "no allowance", change: func(p *rules.Purse) { p.Allowance = nil }, amount: eurosOf(1), want: above + "money_per_grant remaining=0.00 EUR"},
		{
			name: "no allowance of basis points", change: func(p *rules.Purse) { p.Allowance = nil }, amount: pointsOf(1),
			want: above + "basis_points_per_grant remaining=0",
		},
		{name: "basis points at their limit", amount: pointsOf(500)},
		{name: "basis points above their limit", amount: pointsOf(501), want: above + "basis_points_per_grant remaining=500"},
		{
			name: "basis points above the rest of the day", spent: &storev1.SpentRecord{BasisPoints: 1000}, amount: pointsOf(201),
			want: above + "basis_points_per_day remaining=200" + reset,
		},
		{name: "money spent takes no basis points", spent: &storev1.SpentRecord{Money: []*money.Money{euros(12_000)}}, amount: pointsOf(500)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.spent == nil {
				c.spent = &storev1.SpentRecord{}
			}
			p, before := purse(c.spent), proto.CloneOf(c.spent)
			if c.change != nil {
				c.change(&p)
			}
			compare(t, "fault", describe(t, p.Spend(c.amount)), c.want)
			if c.want != "" && !proto.Equal(c.spent, before) {
				t.Errorf("spent by a refused grant: got %v, want %v", c.spent, before)
			}
		})
	}
}

// TestAllowanceInWords reads what to do where a grant is refused.
func TestAllowanceInWords(t *testing.T) {
	t.Parallel()
	spent := &storev1.SpentRecord{Money: []*money.Money{euros(12_000)}, BasisPoints: 1000}
	const above, nothing, never = "The credit is above what you may grant now by ", "Nothing is left of today's allowance by ", "You may not grant this by yourself, since your allowance has no "
	for _, c := range []struct {
		name   string
		spent  *storev1.SpentRecord
		change func(*rules.Purse)
		amount *goodshipv1.CreditAmount
		want   string
	}{
		{"a grant", &storev1.SpentRecord{}, nil, eurosOf(5001), above + "money_per_grant: grant at most 5.00 EUR, or ask a leader."},
		{"points", spent, nil, pointsOf(201), above + "basis_points_per_day: grant at most 200 basis points, or ask a leader."},
		{"nothing left", spent, nil, eurosOf(1), nothing + "money_per_day; it is whole again at 2026-03-03T00:00:00Z. Until then ask a leader."},
		{
			"nothing left of a leader's", spent, func(p *rules.Purse) { p.Leads = true }, eurosOf(1),
			nothing + "money_per_day; it is whole again at 2026-03-03T00:00:00Z. Until then have a key with the scope ADMIN allow more.",
		},
		{"no allowance", spent, func(p *rules.Purse) { p.Allowance = nil }, pointsOf(1), never + "basis_points_per_grant: ask a leader."},
		{"no allowance of a day", spent, func(p *rules.Purse) { p.Allowance.MoneyPerDay = nil }, eurosOf(1), never + "money_per_day: ask a leader."},
	} {
		p := purse(c.spent)
		if c.change != nil {
			c.change(&p)
		}
		compare(t, c.name, sentence(p.Spend(c.amount)), c.want)
	}
}

// sentence returns what a fault says.
func sentence(err error) string { return status.Convert(err).Message() }

// TestAllowanceOfADay grants what chance brings on one day, against a plain sum.
func TestAllowanceOfADay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, mills, points := purse(&storev1.SpentRecord{}), int64(0), int32(0)
		for range rapid.IntRange(1, 30).Draw(t, "grants") {
			if rapid.Bool().Draw(t, "money") {
				want := rapid.Int64Range(1, 6000).Draw(t, "mills")
				fits := want <= 5000 && mills+want <= 12_000
				if got := p.Spend(eurosOf(want)) == nil; got != fits {
					t.Fatalf("%d after %d: got granted %v, want %v", want, mills, got, fits)
				}
				if fits {
					mills += want
				}
			} else {
				want := rapid.Int32Range(1, 600).Draw(t, "points")
				fits := want <= 500 && points+want <= 1200
				if got := p.Spend(pointsOf(want)) == nil; got != fits {
					t.Fatalf("%d after %d: got granted %v, want %v", want, points, got, fits)
				}
				if fits {
					points += want
				}
			}
			money, left, err := p.Remaining()
			if err != nil || !proto.Equal(money, euros(12_000-mills)) || left != 1200-points {
				t.Fatalf("remaining: got %v and %d (%v), want %v and %d", money, left, err, euros(12_000-mills), 1200-points)
			}
		}
	})
}

func TestDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, place, at, day, next string }{
		{"a day of 24 hours", "Europe/Madrid", "2026-03-02T22:59:59Z", "2026-03-02", "2026-03-02T23:00:00Z"},
		{"at midnight", "Europe/Madrid", "2026-03-02T23:00:00Z", "2026-03-03", "2026-03-03T23:00:00Z"},
		{"a day of 23 hours", "Europe/Madrid", "2026-03-28T23:00:00Z", "2026-03-29", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours", "Europe/Madrid", "2026-10-24T22:00:00Z", "2026-10-25", "2026-10-25T23:00:00Z"},
		{"the hour that comes twice", "Europe/Madrid", "2026-10-25T01:30:00Z", "2026-10-25", "2026-10-25T23:00:00Z"},
		{"midnight is skipped", "Africa/Cairo", "2024-04-25T12:00:00Z", "2024-04-25", "2024-04-25T22:00:00Z"},
		{"midnight comes twice", "Africa/Cairo", "2024-10-31T20:30:00Z", "2024-10-31", "2024-10-31T22:00:00Z"},
		{"a day is skipped", "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29", "2011-12-30T10:00:00Z"},
		{"half an hour off", "Asia/Kolkata", "2026-03-02T18:29:59.999999Z", "2026-03-02", "2026-03-02T18:30:00Z"},
		{"UTC", "UTC", "2026-12-31T23:59:59Z", "2026-12-31", "2027-01-01T00:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			place, err := time.LoadLocation(c.place)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339Nano, c.at)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "day", rules.Day(at, place), c.day)
			compare(t, "next day", rules.NextDay(at, place).Format(time.RFC3339Nano), c.next)
		})
	}
}

// TestNextDayBruteForce compares it with a walk over the minutes, around every change of the clocks of some years.
func TestNextDayBruteForce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Madrid", "Africa/Cairo", "Asia/Beirut", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"} {
		place, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := time.Date(2009, time.January, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2013; {
			_, change := at.In(place).ZoneBounds()
			if change.IsZero() {
				break
			}
			for from := change.Add(-26 * time.Hour); from.Before(change.Add(26 * time.Hour)); from = from.Add(37 * time.Minute) {
				day, want := rules.Day(from, place), from.Truncate(time.Minute)
				for rules.Day(want, place) == day {
					want = want.Add(time.Minute)
				}
				if got := rules.NextDay(from, place); !got.Equal(want) {
					t.Fatalf("%s, the day after %v: got %v, want %v", name, from, got, want.UTC())
				}
			}
			at = change
		}
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		units int64
		nanos int32
		mills int64
		words string
	}{
		{0, 0, 0, "0.00 EUR"}, {5, 0, 5000, "5.00 EUR"}, {5, 500_000_000, 5500, "5.50 EUR"}, {0, 1_000_000, 1, "0.001 EUR"},
		{-5, -10_000_000, -5010, "-5.01 EUR"}, {0, -1_000_000, -1, "-0.001 EUR"}, {1_000_000_000_000_000, 0, 1_000_000_000_000_000_000, "1000000000000000.00 EUR"},
	} {
		m := &money.Money{CurrencyCode: "EUR", Units: c.units, Nanos: c.nanos}
		got, err := rules.Mills(m)
		if err != nil || got != c.mills {
			t.Errorf("mills of %v: got %d and %v, want %d", m, got, err, c.mills)
		}
		if back := rules.Money("EUR", c.mills); !proto.Equal(back, m) {
			t.Errorf("%d mills: got %v, want %v", c.mills, back, m)
		}
		compare(t, "words", rules.Words("EUR", c.mills), c.words)
	}
	compare(t, "without decimals", rules.Words("JPY", 500_000)+", "+rules.Words("JPY", 2_500), "500 JPY, 2.5 JPY")
	compare(t, "three decimals", rules.Words("KWD", 5_000), "5.000 KWD")
	for _, m := range []*money.Money{
		{Units: 1, Nanos: 1}, {Nanos: 999_999}, {Units: 1, Nanos: -1_000_000}, {Units: -1, Nanos: 1_000_000}, {Nanos: 1_000_000_000}, {Nanos: -1_000_000_000},
		{Units: 1_000_000_000_000_001}, {Units: -1 << 63}, {Units: 1<<63 - 1},
	} {
		if got, err := rules.Mills(m); err == nil {
			t.Errorf("mills of %v: got %d, want an error", m, got)
		}
	}
}

func TestAmount(t *testing.T) {
	t.Parallel()
	for amount, ok := range map[*goodshipv1.CreditAmount]bool{
		eurosOf(10): true, eurosOf(1_000_000_000): true, eurosOf(1): false, eurosOf(0): false, eurosOf(-1): false, eurosOf(1_000_000_001): false, pointsOf(1): true,
		{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "EUR", Units: 1, Nanos: 1}}}:           false,
		{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "JPY", Units: 2}}}:                     true,
		{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "JPY", Units: 2, Nanos: 500_000_000}}}: false,
		{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "KWD", Nanos: 5_000_000}}}:             true,
	} {
		if err := rules.CheckAmount(amount); (err == nil) != ok {
			t.Errorf("%v: got %v, want it to be right: %v", amount, err, ok)
		}
	}
	for code, want := range map[string]string{
		"EUR": "", "CHF": "FailedPrecondition CURRENCY_MISMATCH currency_code=CHF", "": "FailedPrecondition CURRENCY_MISMATCH",
	} {
		compare(t, "fault in a workspace of "+code, describe(t, rules.CheckCurrency(eurosOf(1), code)), want)
		compare(t, "fault of basis points", describe(t, rules.CheckCurrency(pointsOf(1), code)), "")
	}
	nowhere := &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{Units: 1}}}
	compare(t, "fault of money of no currency", describe(t, rules.CheckCurrency(nowhere, "")), "FailedPrecondition CURRENCY_MISMATCH")
}

// TestLedger enters what chance brings: each balance is the sum of the entries.
func TestLedger(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &storev1.LedgerRecord{}
		owed, settled, points := map[string]int64{}, map[string]int64{}, int32(0)
		for i := range rapid.IntRange(1, 40).Draw(t, "entries") {
			kind := goodshipv1.LedgerEntryKind(rapid.Int32Range(1, 4).Draw(t, "kind"))
			credit := &goodshipv1.Credit{Id: "cred_1", Amount: pointsOf(rapid.Int32Range(1, 10_000).Draw(t, "points"))}
			code := rapid.SampledFrom([]string{"", "CHF", "EUR", "USD"}).Draw(t, "currency")
			if code != "" {
				credit.Amount.Amount = &goodshipv1.CreditAmount_Money{Money: rules.Money(code, rapid.Int64Range(1, rules.MaxCredit).Draw(t, "mills"))}
			}
			e, err := rules.Enter(l, credit, kind, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if e.Number != int32(i+1) || l.EntryCount != e.Number || e.CreditId != "cred_1" || e.Kind != kind || (e.Money == nil) != (code == "") {
				t.Fatalf("entry: got %v of %d, want number %d of it, of %v", e, l.EntryCount, i+1, credit)
			}
			points += e.BasisPoints
			if code != "" {
				mills := must(rules.Mills(e.Money))
				owed[code] += mills
				if kind == goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED {
					settled[code] -= mills
				}
				if (mills > 0) != (kind == goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED) {
					t.Fatalf("%v: got %d mills", kind, mills)
				}
			}
		}
		if l.BasisPointsOwed != points || len(l.Balances) != len(owed) {
			t.Fatalf("sums: got %v, want %d basis points and %v", l, points, owed)
		}
		last := ""
		for _, b := range l.Balances {
			code := b.Owed.CurrencyCode
			if code <= last || must(rules.Mills(b.Owed)) != owed[code] || must(rules.Mills(b.Settled)) != settled[code] || b.Settled.CurrencyCode != code {
				t.Fatalf("balance: got %v after %q, want %d owed and %d settled", b, last, owed[code], settled[code])
			}
			last = code
		}
	})
}

func must(n int64, err error) int64 {
	if err != nil {
		panic(err)
	}
	return n
}
