package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// draft is a change in the making. Whatever is done to it, its numbers follow those of the conversation before.
type draft struct {
	now         time.Time
	before      *storev1.Standing
	head        *storev1.Head
	record      *storev1.Record
	messages    []*goodshipv1.Message
	notes       []*goodshipv1.Note
	resolutions []*goodshipv1.Resolution
}

// defaultCustomer is the internal key of the customer that a conversation has unless its draft says otherwise.
const defaultCustomer = "key_default"

// draftOf returns a draft on a conversation as the unit reads it, or on a new one.
func draftOf(tx store.Tx, id string) (*draft, error) {
	head, err := tx.Conversation(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return begin(id, defaultCustomer, tx.Now()), nil
	case err != nil:
		return nil, err
	}
	return goOn(head, tx.Now()), nil
}

// begin returns a draft that begins a conversation: WAITING since now, unowned, without a message.
func begin(id, customerKey string, now time.Time) *draft {
	d := &draft{now: now, before: &storev1.Standing{}, record: &storev1.Record{}, head: &storev1.Head{
		CustomerKey:  customerKey,
		Conversation: &goodshipv1.Conversation{Id: id, CreateTime: timestamppb.New(now)},
	}}
	d.wait(now)
	d.log(true, &goodshipv1.Event{Kind: &goodshipv1.Event_Opened{Opened: &goodshipv1.Opened{}}})
	return d
}

// goOn returns a draft on a conversation.
func goOn(head *storev1.Head, now time.Time) *draft {
	return &draft{now: now, before: standing(head), record: &storev1.Record{}, head: proto.CloneOf(head)}
}

func standing(head *storev1.Head) *storev1.Standing {
	return &storev1.Standing{State: head.GetConversation().GetState(), OwnerId: head.GetConversation().GetOwnerId()}
}

func (d *draft) conversation() *goodshipv1.Conversation { return d.head.GetConversation() }

// log adds an event under the next numbers.
func (d *draft) log(public bool, e *goodshipv1.Event) {
	c := d.conversation()
	c.Revision++
	e.Revision = c.GetRevision()
	if public {
		c.PublicRevision++
		e.PublicRevision = c.GetPublicRevision()
		c.ActivityTime = timestamppb.New(d.now)
	}
	e.CreateTime = timestamppb.New(d.now)
	e.Actor = &goodshipv1.Actor{Kind: goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER}
	d.record.Events = append(d.record.Events, e)
}

// say adds a message; a record has room for one.
func (d *draft) say(text string) {
	c := d.conversation()
	c.MessageCount++
	d.record.Message = d.message(c.GetMessageCount(), text)
	d.log(true, &goodshipv1.Event{Kind: &goodshipv1.Event_MessageSent{MessageSent: &goodshipv1.MessageSent{Number: c.GetMessageCount()}}})
}

func (d *draft) message(number int32, text string) *goodshipv1.Message {
	return &goodshipv1.Message{
		ConversationId: d.conversation().GetId(),
		Number:         number,
		Text:           text,
		Sender:         &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_CUSTOMER, ParticipantNumber: 1},
		CreateTime:     timestamppb.New(d.now),
	}
}

// edit replaces a message.
func (d *draft) edit(number int32, text string) {
	m := d.message(number, text)
	m.EditTime = timestamppb.New(d.now)
	d.messages = append(d.messages, m)
	d.log(true, &goodshipv1.Event{Kind: &goodshipv1.Event_MessageEdited{MessageEdited: &goodshipv1.MessageEdited{Number: number}}})
}

// redact removes what a message says.
func (d *draft) redact(number int32) {
	m := d.message(number, "")
	m.RedactTime = timestamppb.New(d.now)
	d.messages = append(d.messages, m)
	d.log(true, &goodshipv1.Event{Kind: &goodshipv1.Event_MessageRedacted{MessageRedacted: &goodshipv1.MessageRedacted{Number: number}}})
}

// note adds a note; a record has room for one.
func (d *draft) note(text string) {
	c := d.conversation()
	c.NoteCount++
	d.record.Note = &goodshipv1.Note{ConversationId: c.GetId(), Number: c.GetNoteCount(), Text: text, CreateTime: timestamppb.New(d.now)}
	d.log(false, &goodshipv1.Event{Kind: &goodshipv1.Event_NoteAdded{NoteAdded: &goodshipv1.NoteAdded{Number: c.GetNoteCount()}}})
}

// editNote replaces a note.
func (d *draft) editNote(number int32, text string) {
	d.notes = append(d.notes, &goodshipv1.Note{
		ConversationId: d.conversation().GetId(), Number: number, Text: text, EditTime: timestamppb.New(d.now),
	})
	d.log(false, &goodshipv1.Event{Kind: &goodshipv1.Event_NoteEdited{NoteEdited: &goodshipv1.NoteEdited{Number: number}}})
}

