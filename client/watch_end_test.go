package client

import (
	"context"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestAWatchEndsWithItsContext(t *testing.T) {
	stopping := failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_SERVER_STOPPING, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})
	for name, tc := range map[string]struct {
		ending error
		want   codes.Code
	}{
		"while it is told":   {nil, codes.Canceled},
		"while it is not":    {stopping, codes.Canceled},
		"before it begins":   {nil, codes.Canceled},
		"at its deadline":    {nil, codes.DeadlineExceeded},
		"a closed Client":    {nil, codes.Canceled},
		"one while it rests": {stopping, codes.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(ctx context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					if tell(progress("0")); tc.ending != nil {
						return tc.ending
					}
					<-ctx.Done()
					return nil
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c, end := s.client(), cancel
				switch name {
				case "before it begins":
					cancel()
				case "at its deadline":
					ctx, end = context.WithTimeout(ctx, time.Second)
					defer end()
					end = func() {}
				case "a closed Client", "one while it rests":
					end = c.Close
				}
				start := time.Now()
				time.AfterFunc(time.Second, end)
				var errs []error
				for _, err := range Watch(ctx, c.WatchDesk, nil) {
					if err != nil {
						errs = append(errs, err)
					}
				}
				if len(errs) != 1 || status.Code(errs[0]) != tc.want || time.Since(start) > time.Second {
					t.Errorf("got %v after %v, want one %v", errs, time.Since(start), tc.want)
				}
			})
		})
	}
}

// The end of the context says why there was nothing to tell, if there was a reason.
func TestTheEndSaysWhatWasWrong(t *testing.T) {
	away := failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE)
	for name, tc := range map[string]struct {
		first error
		told  []*goodshipv1.WatchUpdate
		want  string
	}{
		"a silent server":      {nil, nil, "not resumed: rpc error: code = Unavailable desc = client: the server told nothing for 45s"},
		"one that was away":    {away, []*goodshipv1.WatchUpdate{progress("0")}, "code = DeadlineExceeded desc = context deadline exceeded"},
		"one that was and is":  {away, nil, "not resumed: rpc error: code = Unavailable desc = "},
		"nothing, and nothing": {nil, []*goodshipv1.WatchUpdate{progress("0")}, "code = DeadlineExceeded desc = context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(ctx context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					if a.number == 1 && tc.first != nil {
						return tc.first
					}
					for tell(tc.told...); tc.told != nil; tell(tc.told...) {
						select {
						case <-time.After(15 * time.Second):
						case <-ctx.Done():
							return nil
						}
					}
					<-ctx.Done()
					return nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				for _, err := range Watch(ctx, s.client().WatchDesk, nil) {
					if err != nil && (!strings.Contains(err.Error(), tc.want) || status.Code(err) != codes.DeadlineExceeded) || err != nil && len(tc.told) > 0 && !strings.HasSuffix(err.Error(), tc.want) {
						t.Errorf("got %v, want %s", err, tc.want)
					}
				}
			})
		})
	}
}

// An iterator may be used again: it begins where the first time began.
func TestALoopThatLeavesEndsTheStream(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		open := make(chan struct{}, 10)
		s := serveWatches(t, func(ctx context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			open <- struct{}{}
			tell(event("conv", 1), event("conv", 2))
			<-ctx.Done()
			<-open
			return nil
		})
		updates := Watch(t.Context(), s.client().WatchDesk, &goodshipv1.WatchDeskRequest{Cursor: "mine"})
		for range 3 {
			for update, err := range updates {
				if err != nil || update.GetCursor() != "1" {
					t.Errorf("got %v, %v", update, err)
				}
				break
			}
			if synctest.Wait(); len(open) != 0 {
				t.Error("the stream is still open")
			}
		}
		if want := []string{"mine", "mine", "mine"}; !slices.Equal(cursors(s), want) {
			t.Errorf("watched from %q, want %q", cursors(s), want)
		}
	})
}

// An update that gRPC does not give out would come again from the same cursor, for ever.
func TestAnUpdateThatCannotBeReadEndsTheWatch(t *testing.T) {
	garbage := progress("")
	garbage.ProtoReflect().SetUnknown([]byte{0x0a, 0x7f}) // a cursor of 127 bytes that are not there
	for name, tc := range map[string]struct {
		update *goodshipv1.WatchUpdate
		want   codes.Code
	}{
		"larger than what gRPC takes": {progress(strings.Repeat("c", 2000)), codes.ResourceExhausted},
		"not an update":               {garbage, codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(ctx context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					tell(progress("0"), tc.update)
					<-ctx.Done()
					return nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var ended error
				for _, err := range Watch(ctx, s.client(WithDialOptions(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1000)))).WatchDesk, nil) {
					ended = err
				}
				if status.Code(ended) != tc.want || len(s.seen()) != 1 {
					t.Errorf("got %v by %d streams, want %v by one", ended, len(s.seen()), tc.want)
				}
			})
		})
	}
}

// A watch that was set up wrongly says so, and is not tried for ever.
func TestAWatchThatWasSetUpWronglyEnds(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(nil)
	defer plain.Close()
	unresolved := manual.NewBuilderWithScheme("unresolved")
	unresolved.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) {
		_ = cc.UpdateState(resolver.State{}) // as gRPC's own does of a name that is not there
	}
	nobody := func(context.Context, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}
	}
	for name, tc := range map[string]struct {
		target string
		opts   []Option
		want   string
	}{
		"a certificate of nobody": {server.Listener.Addr().String(), nil, "x509: "},
		"a server without TLS":    {plain.Listener.Addr().String(), nil, "authentication handshake failed"},
		"a name of nobody":        {"unresolved:///nowhere", []Option{WithDialOptions(grpc.WithResolvers(unresolved))}, "name resolver error"},
		"a dialer's name":         {"passthrough:///nowhere:443", []Option{WithDialOptions(grpc.WithContextDialer(nobody))}, "no such host"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(tc.target, append(tc.opts, WithToken("gsk_key"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var ended []error
			for _, err := range Watch(ctx, c.WatchDesk, nil) {
				ended = append(ended, err)
			}
			if len(ended) != 1 || status.Code(ended[0]) != codes.Unavailable || !strings.Contains(ended[0].Error(), tc.want) {
				t.Errorf("got %v, want one UNAVAILABLE that says %q", ended, tc.want)
			}
		})
	}
}
