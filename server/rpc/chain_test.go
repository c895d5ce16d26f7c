package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

func reasonOf(err error) goodshipv1.ErrorReason {
	var f *fault.Fault
	if !errors.As(err, &f) {
		return goodshipv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	}
	return f.Reason()
}

// Every method × every kind of caller, with and without scopes: exactly what the contract says.
func TestAccessIsWhatTheContractSays(t *testing.T) {
	methods := everyMethod(t)
	var scopes []goodshipv1.Scope
	for n := range goodshipv1.Scope_name {
		scopes = append(scopes, goodshipv1.Scope(n))
	}
	for name, m := range methods {
		for n := range goodshipv1.Caller_name {
			kind := goodshipv1.Caller(n)
			listed := slices.Contains(m.access.GetCallers(), kind)
			err := mayCall(m, name, support.Caller{Kind: kind, Workspace: "work_1", Scopes: scopes})
			if listed != (err == nil) {
				t.Errorf("%s by %v, who is listed: %v: %v", name, kind, listed, err)
			}
			if !listed && reasonOf(err) != goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED {
				t.Errorf("%s by %v: %v", name, kind, err)
			}
			err = mayCall(m, name, support.Caller{Kind: kind, Workspace: "work_1"})
			wantScope := listed && kind == goodshipv1.Caller_CALLER_BACKEND && m.access.GetScope() != goodshipv1.Scope_SCOPE_UNSPECIFIED
			if wantScope != (reasonOf(err) == goodshipv1.ErrorReason_ERROR_REASON_SCOPE_MISSING) {
				t.Errorf("%s by %v without scopes: %v", name, kind, err)
			}
		}
	}
}

// everyMethod returns the methods of both doors.
func everyMethod(t *testing.T) map[string]*method {
	t.Helper()
	all, err := methodsOf(slices.Concat(services, operatorServices))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// An operator is of no workspace, so where a method is about one, it must be named.
func TestAnOperatorNamesTheWorkspace(t *testing.T) {
	for name, m := range everyMethod(t) {
		if !slices.Contains(m.access.GetCallers(), goodshipv1.Caller_CALLER_OPERATOR) {
			continue
		}
		about := !strings.HasPrefix(name, "/goodship.v1.OperatorService/")
		err := mayCall(m, name, support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR})
		if about != (reasonOf(err) == goodshipv1.ErrorReason_ERROR_REASON_ACT_FOR_INVALID) || !about && err != nil {
			t.Errorf("%s without a workspace: %v", name, err)
		}
	}
}

// A server without an operator's key lets nobody in by one, not even by the empty one.
func TestWithoutAKeyThereIsTheSocketOnly(t *testing.T) {
	for _, credential := range []string{"", "Bearer ", "Bearer", "Bearer x"} {
		for _, from := range []net.Addr{&net.TCPAddr{}, &net.UnixAddr{Net: "unix"}} {
			ctx := metadata.NewIncomingContext(peer.NewContext(t.Context(), &peer.Peer{Addr: from}), metadata.Pairs("authorization", credential))
			if _, err := operators(nil, "")(ctx); err == nil {
				t.Errorf("%q lets in over %s", credential, from.Network())
			}
		}
	}
	if sameKey("", "") {
		t.Error("no key is a key")
	}
}

func TestAccessIsDeniedByDefault(t *testing.T) {
	agent := support.Caller{Kind: goodshipv1.Caller_CALLER_AGENT}
	for name, m := range map[string]*method{
		"a method that the contract lacks": nil,
		"a method that lists nobody":       {},
		"a method that lists no kind":      {access: &goodshipv1.Access{Callers: []goodshipv1.Caller{goodshipv1.Caller_CALLER_UNSPECIFIED}}},
	} {
		for _, caller := range []support.Caller{agent, {}} {
			if err := mayCall(m, "/a.B/C", caller); reasonOf(err) != goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED {
				t.Errorf("%s is open to %v: %v", name, caller.Kind, err)
			}
		}
	}
	everyone := &method{access: &goodshipv1.Access{Callers: []goodshipv1.Caller{goodshipv1.Caller_CALLER_UNSPECIFIED, goodshipv1.Caller_CALLER_AGENT}}}
	if err := mayCall(everyone, "/a.B/C", support.Caller{}); err == nil {
		t.Error("a caller of no kind is let in where UNSPECIFIED is listed")
	}
	if err := mayCall(everyone, "/a.B/C", agent); err != nil {
		t.Errorf("an agent is refused: %v", err)
	}
}

type stubStream struct {
	grpc.ServerStream
	ctx  context.Context
	send error
}

func (s stubStream) SendMsg(any) error { return s.send }

func (s stubStream) Context() context.Context { return s.ctx }

