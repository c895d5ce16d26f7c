package doors_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// loot is what a hostile customer is after: what was made good for lou.
type loot struct {
	conversation string
	credits      []string
	// words are all of it that must be in no answer to anybody else.
	words []string
}

// fortune makes lou's: credits in every state, one of an incident, and a ledger of them.
func fortune(p *product) loot {
	p.t.Helper()
	o := owned(p, cast{customer: p.customer(lou), agent: p.agent(ada)})
	everyCredit(p, o.id)
	l := loot{conversation: o.id, words: []string{o.id, p.sorry(passengers(lou)...), lou}}
	for _, c := range p.do(p.backend(), &goodshipv1.ListCreditsRequest{CustomerId: lou}).(*goodshipv1.ListCreditsResponse).Credits {
		l.credits = append(l.credits, c.Id)
		l.words = append(l.words, c.Id, c.ConversationId)
	}
	if len(l.credits) != 5 {
		p.t.Fatalf("lou has the credits %v, want 5", l.credits)
	}
	return l
}

// TestAHostileCustomer lets a customer and a visitor try to get at another's credits, ledger, apology and export.
func TestAHostileCustomer(t *testing.T) {
	t.Parallel()
	p := newProduct(t, newHouse(t), "home")
	far := newProduct(t, p.house, "abroad")
	l, there := fortune(p), fortune(far)
	mine := p.granted(p.cast(caller{}, false))
	before := p.amends()
	for name, c := range map[string]credential{
		"customer": p.customer(kim), "customer by token": bearer(p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim})), "visitor": bearer(p.session().Token),
	} {
		t.Run(name, func(t *testing.T) {
			at := *p
			at.t = t
			othersCreditsAreNone(&at, c, slices.Concat(l.credits, there.credits))
			at.listsNoneOf(c, l, there)
			at.paths(c, l, mine.id)
		})
	}
	if after := p.amends(); after != before {
		t.Errorf("a hostile customer changed something: got %s, want %s", after, before)
	}
}

// othersCreditsAreNone asks for credits that are another's, of another workspace, and none: the answers are one, to the byte.
func othersCreditsAreNone(p *product, c credential, others []string) {
	p.t.Helper()
	nothing := p.whole(c, &goodshipv1.GetCreditRequest{CreditId: credit.missing(p)})
	for _, id := range others {
		req := &goodshipv1.GetCreditRequest{CreditId: id}
		p.gets(c, req, credit.absent)
		if got := p.whole(c, req); got != nothing {
			p.t.Errorf("another's credit can be told from none: got %s, want %s", got, nothing)
		}
	}
	unknown := p.whole(c, &goodshipv1.ListCreditsRequest{CustomerId: "nobody-at-all"})
	if got := p.whole(c, &goodshipv1.ListCreditsRequest{CustomerId: lou}); got != unknown || !strings.Contains(got, "INVALID_REQUEST") {
		p.t.Errorf("another customer can be told from none: got %s, want %s", got, unknown)
	}
}

// whole returns all that REST answers: the code, headers and bytes.
func (p *product) whole(c credential, req proto.Message) string {
	p.t.Helper()
	r, err := restRequest(p.t.Context(), p.REST, req)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.fetch(c, r)
}

func (p *product) fetch(c credential, r *http.Request) string {
	p.t.Helper()
	r.Header.Set("Authorization", "Bearer "+c.token)
	if c.actFor != "" {
		r.Header.Set("Goodship-Act-For", c.actFor)
	}
	resp, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Header.Del("Date")
	return fmt.Sprint(resp.StatusCode, resp.Header, string(body))
}

