package doors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// What is planted. Texts, names, ids, addresses and headers all hold the canary; people's ids are e-mail addresses, which
// some products use, so that no person's id may be told to anybody but who may see the person.
const (
	canary   = "canary"
	guest    = "canary.guest@example.com"
	mate     = "canary.mate@example.com"
	chief    = "canary.chief@example.com"
	sentFrom = "203.0.113.77"
	// within is in an error that the store made, or a panic: the server's own log has it whole, and nobody else.
	within = "innermost"
)

// plants are what stands in texts and the like, by the name of the field; a number is added where it must be another each
// time.
var plants = map[string]string{
	"text": "canary text", "brief": "canary brief", "done": "canary done", "made_right": "canary right", "comment": "canary comment", "failure": "canary failure",
	"subject": "canary subject", "reason": "canary reason", "brand_voice": "canary voice", "display_name": "Canary", "avatar_uri": "https://canary.example.com/a.png",
	"request_id": "canary-request-", "what_happened": "canary happened", "what_we_did": "canary did", "nothing_to_do": "canary nothing", "description": "canary description",
	"billing_reference": "canary bill", "refusal": "canary refusal", "uri": "https://canary.example.com/hook?canary=canary",
}

// plant puts canaries into a request, wherever something can be written.
func (p *product) plant(req proto.Message) proto.Message {
	m := req.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		word, there := plants[string(f.Name())]
		switch {
		case f.ContainingOneof() != nil && !m.Has(f):
		case there && f.Kind() == protoreflect.StringKind:
			if strings.HasSuffix(word, "-") {
				word = p.fresh(word)
			}
			m.Set(f, protoreflect.ValueOfString(word))
		case f.Name() == "attachments":
			file := &goodshipv1.Attachment{Uri: "https://canary.example.com/f", MediaType: "image/canary", FileName: "canary.png"}
			m.Mutable(f).List().Append(protoreflect.ValueOfMessage(file.ProtoReflect()))
		case f.Name() == "context":
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("canary-key").MapKey(), protoreflect.ValueOfString("canary value"))
		case f.Name() == "attributes":
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("canary_key").MapKey(), protoreflect.ValueOfString("canary value"))
		case f.IsList() && f.Message() != nil:
			for i := range m.Get(f).List().Len() {
				p.plant(m.Get(f).List().Get(i).Message().Interface())
			}
		case f.Message() != nil && !f.IsMap() && !f.IsList() && m.Has(f):
			p.plant(m.Mutable(f).Message().Interface())
		}
	}
	return req
}

// headers are what callers, browsers and proxies send beside a call.
var headers = []string{
	"X-Forwarded-For", sentFrom + ", canary", "User-Agent", "canary/1.0", "Cookie", "session=canary", "Referer", "https://canary.example.com/?q=canary",
	"X-Request-Id", "canary", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "canary=canary", "Baggage", "canary=canary",
	"X-Canary", "canary", "Forwarded", "for=" + sentFrom,
}

// flock is who calls with canaries.
type flock struct {
	*product
	callers []caller
	// secrets are credentials, beside canaries not to be found anywhere.
	secrets []string
	// held counts the calls that succeeded, by method.
	held map[string]int
}

