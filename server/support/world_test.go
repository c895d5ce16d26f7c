package support_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func TestMain(m *testing.M) {
	// Tests wait for the disk, not for a processor. A flag on the command line still counts.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// person is who a call is made for, as `goodship-act-for` names them; the backend itself is nobody. Or it is who comes with a
// credential of their own (bearer).
type person string

// bearer is who comes with a credential.
func bearer(credential string) person { return person("bearer/" + credential) }

// The people of every world: two agents and a leader, who are in its directory, and customers, who come by calling.
const (
	backend person = ""
	ada     person = "agent/ada"
	ben     person = "agent/ben"
	lea     person = "agent/lea"
	kim     person = "customer/kim"
	lou     person = "customer/lou"

	// operator is who runs the server.
	operator person = "operator"
)

// id is the product's id of the person.
func (p person) id() string {
	_, id, _ := strings.Cut(string(p), "/")
	return id
}

// world is a server without a transport: the service over a store, one clock for both unless a test says otherwise, and a
// workspace with people.
type world struct {
	*support.Service
	t         testing.TB
	clock     *faketime.Clock
	store     store.Store
	workspace string
	secret    string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	clock := faketime.New()
	return foundWorld(t, clock, rehearsed{openStore(t, clock.Now)})
}

// foundWorld makes a world on a store that may hold others.
func foundWorld(t testing.TB, clock *faketime.Clock, s store.Store) *world {
	t.Helper()
	w := &world{t: t, clock: clock, store: s}
	w.restart()
	made, err := w.CreateWorkspace(w.asOperator(), &goodshipv1.CreateWorkspaceRequest{DisplayName: "The product"})
	if err != nil {
		t.Fatalf("make a workspace: %v", err)
	}
	w.workspace, w.secret = made.Workspace.Id, made.Secret
	w.employ(ada, goodshipv1.Role_ROLE_AGENT)
	w.employ(ben, goodshipv1.Role_ROLE_AGENT)
	w.employ(lea, goodshipv1.Role_ROLE_LEADER)
	w.knows(kim)
	w.knows(lou)
	return w
}

// restart begins a new life of the service, over the same store.
func (w *world) restart() {
	svc, err := support.New(w.store, support.Options{Clock: w.clock})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = svc
}

// employ puts an agent into the directory.
func (w *world) employ(p person, role goodshipv1.Role) {
	w.t.Helper()
	do[*goodshipv1.Agent](w, backend, &goodshipv1.UpsertAgentRequest{
		AgentId: p.id(), Agent: &goodshipv1.Agent{DisplayName: "The real " + p.id(), Role: role},
	})
}

// knows puts a customer without a name into the directory.
func (w *world) knows(p person) {
	w.t.Helper()
	do[*goodshipv1.Customer](w, backend, &goodshipv1.UpsertCustomerRequest{CustomerId: p.id(), Customer: &goodshipv1.Customer{}})
}

// asOperator returns the context of a new call by who runs the server, in no workspace.
func (w *world) asOperator() context.Context {
	return support.WithCaller(w.t.Context(), support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR})
}

// by returns the context of a new call for somebody.
func (w *world) by(p person) context.Context {
	w.t.Helper()
	if p == operator {
		return w.asOperator()
	}
	credential, actFor := w.secret, string(p)
	if own, ok := strings.CutPrefix(string(p), "bearer/"); ok {
		credential, actFor = own, ""
	}
	c, err := w.Authenticate(w.t.Context(), credential, actFor)
	if err != nil {
		w.t.Fatalf("authenticate %q: got %v, want a caller", p, err)
	}
	return support.WithCaller(w.t.Context(), c)
}

// passes lets time pass while some are there.
func (w *world) passes(d time.Duration, there ...person) {
	w.t.Helper()
	for ; d > 0; d -= time.Minute {
		w.clock.Jump(min(d, time.Minute))
		for _, p := range there {
			w.by(p)
		}
	}
}

// do makes a call that must succeed.
func do[Reply proto.Message](w *world, p person, req proto.Message) Reply {
	w.t.Helper()
	reply, err := w.call(w.by(p), req)
	if err != nil {
		w.t.Fatalf("%s by %q: got %v, want none", req.ProtoReflect().Descriptor().Name(), p, refusal(err))
	}
	return reply.(Reply)
}

// refuses makes a call that must fail, as refusal tells it, and must change nothing.
func (w *world) refuses(p person, req proto.Message, want string) {
	w.t.Helper()
	ctx := w.by(p)
	before := image(w.t, w.store)
	w.answers(ctx, req, want)
	w.unchanged(before)
}

// answers makes a call that must fail, as refusal tells it.
func (w *world) answers(ctx context.Context, req proto.Message, want string) {
	w.t.Helper()
	_, err := w.call(ctx, req)
	if got := refusal(err); got != want {
		w.t.Errorf("%s: got %s, want %s", req.ProtoReflect().Descriptor().Name(), got, want)
	}
}

// unchanged checks that the store reads as it did.
func (w *world) unchanged(before map[string]string) {
	w.t.Helper()
	after := image(w.t, w.store)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if after[name] != before[name] {
			w.t.Errorf("%s: got a change, want none", name)
		}
	}
	if len(after) < len(before) {
		w.t.Errorf("got %d things in the store, want %d as before", len(after), len(before))
	}
}

// call calls the method of a request, which must be one that the transport would let through.
func (w *world) call(ctx context.Context, req proto.Message) (proto.Message, error) {
	w.t.Helper()
	if err := protovalidate.Validate(req); err != nil {
		w.t.Fatalf("%T would not reach the service: %v", req, err)
	}
	return w.dispatch(ctx, req)
}

