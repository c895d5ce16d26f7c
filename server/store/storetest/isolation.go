package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// What is in one workspace is not found from another, also where one name begins like another.

// alike are names that an engine could take for one another.
var alike = []string{"a", "ab", "a/b", "a\x00b", "a\x00", "b", "a b", "A"}

// workspacesAreApart puts the same ids, and one of its own, into workspaces with names that are alike.
func workspacesAreApart(s *subject) {
	for _, w := range alike {
		s.do(w, func(tx store.Tx) error { return furnishAs(tx, w, "same", w) })
		s.do(w, func(tx store.Tx) error { return furnishAs(tx, w, "only in "+w, w) })
	}
	workspaces, err := s.store().Workspaces(s.ctx)
	s.wantErr("Workspaces", err, nil)
	var got []string
	for _, w := range workspaces {
		got = append(got, w.GetWorkspace().GetId())
	}
	if want := slices.Sorted(slices.Values(alike)); !slices.Equal(got, want) {
		s.Errorf("got workspaces %q, want %q", got, want)
	}
	for _, w := range append(slices.Clone(alike), "nobody's") {
		for _, other := range alike {
			if w != other {
				s.wantNothing(w, "only in "+other)
			}
		}
		if w != "nobody's" {
			s.wantOwn(w, "same", w)
		}
	}
	s.wantEmpty("nobody's")
}

// idsAreApart puts objects with ids that are alike into one workspace.
func idsAreApart(s *subject) {
	for _, id := range alike {
		s.do("w", func(tx store.Tx) error { return furnishAs(tx, "w", id, id) })
	}
	for _, id := range alike {
		s.wantOwn("w", id, id)
	}
	for _, missing := range []string{"", "a\x00b\x00", "abc", "a/", "/b", "aa"} {
		s.wantNothing("w", missing)
	}
}

// furnishAs puts one object of each kind under an id, each of which says a text.
func furnishAs(tx store.Tx, workspace, id, text string) error {
	key := apiKeyRecord(workspace, id, 1)
	key.ApiKey.DisplayName = text
	agent := agentRecord(id, 1)
	agent.Agent.DisplayName = text
	customer := customerRecord(id, "key of "+id, 1)
	customer.Customer.DisplayName = text
	return errors.Join(
		tx.PutWorkspace(workspaceRecord(workspace, 1)), tx.PutAgent(agent), tx.PutCustomer(customer), tx.PutAPIKey(key),
		appendTo(tx, id, func(d *draft) {
			d.conversation().ExternalId = "external of " + id
			d.conversation().Subject = text
			d.say(text)
			d.note(text)
			d.propose(text)
		}),
		tx.PutReadMark(id, &storev1.ReadMarkRecord{AgentId: id, MessageNumber: 1}),
		putOthersAs(tx, id, text),
	)
}

// wantOwn fails the test unless every read of an id in a workspace gives what furnishAs put there, and that alone.
func (s *subject) wantOwn(w, id, text string) {
	s.Helper()
	st, ctx, r := s.store(), s.ctx, store.Range{Limit: all, Descending: true}
	head, err1 := st.Conversation(ctx, w, id)
	external, err2 := st.ByExternalID(ctx, w, "external of "+id)
	messages, err3 := st.Messages(ctx, w, id, r)
	notes, err4 := st.Notes(ctx, w, id, r)
	resolutions, err5 := st.Resolutions(ctx, w, id, r)
	marks, err6 := st.ReadMarks(ctx, w, id)
	events, err7 := eventsOf(ctx, st, w, id, 0, all)
	agent, err8 := st.Agent(ctx, w, id)
	customer, err9 := st.Customer(ctx, w, id)
	byKey, err10 := st.CustomerByKey(ctx, w, "key of "+id)
	key, err11 := st.APIKey(ctx, w, id)
	byHash, err12 := st.APIKeyByHash(ctx, apiKeyRecord(w, id, 1).GetSecretHash())
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12); err != nil {
		s.Errorf("in %q, %q: %v", w, id, err)
		return
	}
	for _, got := range []string{
		head.GetConversation().GetSubject(), external.GetConversation().GetSubject(), messages[0].GetText(), notes[0].GetText(),
		resolutions[0].GetDone(), agent.GetAgent().GetDisplayName(), customer.GetCustomer().GetDisplayName(),
		byKey.GetCustomer().GetDisplayName(), key.GetApiKey().GetDisplayName(), byHash.GetApiKey().GetDisplayName(),
	} {
		if got != text {
			s.Errorf("in %q, %q: got %q, want %q", w, id, got, text)
		}
	}
	if len(messages) != 1 || len(notes) != 1 || len(resolutions) != 1 || len(marks) != 1 || marks[0].GetAgentId() != id || len(events) != 4 {
		s.Errorf("in %q, %q: got %d messages, %d notes, %d resolutions, marks %v, %d events, want its own",
			w, id, len(messages), len(notes), len(resolutions), marks, len(events))
	}
	s.wantOwnOthers(w, id, text)
}

