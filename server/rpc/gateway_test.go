package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// reply is what REST answered beside the body.
type reply struct {
	StatusCode      int
	Header, Trailer http.Header
}

// rest sends a request with the key of every scope.
func rest(t *testing.T, to *target, verb, path, body string, header ...string) (reply, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), verb, to.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+to.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := to.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, resp.Trailer}, string(b)
}

func TestRESTReachesTheMethodWithWhatWasSent(t *testing.T) {
	svc := &fake{}
	to := serve(t, svc, rpc.Config{})
	var got proto.Message
	svc.send = func(_ context.Context, r *goodshipv1.SendMessageRequest) (*goodshipv1.Message, error) {
		got = r
		return &goodshipv1.Message{Number: 1}, nil
	}
	svc.update = func(_ context.Context, r *goodshipv1.UpdateConversationRequest) (*goodshipv1.Conversation, error) {
		got = r
		return &goodshipv1.Conversation{}, nil
	}
	svc.list = func(_ context.Context, r *goodshipv1.ListConversationsRequest) (*goodshipv1.ListConversationsResponse, error) {
		got = r
		return &goodshipv1.ListConversationsResponse{}, nil
	}
	svc.settings = func(_ context.Context, r *goodshipv1.UpdateWorkspaceRequest) (*goodshipv1.Workspace, error) {
		got = r
		return &goodshipv1.Workspace{}, nil
	}
	svc.upsertAgent = func(_ context.Context, r *goodshipv1.UpsertAgentRequest) (*goodshipv1.Agent, error) {
		got = r
		return &goodshipv1.Agent{}, nil
	}
	const one = "/v1/conversations/" + conv
	for _, c := range []struct {
		name, verb, path, body string
		header                 []string
		want                   proto.Message
	}{
		{"a body, and the path", "POST", one + "/messages", `{"text":"Ahoy","seenRevision":3}`, nil,
			&goodshipv1.SendMessageRequest{ConversationId: conv, Text: "Ahoy", SeenRevision: 3}},
		{"names as the proto has them", "POST", one + "/messages", `{"seen_revision":3}`, nil,
			&goodshipv1.SendMessageRequest{ConversationId: conv, SeenRevision: 3}},
		{"no body", "POST", one + "/messages", "", nil, &goodshipv1.SendMessageRequest{ConversationId: conv}},
		{"a body that agrees with the path", "POST", one + "/messages", `{"conversationId":"` + conv + `"}`, nil,
			&goodshipv1.SendMessageRequest{ConversationId: conv}},
		{"a request id as a header", "POST", one + "/messages", `{"text":"Ahoy"}`, []string{"Idempotency-Key", "abc 1"},
			&goodshipv1.SendMessageRequest{ConversationId: conv, Text: "Ahoy", RequestId: "abc 1"}},
		{"a request id twice, but equal", "POST", one + "/messages", `{"requestId":"abc"}`, []string{"idempotency-key", "abc"},
			&goodshipv1.SendMessageRequest{ConversationId: conv, RequestId: "abc"}},
		{"an etag as a header", "PATCH", one, `{"subject":"x"}`, []string{"If-Match", `"7"`},
			&goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{Subject: "x"}, UpdateMask: mask("subject"), Etag: "7"}},
		{"a bare etag", "PATCH", one, `{"subject":"x"}`, []string{"If-Match", `7`},
			&goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{Subject: "x"}, UpdateMask: mask("subject"), Etag: "7"}},
		{"a mask from the body", "PATCH", one, `{"subject":"","incidentId":""}`, nil,
			&goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{}, UpdateMask: mask("incident_id", "subject")}},
		{"a mask as JSON has it", "PATCH", one + "?updateMask=incidentId,labels", `{}`, nil,
			&goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{}, UpdateMask: mask("incident_id", "labels")}},
		{"a mask as the proto has it", "PATCH", one + "?update_mask=incident_id", `{}`, nil,
			&goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{}, UpdateMask: mask("incident_id")}},
		{"a mask from the body's top", "PATCH", "/v1/workspace", `{"promise":"90s","openingHours":{"timeZone":"UTC","intervals":[{"day":1,"closeMinute":5}]}}`, nil,
			&goodshipv1.UpdateWorkspaceRequest{UpdateMask: mask("opening_hours", "promise"), Workspace: &goodshipv1.Workspace{
				Promise: durationpb.New(90 * time.Second), OpeningHours: &goodshipv1.OpeningHours{TimeZone: "UTC", Intervals: []*goodshipv1.OpeningInterval{{Day: 1, CloseMinute: 5}}}}}},
		{"a query", "GET", "/v1/conversations?state=STATE_WAITING&unowned=true&pageSize=5&customer_id=a%40b.c&active_after=2026-01-02T03:04:05Z", "", nil,
			&goodshipv1.ListConversationsRequest{State: goodshipv1.State_STATE_WAITING, Unowned: true, PageSize: 5, CustomerId: "a@b.c",
				ActiveAfter: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}},
		{"a body and a query", "PUT", "/v1/agents/jo@ship.example?enable=true", `{"displayName":"Jo"}`, nil,
			&goodshipv1.UpsertAgentRequest{AgentId: "jo@ship.example", Agent: &goodshipv1.Agent{DisplayName: "Jo"}, Enable: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got = nil
			resp, body := rest(t, to, c.verb, c.path, c.body, c.header...)
			if resp.StatusCode != http.StatusOK || !proto.Equal(got, c.want) {
				t.Errorf("HTTP %d %s\ngot  %v\nwant %v", resp.StatusCode, body, got, c.want)
			}
		})
	}
}

