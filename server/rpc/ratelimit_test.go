package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// clock is a time that stands until it is moved.
type clock struct{ t time.Time }

func (c *clock) now() time.Time                { return c.t }
func (c *clock) sleep(d time.Duration)         { c.t = c.t.Add(d) }
func newClock() *clock                         { return &clock{time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }
func (c *clock) limiter(l Limits) *rateLimiter { return newRateLimiter(l, c.now) }

// unlimited are limits with no rate; a test sets the one that it is about.
func unlimited() Limits {
	l := DefaultLimits()
	l.RatePerWorkspace, l.RatePerCaller, l.RatePerAddress, l.SessionsPerAddress = -1, -1, -1, -1
	return l
}

// refusal returns what a refused call is told: the limit and how long to wait.
func refusal(t *testing.T, err error) (limit string, wait time.Duration) {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code() != codes.ResourceExhausted || f.Reason() != goodshipv1.ErrorReason_ERROR_REASON_RATE_LIMITED {
		t.Fatalf("got %v, want RATE_LIMITED", err)
	}
	for _, d := range f.GRPCStatus().Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			limit = d.GetMetadata()["limit"]
		case *errdetails.RetryInfo:
			wait = d.GetRetryDelay().AsDuration()
		}
	}
	return limit, wait
}

const anyMethod = goodshipv1.ConversationService_GetConversation_FullMethodName

var (
	home  = netip.MustParseAddr("203.0.113.5")
	other = netip.MustParseAddr("203.0.113.6")

	ada    = support.Caller{Kind: goodshipv1.Caller_CALLER_CUSTOMER, Workspace: "work_1", ID: "ada"}
	ben    = support.Caller{Kind: goodshipv1.Caller_CALLER_CUSTOMER, Workspace: "work_1", ID: "ben"}
	vis    = support.Caller{Kind: goodshipv1.Caller_CALLER_VISITOR, Workspace: "work_1", ID: "visitor_1"}
	widget = support.Caller{Kind: goodshipv1.Caller_CALLER_WIDGET, Workspace: "work_1", APIKeyID: "key_w"}
	back   = support.Caller{Kind: goodshipv1.Caller_CALLER_BACKEND, Workspace: "work_1", APIKeyID: "key_1"}
)

// in returns a caller in another workspace.
func in(workspace string, c support.Caller) support.Caller {
	c.Workspace = workspace
	return c
}

// Each limit: its burst is let in, the next call is refused with the real wait, and after that wait one more is let in.
func TestEachLimitAtItsBound(t *testing.T) {
	const session, open = goodshipv1.DirectoryService_CreateVisitorSession_FullMethodName, goodshipv1.ConversationService_CreateConversation_FullMethodName
	workspace, caller, address, sessions := unlimited(), unlimited(), unlimited(), unlimited()
	workspace.RatePerWorkspace, caller.RatePerCaller, address.RatePerAddress, sessions.SessionsPerAddress = 4, 4, 4, 0.5
	for _, c := range []struct {
		name   string
		limits Limits
		caller support.Caller
		from   netip.Addr
		method string
		limit  string
		burst  int
		wait   time.Duration
	}{
		{"workspace, an end user", workspace, ada, home, anyMethod, "workspace", 10, 250 * time.Millisecond},
		{"workspace, a customer whom the backend speaks for", workspace, ada, netip.Addr{}, anyMethod, "workspace", 20, 250 * time.Millisecond},
		{"workspace, a backend", workspace, back, netip.Addr{}, anyMethod, "workspace", 20, 250 * time.Millisecond},
		{"customer", caller, ada, home, anyMethod, "caller", 20, 250 * time.Millisecond},
		{"address", address, ada, home, anyMethod, "address", 20, 250 * time.Millisecond},
		{"address of IPv6", address, ada, netip.MustParseAddr("2001:db8::1"), anyMethod, "address", 20, 250 * time.Millisecond},
		{"sessions", sessions, widget, home, session, "address", 30, 2 * time.Second},
		{"a visitor's conversations", sessions, vis, home, open, "address", 30, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := newClock()
			l := now.limiter(c.limits)
			for n := range c.burst {
				if err := l.admit(c.caller, c.from, c.method); err != nil {
					t.Fatalf("call %d of %d: %v", n+1, c.burst, err)
				}
			}
			for range 3 { // asking costs nothing
				limit, wait := refusal(t, l.admit(c.caller, c.from, c.method))
				if limit != c.limit || wait < c.wait || wait > c.wait+time.Millisecond {
					t.Fatalf("limit %q, wait %v; want %q, %v", limit, wait, c.limit, c.wait)
				}
			}
			now.sleep(c.wait - time.Millisecond)
			refusal(t, l.admit(c.caller, c.from, c.method))
			now.sleep(time.Millisecond)
			if err := l.admit(c.caller, c.from, c.method); err != nil {
				t.Errorf("after the wait: %v", err)
			}
			refusal(t, l.admit(c.caller, c.from, c.method))
			now.sleep(time.Hour)
			for n := range c.burst {
				if err := l.admit(c.caller, c.from, c.method); err != nil {
					t.Fatalf("an hour later, call %d: %v", n+1, err)
				}
			}
			refusal(t, l.admit(c.caller, c.from, c.method))
		})
	}
}

