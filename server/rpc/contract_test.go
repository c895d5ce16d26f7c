package rpc

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The contract, held to what design.md section 4 says of it. That every element has a comment is checked by `buf lint`
// (category COMMENTS): the descriptors in a binary have none.

const pkg = "goodship.v1"

// operatorService is reached on the admin listener only, and has no REST.
const operatorService = "OperatorService"

func eachFile(t *testing.T, visit func(protoreflect.FileDescriptor)) {
	t.Helper()
	seen := 0
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(f protoreflect.FileDescriptor) bool {
		visit(f)
		seen++
		return true
	})
	if seen < 10 {
		t.Fatalf("only %d files of %s are linked in", seen, pkg)
	}
}

func eachMethod(t *testing.T, visit func(protoreflect.MethodDescriptor)) {
	t.Helper()
	eachFile(t, func(f protoreflect.FileDescriptor) {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				visit(methods.Get(j))
			}
		}
	})
}

func eachMessage(t *testing.T, visit func(protoreflect.MessageDescriptor)) {
	t.Helper()
	var walk func(protoreflect.MessageDescriptors)
	walk = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			if m := all.Get(i); !m.IsMapEntry() {
				visit(m)
				walk(m.Messages())
			}
		}
	}
	eachFile(t, func(f protoreflect.FileDescriptor) { walk(f.Messages()) })
}

func eachEnum(t *testing.T, visit func(protoreflect.EnumDescriptor)) {
	t.Helper()
	eachFile(t, func(f protoreflect.FileDescriptor) {
		for i := range f.Enums().Len() {
			visit(f.Enums().Get(i))
		}
	})
	eachMessage(t, func(m protoreflect.MessageDescriptor) {
		for i := range m.Enums().Len() {
			visit(m.Enums().Get(i))
		}
	})
}

// eachRequestField visits the fields of all requests, and of the messages in them, once each.
func eachRequestField(t *testing.T, visit func(protoreflect.FieldDescriptor)) {
	t.Helper()
	seen := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] || m.ParentFile().Package() != pkg {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			// What only the server sets is ignored when it comes with a resource that a caller sends back.
			if !m.IsMapEntry() {
				visit(f)
			}
			if f.Message() != nil && !has(f, annotations.FieldBehavior_OUTPUT_ONLY) {
				walk(f.Message())
			}
		}
	}
	eachMethod(t, func(m protoreflect.MethodDescriptor) { walk(m.Input()) })
}

func has(f protoreflect.FieldDescriptor, b annotations.FieldBehavior) bool {
	behaviors, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviors, b)
}

func TestEveryServiceIsServed(t *testing.T) {
	served, atOperators := map[string]bool{}, map[string]bool{}
	for _, s := range services {
		served[s.desc.ServiceName] = true
	}
	for _, s := range operatorServices {
		atOperators[s.desc.ServiceName] = true
	}
	eachFile(t, func(f protoreflect.FileDescriptor) {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			if got, want := served[string(s.FullName())], s.Name() != operatorService; got != want {
				t.Errorf("%s is served to the public: %v, want %v", s.FullName(), got, want)
			}
			if got, want := atOperators[string(s.FullName())], forOperators(s); got != want {
				t.Errorf("%s is served to operators: %v, want %v", s.FullName(), got, want)
			}
		}
	})
}

// forOperators reports whether operators may call any method of a service.
func forOperators(s protoreflect.ServiceDescriptor) bool {
	for i := range s.Methods().Len() {
		access, _ := proto.GetExtension(s.Methods().Get(i).Options(), goodshipv1.E_Access).(*goodshipv1.Access)
		if slices.Contains(access.GetCallers(), goodshipv1.Caller_CALLER_OPERATOR) {
			return true
		}
	}
	return false
}

