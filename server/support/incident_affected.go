package support

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/apology"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxAttributes is how many different attributes the customers of one incident may have.
const maxAttributes = 50

// AddAffectedCustomers adds what comes on a stream, a message a unit. It holds no more than one message at a time.
func (s *Service) AddAffectedCustomers(in grpc.ClientStreamingServer[goodshipv1.AddAffectedCustomersRequest, goodshipv1.AddAffectedCustomersResponse]) error {
	sum := &goodshipv1.AddAffectedCustomersResponse{}
	incident := ""
	for {
		req, err := in.Recv()
		switch {
		case errors.Is(err, io.EOF) && incident == "", err == nil && incident+req.IncidentId == "":
			return fault.Field("incident_id", "is required in the first message of the stream")
		case errors.Is(err, io.EOF):
			return in.SendAndClose(sum)
		case err != nil:
			return err
		case incident == "":
			incident = req.IncidentId
		case req.IncidentId != "" && req.IncidentId != incident:
			return fault.Field("incident_id", "must be that of the first message, or absent: a stream is for one incident")
		}
		added, err := s.addAffected(in.Context(), incident, req.Customers)
		if err != nil {
			return behind(err, sum.ReceivedCount)
		}
		sum.ReceivedCount += added.ReceivedCount
		sum.AddedCount += added.AddedCount
		sum.AffectedCount = added.AffectedCount
	}
}

// behind returns a refusal that tells how many customers of a stream were taken before it.
func behind(err error, received int32) error {
	var f *fault.Fault
	if errors.As(err, &f) && received > 0 {
		return f.With("received_count", strconv.Itoa(int(received)))
	}
	return err
}

// BatchAddAffectedCustomers adds customers to those whom an incident touched, all of them or none.
func (s *Service) BatchAddAffectedCustomers(ctx context.Context, req *goodshipv1.BatchAddAffectedCustomersRequest) (*goodshipv1.AddAffectedCustomersResponse, error) {
	return s.addAffected(ctx, req.IncidentId, req.Customers)
}

// addAffected adds customers to those whom an incident touched, in one unit.
func (s *Service) addAffected(ctx context.Context, incidentID string, customers []*goodshipv1.AffectedCustomer) (*goodshipv1.AddAffectedCustomersResponse, error) {
	c := callerFrom(ctx)
	if err := s.notExpired(c); err != nil {
		return nil, err
	}
	var reply *goodshipv1.AddAffectedCustomersResponse
	goesOut := false
	_, err := s.update(ctx, c, store.Once{}, func(tx store.Tx, c Caller) (*storev1.Receipt, error) {
		if err := c.leads(); err != nil {
			return nil, err
		}
		r, err := tx.Incident(incidentID)
		if err != nil {
			return nil, orMissing(err, noIncident())
		}
		a, err := newAdding(tx, r)
		if err != nil {
			return nil, err
		}
		for i, customer := range customers {
			if err := a.add(i, customer); err != nil {
				return nil, err
			}
		}
		reply = &goodshipv1.AddAffectedCustomersResponse{ReceivedCount: int32(len(customers)), AddedCount: a.added, AffectedCount: r.Incident.Progress.Affected}
		goesOut = r.Incident.State == goodshipv1.IncidentState_INCIDENT_STATE_SENDING && a.added > 0
		return nil, a.finish()
	})
	if goesOut {
		s.apologist.rouse(incidentKey{c.Workspace, incidentID})
	}
	return reply, err
}

// notExpired refuses a caller whose credential expired since the call was let in: a stream may last for long.
func (s *Service) notExpired(c Caller) error {
	if c.expires.IsZero() || s.now().Before(c.expires) {
		return nil
	}
	return expiredCredential(c.expires, "Call with a new one; what was received is added.")
}

// adding is a unit that adds customers to those affected.
type adding struct {
	tx       store.Tx
	incident *storev1.IncidentRecord
	// needed are the fields that the text needs of each, once it was sent off.
	needed  []string
	added   int32
	changed bool
}

func newAdding(tx store.Tx, r *storev1.IncidentRecord) (*adding, error) {
	a := &adding{tx: tx, incident: r}
	if !sentOff(r) {
		return a, nil
	}
	template, violations := apology.Parse(r.SentText)
	if len(violations) > 0 {
		return nil, fmt.Errorf("%w: the text of %s", store.ErrDataLoss, r.Incident.Id)
	}
	a.needed = template.Fields()
	return a, nil
}

