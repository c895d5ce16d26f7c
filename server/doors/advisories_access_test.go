package doors_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// gets makes a call in every way there is, and checks each answer.
func (p *product) gets(c credential, req proto.Message, want string) {
	p.t.Helper()
	for transport, a := range p.ask(caller{credential: c}, req) {
		p.expect(fmt.Sprintf("%s over %s", named(req).name, transport), a, want)
	}
}

// stays runs calls that must change nothing of a conversation.
func (p *product) stays(id string, calls func()) {
	p.t.Helper()
	before := p.conversation(id)
	calls()
	if after := p.conversation(id); after != before {
		p.t.Errorf("the conversation changed: got %s, want %s", after, before)
	}
}

// of returns the product for another test's.
func abroad(p *product) *product { return newProduct(p.t, p.house, "abroad") }

// fieldsWhere returns the fields of all requests, and of what stands in them, that a test holds for: `Method: path`.
func fieldsWhere(holds func(protoreflect.FieldDescriptor) bool) []string {
	var found []string
	for _, m := range methods() {
		var walk func(d protoreflect.MessageDescriptor, path string)
		walk = func(d protoreflect.MessageDescriptor, path string) {
			for i := range d.Fields().Len() {
				f := d.Fields().Get(i)
				if holds(f) {
					found = append(found, m.name+": "+path+string(f.Name()))
				}
				if f.Message() != nil && !f.IsMap() && f.Message().ParentFile().Package() == "goodship.v1" && !outputOnly(f) {
					walk(f.Message(), path+string(f.Name())+".")
				}
			}
		}
		walk(m.desc.Input(), "")
	}
	slices.Sort(found)
	return found
}

func outputOnly(f protoreflect.FieldDescriptor) bool {
	behaviors, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviors, annotations.FieldBehavior_OUTPUT_ONLY)
}

// foreignIDsInBodies sends another workspace's ids wherever a request holds one. Ids that a method is about are the
// matrix's.
func foreignIDsInBodies(p *product) {
	far := abroad(p)
	id := owned(p, p.cast(caller{}, false)).id
	there := helped(far, far.cast(caller{}, false))
	mate, sailor, us := far.newAgent().id, far.newCustomer().id, p.agent(ada)
	far.do(far.customer(kim), &goodshipv1.CreateConversationRequest{Text: "abroad", ExternalId: "case-abroad"})
	const noAgent = "NotFound AGENT_NOT_FOUND"

	tried := map[string]func(){
		"InviteHelper: agent_id": func() { p.gets(us, &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: mate}, noAgent) },
		"RemoveHelper: agent_id": func() {
			p.gets(us, &goodshipv1.RemoveHelperRequest{ConversationId: id, AgentId: mate}, "FailedPrecondition NOT_A_HELPER")
		},
		"HandOverConversation: to_agent_id": func() {
			p.gets(us, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: mate, Brief: "Aye"}, noAgent)
		},
		"CreateConversation: customer_id": func() {
			p.gets(us, &goodshipv1.CreateConversationRequest{CustomerId: sailor, Text: "Aye", OutreachReason: goodshipv1.OutreachReason_OUTREACH_REASON_REPLY},
				"NotFound CUSTOMER_NOT_FOUND")
		},
		"CreateConversation: external_id": func() { // the id is free here
			made := p.do(p.customer(kim), &goodshipv1.CreateConversationRequest{Text: "Aye", ExternalId: "case-abroad"}).(*goodshipv1.Conversation)
			if made.Id == there.id {
				p.t.Error("an external id led into another workspace")
			}
		},
		"ListConversations: customer_id": func() {
			p.gets(us, &goodshipv1.ListConversationsRequest{CustomerId: sailor}, "NotFound CUSTOMER_NOT_FOUND")
		},
		"ListConversations: owner_id":    func() { p.listsNone(us, &goodshipv1.ListConversationsRequest{OwnerId: mate}) },
		"ListConversations: external_id": func() { p.listsNone(us, &goodshipv1.ListConversationsRequest{ExternalId: "case-of-nobody"}) },
		"WatchDesk: owner_id":            func() { p.gets(us, &goodshipv1.WatchDeskRequest{OwnerId: mate}, ok) }, // and nothing comes
		"UpdateConversation: conversation.incident_id": func() {
			p.gets(us, &goodshipv1.UpdateConversationRequest{
				ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{IncidentId: far.declared()}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"incident_id"}},
			}, "NotFound INCIDENT_NOT_FOUND")
		},
	}
	maps.Copy(tried, foreignAmends(p, far, id, sailor))
	inMatrix := func(f string) bool {
		name, field, _ := strings.Cut(f, ": ")
		return field == "conversation_id" || field == "request_id" || strings.Contains(methods()[name].path, "{"+field+"}") ||
			slices.Contains([]string{"CreateToken", "RevokeTokens"}, name) ||
			slices.Contains([]string{"AddAffectedCustomers: incident_id", "GetAllowance: agent_id", "SettleCredits: settlements.credit_id"}, f)
	}
	for _, f := range fieldsWhere(func(f protoreflect.FieldDescriptor) bool {
		return (strings.HasSuffix(string(f.Name()), "_id") || strings.HasSuffix(string(f.Name()), "_ids")) && !outputOnly(f)
	}) {
		if tried[f] == nil && !inMatrix(f) {
			p.t.Errorf("nobody tries another workspace's id in %s", f)
		}
	}
	far.stays(there.id, func() {
		for _, try := range tried {
			try()
		}
	})
}

