package doors_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/webhook"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/protobuf/encoding/protojson"
)

// withWebhooks lets a house send events to this test, in plain HTTP; or with a resolver where that leads, as in production.
func withWebhooks(names *net.Resolver) servertest.Option {
	return servertest.WithService(func(o *support.Options) {
		o.Webhooks = webhook.Options{Resolver: names}
		if names == nil {
			o.Webhooks = webhook.Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		}
	})
}

// nameServer answers every question for an address with one.
func nameServer(t *testing.T, address string) *net.Resolver {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for buffer := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply, err := resolved(buffer[:n], netip.MustParseAddr(address)); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// resolved is the reply to a question.
func resolved(question []byte, address netip.Addr) ([]byte, error) {
	m := dnsmessage.Message{}
	if err := m.Unpack(question); err != nil || len(m.Questions) == 0 {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: address.As4()},
		}}
	}
	return m.Pack()
}

// post is what was sent to an endpoint of this test, by its path.
type post struct {
	path, body string
	header     http.Header
}

// receiver takes in what is sent.
func receiver(t *testing.T) (uri string, posts <-chan post) {
	t.Helper()
	all := make(chan post, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		all <- post{r.URL.Path, string(body), r.Header}
	}))
	t.Cleanup(s.Close)
	return s.URL, all
}

// hooked makes an endpoint with a view, and returns its secret.
func (p *product) hooked(uri string, view goodshipv1.WebhookView) (secret string) {
	p.t.Helper()
	req := &goodshipv1.CreateWebhookEndpointRequest{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Uri: uri, View: view}}
	return p.do(p.backend(), req).(*goodshipv1.CreateWebhookEndpointResponse).Secret
}

// TestWebhooksTellByView lets all happen that can, and reads what endpoints are told: a PUBLIC one what the customer is told and no
// more, a FULL one all but the texts of notes.
func TestWebhooksTellByView(t *testing.T) {
	t.Parallel()
	p := newProduct(t, newHouse(t, withWebhooks(nil)), "home")
	uri, posts := receiver(t)
	secrets := []string{
		p.hooked(uri+"/public", goodshipv1.WebhookView_WEBHOOK_VIEW_PUBLIC), p.hooked(uri+"/unsaid", 0), p.hooked(uri+"/full", goodshipv1.WebhookView_WEBHOOK_VIEW_FULL),
	}
	o := everything(p)
	p.do(p.agent(ada), &goodshipv1.CreateNoteRequest{ConversationId: o.id, Text: "secret-note"})
	amongThemselves(p, replied(p, p.cast(caller{}, false)).id)
	sorry := p.sorry(passengers(kim)...)
	all := p.posts(posts, secrets)
	p.removals(posts)

	shown := map[string]bool{}
	for _, name := range strings.Fields(goldenCustomerView) {
		shown[name] = true
	}
	for path, payloads := range all {
		for _, got := range payloads {
			told := map[string]bool{}
			names(got.Data.Event.ProtoReflect(), told)
			text := protojson.Format(got)
			switch {
			case path == "/full" && strings.Contains(text, "secret-note"):
				t.Errorf("%s tells what a note says: %s", path, text)
			case path != "/full" && (strings.Contains(text, "inner") || strings.Contains(text, sorry) || got.Data.Event.Revision != 0):
				t.Errorf("%s tells what customers are not told: %s", path, text)
			case path != "/full":
				for name := range told {
					if !shown[name] {
						t.Errorf("%s tells of %s, which customers are not shown: %s", path, name, text)
					}
				}
			}
		}
	}
}

// removals erases kim, and checks that every endpoint is told of each conversation that is gone, and of nothing but why.
func (p *product) removals(posts <-chan post) {
	p.t.Helper()
	all := p.conversations()
	for _, c := range all {
		if c.Hold {
			p.do(p.backend(), &goodshipv1.UpdateConversationRequest{ConversationId: c.Id, Conversation: &goodshipv1.ConversationUpdate{}, UpdateMask: mask("hold")})
		}
	}
	p.do(p.backend(), &goodshipv1.EraseCustomerRequest{CustomerId: kim})
	for gone := 0; gone < 3*len(all); {
		got := <-posts
		payload := &goodshipv1.WebhookPayload{}
		if err := protojson.Unmarshal([]byte(got.body), payload); err != nil {
			p.t.Fatal(err)
		}
		if payload.Type != "conversation_removed" {
			continue // the end of the hold
		}
		gone++
		d := payload.Data
		if d.CustomerId != "" || d.Event.GetConversationRemoved().GetCause() != goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED || d.Event.Revision+d.Event.PublicRevision != 0 || d.Event.Actor != nil {
			p.t.Errorf("%s: got %s, want that the conversation is gone, and why", got.path, got.body)
		}
	}
}

// posts reads what is sent until every endpoint was told of all events, and checks that nothing was sent twice or out of order.
func (p *product) posts(posts <-chan post, secrets []string) map[string][]*goodshipv1.WebhookPayload {
	p.t.Helper()
	all, next := map[string][]*goodshipv1.WebhookPayload{}, map[string]int32{}
	want := map[string]int32{}
	for _, path := range []string{"/public", "/unsaid", "/full"} {
		for _, c := range p.conversations() {
			want[path+" "+c.Id] = c.Revision
			if path != "/full" {
				seen := p.do(p.customer(kim), &goodshipv1.GetConversationRequest{ConversationId: c.Id}).(*goodshipv1.Conversation)
				want[path+" "+c.Id] = seen.PublicRevision
			}
		}
	}
	for !maps.Equal(next, want) {
		got := <-posts
		for _, secret := range append(secrets, p.key) {
			if strings.Contains(fmt.Sprint(got), secret) {
				p.t.Errorf("%s: a secret is sent: %v", got.path, got)
			}
		}
		payload := &goodshipv1.WebhookPayload{}
		if err := protojson.Unmarshal([]byte(got.body), payload); err != nil {
			p.t.Fatal(err)
		}
		all[got.path] = append(all[got.path], payload)
		at, number := got.path+" "+payload.Data.ConversationId, payload.Data.Event.PublicRevision
		if got.path == "/full" {
			number = payload.Data.Event.Revision
		}
		if next[at]++; number != next[at] || number > want[at] {
			p.t.Fatalf("%s: got the event %d, want %d of %d: %s", at, number, next[at], want[at], got.body)
		}
	}
	return all
}

func (p *product) conversations() []*goodshipv1.Conversation {
	p.t.Helper()
	return p.do(p.backend(), &goodshipv1.ListConversationsRequest{PageSize: 100}).(*goodshipv1.ListConversationsResponse).Conversations
}
