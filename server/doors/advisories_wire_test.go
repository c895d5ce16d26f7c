package doors_test

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// goldenCustomerView are all fields that customers are shown.
//
//go:embed testdata/customer_view.txt
var goldenCustomerView string

// nothingIsFetched sends URIs that lead to a listener of this test, in every field that takes one.
func nothingIsFetched(p *product) {
	trap, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = trap.Close() }()
	uri := "https://" + trap.Addr().String() + "/fetched"
	id := owned(p, p.cast(caller{}, false)).id
	files := []*goodshipv1.Attachment{{Uri: uri, MediaType: "text/html"}}
	persona := &goodshipv1.Persona{DisplayName: "Captain", AvatarUri: uri}
	settings := func(w *goodshipv1.Workspace, path string) proto.Message {
		return &goodshipv1.UpdateWorkspaceRequest{Workspace: w, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}}
	}
	page := &goodshipv1.ContactPoint{Kind: goodshipv1.ContactKind_CONTACT_KIND_PAGE, Value: uri}
	tried := map[string]func(){
		"CreateConversation: attachments.uri": func() { p.do(p.customer(kim), &goodshipv1.CreateConversationRequest{Text: uri, Attachments: files}) },
		"SendMessage: attachments.uri": func() {
			p.do(p.customer(kim), &goodshipv1.SendMessageRequest{ConversationId: id, Text: uri, Attachments: files})
		},
		"SetPersona: persona.avatar_uri": func() {
			p.do(p.customer(kim), &goodshipv1.SetPersonaRequest{ConversationId: id, Persona: persona})
		},
		"UpsertAgent: agent.avatar_uri": func() {
			p.do(p.backend(), &goodshipv1.UpsertAgentRequest{AgentId: "castaway", Agent: &goodshipv1.Agent{DisplayName: "Castaway", AvatarUri: uri}})
		},
		"UpdateWorkspace: workspace.contact_points.value": func() {
			p.do(p.backend(), settings(&goodshipv1.Workspace{ContactPoints: []*goodshipv1.ContactPoint{page}}, "contact_points"))
		},
		"CreateWebhookEndpoint: webhook_endpoint.uri": func() {
			p.gets(p.backend(), &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: uri}}, "InvalidArgument INVALID_REQUEST")
		},
		"UpdateWebhookEndpoint: webhook_endpoint.uri": func() {
			p.gets(p.backend(), &goodshipv1.UpdateWebhookEndpointRequest{
				WebhookEndpointId: p.endpoint().id, WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: uri}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"uri"}},
			}, "InvalidArgument INVALID_REQUEST")
		},
		"UpdateWorkspace: workspace.allowed_origins": func() {
			p.do(p.backend(), settings(&goodshipv1.Workspace{AllowedOrigins: []string{strings.TrimSuffix(uri, "/fetched")}}, "allowed_origins"))
		},
	}
	fields := fieldsWhere(func(f protoreflect.FieldDescriptor) bool {
		name := string(f.Name())
		return !outputOnly(f) && (strings.Contains(name, "uri") || strings.Contains(name, "url") || strings.Contains(name, "origin") ||
			f.Parent().Name() == "ContactPoint" && name == "value")
	})
	for _, f := range fields {
		if tried[f] == nil {
			p.t.Errorf("nobody tries a URI in %s", f)
			continue
		}
		tried[f]()
	}
	if len(fields) != len(tried) {
		p.t.Errorf("got the fields %v, want those that are tried", fields)
	}
	// Whoever had dialled would be first in the queue.
	const mark = "it is me"
	conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", trap.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, mark+"\n"); err != nil {
		p.t.Fatal(err)
	}
	first, err := trap.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	if got, err := bufio.NewReader(first).ReadString('\n'); err != nil || got != mark+"\n" {
		p.t.Errorf("somebody fetched: %q %v", got, err)
	}
}

