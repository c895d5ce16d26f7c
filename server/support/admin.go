package support

import (
	"context"
	"crypto/sha256"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// HasWorkspaces reports whether there is any workspace.
func (s *Service) HasWorkspaces(ctx context.Context) (bool, error) {
	all, err := s.store.Workspaces(ctx)
	return len(all) > 0, err
}

// Prefixes of API keys, by kind.
const (
	secretPrefix      = "gsk_"
	publishablePrefix = "gpk_"
)

// newAPIKey returns a secret key of a workspace, and its secret.
func newAPIKey(workspace, displayName string, scopes []goodshipv1.Scope) (*storev1.ApiKeyRecord, string) {
	secret := newSecret(secretPrefix)
	return apiKeyRecord(workspace, secret, &goodshipv1.ApiKey{
		DisplayName: displayName, SecretPrefix: secret[:12], Scopes: scopes, Kind: goodshipv1.ApiKeyKind_API_KEY_KIND_SECRET,
	}), secret
}

// newPublishableKey returns a publishable key of a workspace.
func newPublishableKey(workspace, displayName string) *storev1.ApiKeyRecord {
	key := newSecret(publishablePrefix)
	return apiKeyRecord(workspace, key, &goodshipv1.ApiKey{
		DisplayName: displayName, PublishableKey: key, Kind: goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE,
	})
}

// apiKeyRecord returns a new key as it is kept: found by the hash of what calls are made with.
func apiKeyRecord(workspace, bearer string, key *goodshipv1.ApiKey) *storev1.ApiKeyRecord {
	key.Id = newID(keyPrefix)
	hash := sha256.Sum256([]byte(bearer))
	return &storev1.ApiKeyRecord{WorkspaceId: workspace, SecretHash: hash[:], ApiKey: key}
}

// GetWorkspace returns the settings of the caller's workspace.
func (s *Service) GetWorkspace(ctx context.Context, _ *goodshipv1.GetWorkspaceRequest) (*goodshipv1.Workspace, error) {
	r, err := s.store.Workspace(ctx, callerFrom(ctx).Workspace)
	if err != nil {
		return nil, err
	}
	return seenWorkspace(r), nil
}

// UpdateWorkspace changes the settings.
func (s *Service) UpdateWorkspace(ctx context.Context, req *goodshipv1.UpdateWorkspaceRequest) (*goodshipv1.Workspace, error) {
	if len(req.UpdateMask.GetPaths()) == 0 {
		return nil, fault.Field("update_mask", "must name at least one field")
	}
	if err := checkSettings(req); err != nil {
		return nil, err
	}
	_, err := s.update(ctx, callerFrom(ctx), store.Once{}, func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		r, err := tx.Workspace()
		if err != nil {
			return nil, err
		}
		if !takes(req.Etag, r.Version) {
			return nil, etagMismatch()
		}
		before := proto.CloneOf(withDefaults(r.Workspace))
		to, from := r.Workspace.ProtoReflect(), req.Workspace.ProtoReflect()
		for _, path := range req.UpdateMask.Paths {
			if field := to.Descriptor().Fields().ByName(protoreflect.Name(path)); from.Has(field) {
				to.Set(field, from.Get(field))
			} else {
				to.Clear(field)
			}
		}
		if proto.Equal(withDefaults(r.Workspace), before) {
			return nil, nil
		}
		if err := checkApology(r.Workspace, req.UpdateMask.Paths); err != nil {
			return nil, err
		}
		if err := checkCurrency(r.Workspace, req.UpdateMask.Paths); err != nil {
			return nil, err
		}
		r.Workspace.UpdateTime = timestamppb.New(tx.Now())
		r.Version++
		return nil, tx.PutWorkspace(r)
	})
	s.origins.forget()
	if err != nil {
		return nil, err
	}
	s.keeper.retimed(callerFrom(ctx).Workspace, req.UpdateMask.Paths)
	return s.GetWorkspace(ctx, &goodshipv1.GetWorkspaceRequest{})
}

// checkSettings refuses what the proto cannot: settings that must not be cleared, ports that no browser sends, and places that nobody knows.
func checkSettings(req *goodshipv1.UpdateWorkspaceRequest) error {
	w := req.Workspace.ProtoReflect()
	for _, path := range req.UpdateMask.Paths {
		field := w.Descriptor().Fields().ByName(protoreflect.Name(path))
		isDuration := field.Message() != nil && field.Message().FullName() == "google.protobuf.Duration"
		if isDuration && !w.Has(field) && path != "keep_for" || path == "display_name" && req.Workspace.DisplayName == "" {
			return fault.Field("workspace."+path, "must have a value")
		}
	}
	if err := checkOrigins(req.Workspace.AllowedOrigins); err != nil {
		return err
	}
	if err := checkPlace(req); err != nil {
		return err
	}
	if _, err := rules.ParseHours(req.Workspace.OpeningHours); err != nil {
		return fault.Field("workspace.opening_hours.time_zone", "must be the IANA name of a time zone, as in Europe/Madrid")
	}
	return nil
}

