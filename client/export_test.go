package client

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestExportGoesOn holds that an export goes on after the item that came last, and no longer than that helps.
func TestExportGoesOn(t *testing.T) {
	away := failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_SERVER_STOPPING)
	for name, tc := range map[string]struct {
		// tells is how many items each stream tells before it ends with err.
		tells []int
		err   error
		want  string
	}{
		"at once":                {[]int{3}, nil, "1 2 3"},
		"over two breaks":        {[]int{1, 1, 1}, away, "1 2 3"},
		"after three silences":   {[]int{1, 0, 0, 2}, away, "1 2 3"},
		"not after the fourth":   {[]int{1, 0, 0, 0, 2}, away, "1 Unavailable"},
		"not where it is no use": {[]int{1, 2}, failure(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CUSTOMER_NOT_FOUND), "1 NotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				s := serveExports(t, func(_ context.Context, a attempt, tell func(*goodshipv1.ExportCustomerResponse)) error {
					req := a.req.(*goodshipv1.ExportCustomerRequest)
					if want := cursorAt(told); req.GetCursor() != want || req.GetCustomerId() != "lieutenant" {
						t.Errorf("stream %d from %q, want %q", a.number, req.GetCursor(), want)
					}
					for range tc.tells[a.number-1] {
						told++
						tell(&goodshipv1.ExportCustomerResponse{Cursor: cursorAt(told)})
					}
					if a.number == len(tc.tells) {
						return nil
					}
					return tc.err
				})
				got := ""
				for item, err := range s.client().Export(t.Context(), &goodshipv1.ExportCustomerRequest{CustomerId: "lieutenant"}) {
					if got != "" {
						got += " "
					}
					if err != nil {
						got += status.Code(err).String()
						continue
					}
					got += item.GetCursor()
				}
				if got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		})
	}
}

// cursorAt is the cursor of an item.
func cursorAt(number int) string {
	if number == 0 {
		return ""
	}
	return fmt.Sprint(number)
}
