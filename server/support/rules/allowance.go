package rules

import (
	"fmt"
	"strconv"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc/codes"
)

// Purse is what somebody may grant on a day, and what they did.
type Purse struct {
	// Allowance may be nil, which allows nothing.
	Allowance *goodshipv1.Allowance
	Spent     *storev1.SpentRecord
	// Currency is the workspace's, empty if it has none. Money that is allowed in another allows nothing.
	Currency string
	// Reset is when the next day begins.
	Reset time.Time
	// Leads says that it is a leader's.
	Leads bool
}

// Spend notes a grant, or refuses it ABOVE_ALLOWANCE. The amount passed CheckAmount and CheckCurrency.
func (p Purse) Spend(a *goodshipv1.CreditAmount) error {
	if a.GetMoney() == nil {
		if err := p.basisPoints().check(p, int64(a.GetBasisPoints())); err != nil {
			return err
		}
		p.Spent.BasisPoints += a.GetBasisPoints()
		return nil
	}
	want, err := Mills(a.GetMoney())
	if err != nil {
		return err
	}
	room, err := p.money()
	if err != nil {
		return err
	}
	if err := room.check(p, want); err != nil {
		return err
	}
	p.Spent.Money, err = Sum(p.Spent.Money).Plus(p.Currency, want)
	return err
}

// Remaining returns what is left of the day: money, nil without a currency, and basis points.
func (p Purse) Remaining() (*money.Money, int32, error) {
	points := int32(p.basisPoints().day)
	if p.Currency == "" {
		return nil, points, nil
	}
	room, err := p.money()
	return Money(p.Currency, room.day), points, err
}

// room is how much of one kind can be granted: with one grant at most, and with what is left of a whole day's.
type room struct {
	kind              string
	grant, day, whole int64
	// words tells an amount of it, and unit what it is counted in, if the words do not.
	words func(int64) string
	unit  string
}

func (p Purse) basisPoints() room {
	whole := p.Allowance.GetBasisPointsPerDay()
	return room{
		kind: "basis_points", grant: int64(p.Allowance.GetBasisPointsPerGrant()), day: int64(max(0, whole-p.Spent.GetBasisPoints())), whole: int64(whole),
		words: func(n int64) string { return strconv.FormatInt(n, 10) }, unit: " basis points",
	}
}

func (p Purse) money() (room, error) {
	grant, err := p.allowed(p.Allowance.GetMoneyPerGrant())
	if err != nil {
		return room{}, err
	}
	whole, err := p.allowed(p.Allowance.GetMoneyPerDay())
	if err != nil {
		return room{}, err
	}
	spent, err := Sum(p.Spent.GetMoney()).Of(p.Currency)
	return room{
		kind: "money", grant: grant, day: max(0, whole-spent), whole: whole,
		words: func(mills int64) string { return Words(p.Currency, mills) },
	}, err
}

// allowed returns how much of a limit is in the workspace's currency, in mills.
func (p Purse) allowed(m *money.Money) (int64, error) {
	if m.GetCurrencyCode() != p.Currency {
		return 0, nil
	}
	return Mills(m)
}

// check refuses more than there is room for, by the limit that leaves less, and says how much could be granted.
func (r room) check(p Purse, want int64) error {
	limit, remaining := r.kind+"_per_grant", r.grant
	if r.day < r.grant {
		limit, remaining = r.kind+"_per_day", r.day
	}
	if want <= remaining {
		return nil
	}
	f := fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_ABOVE_ALLOWANCE, "%s", r.above(p, limit, remaining)).
		With("limit", limit).With("remaining", r.words(remaining))
	if r.day < r.grant {
		f = f.With("reset_time", p.Reset.UTC().Format(time.RFC3339))
	}
	return f
}

// above says what to do instead of a grant that is above a limit of what remains.
func (r room) above(p Purse, limit string, remaining int64) string {
	ask := "ask a leader"
	if p.Leads {
		ask = "have a key with the scope ADMIN allow more"
	}
	switch {
	case remaining > 0:
		return fmt.Sprintf("The credit is above what you may grant now by %s: grant at most %s, or %s.", limit, r.words(remaining)+r.unit, ask)
	case r.grant > 0 && r.whole > 0:
		return fmt.Sprintf("Nothing is left of today's allowance by %s; it is whole again at %s. Until then %s.", limit, p.Reset.UTC().Format(time.RFC3339), ask)
	}
	return fmt.Sprintf("You may not grant this by yourself, since your allowance has no %s: %s.", limit, ask)
}
