package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"golang.org/x/text/currency"
	"google.golang.org/genproto/googleapis/type/money"
)

// Money is counted in thousandths of its currency, mills, so that sums are exact.
const (
	millsPerUnit, nanosPerMill = 1000, 1_000_000
	// maxUnits is the most that an amount may be at all, far from what overflows.
	maxUnits = 1_000_000_000_000_000
	// MaxCredit is the most of one credit, in mills.
	MaxCredit = 1_000_000 * millsPerUnit
	// WholeBill is a bill in basis points.
	WholeBill = 10_000
)

var (
	errTooFine  = errors.New("must have at most three decimals")
	errTooLarge = errors.New("must be at most 1,000,000,000,000,000")
	errSigns    = errors.New("must have units and nanos of the same sign, and nanos below one unit")
)

// Mills returns an amount of money in mills; 0 if it is absent. Its error says, for a violation, how an amount must be.
func Mills(m *money.Money) (int64, error) {
	units, nanos := m.GetUnits(), int64(m.GetNanos())
	switch {
	case units > maxUnits || units < -maxUnits:
		return 0, errTooLarge
	case units > 0 && nanos < 0 || units < 0 && nanos > 0 || nanos >= 1_000_000_000 || nanos <= -1_000_000_000:
		return 0, errSigns
	case nanos%nanosPerMill != 0:
		return 0, errTooFine
	}
	return units*millsPerUnit + nanos/nanosPerMill, nil
}

// Money returns mills as an amount in a currency.
func Money(currency string, mills int64) *money.Money {
	return &money.Money{CurrencyCode: currency, Units: mills / millsPerUnit, Nanos: int32(mills % millsPerUnit * nanosPerMill)}
}

// maxDecimals is how many decimals mills have.
const maxDecimals = 3

// Decimals returns how many decimals amounts of a currency have, at most three: the digits of the Unicode CLDR, two of a currency
// that is not known.
func Decimals(code string) int {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	scale, _ := currency.Standard.Rounding(unit)
	return min(scale, maxDecimals)
}

// step returns the least amount of a currency, in mills.
func step(code string) int64 { return [maxDecimals + 1]int64{1000, 100, 10, 1}[Decimals(code)] }

// Words returns an amount as people read it, with the decimals of its currency, or more if it has them: `5.00 EUR`, `500 JPY`.
func Words(currency string, mills int64) string {
	sign := ""
	if mills < 0 {
		sign, mills = "-", -mills
	}
	number := fmt.Sprintf("%s%d.%03d", sign, mills/millsPerUnit, mills%millsPerUnit)
	for range maxDecimals - Decimals(currency) {
		number = strings.TrimSuffix(number, "0")
	}
	return strings.TrimSuffix(number, ".") + " " + currency
}

// Sum is amounts of money by currency, at most one of each, in the order of their codes.
type Sum []*money.Money

// Of returns what there is in a currency, in mills.
func (s Sum) Of(currency string) (int64, error) {
	i, found := s.find(currency)
	if !found {
		return 0, nil
	}
	return Mills(s[i])
}

// Plus returns the sum with mills more in a currency.
func (s Sum) Plus(currency string, mills int64) (Sum, error) {
	i, found := s.find(currency)
	if !found {
		return slices.Insert(s, i, Money(currency, mills)), nil
	}
	before, err := Mills(s[i])
	if err != nil {
		return nil, err
	}
	s[i] = Money(currency, before+mills)
	return s, nil
}

func (s Sum) find(currency string) (int, bool) {
	return slices.BinarySearchFunc(s, currency, func(m *money.Money, code string) int { return strings.Compare(m.CurrencyCode, code) })
}

// CheckAmount returns what is wrong with what a credit is to be worth, in words for a violation; nil if nothing.
func CheckAmount(a *goodshipv1.CreditAmount) error {
	m := a.GetMoney()
	if m == nil {
		return nil
	}
	switch mills, err := Mills(m); {
	case err != nil:
		return err
	case mills <= 0 || mills > MaxCredit:
		return errors.New("must be more than 0 and at most 1,000,000")
	case mills%step(m.CurrencyCode) != 0:
		return fmt.Errorf("must have at most %d decimals, as %s has", Decimals(m.CurrencyCode), m.CurrencyCode)
	}
	return nil
}
