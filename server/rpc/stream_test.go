package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

type backupStream = grpc.ServerStreamingServer[goodshipv1.BackupStoreResponse]

// A call with many replies passes what one with a single reply does, at every door.
func TestStreamsPassTheChain(t *testing.T) {
	const secret = "the king's breakfast"
	gone := fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_WORKSPACE_NOT_FOUND, "No such workspace.")
	for _, c := range []struct {
		name   string
		md     []string
		req    proto.Message
		backup func(backupStream) error
		code   codes.Code
		reason string
		runs   bool
		log    string
	}{
		{name: "all well", runs: true},
		{name: "a bad credential", md: []string{"authorization", "Basic YTpi"}, code: codes.Unauthenticated, reason: "CREDENTIAL_INVALID"},
		{name: "a field that the contract lacks", req: withUnknown(&goodshipv1.BackupStoreRequest{}), code: codes.InvalidArgument, reason: "UNKNOWN_FIELD"},
		{name: "a header that the method does not take", md: []string{"idempotency-key", "r1"}, code: codes.InvalidArgument, reason: "INVALID_REQUEST"},
		{name: "a fault", runs: true, backup: func(backupStream) error { return fmt.Errorf("%s: %w", secret, gone) },
			code: codes.NotFound, reason: "WORKSPACE_NOT_FOUND"},
		{name: "an error", runs: true, backup: func(backupStream) error { return errors.New(secret) },
			code: codes.Internal, reason: "INTERNAL", log: secret},
		{name: "a panic after a reply", runs: true, backup: func(out backupStream) error {
			panic(errors.Join(out.Send(&goodshipv1.BackupStoreResponse{}), errors.New(secret)))
		},
			code: codes.Internal, reason: "INTERNAL", log: secret},
	} {
		t.Run(c.name, func(t *testing.T) {
			book, ran := &logBook{}, 0
			svc := &fake{backup: func(out backupStream) error {
				ran++
				if c.backup == nil {
					return out.Send(&goodshipv1.BackupStoreResponse{Data: []byte("all of it")})
				}
				return c.backup(out)
			}}
			to := serve(t, svc, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})
			for _, d := range doorsOf(t, to) {
				before := ran
				st := status.Convert(stream(t, d, c.req, c.md...))
				info, _ := detailsOf(t, st)
				if len(c.md) > 0 && c.md[0] == "authorization" && d.md != nil {
					continue // beside the key it is the second one, which is malformed too
				}
				if st.Code() != c.code || info.GetReason() != c.reason || strings.Contains(st.String(), secret) {
					t.Errorf("%s: %v", d.name, st)
				}
				if (ran > before) != c.runs {
					t.Errorf("%s: the method ran: %v", d.name, ran > before)
				}
			}
			if c.log == "" && book.String() != "" || !strings.Contains(book.String(), c.log) {
				t.Errorf("the log has: %s", book)
			}
		})
	}
}

// stream makes a call of BackupStore with any request and returns how it ended.
func stream(t *testing.T, d door, req proto.Message, md ...string) error {
	t.Helper()
	if req == nil {
		req = &goodshipv1.BackupStoreRequest{}
	}
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), append(md, d.md...)...))
	defer cancel()
	raw, err := d.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, backupMethod)
	if err != nil {
		return err
	}
	if err := errors.Join(raw.SendMsg(req), raw.CloseSend()); err != nil {
		return err
	}
	_, err = readAll(&grpc.GenericClientStream[goodshipv1.BackupStoreRequest, goodshipv1.BackupStoreResponse]{ClientStream: raw})
	return err
}

// What a caller does to a stream is no incident of ours.
func TestCallersBreakStreamsQuietly(t *testing.T) {
	sending := make(chan struct{})
	left := make(chan error, 1)
	endless := func(out backupStream) error {
		close(sending)
		for {
			if err := out.Send(&goodshipv1.BackupStoreResponse{Data: make([]byte, 32<<10)}); err != nil {
				left <- err
				return fmt.Errorf("sending: %w", err)
			}
		}
	}
	for _, door := range []int{0, 1} {
		sending = make(chan struct{})
		book := &logBook{}
		to := serve(t, &fake{backup: endless}, rpc.Config{Log: slog.New(slog.NewTextHandler(book, nil))})
		d := doorsOf(t, to)[door]
		t.Run(d.name, func(t *testing.T) {
			t.Run("by going away", func(t *testing.T) {
				ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), d.md...))
				defer cancel()
				in, err := goodshipv1.NewOperatorServiceClient(d.conn).BackupStore(ctx, &goodshipv1.BackupStoreRequest{})
				if err != nil {
					t.Fatal(err)
				}
				<-sending
				if _, err := in.Recv(); err != nil {
					t.Fatal(err)
				}
				cancel()
				var f *fault.Fault
				if err := <-left; !errors.As(err, &f) || f.Reason() != goodshipv1.ErrorReason_ERROR_REASON_CALL_ENDED {
					t.Errorf("the method hears %v", err)
				}
			})
			t.Run("by sending too much", func(t *testing.T) {
				large := &goodshipv1.CreateWorkspaceRequest{DisplayName: strings.Repeat("x", 300<<10)}
				if err := stream(t, d, large); status.Code(err) != codes.ResourceExhausted {
					t.Errorf("got %v", err)
				}
			})
			t.Run("by sending nothing", func(t *testing.T) {
				ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), d.md...))
				defer cancel()
				raw, err := d.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, backupMethod)
				if err != nil {
					t.Fatal(err)
				}
				if err := raw.CloseSend(); err != nil {
					t.Fatal(err)
				}
				if err := raw.RecvMsg(&goodshipv1.BackupStoreResponse{}); status.Code(err) == codes.OK {
					t.Error("answered")
				}
			})
			if err := to.stop(); err != nil { // after it, nothing logs any more
				t.Error(err)
			}
			if book.String() != "" {
				t.Errorf("logged: %s", book)
			}
		})
	}
}

