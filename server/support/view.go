package support

import (
	"context"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// sees says whether a customer sees a field.
type sees bool

const (
	shown  sees = true
	hidden sees = false
)

// customerSees is the allow-list of what customers are shown: each field of each message that can be part of a reply to
// them. A test holds it complete; what is not in it is hidden.
var customerSees = map[protoreflect.FullName]map[protoreflect.Name]sees{
	"goodship.v1.Conversation": {
		"id": shown, "customer_id": shown, "state": shown, "outcome": shown, "dismiss_reason": hidden, "outreach_reason": shown,
		"subject": shown, "context": hidden, "labels": hidden, "external_id": shown, "incident_id": hidden,
		"owner_id": hidden, "helper_ids": hidden, "hand_over": hidden, "participants": shown, "answer_promise": shown, "line_time": hidden,
		"resolution_number": shown, "read_marks": shown, "message_count": shown, "note_count": hidden, "resolution_count": shown,
		"return_count": hidden, "rejection_count": hidden, "hand_over_count": hidden, "out_of_turn_count": hidden,
		"revision": hidden, "public_revision": shown, "etag": shown, "create_time": shown, "update_time": shown,
		"activity_time": shown, "resolve_time": shown, "watch_cursor": shown, "hold": hidden,
	},
	"goodship.v1.Participant": {"number": shown, "kind": shown, "persona": shown, "agent_id": hidden},
	"goodship.v1.Persona":     {"display_name": shown, "avatar_uri": shown},
	"goodship.v1.Promise":     {"state": shown, "start_time": shown, "due_time": shown, "answered_time": shown, "at_risk": hidden},
	"goodship.v1.ReadMark":    {"participant_number": shown, "agent_id": hidden, "message_number": shown, "read_time": shown},
	"goodship.v1.Message": {
		"conversation_id": shown, "number": shown, "sender": shown, "text": shown, "attachments": shown,
		"create_time": shown, "edit_time": shown, "redact_time": shown, "delivery": shown, "automatic_reason": shown,
	},
	"goodship.v1.Sender":     {"kind": shown, "participant_number": shown, "persona": shown, "agent_id": hidden},
	"goodship.v1.Attachment": {"uri": shown, "media_type": shown, "file_name": shown, "size_bytes": shown},
	"goodship.v1.Delivery":   {"state": shown, "failure": shown, "report_time": shown},
	"goodship.v1.Resolution": {
		"conversation_id": shown, "number": shown, "state": shown, "matter": shown, "done": shown, "made_right": shown,
		"agent_id": hidden, "message_number": shown, "create_time": shown, "decide_time": shown, "rating": shown,
		"credit_ids": shown, "found_first": shown,
	},
	"goodship.v1.Rating": {"solved": shown, "personal": shown, "easy": shown, "comment": shown, "create_time": shown, "update_time": shown},
	"goodship.v1.Credit": {
		"id": shown, "customer_id": shown, "conversation_id": shown, "amount": shown, "reason": shown, "state": shown,
		"settle_by_time": shown, "overdue": hidden, "billing_reference": shown, "end_reason": hidden, "agent_id": hidden,
		"incident_id": hidden, "create_time": shown, "end_time": shown,
	},
	"goodship.v1.CreditAmount":              {"money": shown, "basis_points": shown},
	"goodship.v1.ListCreditsResponse":       {"credits": shown, "next_page_token": shown},
	"goodship.v1.ListConversationsResponse": {"conversations": shown, "next_page_token": shown, "watch_cursor": shown},
	"goodship.v1.ListMessagesResponse":      {"messages": shown, "next_page_token": shown, "revision": hidden, "watch_cursor": shown},
	"goodship.v1.ListResolutionsResponse":   {"resolutions": shown, "next_page_token": shown},
	"goodship.v1.SignInVisitorResponse":     {"visitor_id": shown},
	"goodship.v1.WatchUpdate": {
		"cursor": shown, "conversation_id": shown, "event": shown, "read_mark": shown, "signal": shown, "progress": shown,
	},
	"goodship.v1.Progress": {"server_time": shown},
	"goodship.v1.Event": {
		"revision": hidden, "public_revision": shown, "create_time": shown, "actor": hidden,
		"opened": shown, "message_sent": shown, "message_edited": shown, "message_redacted": shown, "delivery_reported": shown,
		"wait_began": shown, "wait_answered": shown, "promise_at_risk": hidden, "promise_broken": shown,
		"resolution_proposed": shown, "resolution_withdrawn": shown, "resolution_superseded": shown, "resolution_rejected": shown,
		"resolved": shown, "reopened": shown, "rated": shown, "subject_changed": shown,
		"claimed": hidden, "released": hidden, "helper_invited": hidden, "helper_removed": hidden,
		"hand_over_offered": hidden, "hand_over_accepted": hidden, "hand_over_declined": hidden, "hand_over_lapsed": hidden,
		"persona_set": hidden, "details_changed": hidden, "note_added": hidden, "note_edited": hidden, "note_redacted": hidden, "unseen": hidden,
		"credit_granted": shown, "credit_settled": shown, "credit_refused": shown, "credit_reversed": shown, "credit_overdue": hidden,
		"conversation_removed": hidden,
	},
	"goodship.v1.Opened":               {"outreach_reason": shown},
	"goodship.v1.MessageSent":          {"number": shown, "message": shown, "participant_number": shown, "asks": hidden},
	"goodship.v1.MessageEdited":        {"number": shown, "message": shown, "asks": hidden},
	"goodship.v1.MessageRedacted":      {"number": shown, "message": shown},
	"goodship.v1.DeliveryReported":     {"number": shown, "message": shown},
	"goodship.v1.WaitBegan":            {"start_time": shown, "line_time": hidden, "due_time": shown, "at_risk_time": hidden},
	"goodship.v1.WaitAnswered":         {"seen_revision": hidden, "kept": shown},
	"goodship.v1.PromiseBroken":        {},
	"goodship.v1.ResolutionProposed":   {"number": shown},
	"goodship.v1.ResolutionWithdrawn":  {"number": shown},
	"goodship.v1.ResolutionSuperseded": {"number": shown},
	"goodship.v1.ResolutionRejected":   {"number": shown},
	"goodship.v1.Resolved":             {"outcome": shown, "resolution_number": shown, "dismiss_reason": hidden, "promise_canceled": shown},
	"goodship.v1.Reopened":             {"counted": hidden},
	"goodship.v1.Rated":                {"number": shown},
	"goodship.v1.SubjectChanged":       {},
	"goodship.v1.CreditGranted":        {"credit_id": shown, "amount": shown, "settle_by_time": shown},
	"goodship.v1.CreditSettled":        {"credit_id": shown},
	"goodship.v1.CreditRefused":        {"credit_id": shown},
	"goodship.v1.CreditReversed":       {"credit_id": shown},
	"goodship.v1.Signal":               {"kind": shown, "sender": shown, "expire_time": shown},
	"goodship.v1.Wait": {
		"conversation_id": shown, "state": shown, "place": shown, "answer_promise": shown, "estimate": shown, "open_time": shown, "contact_points": shown,
	},
	"goodship.v1.WaitEstimate":  {"state": shown, "p50": shown, "p90": shown},
	"goodship.v1.ContactPoint":  {"kind": shown, "value": shown},
	"google.protobuf.Duration":  {"seconds": shown, "nanos": shown},
	"google.type.Money":         {"currency_code": shown, "units": shown, "nanos": shown},
	"google.protobuf.Timestamp": {"seconds": shown, "nanos": shown},
}

// ForCustomer takes out of a message, in place, what a customer does not see, and returns it.
func ForCustomer[M proto.Message](m M) M {
	strip(m.ProtoReflect())
	return m
}

func strip(m protoreflect.Message) {
	allowed := customerSees[m.Descriptor().FullName()]
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case !bool(allowed[field.Name()]):
			m.Clear(field)
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				strip(v.List().Get(i).Message())
			}
		default:
			strip(v.Message())
		}
		return true
	})
}

