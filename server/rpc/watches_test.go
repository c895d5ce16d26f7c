package rpc

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A customer's watches are counted by who they are, those of agents and backends for the workspace alone; and what ended counts
// for nobody.
func TestWatchesAreCounted(t *testing.T) {
	limits := DefaultLimits()
	limits.WatchesPerCaller, limits.WatchesPerWorkspace = 2, 7
	w := newWatches(limits)
	who := func(kind goodshipv1.Caller, workspace, id string) support.Caller {
		return support.Caller{Kind: kind, Workspace: workspace, ID: id}
	}
	const customer, visitor, agent, backend = goodshipv1.Caller_CALLER_CUSTOMER, goodshipv1.Caller_CALLER_VISITOR, goodshipv1.Caller_CALLER_AGENT, goodshipv1.Caller_CALLER_BACKEND
	var leave []func()
	for n, step := range []struct {
		caller support.Caller
		limit  string
	}{
		{who(customer, "w1", "ada"), ""},
		{who(customer, "w1", "ada"), ""},
		{who(customer, "w1", "ada"), "caller"},
		{who(customer, "w2", "ada"), ""}, // another's workspace has an ada of its own
		{who(agent, "w1", "ada"), ""},    // and an agent may be called so
		{who(agent, "w1", "ada"), ""},
		{who(visitor, "w1", "ben"), ""},
		{who(visitor, "w1", "ben"), ""},
		{who(visitor, "w1", "lea"), "workspace"}, // they have the half of it
		{who(backend, "w1", ""), ""},
		{who(backend, "w1", ""), "workspace"},
		{who(agent, "w1", "kim"), "workspace"},
		{who(customer, "w1", "ada"), "caller"}, // what she can do about it goes first
		{who(backend, "w2", ""), ""},
		{who(backend, "w2", ""), ""},
		{who(backend, "w2", ""), ""},
	} {
		out, err := w.enter(step.caller)
		if limit := tooMany(t, err); limit != step.limit {
			t.Errorf("step %d: limit %q, want %q", n, limit, step.limit)
		}
		if err == nil {
			leave = append(leave, out)
		}
	}
	leave[0]()
	if _, err := w.enter(who(customer, "w1", "ada")); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	for _, out := range leave[1:] {
		out()
	}
	if len(w.callers) != 1 || len(w.workspaces) != 1 {
		t.Errorf("one is left, and %v %v are counted", w.callers, w.workspaces)
	}
}

// Anybody can be many visitors, so that all of them together leave room for agents; and agents leave customers theirs, as long as
// there is any.
func TestVisitorsLeaveHalfOfTheWatches(t *testing.T) {
	limits := DefaultLimits()
	limits.WatchesPerWorkspace = 1000
	w := newWatches(limits)
	taken := func(kind goodshipv1.Caller) (n int) {
		for ; n <= limits.WatchesPerWorkspace; n++ {
			_, err := w.enter(support.Caller{Kind: kind, Workspace: "w", ID: strconv.Itoa(n)})
			if limit := tooMany(t, err); limit == "workspace" {
				return n
			}
		}
		return n
	}
	for _, c := range []struct {
		kind goodshipv1.Caller
		want int
	}{
		{goodshipv1.Caller_CALLER_VISITOR, 500}, {goodshipv1.Caller_CALLER_CUSTOMER, 0}, {goodshipv1.Caller_CALLER_AGENT, 500}, {goodshipv1.Caller_CALLER_LEADER, 0},
	} {
		if got := taken(c.kind); got != c.want {
			t.Errorf("%v: %d watches, want %d", c.kind, got, c.want)
		}
	}
	if w = newWatches(limits); taken(goodshipv1.Caller_CALLER_AGENT) != 1000 {
		t.Error("agents alone do not get all")
	}
}

// What is too many is said in the words of the contract, which docs/errors.md has of the proto; and of those each is said.
func TestTooManyWatchesNamesItsLimit(t *testing.T) {
	table, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(table), "| `TOO_MANY_WATCHES` |")
	row, _, _ = strings.Cut(row, "\n")
	_, words, found := strings.Cut(row, "Metadata: `limit`: ")
	if !found {
		t.Fatalf("the row says %q", row)
	}
	limits := DefaultLimits()
	limits.WatchesPerCaller, limits.WatchesPerWorkspace = 1, 3
	w := newWatches(limits)
	told := map[string]bool{}
	for _, step := range []struct {
		kind goodshipv1.Caller
		id   string
	}{
		{goodshipv1.Caller_CALLER_CUSTOMER, "ada"}, {goodshipv1.Caller_CALLER_CUSTOMER, "ada"}, // hers
		{goodshipv1.Caller_CALLER_CUSTOMER, "ben"}, {goodshipv1.Caller_CALLER_CUSTOMER, "lea"}, // the customers'
		{goodshipv1.Caller_CALLER_AGENT, "kim"}, {goodshipv1.Caller_CALLER_AGENT, "kim"}, // all
	} {
		_, err := w.enter(support.Caller{Kind: step.kind, Workspace: "w", ID: step.id})
		if limit := tooMany(t, err); err != nil && !strings.Contains(words, "`"+limit+"`") {
			t.Errorf("%v: the limit %q is none of %s", err, limit, words)
		} else if err != nil {
			told[limit] = true
		}
	}
	if n := strings.Count(words, "`") / 2; len(told) != n {
		t.Errorf("of the limits %s only %v were told", words, told)
	}
}

// tooMany returns which limit of watches an error is about; none if it is nil.
func tooMany(t *testing.T, err error) (limit string) {
	t.Helper()
	if err != nil && reasonOf(err) != goodshipv1.ErrorReason_ERROR_REASON_TOO_MANY_WATCHES {
		t.Fatal(err)
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			limit = info.GetMetadata()["limit"]
		}
	}
	return limit
}

// A thousand come and go at once.
func TestWatchesAreCountedAtOnce(t *testing.T) {
	w := newWatches(DefaultLimits())
	done := make(chan struct{})
	for n := range 1000 {
		go func() {
			defer func() { done <- struct{}{} }()
			leave, err := w.enter(support.Caller{Kind: goodshipv1.Caller_CALLER_CUSTOMER, Workspace: "w", ID: strconv.Itoa(n % 100)})
			if err != nil {
				t.Error(err)
				return
			}
			leave()
		}()
	}
	for range 1000 {
		<-done
	}
	if len(w.callers)+len(w.workspaces) > 0 {
		t.Errorf("%v %v are left", w.callers, w.workspaces)
	}
}

// What REST has of a stream are server-sent events, which have a cursor to go on from, and the OpenAPI document says so.
func TestStreamsOfThePublicHaveCursors(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Content map[string]any }
		}
	}
	text, err := os.ReadFile("../../gen/openapi/goodship.openapi.json")
	if err := errors.Join(err, json.Unmarshal(text, &document)); err != nil {
		t.Fatal(err)
	}
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		if m.Parent().Name() == operatorService {
			return
		}
		if m.IsStreamingServer() && (stringField(m.Input(), "cursor") == nil || stringField(m.Output(), "cursor") == nil) {
			t.Errorf("%s streams what has no cursor", m.FullName())
		}
		rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
		if rule == nil && m.IsStreamingClient() {
			return
		}
		verb, path := verbOf(rule)
		want := map[bool]string{true: "text/event-stream", false: "application/json"}[m.IsStreamingServer()]
		if _, there := document.Paths[path][strings.ToLower(verb)].Responses["200"].Content[want]; !there {
			t.Errorf("%s: the OpenAPI document does not say that %s %s is %s", m.FullName(), verb, path, want)
		}
	})
}
