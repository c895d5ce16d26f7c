package bolt_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"go.etcd.io/bbolt"
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

// A server that waits while the file is replaced gets the new one, and writes nothing to the one from before.
func TestReplaceWhileAServerWaits(t *testing.T) {
	t.Parallel()
	path, backup := closed(t)
	old := mustRead(t, path)
	reader, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true}) // a server waits for it, a replacement does not
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	var st *bolt.Store
	go func() {
		var err error
		st, err = bolt.Open(path, bolt.Options{LockTimeout: time.Minute, Log: discard})
		opened <- err
	}()
	awaitDescriptors(path, 2)
	before, err := bolt.Replace(path, bytes.NewReader(backup))
	if err := errors.Join(err, reader.Close(), <-opened); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_001", "after the replacement", nil) })
	want := imageOf(t.Context(), st, furnished)
	mustClose(t, st)
	if !bytes.Equal(mustRead(t, before), old) {
		t.Error("the file from before was written to")
	}
	if diff := want.diff(imageOf(t.Context(), mustOpen(t, path, bolt.Options{}), furnished)); diff != nil {
		t.Errorf("what was written is not in the new file: %q", diff)
	}
}

// awaitDescriptors waits until this process has a file open so many times, where it can be known.
func awaitDescriptors(path string, want int) {
	const folder = "/proc/self/fd"
	for got := 0; got < want; runtime.Gosched() {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return
		}
		got = 0
		for _, e := range entries {
			if to, _ := os.Readlink(filepath.Join(folder, e.Name())); to == path {
				got++
			}
		}
	}
}

// What cannot be opened is not known to be damaged, and stays.
func TestReplaceWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	_, backup := closed(t)
	path := tempFile(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it has served
	if before, err := bolt.Replace(path, bytes.NewReader(backup)); err == nil {
		t.Errorf("it was replaced and is %s now", before)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("there is %v, %v", info, err)
	}
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
