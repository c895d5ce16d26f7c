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

func TestASourceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, _ := counted()
		trouble := errors.New("no connection")
		source := good
		tokens := newTokens("", func(ctx context.Context) (Token, error) { return source(ctx) })
		defer tokens.close()
		checkGet(t, tokens, "token-1")

		source = func(context.Context) (Token, error) { return Token{}, trouble }
		time.Sleep(time.Hour - time.Second)
		for range 3 {
			checkGet(t, tokens, "token-1") // it still works
			synctest.Wait()
		}
		time.Sleep(time.Second)
		if _, err := tokens.get(t.Context()); !errors.Is(err, trouble) {
			t.Errorf("got %v, want %v", err, trouble)
		}

		source = func(context.Context) (Token, error) { return Token{Value: "secret\n"}, nil }
		if _, err := tokens.get(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("a token with a line break: %v", err)
		}

		source = func(ctx context.Context) (Token, error) { <-ctx.Done(); return Token{}, ctx.Err() }
		if _, err := tokens.get(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a source that hangs: %v", err)
		}

		source = good
		checkGet(t, tokens, "token-2")
	})
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

// expiring answers who comes with token-1 that it has expired.
func expiring(_ context.Context, a attempt) (proto.Message, error) {
	if a.first("authorization") == "Bearer token-1" {
		return nil, failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED)
	}
	return &goodshipv1.Conversation{}, nil
}

func TestACallIsMadeAgainWithTheNextToken(t *testing.T) {
	s := serve(t, expiring)
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
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(context.Context, attempt) (proto.Message, error) {
				return nil, failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED)
			})
			_, err := s.client(tc.token).CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{})
			if !IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED) || len(s.seen()) != tc.attempts {
				t.Errorf("got %v after %d attempts, want CREDENTIAL_EXPIRED after %d", err, len(s.seen()), tc.attempts)
			}
		})
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
