package doors_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// signer signs JWTs, as a product's server does.
type signer struct {
	t      *testing.T
	id     string
	aud    string
	method jwt.SigningMethod
	key    any
	now    func() time.Time
}

// newSigner makes a signing key of a kind: HS256, or EdDSA.
func (p *product) newSigner(kind goodshipv1.TokenKind, eddsa bool) signer {
	p.t.Helper()
	req := &goodshipv1.CreateSigningKeyRequest{TokenKind: kind}
	s := signer{t: p.t, method: jwt.SigningMethodHS256, now: p.clock.Now}
	if eddsa {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			p.t.Fatal(err)
		}
		s.method, s.key = jwt.SigningMethodEdDSA, private
		req.Algorithm, req.PublicKey = goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_EDDSA, publicPEM(p.t, public)
	}
	made := p.do(p.backend(), req).(*goodshipv1.CreateSigningKeyResponse)
	if s.id, s.aud = made.SigningKey.Id, made.SigningKey.Audience; !eddsa {
		s.key = []byte(made.Secret)
	}
	return s
}

func publicPEM(t *testing.T, key ed25519.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// token signs a token of a person, good for half an hour, with changes to its header and its claims.
func (s signer) token(person string, changes ...func(*jwt.Token, jwt.MapClaims)) string {
	s.t.Helper()
	claims := jwt.MapClaims{"aud": s.aud, "sub": person, "iat": s.now().Unix(), "exp": s.now().Add(30 * time.Minute).Unix()}
	unsigned := jwt.NewWithClaims(s.method, claims)
	unsigned.Header["kid"] = s.id
	for _, change := range changes {
		change(unsigned, claims)
	}
	signed, err := unsigned.SignedString(s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return signed
}

// claim sets a claim; nil takes it out.
func claimed(name string, value any) func(*jwt.Token, jwt.MapClaims) {
	return func(_ *jwt.Token, claims jwt.MapClaims) {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
}

// headed sets a part of the header.
func headed(name string, value any) func(*jwt.Token, jwt.MapClaims) {
	return func(t *jwt.Token, _ jwt.MapClaims) { t.Header[name] = value }
}