func TestEveryMethodHasAPlaceInREST(t *testing.T) {
	places := map[string]protoreflect.FullName{}
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		if m.Parent().Name() == operatorService || m.IsStreamingClient() {
			return
		}
		rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
		if rule == nil {
			t.Errorf("%s has no HTTP rule", m.FullName())
			return
		}
		verb, path := verbOf(rule)
		if !strings.HasPrefix(path, "/v1/") {
			t.Errorf("%s: the path %s is not under /v1/", m.FullName(), path)
		}
		if other, taken := places[verb+" "+path]; taken {
			t.Errorf("%s and %s are both at %s %s", m.FullName(), other, verb, path)
		}
		places[verb+" "+path] = m.FullName()
		for _, v := range variable.FindAllStringSubmatch(path, -1) {
			if f := m.Input().Fields().ByName(protoreflect.Name(v[1])); f == nil || !has(f, annotations.FieldBehavior_REQUIRED) {
				t.Errorf("%s: %s stands in the path and is no required field", m.FullName(), v[1])
			}
		}
		// A preview may take long and is asked for on purpose, so it is a POST, which nothing on the way repeats or keeps.
		reads := verb == "GET" || strings.Contains(path, ":preview")
		if got, want := reads, level(m) == descriptorpb.MethodOptions_NO_SIDE_EFFECTS; got != want {
			t.Errorf("%s is a %s and has the idempotency level %v", m.FullName(), verb, level(m))
		}
	})
}

func level(m protoreflect.MethodDescriptor) descriptorpb.MethodOptions_IdempotencyLevel {
	o, _ := m.Options().(*descriptorpb.MethodOptions)
	return o.GetIdempotencyLevel()
}

// The query of a URL is checked field by field, and knows no messages but the well-known ones (strict.go).
func TestQueriesHoldPlainFields(t *testing.T) {
	methods, err := methodsOf(services)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range methods {
		fields := m.input.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			if m.route == nil || m.route.queryField(string(f.Name())) == nil || f.Message() == nil {
				continue
			}
			if f.IsMap() || f.Message().FullName().Parent() != "google.protobuf" {
				t.Errorf("%s: %s would stand in the query", name, f.Name())
			}
		}
	}
}

func TestEveryMethodSaysWhoMayCall(t *testing.T) {
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		access, _ := proto.GetExtension(m.Options(), goodshipv1.E_Access).(*goodshipv1.Access)
		callers := access.GetCallers()
		if len(callers) == 0 || slices.Contains(callers, goodshipv1.Caller_CALLER_UNSPECIFIED) {
			t.Errorf("%s may be called by %v", m.FullName(), callers)
		}
		agent, leader := slices.Contains(callers, goodshipv1.Caller_CALLER_AGENT), slices.Contains(callers, goodshipv1.Caller_CALLER_LEADER)
		if agent && !leader {
			t.Errorf("%s may be called by agents and not by leaders, who are agents", m.FullName())
		}
		others := slices.DeleteFunc(slices.Clone(callers), func(c goodshipv1.Caller) bool {
			return c == goodshipv1.Caller_CALLER_BACKEND || c == goodshipv1.Caller_CALLER_OPERATOR
		})
		// What leaders may do by themselves, only some backends may.
		leads := slices.Equal(others, []goodshipv1.Caller{goodshipv1.Caller_CALLER_LEADER})
		if access.GetScope() != goodshipv1.Scope_SCOPE_UNSPECIFIED && len(others) > 0 && !leads {
			t.Errorf("%s asks for a scope, which only a backend's key has, and may be called by %v", m.FullName(), callers)
		}
		customer, visitor := slices.Contains(callers, goodshipv1.Caller_CALLER_CUSTOMER), slices.Contains(callers, goodshipv1.Caller_CALLER_VISITOR)
		if customer != visitor && m.Name() != "SignInVisitor" {
			t.Errorf("%s may be called by %v: a visitor is a customer without an identity", m.FullName(), callers)
		}
		if strings.Contains(string(m.Name()), "Note") && customer {
			t.Errorf("%s is about notes and open to customers", m.FullName())
		}
		if operators := m.Parent().Name() == operatorService; operators != slices.Equal(callers, []goodshipv1.Caller{goodshipv1.Caller_CALLER_OPERATOR}) {
			t.Errorf("%s may be called by %v", m.FullName(), callers)
		}
	})
}

// idempotent are the methods that set something to what the request says, or keep nothing, and neither append nor create.
var idempotent = []string{
	"MarkRead", "SetAvailability", "BlockCustomer", "UpdateWorkspace", "RevokeApiKey", "RevokeSigningKey",
	"CreateToken", "RevokeTokens", "CreateVisitorSession", "SignInVisitor", "SendSignal",
	"SettleCredits", "UpdateIncident", "AddAffectedCustomers", "BatchAddAffectedCustomers", "UpdateWebhookEndpoint", "DeleteWebhookEndpoint",
}

