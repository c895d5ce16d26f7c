package support

import (
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// onceRequest is a request that is safe to repeat.
type onceRequest interface {
	proto.Message
	GetRequestId() string
}

// conversationRequest is one that names a conversation.
type conversationRequest interface {
	onceRequest
	GetConversationId() string
}

// once returns what makes a request safe to repeat. The name of its message stands for the method.
func once(c Caller, req onceRequest) store.Once {
	if req.GetRequestId() == "" {
		return store.Once{}
	}
	o := store.Once{RequestID: req.GetRequestId(), Scope: c.principal() + " " + string(req.ProtoReflect().Descriptor().FullName()), Body: hashWithout(req, "request_id")}
	if named, ok := req.(conversationRequest); ok {
		o.Conversation = named.GetConversationId()
	}
	switch req.(type) {
	case *goodshipv1.GrantCreditRequest, *goodshipv1.ReverseCreditRequest:
		o.Forever = true
	}
	return o
}

// hashWithout returns a hash of a request without some of its fields.
func hashWithout(req proto.Message, fields ...protoreflect.Name) [32]byte {
	bare := proto.Clone(req)
	for _, name := range fields {
		m := bare.ProtoReflect()
		m.Clear(m.Descriptor().Fields().ByName(name))
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		panic(err) // a request that came over the wire
	}
	return sha256.Sum256(body)
}

// unit is one unit of work on one conversation: the rules' view of it, and what it changes beside.
type unit struct {
	*rules.Conversation
	tx     store.Tx
	people *people
	change store.Change
	// receipt is what the request id remembers; the conversation's id is filled in, unless it has another object's.
	receipt storev1.Receipt
	// etag is the conversation's as its caller may have read it, due its due time as it is stored, and before how it stood.
	etag   string
	due    *timestamppb.Timestamp
	before *storev1.Standing
}

// work runs a command on the conversation that a request names, as one unit, and returns its receipt, or the first one's
// when the request is a repeated one.
func (s *Service) work(ctx context.Context, req conversationRequest, command func(*unit) error) (*storev1.Receipt, error) {
	c := callerFrom(ctx)
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		u, err := s.begin(tx, c, req.GetConversationId())
		if err != nil {
			return nil, err
		}
		if conditional, ok := req.(interface{ GetEtag() string }); ok {
			if etag := conditional.GetEtag(); etag != "" && etag != u.etag {
				return nil, etagMismatch()
			}
		}
		err = command(u)
		if u.people.err != nil {
			return nil, u.people.err // whatever was decided, it was without knowing who is there
		}
		if err != nil {
			return nil, err
		}
		return u.finish()
	})
	return result.Receipt, err
}

