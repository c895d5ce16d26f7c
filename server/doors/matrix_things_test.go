package doors_test

import (
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// column is whose the object of a call is.
type column string

const (
	own     column = "own"
	another column = "another's"
	foreign column = "foreign"
	missing column = "missing"
)

var columns = []column{own, another, foreign, missing}

// thing is a kind of objects that calls are about.
type thing struct {
	// made makes one for a call by a caller; another says that it is somebody else's. nil if the calls are about nothing.
	made func(p *product, r row, c caller, another bool) object
	// abroad makes one in another product, which has its like nowhere else.
	abroad func(p *product, r row) object
	// missing returns an id of nothing.
	missing func(p *product) string
	// absent is the answer where there is none that the caller may see. A foreign one and a missing one are answered alike to
	// the byte; but for tokens, whose holders know that they are no mere guesses.
	absent  string
	isToken bool
	// look returns how one reads, to see that a refused call did nothing.
	look func(p *product, o object) string
}

var conversation = thing{
	made: func(p *product, r row, c caller, another bool) object {
		p.t.Helper()
		in := r.in
		if another && r.inAnother != nil {
			in = r.inAnother
		}
		return in(p, p.cast(c, another))
	},
	abroad: func(p *product, r row) object {
		p.t.Helper()
		o := r.in(p, p.cast(caller{}, false))
		o.colleague = ben
		return o
	},
	missing: func(*product) string { return "conv_" + strings.Repeat("0", 26) },
	absent:  "NotFound CONVERSATION_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		return p.conversation(o.id)
	},
}

// cast returns who takes part in a conversation of a caller, or of others altogether.
func (p *product) cast(c caller, another bool) cast {
	customer, agent, colleague := p.customer(kim), p.agent(ada), ben
	if another {
		customer, agent = p.customer(lou), p.agent(captain)
	}
	all := cast{customer: customer, agent: agent, speaker: agent, colleague: colleague}
	if another {
		if c.isCustomer() {
			all.speaker = customer
		}
		return all
	}
	switch {
	case c.isCustomer():
		all.customer, all.speaker = c.credential, c.credential
	case c.isAgent():
		all.agent = p.agent(c.person)
		all.speaker = all.agent
	case c.kind == goodshipv1.Caller_CALLER_BACKEND:
		all.speaker = p.backend()
	}
	return all
}

var agent = thing{
	made: func(p *product, _ row, c caller, another bool) object {
		p.t.Helper()
		switch {
		case another:
			return object{id: ben}
		case c.isAgent():
			return object{id: c.person}
		}
		return p.newAgent()
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.newAgent()
	},
	missing: func(p *product) string { return p.fresh("nobody-inner") },
	absent:  "NotFound AGENT_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		a := p.do(p.backend(), &goodshipv1.GetAgentRequest{AgentId: o.id}).(*goodshipv1.Agent)
		a.Present = false
		return answer{reply: a}.text()
	},
}

func (p *product) newAgent() object {
	p.t.Helper()
	id := p.fresh("mate-inner-" + p.name)
	p.employ(id, goodshipv1.Role_ROLE_AGENT)
	return object{id: id}
}

// somebody is an agent whom no other call is about.
var somebody = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return p.newAgent()
	},
	abroad: agent.abroad, missing: agent.missing, absent: agent.absent, look: agent.look,
}

var customer = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return p.newCustomer()
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.newCustomer()
	},
	missing: func(p *product) string { return p.fresh("nobody") },
	absent:  "NotFound CUSTOMER_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		return p.read(p.backend(), &goodshipv1.GetCustomerRequest{CustomerId: o.id})
	},
}

func (p *product) newCustomer() object {
	p.t.Helper()
	id := p.fresh("sailor-" + p.name)
	p.knows(id)
	return object{id: id}
}

var apiKey = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return object{id: p.newKey().ApiKey.Id}
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return object{id: p.newKey().ApiKey.Id}
	},
	missing: func(*product) string { return "key_" + strings.Repeat("0", 26) },
	absent:  "NotFound API_KEY_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		keys := p.do(p.backend(), &goodshipv1.ListApiKeysRequest{PageSize: 100}).(*goodshipv1.ListApiKeysResponse).ApiKeys
		for _, k := range keys {
			if k.Id == o.id {
				return answer{reply: k}.text()
			}
		}
		return ""
	},
}

var signingKey = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return p.leaderKey()
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return p.leaderKey()
	},
	missing: func(*product) string { return "sign_" + strings.Repeat("0", 26) },
	absent:  "NotFound SIGNING_KEY_NOT_FOUND",
	look: func(p *product, o object) string {
		p.t.Helper()
		for _, k := range p.signingKeys() {
			if k.Id == o.id {
				return answer{reply: k}.text()
			}
		}
		return ""
	},
}

func (p *product) signingKeys() []*goodshipv1.SigningKey {
	p.t.Helper()
	return p.do(p.backend(), &goodshipv1.ListSigningKeysRequest{PageSize: 100}).(*goodshipv1.ListSigningKeysResponse).SigningKeys
}

// leaderKey returns the live signing key that leaders' tokens are not signed with; a new one if there is none.
func (p *product) leaderKey() object {
	p.t.Helper()
	var live []string
	for _, k := range p.signingKeys() {
		if k.TokenKind == goodshipv1.TokenKind_TOKEN_KIND_LEADER && k.RevokeTime == nil {
			live = append(live, k.Id)
		}
	}
	if len(live) > 1 {
		return object{id: live[0]}
	}
	return object{id: p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_LEADER, false).id}
}

// session is the token of a visitor who wrote; another's is one who signed in as somebody else.
var session = thing{
	made: func(p *product, _ row, c caller, another bool) object {
		p.t.Helper()
		s := p.session()
		if another {
			p.do(p.customer(lou), &goodshipv1.SignInVisitorRequest{VisitorToken: s.Token})
		}
		return object{id: s.Token}
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return object{id: p.session().Token}
	},
	missing: func(*product) string { return "gtk_" + strings.Repeat("0", 200) },
	absent:  invalid, isToken: true,
}

// session begins a visitor's session and writes in it.
func (p *product) session() *goodshipv1.VisitorSession {
	p.t.Helper()
	s := p.newSession(p.page, "")
	p.do(bearer(s.Token), &goodshipv1.CreateConversationRequest{Text: "Hello? " + p.name})
	return s
}

// renewal is the token that a session goes on with; nobody's is anybody else's.
var renewal = thing{
	made: func(p *product, _ row, _ caller, _ bool) object {
		p.t.Helper()
		return object{id: p.session().RenewalToken}
	},
	abroad: func(p *product, _ row) object {
		p.t.Helper()
		return object{id: p.session().RenewalToken}
	},
	missing: func(*product) string { return "grt_" + strings.Repeat("0", 200) },
	absent:  invalid, isToken: true,
}