// newFlock puts people with such ids into a product.
func newFlock(p *product) *flock {
	p.t.Helper()
	p.employ(mate, goodshipv1.Role_ROLE_AGENT)
	p.employ(chief, goodshipv1.Role_ROLE_LEADER)
	p.knows(guest)
	hs, ed := p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, false), p.newSigner(goodshipv1.TokenKind_TOKEN_KIND_LEADER, true)
	visitor := p.newSession(p.page, "")
	f := &flock{product: p, held: map[string]int{}, callers: []caller{
		{name: "backend", kind: backends, credential: p.backend(), scopes: scopes},
		{name: "agent", kind: agents, person: mate, credential: bearer(p.newToken(&goodshipv1.CreateTokenRequest{AgentId: mate}))},
		{name: "leader", kind: leaders, person: chief, credential: bearer(ed.token(chief))},
		{name: "customer", kind: customers, person: guest, credential: bearer(hs.token(guest))},
		{name: "customer of a backend", kind: customers, person: guest, credential: p.customer(guest)},
		{name: "visitor", kind: visitors, person: visitor.VisitorId, credential: bearer(visitor.Token)},
		{name: "widget", kind: widgets, credential: bearer(p.page)},
		{name: "operator", kind: operators, at: adminTCP, credential: credential{p.OperatorKey, "workspace/" + p.workspace}},
		// And who is refused.
		{name: "nobody"}, {name: "somebody with a bad key", credential: bearer("gsk_canary")}, {name: "somebody with a bad token", credential: bearer("gtk_canary")},
		{name: "somebody with a forged JWT", credential: bearer(hs.token(guest, headed("kid", "canary"), claimed("name", "canary")))},
		{name: "somebody with an unsigned JWT", credential: bearer(signer{p.t, hs.id, hs.aud, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, p.clock.Now}.token(guest))},
		{name: "an unknown agent", credential: p.agent("canary.nobody@example.com")}, {name: "somebody strange", credential: credential{p.key, "canary/canary"}},
	}}
	for _, c := range f.callers {
		if len(c.token) > 20 {
			f.secrets = append(f.secrets, c.token)
		}
	}
	f.secrets = append(f.secrets, string(hs.key.([]byte)), visitor.RenewalToken)
	return f
}

// object makes what a caller's call of a row is about.
func (f *flock) object(r row, c caller) object {
	f.t.Helper()
	if r.of.absent != conversation.absent {
		if r.of.made == nil {
			return object{}
		}
		return r.of.made(f.product, r, c, false)
	}
	who := f.cast(c, false)
	who.colleague = ben
	if !c.isCustomer() {
		who.customer = f.customer(guest)
	}
	if !c.isAgent() {
		who.agent = f.agent(mate)
	}
	if c.kind != backends && !c.isCustomer() {
		who.speaker = who.agent
	}
	return r.in(f.product, who)
}

// everyCall calls every method as everybody, with canaries, over gRPC and REST.
func (f *flock) everyCall() {
	f.t.Helper()
	for name, r := range table {
		for _, c := range f.callers {
			if m := named(r.call(c, object{})); !c.at.serves(m) || f.doors[c.at] == nil {
				continue
			}
			o := object{id: conversation.missing(nil)}
			if r.door(c) == ok && c.kind != 0 {
				o = f.object(r, c)
			}
			req := f.plant(r.call(c, o))
			for transport, a := range f.sends(c, req) {
				f.tellsNothing(fmt.Sprintf("%s as %s over %s", name, c.name, transport), c, req, a)
				if a.status == nil {
					f.held[named(req).name]++
					f.keeps(named(req).name, a)
					if r.after != nil {
						r.after(f.product, a)
					}
				}
			}
		}
	}
}

// keeps takes in the secret of a reply: no other may show one.
func (f *flock) keeps(name string, a answer) {
	f.t.Helper()
	shows, _ := a.reply.(interface{ GetSecret() string })
	switch {
	case shows != nil && strings.HasPrefix(shows.GetSecret(), "whsec_"):
		f.secrets = append(f.secrets, shows.GetSecret())
	case strings.Contains(a.text(), "whsec_"):
		f.t.Errorf("%s shows a secret of webhooks: %s", name, a.text())
	}
}

// hooks makes endpoints that are told of all that happens: two that take it, by view, one that redirects and one that refuses, with
// canaries in their replies. What it returns waits until all four were tried, and ends them.
func (f *flock) hooks() (end func()) {
	f.t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://canary.example.com/elsewhere")
		w.Header().Set("X-Canary", canary)
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "canary reply")
	}))
	f.t.Cleanup(s.Close)
	ids := map[string]string{}
	for _, code := range []string{"200", "201", "302", "500"} {
		req := &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: s.URL + "/canary?canary=canary&code=" + code, Description: canary}}
		if code == "201" {
			req.WebhookEndpoint.View = goodshipv1.WebhookView_WEBHOOK_VIEW_FULL
		}
		made := f.do(f.backend(), req).(*goodshipv1.CreateWebhookEndpointResponse)
		ids[code], f.secrets = made.WebhookEndpoint.Id, append(f.secrets, made.Secret)
	}
	return func() {
		f.t.Helper()
		for code, id := range ids {
			if d := f.tried(id); strconv.Itoa(int(d.GetStatusCode())) != code || strings.Contains(answer{reply: d}.text(), canary) {
				f.t.Errorf("the endpoint that says %s: got the delivery %v", code, d)
			}
			f.do(f.backend(), &goodshipv1.DeleteWebhookEndpointRequest{WebhookEndpointId: id})
		}
	}
}

