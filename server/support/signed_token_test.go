package support_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// draft is a token before it is signed.
type draft struct {
	header, claims map[string]any
	method         jwt.SigningMethod
	with           any
}

// drafts returns a token for somebody as a product's server makes it: issued now, for half an hour.
func (k signer) drafts(w *world, sub string) *draft {
	d := &draft{
		header: map[string]any{"typ": "JWT", "alg": "HS256", "kid": k.key.Id}, method: jwt.SigningMethodHS256, with: k.with,
		claims: map[string]any{"aud": k.key.Audience, "sub": sub, "iat": w.clock.Now().Unix(), "exp": w.in(30 * time.Minute)},
	}
	if k.key.Algorithm == edDSA {
		d.header["alg"], d.method = "EdDSA", jwt.SigningMethodEdDSA
	}
	return d
}

// in returns a time from now as a claim.
func (w *world) in(d time.Duration) int64 { return w.clock.Now().Add(d).Unix() }

// sign returns the token.
func (d *draft) sign() string {
	token := &jwt.Token{Header: d.header, Claims: jwt.MapClaims(d.claims), Method: d.method}
	signed, err := token.SignedString(d.with)
	if err != nil {
		panic(err)
	}
	return signed
}

// token returns a token for somebody.
func (k signer) token(w *world, sub string) string { return k.drafts(w, sub).sign() }

// signRaw signs claims as they are written.
func (d *draft) signRaw(claims string) string {
	d.claims = nil
	header, _, _ := strings.Cut(d.sign(), ".")
	text := header + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := d.method.Sign(text, d.with)
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// knocks tells how a credential is refused; empty if it is not.
func (w *world) knocks(token, actFor string) string {
	w.t.Helper()
	_, err := w.Authenticate(w.t.Context(), token, actFor)
	return refusal(err)
}

const (
	credentialInvalid = "Unauthenticated CREDENTIAL_INVALID"
	credentialExpired = "Unauthenticated CREDENTIAL_EXPIRED"
	credentialRevoked = "Unauthenticated CREDENTIAL_REVOKED"
	// Of the one that stands in a field of the request.
	ofVisitor, ofRenewal = " field=visitor_token", " field=renewal_token"
)

func TestSignedTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, algorithm := range []goodshipv1.SigningAlgorithm{hs256, edDSA} {
		for _, test := range []struct {
			kind goodshipv1.TokenKind
			sub  string
			want goodshipv1.Caller
		}{
			{customerTokens, "kim", goodshipv1.Caller_CALLER_CUSTOMER},
			{customerTokens, "somebody@new.example", goodshipv1.Caller_CALLER_CUSTOMER},
			{customerTokens, "ada", goodshipv1.Caller_CALLER_CUSTOMER}, // a customer who is called as an agent is
			{agentTokens, "ada", goodshipv1.Caller_CALLER_AGENT},
			{agentTokens, "lea", goodshipv1.Caller_CALLER_AGENT}, // whatever the directory says
			{leaderTokens, "ada", goodshipv1.Caller_CALLER_AGENT},
			{leaderTokens, "lea", goodshipv1.Caller_CALLER_LEADER},
		} {
			k := w.newSigner(test.kind, algorithm)
			token := k.token(w, test.sub)
			for _, time := range []string{"first", "cached"} {
				c, err := w.Authenticate(t.Context(), token, "")
				name := fmt.Sprintf("%v %v for %s, %s", algorithm, test.kind, test.sub, time)
				equal(t, name+": error", refusal(err), "")
				equal(t, name+": kind", c.Kind, test.want)
				equal(t, name+": id", c.ID, test.sub)
				equal(t, name+": workspace", c.Workspace, w.workspace)
				equal(t, name+": key and scopes", c.APIKeyID+fmt.Sprint(c.Scopes), "[]")
				equal(t, name+": has keys", len(c.CustomerKeys) > 0, test.kind == customerTokens)
			}
			w.revokes(k.key)
		}
	}
}

