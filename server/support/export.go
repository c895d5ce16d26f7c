package support

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// exportPage is how many things are read at once for an export.
const exportPage = 100

// ExportCustomer tells everything about one person. It reads a page and sends it, so that it holds little and keeps nobody up, however
// much there is. What comes into being while it runs may be in it.
func (s *Service) ExportCustomer(req *goodshipv1.ExportCustomerRequest, out grpc.ServerStreamingServer[goodshipv1.ExportCustomerResponse]) error {
	if err := s.hub.enter(); err != nil {
		return withCursor(err, req.Cursor)
	}
	defer s.hub.leave()
	ctx := out.Context()
	e := &export{service: s, ctx: ctx, caller: callerFrom(ctx), customerID: req.CustomerId, send: out.Send}
	if err := e.find(); err != nil {
		return err
	}
	if err := e.open(req.Cursor); err != nil {
		return err
	}
	err := e.run()
	if errors.Is(err, serverStopping()) {
		return withCursor(err, e.seal(e.at))
	}
	return err
}

// exportPart is a part of an export. The parts come in this order.
type exportPart byte

const (
	exportPersons exportPart = iota
	exportConversations
	exportCredits
	exportApologies
	exportEnd
	// exported is behind the end.
	exported
)

// exportPlace is a place in an export: that behind an item.
type exportPlace struct {
	part exportPart
	// kind is that of the item in a conversation.
	kind exportKind
	// number is the item's own, or how many of the person's keys were looked at.
	number int32
	// count is how many items come before the place.
	count int32
	// id is the conversation's, the credit's or the incident's.
	id string
}

// export is an export under way.
type export struct {
	service *Service
	ctx     context.Context
	caller  Caller
	// customerID is whom it was asked for, and customer who that is, under keys, from its start to its end.
	customerID string
	customer   *storev1.CustomerRecord
	keys       []string
	send       func(*goodshipv1.ExportCustomerResponse) error
	at         exportPlace
}

// find finds out who the customer is, which must be as it was: of a visitor who signed in since, nothing was told where it is already
// further. Who is being erased is as good as erased.
func (e *export) find() error {
	customer, err := e.service.customerByID(e.ctx, e.caller.Workspace, e.customerID)
	if err != nil {
		return orMissing(err, noCustomer(e.customerID))
	}
	if customer.ErasureId != "" {
		return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CUSTOMER_NOT_FOUND,
			"The customer is being erased: not everything is there any more. There is nothing to export.").With("customer_id", e.customerID)
	}
	keys := keysOf(customer)
	if e.keys != nil && !slices.Equal(keys, e.keys) {
		return exportCursor()
	}
	e.customer, e.keys = customer, keys
	return nil
}

func exportCursor() error {
	return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_CURSOR,
		"The cursor is not of an export of this customer as they are now, or from before a restore of the server's store: a visitor may have "+
			"signed in as them since. Export from the start, without a cursor.")
}

// purpose is what cursors are sealed for: exports of this person, with the visitors that they were.
func (e *export) purpose() string {
	return "export " + e.caller.Workspace + " " + strings.Join(e.keys, " ")
}

func (e *export) seal(p exportPlace) string {
	plain := []byte{byte(p.part), byte(p.kind)}
	plain = binary.BigEndian.AppendUint32(plain, uint32(p.number))
	plain = binary.BigEndian.AppendUint32(plain, uint32(p.count))
	return e.service.store.Sealer().Seal(e.purpose(), append(plain, p.id...))
}

// open sets the place to that of a cursor, or to the start.
func (e *export) open(cursor string) error {
	if cursor == "" {
		return nil
	}
	plain, err := e.service.store.Sealer().Open(e.purpose(), cursor)
	if err != nil || len(plain) < 10 {
		return exportCursor()
	}
	e.at = exportPlace{
		part: exportPart(plain[0]), kind: exportKind(plain[1]), number: int32(binary.BigEndian.Uint32(plain[2:])),
		count: int32(binary.BigEndian.Uint32(plain[6:])), id: string(plain[10:]),
	}
	return nil
}

// run tells what comes behind the place.
func (e *export) run() error {
	parts := []func() error{e.persons, e.conversations, e.credits, e.apologies, e.end}
	for e.at.part < exported {
		if err := e.look(); err != nil {
			return err
		}
		part := e.at.part
		if err := parts[part](); err != nil {
			return err
		}
		e.at = exportPlace{part: part + 1, count: e.at.count}
	}
	return nil
}

