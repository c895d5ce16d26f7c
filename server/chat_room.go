package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// room is a conversation as a terminal shows it. It is its watch's, once that is under way.
type room struct {
	talk *talk
	id   string
	// customer is the customer's id.
	customer string
	// seen is the newest revision that was shown, for agents.
	seen atomic.Int32
	// last is the newest message that was shown, and answered says that it is the person's own.
	last     int32
	answered bool
	// marked is the newest message that was marked as read.
	marked int32
	// writes is who was said to write, since the last message.
	writes string
}

// heading says how a conversation stands.
func (r *room) heading(c *goodshipv1.Conversation) string {
	with := ""
	if r.talk.agent {
		with = " with " + c.GetCustomerId()
	}
	text := fmt.Sprintf("the conversation%s, %s", with, label(c.GetState(), "STATE_"))
	if p := c.GetAnswerPromise(); p.GetState() == goodshipv1.PromiseState_PROMISE_STATE_RUNNING {
		text += fmt.Sprintf("; an answer by %s", hour(p.GetDueTime()))
	}
	return text
}

// tell shows an update, if there is anything to see.
func (r *room) tell(update *goodshipv1.WatchUpdate) {
	text := ""
	switch {
	case update.GetEvent() != nil:
		defer r.seen.Store(update.GetEvent().GetRevision())
		if m := update.GetEvent().GetMessageSent(); m != nil {
			r.message(m.GetMessage())
			return
		}
		text = r.event(update.GetEvent())
	case update.GetSignal().GetKind() == goodshipv1.SignalKind_SIGNAL_KIND_TYPING:
		who := r.name(update.GetSignal().GetSender())
		if r.own(update.GetSignal().GetSender()) || who == r.writes {
			return
		}
		r.writes = who
		text = who + " writes …"
	case update.GetReadMark().GetMessageNumber() == r.last && r.answered && update.GetReadMark().GetAgentId() != r.self():
		r.answered = false // once is enough
		text = "read"
	}
	if text != "" {
		r.talk.show("· %s", text)
	}
}

// self is the agent of this terminal; empty for a customer's.
func (r *room) self() string {
	if r.talk.agent {
		return r.talk.self
	}
	return ""
}

// own reports whether somebody is the person of this terminal.
func (r *room) own(s *goodshipv1.Sender) bool {
	if r.talk.agent {
		return s.GetAgentId() == r.talk.self
	}
	return s.GetKind() == goodshipv1.SenderKind_SENDER_KIND_CUSTOMER
}

// name is what somebody is called.
func (r *room) name(s *goodshipv1.Sender) string {
	switch {
	case r.own(s):
		return "you"
	case s.GetPersona().GetDisplayName() != "":
		return s.GetPersona().GetDisplayName()
	case s.GetKind() == goodshipv1.SenderKind_SENDER_KIND_CUSTOMER:
		return r.customer
	case s.GetKind() == goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC:
		return "automatic"
	}
	return "somebody"
}

// message shows a message, once.
func (r *room) message(m *goodshipv1.Message) {
	if m.GetNumber() <= r.last {
		return
	}
	r.last, r.answered, r.writes = m.GetNumber(), r.own(m.GetSender()), ""
	if r.answered && r.talk.shown(m.GetText()) {
		return
	}
	r.talk.show("%s %s: %s", hour(m.GetCreateTime()), r.name(m.GetSender()), content(m))
}

