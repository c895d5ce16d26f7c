package support

import (
	"context"
	"errors"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/apology"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// errHeld says that an apology does not go out now.
var errHeld = errors.New("support: the apology is held")

// billIsFree is the refusal of a credit that nobody could take off a bill.
var billIsFree = fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_BILL_IS_FREE, "")

// writing is one customer's apology while it is written.
type writing struct {
	service              *Service
	tx                   store.Tx
	workspace            string
	conversation, credit string // new ids
	text                 apology.Template

	incident *storev1.IncidentRecord
	affected *storev1.AffectedRecord
	customer *storev1.CustomerRecord
}

// apologize writes the apology and the credit to one affected customer, as one unit, unless that was done before; or notes why
// there are none. It is errHeld if the apology is paused.
func (s *Service) apologize(ctx context.Context, of incidentKey, key string, text apology.Template) error {
	// The ids are made outside the unit, which may run twice.
	w := writing{service: s, workspace: of.workspace, conversation: newID(conversationPrefix), credit: newID(creditPrefix), text: text}
	_, err := s.store.Update(ctx, of.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		w.tx = tx
		return nil, w.write(of.id, key)
	})
	if w.incident != nil {
		s.keeper.creditDue(w.incident.Incident.SettleByTime.AsTime())
	}
	return err
}

func (w *writing) write(incident, key string) (err error) {
	if w.affected, err = w.tx.Affected(incident, key); err != nil || w.affected.Apology.State != goodshipv1.ApologyState_APOLOGY_STATE_PENDING {
		return err
	}
	if w.incident, err = w.tx.Incident(incident); err != nil {
		return err
	}
	if w.incident.Incident.State != goodshipv1.IncidentState_INCIDENT_STATE_SENDING {
		return errHeld
	}
	why, err := w.whySkip(key)
	if err != nil {
		return err
	}
	if why != goodshipv1.SkipReason_SKIP_REASON_UNSPECIFIED {
		return w.skip(why)
	}
	text, err := w.text.Render(w.affected.Attributes)
	if err != nil {
		return w.skip(goodshipv1.SkipReason_SKIP_REASON_TEXT)
	}
	if err := w.say(text); !errors.Is(err, billIsFree) {
		return err
	}
	return w.skip(goodshipv1.SkipReason_SKIP_REASON_BILL_IS_FREE)
}

// whySkip finds the customer, or says why there is none to write to.
func (w *writing) whySkip(key string) (why goodshipv1.SkipReason, err error) {
	w.customer, err = customerUnder(w.tx, key)
	if errors.Is(err, store.ErrNotFound) {
		return goodshipv1.SkipReason_SKIP_REASON_ERASED, nil
	}
	if err != nil {
		return why, err
	}
	if w.customer.ErasureId != "" {
		return goodshipv1.SkipReason_SKIP_REASON_ERASED, nil
	}
	if same, err := w.samePerson(key); err != nil || !same {
		return why, err
	}
	return goodshipv1.SkipReason_SKIP_REASON_SAME_PERSON, nil
}

// samePerson reports whether the customer has the apology under another of their keys.
func (w *writing) samePerson(key string) (bool, error) {
	for _, other := range keysOf(w.customer) {
		if other == key {
			continue
		}
		a, err := w.tx.Affected(w.incident.Incident.Id, other)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		if state := a.Apology.State; state != goodshipv1.ApologyState_APOLOGY_STATE_PENDING && state != goodshipv1.ApologyState_APOLOGY_STATE_SKIPPED {
			return true, nil
		}
	}
	return false, nil
}

func (w *writing) skip(why goodshipv1.SkipReason) error {
	w.affected.Apology.SkipReason = why
	return w.move(goodshipv1.ApologyState_APOLOGY_STATE_SKIPPED)
}

func (w *writing) move(to goodshipv1.ApologyState) error {
	moveApology(w.incident, w.affected, to, w.tx.Now())
	if err := w.tx.PutAffected(w.affected); err != nil {
		return err
	}
	return w.tx.PutIncident(w.incident)
}

// say writes the apology and grants the credit: in the customer's conversation about the incident that is open, else in a new one
// that tells and is over. If the credit is refused nothing was written.
func (w *writing) say(text string) error {
	u, err := w.open()
	if err != nil {
		return err
	}
	begins := u == nil
	if begins {
		if u, err = w.begin(); err != nil {
			return err
		}
	}
	if err := u.Apologize(text); err != nil {
		return err
	}
	i := w.incident.Incident
	u.Head.Apologies = append(u.Head.Apologies, &storev1.StandingApology{IncidentId: i.Id, MessageNumber: u.Message.Number})
	if err := w.service.grant(u, w.credit, grant{Amount: i.Credit, SettleBy: i.SettleByTime.AsTime(), IncidentID: i.Id}); err != nil {
		return err
	}
	if begins {
		u.Inform()
	}
	if err := u.append(); err != nil {
		return err
	}
	a := w.affected.Apology
	a.ConversationId, a.MessageNumber, a.CreditId = u.Head.Conversation.Id, u.Message.Number, w.credit
	a.WriteTime = timestamppb.New(w.tx.Now())
	return w.move(goodshipv1.ApologyState_APOLOGY_STATE_WRITTEN)
}

