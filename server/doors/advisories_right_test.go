package doors_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The advisories' tests of what makes good.

const badRequest = "InvalidArgument INVALID_REQUEST"

// foreignAmends sends another workspace's ids where a request about what makes good holds one.
func foreignAmends(p, far *product, id, sailor string) map[string]func() {
	add := func(batch bool) func() {
		return func() {
			incident, all := p.declared(), passengers(sailor)
			if batch {
				p.gets(p.backend(), &goodshipv1.BatchAddAffectedCustomersRequest{IncidentId: incident, Customers: all}, ok)
			} else {
				p.gets(p.backend(), &goodshipv1.AddAffectedCustomersRequest{IncidentId: incident, Customers: all}, ok)
			}
			if here := p.do(p.backend(), &goodshipv1.GetCustomerRequest{CustomerId: sailor}).(*goodshipv1.Customer); here.DisplayName != "" {
				p.t.Errorf("an affected customer is another workspace's: %v", here)
			}
			p.do(p.backend(), &goodshipv1.EraseCustomerRequest{CustomerId: sailor}) // the id is to be nobody's here
		}
	}
	return map[string]func(){
		"AddAffectedCustomers: customers.customer_id":      add(false),
		"BatchAddAffectedCustomers: customers.customer_id": add(true),
		"ListCredits: incident_id": func() {
			p.gets(p.backend(), &goodshipv1.ListCreditsRequest{IncidentId: far.declared()}, "NotFound INCIDENT_NOT_FOUND")
		},
		"ListCredits: customer_id": func() {
			p.gets(p.backend(), &goodshipv1.ListCreditsRequest{CustomerId: far.fresh("sailor-far")}, customer.absent)
		},
		"ProposeResolution: credit_ids": func() {
			said := map[string]bool{}
			elsewhere := p.granted(p.cast(caller{}, false)).id
			for _, credit := range []string{far.granted(far.cast(caller{}, false)).id, elsewhere, credit.missing(p)} {
				req := proposal(object{id: id, revision: p.get(id).Revision}).(*goodshipv1.ProposeResolutionRequest)
				req.CreditIds = []string{credit}
				p.gets(p.agent(ada), req, badRequest)
				said[p.over("gRPC", caller{credential: p.agent(ada)}, req).text()] = true
			}
			if len(said) != 1 {
				p.t.Errorf("credits of another workspace, another conversation and none can be told apart: %v", said)
			}
		},
		"ReplayWebhook: delivery_ids": func() {
			req := &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: p.endpoint().id, DeliveryIds: []string{"dlv_" + strings.Repeat("0", 26)}}
			if again := p.do(p.backend(), req).(*goodshipv1.ReplayWebhookResponse).ReplayedCount; again != 0 {
				p.t.Errorf("%d deliveries of another workspace are sent again", again)
			}
		},
	}
}