func TestStreamsAreDeniedByDefault(t *testing.T) {
	operator := func(context.Context) (support.Caller, error) {
		return support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR, Workspace: "work_1"}, nil
	}
	nobody := func(context.Context) (support.Caller, error) { return support.Caller{}, nil }
	for _, who := range []func(context.Context) (support.Caller, error){operator, nobody} {
		c := &chain{authenticate: who, methods: everyMethod(t), calls: newCalls(), rates: newRateLimiter(DefaultLimits(), time.Now), log: slog.New(slog.DiscardHandler)}
		for name, wantOpen := range map[string]bool{
			"/goodship.v1.ConversationService/WatchConversation":                     false,
			"/goodship.v1.ConversationService/GetConversation":                       false,
			"/grpc.health.v1.Health/Watch":                                           true,
			"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":              true,
			"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo":         true,
			"grpc.health.v1.Health/Watch":                                            false,
			"/grpc.health.v1.HealthX/Watch":                                          false,
			"/goodship.v1.ConversationService/grpc.health.v1.Health/WatchEverything": false,
			"": false,
		} {
			ran := false
			err := c.stream(nil, stubStream{ctx: t.Context()}, &grpc.StreamServerInfo{FullMethod: name}, func(any, grpc.ServerStream) error {
				ran = true
				return nil
			})
			if ran != wantOpen || (err == nil) != wantOpen {
				t.Errorf("%q: ran %v, %v", name, ran, err)
			}
			if !wantOpen && reasonOf(err) != goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

// A connection may break a moment before the call's context ends. That is no incident, and another error is one.
func TestAReplyThatReachesNobodyIsTheEndOfTheCall(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"the connection is gone":            {status.Error(codes.Unavailable, "transport is closing"), codes.Canceled},
		"the stream was reset":              {status.Error(codes.Canceled, "reset"), codes.Canceled},
		"the deadline passed":               {status.Error(codes.DeadlineExceeded, "deadline"), codes.DeadlineExceeded},
		"over REST":                         {io.EOF, codes.Canceled},
		"over REST, of the request":         {context.Canceled, codes.Canceled}, // whose context ends before ours, which is its child
		"over REST, the request's deadline": {context.DeadlineExceeded, codes.DeadlineExceeded},
		"a fault of ours":                   {broken, codes.Internal},
	} {
		var book strings.Builder
		s := &checkedStream{streamUntil: streamUntil{stubStream{send: c.err}, t.Context()}}
		told := Refuser(slog.New(slog.NewTextHandler(&book, nil)))(s.SendMsg(nil))
		ended := reasonOf(told) == goodshipv1.ErrorReason_ERROR_REASON_CALL_ENDED
		if incident := book.Len() > 0; status.Code(told) != c.want || ended == incident || incident != (c.want == codes.Internal) {
			t.Errorf("%s: %v, and the log has %q", name, told, &book)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStopping)
	s := &checkedStream{streamUntil: streamUntil{stubStream{}, ctx}}
	if err := s.SendMsg(nil); reasonOf(err) != goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE {
		t.Errorf("a reply after the end: %v", err)
	}
}

func TestStreamsThatNothingBoundsAreRefusedAtTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		client, server, rest, refused bool
	}{
		"many requests":           {client: true},
		"many requests over REST": {client: true, rest: true, refused: true},
		"both ways":               {client: true, server: true, refused: true},
		"many replies":            {server: true},
	} {
		request := ".goodship.v1.SendMessageRequest"
		m := &descriptorpb.MethodDescriptorProto{Name: proto.String("Do"), InputType: &request, OutputType: &request, ClientStreaming: &c.client, ServerStreaming: &c.server}
		if c.rest {
			m.Options = &descriptorpb.MethodOptions{}
			proto.SetExtension(m.Options, annotations.E_Http, &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: "/v1/do"}, Body: "*"})
		}
		file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
			Name: proto.String("do.proto"), Dependency: []string{"goodship/v1/message_service.proto"},
			Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Doer"), Method: []*descriptorpb.MethodDescriptorProto{m}}},
		}, protoregistry.GlobalFiles)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := methodOf(file.Services().Get(0).Methods().Get(0)); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A further message waits for its token, as long as its call goes on.
func TestFurtherMessagesDraw(t *testing.T) {
	now := time.Unix(0, 0)
	l := DefaultLimits()
	l.RatePerWorkspace = 1
	rates := newRateLimiter(l, func() time.Time { return now })
	backend := support.Caller{Kind: goodshipv1.Caller_CALLER_BACKEND, Workspace: "work_1"}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if err := rates.await(over, backend, netip.Addr{}, "/m"); err != nil {
			t.Fatal(err)
		}
	}
	if err := rates.await(over, backend, netip.Addr{}, "/m"); reasonOf(err) != goodshipv1.ErrorReason_ERROR_REASON_CALL_ENDED {
		t.Errorf("without a token: %v", err)
	}
	operator := support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR, Workspace: "work_1"}
	if err := rates.await(over, operator, netip.Addr{}, "/m"); err != nil {
		t.Errorf("an operator: %v", err)
	}
	now = now.Add(time.Second)
	if err := rates.await(over, backend, netip.Addr{}, "/m"); err != nil {
		t.Errorf("with one: %v", err)
	}
}

func TestCallsEndInSteps(t *testing.T) {
	c := newCalls()
	ctx, leave, err := c.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.drain()
	_, leaveSecond, err := c.enter(t.Context())
	if err != nil {
		t.Errorf("a call that came while draining: %v", err)
	}
	c.close()
	if _, _, err := c.enter(t.Context()); err == nil {
		t.Error("a call entered after the end")
	} else if f := new(fault.Fault); !errors.As(err, &f) || f.Code() != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	idle := func() bool {
		select {
		case <-c.idle:
			return true
		default:
			return false
		}
	}
	if leaveSecond(); idle() {
		t.Error("idle with a call in flight")
	}
	if ctx.Err() != nil {
		t.Error("a call was ended before its time")
	}
	c.end()
	<-ctx.Done()
	if f := ended(ctx); f.Reason() != goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE {
		t.Errorf("the call ended as %v", f)
	}
	if leave(); !idle() {
		t.Error("not idle without a call")
	}
	c.close() // again: changes nothing
}

func TestAPanicOfTheGatewayItselfIsContained(t *testing.T) {
	g := &gateway{links: &chain{log: slog.New(slog.DiscardHandler)}}
	h := g.containHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/workspace", nil))
	if checkReply(t, w); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("HTTP %d %s", w.Code, w.Body)
	}
}
