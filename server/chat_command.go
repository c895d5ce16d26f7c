package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// callTimeout is how long what was typed may take.
const callTimeout = 15 * time.Second

// take does what a line says.
func (t *talk) take(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if line == "" {
		return nil
	}
	if !strings.HasPrefix(line, "/") {
		return t.say(ctx, line)
	}
	name, rest, _ := strings.Cut(line, " ")
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
	return c.do(t, ctx, strings.TrimSpace(rest))
}

// help shows what can be typed.
func (t *talk) help(commands map[string]command) {
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		t.show("· %s %s", name, commands[name].help)
	}
	t.show("· /quit ends the chat; a line without a stroke is said, a customer's first one in a new conversation")
}

// say says something: a customer who has no conversation opens one with it.
func (t *talk) say(ctx context.Context, text string) error {
	switch {
	case t.room != nil:
		return t.echoed(text, func() error {
			_, err := t.SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: t.room.id, Text: text})
			return err
		})
	case t.agent:
		return errNowhere
	}
	var c *goodshipv1.Conversation
	err := t.echoed(text, func() (err error) {
		c, err = t.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: text, ContinueOpen: true})
		return err
	})
	if err != nil {
		return err
	}
	return t.enter(ctx, c.GetId())
}

// echoed sends a text that stands on the screen already, so that it is not shown again when it comes back as a message.
func (t *talk) echoed(text string, send func() error) error {
	if text == "" {
		return send()
	}
	t.mu.Lock()
	t.typed[text]++ // before it is sent, since it may come back at once
	t.mu.Unlock()
	err := send()
	if err != nil {
		t.shown(text)
	}
	return err
}

// shown reports whether a message of the person's own was typed here, once for each time.
func (t *talk) shown(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.typed[text] == 0 {
		return false
	}
	t.typed[text]--
	return true
}

var errNowhere = errors.New("there is no conversation yet; /help shows how to begin one")

// command is what can be typed with a stroke.
type command struct {
	help string
	// anywhere says that it needs no conversation.
	anywhere bool
	do       func(t *talk, ctx context.Context, rest string) error
}

var customerCommands = map[string]command{
	"/solved": {help: "[TEXT] says that it is solved", do: func(t *talk, ctx context.Context, text string) error {
		return t.echoed(text, func() error {
			_, err := t.ConfirmResolution(ctx, &goodshipv1.ConfirmResolutionRequest{ConversationId: t.room.id, Text: text})
			return err
		})
	}},
	"/reject": {help: "[TEXT] says that it is not", do: func(t *talk, ctx context.Context, text string) error {
		return t.echoed(text, func() error {
			_, err := t.RejectResolution(ctx, &goodshipv1.RejectResolutionRequest{ConversationId: t.room.id, Text: text})
			return err
		})
	}},
	"/rate": {help: "PERSONAL EASY [COMMENT] rates what is solved: was it personal, was it easy, each 1 to 5", do: (*talk).rate},
	"/wait": {help: "shows the place in the line and how long it may take", do: func(t *talk, ctx context.Context, _ string) error {
		w, err := t.GetWait(ctx, &goodshipv1.GetWaitRequest{ConversationId: t.room.id})
		if err == nil {
			t.show("· %s", waitLine(w))
		}
		return err
	}},
}

func (t *talk) rate(ctx context.Context, rest string) error {
	var personal, easy int32
	if n, _ := fmt.Sscan(rest, &personal, &easy); n < 2 {
		return errors.New("write two numbers from 1 to 5: /rate PERSONAL EASY, and a comment if you like")
	}
	rating := &goodshipv1.Rating{Solved: proto.Bool(true), Personal: personal, Easy: easy}
	if words := strings.SplitN(rest, " ", 3); len(words) == 3 {
		rating.Comment = words[2]
	}
	_, err := t.RateConversation(ctx, &goodshipv1.RateConversationRequest{ConversationId: t.room.id, Rating: rating})
	return err
}

var agentCommands = map[string]command{
	"/next": {help: "takes the first in line", anywhere: true, do: func(t *talk, ctx context.Context, _ string) error {
		next, err := t.ClaimNextConversation(ctx, nil)
		switch {
		case err != nil:
			return err
		case next.GetConversation() == nil:
			t.show("· nobody waits")
			return nil
		}
		return t.enter(ctx, next.GetConversation().GetId())
	}},
	"/note": {help: "TEXT writes a note, which no customer sees", do: func(t *talk, ctx context.Context, text string) error {
		_, err := t.CreateNote(ctx, &goodshipv1.CreateNoteRequest{ConversationId: t.room.id, Text: text})
		return err
	}},
	"/propose": {help: "fault TEXT, or question TEXT, says what was done and asks whether it is solved", do: (*talk).propose},
	"/release": {help: "gives the conversation back", do: func(t *talk, ctx context.Context, _ string) error {
		_, err := t.ReleaseConversation(ctx, &goodshipv1.ReleaseConversationRequest{ConversationId: t.room.id})
		if err == nil {
			t.leave()
			t.room = nil
			t.show("· released")
		}
		return err
	}},
}

func (t *talk) propose(ctx context.Context, rest string) error {
	kind, text, _ := strings.Cut(rest, " ")
	matter := goodshipv1.Matter(goodshipv1.Matter_value["MATTER_"+strings.ToUpper(kind)])
	if matter == goodshipv1.Matter_MATTER_UNSPECIFIED || text == "" {
		return errors.New("say what it was and what was done: /propose fault TEXT, or /propose question TEXT")
	}
	return t.echoed(text, func() error {
		_, err := t.ProposeResolution(ctx, &goodshipv1.ProposeResolutionRequest{ConversationId: t.room.id, Matter: matter, Done: text, Text: text})
		return err
	})
}
