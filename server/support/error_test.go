package support_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// provocation is a call that is refused.
type provocation struct {
	by  person
	in  func(w *world) string
	req func(w *world, id string) proto.Message
	// want is the refusal, with =ID for the conversation.
	want string
}

// on is for requests that need nothing but the conversation.
func on[Request proto.Message](fill func(id string) Request) func(*world, string) proto.Message {
	return func(_ *world, id string) proto.Message { return fill(id) }
}

var missingID = "conv_" + strings.Repeat("0", 26)

// aboutRequests are refusals for what a request says, or names.
var aboutRequests = map[string]provocation{
	"INVALID_REQUEST": {kim, waits, on(func(id string) *goodshipv1.SendMessageRequest {
		return &goodshipv1.SendMessageRequest{ConversationId: id}
	}), "InvalidArgument INVALID_REQUEST text"},
	"INVALID_PAGE_TOKEN": {ada, waits, on(func(string) *goodshipv1.ListConversationsRequest {
		return &goodshipv1.ListConversationsRequest{PageToken: "x"}
	}), "InvalidArgument INVALID_PAGE_TOKEN"},
	"INVALID_CURSOR": {kim, waits, on(func(id string) *goodshipv1.WatchConversationRequest {
		return &goodshipv1.WatchConversationRequest{ConversationId: id, Cursor: "x"}
	}), "InvalidArgument INVALID_CURSOR"},
	"ETAG_MISMATCH": {ada, waits, on(func(id string) *goodshipv1.ClaimConversationRequest {
		return &goodshipv1.ClaimConversationRequest{ConversationId: id, Etag: "1"}
	}), "Aborted ETAG_MISMATCH"},
	"REQUEST_ID_REUSED": {kim, waits, func(w *world, id string) proto.Message {
		do[*goodshipv1.Message](w, kim, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "One.", RequestId: "once"})
		return &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Two.", RequestId: "once"}
	}, "InvalidArgument REQUEST_ID_REUSED"},
	"CONVERSATION_NOT_FOUND": {kim, waits, on(func(string) *goodshipv1.GetConversationRequest {
		return &goodshipv1.GetConversationRequest{ConversationId: missingID}
	}), "NotFound CONVERSATION_NOT_FOUND"},
	"MESSAGE_NOT_FOUND": {kim, waits, on(func(id string) *goodshipv1.RedactMessageRequest { return redact(id, 2) }), "NotFound MESSAGE_NOT_FOUND"},
	"NOTE_NOT_FOUND": {ada, waits, on(func(id string) *goodshipv1.RedactNoteRequest {
		return &goodshipv1.RedactNoteRequest{ConversationId: id, Number: 1}
	}), "NotFound NOTE_NOT_FOUND"},
	"RESOLUTION_NOT_FOUND": {kim, waits, on(func(id string) *goodshipv1.GetResolutionRequest {
		return &goodshipv1.GetResolutionRequest{ConversationId: id, Number: 1}
	}), "NotFound RESOLUTION_NOT_FOUND"},
	"AGENT_NOT_FOUND": {ada, owned, on(func(id string) *goodshipv1.InviteHelperRequest {
		return &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: "nobody"}
	}), "NotFound AGENT_NOT_FOUND agent_id=nobody"},
	"CUSTOMER_NOT_FOUND": {ada, waits, on(func(string) *goodshipv1.GetCustomerRequest {
		return &goodshipv1.GetCustomerRequest{CustomerId: "nobody"}
	}), "NotFound CUSTOMER_NOT_FOUND customer_id=nobody"},
	"API_KEY_NOT_FOUND": {backend, waits, on(func(string) *goodshipv1.RevokeApiKeyRequest {
		return &goodshipv1.RevokeApiKeyRequest{ApiKeyId: "key_" + strings.Repeat("0", 26)}
	}), "NotFound API_KEY_NOT_FOUND"},
	"WEBHOOK_ENDPOINT_NOT_FOUND": {backend, waits, on(func(string) *goodshipv1.GetWebhookEndpointRequest {
		return &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: "hook_" + strings.Repeat("0", 26)}
	}), "NotFound WEBHOOK_ENDPOINT_NOT_FOUND"},
	"SIGNING_KEY_NOT_FOUND": {backend, waits, on(func(string) *goodshipv1.RevokeSigningKeyRequest {
		return &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: "sign_" + strings.Repeat("0", 26)}
	}), "NotFound SIGNING_KEY_NOT_FOUND"},
	"EXTERNAL_ID_TAKEN": {backend, func(w *world) string {
		return do[*goodshipv1.Conversation](w, kim, &goodshipv1.CreateConversationRequest{Text: "x", ExternalId: "case-1"}).Id
	}, on(func(string) *goodshipv1.CreateConversationRequest {
		return &goodshipv1.CreateConversationRequest{CustomerId: "kim", OutreachReason: followUp, Text: "x", ExternalId: "case-1"}
	}), "AlreadyExists EXTERNAL_ID_TAKEN conversation_id=ID"},
	"OUTREACH_UNANSWERED": {ben, func(w *world) string { w.by(kim); return w.reaches(ada, kim, "Better?") }, on(func(string) *goodshipv1.CreateConversationRequest {
		return &goodshipv1.CreateConversationRequest{CustomerId: "kim", OutreachReason: followUp, Text: "x"}
	}), "FailedPrecondition OUTREACH_UNANSWERED conversation_id=ID"},
}