// watchAll watches all that happens, over gRPC and REST. What it returns ends that, and returns what each was told.
func (f *flock) watchAll() (told func() map[string]string) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	all := map[string]*strings.Builder{}
	var group sync.WaitGroup
	for _, req := range []proto.Message{mine(""), desk("")} {
		c := f.customer(guest)
		if named(req).name == "WatchDesk" {
			c = f.agent(mate)
		}
		for _, w := range f.open(ctx, c, req) {
			text := &strings.Builder{}
			all[w.name] = text
			group.Go(func() {
				for u, err := w.next(); err == nil; u, err = w.next() {
					text.WriteString(answer{reply: u}.text())
				}
			})
		}
	}
	return func() map[string]string {
		cancel()
		group.Wait()
		texts := map[string]string{}
		for watch, text := range all {
			texts[watch] = text.String()
		}
		return texts
	}
}

// sends makes a call in every way there is, with all headers.
func (f *flock) sends(c caller, req proto.Message) map[string]answer {
	f.t.Helper()
	ctx := f.t.Context()
	for i := 0; i+1 < len(headers); i += 2 {
		if name := strings.ToLower(headers[i]); name != "user-agent" {
			ctx = metadata.AppendToOutgoingContext(ctx, name, headers[i+1])
		}
	}
	all := map[string]answer{"gRPC": overGRPC(ctx, f.doors[c.at], c.credential, req)}
	if len(transports(c, named(req))) == 1 {
		return all
	}
	if again := req.ProtoReflect().Descriptor().Fields().ByName("request_id"); again != nil {
		req = proto.Clone(req)
		req.ProtoReflect().Set(again, protoreflect.ValueOfString(f.fresh("canary-request-")))
	}
	a, err := overREST(f.t.Context(), f.http, f.REST, c.credential, req, headers...)
	if err != nil {
		f.t.Errorf("%s over REST: %v", named(req).name, err)
	}
	all["REST"] = a
	return all
}

// tellsNothing checks that an error holds no credential, no text, and of ids only what the caller sent, or may see.
func (f *flock) tellsNothing(what string, c caller, req proto.Message, a answer) {
	f.t.Helper()
	if a.status == nil {
		return
	}
	text := strings.ToLower(a.text())
	for _, s := range append([]string{sentFrom, within}, f.secrets...) {
		if strings.Contains(text, strings.ToLower(s)) {
			f.t.Errorf("%s: the error holds %.12s…: %s", what, s, text)
		}
	}
	sent := strings.ToLower(answer{reply: req}.text() + c.actFor + c.person)
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \"{}[],:/`\\", r) }) {
		if strings.Contains(word, canary) && !strings.Contains(sent, strings.Trim(word, ".")) && (c.isCustomer() || !strings.Contains(word, "@")) {
			f.t.Errorf("%s: the error holds %q: %s", what, word, text)
		}
	}
}