// outputOnlyOfAmends sends what only the server sets with incidents and webhook endpoints, and names it in masks.
func outputOnlyOfAmends(p *product) {
	then := timestamppb.New(p.clock.Now().Add(-time.Hour))
	i := outage(p.name, p.clock.Now())
	i.Id, i.State, i.Etag, i.CreateTime, i.UpdateTime, i.SendTime = "inc_"+strings.Repeat("0", 26), goodshipv1.IncidentState_INCIDENT_STATE_SENT, "99", then, then, then
	i.Progress = &goodshipv1.ApologyProgress{Affected: 7, Written: 7, Credited: euros(9).GetMoney()}
	made := p.do(p.backend(), &goodshipv1.DeclareIncidentRequest{Incident: i}).(*goodshipv1.Incident)
	if made.Id == i.Id || made.State != goodshipv1.IncidentState_INCIDENT_STATE_DECLARED || made.Progress.Affected+made.Progress.Written != 0 || made.Progress.Credited.GetUnits() != 0 ||
		made.Etag == "99" || made.SendTime != nil || !made.CreateTime.AsTime().After(then.AsTime()) || !made.UpdateTime.AsTime().After(then.AsTime()) {
		p.t.Errorf("an incident took what only the server sets: %v", made)
	}
	w := hook("https://hooks.example.com/x")
	w.Id, w.DisableReason, w.DownTime, w.BehindCount, w.RetryingCount, w.Etag = "hook_"+strings.Repeat("0", 26), "None", then, 7, 7, "99"
	w.CreateTime, w.UpdateTime, w.FormerSecretExpireTime = then, then, then
	hooked := p.do(p.backend(), &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: w}).(*goodshipv1.CreateWebhookEndpointResponse).WebhookEndpoint
	if hooked.Id == w.Id || hooked.DisableReason != "" || hooked.DownTime != nil || hooked.BehindCount+hooked.RetryingCount != 0 || hooked.Etag == "99" ||
		hooked.FormerSecretExpireTime != nil || !hooked.CreateTime.AsTime().After(then.AsTime()) || !hooked.UpdateTime.AsTime().After(then.AsTime()) {
		p.t.Errorf("a webhook endpoint took what only the server sets: %v", hooked)
	}
	masks := map[string]func(path string) proto.Message{
		"id state progress progress.affected etag create_time send_time * credit.money": func(path string) proto.Message {
			return &goodshipv1.UpdateIncidentRequest{IncidentId: made.Id, Incident: &goodshipv1.IncidentUpdate{WhatHappened: "x"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}}
		},
		"id disable_reason down_time behind_count etag create_time secret secrets former_secret_expire_time *": func(path string) proto.Message {
			return &goodshipv1.UpdateWebhookEndpointRequest{WebhookEndpointId: hooked.Id, WebhookEndpoint: hook(w.Uri), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}}
		},
		"incident_ceiling.money allowance.money_per_day keep_for.seconds": func(path string) proto.Message {
			return &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}}
		},
	}
	for paths, request := range masks {
		for _, path := range strings.Fields(paths) {
			req := request(path)
			p.expect(named(req).name+" of "+path, overGRPC(p.t.Context(), p.conn, p.backend(), req), badRequest)
		}
	}
}

// pageOf is the first page of a list, and its next token.
type pageOf struct {
	req   proto.Message
	token string
}

// pagesOfAmends makes a first page of each list of what makes good that has a next one.
func pagesOfAmends(p *product, debtor string) []pageOf {
	p.t.Helper()
	two := object{id: p.declared()}
	for range 2 {
		affect(p, &two)
	}
	var all []pageOf
	for _, req := range []proto.Message{
		&goodshipv1.ListCreditsRequest{PageSize: 1}, &goodshipv1.ListCreditsRequest{PageSize: 1, CustomerId: debtor}, &goodshipv1.GetLedgerRequest{PageSize: 1, CustomerId: debtor},
		&goodshipv1.ListIncidentsRequest{PageSize: 1}, &goodshipv1.ListApologiesRequest{PageSize: 1, IncidentId: two.id},
	} {
		reply := p.do(p.backend(), req)
		token := reply.(interface{ GetNextPageToken() string }).GetNextPageToken()
		if token == "" {
			p.t.Errorf("%v has one page: %v", req, reply)
		}
		all = append(all, pageOf{req, token})
	}
	return all
}

// withToken returns a request for the page of a token.
func withToken(req proto.Message, token string) proto.Message {
	req = proto.Clone(req)
	m := req.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("page_token"), protoreflect.ValueOfString(token))
	return req
}

