package rpc_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/servertest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// conv is an id that no conversation has.
const conv = "conv_00000000000000000000000000"

// bad is one way to ask wrongly, over REST and over gRPC. The answers must agree in code, reason and sentence.
type bad struct {
	name string

	// verb, path, body and header are the REST request; nothing is sent if verb is empty.
	verb, path, body string
	header           map[string]string
	// method, request and md are the gRPC call; nothing is sent if method is empty.
	method  string
	request proto.Message
	md      []string
	// noKey leaves the credential out of both. plain uses the key without scopes.
	noKey, plain bool
	// actFor is whom the calls are for; customer/ada if empty, nobody if it is "-".
	actFor string

	code   codes.Code
	reason string
	http   int
	// field is the path of the first violation, as gRPC has it; restField as REST has it, if that differs.
	field, restField string
	// differ is set where the sentences cannot agree, since each tells of what its own transport carries.
	differ bool
}

const (
	watchMethod   = goodshipv1.ConversationService_WatchConversation_FullMethodName
	sendMethod    = goodshipv1.MessageService_SendMessage_FullMethodName
	getMethod     = goodshipv1.ConversationService_GetConversation_FullMethodName
	listMethod    = goodshipv1.ConversationService_ListConversations_FullMethodName
	updateMethod  = goodshipv1.ConversationService_UpdateConversation_FullMethodName
	noteMethod    = goodshipv1.MessageService_CreateNote_FullMethodName
	keyMethod     = goodshipv1.AdminService_CreateApiKey_FullMethodName
	readMethod    = goodshipv1.MessageService_MarkRead_FullMethodName
	personaMethod = goodshipv1.ConversationService_SetPersona_FullMethodName
	settleMethod  = goodshipv1.CreditService_SettleCredits_FullMethodName
	affectMethod  = goodshipv1.IncidentService_BatchAddAffectedCustomers_FullMethodName
)

// inc is an id that no incident has.
const inc = "inc_00000000000000000000000000"

const affectedPath = "/v1/incidents/" + inc + "/affectedCustomers:batchAdd"

const messages = "/v1/conversations/" + conv + "/messages"

// withUnknown returns a message that also holds a field which its contract does not know.
func withUnknown[M proto.Message](m M) M {
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1))
	return m
}

func hello() *goodshipv1.SendMessageRequest {
	return &goodshipv1.SendMessageRequest{ConversationId: conv, Text: "Ahoy"}
}