// see returns a message as a caller sees it.
func see[M proto.Message](c Caller, m M) M {
	if c.isCustomer() {
		return ForCustomer(m)
	}
	return m
}

// visible reads a conversation's head, or says that there is none that the caller may see.
func (s *Service) visible(ctx context.Context, id string) (*storev1.Head, error) {
	c := callerFrom(ctx)
	head, err := s.store.Conversation(ctx, c.Workspace, id)
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	if c.isCustomer() && !c.owns(head) {
		return nil, noConversation()
	}
	return head, nil
}

// conversation reads a conversation as the caller sees it.
func (s *Service) conversation(ctx context.Context, id string) (*goodshipv1.Conversation, error) {
	head, err := s.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.seen(ctx, head)
}

// changed returns the conversation of a receipt as the caller sees it: the reply to a change.
func (s *Service) changed(ctx context.Context, r *storev1.Receipt, err error) (*goodshipv1.Conversation, error) {
	if err != nil {
		return nil, err
	}
	return s.conversation(ctx, r.ConversationId)
}

// seen makes of a head what the caller sees of the conversation, unless its customer was erased since it was read. The head is
// its to change.
func (s *Service) seen(ctx context.Context, h *storev1.Head) (*goodshipv1.Conversation, error) {
	c, conv := callerFrom(ctx), h.Conversation
	conv.Etag = headEtag(c, h)
	if c.isCustomer() {
		conv.CustomerId, conv.UpdateTime = c.ID, h.PublicUpdateTime
		conv.Participants = slices.DeleteFunc(conv.Participants, func(p *goodshipv1.Participant) bool { return p.Number == 0 })
		slices.SortFunc(conv.Participants, func(a, b *goodshipv1.Participant) int { return int(a.Number - b.Number) })
		return ForCustomer(conv), nil
	}
	customer, err := s.customerByKey(ctx, c.Workspace, h.CustomerKey)
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	conv.CustomerId, conv.PublicRevision = customer.Customer.Id, 0
	for _, p := range conv.Participants {
		if chosen := h.Personas[p.AgentId]; chosen != nil {
			p.Persona = chosen
		}
	}
	return conv, nil
}

