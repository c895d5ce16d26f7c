package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/memory"
)

// What was removed before a backup began is in none of its bytes. What is removed meanwhile is whole in what is restored, or gone.

// padding is so much that an engine hands out a part of a backup before it has read the rest.
var padding = strings.Repeat("padding ", 12_000)

// writePadding puts much of what a backup holds, at several places of it.
func (s *subject) writePadding(w string) {
	s.Helper()
	for i := range 3 {
		s.do(w, func(tx store.Tx) error {
			agent, incident := agentRecord(fmt.Sprint("agent of padding ", i), 1), incidentRecord(fmt.Sprint("incident of padding ", i), 1)
			agent.Agent.DisplayName, incident.Incident.WhatHappened = padding, padding
			return errors.Join(tx.PutAgent(agent), tx.PutIncident(incident))
		})
	}
	s.write(w, "conv_05 padding", func(d *draft) { d.head.CustomerKey = "padding"; d.say(padding) })
}

// putSecret puts what is removed with a conversation of writeSecret, and removeSecret removes all of it.
func putSecret(tx store.Tx, id string) error {
	return errors.Join(tx.PutCustomer(customerRecord("customer of "+id, "key of "+id, 1)), putWebhook(tx, "hook "+secretOf(id), 2),
		tx.PutParked(parkedRecord("hook_1", secretOf(id), 1)), tx.PutDelivery("hook_1", delivery(secretOf(id), 1)))
}

func removeSecret(tx store.Tx, id string) error {
	_, err := tx.RemoveWebhookEndpoint("hook "+secretOf(id), all)
	return errors.Join(err, tx.RemoveConversation(id, erased), tx.RemoveCustomer("key of "+id),
		tx.RemoveParked("hook_1", secretOf(id)), tx.RemoveDelivery("hook_1", secretOf(id)))
}

// removedIsInNoBackup backs up again and again, and removes something during each, from its beginning to its end. Every second is
// begun anew in the unit that removes it.
func removedIsInNoBackup(s *subject) {
	var ids []string
	for i := range 10 {
		id := fmt.Sprintf("conv_%02d", i)
		ids = append(ids, id)
		s.writeSecret("w", id, func(d *draft) {
			if i%2 == 0 {
				d.resolve(outcomes[0])
			}
		})
		s.do("w", func(tx store.Tx) error { return putSecret(tx, id) })
	}
	s.writePadding("w")
	removes := func(i int) {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			if err := removeSecret(tx, ids[i]); err != nil || i%2 == 0 {
				return nil, err
			}
			return nil, tx.Append(begin(ids[i], "key_1", tx.Now()).change())
		})
		s.wantErr("Update", err, nil)
	}
	removes(0)
	for n := 1; n < len(ids); n++ {
		file := &interrupted{at: (n - 1) * 80_000, between: func() { removes(n) }}
		s.wantErr("Backup", s.store().Backup(s.ctx, file), nil)
		if file.between != nil {
			s.Errorf("a backup has %d bytes, and was to be interrupted after %d", file.Len(), file.at)
		}
		s.wantFits(&file.Buffer, ids, n)
		if n%4 == 0 {
			s.reopen()
		}
	}
}

// wantFits fails the test unless a backup restores, during which the n-th was removed, and before which those before it were.
func (s *subject) wantFits(backup *bytes.Buffer, ids []string, n int) {
	s.Helper()
	for _, id := range ids[:n] {
		for _, secret := range []string{secretOf(id), "customer of " + id, "key of " + id} {
			if bytes.Contains(backup.Bytes(), []byte(secret)) {
				s.Errorf("a backup that was begun after %s was removed says %q", id, secret)
			}
		}
	}
	restored, err := memory.Restore(backup, memory.Options{Now: s.harness.Clock.Now})
	if err != nil {
		s.Fatalf("a backup during which %s was removed does not restore: %v", ids[n], err)
	}
	in := &subject{T: s.T, ctx: s.ctx, harness: Harness{Store: restored}, workspaces: []string{"w"}}
	img := in.image()
	for i, id := range ids {
		_, errCustomer := restored.CustomerByKey(s.ctx, "w", "key of "+id)
		_, errEndpoint := restored.WebhookEndpoint(s.ctx, "w", "hook "+secretOf(id))
		there := errCustomer == nil
		if there != (errEndpoint == nil) || there != img.names(secretOf(id)) || i < n && there || i > n && !there {
			s.Errorf("restored, %s: customer %v, endpoint %v, and anything names it: %v", id, errCustomer, errEndpoint, img.names(secretOf(id)))
		}
		switch head, err := restored.Conversation(s.ctx, "w", id); {
		case there:
			s.wantErr("restored, "+id, in.gone("w", id), errThere)
		case i%2 == 0:
			s.wantErr("restored, "+id, in.gone("w", id), nil)
		case err != nil || head.GetCustomerKey() != "key_1" || head.GetConversation().GetRevision() != 1:
			s.Errorf("restored, %s, which began anew: got %v, %v", id, head, err)
		}
	}
}

// interrupted is a backup's file beside which something happens once, when it has so many bytes.
type interrupted struct {
	bytes.Buffer
	at      int
	between func()
}

func (i *interrupted) Write(p []byte) (int, error) {
	if between := i.between; between != nil && i.Len()+len(p) > i.at {
		i.between = nil
		between()
	}
	return i.Buffer.Write(p)
}

