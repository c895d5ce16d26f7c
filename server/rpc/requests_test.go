package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

type addStream = grpc.ClientStreamingServer[goodshipv1.AddAffectedCustomersRequest, goodshipv1.AddAffectedCustomersResponse]

// countAll takes in a stream whole and tells how many customers it named.
func countAll(in addStream) error {
	sum := &goodshipv1.AddAffectedCustomersResponse{}
	for {
		req, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(sum)
		}
		if err != nil {
			return fmt.Errorf("after %d: %w", sum.ReceivedCount, err)
		}
		sum.ReceivedCount += int32(len(req.GetCustomers()))
	}
}

func naming(incident string, customers ...string) *goodshipv1.AddAffectedCustomersRequest {
	req := &goodshipv1.AddAffectedCustomersRequest{IncidentId: incident}
	for _, id := range customers {
		req.Customers = append(req.Customers, &goodshipv1.AffectedCustomer{CustomerId: id})
	}
	return req
}

// anIncident is an id of the right form.
var anIncident = "inc_" + strings.Repeat("0", 26)

// adds opens a stream by who has a key.
func adds(t *testing.T, to *target, key string, md ...string) goodshipv1.IncidentService_AddAffectedCustomersClient {
	t.Helper()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), append(md, "authorization", "Bearer "+key)...))
	t.Cleanup(cancel)
	out, err := goodshipv1.NewIncidentServiceClient(to.conn).AddAffectedCustomers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sent sends requests, and returns how the stream ended.
func sent(t *testing.T, out goodshipv1.IncidentService_AddAffectedCustomersClient, requests ...*goodshipv1.AddAffectedCustomersRequest) (*goodshipv1.AddAffectedCustomersResponse, error) {
	t.Helper()
	for _, req := range requests {
		if err := out.Send(req); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	return out.CloseAndRecv()
}

// A stream of requests passes what a single one does: the doors once, and the checks of a request with each.
func TestStreamsOfRequestsPassTheChain(t *testing.T) {
	const secret = "the king's breakfast"
	good := []*goodshipv1.AddAffectedCustomersRequest{naming(anIncident, "kim", "lou"), naming("", "ada")}
	for _, c := range []struct {
		name     string
		key      string
		md       []string
		requests []*goodshipv1.AddAffectedCustomersRequest
		affected func(addStream) error
		code     codes.Code
		reason   string
		runs     bool
		log      string
	}{
		{name: "all well", requests: good, runs: true},
		{name: "nothing", runs: true},
		{name: "a bad credential", key: "gsk_other", requests: good, code: codes.Unauthenticated, reason: "CREDENTIAL_INVALID"},
		{name: "no scope", key: plainKey, requests: good, code: codes.PermissionDenied, reason: "SCOPE_MISSING"},
		{name: "a customer", md: []string{"goodship-act-for", "customer/kim"}, requests: good, code: codes.PermissionDenied, reason: "CALLER_NOT_ALLOWED"},
		{name: "an invalid first one", requests: append([]*goodshipv1.AddAffectedCustomersRequest{naming("inc", "kim")}, good...), code: codes.InvalidArgument, reason: "INVALID_REQUEST", runs: true},
		{name: "an invalid later one", requests: append(good[:2:2], naming(anIncident)), code: codes.InvalidArgument, reason: "INVALID_REQUEST", runs: true},
		{name: "a later one that the contract does not know", requests: append(good[:2:2], withUnknown(naming(anIncident, "kim"))),
			code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", runs: true},
		{name: "a header that the method does not take", md: []string{"idempotency-key", "r1"}, requests: good, code: codes.InvalidArgument, reason: "INVALID_REQUEST", runs: true},
		{name: "too much at once", requests: append(good[:2:2], naming(anIncident, strings.Repeat("x", 300<<10))), code: codes.ResourceExhausted, runs: true},
		{name: "a fault", requests: good, affected: func(addStream) error {
			return fmt.Errorf("%s: %w", secret, fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_INCIDENT_NOT_FOUND, "No such incident."))
		}, code: codes.NotFound, reason: "INCIDENT_NOT_FOUND", runs: true},
		{name: "an error", requests: good, affected: func(addStream) error { return errors.New(secret) }, code: codes.Internal, reason: "INTERNAL", runs: true, log: secret},
		{name: "a panic in the middle", requests: good, affected: func(in addStream) error {
			_, err := in.Recv()
			panic(errors.Join(err, errors.New(secret)))
		}, code: codes.Internal, reason: "INTERNAL", runs: true, log: secret},
	} {
		t.Run(c.name, func(t *testing.T) {
			book, ran := &logBook{}, false
			to := serve(t, &fake{affected: func(in addStream) error {
				ran = true
				if c.affected != nil {
					return c.affected(in)
				}
				return countAll(in)
			}}, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})
			key := adminKey
			if c.key != "" {
				key = c.key
			}
			reply, err := sent(t, adds(t, to, key, c.md...), c.requests...)
			st := status.Convert(err)
			info, _ := detailsOf(t, st)
			if st.Code() != c.code || info.GetReason() != c.reason || strings.Contains(st.String(), secret) {
				t.Errorf("got %v", st)
			}
			if err := to.stop(); err != nil { // after it, the method has ended
				t.Error(err)
			}
			if ran != c.runs {
				t.Errorf("the method ran: %v", ran)
			}
			if c.code == codes.OK && int(reply.GetReceivedCount()) != 3*min(len(c.requests), 1) {
				t.Errorf("received %v", reply)
			}
			if c.log == "" && book.String() != "" || !strings.Contains(book.String(), c.log) {
				t.Errorf("the log has: %s", book)
			}
		})
	}
}

