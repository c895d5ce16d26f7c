package bolt

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// All keys of the file stand here, and nothing else makes one.
//
//	table         key                                        value
//	meta          store                                      BoltStore: layout, epoch, keys
//	              clock                                      Timestamp: the time of the newest unit
//	workspace     <workspace id>                             its number, 4 bytes: <w> below
//	conversation  <w> <conversation> 0 <number>              OnceRecords: a chunk of the requests that named it
//	              <w> <conversation> 1 <agent id>            ReadMarkRecord
//	              <w> <conversation> 2 <number>              Resolution
//	              <w> <conversation> 3                       Head
//	              <w> <conversation> 4 <^revision>           LogRecord, one per Append; the revision of its last event
//	feed          <w> 0                                      FeedRecord without a conversation: up to where it was pruned
//	              <w> <position>                             FeedRecord
//	open          <w> <conversation id>                      nothing: not RESOLVED, or with a due time
//	resolved      <w> <activity time> <conversation id>      nothing: RESOLVED
//	customer      <w> <customer> <activity time> <conv. id>  position of its newest record, a varint; 0, nothing: unknown
//	external      <w> <external id>                          conversation id
//	directory     <w> w                                      WorkspaceRecord
//	              <w> a <agent id>                           AgentRecord
//	              <w> c <customer id>                        CustomerRecord
//	              <w> k <customer's internal key>            customer id
//	              <w> p <API key's id>                       ApiKeyRecord
//	secret        <SHA-256 of an API key's secret>           <w> <API key's id>
//	once          <w> <once>                                 OnceRecord of a request that named no conversation, or is kept for ever
//	object        <w> c <credit id>                          CreditRecord
//	              <w> p <credit id>                          nothing: PENDING
//	              <w> v <conversation> <credit id>           the state of a credit that was granted in it
//	              <w> l <customer> 0                         LedgerRecord
//	              <w> l <customer> 1 <number>                LedgerEntry
//	              <w> l <customer> 2 <credit id>             the state of a credit of theirs
//	              <w> s <agent> <day>                        SpentRecord
//	              <w> r <day>                                StatisticsRecord
//	              <w> i <incident id>                        IncidentRecord
//	              <w> a <incident> <customer's key>          AffectedRecord
//	              <w> n <incident> <customer's key>          nothing: PENDING
//	              <w> w <endpoint id>                        WebhookEndpointRecord
//	              <w> g <endpoint id>                        WebhookProgressRecord
//	              <w> k <endpoint> <conversation id>         ParkedRecord
//	              <w> d <endpoint> <delivery id>             WebhookDelivery
//	              <w> e <erasure id>                         ErasureRecord
//	              <w> x <removal id>                         Removal
//	due           <settle_by> <workspace id> <credit id>     nothing: PENDING, and not overdue
//
// Numbers are big-endian. Revisions stand inverted, so that the newest request ids, the head and the newest
// records are neighbours, on one page or two at any length of the log: an append writes there and at the end of the feed and nowhere
// else. The other places are written when a conversation begins, is resolved or reopens. <conversation>, <customer>, <agent>,
// <incident> and <endpoint> are ids after a byte with their length, so that no key of one is among those of another; an id at the
// end of a key stands bare, so that keys sort as ids do. <once> is 16 bytes of a hash. Times are nanoseconds since 1970 with the
// sign turned, so that they sort. <workspace id> ends with a zero and a one, and a zero in it is followed by 255, for the same
// reason. States are varints.
//
// A customer's ledger and credits are neighbours, and who is affected by an incident stands by the customer's key too: apologies,
// which go in that order, dirty the same few pages again and again.
//
// The feed's entry of a removal has no revision. Those of what was removed stay as they are: nothing else says what they were of.
//
// A workspace gets its number with the first object that is written in it, and keeps it.
type table uint8

const (
	metaTable table = iota
	workspaceTable
	conversationTable
	feedTable
	openTable
	resolvedTable
	customerTable
	externalTable
	directoryTable
	secretTable
	onceTable
	objectTable
	dueTable
	tableCount
)

