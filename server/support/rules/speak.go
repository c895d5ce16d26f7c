package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Content is what somebody says.
type Content struct {
	Text        string
	Attachments []*goodshipv1.Attachment
}

// Empty reports whether nothing is said: blanks answer nobody.
func (c Content) Empty() bool { return strings.TrimSpace(c.Text) == "" && len(c.Attachments) == 0 }

// Open begins a conversation with a first message: the customer's enters the line, ours has a reason. The head holds no
// more than ids and what people wrote about the matter.
func (c *Conversation) Open(content Content, reason goodshipv1.OutreachReason) error {
	if err := c.notBlocked(); err != nil {
		return err
	}
	if !c.byCustomer() && c.Outreach != "" {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_OUTREACH_UNANSWERED,
			"The customer has not answered an earlier conversation that we opened. Wait for their answer there.").With("conversation_id", c.Outreach)
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Opened{Opened: &goodshipv1.Opened{OutreachReason: reason}}})
	if c.Actor.isAgent() {
		c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Claimed{Claimed: &goodshipv1.Claimed{AgentId: c.Actor.AgentID}}})
	}
	byCustomer := c.byCustomer()
	if err := c.say(content, byCustomer); err != nil {
		return err
	}
	if byCustomer {
		c.beginWait(c.Now, c.Now)
	}
	c.elapse()
	return nil
}

// Send adds a public message. A customer's asks; a person's answers what it had seen; a backend's does neither.
func (c *Conversation) Send(content Content, seen int32) error {
	var err error
	switch {
	case c.byCustomer():
		err = c.ask(content)
	case c.Actor.isAgent():
		err = c.reply(content, seen)
	default:
		err = c.say(content, false)
	}
	if err != nil {
		return err
	}
	c.elapse()
	return nil
}

// ask adds a customer's message: who has said something is owed an answer.
func (c *Conversation) ask(content Content) error {
	if err := c.notBlocked(); err != nil {
		return err
	}
	waited, outcome := c.waiting(), c.Head.Conversation.Outcome
	if c.proposed() {
		c.decide(goodshipv1.ResolutionState_RESOLUTION_STATE_SUPERSEDED)
		c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_ResolutionSuperseded{ResolutionSuperseded: &goodshipv1.ResolutionSuperseded{Number: c.Head.Conversation.ResolutionNumber}}})
	}
	if err := c.say(content, true); err != nil {
		return err
	}
	if waited {
		return nil
	}
	if c.resolved() {
		c.reopen(outcome)
	}
	c.leaveAbsentOwner()
	c.beginWait(c.Now, c.Now)
	return nil
}

// reopen opens a resolved conversation again. After a dismissal or an apology it begins afresh: without its owner, and not
// counted as a return.
func (c *Conversation) reopen(from goodshipv1.Outcome) {
	afresh := from == goodshipv1.Outcome_OUTCOME_DISMISSED || from == goodshipv1.Outcome_OUTCOME_INFORMED
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_Reopened{Reopened: &goodshipv1.Reopened{Counted: !afresh}}})
	if owner := c.Head.Conversation.OwnerId; afresh && owner != "" {
		c.emit(released(owner, goodshipv1.ReleaseCause_RELEASE_CAUSE_REOPENED))
	}
}

// leaveAbsentOwner takes a conversation that is about to wait from an owner who is not there.
func (c *Conversation) leaveAbsentOwner() {
	if owner := c.Head.Conversation.OwnerId; owner != "" && c.Presence(owner).away(c.Now) {
		c.loseOwner()
	}
}

// reply adds a person's message.
func (c *Conversation) reply(content Content, seen int32) error {
	if err := c.checkSeen(seen); err != nil {
		return err
	}
	if err := c.stepIn(); err != nil {
		return err
	}
	if err := c.say(content, false); err != nil {
		return err
	}
	c.answer(seen)
	return nil
}

// say appends a message and nothing that follows from it.
func (c *Conversation) say(content Content, asks bool) error {
	if asks && len(c.Head.Unanswered) >= MaxUnanswered {
		return limit(MaxUnanswered, "%d messages wait for an answer. Wait for it before sending more.")
	}
	sender, err := c.sender()
	if err != nil {
		return err
	}
	number := c.Head.Conversation.MessageCount + 1
	c.Message = &goodshipv1.Message{
		ConversationId: c.Head.Conversation.Id, Number: number, Sender: sender,
		Text: content.Text, Attachments: content.Attachments, CreateTime: timestamppb.New(c.Now),
	}
	c.Messages = append(c.Messages, c.Message)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_MessageSent{MessageSent: &goodshipv1.MessageSent{
		Number: number, ParticipantNumber: sender.ParticipantNumber, Asks: asks,
	}}})
	if sender.ParticipantNumber != 0 {
		participant(c.Head.Conversation, sender.Kind, sender.AgentId).Persona = sender.Persona
	}
	return nil
}

