package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// counted returns a source of token-1, token-2 …, each good for an hour, and how many it gave.
func counted() (TokenSource, *atomic.Int32) {
	var n atomic.Int32
	return func(context.Context) (Token, error) {
		return Token{Value: fmt.Sprint("token-", n.Add(1)), ExpireTime: time.Now().Add(time.Hour)}, nil
	}, &n
}

func checkGet(t *testing.T, tokens *tokens, want string) {
	t.Helper()
	if got, err := tokens.get(t.Context()); got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestATokenIsRenewedShortlyBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, n := counted()
		tokens := newTokens("", source)
		defer tokens.close()
		checkGet(t, tokens, "token-1")
		time.Sleep(58*time.Minute - time.Nanosecond)
		checkGet(t, tokens, "token-1")
		synctest.Wait()
		if n.Load() != 1 {
			t.Error("renewed earlier than two minutes before its end")
		}
		time.Sleep(time.Minute)
		checkGet(t, tokens, "token-1") // nobody waits for the next
		synctest.Wait()
		if n.Load() != 2 {
			t.Error("not renewed a minute before its end")
		}
		checkGet(t, tokens, "token-2")
	})
}

func TestAnExpiredTokenIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, _ := counted()
		tokens := newTokens("", source)
		defer tokens.close()
		checkGet(t, tokens, "token-1")
		time.Sleep(time.Hour)
		checkGet(t, tokens, "token-2")
	})
}

func TestRenewTimesDiffer(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct{ lifetime, earliest, latest time.Duration }{
		{time.Hour, 58 * time.Minute, 59 * time.Minute},
		{12 * time.Hour, 12*time.Hour - 2*time.Minute, 12*time.Hour - time.Minute},
		{time.Minute, 48 * time.Second, 54 * time.Second},
	} {
		seen := map[time.Time]bool{}
		for range 100 {
			at := renewTime(now, now.Add(tc.lifetime))
			seen[at] = true
			if at.Before(now.Add(tc.earliest)) || at.After(now.Add(tc.latest)) {
				t.Fatalf("a token of %v is renewed after %v", tc.lifetime, at.Sub(now))
			}
		}
		if len(seen) < 50 {
			t.Errorf("100 tokens of %v are renewed at %d moments", tc.lifetime, len(seen))
		}
	}
	if at := renewTime(now, now.Add(-time.Hour)); at.After(now) {
		t.Errorf("an expired token is renewed at %v", at)
	}
}

func TestOneRenewalAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		release := make(chan struct{})
		tokens := newTokens("", func(context.Context) (Token, error) {
			n.Add(1)
			<-release
			return Token{Value: "token", ExpireTime: time.Now().Add(time.Hour)}, nil
		})
		defer tokens.close()
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() { checkGet(t, tokens, "token") })
		}
		gone, cancel := context.WithCancel(t.Context())
		callers.Go(func() {
			if _, err := tokens.get(gone); status.Code(err) != codes.Canceled {
				t.Errorf("who went away got %v", err)
			}
		})
		synctest.Wait()
		cancel() // one caller's end is not the others'
		synctest.Wait()
		close(release)
		callers.Wait()
		if n.Load() != 1 {
			t.Errorf("the source was called %d times for 101 callers", n.Load())
		}
	})
}

// asked returns a source that fails as long as it is told to and else gives token-1, token-2 …, each good for an hour, and how
// often it was asked.
func asked(trouble *error) (TokenSource, *atomic.Int32) {
	var n atomic.Int32
	source, _ := counted()
	return func(ctx context.Context) (Token, error) {
		n.Add(1)
		if *trouble != nil {
			return Token{}, *trouble
		}
		return source(ctx)
	}, &n
}

func TestWhatASourceFailsWithIsTheCallers(t *testing.T) {
	trouble := errors.New("no connection")
	for name, tc := range map[string]struct {
		source TokenSource
		want   error
	}{
		"an error":                  {func(context.Context) (Token, error) { return Token{}, trouble }, trouble},
		"a token with a line break": {func(context.Context) (Token, error) { return Token{Value: "secret\n"}, nil }, nil},
		"none in time":              {func(ctx context.Context) (Token, error) { <-ctx.Done(); return Token{}, ctx.Err() }, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tokens := newTokens("", tc.source)
				defer tokens.close()
				for range 2 { // the second one during the back-off
					_, err := tokens.get(t.Context())
					if err == nil || strings.Contains(err.Error(), "secret") || tc.want != nil && !errors.Is(err, tc.want) {
						t.Errorf("got %v, want %v", err, tc.want)
					}
				}
			})
		})
	}
}

