package client

import (
	"context"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// failing answers with a failure, at once to be tried again, until the nth attempt.
func failing(until int, code codes.Code, reason goodshipv1.ErrorReason) script {
	return func(ctx context.Context, a attempt) (proto.Message, error) {
		if a.number >= until {
			return &goodshipv1.Conversation{Id: "conv_1"}, nil
		}
		pushBack(ctx, "0")
		return nil, failure(code, reason, &errdetails.RetryInfo{RetryDelay: durationpb.New(1)})
	}
}

func TestWhatIsRepeated(t *testing.T) {
	unavailable, full := goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE, goodshipv1.ErrorReason_ERROR_REASON_RATE_LIMITED
	internal := goodshipv1.ErrorReason_ERROR_REASON_INTERNAL
	for name, tc := range map[string]struct {
		answer   script
		attempts int
		want     codes.Code
	}{
		"unavailable, then not":      {failing(3, codes.Unavailable, unavailable), 3, codes.OK},
		"rate limited, then not":     {failing(2, codes.ResourceExhausted, full), 2, codes.OK},
		"unavailable all the time":   {failing(99, codes.Unavailable, unavailable), 4, codes.Unavailable},
		"internal":                   {failing(99, codes.Internal, internal), 1, codes.Internal},
		"aborted":                    {failing(99, codes.Aborted, goodshipv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH), 1, codes.Aborted},
		"the server's own deadline":  {failing(99, codes.DeadlineExceeded, goodshipv1.ErrorReason_ERROR_REASON_CALL_ENDED), 1, codes.DeadlineExceeded},
		"a server that says no more": {no, 1, codes.ResourceExhausted},
		"by gRPC's own pause":        {withoutPushback, 2, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tc.answer)
			_, err := s.client().CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
			if got := status.Code(err); got != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if got := len(s.seen()); got != tc.attempts {
				t.Errorf("the server saw %d attempts, want %d", got, tc.attempts)
			}
		})
	}
}

// no is what a server whose disk is full should say.
func no(ctx context.Context, _ attempt) (proto.Message, error) {
	pushBack(ctx, "-1")
	return nil, failure(codes.ResourceExhausted, goodshipv1.ErrorReason_ERROR_REASON_STORE_FULL)
}

func withoutPushback(_ context.Context, a attempt) (proto.Message, error) {
	if a.number == 1 {
		return nil, failure(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE)
	}
	return &goodshipv1.Conversation{}, nil
}

func TestAnErrorIsWholeAfterTheLastAttempt(t *testing.T) {
	s := serve(t, failing(99, codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE))
	_, err := s.client().CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{})
	if got := Reason(err); got != goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE {
		t.Errorf("got %v of %v", got, err)
	}
	if d, ok := RetryDelay(err); d != 1 || !ok {
		t.Errorf("got %v, %v, want 1ns", d, ok)
	}
}