// TestSignedTokenForms signs what other libraries write for the same.
func TestSignedTokenForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.newSigner(customerTokens, hs256)
	for name, make := range map[string]func(*draft) string{
		"no typ":             inHeader("typ", nil),
		"an aud in a list":   func(d *draft) string { return inClaims("aud", []any{d.claims["aud"]})(d) },
		"no iat":             inClaims("iat", nil),
		"an iat in parts":    inClaims("iat", float64(w.clock.Now().Unix())+0.5),
		"claims of its own":  inClaims("https://shop.example/Sub", "lou"),
		"an unknown issuer":  inClaims("iss", "https://shop.example"),
		"a claim that holds": inClaims("x", map[string]any{"sub": "lou", "SUB": "lou"}),
		"spaces":             raw(`  { "sub" : "kim", "aud" : "AUD", "exp" : EXP }  `),
		"as long as may be": func(d *draft) string {
			d.claims["x"] = ""
			return inClaims("x", strings.Repeat("x", (8<<10-len(d.sign()))*3/4))(d)
		},
	} {
		c, err := w.Authenticate(t.Context(), make(k.drafts(w, "kim")), "")
		equal(t, name+": error", refusal(err), "")
		equal(t, name+": id", c.ID, "kim")
	}
}

// TestSamePersonByAnyCredential repeats a request with other credentials of the same person.
func TestSamePersonByAnyCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for p, kind := range map[person]goodshipv1.TokenKind{kim: customerTokens, ada: agentTokens} {
		id := w.opens(kim, "Hello?")
		send := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "One.", SeenRevision: w.revision(id), RequestId: "once"}
		first := do[*goodshipv1.Message](w, p, send)
		for name, token := range map[string]string{"JWT": w.newSigner(kind, hs256).token(w, p.id()), "token": w.tokenFor(p)} {
			c, err := w.Authenticate(t.Context(), token, "")
			if err != nil {
				t.Fatalf("%s of %s: %v", name, p, err)
			}
			again, err := w.call(support.WithCaller(t.Context(), c), send)
			equal(t, "error by "+name, refusal(err), "")
			same(t, "message by "+name, again, first)
		}
	}
}

// TestSignedTokenMakesPresent lets an agent call with a token, and refuses one who is not let in.
func TestSignedTokenMakesPresent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.newSigner(agentTokens, edDSA)
	w.clock.Jump(time.Hour)
	present := func() bool {
		return do[*goodshipv1.Agent](w, backend, &goodshipv1.GetAgentRequest{AgentId: "ada"}).Present
	}
	equal(t, "present at first", present(), false)
	d := k.drafts(w, "ada")
	d.claims["exp"] = w.in(-time.Hour)
	equal(t, "with an expired token", w.knocks(d.sign(), ""), credentialExpired)
	equal(t, "with a name beside", w.knocks(k.token(w, "ada"), "agent/ada"), "InvalidArgument ACT_FOR_INVALID")
	equal(t, "present after refusals", present(), false)
	equal(t, "with a token", w.knocks(k.token(w, "ada"), ""), "")
	equal(t, "present", present(), true)
}

// forgery is a token that is not let in.
type forgery struct {
	// make changes the draft of a good token, or returns another token.
	make func(d *draft) string
	want string
	// says is a part of the sentence.
	says string
}

// inHeader and inClaims make forgeries that differ in one thing; nil takes it away.
func inHeader(name string, value any) func(*draft) string {
	return func(d *draft) string { return with(d.header, name, value, d) }
}

func inClaims(name string, value any) func(*draft) string {
	return func(d *draft) string { return with(d.claims, name, value, d) }
}

func with(m map[string]any, name string, value any, d *draft) string {
	if m[name] = value; value == nil {
		delete(m, name)
	}
	return d.sign()
}

// raw makes forgeries with other claims, which stand for %d in what is written: the audience and the expiry.
func raw(claims string) func(*draft) string {
	return func(d *draft) string {
		return d.signRaw(strings.NewReplacer("AUD", fmt.Sprint(d.claims["aud"]), "EXP", fmt.Sprint(d.claims["exp"])).Replace(claims))
	}
}

