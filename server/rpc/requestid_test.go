package rpc

import (
	"strings"
	"testing"
)

// FuzzETag takes whatever an If-Match header may hold: what comes out is one bare etag, or an error.
func FuzzETag(f *testing.F) {
	for _, header := range []string{"", `"12"`, "12", "*", `W/"12"`, `"1", "2"`, `"`, `""`} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if tag, err := unquoteETag(header); err == nil && (tag == "" || strings.ContainsAny(tag, "\", ")) {
			t.Errorf("%q gives the etag %q", header, tag)
		}
	})
}