// removalBesideReaders begins conversations and removes them, while others read them, follow the feed, and back up: they are met
// whole, or not at all.
func removalBesideReaders(s *subject) {
	const rounds = 12
	var writing atomic.Bool
	writing.Store(true)
	unit := func(fn func(store.Tx) error) {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, fn(tx) })
		s.wantErr("Update", err, nil)
	}
	unit(func(tx store.Tx) error { return appendTo(tx, "still", func(d *draft) { d.say("message") }) })
	together(4, func(i int) {
		if i == 0 {
			defer writing.Store(false)
			for range rounds {
				unit(func(tx store.Tx) error {
					var errs error
					for range 3 {
						errs = errors.Join(errs, appendTo(tx, "conv", func(d *draft) { d.say("message"); d.note("note") }))
					}
					return errors.Join(errs, tx.PutCustomer(customerRecord("customer-1", "key_1", 1)), putWebhook(tx, "hook_1", 3))
				})
				unit(func(tx store.Tx) error {
					_, err := tx.RemoveWebhookEndpoint("hook_1", all)
					return errors.Join(err, tx.RemoveConversation("conv", erased), tx.RemoveCustomer("key_1"))
				})
			}
			return
		}
		for done := false; !done; {
			done = !writing.Load() // before the last read
			switch i {
			case 1:
				s.readWhole()
			case 2:
				s.followRemovals()
			case 3:
				restored, err := restore(s.ctx, s.store(), s.harness.Clock)
				if err != nil {
					s.Errorf("backup beside removals, and restore: %v", err)
					return
				}
				(&subject{T: s.T, ctx: s.ctx, harness: Harness{Store: restored}}).readWhole()
			}
		}
	})
	if feed := s.feed("w", 0, all); len(feed) != 1+4*rounds {
		s.Errorf("got a feed of %d, want %d", len(feed), 1+4*rounds)
	}
}

// removalsShareCommits has many begin and remove the same conversations at once: each unit sees what the ones before it left.
func removalsShareCommits(s *subject) {
	ids := []string{"conv_1", "conv_2"}
	toggle := func(tx store.Tx, id string) error {
		head, err := tx.Conversation(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		theirs, err1 := tx.Conversations("key of "+id, all)
		unresolved, err2 := tx.Unresolved("key of " + id)
		if err := errors.Join(err1, err2); err != nil || len(theirs) != len(unresolved) || (head == nil) != (len(theirs) == 0) {
			return errors.Join(err, fmt.Errorf("%s: got %v, of %q and %q", id, head, theirs, unresolved))
		}
		if head != nil {
			return tx.RemoveConversation(id, erased)
		}
		d := begin(id, "key of "+id, tx.Now())
		d.conversation().ExternalId = "external of " + id
		d.say("message")
		return tx.Append(d.change())
	}
	together(8, func(i int) {
		for j := range 12 {
			once := store.Once{RequestID: fmt.Sprint(i, "/", j), Conversation: ids[j%2], Scope: []string{"a", "b"}[i%2], Forever: i%2 == 1}
			_, err := s.update("w", once, func(tx store.Tx) (*storev1.Receipt, error) {
				if i == 3 && j%4 == 0 {
					return nil, errors.Join(toggle(tx, ids[j%2]), errOwn)
				}
				return &storev1.Receipt{}, toggle(tx, ids[j%2])
			})
			if i != 3 || j%4 != 0 {
				s.wantErr("Update", err, nil)
			}
		}
	})
	there := make(map[string]bool)
	feed := s.feed("w", 0, all)
	for i, entry := range feed {
		if removed := entry.RemovalCause == erased; removed != there[entry.ConversationID] {
			s.Errorf("got the feed entry %+v at %d, of a conversation of which it is %v that it is there", entry, i, !removed)
		}
		there[entry.ConversationID] = !there[entry.ConversationID]
	}
	for _, id := range ids {
		if _, err := s.store().ByExternalID(s.ctx, "w", "external of "+id); (err == nil) != there[id] {
			s.Errorf("ByExternalID of %s: got %v, want it there: %v", id, err, there[id])
		}
	}
	if len(feed) != 8*12-3 {
		s.Errorf("got a feed of %d, want %d", len(feed), 8*12-3)
	}
}

// readWhole fails the test unless all there is of a conversation of three messages is there, or nothing.
func (s *subject) readWhole() {
	records, err := s.store().Records(s.ctx, "w", "conv", 0, all)
	if s.is("Records", len(records) != 3, err) != "" {
		s.Errorf("Records: got %v, want three, or ErrNotFound", records)
	}
	messages, err := s.store().Messages(s.ctx, "w", "conv", store.Range{Limit: all, Descending: true})
	if s.is("Messages", len(messages) != 3, err) != "" {
		s.Errorf("Messages: got %v, want three, or ErrNotFound", messages)
	}
	of, err := s.store().FeedOf(s.ctx, "w", []string{defaultCustomer}, 0, all)
	if s.is("FeedOf", len(of) != 1 && len(of) != 4, err) != "" {
		s.Errorf("FeedOf: got %d entries, want the one that stays, or three more", len(of))
	}
	heads, err := walk(s.ctx, s.store(), "w", store.Query{CustomerKeys: []string{defaultCustomer}}, all, nil)
	if s.is("List", len(heads) != 1 && len(heads) != 2, err) != "" {
		s.Errorf("List: got %v, want the one that stays, or one more", heads)
	}
}

// followRemovals fails the test unless the feed has the records of a conversation until it was removed, and none since.
func (s *subject) followRemovals() {
	feed := s.feed("w", 0, all)
	for i, entry := range feed {
		switch n := (i - 1) % 4; {
		case i == 0:
		case (n == 3) != (entry.RemovalCause == erased):
			s.Errorf("got the feed entry %+v at %d", entry, i)
		case n < 3 && (entry.Record == nil) != (len(feed) > i+3-n):
			s.Errorf("got the feed entry %+v, of %d, want a record until it is removed by %d", entry, len(feed), i+4-n)
		}
	}
}
