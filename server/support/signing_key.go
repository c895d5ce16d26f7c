package support

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	signingKeyPrefix    = "sign_"
	signingSecretPrefix = "gss_"
	// maxLiveSigningKeys is how many of a kind are live: the one that signs, and the one that takes over.
	maxLiveSigningKeys = 2
	// maxRevokedSigningKeys is how many are kept, of all kinds, so that their tokens are told what became of them.
	maxRevokedSigningKeys = 6
)

// CreateSigningKey makes a key that signs the tokens of one kind of people.
func (s *Service) CreateSigningKey(ctx context.Context, req *goodshipv1.CreateSigningKeyRequest) (*goodshipv1.CreateSigningKeyResponse, error) {
	c := callerFrom(ctx)
	made, err := newSigningKey(c.Workspace, req)
	if err != nil {
		return nil, err
	}
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		w, err := tx.Workspace()
		if err != nil {
			return nil, err
		}
		if older := fullOf(w.SigningKeys, req.TokenKind); older != "" {
			return nil, fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_SIGNING_KEYS_LIVE,
				"%d signing keys of this kind are live. Revoke the older one when nothing is signed with it any more.", maxLiveSigningKeys).
				With("signing_key_id", older)
		}
		made.SigningKey.CreateTime = timestamppb.New(tx.Now())
		w.SigningKeys = append(w.SigningKeys, made)
		return &storev1.Receipt{ObjectId: made.SigningKey.Id}, tx.PutWorkspace(w)
	})
	if err != nil {
		return nil, err
	}
	if !result.Replayed {
		return &goodshipv1.CreateSigningKeyResponse{SigningKey: made.SigningKey, Secret: string(made.Secret)}, nil
	}
	now, err := s.signingKey(ctx, c.Workspace, result.Receipt.ObjectId)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.CreateSigningKeyResponse{SigningKey: now.SigningKey}
	if now.SigningKey.Algorithm == goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_HS256 {
		reply.SecretAbsentReason = goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN
	}
	return reply, nil
}

// newSigningKey returns the key that a request asks for: with a secret of 256 random bits, or the public key that it brings.
func newSigningKey(workspace string, req *goodshipv1.CreateSigningKeyRequest) (*storev1.SigningKeyRecord, error) {
	r := &storev1.SigningKeyRecord{SigningKey: &goodshipv1.SigningKey{
		Id: newID(signingKeyPrefix), TokenKind: req.TokenKind, Algorithm: req.Algorithm, DisplayName: req.DisplayName,
		Audience: tokenAudience(workspace, req.TokenKind),
	}}
	if req.Algorithm == goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_EDDSA {
		public, err := parsePublicKey(req.PublicKey)
		if err != nil {
			return nil, err
		}
		r.SigningKey.PublicKey, err = encodePublicKey(public)
		return r, err
	}
	if req.PublicKey != "" {
		return nil, fault.Field("public_key", "must be absent for HS256, whose secret the server makes; or set algorithm to EDDSA")
	}
	r.SigningKey.Algorithm = goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_HS256
	r.Secret = []byte(newSecret(signingSecretPrefix))
	return r, nil
}

// newSecret returns a prefix and 256 random bits, in 43 characters.
func newSecret(prefix string) string {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(random)
}

// tokenAudience returns the `aud` of tokens of a kind of people.
func tokenAudience(workspace string, kind goodshipv1.TokenKind) string {
	return "goodship/" + workspace + "/" + strings.ToLower(strings.TrimPrefix(kind.String(), "TOKEN_KIND_"))
}

// parsePublicKey reads an Ed25519 public key in PEM: one block and nothing else.
func parsePublicKey(text string) (ed25519.PublicKey, error) {
	text = strings.TrimSpace(text)
	block, rest := pem.Decode([]byte(text))
	switch {
	case block != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, fault.Field("public_key", "is a private key, which must not leave your servers: make another pair, and send its public key")
	case block == nil || block.Type != "PUBLIC KEY" || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 || !strings.HasPrefix(text, "-----BEGIN"):
		return nil, fault.Field("public_key", "must be one PEM block, BEGIN PUBLIC KEY, as `openssl pkey -pubout` prints it")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, fault.Field("public_key", "must be an Ed25519 key, as `openssl genpkey -algorithm ed25519` makes it")
	}
	return key, nil
}