// sender returns the actor as it appears in a message, with the next participant number if it has none.
func (c *Conversation) sender() (*goodshipv1.Sender, error) {
	kind := senderKind(&goodshipv1.Actor{Kind: c.Actor.Kind})
	if kind == goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC {
		return &goodshipv1.Sender{Kind: kind}, nil
	}
	s := &goodshipv1.Sender{Kind: kind, AgentId: c.Actor.AgentID, Persona: c.Actor.Persona}
	if p := c.Head.Personas[c.Actor.AgentID]; p != nil && c.Settings.PersonasAllowed {
		s.Persona = p
	}
	known, highest := false, int32(0)
	for _, p := range c.Head.Conversation.Participants {
		highest = max(highest, p.Number)
		if p.Kind == kind && p.AgentId == s.AgentId {
			known, s.ParticipantNumber = true, p.Number
		}
	}
	if !known && c.Actor.isAgent() && c.Actor.AgentID != c.Head.Conversation.OwnerId && len(c.Head.Conversation.Participants) >= MaxParticipants {
		return nil, limit(MaxParticipants, "%d people take part already; nobody else can join in.")
	}
	if s.ParticipantNumber == 0 {
		s.ParticipantNumber = highest + 1
	}
	return s, nil
}

// Edit changes the text of the actor's own message. A customer's edit asks for an answer like a message, and ends with the
// answer; an agent's never answers.
func (c *Conversation) Edit(m *goodshipv1.Message, text string) error {
	if err := c.ownMessage(m); err != nil {
		return err
	}
	byCustomer := c.byCustomer()
	if byCustomer {
		if err := c.editable(m.Number); err != nil {
			return err
		}
	}
	m.Text, m.EditTime = text, timestamppb.New(c.Now)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_MessageEdited{MessageEdited: &goodshipv1.MessageEdited{Number: m.Number, Asks: byCustomer}}})
	c.elapse()
	return nil
}

func (c *Conversation) ownMessage(m *goodshipv1.Message) error {
	if m.Sender.Kind != senderKind(&goodshipv1.Actor{Kind: c.Actor.Kind}) || m.Sender.AgentId != c.Actor.AgentID {
		return notTheAuthor("message")
	}
	if m.RedactTime != nil {
		return redacted("message")
	}
	return nil
}

// editable refuses a customer's edit of what was answered or closed.
func (c *Conversation) editable(number int32) error {
	if err := c.notBlocked(); err != nil {
		return err
	}
	for _, act := range c.Head.Unanswered {
		if act.MessageNumber != number {
			continue
		}
		if len(c.Head.Unanswered) >= MaxUnanswered {
			return limit(MaxUnanswered, "%d messages wait for an answer. Wait for it before changing more.")
		}
		return nil
	}
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_MESSAGE_ANSWERED,
		"The message was answered or its conversation closed. Write a new one.")
}

// Redact removes the content of a message. Customers redact their own; agents what they said or, taking part, any;
// leaders and backends any. A message redacted before stays as it is.
func (c *Conversation) Redact(m *goodshipv1.Message) error {
	switch {
	case c.byCustomer():
		if m.Sender.Kind != goodshipv1.SenderKind_SENDER_KIND_CUSTOMER {
			return notTheAuthor("message")
		}
	case c.Actor.isAgent() && m.Sender.AgentId != c.Actor.AgentID:
		if err := c.mustTakePart(); err != nil {
			return err
		}
	}
	if m.RedactTime != nil {
		return nil
	}
	m.Text, m.Attachments, m.RedactTime = "", nil, timestamppb.New(c.Now)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_MessageRedacted{MessageRedacted: &goodshipv1.MessageRedacted{Number: m.Number}}})
	c.elapse()
	return nil
}

// ReportDelivery notes how the product's delivery of a message to the customer ended.
func (c *Conversation) ReportDelivery(m *goodshipv1.Message, state goodshipv1.DeliveryState, failure string) error {
	if m.Sender.Kind == goodshipv1.SenderKind_SENDER_KIND_CUSTOMER {
		return fault.Field("number", "must be that of a message to the customer")
	}
	m.Delivery = &goodshipv1.Delivery{State: state, Failure: failure, ReportTime: timestamppb.New(c.Now)}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_DeliveryReported{DeliveryReported: &goodshipv1.DeliveryReported{Number: m.Number}}})
	c.elapse()
	return nil
}

