package support_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// eachRepeatable runs a test for every method that takes a request id, with a request that succeeds under the id "once".
func eachRepeatable(t *testing.T, test func(t *testing.T, w *world, by person, req proto.Message)) {
	for _, name := range slices.Sorted(maps.Keys(deeds)) {
		if !methods()[name].has("request_id") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			req := deeds[name].prepare(w)
			set(req, "request_id", "once")
			test(t, w, deeds[name].by, req)
		})
	}
}

// effects returns how much has happened in the workspace.
func (w *world) effects() int {
	w.t.Helper()
	feed, err := w.store.Feed(w.t.Context(), w.workspace, 0, everything)
	if err != nil {
		w.t.Fatalf("read the feed: %v", err)
	}
	keys, err := w.store.APIKeys(w.t.Context(), w.workspace, "", everything)
	if err != nil {
		w.t.Fatalf("read the keys: %v", err)
	}
	agents, err := w.store.Agents(w.t.Context(), w.workspace, "", everything)
	if err != nil {
		w.t.Fatalf("read the agents: %v", err)
	}
	customers, err := w.store.Customers(w.t.Context(), w.workspace, "", everything)
	if err != nil {
		w.t.Fatalf("read the customers: %v", err)
	}
	workspaces, err := w.store.Workspaces(w.t.Context())
	if err != nil {
		w.t.Fatalf("read the workspaces: %v", err)
	}
	signingKeys := 0
	for _, r := range workspaces {
		signingKeys += len(r.SigningKeys)
	}
	hooks, err := w.store.WebhookEndpoints(w.t.Context(), w.workspace)
	if err != nil {
		w.t.Fatalf("read the webhook endpoints: %v", err)
	}
	toHooks := 0
	for _, r := range hooks {
		progress, err := w.store.WebhookProgress(w.t.Context(), w.workspace, r.WebhookEndpoint.Id)
		if err != nil {
			w.t.Fatalf("read the progress of a webhook endpoint: %v", err)
		}
		toHooks += int(r.Version + progress.ReplayCount)
	}
	incidents, err := w.store.Incidents(w.t.Context(), w.workspace, "", everything)
	if err != nil {
		w.t.Fatalf("read the incidents: %v", err)
	}
	toIncidents := 0
	for _, r := range incidents {
		toIncidents += int(r.Version)
	}
	return toIncidents + toHooks + len(feed) + len(keys) + len(agents) + len(customers) + len(workspaces) + signingKeys
}

// withoutSecret makes of a reply the one of its repetition, and reports whether there was a secret to take out.
func withoutSecret(reply proto.Message) bool {
	m, fields := reply.ProtoReflect(), reply.ProtoReflect().Descriptor().Fields()
	secret, reason := fields.ByName("secret"), fields.ByName("secret_absent_reason")
	if secret == nil || !m.Has(secret) {
		return false
	}
	m.Clear(secret)
	m.Set(reason, protoreflect.ValueOfEnum(goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN.Number()))
	return true
}

// TestRepeated repeats each call, at once and after a restart: one effect and the same reply.
func TestRepeated(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, w *world, by person, req proto.Message) {
		before := w.effects()
		first := do[proto.Message](w, by, req)
		equal(t, "effects", w.effects()-before, 1)
		withoutSecret(first)
		after := image(t, w.store)
		same(t, "reply repeated", do[proto.Message](w, by, req), first)
		w.restart()
		same(t, "reply repeated after a restart", do[proto.Message](w, by, req), first)
		w.unchanged(after)
	})
}

