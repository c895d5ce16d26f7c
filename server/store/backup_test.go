package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

var backupClock = time.Date(2026, time.March, 1, 9, 0, 0, 1000, time.UTC)

// backupOf returns a backup of so many entries.
func backupOf(t testing.TB, entries int) []byte {
	t.Helper()
	var backup bytes.Buffer
	w, err := store.NewBackupWriter(&backup, "epoch")
	if err != nil {
		t.Fatalf("NewBackupWriter: %v", err)
	}
	for i := range entries {
		if err := w.Write(backupEntry(i)); err != nil {
			t.Fatalf("Write: %v", err)
		}
	}
	if err := w.Close(backupClock); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return backup.Bytes()
}

func backupEntry(i int) *storev1.BackupEntry {
	return &storev1.BackupEntry{WorkspaceId: fmt.Sprint("workspace ", i), Object: &storev1.BackupEntry_Agent{
		Agent: &storev1.AgentRecord{Agent: &goodshipv1.Agent{Id: fmt.Sprint("agent_", i)}, Version: int32(i)},
	}}
}

// readBackup reads to the end and returns how many entries there were, and io.EOF if the backup is whole.
func readBackup(in io.Reader) (entries []*storev1.BackupEntry, clock time.Time, err error) {
	r, err := store.NewBackupReader(in)
	if err != nil {
		return nil, time.Time{}, err
	}
	for {
		e, err := r.Next()
		if err != nil {
			return entries, r.Clock(), err
		}
		entries = append(entries, e)
	}
}

func TestBackupReadsAsWritten(t *testing.T) {
	for _, count := range []int{0, 1, 5} {
		backup := backupOf(t, count)
		// A reader that gives a byte at a time is a slow network.
		for _, in := range []io.Reader{bytes.NewReader(backup), iotest.OneByteReader(bytes.NewReader(backup))} {
			entries, clock, err := readBackup(in)
			if !errors.Is(err, io.EOF) || len(entries) != count || !clock.Equal(backupClock) {
				t.Errorf("got %d entries, clock %v, %v, want %d, %v, io.EOF", len(entries), clock, err, count, backupClock)
			}
			for i, e := range entries {
				if !proto.Equal(e, backupEntry(i)) {
					t.Errorf("entry %d: got %v", i, e)
				}
			}
		}
	}
}

// TestBackupIsWholeOrRefused cuts a backup off everywhere, and flips every bit of it.
func TestBackupIsWholeOrRefused(t *testing.T) {
	backup := backupOf(t, 3)
	for i := range backup {
		if _, _, err := readBackup(bytes.NewReader(backup[:i])); !errors.Is(err, store.ErrDataLoss) {
			t.Errorf("cut off after %d of %d bytes: got %v, want ErrDataLoss", i, len(backup), err)
		}
		for bit := range 8 {
			damaged := bytes.Clone(backup)
			damaged[i] ^= 1 << bit
			if _, _, err := readBackup(bytes.NewReader(damaged)); !errors.Is(err, store.ErrDataLoss) {
				t.Errorf("bit %d of byte %d flipped: got %v, want ErrDataLoss", bit, i, err)
			}
		}
	}
	if _, _, err := readBackup(bytes.NewReader(append(bytes.Clone(backup), 0))); !errors.Is(err, store.ErrDataLoss) {
		t.Errorf("with a byte more: got %v, want ErrDataLoss", err)
	}
	if _, _, err := readBackup(bytes.NewReader(append(bytes.Clone(backup), backup...))); !errors.Is(err, store.ErrDataLoss) {
		t.Errorf("twice: got %v, want ErrDataLoss", err)
	}
}

func TestBackupOfLostAndSwappedEntriesIsRefused(t *testing.T) {
	empty, backup := backupOf(t, 0), backupOf(t, 2)
	// The entries have one size, so they are what the longer backup has more.
	trailer := len(empty) - bytes.Index(empty, []byte("epoch")) - len("epoch")
	start, end := len(empty)-trailer, len(backup)-trailer
	first, second := backup[start:(start+end)/2], backup[(start+end)/2:end]
	for name, entries := range map[string][]byte{
		"without the first": second, "without the second": first, "in another order": append(bytes.Clone(second), first...), "with one twice": append(bytes.Clone(backup[start:end]), first...),
	} {
		forged := append(append(bytes.Clone(backup[:start]), entries...), backup[end:]...)
		if _, _, err := readBackup(bytes.NewReader(forged)); !errors.Is(err, store.ErrDataLoss) {
			t.Errorf("%s: got %v, want ErrDataLoss", name, err)
		}
	}
}

func TestBackupErrorsOfFilesPassThrough(t *testing.T) {
	errDisk := errors.New("the disk's own error")
	backup := backupOf(t, 3)
	for i := range backup {
		in := io.MultiReader(bytes.NewReader(backup[:i]), iotest.ErrReader(errDisk))
		if _, _, err := readBackup(in); !errors.Is(err, errDisk) || errors.Is(err, store.ErrDataLoss) {
			t.Errorf("reading fails after %d bytes: got %v, want the disk's own error", i, err)
		}
	}
	w, err := store.NewBackupWriter(failingWriter{errDisk}, "epoch")
	if err == nil {
		err = w.Close(backupClock)
	}
	if !errors.Is(err, errDisk) {
		t.Errorf("writing fails: got %v, want the disk's own error", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// FuzzBackupReader reads anything: it ends with an error or as a whole backup, and takes no memory for lengths it is told.
func FuzzBackupReader(f *testing.F) {
	for count := range 3 {
		f.Add(backupOf(f, count))
	}
	f.Add([]byte("goodship backup\n\x01\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, backup []byte) {
		entries, _, err := readBackup(bytes.NewReader(backup))
		if err == nil || len(entries) > len(backup) {
			t.Errorf("got %d entries of %d bytes, and no end", len(entries), len(backup))
		}
	})
}

// TestOnceKeys has no two different requests with one key.
func TestOnceKeys(t *testing.T) {
	seen := make(map[[16]byte]store.Once)
	for _, o := range []store.Once{
		{}, {RequestID: "a"}, {Scope: "a"}, {Conversation: "a"}, {RequestID: "ab"}, {RequestID: "a", Scope: "b"}, {RequestID: "a", Conversation: "b"},
		{Scope: "ab"}, {Scope: "a", Conversation: "b"}, {Conversation: "ab"}, {RequestID: "a\x00", Scope: "b"}, {RequestID: "a", Scope: "\x00b"},
	} {
		if other, ok := seen[o.Key()]; ok {
			t.Errorf("%+v and %+v have one key", o, other)
		}
		seen[o.Key()] = o
	}
	// The body is no part of the key: it is compared.
	if (store.Once{RequestID: "a", Body: [32]byte{1}}).Key() != (store.Once{RequestID: "a"}).Key() {
		t.Error("the body changes the key")
	}
}
