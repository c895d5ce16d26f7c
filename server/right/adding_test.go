package right

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// chunk is how many customers are added at a time on average; with those who are named twice, fewer than 1,000.
func chunk() int { return min(400, max(1, *apologies/40)) }

// add adds those who are known at once: some by the stream, some over REST, some by both, and some more than once. The server is
// killed a few times while they are added.
func (o *outage) add(strikes int) {
	o.t.Helper()
	from, to := len(o.early)*3/10, len(o.early)*7/10
	at := moments(o.rng, strikes, int64((len(o.early)+to-from)/chunk()))
	o.struck(at, func(step func()) {
		var adders sync.WaitGroup
		adders.Go(func() { o.addByStream(o.early[:to], random("stream"), step) })
		adders.Go(func() { o.addByREST(o.early[from:], random("REST"), step) })
		adders.Wait()
	})
	if n := o.progress(o.want.incident).GetAffected(); int(n) != len(o.early) {
		o.t.Fatalf("%d are affected, want %d", n, len(o.early))
	}
}

// affected returns some of the customers, and a few of them twice.
func (o *outage) affected(customers []string, rng *rand.Rand) (all []*goodshipv1.AffectedCustomer) {
	for _, customer := range customers {
		one := &goodshipv1.AffectedCustomer{CustomerId: customer, Attributes: map[string]string{"first": o.want.customers[customer].word}}
		if all = append(all, one); rng.IntN(10) == 0 {
			all = append(all, one)
		}
	}
	return all
}

// cut cuts the first few off some customers.
func cut(customers []string, rng *rand.Rand) (first, rest []string) {
	n := min(len(customers), 1+rng.IntN(2*chunk()))
	return customers[:n], customers[n:]
}

// addByStream adds customers by one stream, by another one with all of them again where it broke.
func (o *outage) addByStream(customers []string, rng *rand.Rand, step func()) {
	_, err := ask(o.house, "", func(ctx context.Context) (*goodshipv1.AddAffectedCustomersResponse, error) {
		stream, err := o.incidents().AddAffectedCustomers(ctx)
		if err != nil {
			return nil, err
		}
		some, rest := cut(customers, rng)
		for incident := o.want.incident; len(some) > 0; some, rest = cut(rest, rng) {
			step()
			if stream.Send(&goodshipv1.AddAffectedCustomersRequest{IncidentId: incident, Customers: o.affected(some, rng)}) != nil {
				break // CloseAndRecv says why
			}
			if incident = ""; len(rest) == 0 {
				break
			}
		}
		return stream.CloseAndRecv()
	})
	if err != nil {
		o.t.Errorf("adding by the stream ends with %v", err)
	}
}

// addByREST adds customers batch by batch.
func (o *outage) addByREST(customers []string, rng *rand.Rand, step func()) {
	for len(customers) > 0 {
		var some []string
		some, customers = cut(customers, rng)
		step()
		body, err := protojson.Marshal(&goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: o.want.incident, Customers: o.affected(some, rng)})
		if err != nil {
			o.t.Error(err)
			return
		}
		must(o.house, "", func(ctx context.Context) (any, error) { return nil, o.post(ctx, body) })
	}
}

// post sends a batch. It returns UNAVAILABLE where the server did not answer.
func (o *outage) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+o.rest+"/v1/incidents/"+o.want.incident+"/affectedCustomers:batchAdd", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+o.key)
	req.Header.Set("Content-Type", "application/json")
	reply, err := o.web.Do(req)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	defer reply.Body.Close()
	said, err := io.ReadAll(reply.Body)
	switch {
	case err != nil, reply.StatusCode == http.StatusServiceUnavailable:
		return status.Errorf(codes.Unavailable, "%s %v", said, err)
	case reply.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d: %s", reply.StatusCode, said)
	}
	return nil
}
