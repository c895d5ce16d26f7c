package support_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// updates changes settings of the workspace.
func (w *world) updates(settings *goodshipv1.Workspace, fields ...string) *goodshipv1.Workspace {
	w.t.Helper()
	return do[*goodshipv1.Workspace](w, backend, &goodshipv1.UpdateWorkspaceRequest{Workspace: settings, UpdateMask: mask(fields...)})
}

func TestNewWorkspace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{})
	same(t, "settings", got, &goodshipv1.Workspace{
		Id: w.workspace, DisplayName: "The product", PersonasAllowed: true, Promise: durationpb.New(5 * time.Minute),
		AssumeAfter: durationpb.New(72 * time.Hour), LapseAfter: durationpb.New(14 * 24 * time.Hour),
		NotifyAfter: durationpb.New(2 * time.Minute), AwayAfter: durationpb.New(2 * time.Minute), TimeZone: "UTC", Etag: "1", CreateTime: got.CreateTime,
		OnBroken: goodshipv1.OnBroken_ON_BROKEN_NONE,
	})
	some, err := w.HasWorkspaces(t.Context())
	equal(t, "has workspaces", some, true)
	equal(t, "error", err, nil)
	equal(t, "ready", w.Ready(), nil)
}

// TestUpdateWorkspaceChangesWhatIsNamed gives a whole workspace and names one field at a time.
func TestUpdateWorkspaceChangesWhatIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	give := &goodshipv1.Workspace{
		DisplayName: "Better", BrandVoice: "Warm", Promise: durationpb.New(time.Minute),
		OpeningHours: weekdays(), ContactPoints: []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "112"}},
		AssumeAfter: durationpb.New(time.Hour), LapseAfter: durationpb.New(2 * time.Hour), NotifyAfter: durationpb.New(10 * time.Second),
		AwayAfter: durationpb.New(30 * time.Second), AllowedOrigins: []string{"https://app.example"}, Id: "work_x", Etag: "x",
		OnBroken: goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE, ApologyText: "Sorry.",
	}
	want := do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{})
	for _, field := range []string{
		"display_name", "brand_voice", "personas_allowed", "promise", "opening_hours", "contact_points", "assume_after",
		"lapse_after", "notify_after", "away_after", "allowed_origins", "on_broken", "apology_text",
	} {
		got := w.updates(give, field)
		d := want.ProtoReflect().Descriptor().Fields()
		for i := range d.Len() {
			switch f := d.Get(i); string(f.Name()) {
			case field:
				want.ProtoReflect().Set(f, give.ProtoReflect().Get(f))
			case "etag", "update_time":
				equal(t, string(f.Name())+" changed", got.ProtoReflect().Get(f).Equal(want.ProtoReflect().Get(f)), false)
				want.ProtoReflect().Set(f, got.ProtoReflect().Get(f))
			}
		}
		same(t, "after "+field, got, want)
	}
	same(t, "read again", do[*goodshipv1.Workspace](w, ada, &goodshipv1.GetWorkspaceRequest{}), want)
	cleared := w.updates(&goodshipv1.Workspace{}, "brand_voice", "opening_hours", "contact_points", "on_broken")
	equal(t, "cleared", cleared.BrandVoice == "" && cleared.OpeningHours == nil && len(cleared.ContactPoints) == 0, true)
	equal(t, "on_broken cleared", cleared.OnBroken, goodshipv1.OnBroken_ON_BROKEN_NONE)
}

