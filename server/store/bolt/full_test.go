package bolt_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

// What a store without room does: it refuses writes, reads go on, and it recovers by itself.

// fill appends until there is no room, and returns how many texts of a conversation were acknowledged.
func fill(t *testing.T, st *bolt.Store) int {
	t.Helper()
	for n := range 100_000 {
		err := update(t.Context(), st, func(tx store.Tx) error {
			return say(tx, "conv", fmt.Sprintf("%d %s", n, strings.Repeat("x", 10_000)), nil)
		})
		if err == nil {
			continue
		}
		if !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("without room: got error %v, want ErrFull", err)
		}
		return n
	}
	t.Fatal("there was room for everything")
	return 0
}

// wantTexts fails the test unless a conversation has so many messages and the store is sound.
func wantTexts(t *testing.T, st *bolt.Store, want int) {
	t.Helper()
	head, err := st.Conversation(t.Context(), workspace, "conv")
	if err != nil || head.GetConversation().GetMessageCount() != int32(want) {
		t.Errorf("got %v, %v, want %d messages", head.GetConversation().GetMessageCount(), err, want)
	}
	mustBeSound(t, st)
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{MaxSize: 4 << 20})
	n := fill(t, st)
	if err := st.Ready(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Ready: got %v, want ErrFull", err)
	}
	wantTexts(t, st, n)
	if info, err := os.Stat(path); err != nil || info.Size() > 5<<20 {
		t.Errorf("got %d bytes, %v, want about 4 MiB", info.Size(), err)
	}
	mustClose(t, st)
	st = mustOpen(t, path, bolt.Options{})
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv", "there is room", nil) })
	wantTexts(t, st, n+1)
}

// TestNoSpace has commits fail as the system fails them.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, 3)
	before := imageOf(t.Context(), st, 3)
	failing := true
	bolt.SetHooks(st, nothing, func() error {
		if failing {
			return &os.PathError{Op: "write", Path: "goodship.db", Err: syscall.ENOSPC}
		}
		return nil
	}, nothing)
	for range 3 {
		if err := update(t.Context(), st, func(tx store.Tx) error { return say(tx, "conv_001", "text", resolve) }); !errors.Is(err, store.ErrFull) {
			t.Errorf("got error %v, want ErrFull", err)
		}
	}
	if err := st.Ready(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Ready: got %v, want ErrFull", err)
	}
	if diff := before.diff(imageOf(t.Context(), st, 3)); diff != nil {
		t.Errorf("units without room left something: %q", diff)
	}
	failing = false
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_001", "text", resolve) })
	if err := st.Ready(); err != nil {
		t.Errorf("Ready when there is room again: %v", err)
	}
	mustBeSound(t, st)
}