// checkApology refuses settings by which an apology would name no other way to reach a person.
func checkApology(w *goodshipv1.Workspace, changed []string) error {
	switch {
	case w.OnBroken != goodshipv1.OnBroken_ON_BROKEN_APOLOGIZE || len(w.ContactPoints) > 0:
		return nil
	case slices.Contains(changed, "on_broken"):
		return fault.Field("workspace.on_broken", "ON_BROKEN_APOLOGIZE needs at least one of contact_points: set them with it")
	}
	return fault.Field("workspace.contact_points", "must not be empty while on_broken is ON_BROKEN_APOLOGIZE: set that to ON_BROKEN_NONE first")
}

// CreateApiKey makes an API key and shows its secret, if it has one, once.
func (s *Service) CreateApiKey(ctx context.Context, req *goodshipv1.CreateApiKeyRequest) (*goodshipv1.CreateApiKeyResponse, error) {
	c := callerFrom(ctx)
	key, secret := newAPIKey(c.Workspace, req.DisplayName, req.Scopes)
	if req.Kind == goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE {
		if len(req.Scopes) > 0 {
			return nil, fault.Field("scopes", "must be empty for a PUBLISHABLE key, which everyone can read")
		}
		key, secret = newPublishableKey(c.Workspace, req.DisplayName), ""
	}
	key.ApiKey.ExpireTime = req.ExpireTime
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		if req.ExpireTime != nil && !req.ExpireTime.AsTime().After(s.now()) {
			return nil, fault.Field("expire_time", "must be in the future")
		}
		key.ApiKey.CreateTime = timestamppb.New(tx.Now())
		return &storev1.Receipt{ObjectId: key.ApiKey.Id}, tx.PutAPIKey(key)
	})
	if err != nil {
		return nil, err
	}
	if !result.Replayed {
		return &goodshipv1.CreateApiKeyResponse{ApiKey: key.ApiKey, Secret: secret}, nil
	}
	now, err := s.apiKey(ctx, result.Receipt.ObjectId)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.CreateApiKeyResponse{ApiKey: now}
	if now.Kind == goodshipv1.ApiKeyKind_API_KEY_KIND_SECRET {
		reply.SecretAbsentReason = goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN
	}
	return reply, nil
}

// apiKey reads a key of the caller's workspace.
func (s *Service) apiKey(ctx context.Context, id string) (*goodshipv1.ApiKey, error) {
	r, err := s.store.APIKey(ctx, callerFrom(ctx).Workspace, id)
	if err != nil {
		return nil, orMissing(err, noAPIKey())
	}
	return seenKey(r), nil
}

// seenKey returns a key as it is seen. One from before there were kinds is a secret one.
func seenKey(r *storev1.ApiKeyRecord) *goodshipv1.ApiKey {
	if r.ApiKey.Kind == goodshipv1.ApiKeyKind_API_KEY_KIND_UNSPECIFIED {
		r.ApiKey.Kind = goodshipv1.ApiKeyKind_API_KEY_KIND_SECRET
	}
	return r.ApiKey
}

// ListApiKeys lists keys, newest first.
func (s *Service) ListApiKeys(ctx context.Context, req *goodshipv1.ListApiKeysRequest) (*goodshipv1.ListApiKeysResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	records, err := s.store.APIKeys(ctx, c.Workspace, string(p.after), p.size+1)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListApiKeysResponse{}
	records, reply.NextPageToken = cut(p, records, func(r *storev1.ApiKeyRecord) string { return r.ApiKey.Id })
	for _, r := range records {
		reply.ApiKeys = append(reply.ApiKeys, seenKey(r))
	}
	return reply, nil
}

// RevokeApiKey revokes a key at once and for ever. Revoking again changes nothing.
func (s *Service) RevokeApiKey(ctx context.Context, req *goodshipv1.RevokeApiKeyRequest) (*goodshipv1.ApiKey, error) {
	c := callerFrom(ctx)
	if req.ApiKeyId == c.APIKeyID {
		return nil, fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_KEY_REVOKES_ITSELF,
			"A key cannot revoke itself, so that nobody is locked out. Make another key with the scope ADMIN and revoke this one with it.")
	}
	_, err := s.update(ctx, c, store.Once{}, func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		key, err := tx.APIKey(req.ApiKeyId)
		if err != nil || key.ApiKey.RevokeTime != nil {
			return nil, orMissing(err, noAPIKey())
		}
		key.ApiKey.RevokeTime = timestamppb.New(tx.Now())
		return nil, tx.PutAPIKey(key)
	})
	if err != nil {
		return nil, err
	}
	return s.apiKey(ctx, req.ApiKeyId)
}

func noAPIKey() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_API_KEY_NOT_FOUND,
		"The workspace has no such key. List its keys.")
}