// forgeries hold for keys of either algorithm, and customers.
var forgeries = map[string]forgery{
	"no kid":                {inHeader("kid", nil), credentialInvalid, "lacks kid"},
	"a kid that is no text": {inHeader("kid", 7), credentialInvalid, "lacks kid"},
	"an unknown kid":        {inHeader("kid", "sign_"+strings.Repeat("0", 26)), credentialInvalid, "no signing key with the id in its kid"},
	"a kid like a path":     {inHeader("kid", "../../dev/null"), credentialInvalid, "no signing key"},
	"alg none": {func(d *draft) string {
		d.header["alg"], d.method, d.with = "none", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
		return d.sign()
	}, credentialInvalid, "alg is not that of its signing key"},
	"alg none, the signature as it was": {func(d *draft) string {
		signed := d.sign()
		return reheaded(signed, `{"alg":"none","kid":"`+d.header["kid"].(string)+`"}`)
	}, credentialInvalid, "alg is not that of its signing key"},
	"an alg in other letters":   {inHeader("alg", "hs256"), credentialInvalid, "alg is not that"},
	"another alg, signed alike": {inHeader("alg", "HS512"), credentialInvalid, "alg is not that"},
	"no alg":                    {inHeader("alg", nil), credentialInvalid, "alg is not that"},
	"an alg that is no text":    {inHeader("alg", []string{"HS256"}), credentialInvalid, "alg is not that"},
	"crit":                      {inHeader("crit", []string{"exp"}), credentialInvalid, "crit"},
	"crit, empty":               {inHeader("crit", []string{}), credentialInvalid, "crit"},

	"no aud":                 {inClaims("aud", nil), credentialInvalid, "0 values of aud"},
	"two values of aud":      {func(d *draft) string { return inClaims("aud", []any{d.claims["aud"], "x"})(d) }, credentialInvalid, "2 values of aud"},
	"the same aud twice":     {func(d *draft) string { return inClaims("aud", []any{d.claims["aud"], d.claims["aud"]})(d) }, credentialInvalid, "2 values of aud"},
	"an aud that is no text": {inClaims("aud", 7), credentialInvalid, "no JWT"},
	"another service's aud":  {inClaims("aud", "https://shop.example"), credentialInvalid, "no audience"},
	"an aud cut off": {func(d *draft) string {
		return inClaims("aud", strings.TrimSuffix(d.claims["aud"].(string), "/customer"))(d)
	}, credentialInvalid, "aud is not that of its signing key"},
	"another kind's aud": {func(d *draft) string {
		return inClaims("aud", strings.Replace(d.claims["aud"].(string), "customer", "agent", 1))(d)
	}, credentialInvalid, "aud is not that of its signing key"},
	"an aud with more":        {func(d *draft) string { return inClaims("aud", d.claims["aud"].(string)+"/x")(d) }, credentialInvalid, "aud is not that of its signing key"},
	"an unknown workspace":    {inClaims("aud", "goodship/work_00000000000000000000000000/customer"), credentialInvalid, "no signing key"},
	"a workspace like a path": {inClaims("aud", "goodship/../customer"), credentialInvalid, "no audience"},

	"no sub":                {inClaims("sub", nil), credentialInvalid, "sub is missing"},
	"an empty sub":          {inClaims("sub", ""), credentialInvalid, "sub is missing"},
	"a sub with a slash":    {inClaims("sub", "kim/lou"), credentialInvalid, "sub is missing, or no id"},
	"a sub with a space":    {inClaims("sub", "kim lou"), credentialInvalid, "sub is missing, or no id"},
	"a sub with NUL":        {inClaims("sub", "kim\x00"), credentialInvalid, "sub is missing, or no id"},
	"a sub with a line end": {inClaims("sub", "kim\n"), credentialInvalid, "sub is missing, or no id"},
	"a sub too long":        {inClaims("sub", strings.Repeat("k", 129)), credentialInvalid, "sub is missing, or no id"},
	"a sub that is no text": {inClaims("sub", 7), credentialInvalid, "no JWT"},
	"a visitor's id":        {inClaims("sub", "visitor_"+strings.Repeat("0", 26)), credentialInvalid, "visitor's id"},

	"no exp":                     {inClaims("exp", nil), credentialInvalid, "lacks exp"},
	"an exp of null":             {raw(`{"aud":"AUD","sub":"kim","exp":null}`), credentialInvalid, "lacks exp"},
	"an exp that is a word":      {inClaims("exp", "tomorrow"), credentialInvalid, "no JWT"},
	"an exp beyond all time":     {inClaims("exp", 1e300), credentialInvalid, "seconds since 1970"},
	"an exp before all time":     {inClaims("exp", -1e300), credentialInvalid, "seconds since 1970"},
	"an exp of 0":                {inClaims("exp", 0), credentialExpired, "1970-01-01T00:00:00Z"},
	"an iat before all time":     {inClaims("iat", -1), credentialInvalid, "seconds since 1970"},
	"an iat beyond all time":     {inClaims("iat", 1e300), credentialInvalid, "seconds since 1970"},
	"an nbf beyond all time":     {inClaims("nbf", 1e300), credentialInvalid, "seconds since 1970"},
	"an exp after the year 9999": {inClaims("exp", 253402300800), credentialInvalid, "seconds since 1970"},
	"an exp in the year 9999":    {inClaims("exp", 253402300799), credentialInvalid, "too far ahead"},
	"an iat that is a word":      {inClaims("iat", "today"), credentialInvalid, "no JWT"},

	"a claim twice":                {raw(`{"aud":"AUD","sub":"lou","sub":"kim","exp":EXP}`), credentialInvalid, "sub is given twice"},
	"aud twice":                    {raw(`{"aud":"AUD","aud":"AUD","sub":"kim","exp":EXP}`), credentialInvalid, "aud is given twice"},
	"a claim in capitals":          {raw(`{"aud":"AUD","SUB":"kim","exp":EXP}`), credentialInvalid, "in capitals"},
	"a claim in other letters too": {raw(`{"aud":"AUD","sub":"lou","ſub":"kim","exp":EXP}`), credentialInvalid, "in capitals"},
	"claims of null":               {raw(`null`), credentialInvalid, "0 values of aud"},
	"claims in a list":             {raw(`["AUD"]`), credentialInvalid, "no JSON object"},
	"claims that end early":        {raw(`{"aud":"AUD","sub":"kim"`), credentialInvalid, "no JWT"},
	"claims with something after":  {raw(`{"aud":"AUD","sub":"kim","exp":EXP}{}`), credentialInvalid, "no JWT"},

	"no signature":        {func(d *draft) string { s := d.sign(); return s[:strings.LastIndexByte(s, '.')+1] }, credentialInvalid, "signature does not fit"},
	"a signature cut off": {func(d *draft) string { s := d.sign(); return s[:len(s)-4] }, credentialInvalid, ""},
	"a signature with bits left over": {func(d *draft) string {
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		s := d.sign()
		last := len(s) - 1
		return s[:last] + string(digits[strings.IndexByte(digits, s[last])+1])
	}, credentialInvalid, "no JWT"},
	"a signature with padding": {func(d *draft) string { return d.sign() + "=" }, credentialInvalid, "no JWT"},
	"other claims": {func(d *draft) string {
		parts := strings.Split(d.sign(), ".")
		d.claims["sub"] = "lou"
		return parts[0] + "." + strings.Split(d.sign(), ".")[1] + "." + parts[2]
	}, credentialInvalid, "signature does not fit"},
	"another header": {func(d *draft) string {
		return reheaded(d.sign(), fmt.Sprintf(`{"alg":%q,"kid":%q}`, d.header["alg"], d.header["kid"]))
	}, credentialInvalid, "signature does not fit"},
	"a header that is no JSON": {func(d *draft) string { return reheaded(d.sign(), "x") }, credentialInvalid, "no JWT"},
	"a header of null":         {func(d *draft) string { return reheaded(d.sign(), "null") }, credentialInvalid, "lacks kid"},
	"dots alone":               {func(*draft) string { return ".." }, credentialInvalid, "no JWT"},
	"one part more":            {func(d *draft) string { return d.sign() + ".x" }, credentialInvalid, "no known form"},
	"too long":                 {inClaims("x", strings.Repeat("x", 8<<10)), credentialInvalid, "8192 bytes"},
}

