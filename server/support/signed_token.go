package support

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
)

const (
	// maxSignedToken is how long a signed token may be, in bytes.
	maxSignedToken = 8 << 10
	// leeway is by how much the clock of a product's server may differ from ours.
	leeway = time.Minute
	// issueLeeway is by how much iat may be ahead of our clock. It is short, since a revocation ends the tokens of as long
	// after it too.
	issueLeeway = 5 * time.Second
)

// tokenKinds says, of each kind of signing key, the most that the bearer of its tokens may be.
var tokenKinds = map[goodshipv1.TokenKind]goodshipv1.Caller{
	goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER: goodshipv1.Caller_CALLER_CUSTOMER,
	goodshipv1.TokenKind_TOKEN_KIND_AGENT:    goodshipv1.Caller_CALLER_AGENT,
	goodshipv1.TokenKind_TOKEN_KIND_LEADER:   goodshipv1.Caller_CALLER_LEADER,
}

// signedToken is what a JWT says that a product's server signed.
type signedToken struct {
	workspace, keyID, subject string
	// Both are by the clock on the wall. issued is zero if the token does not say.
	issued, expires time.Time
}

// bySignedToken returns the person of a JWT. Whether its signature fits is remembered; whether its key is live is not.
func (s *Service) bySignedToken(ctx context.Context, token string) (Caller, error) {
	if len(token) > maxSignedToken {
		return Caller{}, badCredential("The token has more than %d bytes. Sign only the claims aud, sub, iat and exp.", maxSignedToken)
	}
	hash := sha256.Sum256([]byte(token))
	t, verified := s.verified.get(hash)
	if !verified {
		var err error
		if t, err = unverified(token); err != nil {
			return Caller{}, err
		}
	}
	key, err := s.verifyingKey(ctx, t)
	if err != nil {
		return Caller{}, err
	}
	if !verified {
		if t, err = s.verify(token, key); err != nil {
			return Caller{}, err
		}
		s.verified.put(hash, t)
	}
	if !s.now().Before(t.expires.Add(leeway)) {
		return Caller{}, expiredToken(t.expires)
	}
	c := Caller{
		Kind: tokenKinds[key.SigningKey.TokenKind], Workspace: t.workspace, ID: t.subject,
		byToken: true, signedBy: t.keyID, expires: t.expires.Add(leeway),
	}
	if !t.issued.IsZero() {
		// The store's clock is read first: what passes in between can make the token seem older only.
		c.issued = t.issued.Add(s.store.Now().Sub(s.now()) - issueLeeway)
	}
	return c, nil
}

// verifyingKey returns the live key that a token says it was signed with.
func (s *Service) verifyingKey(ctx context.Context, t signedToken) (*storev1.SigningKeyRecord, error) {
	w, err := s.store.Workspace(ctx, t.workspace)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	key := findSigningKey(w, t.keyID)
	if key == nil {
		return nil, badCredential("The workspace in the token's aud has no signing key with the id in its kid. Set both as CreateSigningKey returned them.")
	}
	if key.SigningKey.RevokeTime != nil {
		return nil, signingKeyRevoked()
	}
	return key, nil
}

// claims are the claims that count, each given once, under exactly its name: of two spellings nobody could say which counts.
type claims struct{ jwt.RegisteredClaims }

// UnmarshalJSON refuses claims that two readers could read differently.
func (c *claims) UnmarshalJSON(body []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return badCredential("The token's claims are no JSON object.")
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		for _, claim := range []string{"aud", "sub", "exp", "iat", "nbf"} {
			if !strings.EqualFold(name.(string), claim) {
				continue
			}
			if name != claim || seen[claim] {
				return badCredential("The token's claim %s is given twice, or in capitals. Give it once.", claim)
			}
			seen[claim] = true
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(body, &c.RegisteredClaims); err != nil {
		return err
	}
	for _, at := range []*jwt.NumericDate{c.ExpiresAt, c.IssuedAt, c.NotBefore} {
		if at != nil && (at.Unix() < 0 || at.Unix() > lastSecond) {
			return badCredential("The token's claims exp, iat and nbf are seconds since 1970, as whole numbers.")
		}
	}
	return nil
}

// lastSecond is the last of the year 9999.
const lastSecond = 253402300799

// unverified returns what a token says of the workspace and the key, to find the key with. Nothing of it is to be believed.
func unverified(token string) (signedToken, error) {
	var c claims
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &c)
	var refused *fault.Fault
	switch {
	case errors.As(err, &refused):
		return signedToken{}, refused
	case err != nil && !errors.Is(err, jwt.ErrTokenUnverifiable): // an alg that is unknown is not the key's either
		return signedToken{}, malformedToken()
	}
	kid, _ := parsed.Header["kid"].(string)
	if kid == "" {
		return signedToken{}, badCredential("The token's header lacks kid. Set it to the id of the signing key.")
	}
	if len(c.Audience) != 1 {
		return signedToken{}, badCredential("The token has %d values of aud. Set exactly one: the audience of the signing key.", len(c.Audience))
	}
	workspace, ok := strings.CutPrefix(c.Audience[0], "goodship/")
	workspace, _, _ = strings.Cut(workspace, "/")
	if !ok || !workspaceID.MatchString(workspace) {
		return signedToken{}, badCredential("The token's aud is no audience of a signing key: goodship/<workspace id>/customer, or …/agent, or …/leader.")
	}
	return signedToken{workspace: workspace, keyID: kid}, nil
}

