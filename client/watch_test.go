package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func progress(cursor string) *goodshipv1.WatchUpdate {
	return &goodshipv1.WatchUpdate{Cursor: cursor, Update: &goodshipv1.WatchUpdate_Progress{Progress: &goodshipv1.Progress{}}}
}

// event returns an event of a conversation, whose cursor is its revision.
func event(conversation string, revision int32) *goodshipv1.WatchUpdate {
	return &goodshipv1.WatchUpdate{Cursor: fmt.Sprint(revision), ConversationId: conversation, Update: &goodshipv1.WatchUpdate_Event{Event: &goodshipv1.Event{Revision: revision}}}
}

// signal returns an update without a cursor.
func signal() *goodshipv1.WatchUpdate {
	return &goodshipv1.WatchUpdate{ConversationId: "conv", Update: &goodshipv1.WatchUpdate_Signal{Signal: &goodshipv1.Signal{}}}
}

// at returns a failure with a cursor.
func at(cursor string, code codes.Code, reason goodshipv1.ErrorReason) error {
	s, _ := status.FromError(failure(code, reason))
	i := s.Details()[0].(*errdetails.ErrorInfo)
	i.Metadata = map[string]string{"cursor": cursor}
	s, err := status.New(code, "No.").WithDetails(i)
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// proxied returns a failure of a proxy's, which says to try again in an hour.
func proxied(code codes.Code) error {
	s, err := status.New(code, "No.").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// cursors returns the cursor of each attempt.
func cursors(s *scripted) []string {
	var all []string
	for _, a := range s.seen() {
		all = append(all, a.req.(interface{ GetCursor() string }).GetCursor())
	}
	return all
}

// inBubble runs a test by a clock of its own.
func inBubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestAWatchIsResumed(t *testing.T) {
	const full = goodshipv1.ErrorReason_ERROR_REASON_TOO_MANY_WATCHES
	for name, tc := range map[string]struct {
		ending   error
		from     string
		min, max time.Duration
	}{
		"the segment's end":       {nil, "1", 0, 0},
		"a server that stops":     {at("1b", codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_SERVER_STOPPING), "1b", 0, firstWatchPause},
		"a reader that was slow":  {at("1b", codes.ResourceExhausted, goodshipv1.ErrorReason_ERROR_REASON_WATCH_STALLED), "1b", 0, 0},
		"too many":                {failure(codes.ResourceExhausted, full), "1", 0, firstWatchPause},
		"a store without room":    {failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE), "1", 0, firstWatchPause},
		"as long as it says":      {failure(codes.ResourceExhausted, full, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)}), "1", time.Hour, time.Hour + firstWatchPause},
		"a broken connection":     {status.Error(codes.Unavailable, "error reading from server: EOF"), "1", 0, firstWatchPause},
		"a broken stream":         {status.Error(codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR"), "1", 0, firstWatchPause},
		"a proxy that gives up":   {status.Error(codes.Canceled, "stream terminated by RST_STREAM with error code: CANCEL"), "1", 0, firstWatchPause},
		"a proxy that is full":    {proxied(codes.ResourceExhausted), "1", time.Hour, time.Hour + firstWatchPause},
		"a handshake that breaks": {status.Error(codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: EOF"`), "1", 0, firstWatchPause},
		"a name that is away":     {status.Error(codes.Unavailable, "name resolver error: produced zero addresses"), "1", 0, firstWatchPause},
		"a deadline of a proxy's": {failure(codes.DeadlineExceeded, goodshipv1.ErrorReason_ERROR_REASON_CALL_ENDED), "1", 0, firstWatchPause},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(ctx context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					if a.number == 1 {
						tell(progress("0"), event("conv", 1), signal())
						return tc.ending
					}
					tell(progress(""), event("conv", 2))
					<-ctx.Done()
					return nil
				})
				req := &goodshipv1.WatchConversationRequest{ConversationId: "conv", Cursor: "mine"}
				before, start, got := proto.CloneOf(req), time.Now(), ""
				for update, err := range Watch(t.Context(), s.client().WatchConversation, req) {
					if err != nil {
						t.Fatal(err)
					}
					got += fmt.Sprintf("%T", update.GetUpdate())[len("*goodshipv1.WatchUpdate_"):] + " "
					if update.GetCursor() == "2" {
						break
					}
				}
				if want := "Progress Event Signal Progress Event "; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if want := []string{"mine", tc.from}; !slices.Equal(cursors(s), want) {
					t.Errorf("watched from %q, want %q", cursors(s), want)
				}
				if waited := time.Since(start); waited < tc.min || waited > tc.max {
					t.Errorf("resumed after %v, want %v to %v", waited, tc.min, tc.max)
				}
				if !proto.Equal(req, before) || !proto.Equal(s.seen()[1].req, &goodshipv1.WatchConversationRequest{ConversationId: "conv", Cursor: tc.from}) {
					t.Errorf("the caller's request became %v, and %v for the server", req, s.seen()[1].req)
				}
			})
		})
	}
}