// tokensOfAmends uses the page tokens, previews and export cursors of others.
func tokensOfAmends(p, far *product) {
	const badPage, badCursor = "InvalidArgument INVALID_PAGE_TOKEN", "InvalidArgument INVALID_CURSOR"
	debtor := p.newDebtor().id
	p.granted(cast{customer: p.customer(debtor), agent: p.agent(ada)})
	p.declared()
	pages := pagesOfAmends(p, debtor)
	for i, page := range pages {
		p.gets(p.backend(), withToken(page.req, page.token), ok)
		p.gets(p.agent(lea), withToken(page.req, page.token), badPage)
		far.gets(far.backend(), withToken(page.req, page.token), badPage)
		for j, other := range pages {
			if i != j {
				p.gets(p.backend(), withToken(page.req, other.token), badPage)
			}
		}
		p.gets(p.backend(), &goodshipv1.ListRemovalsRequest{PageToken: page.token}, badPage)
		p.gets(p.backend(), &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: p.endpoint().id, PageToken: page.token}, badPage)
	}
	p.gets(p.backend(), withToken(&goodshipv1.GetLedgerRequest{PageSize: 1, CustomerId: p.newDebtor().id}, pages[2].token), badPage)

	one, two := object{id: p.declared()}, object{id: p.declared()}
	elsewhere := object{id: far.declared()}
	for _, o := range []*object{&one, &two} {
		affect(p, o)
		preview(p, o)
	}
	affect(far, &elsewhere)
	preview(far, &elsewhere)
	for token, want := range map[string]string{elsewhere.token: badRequest, two.token: "Aborted PREVIEW_CHANGED", pages[0].token: badRequest, "x": badRequest} {
		p.gets(p.backend(), &goodshipv1.SendApologyRequest{IncidentId: one.id, PreviewToken: token}, want)
	}
	cursor := p.do(p.backend(), &goodshipv1.ExportCustomerRequest{CustomerId: debtor}).(*goodshipv1.ExportCustomerResponse).Cursor
	p.gets(p.backend(), &goodshipv1.ExportCustomerRequest{CustomerId: kim, Cursor: cursor}, badCursor)
	p.gets(p.backend(), &goodshipv1.ExportCustomerRequest{CustomerId: debtor, Cursor: pages[0].token}, badCursor)
	far.knows(debtor)
	far.gets(far.backend(), &goodshipv1.ExportCustomerRequest{CustomerId: debtor, Cursor: cursor}, badCursor)
	p.gets(p.agent(ada), desk(cursor), badCursor)
}

// hostileURIs lead inside, or nowhere that events are sent.
var hostileURIs = []string{
	"https://127.0.0.1/", "https://127.0.0.1:443/x", "https://127.1/", "https://0/", "https://0.0.0.0/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.0.0.1./",
	"https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/", "https://100.64.0.1/", "https://169.254.169.254/latest/meta-data/", "https://168.63.129.16/", "https://224.0.0.1/",
	"https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:a9fe:a9fe]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::1]/", "https://[2002:7f00:1::]/",
	"https://[fe80::1]/", "https://[fe80::1%25lo]/", "https://[fd00::1]/", "https://[ff02::1]/", "https://8.8.8.8/", "https://[2001:4860:4860::8888]/",
	"https://localhost/", "https://LOCALHOST./", "https://a.localhost/", "https://metadata.google.internal/", "https://metadata/", "https://printer.local/", "https://kubernetes.default.svc/",
	"https://db.lan/", "https://x.home.arpa/", "https://metadata.azure.com/",
	"http://example.com/", "HTTP://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "data:text/plain,x", "//example.com/", "example.com", "",
	"https://", "https:///x", "https:example.com", "https://user:secret@example.com/", "https://example.com:8080/", "https://example.com:22/", "https://example.com:0/", "https://example.com:/",
	"https://example.com:443443/", "https://example.com/#x", `https://example.com\@127.0.0.1/`, "https://exa mple.com/", "https://example.com/\r\nX-Canary: 1", "https://example.com\x00.evil.test/",
	"https://①②⑦.⓪.⓪.①/", "https://例え.example/", "https://-x.example.com/", "https://" + strings.Repeat("a", 64) + ".example.com/", "https://example.com/" + strings.Repeat("a", 2048),
}

// webhooksStayOutside makes endpoints of URIs that lead inside, and of a name whose address does; and an endpoint that redirects
// inside and replies with words of its own.
func webhooksStayOutside(p *product) {
	there := p.endpoint()
	before := p.endpointText(there.id)
	for _, uri := range hostileURIs {
		if strings.ContainsRune(uri, 0) {
			continue // JSON has it, and protobuf too: the next line sends it
		}
		p.gets(p.backend(), &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: hook(uri)}, badRequest)
		p.gets(p.backend(), &goodshipv1.UpdateWebhookEndpointRequest{
			WebhookEndpointId: there.id, WebhookEndpoint: hook(uri), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"uri"}},
		}, badRequest)
	}
	if after := p.endpointText(there.id); after != before || len(p.endpoints()) != 1 {
		p.t.Errorf("a hostile URI changed something: got %s, want %s", after, before)
	}
	namesLeadNowhere(p)
	repliesAreShownNowhere(p)
}