// aboutIncidents are refusals for incidents, erasures and what is held.
var aboutIncidents = map[string]provocation{
	"INCIDENT_NOT_FOUND": {lea, waits, on(func(string) *goodshipv1.GetIncidentRequest {
		return &goodshipv1.GetIncidentRequest{IncidentId: "inc_" + strings.Repeat("0", 26)}
	}), "NotFound INCIDENT_NOT_FOUND"},
	"NOBODY_AFFECTED": {lea, (*world).declaresForNobody, on(func(id string) *goodshipv1.PreviewApologyRequest {
		return &goodshipv1.PreviewApologyRequest{IncidentId: id}
	}), "FailedPrecondition NOBODY_AFFECTED"},
	"APOLOGY_STATE": {lea, (*world).declaresForKim, on(func(id string) *goodshipv1.PauseApologyRequest {
		return &goodshipv1.PauseApologyRequest{IncidentId: id}
	}), "FailedPrecondition APOLOGY_STATE state=DECLARED"},
	"PREVIEW_CHANGED": {lea, (*world).declaresForKim, func(w *world, id string) proto.Message {
		token := w.previews(id).PreviewToken
		w.adds(id, affected(lou))
		return &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: token}
	}, "Aborted PREVIEW_CHANGED"},
	"ABOVE_INCIDENT_CEILING": {lea, (*world).declaresForKim, func(w *world, id string) proto.Message {
		token := w.previews(id).PreviewToken
		w.updates(&goodshipv1.Workspace{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(1, 0).GetMoney()}}, "incident_ceiling")
		return &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: token}
	}, "PermissionDenied ABOVE_INCIDENT_CEILING ceiling=1.00 EUR limit=money total=5.00 EUR"},
	"APOLOGY_SENT": {lea, (*world).declaresForKim, func(w *world, id string) proto.Message {
		w.sendsOff(id)
		return &goodshipv1.UpdateIncidentRequest{IncidentId: id, Incident: &goodshipv1.IncidentUpdate{Text: "x"}, UpdateMask: mask("text")}
	}, "FailedPrecondition APOLOGY_SENT"},
	"ERASURE_NOT_FOUND": {backend, waits, on(func(string) *goodshipv1.GetErasureRequest {
		return &goodshipv1.GetErasureRequest{ErasureId: "era_" + strings.Repeat("0", 26)}
	}), "NotFound ERASURE_NOT_FOUND"},
	"CONVERSATION_ON_HOLD": {backend, waits, func(w *world, id string) proto.Message {
		do[*goodshipv1.Conversation](w, lea, &goodshipv1.UpdateConversationRequest{
			ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Hold: true}, UpdateMask: mask("hold"),
		})
		return &goodshipv1.EraseCustomerRequest{CustomerId: kim.id()}
	}, "FailedPrecondition CONVERSATION_ON_HOLD conversation_id=ID"},
}

