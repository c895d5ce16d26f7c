package support

import (
	"context"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// longestAvailable is how far ahead an agent can say to be there.
const longestAvailable = 24 * time.Hour

// SetAvailability says whether the caller is present.
func (s *Service) SetAvailability(ctx context.Context, req *goodshipv1.SetAvailabilityRequest) (*goodshipv1.Agent, error) {
	c, now := callerFrom(ctx), s.store.Now()
	var until time.Time
	if req.Availability == goodshipv1.Availability_AVAILABILITY_AVAILABLE {
		until = req.UntilTime.AsTime()
		if req.UntilTime == nil || !until.After(now) || until.After(now.Add(longestAvailable)) {
			return nil, fault.Field("until_time", "must be in the future and at most 24 hours from now")
		}
	} else if req.UntilTime != nil {
		return nil, fault.Field("until_time", "goes with AVAILABLE only")
	}
	var after time.Duration
	var agent *storev1.AgentRecord
	_, err := s.update(ctx, c, store.Once{}, func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		workspace, err := tx.Workspace()
		if err != nil {
			return nil, err
		}
		after = workspace.Workspace.AwayAfter.AsDuration()
		agent = c.agent
		agent.Agent.AvailableUntilTime = nil
		if !until.IsZero() {
			agent.Agent.AvailableUntilTime = timestamppb.New(until)
		}
		return nil, tx.PutAgent(agent)
	})
	if err != nil {
		return nil, err
	}
	s.presence.set(c.Workspace, agent.Agent, after, until, req.Availability == goodshipv1.Availability_AVAILABILITY_AWAY, now)
	return s.agent(c.Workspace, agent, after), nil
}
