package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

var backupClock = time.Date(2026, time.March, 1, 9, 0, 0, 1000, time.UTC)

func writeBackup(t interface{ Fatal(...any) }, entries []*storev1.BackupEntry) []byte {
	var b bytes.Buffer
	w, err := store.NewBackupWriter(&b, "epoch", store.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(backupClock); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readBackup(b []byte) ([]*storev1.BackupEntry, error) {
	r, err := store.NewBackupReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	var entries []*storev1.BackupEntry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			if !r.Clock().Equal(backupClock) {
				return entries, fmt.Errorf("got clock %v, want %v", r.Clock(), backupClock)
			}
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
}

func backupEntry(n int, size int) *storev1.BackupEntry {
	return &storev1.BackupEntry{WorkspaceId: fmt.Sprint("work_", n), Object: &storev1.BackupEntry_ApiKey{
		ApiKey: &storev1.ApiKeyRecord{SecretHash: bytes.Repeat([]byte{byte(n)}, size)},
	}}
}

// TestBackup reads what was written.
func TestBackup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []*storev1.BackupEntry
		for n, size := range rapid.SliceOfN(rapid.IntRange(0, 200_000), 0, 5).Draw(t, "sizes") {
			want = append(want, backupEntry(n, size))
		}
		got, err := readBackup(writeBackup(t, want))
		if err != nil || len(got) != len(want) {
			t.Fatalf("got %d entries, %v, want %d", len(got), err, len(want))
		}
		for i := range want {
			if !proto.Equal(got[i], want[i]) {
				t.Fatalf("entry %d: got %v, want %v", i, got[i], want[i])
			}
		}
	})
}

// TestDamagedBackup flips every bit of a backup, cuts it off everywhere, and adds to it: nothing of that is taken for
// whole.
func TestDamagedBackup(t *testing.T) {
	whole := writeBackup(t, []*storev1.BackupEntry{backupEntry(1, 10), backupEntry(2, 0), backupEntry(3, 40)})
	refused := func(what string, b []byte) {
		if _, err := readBackup(b); err == nil {
			t.Fatalf("%s: a damaged backup reads", what)
		} else if !errors.Is(err, store.ErrDataLoss) {
			t.Fatalf("%s: got error %v, want ErrDataLoss", what, err)
		}
	}
	for at := range whole {
		refused(fmt.Sprintf("cut off after %d bytes", at), whole[:at])
		for bit := range 8 {
			damaged := bytes.Clone(whole)
			damaged[at] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d", bit, at), damaged)
		}
	}
	refused("more after the end", append(bytes.Clone(whole), 0))
	refused("twice", append(bytes.Clone(whole), whole...))

	// Each frame by itself is whole: only the trailer tells that they are not those that were written.
	parts := frames(whole)
	for i := range parts[:len(parts)-1] {
		refused(fmt.Sprintf("without part %d", i), bytes.Join(append(parts[:i:i], parts[i+1:]...), nil))
		refused(fmt.Sprintf("part %d twice", i), bytes.Join(append(append(parts[:i+1:i+1], parts[i]), parts[i+1:]...), nil))
	}
	other := frames(writeBackup(t, []*storev1.BackupEntry{backupEntry(7, 10), backupEntry(2, 0), backupEntry(3, 40)}))
	refused("an entry of another backup", bytes.Join(append(append(parts[:2:2], other[2]), parts[3:]...), nil))
	refused("the trailer of another backup", bytes.Join(append(parts[:5:5], other[5]), nil))
}

// frames takes a backup apart: what it begins with, its header, its entries, its trailer.
func frames(backup []byte) [][]byte {
	const magic, head = 16, 9
	parts := [][]byte{backup[:magic]}
	for rest := backup[magic:]; len(rest) > 0; {
		size := head + int(binary.BigEndian.Uint32(rest[1:]))
		parts, rest = append(parts, rest[:size]), rest[size:]
	}
	return parts
}

// TestOnceKey tells request ids apart by every part of their scope.
func TestOnceKey(t *testing.T) {
	keys := make(map[[16]byte]store.Once)
	for _, once := range []store.Once{
		{RequestID: "ab"}, {Scope: "ab"}, {Conversation: "ab"}, {RequestID: "a", Scope: "b"}, {RequestID: "a", Conversation: "b"},
		{Scope: "a", Conversation: "b"}, {RequestID: "a", Scope: "b", Conversation: "c"}, {RequestID: "ab", Scope: "c"}, {},
	} {
		if other, ok := keys[once.Key()]; ok {
			t.Errorf("%+v and %+v have the same key", once, other)
		}
		keys[once.Key()] = once
	}
	if a, b := (store.Once{RequestID: "a", Body: [32]byte{1}}), (store.Once{RequestID: "a", Body: [32]byte{2}}); a.Key() != b.Key() {
		t.Error("the body is part of the key")
	}
}