// aboutAnswers are refusals for what the customer is owed, and how the matter stands.
var aboutAnswers = map[string]provocation{
	"SEEN_REVISION_REQUIRED": {ada, waits, on(func(id string) *goodshipv1.SendMessageRequest {
		return &goodshipv1.SendMessageRequest{ConversationId: id, Text: "x"}
	}), "FailedPrecondition SEEN_REVISION_REQUIRED revision=3"},
	"SEEN_REVISION_AHEAD": {ada, waits, on(func(id string) *goodshipv1.SendMessageRequest {
		return &goodshipv1.SendMessageRequest{ConversationId: id, Text: "x", SeenRevision: 9}
	}), "InvalidArgument SEEN_REVISION_AHEAD revision=3"},
	"CUSTOMER_IS_WAITING": {ada, owned, on(func(id string) *goodshipv1.DismissConversationRequest {
		return &goodshipv1.DismissConversationRequest{ConversationId: id, Reason: goodshipv1.DismissReason_DISMISS_REASON_SPAM, SeenRevision: 1}
	}), "FailedPrecondition CUSTOMER_IS_WAITING revision=4"},
	"ALREADY_PROPOSED": {ada, solved, func(w *world, id string) proto.Message { return w.proposal(id) }, "FailedPrecondition ALREADY_PROPOSED resolution_number=1"},
	"NOTHING_PROPOSED": {ada, replied, on(func(id string) *goodshipv1.WithdrawResolutionRequest {
		return &goodshipv1.WithdrawResolutionRequest{ConversationId: id}
	}), "FailedPrecondition NOTHING_PROPOSED"},
	"NOTHING_TO_REJECT": {kim, replied, on(func(id string) *goodshipv1.RejectResolutionRequest {
		return &goodshipv1.RejectResolutionRequest{ConversationId: id}
	}), "FailedPrecondition NOTHING_TO_REJECT state=ANSWERED"},
	"NOTHING_TO_CONFIRM": {kim, func(w *world) string { id := waits(w); w.confirms(kim, id); return id }, on(func(id string) *goodshipv1.ConfirmResolutionRequest {
		return &goodshipv1.ConfirmResolutionRequest{ConversationId: id}
	}), "FailedPrecondition NOTHING_TO_CONFIRM state=RESOLVED"},
	"RESOLUTION_NOT_OPEN": {kim, func(w *world) string { id := solved(w); w.says(kim, id, "No."); return id }, on(func(id string) *goodshipv1.RejectResolutionRequest {
		return &goodshipv1.RejectResolutionRequest{ConversationId: id, ResolutionNumber: 1}
	}), "FailedPrecondition RESOLUTION_NOT_OPEN"},
	"CONVERSATION_RESOLVED": {ada, func(w *world) string { id := owned(w); w.confirms(kim, id); return id }, on(func(id string) *goodshipv1.HandOverConversationRequest {
		return &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "ben", Brief: "x"}
	}), "FailedPrecondition CONVERSATION_RESOLVED allowed=ReleaseConversation state=RESOLVED"},
	"MESSAGE_ANSWERED": {kim, replied, on(func(id string) *goodshipv1.EditMessageRequest { return edit(id, 1, "x") }), "FailedPrecondition MESSAGE_ANSWERED"},
	"REDACTED": {kim, func(w *world) string { id := waits(w); do[*goodshipv1.Message](w, kim, redact(id, 1)); return id },
		on(func(id string) *goodshipv1.EditMessageRequest { return edit(id, 1, "x") }), "FailedPrecondition REDACTED"},
	"NOT_THE_AUTHOR": {ada, waits, on(func(id string) *goodshipv1.EditMessageRequest { return edit(id, 1, "x") }), "PermissionDenied NOT_THE_AUTHOR"},
	"RATING_FINAL": {kim, func(w *world) string {
		id := solved(w)
		do[*goodshipv1.Resolution](w, kim, rate(id, true))
		w.clock.Jump(25 * time.Hour)
		return id
	}, on(func(id string) *goodshipv1.RateConversationRequest { return rate(id, true) }), "FailedPrecondition RATING_FINAL"},
}