// SetPersona sets how the actor appears from the next message on; nil to be oneself again.
func (c *Conversation) SetPersona(persona *goodshipv1.Persona) error {
	if persona != nil && !c.Settings.PersonasAllowed {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_PERSONAS_NOT_ALLOWED,
			"This workspace does not allow personas. Speak as yourself.")
	}
	if c.Actor.isAgent() {
		if err := c.mustTakePart(); err != nil {
			return err
		}
	}
	if _, err := c.sender(); err != nil {
		return err
	}
	kind := senderKind(&goodshipv1.Actor{Kind: c.Actor.Kind})
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_PersonaSet{PersonaSet: &goodshipv1.PersonaSet{Kind: kind, AgentId: c.Actor.AgentID}}})
	if c.Head.Personas == nil {
		c.Head.Personas = map[string]*goodshipv1.Persona{}
	}
	if persona == nil {
		delete(c.Head.Personas, c.Actor.AgentID)
	} else {
		c.Head.Personas[c.Actor.AgentID] = persona
	}
	c.elapse()
	return nil
}

// AddNote adds something that agents say among themselves.
func (c *Conversation) AddNote(text string) {
	c.note(text)
	c.elapse()
}

func (c *Conversation) note(text string) int32 {
	number := c.Head.Conversation.NoteCount + 1
	c.Note = &goodshipv1.Note{
		ConversationId: c.Head.Conversation.Id, Number: number, AgentId: c.Actor.AgentID, Text: text, CreateTime: timestamppb.New(c.Now),
	}
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_NoteAdded{NoteAdded: &goodshipv1.NoteAdded{Number: number}}})
	return number
}

// EditNote changes the text of the actor's own note.
func (c *Conversation) EditNote(n *goodshipv1.Note, text string) error {
	if n.AgentId != c.Actor.AgentID {
		return notTheAuthor("note")
	}
	if n.RedactTime != nil {
		return redacted("note")
	}
	n.Text, n.EditTime = text, timestamppb.New(c.Now)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_NoteEdited{NoteEdited: &goodshipv1.NoteEdited{Number: n.Number}}})
	c.elapse()
	return nil
}

// RedactNote removes the content of the actor's own note, or as a leader of any. A note redacted before stays as it is.
func (c *Conversation) RedactNote(n *goodshipv1.Note) error {
	if n.AgentId != c.Actor.AgentID && c.Actor.Kind != goodshipv1.ActorKind_ACTOR_KIND_LEADER {
		return notTheAuthor("note")
	}
	if n.RedactTime != nil {
		return nil
	}
	n.Text, n.RedactTime = "", timestamppb.New(c.Now)
	c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_NoteRedacted{NoteRedacted: &goodshipv1.NoteRedacted{Number: n.Number}}})
	c.elapse()
	return nil
}

// Describe changes what people wrote about the matter: the fields named, to the values given.
func (c *Conversation) Describe(u *goodshipv1.ConversationUpdate, fields []string) {
	conv := c.Head.Conversation
	for _, field := range fields {
		switch field {
		case "subject":
			conv.Subject = u.Subject
		case "context":
			conv.Context = u.Context
		case "labels":
			conv.Labels = u.Labels
		case "incident_id":
			conv.IncidentId = u.IncidentId
		case "hold":
			conv.Hold = u.Hold
		}
	}
	if slices.Contains(fields, "subject") {
		c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_SubjectChanged{SubjectChanged: &goodshipv1.SubjectChanged{}}})
	}
	if inner := without(slices.Clone(fields), "subject"); len(inner) > 0 {
		c.emit(&goodshipv1.Event{Kind: &goodshipv1.Event_DetailsChanged{DetailsChanged: &goodshipv1.DetailsChanged{Fields: inner}}})
	}
	c.elapse()
}

func (c *Conversation) byCustomer() bool {
	return c.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER
}

// notBlocked refuses a blocked customer who writes.
func (c *Conversation) notBlocked() error {
	if !c.byCustomer() {
		return nil
	}
	return NotBlocked(c.Block, c.Now)
}

// NotBlocked refuses a customer who writes under a block; nil if there is none.
func NotBlocked(b *goodshipv1.Block, now time.Time) error {
	if b == nil {
		return nil
	}
	f := fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CUSTOMER_BLOCKED, "The customer is blocked and cannot write. Reading, confirming and rejecting without a text go on.")
	if b.UntilTime == nil {
		return f
	}
	until := b.UntilTime.AsTime()
	if !until.After(now) {
		return nil
	}
	return f.With("until", until.Format(time.RFC3339Nano))
}

func limit(n int, format string) error {
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_LIMIT_REACHED, format, n).With("limit", strconv.Itoa(n))
}

func notTheAuthor(what string) error {
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_NOT_THE_AUTHOR, "Only who wrote the %s may change it. Write one of your own.", what)
}

func redacted(what string) error {
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_REDACTED, "The %s was redacted and stays so. Write a new one.", what)
}
