package support

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// grant is a credit that is to be made.
type grant struct {
	// Amount passed rules.CheckAmount.
	Amount *goodshipv1.CreditAmount
	// Reason is what the customer is told.
	Reason   string
	SettleBy time.Time
	// AgentID is who grants it, or IncidentID what it makes good.
	AgentID, IncidentID string
}

// grant makes a credit in a unit, under an id that was made before it: the event, the record, and the entry of the ledger.
// Allowances are not its business, nor is the currency of what an incident bound when its apology was sent off. Whoever runs the
// unit tells the timekeeper afterwards, by creditDue.
func (s *Service) grant(u *unit, id string, g grant) error {
	if g.IncidentID == "" {
		if err := rules.CheckCurrency(g.Amount, u.Settings.CurrencyCode); err != nil {
			return err
		}
	}
	customer, err := customerUnder(u.tx, u.Head.CustomerKey)
	if err != nil {
		return err
	}
	if err := checkBill(u.tx, customer, g.Amount.GetBasisPoints()); err != nil {
		return err
	}
	record := &storev1.CreditRecord{CustomerKey: customer.Key, Credit: &goodshipv1.Credit{
		Id: id, ConversationId: u.Head.Conversation.Id, Amount: g.Amount, Reason: g.Reason, AgentId: g.AgentID, IncidentId: g.IncidentID,
		State: goodshipv1.CreditState_CREDIT_STATE_PENDING, SettleByTime: timestamppb.New(g.SettleBy), CreateTime: timestamppb.New(u.Now),
	}}
	u.CreditGranted(id, g.Amount, g.SettleBy)
	if err := u.tx.PutCredit(record); err != nil {
		return err
	}
	return enter(u.tx, record, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_GRANTED)
}

// checkBill refuses basis points by which a customer's next bill would be less than nothing. What was granted to the visitors
// that the customer was comes off the same bill.
func checkBill(tx store.Tx, customer *storev1.CustomerRecord, more int32) error {
	if more == 0 {
		return nil
	}
	remaining := int32(rules.WholeBill)
	for _, key := range keysOf(customer) {
		ledger, err := tx.Ledger(key)
		if err != nil {
			return err
		}
		remaining -= ledger.BasisPointsOwed
	}
	if more <= remaining {
		return nil
	}
	remaining = max(remaining, 0)
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_BILL_IS_FREE,
		"The customer's next bill would be less than nothing: at most %d basis points can be granted until billing settles what is pending.", remaining).
		With("remaining", strconv.Itoa(int(remaining)))
}

const (
	// settleIn is how long billing has if nobody says, and settleWithin the most.
	settleIn, settleWithin = 30 * 24 * time.Hour, 400 * 24 * time.Hour
)

// GrantCredit grants a credit within what the agent who calls may.
func (s *Service) GrantCredit(ctx context.Context, req *goodshipv1.GrantCreditRequest) (*goodshipv1.Credit, error) {
	if err := rules.CheckAmount(req.Amount); err != nil {
		return nil, fault.Field("amount.money", "%v", err)
	}
	id, settleBy := newID(creditPrefix), time.Time{}
	r, err := s.work(ctx, req, func(u *unit) (err error) {
		if settleBy, err = settleTime(u.Now, req.SettleByTime); err != nil {
			return err
		}
		if err := u.MayCredit(); err != nil {
			return err
		}
		u.receipt.ObjectId = id
		if err := s.grant(u, id, grant{Amount: req.Amount, Reason: req.Reason, SettleBy: settleBy, AgentID: u.Actor.AgentID}); err != nil {
			return err
		}
		return s.spend(u, req.Amount)
	})
	s.keeper.creditDue(settleBy)
	if err != nil {
		return nil, err
	}
	return s.credit(ctx, r.ObjectId)
}

// settleTime returns by when billing settles a credit.
func settleTime(now time.Time, wanted *timestamppb.Timestamp) (time.Time, error) {
	if wanted == nil {
		return now.Add(settleIn), nil
	}
	at := wanted.AsTime()
	if !at.After(now) || at.After(now.Add(settleWithin)) {
		return time.Time{}, fault.Field("settle_by_time", "must be in the future and at most 400 days ahead")
	}
	return at, nil
}

// GetCredit returns a credit.
func (s *Service) GetCredit(ctx context.Context, req *goodshipv1.GetCreditRequest) (*goodshipv1.Credit, error) {
	return s.credit(ctx, req.CreditId)
}