// aboutPeople are refusals for who acts, and on whom.
var aboutPeople = map[string]provocation{
	"OWNED_BY_ANOTHER": {ben, owned, on(claim), "FailedPrecondition OWNED_BY_ANOTHER owner_id=ada"},
	"NOT_A_PARTICIPANT": {ben, replied, on(func(id string) *goodshipv1.SendMessageRequest {
		return &goodshipv1.SendMessageRequest{ConversationId: id, Text: "x"}
	}), "PermissionDenied NOT_A_PARTICIPANT"},
	"NOT_THE_OWNER": {ben, owned, on(func(id string) *goodshipv1.ReleaseConversationRequest {
		return &goodshipv1.ReleaseConversationRequest{ConversationId: id}
	}), "PermissionDenied NOT_THE_OWNER owner_id=ada"},
	"NO_OWNER": {lea, waits, on(func(id string) *goodshipv1.ReleaseConversationRequest {
		return &goodshipv1.ReleaseConversationRequest{ConversationId: id}
	}), "FailedPrecondition NO_OWNER"},
	"CUSTOMER_BLOCKED": {kim, func(w *world) string {
		id := waits(w)
		until := timestamppb.New(w.clock.Now().Add(time.Hour))
		do[*goodshipv1.Customer](w, lea, &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "x", UntilTime: until})
		return id
	}, on(func(id string) *goodshipv1.SendMessageRequest {
		return &goodshipv1.SendMessageRequest{ConversationId: id, Text: "x"}
	}), "PermissionDenied CUSTOMER_BLOCKED until=2026-03-01T10:00:00Z"},
	"HAND_OVER_PENDING": {ada, offered, func(w *world, id string) proto.Message {
		return &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "lea", Brief: "x"}
	}, "FailedPrecondition HAND_OVER_PENDING to_agent_id=ben"},
	"NO_HAND_OVER": {lea, offered, on(func(id string) *goodshipv1.DeclineHandOverRequest {
		return &goodshipv1.DeclineHandOverRequest{ConversationId: id}
	}), "FailedPrecondition NO_HAND_OVER"},
	"AGENT_NOT_PRESENT": {ada, owned, func(w *world, id string) proto.Message {
		w.avails(ben, away)
		return &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: "ben", Brief: "x"}
	}, "FailedPrecondition AGENT_NOT_PRESENT agent_id=ben"},
	"NOT_A_HELPER": {ada, owned, on(func(id string) *goodshipv1.RemoveHelperRequest {
		return &goodshipv1.RemoveHelperRequest{ConversationId: id, AgentId: "ben"}
	}), "FailedPrecondition NOT_A_HELPER agent_id=ben"},
	"PERSONAS_NOT_ALLOWED": {kim, func(w *world) string { w.updates(&goodshipv1.Workspace{}, "personas_allowed"); return waits(w) },
		on(func(id string) *goodshipv1.SetPersonaRequest {
			return &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "x"}}
		}), "FailedPrecondition PERSONAS_NOT_ALLOWED"},
	"KEY_REVOKES_ITSELF": {backend, func(w *world) string {
		return do[*goodshipv1.ListApiKeysResponse](w, backend, &goodshipv1.ListApiKeysRequest{}).ApiKeys[0].Id
	}, on(func(id string) *goodshipv1.RevokeApiKeyRequest { return &goodshipv1.RevokeApiKeyRequest{ApiKeyId: id} }), "FailedPrecondition KEY_REVOKES_ITSELF"},
	"SIGNING_KEYS_LIVE": {backend, func(w *world) string {
		first := do[*goodshipv1.CreateSigningKeyResponse](w, backend, signs(leaderTokens))
		do[*goodshipv1.CreateSigningKeyResponse](w, backend, signs(leaderTokens))
		return first.SigningKey.Id
	}, on(func(string) *goodshipv1.CreateSigningKeyRequest { return signs(leaderTokens) }), "FailedPrecondition SIGNING_KEYS_LIVE signing_key_id=ID"},
	"LIMIT_REACHED": {ada, func(w *world) string {
		id := owned(w)
		for n := range 20 {
			p := person(fmt.Sprint("agent/helper-", n))
			w.employ(p, goodshipv1.Role_ROLE_AGENT)
			w.invites(ada, id, p)
		}
		return id
	}, on(func(id string) *goodshipv1.InviteHelperRequest {
		return &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: "ben"}
	}), "FailedPrecondition LIMIT_REACHED limit=20"},
}