// Whom a limit does not concern is let in while others are refused.
func TestWhomALimitLeavesAlone(t *testing.T) {
	const session, open = goodshipv1.DirectoryService_CreateVisitorSession_FullMethodName, goodshipv1.ConversationService_CreateConversation_FullMethodName
	const send = goodshipv1.MessageService_SendMessage_FullMethodName
	agent := support.Caller{Kind: goodshipv1.Caller_CALLER_AGENT, Workspace: "work_1", ID: "ada"}
	leader := support.Caller{Kind: goodshipv1.Caller_CALLER_LEADER, Workspace: "work_1", ID: "ada"}
	operator := support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR, Workspace: "work_1"}
	none := netip.Addr{}
	type call struct {
		caller support.Caller
		from   netip.Addr
		method string
	}
	workspace, caller, address, sessions := unlimited(), unlimited(), unlimited(), unlimited()
	workspace.RatePerWorkspace, caller.RatePerCaller, address.RatePerAddress, sessions.SessionsPerAddress = 0.2, 0.2, 0.2, 0.2
	for _, c := range []struct {
		name   string
		limits Limits
		drain  call
		free   []call
		full   []call
	}{
		{"workspace", workspace, call{back, none, anyMethod},
			[]call{{in("work_2", ada), home, anyMethod}, {operator, home, anyMethod}},
			[]call{{ben, other, send}, {ada, home, anyMethod}, {back, none, send}, {widget, other, session}, {agent, none, anyMethod}}},
		{"customer", caller, call{ada, home, anyMethod},
			[]call{{ben, home, anyMethod}, {agent, none, anyMethod}, {in("work_2", ada), home, anyMethod}, {back, none, anyMethod}, {operator, home, anyMethod}},
			[]call{{ada, other, send}, {ada, none, anyMethod}}},
		{"agent", caller, call{agent, none, anyMethod}, []call{{ada, home, anyMethod}}, []call{{leader, none, anyMethod}}},
		{"address", address, call{ada, home, anyMethod},
			[]call{{ben, other, anyMethod}, {back, none, anyMethod}, {ada, none, anyMethod}, {operator, home, anyMethod}},
			[]call{{ben, home, anyMethod}, {widget, home, session}, {vis, home, send}, {in("work_2", ben), home, anyMethod}}},
		{"a /64", address, call{ada, netip.MustParseAddr("2001:db8::1"), anyMethod},
			[]call{{ben, netip.MustParseAddr("2001:db8:0:1::1"), anyMethod}},
			[]call{{ben, netip.MustParseAddr("2001:db8::ffff:1"), anyMethod}}},
		{"sessions", sessions, call{widget, home, session},
			[]call{{vis, home, open}, {vis, home, send}, {widget, other, session}, {ada, home, open}},
			[]call{{in("work_2", widget), home, session}}},
		{"a visitor's conversations", sessions, call{vis, home, open},
			[]call{{widget, home, session}, {vis, home, send}, {vis, other, open}, {ada, home, open}, {back, none, open}},
			[]call{{support.Caller{Kind: vis.Kind, Workspace: "work_1", ID: "visitor_2"}, home, open}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newClock().limiter(c.limits)
			for l.admit(c.drain.caller, c.drain.from, c.drain.method) == nil {
			}
			for _, f := range c.full {
				if err := l.admit(f.caller, f.from, f.method); err == nil {
					t.Errorf("let in: %+v", f)
				}
			}
			for _, f := range c.free {
				if err := l.admit(f.caller, f.from, f.method); err != nil {
					t.Errorf("refused: %+v: %v", f, err)
				}
			}
		})
	}
}

