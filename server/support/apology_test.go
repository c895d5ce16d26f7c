package support_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// records tells a conversation's records: each its events, the number of its message, and how the conversation stood before and
// after it.
func (w *world) records(id string) string {
	w.t.Helper()
	records, err := w.store.Records(w.t.Context(), w.workspace, id, 0, everything)
	if err != nil {
		w.t.Fatal(err)
	}
	stands := func(s *storev1.Standing) string {
		return strings.TrimSpace(strings.TrimPrefix(s.State.String(), "STATE_") + " " + s.OwnerId)
	}
	var told []string
	for _, r := range records {
		var words []string
		for _, e := range r.Events {
			m := e.ProtoReflect()
			words = append(words, string(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")).Name()))
		}
		told = append(told, fmt.Sprintf("%s: %s, message %d of %d: %s", stands(r.Before), strings.Join(words, " "), r.Message.GetNumber(), r.MessageCount, stands(r.After)))
	}
	return strings.Join(told, "\n")
}

// TestApologiesBesideWhatIsSaid has time apologize in the unit in which somebody says something: each message stands in a record
// of its own, and the caller gets the own one, also when the call is repeated.
func TestApologiesBesideWhatIsSaid(t *testing.T) {
	t.Parallel()
	const opened = "UNSPECIFIED: opened message_sent wait_began, message 1 of 1: WAITING\n"
	for _, test := range []struct {
		name    string
		crossed bool
		number  int32
		want    string
		metrics string
	}{
		{"before_it", false, 3, opened +
			"WAITING: promise_at_risk promise_broken message_sent unseen claimed, message 2 of 2: WAITING ada\n" +
			"WAITING ada: message_sent wait_answered, message 3 of 3: ANSWERED ada",
			nobodyWaits + ", promises broken 1, wait.duration broken 1 of 3600 s"},
		{"before_and_after_it", true, 4, opened +
			"WAITING: message_sent, message 2 of 2: WAITING\n" +
			"WAITING: promise_at_risk promise_broken message_sent unseen claimed, message 3 of 3: WAITING ada\n" +
			"WAITING ada: message_sent wait_answered wait_began promise_at_risk promise_broken, message 4 of 4: WAITING ada\n" +
			"WAITING ada: message_sent, message 5 of 5: WAITING ada",
			"line.length 1, line.oldest_wait 3600, promises broken 2, wait.duration broken 1 of 3600 s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, read := measured(t)
			w.apologizes()
			id := w.opens(kim, "Hello?")
			seen := w.revision(id)
			if test.crossed {
				w.says(kim, id, "It skips.")
			}
			w.clock.Jump(time.Hour)
			answer := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "It is mended.", SeenRevision: seen, RequestId: "answer"}
			for range 2 {
				got := do[*goodshipv1.Message](w, ada, answer)
				equal(t, "number", got.Number, test.number)
				equal(t, "text", got.Text, "It is mended.")
			}
			equal(t, "records", w.records(id), test.want)
			equal(t, "metrics", read(), test.metrics)
			for _, m := range do[*goodshipv1.ListMessagesResponse](w, kim, &goodshipv1.ListMessagesRequest{ConversationId: id}).Messages {
				if apology := m.AutomaticReason == goodshipv1.AutomaticReason_AUTOMATIC_REASON_PROMISE_BROKEN; apology != strings.HasSuffix(m.Text, "+49 30 1234567") {
					t.Errorf("message %d: got the reason %v of %q", m.Number, m.AutomaticReason, m.Text)
				}
			}
			report, err := w.store.Check(t.Context(), true)
			equal(t, "problems", fmt.Sprint(report.Problems, err), "[] <nil>")
		})
	}
}

// TestApologiesBesideANote has time apologize in the unit that adds a note and one that edits a message.
func TestApologiesBesideANote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apologizes()
	id := w.opens(kim, "Hello?")
	w.clock.Jump(5*time.Minute + time.Second)
	equal(t, "note", w.notes(ada, id, "A fan of ships.").Number, 1)
	equal(t, "apologies", w.head(id).Conversation.MessageCount, 2)
	other := w.opens(lou, "Hello?")
	w.clock.Jump(5*time.Minute + time.Second)
	edited := do[*goodshipv1.Message](w, lou, &goodshipv1.EditMessageRequest{ConversationId: other, Number: 1, Text: "Hello there?"})
	equal(t, "edited", edited.Text, "Hello there?")
	equal(t, "events", w.story(other), "opened message_sent wait_began promise_at_risk promise_broken message_sent message_edited")
}