// propose adds a resolution.
func (d *draft) propose(done string) {
	c := d.conversation()
	c.ResolutionCount++
	c.ResolutionNumber = c.GetResolutionCount()
	d.resolutions = append(d.resolutions, &goodshipv1.Resolution{
		ConversationId: c.GetId(), Number: c.GetResolutionCount(), Done: done,
		State: goodshipv1.ResolutionState_RESOLUTION_STATE_PROPOSED, CreateTime: timestamppb.New(d.now),
	})
	d.log(true, &goodshipv1.Event{Kind: &goodshipv1.Event_ResolutionProposed{
		ResolutionProposed: &goodshipv1.ResolutionProposed{Number: c.GetResolutionCount()},
	}})
}

// withdraw replaces a resolution.
func (d *draft) withdraw(number int32, done string) {
	d.resolutions = append(d.resolutions, &goodshipv1.Resolution{
		ConversationId: d.conversation().GetId(), Number: number, Done: done,
		State: goodshipv1.ResolutionState_RESOLUTION_STATE_WITHDRAWN, DecideTime: timestamppb.New(d.now),
	})
	d.log(true, &goodshipv1.Event{Kind: &goodshipv1.Event_ResolutionWithdrawn{
		ResolutionWithdrawn: &goodshipv1.ResolutionWithdrawn{Number: number},
	}})
}

// wait makes it WAITING, at a place in the line.
func (d *draft) wait(line time.Time) {
	d.state(goodshipv1.State_STATE_WAITING, goodshipv1.Outcome_OUTCOME_UNSPECIFIED)
	d.conversation().LineTime = timestamppb.New(line)
}

// answer makes it ANSWERED.
func (d *draft) answer() {
	d.state(goodshipv1.State_STATE_ANSWERED, goodshipv1.Outcome_OUTCOME_UNSPECIFIED)
}

// resolve makes it RESOLVED.
func (d *draft) resolve(outcome goodshipv1.Outcome) {
	d.state(goodshipv1.State_STATE_RESOLVED, outcome)
	d.conversation().ResolveTime = timestamppb.New(d.now)
}

func (d *draft) state(state goodshipv1.State, outcome goodshipv1.Outcome) {
	c := d.conversation()
	c.State, c.Outcome, c.ResolveTime = state, outcome, nil
}

// own sets the owner; nobody if empty.
func (d *draft) own(agentID string) { d.conversation().OwnerId = agentID }

// due sets when time does something to the conversation; never if zero.
func (d *draft) due(at time.Time) {
	d.head.DueTime = nil
	if !at.IsZero() {
		d.head.DueTime = timestamppb.New(at)
	}
}

// change returns what was drafted. What makes no event of its own, and needs one, is a change of details.
func (d *draft) change() store.Change {
	if len(d.record.GetEvents()) == 0 {
		d.log(false, &goodshipv1.Event{Kind: &goodshipv1.Event_DetailsChanged{DetailsChanged: &goodshipv1.DetailsChanged{}}})
	}
	c := d.conversation()
	c.UpdateTime = timestamppb.New(d.now)
	d.record.MessageCount, d.record.NoteCount = c.GetMessageCount(), c.GetNoteCount()
	d.record.Before, d.record.After = d.before, standing(d.head)
	if c.GetRevision()%2 == 0 {
		d.record.Traceparent = fmt.Sprintf("00-%032x-%016x-01", c.GetRevision(), c.GetRevision())
	}
	return store.Change{Head: d.head, Record: d.record, Messages: d.messages, Notes: d.notes, Resolutions: d.resolutions}
}

func workspaceRecord(id string, version int32) *storev1.WorkspaceRecord {
	return &storev1.WorkspaceRecord{Workspace: &goodshipv1.Workspace{Id: id}, Version: version}
}

func agentRecord(id string, version int32) *storev1.AgentRecord {
	return &storev1.AgentRecord{Agent: &goodshipv1.Agent{Id: id}, Version: version}
}

func customerRecord(id, key string, version int32) *storev1.CustomerRecord {
	return &storev1.CustomerRecord{Customer: &goodshipv1.Customer{Id: id}, Key: key, Version: version}
}

// apiKeyRecord returns a key whose hash depends on the workspace and the id alone.
func apiKeyRecord(workspace, id string, version int32) *storev1.ApiKeyRecord {
	return &storev1.ApiKeyRecord{
		ApiKey:      &goodshipv1.ApiKey{Id: id, DisplayName: strconv.Itoa(int(version))},
		SecretHash:  fmt.Appendf(nil, "hash of %q in %q", id, workspace),
		WorkspaceId: workspace,
	}
}
