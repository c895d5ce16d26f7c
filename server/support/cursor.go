package support

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
)

// audience is who sees what a stream tells.
type audience int

const (
	// staff are agents and backends, who see everything.
	staff audience = iota
	// customers see what is public.
	customers
)

func audienceOf(c Caller) audience {
	if c.isCustomer() {
		return customers
	}
	return staff
}

// scope is what a stream watches, and for whom: one conversation, all conversations of a customer, or else the workspace's
// desk.
type scope struct {
	workspace string
	audience  audience
	// conversation is the one that is watched.
	conversation string
	// customer is the one, under the product's id, all of whose conversations are watched, and keys are theirs, with a blank
	// between.
	customer, keys string
}

// ofCustomer returns the scope of all conversations of the customer who calls.
func ofCustomer(c Caller) scope {
	return scope{workspace: c.Workspace, audience: customers, customer: c.ID, keys: strings.Join(c.CustomerKeys, " ")}
}

// purpose is what the scope's cursors are sealed for.
func (s scope) purpose() string {
	what := "desk"
	switch {
	case s.customer != "":
		what = "customer/" + s.customer
	case s.conversation != "" && s.audience == customers:
		what = "conversation/" + s.conversation + " customer"
	case s.conversation != "":
		what = "conversation/" + s.conversation + " staff"
	}
	return "watch " + s.workspace + " " + what
}

// position is a place among the events of a scope. In a conversation, at is the revision of the event before it. Elsewhere, at
// is the position of an entry in the workspace's feed that was told as a whole, and skip says how many events were told of the
// entry that follows.
type position struct {
	at   int64
	skip uint32
}

// compare tells which position comes first, as cmp.Compare does.
func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.at, other.at), cmp.Compare(p.skip, other.skip))
}

// seal returns the cursor of a position. All cursors are equally long.
func (s scope) seal(by *store.Sealer, p position) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(p.at))
	return by.Seal(s.purpose(), binary.BigEndian.AppendUint32(plain, p.skip))
}

// open returns the position of a cursor of the scope's.
func (s scope) open(by *store.Sealer, cursor string) (position, error) {
	plain, err := by.Open(s.purpose(), cursor)
	if err != nil || len(plain) != 12 {
		return position{}, invalidCursor()
	}
	return position{int64(binary.BigEndian.Uint64(plain)), binary.BigEndian.Uint32(plain[8:])}, nil
}

// watchCursor returns the cursor from which a conversation is watched after its head was read.
func (s *Service) watchCursor(c Caller, h *storev1.Head) string {
	of := scope{workspace: c.Workspace, audience: audienceOf(c), conversation: h.Conversation.Id}
	return of.seal(s.store.Sealer(), position{at: int64(h.Conversation.Revision)})
}

// listCursor returns the cursor from which all that the caller may list is watched after it is read, from now on.
func (s *Service) listCursor(ctx context.Context, c Caller) (string, error) {
	of := scope{workspace: c.Workspace}
	if c.isCustomer() {
		of = ofCustomer(c)
	}
	_, newest, err := s.store.FeedEnds(ctx, c.Workspace)
	return of.seal(s.store.Sealer(), position{at: newest}), err
}

func invalidCursor() error {
	return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_CURSOR,
		"The cursor is of another watch, or from before a restore of the server's store. Read again, and watch from the watch_cursor of the reply.")
}

// cursorTooOld names the oldest position from which nothing is missed any more.
func cursorTooOld(oldest string) error {
	return fault.New(codes.OutOfRange, goodshipv1.ErrorReason_ERROR_REASON_CURSOR_TOO_OLD,
		"What followed the cursor is not kept any more, so that something was missed. Read again, and watch from the watch_cursor of the reply, or from oldest_cursor.").
		With("oldest_cursor", oldest)
}

// withCursor returns the fault that ends a watch, with where to go on, and with the store's error if it is of one; an error that
// is no fault as it is.
func withCursor(err error, cursor string) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f.With("cursor", cursor)
	}
	if errors.As(Fault(err), &f) {
		return f.With("cursor", cursor).Because(err)
	}
	return err
}