// TestRepeatedAtOnce repeats each call from many places at the same time: one effect, and the same reply for all.
func TestRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, w *world, by person, req proto.Message) {
		before, ctx := w.effects(), w.by(by)
		replies := make([]proto.Message, 4)
		secrets := 0
		var calls sync.WaitGroup
		for i := range replies {
			calls.Go(func() {
				reply, err := w.dispatch(ctx, proto.Clone(req))
				equal(t, "error", refusal(err), "")
				replies[i] = reply
			})
		}
		calls.Wait()
		for _, reply := range replies {
			if withoutSecret(reply) {
				secrets++
			}
			same(t, "reply", reply, replies[0])
		}
		equal(t, "effects", w.effects()-before, 1)
		if replies[0].ProtoReflect().Descriptor().Fields().ByName("secret") != nil {
			equal(t, "secrets shown", secrets, 1)
		}
	})
}

// TestReused sends another body under an id that was used.
func TestReused(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, w *world, by person, req proto.Message) {
		do[proto.Message](w, by, req)
		switch other := another(req); {
		case other != nil:
			w.refuses(by, other, "InvalidArgument REQUEST_ID_REUSED")
		case req.ProtoReflect().Descriptor().Fields().Len() > 2:
			t.Errorf("%T: got no other body, want one", req)
		}
	})
}

// another returns a request that differs from a valid one in one field, and is valid too; nil if there is nothing to change.
func another(req proto.Message) proto.Message {
	other := proto.Clone(req)
	m, fields := other.ProtoReflect(), other.ProtoReflect().Descriptor().Fields()
	for _, name := range []protoreflect.Name{"text", "subject", "etag", "agent_id", "to_agent_id", "display_name", "failure", "comment", "reason", "preview_token"} {
		if f := fields.ByName(name); f != nil && f.Kind() == protoreflect.StringKind {
			m.Set(f, protoreflect.ValueOfString(m.Get(f).String()+"x"))
			return other
		}
	}
	for _, name := range []protoreflect.Name{"number", "resolution_number", "seen_revision"} {
		if f := fields.ByName(name); f != nil {
			m.Set(f, protoreflect.ValueOfInt32(int32(m.Get(f).Int())+1))
			return other
		}
	}
	switch other := other.(type) {
	case *goodshipv1.SetPersonaRequest:
		other.Persona = nil
		return other
	case *goodshipv1.RotateWebhookSecretRequest:
		other.ExpireAfter = durationpb.New(time.Hour)
		return other
	case *goodshipv1.ReplayWebhookRequest:
		other.FromTime.Seconds--
		return other
	}
	return nil // nothing but whom it is about
}

// TestRequestIDBelongsToItsScope uses one id for other people, methods and conversations: each is a request of its own.
func TestRequestIDBelongsToItsScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := foundWorld(t, w.clock, w.store)
	create := &goodshipv1.CreateConversationRequest{Text: "Hello?", RequestId: "once"}
	ids := []string{}
	for _, p := range []person{kim, lou} {
		ids = append(ids, do[*goodshipv1.Conversation](w, p, create).Id)
	}
	ids = append(ids, do[*goodshipv1.Conversation](other, kim, create).Id)
	equal(t, "conversations", len(slices.Compact(slices.Sorted(slices.Values(ids)))), 3)

	first, second := ids[0], w.opens(kim, "Hello?")
	send := func(p person, id string) int32 {
		t.Helper()
		return do[*goodshipv1.Message](w, p, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "One.", RequestId: "once"}).Number
	}
	equal(t, "message in the first", send(kim, first), 2)
	equal(t, "message in the second", send(kim, second), 2)
	equal(t, "message in the second, again", send(kim, second), 2)
	equal(t, "message of the backend", send(backend, first), 3)
	do[*goodshipv1.Resolution](w, kim, &goodshipv1.ConfirmResolutionRequest{ConversationId: first, RequestId: "once"})

	key := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Another", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT}})
	w.secret = key.Secret
	equal(t, "message of the same customer, by another key", send(kim, first), 2)
	equal(t, "message of another backend", send(backend, first), 4)
}

