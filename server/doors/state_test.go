package doors_test

import (
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// object is what a call is about.
type object struct {
	// id is the conversation's, agent's, customer's, key's or another thing's; or a token.
	id string
	// token is that of an incident's preview.
	token string
	// revision is the conversation's, number that of the last message said in it.
	revision, number int32
	// colleague is an agent in the story who does not own the conversation.
	colleague string
}

// cast is who takes part in a conversation, each with a credential for their calls.
type cast struct {
	customer, agent credential
	// speaker is who says the last word where a state is about that.
	speaker   credential
	colleague string
}

// state makes a conversation.
type state func(*product, cast) object

// story makes calls on a new conversation, in turn.
func story(steps ...func(p *product, c cast, id string)) state {
	return func(p *product, c cast) object {
		p.t.Helper()
		made := p.do(c.customer, &goodshipv1.CreateConversationRequest{Text: "Hello? " + p.name})
		id := made.(*goodshipv1.Conversation).Id
		for _, step := range steps {
			step(p, c, id)
		}
		now := p.get(id)
		return object{id: id, revision: now.Revision, number: now.MessageCount, colleague: c.colleague}
	}
}

func (p *product) get(id string) *goodshipv1.Conversation {
	p.t.Helper()
	return p.do(p.backend(), &goodshipv1.GetConversationRequest{ConversationId: id}).(*goodshipv1.Conversation)
}

// says lets somebody who has just looked say something.
func (p *product) says(c credential, id string) {
	p.t.Helper()
	p.do(c, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Aye, " + p.name, SeenRevision: p.get(id).Revision})
}

func claim(p *product, c cast, id string) {
	p.t.Helper()
	p.do(c.agent, &goodshipv1.ClaimConversationRequest{ConversationId: id})
}

func reply(p *product, c cast, id string) {
	p.t.Helper()
	p.says(c.agent, id)
}

func speak(p *product, c cast, id string) {
	p.t.Helper()
	p.says(c.speaker, id)
}

func invite(p *product, c cast, id string) {
	p.t.Helper()
	p.do(c.agent, &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: c.colleague})
}

func note(p *product, c cast, id string) {
	p.t.Helper()
	p.do(c.agent, &goodshipv1.CreateNoteRequest{ConversationId: id, Text: "inner " + p.name})
}

// offered lets the colleague offer the conversation to the agent.
func offered(p *product, c cast, id string) {
	p.t.Helper()
	p.do(c.agent, &goodshipv1.SetAvailabilityRequest{})
	colleague := p.agent(c.colleague)
	p.do(colleague, &goodshipv1.ClaimConversationRequest{ConversationId: id})
	p.do(colleague, &goodshipv1.HandOverConversationRequest{ConversationId: id, ToAgentId: strings.TrimPrefix(c.agent.actFor, "agent/"), Brief: "inner " + p.name})
}

func propose(p *product, c cast, id string) {
	p.t.Helper()
	p.do(c.agent, proposal(object{id: id, revision: p.get(id).Revision}))
}

func proposal(o object) proto.Message {
	return &goodshipv1.ProposeResolutionRequest{
		ConversationId: o.id, Matter: goodshipv1.Matter_MATTER_FAULT, Done: "Mended it", Text: "It is mended.", SeenRevision: o.revision,
	}
}

// The states that calls are made in.
var (
	waiting  = story()
	owned    = story(claim)
	replied  = story(reply)
	helped   = story(reply, invite)
	noted    = story(claim, note)
	proposed = story(propose)
	onOffer  = story(offered)
	spoken   = story(claim, speak)
)
