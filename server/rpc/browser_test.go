package rpc_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// browsers is a fake whose callers have tokens of their own: a kind, a workspace and an id, as in `CUSTOMER/work_1/ada`.
type browsers struct {
	*fake
	// origins are what workspaces allow.
	origins map[string][]string
}

// newBrowsers returns one that has every conversation.
func newBrowsers(origins map[string][]string) *browsers {
	return &browsers{&fake{get: func(_ context.Context, r *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		return &goodshipv1.Conversation{Id: r.GetConversationId()}, nil
	}}, origins}
}

func (b *browsers) Authenticate(_ context.Context, token, actFor string) (support.Caller, error) {
	part := strings.SplitN(token, "/", 3)
	kind, ok := goodshipv1.Caller_value["CALLER_"+part[0]]
	if !ok || len(part) != 3 {
		return support.Caller{}, fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID, "No such token.")
	}
	c := support.Caller{Kind: goodshipv1.Caller(kind), Workspace: part[1], ID: part[2], APIKeyID: part[2]}
	if id, ok := strings.CutPrefix(actFor, "customer/"); ok {
		c.Kind, c.ID = goodshipv1.Caller_CALLER_CUSTOMER, id
	}
	return c, nil
}

func (b *browsers) AllowsOrigin(_ context.Context, workspace, origin string) (bool, error) {
	for name, origins := range b.origins {
		if (workspace == "" || workspace == name) && slices.Contains(origins, origin) {
			return true, nil
		}
	}
	return false, nil
}

func (b *browsers) CreateVisitorSession(context.Context, *goodshipv1.CreateVisitorSessionRequest) (*goodshipv1.VisitorSession, error) {
	return &goodshipv1.VisitorSession{VisitorId: "visitor_1"}, nil
}

// few are limits with one rate, of which nothing comes back while a test runs.
func few(set func(*rpc.Limits)) rpc.Config {
	l := rpc.DefaultLimits()
	l.RatePerWorkspace, l.RatePerCaller, l.RatePerAddress, l.SessionsPerAddress = -1, -1, -1, -1
	set(&l)
	return rpc.Config{Limits: l}
}

const path = "/v1/conversations/" + conv

// browse calls REST with a token and headers.
func browse(t *testing.T, to *target, verb, token string, header ...string) (reply, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), verb, to.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := to.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, resp.Trailer}, string(body)
}

// browseGRPC does the same over gRPC.
func browseGRPC(t *testing.T, to *target, token string, header ...string) error {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), append(header, "authorization", "Bearer "+token)...)
	_, err := goodshipv1.NewConversationServiceClient(to.conn).GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: conv})
	return err
}

// infoOf returns the one ErrorInfo of an error over gRPC, and how long to wait.
func infoOf(err error) (reason string, md map[string]string, wait time.Duration) {
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason, md = d.GetReason(), d.GetMetadata()
		case *errdetails.RetryInfo:
			wait = d.GetRetryDelay().AsDuration()
		}
	}
	return reason, md, wait
}

func TestACallOverTheLimitDoesNothing(t *testing.T) {
	ran := 0
	svc := &browsers{fake: &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		ran++
		return &goodshipv1.Conversation{}, nil
	}}}
	to := serve(t, svc, few(func(l *rpc.Limits) { l.RatePerCaller = 0.4 })) // 2, and one more in 2.5 s
	const ada = "CUSTOMER/work_1/ada"
	if resp, body := browse(t, to, "GET", ada); resp.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d %s", resp.StatusCode, body)
	}
	if err := browseGRPC(t, to, ada); err != nil {
		t.Fatal(err)
	}
	resp, body := browse(t, to, "GET", ada)
	info, _ := detailsOf(t, readStatus(t, []byte(body)))
	if resp.StatusCode != http.StatusTooManyRequests || info.GetReason() != "RATE_LIMITED" || info.GetMetadata()["limit"] != "caller" {
		t.Errorf("HTTP %d %s", resp.StatusCode, body)
	}
	if after := resp.Header.Get("Retry-After"); after != "3" && after != "2" {
		t.Errorf("Retry-After: %q", after)
	}
	err := browseGRPC(t, to, ada)
	reason, md, wait := infoOf(err)
	if status.Code(err) != codes.ResourceExhausted || reason != "RATE_LIMITED" || md["limit"] != "caller" || wait <= 0 || wait > 2500*time.Millisecond {
		t.Errorf("%v: %s %v, wait %v", err, reason, md, wait)
	}
	if ran != 2 {
		t.Errorf("the method ran %d times, want 2", ran)
	}
	if err := browseGRPC(t, to, "CUSTOMER/work_1/ben"); err != nil {
		t.Errorf("ben pays for ada: %v", err)
	}
	// Acting for ada is being ada.
	if err := browseGRPC(t, to, "BACKEND/work_1/key_1", "goodship-act-for", "customer/ada"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("ada by a backend: %v", err)
	}
}