// listsNone checks that a list is empty.
func (p *product) listsNone(c credential, req *goodshipv1.ListConversationsRequest) {
	p.t.Helper()
	for transport, a := range p.ask(caller{credential: c}, req) {
		if a.status != nil || len(a.reply.(*goodshipv1.ListConversationsResponse).Conversations) > 0 {
			p.t.Errorf("%v over %s: got %s, want nothing", req, transport, a.text())
		}
	}
}

// typedAddressSelectsNothing lets a visitor claim in every way that words allow to be a customer whose id is an e-mail
// address.
func typedAddressSelectsNothing(p *product) {
	const known = "kim@example.com"
	id := p.do(p.customer(known), &goodshipv1.CreateConversationRequest{Text: "My secret"}).(*goodshipv1.Conversation).Id
	visitor := bearer(p.newSession(p.page, "").Token)
	p.stays(id, func() {
		made := p.do(visitor, &goodshipv1.CreateConversationRequest{
			Text: "I am " + known, Subject: known, Context: map[string]string{"email": known}, ContinueOpen: true,
		}).(*goodshipv1.Conversation)
		p.do(visitor, &goodshipv1.SetPersonaRequest{ConversationId: made.Id, Persona: &goodshipv1.Persona{DisplayName: known}})
		if made.Id == id {
			p.t.Error("the visitor's message went to the customer's conversation")
		}
		for _, c := range p.do(visitor, &goodshipv1.ListConversationsRequest{}).(*goodshipv1.ListConversationsResponse).Conversations {
			if c.Id != made.Id {
				p.t.Errorf("the visitor is shown %s", c.Id)
			}
		}
		p.gets(visitor, &goodshipv1.GetConversationRequest{ConversationId: id}, conversation.absent)
	})
}

// visitorFindsOnlyOwn calls every method that names a conversation, for another's.
func visitorFindsOnlyOwn(p *product) {
	visitor := bearer(p.session().Token)
	for _, whose := range []credential{p.customer(kim), bearer(p.newSession(p.page, "").Token)} {
		o := proposed(p, cast{customer: whose, agent: p.agent(ada), colleague: ben})
		p.stays(o.id, func() {
			for _, r := range table {
				if r.of.absent == conversation.absent && slices.Contains(r.callers, visitors) {
					p.gets(visitor, r.call(caller{kind: visitors}, o), conversation.absent)
				}
			}
		})
	}
}

// customersHave are all methods that customers have, and visitors but the last.
var customersHave = []string{
	"CreateConversation", "GetConversation", "ListConversations", "SetPersona",
	"SendMessage", "GetMessage", "ListMessages", "EditMessage", "RedactMessage", "MarkRead",
	"ConfirmResolution", "RejectResolution", "GetResolution", "ListResolutions", "RateConversation",
	"WatchConversation", "GetWait", "SendSignal", "GetCredit", "ListCredits",
	"SignInVisitor",
}