// End users take half of the workspace's calls at most, and the agents and backends have the rest.
func TestEndUsersLockNobodyOut(t *testing.T) {
	limits := unlimited()
	limits.RatePerWorkspace = 2 // 10
	agent := support.Caller{Kind: goodshipv1.Caller_CALLER_AGENT, Workspace: "work_1", ID: "ada"}
	now := newClock()
	l := now.limiter(limits)
	drain := func(c support.Caller, from netip.Addr) (n int) {
		for l.admit(c, from, anyMethod) == nil {
			n++
		}
		return n
	}
	if got := drain(ada, home) + drain(widget, other); got != 5 {
		t.Errorf("end users had %d calls, want 5", got)
	}
	if got := drain(agent, netip.Addr{}) + drain(back, netip.Addr{}); got != 5 {
		t.Errorf("agents and backends had %d calls, want the other 5", got)
	}
	_, wait := refusal(t, l.admit(ada, home, anyMethod))
	if want := 3 * time.Second; wait < want || wait > want+time.Millisecond {
		t.Errorf("an end user waits %v, want %v", wait, want)
	}
	now.sleep(wait)
	if got := drain(ada, home); got != 1 {
		t.Errorf("after the wait: %d calls, want 1", got)
	}
}

// A backend that speaks for itself brings in what it has as fast as its workspace may.
func TestABackendIsNoPerson(t *testing.T) {
	limits := unlimited()
	limits.RatePerCaller = 0.2
	l := newClock().limiter(limits)
	for n := range 100 {
		if err := l.admit(back, netip.Addr{}, anyMethod); err != nil {
			t.Fatalf("call %d: %v", n+1, err)
		}
	}
}

func TestStrangers(t *testing.T) {
	limits := unlimited()
	limits.RatePerAddress = 2 // 10
	l := newClock().limiter(limits)
	for n := range 10 {
		if err := l.admitStranger(home); err != nil {
			t.Fatalf("question %d: %v", n+1, err)
		}
	}
	refusal(t, l.admitStranger(home))
	for _, from := range []netip.Addr{other, {}} {
		if err := l.admitStranger(from); err != nil {
			t.Errorf("from %v: %v", from, err)
		}
	}
	if err := l.admit(ada, home, anyMethod); err != nil {
		t.Errorf("ada, from the same address: %v", err)
	}
}

// A call that one bucket refuses draws from none: ada's flood leaves the workspace to ben.
func TestARefusedCallCostsNobodyElse(t *testing.T) {
	limits := unlimited()
	limits.RatePerWorkspace, limits.RatePerCaller, limits.RatePerAddress = 4, 1, 1.6 // 10 for end users, 5, 8
	l := newClock().limiter(limits)
	admitted := 0
	for range 1000 {
		if l.admit(ada, home, anyMethod) == nil {
			admitted++
		}
	}
	if admitted != 5 {
		t.Fatalf("%d of ada's calls were admitted, want 5", admitted)
	}
	for admitted = 0; l.admit(ben, home, anyMethod) == nil; admitted++ {
	}
	if admitted != 3 { // what the address has left
		t.Errorf("%d of ben's calls were admitted, want 3", admitted)
	}
	for admitted = 0; l.admit(ben, other, anyMethod) == nil; admitted++ {
	}
	if admitted != 2 { // what the workspace has left, and ben himself
		t.Errorf("%d more of ben's calls were admitted, want 2", admitted)
	}
}