// reheaded returns a token with another header.
func reheaded(token, header string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + token[strings.IndexByte(token, '.'):]
}

func TestSignedTokenRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, algorithm := range []goodshipv1.SigningAlgorithm{hs256, edDSA} {
		k := w.newSigner(customerTokens, algorithm)
		for name, f := range forgeries {
			t.Run(algorithm.String()+"/"+name, func(t *testing.T) {
				w.turnsAway(t, f.make(k.drafts(w, "kim")), f.want, f.says)
			})
		}
		equal(t, "a good token after all", w.knocks(k.token(w, "kim"), ""), "")
		w.revokes(k.key)
	}
	equal(t, "tokens remembered", support.VerifiedTokens(w.Service), 2)
}

// turnsAway checks that a token is refused, whenever it comes, with a sentence that tells nothing of it.
func (w *world) turnsAway(t *testing.T, token, want, says string) {
	t.Helper()
	before := image(t, w.store)
	for range 2 {
		c, err := w.Authenticate(t.Context(), token, "")
		equal(t, "error", refusal(err), want)
		equal(t, "kind", c.Kind, goodshipv1.Caller_CALLER_UNSPECIFIED)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want a sentence with %q", err, says)
			continue
		}
		for _, secret := range append(strings.Split(token, "."), "kim", "lou") {
			if len(secret) > 2 && strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want nothing of the token's", err)
			}
		}
	}
	w.unchanged(before)
}

