package support

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// CreateWorkspace makes a workspace with a first key that has every scope, and returns its id and the key's secret.
func (s *Service) CreateWorkspace(ctx context.Context, displayName string) (id, secret string, err error) {
	id = newID(workspacePrefix)
	key, secret := newAPIKey(id, "First key", []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ACT, goodshipv1.Scope_SCOPE_ADMIN})
	_, err = s.store.Update(ctx, id, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		now := timestamppb.New(tx.Now())
		key.ApiKey.CreateTime = now
		w := &storev1.WorkspaceRecord{Version: 1, Workspace: &goodshipv1.Workspace{
			Id: id, DisplayName: displayName, PersonasAllowed: true, CreateTime: now,
			Promise:     durationpb.New(5 * time.Minute),
			AssumeAfter: durationpb.New(72 * time.Hour),
			LapseAfter:  durationpb.New(14 * 24 * time.Hour),
			NotifyAfter: durationpb.New(2 * time.Minute),
			AwayAfter:   durationpb.New(2 * time.Minute),
		}}
		if err := tx.PutWorkspace(w); err != nil {
			return nil, err
		}
		return nil, tx.PutAPIKey(key)
	})
	return id, secret, err
}

// HasWorkspaces reports whether there is any workspace.
func (s *Service) HasWorkspaces(ctx context.Context) (bool, error) {
	all, err := s.store.Workspaces(ctx)
	return len(all) > 0, err
}

// newAPIKey returns a key and its secret, 256 random bits.
func newAPIKey(workspace, displayName string, scopes []goodshipv1.Scope) (*storev1.ApiKeyRecord, string) {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	secret := "gsk_" + base64.RawURLEncoding.EncodeToString(random)
	hash := sha256.Sum256([]byte(secret))
	return &storev1.ApiKeyRecord{WorkspaceId: workspace, SecretHash: hash[:], ApiKey: &goodshipv1.ApiKey{
		Id: newID(keyPrefix), DisplayName: displayName, SecretPrefix: secret[:12], Scopes: scopes,
	}}, secret
}

// GetWorkspace returns the settings of the caller's workspace.
func (s *Service) GetWorkspace(ctx context.Context, _ *goodshipv1.GetWorkspaceRequest) (*goodshipv1.Workspace, error) {
	r, err := s.store.Workspace(ctx, callerFrom(ctx).Workspace)
	if err != nil {
		return nil, err
	}
	r.Workspace.Etag = versionEtag(r.Version)
	return r.Workspace, nil
}

// UpdateWorkspace changes the settings.
func (s *Service) UpdateWorkspace(ctx context.Context, req *goodshipv1.UpdateWorkspaceRequest) (*goodshipv1.Workspace, error) {
	if len(req.UpdateMask.GetPaths()) == 0 {
		return nil, fault.Field("update_mask", "must name at least one field")
	}
	if err := checkSettings(req); err != nil {
		return nil, err
	}
	_, err := s.store.Update(ctx, callerFrom(ctx).Workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		r, err := tx.Workspace()
		if err != nil {
			return nil, err
		}
		if !takes(req.Etag, r.Version) {
			return nil, etagMismatch()
		}
		before := proto.CloneOf(r.Workspace)
		to, from := r.Workspace.ProtoReflect(), req.Workspace.ProtoReflect()
		for _, path := range req.UpdateMask.Paths {
			if field := to.Descriptor().Fields().ByName(protoreflect.Name(path)); from.Has(field) {
				to.Set(field, from.Get(field))
			} else {
				to.Clear(field)
			}
		}
		if proto.Equal(r.Workspace, before) {
			return nil, nil
		}
		r.Workspace.UpdateTime = timestamppb.New(tx.Now())
		r.Version++
		return nil, tx.PutWorkspace(r)
	})
	if err != nil {
		return nil, err
	}
	return s.GetWorkspace(ctx, &goodshipv1.GetWorkspaceRequest{})
}

// checkSettings refuses what the proto cannot: settings that must not be cleared, and places that nobody knows.
func checkSettings(req *goodshipv1.UpdateWorkspaceRequest) error {
	w := req.Workspace.ProtoReflect()
	for _, path := range req.UpdateMask.Paths {
		field := w.Descriptor().Fields().ByName(protoreflect.Name(path))
		isDuration := field.Message() != nil && field.Message().FullName() == "google.protobuf.Duration"
		if isDuration && !w.Has(field) || path == "display_name" && req.Workspace.DisplayName == "" {
			return fault.Field("workspace."+path, "must have a value")
		}
	}
	if _, err := rules.ParseHours(req.Workspace.OpeningHours); err != nil {
		return fault.Field("workspace.opening_hours.time_zone", "must be the IANA name of a time zone, as in Europe/Madrid")
	}
	return nil
}

// CreateApiKey makes an API key and shows its secret once.
func (s *Service) CreateApiKey(ctx context.Context, req *goodshipv1.CreateApiKeyRequest) (*goodshipv1.CreateApiKeyResponse, error) {
	c := callerFrom(ctx)
	key, secret := newAPIKey(c.Workspace, req.DisplayName, req.Scopes)
	key.ApiKey.ExpireTime = req.ExpireTime
	result, err := s.store.Update(ctx, c.Workspace, once(c, req), func(tx store.Tx) (*storev1.Receipt, error) {
		if req.ExpireTime != nil && !req.ExpireTime.AsTime().After(tx.Now()) {
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
	return &goodshipv1.CreateApiKeyResponse{ApiKey: now, SecretAbsentReason: goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN}, nil
}

// apiKey reads a key of the caller's workspace.
func (s *Service) apiKey(ctx context.Context, id string) (*goodshipv1.ApiKey, error) {
	key, err := s.store.APIKey(ctx, callerFrom(ctx).Workspace, id)
	if err != nil {
		return nil, orMissing(err, noAPIKey())
	}
	return key.ApiKey, nil
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
		reply.ApiKeys = append(reply.ApiKeys, r.ApiKey)
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
	_, err := s.store.Update(ctx, c.Workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
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