// look returns why the export is to end: nobody waits for it, the caller may not call any more, or the customer is not who they were
// any more.
func (e *export) look() error {
	s := e.service
	switch {
	case e.ctx.Err() != nil:
		return e.ctx.Err()
	case s.hub.draining.Load():
		return serverStopping()
	}
	if err := s.notExpired(e.caller); err != nil {
		return err
	}
	if _, _, err := s.again(e.ctx, e.caller); err != nil {
		return err
	}
	return e.find()
}

// tell sends an item, behind which is a place.
func (e *export) tell(item *goodshipv1.ExportCustomerResponse, behind exportPlace) error {
	behind.count = e.at.count + 1
	item.Cursor = e.seal(behind)
	if err := e.send(item); err != nil {
		return err
	}
	e.at = behind
	return nil
}

// persons tells who they are: the customer, and the visitors that they were.
func (e *export) persons() error {
	for i, key := range e.keys {
		if int32(i) < e.at.number {
			continue
		}
		r, err := e.service.store.CustomerByKey(e.ctx, e.caller.Workspace, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		item := &goodshipv1.ExportCustomerResponse{Item: &goodshipv1.ExportCustomerResponse_Customer{Customer: customer(r)}}
		if err := e.tell(item, exportPlace{part: exportPersons, number: int32(i + 1)}); err != nil {
			return err
		}
	}
	return nil
}

// credits tells what was granted to them, newest first.
func (e *export) credits() error {
	for more := true; more; {
		records, next, err := e.service.store.Credits(e.ctx, e.caller.Workspace, store.CreditQuery{CustomerKeys: e.keys}, e.at.id, exportPage)
		if err != nil {
			return err
		}
		credits, err := e.service.seenCredits(WithCaller(e.ctx, e.caller), records)
		if err != nil {
			return err
		}
		for _, credit := range credits {
			item := &goodshipv1.ExportCustomerResponse{Item: &goodshipv1.ExportCustomerResponse_Credit{Credit: credit}}
			if err := e.tell(item, exportPlace{part: exportCredits, id: credit.Id}); err != nil {
				return err
			}
		}
		if e.at.id, more = next, next != ""; more {
			if err := e.look(); err != nil {
				return err
			}
		}
	}
	return nil
}

// apologies tells what incidents keep of them, newest first.
func (e *export) apologies() error {
	if e.at.id != "" { // of this one, some of the keys were looked at
		if err := e.incident(e.at.id, int(e.at.number)); err != nil {
			return err
		}
	}
	for before, more := e.at.id, true; more; {
		page, err := e.service.store.Incidents(e.ctx, e.caller.Workspace, before, exportPage)
		if err != nil {
			return err
		}
		for _, incident := range page {
			before = incident.Incident.Id
			if err := e.incident(before, 0); err != nil {
				return err
			}
		}
		if err := e.look(); err != nil {
			return err
		}
		more = len(page) == exportPage
	}
	return nil
}

// incident tells what an incident keeps of the person, under each of their keys from one on.
func (e *export) incident(id string, from int) error {
	for i := from; i < len(e.keys); i++ {
		r, err := e.service.affected(e.ctx, e.caller.Workspace, id, e.keys[i])
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		r.Apology.CustomerId = e.customer.Customer.Id
		item := &goodshipv1.ExportCustomerResponse{Item: &goodshipv1.ExportCustomerResponse_Apology{Apology: &goodshipv1.ExportedApology{
			IncidentId: id, Apology: r.Apology, Attributes: r.Attributes,
		}}}
		if err := e.tell(item, exportPlace{part: exportApologies, number: int32(i + 1), id: id}); err != nil {
			return err
		}
	}
	return nil
}

// affected returns what an incident keeps of a customer, or store.ErrNotFound.
func (s *Service) affected(ctx context.Context, workspace, incidentID, key string) (*storev1.AffectedRecord, error) {
	last := len(key) - 1
	before := key[:last] + string(key[last]-1) + "\x7f" // of all that is made of ASCII, the key follows this
	found, _, err := s.store.Affected(ctx, workspace, incidentID, 0, before, 1)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0 || found[0].CustomerKey != key:
		return nil, store.ErrNotFound
	}
	return found[0], nil
}

// end tells that this was all.
func (e *export) end() error {
	item := &goodshipv1.ExportCustomerResponse{Item: &goodshipv1.ExportCustomerResponse_End{End: &goodshipv1.ExportEnd{ItemCount: e.at.count}}}
	item.Cursor = e.seal(e.at) // behind which it comes again
	return e.send(item)
}
