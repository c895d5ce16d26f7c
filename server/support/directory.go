package support

import (
	"context"
	"errors"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// UpsertAgent creates an agent, or replaces what is known of one.
func (s *Service) UpsertAgent(ctx context.Context, req *goodshipv1.UpsertAgentRequest) (*goodshipv1.Agent, error) {
	c := callerFrom(ctx)
	_, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		now := timestamppb.New(tx.Now())
		known, err := tx.Agent(req.AgentId)
		if errors.Is(err, store.ErrNotFound) {
			known, err = &storev1.AgentRecord{Agent: &goodshipv1.Agent{Id: req.AgentId, CreateTime: now}}, nil
		}
		if err != nil {
			return nil, err
		}
		if !takes(req.Etag, known.Version) {
			return nil, etagMismatch()
		}
		before := proto.CloneOf(known.Agent)
		a := known.Agent
		a.DisplayName, a.AvatarUri, a.Role, a.Allowance = req.Agent.DisplayName, req.Agent.AvatarUri, req.Agent.Role, req.Agent.Allowance
		if a.Role == goodshipv1.Role_ROLE_UNSPECIFIED {
			a.Role = goodshipv1.Role_ROLE_AGENT
		}
		if req.Enable {
			a.DisableTime = nil
		}
		if proto.Equal(a, before) {
			return &storev1.Receipt{}, nil
		}
		if err := checkOwnAllowance(tx, a.Allowance); err != nil {
			return nil, err
		}
		a.UpdateTime = now
		known.Version++
		return &storev1.Receipt{}, tx.PutAgent(known)
	})
	if err != nil {
		return nil, err
	}
	return s.GetAgent(ctx, &goodshipv1.GetAgentRequest{AgentId: req.AgentId})
}

// GetAgent returns an agent.
func (s *Service) GetAgent(ctx context.Context, req *goodshipv1.GetAgentRequest) (*goodshipv1.Agent, error) {
	c := callerFrom(ctx)
	record, err := s.store.Agent(ctx, c.Workspace, req.AgentId)
	if err != nil {
		return nil, orMissing(err, noAgent(req.AgentId))
	}
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	return s.agent(c.Workspace, record, settings.AwayAfter.AsDuration()), nil
}

// agent returns a record as it is seen.
func (s *Service) agent(workspace string, r *storev1.AgentRecord, awayAfter time.Duration) *goodshipv1.Agent {
	a := proto.CloneOf(r.Agent)
	presence := s.presence.lookup(workspace, a, awayAfter, s.store.Now())
	a.Present = presence.Left.IsZero() || !presence.Back.IsZero()
	a.Etag = versionEtag(r.Version)
	return a
}

// ListAgents lists agents by id.
func (s *Service) ListAgents(ctx context.Context, req *goodshipv1.ListAgentsRequest) (*goodshipv1.ListAgentsResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	settings, err := s.settings(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	records, err := s.store.Agents(ctx, c.Workspace, string(p.after), p.size+1)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListAgentsResponse{}
	records, reply.NextPageToken = cut(p, records, func(r *storev1.AgentRecord) string { return r.Agent.Id })
	for _, r := range records {
		reply.Agents = append(reply.Agents, s.agent(c.Workspace, r, settings.AwayAfter.AsDuration()))
	}
	return reply, nil
}

// DisableAgent disables an agent. What they own, help with and are offered is given back one conversation at a time; should
// the call end in between, the rest follows as soon as somebody touches it or looks at the line, or the call is repeated.
func (s *Service) DisableAgent(ctx context.Context, req *goodshipv1.DisableAgentRequest) (*goodshipv1.Agent, error) {
	c := callerFrom(ctx)
	_, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		record, err := tx.Agent(req.AgentId)
		if err != nil {
			return nil, orMissing(err, noAgent(req.AgentId))
		}
		if record.Agent.DisableTime != nil {
			return &storev1.Receipt{}, nil
		}
		now := timestamppb.New(tx.Now())
		record.Agent.DisableTime, record.Agent.UpdateTime, record.Agent.AvailableUntilTime = now, now, nil
		record.TokenNotBeforeTime = now // later than any before it, so that enabling again revives no token
		record.Version++
		return &storev1.Receipt{}, tx.PutAgent(record)
	})
	if err != nil {
		return nil, err
	}
	// Presence learns of it whatever becomes of the call, so that what is left undone is found by who looks at the line.
	if _, err := s.GetAgent(context.WithoutCancel(ctx), &goodshipv1.GetAgentRequest{AgentId: req.AgentId}); err != nil {
		return nil, err
	}
	for _, state := range []goodshipv1.State{goodshipv1.State_STATE_WAITING, goodshipv1.State_STATE_ANSWERED} {
		if err := s.elapseAll(ctx, c.Workspace, store.Query{State: state, InvolvedID: req.AgentId}); err != nil {
			return nil, err
		}
	}
	return s.GetAgent(ctx, &goodshipv1.GetAgentRequest{AgentId: req.AgentId})
}

