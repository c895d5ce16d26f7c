package doors_test

import (
	"slices"
	"strings"
	"testing"
)

// form is what somebody sends over REST to a place, and the reason for which it is refused; any if it is empty.
type form struct{ who, where, what, why string }

// many is JSON of a list of so many.
func many(n int, item string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

// creditForms are about credits, some in a conversation.
func creditForms(credits, missing string) []form {
	const us = "agent/" + ada
	return []form{
		{us, "POST " + credits, `{"amount":{"basisPoints":1},"reason":"x","overdue":true}`, "UNKNOWN_FIELD"},
		{us, "POST " + credits, `{"amount":{"basisPoints":1},"reason":"x","agentId":"` + lea + `"}`, "UNKNOWN_FIELD"},
		{us, "POST " + credits, `{"amount":{"basisPoints":1,"money":{"currencyCode":"EUR","units":"1"}},"reason":"x"}`, ""},
		{us, "POST " + credits, `{"amount":{"basisPoints":1.5},"reason":"x"}`, ""},
		{us, "POST " + credits, `{"amount":{"basisPoints":-1},"reason":"x"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"basisPoints":10001},"reason":"x"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{},"reason":"x"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":5,"reason":"x"}`, ""},
		{us, "POST " + credits, `{"amount":{"money":{"currencyCode":"EUR","units":"-1"}},"reason":"x"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"money":{"currencyCode":"EUR","units":"1","nanos":-1}},"reason":"x"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"money":{"currencyCode":"EUR","nanos":1}},"reason":"x"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"money":{"currencyCode":"EUR","units":"9223372036854775807"}},"reason":"x"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"money":{"currencyCode":"EUR","units":"9223372036854775808"}},"reason":"x"}`, ""},
		{us, "POST " + credits, `{"amount":{"money":{"currencyCode":"EUR","units":"1e400"}},"reason":"x"}`, ""},
		{us, "POST " + credits, `{"amount":{"basisPoints":1},"reason":""}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"basisPoints":1},"reason":"a\u0000b"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"basisPoints":1},"reason":"x","settleByTime":"2020-01-01T00:00:00Z"}`, "INVALID_REQUEST"},
		{us, "POST " + credits, `{"amount":{"basisPoints":1},"reason":"x","settleByTime":"9999-12-31T23:59:59Z"}`, "INVALID_REQUEST"},
		{"", "POST /v1/credits:settle", `{"settlements":` + many(1001, `{"creditId":"`+missing+`","refusal":"x"}`) + `}`, "INVALID_REQUEST"},
		{"", "POST /v1/credits:settle", `{"settlements":[]}`, "INVALID_REQUEST"},
		{"", "POST /v1/credits:settle", `{"settlements":[{"creditId":"` + missing + `"}]}`, "INVALID_REQUEST"},
		{"", "POST /v1/credits:settle", `{"settlements":[{"creditId":"` + missing + `","refusal":"x","billingReference":"y"}]}`, ""},
		{"", "POST /v1/credits:settle", `{"settlements":{"creditId":"x"}}`, ""},
		{"", "GET /v1/credits?page_size=1001", "", "INVALID_REQUEST"}, {"", "GET /v1/credits?state=CREDIT_STATE_LOST", "", ""}, {"", "GET /v1/credits?order=1", "", ""},
	}
}

// incidentForms are about incidents.
func incidentForms(incident string) []form {
	const us, times = "agent/" + lea, `"fromTime":"2026-03-01T08:00:00Z","settleByTime":"2026-04-01T08:00:00Z"`
	add := incident + "/affectedCustomers:batchAdd"
	affected := func(attributes string) string {
		return `{"customers":[{"customerId":"kim","attributes":{` + attributes + `}}]}`
	}
	return []form{
		{us, "POST " + add, `{"customers":` + many(1001, `{"customerId":"kim"}`) + `}`, "INVALID_REQUEST"},
		{us, "POST " + add, `{"customers":[]}`, "INVALID_REQUEST"},
		{us, "POST " + add, `{"customers":[{"customerId":"kim","credit":1}]}`, "UNKNOWN_FIELD"},
		{us, "POST " + add, affected(`"a":1`), ""},
		{us, "POST " + add, affected(`"a":{}`), ""},
		{us, "POST " + add, affected(`"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1","g":"1","h":"1","i":"1","j":"1","k":"1"`), "INVALID_REQUEST"},
		{us, "POST " + add, affected(`"credit":"1,000,000 EUR"`), "INVALID_REQUEST"},
		{us, "POST " + add, affected(`"__proto__":"1"`), "INVALID_REQUEST"},
		{us, "POST " + add, affected(`"a":"` + strings.Repeat("x", 501) + `"`), "INVALID_REQUEST"},
		{us, "POST /v1/incidents", `{"incident":{"whatHappened":"x",` + times + `,"credit":{"basisPoints":1},"secret":1}}`, "UNKNOWN_FIELD"},
		{us, "POST /v1/incidents", `{"incident":{"whatHappened":"",` + times + `,"credit":{"basisPoints":1}}}`, "INVALID_REQUEST"},
		{us, "POST /v1/incidents", `{"incident":{"whatHappened":"x",` + times + `,"credit":{"basisPoints":1},"text":"{{.Credit}} {credit"}}`, "INVALID_REQUEST"},
		{us, "POST /v1/incidents", `{"incident":{"whatHappened":"x",` + times + `,"credit":{"basisPoints":1},"text":"{credit:%x} {a.b} ${x}"}}`, "INVALID_REQUEST"},
		{us, "POST /v1/incidents", `{"incident":[]}`, ""},
		{us, "PATCH " + incident, `{"state":"INCIDENT_STATE_SENT"}`, ""}, {us, "PATCH " + incident, `{}`, "INVALID_REQUEST"},
		{us, "POST " + incident + ":sendApology", `{"previewToken":""}`, "INVALID_REQUEST"}, {us, "POST " + incident + ":sendApology", `{}`, "INVALID_REQUEST"},
	}
}

// keeperForms are about webhooks, settings, reports and privacy.
func keeperForms(endpoint string) []form {
	return []form{
		{"", "POST /v1/webhookEndpoints", `{"webhookEndpoint":{"uri":"https://hooks.example.com/","secret":"whsec_x"}}`, "UNKNOWN_FIELD"},
		{"", "POST /v1/webhookEndpoints", `{"webhookEndpoint":{"uri":"https://hooks.example.com/","eventKinds":["everything"]}}`, "INVALID_REQUEST"},
		{"", "POST /v1/webhookEndpoints", `{"webhookEndpoint":{"uri":"https://hooks.example.com/","eventKinds":["note_added"]}}`, "INVALID_REQUEST"},
		{"", "POST /v1/webhookEndpoints", `{"webhookEndpoint":{"uri":"https://hooks.example.com/","view":"WEBHOOK_VIEW_PUBLIC","eventKinds":["details_changed"]}}`, "INVALID_REQUEST"},
		{"", "POST /v1/webhookEndpoints", `{"webhookEndpoint":{"uri":["https://hooks.example.com/"]}}`, ""},
		{"", "PATCH " + endpoint, `{"eventKinds":` + many(51, `"x"`) + `}`, "INVALID_REQUEST"},
		{"", "POST " + endpoint + ":replay", `{}`, "INVALID_REQUEST"},
		{"", "POST " + endpoint + ":replay", `{"deliveryIds":` + many(101, `"dlv_00000000000000000000000000"`) + `}`, "INVALID_REQUEST"},
		{"", "POST " + endpoint + ":replay", `{"deliveryIds":["dlv_00000000000000000000000000"],"fromTime":"2026-03-01T08:00:00Z"}`, "INVALID_REQUEST"},
		{"", "POST " + endpoint + ":rotateSecret", `{"expireAfter":"604801s"}`, "INVALID_REQUEST"}, {"", "POST " + endpoint + ":rotateSecret", `{"secret":"whsec_x"}`, "UNKNOWN_FIELD"},
		{"", "PATCH /v1/workspace", `{"keepFor":"3600s"}`, "INVALID_REQUEST"}, {"", "PATCH /v1/workspace", `{"timeZone":"Europe/Atlantis"}`, "INVALID_REQUEST"},
		{"", "PATCH /v1/workspace", `{"timeZone":"../../etc/passwd"}`, "INVALID_REQUEST"}, {"", "PATCH /v1/workspace", `{"currencyCode":"eur"}`, "INVALID_REQUEST"},
		{"", "PATCH /v1/workspace", `{"allowance":{"moneyPerDay":{"currencyCode":"EUR","units":"-5"}}}`, "INVALID_REQUEST"},
		{"", "PATCH /v1/workspace", `{"incidentCeiling":{"money":{"currencyCode":"USD","units":"5"}}}`, "INVALID_REQUEST"},
		{"", "GET /v1/insights/recovery?from_date=2026-02-30", "", "INVALID_REQUEST"}, {"", "GET /v1/insights/recovery?from_date=2026-03-02&to_date=2026-03-01", "", "INVALID_REQUEST"},
		{"", "GET /v1/insights/recovery?from_date=0001-01-01&to_date=9999-12-31", "", "INVALID_REQUEST"}, {"", "GET /v1/customers/kim:export?cursor=x", "", "INVALID_CURSOR"},
		{"", "POST /v1/customers/kim:erase", `{"customerId":"lous"}`, ""},
	}
}

// TestFormsOfAmends sends over REST what is no request: unknown fields, wrong types, and too much of it.
func TestFormsOfAmends(t *testing.T) {
	t.Parallel()
	p := newProduct(t, newHouse(t), "home")
	credits := creditForms("/v1/conversations/"+owned(p, p.cast(caller{}, false)).id+"/credits", credit.missing(p))
	all := slices.Concat(credits, incidentForms("/v1/incidents/"+p.declared()), keeperForms("/v1/webhookEndpoints/"+p.endpoint().id))
	before := p.amends()
	for _, f := range all {
		verb, path, _ := strings.Cut(f.where, " ")
		code, reason, text := p.as(f.who, verb, path, f.what)
		if code/100 != 4 || reason == "" || f.why != "" && reason != f.why {
			t.Errorf("%s %.120s: got HTTP %d %.300s, want it refused %s", f.where, f.what, code, text, f.why)
		}
		if strings.Contains(text, "support.") || strings.Contains(text, ".go:") {
			t.Errorf("%s: the error tells of what is inside: %s", f.where, text)
		}
	}
	if after := p.amends(); after != before {
		t.Errorf("what is no request changed something: got %s, want %s", after, before)
	}
}