func TestAWatchEndsWhenARetryCannotHelp(t *testing.T) {
	tooOld := at("", codes.OutOfRange, goodshipv1.ErrorReason_ERROR_REASON_CURSOR_TOO_OLD)
	invalid := failure(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_CURSOR)
	for name, tc := range map[string]struct {
		told   []*goodshipv1.WatchUpdate
		ending error
		gap    bool
	}{
		"not allowed":            {nil, failure(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED), false},
		"disabled meanwhile":     {[]*goodshipv1.WatchUpdate{progress("0")}, failure(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_AGENT_DISABLED), false},
		"not there":              {nil, failure(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_NOT_FOUND), false},
		"not understood":         {nil, failure(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_REQUEST), false},
		"the only token's end":   {[]*goodshipv1.WatchUpdate{progress("0")}, failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_EXPIRED), false},
		"no credential":          {nil, failure(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_MISSING), false},
		"the server's fault":     {[]*goodshipv1.WatchUpdate{progress("0")}, failure(codes.Internal, goodshipv1.ErrorReason_ERROR_REASON_INTERNAL), false},
		"not a Goodship":         {nil, status.Error(codes.Unimplemented, "unexpected HTTP status code received from server: 404"), false},
		"a cursor too old":       {nil, tooOld, true},
		"a cursor of nobody":     {nil, invalid, false},
		"a store that went back": {[]*goodshipv1.WatchUpdate{progress("0")}, invalid, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(_ context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					tell(tc.told...)
					return tc.ending
				})
				var got []error
				n := 0
				for update, err := range Watch(t.Context(), s.client().WatchDesk, &goodshipv1.WatchDeskRequest{Cursor: "mine"}) {
					if err == nil {
						n++
						continue
					}
					if got = append(got, err); update != nil {
						t.Errorf("an error with %v", update)
					}
				}
				if len(got) != 1 || n != len(tc.told) || len(s.seen()) != 1 {
					t.Fatalf("got %d updates and %v by %d streams, want %d and one error by one", n, got, len(s.seen()), len(tc.told))
				}
				if err := got[0]; status.Code(err) != status.Code(tc.ending) || Reason(err) != Reason(tc.ending) || errors.Is(err, ErrGap) != tc.gap {
					t.Errorf("got %v, want %v, a gap: %v", err, tc.ending, tc.gap)
				}
			})
		})
	}
}

func TestAGapTellsWhatIsLeft(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(context.Context, attempt, func(...*goodshipv1.WatchUpdate)) error {
			i := &errdetails.ErrorInfo{Domain: domain, Reason: "CURSOR_TOO_OLD", Metadata: map[string]string{"oldest_cursor": "oldest"}}
			s, err := status.New(codes.OutOfRange, "It is too old.").WithDetails(i)
			return errors.Join(err, s.Err())
		})
		for _, err := range Watch(t.Context(), s.client().WatchDesk, nil) {
			if !errors.Is(err, ErrGap) || Metadata(err)["oldest_cursor"] != "oldest" || !strings.Contains(err.Error(), "It is too old.") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// Pauses are random, so that watches which broke together do not come back together.
func TestPausesGrowUntilSomethingIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var times []time.Time
		away := failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE)
		s := serveWatches(t, func(_ context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			times = append(times, time.Now())
			if a.number == 200 {
				tell(progress("0"))
			}
			return away
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for update, err := range Watch(ctx, s.client().WatchDesk, nil) {
			if update == nil && (status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "desc = No.")) {
				t.Errorf("the end says %v, and not why nothing was told", err)
			}
		}
		if len(times) < 500 || len(times) > 1200 { // 720 are to be expected
			t.Fatalf("%d streams in an hour", len(times))
		}
		longest := firstWatchPause
		short, long := 0, 0
		for i := 1; i < len(times); i++ {
			if i == 200 {
				longest = firstWatchPause
			}
			pause := times[i].Sub(times[i-1])
			if pause > longest {
				t.Errorf("pause %d is %v, want %v at most", i, pause, longest)
			}
			if pause < maxWatchPause/4 {
				short++
			} else if pause > maxWatchPause*3/4 {
				long++
			}
			longest = min(2*longest, maxWatchPause)
		}
		if short < 50 || long < 50 { // 180 are to be expected
			t.Errorf("of %d pauses %d are short and %d long: they are not random", len(times), short, long)
		}
	})
}