// credit reads a credit as the caller sees it. One that is not the caller's to see is not found.
func (s *Service) credit(ctx context.Context, id string) (*goodshipv1.Credit, error) {
	c := callerFrom(ctx)
	r, err := s.store.Credit(ctx, c.Workspace, id)
	if err != nil {
		return nil, orMissing(err, noCredit())
	}
	if c.isCustomer() && !slices.Contains(c.CustomerKeys, r.CustomerKey) {
		return nil, noCredit()
	}
	seen, err := s.seenCredits(ctx, []*storev1.CreditRecord{r})
	if err != nil {
		return nil, err
	}
	return seen[0], nil
}

// seenCredits makes of records what the caller sees of the credits. The records are its to change.
func (s *Service) seenCredits(ctx context.Context, records []*storev1.CreditRecord) ([]*goodshipv1.Credit, error) {
	c := callerFrom(ctx)
	credits, ids := make([]*goodshipv1.Credit, len(records)), map[string]string{}
	for i, r := range records {
		id, known := ids[r.CustomerKey]
		if !known {
			var err error
			if id, err = s.customerOf(ctx, c, r.CustomerKey); err != nil {
				return nil, err
			}
			ids[r.CustomerKey] = id
		}
		r.Credit.CustomerId = id
		credits[i] = see(c, r.Credit)
	}
	return credits, nil
}

// customerOf returns the product's id of the customer under a key; empty if the customer was erased.
func (s *Service) customerOf(ctx context.Context, c Caller, key string) (string, error) {
	if c.isCustomer() {
		return c.ID, nil
	}
	customer, err := s.customerByKey(ctx, c.Workspace, key)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return customer.GetCustomer().GetId(), err
}

// ListCredits lists credits, newest first.
func (s *Service) ListCredits(ctx context.Context, req *goodshipv1.ListCreditsRequest) (*goodshipv1.ListCreditsResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	q, err := s.creditQuery(ctx, c, req)
	if err != nil {
		return nil, err
	}
	records, next, err := s.creditsOf(ctx, c.Workspace, q, req, p)
	if err != nil {
		return nil, err
	}
	if short := fitting(records); len(short) < len(records) {
		records, next = short, short[len(short)-1].Credit.Id
	}
	reply := &goodshipv1.ListCreditsResponse{}
	if next != "" {
		reply.NextPageToken = p.next([]byte(next))
	}
	reply.Credits, err = s.seenCredits(ctx, records)
	return reply, err
}

// creditReads is how often, and creditsAtOnce how many credits at least, the store is asked at most for one page of a list.
const creditReads, creditsAtOnce = 10, 250

// creditsOf returns a page of what the store's query finds and the request's other filters leave, and where the next one begins.
func (s *Service) creditsOf(ctx context.Context, workspace string, q store.CreditQuery, req *goodshipv1.ListCreditsRequest, p page) (found []*storev1.CreditRecord, next string, err error) {
	next = string(p.after)
	for range creditReads {
		var records []*storev1.CreditRecord
		if records, next, err = s.store.Credits(ctx, workspace, q, next, max(p.size, creditsAtOnce)); err != nil {
			return nil, "", err
		}
		for i, r := range records {
			if req.IncidentId != "" && r.Credit.IncidentId != req.IncidentId || req.Overdue && !r.Credit.Overdue {
				continue
			}
			if found = append(found, r); len(found) == p.size && (i < len(records)-1 || next != "") {
				return found, r.Credit.Id, nil
			}
		}
		if next == "" {
			break
		}
	}
	return found, next, nil
}

// creditQuery makes the store's query of a request's filters.
func (s *Service) creditQuery(ctx context.Context, c Caller, req *goodshipv1.ListCreditsRequest) (store.CreditQuery, error) {
	q := store.CreditQuery{ConversationID: req.ConversationId, State: req.State}
	if req.ConversationId != "" {
		if _, err := s.visible(ctx, req.ConversationId); err != nil {
			return q, err
		}
	}
	switch {
	case c.isCustomer() && req.CustomerId != "" && req.CustomerId != c.ID:
		return q, fault.Field("customer_id", "must be your own, or empty")
	case c.isCustomer() && req.IncidentId != "":
		return q, fault.Field("incident_id", "is not for customers: list your credits without it")
	case c.isCustomer() && req.Overdue:
		return q, fault.Field("overdue", "is not for customers: list your credits without it")
	case c.isCustomer():
		q.CustomerKeys = c.CustomerKeys
	case req.CustomerId != "":
		customer, err := s.customerByID(ctx, c.Workspace, req.CustomerId)
		if err != nil {
			return q, orMissing(err, noCustomer(req.CustomerId))
		}
		q.CustomerKeys = keysOf(customer)
	}
	if req.IncidentId != "" {
		if _, err := s.store.Incident(ctx, c.Workspace, req.IncidentId); err != nil {
			return q, orMissing(err, noIncident())
		}
	}
	return q, nil
}