// content is what a message says.
func content(m *goodshipv1.Message) string {
	if m.GetRedactTime() != nil {
		return "(removed)"
	}
	parts := []string{m.GetText()}
	for _, a := range m.GetAttachments() {
		parts = append(parts, fmt.Sprintf("[%s %s]", a.GetFileName(), a.GetUri()))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

// read tells the others that what is shown was read. That it fails is no news for who reads.
func (r *room) read(ctx context.Context) {
	if r.last == r.marked || r.answered {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := r.talk.MarkRead(ctx, &goodshipv1.MarkReadRequest{ConversationId: r.id, Number: r.last}); err == nil {
		r.marked = r.last
	}
}

// event is what there is to see of an event; nothing of many.
func (r *room) event(e *goodshipv1.Event) string {
	switch k := e.GetKind().(type) {
	case *goodshipv1.Event_MessageEdited:
		return fmt.Sprintf("%s changed message %d: %s", r.name(k.MessageEdited.GetMessage().GetSender()), k.MessageEdited.GetNumber(), content(k.MessageEdited.GetMessage()))
	case *goodshipv1.Event_MessageRedacted:
		return fmt.Sprintf("message %d was removed", k.MessageRedacted.GetNumber())
	case *goodshipv1.Event_WaitBegan:
		return "an answer by " + hour(k.WaitBegan.GetDueTime())
	case *goodshipv1.Event_WaitAnswered:
		if k.WaitAnswered.GetKept() {
			return "answered in time"
		}
		return "answered, later than promised"
	case *goodshipv1.Event_PromiseAtRisk:
		return "the answer is due soon"
	case *goodshipv1.Event_PromiseBroken:
		return "the promised time has passed"
	case *goodshipv1.Event_ResolutionProposed:
		if r.talk.agent {
			return "proposed: the customer says whether it is solved"
		}
		return "is it solved? /solved or /reject"
	case *goodshipv1.Event_ResolutionWithdrawn:
		return "the proposal is withdrawn"
	case *goodshipv1.Event_ResolutionRejected:
		return "it is not solved"
	case *goodshipv1.Event_Resolved:
		return "resolved: " + label(k.Resolved.GetOutcome(), "OUTCOME_")
	case *goodshipv1.Event_Reopened:
		return "open again"
	case *goodshipv1.Event_Rated:
		return "rated"
	}
	return r.inner(e)
}

// inner is what there is to see of an event that only agents see.
func (r *room) inner(e *goodshipv1.Event) string {
	switch k := e.GetKind().(type) {
	case *goodshipv1.Event_Claimed:
		return k.Claimed.GetAgentId() + " has it"
	case *goodshipv1.Event_Released:
		return k.Released.GetAgentId() + " has it no longer"
	case *goodshipv1.Event_HandOverOffered:
		return "offered to " + k.HandOverOffered.GetToAgentId()
	case *goodshipv1.Event_NoteAdded:
		return fmt.Sprintf("note %d was written", k.NoteAdded.GetNumber())
	}
	return ""
}

// lineLine says how the line stands.
func lineLine(l *goodshipv1.Line) string {
	if l.GetLength() == 0 {
		return "nobody waits"
	}
	text := fmt.Sprintf("%d in line, %d of them nobody's, the first since %s", l.GetLength(), l.GetUnownedCount(), hour(l.GetOldestLineTime()))
	if n := l.GetAtRiskCount(); n > 0 {
		text += fmt.Sprintf("; %d due soon", n)
	}
	if n := l.GetBrokenCount(); n > 0 {
		text += fmt.Sprintf("; %d late", n)
	}
	return text + ": /next"
}

// waitLine says what a customer who waits can know.
func waitLine(w *goodshipv1.Wait) string {
	if w.GetState() != goodshipv1.State_STATE_WAITING {
		return "nobody waits here"
	}
	text := fmt.Sprintf("number %d in line; an answer by %s", w.GetPlace(), hour(w.GetAnswerPromise().GetDueTime()))
	if e := w.GetEstimate(); e.GetState() == goodshipv1.EstimateState_ESTIMATE_STATE_KNOWN {
		text += fmt.Sprintf("; half of such waits end within %v, nine of ten within %v", e.GetP50().AsDuration().Round(time.Second), e.GetP90().AsDuration().Round(time.Second))
		if w.GetOpenTime() != nil {
			text += " of opening time"
		}
	}
	if w.GetOpenTime() != nil {
		text += "; the desk opens " + w.GetOpenTime().AsTime().Local().Format("Mon 15:04")
	}
	for _, c := range w.GetContactPoints() {
		text += "; or " + c.GetValue()
	}
	return text
}

// hour is a time of day as people read it.
func hour(t *timestamppb.Timestamp) string { return t.AsTime().Local().Format("15:04") }

// visible is a text without what steers a terminal.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r):
			return '�'
		}
		return r
	}, text)
}