func customersHaveTheirMethods(p *product) {
	o := proposed(p, p.cast(caller{}, false))
	o.colleague = ben
	visitor := bearer(p.session().Token)
	p.stays(o.id, func() {
		for name, r := range table {
			m := named(r.call(caller{}, o))
			if !public.serves(m) {
				continue
			}
			for kind, c := range map[goodshipv1.Caller]credential{customers: p.customer(kim), visitors: visitor} {
				if slices.Contains(customersHave, m.name) && (kind == customers || m.name != "SignInVisitor") {
					continue
				}
				if slices.Contains(r.callers, kind) {
					p.t.Errorf("%s is open to %s and not on the list", name, kindName(kind))
				}
				p.gets(c, r.call(caller{kind: kind}, o), "PermissionDenied CALLER_NOT_ALLOWED")
			}
		}
	})
}

// theirFields are the fields of the methods that customers have which a customer may set; refusedFields those that only
// others may, or a backend for the customer.
var (
	theirFields = map[string][]string{
		"CreateConversation": {"text", "attachments", "subject", "context", "continue_open", "request_id"},
		"GetConversation":    {"conversation_id"},
		"ListConversations":  {"state", "outcome", "external_id", "active_after", "active_before", "page_size", "page_token"},
		"SetPersona":         {"conversation_id", "persona", "request_id"},
		"SendMessage":        {"conversation_id", "text", "attachments", "seen_revision", "request_id"}, // seen_revision is ignored
		"GetMessage":         {"conversation_id", "number"},
		"ListMessages":       {"conversation_id", "newest_first", "page_size", "page_token"},
		"EditMessage":        {"conversation_id", "number", "text", "request_id"},
		"RedactMessage":      {"conversation_id", "number", "request_id"},
		"MarkRead":           {"conversation_id", "number"},
		"ConfirmResolution":  {"conversation_id", "resolution_number", "text", "request_id"},
		"RejectResolution":   {"conversation_id", "resolution_number", "text", "request_id"},
		"GetResolution":      {"conversation_id", "number"},
		"ListResolutions":    {"conversation_id", "page_size", "page_token"},
		"RateConversation":   {"conversation_id", "resolution_number", "rating", "request_id"},
		"WatchConversation":  {"conversation_id", "cursor"},
		"GetWait":            {"conversation_id"},
		"SendSignal":         {"conversation_id", "kind"},
		"GetCredit":          {"credit_id"},
		"ListCredits":        {"conversation_id", "customer_id", "state", "page_size", "page_token"}, // customer_id is their own, or refused: othersAmendsAreHidden
		"SignInVisitor":      {"visitor_token"},
	}
	refusedFields = map[string]proto.Message{
		"CreateConversation: customer_id":     &goodshipv1.CreateConversationRequest{Text: "Aye", CustomerId: kim},
		"CreateConversation: external_id":     &goodshipv1.CreateConversationRequest{Text: "Aye", ExternalId: "case"},
		"CreateConversation: labels":          &goodshipv1.CreateConversationRequest{Text: "Aye", Labels: []string{"vip"}},
		"CreateConversation: outreach_reason": &goodshipv1.CreateConversationRequest{Text: "Aye", OutreachReason: goodshipv1.OutreachReason_OUTREACH_REASON_REPLY},
		"ListConversations: owner_id":         &goodshipv1.ListConversationsRequest{OwnerId: ada},
		"ListConversations: unowned":          &goodshipv1.ListConversationsRequest{Unowned: true},
		"ListConversations: customer_id":      &goodshipv1.ListConversationsRequest{CustomerId: kim},
		"ListCredits: incident_id":            &goodshipv1.ListCreditsRequest{IncidentId: "inc_" + strings.Repeat("0", 26)},
		"ListCredits: overdue":                &goodshipv1.ListCreditsRequest{Overdue: true},
		"ListConversations: label":            &goodshipv1.ListConversationsRequest{Label: "vip"},
		"ListConversations: order": &goodshipv1.ListConversationsRequest{
			State: goodshipv1.State_STATE_WAITING, Order: goodshipv1.ConversationOrder_CONVERSATION_ORDER_LINE,
		},
	}
)

