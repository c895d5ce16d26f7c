package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Token is a bearer token.
type Token struct {
	// Value is the token as it goes over the wire, without `Bearer`.
	Value string
	// ExpireTime is when it stops to work; zero if it is not known to.
	ExpireTime time.Time
}

// TokenSource returns a token that works for a while. A Client calls it from a goroutine of its own, for one token at a
// time, under a context that belongs to no call and ends after 30 seconds or when the Client is closed.
type TokenSource func(ctx context.Context) (Token, error)

// TokenSource returns a source of tokens that the server makes for a person, `customer/<id>` or `agent/<id>`, each for as
// long as it may be. The Client must be a backend's that speaks for itself, with an API key that has the scope ACT.
func (c *Client) TokenSource(person string) TokenSource {
	return func(ctx context.Context) (Token, error) {
		var req goodshipv1.CreateTokenRequest
		switch kind, id, _ := strings.Cut(person, "/"); {
		case kind == "customer" && id != "":
			req.CustomerId = id
		case kind == "agent" && id != "":
			req.AgentId = id
		default:
			return Token{}, fmt.Errorf("client: %q is nobody; name customer/<id> or agent/<id>", person)
		}
		made, err := c.CreateToken(ctx, &req)
		if err != nil {
			return Token{}, err
		}
		return Token{Value: made.GetToken(), ExpireTime: made.GetExpireTime().AsTime()}, nil
	}
}

// checkToken returns nil if a token can be sent. Its error does not show the token.
func checkToken(token string) error {
	if token == "" {
		return errors.New("the token is empty")
	}
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' || b == ',' {
			return errors.New("the token has a space, a line break or another character that no token has; trim what you read it from")
		}
	}
	return nil
}

// renewalTimeout is how long a TokenSource may take.
const renewalTimeout = 30 * time.Second

// tokens are what the calls of a Client carry, one after the other.
type tokens struct {
	// source is nil if there is only the one token.
	source TokenSource
	// open ends with the Client, and renewing with the source's last call.
	open     context.Context
	end      context.CancelFunc
	renewing sync.WaitGroup

	mu      sync.Mutex
	current Token
	// renewTime is when the next token is got, while the current one still works.
	renewTime time.Time
	// renewal is the source's call under way, nil if there is none.
	renewal *renewal
	// failed is the error of the source's last call, nil if it gave a token, and failing how long it is left alone for it.
	failed  error
	failing backoff
	// refusing is how long, since a token was dropped, the next one is kept although the server refuses it, until one works:
	// who is really revoked would make a new token with each call.
	refusing backoff
}

// The pauses of a backoff, before chance shortens them.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// backoff says when to try again what does not work. Its zero value says at once.
type backoff struct {
	pause time.Duration
	until time.Time
}

// extend begins the next pause: twice the last one, and up to a quarter shorter by chance, so that programs which failed
// together do not try again together.
func (b *backoff) extend(now time.Time) {
	b.pause = min(max(2*b.pause, firstPause), maxPause)
	b.until = now.Add(b.pause - rand.N(b.pause/4))
}

// over reports whether to try again.
func (b *backoff) over(now time.Time) bool { return !now.Before(b.until) }

// renewal is a call of the source. Its result may be read once done is closed.
type renewal struct {
	done  chan struct{}
	token Token
	err   error
}

func newTokens(token string, source TokenSource) *tokens {
	t := &tokens{source: source, current: Token{Value: token}}
	t.open, t.end = context.WithCancel(context.Background())
	return t
}

// close ends a renewal and waits for it.
func (t *tokens) close() {
	t.mu.Lock()
	t.end()
	t.mu.Unlock()
	t.renewing.Wait()
}

// use makes a call with a token, and once more with the next one, if there is one, when the server does not take it.
func (t *tokens) use(ctx context.Context, call func(token string) error) error {
	token, err := t.get(ctx)
	if err != nil {
		return err
	}
	if err = call(token); refused(err) {
		t.drop(token, time.Now())
		next, renewErr := t.get(ctx)
		switch {
		case renewErr != nil:
			return renewErr
		case next == token:
			return err
		}
		token, err = next, call(next)
	}
	if err == nil {
		t.accept(token)
	}
	return err
}

// refused reports whether the server does not take the call's credential, which it may have taken before. One that stands in
// a field of the request is another.
func refused(err error) bool {
	if Metadata(err)["field"] != "" {
		return false
	}
	switch Reason(err) {
	case goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED,
		goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID, // the server's store was restored
		goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_REVOKED: // the key that signed it, or the person's tokens until then
		return true
	}
	return false
}

// get returns a token that works, as far as is known here.
func (t *tokens) get(ctx context.Context) (string, error) {
	token, r, err := t.look(time.Now())
	if r == nil {
		return token, err
	}
	select {
	case <-r.done:
		return r.token.Value, r.err
	case <-ctx.Done():
		return "", status.FromContextError(ctx.Err()).Err()
	}
}

// look returns the current token if it still works, or the renewal to wait for. It begins the renewal early enough that
// nobody has to wait, as a rule, and not sooner after a failed one than the back-off says.
func (t *tokens) look(now time.Time) (string, *renewal, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open.Err() != nil {
		return "", nil, status.Error(codes.Canceled, "client: the Client is closed")
	}
	works := t.current.Value != "" && (t.current.ExpireTime.IsZero() || now.Before(t.current.ExpireTime))
	if works && (t.current.ExpireTime.IsZero() || now.Before(t.renewTime)) {
		return t.current.Value, nil, nil
	}
	if t.renewal == nil && t.failing.over(now) {
		t.renewal = &renewal{done: make(chan struct{})}
		t.renewing.Add(1)
		go t.renew(t.renewal)
	}
	switch {
	case works:
		return t.current.Value, nil, nil
	case t.renewal == nil:
		return "", nil, t.failed
	}
	return "", t.renewal, nil
}

// renew gets the next token.
func (t *tokens) renew(r *renewal) {
	defer t.renewing.Done()
	ctx, cancel := context.WithTimeout(t.open, renewalTimeout)
	defer cancel()
	token, err := t.source(ctx)
	if err == nil {
		err = checkToken(token.Value)
	}
	if err != nil {
		r.err = fmt.Errorf("client: the TokenSource gave no token: %w", err)
	}
	t.mu.Lock()
	t.failed, t.renewal = r.err, nil
	if err == nil {
		r.token, t.failing = token, backoff{}
		t.current, t.renewTime = token, renewTime(time.Now(), token.ExpireTime)
	} else {
		t.failing.extend(time.Now())
	}
	t.mu.Unlock()
	close(r.done)
}

// renewTime returns when a token that works from now on is renewed: in its last fifth, at most two minutes before its end,
// and at a random moment of that, so that programs which started together do not renew together.
func renewTime(now, expire time.Time) time.Time {
	early := min(expire.Sub(now)/10, time.Minute)
	if early <= 0 {
		return expire
	}
	return expire.Add(-early - rand.N(early))
}

// drop forgets a token that the server refused, unless it was replaced meanwhile, or replaces one that was dropped just now
// and has never worked.
func (t *tokens) drop(token string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source != nil && t.current.Value == token && t.refusing.over(now) {
		t.current = Token{}
		t.refusing.extend(now)
	}
}

// replaced reports whether the next call carries another token than this one.
func (t *tokens) replaced(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current.Value != token
}

// accept takes note of a token that works: if it is refused one day, it is dropped at once.
func (t *tokens) accept(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.Value == token {
		t.refusing = backoff{}
	}
}