// A guesser's calls end; the customers behind the same address go on.
func TestBadCredentialsLockNobodyOut(t *testing.T) {
	to := serve(t, newBrowsers(nil), few(func(l *rpc.Limits) { l.RatePerAddress = 1 })) // 5
	for _, token := range []string{"guess", "", "guess", "", "guess"} {
		if resp, body := browse(t, to, "GET", token); resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("HTTP %d %s", resp.StatusCode, body)
		}
	}
	if resp, body := browse(t, to, "GET", "guess"); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("REST: HTTP %d %s", resp.StatusCode, body)
	}
	if err := browseGRPC(t, to, "guess"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("gRPC: %v", err)
	}
	for _, token := range []string{"CUSTOMER/work_1/ada", "VISITOR/work_1/visitor_1", "BACKEND/work_1/key_1"} {
		if resp, body := browse(t, to, "GET", token); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: HTTP %d %s", token, resp.StatusCode, body)
		}
	}
}

// Two callers of one address share what it may; who says to be elsewhere is believed if the server trusts the word.
func TestAddressesAreCountedByWhoMayNameThem(t *testing.T) {
	limits := few(func(l *rpc.Limits) { l.RatePerAddress = 0.4 }) // 2
	call := map[string]func(*target, string, ...string) error{
		"REST": func(to *target, token string, header ...string) error {
			resp, body := browse(t, to, "GET", token, header...)
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			return readStatus(t, []byte(body)).Err()
		},
		"gRPC": func(to *target, token string, header ...string) error { return browseGRPC(t, to, token, header...) },
	}
	const ada, ben = "CUSTOMER/work_1/ada", "VISITOR/work_2/visitor_2"
	for name, call := range call {
		t.Run("strangers over "+name, func(t *testing.T) {
			to := serve(t, newBrowsers(nil), limits)
			for n, token := range []string{ada, ben} {
				if err := call(to, token, "x-forwarded-for", fmt.Sprintf("198.51.100.%d", n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := call(to, ada, "x-forwarded-for", "198.51.100.7"); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("a stranger is whoever they say: %v", err)
			}
			if _, md, _ := infoOf(call(to, ben)); md["limit"] != "address" {
				t.Errorf("ben, behind the same address: %v", md)
			}
			if err := call(to, "AGENT/work_1/lou"); err != nil {
				t.Errorf("an agent: %v", err)
			}
			if err := call(to, "BACKEND/work_1/key_1", "goodship-act-for", "customer/kim"); err != nil {
				t.Errorf("a backend for a customer: %v", err)
			}
		})
		t.Run("a proxy over "+name, func(t *testing.T) {
			limits := limits
			limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
			to := serve(t, newBrowsers(nil), limits)
			for n := range 4 {
				if err := call(to, ada, "x-forwarded-for", fmt.Sprintf("9.9.9.9, 198.51.100.%d, 10.0.0.2", n)); err != nil {
					t.Errorf("address %d: %v", n, err)
				}
			}
			for n, want := range []codes.Code{codes.OK, codes.ResourceExhausted} {
				if err := call(to, ben, "x-forwarded-for", fmt.Sprintf("9.9.9.%d, 198.51.100.1", n)); status.Code(err) != want {
					t.Errorf("call %d from the same address: %v, want %v", n+2, err, want)
				}
			}
		})
	}
}

func TestVisitorsBeginSoMuch(t *testing.T) {
	to := serve(t, newBrowsers(nil), few(func(l *rpc.Limits) { l.SessionsPerAddress = 0.01 })) // 30
	sessions := goodshipv1.NewDirectoryServiceClient(to.conn)
	as := func(token string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	}
	for n := range 30 {
		if _, err := sessions.CreateVisitorSession(as("WIDGET/work_1/gpk_1"), &goodshipv1.CreateVisitorSessionRequest{}); err != nil {
			t.Fatalf("session %d: %v", n+1, err)
		}
	}
	_, err := sessions.CreateVisitorSession(as("WIDGET/work_1/gpk_1"), &goodshipv1.CreateVisitorSessionRequest{})
	if reason, md, _ := infoOf(err); reason != "RATE_LIMITED" || md["limit"] != "address" {
		t.Errorf("session 31: %v", err)
	}
	if err := browseGRPC(t, to, "VISITOR/work_1/visitor_1"); err != nil {
		t.Errorf("a visitor who has a session: %v", err)
	}
}

const (
	shop    = "https://shop.example.com"
	harbour = "http://localhost:3000"
	evil    = "https://evil.example"
)

// The table of CORS, over a real socket. work_1 allows the shop, work_2 the harbour; that `null` is listed helps nobody.
func TestCORS(t *testing.T) {
	svc := newBrowsers(map[string][]string{"work_1": {shop, "null"}, "work_2": {harbour}})
	to := serve(t, svc, rpc.Config{})
	const ada, ben = "CUSTOMER/work_1/ada", "CUSTOMER/work_2/ben"
	ask := func(method, headers string) []string {
		if headers == "" {
			return []string{"Access-Control-Request-Method", method}
		}
		return []string{"Access-Control-Request-Method", method, "Access-Control-Request-Headers", headers}
	}
	for _, c := range []struct {
		name, verb, token string
		origins, header   []string
		code              int
		reason            string
		// granted is the origin that the page is let read the reply, or with a preflight make the call.
		granted string
	}{
		{"preflight", "OPTIONS", "", []string{shop}, ask("GET", "authorization"), 204, "", shop},
		{"preflight of another workspace", "OPTIONS", "", []string{harbour}, ask("POST", "authorization,content-type,idempotency-key"), 204, "", harbour},
		{"preflight of every header", "OPTIONS", "", []string{shop}, ask("PATCH", "authorization,content-type,idempotency-key,if-match,last-event-id,traceparent,tracestate"), 204, "", shop},
		{"preflight of every method", "OPTIONS", "", []string{shop}, ask("DELETE", ""), 204, "", shop},
		{"preflight of a foreign origin", "OPTIONS", "", []string{evil}, ask("GET", "authorization"), 204, "", ""},
		{"preflight of null", "OPTIONS", "", []string{"null"}, ask("GET", "authorization"), 204, "", ""},
		{"preflight of two origins", "OPTIONS", "", []string{shop, evil}, ask("GET", "authorization"), 204, "", ""},
		{"preflight for acting for others", "OPTIONS", "", []string{shop}, ask("GET", "authorization,goodship-act-for"), 204, "", ""},
		{"preflight of a method that is not ours", "OPTIONS", "", []string{shop}, ask("TRACE", ""), 204, "", ""},
		{"OPTIONS that is no preflight", "OPTIONS", ada, []string{shop}, nil, 405, "METHOD_NOT_ALLOWED", shop},

		{"call", "GET", ada, []string{shop}, nil, 200, "", shop},
		{"call without an origin", "GET", ada, nil, nil, 200, "", ""},
		{"call of the other workspace", "GET", ben, []string{harbour}, nil, 200, "", harbour},
		{"origin of another workspace", "GET", ada, []string{harbour}, nil, 403, "ORIGIN_NOT_ALLOWED", harbour},
		{"origin of nobody", "GET", ada, []string{evil}, nil, 403, "ORIGIN_NOT_ALLOWED", ""},
		{"origin null", "GET", ada, []string{"null"}, nil, 403, "ORIGIN_NOT_ALLOWED", ""},
		{"two origins", "GET", ada, []string{shop, evil}, nil, 403, "ORIGIN_NOT_ALLOWED", ""},
		{"empty origin", "GET", ada, []string{""}, nil, 403, "ORIGIN_NOT_ALLOWED", ""},
		{"almost the origin", "GET", ada, []string{shop + ":443"}, nil, 403, "ORIGIN_NOT_ALLOWED", ""},
		{"an origin that metadata cannot carry", "GET", ada, []string{shop + "\u00e9"}, nil, 403, "ORIGIN_NOT_ALLOWED", ""},
		{"a backend's key in a page", "GET", "BACKEND/work_1/key_1", []string{evil}, nil, 403, "ORIGIN_NOT_ALLOWED", ""},
		{"a cookie changes nothing", "GET", ada, []string{shop}, []string{"Cookie", "a=b"}, 200, "", shop},
		{"no credential", "GET", "", []string{shop}, nil, 401, "CREDENTIAL_MISSING", shop},
		{"no credential, foreign", "GET", "", []string{evil}, nil, 401, "CREDENTIAL_MISSING", ""},
		{"an error of the gateway", "PUT", ada, []string{shop}, nil, 405, "METHOD_NOT_ALLOWED", shop},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := slices.Clone(c.header)
			for _, o := range c.origins {
				header = append(header, "Origin", o)
			}
			resp, body := browse(t, to, c.verb, c.token, header...)
			if resp.StatusCode != c.code {
				t.Errorf("HTTP %d %s", resp.StatusCode, body)
			}
			if c.reason != "" {
				info, _ := detailsOf(t, readStatus(t, []byte(body)))
				if info.GetReason() != c.reason {
					t.Errorf("reason %q, want %q", info.GetReason(), c.reason)
				}
			}
			h := resp.Header
			if got := strings.Join(h.Values("Access-Control-Allow-Origin"), ";"); got != c.granted {
				t.Errorf("Access-Control-Allow-Origin: %q, want %q", got, c.granted)
			}
			if vary := strings.Join(h.Values("Vary"), ","); !strings.Contains(vary, "Origin") {
				t.Errorf("Vary: %q", vary)
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are allowed")
			}
			preflight := len(c.header) > 0 && c.verb == "OPTIONS"
			wantAge, wantMethod := "", ""
			if preflight && c.granted != "" {
				wantAge, wantMethod = "600", c.header[1]
			}
			if h.Get("Access-Control-Max-Age") != wantAge || h.Get("Access-Control-Allow-Methods") != wantMethod {
				t.Errorf("Max-Age %q, Allow-Methods %q", h.Get("Access-Control-Max-Age"), h.Get("Access-Control-Allow-Methods"))
			}
			if !preflight && c.granted != "" && !strings.EqualFold(h.Get("Access-Control-Expose-Headers"), "ETag, Retry-After") {
				t.Errorf("Expose-Headers %q", h.Get("Access-Control-Expose-Headers"))
			}
		})
	}
}