// namesLeadNowhere sends to names that lead to addresses inside.
func namesLeadNowhere(p *product) {
	inside := newProduct(p.t, newHouse(p.t, withWebhooks(nameServer(p.t, "169.254.169.254"))), "inside")
	made := inside.do(inside.backend(), &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: &goodshipv1.WebhookEndpoint{
		Uri: "https://169.254.169.254.example.com/latest/meta-data/",
	}}).(*goodshipv1.CreateWebhookEndpointResponse).WebhookEndpoint
	waiting(inside, inside.cast(caller{}, false))
	d := inside.tried(made.Id)
	if d.StatusCode != 0 || d.State != goodshipv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_RETRYING || d.Failure != "the host name has an address that is not public" {
		p.t.Errorf("a name that leads inside: got %v, want it refused by its address", d)
	}
}

// tried returns the first delivery to an endpoint, once it was tried.
func (p *product) tried(endpoint string) *goodshipv1.WebhookDelivery {
	p.t.Helper()
	for p.t.Context().Err() == nil {
		list := p.do(p.backend(), &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: endpoint}).(*goodshipv1.ListWebhookDeliveriesResponse).Deliveries
		if i := slices.IndexFunc(list, func(d *goodshipv1.WebhookDelivery) bool { return d.TryCount > 0 }); i >= 0 {
			return list[i]
		}
	}
	return nil
}

// repliesAreShownNowhere sends to an endpoint that redirects to a trap, and to one that refuses with a secret.
func repliesAreShownNowhere(p *product) {
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { p.t.Error("a redirect was followed") }))
	defer trap.Close()
	const secret = "instance-credentials"
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Secret", secret)
		code := http.StatusForbidden
		if r.URL.Path == "/redirect" {
			w.Header().Set("Location", trap.URL+"/"+secret)
			code = http.StatusTemporaryRedirect
		}
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, secret)
	}))
	defer answers.Close()
	open := newProduct(p.t, newHouse(p.t, withWebhooks(nil)), "open")
	for _, path := range []string{"/redirect", "/refuse"} {
		made := open.do(open.backend(), &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: answers.URL + path}})
		id := made.(*goodshipv1.CreateWebhookEndpointResponse).WebhookEndpoint.Id
		waiting(open, open.cast(caller{}, false))
		if d := open.tried(id); d.StatusCode/100 != 3 && d.StatusCode != http.StatusForbidden || d.Failure == "" {
			p.t.Errorf("%s: got the delivery %v, want a failure with its status", path, d)
		}
		for _, req := range []proto.Message{
			&goodshipv1.GetWebhookEndpointRequest{WebhookEndpointId: id}, &goodshipv1.ListWebhookEndpointsRequest{}, &goodshipv1.ListWebhookDeliveriesRequest{WebhookEndpointId: id},
		} {
			open.hides(open.backend(), req, secret, trap.URL, "whsec_")
		}
	}
}

// everyCredit makes a credit in each state in a conversation of kim's, and returns those that make something right.
func everyCredit(p *product, id string) (right []string) {
	p.t.Helper()
	var all []string
	for _, amount := range []*goodshipv1.CreditAmount{euros(1), points(100), euros(2), euros(3)} {
		all = append(all, p.do(p.agent(ada), grant(id, amount)).(*goodshipv1.Credit).Id)
	}
	p.do(p.backend(), &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{
		{CreditId: all[1], Outcome: &goodshipv1.Settlement_BillingReference{BillingReference: "bill-1"}},
		{CreditId: all[2], Outcome: &goodshipv1.Settlement_Refusal{Refusal: "inner: no such bill"}},
	}})
	p.do(p.agent(ada), &goodshipv1.ReverseCreditRequest{CreditId: all[3], Reason: "inner: granted twice"})
	return all[:2]
}
