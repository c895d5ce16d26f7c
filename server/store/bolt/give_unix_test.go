//go:build unix

package bolt_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/goodship/goodship/server/store/bolt"
)

// owner returns the user whose a file is.
func owner(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

// What an administrator does as root leaves everything to the user as whom the server runs. Run as another user, the test
// holds that this one can do all of it.
func TestFilesBelongToWhoOwnsTheFolder(t *testing.T) {
	t.Parallel()
	path, backup := closed(t)
	folder := filepath.Dir(path)
	if err := os.Remove(path + ".owner"); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		for _, name := range []string{folder, path} {
			if err := os.Chown(name, 12345, 12345); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, do := range map[string]func() error{
		"a compaction": func() error { return bolt.Compact(path) },
		"a replacement": func() error {
			_, err := bolt.Replace(path, bytes.NewReader(backup))
			return err
		},
		"a restore": func() error { return bolt.Restore(filepath.Join(folder, "another.db"), bytes.NewReader(backup)) },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) < 2 {
			t.Fatalf("%v, %v", entries, err)
		}
		for _, e := range entries {
			if got, want := owner(t, filepath.Join(folder, e.Name())), owner(t, folder); got != want {
				t.Errorf("after %s %s is user %d's, want %d's", what, e.Name(), got, want)
			}
		}
	}
}
