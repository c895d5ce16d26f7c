package bolt

import (
	"bytes"
	"testing"
)

// FuzzFile takes whatever may stand in a file: its first pages, keys and records. Nothing of it may panic.
func FuzzFile(f *testing.F) {
	f.Add([]byte{}, []byte{}, []byte{})
	f.Add(make([]byte, 2*pageSize), headKey(conversationPrefix(1, "conv_1")), []byte{0x0a, 0x02, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, file, key, record []byte) {
		if _, err := checkFile(bytes.NewReader(file), int64(len(file)), true); err == nil && len(file) == 0 {
			t.Error("an empty file passes for a store")
		}
		if k, ok := parseConversationKey(key); ok && !bytes.Equal(append(append(conversationPrefix(k.workspace, k.id), k.kind), k.rest...), key) {
			t.Errorf("the key %q is taken apart as %+v", key, k)
		}
		describe(conversationTable, key, func(uint32) string { return "w" })
		if len(key) >= 4 {
			if _, err := newLogRecord(key, record); err != nil {
				return
			}
		}
	})
}