// as calls REST for a customer.
func (p *product) as(actFor, method, path, body string) (code int, reason, text string) {
	p.t.Helper()
	reply := p.As(p.key).Do(actFor, method, path, body)
	var status struct{ Details []struct{ Reason string } }
	_ = json.Unmarshal([]byte(reply.Body), &status)
	for _, d := range status.Details {
		reason += d.Reason
	}
	return reply.Code, reason, reply.Body
}

// operatorsAreNoText sends objects, lists and queries of databases where texts are meant.
func operatorsAreNoText(p *product) {
	id := waiting(p, p.cast(caller{}, false)).id
	for _, value := range []string{`{"$ne":null}`, `{"$gt":""}`, `["a"]`, `{"$where":"sleep(1000)"}`, `1`, `true`, `{}`} {
		for _, field := range []string{"text", "subject", "externalId", "requestId"} {
			code, reason, text := p.as("customer/"+kim, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"text":"Aye",%q:%s}`, field, value))
			if field == "text" {
				code, reason, text = p.as("customer/"+kim, http.MethodPost, "/v1/conversations/"+id+"/messages", fmt.Sprintf(`{%q:%s}`, field, value))
			}
			if code != http.StatusBadRequest || reason == "" {
				p.t.Errorf("%s as %s: got HTTP %d %s, want it refused with a reason", value, field, code, text)
			}
		}
	}
	for _, query := range []string{"state[$ne]=1", "external_id[$ne]=x", "external_id.$gt=", "$where=1", "state=1;drop", "page_size[]=1"} {
		if code, reason, text := p.as("agent/"+ada, http.MethodGet, "/v1/conversations?"+query, ""); code != http.StatusBadRequest || reason == "" {
			p.t.Errorf("?%s: got HTTP %d %s, want it refused with a reason", query, code, text)
		}
	}
}

// hostile are texts that mean something to somebody who interprets them.
var hostile = []string{
	`' OR '1'='1`, `'; DROP TABLE conversations; --`, `" OR ""="`, `1) UNION SELECT * FROM keys --`, `%`, `_`, `*`, `.*`, `\`, `${jndi:ldap://x}`, `{{7*7}}`, `<script>alert(1)</script>`,
	`$(id)`, "`id`", `../../etc/passwd`, "a' AND SLEEP(5) --",
}

// filtersAreCompared lists with each of them in each filter: nothing has them, so nothing is listed; and what is stored with
// them reads as it was written.
func filtersAreCompared(p *product) {
	waiting(p, p.cast(caller{}, false))
	us := p.agent(ada)
	for _, text := range hostile {
		p.listsNone(us, &goodshipv1.ListConversationsRequest{Label: text})
		p.gets(us, &goodshipv1.ListConversationsRequest{PageToken: text}, "InvalidArgument INVALID_PAGE_TOKEN")
		for _, req := range []proto.Message{ // what may not even stand there
			&goodshipv1.ListConversationsRequest{ExternalId: text}, &goodshipv1.ListConversationsRequest{OwnerId: text}, &goodshipv1.GetConversationRequest{ConversationId: text},
		} {
			for transport, a := range p.ask(caller{credential: us}, req) {
				if list, _ := a.reply.(*goodshipv1.ListConversationsResponse); a.status == nil && len(list.GetConversations()) > 0 || a.reply != nil && list == nil {
					p.t.Errorf("%v over %s: got %s, want nothing", req, transport, a.text())
				}
			}
		}
		made := p.do(p.customer(kim), &goodshipv1.CreateConversationRequest{Text: text, Subject: text}).(*goodshipv1.Conversation)
		p.do(us, &goodshipv1.UpdateConversationRequest{
			ConversationId: made.Id, Conversation: &goodshipv1.ConversationUpdate{Labels: []string{text}}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
		})
		found := p.do(us, &goodshipv1.ListConversationsRequest{Label: text}).(*goodshipv1.ListConversationsResponse).Conversations
		if len(found) != 1 || found[0].Id != made.Id || found[0].Subject != text {
			p.t.Errorf("label %q: got %v, want the one that has it", text, found)
		}
		said := p.do(p.customer(kim), &goodshipv1.GetMessageRequest{ConversationId: made.Id, Number: 1}).(*goodshipv1.Message)
		if said.Text != text {
			p.t.Errorf("got the text %q, want %q", said.Text, text)
		}
	}
}

// refusesURIs are what stands where an https URI belongs.
var badURIs = []string{
	"http://example.com/a.svg", "data:image/svg+xml,<svg onload=alert(1)>", "javascript:alert(1)", "file:///etc/passwd", "//example.com/a", "https:example.com",
	"HTTPS://example.com/a", " https://example.com/a", "https://exa mple.com/", "ftp://example.com/a", "blob:https://example.com/1", "/a.svg", "https://example.com/\"onload=alert(1)",
}

func avatarsAreHTTPS(p *product) {
	id := waiting(p, p.cast(caller{}, false)).id
	for _, uri := range badURIs {
		p.gets(p.backend(), &goodshipv1.UpsertAgentRequest{AgentId: ben, Agent: &goodshipv1.Agent{DisplayName: "Ben", AvatarUri: uri}}, "InvalidArgument INVALID_REQUEST")
		p.gets(p.customer(kim), &goodshipv1.SetPersonaRequest{
			ConversationId: id, Persona: &goodshipv1.Persona{DisplayName: "Kim", AvatarUri: uri},
		}, "InvalidArgument INVALID_REQUEST")
		p.gets(p.customer(kim), &goodshipv1.SendMessageRequest{
			ConversationId: id, Attachments: []*goodshipv1.Attachment{{Uri: uri, MediaType: "image/png"}},
		}, "InvalidArgument INVALID_REQUEST")
	}
}

func mediaTypesArePlain(p *product) {
	id := waiting(p, p.cast(caller{}, false)).id
	for _, media := range []string{
		"image/svg+xml; x", "image/svg+xml;charset=utf-8", "Image/SVG+XML", " image/png", "image/png ", "image", "image/", "/png", "image/png,text/html", "image/png\ntext/html",
		"*/*", "image/*", "", "text/html;", strings.Repeat("a", 60) + "/" + strings.Repeat("b", 60),
	} {
		p.gets(p.customer(kim), &goodshipv1.SendMessageRequest{
			ConversationId: id, Attachments: []*goodshipv1.Attachment{{Uri: "https://files.example.com/1", MediaType: media}},
		}, "InvalidArgument INVALID_REQUEST")
	}
	for _, name := range []string{"../../x", "a/b", `a\b`, "a\x00b", "a\r\nContent-Type: text/html", "a\x7f"} {
		p.gets(p.customer(kim), &goodshipv1.SendMessageRequest{
			ConversationId: id, Attachments: []*goodshipv1.Attachment{{Uri: "https://files.example.com/1", MediaType: "image/png", FileName: name}},
		}, "InvalidArgument INVALID_REQUEST")
	}
}

// everythingIsJSON looks at the headers of whatever REST answers.
func everythingIsJSON(p *product) {
	id := p.do(p.customer(kim), &goodshipv1.CreateConversationRequest{
		Text: "<script>alert(1)</script>", Attachments: []*goodshipv1.Attachment{{Uri: "https://files.example.com/1", MediaType: "text/html", FileName: "a.html"}},
	}).(*goodshipv1.Conversation).Id
	for _, path := range []string{
		"/v1/conversations", "/v1/conversations/" + id + "/messages", "/v1/conversations/" + id + "/messages/1", "/v1/workspace", "/", "/x.html", "/v1/conversations/%3Csvg%3E",
		"/v1/conversations?a=<script>", "/v1/../etc/passwd", "/favicon.ico",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodDelete} {
			reply := p.As(p.key).Do("customer/"+kim, method, path, "", "Accept", "text/html")
			if reply.Body == "" {
				continue
			}
			h := reply.Header
			if h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || !json.Valid([]byte(reply.Body)) {
				p.t.Errorf("%s %s: got HTTP %d with %v: %s, want JSON that says so, with nosniff, not to be kept", method, path, reply.Code, h, reply.Body)
			}
		}
	}
}

// outputOnlyIsIgnored sends what only the server sets, in every resource that a request holds.
func outputOnlyIsIgnored(p *product) {
	then := timestamppb.New(p.clock.Now().Add(-time.Hour))
	p.do(p.backend(), &goodshipv1.UpsertAgentRequest{AgentId: ben, Agent: &goodshipv1.Agent{
		Id: ada, DisplayName: "Mate", DisableTime: then, CreateTime: then, UpdateTime: then, AvailableUntilTime: then, Etag: "99",
	}})
	if a := p.do(p.backend(), &goodshipv1.GetAgentRequest{AgentId: ben}).(*goodshipv1.Agent); a.Id != ben || a.DisableTime != nil || a.AvailableUntilTime != nil ||
		!a.CreateTime.AsTime().After(then.AsTime()) || a.Etag == "99" {
		p.t.Errorf("an agent took what only the server sets: %v", a)
	}
	p.do(p.backend(), &goodshipv1.UpsertCustomerRequest{CustomerId: kim, Customer: &goodshipv1.Customer{
		Id: lou, DisplayName: "Kim", Block: &goodshipv1.Block{Reason: "None", BlockTime: then}, CreateTime: then, Etag: "99",
	}})
	if c := p.do(p.backend(), &goodshipv1.GetCustomerRequest{CustomerId: kim}).(*goodshipv1.Customer); c.Id != kim || c.Block != nil || c.Etag == "99" || !c.CreateTime.AsTime().After(then.AsTime()) {
		p.t.Errorf("a customer took what only the server sets: %v", c)
	}
	for _, path := range []string{"id", "etag", "create_time", "update_time", "*", "id.x", "Id", "allowed_origins.0"} {
		req := &goodshipv1.UpdateWorkspaceRequest{Workspace: &goodshipv1.Workspace{Id: "work_" + strings.Repeat("0", 26)}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}}
		p.expect("the mask "+path, overGRPC(p.t.Context(), p.conn, p.backend(), req), "InvalidArgument INVALID_REQUEST")
	}
	for _, body := range []string{`{"text":"Aye","ownerId":"ada"}`, `{"text":"Aye","state":"STATE_RESOLVED"}`, `{"text":"Aye","id":"conv_1"}`, `{"text":"Aye","__proto__":{}}`} {
		if code, reason, text := p.as("customer/"+kim, http.MethodPost, "/v1/conversations", body); code != http.StatusBadRequest || reason != "UNKNOWN_FIELD" {
			p.t.Errorf("%s: got HTTP %d %s, want UNKNOWN_FIELD", body, code, text)
		}
	}
	rated := proposed(p, p.cast(caller{}, false))
	p.do(p.customer(kim), &goodshipv1.RateConversationRequest{ConversationId: rated.id, Rating: &goodshipv1.Rating{Solved: proto.Bool(true), CreateTime: then, UpdateTime: then}})
	if r := p.do(p.customer(kim), &goodshipv1.GetResolutionRequest{ConversationId: rated.id, Number: 1}).(*goodshipv1.Resolution).Rating; r.UpdateTime != nil || !r.CreateTime.AsTime().After(then.AsTime()) {
		p.t.Errorf("a rating took what only the server sets: %v", r)
	}
	outputOnlyOfAmends(p)
}

