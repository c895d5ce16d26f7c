package support

import (
	"maps"
	"slices"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// TestCustomerSeesEveryField holds the allow-list complete: each field of each message that a method open to customers can
// reply with is shown or hidden by decision, and the list names nothing else.
func TestCustomerSeesEveryField(t *testing.T) {
	reached := map[protoreflect.FullName]protoreflect.MessageDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("goodship.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				access := proto.GetExtension(methods.Get(j).Options(), goodshipv1.E_Access).(*goodshipv1.Access)
				open := access.GetCallers()
				if slices.Contains(open, goodshipv1.Caller_CALLER_CUSTOMER) || slices.Contains(open, goodshipv1.Caller_CALLER_VISITOR) {
					reach(methods.Get(j).Output(), reached)
				}
			}
		}
		return true
	})
	for name, m := range reached {
		for i := range m.Fields().Len() {
			field := m.Fields().Get(i)
			if _, ok := customerSees[name][field.Name()]; !ok {
				t.Errorf("%s has no entry in customerSees: is it shown to customers?", field.FullName())
			}
		}
		for field := range customerSees[name] {
			if m.Fields().ByName(field) == nil {
				t.Errorf("customerSees names %s.%s, which does not exist", name, field)
			}
		}
	}
	for name := range customerSees {
		if reached[name] == nil {
			t.Errorf("customerSees names %s, which no customer is sent", name)
		}
	}
	if len(reached) < 10 {
		t.Errorf("got %d messages reachable by customers, want at least 10: %v", len(reached), slices.Collect(maps.Keys(reached)))
	}
}

// reach collects the messages that a message can hold where customers see them.
func reach(m protoreflect.MessageDescriptor, reached map[protoreflect.FullName]protoreflect.MessageDescriptor) {
	if reached[m.FullName()] != nil {
		return
	}
	reached[m.FullName()] = m
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if inner := field.Message(); inner != nil && bool(customerSees[m.FullName()][field.Name()]) {
			reach(inner, reached)
		}
	}
}

// TestForCustomer fills every field of a reply and looks for what must not be there.
func TestForCustomer(t *testing.T) {
	for _, m := range []proto.Message{&goodshipv1.Conversation{}, &goodshipv1.Message{}, &goodshipv1.ListMessagesResponse{}, &goodshipv1.Resolution{}, &goodshipv1.ReadMark{}} {
		fill(m.ProtoReflect(), 0)
		ForCustomer(m)
		walk(m.ProtoReflect(), func(field protoreflect.FieldDescriptor) {
			switch field.Name() {
			case "agent_id", "owner_id", "helper_ids", "note_count", "revision", "labels", "context", "line_time", "hand_over", "at_risk", "dismiss_reason", "incident_id":
				t.Errorf("%s: a customer sees %s", m.ProtoReflect().Descriptor().FullName(), field.FullName())
			}
		})
	}
	message := ForCustomer(&goodshipv1.Message{Number: 3, Text: "text", Sender: &goodshipv1.Sender{ParticipantNumber: 2, AgentId: "captain"}})
	want := &goodshipv1.Message{Number: 3, Text: "text", Sender: &goodshipv1.Sender{ParticipantNumber: 2}}
	if !proto.Equal(message, want) {
		t.Errorf("got %v, want %v", message, want)
	}
}

// fill sets every field of a message, a few levels deep.
func fill(m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		switch {
		case field.IsMap():
			m.Mutable(field).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString("v"))
		case field.Message() != nil && depth > 3:
		case field.IsList() && field.Message() != nil:
			fill(m.Mutable(field).List().AppendMutable().Message(), depth+1)
		case field.Message() != nil:
			fill(m.Mutable(field).Message(), depth+1)
		case field.IsList():
			m.Mutable(field).List().Append(one(field))
		default:
			m.Set(field, one(field))
		}
	}
}

func one(field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("x")
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	}
	return protoreflect.ValueOfInt32(1)
}

func walk(m protoreflect.Message, visit func(protoreflect.FieldDescriptor)) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		visit(field)
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range v.List().Len() {
				walk(v.List().Get(i).Message(), visit)
			}
		default:
			walk(v.Message(), visit)
		}
		return true
	})
}