// listsNoneOf lists in all ways that there are.
func (p *product) listsNoneOf(c credential, all ...loot) {
	p.t.Helper()
	for _, l := range all {
		p.gets(c, &goodshipv1.ListCreditsRequest{ConversationId: l.conversation}, conversation.absent)
		reads := []proto.Message{&goodshipv1.ListConversationsRequest{PageSize: 100}}
		for state := range goodshipv1.CreditState_name {
			reads = append(reads, &goodshipv1.ListCreditsRequest{State: goodshipv1.CreditState(state), PageSize: 1000})
		}
		for _, req := range reads {
			p.gets(c, req, ok)
			p.hides(c, req, l.words...)
		}
	}
}

// paths tries what REST might take for something else.
func (p *product) paths(c credential, l loot, own string) {
	p.t.Helper()
	other := l.credits[0]
	for _, line := range []string{
		"GET /v1/credits/" + other, "GET /v1/credits/" + own + "/../" + other, "GET /v1/credits/" + own + "%2F..%2F" + other, "GET /v1/credits/" + other + "%00", "GET /v1/credits//" + other,
		"GET /v1/credits/" + strings.ToUpper(other), "GET /v1/credits/" + other + "?customer_id=" + lou, "GET /v1/credits?customer_id=" + lou, "GET /v1/credits?customerId=" + lou,
		"GET /v1/credits?customer_id=" + kim + "&customer_id=" + lou, "GET /v1/credits?customer_id=" + lou + "&customer_id=" + kim, "GET /v1/credits?conversation_id=" + l.conversation,
		"GET /v1/credits?customer_id[]=" + lou, "GET /v1/credits?customer_keys=" + lou, "GET /v1/customers/" + lou + "/ledger", "GET /v1/customers/" + kim + "/ledger",
		"GET /v1/customers/" + lou + ":export", "GET /v1/customers/" + kim + ":export", "POST /v1/customers/" + lou + ":erase", "POST /v1/customers/" + kim + ":erase",
		"POST /v1/credits:settle", "POST /v1/credits/" + other + ":reverse", "POST /v1/credits/" + own + ":reverse", "POST /v1/conversations/" + l.conversation + "/credits",
		"GET /v1/conversations/" + l.conversation + "/credits", "GET /v1/allowance?agent_id=" + ada, "GET /v1/incidents", "GET /v1/incidents/" + l.words[1], "GET /v1/incidents/" + l.words[1] + "/apologies",
		"GET /v1/webhookEndpoints", "GET /v1/removals", "GET /v1/insights/recovery",
	} {
		verb, path, _ := strings.Cut(line, " ")
		r, err := http.NewRequestWithContext(p.t.Context(), verb, p.REST+path, strings.NewReader("{}"))
		if err != nil {
			continue // what Go does not send
		}
		if verb == http.MethodGet {
			r.Body, r.ContentLength = nil, 0
		}
		answer := p.fetch(c, r)
		if !strings.HasPrefix(answer, "4") {
			p.t.Errorf("%s: got %s, want a refusal", line, answer)
		}
		for _, word := range l.words {
			if strings.Contains(answer, word) && !strings.Contains(line, word) {
				p.t.Errorf("%s: the answer holds %s: %s", line, word, answer)
			}
		}
	}
}