// rawBytes are what is no call.
func rawBytes() [][]byte {
	random := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	const preface = http2.ClientPreface
	return [][]byte{
		random, {0}, []byte("\r\n\r\n"), []byte("GET\r\n\r\n"), []byte("GET / HTTP/9.9\r\n\r\n"), []byte("POST /v1/conversations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{"),
		[]byte("POST /v1/conversations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\n"),
		[]byte(preface), []byte(preface + string(random)), []byte(preface[:10]), []byte(preface + "\x00\xff\xff\x00\x00\x00\x00\x00\x00"),
		[]byte(preface + "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x00"), // a reset of what was not begun
		[]byte(preface + "\x00\x00\x01\x06\x00\x00\x00\x00\x00x"),                // a ping of a wrong size
		[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),                   // the beginning of TLS
	}
}

// rawBytesStopNothing sends them to every listener, and JSON that is none, and calls again.
func rawBytesStopNothing(p *product) {
	for network, address := range map[string]string{
		p.GRPC: "tcp", strings.TrimPrefix(p.REST, "http://"): "tcp", strings.TrimPrefix(p.Admin, "http://"): "tcp", strings.TrimPrefix(p.doors[socket].Target(), "unix:"): "unix",
	} {
		for _, raw := range rawBytes() {
			p.send(address, network, raw)
		}
	}
	for _, body := range []string{
		"[", "{", `{"text":`, `"text"`, "null", "[]", "1e999", `{"text":"\ud800"}`, "{\"text\":\"\x00\"}", "\xff\xfe", strings.Repeat("[", 50_000), strings.Repeat(`{"a":`, 20_000),
		`{"context":` + strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_001), `{"text":"a"}{"text":"b"}`, `{"text":"a","text":"b"}`,
	} {
		if code, _, text := p.as("customer/"+kim, http.MethodPost, "/v1/conversations", body); code != http.StatusBadRequest {
			p.t.Errorf("the body %.30q: got HTTP %d %s, want 400", body, code, text)
		}
	}
	p.gets(p.customer(kim), &goodshipv1.ListConversationsRequest{}, ok)
	for _, at := range []listener{socket, adminTCP} {
		p.expect("an operator", p.over("gRPC", caller{at: at, credential: credential{p.OperatorKey, "workspace/" + p.workspace}}, &goodshipv1.GetWorkspaceRequest{}), ok)
	}
}

