package support

import (
	"context"
	"errors"
	"math"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// An erasure is a record and a run of small units, so that it survives anything and holds nobody up. First the conversations go,
// and with the last of them who the person was: from then on nothing can be added to them, and the product's id, should it come
// again, is a new person's. Then incidents and credits lose what they say of the person. Conversations are counted in the unit that
// removes them, the rest anew by each run, so that a run that begins again after a crash counts nothing twice.

const (
	// eraseFor is how long EraseCustomer waits for an erasure to be done.
	eraseFor = 5 * time.Second
	// unitConversations and unitEvents bound what one unit removes; what is larger by itself is alone in its unit.
	unitConversations, unitEvents = 16, 2000
	// erasePage is how many credits one unit looks at, how many erasures are read at once, and of how many incidents one looks for the person, for each of their keys.
	erasePage = 100
)

// EraseCustomer removes a person for good.
func (s *Service) EraseCustomer(ctx context.Context, req *goodshipv1.EraseCustomerRequest) (*goodshipv1.Erasure, error) {
	c, id := callerFrom(ctx), newID(erasurePrefix)
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		begun, err := beginErasure(tx, req.CustomerId, id)
		return &storev1.Receipt{ObjectId: begun}, err
	})
	if err != nil {
		return nil, err
	}
	id = result.Receipt.ObjectId
	s.eraseWithin(ctx, &erasing{service: s, workspace: c.Workspace, id: id})
	return s.GetErasure(ctx, &goodshipv1.GetErasureRequest{ErasureId: id})
}

// beginErasure notes that a customer is to be erased, and returns the id of the erasure: the given one, unless there is one.
func beginErasure(tx store.Tx, customerID, id string) (string, error) {
	customer, err := customerIn(tx, customerID)
	if err != nil {
		return "", orMissing(err, noCustomer(customerID))
	}
	if customer.ErasureId != "" {
		return customer.ErasureId, nil
	}
	keys := keysOf(customer)
	if err := noneOnHold(tx, keys); err != nil {
		return "", err
	}
	customer.ErasureId = id
	if err := tx.PutCustomer(customer); err != nil {
		return "", err
	}
	return id, tx.PutErasure(&storev1.ErasureRecord{CustomerKeys: keys, Erasure: &goodshipv1.Erasure{
		Id: id, State: goodshipv1.ErasureState_ERASURE_STATE_RUNNING, Removed: &goodshipv1.RemovedCounts{}, CreateTime: timestamppb.New(tx.Now()),
	}})
}

// noneOnHold refuses to erase while a conversation is on hold. It reads them all in one unit, so that none is missed.
func noneOnHold(tx store.Tx, keys []string) error {
	for _, key := range keys {
		ids, err := tx.Conversations(key, math.MaxInt32)
		if err != nil {
			return err
		}
		for _, id := range ids {
			head, err := tx.Conversation(id)
			switch {
			case err != nil:
				return err
			case head.Conversation.Hold:
				return onHold(id)
			}
		}
	}
	return nil
}

func onHold(conversationID string) error {
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_ON_HOLD,
		"A conversation of the customer's is on hold, so that nothing was removed. When it may go, set its hold to false with UpdateConversation, and erase then.").
		With("conversation_id", conversationID)
}

// eraseWithin goes on with an erasure for as long as a call waits. What is left, for whatever reason, the timekeeper does.
func (s *Service) eraseWithin(ctx context.Context, e *erasing) {
	enough, stop := s.clock.Timer(eraseFor)
	defer stop()
	defer func() {
		if !e.done {
			s.keeper.resume(e)
		}
	}()
	for !e.done {
		if err := e.step(ctx); err != nil {
			return
		}
		select {
		case <-enough:
			return
		default:
		}
	}
}

// GetErasure returns the receipt of an erasure.
func (s *Service) GetErasure(ctx context.Context, req *goodshipv1.GetErasureRequest) (*goodshipv1.Erasure, error) {
	r, err := s.store.Erasure(ctx, callerFrom(ctx).Workspace, req.ErasureId)
	if err != nil {
		return nil, orMissing(err, fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_ERASURE_NOT_FOUND,
			"The workspace has no such erasure. EraseCustomer returns the id of one."))
	}
	return r.Erasure, nil
}