// A page that is over a limit may read how long to wait.
func TestAPageReadsHowLongToWait(t *testing.T) {
	c := few(func(l *rpc.Limits) { l.RatePerCaller = 0.1 })
	to := serve(t, newBrowsers(map[string][]string{"work_1": {shop}}), c)
	for want := http.StatusOK; ; want = http.StatusTooManyRequests {
		resp, body := browse(t, to, "GET", "CUSTOMER/work_1/ada", "Origin", shop)
		if resp.StatusCode != want || resp.Header.Get("Access-Control-Allow-Origin") != shop {
			t.Errorf("HTTP %d, for %q: %s", resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin"), body)
		}
		if want == http.StatusTooManyRequests {
			if resp.Header.Get("Retry-After") == "" || !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "Retry-After") {
				t.Errorf("headers %v", resp.Header)
			}
			return
		}
	}
}

// What an origin says of itself is sent back only if it is one.
func TestARefusedOriginIsNamedIfItIsOne(t *testing.T) {
	to := serve(t, newBrowsers(nil), rpc.Config{})
	long := "https://" + strings.Repeat("a", 272) + ".example"
	for origin, named := range map[string]bool{
		evil: true, "capacitor://localhost": true, "https://[2001:db8::1]:8080": true, long[:280]: true,
		"null": false, long: false, "https://evil.example/path": false, "<script>": false, "": false,
	} {
		check := func(over, reason string, md map[string]string) {
			t.Helper()
			if _, ok := md["origin"]; reason != "ORIGIN_NOT_ALLOWED" || ok != named || (named && md["origin"] != origin) {
				t.Errorf("%q over %s: %s %v", origin, over, reason, md)
			}
		}
		_, body := browse(t, to, "GET", "CUSTOMER/work_1/ada", "Origin", origin)
		info, _ := detailsOf(t, readStatus(t, []byte(body)))
		check("REST", info.GetReason(), info.GetMetadata())
		reason, md, _ := infoOf(browseGRPC(t, to, "CUSTOMER/work_1/ada", "origin", origin))
		check("gRPC", reason, md)
	}
}

