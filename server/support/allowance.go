package support

import (
	"cmp"
	"context"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// zone returns the place whose days a workspace counts by. That its time zone is known was checked when it was set.
func (s *Service) zone(w *goodshipv1.Workspace) *time.Location {
	name := timeZone(w)
	if known, ok := s.zones.Load(name); ok {
		return known.(*time.Location)
	}
	place, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC // a time zone that this machine no longer knows
	}
	s.zones.Store(name, place)
	return place
}

// timeZone returns a workspace's time zone; one from before it could be set has UTC.
func timeZone(w *goodshipv1.Workspace) string { return cmp.Or(w.TimeZone, "UTC") }

// spend takes a credit off what the agent of a unit may grant on the day of the unit.
func (s *Service) spend(u *unit, amount *goodshipv1.CreditAmount) error {
	agent, err := u.tx.Agent(u.Actor.AgentID)
	if err != nil {
		return err
	}
	leads := u.Actor.Kind == goodshipv1.ActorKind_ACTOR_KIND_LEADER
	spent, err := u.tx.Spent(agent.Agent.Id, rules.Day(u.Now, s.zone(u.Settings)))
	if err != nil {
		return err
	}
	if err := s.purse(u.Settings, agent.Agent, leads, spent, u.Now).Spend(amount); err != nil {
		return err
	}
	return u.tx.PutSpent(spent)
}

// purse returns what an agent may grant at a time, as a leader or not.
func (s *Service) purse(w *goodshipv1.Workspace, agent *goodshipv1.Agent, leads bool, spent *storev1.SpentRecord, at time.Time) rules.Purse {
	allowance := agent.Allowance
	switch {
	case allowance != nil:
	case leads:
		allowance = w.LeaderAllowance
	default:
		allowance = w.Allowance
	}
	return rules.Purse{Allowance: allowance, Spent: spent, Currency: w.CurrencyCode, Reset: rules.NextDay(at, s.zone(w)), Leads: leads}
}

// GetAllowance returns what an agent may grant, and what remains of it today.
func (s *Service) GetAllowance(ctx context.Context, req *goodshipv1.GetAllowanceRequest) (*goodshipv1.GetAllowanceResponse, error) {
	c := callerFrom(ctx)
	id, err := whoseAllowance(c, req.AgentId)
	if err != nil {
		return nil, err
	}
	record, err := s.store.Agent(ctx, c.Workspace, id)
	if err != nil {
		return nil, orMissing(err, noAgent(id))
	}
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	now := s.store.Now()
	spent, err := s.store.Spent(ctx, c.Workspace, id, rules.Day(now, s.zone(settings)))
	if err != nil {
		return nil, err
	}
	leads := record.Agent.Role == goodshipv1.Role_ROLE_LEADER && (id != c.ID || c.Kind != goodshipv1.Caller_CALLER_AGENT)
	purse := s.purse(settings, record.Agent, leads, spent, now)
	reply := &goodshipv1.GetAllowanceResponse{AgentId: id, Allowance: purse.Allowance, ResetTime: timestamppb.New(purse.Reset)}
	reply.MoneyRemaining, reply.BasisPointsRemaining, err = purse.Remaining()
	return reply, err
}

// whoseAllowance returns the agent whom a caller asks about.
func whoseAllowance(c Caller, id string) (string, error) {
	switch {
	case id == "" && !c.isAgent():
		return "", fault.Field("agent_id", "must be set: a backend has no allowance of its own")
	case id != "" && id != c.ID && c.Kind == goodshipv1.Caller_CALLER_AGENT:
		return "", fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED,
			"Agents see their own allowance only. Leave agent_id out.").With("caller", "AGENT").With("allowed", "BACKEND,LEADER")
	}
	return cmp.Or(id, c.ID), nil
}
