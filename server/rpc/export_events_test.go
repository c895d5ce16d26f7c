package rpc_test

import (
	"net/http"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc"
)

// An export over REST is a stream of server-sent events, each with its cursor as the id; it goes on where the reader says, and ends
// with an event of its own if it breaks.
func TestAnExportIsAStreamOfServerSentEvents(t *testing.T) {
	var asked []string
	var end error
	svc := &fake{export: func(r *goodshipv1.ExportCustomerRequest, out grpc.ServerStreamingServer[goodshipv1.ExportCustomerResponse]) error {
		asked = append(asked, r.CustomerId+" "+r.Cursor)
		for _, item := range []*goodshipv1.ExportCustomerResponse{
			{Cursor: "c1", Item: &goodshipv1.ExportCustomerResponse_Customer{Customer: &goodshipv1.Customer{Id: "ada"}}},
			{Cursor: "c2", Item: &goodshipv1.ExportCustomerResponse_End{End: &goodshipv1.ExportEnd{ItemCount: 1}}},
		} {
			if err := out.Send(item); err != nil {
				return err
			}
		}
		return end
	}}
	to := serve(t, svc, rpc.Config{})
	const items = "retry: 1000\n\n" +
		"id: c1\ndata: {\"cursor\":\"c1\",\"customer\":{\"id\":\"ada\"}}\n\n" +
		"id: c2\ndata: {\"cursor\":\"c2\",\"end\":{\"itemCount\":1}}\n\n"
	const path = "/v1/customers/ada:export"
	for _, headers := range [][]string{nil, {"Last-Event-ID", "c1"}} {
		resp, body := rest(t, to, "GET", path+"?cursor=c0", "", headers...)
		if resp.StatusCode != http.StatusOK || body != items || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HTTP %d %q, want %q", resp.StatusCode, body, items)
		}
	}
	if got := strings.Join(asked, ", "); got != "ada c0, ada c1" {
		t.Errorf("asked for %q", got)
	}
	end = errStopping()
	_, body := rest(t, to, "GET", path, "")
	whole, _, _ := strings.Cut(body, "event: error\n")
	if info, _ := detailsOf(t, endOf(t, body)); whole != items || info.GetReason() != "SERVER_STOPPING" || info.GetMetadata()["cursor"] != "c1" {
		t.Errorf("the end: %q", body)
	}
	svc.export = func(*goodshipv1.ExportCustomerRequest, grpc.ServerStreamingServer[goodshipv1.ExportCustomerResponse]) error {
		return errStopping()
	}
	if resp, body := rest(t, to, "GET", path, ""); resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "event:") {
		t.Errorf("refused before the first item: HTTP %d %q", resp.StatusCode, body)
	}
}