// dispatch calls the method of a request. Of a watch it returns the first update.
func (w *world) dispatch(ctx context.Context, req proto.Message) (proto.Message, error) {
	first := &glance{ctx: ctx}
	switch req := req.(type) {
	case *goodshipv1.BackupStoreRequest:
		return &goodshipv1.BackupStoreResponse{}, w.BackupStore(req, &received{ctx: ctx})
	case *goodshipv1.AddAffectedCustomersRequest:
		return w.streams(ctx, req)
	case *goodshipv1.ExportCustomerRequest:
		items, err := w.exports(ctx, req)
		return &goodshipv1.ExportCustomerResponse{Item: &goodshipv1.ExportCustomerResponse_End{End: &goodshipv1.ExportEnd{ItemCount: int32(len(items))}}}, err
	case *goodshipv1.WatchConversationRequest:
		return first.of(w.WatchConversation(req, &grpc.GenericServerStream[goodshipv1.WatchConversationRequest, goodshipv1.WatchUpdate]{ServerStream: first}))
	case *goodshipv1.WatchDeskRequest:
		return first.of(w.WatchDesk(req, &grpc.GenericServerStream[goodshipv1.WatchDeskRequest, goodshipv1.WatchUpdate]{ServerStream: first}))
	}
	name := strings.TrimSuffix(string(req.ProtoReflect().Descriptor().Name()), "Request")
	out := reflect.ValueOf(w.Service).MethodByName(name).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(req)})
	err, _ := out[1].Interface().(error)
	return out[0].Interface().(proto.Message), err
}

// glance is the end of a stream that wants one update.
type glance struct {
	grpc.ServerStream
	ctx   context.Context
	first *goodshipv1.WatchUpdate
}

var errSeen = errors.New("seen")

func (g *glance) Context() context.Context { return g.ctx }

func (g *glance) SendMsg(m any) error {
	g.first = m.(*support.Frame).Update()
	return errSeen
}

// of returns the update, or why the stream ended without one.
func (g *glance) of(err error) (proto.Message, error) {
	if errors.Is(err, errSeen) {
		err = nil
	}
	return g.first, err
}

// refusal tells an error as it crosses the API: code, reason, then metadata and violated fields. "" if there is none.
func refusal(err error) string {
	if err == nil {
		return ""
	}
	var f *fault.Fault
	if !errors.As(support.Fault(err), &f) {
		return "no fault: " + err.Error()
	}
	return refusalOf(f.GRPCStatus().Proto())
}

// refusalOf is refusal for an error that stands in a reply.
func refusalOf(s *spb.Status) string {
	status := status.FromProto(s)
	words := []string{status.Code().String()}
	for _, detail := range status.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			words = append(words, d.Reason)
			for _, key := range slices.Sorted(maps.Keys(d.Metadata)) {
				words = append(words, key+"="+d.Metadata[key])
			}
		case *errdetails.BadRequest:
			for _, v := range d.FieldViolations {
				words = append(words, v.Field)
			}
		case *errdetails.RetryInfo:
			words = append(words, "retry after "+d.RetryDelay.AsDuration().String())
		}
	}
	return strings.Join(words, " ")
}

// method is a method of the API, by the name of its request.
type method struct {
	name    string
	input   protoreflect.MessageDescriptor
	callers []goodshipv1.Caller
	// reads says that it has no side effects.
	reads bool
}

// methods returns all methods of the API.
var methods = sync.OnceValue(func() map[string]method {
	all := map[string]method{}
	protoregistry.GlobalFiles.RangeFilesByPackage("goodship.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			declared := f.Services().Get(i).Methods()
			for j := range declared.Len() {
				d := declared.Get(j)
				access := proto.GetExtension(d.Options(), goodshipv1.E_Access).(*goodshipv1.Access)
				name := string(d.Name())
				reads := strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Watch") || strings.HasPrefix(name, "Export") || strings.HasPrefix(name, "Preview")
				all[name] = method{name: name, input: d.Input(), callers: access.GetCallers(), reads: reads}
			}
		}
		return true
	})
	return all
})

// has reports whether a request has a field.
func (m method) has(field protoreflect.Name) bool { return m.input.Fields().ByName(field) != nil }

// equal checks a value.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// same checks a message, but for where to watch on from: a cursor is sealed anew each time.
func same(t testing.TB, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(withoutCursor(got), withoutCursor(want)) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// withoutCursor returns a message without its watch_cursor.
func withoutCursor(m proto.Message) proto.Message {
	m = proto.Clone(m)
	if f := m.ProtoReflect().Descriptor().Fields().ByName("watch_cursor"); f != nil {
		m.ProtoReflect().Clear(f)
	}
	return m
}

// list tells values in a row, to be compared.
func list[T any](values []T) string { return strings.Trim(fmt.Sprint(values), "[]") }

// newRequest returns an empty request of a method.
func newRequest(m method) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(m.input.FullName())
	if err != nil {
		panic(err) // all of goodship.v1 is linked in
	}
	return t.New().Interface()
}

// set sets a text field of a message, if the message has it.
func set(m proto.Message, field, value string) {
	f := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(field))
	if f != nil && f.Kind() == protoreflect.StringKind && !f.IsList() {
		m.ProtoReflect().Set(f, protoreflect.ValueOfString(value))
	}
}

// mask names fields.
func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }
