package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// all is a limit above whatever a test makes.
const all = 1000

// subject is the store under test in one test.
type subject struct {
	*testing.T
	ctx     context.Context
	harness Harness

	mu         sync.Mutex
	workspaces []string
}

func newSubject(t *testing.T, harness Harness) *subject {
	t.Helper()
	return &subject{T: t, ctx: t.Context(), harness: harness}
}

func (s *subject) store() store.Store { return s.harness.Store }

// knows notes workspaces that a test writes to, so that full scans cover them.
func (s *subject) knows(workspaces ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range workspaces {
		if !slices.Contains(s.workspaces, w) {
			s.workspaces = append(s.workspaces, w)
		}
	}
}

// update is the store's Update with the test's context.
func (s *subject) update(workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	s.knows(workspace)
	return s.store().Update(s.ctx, workspace, once, fn)
}

// do runs a unit that must succeed.
func (s *subject) do(workspace string, fn func(store.Tx) error) {
	s.Helper()
	if _, err := s.update(workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, fn(tx) }); err != nil {
		s.Fatalf("Update: %v", err)
	}
}

// write appends to one conversation, which it begins if there is none, in a unit that must succeed.
func (s *subject) write(workspace, id string, edit func(*draft)) {
	s.Helper()
	s.do(workspace, func(tx store.Tx) error { return appendTo(tx, id, edit) })
}

// appendTo appends to one conversation, which it begins if there is none.
func appendTo(tx store.Tx, id string, edit func(*draft)) error {
	d, err := draftOf(tx, id)
	if err != nil {
		return err
	}
	edit(d)
	return tx.Append(d.change())
}

// head returns a conversation that must be there.
func (s *subject) head(workspace, id string) *storev1.Head {
	s.Helper()
	head, err := s.store().Conversation(s.ctx, workspace, id)
	if err != nil {
		s.Fatalf("Conversation(%q, %q): %v", workspace, id, err)
	}
	return head
}

// reopen closes and opens the store.
func (s *subject) reopen() {
	s.Helper()
	var err error
	if s.harness.Store, err = s.harness.Reopen(); err != nil {
		s.Fatalf("Reopen: %v", err)
	}
}

// crash drops the store and opens it, if the engine can.
func (s *subject) crash() {
	s.Helper()
	if s.harness.Crash == nil {
		return
	}
	var err error
	if s.harness.Store, err = s.harness.Crash(); err != nil {
		s.Fatalf("Crash: %v", err)
	}
}

// recover reopens a store that takes no writes after a failure.
func (s *subject) recover() {
	s.Helper()
	if s.store().Ready() != nil {
		s.reopen()
	}
}

// image returns everything that can be read of the workspaces that the test wrote to.
func (s *subject) image() image {
	s.Helper()
	img, err := scan(s.ctx, s.store(), s.workspaces, someQueries)
	if err != nil {
		s.Fatalf("full scan: %v", err)
	}
	return img
}

// unchanged fails the test if anything that can be read is not as in the image.
func (s *subject) unchanged(what string, before image) {
	s.Helper()
	if diff := before.diff(s.image()); diff != "" {
		s.Fatalf("%s: something changed (- before, + after):\n%s", what, diff)
	}
}

// survives ends every test: what it left is the same after Reopen and Crash, and Check finds nothing wrong with it.
func (s *subject) survives() {
	s.Helper()
	left := s.image()
	s.reopen()
	s.unchanged("Reopen", left)
	s.sound(left)
	s.crash()
	s.unchanged("Crash", left)
	s.sound(left)
}

// sound fails the test if Check finds a problem, or does not count what is there.
func (s *subject) sound(img image) {
	s.Helper()
	for _, deep := range []bool{false, true} {
		report, err := s.store().Check(s.ctx, deep)
		if err != nil {
			s.Fatalf("Check(%v): %v", deep, err)
		}
		for _, problem := range report.Problems {
			s.Errorf("Check(%v): %s", deep, problem)
		}
		got := counts{report.Conversations, report.Messages, report.Events}
		if want := img.counts; got != want {
			s.Errorf("Check(%v) counts %+v, want %+v", deep, got, want)
		}
	}
}

// wantErr fails the test unless an error is the wanted one; nil for none.
func (s *subject) wantErr(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// together runs fn n times at once, with 0 to n-1, and waits for all.
func together(n int, fn func(i int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { fn(i) })
	}
	running.Wait()
}

// wantMessages fails the test unless a conversation's messages are these texts, in whatever order, under dense numbers.
func (s *subject) wantMessages(workspace, conversation string, want []string) {
	s.Helper()
	messages, err := s.store().Messages(s.ctx, workspace, conversation, store.Range{From: 1, Limit: all})
	s.wantErr("Messages", err, nil)
	var got []string
	for i, m := range messages {
		got = append(got, m.GetText())
		if m.GetNumber() != int32(i+1) {
			s.Errorf("message %d has number %d", i+1, m.GetNumber())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.Errorf("got messages %q, want %q", got, want)
	}
}
