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
}

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

// use makes a call with a token, and once more with the next one if it had expired.
func (t *tokens) use(ctx context.Context, call func(token string) error) error {
	token, err := t.get(ctx)
	if err != nil {
		return err
	}
	err = call(token)
	if !IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED) {
		return err
	}
	t.drop(token)
	next, renewErr := t.get(ctx)
	switch {
	case renewErr != nil:
		return renewErr
	case next == token:
		return err
	}
	return call(next)
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
// nobody has to wait, as a rule.
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
	if t.renewal == nil {
		t.renewal = &renewal{done: make(chan struct{})}
		t.renewing.Add(1)
		go t.renew(t.renewal)
	}
	if works {
		return t.current.Value, nil, nil
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
	if err == nil {
		r.token = token
		t.current, t.renewTime = token, renewTime(time.Now(), token.ExpireTime)
	}
	t.renewal = nil
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

// drop forgets a token that the server says has expired, unless it was replaced meanwhile.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source != nil && t.current.Value == token {
		t.current = Token{}
	}
}
