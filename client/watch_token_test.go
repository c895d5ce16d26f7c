package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// tokensOf returns the token of each attempt.
func tokensOf(s *scripted) string {
	var all []string
	for _, a := range s.seen() {
		all = append(all, strings.TrimPrefix(a.first("authorization"), "Bearer "))
	}
	return strings.Join(all, " ")
}

func TestAWatchGoesOnWithTheNextToken(t *testing.T) {
	expired := at("1b", codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED)
	revoked := failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_REVOKED)
	for name, tc := range map[string]struct {
		// endings are how the streams end, the last of which does not.
		endings []error
		told    bool
		tokens  string
		from    string
		want    codes.Code
	}{
		"one that ended":              {[]error{expired}, true, "token-1 token-2", "mine 1b", codes.OK},
		"each time":                   {[]error{expired, expired, expired}, true, "token-1 token-2 token-3 token-4", "mine 1b 1b 1b", codes.OK},
		"one that had ended":          {[]error{revoked}, false, "token-1 token-2", "mine mine", codes.OK},
		"who is revoked":              {[]error{revoked, revoked}, false, "token-1 token-2", "mine mine", codes.Unauthenticated},
		"who is revoked, and a pause": {[]error{failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE), revoked}, false, "token-1 token-1 token-2", "mine mine mine", codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(ctx context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					if a.number <= len(tc.endings) {
						if tc.told {
							tell(event("conv", 1))
						}
						return tc.endings[a.number-1]
					}
					tell(event("conv", 2))
					<-ctx.Done()
					return nil
				})
				source, _ := counted()
				for update, err := range Watch(t.Context(), s.client(WithTokenSource(source)).WatchDesk, &goodshipv1.WatchDeskRequest{Cursor: "mine"}) {
					if status.Code(err) != codes.OK && status.Code(err) != tc.want {
						t.Errorf("got %v, want %v", err, tc.want)
					}
					if update.GetCursor() == "2" {
						break
					}
				}
				if got := tokensOf(s); got != tc.tokens {
					t.Errorf("watched with %s, want %s", got, tc.tokens)
				}
				if got := strings.Join(cursors(s), " "); got != tc.from {
					t.Errorf("watched from %s, want %s", got, tc.from)
				}
			})
		})
	}
}

func TestATokenSourceThatFails(t *testing.T) {
	for name, tc := range map[string]struct {
		failure error
		resumed bool
	}{
		"unreachable":    {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		"away":           {status.Error(codes.Unavailable, "away"), true},
		"refused":        {status.Error(codes.PermissionDenied, "no"), false},
		"in some way":    {errors.New("signed out"), false},
		"takes for ever": {context.DeadlineExceeded, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(ctx context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					tell(event("conv", 1))
					<-ctx.Done()
					return nil
				})
				n := 0
				source := func(context.Context) (Token, error) {
					if n++; n < 4 {
						return Token{}, tc.failure
					}
					return Token{Value: "token"}, nil
				}
				for update, err := range Watch(t.Context(), s.client(WithTokenSource(source)).WatchDesk, nil) {
					if tc.resumed != (err == nil) || err != nil && !errors.Is(err, tc.failure) {
						t.Errorf("got %v, %v", update, err)
					}
					break
				}
			})
		})
	}
}

// A source that is refused itself gives no next token, whatever the last one was.
func TestATokenSourceThatIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(_ context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			tell(event("conv", 1))
			return failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED)
		})
		revoked, n := failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_REVOKED), 0
		source := func(context.Context) (Token, error) {
			if n++; n > 1 {
				return Token{}, revoked
			}
			return Token{Value: "token"}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for _, err := range Watch(ctx, s.client(WithTokenSource(source)).WatchDesk, nil) {
			if err != nil && !IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_REVOKED) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// Streams carry what calls carry, whoever opens them.
func TestStreamsCarryTheCredential(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(_ context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			tell(progress("0"))
			return nil
		})
		stream, err := s.client(WithActFor("agent/ada")).WatchDesk(ActFor(t.Context(), "agent/ben"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if update, err := stream.Recv(); update.GetCursor() != "0" || err != nil {
			t.Errorf("got %v, %v", update, err)
		}
		if _, err := stream.Recv(); err == nil {
			t.Error("the stream does not end")
		}
		a := s.seen()[0]
		if a.first("authorization") != "Bearer gsk_key" || a.first("goodship-act-for") != "agent/ben" {
			t.Errorf("the server was called with %v", a.md)
		}
	})
}

// A watch of somebody else's stubs knows no tokens and no Client.
func TestAnyStubCanBeWatched(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(_ context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			if tell(event("conv", int32(a.number))); a.number == 3 {
				return failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED)
			}
			return failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_SERVER_STOPPING)
		})
		c := s.client()
		bare := func(ctx context.Context, req *goodshipv1.WatchDeskRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[goodshipv1.WatchUpdate], error) {
			return c.WatchDesk(context.WithValue(ctx, openingContext{}, nil), req, opts...)
		}
		var got []string
		for update, err := range Watch(t.Context(), bare, nil) {
			got = append(got, update.GetCursor()+status.Code(err).String())
		}
		if want := []string{"1OK", "2OK", "3OK", "Unauthenticated"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
