package telemetry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/servertest"
)

// newClock returns a clock that stands still at about now, where exemplars are looked for.
func newClock() *faketime.Clock { return faketime.At(time.Now().Truncate(time.Second)) }

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

// watch watches the desk until the end of the test. hear waits for two events: by then the first was counted.
func watch(t *testing.T, s *servertest.Server) (hear func()) {
	t.Helper()
	stream, err := goodshipv1.NewDeskServiceClient(s.Conn("")).WatchDesk(t.Context(), &goodshipv1.WatchDeskRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() *goodshipv1.WatchUpdate {
		u, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	next() // it is open
	return func() {
		for events := 0; events < 2; {
			if next().GetEvent() != nil {
				events++
			}
		}
	}
}

// play has four customers: one is answered in 90 s, which keeps the promise of 5 minutes; one in 400 s, which breaks it; one
// is dismissed; one waits since 30 s.
func play(t *testing.T, s *servertest.Server, c *faketime.Clock) {
	t.Helper()
	do(t, s, "", "PUT", "/v1/agents/captain", `{"displayName":"`+canary+`"}`)
	first := ask(t, s, "ada")
	c.Jump(90 * time.Second)
	hear := watch(t, s)
	answer(t, s, first)
	hear()
	second := ask(t, s, "ben")
	c.Jump(400 * time.Second)
	answer(t, s, second)
	do(t, s, "", "PATCH", "/v1/workspace", `{"allowance":{"basisPointsPerGrant":500,"basisPointsPerDay":500}}`)
	do(t, s, "agent/captain", "POST", "/v1/conversations/"+second+"/credits", `{"amount":{"basisPoints":500},"reason":"`+canary+`"}`)
	third := ask(t, s, "lea")
	do(t, s, "agent/captain", "POST", "/v1/conversations/"+third+":claim", "{}")
	do(t, s, "agent/captain", "POST", "/v1/conversations/"+third+":dismiss",
		fmt.Sprintf(`{"reason":"DISMISS_REASON_SPAM","seenRevision":%d}`, do(t, s, "agent/captain", "GET", "/v1/conversations/"+third, "").Revision))
	arrives := post(t, s)
	ask(t, s, "kim")
	arrives()
	c.Jump(30 * time.Second)
}

// post has a webhook endpoint told of what customers say. arrives waits until it was told of something.
func post(t *testing.T, s *servertest.Server) (arrives func()) {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	made := s.Do("", "POST", "/v1/webhookEndpoints", `{"webhookEndpoint":{"uri":"`+receiver.URL+`","eventKinds":["message_sent"]}}`)
	var endpoint struct{ WebhookEndpoint struct{ ID string } }
	if err := json.Unmarshal([]byte(made.Body), &endpoint); err != nil || made.Code != http.StatusOK {
		t.Fatalf("make a webhook endpoint: %v: %s", err, made.Body)
	}
	return func() {
		for end := time.Now().Add(patience); ; {
			log := s.Do("", "GET", "/v1/webhookEndpoints/"+endpoint.WebhookEndpoint.ID+"/deliveries", "")
			if strings.Contains(log.Body, "WEBHOOK_DELIVERY_STATE_DELIVERED") {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("nothing is delivered: %s", log.Body)
			}
		}
	}
}
