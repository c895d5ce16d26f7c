package bolt_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

// closed makes a store and returns its file, when it is closed, and a backup of what was in it before it went on.
func closed(t *testing.T) (path string, backup []byte) {
	t.Helper()
	path = tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, furnished)
	backup = mustBackup(t, st)
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_001", "after the backup", nil) })
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return path, backup
}

// mustHold fails the test unless the file holds what the backup does.
func mustHold(t *testing.T, path string, backup []byte) {
	t.Helper()
	st := mustOpen(t, path, bolt.Options{})
	want := imageOf(t.Context(), mustRestore(t, backup), furnished)
	if diff := want.diff(imageOf(t.Context(), st, furnished)); diff != nil {
		t.Errorf("it differs from the backup: %q", diff)
	}
	mustBeSound(t, st)
}

// mustBeAlone fails the test if something lies in a file's folder beside it, its owner file, and what is named.
func mustBeAlone(t *testing.T, path string, more ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2+len(more) {
		t.Errorf("there is %v, %v; want %s, its owner file and %v", entries, err, path, more)
	}
}

func TestReplaceKeepsWhatWasThere(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func([]byte) []byte{
		"sound":   func(b []byte) []byte { return b },
		"damaged": func(b []byte) []byte { clear(b[:8192]); return b },
		"cut off": func(b []byte) []byte { return b[:5000] },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, backup := closed(t)
			old := harm(mustRead(t, path))
			if err := os.WriteFile(path, old, 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := bolt.Replace(path, bytes.NewReader(backup))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(mustRead(t, before), old) || filepath.Dir(before) != filepath.Dir(path) {
				t.Errorf("%s is not what was there", before)
			}
			mustBeAlone(t, path, before)
			mustHold(t, path, backup)
		})
	}
}

func TestReplaceWhereNothingIs(t *testing.T) {
	t.Parallel()
	_, backup := closed(t)
	path := tempFile(t)
	if before, err := bolt.Replace(path, bytes.NewReader(backup)); err != nil || before != "" {
		t.Errorf("got %q, %v", before, err)
	}
	mustBeAlone(t, path)
	mustHold(t, path, backup)
}

// A link to another disk stays one.
func TestReplaceBehindALink(t *testing.T) {
	t.Parallel()
	path, backup := closed(t)
	link := tempFile(t)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	before, err := bolt.Replace(link, bytes.NewReader(backup))
	if err != nil {
		t.Fatal(err)
	}
	mustBeAlone(t, path, before)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	mustHold(t, link, backup)
}

// What is refused changes nothing and leaves nothing.
func TestReplaceRefuses(t *testing.T) {
	t.Parallel()
	path, backup := closed(t)
	old := mustRead(t, path)
	for _, bad := range [][]byte{nil, backup[:len(backup)-1], bytes.Replace(backup, []byte("conv_001"), []byte("conv_0O1"), 1)} {
		if _, err := bolt.Replace(path, bytes.NewReader(bad)); !errors.Is(err, store.ErrDataLoss) {
			t.Errorf("of %d bytes: got %v, want ErrDataLoss", len(bad), err)
		}
	}
	if !bytes.Equal(mustRead(t, path), old) {
		t.Error("the file is another than before")
	}
	mustBeAlone(t, path)

	st := mustOpen(t, path, bolt.Options{})
	if _, err := bolt.Replace(path, bytes.NewReader(backup)); err == nil || !strings.Contains(err.Error(), "has it open") {
		t.Errorf("under an open store: got %v", err)
	}
	mustBeAlone(t, path)
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_001", "life goes on", nil) })
	mustBeSound(t, st)
}