// send writes raw bytes to a listener and reads until it hangs up, or has said something.
func (p *product) send(network, address string, raw []byte) {
	p.t.Helper()
	conn, err := new(net.Dialer).DialContext(p.t.Context(), network, address)
	if err != nil {
		p.t.Errorf("dial %s: %v", address, err)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write(raw) // it may hang up at the first byte
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = conn.Read(make([]byte, 1024))
}

// rawCall is a connection of raw HTTP/2 frames.
type rawCall struct {
	conn   net.Conn
	framer *http2.Framer
	buffer bytes.Buffer
	coder  *hpack.Encoder
}

func (p *product) rawCall(address string) *rawCall {
	p.t.Helper()
	conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	c := &rawCall{conn: conn}
	c.framer = http2.NewFramer(conn, conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.coder = hpack.NewEncoder(&c.buffer)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		p.t.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// begin sends the headers of a call and an empty message.
func (c *rawCall) begin(stream uint32, path, key string) error {
	c.buffer.Reset()
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}, {"authorization", "Bearer " + key},
	} {
		if err := c.coder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.buffer.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	return c.framer.WriteData(stream, true, make([]byte, 5))
}

// status reads the `grpc-status` of a call, or how else it ended, and whether it had a reply.
func (c *rawCall) status(stream uint32) (status string, replied bool) {
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return err.Error(), replied
		}
		if settings, ok := f.(*http2.SettingsFrame); ok && !settings.IsAck() {
			_ = c.framer.WriteSettingsAck()
		}
		if f.Header().StreamID != stream {
			continue
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			replied = true
		case *http2.RSTStreamFrame:
			return "reset", replied
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				if field.Name == "grpc-status" {
					return field.Value, replied
				}
			}
		}
	}
}