// add adds the customer with an index, or replaces the attributes of one whose apology is not written. Who was skipped for what may be
// another by now has it written after all.
func (a *adding) add(i int, named *goodshipv1.AffectedCustomer) error {
	customer, err := knownCustomer(a.tx, named.CustomerId)
	if err != nil {
		return err
	}
	there, err := affectedAs(a.tx, a.incident.Incident.Id, customer)
	if err != nil {
		return err
	}
	skipped := there != nil && mayHaveIt(there.Apology)
	if there != nil && !skipped && there.Apology.State != goodshipv1.ApologyState_APOLOGY_STATE_PENDING {
		return nil
	}
	attributes := maps.Clone(named.Attributes)
	if name := customer.Customer.DisplayName; name != "" {
		if attributes == nil {
			attributes = map[string]string{}
		}
		attributes[apology.Name] = name
	}
	if err := a.hasNeeded(i, attributes); err != nil {
		return err
	}
	switch {
	case (there == nil || skipped) && sentOff(a.incident) && !a.incident.Incident.SettleByTime.AsTime().After(a.tx.Now()):
		return fault.Field(fmt.Sprintf("customers[%d].customer_id", i), "comes after settle_by_time, by which the apology promises the credit: declare another incident for those who come now")
	case there == nil:
		there = a.begin(customer)
	case skipped:
		a.added++
		there.Apology.SkipReason = goodshipv1.SkipReason_SKIP_REASON_UNSPECIFIED
		moveApology(a.incident, there, goodshipv1.ApologyState_APOLOGY_STATE_PENDING, a.tx.Now())
	case maps.Equal(there.Attributes, attributes):
		return nil
	}
	countAttributes(a.incident, there.Attributes, -1)
	countAttributes(a.incident, attributes, 1)
	there.Attributes, a.changed = attributes, true
	return a.tx.PutAffected(there)
}

// mayHaveIt reports whether a customer was skipped for what may be another by now: their attributes, or what they are owed.
func mayHaveIt(a *goodshipv1.Apology) bool {
	switch a.SkipReason {
	case goodshipv1.SkipReason_SKIP_REASON_TEXT, goodshipv1.SkipReason_SKIP_REASON_BILL_IS_FREE:
		return a.State == goodshipv1.ApologyState_APOLOGY_STATE_SKIPPED
	}
	return false
}

// affectedAs returns the record of a customer whom an incident touched, also one of a visitor who signed in as them; nil if there
// is none.
func affectedAs(tx store.Tx, incident string, customer *storev1.CustomerRecord) (*storev1.AffectedRecord, error) {
	for _, key := range keysOf(customer) {
		r, err := tx.Affected(incident, key)
		if err == nil || !errors.Is(err, store.ErrNotFound) {
			return r, err
		}
	}
	return nil, nil
}

// begin returns the record of a customer who is added.
func (a *adding) begin(customer *storev1.CustomerRecord) *storev1.AffectedRecord {
	a.added++
	a.incident.Incident.Progress.Affected++
	a.incident.Incident.Progress.Pending++
	return &storev1.AffectedRecord{IncidentId: a.incident.Incident.Id, CustomerKey: customer.Key, Apology: &goodshipv1.Apology{
		State: goodshipv1.ApologyState_APOLOGY_STATE_PENDING, UpdateTime: timestamppb.New(a.tx.Now()),
	}}
}

// hasNeeded refuses a customer for whom the text that was sent off cannot be written.
func (a *adding) hasNeeded(i int, attributes map[string]string) error {
	for _, field := range a.needed {
		switch {
		case attributes[field] != "":
		case field == apology.Name:
			return fault.Field(fmt.Sprintf("customers[%d].customer_id", i), "has no display name, which the apology that is sent needs: give them one with UpsertCustomer first")
		default:
			return fault.Field(fmt.Sprintf("customers[%d].attributes", i), "must have a value for %s, which the apology that is sent needs", field)
		}
	}
	return nil
}

// countAttributes counts the attributes of one customer more, or less. An empty value counts as missing.
func countAttributes(r *storev1.IncidentRecord, attributes map[string]string, by int32) {
	for name, value := range attributes {
		if value == "" {
			continue
		}
		if r.AttributeCounts == nil {
			r.AttributeCounts = map[string]int32{}
		}
		if r.AttributeCounts[name] += by; r.AttributeCounts[name] == 0 {
			delete(r.AttributeCounts, name)
		}
	}
}

// finish notes who was added.
func (a *adding) finish() error {
	if !a.changed {
		return nil
	}
	if len(a.incident.AttributeCounts) > maxAttributes {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_LIMIT_REACHED,
			"The customers of one incident may have %d different attributes. Use the same names for all.", maxAttributes).With("limit", strconv.Itoa(maxAttributes))
	}
	if sentOff(a.incident) && a.added > 0 {
		workspace, err := a.tx.Workspace()
		if err != nil {
			return err
		}
		progress := a.incident.Incident.Progress
		if err := belowCeiling(workspace.Workspace, a.incident.Incident.Credit, progress.Written+progress.Pending); err != nil {
			return err
		}
	}
	a.incident.PreviewVersion++
	return a.tx.PutIncident(a.incident)
}
