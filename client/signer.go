package client

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// How long tokens may last.
const (
	maxCustomerLifetime = time.Hour
	maxAgentLifetime    = 12 * time.Hour
)

var (
	signingKeyIDs = regexp.MustCompile(`^sign_[0-9a-v]{26}$`)
	audiences     = regexp.MustCompile(`^goodship/[^/]+/(customer|agent|leader)$`)
	secrets       = regexp.MustCompile(`^gss_[A-Za-z0-9_-]{43}$`)
	people        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~@+-]{0,127}$`)
	visitors      = regexp.MustCompile(`^visitor_[0-9a-v]{26}$`)
)

// Signer makes the tokens of one kind of a product's people, on the product's servers: with one signing key, without a call.
// Its methods may be called from any goroutine.
type Signer struct {
	id, audience string
	method       jwt.SigningMethod
	key          any
	customers    bool
}

// NewSigner returns a signer for a signing key: its id and audience, as CreateSigningKey returned them, and what it signs
// with: the secret (`gss_…`) that came with them if its algorithm is HS256, or if it is EDDSA the private key whose public
// key it was made with.
func NewSigner[K string | ed25519.PrivateKey](id, audience string, key K) (*Signer, error) {
	if !signingKeyIDs.MatchString(id) {
		return nil, fmt.Errorf("client: %q is no id of a signing key, which is sign_ and 26 characters; CreateSigningKey and ListSigningKeys return it", id)
	}
	if !audiences.MatchString(audience) {
		return nil, fmt.Errorf("client: %q is no audience, as in goodship/<workspace id>/customer; CreateSigningKey and ListSigningKeys return it", audience)
	}
	s := &Signer{id: id, audience: audience, customers: strings.HasSuffix(audience, "/customer")}
	switch k := any(key).(type) {
	case string:
		if !secrets.MatchString(k) {
			return nil, errors.New("client: the secret is none of a signing key, which is gss_ and 43 characters; CreateSigningKey returned it, once")
		}
		s.method, s.key = jwt.SigningMethodHS256, []byte(k)
	case ed25519.PrivateKey:
		if len(k) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("client: the private key has %d bytes, and an Ed25519 one has %d", len(k), ed25519.PrivateKeySize)
		}
		s.method, s.key = jwt.SigningMethodEdDSA, k
	}
	return s, nil
}

// Sign returns a token of a person, under the product's id, that works from now on: at most 1 hour for a customer, 12 hours
// for an agent or a leader. Take the id from your own session, never from the request of a page: who chooses it chooses
// whose conversations they see.
func (s *Signer) Sign(subject string, lifetime time.Duration) (string, error) {
	if err := s.check(subject, lifetime); err != nil {
		return "", err
	}
	now := time.Now()
	token := jwt.NewWithClaims(s.method, jwt.MapClaims{
		"aud": s.audience,
		"sub": subject,
		"iat": now.Unix(),
		"exp": now.Add(lifetime).Unix(),
	})
	token.Header["kid"] = s.id
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("client: the token cannot be signed: %w", err)
	}
	return signed, nil
}

func (s *Signer) check(subject string, lifetime time.Duration) error {
	longest := maxAgentLifetime
	if s.customers {
		longest = maxCustomerLifetime
	}
	switch {
	case !people.MatchString(subject):
		return fmt.Errorf("client: %q is no id of a person: 1 to 128 letters, digits and ._~@+-, the first a letter, a digit or _", subject)
	case s.customers && visitors.MatchString(subject):
		return fmt.Errorf("client: %q is a visitor's id, which no customer has; visitors get their tokens from CreateVisitorSession", subject)
	case lifetime < time.Second || lifetime > longest:
		return fmt.Errorf("client: a token of %s cannot last %v; choose from 1s to %v", s.audience, lifetime, longest)
	}
	return nil
}
