package client

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// crew are affected customers, each with an attribute of a size.
func crew(count, size int) iter.Seq[*goodshipv1.AffectedCustomer] {
	return func(yield func(*goodshipv1.AffectedCustomer) bool) {
		for n := range count {
			if !yield(&goodshipv1.AffectedCustomer{CustomerId: fmt.Sprint("sailor-", n), Attributes: map[string]string{"title": strings.Repeat("x", size)}}) {
				return
			}
		}
	}
}

func TestAddAllAffected(t *testing.T) {
	for name, tc := range map[string]struct {
		count, size, fails int
		want               string
	}{
		"none":               {0, 1, 0, ""},
		"one":                {1, 1, 0, "1"},
		"as many as one may": {1000, 1, 0, "1000"},
		"one more":           {1001, 1, 0, "1000 1"},
		"many":               {2500, 1, 0, "1000 1000 500"},
		"large ones":         {600, 480, 0, "259 259 82"},
		"refused":            {2500, 1, 2, "1000 refused"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			next := 0
			s := serve(t, func(_ context.Context, a attempt) (proto.Message, error) {
				req := a.req.(*goodshipv1.BatchAddAffectedCustomersRequest)
				if a.number == tc.fails {
					got = append(got, "refused")
					return nil, failure(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_INCIDENT_NOT_FOUND)
				}
				for _, c := range req.GetCustomers() {
					if want := fmt.Sprint("sailor-", next); c.GetCustomerId() != want || req.GetIncidentId() != "inc_1" {
						t.Errorf("%s of %s, want %s", c.GetCustomerId(), req.GetIncidentId(), want)
					}
					next++
				}
				if size := proto.Size(req); size > affectedBytes+4<<10 {
					t.Errorf("a call of %d bytes", size)
				}
				got = append(got, fmt.Sprint(len(req.GetCustomers())))
				count := int32(len(req.GetCustomers()))
				return &goodshipv1.AddAffectedCustomersResponse{ReceivedCount: count, AddedCount: count - 1, AffectedCount: int32(next)}, nil
			})
			reply, err := s.client().AddAllAffected(t.Context(), "inc_1", crew(tc.count, tc.size))
			if joined := strings.Join(got, " "); joined != tc.want {
				t.Errorf("calls of %q customers, want %q", joined, tc.want)
			}
			if (err != nil) != (tc.fails != 0) {
				t.Errorf("got %v", err)
			}
			calls := int32(len(got) - min(tc.fails, 1))
			if int(reply.GetReceivedCount()) != next || reply.GetAddedCount() != reply.GetReceivedCount()-calls || int(reply.GetAffectedCount()) != next {
				t.Errorf("got %v after %d calls with %d customers", reply, calls, next)
			}
		})
	}
}
