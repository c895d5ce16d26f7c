package apology

import (
	"fmt"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
)

// Words returns a credit, which passed rules.CheckAmount, in words: money as rules.Words writes it, or `12.5 % of your next bill`.
func Words(c *goodshipv1.CreditAmount) string {
	if m := c.GetMoney(); m != nil {
		mills, _ := rules.Mills(m)
		return rules.Words(m.CurrencyCode, mills)
	}
	return trimZeros(fmt.Sprintf("%d.%02d", c.GetBasisPoints()/100, c.GetBasisPoints()%100)) + " % of your next bill"
}

// number returns the number that a credit's words begin with.
func number(c *goodshipv1.CreditAmount) string {
	n, _, _ := strings.Cut(Words(c), " ")
	return n
}

// trimZeros cuts the zeros at the end of a number's decimals, and a point that nothing follows.
func trimZeros(number string) string { return strings.TrimSuffix(strings.TrimRight(number, "0"), ".") }