// Whoever opens a stream and sends nothing, or stops in between, has the time of one message; what a stream takes until the next
// is asked for does not count.
func TestAStreamOfRequestsIsNotWaitedForLong(t *testing.T) {
	taken := make(chan error, 1)
	c := few(func(l *rpc.Limits) { l.ReadTimeout = 200 * time.Millisecond })
	to := serve(t, &fake{affected: func(in addStream) error {
		err := countAll(in)
		taken <- err
		return err
	}}, c)
	for name, requests := range map[string][]proto.Message{"nothing": nil, "one": {naming(anIncident, "kim")}} {
		out := adds(t, to, adminKey)
		for _, req := range requests {
			if err := out.SendMsg(req); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-taken; !strings.Contains(fmt.Sprint(err), "in time") {
			t.Errorf("%s: the method hears %v", name, err)
		}
		if err := out.RecvMsg(&goodshipv1.AddAffectedCustomersResponse{}); status.Code(err) == codes.OK || errors.Is(err, io.EOF) {
			t.Errorf("%s: the caller hears %v", name, err)
		}
	}
}

// A stream of requests that waits for its next one does not keep a server from stopping.
func TestAStreamOfRequestsEndsWhenTheServerDrains(t *testing.T) {
	waits := make(chan struct{})
	to := serve(t, &fake{affected: func(in addStream) error {
		if _, err := in.Recv(); err != nil {
			return err
		}
		close(waits)
		return countAll(in)
	}}, rpc.Config{DrainTimeout: time.Hour})
	out := adds(t, to, adminKey)
	if err := out.Send(naming(anIncident, "kim")); err != nil {
		t.Fatal(err)
	}
	<-waits
	if err := to.stop(); err != nil {
		t.Error(err)
	}
	err := out.RecvMsg(&goodshipv1.AddAffectedCustomersResponse{})
	if status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
}

// Each message draws from the rates of its caller: who sends many little ones waits, and is not refused.
func TestAStreamOfRequestsIsPaced(t *testing.T) {
	c := few(func(l *rpc.Limits) { l.RatePerCaller, l.RatePerWorkspace = 100, 100 })
	to := serve(t, &fake{affected: countAll}, c)
	out := adds(t, to, adminKey)
	var many []*goodshipv1.AddAffectedCustomersRequest
	for range 520 { // 5 seconds' worth is there at once
		many = append(many, naming(anIncident, "kim"))
	}
	reply, err := sent(t, out, many...)
	if err != nil || reply.GetReceivedCount() != 520 {
		t.Errorf("got %v, %v", reply, err)
	}
}