func TestASourceThatFailsIsLeftAloneWhileTheTokenWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trouble error
		source, n := asked(&trouble)
		tokens := newTokens("", source)
		defer tokens.close()
		checkGet(t, tokens, "token-1")
		trouble = errors.New("no connection")
		time.Sleep(59 * time.Minute)
		for range 59 * 100 { // a call each 10 ms, until a second before the token's end
			checkGet(t, tokens, "token-1")
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		// With the pauses 1, 2, 4, 8, 16 and 32 seconds, or 3/4 of them, it is asked 6 or 7 times.
		if got := n.Load() - 1; got < 6 || got > 7 {
			t.Errorf("a source that fails was asked %d times in a minute, want 6 or 7", got)
		}
		trouble = nil
		time.Sleep(time.Minute)
		checkGet(t, tokens, "token-2")
		if tokens.failing != (backoff{}) {
			t.Error("a source that works again is still backed off from")
		}
	})
}

func TestCallsFailAtOnceWithoutATokenDuringTheBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trouble := errors.New("no connection")
		source, n := asked(&trouble)
		tokens := newTokens("", source)
		defer tokens.close()
		checkFails := func(times int32) {
			t.Helper()
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					if _, err := tokens.get(t.Context()); !errors.Is(err, trouble) {
						t.Errorf("got %v, want %v", err, trouble)
					}
				})
			}
			callers.Wait()
			if n.Load() != times {
				t.Errorf("the source was asked %d times, want %d", n.Load(), times)
			}
		}
		began := time.Now()
		checkFails(1)
		time.Sleep(750*time.Millisecond - time.Nanosecond)
		checkFails(1)
		time.Sleep(250*time.Millisecond + time.Nanosecond)
		checkFails(2)
		time.Sleep(1500*time.Millisecond - time.Nanosecond)
		checkFails(2)
		if waited := time.Since(began); waited != 2500*time.Millisecond-time.Nanosecond {
			t.Errorf("calls waited: the clock is at %v", waited)
		}
		trouble = nil
		time.Sleep(500*time.Millisecond + time.Nanosecond)
		checkGet(t, tokens, "token-1")
	})
}

func TestPauses(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seen := map[time.Duration]bool{}
	for range 100 {
		var b backoff
		if !b.over(now) {
			t.Fatal("the zero backoff is not over")
		}
		for _, s := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			b.extend(now)
			pause := b.until.Sub(now)
			if pause > s*time.Second || pause < s*time.Second*3/4 {
				t.Fatalf("a pause of %v, want %v s or up to a quarter less", pause, s)
			}
			if b.over(b.until.Add(-1)) || !b.over(b.until) {
				t.Fatal("a pause does not end at its end")
			}
			seen[pause] = true
		}
	}
	if len(seen) < 400 {
		t.Errorf("800 pauses have %d lengths", len(seen))
	}
}

func TestCloseEndsARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		tokens := newTokens("", func(ctx context.Context) (Token, error) {
			<-ctx.Done()
			ended = true
			return Token{}, ctx.Err()
		})
		waiting := make(chan error)
		go func() {
			_, err := tokens.get(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		tokens.close()
		if !ended {
			t.Error("close did not wait for the source")
		}
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited got %v", err)
		}
		if _, err := tokens.get(t.Context()); status.Code(err) != codes.Canceled {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestClosingAClientEndsItsSource(t *testing.T) {
	begun, ended := make(chan struct{}), false
	c := serve(t, expiring).client(WithTokenSource(func(ctx context.Context) (Token, error) {
		close(begun)
		<-ctx.Done()
		ended = true
		return Token{}, ctx.Err()
	}))
	failed := make(chan error)
	go func() {
		_, err := c.GetConversation(t.Context(), nil)
		failed <- err
	}()
	<-begun
	c.Close()
	if err := <-failed; !ended || !errors.Is(err, context.Canceled) {
		t.Errorf("the source ended: %v; the call: %v", ended, err)
	}
}

// refusals are the reasons for which a call is made again with the next token.
var refusals = []goodshipv1.ErrorReason{
	goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED,
	goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID,
	goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_REVOKED,
}

// refusing answers who comes with token-1 that it does not work.
func refusing(reason goodshipv1.ErrorReason) script {
	return func(_ context.Context, a attempt) (proto.Message, error) {
		if a.first("authorization") == "Bearer token-1" {
			return nil, failure(codes.Unauthenticated, reason)
		}
		return &goodshipv1.Conversation{}, nil
	}
}

var expiring = refusing(goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED)

func TestACallIsMadeAgainWithTheNextToken(t *testing.T) {
	for _, reason := range refusals {
		t.Run(reason.String(), func(t *testing.T) {
			s := serve(t, refusing(reason))
			source, n := counted()
			c := s.client(WithTokenSource(source))
			if _, err := c.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{}); err != nil {
				t.Fatal(err)
			}
			if n.Load() != 2 || len(s.seen()) != 2 {
				t.Errorf("%d tokens for %d attempts, want 2 and 2", n.Load(), len(s.seen()))
			}
			if ids := requestIDs(s); ids[0] != ids[1] || ids[0] == "" {
				t.Errorf("the attempts have the request ids %q", ids)
			}
		})
	}
}

func TestACallIsNotMadeAgainForAnotherReason(t *testing.T) {
	s := serve(t, refusing(goodshipv1.ErrorReason_ERROR_REASON_AGENT_DISABLED))
	source, n := counted()
	_, err := s.client(WithTokenSource(source)).CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{})
	if !IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_AGENT_DISABLED) || n.Load() != 1 || len(s.seen()) != 1 {
		t.Errorf("got %v after %d tokens and %d attempts, want AGENT_DISABLED after 1 and 1", err, n.Load(), len(s.seen()))
	}
}