// TestAnApologyNamesAnotherWay refuses settings by which it would not.
func TestAnApologyNamesAnotherWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sorry := &goodshipv1.Workspace{OnBroken: goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE}
	w.refuses(backend, &goodshipv1.UpdateWorkspaceRequest{Workspace: sorry, UpdateMask: mask("on_broken")}, "InvalidArgument INVALID_REQUEST workspace.on_broken")
	w.apologizes()
	none := &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: mask("contact_points")}
	w.refuses(backend, none, "InvalidArgument INVALID_REQUEST workspace.contact_points")
	w.updates(sorry, "on_broken") // as it is
	got := w.updates(&goodshipv1.Workspace{OnBroken: goodshipv1.OnBroken_ON_BROKEN_NONE}, "contact_points", "on_broken")
	equal(t, "contact points", len(got.ContactPoints), 0)
	etag := got.Etag
	equal(t, "etag after UNSPECIFIED, which is NONE", w.updates(&goodshipv1.Workspace{}, "on_broken").Etag, etag)
}

// weekdays are opening hours: Monday to Friday, nine to five in Madrid.
func weekdays() *goodshipv1.OpeningHours {
	hours := &goodshipv1.OpeningHours{TimeZone: "Europe/Madrid"}
	for day := goodshipv1.Weekday_WEEKDAY_MONDAY; day <= goodshipv1.Weekday_WEEKDAY_FRIDAY; day++ {
		hours.Intervals = append(hours.Intervals, &goodshipv1.OpeningInterval{Day: day, OpenMinute: 9 * 60, CloseMinute: 17 * 60})
	}
	return hours
}

func TestUpdateWorkspaceRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := func(zone string) *goodshipv1.Workspace {
		hours := weekdays()
		hours.TimeZone = zone
		return &goodshipv1.Workspace{OpeningHours: hours}
	}
	for _, test := range []struct {
		req  *goodshipv1.UpdateWorkspaceRequest
		want string
	}{
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}}, "update_mask"},
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: mask()}, "update_mask"},
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: mask("display_name")}, "workspace.display_name"},
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: mask("brand_voice", "promise")}, "workspace.promise"},
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: mask("away_after")}, "workspace.away_after"},
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: place("Mars/Olympus"), UpdateMask: mask("opening_hours")}, "workspace.opening_hours.time_zone"},
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: place("Local"), UpdateMask: mask("opening_hours")}, "workspace.opening_hours.time_zone"},
		{&goodshipv1.UpdateWorkspaceRequest{Workspace: place("../../etc/passwd"), UpdateMask: mask("opening_hours")}, "workspace.opening_hours.time_zone"},
	} {
		w.refuses(backend, test.req, "InvalidArgument INVALID_REQUEST "+test.want)
	}
	first := do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{}).Etag
	w.updates(&goodshipv1.Workspace{BrandVoice: "Warm"}, "brand_voice")
	stale := &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: mask("brand_voice"), Etag: first}
	w.refuses(backend, stale, "Aborted ETAG_MISMATCH")
}

// TestSettingsHaveBounds holds what the proto declares: the service relies on it.
func TestSettingsHaveBounds(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for field, bounds := range map[string][2]time.Duration{
		"promise": {time.Minute, day}, "assume_after": {time.Hour, 90 * day}, "lapse_after": {time.Hour, 365 * day},
		"notify_after": {10 * time.Second, day}, "away_after": {30 * time.Second, time.Hour},
	} {
		takes := func(d time.Duration) bool {
			settings := &goodshipv1.Workspace{}
			m := settings.ProtoReflect()
			f := m.Descriptor().Fields().ByTextName(field)
			m.Mutable(f).Message().Set(f.Message().Fields().ByName("seconds"), protoInt64(d))
			return protovalidate.Validate(&goodshipv1.UpdateWorkspaceRequest{Workspace: settings, UpdateMask: mask(field)}) == nil
		}
		equal(t, field+" takes its bounds", takes(bounds[0]) && takes(bounds[1]), true)
		equal(t, field+" takes less", takes(bounds[0]-time.Second), false)
		equal(t, field+" takes more", takes(bounds[1]+time.Second), false)
	}
	req := &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: mask("create_time")}
	equal(t, "takes an output only field in the mask", protovalidate.Validate(req) == nil, false)
}