func optionalFieldsAreAuthorised(p *product) {
	for _, name := range customersHave {
		fields := methods()[name].desc.Input().Fields()
		for i := range fields.Len() {
			field := string(fields.Get(i).Name())
			if theirs, not := slices.Contains(theirFields[name], field), refusedFields[name+": "+field]; theirs == (not != nil) {
				p.t.Errorf("%s: %s is not known as a customer's or refused", name, field)
			}
		}
	}
	for what, req := range refusedFields {
		for _, c := range []credential{bearer(p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim})), bearer(p.session().Token)} {
			for transport, a := range p.ask(caller{credential: c}, req) {
				p.expect(what+" over "+transport, a, "InvalidArgument INVALID_REQUEST")
			}
		}
	}
}

// attachmentsAreReferences looks for anything that would serve a file, and for one reference by another's token.
func attachmentsAreReferences(p *product) {
	for _, m := range methods() {
		fields := m.desc.Output().Fields()
		for i := range fields.Len() {
			if f := fields.Get(i); f.Kind() == protoreflect.BytesKind && m.service != "OperatorService" {
				p.t.Errorf("%s serves bytes: a file?", m.name)
			}
		}
	}
	const uri = "https://files.example.com/lous-secret"
	id := p.do(p.customer(lou), &goodshipv1.CreateConversationRequest{
		Attachments: []*goodshipv1.Attachment{{Uri: uri, MediaType: "image/png"}},
	}).(*goodshipv1.Conversation).Id
	if !strings.Contains(p.read(p.customer(lou), &goodshipv1.ListMessagesRequest{ConversationId: id}), uri) {
		p.t.Error("its owner does not see the attachment")
	}
	for _, c := range []credential{p.customer(kim), bearer(p.session().Token)} {
		p.gets(c, &goodshipv1.ListMessagesRequest{ConversationId: id}, conversation.absent)
		p.gets(c, &goodshipv1.GetMessageRequest{ConversationId: id, Number: 1}, conversation.absent)
	}
}

// everyRouteHides looks for one conversation in all that another customer can get.
func everyRouteHides(p *product) {
	o := proposed(p, cast{customer: p.customer(lou), agent: p.agent(ada), colleague: ben})
	req := &goodshipv1.CreateConversationRequest{Text: "lous", ExternalId: "lous-case", RequestId: "first"}
	taken := p.do(p.customer(lou), req).(*goodshipv1.Conversation).Id
	us := []credential{p.customer(kim), bearer(p.session().Token)}
	for _, c := range us {
		for _, list := range []*goodshipv1.ListConversationsRequest{
			{}, {State: goodshipv1.State_STATE_ANSWERED}, {State: goodshipv1.State_STATE_WAITING}, {ExternalId: "lous-case"},
			{ActiveAfter: timestamppb.New(p.clock.Now().Add(-time.Hour))}, {Outcome: goodshipv1.Outcome_OUTCOME_CONFIRMED}, {PageSize: 1},
		} {
			p.hides(c, list, o.id, taken)
		}
		p.hides(c, &goodshipv1.CreateConversationRequest{Text: "Aye", ExternalId: "lous-case"}, o.id, taken)
		p.hides(c, &goodshipv1.CreateConversationRequest{Text: "Aye", ContinueOpen: true}, o.id, taken)
		p.hides(c, &goodshipv1.CreateConversationRequest{Text: "Aye", RequestId: "first"}, o.id, taken)
	}
	p.gets(p.customer(kim), &goodshipv1.CreateConversationRequest{Text: "Aye", ExternalId: "lous-case"}, "AlreadyExists EXTERNAL_ID_TAKEN")
	p.hides(p.customer(kim), &goodshipv1.SignInVisitorRequest{VisitorToken: p.session().Token}, o.id, taken)
}

// hides checks that no answer to a request holds any of the words.
func (p *product) hides(c credential, req proto.Message, words ...string) {
	p.t.Helper()
	for transport, a := range p.ask(caller{credential: c}, req) {
		for _, w := range words {
			if strings.Contains(a.text(), w) {
				p.t.Errorf("%v over %s: the answer holds %s: %s", req, transport, w, a.text())
			}
		}
	}
}