// TestAlgorithmIsTheKeys signs with what the attacker has under another algorithm's name.
func TestAlgorithmIsTheKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public, private := w.newSigner(customerTokens, edDSA), w.newSigner(customerTokens, hs256)
	block, _ := pem.Decode([]byte(public.key.PublicKey))
	bytes := public.with.(ed25519.PrivateKey).Public().(ed25519.PublicKey)
	for name, secret := range map[string][]byte{
		"PEM": []byte(public.key.PublicKey), "PEM, trimmed": []byte(strings.TrimSpace(public.key.PublicKey)), "DER": block.Bytes, "bytes": bytes, "nothing": {},
	} {
		d := public.drafts(w, "kim")
		d.header["alg"], d.method, d.with = "HS256", jwt.SigningMethodHS256, secret
		w.turnsAway(t, d.sign(), credentialInvalid, "which signs with EdDSA only")
		d.header["alg"] = "EdDSA" // signed as HS256 all the same
		w.turnsAway(t, d.sign(), credentialInvalid, "signature does not fit")
		t.Log(name)
	}
	d := private.drafts(w, "kim")
	d.header["alg"], d.method, d.with = "EdDSA", jwt.SigningMethodEdDSA, public.with
	w.turnsAway(t, d.sign(), credentialInvalid, "which signs with HS256 only")
	d = private.drafts(w, "kim")
	d.with = private.with.([]byte)[len("gss_"):]
	w.turnsAway(t, d.sign(), credentialInvalid, "as it stands")
}

// TestKeyIsOfItsWorkspace uses keys of one workspace for people of another, and of one kind for another kind.
func TestKeyIsOfItsWorkspace(t *testing.T) {
	t.Parallel()
	ours := newWorld(t)
	theirs := foundWorld(t, ours.clock, ours.store)
	for _, algorithm := range []goodshipv1.SigningAlgorithm{hs256, edDSA} {
		their, our, agents := theirs.newSigner(customerTokens, algorithm), ours.newSigner(customerTokens, algorithm), ours.newSigner(agentTokens, algorithm)
		d := their.drafts(ours, "kim")
		d.claims["aud"] = our.key.Audience
		ours.turnsAway(t, d.sign(), credentialInvalid, "no signing key with the id in its kid")
		d.header["kid"] = our.key.Id
		ours.turnsAway(t, d.sign(), credentialInvalid, "signature does not fit")
		d = our.drafts(ours, "kim")
		d.claims["aud"] = their.key.Audience
		ours.turnsAway(t, d.sign(), credentialInvalid, "no signing key with the id in its kid")
		d = our.drafts(ours, "ada")
		d.claims["aud"] = agents.key.Audience
		ours.turnsAway(t, d.sign(), credentialInvalid, "aud is not that of its signing key")
		d.header["kid"] = agents.key.Id
		ours.turnsAway(t, d.sign(), credentialInvalid, "signature does not fit")
		c, err := ours.Authenticate(t.Context(), their.token(ours, "kim"), "")
		equal(t, "error", refusal(err), "")
		equal(t, "workspace", c.Workspace, theirs.workspace)
		ours.revokes(our.key)
		theirs.revokes(their.key)
	}
}