// TestCustomersSeeTheirAmends reads all that a customer can of what was made good for them and for others: nothing inner is in it,
// nor which incident it was, nor anybody else.
func TestCustomersSeeTheirAmends(t *testing.T) {
	t.Parallel()
	p := newProduct(t, newHouse(t), "home")
	open := p.open(t.Context(), p.customer(kim), mine(""))
	l := fortune(p)
	o := owned(p, p.cast(caller{}, false))
	everyCredit(p, o.id)
	sorry := p.sorry(append(passengers(kim), &goodshipv1.AffectedCustomer{CustomerId: lou, Attributes: map[string]string{"seat": "lous-seat"}})...)
	words := append(l.words, "inner", "lous", sorry, "incident_id", "incidentId", "overdue", "end_reason", "endReason")
	for _, c := range []credential{p.customer(kim), bearer(p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim}))} {
		p.hides(c, &goodshipv1.ListCreditsRequest{}, words...)
		for _, credit := range p.do(c, &goodshipv1.ListCreditsRequest{}).(*goodshipv1.ListCreditsResponse).Credits {
			p.hides(c, &goodshipv1.GetCreditRequest{CreditId: credit.Id}, words...)
		}
		for _, conv := range p.do(c, &goodshipv1.ListConversationsRequest{}).(*goodshipv1.ListConversationsResponse).Conversations {
			for _, req := range []proto.Message{
				&goodshipv1.GetConversationRequest{ConversationId: conv.Id}, &goodshipv1.ListMessagesRequest{ConversationId: conv.Id}, &goodshipv1.ListResolutionsRequest{ConversationId: conv.Id},
			} {
				p.hides(c, req, words...)
			}
		}
	}
	p.says(p.customer(kim), o.id)
	for _, w := range open {
		granted := 0
		for last := false; !last; {
			u := w.tells()
			text := answer{reply: u}.text()
			for _, word := range words {
				if strings.Contains(text, word) {
					t.Errorf("%s tells %s: %s", w.name, word, text)
				}
			}
			if u.GetEvent().GetCreditGranted() != nil {
				granted++
			}
			last = u.GetConversationId() == o.id && u.GetEvent().GetMessageSent().GetNumber() == 2
		}
		if granted != 5 {
			t.Errorf("%s told of %d credits, want those 5 that are kim's", w.name, granted)
		}
	}
}

// TestSecretsOfWebhooksShowOnce makes, rotates and repeats, and reads all that there is: a secret stands in the first reply only.
func TestSecretsOfWebhooksShowOnce(t *testing.T) {
	t.Parallel()
	p := newProduct(t, newHouse(t), "home")
	make := &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: hook("https://hooks.example.com/1"), RequestId: "make"}
	made := p.do(p.backend(), make).(*goodshipv1.CreateWebhookEndpointResponse)
	rotate := &goodshipv1.RotateWebhookSecretRequest{WebhookEndpointId: made.WebhookEndpoint.Id, RequestId: "rotate"}
	rotated := p.do(p.backend(), rotate).(*goodshipv1.RotateWebhookSecretResponse)
	if !strings.HasPrefix(made.Secret, "whsec_") || !strings.HasPrefix(rotated.Secret, "whsec_") || made.Secret == rotated.Secret {
		t.Fatalf("got the secrets %q and %q", made.Secret, rotated.Secret)
	}
	us := append(p.allCallers(newProduct(t, p.house, "abroad")), caller{name: "another key", kind: backends, credential: bearer(p.newKey(scopes...).Secret)})
	for _, c := range us {
		for _, req := range []proto.Message{
			make, rotate, &goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: made.WebhookEndpoint.Id}, &goodshipv1.ListWebhookEndpointsRequest{}, &goodshipv1.GetWorkspaceRequest{},
			&goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: made.WebhookEndpoint.Id}, &goodshipv1.ListApiKeysRequest{}, &goodshipv1.CheckStoreRequest{},
			&goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: made.WebhookEndpoint.Id, WebhookEndpoint: hook("https://hooks.example.com/2"), UpdateMask: mask("uri")},
		} {
			if (req == proto.Message(rotate) || req == proto.Message(make)) && c.credential != p.backend() {
				continue // with another key it is another request, and another secret
			}
			for transport, a := range p.ask(c, req) {
				for _, secret := range []string{made.Secret, rotated.Secret, "whsec_"} {
					if strings.Contains(a.text(), secret) {
						t.Errorf("%s shows a secret: %s", label(c, transport, own, req), a.text())
					}
				}
			}
		}
	}
	again := p.do(p.backend(), make).(*goodshipv1.CreateWebhookEndpointResponse)
	if again.SecretAbsentReason != goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN || again.WebhookEndpoint.Id != made.WebhookEndpoint.Id {
		t.Errorf("made again: got %v, want the endpoint and why there is no secret", again)
	}
}
