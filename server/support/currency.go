package support

import (
	"errors"
	"slices"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"golang.org/x/text/currency"
	"google.golang.org/genproto/googleapis/type/money"
)

// checkPlace refuses a time zone and a currency that nobody knows, where they are set.
func checkPlace(req *goodshipv1.UpdateWorkspaceRequest) error {
	changed, w := req.UpdateMask.Paths, req.Workspace
	if _, err := time.LoadLocation(w.TimeZone); slices.Contains(changed, "time_zone") && (err != nil || w.TimeZone == "" || w.TimeZone == "Local") {
		return fault.Field("workspace.time_zone", "must be the IANA name of a time zone, as in Europe/Madrid")
	}
	if !slices.Contains(changed, "currency_code") || w.CurrencyCode == "" {
		return nil
	}
	if _, err := currency.ParseISO(w.CurrencyCode); err != nil {
		return fault.Field("workspace.currency_code", "must be the ISO 4217 code of a currency, as in EUR")
	}
	return nil
}

// limit is an amount that settings allow, by its path.
type limit struct {
	path   string
	amount *money.Money
}

// limitsOf returns the amounts of an allowance, which may be nil.
func limitsOf(path string, a *goodshipv1.Allowance) []limit {
	return []limit{{path + ".money_per_grant", a.GetMoneyPerGrant()}, {path + ".money_per_day", a.GetMoneyPerDay()}}
}

// checkCurrency refuses settings by which amounts would be in another currency than the workspace's, or would be none.
func checkCurrency(w *goodshipv1.Workspace, changed []string) error {
	all := slices.Concat(limitsOf("allowance", w.Allowance), limitsOf("leader_allowance", w.LeaderAllowance),
		[]limit{{"incident_ceiling.money", w.IncidentCeiling.GetMoney()}})
	for _, l := range all {
		err := l.check(w.CurrencyCode)
		switch {
		case err == nil:
		case slices.Contains(changed, "currency_code") && !slices.ContainsFunc(changed, l.within):
			return fault.Field("workspace.currency_code", "must be the currency of %s: set that with it", l.path)
		default:
			return fault.Field("workspace."+l.path, "%v", err)
		}
	}
	return nil
}

// within reports whether an amount is part of a setting.
func (l limit) within(setting string) bool {
	return len(l.path) > len(setting) && l.path[:len(setting)+1] == setting+"."
}

// check returns what is wrong with an amount in a workspace of a currency, in words for a violation; nil if nothing, or if it is
// absent.
func (l limit) check(currency string) error {
	if l.amount == nil {
		return nil
	}
	mills, err := rules.Mills(l.amount)
	switch {
	case err != nil:
		return err
	case mills < 0:
		return errors.New("must not be below 0")
	case currency == "":
		return errors.New("needs the workspace's currency_code: set that first, or with it")
	case l.amount.CurrencyCode != currency:
		return errors.New("must be in the workspace's currency, " + currency)
	}
	return nil
}

// checkOwnAllowance refuses an agent's allowance that is not in the workspace's currency.
func checkOwnAllowance(tx store.Tx, a *goodshipv1.Allowance) error {
	if a == nil {
		return nil
	}
	w, err := tx.Workspace()
	if err != nil {
		return err
	}
	for _, l := range limitsOf("agent.allowance", a) {
		if err := l.check(w.Workspace.CurrencyCode); err != nil {
			return fault.Field(l.path, "%v", err)
		}
	}
	return nil
}
