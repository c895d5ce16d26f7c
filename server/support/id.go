package support

import (
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Prefixes of ids that the server makes.
const (
	conversationPrefix = "conv_"
	customerPrefix     = "cust_"
	workspacePrefix    = "work_"
	keyPrefix          = "key_"
	endpointPrefix     = "hook_"
	deliveryPrefix     = "dlv_"
	creditPrefix       = "cred_"
	incidentPrefix     = "inc_"
	erasurePrefix      = "era_"
	removalPrefix      = "rmv_"
)

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// newID returns a new id: a prefix and a UUIDv7 (RFC 9562) in lower-case base32hex, 26 characters, so that ids sort by time
// of making, as strings and as values.
func newID(prefix string) string {
	id := uuid.Must(uuid.NewV7()) // fails only without randomness, which Go does not return from
	return prefix + strings.ToLower(base32hex.EncodeToString(id[:]))
}

// newIDAt is newID at a time of the store's.
func newIDAt(prefix string, at time.Time) string {
	id := uuid.Must(uuid.NewV7())
	stamp(&id, at)
	return prefix + strings.ToLower(base32hex.EncodeToString(id[:]))
}

// firstIDAt returns what no id made by newIDAt at a time or later sorts before.
func firstIDAt(prefix string, at time.Time) string {
	var id uuid.UUID
	stamp(&id, at)
	return prefix + strings.ToLower(base32hex.EncodeToString(id[:]))
}

// stamp puts a time where a UUIDv7 has it: milliseconds, and microseconds in the twelve bits that follow the version (RFC 9562,
// section 6.2, method 3).
func stamp(id *uuid.UUID, at time.Time) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	binary.BigEndian.PutUint16(id[6:8], 0x7000|uint16(at.UnixMicro()%1000))
}
