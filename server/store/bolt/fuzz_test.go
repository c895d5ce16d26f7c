package bolt

import (
	"bytes"
	"testing"
)

// FuzzFile takes whatever may stand in a file: its first pages, keys and records. Nothing of it may panic.
func FuzzFile(f *testing.F) {
	f.Add([]byte{}, []byte{}, []byte{})
	f.Add(make([]byte, 2*pageSize), headKey(conversationPrefix(1, "conv_1")), []byte{0x0a, 0x02, 0x12, 0x00})
	f.Add([]byte{}, ledgerEntryKey(1, "key_1", 1), []byte{})
	f.Add([]byte{}, dueKey(1, "w", "cred_1"), []byte{})
	f.Fuzz(func(t *testing.T, file, key, record []byte) {
		if _, err := checkFile(bytes.NewReader(file), int64(len(file)), true); err == nil && len(file) == 0 {
			t.Error("an empty file passes for a store")
		}
		if k, ok := parseConversationKey(key); ok && !bytes.Equal(append(append(conversationPrefix(k.workspace, k.id), k.kind), k.rest...), key) {
			t.Errorf("the key %q is taken apart as %+v", key, k)
		}
		if at, workspace, credit, ok := parseDueKey(key); ok && !bytes.HasPrefix(dueKey(at, workspace, credit), key[:8]) {
			t.Errorf("the key %q is taken apart as %d, %q, %q", key, at, workspace, credit)
		}
		for _, of := range []table{conversationTable, objectTable, dueTable} {
			describe(of, key, func(uint32) string { return "w" })
		}
		if len(key) >= 4 {
			if _, err := newLogRecord(key, record); err != nil {
				return
			}
		}
	})
}

// TestGoneComesFirst takes what changed while a backup was taken: a removed conversation must not take with it what came in its
// place, which may be read in other slices.
func TestGoneComesFirst(t *testing.T) {
	t.Parallel()
	prefix := conversationPrefix(1, "conv")
	removed := place{conversationTable, string(headKey(prefix))}
	c := &changes{places: map[place]bool{{conversationTable, string(markKey(prefix, ""))}: false, removed: true, {directoryTable, "key"}: false}}
	places, err := c.take()
	if err != nil || len(places) != 3 || places[0].place != removed || places[1].table != conversationTable || places[2].table != directoryTable {
		t.Errorf("got %+v, %v, want the removed head first", places, err)
	}
}