// ListErasures lists the receipts of erasures, newest first.
func (s *Service) ListErasures(ctx context.Context, req *goodshipv1.ListErasuresRequest) (*goodshipv1.ListErasuresResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	records, err := s.store.Erasures(ctx, c.Workspace, string(p.after), p.size+1)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListErasuresResponse{}
	records, reply.NextPageToken = cut(p, records, func(r *storev1.ErasureRecord) string { return r.Erasure.Id })
	for _, r := range records {
		reply.Erasures = append(reply.Erasures, r.Erasure)
	}
	return reply, nil
}

// erasing is a run of an erasure. It stands in memory; two at once do no harm.
type erasing struct {
	service       *Service
	workspace, id string
	// next is the stage that it is in; nil before the first step.
	next func(context.Context) error
	done bool
	// again is when the timekeeper tries it again, zero unless it failed.
	again time.Time

	// keys are the person's, once who they were is gone.
	keys []string
	// before is the id before which incidents, then credits, are looked at next.
	before             string
	apologies, credits int32
}

// step does a part that is small.
func (e *erasing) step(ctx context.Context) error {
	if e.next == nil {
		e.next = e.conversations
	}
	return e.next(ctx)
}

// unit runs a part of the erasure as one unit, unless all of it is done.
func (e *erasing) unit(ctx context.Context, fn func(store.Tx, *storev1.ErasureRecord) error) error {
	done := false
	_, err := e.service.store.Update(ctx, e.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		record, err := tx.Erasure(e.id)
		if err != nil {
			return nil, err
		}
		if done = record.Erasure.State == goodshipv1.ErasureState_ERASURE_STATE_DONE; done {
			return nil, nil
		}
		return nil, fn(tx, record)
	})
	e.done = done && err == nil
	return err
}

// conversations removes some of the person's, and when there are none, who the person was.
func (e *erasing) conversations(ctx context.Context) error {
	var keys []string
	err := e.unit(ctx, func(tx store.Tx, record *storev1.ErasureRecord) error {
		keys = nil
		_, err := tx.CustomerByKey(record.CustomerKeys[0])
		if errors.Is(err, store.ErrNotFound) {
			keys = record.CustomerKeys
			return nil
		}
		if err != nil {
			return err
		}
		heads, err := someOf(tx, record.CustomerKeys)
		if err != nil {
			return err
		}
		if len(heads) == 0 {
			keys = record.CustomerKeys
			return forget(tx, keys)
		}
		for _, head := range heads {
			if err := remove(tx, head, goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED, record.Erasure.Removed); err != nil {
				return err
			}
		}
		return tx.PutErasure(record)
	})
	if err == nil && keys != nil {
		e.keys, e.next = keys, e.incidents
	}
	return err
}

// someOf returns conversations of customers, not more than one unit removes; none if there are none.
func someOf(tx store.Tx, keys []string) ([]*storev1.Head, error) {
	var heads []*storev1.Head
	events := int32(0)
	for _, key := range keys {
		ids, err := tx.Conversations(key, unitConversations-len(heads))
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			head, err := tx.Conversation(id)
			if err != nil {
				return nil, err
			}
			if events += head.Conversation.Revision; events > unitEvents && len(heads) > 0 {
				return heads, nil
			}
			heads = append(heads, head)
		}
		if len(heads) == unitConversations {
			break
		}
	}
	return heads, nil
}

// remove removes a conversation, and counts it.
func remove(tx store.Tx, head *storev1.Head, cause goodshipv1.RemovalCause, counts *goodshipv1.RemovedCounts) error {
	c := head.Conversation
	counts.ConversationCount++
	counts.MessageCount += c.MessageCount
	counts.NoteCount += c.NoteCount
	counts.EventCount += c.Revision
	return tx.RemoveConversation(c.Id, cause)
}