// TestSignedTokenTimes looks at both sides of every bound: 60 seconds of leeway, 5 of iat, and the longest that a kind lasts.
func TestSignedTokenTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signers := map[goodshipv1.TokenKind]signer{}
	for kind := range map[goodshipv1.TokenKind]bool{customerTokens: true, agentTokens: true, leaderTokens: true} {
		signers[kind] = w.newSigner(kind, hs256)
	}
	const ahead = credentialInvalid
	for _, test := range []struct {
		kind  goodshipv1.TokenKind
		claim string
		in    time.Duration
		want  string
	}{
		{customerTokens, "exp", -59 * time.Second, ""},
		{customerTokens, "exp", -60 * time.Second, credentialExpired},
		{customerTokens, "exp", -61 * time.Second, credentialExpired},
		{customerTokens, "exp", time.Hour + 60*time.Second, ""},
		{customerTokens, "exp", time.Hour + 61*time.Second, ahead},
		{agentTokens, "exp", -59 * time.Second, ""},
		{agentTokens, "exp", -60 * time.Second, credentialExpired},
		{agentTokens, "exp", 12*time.Hour + 60*time.Second, ""},
		{agentTokens, "exp", 12*time.Hour + 61*time.Second, ahead},
		{leaderTokens, "exp", 12*time.Hour + 60*time.Second, ""},
		{leaderTokens, "exp", 12*time.Hour + 61*time.Second, ahead},
		{customerTokens, "iat", -300 * 24 * time.Hour, ""},
		{customerTokens, "iat", 5 * time.Second, ""},
		{customerTokens, "iat", 6 * time.Second, ahead},
		{agentTokens, "iat", 6 * time.Second, ahead},
		{customerTokens, "nbf", -time.Hour, ""},
		{customerTokens, "nbf", 60 * time.Second, ""},
		{customerTokens, "nbf", 61 * time.Second, ahead},
		{leaderTokens, "nbf", 61 * time.Second, ahead},
	} {
		sub := "lea"
		d := signers[test.kind].drafts(w, sub)
		d.claims[test.claim] = w.in(test.in)
		name := fmt.Sprintf("%v with %s in %v", test.kind, test.claim, test.in)
		equal(t, name, w.knocks(d.sign(), ""), test.want)
	}
	d := signers[customerTokens].drafts(w, "kim")
	d.claims["iat"] = w.in(6 * time.Second)
	w.turnsAway(t, d.sign(), credentialInvalid, "the signer's clock is ahead")
	delete(d.claims, "iat")
	equal(t, "without iat", w.knocks(d.sign(), ""), "")
}

// TestClocksDiffer has the store's clock ahead, and behind, for good: products' servers sign by the clock on the wall, and
// backends choose by it when keys expire.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"ahead": 2 * time.Hour, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wall := faketime.New()
			w := foundWorld(t, wall, rehearsed{openStore(t, func() time.Time { return wall.Now().Add(ahead) })})
			for p, kind := range map[person]goodshipv1.TokenKind{kim: customerTokens, ada: agentTokens} {
				w.signedByTheWall(t, p, w.newSigner(kind, hs256))
			}
			expires := func(in time.Duration) *goodshipv1.CreateApiKeyRequest {
				return &goodshipv1.CreateApiKeyRequest{DisplayName: "Shop", ExpireTime: timestamppb.New(wall.Now().Add(in))}
			}
			w.refuses(backend, expires(0), "InvalidArgument INVALID_REQUEST expire_time")
			key, token := w.newKey(expires(time.Hour)).Secret, w.tokenFor(kim)
			wall.Jump(time.Hour - time.Microsecond)
			equal(t, "key and token, just before they expire", w.knocks(key, "")+w.knocks(token, ""), "")
			wall.Jump(time.Microsecond)
			equal(t, "key when it expires", w.knocks(key, ""), credentialExpired)
			equal(t, "token when it expires", w.knocks(token, ""), credentialExpired)
		})
	}
}