// TestReplayReadsAsNow changes what a request made before it is repeated.
func TestReplayReadsAsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := &goodshipv1.CreateConversationRequest{Text: "Hello?", RequestId: "once"}
	id := do[*goodshipv1.Conversation](w, kim, create).Id
	send := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: 3, RequestId: "once"}
	do[*goodshipv1.Message](w, ada, send)
	do[*goodshipv1.Message](w, ada, edit(id, 2, "Hello there!"))
	equal(t, "text once edited", do[*goodshipv1.Message](w, ada, send).Text, "Hello there!")
	do[*goodshipv1.Message](w, ada, redact(id, 2))
	replayed := do[*goodshipv1.Message](w, ada, send)
	equal(t, "text once redacted", replayed.Text, "")
	equal(t, "is redacted", replayed.RedactTime != nil, true)
	equal(t, "state", do[*goodshipv1.Conversation](w, kim, create).State, answered)
	w.confirms(kim, id)
	equal(t, "state once resolved", do[*goodshipv1.Conversation](w, kim, create).State, resolved)
	do[*goodshipv1.Message](w, ada, send) // though who waits for an answer now would be asked for a revision

	key := &goodshipv1.CreateApiKeyRequest{DisplayName: "Shop", RequestId: "once", ExpireTime: timestamppb.New(w.clock.Now().Add(time.Minute))}
	made := w.newKey(key)
	do[*goodshipv1.ApiKey](w, backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: made.ApiKey.Id})
	w.clock.Jump(time.Hour)
	again := w.newKey(key)
	equal(t, "key", again.ApiKey.Id, made.ApiKey.Id)
	equal(t, "key is revoked", again.ApiKey.RevokeTime != nil, true)
	equal(t, "secret", again.Secret, "")
	equal(t, "why there is no secret", again.SecretAbsentReason, goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN)
}

// TestReplayIsAuthorisedAnew repeats what the caller may not do any more.
func TestReplayIsAuthorisedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	send := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", SeenRevision: 3, RequestId: "once"}
	do[*goodshipv1.Message](w, ada, send)
	w.refuses(lou, send, "NotFound CONVERSATION_NOT_FOUND")
	w.refuses(ben, send, "PermissionDenied NOT_A_PARTICIPANT")
	key := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Shop", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT}})
	do[*goodshipv1.ApiKey](w, backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: key.ApiKey.Id})
	_, err := w.Authenticate(t.Context(), key.Secret, string(ada))
	equal(t, "with a revoked key", refusal(err), "Unauthenticated CREDENTIAL_REVOKED")
	w.disables(ada)
	_, err = w.Authenticate(t.Context(), w.secret, string(ada))
	equal(t, "for a disabled agent", refusal(err), "PermissionDenied AGENT_DISABLED agent_id=ada")
}

// TestOnlySuccessesAreRemembered repeats calls that failed, or found nothing.
func TestOnlySuccessesAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next := &goodshipv1.ClaimNextConversationRequest{RequestId: "once"}
	equal(t, "claimed when nobody waits", do[*goodshipv1.ClaimNextConversationResponse](w, ada, next).Conversation, nil)
	id := waits(w)
	equal(t, "claimed under the same id", do[*goodshipv1.ClaimNextConversationResponse](w, ada, next).Conversation.GetId(), id)
	waits(w)
	equal(t, "claimed again", do[*goodshipv1.ClaimNextConversationResponse](w, ada, next).Conversation.GetId(), id)

	send := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!", RequestId: "once"}
	w.refuses(ada, send, "FailedPrecondition SEEN_REVISION_REQUIRED revision=4")
	send.SeenRevision = 4
	do[*goodshipv1.Message](w, ada, send)
	ctx, cancel := context.WithCancel(w.by(kim))
	cancel()
	reply := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Ah.", RequestId: "once"}
	if _, err := w.call(ctx, reply); err == nil {
		t.Error("call with an ended context: got no error, want one")
	}
	equal(t, "number", do[*goodshipv1.Message](w, kim, reply).Number, 3)
}