func TestRESTReplies(t *testing.T) {
	svc := &fake{get: func(ctx context.Context, _ *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		inside := metadata.Pairs("inside", "1")
		if err := errors.Join(grpc.SetHeader(ctx, inside), grpc.SetTrailer(ctx, inside)); err != nil {
			t.Error(err)
		}
		return &goodshipv1.Conversation{Id: conv, State: goodshipv1.State_STATE_WAITING, MessageCount: 2, Etag: "9"}, nil
	}}
	to := serve(t, svc, rpc.Config{})
	resp, body := rest(t, to, "GET", "/v1/conversations/"+conv, "", "TE", "trailers", "Accept", "text/html")
	if want := `{"id":"` + conv + `","state":"STATE_WAITING","messageCount":2,"etag":"9"}` + "\n"; body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Etag": `"9"`, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name := range resp.Header {
		if strings.HasPrefix(name, "Grpc-") || name == "Inside" {
			t.Errorf("the header %s leaked", name)
		}
	}
	if len(resp.Trailer) > 0 {
		t.Errorf("trailers %v", resp.Trailer)
	}
}

func TestErrorsOfAMethodOverREST(t *testing.T) {
	reason := func(code codes.Code, r goodshipv1.ErrorReason) *fault.Fault { return fault.New(code, r, "It is so.") }
	for _, c := range []struct {
		name  string
		err   error
		http  int
		retry string
	}{
		{"a stale etag", reason(codes.Aborted, goodshipv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH), 412, ""},
		{"a stale preview", reason(codes.Aborted, goodshipv1.ErrorReason_ERROR_REASON_PREVIEW_CHANGED), 412, ""},
		{"another conflict", reason(codes.Aborted, goodshipv1.ErrorReason_ERROR_REASON_OWNED_BY_ANOTHER), 409, ""},
		{"not now", reason(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_CUSTOMER_IS_WAITING), 400, ""},
		{"later", reason(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE).RetryAfter(1500 * time.Millisecond), 503, "2"},
		{"taken", reason(codes.AlreadyExists, goodshipv1.ErrorReason_ERROR_REASON_EXTERNAL_ID_TAKEN), 409, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := serve(t, &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
				return nil, c.err
			}}, rpc.Config{})
			resp, body := rest(t, to, "GET", "/v1/conversations/"+conv, "")
			st := readStatus(t, []byte(body))
			info, _ := detailsOf(t, st)
			if resp.StatusCode != c.http || st.Message() != "It is so." || info == nil || resp.Header.Get("Retry-After") != c.retry {
				t.Errorf("HTTP %d, Retry-After %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
			}
		})
	}
}

// Headers of the internet must not become metadata: what a proxy or an interceptor reads there would be a stranger's word.
func TestStrangersWriteNoMetadata(t *testing.T) {
	svc := &fake{}
	to := serve(t, svc, rpc.Config{})
	seen := make(chan map[string][]string, 1)
	svc.list = func(ctx context.Context, _ *goodshipv1.ListConversationsRequest) (*goodshipv1.ListConversationsResponse, error) {
		seen <- incoming(ctx)
		return &goodshipv1.ListConversationsResponse{}, nil
	}
	resp, body := rest(t, to, "GET", "/v1/conversations", "",
		"Grpc-Metadata-Goodship-Act-For", "customer/eve", "Grpc-Metadata-Authorization", "Bearer gsk_stolen",
		"Grpcgateway-Authorization", "x", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil.example", "Cookie", "a=b", "Origin", allowedOrigin)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d %s", resp.StatusCode, body)
	}
	md := <-seen
	for key, values := range md {
		switch key {
		case "authorization":
			if len(values) != 1 || values[0] != "Bearer "+to.key {
				t.Errorf("authorization %q", values)
			}
		case "x-forwarded-for", "x-forwarded-host": // the gateway's own: whom it spoke with, and as whom
			if len(values) != 1 || !strings.HasPrefix(values[0], "127.0.0.1") {
				t.Errorf("%s is %q", key, values)
			}
		default:
			t.Errorf("metadata %s: %q", key, values)
		}
	}
}