// verify returns what a token says, if it was signed with the key, for what the key is for, and may be believed now.
func (s *Service) verify(token string, r *storev1.SigningKeyRecord) (signedToken, error) {
	key := r.SigningKey
	alg, material, err := verifier(r)
	if err != nil {
		return signedToken{}, err
	}
	var c claims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithStrictDecoding(), jwt.WithAudience(key.Audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(s.now))
	parsed, err := parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return material, nil })
	switch {
	case parsed.Header["alg"] != alg:
		return signedToken{}, badCredential("The token's alg is not that of its signing key, which signs with %s only.", alg)
	case parsed.Header["crit"] != nil:
		return signedToken{}, badCredential("The token's header has crit, and no extension is known here. Leave it out.")
	case err != nil:
		return signedToken{}, whyRefused(err, key, c)
	}
	if err := checkClaims(c, key.TokenKind, s.now()); err != nil {
		return signedToken{}, err
	}
	workspace, _, _ := strings.Cut(strings.TrimPrefix(key.Audience, "goodship/"), "/")
	t := signedToken{workspace: workspace, keyID: key.Id, subject: c.Subject, expires: c.ExpiresAt.Time}
	if c.IssuedAt != nil {
		t.issued = c.IssuedAt.Time
	}
	return t, nil
}

// verifier returns the one algorithm of a key, and what it verifies with.
func verifier(r *storev1.SigningKeyRecord) (string, any, error) {
	if r.SigningKey.Algorithm == goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_EDDSA {
		public, err := parsePublicKey(r.SigningKey.PublicKey)
		return jwt.SigningMethodEdDSA.Alg(), public, err
	}
	return jwt.SigningMethodHS256.Alg(), r.Secret, nil
}

// whyRefused tells a developer what is wrong with a token that the parser refused.
func whyRefused(err error, key *goodshipv1.SigningKey, c claims) error {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return badCredential("The token's signature does not fit. Sign with the key that its kid names; an HS256 secret is signed with as it stands, gss_ and all, not decoded.")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return badCredential("The token's aud is not that of its signing key, which is %s.", key.Audience)
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return badCredential("The token lacks exp. Set it to when the token ends, in seconds since 1970.")
	case errors.Is(err, jwt.ErrTokenExpired):
		return expiredToken(c.ExpiresAt.Time)
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return badCredential("The token's nbf is in the future. Compare your clock with ours.")
	}
	return malformedToken()
}

// checkClaims holds claims to what the parser does not know of.
func checkClaims(c claims, kind goodshipv1.TokenKind, now time.Time) error {
	longest := tokenAge(tokenKinds[kind])
	switch {
	case c.IssuedAt != nil && c.IssuedAt.After(now.Add(issueLeeway)):
		return badCredential("The token's iat is more than %s in the future: the signer's clock is ahead. Set that clock right.", issueLeeway)
	case c.ExpiresAt.After(now.Add(longest + leeway)):
		return badCredential("The token's exp is too far ahead: at most %s for this kind. Sign one when it is needed.", longest)
	case !personID.MatchString(c.Subject):
		return badCredential("The token's sub is missing, or no id: 1 to 128 letters, digits and ._~@+- that begin with a letter, a digit or _.")
	case kind == goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER && visitorID.MatchString(c.Subject):
		return badCredential("The token's sub is a visitor's id, and visitors get their tokens from CreateVisitorSession. Use your own id of the customer.")
	}
	return nil
}

func malformedToken() error {
	return badCredential("The token is no JWT: header, claims and signature in base64url without padding, with dots between; sub a string, aud one, exp, iat and nbf numbers.")
}

func expiredToken(at time.Time) error {
	return expiredCredential(at, "Sign a new token.")
}

// verifiedTokens remembers tokens whose signature fits: those that were asked for since the latest 5,000, and at most as many
// before. Safe for concurrent use.
type verifiedTokens struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]signedToken
}

// maxYoungTokens is how many make a generation; at most two are kept.
const maxYoungTokens = 5000

// get returns a token by its hash.
func (v *verifiedTokens) get(hash [sha256.Size]byte) (signedToken, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if t, ok := v.young[hash]; ok {
		return t, true
	}
	t, ok := v.old[hash]
	if ok {
		v.add(hash, t)
	}
	return t, ok
}

// put remembers a token.
func (v *verifiedTokens) put(hash [sha256.Size]byte, t signedToken) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.add(hash, t)
}

// add makes a token young; under the lock. What nobody asked for during a whole generation is forgotten.
func (v *verifiedTokens) add(hash [sha256.Size]byte, t signedToken) {
	if v.young == nil || len(v.young) >= maxYoungTokens {
		v.young, v.old = map[[sha256.Size]byte]signedToken{}, v.young
	}
	v.young[hash] = t
}