// A server that ends streams before it tells anything is not asked again at once.
func TestAnEndWithoutAnythingIsAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(context.Context, attempt, func(...*goodshipv1.WatchUpdate)) error { return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for update, err := range Watch(ctx, s.client().WatchDesk, nil) {
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("got %v, %v", update, err)
			}
		}
		if n := len(s.seen()); n > 60 {
			t.Errorf("%d streams in a minute", n)
		}
	})
}

func TestSilenceEndsAStream(t *testing.T) {
	for name, first := range map[string][]*goodshipv1.WatchUpdate{"from the beginning": nil, "after something": {progress("0")}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := serveWatches(t, func(ctx context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error {
					if a.number == 1 {
						tell(first...)
					} else {
						tell(event("conv", 1))
					}
					<-ctx.Done()
					return nil
				})
				start := time.Now()
				for update, err := range Watch(t.Context(), s.client().WatchDesk, nil) {
					if err != nil {
						t.Fatal(err)
					}
					if update.GetEvent() != nil {
						break
					}
				}
				if after := time.Since(start); after < maxSilence || after > maxSilence+firstWatchPause || len(s.seen()) != 2 {
					t.Errorf("resumed after %v, want %v, by %d streams", after, maxSilence, len(s.seen()))
				}
			})
		})
	}
}

func TestProgressKeepsAStream(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(_ context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			for i := range 10 {
				tell(progress(fmt.Sprint(i)))
				time.Sleep(maxSilence - time.Second)
			}
			return failure(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_NOT_FOUND)
		})
		for _, err := range Watch(t.Context(), s.client().WatchDesk, nil) {
			if err != nil && status.Code(err) != codes.NotFound {
				t.Error(err)
			}
		}
		if len(s.seen()) != 1 {
			t.Errorf("%d streams, want 1", len(s.seen()))
		}
	})
}

// Whoever takes an hour for an update has not been left alone by the server.
func TestASlowLoopIsNoSilence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(ctx context.Context, _ attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			tell(event("conv", 1))
			time.Sleep(time.Hour + maxSilence/2)
			tell(event("conv", 2))
			<-ctx.Done()
			return nil
		})
		for update, err := range Watch(t.Context(), s.client().WatchDesk, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if time.Sleep(time.Hour); update.GetCursor() == "2" {
				break
			}
		}
		if len(s.seen()) != 1 {
			t.Errorf("%d streams, want 1", len(s.seen()))
		}
	})
}

// A connection whose other end has gone without a word takes part in nothing, however often streams are opened on it.
func TestAHalfOpenConnectionIsReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWatches(t, func(ctx context.Context, a attempt, tell func(...*goodshipv1.WatchUpdate)) error {
			tell(event("conv", int32(a.number)))
			<-ctx.Done()
			return nil
		})
		var conns []*muffled
		dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := s.listener.DialContext(ctx)
			conns = append(conns, &muffled{Conn: c, ended: make(chan struct{})})
			return conns[len(conns)-1], err
		})
		start := time.Now()
		for update, err := range Watch(t.Context(), s.client(WithDialOptions(dial)).WatchDesk, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if update.GetCursor() == "2" {
				break
			}
			conns[0].muted.Store(true)
		}
		if after := time.Since(start); after > maxSilence || len(conns) != 2 {
			t.Errorf("resumed after %v by %d connections", after, len(conns))
		}
	})
}

// muffled is a connection that can fall silent both ways.
type muffled struct {
	net.Conn
	muted atomic.Bool
	ended chan struct{}
	end   sync.Once
}

func (m *muffled) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if m.muted.Load() {
		<-m.ended
		return 0, net.ErrClosed
	}
	return n, err
}

func (m *muffled) Write(p []byte) (int, error) {
	if m.muted.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

func (m *muffled) Close() error {
	m.end.Do(func() { close(m.ended) })
	return m.Conn.Close()
}