var credentials = []bad{
	{name: "no credential", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		noKey: true, code: codes.Unauthenticated, reason: "CREDENTIAL_MISSING", http: 401},
	{name: "another scheme", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		noKey: true, header: map[string]string{"Authorization": "Basic YTpi"}, md: []string{"authorization", "Basic YTpi"},
		code: codes.Unauthenticated, reason: "CREDENTIAL_INVALID", http: 401},
	{name: "a bearer of nothing", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		noKey: true, header: map[string]string{"Authorization": "Bearer"}, md: []string{"authorization", "Bearer"},
		code: codes.Unauthenticated, reason: "CREDENTIAL_INVALID", http: 401},
	{name: "an unknown key", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		noKey: true, header: map[string]string{"Authorization": "Bearer gsk_stolen"}, md: []string{"authorization", "Bearer gsk_stolen"},
		code: codes.Unauthenticated, reason: "CREDENTIAL_INVALID", http: 401},
	{name: "two credentials", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		header: map[string]string{"Authorization": "Bearer gsk_other"}, md: []string{"authorization", "Bearer gsk_other"},
		code: codes.Unauthenticated, reason: "CREDENTIAL_INVALID", http: 401},
	{name: "act-for given twice", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		header: map[string]string{"Goodship-Act-For": "customer/bob"}, md: []string{"goodship-act-for", "customer/bob"},
		code: codes.InvalidArgument, reason: "ACT_FOR_INVALID", http: 400},
	{name: "act-for nobody", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		actFor: "-", header: map[string]string{"Goodship-Act-For": ""}, md: []string{"goodship-act-for", ""},
		code: codes.InvalidArgument, reason: "ACT_FOR_INVALID", http: 400},
	{name: "act-for a ghost", verb: "GET", path: "/v1/conversations", method: listMethod, request: &goodshipv1.ListConversationsRequest{},
		actFor: "ghost/ada", code: codes.InvalidArgument, reason: "ACT_FOR_INVALID", http: 400},
	{name: "a customer asks what agents may", verb: "POST", path: "/v1/conversations/" + conv + "/notes", body: `{"text":"psst"}`,
		method: noteMethod, request: &goodshipv1.CreateNoteRequest{ConversationId: conv, Text: "psst"},
		code: codes.PermissionDenied, reason: "CALLER_NOT_ALLOWED", http: 403},
	{name: "a backend asks what agents may", verb: "POST", path: "/v1/conversations/" + conv + "/notes", body: `{"text":"psst"}`,
		method: noteMethod, request: &goodshipv1.CreateNoteRequest{ConversationId: conv, Text: "psst"}, actFor: "-",
		code: codes.PermissionDenied, reason: "CALLER_NOT_ALLOWED", http: 403},
	{name: "a key without the scope", verb: "POST", path: "/v1/apiKeys", body: `{"displayName":"more"}`, plain: true, actFor: "-",
		method: keyMethod, request: &goodshipv1.CreateApiKeyRequest{DisplayName: "more"},
		code: codes.PermissionDenied, reason: "SCOPE_MISSING", http: 403},
	{name: "who may not call learns nothing of a request's faults", verb: "POST", path: "/v1/conversations/" + conv + "/notes", body: `{}`,
		method: noteMethod, request: &goodshipv1.CreateNoteRequest{},
		code: codes.PermissionDenied, reason: "CALLER_NOT_ALLOWED", http: 403},
}