// tableNames are the names of the file's buckets. They are part of every checksum: see value.go.
var tableNames = [tableCount]string{
	"meta", "workspace", "conversation", "feed", "open", "resolved", "customer", "external", "directory", "secret", "once",
	"object", "due",
}

// Kinds of keys of a conversation.
const (
	onceKind byte = iota
	markKind
	resolutionKind
	headKind
	recordKind
)

// Kinds of keys of the directory.
const (
	settingsKind    byte = 'w'
	agentKind       byte = 'a'
	customerKind    byte = 'c'
	customerKeyKind byte = 'k'
	apiKeyKind      byte = 'p'
)

// Kinds of keys of the table object.
const (
	creditKind          byte = 'c'
	pendingCreditKind   byte = 'p'
	grantedKind         byte = 'v'
	ledgerKind          byte = 'l'
	spentKind           byte = 's'
	statisticsKind      byte = 'r'
	incidentKind        byte = 'i'
	affectedKind        byte = 'a'
	pendingAffectedKind byte = 'n'
	endpointKind        byte = 'w'
	progressKind        byte = 'g'
	parkedKind          byte = 'k'
	deliveryKind        byte = 'd'
	erasureKind         byte = 'e'
	removalKind         byte = 'x'
)

// Parts of a customer's ledger.
const (
	sumsPart byte = iota
	entryPart
	creditPart
)

// feedStart stands for the position in the key that says up to where a feed was pruned: positions begin at 1.
const feedStart = 0

// onceSize is the length of <once>.
const onceSize = 16

// maxID is the length of the longest id in bytes: what one byte can say.
const maxID = math.MaxUint8

var (
	storeKey = []byte("store")
	clockKey = []byte("clock")
)

// checkID returns an error if an id cannot stand in a key.
func checkID(what, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("store/bolt: %s without an id", what)
	case len(id) > maxID:
		return fmt.Errorf("store/bolt: %s with an id of %d bytes, at most %d are allowed", what, len(id), maxID)
	}
	return nil
}

func workspacePrefix(w uint32) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 0, 64), w)
}

// conversationPrefix begins all keys of a conversation. Appending to it copies.
func conversationPrefix(w uint32, id string) []byte {
	key := appendConversation(make([]byte, 0, 64), w, id)
	return key[:len(key):len(key)]
}

func appendConversation(key []byte, w uint32, id string) []byte {
	return append(append(binary.BigEndian.AppendUint32(key, w), byte(len(id))), id...)
}

func headKey(conversation []byte) []byte { return append(conversation, headKind) }

func recordKey(conversation []byte, revision int32) []byte {
	return binary.BigEndian.AppendUint32(append(conversation, recordKind), ^uint32(revision))
}

// recordRevision returns the revision in a record's key.
func recordRevision(key []byte) int32 {
	return int32(^binary.BigEndian.Uint32(key[len(key)-4:]))
}

func markKey(conversation []byte, agentID string) []byte {
	return append(append(conversation, markKind), agentID...)
}

func resolutionKey(conversation []byte, number int32) []byte {
	return binary.BigEndian.AppendUint32(append(conversation, resolutionKind), uint32(number))
}

func chunkKey(conversation []byte, number uint32) []byte {
	return binary.BigEndian.AppendUint32(append(conversation, onceKind), number)
}

// chunkNumber returns the number in a chunk's key.
func chunkNumber(key []byte) uint32 { return binary.BigEndian.Uint32(key[len(key)-4:]) }

func feedKey(w uint32, position int64) []byte {
	return binary.BigEndian.AppendUint64(workspacePrefix(w), uint64(position))
}

func openKey(w uint32, conversation string) []byte {
	return append(workspacePrefix(w), conversation...)
}

func resolvedKey(w uint32, activity int64, conversation string) []byte {
	return append(appendTime(workspacePrefix(w), activity), conversation...)
}

func customerPrefix(w uint32, customer string) []byte {
	return append(append(workspacePrefix(w), byte(len(customer))), customer...)
}

func customerIndexKey(w uint32, customer string, activity int64, conversation string) []byte {
	return append(appendTime(customerPrefix(w, customer), activity), conversation...)
}

func externalKey(w uint32, externalID string) []byte {
	return append(workspacePrefix(w), externalID...)
}

