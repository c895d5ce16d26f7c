package rpc_test

import (
	"net/http"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// targetOf is a server of servertest as the tables ask it.
func targetOf(t *testing.T, s *servertest.Server) *target {
	t.Helper()
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		_ = conn.Close()
		transport.CloseIdleConnections()
	})
	return &target{url: s.REST, http: &http.Client{Transport: transport}, conn: conn, key: s.Key}
}

// What is wrong only beside what there is: the same over gRPC and REST, with the code that HTTP has for it.
func TestBadInputBesideWhatThereIs(t *testing.T) {
	s := servertest.New(t)
	to := targetOf(t, s)
	other := s.NewWorkspace()
	id, page := conversationsOf(t, s, to)
	foreign, foreignPage := conversationsOf(t, other, targetOf(t, other))

	const actor = "customer/ada"
	ids := func(id string) *goodshipv1.UpdateConversationRequest {
		return &goodshipv1.UpdateConversationRequest{ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Subject: "x"}, UpdateMask: mask("subject"), Etag: "stale"}
	}
	for _, b := range []bad{
		{name: "a stale etag", verb: "PATCH", path: "/v1/conversations/" + id, body: `{"subject":"x"}`, header: map[string]string{"If-Match": `"stale"`}, actFor: "-",
			method: updateMethod, request: ids(id), code: codes.Aborted, reason: "ETAG_MISMATCH", http: 412},
		{name: "a request id of another body", verb: "POST", path: "/v1/conversations/" + id + "/messages", body: `{"text":"other"}`, header: map[string]string{"Idempotency-Key": "r1"}, actFor: actor,
			method: sendMethod, request: &goodshipv1.SendMessageRequest{ConversationId: id, Text: "other", RequestId: "r1"},
			code: codes.InvalidArgument, reason: "REQUEST_ID_REUSED", http: 400},
		{name: "another workspace's conversation", verb: "GET", path: "/v1/conversations/" + foreign,
			method: getMethod, request: &goodshipv1.GetConversationRequest{ConversationId: foreign}, code: codes.NotFound, reason: "CONVERSATION_NOT_FOUND", http: 404},
		{name: "another customer's conversation", verb: "GET", path: "/v1/conversations/" + id, actFor: "customer/eve",
			method: getMethod, request: &goodshipv1.GetConversationRequest{ConversationId: id}, code: codes.NotFound, reason: "CONVERSATION_NOT_FOUND", http: 404},
		{name: "another workspace's page token", verb: "GET", path: "/v1/conversations?page_size=1&page_token=" + foreignPage,
			method: listMethod, request: &goodshipv1.ListConversationsRequest{PageSize: 1, PageToken: foreignPage}, code: codes.InvalidArgument, reason: "INVALID_PAGE_TOKEN", http: 400},
		{name: "another list's page token", verb: "GET", path: "/v1/conversations?page_size=1&state=STATE_WAITING&page_token=" + page,
			method: listMethod, request: &goodshipv1.ListConversationsRequest{PageSize: 1, State: goodshipv1.State_STATE_WAITING, PageToken: page}, code: codes.InvalidArgument, reason: "INVALID_PAGE_TOKEN", http: 400},
		{name: "another customer's page token", verb: "GET", path: "/v1/conversations?page_size=1&page_token=" + page, actFor: "customer/eve",
			method: listMethod, request: &goodshipv1.ListConversationsRequest{PageSize: 1, PageToken: page}, code: codes.InvalidArgument, reason: "INVALID_PAGE_TOKEN", http: 400},
		{name: "an agent whom nobody knows", verb: "GET", path: "/v1/conversations", actFor: "agent/nobody",
			method: listMethod, request: &goodshipv1.ListConversationsRequest{}, code: codes.PermissionDenied, reason: "AGENT_NOT_FOUND", http: 403},
	} {
		t.Run(b.name, func(t *testing.T) { b.run(t, to) })
	}
	t.Run("a foreign object is like a missing one, byte for byte", func(t *testing.T) {
		answer := func(id string) string {
			r := s.Do(actor, "GET", "/v1/conversations/"+id, "")
			return strings.ReplaceAll(r.Body, id, "")
		}
		if a, b := answer(foreign), answer(conv); a != b {
			t.Errorf("foreign %s\nmissing %s", a, b)
		}
	})
}

// conversationsOf makes two conversations of ada's, one with a message under the request id r1, and returns the id of that
// and the token of ada's second page.
func conversationsOf(t *testing.T, s *servertest.Server, to *target) (id, page string) {
	t.Helper()
	var c goodshipv1.Conversation
	var list goodshipv1.ListConversationsResponse
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.Key, "goodship-act-for", "customer/ada")
	invoke := func(method string, req, reply proto.Message) {
		t.Helper()
		if err := to.conn.Invoke(ctx, method, req, reply); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		invoke(goodshipv1.ConversationService_CreateConversation_FullMethodName, &goodshipv1.CreateConversationRequest{Text: "Ahoy"}, &c)
	}
	invoke(sendMethod, &goodshipv1.SendMessageRequest{ConversationId: c.GetId(), Text: "Ahoy again", RequestId: "r1"}, new(goodshipv1.Message))
	invoke(listMethod, &goodshipv1.ListConversationsRequest{PageSize: 1}, &list)
	if list.GetNextPageToken() == "" {
		t.Fatal("there is no second page")
	}
	return c.GetId(), list.GetNextPageToken()
}