// numbersStayInside names by number what another conversation has and this one has not.
func numbersStayInside(p *product) {
	o := proposed(p, p.cast(caller{}, false)) // two messages, a resolution
	long := noted(p, p.cast(caller{}, false))
	for range 5 {
		p.says(p.agent(ada), long.id)
		note(p, p.cast(caller{}, false), long.id)
	}
	const number = 5
	p.stays(o.id, func() {
		for _, c := range []credential{p.customer(kim), p.agent(ada), p.backend()} {
			p.gets(c, &goodshipv1.GetMessageRequest{ConversationId: o.id, Number: number}, "NotFound MESSAGE_NOT_FOUND")
			p.gets(c, &goodshipv1.EditMessageRequest{ConversationId: o.id, Number: number, Text: "Aye"}, "NotFound MESSAGE_NOT_FOUND")
			p.gets(c, &goodshipv1.RedactMessageRequest{ConversationId: o.id, Number: number}, "NotFound MESSAGE_NOT_FOUND")
			p.gets(c, &goodshipv1.GetResolutionRequest{ConversationId: o.id, Number: number}, "NotFound RESOLUTION_NOT_FOUND")
		}
		p.gets(p.customer(kim), &goodshipv1.MarkReadRequest{ConversationId: o.id, Number: number}, "InvalidArgument INVALID_REQUEST")
		p.gets(p.customer(kim), &goodshipv1.ConfirmResolutionRequest{ConversationId: o.id, ResolutionNumber: number}, "NotFound RESOLUTION_NOT_FOUND")
		p.gets(p.agent(ada), &goodshipv1.EditNoteRequest{ConversationId: o.id, Number: number, Text: "inner"}, "NotFound NOTE_NOT_FOUND")
	})
	// No request names a second conversation, or a message of one, beside the one that it is about.
	for _, m := range methods() {
		references := 0
		for i := range m.desc.Input().Fields().Len() {
			if name := m.desc.Input().Fields().Get(i).Name(); strings.HasSuffix(string(name), "conversation_id") || strings.Contains(string(name), "message_id") {
				references++
			}
		}
		if references > 1 {
			p.t.Errorf("%s refers to %d conversations: test that the caller sees both", m.name, references)
		}
	}
}

// outsidersMay are the methods by which an agent changes a conversation that another owns.
var outsidersMay = []string{"CreateNote", "MarkRead", "UpdateConversation", "ClaimConversation", "SendSignal"}

// outsidersChangeNothing calls every method that changes a conversation as an agent who takes no part in it.
func outsidersChangeNothing(p *product) {
	o := helped(p, cast{customer: p.customer(kim), agent: p.agent(captain), colleague: ben})
	p.stays(o.id, func() {
		for name, r := range table {
			m := named(r.call(caller{}, o))
			if r.of.absent != conversation.absent || !slices.Contains(r.callers, agents) || m.verb == "GET" || slices.Contains(outsidersMay, m.name) {
				continue
			}
			for transport, a := range p.ask(caller{credential: p.agent(ada)}, r.call(caller{kind: agents}, o)) {
				if a.status == nil {
					p.t.Errorf("%s over %s: got OK by who takes no part", name, transport)
				}
			}
		}
		p.gets(p.agent(ada), &goodshipv1.ClaimConversationRequest{ConversationId: o.id}, ownedByElse)
	})
}

// othersMessagesStay lets everybody try to write in, edit and redact what others said.
func othersMessagesStay(p *product) {
	o := replied(p, p.cast(caller{}, false)) // 1 is kim's, 2 is ada's
	stranger := bearer(p.session().Token)
	p.stays(o.id, func() {
		for _, c := range []credential{p.customer(lou), stranger} {
			for number := int32(1); number <= 2; number++ {
				p.gets(c, &goodshipv1.EditMessageRequest{ConversationId: o.id, Number: number, Text: "Aye"}, conversation.absent)
				p.gets(c, &goodshipv1.RedactMessageRequest{ConversationId: o.id, Number: number}, conversation.absent)
			}
			p.gets(c, &goodshipv1.SendMessageRequest{ConversationId: o.id, Text: "Aye"}, conversation.absent)
		}
		p.gets(p.customer(kim), &goodshipv1.EditMessageRequest{ConversationId: o.id, Number: 2, Text: "Aye"}, notAuthor)
		p.gets(p.customer(kim), &goodshipv1.RedactMessageRequest{ConversationId: o.id, Number: 2}, notAuthor)
		for _, c := range []credential{p.agent(ben), p.agent(lea), p.backend()} {
			p.gets(c, &goodshipv1.EditMessageRequest{ConversationId: o.id, Number: 1, Text: "Aye"}, notAuthor)
			p.gets(c, &goodshipv1.EditMessageRequest{ConversationId: o.id, Number: 2, Text: "Aye"}, notAuthor)
		}
		p.gets(p.agent(ben), &goodshipv1.RedactMessageRequest{ConversationId: o.id, Number: 1}, noPart)
	})
}