// encodePublicKey returns a public key in the one form that is kept and shown.
func encodePublicKey(key ed25519.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), err
}

// fullOf returns the id of the oldest live key of a kind, if no more of it may be made; else empty.
func fullOf(keys []*storev1.SigningKeyRecord, kind goodshipv1.TokenKind) string {
	var live []string
	for _, r := range keys {
		if r.SigningKey.TokenKind == kind && r.SigningKey.RevokeTime == nil {
			live = append(live, r.SigningKey.Id)
		}
	}
	if len(live) < maxLiveSigningKeys {
		return ""
	}
	return live[0]
}

// ListSigningKeys lists signing keys, newest first.
func (s *Service) ListSigningKeys(ctx context.Context, req *goodshipv1.ListSigningKeysRequest) (*goodshipv1.ListSigningKeysResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	w, err := s.store.Workspace(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	var keys []*goodshipv1.SigningKey
	for _, r := range w.SigningKeys {
		if p.after == nil || r.SigningKey.Id < string(p.after) {
			keys = append(keys, r.SigningKey)
		}
	}
	slices.SortFunc(keys, func(a, b *goodshipv1.SigningKey) int { return strings.Compare(b.Id, a.Id) })
	reply := &goodshipv1.ListSigningKeysResponse{}
	reply.SigningKeys, reply.NextPageToken = cut(p, keys, (*goodshipv1.SigningKey).GetId)
	return reply, nil
}

// RevokeSigningKey revokes a key at once and for ever, and forgets its secret. Revoking again changes nothing.
func (s *Service) RevokeSigningKey(ctx context.Context, req *goodshipv1.RevokeSigningKeyRequest) (*goodshipv1.SigningKey, error) {
	c, revoked := callerFrom(ctx), (*goodshipv1.SigningKey)(nil)
	_, err := s.update(ctx, c, store.Once{}, func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		w, err := tx.Workspace()
		if err != nil {
			return nil, err
		}
		r := findSigningKey(w, req.SigningKeyId)
		if r == nil {
			return nil, noSigningKey()
		}
		revoked = r.SigningKey
		if revoked.RevokeTime != nil {
			return nil, nil
		}
		revoked.RevokeTime, r.Secret = timestamppb.New(tx.Now()), nil
		w.SigningKeys = withoutOldRevoked(w.SigningKeys)
		return nil, tx.PutWorkspace(w)
	})
	if err != nil {
		return nil, err
	}
	return revoked, nil
}

// withoutOldRevoked drops, of more revoked keys than are kept, the one that was revoked first.
func withoutOldRevoked(keys []*storev1.SigningKeyRecord) []*storev1.SigningKeyRecord {
	first, count := -1, 0
	for i, r := range keys {
		at := r.SigningKey.RevokeTime
		if at == nil {
			continue
		}
		count++
		if first < 0 || at.AsTime().Before(keys[first].SigningKey.RevokeTime.AsTime()) {
			first = i
		}
	}
	if count <= maxRevokedSigningKeys {
		return keys
	}
	return slices.Delete(keys, first, first+1)
}

// signingKey reads a signing key of a workspace.
func (s *Service) signingKey(ctx context.Context, workspace, id string) (*storev1.SigningKeyRecord, error) {
	w, err := s.store.Workspace(ctx, workspace)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if r := findSigningKey(w, id); r != nil {
		return r, nil
	}
	return nil, noSigningKey()
}

// findSigningKey returns a workspace's signing key; nil if there is none, or no workspace.
func findSigningKey(w *storev1.WorkspaceRecord, id string) *storev1.SigningKeyRecord {
	for _, r := range w.GetSigningKeys() {
		if r.SigningKey.Id == id {
			return r
		}
	}
	return nil
}

func noSigningKey() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_SIGNING_KEY_NOT_FOUND,
		"The workspace has no such signing key. List its signing keys.")
}
