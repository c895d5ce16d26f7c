package bolt_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

// TestFullDisk fills a real, small file system.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI runs as root, and yet: %v", err)
		}
		t.Skipf("a file system of its own takes root: %v; TestMaxSize and TestNoSpace cover what they can", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	mustWrite(t, filler, make([]byte, 2<<20))
	path := filepath.Join(dir, "goodship.db")
	st, err := bolt.Open(path, bolt.Options{Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { mustClose(t, st) }()
	n := fill(t, st)
	wantTexts(t, st, n)
	again := fill(t, st)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv", "there is room", nil) })
	if err := st.Ready(); err != nil {
		t.Errorf("Ready when there is room again: %v", err)
	}
	wantTexts(t, st, n+again+1)
	// A full disk is no reason not to open the store: what is there is read.
	mustWrite(t, filler, nil)
	fill(t, st)
	mustClose(t, st)
	if st, err = bolt.Open(path, bolt.Options{Log: discard}); err != nil {
		t.Fatalf("open on a full disk: %v", err)
	}
	mustBeSound(t, st)
}