func directoryKey(w uint32, kind byte, id string) []byte {
	return append(append(workspacePrefix(w), kind), id...)
}

func onceKey(w uint32, once [onceSize]byte) []byte {
	return append(workspacePrefix(w), once[:]...)
}

// objectKey is the key of an object that belongs to the workspace alone; with an empty id, the prefix of all of its kind.
func objectKey(w uint32, kind byte, id string) []byte {
	return append(append(workspacePrefix(w), kind), id...)
}

// partKey is the key of an object that belongs to another; with an empty id, the prefix of all that do.
func partKey(w uint32, kind byte, of, id string) []byte {
	if len(of) > maxID {
		of = "" // nothing belongs to that one either
	}
	return append(append(append(append(workspacePrefix(w), kind), byte(len(of))), of...), id...)
}

// ledgerKey is the key of a part of a customer's ledger, or the prefix of those of a part with many.
func ledgerKey(w uint32, customer string, part byte) []byte {
	return append(partKey(w, ledgerKind, customer, ""), part)
}

func ledgerEntryKey(w uint32, customer string, number int32) []byte {
	return binary.BigEndian.AppendUint32(ledgerKey(w, customer, entryPart), uint32(number))
}

func dueKey(at int64, workspace, credit string) []byte {
	key := append(appendTime(make([]byte, 0, 64), at), strings.ReplaceAll(workspace, "\x00", "\x00\xff")...)
	return append(append(key, dueEnd...), credit...)
}

// dueEnd ends the workspace's id in a key of the table due.
const dueEnd = "\x00\x01"

// parseDueKey takes a key of the table due apart, or returns false.
func parseDueKey(key []byte) (at int64, workspace, credit string, ok bool) {
	k, ok := parseTimedKey(key)
	if !ok {
		return 0, "", "", false
	}
	workspace, credit, ok = strings.Cut(k.id, dueEnd)
	return k.time, strings.ReplaceAll(workspace, "\x00\xff", "\x00"), credit, ok
}

// parseObjectKey takes apart a key of the table object: its kind, what it belongs to if it does, and what follows. It returns
// false if it is none.
func parseObjectKey(key []byte) (kind byte, of, id string, ok bool) {
	if len(key) < 6 {
		return 0, "", "", false
	}
	kind = key[4]
	switch kind {
	case grantedKind, ledgerKind, spentKind, affectedKind, pendingAffectedKind, parkedKind, deliveryKind:
		end := 6 + int(key[5])
		if len(key) <= end {
			return 0, "", "", false
		}
		return kind, string(key[6:end]), string(key[end:]), true
	}
	return kind, "", string(key[5:]), true
}

func appendTime(key []byte, t int64) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(t)^1<<63)
}

// nanoseconds returns a time as keys hold it. Times before 1678 and after 2262 are all the same at either end.
func nanoseconds(t *timestamppb.Timestamp) int64 {
	switch s := t.GetSeconds(); {
	case s > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64
	case s < math.MinInt64/int64(time.Second)+1:
		return math.MinInt64 + 1 // never is the one below: see index.go
	default:
		return s*int64(time.Second) + int64(t.GetNanos())
	}
}

// conversationKey is a key of the conversation table, taken apart.
type conversationKey struct {
	workspace uint32
	id        string
	kind      byte
	rest      []byte
}

// parseConversationKey takes a key apart, or returns false if it is none.
func parseConversationKey(key []byte) (conversationKey, bool) {
	if len(key) < 5 || len(key) < 6+int(key[4]) {
		return conversationKey{}, false
	}
	end := 5 + int(key[4])
	return conversationKey{binary.BigEndian.Uint32(key), string(key[5:end]), key[end], key[end+1:]}, true
}

// timedKey is a key of the tables resolved and customer, taken apart.
type timedKey struct {
	time int64
	id   string
}

// parseTimedKey takes apart what follows the prefix of such a key, or returns false.
func parseTimedKey(rest []byte) (timedKey, bool) {
	if len(rest) <= 8 {
		return timedKey{}, false
	}
	return timedKey{int64(binary.BigEndian.Uint64(rest) ^ 1<<63), string(rest[8:])}, true
}