// begin reads a conversation for a command by a caller, with all that the rules want to know; what time has done is applied.
// A conversation that the caller may not see is not found. The zero caller stands for time.
func (s *Service) begin(tx store.Tx, c Caller, id string) (*unit, error) {
	head, err := tx.Conversation(id)
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	if c.isCustomer() && !c.owns(head) {
		return nil, noConversation()
	}
	etag, due, before := headEtag(c, head), head.DueTime, standing(head)
	situation, people, err := s.situation(tx, c, head)
	if err != nil {
		return nil, err
	}
	u := &unit{Conversation: rules.On(head, situation), tx: tx, people: people, etag: etag, due: due, before: before}
	if c.isAgent() && head.Conversation.OwnerId == "" {
		if u.Oldest, err = oldest(tx); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// situation gathers what the rules want to know beside the head.
func (s *Service) situation(tx store.Tx, c Caller, head *storev1.Head) (rules.Situation, *people, error) {
	workspace, err := tx.Workspace()
	if err != nil {
		return rules.Situation{}, nil, err
	}
	people := &people{service: s, tx: tx, workspace: workspace.Workspace, known: map[string]rules.Presence{}}
	situation := rules.Situation{
		Now: tx.Now(), Actor: c.actor(), Settings: workspace.Workspace, Hours: s.openingHours(workspace.Workspace),
		Presence: people.presence,
	}
	if err := introduce(tx, c, &situation); err != nil {
		return rules.Situation{}, nil, err
	}
	id := head.Conversation.Id
	if n := head.Conversation.ResolutionNumber; n != 0 {
		if situation.Resolution, err = tx.Resolution(id, n); err != nil {
			return rules.Situation{}, nil, err
		}
	}
	if head.Unread != nil {
		mark, err := tx.ReadMark(id, "")
		if err != nil {
			return rules.Situation{}, nil, err
		}
		situation.CustomerRead = mark.GetMessageNumber()
	}
	return situation, people, nil
}

// introduce adds who the actor is: the name and picture they go by, and whether they may write.
func introduce(tx store.Tx, c Caller, s *rules.Situation) error {
	switch {
	case c.isAgent():
		s.Actor.Persona = ownPersona(c.agent.Agent)
	case c.isCustomer():
		customer, err := customerUnder(tx, c.CustomerKeys[0])
		if err != nil {
			return err
		}
		s.Block = customer.Customer.Block
		if name := customer.Customer.DisplayName; name != "" {
			s.Actor.Persona = &goodshipv1.Persona{DisplayName: name}
		}
	}
	return nil
}

// ownPersona returns the name and picture that an agent goes by who chose no others.
func ownPersona(a *goodshipv1.Agent) *goodshipv1.Persona {
	return &goodshipv1.Persona{DisplayName: a.DisplayName, AvatarUri: a.AvatarUri}
}

// oldest returns the head of the line's unowned conversations.
func oldest(tx store.Tx) (rules.LinePlace, error) {
	id, err := tx.OldestWaiting()
	if err != nil || id == "" {
		return rules.LinePlace{}, err
	}
	head, err := tx.Conversation(id)
	if err != nil {
		return rules.LinePlace{}, err
	}
	return rules.LinePlace{ID: id, Time: head.Conversation.LineTime.AsTime()}, nil
}

// finish appends what the unit did and returns its receipt.
func (u *unit) finish() (*storev1.Receipt, error) {
	if u.receipt.ObjectId == "" { // what has an id of its own may be remembered for longer than there is the conversation
		u.receipt.ConversationId = u.Head.Conversation.Id
	}
	if n := u.Message.GetNumber(); n != 0 {
		u.receipt.MessageNumber = n
	}
	if n := u.Note.GetNumber(); n != 0 {
		u.receipt.NoteNumber = n
	}
	if n := u.Resolution.GetNumber(); n != 0 {
		u.receipt.ResolutionNumber = n
	}
	return &u.receipt, u.append()
}

// append adds what the unit did to the conversation's log. If nothing happened, at most the due time is another.
func (u *unit) append() error {
	if u.people.err != nil {
		return u.people.err
	}
	if u.customerActed() {
		if err := u.becomes(goodshipv1.ApologyState_APOLOGY_STATE_SEEN, 1, u.Head.Conversation.MessageCount); err != nil {
			return err
		}
	}
	if err := u.appendEvents(); err != nil {
		return err
	}
	u.people.count(u.Head)
	return nil
}

func (u *unit) appendEvents() error {
	if len(u.Events) == 0 {
		if proto.Equal(u.due, u.Head.DueTime) {
			return nil
		}
		return u.tx.PutDueTime(u.Head.Conversation.Id, dueTime(u.Head))
	}
	rest, err := u.appendEarlier()
	if err != nil {
		return err
	}
	u.change.Head, u.change.Record = u.Head, u.record(u.Head, rest)
	if u.Resolution != nil {
		u.change.Resolutions = append(u.change.Resolutions, u.Resolution)
	}
	return u.tx.Append(u.change)
}

// appendEarlier appends, where the unit added several messages, what it did up to the last of them, since a record holds one;
// and returns the events that are left. It happens only where time apologized beside what somebody said.
func (u *unit) appendEarlier() ([]*goodshipv1.Event, error) {
	rest := u.Events
	for len(u.Messages) > 1 {
		head, err := u.tx.Conversation(u.Head.Conversation.Id)
		if err != nil {
			return nil, err
		}
		next := slices.IndexFunc(rest, func(e *goodshipv1.Event) bool { return e.GetMessageSent().GetNumber() == u.Messages[1].Number })
		for _, e := range rest[:next] {
			rules.Fold(head, e)
		}
		if err := u.tx.Append(store.Change{Head: head, Record: u.record(head, rest[:next])}); err != nil {
			return nil, err
		}
		rest, u.Messages = rest[next:], u.Messages[1:]
	}
	return rest, nil
}

// record returns the record of events that led to a head, with the first message and the note that are not in an earlier one.
func (u *unit) record(head *storev1.Head, events []*goodshipv1.Event) *storev1.Record {
	r := &storev1.Record{
		Events: events, MessageCount: head.Conversation.MessageCount, NoteCount: head.Conversation.NoteCount,
		Before: u.before, After: standing(head),
	}
	u.before = r.After
	if len(u.Messages) > 0 {
		r.Message = u.Messages[0]
	}
	if slices.ContainsFunc(events, func(e *goodshipv1.Event) bool { return e.GetNoteAdded() != nil }) {
		r.Note = u.Note
	}
	return r
}

// standing returns what desks pick a conversation by.
func standing(h *storev1.Head) *storev1.Standing {
	return &storev1.Standing{State: h.Conversation.State, OwnerId: h.Conversation.OwnerId}
}

// dueTime returns when time next does something to a conversation; zero for never.
func dueTime(h *storev1.Head) time.Time {
	if h.DueTime == nil {
		return time.Time{}
	}
	return h.DueTime.AsTime()
}

// headEtag returns a conversation's etag in a caller's view: it tells a customer of nothing that is not public.
func headEtag(c Caller, h *storev1.Head) string {
	if c.isCustomer() {
		return "p" + strconv.Itoa(int(h.Conversation.PublicRevision))
	}
	return strconv.Itoa(int(h.Conversation.Revision))
}

// versionEtag returns the etag of an object that counts its changes.
func versionEtag(version int32) string { return strconv.Itoa(int(version)) }

// takes reports whether an etag, if any was given, is that of a version. Version 0, of what is being made, has none.
func takes(etag string, version int32) bool {
	return etag == "" || version != 0 && etag == versionEtag(version)
}
