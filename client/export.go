package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// exportTries is how often an export is begun anew without an item in between.
const exportTries = 4

// Export goes through everything about one person, from the request's cursor on:
//
//	for item, err := range c.Export(ctx, &goodshipv1.ExportCustomerRequest{CustomerId: "lieutenant"}) {
//
// The last item is the `end`. Where a server restarts or a connection breaks it goes on after the item that came last; after four
// times without another item, or with an error that repeating does not cure, the loop gets the error as the last element, with a
// nil item. Who wants to go on another day keeps the newest cursor.
func (c *Client) Export(ctx context.Context, req *goodshipv1.ExportCustomerRequest) iter.Seq2[*goodshipv1.ExportCustomerResponse, error] {
	return func(yield func(*goodshipv1.ExportCustomerResponse, error) bool) {
		cursor, failures := req.GetCursor(), 0
		for {
			from := &goodshipv1.ExportCustomerRequest{CustomerId: req.GetCustomerId(), Cursor: cursor}
			err := c.exportFrom(ctx, from, func(item *goodshipv1.ExportCustomerResponse) bool {
				cursor, failures = item.GetCursor(), 0
				return yield(item, nil)
			})
			switch failures++; {
			case err == nil || errors.Is(err, errDone):
				return
			case failures == exportTries, !again(err), pause(ctx, failures) != nil:
				yield(nil, err)
				return
			}
		}
	}
}

// exportFrom gives what one stream tells, and returns why it ended: nil after the last item, errDone if no more is wanted.
func (c *Client) exportFrom(ctx context.Context, req *goodshipv1.ExportCustomerRequest, give func(*goodshipv1.ExportCustomerResponse) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.ExportCustomer(ctx, req)
	for err == nil {
		var item *goodshipv1.ExportCustomerResponse
		if item, err = stream.Recv(); err == nil && !give(item) {
			return errDone
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// again reports whether an error may not come again.
func again(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.ResourceExhausted
}

// pause waits for a random part of 1/4, 1 and 4 seconds, after as many failures; less if the context ends, whose error it returns.
func pause(ctx context.Context, failures int) error {
	longest := time.Second / 16 << (2 * failures)
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
