package support

import (
	"context"
	"errors"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
)

// CreateConversation opens a conversation, or continues the customer's newest open one.
func (s *Service) CreateConversation(ctx context.Context, req *goodshipv1.CreateConversationRequest) (*goodshipv1.Conversation, error) {
	c := callerFrom(ctx)
	if err := checkCreate(c, req); err != nil {
		return nil, err
	}
	id := newID(conversationPrefix) // outside the unit, which may run twice
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		customer, err := customerOf(tx, c, req.CustomerId)
		if err != nil {
			return nil, err
		}
		c = c.knownAs(customer)
		content := rules.Content{Text: req.Text, Attachments: req.Attachments}
		if req.ContinueOpen {
			if open, err := newestUnresolved(tx, customer); err != nil {
				return nil, err
			} else if open != "" {
				return s.continueOpen(tx, c, open, content)
			}
		}
		head := &storev1.Head{CustomerKey: customer.Key, Conversation: &goodshipv1.Conversation{
			Id: id, Subject: req.Subject, Context: req.Context, Labels: req.Labels, ExternalId: req.ExternalId,
		}}
		return s.open(tx, c, customer, head, content, req.OutreachReason)
	})
	if errors.Is(err, store.ErrExternalIDTaken) && !c.isCustomer() {
		err = s.takenBy(ctx, req.ExternalId)
	}
	if err != nil {
		return nil, err
	}
	if c.isCustomer() { // who may have come into being by this call
		customer, err := s.customerByID(ctx, c.Workspace, c.ID)
		if err != nil {
			return nil, orMissing(err, noConversation())
		}
		c = c.knownAs(customer)
	}
	return s.conversation(WithCaller(ctx, c), result.Receipt.ConversationId)
}

// takenBy returns the fault of an external id that is taken, and by which conversation. Customers are not told.
func (s *Service) takenBy(ctx context.Context, externalID string) error {
	head, err := s.store.ByExternalID(ctx, callerFrom(ctx).Workspace, externalID)
	if err != nil {
		return err
	}
	return externalIDTaken(head.Conversation.Id)
}

// checkCreate refuses what the proto cannot: fields that go with one kind of caller only.
func checkCreate(c Caller, req *goodshipv1.CreateConversationRequest) error {
	if (rules.Content{Text: req.Text, Attachments: req.Attachments}).Empty() {
		return fault.Field("text", "is required unless there are attachments")
	}
	if c.isCustomer() {
		switch {
		case req.CustomerId != "":
			return fault.Field("customer_id", "must be absent when a customer calls: it is the caller")
		case req.OutreachReason != 0:
			return fault.Field("outreach_reason", "must be absent when a customer calls")
		case len(req.Labels) > 0:
			return fault.Field("labels", "must be absent when a customer calls")
		case req.ExternalId != "" && c.APIKeyID == "": // else anybody could try which ids are taken
			return fault.Field("external_id", "must be absent when a customer calls: a backend that acts for the customer gives it")
		}
		return nil
	}
	switch {
	case req.CustomerId == "":
		return fault.Field("customer_id", "is required: name the customer to write to; or, to write as the customer, call with goodship-act-for")
	case req.OutreachReason == 0:
		return fault.Field("outreach_reason", "is required: say why you write first")
	case req.ContinueOpen:
		return fault.Field("continue_open", "is for customers")
	}
	return nil
}

// customerOf returns the customer of a new conversation: the caller, or whom it names. Who is not known yet is made, unless an
// agent names them.
func customerOf(tx store.Tx, c Caller, id string) (*storev1.CustomerRecord, error) {
	switch {
	case c.isCustomer():
		return knownCustomer(tx, c.ID)
	case c.isAgent():
		customer, err := customerIn(tx, id)
		return customer, orMissing(err, noCustomer(id))
	}
	return knownCustomer(tx, id)
}

// continueOpen adds a customer's message to an open conversation.
func (s *Service) continueOpen(tx store.Tx, c Caller, id string, content rules.Content) (*storev1.Receipt, error) {
	u, err := s.begin(tx, c, id)
	if err != nil {
		return nil, err
	}
	if err := u.Send(content, 0); err != nil {
		return nil, err
	}
	return u.finish()
}