// notesShowNowhere compares all that a customer reads before and after what agents do among themselves.
func notesShowNowhere(p *product) {
	o := replied(p, p.cast(caller{}, false))
	p.do(p.agent(ada), grant(o.id, euros(1)))
	see := func() string {
		s := ""
		for _, req := range []proto.Message{
			&goodshipv1.ListConversationsRequest{}, &goodshipv1.GetConversationRequest{ConversationId: o.id},
			&goodshipv1.ListMessagesRequest{ConversationId: o.id}, &goodshipv1.ListResolutionsRequest{ConversationId: o.id},
			&goodshipv1.ListCreditsRequest{},
		} {
			for _, transport := range []string{"gRPC", "REST"} {
				s += p.over(transport, caller{credential: p.customer(kim)}, req).text() + "\n"
			}
		}
		return s + p.As(p.key).Do("customer/"+kim, http.MethodGet, "/v1/conversations/"+o.id, "").Header.Get("ETag")
	}
	before := see()
	p.clock.Jump(time.Second)
	amongThemselves(p, o.id)
	if after := see(); after != before {
		p.t.Errorf("the customer's view changed: got %s, want %s", after, before)
	}
	if strings.Contains(before, "inner") {
		p.t.Errorf("the customer's view holds what is not the customer's: %s", before)
	}
	momentsShowNowhere(p.t)
	for name, r := range table {
		if strings.Contains(name, "Note") {
			p.gets(p.customer(kim), r.call(caller{kind: customers}, o), "PermissionDenied CALLER_NOT_ALLOWED")
		}
	}
}

// amongThemselves is all that agents do in a conversation of ada's that is not its customer's to know.
func amongThemselves(p *product, id string) {
	for range 3 {
		note(p, p.cast(caller{}, false), id)
	}
	us := p.agent(ada)
	p.do(us, &goodshipv1.EditNoteRequest{ConversationId: id, Number: 1, Text: "inner"})
	p.do(us, &goodshipv1.RedactNoteRequest{ConversationId: id, Number: 2})
	p.do(us, &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: ben})
	p.do(us, &goodshipv1.UpdateConversationRequest{
		ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Labels: []string{"inner"}, Context: map[string]string{"inner": "inner"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels", "context"}},
	})
	p.do(p.agent(lea), &goodshipv1.UpdateConversationRequest{
		ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Hold: true, IncidentId: p.declared()},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"hold", "incident_id"}},
	})
	p.do(us, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: ben, Brief: "inner"})
	p.do(p.agent(ben), &goodshipv1.AcceptHandOverRequest{ConversationId: id})
}

