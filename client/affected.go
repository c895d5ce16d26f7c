package client

import (
	"context"
	"iter"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// affectedAtOnce is how many affected customers one call names: as many as it may.
	affectedAtOnce = 1000
	// affectedBytes is how large such a call gets at most: half of what a server takes unless it was told otherwise.
	affectedBytes = 128 << 10
)

// AddAllAffected adds affected customers to an incident, as many as there are:
//
//	reply, err := c.AddAllAffected(ctx, incident.GetId(), customers)
//
// It calls BatchAddAffectedCustomers with up to 1,000 or 128 KiB of them at a time, and each call is repeated like any other, so that a
// server that restarts does not end it. The reply sums up what the calls that succeeded did, also beside an error; sending all of
// them again is safe. The iterator is gone through once.
func (c *Client) AddAllAffected(ctx context.Context, incidentID string, customers iter.Seq[*goodshipv1.AffectedCustomer]) (*goodshipv1.AddAffectedCustomersResponse, error) {
	sum := &goodshipv1.AddAffectedCustomersResponse{}
	for batch := range batches(customers) {
		reply, err := c.BatchAddAffectedCustomers(ctx, &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: incidentID, Customers: batch})
		if err != nil {
			return sum, err
		}
		sum.ReceivedCount += reply.GetReceivedCount()
		sum.AddedCount += reply.GetAddedCount()
		sum.AffectedCount = reply.GetAffectedCount()
	}
	return sum, nil
}

// batches gathers customers into as many as one call takes.
func batches(customers iter.Seq[*goodshipv1.AffectedCustomer]) iter.Seq[[]*goodshipv1.AffectedCustomer] {
	return func(yield func([]*goodshipv1.AffectedCustomer) bool) {
		var batch []*goodshipv1.AffectedCustomer
		bytes := 0
		for customer := range customers {
			size := proto.Size(customer)
			if len(batch) == affectedAtOnce || len(batch) > 0 && bytes+size > affectedBytes {
				if !yield(batch) {
					return
				}
				batch, bytes = nil, 0
			}
			batch, bytes = append(batch, customer), bytes+size
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}
