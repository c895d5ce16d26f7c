package support_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

func edit(id string, number int32, text string) *goodshipv1.EditMessageRequest {
	return &goodshipv1.EditMessageRequest{ConversationId: id, Number: number, Text: text}
}

func redact(id string, number int32) *goodshipv1.RedactMessageRequest {
	return &goodshipv1.RedactMessageRequest{ConversationId: id, Number: number}
}

func TestSendMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	attachment := &goodshipv1.Attachment{Uri: "https://example.com/a.png", MediaType: "image/png"}
	got := do[*goodshipv1.Message](w, ada, &goodshipv1.SendMessageRequest{
		ConversationId: id, Attachments: []*goodshipv1.Attachment{attachment}, SeenRevision: w.revision(id),
	})
	same(t, "message", got, &goodshipv1.Message{
		ConversationId: id, Number: 2, Attachments: []*goodshipv1.Attachment{attachment}, CreateTime: got.CreateTime,
		Sender: &goodshipv1.Sender{
			Kind: goodshipv1.SenderKind_SENDER_KIND_AGENT, ParticipantNumber: 2, AgentId: "ada",
			Persona: &goodshipv1.Persona{DisplayName: "The real ada"},
		},
	})
	seen := do[*goodshipv1.Message](w, kim, &goodshipv1.GetMessageRequest{ConversationId: id, Number: 2})
	got.Sender.AgentId = ""
	same(t, "message, for the customer", seen, got)
	equal(t, "number", w.says(kim, id, "Ah.").Number, 3)
	w.refuses(kim, &goodshipv1.SendMessageRequest{ConversationId: id}, "InvalidArgument INVALID_REQUEST text")
	w.refuses(kim, &goodshipv1.SendMessageRequest{ConversationId: id, Text: " \n"}, "InvalidArgument INVALID_REQUEST text")
	w.refuses(kim, &goodshipv1.CreateConversationRequest{Text: "\u00a0"}, "InvalidArgument INVALID_REQUEST text")
	w.refuses(kim, &goodshipv1.GetMessageRequest{ConversationId: id, Number: 4}, "NotFound MESSAGE_NOT_FOUND")
}

// TestSeenRevision holds that an answer answers what its sender had seen, and no more.
func TestSeenRevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	send := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello!"}
	w.refuses(ada, send, "FailedPrecondition SEEN_REVISION_REQUIRED revision=3")
	send.SeenRevision = 4
	w.refuses(ada, send, "InvalidArgument SEEN_REVISION_AHEAD revision=3")
	page := do[*goodshipv1.ListMessagesResponse](w, ada, &goodshipv1.ListMessagesRequest{ConversationId: id})
	w.says(kim, id, "Wait, something else.")
	send.SeenRevision = page.Revision
	do[*goodshipv1.Message](w, ada, send)
	w.stands(id, "WAITING owner=ada helpers=")
	head := w.head(id)
	equal(t, "acts unanswered", list(head.Unanswered), fmt.Sprint(head.Unanswered[0]))
	equal(t, "message unanswered", head.Unanswered[0].MessageNumber, 2)
	equal(t, "promise", head.Conversation.AnswerPromise.State, goodshipv1.PromiseState_PROMISE_STATE_RUNNING)
	w.says(ada, id, "And to that.")
	w.stands(id, "ANSWERED owner=ada helpers=")
}

func TestEditMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	w.clock.Jump(time.Second)
	edited := do[*goodshipv1.Message](w, kim, edit(id, 1, "Hello??"))
	equal(t, "text", edited.Text, "Hello??")
	equal(t, "edited after", edited.EditTime.AsTime().After(edited.CreateTime.AsTime()), true)
	for _, p := range []person{kim, ada, backend} {
		equal(t, "text for "+string(p), do[*goodshipv1.Message](w, p, &goodshipv1.GetMessageRequest{ConversationId: id, Number: 1}).Text, "Hello??")
	}
	w.refuses(ada, edit(id, 1, "x"), "PermissionDenied NOT_THE_AUTHOR")
	w.refuses(backend, edit(id, 1, "x"), "PermissionDenied NOT_THE_AUTHOR")
	w.refuses(kim, edit(id, 2, "x"), "NotFound MESSAGE_NOT_FOUND")
	w.says(ada, id, "Hello!")
	w.refuses(kim, edit(id, 1, "x"), "FailedPrecondition MESSAGE_ANSWERED")
	w.refuses(kim, edit(id, 2, "x"), "PermissionDenied NOT_THE_AUTHOR")
	w.refuses(lea, edit(id, 2, "x"), "PermissionDenied NOT_THE_AUTHOR")

	w.says(kim, id, "One more thing.")
	do[*goodshipv1.Message](w, ada, edit(id, 2, "Hello there!"))
	w.stands(id, "WAITING owner=ada helpers=") // an edit of ours answers nothing
	seen := w.revision(id)
	do[*goodshipv1.Message](w, kim, edit(id, 3, "One more question."))
	do[*goodshipv1.Message](w, ada, &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Yes.", SeenRevision: seen})
	w.stands(id, "WAITING owner=ada helpers=") // the edit crossed the answer
	w.says(ada, id, "No.")
	do[*goodshipv1.Message](w, ada, redact(id, 2))
	w.refuses(ada, edit(id, 2, "x"), "FailedPrecondition REDACTED")
}

