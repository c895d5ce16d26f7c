package support

import (
	"context"
	"slices"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/apology"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// DeclareIncident notes what went wrong for many.
func (s *Service) DeclareIncident(ctx context.Context, req *goodshipv1.DeclareIncidentRequest) (*goodshipv1.Incident, error) {
	c, id := callerFrom(ctx), newID(incidentPrefix)
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		if err := c.leads(); err != nil {
			return nil, err
		}
		now := timestamppb.New(tx.Now())
		record := &storev1.IncidentRecord{Version: 1, PreviewVersion: 1, Incident: &goodshipv1.Incident{
			Id: id, State: goodshipv1.IncidentState_INCIDENT_STATE_DECLARED, Progress: &goodshipv1.ApologyProgress{}, CreateTime: now, UpdateTime: now,
		}}
		setFields(record.Incident, req.Incident, declared)
		if err := checkDeclared(tx, record.Incident); err != nil {
			return nil, err
		}
		return &storev1.Receipt{ObjectId: id}, tx.PutIncident(record)
	})
	return s.incidentOf(ctx, result.Receipt, err)
}

// declared are the fields of an incident that people write, and of these bound what everyone affected gets.
var (
	declared = []string{"what_happened", "from_time", "to_time", "what_we_did", "credit", "settle_by_time", "text", "nothing_to_do"}
	bound    = []string{"credit", "settle_by_time", "text", "nothing_to_do"}
)

// setFields sets fields of a message to what another message has under the same names.
func setFields(to, from proto.Message, names []string) {
	t, f := to.ProtoReflect(), from.ProtoReflect()
	for _, name := range names {
		here, there := t.Descriptor().Fields().ByName(protoreflect.Name(name)), f.Descriptor().Fields().ByName(protoreflect.Name(name))
		if f.Has(there) {
			t.Set(here, f.Get(there))
			continue
		}
		t.Clear(here)
	}
}

// checkDeclared refuses what the proto cannot. Whether the text fits those affected shows in the preview.
func checkDeclared(tx store.Tx, i *goodshipv1.Incident) error {
	if err := checkTimes(i); err != nil {
		return err
	}
	settleBy := i.SettleByTime.AsTime()
	switch {
	case i.SettleByTime == nil || !settleBy.After(tx.Now()) || settleBy.After(tx.Now().Add(settleWithin)):
		return fault.Field("incident.settle_by_time", "must be in the future and at most 400 days ahead")
	case i.Credit == nil:
		return fault.Field("incident.credit", "must have a value")
	}
	if err := rules.CheckAmount(i.Credit); err != nil {
		return fault.Field("incident.credit.money", "%s", err)
	}
	workspace, err := tx.Workspace()
	if err != nil {
		return err
	}
	if err := rules.CheckCurrency(i.Credit, workspace.Workspace.CurrencyCode); err != nil {
		return err
	}
	if _, violations := apology.Parse(i.Text); len(violations) > 0 {
		return badText(violations)
	}
	return nil
}

// checkTimes refuses an incident that begins at no time, or ends before that.
func checkTimes(i *goodshipv1.Incident) error {
	switch {
	case i.FromTime == nil:
		return fault.Field("incident.from_time", "must have a value")
	case i.ToTime != nil && i.ToTime.AsTime().Before(i.FromTime.AsTime()):
		return fault.Field("incident.to_time", "must not be before from_time")
	}
	return nil
}

// badText is the fault of a text that may not be sent. What the violations say may be long, and many clients take no more than
// 8 KiB of an error.
func badText(violations []apology.Violation) error {
	const mostBytes = 5 << 10
	var told []*errdetails.BadRequest_FieldViolation
	bytes := 0
	for _, v := range violations {
		field := "incident." + v.Field
		if v.Field == "contact_points" {
			field = "workspace." + v.Field
		}
		if bytes += len(v.Description); bytes > mostBytes && len(told) > 0 {
			break
		}
		told = append(told, &errdetails.BadRequest_FieldViolation{Field: field, Description: v.Description})
	}
	return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		"The apology cannot be sent as it is: each violation tells why, and what to change (the incident with UpdateIncident, the workspace with UpdateWorkspace). Then preview it again.").Violations(told...)
}

// leads refuses an agent who was a leader when the call came.
func (c Caller) leads() error {
	if c.Kind != goodshipv1.Caller_CALLER_AGENT {
		return nil
	}
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED,
		"You are no leader any more. Ask one to do it.").With("caller", "AGENT").With("allowed", "BACKEND,LEADER")
}

func noIncident() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_INCIDENT_NOT_FOUND,
		"The workspace has no such incident. List incidents to find the one you mean.")
}

// incidentOf returns the incident of a receipt as it reads now.
func (s *Service) incidentOf(ctx context.Context, r *storev1.Receipt, err error) (*goodshipv1.Incident, error) {
	if err != nil {
		return nil, err
	}
	return s.GetIncident(ctx, &goodshipv1.GetIncidentRequest{IncidentId: r.ObjectId})
}