// TestPromiseInOpeningHours changes the settings under a running promise, and looks at those that begin afterwards.
func TestPromiseInOpeningHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // it is Sunday, 10:00 in Madrid
	due := func(id string) string {
		return w.reads(backend, id).AnswerPromise.DueTime.AsTime().Format(time.RFC3339)
	}
	before := w.opens(kim, "Hello?")
	equal(t, "due, always open", due(before), "2026-03-01T09:05:00Z")
	w.updates(&goodshipv1.Workspace{OpeningHours: weekdays(), Promise: durationpb.New(time.Hour)}, "opening_hours", "promise")
	w.says(kim, before, "Anybody?")
	equal(t, "due, of the promise that runs", due(before), "2026-03-01T09:05:00Z")
	equal(t, "due, opened on Sunday", due(w.opens(lou, "Hello?")), "2026-03-02T09:00:00Z")
	w.clock.Jump(24*time.Hour + 6*time.Hour + 30*time.Minute)
	equal(t, "due, opened on Monday, 16:30 in Madrid", due(w.opens(lou, "Hello?")), "2026-03-02T16:30:00Z")
	w.clock.Jump(time.Hour)
	equal(t, "due, opened on Monday, 17:30 in Madrid", due(w.opens(lou, "Hello?")), "2026-03-03T09:00:00Z")
	hours := weekdays()
	hours.Intervals[0].CloseMinute = 20 * 60
	w.updates(&goodshipv1.Workspace{OpeningHours: hours}, "opening_hours")
	equal(t, "due, opened on Monday, 17:30, open until 20:00", due(w.opens(lou, "Hello?")), "2026-03-02T17:30:00Z")
	w.updates(&goodshipv1.Workspace{}, "opening_hours")
	equal(t, "due, always open again", due(w.opens(lou, "Hello?")), "2026-03-02T17:30:00Z")
}

func TestCreateApiKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	expire := timestamppb.New(w.clock.Now().Add(time.Hour))
	made := w.newKey(&goodshipv1.CreateApiKeyRequest{
		DisplayName: "Shop", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT}, ExpireTime: expire,
	})
	same(t, "key", made.ApiKey, &goodshipv1.ApiKey{
		Id: made.ApiKey.Id, DisplayName: "Shop", SecretPrefix: made.Secret[:12], Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT},
		ExpireTime: expire, CreateTime: made.ApiKey.CreateTime, Kind: goodshipv1.ApiKeyKind_API_KEY_KIND_SECRET,
	})
	equal(t, "size of the secret", len(made.Secret), len("gsk_")+43)
	equal(t, "why there is no secret", made.SecretAbsentReason, 0)
	for name, stored := range image(t, w.store) {
		if strings.Contains(stored, made.Secret[12:]) {
			t.Errorf("%s holds the secret: got %q, want a hash", name, stored)
		}
	}
	c, err := w.Authenticate(t.Context(), made.Secret, string(kim))
	if err != nil || c.APIKeyID != made.ApiKey.Id || !slices.Equal(c.Scopes, made.ApiKey.Scopes) {
		t.Errorf("authenticate: got %v, %v, want a caller with the key and its scopes", c, err)
	}
	w.refuses(backend, &goodshipv1.CreateApiKeyRequest{DisplayName: "Late", ExpireTime: timestamppb.New(w.clock.Now())}, "InvalidArgument INVALID_REQUEST expire_time")
}

const publishable = goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE

func TestCreatePublishableKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := &goodshipv1.CreateApiKeyRequest{DisplayName: "Page", Kind: publishable, ExpireTime: timestamppb.New(w.clock.Now().Add(time.Hour)), RequestId: "once"}
	made := w.newKey(req)
	same(t, "reply", made, &goodshipv1.CreateApiKeyResponse{ApiKey: &goodshipv1.ApiKey{
		Id: made.ApiKey.Id, DisplayName: "Page", Kind: publishable, PublishableKey: made.ApiKey.PublishableKey,
		ExpireTime: req.ExpireTime, CreateTime: made.ApiKey.CreateTime,
	}})
	key := made.ApiKey.PublishableKey
	equal(t, "form of the key", strings.HasPrefix(key, "gpk_") && len(key) == len("gpk_")+43, true)
	same(t, "reply repeated", w.newKey(req), made)
	same(t, "listed", do[*goodshipv1.ListApiKeysResponse](w, backend, &goodshipv1.ListApiKeysRequest{}).ApiKeys[0], made.ApiKey)
	c, err := w.Authenticate(t.Context(), key, "")
	equal(t, "error", refusal(err), "")
	equal(t, "kind", c.Kind, goodshipv1.Caller_CALLER_WIDGET)
	equal(t, "workspace", c.Workspace, w.workspace)
	equal(t, "scopes", len(c.Scopes), 0)
	w.refuses(backend, &goodshipv1.CreateApiKeyRequest{DisplayName: "Page", Kind: publishable, Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT}}, "InvalidArgument INVALID_REQUEST scopes")
	w.clock.Jump(time.Hour)
	equal(t, "once expired", w.knocks(key, ""), credentialExpired)
	revoked := do[*goodshipv1.ApiKey](w, backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: made.ApiKey.Id})
	equal(t, "revoked shows the key", revoked.PublishableKey, key)
	equal(t, "once revoked", w.knocks(key, ""), credentialRevoked)
}

// TestOldKeysAreSecret reads a key from before there were kinds.
func TestOldKeysAreSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := do[*goodshipv1.ListApiKeysResponse](w, backend, &goodshipv1.ListApiKeysRequest{}).ApiKeys[0]
	_, err := w.store.Update(t.Context(), w.workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		old, err := tx.APIKey(key.Id)
		if err != nil {
			return nil, err
		}
		old.ApiKey.Kind = 0
		return nil, tx.PutAPIKey(old)
	})
	equal(t, "error", err, nil)
	same(t, "key", do[*goodshipv1.ListApiKeysResponse](w, backend, &goodshipv1.ListApiKeysRequest{}).ApiKeys[0], key)
	equal(t, "kind", key.Kind, goodshipv1.ApiKeyKind_API_KEY_KIND_SECRET)
	equal(t, "backend", w.knocks(w.secret, string(kim)), "")
}

func TestRevokeApiKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Shop"}).ApiKey
	revoke := &goodshipv1.RevokeApiKeyRequest{ApiKeyId: key.Id}
	revoked := do[*goodshipv1.ApiKey](w, backend, revoke)
	key.RevokeTime = revoked.RevokeTime
	same(t, "revoked", revoked, key)
	equal(t, "has a time", revoked.RevokeTime != nil, true)
	w.clock.Jump(time.Minute)
	same(t, "revoked again", do[*goodshipv1.ApiKey](w, backend, revoke), revoked)
	w.refuses(backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: "key_" + strings.Repeat("0", 26)}, "NotFound API_KEY_NOT_FOUND")
}

// TestRepliesAreCopies changes replies, which must change nothing of the service's.
func TestRepliesAreCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	before := image(t, w.store)
	for _, req := range []proto.Message{
		&goodshipv1.GetWorkspaceRequest{}, &goodshipv1.GetAgentRequest{AgentId: "ada"}, &goodshipv1.GetCustomerRequest{CustomerId: "kim"},
		&goodshipv1.GetConversationRequest{ConversationId: id}, &goodshipv1.GetMessageRequest{ConversationId: id, Number: 1},
	} {
		first := do[proto.Message](w, backend, req)
		kept := proto.Clone(first)
		proto.Reset(first)
		same(t, "read again", do[proto.Message](w, backend, req), kept)
	}
	w.unchanged(before)
}

// protoInt64 returns the seconds of a duration as a field's value.
func protoInt64(d time.Duration) protoreflect.Value {
	return protoreflect.ValueOfInt64(int64(d / time.Second))
}
