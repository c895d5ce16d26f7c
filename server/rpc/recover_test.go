package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func incoming(ctx context.Context) metadata.MD {
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}

// logBook keeps what is logged.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func get(ctx context.Context, c grpc.ClientConnInterface) (*goodshipv1.Conversation, error) {
	return goodshipv1.NewConversationServiceClient(c).GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: conv})
}

// Whatever goes wrong inside a call: one INTERNAL, the same over both transports, that names the incident under which the
// log has the rest, and nothing of the rest.
func TestWhatGoesWrongInsideStaysInside(t *testing.T) {
	const secret = "the king's breakfast"
	for _, c := range []struct {
		name string
		get  func() (*goodshipv1.Conversation, error)
		log  string
	}{
		{"a panic", func() (*goodshipv1.Conversation, error) { panic(secret) }, "recover_test.go"},
		{"a nil map", func() (*goodshipv1.Conversation, error) { panic(fmt.Errorf("%s: %w", secret, errors.New("boom"))) }, "recover_test.go"},
		{"an error", func() (*goodshipv1.Conversation, error) { return nil, errors.New(secret) }, secret},
		{"a status of somebody else's", func() (*goodshipv1.Conversation, error) { return nil, status.Error(codes.NotFound, secret) }, secret},
		{"a context of its own that ended", func() (*goodshipv1.Conversation, error) {
			return nil, fmt.Errorf("%s: %w", secret, context.DeadlineExceeded)
		}, secret},
	} {
		t.Run(c.name, func(t *testing.T) {
			book := &logBook{}
			svc := &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
				return c.get()
			}}
			to := serve(t, svc, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})

			_, err := call(t.Context(), to, "", get)
			resp, body := rest(t, to, "GET", "/v1/conversations/"+conv, "")
			if resp.StatusCode != http.StatusInternalServerError {
				t.Errorf("HTTP %d", resp.StatusCode)
			}
			for over, st := range map[string]*status.Status{"gRPC": status.Convert(err), "REST": readStatus(t, []byte(body))} {
				info, _ := detailsOf(t, st)
				incident := info.GetMetadata()["incident"]
				if st.Code() != codes.Internal || info.GetReason() != "INTERNAL" || incident == "" || !strings.Contains(st.Message(), incident) {
					t.Errorf("%s: %v", over, st)
				}
				if strings.Contains(st.String(), secret) || strings.Contains(st.String(), ".go") {
					t.Errorf("%s tells too much: %v", over, st)
				}
				if !strings.Contains(book.String(), incident) {
					t.Errorf("%s: the log has no incident %s", over, incident)
				}
			}
			if !strings.Contains(book.String(), c.log) || !strings.Contains(book.String(), secret) {
				t.Errorf("the log lacks %q or the words:\n%s", c.log, book)
			}
			if strings.Contains(book.String(), to.key) {
				t.Error("the log holds the credential")
			}
			// The server goes on.
			svc.get = nil
			if _, err := call(t.Context(), to, "", get); status.Code(err) != codes.NotFound {
				t.Errorf("the next call got %v", err)
			}
		})
	}
}

func TestFaultsLeaveAsTheyAre(t *testing.T) {
	inner := fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_NOT_FOUND, "No such conversation.")
	book := &logBook{}
	svc := &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		return nil, fmt.Errorf("reading bucket 7: %w", inner)
	}}
	to := serve(t, svc, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})
	_, err := call(t.Context(), to, "", get)
	if st := status.Convert(err); st.Message() != inner.Error() || st.Code() != inner.Code() {
		t.Errorf("got %v", st)
	}
	if book.String() != "" {
		t.Errorf("an ordinary refusal was logged: %s", book)
	}
}

func TestErrorsOfTheStoreBecomeFaultsAndDamageIsLogged(t *testing.T) {
	book := &logBook{}
	svc := &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		return nil, fmt.Errorf("record conv/7: %w", store.ErrDataLoss)
	}}
	to := serve(t, svc, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})
	_, err := call(t.Context(), to, "", get)
	st := status.Convert(err)
	if info, _ := detailsOf(t, st); st.Code() != codes.DataLoss || info.GetReason() != "DATA_LOSS" || strings.Contains(st.Message(), "conv/7") {
		t.Errorf("got %v", st)
	}
	if !strings.Contains(book.String(), "conv/7") {
		t.Errorf("the log does not name the record:\n%s", book)
	}
}

// A watch ends with a fault of its own, which has the cursor; what the store said is for the log all the same.
func TestErrorsOfTheStoreThatEndAWatchAreLogged(t *testing.T) {
	for name, c := range map[string]struct {
		of   error
		logs string
	}{
		"damage":                 {fmt.Errorf("record conv/7: %w", store.ErrDataLoss), "a stored record is damaged"},
		"a store that is closed": {fmt.Errorf("record conv/7: %w", store.ErrUnavailable), "the store takes no changes"},
	} {
		t.Run(name, func(t *testing.T) {
			book := &logBook{}
			svc := &fake{watch: func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
				var f *fault.Fault
				if !errors.As(support.Fault(c.of), &f) {
					t.Error("no fault")
				}
				return errors.Join(out.SendMsg(progress("c1")), f.With("cursor", "c1").Because(c.of))
			}}
			to := serve(t, svc, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})
			in := watch(t.Context(), t, to, "")
			if err := begun(in); err != nil {
				t.Fatal(err)
			}
			_, err := in.Recv()
			_, md, _ := infoOf(err)
			if want := status.Code(support.Fault(c.of)); status.Code(err) != want || md["cursor"] != "c1" || strings.Contains(err.Error(), "conv/7") {
				t.Errorf("the end: %v", err)
			}
			if !strings.Contains(book.String(), c.logs) || !strings.Contains(book.String(), "conv/7") {
				t.Errorf("the log has %q", book)
			}
		})
	}
}

// A store without room refuses each call, and callers repeat them: the log has the first, and later how many there were.
func TestRefusalsOfTheStoreAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &logBook{}
		refuse := rpc.Refuser(slog.New(slog.NewTextHandler(book, nil)))
		for range 5 {
			if err := refuse(fmt.Errorf("commit: %w", store.ErrFull)); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("got %v", err)
			}
			time.Sleep(20 * time.Second)
		}
		refused := regexp.MustCompile(`level=WARN msg="the store takes no changes" .*refused=(\d+)`).FindAllStringSubmatch(book.String(), -1)
		if len(refused) != 2 || refused[0][1] != "1" || refused[1][1] != "3" || strings.Count(book.String(), "\n") != 2 {
			t.Errorf("want one refusal, and a minute later three; got\n%s", book)
		}
	})
}

func TestACallWhoseCallerLeftIsNoIncident(t *testing.T) {
	book := &logBook{}
	entered, left := make(chan struct{}), make(chan struct{})
	svc := &fake{get: func(ctx context.Context, _ *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		close(entered)
		<-ctx.Done()
		defer close(left)
		return nil, fmt.Errorf("waiting: %w", ctx.Err())
	}}
	to := serve(t, svc, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if _, err := call(ctx, to, "", get); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	<-left
	if err := to.stop(); err != nil { // after it, nothing logs any more
		t.Error(err)
	}
	if book.String() != "" {
		t.Errorf("logged: %s", book)
	}
}