// GetIncident returns an incident.
func (s *Service) GetIncident(ctx context.Context, req *goodshipv1.GetIncidentRequest) (*goodshipv1.Incident, error) {
	r, err := s.store.Incident(ctx, callerFrom(ctx).Workspace, req.IncidentId)
	if err != nil {
		return nil, orMissing(err, noIncident())
	}
	return incident(r)
}

// incident returns a record as it is seen.
func incident(r *storev1.IncidentRecord) (*goodshipv1.Incident, error) {
	i := r.Incident
	i.Etag, i.State = versionEtag(r.Version), apologyState(r)
	if m := i.Credit.GetMoney(); m != nil {
		mills, err := rules.Mills(m)
		if err != nil {
			return nil, err
		}
		i.Progress.Credited = rules.Money(m.CurrencyCode, mills*int64(i.Progress.Written))
	}
	return i, nil
}

// apologyState returns how far an apology is: it is SENT when it went out to everyone.
func apologyState(r *storev1.IncidentRecord) goodshipv1.IncidentState {
	if r.Incident.State == goodshipv1.IncidentState_INCIDENT_STATE_SENDING && r.Incident.Progress.Pending == 0 {
		return goodshipv1.IncidentState_INCIDENT_STATE_SENT
	}
	return r.Incident.State
}

// sentOff reports whether the apology was sent off, so that everyone gets the same.
func sentOff(r *storev1.IncidentRecord) bool {
	return r.Incident.State != goodshipv1.IncidentState_INCIDENT_STATE_DECLARED
}

// ListIncidents lists incidents, newest first.
func (s *Service) ListIncidents(ctx context.Context, req *goodshipv1.ListIncidentsRequest) (*goodshipv1.ListIncidentsResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	records, err := s.store.Incidents(ctx, c.Workspace, string(p.after), p.size+1)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListIncidentsResponse{}
	id := func(r *storev1.IncidentRecord) string { return r.Incident.Id }
	records, reply.NextPageToken = cut(p, records, id)
	if short := fitting(records); len(short) < len(records) {
		records, reply.NextPageToken = short, p.next([]byte(id(short[len(short)-1])))
	}
	for _, r := range records {
		i, err := incident(r)
		if err != nil {
			return nil, err
		}
		reply.Incidents = append(reply.Incidents, i)
	}
	return reply, nil
}

// UpdateIncident changes what was declared.
func (s *Service) UpdateIncident(ctx context.Context, req *goodshipv1.UpdateIncidentRequest) (*goodshipv1.Incident, error) {
	paths := req.UpdateMask.GetPaths()
	if len(paths) == 0 {
		return nil, fault.Field("update_mask", "must name at least one field")
	}
	if slices.Contains(paths, "what_happened") && req.Incident.WhatHappened == "" {
		return nil, fault.Field("incident.what_happened", "must have a value")
	}
	r, err := s.workOnIncident(ctx, req, func(tx store.Tx, _ Caller, r *storev1.IncidentRecord) error {
		if !takes(req.Etag, r.Version) {
			return etagMismatch()
		}
		if sentOff(r) {
			if err := notBound(paths); err != nil {
				return err
			}
		}
		before := proto.CloneOf(r.Incident)
		setFields(r.Incident, req.Incident, paths)
		if proto.Equal(r.Incident, before) {
			return nil
		}
		changed(tx, r)
		if sentOff(r) {
			return checkTimes(r.Incident)
		}
		return checkDeclared(tx, r.Incident)
	})
	return s.incidentOf(ctx, r, err)
}

// changed counts a change of an incident.
func changed(tx store.Tx, r *storev1.IncidentRecord) {
	r.Version++
	r.Incident.UpdateTime = timestamppb.New(tx.Now())
}

// notBound refuses to change what everyone affected gets.
func notBound(paths []string) error {
	free := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return slices.Contains(bound, p) })
	if len(free) == len(paths) {
		return nil
	}
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_APOLOGY_SENT,
		"The apology was sent off, and everyone gets the same. Change only what is for the people helping: what_happened, from_time, to_time, what_we_did.").
		With("fields", strings.Join(free, ","))
}

// incidentRequest is one that changes an incident and is safe to repeat.
type incidentRequest interface {
	onceRequest
	GetIncidentId() string
}

// workOnIncident runs a command of a backend or a leader on an incident, as one unit, and returns its receipt, or the first
// one's when the request is a repeated one.
func (s *Service) workOnIncident(ctx context.Context, req incidentRequest, command func(store.Tx, Caller, *storev1.IncidentRecord) error) (*storev1.Receipt, error) {
	c := callerFrom(ctx)
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		if err := c.leads(); err != nil {
			return nil, err
		}
		r, err := tx.Incident(req.GetIncidentId())
		if err != nil {
			return nil, orMissing(err, noIncident())
		}
		if err := command(tx, c, r); err != nil {
			return nil, err
		}
		return &storev1.Receipt{ObjectId: r.Incident.Id}, tx.PutIncident(r)
	})
	return result.Receipt, err
}