// signedByTheWall looks at the times of JWTs, and at their revocation.
func (w *world) signedByTheWall(t *testing.T, p person, k signer) {
	t.Helper()
	signed := func(claim string, in time.Duration) string {
		d := k.drafts(w, p.id())
		d.claims[claim] = w.in(in)
		return d.sign()
	}
	equal(t, "exp, not quite over", w.knocks(signed("exp", -59*time.Second), ""), "")
	equal(t, "exp", w.knocks(signed("exp", -60*time.Second), ""), credentialExpired)
	equal(t, "exp too far ahead", w.knocks(signed("exp", 13*time.Hour), ""), credentialInvalid)
	equal(t, "iat ahead", w.knocks(signed("iat", 6*time.Second), ""), credentialInvalid)
	equal(t, "nbf ahead", w.knocks(signed("nbf", 61*time.Second), ""), credentialInvalid)
	first, last := k.token(w, p.id()), signed("exp", 0)
	equal(t, "at first", w.knocks(first, "")+w.knocks(last, ""), "")
	w.clock.Jump(time.Minute)
	equal(t, "verified before, once over", w.knocks(last, ""), credentialExpired)
	second := k.token(w, p.id())
	equal(t, "a minute later", w.knocks(first, "")+w.knocks(second, ""), "")
	w.ends(p, nil)
	for range 2 { // at once, and when its revocation is a minute ago
		equal(t, "once revoked", w.knocks(first, ""), credentialRevoked)
		equal(t, "the second, once revoked", w.knocks(second, ""), credentialRevoked)
		w.clock.Jump(time.Minute)
	}
	equal(t, "a new one", w.knocks(k.token(w, p.id()), ""), "")
}

// TestVerifiedTokenEnds lets time pass over a token that was verified.
func TestVerifiedTokenEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, algorithm := range []goodshipv1.SigningAlgorithm{hs256, edDSA} {
		d := w.newSigner(customerTokens, algorithm).drafts(w, "kim")
		d.claims["exp"] = w.in(time.Minute)
		token := d.sign()
		for _, step := range []struct {
			passes time.Duration
			want   string
		}{
			{0, ""}, {0, ""}, {time.Minute, ""}, {time.Minute - time.Microsecond, ""}, {time.Microsecond, credentialExpired}, {0, credentialExpired}, {time.Hour, credentialExpired},
		} {
			w.clock.Jump(step.passes)
			equal(t, fmt.Sprintf("%v after %v", algorithm, step.passes), w.knocks(token, ""), step.want)
		}
	}
}

// TestVerifiedTokensAreBounded has more tokens verified than are remembered. Those in use are remembered, which shows
// when the clock is set back: whoever reads them anew finds them issued in the future.
func TestVerifiedTokensAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.newSigner(customerTokens, hs256)
	used, unused := k.token(w, "kim"), k.token(w, "lou")
	equal(t, "the first", w.knocks(used, "")+w.knocks(unused, ""), "")
	most := 0
	for n := range support.MaxVerifiedTokens * 6 / 5 {
		support.RememberToken(w.Service, n)
		if n == support.MaxVerifiedTokens*3/5 {
			equal(t, "the one in use", w.knocks(used, ""), "")
		}
		most = max(most, support.VerifiedTokens(w.Service))
	}
	equal(t, "tokens remembered at most", most, support.MaxVerifiedTokens)
	before := support.VerifiedTokens(w.Service)
	equal(t, "a forged one", w.knocks(used+"A", ""), credentialInvalid)
	equal(t, "tokens remembered after a forged one", support.VerifiedTokens(w.Service), before)
	w.clock.Jump(-5 * time.Minute)
	equal(t, "the one in use, with the clock set back", w.knocks(used, ""), "")
	equal(t, "the one not in use, with the clock set back", w.knocks(unused, ""), credentialInvalid)
}

// TestSigningKeysRotate has one key take over from another: no token that was signed in time is refused.
func TestSigningKeysRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.newSigner(customerTokens, hs256)
	last := old.token(w, "kim")
	equal(t, "by the old key", w.knocks(last, ""), "")
	next := w.newSigner(customerTokens, edDSA)
	equal(t, "by the old key, beside the new", w.knocks(last, ""), "")
	equal(t, "by the new key", w.knocks(next.token(w, "kim"), ""), "")
	equal(t, "by the old key, signed late", w.knocks(old.token(w, "lou"), ""), "")
	unseen := old.token(w, "max")
	w.revokes(old.key)
	equal(t, "by the old key, once revoked", w.knocks(last, ""), credentialRevoked)
	equal(t, "by the old key, once revoked, for the first time", w.knocks(unseen, ""), credentialRevoked)
	equal(t, "by the new key alone", w.knocks(next.token(w, "kim"), ""), "")
	third := w.newSigner(customerTokens, hs256)
	equal(t, "by the one after", w.knocks(third.token(w, "kim"), ""), "")
	w.restart()
	equal(t, "by the new key, after a restart", w.knocks(next.token(w, "kim"), ""), "")
	equal(t, "by the old key, after a restart", w.knocks(last, ""), credentialRevoked)
}