// Refused by several limits, a caller waits for the last of them.
func TestTheWaitIsThatOfTheLastLimit(t *testing.T) {
	limits := unlimited()
	limits.RatePerWorkspace, limits.RatePerCaller = 5, 0.5
	now := newClock()
	l := now.limiter(limits)
	for range 24 {
		if err := l.admit(in("work_1", widget), netip.Addr{}, anyMethod); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 { // ada and the workspace are out of tokens
		_ = l.admit(ada, netip.Addr{}, anyMethod)
	}
	limit, wait := refusal(t, l.admit(ada, netip.Addr{}, anyMethod))
	if limit != "workspace" || wait > 201*time.Millisecond {
		t.Fatalf("limit %q, wait %v", limit, wait)
	}
	for range 2 {
		now.sleep(200 * time.Millisecond)
		_ = l.admit(ada, netip.Addr{}, anyMethod)
	}
	limit, wait = refusal(t, l.admit(ada, netip.Addr{}, anyMethod))
	if limit != "caller" || wait < time.Second {
		t.Errorf("limit %q, wait %v", limit, wait)
	}
	now.sleep(wait)
	if err := l.admit(ada, netip.Addr{}, anyMethod); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestRefusedCredentials(t *testing.T) {
	bad := fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID, "No.")
	limits := unlimited()
	limits.RatePerAddress = 2 // 10
	now := newClock()
	l := now.limiter(limits)
	for range 10 {
		if err := l.refuse(home, bad); !errors.Is(err, bad) {
			t.Fatalf("got %v", err)
		}
	}
	limit, wait := refusal(t, l.refuse(home, bad))
	if limit != "address" || wait < 500*time.Millisecond || wait > 501*time.Millisecond {
		t.Errorf("limit %q, wait %v", limit, wait)
	}
	for _, c := range []struct {
		name string
		from netip.Addr
		err  error
	}{
		{"another address", other, bad},
		{"no address", netip.Addr{}, bad},
		{"another fault", home, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_AGENT_DISABLED, "No.")},
		{"no fault", home, context.Canceled},
	} {
		if err := l.refuse(c.from, c.err); !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.err)
		}
	}
	// Who has a good credential passes, behind the same address.
	for n := range 10 {
		if err := l.admit(ada, home, anyMethod); err != nil {
			t.Errorf("ada's call %d: %v", n+1, err)
		}
	}
	now.sleep(500 * time.Millisecond)
	if err := l.refuse(home, bad); !errors.Is(err, bad) {
		t.Errorf("after the wait: %v", err)
	}
}

func TestWhoseAddressCounts(t *testing.T) {
	from := arrival{address: home}
	for kind, byToken := range map[goodshipv1.Caller]bool{
		goodshipv1.Caller_CALLER_WIDGET: true, goodshipv1.Caller_CALLER_VISITOR: true, goodshipv1.Caller_CALLER_CUSTOMER: true,
		goodshipv1.Caller_CALLER_BACKEND: false, goodshipv1.Caller_CALLER_AGENT: false, goodshipv1.Caller_CALLER_LEADER: false, goodshipv1.Caller_CALLER_OPERATOR: false,
	} {
		caller := support.Caller{Kind: kind, Workspace: "work_1", ID: "ada"}
		if got := endUser(t.Context(), caller, from); got.IsValid() != byToken {
			t.Errorf("%v with a credential of its own: %v", kind, got)
		}
		for_ := metadata.NewIncomingContext(t.Context(), metadata.Pairs(actForKey, "customer/ada"))
		if got := endUser(for_, caller, from); got.IsValid() {
			t.Errorf("%v by a backend: %v", kind, got)
		}
	}
}