// forget removes who a person was, and the visitors that they were.
func forget(tx store.Tx, keys []string) error {
	for _, key := range keys {
		if err := tx.RemoveCustomer(key); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// incidents takes out of some incidents, newest first, what they say of the person.
func (e *erasing) incidents(ctx context.Context) error {
	limit := max(1, erasePage/len(e.keys))
	page, err := e.service.store.Incidents(ctx, e.workspace, e.before, limit)
	if err != nil {
		return err
	}
	found := int32(0)
	err = e.unit(ctx, func(tx store.Tx, _ *storev1.ErasureRecord) error {
		found = 0
		for _, incident := range page {
			for _, key := range e.keys {
				there, err := skipErased(tx, incident.Incident.Id, key)
				if err != nil {
					return err
				}
				if there {
					found++
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.apologies += found
	if len(page) == limit {
		e.before = page[limit-1].Incident.Id
	} else {
		e.before, e.next = "", e.ofCredits
	}
	return nil
}

// skipErased takes out of an incident what it says of an erased customer, who gets no apology if there is none yet. It reports
// whether the incident touched them.
func skipErased(tx store.Tx, incidentID, key string) (touched bool, err error) {
	r, err := tx.Affected(incidentID, key)
	if err != nil {
		return false, orMissing(err, nil)
	}
	before, a := proto.CloneOf(r), r.Apology
	if a.State == goodshipv1.ApologyState_APOLOGY_STATE_PENDING || len(r.Attributes) > 0 {
		incident, err := tx.Incident(incidentID)
		if err != nil {
			return false, err
		}
		countAttributes(incident, r.Attributes, -1)
		if a.State == goodshipv1.ApologyState_APOLOGY_STATE_PENDING {
			a.State, a.SkipReason = goodshipv1.ApologyState_APOLOGY_STATE_SKIPPED, goodshipv1.SkipReason_SKIP_REASON_ERASED
			a.UpdateTime = timestamppb.New(tx.Now())
			incident.Incident.Progress.Pending--
			incident.Incident.Progress.Skipped++
			incident.PreviewVersion++
		}
		if err := tx.PutIncident(incident); err != nil {
			return false, err
		}
	}
	r.Attributes, a.ConversationId, a.MessageNumber = nil, "", 0
	if proto.Equal(r, before) {
		return true, nil
	}
	return true, tx.PutAffected(r)
}

// ofCredits takes out of some credits what they say of the person.
func (e *erasing) ofCredits(ctx context.Context) error {
	page, next, err := e.service.store.Credits(ctx, e.workspace, store.CreditQuery{CustomerKeys: e.keys}, e.before, erasePage)
	if err != nil {
		return err
	}
	err = e.unit(ctx, func(tx store.Tx, _ *storev1.ErasureRecord) error {
		for _, credit := range page {
			if err := changeCredit(tx, credit.Credit.Id, func(c *goodshipv1.Credit) { c.Reason, c.EndReason, c.ConversationId = "", "", "" }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.credits += int32(len(page))
	if e.before = next; next == "" {
		e.next = e.finish
	}
	return nil
}

// changeCredit changes what a credit says. If that is as it was, nothing happens.
func changeCredit(tx store.Tx, id string, change func(*goodshipv1.Credit)) error {
	r, err := tx.Credit(id)
	if err != nil {
		return err
	}
	before := proto.CloneOf(r)
	if change(r.Credit); proto.Equal(r, before) {
		return nil
	}
	return tx.PutCredit(r)
}

// finish notes that all is done.
func (e *erasing) finish(ctx context.Context) error {
	err := e.unit(ctx, func(tx store.Tx, record *storev1.ErasureRecord) error {
		record.CustomerKeys = nil
		record.Erasure.State, record.Erasure.DoneTime = goodshipv1.ErasureState_ERASURE_STATE_DONE, timestamppb.New(tx.Now())
		record.Erasure.ApologyCount, record.Erasure.CreditCount = e.apologies, e.credits
		return tx.PutErasure(record)
	})
	e.done = err == nil
	return err
}