// customerViewIsOne reads a conversation in which everything happened, over gRPC and REST.
func customerViewIsOne(p *product) {
	waits := waited(p)
	start := p.do(p.customer(kim), &goodshipv1.ListConversationsRequest{}).(*goodshipv1.ListConversationsResponse).WatchCursor
	o := everything(p)
	shown := map[string]bool{}
	for _, req := range []proto.Message{
		&goodshipv1.GetConversationRequest{ConversationId: o.id}, &goodshipv1.ListConversationsRequest{},
		&goodshipv1.ListMessagesRequest{ConversationId: o.id}, &goodshipv1.GetMessageRequest{ConversationId: o.id, Number: 2},
		&goodshipv1.ListResolutionsRequest{ConversationId: o.id}, &goodshipv1.GetResolutionRequest{ConversationId: o.id, Number: 1},
		&goodshipv1.ListCreditsRequest{}, &goodshipv1.GetWaitRequest{ConversationId: waits},
		&goodshipv1.SendSignalRequest{ConversationId: o.id, Kind: goodshipv1.SignalKind_SIGNAL_KIND_TYPING},
	} {
		all := p.ask(caller{credential: p.customer(kim)}, req)
		g, r := all["gRPC"], all["REST"]
		if g.status != nil || r.status != nil || !proto.Equal(withoutCursor(g.reply), withoutCursor(r.reply)) {
			p.t.Errorf("%s: got %s over REST, want what gRPC shows: %s", named(req).name, r.text(), g.text())
			continue
		}
		names(g.reply.ProtoReflect(), shown)
	}
	for _, u := range watched(p, p.customer(kim), start) {
		names(u.ProtoReflect(), shown)
	}
	if got := strings.Join(slices.Sorted(maps.Keys(shown)), "\n"); got != strings.TrimSpace(goldenCustomerView) {
		p.t.Errorf("a customer is shown: got\n%s\nwant\n%s", got, goldenCustomerView)
	}
}

// waited returns a conversation in which the customer waits, at risk, after enough waits to know how long it takes, at a desk that
// is closed.
func waited(p *product) string {
	p.do(p.backend(), &goodshipv1.UpdateWorkspaceRequest{
		Workspace: &goodshipv1.Workspace{
			ContactPoints: []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "112"}},
			OpeningHours: &goodshipv1.OpeningHours{TimeZone: "UTC", Intervals: []*goodshipv1.OpeningInterval{
				{Day: goodshipv1.Weekday_WEEKDAY_WEDNESDAY, OpenMinute: 0, CloseMinute: 1},
			}},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"contact_points", "opening_hours"}},
	})
	hello := &goodshipv1.CreateConversationRequest{Text: "Hello?"}
	for range 20 {
		p.says(p.agent(ada), p.do(p.customer("newcomer"), hello).(*goodshipv1.Conversation).Id)
	}
	return p.do(p.customer(kim), hello).(*goodshipv1.Conversation).Id
}

// watched returns what a customer is told who watches from a cursor, until we begin a conversation.
func watched(p *product, c credential, cursor string) (all []*goodshipv1.WatchUpdate) {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(p.t.Context(), "authorization", "Bearer "+c.token, "goodship-act-for", c.actFor))
	defer cancel()
	stream, err := goodshipv1.NewConversationServiceClient(p.conn).WatchConversation(ctx, &goodshipv1.WatchConversationRequest{ConversationId: "-", Cursor: cursor})
	for err == nil {
		var u *goodshipv1.WatchUpdate
		if u, err = stream.Recv(); err == nil {
			all = append(all, u)
		}
		if u.GetEvent().GetOpened().GetOutreachReason() != 0 {
			return all
		}
	}
	p.t.Errorf("watch: got %v, want all that happened", err)
	return all
}

// names adds the names of the fields that are set in a message, with their messages'.
func names(m protoreflect.Message, all map[string]bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		all[string(m.Descriptor().Name())+"."+string(f.Name())] = true
		switch {
		case f.Message() == nil || f.IsMap() || f.Message().ParentFile().Package() != "goodship.v1":
		case f.IsList():
			for i := range v.List().Len() {
				names(v.List().Get(i).Message(), all)
			}
		default:
			names(v.Message(), all)
		}
		return true
	})
}

// everything is a conversation in which all happened that can be seen or must not be.
func everything(p *product) object {
	us, kims := p.agent(ada), p.customer(kim)
	o := object{id: p.do(kims, &goodshipv1.CreateConversationRequest{
		Text: "Hello?", Subject: "A matter", ExternalId: "case-1", Context: map[string]string{"inner": "inner"},
		Attachments: []*goodshipv1.Attachment{{Uri: "https://files.example.com/1", MediaType: "image/png", FileName: "1.png", SizeBytes: 1}},
	}).(*goodshipv1.Conversation).Id}
	p.do(kims, &goodshipv1.SetPersonaRequest{ConversationId: o.id, Persona: &goodshipv1.Persona{DisplayName: "Lieutenant", AvatarUri: "https://files.example.com/2"}})
	p.do(kims, &goodshipv1.EditMessageRequest{ConversationId: o.id, Number: 1, Text: "Hello??"})
	claim(p, p.cast(caller{}, false), o.id)
	p.do(us, &goodshipv1.SetPersonaRequest{ConversationId: o.id, Persona: &goodshipv1.Persona{DisplayName: "Captain"}})
	p.says(us, o.id)
	p.do(p.backend(), &goodshipv1.ReportDeliveryRequest{ConversationId: o.id, Number: 2, State: goodshipv1.DeliveryState_DELIVERY_STATE_FAILED, Failure: "Full"})
	p.do(us, &goodshipv1.MarkReadRequest{ConversationId: o.id, Number: 1})
	p.do(p.agent(ben), &goodshipv1.MarkReadRequest{ConversationId: o.id, Number: 1})
	p.do(kims, &goodshipv1.SendMessageRequest{ConversationId: o.id, Text: "Oops"})
	p.do(kims, &goodshipv1.RedactMessageRequest{ConversationId: o.id, Number: 3})
	note(p, p.cast(caller{}, false), o.id)
	invite(p, p.cast(caller{}, false), o.id)
	p.do(us, &goodshipv1.UpdateConversationRequest{
		ConversationId: o.id, Conversation: &goodshipv1.ConversationUpdate{Labels: []string{"inner"}}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	})
	credits := everyCredit(p, o.id)
	sorry := object{id: p.declared()}
	p.do(p.backend(), &goodshipv1.UpdateConversationRequest{
		ConversationId: o.id, Conversation: &goodshipv1.ConversationUpdate{IncidentId: sorry.id}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"incident_id"}},
	})
	p.do(p.backend(), &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: sorry.id, Customers: passengers(kim)})
	p.sent(&sorry)
	proposal := proposal(object{id: o.id, revision: p.get(o.id).Revision}).(*goodshipv1.ProposeResolutionRequest)
	proposal.MadeRight, proposal.FoundFirst, proposal.CreditIds = "A month for free", true, credits
	p.do(us, proposal)
	p.do(kims, &goodshipv1.ConfirmResolutionRequest{ConversationId: o.id})
	p.do(kims, &goodshipv1.RateConversationRequest{ConversationId: o.id, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), Personal: 5, Easy: 4, Comment: "Aye"}})
	p.do(kims, &goodshipv1.RateConversationRequest{ConversationId: o.id, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), Personal: 5, Easy: 5, Comment: "Aye!"}})
	// And one that we began.
	p.do(us, &goodshipv1.CreateConversationRequest{CustomerId: kim, Text: "How did it go?", OutreachReason: goodshipv1.OutreachReason_OUTREACH_REASON_FOLLOW_UP})
	return o
}

// fiftyTabsMakeOne opens fifty tabs of one visitor, who says hello in each at once.
func fiftyTabsMakeOne(p *product) {
	for _, c := range []credential{bearer(p.newSession(p.page, "").Token), p.customer("newcomer")} {
		const tabs = 50
		var group sync.WaitGroup
		ids := make([]string, tabs)
		for i := range tabs {
			group.Go(func() {
				over := []string{"gRPC", "REST"}[i%2]
				a := p.over(over, caller{credential: c}, &goodshipv1.CreateConversationRequest{Text: fmt.Sprint("Hello ", i), ContinueOpen: true})
				if made, ok := a.reply.(*goodshipv1.Conversation); ok {
					ids[i] = made.Id
				} else {
					p.t.Errorf("tab %d over %s: got %s, want OK: %s", i, over, a, a.text())
				}
			})
		}
		group.Wait()
		if slices.Sort(ids); ids[0] != ids[tabs-1] {
			p.t.Errorf("got conversations %s and %s, want one", ids[0], ids[tabs-1])
		}
		mine := p.do(c, &goodshipv1.ListConversationsRequest{}).(*goodshipv1.ListConversationsResponse).Conversations
		if len(mine) != 1 || mine[0].MessageCount != tabs {
			p.t.Errorf("got %d conversations, want one with %d messages: %v", len(mine), tabs, mine)
		}
	}
}
