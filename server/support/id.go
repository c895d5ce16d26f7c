package support

import (
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
)

// Prefixes of ids that the server makes.
const (
	conversationPrefix = "conv_"
	customerPrefix     = "cust_"
	workspacePrefix    = "work_"
	keyPrefix          = "key_"
)

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// newID returns a new id: a prefix and a UUIDv7 (RFC 9562) in lower-case base32hex, 26 characters, so that ids sort by time
// of making, as strings and as values.
func newID(prefix string) string {
	id := uuid.Must(uuid.NewV7()) // fails only without randomness, which Go does not return from
	return prefix + strings.ToLower(base32hex.EncodeToString(id[:]))
}