// TestNoActForWithTokens names somebody beside a credential that says who calls.
func TestNoActForWithTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	widget := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Page", Kind: publishable}).ApiKey.PublishableKey
	for name, token := range map[string]string{
		"JWT": w.newSigner(leaderTokens, hs256).token(w, "lea"), "token": w.tokenFor(lea), "publishable key": widget,
	} {
		for _, actFor := range []string{"agent/ada", "customer/kim", "agent/lea", "workspace/" + w.workspace, "x"} {
			equal(t, name+" for "+actFor, w.knocks(token, actFor), "InvalidArgument ACT_FOR_INVALID")
		}
		equal(t, name, w.knocks(token, ""), "")
		equal(t, "a forged "+name, w.knocks(token+"A", "agent/ada"), credentialInvalid)
	}
}

// FuzzAuthenticate knocks with anything. Nobody comes in but with the tokens that were made, and nothing panics.
func FuzzAuthenticate(f *testing.F) {
	w := newWorld(f)
	made := map[string]bool{w.secret: true, w.tokenFor(kim): true, w.tokenFor(ada): true}
	for kind, sub := range map[goodshipv1.TokenKind]string{customerTokens: "kim", agentTokens: "ada", leaderTokens: "lea"} {
		for _, k := range []signer{w.newSigner(kind, hs256), w.newSigner(kind, edDSA)} {
			made[k.token(w, sub)] = true
			for _, forged := range forgeries {
				f.Add(forged.make(k.drafts(w, sub)), "")
			}
		}
	}
	for _, token := range append([]string{"", "gsk_", "gpk_", "gtk_", "grt_", "gss_", "gok_", ".", "..", "...", "eyJ.eyJ.e", "\xff.\xff.\xff"}, slices.Sorted(maps.Keys(made))...) {
		f.Add(token, "")
		f.Add(token, "customer/kim")
		f.Add(token+"A", "agent/ada")
		f.Add("Bearer "+token, "x")
	}
	f.Fuzz(func(t *testing.T, token, actFor string) {
		c, err := w.Authenticate(t.Context(), token, actFor)
		if (err == nil) != (c.Kind != goodshipv1.Caller_CALLER_UNSPECIFIED) {
			t.Errorf("got a caller of kind %v with %v", c.Kind, err)
		}
		if err == nil && !made[token] {
			t.Errorf("token %q: got %v %s in, want nobody", token, c.Kind, c.ID)
		}
		if got := refusal(err); strings.HasPrefix(got, "no fault") {
			t.Errorf("token %q: got %s, want a fault", token, got)
		}
	})
}

// BenchmarkAuthenticate compares the credentials. "first" is a token that was not verified before.
func BenchmarkAuthenticate(b *testing.B) {
	w := newWorld(b)
	w.updates(&goodshipv1.Workspace{OpeningHours: weekdays(), AwayAfter: durationpb.New(time.Hour)}, "opening_hours", "away_after")
	run := func(name, actFor string, token func(n int) string) {
		b.Run(name, func(b *testing.B) {
			tokens := make([]string, b.N)
			for n := range tokens {
				tokens[n] = token(n)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				if _, err := w.Authenticate(b.Context(), tokens[n], actFor); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	one := func(token string) func(int) string { return func(int) string { return token } }
	run("key", "", one(w.secret))
	run("key for a customer", "customer/kim", one(w.secret))
	run("key for an agent", "agent/ada", one(w.secret))
	for kind, sub := range map[goodshipv1.TokenKind]string{customerTokens: "kim", agentTokens: "ada"} {
		for name, k := range map[string]signer{"HS256": w.newSigner(kind, hs256), "EdDSA": w.newSigner(kind, edDSA)} {
			who := strings.ToLower(strings.TrimPrefix(kind.String(), "TOKEN_KIND_"))
			run(name+" of a "+who+" first", "", func(n int) string {
				d := k.drafts(w, sub)
				d.claims["jti"] = fmt.Sprint(b.N, n, time.Now().UnixNano())
				return d.sign()
			})
			run(name+" of a "+who+" cached", "", one(k.token(w, sub)))
		}
	}
	run("gtk of a customer", "", one(w.tokenFor(kim)))
	run("gtk of an agent", "", one(w.tokenFor(ada)))
}