var requests = []bad{
	{name: "a required field is missing", verb: "PATCH", path: messages + "/1", body: `{}`,
		method: goodshipv1.MessageService_EditMessage_FullMethodName, request: &goodshipv1.EditMessageRequest{ConversationId: conv, Number: 1},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "text"},
	{name: "an id of another form", verb: "GET", path: "/v1/conversations/42",
		method: getMethod, request: &goodshipv1.GetConversationRequest{ConversationId: "42"},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "conversation_id", restField: "conversationId"},
	{name: "a number out of range", verb: "GET", path: messages + "/0",
		method: goodshipv1.MessageService_GetMessage_FullMethodName, request: &goodshipv1.GetMessageRequest{ConversationId: conv},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "number"},
	{name: "a text over its limit", verb: "POST", path: messages, body: `{"text":"` + strings.Repeat("a", 32769) + `"}`,
		method: sendMethod, request: &goodshipv1.SendMessageRequest{ConversationId: conv, Text: strings.Repeat("a", 32769)},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "text"},
	{name: "a text with a NUL", verb: "POST", path: messages, body: `{"text":"a\u0000b"}`,
		method: sendMethod, request: &goodshipv1.SendMessageRequest{ConversationId: conv, Text: "a\x00b"},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "text"},
	{name: "a page too large", verb: "GET", path: "/v1/conversations?pageSize=101",
		method: listMethod, request: &goodshipv1.ListConversationsRequest{PageSize: 101},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "page_size", restField: "pageSize"},
	{name: "a watch of no conversation", verb: "GET", path: "/v1/conversations/x:watch",
		method: watchMethod, request: &goodshipv1.WatchConversationRequest{ConversationId: "x"}, code: codes.InvalidArgument, reason: "INVALID_REQUEST", field: "conversation_id", restField: "conversationId", http: 400},
	{name: "a watch from a long cursor", verb: "GET", path: watchPath + "?cursor=" + strings.Repeat("x", 1025),
		method: watchMethod, request: &goodshipv1.WatchConversationRequest{ConversationId: conv, Cursor: strings.Repeat("x", 1025)},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", field: "cursor", restField: "cursor", http: 400},
	{name: "a watch with a field that the contract lacks", method: watchMethod, request: withUnknown(&goodshipv1.WatchConversationRequest{ConversationId: conv}),
		code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", field: "999"},
	{name: "a page token of nobody's", verb: "GET", path: "/v1/conversations?page_token=forged",
		method: listMethod, request: &goodshipv1.ListConversationsRequest{PageToken: "forged"},
		code: codes.InvalidArgument, reason: "INVALID_PAGE_TOKEN", http: 400},
	{name: "an enum value by a number that none has", verb: "GET", path: "/v1/conversations?state=77",
		method: listMethod, request: &goodshipv1.ListConversationsRequest{State: 77},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "state", differ: true},
	{name: "an enum value in a body by a number that none has", verb: "POST", path: "/v1/apiKeys", body: `{"displayName":"k","scopes":[77]}`, actFor: "-",
		method: keyMethod, request: &goodshipv1.CreateApiKeyRequest{DisplayName: "k", Scopes: []goodshipv1.Scope{77}},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "scopes[0]"},
	{name: "a field of a field is missing", verb: "POST", path: "/v1/conversations/" + conv + ":setPersona", body: `{"persona":{"avatarUri":"ftp://x"}}`,
		method: personaMethod, request: &goodshipv1.SetPersonaRequest{ConversationId: conv, Persona: &goodshipv1.Persona{AvatarUri: "ftp://x"}},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "persona.display_name", restField: "persona.displayName"},
	{name: "a mask of what cannot be changed", verb: "PATCH", path: "/v1/conversations/" + conv + "?updateMask=state", body: `{"subject":"x"}`, actFor: "-",
		method: updateMethod, request: &goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{Subject: "x"}, UpdateMask: mask("state")},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "update_mask", restField: "updateMask"},
	{name: "a body that is a field names its fields from its top", verb: "PATCH", path: "/v1/conversations/" + conv, body: `{"incidentId":"x"}`, actFor: "-",
		method: updateMethod, request: &goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{IncidentId: "x"}, UpdateMask: mask("incident_id")},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "conversation.incident_id", restField: "incidentId"},
	{name: "a key of a map stays as it is", verb: "PATCH", path: "/v1/conversations/" + conv, body: `{"context":{"some_key.x":"a\u0000b"}}`, actFor: "-",
		method: updateMethod, request: &goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{Context: map[string]string{"some_key.x": "a\x00b"}}, UpdateMask: mask("context")},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: `conversation.context["some_key.x"]`, restField: `context["some_key.x"]`},
	{name: "an unknown field", verb: "POST", path: messages, body: `{"text":"Ahoy","colour":"red"}`,
		method: sendMethod, request: withUnknown(hello()),
		code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", http: 400, field: "999", restField: "colour", differ: true},
	{name: "an unknown field below", verb: "POST", path: messages, body: `{"attachments":[{"uri":"https://a.example/"},{"colour":"red"}]}`,
		method: sendMethod, request: &goodshipv1.SendMessageRequest{ConversationId: conv, Attachments: []*goodshipv1.Attachment{{Uri: "https://a.example/"}, withUnknown(&goodshipv1.Attachment{})}},
		code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", http: 400, field: "attachments[1].999", restField: "attachments[1].colour", differ: true},
	{name: "one of a choice is missing", verb: "POST", path: "/v1/credits:settle", body: `{"settlements":[{"creditId":"cred_00000000000000000000000000"}]}`, actFor: "-",
		method: settleMethod, request: &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{{CreditId: "cred_00000000000000000000000000"}}},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "settlements[0].outcome"},
	{name: "more than a call takes", verb: "POST", path: affectedPath, body: `{"customers":[` + strings.Repeat(`{"customerId":"a"},`, 1000) + `{"customerId":"a"}]}`, actFor: "-",
		method: affectMethod, request: &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: inc, Customers: slices.Repeat([]*goodshipv1.AffectedCustomer{{CustomerId: "a"}}, 1001)},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "customers"},
	{name: "a name that is the server's", verb: "POST", path: affectedPath, body: `{"customers":[{"customerId":"a","attributes":{"credit":"a million"}}]}`, actFor: "-",
		method: affectMethod, request: &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: inc, Customers: []*goodshipv1.AffectedCustomer{{CustomerId: "a", Attributes: map[string]string{"credit": "a million"}}}},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: `customers[0].attributes["credit"]`},
	{name: "a conversation that is not there", verb: "GET", path: "/v1/conversations/" + conv,
		method: getMethod, request: &goodshipv1.GetConversationRequest{ConversationId: conv},
		code: codes.NotFound, reason: "CONVERSATION_NOT_FOUND", http: 404},
	{name: "wrong in thousands of ways", verb: "POST", path: "/v1/conversations", body: `{"text":"Ahoy","labels":["` + strings.Repeat(`\n","`, 9999) + `"]}`,
		method:  goodshipv1.ConversationService_CreateConversation_FullMethodName,
		request: &goodshipv1.CreateConversationRequest{Text: "Ahoy", Labels: append(slices.Repeat([]string{"\n"}, 9999), "")},
		code:    codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "labels"},
	{name: "wrong at length", verb: "PATCH", path: "/v1/conversations/" + conv, body: `{"context":{"` + strings.Repeat("é", 50000) + `":""}}`, actFor: "-",
		method: updateMethod, request: &goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{Context: map[string]string{strings.Repeat("é", 50000): ""}}, UpdateMask: mask("context")},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: `conversation.context["` + strings.Repeat("é", 89) + "…", restField: `context["` + strings.Repeat("é", 89) + "…"},
	{name: "larger than the server takes", verb: "POST", path: messages, body: `{"text":"` + strings.Repeat("a", 300<<10) + `"}`,
		method: sendMethod, request: &goodshipv1.SendMessageRequest{ConversationId: conv, Text: strings.Repeat("a", 300<<10)},
		code: codes.ResourceExhausted, reason: "REQUEST_TOO_LARGE", http: 413, differ: true},
}