// wantNothing fails the test unless every read of an id in a workspace, outside and inside a unit, finds nothing.
func (s *subject) wantNothing(w, id string) {
	s.Helper()
	st, ctx, r := s.store(), s.ctx, store.Range{Limit: all, Descending: true}
	_, err1 := st.Conversation(ctx, w, id)
	_, err2 := st.ByExternalID(ctx, w, "external of "+id)
	_, err3 := st.Messages(ctx, w, id, r)
	_, err4 := st.Notes(ctx, w, id, r)
	_, err5 := st.Resolutions(ctx, w, id, r)
	_, err6 := st.ReadMarks(ctx, w, id)
	_, err7 := eventsOf(ctx, st, w, id, 0, all)
	_, err8 := st.Agent(ctx, w, id)
	_, err9 := st.Customer(ctx, w, id)
	_, err10 := st.CustomerByKey(ctx, w, "key of "+id)
	_, err11 := st.APIKey(ctx, w, id)
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11} {
		s.wantErr(fmt.Sprintf("in %q, %q: read %d", w, id, i+1), err, store.ErrNotFound)
	}
	_, err := s.update(w, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		_, err1 := tx.Conversation(id)
		_, err2 := tx.Message(id, 1)
		_, err3 := tx.Note(id, 1)
		_, err4 := tx.Resolution(id, 1)
		_, err5 := tx.Agent(id)
		_, err6 := tx.Customer(id)
		_, err7 := tx.CustomerByKey("key of " + id)
		_, err8 := tx.APIKey(id)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8} {
			s.wantErr(fmt.Sprintf("in %q, %q: read %d in a unit", w, id, i+1), err, store.ErrNotFound)
		}
		if mark, err := tx.ReadMark(id, id); err == nil && mark.GetMessageNumber() != 0 {
			s.Errorf("in %q, %q: got the read mark %v", w, id, mark)
		}
		return nil, tx.PutReadMark(id, &storev1.ReadMarkRecord{MessageNumber: 7})
	})
	s.wantErr(fmt.Sprintf("in %q, %q: PutReadMark", w, id), err, store.ErrNotFound)
	s.wantNoOthers(w, id)
}

// wantEmpty fails the test unless a workspace that nobody wrote to reads as one in which there is nothing.
func (s *subject) wantEmpty(w string) {
	s.Helper()
	st, ctx := s.store(), s.ctx
	_, err := st.Workspace(ctx, w)
	s.wantErr("Workspace", err, store.ErrNotFound)
	heads, next, err1 := st.List(ctx, w, store.Query{}, nil, all)
	feed, err2 := st.Feed(ctx, w, 0, all)
	agents, err3 := st.Agents(ctx, w, "", all)
	customers, err4 := st.Customers(ctx, w, "", all)
	keys, err5 := st.APIKeys(ctx, w, "", all)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || next != nil || len(heads)+len(feed)+len(agents)+len(customers)+len(keys) != 0 {
		s.Errorf("%q: got %v, %v, %v, %v, %v, %v, next %v, want nothing", w, heads, feed, agents, customers, keys, err, next)
	}
	s.do(w, func(tx store.Tx) error {
		_, err := tx.Workspace()
		s.wantErr("Workspace in a unit", err, store.ErrNotFound)
		oldest, err1 := tx.OldestWaiting()
		newest, err2 := tx.NewestUnresolved(defaultCustomer)
		if err := errors.Join(err1, err2); err != nil || oldest != "" || newest != "" {
			return errors.Join(err, fmt.Errorf("got oldest %q, newest %q, want none", oldest, newest))
		}
		return nil
	})
}

// externalIDsAreUnique begins two conversations under one external id, in one unit and in two, and in two workspaces.
func externalIDsAreUnique(s *subject) {
	under := func(id, external string) func(tx store.Tx) error {
		return func(tx store.Tx) error {
			return appendTo(tx, id, func(d *draft) { d.conversation().ExternalId = external; d.say("message") })
		}
	}
	refused := func(what string, fn func(tx store.Tx) error) {
		s.Helper()
		before := s.image()
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, fn(tx) })
		s.wantErr(what, err, store.ErrExternalIDTaken)
		s.unchanged(what, before)
	}
	refused("in one unit", func(tx store.Tx) error {
		return errors.Join(under("conv_0", "external")(tx), under("conv_1", "external")(tx))
	})
	s.do("w", under("conv_1", "external"))
	s.do("w", under("conv_1", "external")) // its own is not another's
	s.do("w2", under("conv_1", "external"))
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		refused("in another unit", under("conv_2", "external"))
	}
	s.write("w", "conv_1", func(d *draft) { d.resolve(goodshipv1.Outcome_OUTCOME_CONFIRMED) })
	refused("of one that is resolved", under("conv_2", "external"))
	var begun atomic.Int32
	together(8, func(i int) {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			return nil, under(fmt.Sprintf("race_%d", i), "raced for")(tx)
		})
		if err == nil {
			begun.Add(1)
		} else {
			s.wantErr("racing for an external id", err, store.ErrExternalIDTaken)
		}
	})
	if begun.Load() != 1 {
		s.Errorf("%d units that raced for an external id got it", begun.Load())
	}
	s.do("w", under("conv_3", "externa"))
	s.do("w", under("conv_4", ""))
	s.do("w", under("conv_5", ""))
	for _, none := range []string{"", "ext", "external2"} {
		_, err := s.store().ByExternalID(s.ctx, "w", none)
		s.wantErr(fmt.Sprintf("ByExternalID(%q)", none), err, store.ErrNotFound)
	}
	for _, w := range []string{"w", "w2"} {
		head, err := s.store().ByExternalID(s.ctx, w, "external")
		if err != nil || head.GetConversation().GetId() != "conv_1" || head.GetConversation().GetRevision() != s.head(w, "conv_1").GetConversation().GetRevision() {
			s.Errorf("ByExternalID in %q: got %v, %v, want conv_1 as it is", w, head, err)
		}
	}
}