// TestRefusals provokes every reason for which a call is refused. None has an effect.
func TestRefusals(t *testing.T) {
	t.Parallel()
	provoked := []string{ // elsewhere, by
		"CREDENTIAL_INVALID", "ACT_FOR_INVALID", "SCOPE_MISSING", "AGENT_DISABLED", // TestAuthenticateRefuses
		"CREDENTIAL_EXPIRED", "CREDENTIAL_REVOKED", // TestKeyEnds
		"WORKSPACE_NOT_FOUND",                          // TestOperator
		"STORE_UNAVAILABLE", "STORE_FULL", "DATA_LOSS", // TestStoreFails
		"SECRET_ALREADY_SHOWN",                               // TestReplayReadsAsNow
		"CURSOR_TOO_OLD", "WATCH_STALLED", "SERVER_STOPPING", // watch_test.go
	}
	for _, table := range []map[string]provocation{aboutRequests, aboutAnswers, aboutPeople, aboutCredits, aboutIncidents} {
		for reason, p := range table {
			provoked = append(provoked, reason)
			t.Run(reason, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				id := p.in(w)
				req := p.req(w, id)
				w.refuses(p.by, req, strings.ReplaceAll(p.want, "=ID", "="+id))
				equal(t, "reason", strings.Fields(p.want)[1], reason)
			})
		}
	}
	transport := []string{
		"UNKNOWN_FIELD", "MALFORMED_REQUEST", "REQUEST_TOO_LARGE", "PATH_NOT_FOUND", "METHOD_NOT_ALLOWED", "CREDENTIAL_MISSING",
		"CALLER_NOT_ALLOWED", "INTERNAL", "CALL_ENDED", "UNSPECIFIED", "RATE_LIMITED", "ORIGIN_NOT_ALLOWED", "TOO_MANY_WATCHES",
	}
	for _, name := range goodshipv1.ErrorReason_name {
		reason := strings.TrimPrefix(name, "ERROR_REASON_")
		if got, want := slices.Contains(provoked, reason), !slices.Contains(transport, reason); got != want {
			t.Errorf("%s is provoked: got %v, want %v", reason, got, want)
		}
	}
}

// TestStoreFails looks at how the store's own failures cross the API.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	hooks := &hooked{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, hooks)
	w.by(kim)
	for _, test := range []struct {
		failure error
		want    string
	}{
		{store.ErrUnavailable, "Unavailable STORE_UNAVAILABLE retry after 1s"},
		{store.ErrFull, "ResourceExhausted STORE_FULL retry after 1m0s"},
		{store.ErrDataLoss, "DataLoss DATA_LOSS"},
	} {
		hooks.failure = fmt.Errorf("a disk with a name: %w", test.failure)
		w.refuses(kim, &goodshipv1.CreateConversationRequest{Text: "Hello?"}, test.want)
		if got := support.Fault(hooks.failure).Error(); strings.Contains(got, "a name") {
			t.Errorf("got %q, want nothing of what only operators should read", got)
		}
	}
	for _, err := range []error{nil, io.EOF} {
		if got := support.Fault(err); !errors.Is(got, err) {
			t.Errorf("what is not the store's: got %v, want %v as it is", got, err)
		}
	}
}

// blind is a transaction that cannot read one agent.
type blind struct {
	store.Tx
	agent string
}

func (b blind) Agent(id string) (*storev1.AgentRecord, error) {
	if id == b.agent {
		return nil, fmt.Errorf("agent %q: %w", id, store.ErrDataLoss)
	}
	return b.Tx.Agent(id)
}

// TestOwnerCannotBeRead damages the record of an owner whose presence a call by another depends on.
func TestOwnerCannotBeRead(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	hooks := &hooked{Store: openStore(t, clock.Now)}
	w := foundWorld(t, clock, hooks)
	id := owned(w)
	hooks.tx = func(tx store.Tx) store.Tx { return blind{tx, "ada"} }
	w.refuses(ben, claim(id), "DataLoss DATA_LOSS")
	w.refuses(kim, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello?"}, "DataLoss DATA_LOSS")
	w.refuses(kim, &goodshipv1.CreateConversationRequest{Text: "Hello?", ContinueOpen: true}, "DataLoss DATA_LOSS")
}
