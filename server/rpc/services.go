package rpc

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Service is what this package makes reachable: the services of goodship.v1 and what the transport asks of them.
// *support.Service is one.
type Service interface {
	goodshipv1.ConversationServiceServer
	goodshipv1.MessageServiceServer
	goodshipv1.ResolutionServiceServer
	goodshipv1.CreditServiceServer
	goodshipv1.IncidentServiceServer
	goodshipv1.DeskServiceServer
	goodshipv1.DirectoryServiceServer
	goodshipv1.AdminServiceServer
	goodshipv1.InsightServiceServer
	goodshipv1.OperatorServiceServer

	// Authenticate returns the caller that a bearer token and the metadata `goodship-act-for` (empty if absent) stand for.
	Authenticate(ctx context.Context, token, actFor string) (support.Caller, error)
	// Operator returns the operator as a caller, in the workspace that `goodship-act-for` names, if it does.
	Operator(ctx context.Context, actFor string) (support.Caller, error)
	// AllowsOrigin reports whether a workspace, or any if it is empty, lists an origin of web pages that may call.
	AllowsOrigin(ctx context.Context, workspace, origin string) (bool, error)
	// Drain ends every watch, each with its cursor, and lets no more in. It does not wait for them.
	Drain()
	// Ready returns nil while the service can do its work, or why it cannot.
	Ready() error
}

// service is a service as gRPC and the gateway know it; rest is nil if it has no place in REST.
type service struct {
	desc *grpc.ServiceDesc
	rest func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error
}

// operatorServices are all that is served at the operators' door, over gRPC.
var operatorServices = []service{
	{desc: &goodshipv1.OperatorService_ServiceDesc},
	{desc: &goodshipv1.AdminService_ServiceDesc},
	{desc: &goodshipv1.DirectoryService_ServiceDesc},
}

// services are all that is served to the public, over gRPC and REST alike.
var services = []service{
	{&goodshipv1.ConversationService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterConversationServiceHandlerClient(ctx, mux, goodshipv1.NewConversationServiceClient(c))
	}},
	{&goodshipv1.MessageService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterMessageServiceHandlerClient(ctx, mux, goodshipv1.NewMessageServiceClient(c))
	}},
	{&goodshipv1.ResolutionService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterResolutionServiceHandlerClient(ctx, mux, goodshipv1.NewResolutionServiceClient(c))
	}},
	{&goodshipv1.CreditService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterCreditServiceHandlerClient(ctx, mux, goodshipv1.NewCreditServiceClient(c))
	}},
	{&goodshipv1.IncidentService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterIncidentServiceHandlerClient(ctx, mux, goodshipv1.NewIncidentServiceClient(c))
	}},
	{&goodshipv1.DeskService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterDeskServiceHandlerClient(ctx, mux, goodshipv1.NewDeskServiceClient(c))
	}},
	{&goodshipv1.DirectoryService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterDirectoryServiceHandlerClient(ctx, mux, goodshipv1.NewDirectoryServiceClient(c))
	}},
	{&goodshipv1.AdminService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterAdminServiceHandlerClient(ctx, mux, goodshipv1.NewAdminServiceClient(c))
	}},
	{&goodshipv1.InsightService_ServiceDesc, func(ctx context.Context, mux *runtime.ServeMux, c grpc.ClientConnInterface) error {
		return goodshipv1.RegisterInsightServiceHandlerClient(ctx, mux, goodshipv1.NewInsightServiceClient(c))
	}},
}

// method is what the contract says of one method. It is read from the descriptors once, at start.
type method struct {
	// name is the method's own, without its service.
	name string
	// access says who may call it; nil if the contract does not say, and then nobody may.
	access *goodshipv1.Access
	input  protoreflect.MessageType
	// requests is set if it takes a stream of requests.
	requests bool
	// watch is set if its replies are updates without end, each sent as a support.Frame.
	watch bool
	// output is what it streams items of, each with the cursor behind it; nil unless it does. Over REST they are server-sent events.
	output protoreflect.MessageType
	// noWorkspace is set if it is about the server as a whole, so that an operator need not name a workspace.
	noWorkspace bool
	// requestID and etag are the fields of the request that headers may fill; nil if it has none.
	requestID, etag protoreflect.FieldDescriptor
	// cursor is where a stream begins, which a header may say as well.
	cursor protoreflect.FieldDescriptor
	// route is where REST finds it; nil if it does not.
	route *route
}

// route is a method's place in REST.
type route struct {
	method *method
	// verb is the HTTP method, pattern the path as runtime.Pattern prints it.
	verb, pattern string
	// inPath are the fields of the request that the path holds, by their names in the path.
	inPath map[string]protoreflect.FieldDescriptor
	// body is what the body holds: the whole request if wholeBody, else one field of it; nothing if that is nil.
	body      protoreflect.FieldDescriptor
	wholeBody bool
}

