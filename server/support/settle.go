package support

import (
	"context"
	"errors"
	"sync"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// settleAtOnce is how many credits of a call are settled at once, so that they share commits.
const settleAtOnce = 64

// creditUnit is one unit of work on one credit: its record, and its conversation, nil if that was removed.
type creditUnit struct {
	*storev1.CreditRecord
	tx   store.Tx
	unit *unit
}

// openCredit reads a credit for a caller's change, with its conversation; what time has done to both is applied. The zero caller
// stands for time.
func (s *Service) openCredit(tx store.Tx, c Caller, id string) (*creditUnit, error) {
	record, err := tx.Credit(id)
	if err != nil {
		return nil, orMissing(err, noCredit())
	}
	u := &creditUnit{CreditRecord: record, tx: tx}
	if conversation := record.Credit.ConversationId; conversation != "" {
		if u.unit, err = s.begin(tx, c, conversation); err != nil && !errors.Is(err, noConversation()) {
			return nil, err
		}
	}
	settleBy := record.Credit.SettleByTime.AsTime()
	if !u.pending() || record.Credit.Overdue || tx.Now().Before(settleBy) {
		return u, nil
	}
	record.Credit.Overdue = true
	if u.unit != nil {
		u.unit.CreditOverdue(id, settleBy)
	}
	return u, nil
}

func (u *creditUnit) pending() bool {
	return u.Credit.State == goodshipv1.CreditState_CREDIT_STATE_PENDING
}

// end brings the credit to its end, with why or what billing calls it noted before.
func (u *creditUnit) end(state goodshipv1.CreditState, kind goodshipv1.LedgerEntryKind) error {
	u.Credit.State, u.Credit.EndTime = state, timestamppb.New(u.tx.Now())
	if u.unit != nil {
		u.unit.CreditEnded(u.Credit.Id, state)
	}
	if err := enter(u.tx, u.CreditRecord, kind); err != nil {
		return err
	}
	return u.finish()
}

// finish puts the credit, and appends what happened to its conversation.
func (u *creditUnit) finish() error {
	if err := u.tx.PutCredit(u.CreditRecord); err != nil || u.unit == nil {
		return err
	}
	return u.unit.append()
}

// SettleCredits tells what billing did with credits, each in a unit of its own.
func (s *Service) SettleCredits(ctx context.Context, req *goodshipv1.SettleCreditsRequest) (*goodshipv1.SettleCreditsResponse, error) {
	reply := &goodshipv1.SettleCreditsResponse{Results: make([]*goodshipv1.SettleResult, len(req.Settlements))}
	errs, slots := make([]error, len(req.Settlements)), make(chan struct{}, settleAtOnce)
	var all sync.WaitGroup
	for _, items := range byCredit(req.Settlements) {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for _, i := range items {
				errs[i] = contained(func() (err error) { // nobody else would take a panic in
					reply.Results[i], err = s.settled(ctx, req.Settlements[i])
					return err
				})
			}
		})
	}
	all.Wait()
	return reply, errors.Join(errs...)
}

// byCredit returns the indexes of settlements, those of one credit together and in order.
func byCredit(settlements []*goodshipv1.Settlement) [][]int {
	var groups [][]int
	group := map[string]int{}
	for i, item := range settlements {
		g, ok := group[item.CreditId]
		if !ok {
			g = len(groups)
			group[item.CreditId], groups = g, append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// settled returns what became of a settlement; an error is one that nobody understood, or that ends the call.
func (s *Service) settled(ctx context.Context, item *goodshipv1.Settlement) (*goodshipv1.SettleResult, error) {
	result := &goodshipv1.SettleResult{CreditId: item.CreditId}
	credit, err := s.settle(ctx, item)
	if err == nil {
		result.Result = &goodshipv1.SettleResult_Credit{Credit: credit}
		return result, nil
	}
	var f *fault.Fault
	if !errors.As(Fault(err), &f) || f.GRPCStatus().Code() == codes.Unauthenticated {
		return nil, err
	}
	result.Result = &goodshipv1.SettleResult_Error{Error: f.GRPCStatus().Proto()}
	return result, nil
}

// settle lets billing say what it did with a credit.
func (s *Service) settle(ctx context.Context, item *goodshipv1.Settlement) (*goodshipv1.Credit, error) {
	_, err := s.update(ctx, callerFrom(ctx), store.Once{}, func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		u, err := s.openCredit(tx, c, item.CreditId)
		if err != nil {
			return nil, err
		}
		switch {
		case u.says(item):
			return nil, nil
		case !u.pending():
			return nil, creditNotPending(u.Credit)
		}
		return nil, u.settle(item)
	})
	if err != nil {
		return nil, err
	}
	return s.credit(ctx, item.CreditId)
}

// says reports whether the credit is settled as a settlement says already. Why it was refused is gone once its customer is.
func (u *creditUnit) says(item *goodshipv1.Settlement) bool {
	switch u.Credit.State {
	case goodshipv1.CreditState_CREDIT_STATE_SETTLED:
		return u.Credit.BillingReference == item.GetBillingReference()
	case goodshipv1.CreditState_CREDIT_STATE_REFUSED:
		return item.GetRefusal() != "" && (u.Credit.EndReason == item.GetRefusal() || u.Credit.EndReason == "")
	}
	return false
}

func (u *creditUnit) settle(item *goodshipv1.Settlement) error {
	if reference := item.GetBillingReference(); reference != "" {
		u.Credit.BillingReference = reference
		return u.end(goodshipv1.CreditState_CREDIT_STATE_SETTLED, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_SETTLED)
	}
	if err := u.because(item.GetRefusal()); err != nil {
		return err
	}
	return u.end(goodshipv1.CreditState_CREDIT_STATE_REFUSED, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_REFUSED)
}

// because notes why the credit ends. Of a customer who was erased nothing is noted.
func (u *creditUnit) because(reason string) error {
	_, err := u.tx.CustomerByKey(u.CustomerKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	u.Credit.EndReason = reason
	return err
}

// ReverseCredit takes a PENDING credit back.
func (s *Service) ReverseCredit(ctx context.Context, req *goodshipv1.ReverseCreditRequest) (*goodshipv1.Credit, error) {
	c := callerFrom(ctx)
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		u, err := s.openCredit(tx, c, req.CreditId)
		if err != nil {
			return nil, err
		}
		if c.Kind != goodshipv1.Caller_CALLER_LEADER && u.Credit.AgentId != c.ID {
			return nil, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_NOT_THE_AUTHOR,
				"Only who granted the credit, and leaders, take it back. Ask one of them.")
		}
		if !u.pending() {
			return nil, creditNotPending(u.Credit)
		}
		if err := u.because(req.Reason); err != nil {
			return nil, err
		}
		return &storev1.Receipt{ObjectId: req.CreditId}, u.end(goodshipv1.CreditState_CREDIT_STATE_REVERSED, goodshipv1.LedgerEntryKind_LEDGER_ENTRY_KIND_REVERSED)
	})
	if err != nil {
		return nil, err
	}
	return s.credit(ctx, result.Receipt.ObjectId)
}

func creditState(c *goodshipv1.Credit) string { return c.State.String()[len("CREDIT_STATE_"):] }

func creditNotPending(c *goodshipv1.Credit) error {
	state := creditState(c)
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_CREDIT_NOT_PENDING,
		"The credit is %s and stays so. Read it to see how it ended.", state).With("state", state)
}
