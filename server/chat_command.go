package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// take does what a line says.
func (t *talk) take(ctx context.Context, l *line) error {
	l.in(t.room)
	if !strings.HasPrefix(l.text, "/") {
		return t.say(ctx, l)
	}
	name, rest, _ := strings.Cut(l.text, " ")
	commands := customerCommands
	if t.agent {
		commands = agentCommands
	}
	c, ok := commands[name]
	switch {
	case name == "/help":
		t.help(commands)
		return nil
	case !ok:
		return fmt.Errorf("%s is no command here; /help shows those that there are", name)
	case t.room == nil && !c.anywhere:
		return errNowhere
	}
	l.rest = strings.TrimSpace(rest)
	return c.do(t, ctx, l)
}

// help shows what can be typed.
func (t *talk) help(commands map[string]command) {
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		t.show("· %s %s", name, commands[name].help)
	}
	t.show("· /quit ends the chat; a line that does not begin with / is said, a customer's first one in a new conversation")
}

// say says something: a customer who has no conversation opens one with it.
func (t *talk) say(ctx context.Context, l *line) error {
	switch {
	case t.room != nil:
		t.echoed(l, l.text)
		_, err := t.SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: t.room.id, Text: l.text, SeenRevision: l.seen, RequestId: l.requestID})
		return err
	case t.agent:
		return errNowhere
	}
	t.echoed(l, l.text)
	c, err := t.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: l.text, ContinueOpen: true, RequestId: l.requestID})
	if err != nil {
		return err
	}
	return t.enter(ctx, c.GetId())
}

var errNowhere = errors.New("there is no conversation yet; /help shows how to begin one")

// command is what can be typed after a slash.
type command struct {
	help string
	// anywhere says that it needs no conversation.
	anywhere bool
	do       func(t *talk, ctx context.Context, l *line) error
}

var customerCommands = map[string]command{
	"/solved": {help: "[TEXT] says that it is solved", do: func(t *talk, ctx context.Context, l *line) error {
		t.echoed(l, l.rest)
		_, err := t.ConfirmResolution(ctx, &goodshipv1.ConfirmResolutionRequest{ConversationId: t.room.id, Text: l.rest, RequestId: l.requestID})
		return err
	}},
	"/reject": {help: "[TEXT] says that it is not", do: func(t *talk, ctx context.Context, l *line) error {
		t.echoed(l, l.rest)
		_, err := t.RejectResolution(ctx, &goodshipv1.RejectResolutionRequest{ConversationId: t.room.id, Text: l.rest, RequestId: l.requestID})
		return err
	}},
	"/rate": {help: "PERSONAL EASY [COMMENT] rates what is solved: was it personal, was it easy, each 1 to 5", do: (*talk).rate},
	"/wait": {help: "shows the place in the line and how long it may take", do: func(t *talk, ctx context.Context, _ *line) error {
		w, err := t.GetWait(ctx, &goodshipv1.GetWaitRequest{ConversationId: t.room.id})
		if err == nil {
			t.show("· %s", waitLine(w))
		}
		return err
	}},
}

func (t *talk) rate(ctx context.Context, l *line) error {
	var personal, easy int32
	if n, _ := fmt.Sscan(l.rest, &personal, &easy); n < 2 {
		return errors.New("write two numbers from 1 to 5: /rate PERSONAL EASY, and a comment if you like")
	}
	rating := &goodshipv1.Rating{Solved: proto.Bool(true), Personal: personal, Easy: easy}
	if words := strings.SplitN(l.rest, " ", 3); len(words) == 3 {
		rating.Comment = words[2]
	}
	_, err := t.RateConversation(ctx, &goodshipv1.RateConversationRequest{ConversationId: t.room.id, Rating: rating, RequestId: l.requestID})
	return err
}

var agentCommands = map[string]command{
	"/next": {help: "takes the first in line", anywhere: true, do: func(t *talk, ctx context.Context, l *line) error {
		next, err := t.ClaimNextConversation(ctx, &goodshipv1.ClaimNextConversationRequest{RequestId: l.requestID})
		switch {
		case err != nil:
			return err
		case next.GetConversation() == nil:
			t.show("· nobody waits")
			return nil
		}
		return t.enter(ctx, next.GetConversation().GetId())
	}},
	"/list": {help: "shows your open conversations", anywhere: true, do: (*talk).list},
	"/open": {help: "NUMBER goes to one that was listed", anywhere: true, do: (*talk).turn},
	"/note": {help: "TEXT writes a note, which no customer sees", do: func(t *talk, ctx context.Context, l *line) error {
		_, err := t.CreateNote(ctx, &goodshipv1.CreateNoteRequest{ConversationId: t.room.id, Text: l.rest, RequestId: l.requestID})
		return err
	}},
	"/propose": {help: "fault TEXT, or question TEXT, says what was done and asks whether it is solved", do: (*talk).propose},
	"/release": {help: "gives the conversation back", do: func(t *talk, ctx context.Context, l *line) error {
		_, err := t.ReleaseConversation(ctx, &goodshipv1.ReleaseConversationRequest{ConversationId: t.room.id, RequestId: l.requestID})
		if err == nil {
			t.leave()
			t.move(nil)
			t.show("· released")
		}
		return err
	}},
}

func (t *talk) propose(ctx context.Context, l *line) error {
	kind, text, _ := strings.Cut(l.rest, " ")
	matter := goodshipv1.Matter(goodshipv1.Matter_value["MATTER_"+strings.ToUpper(kind)])
	if matter == goodshipv1.Matter_MATTER_UNSPECIFIED || text == "" {
		return errors.New("say what it was and what was done: /propose fault TEXT, or /propose question TEXT")
	}
	t.echoed(l, text)
	_, err := t.ProposeResolution(ctx, &goodshipv1.ProposeResolutionRequest{
		ConversationId: t.room.id, Matter: matter, Done: text, Text: text, SeenRevision: l.seen, RequestId: l.requestID,
	})
	return err
}

// list shows an agent the conversations that they have, by numbers.
func (t *talk) list(ctx context.Context, _ *line) error {
	open, err := t.open(ctx)
	if err != nil {
		return err
	}
	t.listed = nil
	for i, c := range open {
		t.listed = append(t.listed, c.GetId())
		t.show("· %d: %s", i+1, (&room{talk: t}).heading(c))
	}
	if len(open) == 0 {
		t.show("· you have none")
	}
	return nil
}

// turn goes to a conversation that was listed.
func (t *talk) turn(ctx context.Context, l *line) error {
	n, err := strconv.Atoi(l.rest)
	if err != nil || n < 1 || n > len(t.listed) {
		return errors.New("say which one by its number in what /list showed last: /open NUMBER")
	}
	return t.enter(ctx, t.listed[n-1])
}