// A backup in flight is waited for, at both doors, while the public's calls that it was made beside have gone.
func TestBackupsInFlightEndWhole(t *testing.T) {
	for _, name := range []string{"socket", "admin"} {
		t.Run(name, func(t *testing.T) {
			entered, release := make(chan struct{}), make(chan struct{})
			to := serve(t, &fake{backup: heldUp(entered, release)}, rpc.Config{DrainTimeout: time.Hour})
			result := inFlight(t, to, name, entered)
			served := make(chan error, 1)
			go func() { served <- to.stop() }()
			untilDraining(t, to)
			untilClosed(t, to)
			close(release)
			if r := <-result; r.err != nil || r.text != "one two" {
				t.Errorf("got %q, %v", r.text, r.err)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

func TestBackupsThatTakeTooLongFailCleanly(t *testing.T) {
	for _, name := range []string{"socket", "admin"} {
		t.Run(name, func(t *testing.T) {
			entered := make(chan struct{})
			to := serve(t, &fake{backup: heldUp(entered, nil)}, rpc.Config{DrainTimeout: time.Millisecond})
			result := inFlight(t, to, name, entered)
			if err := to.stop(); err == nil || !strings.Contains(err.Error(), "were ended") {
				t.Errorf("Serve: %v", err)
			}
			r := <-result
			if info, _ := detailsOf(t, status.Convert(r.err)); status.Code(r.err) != codes.Unavailable || info.GetReason() != "STORE_UNAVAILABLE" {
				t.Errorf("got %q, %v", r.text, r.err)
			}
		})
	}
}

// A client that asks and does not read stops nobody from stopping: its call waits in the transport, not for its context.
func TestAClientThatDoesNotReadStopsNobody(t *testing.T) {
	for _, name := range []string{"socket", "admin"} {
		t.Run(name, func(t *testing.T) {
			entered := make(chan struct{}, 1)
			svc := &fake{backup: func(out backupStream) error {
				for {
					if err := out.Send(&goodshipv1.BackupStoreResponse{Data: make([]byte, 64<<10)}); err != nil {
						return err
					}
					select {
					case entered <- struct{}{}:
					default:
					}
				}
			}}
			to := serve(t, svc, rpc.Config{DrainTimeout: time.Millisecond})
			d := doorsOf(t, to)[map[string]int{"socket": 0, "admin": 1}[name]]
			if _, err := goodshipv1.NewOperatorServiceClient(d.conn).BackupStore(
				metadata.AppendToOutgoingContext(t.Context(), d.md...), &goodshipv1.BackupStoreRequest{}); err != nil {
				t.Fatal(err)
			}
			<-entered
			if err := to.stop(); err == nil || !strings.Contains(err.Error(), "were ended") {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

// heldUp is a backup that sends a part, says so, and waits to be released before it sends the other.
func heldUp(entered chan<- struct{}, release <-chan struct{}) func(backupStream) error {
	return func(out backupStream) error {
		if err := out.Send(&goodshipv1.BackupStoreResponse{Data: []byte("one ")}); err != nil {
			return err
		}
		entered <- struct{}{}
		select {
		case <-release:
		case <-out.Context().Done():
		}
		return out.Send(&goodshipv1.BackupStoreResponse{Data: []byte("two")})
	}
}

// received is what came of a backup.
type received struct {
	text string
	err  error
}

// inFlight asks for a backup and returns when it is under way.
func inFlight(t *testing.T, to *target, name string, entered <-chan struct{}) <-chan received {
	t.Helper()
	d := doorsOf(t, to)[map[string]int{"socket": 0, "admin": 1}[name]]
	result := make(chan received, 1)
	ctx := metadata.AppendToOutgoingContext(context.Background(), d.md...)
	go func() {
		in, err := goodshipv1.NewOperatorServiceClient(d.conn).BackupStore(ctx, &goodshipv1.BackupStoreRequest{})
		if err != nil {
			result <- received{err: err}
			return
		}
		text, err := readAll(in)
		result <- received{text, err}
	}()
	<-entered
	return result
}