// rawFrames calls paths that are almost those of methods, and resets streams as soon as they are begun.
func rawFrames(p *product) {
	const path = "/goodship.v1.AdminService/GetWorkspace"
	for i, at := range []string{p.GRPC, strings.TrimPrefix(p.Admin, "http://")} {
		key := []string{p.key, p.OperatorKey}[i]
		for _, near := range []string{path[1:], "/" + path, path + "/", path + "?", strings.ToLower(path), strings.Replace(path, "/G", "//G", 1), "/x" + path, "*", "", "http://x" + path, path + "\x00"} {
			if status, replied := p.try(at, near, key); status == "0" || replied {
				p.t.Errorf("the path %q at %s: got status %s, replied: %v, want no such path", near, at, status, replied)
			}
		}
	}
	if status, replied := p.try(p.GRPC, path, p.key); status != "0" || !replied {
		p.t.Errorf("the path itself: got status %s, replied: %v, want 0 and a reply", status, replied)
	}
	stormOfResets(p)
}

func (p *product) try(address, path, key string) (status string, replied bool) {
	p.t.Helper()
	c := p.rawCall(address)
	defer func() { _ = c.conn.Close() }()
	if err := c.begin(1, path, key); err != nil {
		return err.Error(), false
	}
	return c.status(1)
}