var headers = []bad{
	{name: "request id and header differ", verb: "POST", path: messages, body: `{"text":"Ahoy","requestId":"a"}`, header: map[string]string{"Idempotency-Key": "b"},
		method: sendMethod, request: &goodshipv1.SendMessageRequest{ConversationId: conv, Text: "Ahoy", RequestId: "a"}, md: []string{"idempotency-key", "b"},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "request_id", restField: "requestId"},
	{name: "an empty request id", verb: "POST", path: messages, body: `{"text":"Ahoy"}`, header: map[string]string{"Idempotency-Key": ""},
		method: sendMethod, request: hello(), md: []string{"idempotency-key", ""},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "request_id", restField: "requestId"},
	{name: "two request ids", method: sendMethod, request: hello(), md: []string{"idempotency-key", "a", "idempotency-key", "b"},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", field: "request_id"},
	{name: "a request id that is too long", verb: "POST", path: messages, body: `{"text":"Ahoy"}`, header: map[string]string{"Idempotency-Key": strings.Repeat("k", 65)},
		method: sendMethod, request: hello(), md: []string{"idempotency-key", strings.Repeat("k", 65)},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "request_id", restField: "requestId"},
	{name: "a request id where there is none", verb: "POST", path: messages + ":markRead", body: `{"number":1}`, header: map[string]string{"Idempotency-Key": "b"},
		method: readMethod, request: &goodshipv1.MarkReadRequest{ConversationId: conv, Number: 1}, md: []string{"idempotency-key", "b"},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "request_id", restField: "requestId"},
	{name: "an etag where there is none", verb: "GET", path: "/v1/conversations/" + conv, header: map[string]string{"If-Match": `"1"`},
		method: getMethod, request: &goodshipv1.GetConversationRequest{ConversationId: conv}, md: []string{"if-match", `"1"`},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "etag"},
	{name: "any etag", verb: "PATCH", path: "/v1/conversations/" + conv, body: `{"subject":"x"}`, header: map[string]string{"If-Match": `*`}, actFor: "-",
		method: updateMethod, request: update(), md: []string{"if-match", `*`},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "etag"},
	{name: "a weak etag", verb: "PATCH", path: "/v1/conversations/" + conv, body: `{"subject":"x"}`, header: map[string]string{"If-Match": `W/"1"`}, actFor: "-",
		method: updateMethod, request: update(), md: []string{"if-match", `W/"1"`},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "etag"},
	{name: "two etags", verb: "PATCH", path: "/v1/conversations/" + conv, body: `{"subject":"x"}`, header: map[string]string{"If-Match": `"1", "2"`}, actFor: "-",
		method: updateMethod, request: update(), md: []string{"if-match", `"1", "2"`},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "etag"},
	{name: "etag and header differ", verb: "PATCH", path: "/v1/conversations/" + conv + "?etag=2", body: `{"subject":"x"}`, header: map[string]string{"If-Match": `"1"`}, actFor: "-",
		method: updateMethod, request: &goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{Subject: "x"}, UpdateMask: mask("subject"), Etag: "2"}, md: []string{"if-match", `"1"`},
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, field: "etag"},
}