// gRPC that comes from a page by way of a proxy is held to the same.
func TestOriginsOverGRPC(t *testing.T) {
	to := serve(t, newBrowsers(map[string][]string{"work_1": {shop}, "work_2": {harbour}}), rpc.Config{})
	for _, c := range []struct {
		origins []string
		want    codes.Code
	}{
		{nil, codes.OK},
		{[]string{"origin", shop}, codes.OK},
		{[]string{"origin", harbour}, codes.PermissionDenied},
		{[]string{"origin", "null"}, codes.PermissionDenied},
		{[]string{"origin", shop, "origin", shop}, codes.PermissionDenied},
	} {
		if err := browseGRPC(t, to, "CUSTOMER/work_1/ada", c.origins...); status.Code(err) != c.want {
			t.Errorf("%v: got %v, want %v", c.origins, err, c.want)
		}
	}
}

// An origin that cannot be looked up is no origin that is allowed.
func TestAnOriginThatCannotBeLookedUp(t *testing.T) {
	to := serve(t, broken{newBrowsers(nil)}, rpc.Config{})
	resp, body := browse(t, to, "GET", "CUSTOMER/work_1/ada", "Origin", shop)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("HTTP %d %s", resp.StatusCode, body)
	}
	resp, _ = browse(t, to, "OPTIONS", "", "Origin", shop, "Access-Control-Request-Method", "GET")
	if resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the preflight is granted")
	}
}

type broken struct{ *browsers }

func (broken) AllowsOrigin(context.Context, string, string) (bool, error) {
	return true, fault.New(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE, "Later.")
}

// The public's listeners share what connections one address may have; operators' machines are not of the public.
func TestConnectionsOfTheServer(t *testing.T) {
	to := serve(t, newBrowsers(nil), few(func(l *rpc.Limits) { l.MaxConnectionsPerAddress = 2 }))
	if err := browseGRPC(t, to, "CUSTOMER/work_1/ada"); err != nil {
		t.Fatal(err)
	}
	if resp, body := browse(t, to, "GET", "CUSTOMER/work_1/ada"); resp.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d %s", resp.StatusCode, body)
	}
	for _, address := range []string{to.conn.Target(), strings.TrimPrefix(to.url, "http://")} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("a third connection reads %d bytes, %v", n, err)
		}
		_ = conn.Close()
	}
	for range 3 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(to.admin, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprint(conn, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if reply, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(reply), "ok\n") {
			t.Errorf("the admin listener says %q, %v", reply, err)
		}
	}
	// Those who are in stay in.
	if err := browseGRPC(t, to, "CUSTOMER/work_1/ada"); err != nil {
		t.Error(err)
	}
}