// TestRedactMessage tries everyone on everyone's messages.
func TestRedactMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const notTheAuthor, notAParticipant = "PermissionDenied NOT_THE_AUTHOR", "PermissionDenied NOT_A_PARTICIPANT"
	for _, test := range []struct {
		by                       person
		customers, agents, autos string
	}{
		{kim, "", notTheAuthor, notTheAuthor},
		{ada, "", "", ""},
		{ben, notAParticipant, notAParticipant, notAParticipant},
		{lea, "", "", ""},
		{backend, "", "", ""},
	} {
		id := replied(w)
		w.says(backend, id, "Automatic.")
		for n, want := range []string{test.customers, test.agents, test.autos} {
			number := int32(n + 1)
			if want != "" {
				w.refuses(test.by, redact(id, number), want)
				continue
			}
			got := do[*goodshipv1.Message](w, test.by, redact(id, number))
			equal(t, "text", got.Text, "")
			equal(t, "has a time", got.RedactTime != nil, true)
		}
	}
	id := replied(w)
	first := do[*goodshipv1.Message](w, kim, redact(id, 1))
	w.clock.Jump(time.Second)
	before := image(t, w.store)
	same(t, "redacted again", do[*goodshipv1.Message](w, kim, redact(id, 1)), first)
	w.unchanged(before)
	w.refuses(kim, redact(id, 9), "NotFound MESSAGE_NOT_FOUND")
}

// TestRedactedIsGone looks for what was redacted in every reply and everywhere in the store.
func TestRedactedIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const secret, file = "canary-4711", "https://example.com/canary-0815.png"
	id := do[*goodshipv1.Conversation](w, kim, &goodshipv1.CreateConversationRequest{
		Text: "My card is " + secret, Attachments: []*goodshipv1.Attachment{{Uri: file, MediaType: "image/png"}}, RequestId: "once",
	}).Id
	send := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Did you say " + secret + "?", SeenRevision: w.revision(id), RequestId: "again"}
	do[*goodshipv1.Message](w, ada, send)
	do[*goodshipv1.Message](w, ada, edit(id, 2, "You should not say "+secret))
	w.notes(ada, id, "They said "+secret)
	do[*goodshipv1.Note](w, ada, &goodshipv1.EditNoteRequest{ConversationId: id, Number: 1, Text: "It was " + secret})
	w.claims(ada, id)
	w.offers(ada, id, ben)
	do[*goodshipv1.Message](w, kim, redact(id, 1))
	do[*goodshipv1.Message](w, kim, &goodshipv1.SendMessageRequest{ConversationId: id, Text: secret})
	do[*goodshipv1.Message](w, kim, edit(id, 3, "Forget "+secret))
	for _, n := range []int32{2, 3} {
		do[*goodshipv1.Message](w, lea, redact(id, n))
	}
	do[*goodshipv1.Note](w, ada, &goodshipv1.RedactNoteRequest{ConversationId: id, Number: 1})

	found := image(t, w.store)
	for _, p := range []person{kim, ada, lea, backend} {
		for _, name := range []string{"GetConversation", "ListConversations", "GetMessage", "ListMessages", "ListNotes"} {
			req := newRequest(methods()[name])
			set(req, "conversation_id", id)
			if get, ok := req.(*goodshipv1.GetMessageRequest); ok {
				get.Number = 1
			}
			if name != "ListNotes" || p == ada || p == lea {
				found[string(p)+" "+name] = do[proto.Message](w, p, req).(fmt.Stringer).String()
			}
		}
	}
	found["the replay"] = do[*goodshipv1.Message](w, ada, send).String()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if strings.Contains(found[name], "canary") {
			t.Errorf("%s: got %q, want nothing of what was redacted", name, found[name])
		}
	}
}

func TestMarkRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := replied(w)
	w.says(ada, id, "And more.")
	mark := func(p person, n int32) *goodshipv1.ReadMark {
		t.Helper()
		return do[*goodshipv1.ReadMark](w, p, &goodshipv1.MarkReadRequest{ConversationId: id, Number: n})
	}
	before := w.head(id)
	marked := mark(kim, 2)
	same(t, "customer's mark", marked, &goodshipv1.ReadMark{ParticipantNumber: 1, MessageNumber: 2, ReadTime: marked.ReadTime})
	w.clock.Jump(time.Second)
	same(t, "marked again", mark(kim, 2), marked)
	same(t, "marked lower", mark(kim, 1), marked)
	equal(t, "marked higher", mark(kim, 3).MessageNumber, 3)
	w.refuses(kim, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 4}, "InvalidArgument INVALID_REQUEST number")
	mark(ada, 1)
	mark(ben, 3)
	after := w.head(id)
	equal(t, "due because it was unseen", before.DueTime.AsTime().Before(after.DueTime.AsTime()), true)
	after.DueTime = before.DueTime
	same(t, "head but for what is due", after, before)

	var marks []string
	for _, p := range []person{ada, kim} {
		for _, m := range w.reads(p, id).ReadMarks {
			marks = append(marks, fmt.Sprintf("%d:%s:%d", m.ParticipantNumber, m.AgentId, m.MessageNumber))
		}
	}
	equal(t, "marks for an agent, then for the customer", list(marks), "1::3 2:ada:1 0:ben:3 1::3 2::1")
	all := do[*goodshipv1.ListConversationsResponse](w, ada, &goodshipv1.ListConversationsRequest{})
	equal(t, "marks in a list", len(all.Conversations[0].ReadMarks), 0)
}

// TestUnseen holds that only the customer's own reading, in time, keeps a message from being reported unseen.
func TestUnseen(t *testing.T) {
	t.Parallel()
	const unseen = " unseen"
	for name, test := range map[string]struct {
		by    person
		after time.Duration
		want  bool
	}{
		"the customer reads in time":  {kim, 2*time.Minute - time.Second, false},
		"the customer reads too late": {kim, 2*time.Minute + time.Second, true},
		"another agent reads":         {ben, time.Minute, true},
		"nobody reads":                {"", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := replied(w)
			w.clock.Jump(test.after)
			if test.by != "" {
				do[*goodshipv1.ReadMark](w, test.by, &goodshipv1.MarkReadRequest{ConversationId: id, Number: 2})
			}
			w.clock.Jump(time.Hour)
			w.notes(ben, id, "Somebody touches it.")
			equal(t, "told", strings.Contains(w.story(id), unseen), test.want)
		})
	}
}

func TestReportDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := replied(w)
	report := &goodshipv1.ReportDeliveryRequest{
		ConversationId: id, Number: 2, State: goodshipv1.DeliveryState_DELIVERY_STATE_FAILED, Failure: "No such address",
	}
	got := do[*goodshipv1.Message](w, backend, report).Delivery
	same(t, "delivery", got, &goodshipv1.Delivery{State: report.State, Failure: report.Failure, ReportTime: got.ReportTime})
	same(t, "delivery, for the customer", do[*goodshipv1.Message](w, kim, &goodshipv1.GetMessageRequest{ConversationId: id, Number: 2}).Delivery, got)
	report.State, report.Failure = goodshipv1.DeliveryState_DELIVERY_STATE_DELIVERED, ""
	equal(t, "state, reported again", do[*goodshipv1.Message](w, backend, report).Delivery.State, report.State)
	w.stands(id, "ANSWERED owner=ada helpers=")
	report.Number = 9
	w.refuses(backend, report, "NotFound MESSAGE_NOT_FOUND")
}

func TestNotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := waits(w)
	first := w.notes(ben, id, "Who takes this?")
	same(t, "note", first, &goodshipv1.Note{ConversationId: id, Number: 1, AgentId: "ben", Text: "Who takes this?", CreateTime: first.CreateTime})
	equal(t, "number of the next", w.notes(ada, id, "I do.").Number, 2)
	w.stands(id, "WAITING owner= helpers=")

	change := &goodshipv1.EditNoteRequest{ConversationId: id, Number: 1, Text: "Who takes this one?"}
	w.refuses(ada, change, "PermissionDenied NOT_THE_AUTHOR")
	w.refuses(lea, change, "PermissionDenied NOT_THE_AUTHOR")
	edited := do[*goodshipv1.Note](w, ben, change)
	equal(t, "edited", edited.Text+fmt.Sprint(edited.EditTime != nil), "Who takes this one?true")
	remove := &goodshipv1.RedactNoteRequest{ConversationId: id, Number: 1}
	w.refuses(ada, remove, "PermissionDenied NOT_THE_AUTHOR")
	redacted := do[*goodshipv1.Note](w, lea, remove)
	equal(t, "redacted", redacted.Text+fmt.Sprint(redacted.RedactTime != nil), "true")
	same(t, "redacted again", do[*goodshipv1.Note](w, ben, remove), redacted)
	w.refuses(ben, change, "FailedPrecondition REDACTED")
	change.Number, remove.Number = 9, 9
	w.refuses(ben, change, "NotFound NOTE_NOT_FOUND")
	w.refuses(ben, remove, "NotFound NOTE_NOT_FOUND")
	equal(t, "notes counted", w.reads(ada, id).NoteCount, 2)
}
