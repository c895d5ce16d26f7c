package support_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

const (
	customerTokens = goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER
	agentTokens    = goodshipv1.TokenKind_TOKEN_KIND_AGENT
	leaderTokens   = goodshipv1.TokenKind_TOKEN_KIND_LEADER
	hs256          = goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_HS256
	edDSA          = goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_EDDSA
)

// signs asks for a key that signs tokens of a kind.
func signs(kind goodshipv1.TokenKind) *goodshipv1.CreateSigningKeyRequest {
	return &goodshipv1.CreateSigningKeyRequest{TokenKind: kind}
}

// signer is a product's server that signs tokens.
type signer struct {
	key *goodshipv1.SigningKey
	// with is what it signs with: the secret's bytes, or a private key.
	with any
}

// newSigner makes a signing key.
func (w *world) newSigner(kind goodshipv1.TokenKind, algorithm goodshipv1.SigningAlgorithm) signer {
	w.t.Helper()
	req := &goodshipv1.CreateSigningKeyRequest{TokenKind: kind, Algorithm: algorithm}
	if algorithm != edDSA {
		made := do[*goodshipv1.CreateSigningKeyResponse](w, backend, req)
		return signer{made.SigningKey, []byte(made.Secret)}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	req.PublicKey = inPEM(w.t, public)
	return signer{do[*goodshipv1.CreateSigningKeyResponse](w, backend, req).SigningKey, private}
}

// inPEM returns a public key as openssl prints it.
func inPEM(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// revokes revokes a signing key.
func (w *world) revokes(key *goodshipv1.SigningKey) *goodshipv1.SigningKey {
	w.t.Helper()
	return do[*goodshipv1.SigningKey](w, backend, &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: key.Id})
}

// signingKeys lists all signing keys.
func (w *world) signingKeys() []*goodshipv1.SigningKey {
	w.t.Helper()
	return do[*goodshipv1.ListSigningKeysResponse](w, backend, &goodshipv1.ListSigningKeysRequest{PageSize: 100}).SigningKeys
}

func TestCreateSigningKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settings := do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{})
	for kind, last := range map[goodshipv1.TokenKind]string{customerTokens: "customer", agentTokens: "agent", leaderTokens: "leader"} {
		made := do[*goodshipv1.CreateSigningKeyResponse](w, backend, &goodshipv1.CreateSigningKeyRequest{TokenKind: kind, DisplayName: "Shop"})
		same(t, "key", made.SigningKey, &goodshipv1.SigningKey{
			Id: made.SigningKey.Id, TokenKind: kind, Algorithm: hs256, DisplayName: "Shop",
			Audience: "goodship/" + w.workspace + "/" + last, CreateTime: made.SigningKey.CreateTime,
		})
		equal(t, "form of the id", strings.HasPrefix(made.SigningKey.Id, "sign_") && len(made.SigningKey.Id) == len("sign_")+26, true)
		equal(t, "form of the secret", strings.HasPrefix(made.Secret, "gss_") && len(made.Secret) == len("gss_")+43, true)
		equal(t, "why there is no secret", made.SecretAbsentReason, 0)
		equal(t, "has a time", made.SigningKey.CreateTime != nil, true)
	}
	same(t, "settings, and their etag", do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{}), settings)
	w.updates(&goodshipv1.Workspace{BrandVoice: "Warm"}, "brand_voice")
	equal(t, "keys after the settings changed", len(w.signingKeys()), 3)
}

// TestSigningSecretIsShownOnce looks for the secret in all that is answered afterwards.
func TestSigningSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := signs(customerTokens)
	req.RequestId = "once"
	made := do[*goodshipv1.CreateSigningKeyResponse](w, backend, req)
	again := do[*goodshipv1.CreateSigningKeyResponse](w, backend, req)
	equal(t, "secret of a replay", again.Secret, "")
	equal(t, "why there is none", again.SecretAbsentReason, goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN)
	for _, reply := range []proto.Message{
		again, do[proto.Message](w, backend, &goodshipv1.ListSigningKeysRequest{}), do[proto.Message](w, backend, &goodshipv1.GetWorkspaceRequest{}),
		w.updates(&goodshipv1.Workspace{BrandVoice: "Warm"}, "brand_voice"), w.revokes(made.SigningKey),
	} {
		if got := fmt.Sprint(reply); strings.Contains(got, made.Secret[4:]) {
			t.Errorf("%T shows the secret: %s", reply, got)
		}
	}
	for name, stored := range image(t, w.store) {
		equal(t, name+" holds the secret of a revoked key", strings.Contains(stored, made.Secret), false)
	}
	revoked := do[*goodshipv1.CreateSigningKeyResponse](w, backend, req)
	equal(t, "replay once revoked has a time", revoked.SigningKey.RevokeTime != nil, true)
}

func TestCreateSigningKeyWithAPublicKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := inPEM(t, public)
	req := &goodshipv1.CreateSigningKeyRequest{TokenKind: agentTokens, Algorithm: edDSA, RequestId: "once"}
	req.PublicKey = "\n " + strings.ReplaceAll(text, "\n", "\r\n") + "\n\n" // as an editor may leave it
	made := do[*goodshipv1.CreateSigningKeyResponse](w, backend, req)
	equal(t, "public key", made.SigningKey.PublicKey, text)
	equal(t, "secret", made.Secret, "")
	again := do[*goodshipv1.CreateSigningKeyResponse](w, backend, req)
	same(t, "replay", again, made)

	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, headers map[string]string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: bytes}))
	}
	spki, _ := pem.Decode([]byte(text))
	for name, public := range map[string]string{
		"none":                         "",
		"no PEM":                       "MCowBQYDK2VwAyEA",
		"a private key":                block("PRIVATE KEY", nil, der),
		"a private key that says less": block("PUBLIC KEY", nil, der),
		"another kind of block":        block("CERTIFICATE", nil, spki.Bytes),
		"another kind of key":          inPEM(t, &other.PublicKey),
		"the bare bytes":               block("PUBLIC KEY", nil, private.Public().(ed25519.PublicKey)),
		"headers":                      block("PUBLIC KEY", map[string]string{"a": "b"}, spki.Bytes),
		"two keys":                     text + text,
		"something after":              text + "x",
		"something before":             "x\n" + text,
		"bytes after the key":          block("PUBLIC KEY", nil, append(slices.Clone(spki.Bytes), 0)),
		"a key cut off":                block("PUBLIC KEY", nil, spki.Bytes[:len(spki.Bytes)-1]),
	} {
		t.Run(name, func(t *testing.T) {
			w.refuses(backend, &goodshipv1.CreateSigningKeyRequest{TokenKind: agentTokens, Algorithm: edDSA, PublicKey: public}, "InvalidArgument INVALID_REQUEST public_key")
		})
	}
	_, err = w.call(w.by(backend), &goodshipv1.CreateSigningKeyRequest{TokenKind: agentTokens, Algorithm: edDSA, PublicKey: block("PRIVATE KEY", nil, der)})
	if err == nil || !strings.Contains(err.Error(), "make another pair") {
		t.Errorf("a private key: got %v, want a sentence that says what has happened", err)
	}
	w.refuses(backend, &goodshipv1.CreateSigningKeyRequest{TokenKind: agentTokens, PublicKey: text}, "InvalidArgument INVALID_REQUEST public_key")
	w.refuses(backend, &goodshipv1.CreateSigningKeyRequest{TokenKind: agentTokens, Algorithm: hs256, PublicKey: text}, "InvalidArgument INVALID_REQUEST public_key")
}

// TestTwoSigningKeysAreLive makes keys until no more may be made, of each kind by itself.
func TestTwoSigningKeysAreLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var first []*goodshipv1.SigningKey
	for _, kind := range []goodshipv1.TokenKind{customerTokens, agentTokens, leaderTokens} {
		older := w.newSigner(kind, hs256).key
		w.newSigner(kind, edDSA)
		w.refuses(backend, signs(kind), "FailedPrecondition SIGNING_KEYS_LIVE signing_key_id="+older.Id)
		first = append(first, older)
	}
	w.revokes(first[1])
	w.newSigner(agentTokens, hs256)
	w.refuses(backend, signs(customerTokens), "FailedPrecondition SIGNING_KEYS_LIVE signing_key_id="+first[0].Id)
	other := foundWorld(t, w.clock, w.store)
	other.newSigner(customerTokens, hs256)
	other.refuses(backend, &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: first[0].Id}, "NotFound SIGNING_KEY_NOT_FOUND")
	equal(t, "keys of another workspace", len(other.signingKeys()), 1)
}

func TestRevokeSigningKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settings := do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{})
	key := w.newSigner(customerTokens, hs256).key
	revoked := w.revokes(key)
	equal(t, "has a time", revoked.RevokeTime != nil, true)
	key.RevokeTime = revoked.RevokeTime
	same(t, "revoked", revoked, key)
	w.clock.Jump(time.Minute)
	same(t, "revoked again", w.revokes(key), revoked)
	same(t, "listed", w.signingKeys()[0], revoked)
	same(t, "settings, and their etag", do[*goodshipv1.Workspace](w, backend, &goodshipv1.GetWorkspaceRequest{}), settings)
}

// TestRevokedSigningKeysAreForgotten revokes more than are kept: the latest are, and every live one.
func TestRevokedSigningKeysAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	oldest := w.newSigner(leaderTokens, hs256).key
	var revoked []string
	for range 8 {
		key := w.newSigner(customerTokens, hs256).key
		w.revokes(key)
		revoked = append(revoked, key.Id)
	}
	listed := func() []string {
		var ids []string
		for _, k := range w.signingKeys() {
			ids = append(ids, k.Id)
		}
		slices.Reverse(ids)
		return ids
	}
	equal(t, "keys", list(listed()), list(append([]string{oldest.Id}, revoked[2:]...)))
	w.refuses(backend, &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: revoked[0]}, "NotFound SIGNING_KEY_NOT_FOUND")
	w.revokes(oldest) // made first, and revoked last
	equal(t, "keys", list(listed()), list(append([]string{oldest.Id}, revoked[3:]...)))
	for size := 1; size <= 7; size += 3 {
		var ids []string
		for _, m := range w.walk(backend, &goodshipv1.ListSigningKeysRequest{}, size) {
			ids = append(ids, m.(*goodshipv1.SigningKey).Id)
		}
		slices.Reverse(ids)
		equal(t, fmt.Sprintf("keys, %d at a time", size), list(ids), list(listed()))
	}
}