// stormOfResets begins calls whose handlers do not end, resets them, and begins others in their place: a connection that
// may have so many calls in flight gets as many handlers and no more.
func stormOfResets(p *product) {
	const wave, most, storm = 100, 128, 1000
	var running, peak atomic.Int32
	entered, release := make(chan struct{}, storm+2*wave), make(chan struct{})
	h := newBareHouse(p.t, inside{getWorkspace: func(context.Context) (*goodshipv1.Workspace, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for old := peak.Load(); now > old && !peak.CompareAndSwap(old, now); old = peak.Load() {
		}
		entered <- struct{}{}
		<-release // whatever becomes of the call
		return &goodshipv1.Workspace{}, nil
	}})
	defer close(release)
	c := p.rawCall(h.grpc)
	go func() { _, _ = io.Copy(io.Discard, c.conn) }()
	next := uint32(1)
	begin := func() (err error) {
		err = c.begin(next, "/goodship.v1.AdminService/GetWorkspace", h.key)
		next += 2
		return err
	}
	for range wave {
		if err := begin(); err != nil {
			p.t.Fatal(err)
		}
	}
	for range wave {
		<-entered
	}
	sent := make(chan error, 1)
	go func() { sent <- stormOn(c, wave, storm, begin) }()
	for range most - wave {
		<-entered
	}
	// All handlers that one connection gets are busy for good; another's call is answered.
	a := overGRPC(p.t.Context(), dial(p.t, h.grpc), credential{h.key, "customer/" + kim}, &goodshipv1.ListConversationsRequest{})
	p.expect("another client's call", a, ok)
	_ = c.conn.Close()
	if err := <-sent; err != nil {
		p.t.Logf("the storm ended with its connection: %v", err)
	}
	if got := peak.Load(); got > most {
		p.t.Errorf("%d handlers ran at once, want at most %d", got, most)
	}
}

// stormOn resets the first calls of a connection, begins as many that stay, and then many that are reset at once.
func stormOn(c *rawCall, wave, storm uint32, begin func() error) error {
	for i := range wave {
		if err := c.framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel); err != nil {
			return err
		}
	}
	for range wave {
		if err := begin(); err != nil {
			return err
		}
	}
	for i := range storm {
		if err := begin(); err != nil {
			return err
		}
		if err := c.framer.WriteRSTStream(2*(2*wave+i)+1, http2.ErrCodeCancel); err != nil {
			return err
		}
	}
	return nil
}