// However many callers there are, what is kept of them is bounded; and who is over a limit is not forgotten for it.
func TestBucketsAreBounded(t *testing.T) {
	limits := unlimited()
	limits.RatePerAddress = 0.2 // one call, then one in 5 s
	now := newClock()
	l := now.limiter(limits)
	a := netip.MustParseAddr("10.0.0.0")
	for n := range 5 * maxBuckets {
		if err := l.admit(ada, a, anyMethod); err != nil {
			t.Fatalf("address %d: %v", n, err)
		}
		a = a.Next()
		if n%1000 != 0 {
			continue
		}
		if kept := len(l.addresses.young) + len(l.addresses.old); kept > 2*maxBuckets {
			t.Fatalf("%d buckets after %d addresses", kept, n)
		}
		if err := l.admit(ben, home, anyMethod); (err == nil) != (n == 0) {
			t.Fatalf("ben, who calls all the time, after %d addresses: %v", n, err)
		}
	}
}

// A bucket that has had the time to fill is dropped, and not before.
func TestBucketsExpire(t *testing.T) {
	limits := unlimited()
	limits.RatePerCaller = 1 // 5, full after 5 s
	now := newClock()
	l := now.limiter(limits)
	for n := range 100 {
		_ = l.admit(support.Caller{Kind: ada.Kind, Workspace: "work_1", ID: fmt.Sprint(n)}, home, anyMethod)
	}
	for l.admit(ada, home, anyMethod) == nil {
	}
	for range 4 {
		now.sleep(time.Second)
		if err := l.admit(ada, home, anyMethod); err != nil {
			t.Fatal(err)
		}
		refusal(t, l.admit(ada, home, anyMethod)) // she had but the one
	}
	for range 8 { // others go on
		now.sleep(time.Second / 2)
		_ = l.admit(ben, home, anyMethod)
	}
	for n := range 4 {
		if err := l.admit(ada, home, anyMethod); err != nil {
			t.Errorf("4 s later, call %d: %v", n+1, err)
		}
	}
	refusal(t, l.admit(ada, home, anyMethod))
	for range 3 {
		now.sleep(6 * time.Second)
		_ = l.admit(ben, home, anyMethod)
	}
	if kept := len(l.callers.young) + len(l.callers.old); kept > 2 {
		t.Errorf("%d buckets are kept of callers that are gone", kept)
	}
}

func TestConcurrentCallsDrawExactlyWhatIsThere(t *testing.T) {
	limits := unlimited()
	limits.RatePerWorkspace, limits.RatePerCaller = 100, 20 // 500, 100
	l := newClock().limiter(limits)
	var admitted atomic.Int64
	var all sync.WaitGroup
	for n := range 8 {
		caller := support.Caller{Kind: ada.Kind, Workspace: "work_1", ID: fmt.Sprint(n)}
		all.Go(func() {
			for range 300 {
				if l.admit(caller, netip.Addr{}, anyMethod) == nil {
					admitted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if got := admitted.Load(); got != 500 {
		t.Errorf("%d calls were admitted, want 500: 8 callers have 100 each, and the workspace 500", got)
	}
}

func BenchmarkRateLimiter(b *testing.B) {
	l := newRateLimiter(func() Limits {
		limits := DefaultLimits()
		limits.RatePerWorkspace, limits.RatePerCaller, limits.RatePerAddress = 1e6, 1e6, 1e6
		return limits
	}(), time.Now)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		caller := support.Caller{Kind: ada.Kind, Workspace: "work_1", ID: fmt.Sprint(n.Add(1))}
		for pb.Next() {
			_ = l.admit(caller, home, anyMethod)
		}
	})
}