// readMarks returns how far people have read, as the caller sees it.
func (s *Service) readMarks(ctx context.Context, h *storev1.Head) ([]*goodshipv1.ReadMark, error) {
	c := callerFrom(ctx)
	records, err := s.store.ReadMarks(ctx, c.Workspace, h.Conversation.Id)
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	var marks []*goodshipv1.ReadMark
	for _, r := range records {
		if m := markFor(audienceOf(c), readMark(h, r)); m != nil {
			marks = append(marks, m)
		}
	}
	return marks, nil
}

func readMark(h *storev1.Head, r *storev1.ReadMarkRecord) *goodshipv1.ReadMark {
	return &goodshipv1.ReadMark{
		AgentId: r.AgentId, ParticipantNumber: participant(h, r.AgentId).GetNumber(), MessageNumber: r.MessageNumber, ReadTime: r.ReadTime,
	}
}

// markFor returns a read mark as an audience sees it, or nil if it is not told: customers are not told of agents who have said
// nothing.
func markFor(a audience, m *goodshipv1.ReadMark) *goodshipv1.ReadMark {
	switch {
	case a == staff:
		return m
	case m.AgentId != "" && m.ParticipantNumber == 0:
		return nil
	}
	return ForCustomer(proto.CloneOf(m))
}

// participant returns who takes part under an agent's id, or, with an empty one, the customer; nil if nobody does.
func participant(h *storev1.Head, agentID string) *goodshipv1.Participant {
	i := slices.IndexFunc(h.Conversation.Participants, func(p *goodshipv1.Participant) bool { return p.AgentId == agentID })
	if i < 0 {
		return nil
	}
	return h.Conversation.Participants[i]
}
