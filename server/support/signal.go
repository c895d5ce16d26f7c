package support

import (
	"cmp"
	"context"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// signals are what people can tell that they do right now, and for how long that holds.
var signals = map[goodshipv1.SignalKind]struct {
	notice noticeKind
	lasts  time.Duration
}{
	goodshipv1.SignalKind_SIGNAL_KIND_TYPING:  {noticeTyping, 6 * time.Second},
	goodshipv1.SignalKind_SIGNAL_KIND_PRESENT: {noticePresent, 30 * time.Second},
}

// signalInterval is how long after a signal another one of its kind is taken as the same.
const signalInterval = time.Second

// absorbs reports whether a notice, posted before another of the same thing, is told for both.
func (n notice) absorbs(later notice) bool {
	return n.kind != noticeMark && later.time.Before(n.time.Add(signalInterval))
}

// SendSignal tells those who watch what the caller does right now. It is not stored, so that it is no unit of work; but who may
// not call any more tells nothing.
func (s *Service) SendSignal(ctx context.Context, req *goodshipv1.SendSignalRequest) (*goodshipv1.Signal, error) {
	c, err := callerFrom(ctx).in(callerReader{ctx, s.store, callerFrom(ctx).Workspace})
	if err != nil {
		return nil, err
	}
	head, err := s.visible(ctx, req.ConversationId)
	if err != nil {
		return nil, err
	}
	now := s.store.Now()
	if c.isCustomer() && req.Kind == goodshipv1.SignalKind_SIGNAL_KIND_TYPING {
		customer, err := s.customerByKey(ctx, c.Workspace, c.CustomerKeys[0])
		if err != nil {
			return nil, err
		}
		if err := rules.NotBlocked(customer.Customer.Block, now); err != nil {
			return nil, err
		}
	}
	kind := signals[req.Kind]
	until := now.Add(kind.lasts)
	signal := &goodshipv1.Signal{Kind: req.Kind, Sender: signalSender(head, c), ExpireTime: timestamppb.New(until)}
	n := notice{kind: kind.notice, author: signal.Sender.AgentId, participant: signal.Sender.ParticipantNumber, time: now, until: until}
	s.hub.post(c.Workspace, head, n, func(a audience) *goodshipv1.WatchUpdate {
		seen := signalFor(a, head, c, signal)
		if seen == nil {
			return nil
		}
		return &goodshipv1.WatchUpdate{ConversationId: req.ConversationId, Update: &goodshipv1.WatchUpdate_Signal{Signal: seen}}
	})
	return signalFor(audienceOf(c), head, c, signal), nil
}

// signalSender returns the caller as colleagues see them.
func signalSender(h *storev1.Head, c Caller) *goodshipv1.Sender {
	p := participant(h, "")
	sender := &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_CUSTOMER}
	if c.isAgent() {
		p = participant(h, c.ID)
		sender = &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_AGENT, AgentId: c.ID, Persona: ownPersona(c.agent.Agent)}
	}
	sender.ParticipantNumber = p.GetNumber()
	sender.Persona = cmp.Or(h.Personas[sender.AgentId], p.GetPersona(), sender.Persona)
	return sender
}

// signalFor returns a signal of the caller's as an audience sees it, or nil if it is not told. Customers are told of agents
// under what these last spoke as. Of one who has said nothing they are told at most that somebody writes, and of no agent that
// they write what can only be a note.
func signalFor(a audience, h *storev1.Head, c Caller, s *goodshipv1.Signal) *goodshipv1.Signal {
	if a == staff {
		return s
	}
	p := participant(h, s.Sender.AgentId)
	sender := &goodshipv1.Sender{Kind: s.Sender.Kind, ParticipantNumber: p.GetNumber()}
	if p.GetNumber() != 0 {
		sender.Persona = p.Persona
	}
	if c.isAgent() {
		writes := s.Kind == goodshipv1.SignalKind_SIGNAL_KIND_TYPING
		on := rules.Conversation{Head: h, Situation: rules.Situation{Actor: c.actor()}}
		if writes && !on.MayWrite() || !writes && sender.ParticipantNumber == 0 {
			return nil
		}
	}
	return &goodshipv1.Signal{Kind: s.Kind, Sender: sender, ExpireTime: s.ExpireTime}
}