// as returns who speaks: the backend that sent the apology off, or for a leader none, since nobody is a part of so many
// conversations.
func (w *writing) as() Caller {
	return Caller{Kind: goodshipv1.Caller_CALLER_BACKEND, Workspace: w.workspace, APIKeyID: w.incident.Sender.GetApiKeyId()}
}

// open returns the customer's newest conversation that names the incident and is not resolved, by now; nil if there is none.
func (w *writing) open() (*unit, error) {
	var newest *goodshipv1.Conversation
	for _, key := range keysOf(w.customer) {
		ids, err := w.tx.Unresolved(key)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			head, err := w.tx.Conversation(id)
			if err != nil {
				return nil, err
			}
			if c := head.Conversation; c.IncidentId == w.incident.Incident.Id && (newest == nil || c.CreateTime.AsTime().After(newest.CreateTime.AsTime())) {
				newest = c
			}
		}
	}
	if newest == nil {
		return nil, nil
	}
	u, err := w.service.begin(w.tx, w.as(), newest.Id)
	if err != nil || u.Head.Conversation.State == goodshipv1.State_STATE_RESOLVED {
		return nil, err
	}
	return u, nil
}

// begin returns a conversation that is to begin.
func (w *writing) begin() (*unit, error) {
	head := &storev1.Head{CustomerKey: w.customer.Key, Conversation: &goodshipv1.Conversation{Id: w.conversation, IncidentId: w.incident.Incident.Id}}
	situation, people, err := w.service.situation(w.tx, w.as(), head)
	if err != nil {
		return nil, err
	}
	return &unit{Conversation: rules.On(head, situation), tx: w.tx, people: people, before: standing(head)}, nil
}

// moveApology notes what became of one customer's apology, and counts it.
func moveApology(r *storev1.IncidentRecord, a *storev1.AffectedRecord, to goodshipv1.ApologyState, now time.Time) {
	p := r.Incident.Progress
	countApology(p, a.Apology.State, -1)
	countApology(p, to, 1)
	a.Apology.State, a.Apology.UpdateTime = to, timestamppb.New(now)
}

// countApology counts an apology in a state more, or less. Those that became something are among the written.
func countApology(p *goodshipv1.ApologyProgress, state goodshipv1.ApologyState, by int32) {
	switch state {
	case goodshipv1.ApologyState_APOLOGY_STATE_PENDING:
		p.Pending += by
		return
	case goodshipv1.ApologyState_APOLOGY_STATE_SKIPPED:
		p.Skipped += by
		return
	case goodshipv1.ApologyState_APOLOGY_STATE_DELIVERED:
		p.Delivered += by
	case goodshipv1.ApologyState_APOLOGY_STATE_SEEN:
		p.Seen += by
	case goodshipv1.ApologyState_APOLOGY_STATE_FAILED:
		p.Failed += by
	}
	p.Written += by
}

// becomes notes what became of the apologies in the conversation whose messages have numbers from one to another. What was
// seen stays so. A record that is missing or damaged keeps nobody from their conversation: it is not counted.
func (u *unit) becomes(state goodshipv1.ApologyState, from, to int32) error {
	for _, there := range u.Head.Apologies {
		if there.MessageNumber < from || there.MessageNumber > to {
			continue
		}
		err := u.becomesOne(state, there)
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDataLoss) {
			return err
		}
	}
	return nil
}

// becomesOne notes what became of one apology in the conversation.
func (u *unit) becomesOne(state goodshipv1.ApologyState, there *storev1.StandingApology) error {
	a, err := u.affected(there)
	if err != nil || a == nil || a.Apology.State == state || a.Apology.State == goodshipv1.ApologyState_APOLOGY_STATE_SEEN {
		return err
	}
	r, err := u.tx.Incident(a.IncidentId)
	if err != nil {
		return err
	}
	w := writing{tx: u.tx, incident: r, affected: a}
	return w.move(state)
}

// affected returns the record of an apology that stands in the conversation, under the customer's key or that of a visitor who
// signed in as them; nil if there is none.
func (u *unit) affected(at *storev1.StandingApology) (*storev1.AffectedRecord, error) {
	customer, err := customerUnder(u.tx, u.Head.CustomerKey)
	if err != nil {
		return nil, orMissing(err, nil)
	}
	for _, key := range keysOf(customer) {
		a, err := u.tx.Affected(at.IncidentId, key)
		switch {
		case err == nil && a.Apology.ConversationId == u.Head.Conversation.Id && a.Apology.MessageNumber == at.MessageNumber:
			return a, nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return nil, nil
}

// customerActed reports whether the customer did something in the unit: who does has the conversation before them.
func (u *unit) customerActed() bool {
	for _, e := range u.Events {
		if e.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER {
			return true
		}
	}
	return false
}