// open begins a conversation.
func (s *Service) open(tx store.Tx, c Caller, customer *storev1.CustomerRecord, head *storev1.Head, content rules.Content, reason goodshipv1.OutreachReason) (*storev1.Receipt, error) {
	situation, people, err := s.situation(tx, c, head)
	if err != nil {
		return nil, err
	}
	if situation.Outreach, err = unansweredOutreach(tx, customer); err != nil {
		return nil, err
	}
	u := &unit{Conversation: rules.On(head, situation), tx: tx, people: people, before: standing(head)}
	if err := u.Open(content, reason); err != nil {
		return nil, err
	}
	if !c.isCustomer() {
		customer.OutreachConversationId = head.Conversation.Id
		if err := tx.PutCustomer(customer); err != nil {
			return nil, err
		}
	}
	return u.finish()
}

// unansweredOutreach returns the conversation that we opened to a customer and that they have not answered, if any.
func unansweredOutreach(tx store.Tx, customer *storev1.CustomerRecord) (string, error) {
	id := customer.OutreachConversationId
	if id == "" {
		return "", nil
	}
	head, err := tx.Conversation(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !head.OutreachUnanswered {
		return "", nil
	}
	return id, err
}

// GetConversation returns a conversation with its read marks.
func (s *Service) GetConversation(ctx context.Context, req *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
	head, err := s.visible(ctx, req.ConversationId)
	if err != nil {
		return nil, err
	}
	marks, err := s.readMarks(ctx, head)
	if err != nil {
		return nil, err
	}
	cursor := s.watchCursor(callerFrom(ctx), head)
	conv, err := s.seen(ctx, head)
	if err != nil {
		return nil, err
	}
	conv.ReadMarks, conv.WatchCursor = marks, cursor
	return conv, nil
}

// ListConversations lists what the caller may see.
func (s *Service) ListConversations(ctx context.Context, req *goodshipv1.ListConversationsRequest) (*goodshipv1.ListConversationsResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	q, err := s.query(ctx, c, req)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListConversationsResponse{}
	if p.after == nil {
		if reply.WatchCursor, err = s.listCursor(ctx, c); err != nil {
			return nil, err
		}
	}
	var heads []*storev1.Head
	var next *store.Position
	if req.ExternalId != "" {
		heads, err = s.byExternalID(ctx, c, req.ExternalId, q)
	} else {
		heads, next, err = s.store.List(ctx, c.Workspace, q, p.position(), p.size)
	}
	if err != nil {
		return nil, err
	}
	if short := fitting(heads); len(short) < len(heads) {
		heads, next = short, positionIn(q.Order, short[len(short)-1])
	}
	reply.NextPageToken = p.nextPosition(next)
	for _, h := range heads {
		conv, err := s.seen(ctx, h)
		switch {
		case errors.Is(err, noConversation()): // any more
			continue
		case err != nil:
			return nil, err
		}
		reply.Conversations = append(reply.Conversations, conv)
	}
	return reply, nil
}

// positionIn returns where a conversation stands in a list.
func positionIn(o store.Order, h *storev1.Head) *store.Position {
	c := h.Conversation
	if o == store.ByLine {
		return &store.Position{Time: c.LineTime.AsTime(), ID: c.Id}
	}
	return &store.Position{Time: c.ActivityTime.AsTime(), ID: c.Id}
}

// query makes the store's query of a request's filters.
func (s *Service) query(ctx context.Context, c Caller, req *goodshipv1.ListConversationsRequest) (store.Query, error) {
	q := store.Query{State: req.State, Outcome: req.Outcome, OwnerID: req.OwnerId, Unowned: req.Unowned, Label: req.Label}
	if req.ActiveAfter != nil {
		q.ActiveFrom = req.ActiveAfter.AsTime()
	}
	if req.ActiveBefore != nil {
		q.ActiveBefore = req.ActiveBefore.AsTime()
	}
	if req.Order == goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE {
		q.Order = store.ByLine
		if req.State != goodshipv1.State_STATE_WAITING {
			return q, fault.Field("order", "LINE goes with the state WAITING only")
		}
	}
	if c.isCustomer() {
		q.CustomerKeys = c.CustomerKeys
		return q, checkCustomerFilter(req)
	}
	if req.OwnerId != "" && req.Unowned {
		return q, fault.Field("unowned", "cannot go with owner_id")
	}
	if req.CustomerId != "" {
		customer, err := s.customerByID(ctx, c.Workspace, req.CustomerId)
		if err != nil {
			return q, orMissing(err, noCustomer(req.CustomerId))
		}
		q.CustomerKeys = keysOf(customer)
	}
	return q, nil
}

// checkCustomerFilter refuses filters by what customers do not see.
func checkCustomerFilter(req *goodshipv1.ListConversationsRequest) error {
	switch {
	case req.OwnerId != "":
		return fault.Field("owner_id", "is not for customers")
	case req.Unowned:
		return fault.Field("unowned", "is not for customers")
	case req.CustomerId != "":
		return fault.Field("customer_id", "is not for customers, who see their own")
	case req.Label != "":
		return fault.Field("label", "is not for customers")
	case req.Order == goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE:
		return fault.Field("order", "LINE is not for customers")
	}
	return nil
}

// byExternalID returns the conversation with an external id, if the other filters hold for it too.
func (s *Service) byExternalID(ctx context.Context, c Caller, externalID string, q store.Query) ([]*storev1.Head, error) {
	head, err := s.store.ByExternalID(ctx, c.Workspace, externalID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !q.Holds(head) {
		return nil, nil
	}
	return []*storev1.Head{head}, err
}

// UpdateConversation changes what people wrote about the matter.
func (s *Service) UpdateConversation(ctx context.Context, req *goodshipv1.UpdateConversationRequest) (*goodshipv1.Conversation, error) {
	if len(req.UpdateMask.GetPaths()) == 0 {
		return nil, fault.Field("update_mask", "must name at least one field")
	}
	r, err := s.work(ctx, req, func(u *unit) error {
		if slices.Contains(req.UpdateMask.Paths, "hold") {
			if err := mayHold(u, req.Conversation.Hold); err != nil {
				return err
			}
		}
		if slices.Contains(req.UpdateMask.Paths, "incident_id") {
			if err := isIncident(u.tx, req.Conversation.IncidentId); err != nil {
				return err
			}
		}
		u.Describe(req.Conversation, req.UpdateMask.Paths)
		return nil
	})
	return s.changed(ctx, r, err)
}

// isIncident refuses what is no incident of the workspace; none at all is fine.
func isIncident(tx store.Tx, id string) error {
	if id == "" {
		return nil
	}
	_, err := tx.Incident(id)
	return orMissing(err, noIncident())
}

// mayHold refuses who may not say what is kept, and a hold that comes too late: a conversation of somebody who is being erased is as
// good as removed.
func mayHold(u *unit, hold bool) error {
	if u.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_AGENT {
		return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED,
			"Only leaders and backends say what is kept. Ask one to set hold.").With("caller", "AGENT").With("allowed", "BACKEND,LEADER")
	}
	customer, err := customerUnder(u.tx, u.Head.CustomerKey)
	if err == nil && hold && customer.ErasureId != "" {
		err = noConversation()
	}
	return err
}

// DismissConversation resolves a conversation as spam or abuse.
func (s *Service) DismissConversation(ctx context.Context, req *goodshipv1.DismissConversationRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error {
		if err := u.Dismiss(req.Reason, req.SeenRevision); err != nil || !req.BlockCustomer {
			return err
		}
		customer, err := customerUnder(u.tx, u.Head.CustomerKey)
		if err != nil {
			return err
		}
		return block(u.tx, customer, "Dismissed: "+req.Reason.String()[len("DISMISS_REASON_"):], nil)
	})
	return s.changed(ctx, r, err)
}

// SetPersona sets how the caller appears.
func (s *Service) SetPersona(ctx context.Context, req *goodshipv1.SetPersonaRequest) (*goodshipv1.Conversation, error) {
	r, err := s.work(ctx, req, func(u *unit) error { return u.SetPersona(req.Persona) })
	return s.changed(ctx, r, err)
}
