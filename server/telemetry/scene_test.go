package telemetry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/goodship/goodship/server/servertest"
)

// clock is one that moves only when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

// Now returns its time.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// do calls REST and returns the fields of the reply that the scene needs.
func do(t *testing.T, s *servertest.Server, actFor, method, path, body string, headers ...string) (reply struct {
	ID       string
	Revision int
}) {
	t.Helper()
	r := s.Do(actFor, method, path, body, headers...)
	if r.Code != http.StatusOK {
		t.Fatalf("%s %s: got %d: %s", method, path, r.Code, r.Body)
	}
	if err := json.Unmarshal([]byte(r.Body), &reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

// ask opens a conversation for a customer, whose id is an e-mail address, as some products have it.
func ask(t *testing.T, s *servertest.Server, customer string) string {
	t.Helper()
	return do(t, s, "customer/"+customer+"."+canary+"@example.com", "POST", "/v1/conversations", `{"text":"`+canary+`"}`).ID
}

// answer answers one as an agent, within the caller's trace, and sends the same a second time, which changes nothing.
func answer(t *testing.T, s *servertest.Server, id string) {
	t.Helper()
	revision := do(t, s, "agent/captain", "GET", "/v1/conversations/"+id, "").Revision
	for range 2 {
		do(t, s, "agent/captain", "POST", "/v1/conversations/"+id+"/messages", fmt.Sprintf(`{"text":%q,"seenRevision":%d}`, canary, revision),
			"traceparent", callersParent, "idempotency-key", "answer-"+id)
	}
}

// play has four customers: one is answered in 90 s, which keeps the promise of 5 minutes; one in 400 s, which breaks it; one
// is dismissed; one waits since 30 s.
func play(t *testing.T, s *servertest.Server, c *clock) {
	t.Helper()
	do(t, s, "", "PUT", "/v1/agents/captain", `{"displayName":"`+canary+`"}`)
	first := ask(t, s, "ada")
	c.pass(90 * time.Second)
	answer(t, s, first)
	second := ask(t, s, "ben")
	c.pass(400 * time.Second)
	answer(t, s, second)
	third := ask(t, s, "lea")
	do(t, s, "agent/captain", "POST", "/v1/conversations/"+third+":claim", "{}")
	do(t, s, "agent/captain", "POST", "/v1/conversations/"+third+":dismiss",
		fmt.Sprintf(`{"reason":"DISMISS_REASON_SPAM","seenRevision":%d}`, do(t, s, "agent/captain", "GET", "/v1/conversations/"+third, "").Revision))
	ask(t, s, "kim")
	c.pass(30 * time.Second)
}