func TestRequestIDs(t *testing.T) {
	s := serve(t, failing(3, codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE))
	c := s.client()
	req := &goodshipv1.CreateConversationRequest{Text: "Ahoy", Labels: []string{"film"}}
	before := proto.CloneOf(req)
	for range 2 { // three attempts, then one
		if _, err := c.CreateConversation(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if !proto.Equal(req, before) {
		t.Errorf("the caller's request became %v", req)
	}
	ids := requestIDs(s)
	if len(ids) != 4 || ids[0] != ids[1] || ids[1] != ids[2] || ids[2] == ids[3] {
		t.Errorf("got %q, want the same id three times, then another", ids)
	}
	if id, err := uuid.Parse(ids[0]); err != nil || id.Version() != 4 {
		t.Errorf("%q is no random UUID: %v", ids[0], err)
	}
	if got := s.seen()[0].req.(*goodshipv1.CreateConversationRequest); got.Text != req.Text || len(got.Labels) != 1 {
		t.Errorf("the server got %v of %v", got, req)
	}
}

func requestIDs(s *scripted) []string {
	var ids []string
	for _, a := range s.seen() {
		ids = append(ids, a.req.(*goodshipv1.CreateConversationRequest).GetRequestId())
	}
	return ids
}

func TestARequestIDOfTheCallersStays(t *testing.T) {
	s := serve(t, failing(2, codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE))
	if _, err := s.client().CreateConversation(t.Context(), &goodshipv1.CreateConversationRequest{RequestId: "mine"}); err != nil {
		t.Fatal(err)
	}
	if ids := requestIDs(s); len(ids) != 2 || ids[0] != "mine" || ids[1] != "mine" {
		t.Errorf("got %q, want mine", ids)
	}
}

func TestANilRequestIsAnEmptyOne(t *testing.T) {
	s := serve(t, failing(1, codes.OK, goodshipv1.ErrorReason_ERROR_REASON_UNSPECIFIED))
	if _, err := s.client().CreateConversation(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if ids := requestIDs(s); len(ids) != 1 || ids[0] == "" {
		t.Errorf("got %q, want an id", ids)
	}
}

// A method that the contract does not let repeat is called once, whatever the server says.
func TestWhatIsNotSafeIsNotRepeated(t *testing.T) {
	s := serve(t, failing(99, codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE))
	err := s.client().conn.Invoke(t.Context(), "/goodship.v1.ConversationService/Unsafe", &emptypb.Empty{}, &emptypb.Empty{})
	if status.Code(err) != codes.Unavailable || len(s.seen()) != 1 {
		t.Errorf("got %v after %d attempts, want UNAVAILABLE after 1", err, len(s.seen()))
	}
}

func TestRepeatable(t *testing.T) {
	method := func(name, input string, level descriptorpb.MethodOptions_IdempotencyLevel, stream bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: &name, InputType: &input, OutputType: proto.String(".test.Bare"), ServerStreaming: &stream,
			Options: &descriptorpb.MethodOptions{IdempotencyLevel: &level},
		}
	}
	const unknown, idempotent, pure = descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN, descriptorpb.MethodOptions_IDEMPOTENT, descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Bare")},
			{Name: proto.String("WithID"), Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("request_id"), Number: proto.Int32(1),
				Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{
			method("Unsafe", ".test.Bare", unknown, false),
			method("Once", ".test.WithID", unknown, false),
			method("Set", ".test.Bare", idempotent, false),
			method("Get", ".test.Bare", pure, false),
			method("Watch", ".test.Bare", pure, true),
		}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"Unsafe": false, "Once": true, "Set": true, "Get": true, "Watch": false}
	methods := file.Services().Get(0).Methods()
	for i := range methods.Len() {
		name := string(methods.Get(i).Name())
		if got := repeatable(methods.Get(i)); got != want[name] {
			t.Errorf("%s: got %v, want %v", name, got, want[name])
		}
	}
}

// Whether a method may be repeated is decided by its descriptor; today each one may that is no stream. One
// that may not be belongs in the package comment.
func TestEveryMethodIsRepeated(t *testing.T) {
	for service := range services {
		for i := range service.Methods().Len() {
			if m := service.Methods().Get(i); service.Name() != "OperatorService" && repeatable(m) == (m.IsStreamingServer() || m.IsStreamingClient()) {
				t.Errorf("%s: repeated: %v", m.FullName(), repeatable(m))
			}
		}
	}
}

// A page of 100 messages that are each as large as they may be is larger than what gRPC takes by itself.
func TestTheLargestPageArrives(t *testing.T) {
	page := &goodshipv1.ListMessagesResponse{}
	for range 100 {
		m := &goodshipv1.Message{Text: strings.Repeat("a", 32768)}
		for range 10 {
			m.Attachments = append(m.Attachments, &goodshipv1.Attachment{Uri: strings.Repeat("u", 2048), MediaType: strings.Repeat("m", 100), FileName: strings.Repeat("f", 255)})
		}
		page.Messages = append(page.Messages, m)
	}
	s := serve(t, func(context.Context, attempt) (proto.Message, error) { return page, nil })
	got, err := s.client().ListMessages(t.Context(), nil)
	if err != nil || len(got.GetMessages()) != 100 {
		t.Errorf("got %d messages, %v", len(got.GetMessages()), err)
	}
}
