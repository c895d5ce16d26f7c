package apology

import (
	"fmt"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
)

// Words returns a credit in words: `5.00 EUR`, with as many decimals as the currency has, or more if the amount has them; or `12.5 % of your next bill`.
func Words(c *goodshipv1.CreditAmount) string {
	if m := c.GetMoney(); m != nil {
		return number(c) + " " + m.CurrencyCode
	}
	return number(c) + " % of your next bill"
}

// number returns a credit's amount of money, or its percentage, as it is written.
func number(c *goodshipv1.CreditAmount) string {
	if m := c.GetMoney(); m != nil {
		return trimZeros(fmt.Sprintf("%d.%09d", m.Units, m.Nanos), rules.Decimals(m.CurrencyCode))
	}
	return trimZeros(fmt.Sprintf("%d.%02d", c.GetBasisPoints()/100, c.GetBasisPoints()%100), 0)
}

// trimZeros cuts the zeros at the end of a number's decimals, but leaves so many decimals.
func trimZeros(number string, leave int) string {
	point := strings.IndexByte(number, '.')
	for len(number)-point-1 > leave && strings.HasSuffix(number, "0") {
		number = number[:len(number)-1]
	}
	return strings.TrimSuffix(number, ".")
}