func TestWhatIsNotIdempotentTakesARequestID(t *testing.T) {
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		f := stringField(m.Input(), "request_id")
		idempotent := slices.Contains(idempotent, string(m.Name()))
		if changes := level(m) != descriptorpb.MethodOptions_NO_SIDE_EFFECTS; changes && !idempotent && f == nil {
			t.Errorf("%s appends or creates, and takes no request_id", m.FullName())
		}
		if says := level(m) == descriptorpb.MethodOptions_IDEMPOTENT; says != idempotent {
			t.Errorf("%s: idempotent in the contract: %v, here: %v", m.FullName(), says, idempotent)
		}
		if level(m) == descriptorpb.MethodOptions_NO_SIDE_EFFECTS && f != nil {
			t.Errorf("%s changes nothing and takes a request_id", m.FullName())
		}
		if f != nil && rules(f).GetString().GetPattern() != "^[ -~]{0,64}$" {
			t.Errorf("%s: request_id must be 1 to 64 printable ASCII characters", m.FullName())
		}
	})
}

// longPages are the lists whose pages may have 1,000 items, since as many are settled, or added, at once; and whole those that have no
// pages, since a workspace has few of what they list.
var longPages, whole = []string{"ListCredits", "ListApologies"}, []string{"ListWebhookEndpoints"}

func TestListsArePaged(t *testing.T) {
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		name := string(m.Name())
		if !strings.HasPrefix(name, "List") || slices.Contains(whole, name) {
			return
		}
		most := int32(100)
		if slices.Contains(longPages, name) {
			most = 1000
		}
		in, out := m.Input().Fields(), m.Output().Fields()
		size := in.ByName("page_size")
		if size == nil || size.Kind() != protoreflect.Int32Kind || rules(size).GetInt32().GetLte() != most {
			t.Errorf("%s: page_size must be an int32 of at most %d", m.FullName(), most)
		}
		if stringField(m.Input(), "page_token") == nil || in.ByName("page_token") == nil {
			t.Errorf("%s has no page_token", m.FullName())
		}
		if stringField(m.Output(), "next_page_token") == nil {
			t.Errorf("%s has no next_page_token", m.FullName())
		}
		if first := out.ByNumber(1); first == nil || !first.IsList() {
			t.Errorf("%s: the first field of the response must be the list", m.FullName())
		}
	})
}

func TestEveryFieldSaysHowItBehaves(t *testing.T) {
	eachMessage(t, func(m protoreflect.MessageDescriptor) {
		// An option of methods is sent by nobody, and an event is output as a whole, over webhooks too.
		if m.Name() == "Access" || m.ParentFile().Path() == "goodship/v1/event.proto" || m.Name() == "WebhookPayload" || m.Name() == "WebhookData" {
			return
		}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if isChoice(f) {
				continue // it is required that one of them is there
			}
			if behaviors, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior); len(behaviors) != 1 {
				t.Errorf("%s has the behaviors %v, want one", f.FullName(), behaviors)
			}
		}
	})
}

// isChoice reports whether a field is one of those of which a request must have exactly one.
func isChoice(f protoreflect.FieldDescriptor) bool {
	if f.ContainingOneof() == nil {
		return false
	}
	r, _ := proto.GetExtension(f.ContainingOneof().Options(), validate.E_Oneof).(*validate.OneofRules)
	return r.GetRequired()
}

func rules(f protoreflect.FieldDescriptor) *validate.FieldRules {
	r, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	return r
}