// server counts the calls that it gets, and takes no token or each one.
type server struct {
	calls   int
	refuses bool
}

func (s *server) call(string) error {
	s.calls++
	if s.refuses {
		return failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_REVOKED)
	}
	return nil
}

func TestWhoIsRevokedMakesFewTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, n := counted()
		tokens := newTokens("", source)
		defer tokens.close()
		s := &server{refuses: true}
		for range 6300 { // a call each 10 ms, for 63 seconds
			if err := tokens.use(t.Context(), s.call); !refused(err) {
				t.Fatalf("got %v, want CREDENTIAL_REVOKED", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// The first, the one after its refusal, and one after each of the pauses 1, 2, 4, 8, 16 and 32 s, or 3/4 of them.
		if got := n.Load(); got < 7 || got > 8 {
			t.Errorf("%d tokens in 63 seconds, want 7 or 8", got)
		}
		if got := int32(s.calls); got != 6300+n.Load()-1 {
			t.Errorf("%d attempts of 6300 calls with %d tokens, want one more for each token that replaced another", got, n.Load())
		}
	})
}

func TestATokenThatWorkedIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, n := counted()
		tokens := newTokens("", source)
		defer tokens.close()
		s := &server{}
		use := func(made int32) {
			t.Helper()
			if err := tokens.use(t.Context(), s.call); refused(err) != s.refuses || n.Load() != made {
				t.Errorf("got %v with token %d, want refused: %v with token %d", err, n.Load(), s.refuses, made)
			}
		}
		use(1)
		s.refuses = true
		use(2)
		use(2) // it has never worked
		s.refuses = false
		use(2)
		s.refuses = true
		use(3)
		use(3)
	})
}

// The second attempt of a call shows as well as the first that a token works.
func TestATokenThatWorkedTheSecondTimeIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, _ := counted()
		tokens := newTokens("", source)
		defer tokens.close()
		for _, works := range []string{"token-2", "token-3"} {
			err := tokens.use(t.Context(), func(token string) error {
				return (&server{refuses: token != works}).call(token)
			})
			if err != nil {
				t.Errorf("got %v, want a call with %s", err, works)
			}
		}
	})
}

// Calls that began with a token which was replaced meanwhile say nothing of the one that replaced it.
func TestLateCallsDoNotJudgeTheNextToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, _ := counted()
		tokens := newTokens("", source)
		defer tokens.close()
		checkGet(t, tokens, "token-1")
		tokens.drop("token-1", time.Now())
		checkGet(t, tokens, "token-2")
		tokens.accept("token-1")
		tokens.drop("token-2", time.Now())
		checkGet(t, tokens, "token-2") // it has never worked
		tokens.accept("token-2")
		tokens.drop("token-1", time.Now())
		checkGet(t, tokens, "token-2")
	})
}

func TestManyCallsRenewOnce(t *testing.T) {
	s := serve(t, expiring)
	source, n := counted()
	c := s.client(WithTokenSource(source))
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			if _, err := c.CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n.Load() != 2 {
		t.Errorf("the source was called %d times, want once for token-1 and once for token-2", n.Load())
	}
}

func TestACallIsMadeAgainOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		token    Option
		attempts int
	}{
		"the one token":         {WithToken("token-1"), 1},
		"the same token again":  {WithTokenSource(func(context.Context) (Token, error) { return Token{Value: "token-1"}, nil }), 1},
		"tokens, none of which": {WithTokenSource(func() TokenSource { source, _ := counted(); return source }()), 2},
	} {
		for _, reason := range refusals {
			t.Run(name+"/"+reason.String(), func(t *testing.T) {
				s := serve(t, func(context.Context, attempt) (proto.Message, error) {
					return nil, failure(codes.Unauthenticated, reason)
				})
				_, err := s.client(tc.token).CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{})
				if !IsReason(err, reason) || len(s.seen()) != tc.attempts {
					t.Errorf("got %v after %d attempts, want %v after %d", err, len(s.seen()), reason, tc.attempts)
				}
			})
		}
	}
}

func TestASourcesErrorIsTheCalls(t *testing.T) {
	s := serve(t, expiring)
	trouble := errors.New("no connection")
	_, err := s.client(WithTokenSource(func(context.Context) (Token, error) { return Token{}, trouble })).GetConversation(t.Context(), nil)
	if !errors.Is(err, trouble) || len(s.seen()) != 0 {
		t.Errorf("got %v after %d attempts, want %v after none", err, len(s.seen()), trouble)
	}
}
