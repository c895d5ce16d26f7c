package support

import (
	"context"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// SendApology sends the apology off. The apologist writes it to each.
func (s *Service) SendApology(ctx context.Context, req *goodshipv1.SendApologyRequest) (*goodshipv1.Incident, error) {
	r, err := s.workOnIncident(ctx, req, func(tx store.Tx, c Caller, r *storev1.IncidentRecord) error {
		workspace, err := tx.Workspace()
		if err != nil {
			return err
		}
		d, err := s.draftOf(r, workspace.Workspace)
		if err != nil {
			return err
		}
		if err := s.previewFits(c.Workspace, req.PreviewToken, d); err != nil {
			return err
		}
		// A contact point may stand in the text itself, which the token does not tell.
		if violations := d.template.Check(d.facts); len(violations) > 0 {
			return badText(violations)
		}
		if err := d.checkPromise(workspace.Workspace, tx.Now()); err != nil {
			return err
		}
		changed(tx, r)
		r.Incident.State, r.Incident.SendTime = goodshipv1.IncidentState_INCIDENT_STATE_SENDING, timestamppb.New(tx.Now())
		r.SentText = d.template.With(d.facts).String()
		a := c.actor()
		r.Sender = &goodshipv1.Actor{Kind: a.Kind, AgentId: a.AgentID, ApiKeyId: a.APIKeyID}
		return nil
	})
	return s.goesOut(ctx, req.IncidentId, r, err)
}

// goesOut tells the apologist of an incident, and returns it. A command that failed may have been committed all the same.
func (s *Service) goesOut(ctx context.Context, id string, r *storev1.Receipt, err error) (*goodshipv1.Incident, error) {
	s.apologist.rouse(incidentKey{callerFrom(ctx).Workspace, id})
	return s.incidentOf(ctx, r, err)
}

// PauseApology holds the apology where it is. One that went out to everyone is held for those who are added late.
func (s *Service) PauseApology(ctx context.Context, req *goodshipv1.PauseApologyRequest) (*goodshipv1.Incident, error) {
	r, err := s.workOnIncident(ctx, req, func(tx store.Tx, _ Caller, r *storev1.IncidentRecord) error {
		if r.Incident.State != goodshipv1.IncidentState_INCIDENT_STATE_SENDING {
			return wrongState(apologyState(r), "It does not go out, so there is nothing to pause.")
		}
		changed(tx, r)
		r.Incident.State = goodshipv1.IncidentState_INCIDENT_STATE_PAUSED
		return nil
	})
	return s.incidentOf(ctx, r, err)
}

// ResumeApology goes on with it.
func (s *Service) ResumeApology(ctx context.Context, req *goodshipv1.ResumeApologyRequest) (*goodshipv1.Incident, error) {
	r, err := s.workOnIncident(ctx, req, func(tx store.Tx, _ Caller, r *storev1.IncidentRecord) error {
		if state := apologyState(r); state != goodshipv1.IncidentState_INCIDENT_STATE_PAUSED {
			return wrongState(state, "It is not paused, so there is nothing to resume.")
		}
		changed(tx, r)
		r.Incident.State = goodshipv1.IncidentState_INCIDENT_STATE_SENDING
		return nil
	})
	return s.goesOut(ctx, req.IncidentId, r, err)
}

func wrongState(state goodshipv1.IncidentState, sentence string) error {
	name := strings.TrimPrefix(state.String(), "INCIDENT_STATE_")
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_APOLOGY_STATE,
		"The apology is %s. %s", name, sentence).With("state", name)
}

// ListApologies lists the affected customers, each with what became of the apology.
func (s *Service) ListApologies(ctx context.Context, req *goodshipv1.ListApologiesRequest) (*goodshipv1.ListApologiesResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	if _, err := s.store.Incident(ctx, c.Workspace, req.IncidentId); err != nil {
		return nil, orMissing(err, noIncident())
	}
	records, next, err := s.store.Affected(ctx, c.Workspace, req.IncidentId, req.State, string(p.after), p.size)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListApologiesResponse{}
	if next != "" {
		reply.NextPageToken = p.next([]byte(next))
	}
	for _, r := range records {
		if r.Apology.CustomerId, err = s.customerID(ctx, c.Workspace, r.CustomerKey); err != nil {
			return nil, err
		}
		reply.Apologies = append(reply.Apologies, r.Apology)
	}
	return reply, nil
}