// UpsertCustomer creates a customer, or replaces what is known of one.
func (s *Service) UpsertCustomer(ctx context.Context, req *goodshipv1.UpsertCustomerRequest) (*goodshipv1.Customer, error) {
	c := callerFrom(ctx)
	_, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		r, err := customerIn(tx, req.CustomerId)
		if errors.Is(err, store.ErrNotFound) && req.Etag == "" {
			r, err = knownCustomer(tx, req.CustomerId)
		}
		if err != nil {
			return nil, orMissing(err, etagMismatch())
		}
		if !takes(req.Etag, r.Version) {
			return nil, etagMismatch()
		}
		if r.Customer.DisplayName == req.Customer.DisplayName {
			return &storev1.Receipt{}, nil
		}
		r.Customer.DisplayName, r.Customer.UpdateTime = req.Customer.DisplayName, timestamppb.New(tx.Now())
		r.Version++
		return &storev1.Receipt{}, tx.PutCustomer(r)
	})
	if err != nil {
		return nil, err
	}
	return s.GetCustomer(ctx, &goodshipv1.GetCustomerRequest{CustomerId: req.CustomerId})
}

// knownCustomer returns the customer with an id, made if missing.
func knownCustomer(tx store.Tx, id string) (*storev1.CustomerRecord, error) {
	r, err := customerIn(tx, id)
	if !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	r = &storev1.CustomerRecord{Key: newID(customerPrefix), Version: 1, Customer: &goodshipv1.Customer{Id: id, CreateTime: timestamppb.New(tx.Now())}}
	return r, tx.PutCustomer(r)
}

// GetCustomer returns a customer.
func (s *Service) GetCustomer(ctx context.Context, req *goodshipv1.GetCustomerRequest) (*goodshipv1.Customer, error) {
	r, err := s.customerByID(ctx, callerFrom(ctx).Workspace, req.CustomerId)
	if err != nil {
		return nil, orMissing(err, noCustomer(req.CustomerId))
	}
	return customer(r), nil
}

// customer returns a record as it is seen.
func customer(r *storev1.CustomerRecord) *goodshipv1.Customer {
	r.Customer.Etag = versionEtag(r.Version)
	return r.Customer
}

// ListCustomers lists customers by id. Visitors who signed in are no customers of their own.
func (s *Service) ListCustomers(ctx context.Context, req *goodshipv1.ListCustomersRequest) (*goodshipv1.ListCustomersResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	records, err := s.store.Customers(ctx, c.Workspace, string(p.after), p.size+1)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListCustomersResponse{}
	records, reply.NextPageToken = cut(p, records, func(r *storev1.CustomerRecord) string { return r.Customer.Id })
	for _, r := range records {
		if r.SignedInKey == "" {
			reply.Customers = append(reply.Customers, customer(r))
		}
	}
	return reply, nil
}

// BlockCustomer keeps a customer from writing, or lifts that.
func (s *Service) BlockCustomer(ctx context.Context, req *goodshipv1.BlockCustomerRequest) (*goodshipv1.Customer, error) {
	c := callerFrom(ctx)
	_, err := s.update(ctx, c, store.Once{}, func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		if c.Kind == goodshipv1.Caller_CALLER_AGENT { // who was a leader when the call came
			return nil, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED,
				"You are no leader any more. Ask one to block the customer.").With("caller", "AGENT").With("allowed", "BACKEND,LEADER")
		}
		r, err := customerIn(tx, req.CustomerId)
		if err != nil {
			return nil, orMissing(err, noCustomer(req.CustomerId))
		}
		return nil, block(tx, r, req.Reason, req.UntilTime)
	})
	if err != nil {
		return nil, err
	}
	return s.GetCustomer(ctx, &goodshipv1.GetCustomerRequest{CustomerId: req.CustomerId})
}

// block blocks a customer until a time, without an end if there is none; a time that has passed lifts the block. What is so
// already stays as it is.
func block(tx store.Tx, r *storev1.CustomerRecord, reason string, until *timestamppb.Timestamp) error {
	now := timestamppb.New(tx.Now())
	wanted := &goodshipv1.Block{Reason: reason, UntilTime: until, BlockTime: now}
	if there := r.Customer.Block; there != nil && there.Reason == reason && proto.Equal(there.UntilTime, until) {
		wanted.BlockTime = there.BlockTime
	}
	if until != nil && !until.AsTime().After(tx.Now()) {
		wanted = nil
	}
	if proto.Equal(r.Customer.Block, wanted) {
		return nil
	}
	r.Customer.Block, r.Customer.UpdateTime = wanted, now
	r.Version++
	return tx.PutCustomer(r)
}