// methodsOf reads what the contract says of the methods of services, by their full names as in `/package.Service/Method`.
func methodsOf(services []service) (map[string]*method, error) {
	all := map[string]*method{}
	for _, s := range services {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(s.desc.ServiceName))
		if err != nil {
			return nil, fmt.Errorf("the contract has no service %s: %w", s.desc.ServiceName, err)
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			m, err := methodOf(methods.Get(i))
			if err != nil {
				return nil, fmt.Errorf("method %s: %w", methods.Get(i).FullName(), err)
			}
			all["/"+s.desc.ServiceName+"/"+m.name] = m
		}
	}
	return all, nil
}

func methodOf(d protoreflect.MethodDescriptor) (*method, error) {
	input, err := protoregistry.GlobalTypes.FindMessageByName(d.Input().FullName())
	if err != nil {
		return nil, err
	}
	m := &method{
		name:        string(d.Name()),
		input:       input,
		requests:    d.IsStreamingClient(),
		watch:       isWatch(d),
		noWorkspace: string(d.Parent().FullName()) == goodshipv1.OperatorService_ServiceDesc.ServiceName,
		requestID:   stringField(d.Input(), "request_id"),
		etag:        stringField(d.Input(), "etag"),
		cursor:      stringField(d.Input(), "cursor"),
	}
	if m.requests && d.IsStreamingServer() {
		return nil, errors.New("it streams both ways, and nothing would bound how long it lasts")
	}
	if access, ok := proto.GetExtension(d.Options(), goodshipv1.E_Access).(*goodshipv1.Access); ok && access != nil {
		m.access = access
	}
	if rule, ok := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule); ok && rule != nil {
		if m.route, err = routeOf(m, rule); err != nil {
			return nil, err
		}
	}
	if d.IsStreamingServer() && m.cursor != nil && stringField(d.Output(), "cursor") != nil {
		if m.output, err = protoregistry.GlobalTypes.FindMessageByName(d.Output().FullName()); err != nil {
			return nil, err
		}
	}
	if m.route != nil && d.IsStreamingServer() && m.output == nil {
		return nil, errors.New("it has a place in REST and streams what has no cursor, which has no form there")
	}
	if m.route != nil && m.requests {
		return nil, errors.New("it has a place in REST and takes a stream, which has no form there")
	}
	return m, err
}

func isWatch(d protoreflect.MethodDescriptor) bool {
	return d.IsStreamingServer() && stringField(d.Input(), "cursor") != nil && d.Output().FullName() == (*goodshipv1.WatchUpdate)(nil).ProtoReflect().Descriptor().FullName()
}

// stringField returns a singular string field by its name, or nil.
func stringField(d protoreflect.MessageDescriptor, name protoreflect.Name) protoreflect.FieldDescriptor {
	f := d.Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.StringKind || f.Cardinality() == protoreflect.Repeated {
		return nil
	}
	return f
}

// variable is a field of the request in the path of an HTTP rule, as in `{conversation_id}`.
var variable = regexp.MustCompile(`\{([a-z0-9_]+)\}`)

func routeOf(m *method, rule *annotations.HttpRule) (*route, error) {
	verb, path := verbOf(rule)
	if verb == "" || len(rule.GetAdditionalBindings()) > 0 || rule.GetResponseBody() != "" {
		return nil, fmt.Errorf("the gateway's checks do not know the HTTP rule %v", rule)
	}
	r := &route{method: m, verb: verb, inPath: map[string]protoreflect.FieldDescriptor{}}
	fields := m.input.Descriptor().Fields()
	for _, v := range variable.FindAllStringSubmatch(path, -1) {
		f := fields.ByName(protoreflect.Name(v[1]))
		if f == nil {
			return nil, fmt.Errorf("the path %s names %s, which the request lacks", path, v[1])
		}
		r.inPath[v[1]] = f
	}
	r.pattern = variable.ReplaceAllString(path, "{$1=*}")
	switch body := rule.GetBody(); body {
	case "":
	case "*":
		r.wholeBody = true
	default:
		if r.body = fields.ByName(protoreflect.Name(body)); r.body == nil || r.body.Message() == nil || r.body.IsMap() || r.body.IsList() {
			return nil, fmt.Errorf("the body is %s, which is no message of the request", body)
		}
	}
	return r, nil
}

func verbOf(rule *annotations.HttpRule) (verb, path string) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET", p.Get
	case *annotations.HttpRule_Put:
		return "PUT", p.Put
	case *annotations.HttpRule_Post:
		return "POST", p.Post
	case *annotations.HttpRule_Delete:
		return "DELETE", p.Delete
	case *annotations.HttpRule_Patch:
		return "PATCH", p.Patch
	}
	return "", ""
}
