package doors_test

import (
	"maps"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The kinds of callers, in the sets that the table has.
const (
	backends  = goodshipv1.Caller_CALLER_BACKEND
	agents    = goodshipv1.Caller_CALLER_AGENT
	leaders   = goodshipv1.Caller_CALLER_LEADER
	customers = goodshipv1.Caller_CALLER_CUSTOMER
	visitors  = goodshipv1.Caller_CALLER_VISITOR
	widgets   = goodshipv1.Caller_CALLER_WIDGET
	operators = goodshipv1.Caller_CALLER_OPERATOR
)

type kinds []goodshipv1.Caller

var (
	everyone   = kinds{backends, agents, leaders, customers, visitors}
	people     = kinds{agents, leaders, customers, visitors}
	staff      = kinds{agents, leaders}
	ours       = kinds{backends, agents, leaders}
	strangers  = kinds{customers, visitors}
	onlyKeys   = kinds{backends}
	keepers    = kinds{backends, operators}
	onlyRunner = kinds{operators}
)

// outcomes are answers by kind of caller; OK for one that is not there.
type outcomes map[goodshipv1.Caller]string

// row is what the table says of a method.
type row struct {
	// callers may call it; scope is what a backend's key needs for it.
	callers kinds
	scope   goodshipv1.Scope
	// of is what it is about, in the state that a conversation must be in for it, inAnother where that is another one if
	// somebody else's.
	of            thing
	in, inAnother state
	// call is a request that succeeds.
	call func(c caller, o object) proto.Message
	// others are the answers where the object is another person's, if not OK, and for customers and visitors as if it were
	// absent.
	others outcomes
	// absent are the answers where there is no such object, if not the thing's.
	absent outcomes
	// said returns who the reply says that the caller is, where it does: the side that the call was taken for.
	said func(reply proto.Message) goodshipv1.SenderKind
	// item returns why the one thing that a call is about was not done, nil if it was, where the reply says that of each.
	item func(reply proto.Message) *statusv1.Status
	// after undoes what a call did that would keep the next one from succeeding.
	after func(p *product, a answer)
	// alone gives the row a product of its own, for calls that reach whatever is there, or make what others must not find.
	alone bool
}

const (
	ok          = "OK"
	noPart      = "PermissionDenied NOT_A_PARTICIPANT"
	notOwner    = "PermissionDenied NOT_THE_OWNER"
	notAuthor   = "PermissionDenied NOT_THE_AUTHOR"
	ownedByElse = "FailedPrecondition OWNED_BY_ANOTHER"
	noOffer     = "FailedPrecondition NO_HAND_OVER"
)

// table has a row for each method; one that has several sides has a row for each, named after a slash.
var table = joined(talkRows, rightRows)

func joined(parts ...map[string]row) map[string]row {
	all := map[string]row{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}

// talkRows are the rows of all but what makes good.
var talkRows = map[string]row{
	// ConversationService

	"CreateConversation": {callers: everyone, of: customer, alone: true,
		others: outcomes{customers: ok, visitors: ok}, absent: outcomes{backends: ok, customers: ok, visitors: ok},
		call: func(c caller, o object) proto.Message {
			if c.isCustomer() {
				return &goodshipv1.CreateConversationRequest{Text: "Hello?"}
			}
			return &goodshipv1.CreateConversationRequest{CustomerId: o.id, OutreachReason: goodshipv1.OutreachReason_OUTREACH_REASON_FOLLOW_UP, Text: "How did it go?"}
		}, said: func(reply proto.Message) goodshipv1.SenderKind {
			switch made := reply.(*goodshipv1.Conversation); {
			case made.State == goodshipv1.State_STATE_WAITING:
				return goodshipv1.SenderKind_SENDER_KIND_CUSTOMER
			case made.OwnerId != "":
				return goodshipv1.SenderKind_SENDER_KIND_AGENT
			}
			return goodshipv1.SenderKind_SENDER_KIND_AUTOMATIC
		}},
	"GetConversation": {callers: everyone, of: conversation, in: waiting, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.GetConversationRequest{ConversationId: o.id}
	}},
	"ListConversations": {callers: everyone, call: func(caller, object) proto.Message { return &goodshipv1.ListConversationsRequest{PageSize: 5} }},
	"WatchConversation": {callers: everyone, of: conversation, in: owned, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.WatchConversationRequest{ConversationId: o.id}
	}},
	"GetWait": {callers: everyone, of: conversation, in: waiting, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.GetWaitRequest{ConversationId: o.id}
	}},
	"UpdateConversation": {callers: ours, of: conversation, in: waiting, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.UpdateConversationRequest{
			ConversationId: o.id, Conversation: &goodshipv1.ConversationUpdate{Subject: "A matter"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"subject"}},
		}
	}},
	"ClaimConversation": {callers: staff, of: conversation, in: waiting, inAnother: owned, others: outcomes{agents: ownedByElse},
		call: func(_ caller, o object) proto.Message {
			return &goodshipv1.ClaimConversationRequest{ConversationId: o.id}
		}},
	"ClaimNextConversation": {callers: staff, alone: true, call: func(caller, object) proto.Message { return &goodshipv1.ClaimNextConversationRequest{} }},
	"ReleaseConversation": {callers: staff, of: conversation, in: owned, others: outcomes{agents: notOwner}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ReleaseConversationRequest{ConversationId: o.id}
	}},
	"InviteHelper": {callers: staff, of: conversation, in: owned, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.InviteHelperRequest{ConversationId: o.id, AgentId: o.colleague}
	}},
	"RemoveHelper": {callers: staff, of: conversation, in: helped, others: outcomes{agents: notOwner}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RemoveHelperRequest{ConversationId: o.id, AgentId: o.colleague}
	}},
	"HandOverConversation": {callers: staff, of: conversation, in: owned, others: outcomes{agents: notOwner, leaders: notOwner},
		call: func(_ caller, o object) proto.Message {
			return &goodshipv1.HandOverConversationRequest{ConversationId: o.id, ToAgentId: o.colleague, Brief: "inner brief"}
		}},
	"AcceptHandOver": {callers: staff, of: conversation, in: onOffer, others: outcomes{agents: noOffer, leaders: noOffer}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.AcceptHandOverRequest{ConversationId: o.id}
	}},
	"DeclineHandOver": {callers: staff, of: conversation, in: onOffer, others: outcomes{agents: noOffer, leaders: noOffer}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.DeclineHandOverRequest{ConversationId: o.id}
	}},
	"SetPersona": {callers: people, of: conversation, in: owned, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.SetPersonaRequest{ConversationId: o.id, Persona: &goodshipv1.Persona{DisplayName: "Lieutenant"}}
	}},
	"DismissConversation": {callers: staff, of: conversation, in: owned, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.DismissConversationRequest{ConversationId: o.id, Reason: goodshipv1.DismissReason_DISMISS_REASON_SPAM, SeenRevision: o.revision}
	}},

	// MessageService

	"SendMessage": {callers: everyone, of: conversation, in: owned, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.SendMessageRequest{ConversationId: o.id, Text: "Aye", SeenRevision: o.revision}
	}, said: func(reply proto.Message) goodshipv1.SenderKind { return reply.(*goodshipv1.Message).Sender.Kind }},
	"GetMessage": {callers: everyone, of: conversation, in: replied, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.GetMessageRequest{ConversationId: o.id, Number: max(1, o.number)}
	}},
	"ListMessages": {callers: everyone, of: conversation, in: replied, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ListMessagesRequest{ConversationId: o.id}
	}},
	"EditMessage": {callers: everyone, of: conversation, in: spoken, others: outcomes{agents: notAuthor, leaders: notAuthor, backends: notAuthor},
		call: func(_ caller, o object) proto.Message {
			return &goodshipv1.EditMessageRequest{ConversationId: o.id, Number: max(1, o.number), Text: "Better said"}
		}},
	"RedactMessage": {callers: everyone, of: conversation, in: spoken, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RedactMessageRequest{ConversationId: o.id, Number: max(1, o.number)}
	}},
	"MarkRead": {callers: people, of: conversation, in: replied, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.MarkReadRequest{ConversationId: o.id, Number: max(1, o.number)}
	}},
	"SendSignal": {callers: people, of: conversation, in: owned, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.SendSignalRequest{ConversationId: o.id, Kind: goodshipv1.SignalKind_SIGNAL_KIND_TYPING}
	}},
	"ReportDelivery": {callers: onlyKeys, of: conversation, in: replied, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ReportDeliveryRequest{ConversationId: o.id, Number: max(1, o.number), State: goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED}
	}},
	"CreateNote": {callers: staff, of: conversation, in: waiting, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.CreateNoteRequest{ConversationId: o.id, Text: "inner note"}
	}},
	"ListNotes": {callers: staff, of: conversation, in: noted, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ListNotesRequest{ConversationId: o.id}
	}},
	"EditNote": {callers: staff, of: conversation, in: noted, others: outcomes{agents: notAuthor, leaders: notAuthor}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.EditNoteRequest{ConversationId: o.id, Number: 1, Text: "inner edit"}
	}},
	"RedactNote": {callers: staff, of: conversation, in: noted, others: outcomes{agents: notAuthor}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RedactNoteRequest{ConversationId: o.id, Number: 1}
	}},

	// ResolutionService

	"ProposeResolution": {callers: staff, of: conversation, in: owned, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return proposal(o)
	}},
	"ConfirmResolution": {callers: strangers, of: conversation, in: proposed, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ConfirmResolutionRequest{ConversationId: o.id}
	}},
	"RejectResolution": {callers: strangers, of: conversation, in: proposed, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RejectResolutionRequest{ConversationId: o.id}
	}},
	"WithdrawResolution": {callers: staff, of: conversation, in: proposed, others: outcomes{agents: noPart}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.WithdrawResolutionRequest{ConversationId: o.id}
	}},
	"GetResolution": {callers: everyone, of: conversation, in: proposed, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.GetResolutionRequest{ConversationId: o.id, Number: 1}
	}},
	"ListResolutions": {callers: everyone, of: conversation, in: proposed, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.ListResolutionsRequest{ConversationId: o.id}
	}},
	"RateConversation": {callers: strangers, of: conversation, in: proposed, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RateConversationRequest{ConversationId: o.id, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), Personal: 5}}
	}},

	// DeskService

	"WatchDesk":       {callers: ours, call: func(caller, object) proto.Message { return &goodshipv1.WatchDeskRequest{} }},
	"GetLine":         {callers: ours, call: func(caller, object) proto.Message { return &goodshipv1.GetLineRequest{} }},
	"SetAvailability": {callers: staff, call: func(caller, object) proto.Message { return &goodshipv1.SetAvailabilityRequest{} }},

	// DirectoryService

	"UpsertAgent": {callers: keepers, of: somebody, alone: true, absent: outcomes{backends: ok, operators: ok}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.UpsertAgentRequest{AgentId: o.id, Agent: &goodshipv1.Agent{DisplayName: "Mate"}}
	}},
	"GetAgent": {callers: ours, of: agent, call: func(_ caller, o object) proto.Message { return &goodshipv1.GetAgentRequest{AgentId: o.id} }},
	"ListAgents": {callers: ours, call: func(caller, object) proto.Message {
		return &goodshipv1.ListAgentsRequest{PageSize: 100}
	}},
	"DisableAgent": {callers: onlyKeys, of: somebody, call: func(_ caller, o object) proto.Message { return &goodshipv1.DisableAgentRequest{AgentId: o.id} }},
	"UpsertCustomer": {callers: onlyKeys, of: customer, alone: true, absent: outcomes{backends: ok}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.UpsertCustomerRequest{CustomerId: o.id, Customer: &goodshipv1.Customer{DisplayName: "Guest"}}
	}},
	"GetCustomer": {callers: ours, of: customer, call: func(_ caller, o object) proto.Message { return &goodshipv1.GetCustomerRequest{CustomerId: o.id} }},
	"ListCustomers": {callers: ours, call: func(caller, object) proto.Message {
		return &goodshipv1.ListCustomersRequest{PageSize: 100}
	}},
	"BlockCustomer": {callers: kinds{backends, leaders}, of: customer, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.BlockCustomerRequest{CustomerId: o.id, Reason: "Threats", UntilTime: timestamppb.New(faketime.New().Now().AddDate(1, 0, 0))}
	}},

	// AdminService

	"GetWorkspace": {callers: kinds{backends, agents, leaders, operators}, call: func(caller, object) proto.Message { return &goodshipv1.GetWorkspaceRequest{} }},
	"UpdateWorkspace": {callers: keepers, scope: admin, call: func(caller, object) proto.Message {
		return &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{BrandVoice: "Ahoy"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"brand_voice"}}}
	}},
	"CreateApiKey": {callers: keepers, scope: admin, call: func(caller, object) proto.Message {
		return &goodshipv1.CreateApiKeyRequest{DisplayName: "Shop"}
	}},
	"ListApiKeys": {callers: keepers, scope: admin, call: func(caller, object) proto.Message { return &goodshipv1.ListApiKeysRequest{PageSize: 100} }},
	"RevokeApiKey": {callers: keepers, scope: admin, of: apiKey, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RevokeApiKeyRequest{ApiKeyId: o.id}
	}},
	"CreateSigningKey": {callers: keepers, scope: admin, alone: true, call: func(caller, object) proto.Message {
		return &goodshipv1.CreateSigningKeyRequest{TokenKind: goodshipv1.TokenKind_TOKEN_KIND_AGENT}
	}, after: func(p *product, a answer) {
		p.t.Helper()
		p.do(p.backend(), &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: a.reply.(*goodshipv1.CreateSigningKeyResponse).SigningKey.Id})
	}},
	"ListSigningKeys": {callers: keepers, scope: admin, call: func(caller, object) proto.Message { return &goodshipv1.ListSigningKeysRequest{} }},
	"RevokeSigningKey": {callers: keepers, scope: admin, of: signingKey, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: o.id}
	}},
	"CreateToken": {callers: keepers, scope: act, of: somebody, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.CreateTokenRequest{AgentId: o.id}
	}},
	"CreateToken/customer": {callers: keepers, scope: act, of: customer, absent: outcomes{backends: ok, operators: ok},
		call: func(_ caller, o object) proto.Message { return &goodshipv1.CreateTokenRequest{CustomerId: o.id} }},

	// DirectoryService: visitors and tokens

	"CreateVisitorSession": {callers: kinds{widgets}, call: func(caller, object) proto.Message { return &goodshipv1.CreateVisitorSessionRequest{} }},
	"CreateVisitorSession/renewed": {callers: kinds{widgets}, of: renewal, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.CreateVisitorSessionRequest{RenewalToken: o.id}
	}},
	"SignInVisitor": {callers: kinds{customers}, of: session, others: outcomes{customers: gone}, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.SignInVisitorRequest{VisitorToken: o.id}
	}},
	"RevokeTokens": {callers: keepers, of: somebody, call: func(_ caller, o object) proto.Message {
		return &goodshipv1.RevokeTokensRequest{AgentId: o.id}
	}},
	"RevokeTokens/customer": {callers: keepers, of: customer, alone: true, absent: outcomes{backends: ok, operators: ok},
		call: func(_ caller, o object) proto.Message { return &goodshipv1.RevokeTokensRequest{CustomerId: o.id} }},

	// OperatorService

	"CreateWorkspace": {callers: onlyRunner, call: func(caller, object) proto.Message {
		return &goodshipv1.CreateWorkspaceRequest{DisplayName: "Another"}
	}},
	"ListWorkspaces": {callers: onlyRunner, call: func(caller, object) proto.Message { return &goodshipv1.ListWorkspacesRequest{} }},
	"BackupStore":    {callers: onlyRunner, call: func(caller, object) proto.Message { return &goodshipv1.BackupStoreRequest{} }},
	"CheckStore":     {callers: onlyRunner, call: func(caller, object) proto.Message { return &goodshipv1.CheckStoreRequest{} }},
}