// badCalls are what is refused before it is a call, with canaries wherever something can be written.
func (f *flock) badCalls() {
	f.t.Helper()
	s := f.As(f.key)
	for _, call := range [][3]string{
		{"GET", "/v1/canary", ""}, {"GET", "/canary?canary=" + guest, ""}, {"CANARY", "/v1/conversations", ""}, {"GET", "/v1/conversations?customer_id=canary%20x", ""},
		{"GET", "/v1/conversations?email=" + guest, ""}, {"GET", "/v1/conversations/canary", ""}, {"GET", "/v1/customers/" + guest + "?token=canary", ""},
		{"GET", "/v1/customers/canary.unknown@example.com", ""}, {"GET", "/v1/conversations?page_token=canary", ""}, {"DELETE", "/v1/customers/" + guest, ""},
		{"POST", "/v1/conversations", `{"canary":"canary"}`}, {"POST", "/v1/conversations", `{"text":{"canary":1}}`}, {"POST", "/v1/conversations", `canary`},
		{"POST", "/v1/conversations", `{"text":"` + strings.Repeat(canary, 50_000) + `"}`}, {"POST", "/v1/conversations/canary:canary", `{}`},
		{"PUT", "/v1/agents/canary%20canary", `{"displayName":"canary"}`}, {"PATCH", "/v1/workspace?update_mask=canary", `{"canary":1}`},
	} {
		s.Do("customer/"+guest, call[0], call[1], call[2], headers...)
		s.Do("", call[0], call[1], call[2], append([]string{"Idempotency-Key", "canary\tcanary", "If-Match", "canary canary"}, headers...)...)
		s.Do("", call[0], call[1], call[2], "Content-Type", "canary/canary", "Authorization", "Canary canary")
	}
	for _, raw := range []string{"GET /canary HTTP/1.1\r\ncanary\r\n\r\n", "canary", "CANARY /canary canary\r\n\r\n", "GET / HTTP/1.1\r\nHost: canary\r\nX-Canary: " + strings.Repeat(canary, 10_000) + "\r\n\r\n"} {
		for _, at := range []string{f.GRPC, strings.TrimPrefix(f.REST, "http://"), strings.TrimPrefix(f.Admin, "http://")} {
			f.send("tcp", at, []byte(raw))
		}
	}
	ctx := metadata.AppendToOutgoingContext(f.t.Context(), "x-canary", canary, "authorization", "Bearer canary")
	for _, name := range []string{"/canary/canary", "/goodship.v1.AdminService/canary", "/grpc.health.v1.Health/canary"} {
		_ = f.conn.Invoke(ctx, name, &goodshipv1.GetWorkspaceRequest{}, &goodshipv1.Workspace{})
	}
	resp, err := f.http.Get(f.Admin + "/canary?canary=canary")
	if err == nil {
		_ = resp.Body.Close()
	}
}

// sickStore is a store that fails, or panics, in every read and every unit once it is told how.
type sickStore struct {
	store.Store
	how *atomic.Pointer[func() error]
}

func (s sickStore) sick() error {
	if how := s.how.Load(); how != nil {
		return (*how)()
	}
	return nil
}

// Update fails before the unit, and, panicking, inside it.
func (s sickStore) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	return s.Store.Update(ctx, workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		if err := s.sick(); err != nil {
			return nil, err
		}
		return fn(tx)
	})
}

// Conversation fails as it is told to; so do the following.
func (s sickStore) Conversation(ctx context.Context, workspace, id string) (*storev1.Head, error) {
	if err := s.sick(); err != nil {
		return nil, err
	}
	return s.Store.Conversation(ctx, workspace, id)
}

func (s sickStore) Workspace(ctx context.Context, id string) (*storev1.WorkspaceRecord, error) {
	if err := s.sick(); err != nil {
		return nil, err
	}
	return s.Store.Workspace(ctx, id)
}

func (s sickStore) Customer(ctx context.Context, workspace, id string) (*storev1.CustomerRecord, error) {
	if err := s.sick(); err != nil {
		return nil, err
	}
	return s.Store.Customer(ctx, workspace, id)
}

func (s sickStore) List(ctx context.Context, workspace string, q store.Query, after *store.Position, limit int) ([]*storev1.Head, *store.Position, error) {
	if err := s.sick(); err != nil {
		return nil, nil, err
	}
	return s.Store.List(ctx, workspace, q, after, limit)
}

// sicknesses are the ways to fail.
var sicknesses = map[string]func() error{
	"an unknown error":  func() error { return errors.New(within) },
	"no room":           func() error { return fmt.Errorf("%s: %w", within, store.ErrFull) },
	"damage":            func() error { return fmt.Errorf("%s: %w", within, store.ErrDataLoss) },
	"nobody home":       func() error { return fmt.Errorf("%s: %w", within, store.ErrUnavailable) },
	"a panic":           func() error { panic(within) },
	"a panic with data": func() error { panic(fmt.Errorf("%s %v", within, []any{1, "x"})) },
	"a cancelled call":  func() error { return fmt.Errorf("%s: %w", within, context.Canceled) },
}