// What a caller sends has a bound, and enums the values that there are.
func TestEveryFieldOfARequestIsBounded(t *testing.T) {
	eachRequestField(t, func(f protoreflect.FieldDescriptor) {
		if has(f, annotations.FieldBehavior_OUTPUT_ONLY) {
			return
		}
		r := rules(f)
		item := r
		switch {
		case f.IsMap():
			if r.GetMap().GetMaxPairs() == 0 || !boundedString(r.GetMap().GetKeys()) || !boundedString(r.GetMap().GetValues()) {
				t.Errorf("the map %s has no bound", f.FullName())
			}
			return
		case f.IsList():
			item = r.GetRepeated().GetItems()
			if r.GetRepeated().GetMaxItems() == 0 && (f.Enum() == nil || !r.GetRepeated().GetUnique()) {
				t.Errorf("the list %s has no bound", f.FullName())
			}
		}
		switch {
		case f.Kind() == protoreflect.StringKind && !boundedString(item):
			t.Errorf("the string %s has no bound", f.FullName())
		case f.Kind() == protoreflect.EnumKind && !item.GetEnum().GetDefinedOnly():
			t.Errorf("the enum %s takes values that there are not", f.FullName())
		case f.Kind() == protoreflect.Int32Kind && item.GetInt32() == nil:
			t.Errorf("the number %s has no bound", f.FullName())
		}
	})
}

func boundedString(r *validate.FieldRules) bool {
	s := r.GetString()
	return s.GetMaxBytes() > 0 || s.GetMaxLen() > 0 || s.GetLenBytes() > 0 || regexp.MustCompile(`\{\d+(,\d+)?\}`).MatchString(s.GetPattern())
}

// Nobody is measured by how long they take: no schema has a field for it. The answer promise and silence are about the
// customer's wait.
func TestNoFieldMeansHandlingTime(t *testing.T) {
	handling := regexp.MustCompile(`handle_?time|handling|aht|talk_?time|work_?time|wrap_?up|occupancy|utili[sz]ation|productivity|` +
		`duration_per|per_agent|per_hour|time_spent|time_to_|response_time|resolution_time|resolve_duration|idle_time|speed|rank|score|quota`)
	check := func(d protoreflect.Descriptor) {
		if handling.MatchString(strings.ToLower(string(d.Name()))) {
			t.Errorf("%s sounds of handling time", d.FullName())
		}
	}
	eachMessage(t, func(m protoreflect.MessageDescriptor) {
		check(m)
		for i := range m.Fields().Len() {
			check(m.Fields().Get(i))
		}
	})
	eachEnum(t, func(e protoreflect.EnumDescriptor) {
		check(e)
		for i := range e.Values().Len() {
			check(e.Values().Get(i))
		}
	})
	eachMethod(t, func(m protoreflect.MethodDescriptor) { check(m) })
}

func TestNamesAreOfOneStyle(t *testing.T) {
	upper := regexp.MustCompile(`([a-z0-9])([A-Z])`)
	eachEnum(t, func(e protoreflect.EnumDescriptor) {
		prefix := strings.ToUpper(upper.ReplaceAllString(string(e.Name()), "${1}_$2")) + "_"
		if zero := e.Values().ByNumber(0); zero == nil || string(zero.Name()) != prefix+"UNSPECIFIED" {
			t.Errorf("%s: the value 0 must be %sUNSPECIFIED", e.FullName(), prefix)
		}
		for i := range e.Values().Len() {
			if v := e.Values().Get(i); !strings.HasPrefix(string(v.Name()), prefix) {
				t.Errorf("%s lacks the prefix %s", v.FullName(), prefix)
			}
		}
	})
	// Filters say on which side of an instant they are; an event's time is its own; a webhook's is as Standard Webhooks has it.
	instants := []protoreflect.Name{"active_after", "active_before", "time", "timestamp"}
	eachMessage(t, func(m protoreflect.MessageDescriptor) {
		if strings.HasSuffix(string(m.Name()), "Status") {
			t.Errorf("%s: it is State, never Status", m.FullName())
		}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.JSONName() != camelCase(string(f.Name())) {
				t.Errorf("%s has the JSON name %s of its own", f.FullName(), f.JSONName())
			}
			if strings.HasSuffix(string(f.Name()), "status") {
				t.Errorf("%s: it is state, never status", f.FullName())
			}
			if k := f.Kind(); k == protoreflect.Int64Kind || k == protoreflect.Uint64Kind || k == protoreflect.Uint32Kind {
				t.Errorf("%s is a %v, which JSON has no number for; take int32", f.FullName(), k)
			}
			if f.Message() != nil && f.Message().FullName() == "google.protobuf.Timestamp" && !strings.HasSuffix(string(f.Name()), "_time") && !slices.Contains(instants, f.Name()) {
				t.Errorf("%s is an instant and does not end in _time", f.FullName())
			}
		}
	})
}