// restOnly is what only HTTP and JSON can get wrong.
var restOnly = []bad{
	{name: "no path of ours", verb: "GET", path: "/v2/conversations", code: codes.NotFound, reason: "PATH_NOT_FOUND", http: 404},
	{name: "no path at all", verb: "GET", path: "/", code: codes.NotFound, reason: "PATH_NOT_FOUND", http: 404},
	{name: "a slash too many", verb: "GET", path: "/v1/conversations/", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "conversationId"},
	{name: "an unknown verb", verb: "POST", path: "/v1/conversations/" + conv + ":sing", code: codes.NotFound, reason: "PATH_NOT_FOUND", http: 404},
	{name: "another HTTP method", verb: "DELETE", path: "/v1/conversations", code: codes.Unimplemented, reason: "METHOD_NOT_ALLOWED", http: 405},
	{name: "reading what is to be done", verb: "GET", path: "/v1/conversations/" + conv + ":claim", code: codes.Unimplemented, reason: "METHOD_NOT_ALLOWED", http: 405},
	{name: "another HTTP method by a header", verb: "POST", path: "/v1/workspace", header: map[string]string{"X-HTTP-Method-Override": "GET", "Content-Type": "application/x-www-form-urlencoded"},
		code: codes.Unimplemented, reason: "METHOD_NOT_ALLOWED", http: 405},
	{name: "no JSON", verb: "POST", path: messages, body: `{"text":`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "no object", verb: "POST", path: messages, body: `["text"]`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "null", verb: "POST", path: messages, body: `null`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "more behind the JSON", verb: "POST", path: messages, body: `{"text":"Ahoy"}{"text":"again"}`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a field twice", verb: "POST", path: messages, body: `{"text":"Ahoy","text":"again"}`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a string for a number", verb: "POST", path: messages, body: `{"seenRevision":"many"}`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a number for a string", verb: "POST", path: messages, body: `{"text":5}`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a number beyond its type", verb: "POST", path: messages, body: `{"seenRevision":4294967297}`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "text that is not UTF-8", verb: "POST", path: messages, body: "{\"text\":\"\xff\"}", code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a time that is none", verb: "POST", path: "/v1/apiKeys", body: `{"displayName":"k","expireTime":"tomorrow"}`, actFor: "-", code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "deeper than anything", verb: "POST", path: messages, body: strings.Repeat(`{"a":`, 20000), code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "an enum value that none has", verb: "POST", path: "/v1/apiKeys", body: `{"displayName":"k","scopes":["SCOPE_EVERYTHING"]}`, actFor: "-",
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "scopes[0]"},
	{name: "body and path differ", verb: "POST", path: messages, body: `{"conversationId":"conv_11111111111111111111111111","text":"Ahoy"}`,
		code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "conversationId"},
	{name: "a change of nothing", verb: "PATCH", path: "/v1/conversations/" + conv, body: `{}`, actFor: "-", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "updateMask"},
	{name: "a change without a body", verb: "PATCH", path: "/v1/conversations/" + conv, actFor: "-", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "conversation"},
	{name: "text for a number in the path", verb: "GET", path: messages + "/first", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "number"},
	{name: "another form of a number in the path", verb: "GET", path: messages + "/0x1", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "number"},
	{name: "an unknown parameter", verb: "GET", path: "/v1/conversations?colour=red", code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", http: 400, restField: "colour"},
	{name: "a parameter where the body has all", verb: "POST", path: messages + "?text=Ahoy", body: `{}`, code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", http: 400, restField: "text"},
	{name: "a parameter that the path has", verb: "GET", path: "/v1/conversations/" + conv + "?conversation_id=" + conv, code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", http: 400, restField: "conversationId"},
	{name: "an update that says nothing", verb: "PATCH", path: "/v1/workspace", body: `{}`, code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "updateMask"},
	{name: "a parameter that the body has", verb: "PATCH", path: "/v1/conversations/" + conv + "?conversation=x", body: `{"labels":[]}`, code: codes.InvalidArgument, reason: "UNKNOWN_FIELD", http: 400, restField: "conversation"},
	{name: "a parameter twice", verb: "GET", path: "/v1/conversations?page_size=1&page_size=2", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "pageSize"},
	{name: "a parameter by both its names", verb: "GET", path: "/v1/conversations?page_size=1&pageSize=2", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "pageSize"},
	{name: "text for a number in the query", verb: "GET", path: "/v1/conversations?page_size=few", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "pageSize"},
	{name: "an enum value in the query that none has", verb: "GET", path: "/v1/conversations?state=STATE_ASLEEP", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "state"},
	{name: "a time in the query that is none", verb: "GET", path: "/v1/conversations?active_after=tomorrow", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "activeAfter"},
	{name: "a query that cannot be read", verb: "GET", path: "/v1/conversations?page_size=%zz", code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a query that is not UTF-8", verb: "GET", path: "/v1/conversations?label=%ff", code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a parameter that is not UTF-8", verb: "GET", path: "/v1/conversations?%ff=1", code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a path that is not UTF-8", verb: "GET", path: "/v1/agents/%ff", actFor: "-", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "agentId"},
	{name: "a replacement without a body", verb: "PUT", path: "/v1/agents/jo", actFor: "-", code: codes.InvalidArgument, reason: "INVALID_REQUEST", http: 400, restField: "agent"},
	{name: "a body where none is taken", verb: "GET", path: "/v1/conversations", body: `{}`, code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a form", verb: "POST", path: messages, body: `text=Ahoy`, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 415},
	{name: "text", verb: "POST", path: messages, body: `{"text":"Ahoy"}`, header: map[string]string{"Content-Type": "text/plain"},
		code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 415},
	{name: "no word of what it is", verb: "POST", path: messages, body: `{"text":"Ahoy"}`, header: map[string]string{"Content-Type": ""},
		code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 415},
	{name: "packed", verb: "POST", path: messages, body: `{"text":"Ahoy"}`, header: map[string]string{"Content-Encoding": "gzip"},
		code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 415},
	{name: "a request id that metadata cannot carry", verb: "POST", path: messages, body: `{"text":"Ahoy"}`, header: map[string]string{"Idempotency-Key": "schön"},
		code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a timeout that is none", verb: "GET", path: "/v1/conversations", header: map[string]string{"Grpc-Timeout": "soon"},
		code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", http: 400},
	{name: "a deadline that passed", verb: "GET", path: "/v1/conversations", header: map[string]string{"Grpc-Timeout": "1n"},
		code: codes.DeadlineExceeded, reason: "CALL_ENDED", http: 504},
}

func TestBadInput(t *testing.T) {
	askBadly(t, serve(t, &fake{}, rpc.Config{}))
}

// The same over the real service and its store, in which nothing has changed at the end.
func TestBadInputChangesNothing(t *testing.T) {
	s := servertest.New(t)
	conn := s.Conn("")
	key, err := goodshipv1.NewAdminServiceClient(conn).CreateApiKey(t.Context(), &goodshipv1.CreateApiKeyRequest{DisplayName: "plain"})
	if err != nil {
		t.Fatal(err)
	}
	before := everything(t, conn)
	to := targetOf(t, s)
	to.plain = key.GetSecret()
	askBadly(t, to)
	if after := everything(t, conn); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// everything is what a backend finds in its workspace. Customers are not in it: a call for one makes the customer, even
// one that is refused.
func everything(t *testing.T, conn grpc.ClientConnInterface) string {
	t.Helper()
	var all []string
	for _, l := range []struct {
		method          string
		request, answer proto.Message
	}{
		{listMethod, &goodshipv1.ListConversationsRequest{}, &goodshipv1.ListConversationsResponse{}},
		{goodshipv1.DirectoryService_ListAgents_FullMethodName, &goodshipv1.ListAgentsRequest{}, &goodshipv1.ListAgentsResponse{}},
		{goodshipv1.AdminService_ListApiKeys_FullMethodName, &goodshipv1.ListApiKeysRequest{}, &goodshipv1.ListApiKeysResponse{}},
		{goodshipv1.AdminService_GetWorkspace_FullMethodName, &goodshipv1.GetWorkspaceRequest{}, &goodshipv1.Workspace{}},
	} {
		if err := conn.Invoke(t.Context(), l.method, l.request, l.answer); err != nil {
			t.Fatal(err)
		}
		if page, ok := l.answer.(*goodshipv1.ListConversationsResponse); ok {
			page.WatchCursor = "" // sealed anew each time
		}
		all = append(all, protojson.Format(l.answer))
	}
	return strings.Join(all, "\n")
}

func askBadly(t *testing.T, to *target) {
	for _, table := range [][]bad{credentials, requests, headers, restOnly} {
		for _, b := range table {
			t.Run(b.name, func(t *testing.T) { b.run(t, to) })
		}
	}
}

func (b bad) run(t *testing.T, to *target) {
	var overREST, overGRPC *status.Status
	if b.verb != "" {
		overREST = b.overREST(t, to)
	}
	if b.method != "" {
		overGRPC = b.overGRPC(t, to)
	}
	if overREST != nil && overGRPC != nil && !b.differ && overREST.Message() != overGRPC.Message() {
		t.Errorf("REST says %q, gRPC %q", overREST.Message(), overGRPC.Message())
	}
}

func (b bad) overREST(t *testing.T, to *target) *status.Status {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), b.verb, to.url+b.path, strings.NewReader(b.body))
	if err != nil {
		t.Fatal(err)
	}
	if b.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if !b.noKey {
		req.Header.Set("Authorization", "Bearer "+b.key(to))
	}
	if who := b.who(); who != "" {
		req.Header.Set("Goodship-Act-For", who)
	}
	for k, v := range b.header {
		if k == "Content-Type" || b.noKey {
			req.Header.Set(k, v)
		} else {
			req.Header.Add(k, v)
		}
	}
	code, st, header := do(t, to, req)
	if code != b.http {
		t.Errorf("HTTP %d, want %d", code, b.http)
	}
	if got := header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	switch {
	case code == http.StatusMethodNotAllowed && header.Get("Allow") == "":
		t.Error("405 without Allow")
	case code == http.StatusUnauthorized && header.Get("WWW-Authenticate") != "Bearer":
		t.Errorf("WWW-Authenticate %q", header.Get("WWW-Authenticate"))
	}
	field := b.restField
	if field == "" {
		field = b.field
	}
	b.check(t, "REST", st, field, b.reason)
	return st
}

func (b bad) overGRPC(t *testing.T, to *target) *status.Status {
	t.Helper()
	md := b.md
	if !b.noKey {
		md = append([]string{"authorization", "Bearer " + b.key(to)}, md...)
	}
	if who := b.who(); who != "" {
		md = append([]string{"goodship-act-for", who}, md...)
	}
	err := to.conn.Invoke(metadata.AppendToOutgoingContext(t.Context(), md...), b.method, b.request, new(emptypb.Empty))
	st := status.Convert(err)
	reason := b.reason
	if reason == "REQUEST_TOO_LARGE" {
		reason = "" // grpc-go refuses the frame before our code
	}
	b.check(t, "gRPC", st, b.field, reason)
	return st
}

func (b bad) key(to *target) string {
	if b.plain {
		return to.plain
	}
	return to.key
}

func (b bad) who() string {
	switch b.actFor {
	case "":
		return "customer/ada"
	case "-":
		return ""
	}
	return b.actFor
}

// check holds a status against what is expected. An empty reason means that there is none.
func (b bad) check(t *testing.T, over string, st *status.Status, field, reason string) {
	t.Helper()
	if st.Code() != b.code {
		t.Errorf("%s: code %v, want %v: %s", over, st.Code(), b.code, st.Message())
	}
	info, violations := detailsOf(t, st)
	if info.GetReason() != reason {
		t.Errorf("%s: reason %q, want %q: %s", over, info.GetReason(), reason, st.Message())
	}
	if reason != "" && info.GetDomain() != fault.Domain {
		t.Errorf("%s: domain %q", over, info.GetDomain())
	}
	if reason != "" && !strings.HasSuffix(st.Message(), ".") {
		t.Errorf("%s: %q is no sentence", over, st.Message())
	}
	if size := proto.Size(st.Proto()); size > 8<<10 {
		t.Errorf("%s: an error of %d bytes, which not every gRPC client takes", over, size)
	}
	got := ""
	if len(violations) > 0 {
		got = violations[0].GetField()
	}
	if got != field {
		t.Errorf("%s: the first violation is of %q, want %q: %v", over, got, field, violations)
	}
}

// detailsOf returns the details of an error, which may hold one ErrorInfo at most.
func detailsOf(t *testing.T, st *status.Status) (info *errdetails.ErrorInfo, violations []*errdetails.BadRequest_FieldViolation) {
	t.Helper()
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if info != nil {
				t.Errorf("two ErrorInfo: %v and %v", info, d)
			}
			info = d
		case *errdetails.BadRequest:
			violations = append(violations, d.GetFieldViolations()...)
		case error:
			t.Errorf("a detail that cannot be read: %v", d)
		}
	}
	return info, violations
}

// do sends a request and reads the reply as an error.
func do(t *testing.T, to *target, req *http.Request) (int, *status.Status, http.Header) {
	t.Helper()
	resp, err := to.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, readStatus(t, body), resp.Header
}

func readStatus(t *testing.T, body []byte) *status.Status {
	t.Helper()
	var st statusv1.Status
	if err := protojson.Unmarshal(body, &st); err != nil {
		t.Fatalf("the body is no google.rpc.Status: %v\n%s", err, body)
	}
	if text, ok := strings.CutSuffix(string(body), "\n"); !ok || !json.Valid(body) || strings.ContainsAny(text, "\n\t") {
		t.Errorf("the body is not one line: %s", body)
	}
	return status.FromProto(&st)
}

// call is a unary call over gRPC with the key of every scope.
func call[Resp any](ctx context.Context, to *target, who string, invoke func(context.Context, grpc.ClientConnInterface) (Resp, error)) (Resp, error) {
	md := []string{"authorization", "Bearer " + to.key}
	if who != "" {
		md = append(md, "goodship-act-for", who)
	}
	return invoke(metadata.AppendToOutgoingContext(ctx, md...), to.conn)
}

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

func update() *goodshipv1.UpdateConversationRequest {
	return &goodshipv1.UpdateConversationRequest{ConversationId: conv, Conversation: &goodshipv1.ConversationUpdate{Subject: "x"}, UpdateMask: mask("subject")}
}