// sickCalls calls every method of a server whose store fails.
func sickCalls(t *testing.T, w *watch) (secrets []string) {
	t.Helper()
	how := &atomic.Pointer[func() error]{}
	config := func(c *rpc.Config) {
		w.config(c)
		c.Limits = rpc.DefaultLimits()
		c.Limits.RatePerWorkspace, c.Limits.RatePerCaller, c.Limits.RatePerAddress, c.Limits.SessionsPerAddress = -1, -1, -1, -1
	}
	b := newBareHouse(t, inside{config: config, store: func(s store.Store) store.Store { return sickStore{s, how} }})
	h := &house{Server: &servertest.Server{GRPC: b.grpc, REST: b.rest, Admin: b.admin, OperatorKey: "gok_bare"}, clock: faketime.At(time.Now()), http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(h.http.CloseIdleConnections)
	h.conn = dial(t, b.grpc)
	h.doors = map[listener]*grpc.ClientConn{public: h.conn}
	f := newFlock(populate(t, h, "canary-product", b.workspace, b.key))
	type call struct {
		caller
		req proto.Message
	}
	calls := map[string]call{}
	for name, r := range table {
		may := func(c caller) bool { return c.at == public && c.kind != 0 && r.door(c) == ok }
		if i := slices.IndexFunc(f.callers, may); i >= 0 {
			calls[name] = call{f.callers[i], f.plant(r.call(f.callers[i], f.object(r, f.callers[i])))}
		}
	}
	for what, sickness := range sicknesses {
		how.Store(&sickness)
		for name, call := range calls {
			for transport, a := range f.sends(call.caller, call.req) {
				f.tellsNothing(fmt.Sprintf("%s in %s over %s", what, name, transport), call.caller, call.req, a)
			}
		}
	}
	how.Store(nil)
	return f.secrets
}

// TestCanaries plants canaries in whatever callers can write, in every method, refused and failing calls among them, and
// looks for them in all that a server tells: its log, its traces and metrics, and errors to others.
func TestCanaries(t *testing.T) {
	for name, variables := range map[string][]string{
		"OTLP": {"OTEL_PROPAGATORS=tracecontext,baggage"}, "Prometheus": {"OTEL_METRICS_EXPORTER=prometheus"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, variables...)
			f := newFlock(newProduct(t, newHouse(t, append(w.options(), withWebhooks(nil))...), "canary-product"))
			updates, hooked := f.watchAll(), f.hooks()
			f.everyCall()
			f.badCalls()
			hooked()
			for watch, text := range updates() {
				if !strings.Contains(text, plants["text"]) {
					t.Errorf("%s told no canary, so nothing is known of it: %s", watch, text)
				}
			}
			for method := range methods() {
				if f.held[method] == 0 {
					t.Errorf("no call of %s succeeded, so nothing is known of it", method)
				}
			}
			secrets := append(sickCalls(t, w), f.secrets...)
			seen := w.seen(f.Admin)
			for _, where := range slices.Sorted(maps.Keys(seen)) {
				told(t, where, seen[where], secrets)
			}
			alive(t, seen, name == "Prometheus")
		})
	}
}

// told checks what was told somewhere.
func told(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	words := append([]string{canary, "example.com", sentFrom, "127.0.0.1:"}, secrets...)
	if !strings.HasPrefix(where, "log as") {
		words = append(words, within, "127.0.0.1")
	}
	lower := strings.ToLower(text)
	for _, word := range words {
		if at := strings.Index(lower, strings.ToLower(word)); at >= 0 {
			t.Errorf("the %s hold %.20q: …%s…", where, word, text[max(0, at-300):min(len(text), at+200)])
		}
	}
}

// alive checks that what was looked at was told at all.
func alive(t *testing.T, seen map[string]string, prometheus bool) {
	t.Helper()
	want := map[string]string{"spans": "GET /v1/desk:watch", "log records": "a call failed", "log as text": within, "log as JSON": "a call panicked"}
	if !prometheus {
		want["metrics"] = "goodship.wait.duration"
	}
	for where, word := range want {
		if !strings.Contains(seen[where], word) {
			t.Errorf("the %s lack %q, so that nothing is known of them", where, word)
		}
	}
	if !prometheus {
		return
	}
	for where, text := range seen {
		if strings.HasPrefix(where, "metrics as") && !strings.Contains(text, "goodship_wait_duration") {
			t.Errorf("the %s lack how long customers waited", where)
		}
	}
}
