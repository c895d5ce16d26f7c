package storetest

import (
	"errors"
	"fmt"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// Append takes what follows, and nothing of what does not (invariants 2 and 3).

// wrongNumbers each spoil a change that adds one of everything and replaces the first of everything.
var wrongNumbers = map[string]func(*store.Change){
	"no event":       func(c *store.Change) { c.Record.Events = nil },
	"revision again": func(c *store.Change) { c.Record.Events[0].Revision-- },
	"only event again": func(c *store.Change) {
		before := c.Record.Events[0].GetRevision() - 1
		c.Record.Events = c.Record.Events[:1]
		c.Record.Events[0].Revision = before
		c.Head.Conversation.Revision, c.Head.Conversation.PublicRevision = before+1, c.Record.Events[0].GetPublicRevision()
	},
	"revision left out":             func(c *store.Change) { c.Record.Events[0].Revision++ },
	"public revision again":         func(c *store.Change) { c.Record.Events[0].PublicRevision-- },
	"public revision left out":      func(c *store.Change) { c.Record.Events[0].PublicRevision++ },
	"revision of the head":          func(c *store.Change) { c.Head.Conversation.Revision++ },
	"public revision of the head":   func(c *store.Change) { c.Head.Conversation.PublicRevision++ },
	"message again":                 func(c *store.Change) { c.Record.Message.Number-- },
	"message left out":              func(c *store.Change) { c.Record.Message.Number++ },
	"message not there":             func(c *store.Change) { c.Record.Message = nil },
	"message count of the head":     func(c *store.Change) { c.Head.Conversation.MessageCount++ },
	"message count of the record":   func(c *store.Change) { c.Record.MessageCount++ },
	"note again":                    func(c *store.Change) { c.Record.Note.Number-- },
	"note left out":                 func(c *store.Change) { c.Record.Note.Number++ },
	"note not there":                func(c *store.Change) { c.Record.Note = nil },
	"note count of the head":        func(c *store.Change) { c.Head.Conversation.NoteCount++ },
	"note count of the record":      func(c *store.Change) { c.Record.NoteCount++ },
	"resolution left out":           func(c *store.Change) { c.Resolutions[0].Number++ },
	"resolution not there":          func(c *store.Change) { c.Resolutions = nil },
	"resolution count of the head":  func(c *store.Change) { c.Head.Conversation.ResolutionCount++ },
	"edited message that is not":    func(c *store.Change) { c.Messages[0].Number = 9 },
	"edited message without number": func(c *store.Change) { c.Messages[0].Number = 0 },
	"edited note that is not":       func(c *store.Change) { c.Notes[0].Number = 9 },
	"no conversation":               func(c *store.Change) { c.Head.Conversation = nil },
}

// addOneOfEach adds a message, a note and a resolution.
func addOneOfEach(text string) func(*draft) {
	return func(d *draft) {
		d.say(text)
		d.note(text)
		d.propose(text)
	}
}

// appendSpoilt appends a change that adds one of each and replaces the first of each, after it was spoilt.
func appendSpoilt(tx store.Tx, id string, spoil func(*store.Change)) error {
	d, err := draftOf(tx, id)
	if err != nil {
		return err
	}
	addOneOfEach("spoilt")(d)
	d.edit(1, "spoilt")
	d.editNote(1, "spoilt")
	change := d.change()
	spoil(&change)
	return tx.Append(change)
}

func appendChecksNumbers(s *subject) {
	spoilt := func(spoil func(*store.Change)) error {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			return nil, appendSpoilt(tx, "conv", spoil)
		})
		return err
	}
	s.write("w", "conv", addOneOfEach("text"))
	before := s.image()
	for name, spoil := range wrongNumbers {
		if err := spoilt(spoil); err == nil {
			s.Errorf("Append took a change with a wrong number: %s", name)
		}
	}
	s.unchanged("refused appends", before)
	s.wantErr("the change as it was before it was spoilt", spoilt(func(*store.Change) {}), nil)
}

// refusedAppendLeavesNothing goes on in a unit after an append was refused, as a caller may who does something else then.
func refusedAppendLeavesNothing(s *subject) {
	s.write("w", "conv_1", func(d *draft) {
		d.conversation().ExternalId = "external"
		addOneOfEach("first")(d)
	})
	s.do("w", func(tx store.Tx) error {
		err := appendTo(tx, "conv_2", func(d *draft) {
			d.conversation().ExternalId = "external"
			d.wait(d.now.Add(-time.Hour))
			d.say("spoilt")
		})
		if !errors.Is(err, store.ErrExternalIDTaken) {
			return fmt.Errorf("got error %w, want ErrExternalIDTaken", err)
		}
		if _, err := tx.Conversation("conv_2"); !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("a unit reads what was refused: got error %w, want ErrNotFound", err)
		}
		if err := wantOldest(tx, "after a refused append", "conv_1"); err != nil {
			return err
		}
		for name, spoil := range wrongNumbers {
			if err := appendSpoilt(tx, "conv_1", spoil); err == nil {
				return fmt.Errorf("a change with a wrong number was taken: %s", name)
			}
		}
		return appendTo(tx, "conv_1", func(d *draft) { d.say("taken") })
	})
	s.wantMessages("w", "conv_1", []string{"first", "taken"})
	if s.image().names("spoilt") || s.image().names("conv_2") {
		s.Error("what was refused can be read")
	}
}
