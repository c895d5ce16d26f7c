package rpc

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// anybody serves whoever comes, as an agent, and every method says that it is not there.
type anybody struct {
	goodshipv1.UnimplementedConversationServiceServer
	goodshipv1.UnimplementedMessageServiceServer
	goodshipv1.UnimplementedResolutionServiceServer
	goodshipv1.UnimplementedDeskServiceServer
	goodshipv1.UnimplementedDirectoryServiceServer
	goodshipv1.UnimplementedAdminServiceServer
	goodshipv1.UnimplementedCreditServiceServer
	goodshipv1.UnimplementedIncidentServiceServer
	goodshipv1.UnimplementedInsightServiceServer
	goodshipv1.UnimplementedOperatorServiceServer
}

func (anybody) Ready() error { return nil }

func (anybody) Drain() {}

func (anybody) Authenticate(_ context.Context, _, actFor string) (support.Caller, error) {
	c := support.Caller{Kind: goodshipv1.Caller_CALLER_BACKEND, Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ADMIN}}
	switch actFor {
	case "a":
		c.Kind = goodshipv1.Caller_CALLER_AGENT
	case "c":
		c.Kind = goodshipv1.Caller_CALLER_CUSTOMER
	}
	return c, nil
}

func (anybody) Operator(context.Context, string) (support.Caller, error) {
	return support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR}, nil
}

func (anybody) AllowsOrigin(context.Context, string, string) (bool, error) { return true, nil }

func (anybody) SendMessage(context.Context, *goodshipv1.SendMessageRequest) (*goodshipv1.Message, error) {
	return &goodshipv1.Message{Number: 1}, nil
}

// FuzzREST asks anything of the REST handler. It must answer below 600, and what it refuses as a google.rpc.Status with
// exactly one ErrorInfo; a 500 only where a method is not there.
func FuzzREST(f *testing.F) {
	const one = "/v1/conversations/conv_00000000000000000000000000"
	for _, seed := range []struct{ method, target, body, contentType, header string }{
		{"POST", one + "/messages", `{"text":"Ahoy","attachments":[{"uri":"https://a.example/"}]}`, "application/json", "abc"},
		{"PATCH", one + "?updateMask=subject", `{"subject":"x","context":{"a":"b"}}`, "application/json", `"1"`},
		{"PATCH", "/v1/workspace", `{"openingHours":{"timeZone":"Europe/Madrid","intervals":[{"day":1,"closeMinute":5}]},"promise":"300s"}`, "application/json", ""},
		{"GET", "/v1/conversations?state=STATE_WAITING&page_size=3&active_after=2026-01-02T03:04:05Z", "", "", ""},
		{"GET", one + "/messages/0x1?a[b]=c", "", "", "*"},
		{"POST", one + ":claim", "{}", "application/json; charset=utf-8", `W/"1"`},
		{"PUT", "/v1/agents/jo%2Fjo", `{"displayName":"Jo","role":"ROLE_LEADER"}`, "text/plain", ""},
		{"POST", "/v1/apiKeys", `{"displayName":"k","scopes":["SCOPE_ACT",99],"expireTime":"2026-01-02T03:04:05Z"}`, "application/json", "\x00"},
		{"POST", one + "/credits", `{"amount":{"money":{"currencyCode":"EUR","units":"5","nanos":-1}},"reason":"x","settleByTime":"2026-01-02T03:04:05Z"}`, "application/json", "abc"},
		{"POST", "/v1/credits:settle", `{"settlements":[{"creditId":"cred_00000000000000000000000000","billingReference":"b"},{"refusal":"r"}]}`, "application/json", ""},
		{"GET", "/v1/credits?state=CREDIT_STATE_PENDING&customer_id=kim&page_size=1000", "", "", ""},
		{"POST", "/v1/incidents", `{"incident":{"whatHappened":"x","fromTime":"2026-01-02T03:04:05Z","credit":{"basisPoints":1},"text":"{credit} {{"}}`, "application/json", ""},
		{"PATCH", "/v1/incidents/inc_00000000000000000000000000?updateMask=text", `{"text":"{name}"}`, "application/json", `"1"`},
		{"POST", "/v1/incidents/inc_00000000000000000000000000/affectedCustomers:batchAdd", `{"customers":[{"customerId":"kim","attributes":{"a":"b"}}]}`, "application/json", ""},
		{"PATCH", "/v1/webhookEndpoints/hook_00000000000000000000000000", `{"uri":"https://a.example/","eventKinds":["message_sent"]}`, "application/json", `"1"`},
		{"POST", "/v1/webhookEndpoints/hook_00000000000000000000000000:rotateSecret", `{"expireAfter":"3.5s"}`, "application/json", "abc"},
		{"GET", "/v1/customers/kim:export?cursor=x", "", "", ""},
		{"GET", "/v1/insights/recovery?from_date=2026-01-02", "", "", ""},
		{"OPTIONS", "*", "", "", ""},
		{"GET", "//v1/../v1/:claim?%zz&;", "null", "", ""},
	} {
		f.Add(seed.method, seed.target, []byte(seed.body), seed.contentType, seed.header, "a")
	}
	server, err := New(anybody{}, Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte, contentType, header, actFor string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || strings.ContainsAny(method, " \r\n") {
			return // net/http refuses these before any handler
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", strings.NewReader(string(body)))
		r.Method, r.URL, r.RequestURI = method, u, target
		r.Header = http.Header{
			"Authorization": {"Bearer x"}, "Goodship-Act-For": {actFor}, "Content-Type": {contentType},
			"Idempotency-Key": {header}, "If-Match": {header}, "Grpc-Timeout": {header},
		}
		if header == "" {
			r.Header = http.Header{"Authorization": {"Bearer x"}, "Goodship-Act-For": {actFor}, "Content-Type": {contentType}}
		}
		w := httptest.NewRecorder()
		server.rest.Handler.ServeHTTP(w, r)
		checkReply(t, w)
	})
}

func checkReply(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	body := w.Body.Bytes()
	if w.Code >= 600 || !json.Valid(body) {
		t.Fatalf("HTTP %d: %s", w.Code, body)
	}
	if w.Code < 400 {
		return
	}
	var wire statusv1.Status
	if err := protojson.Unmarshal(body, &wire); err != nil {
		t.Fatalf("HTTP %d, no google.rpc.Status: %s", w.Code, body)
	}
	st, infos := status.FromProto(&wire), 0
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			infos++
			if info.GetDomain() != fault.Domain || info.GetReason() == "" || info.GetReason() == "UNSPECIFIED" {
				t.Errorf("ErrorInfo %v", info)
			}
		}
	}
	if infos != 1 || st.Code() == codes.OK || st.Message() == "" {
		t.Errorf("HTTP %d with %d ErrorInfo: %s", w.Code, infos, body)
	}
}
