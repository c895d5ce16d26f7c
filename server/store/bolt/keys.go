package bolt

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// All keys of the file stand here, and nothing else makes one.
//
//	table         key                                        value
//	meta          store                                      BoltStore: layout, epoch, sealing key
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
//	once          <w> <once>                                 OnceRecord of a request that named no conversation
//
// Numbers are big-endian. Revisions stand inverted, so that the newest request ids, the head and the newest
// records are neighbours, on one page or two at any length of the log: an append writes there and at the end of the feed and nowhere
// else. The other places are written when a conversation begins, is resolved or reopens. <conversation> and <customer> are ids after a byte with
// their length, so that no key of one is among those of another; an id at the end of a key stands bare, so that keys sort
// as ids do. <once> is 16 bytes of a hash. Times are nanoseconds since 1970 with the sign turned, so that they sort.
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
	tableCount
)

// tableNames are the names of the file's buckets. They are part of every checksum: see value.go.
var tableNames = [tableCount]string{
	"meta", "workspace", "conversation", "feed", "open", "resolved", "customer", "external", "directory", "secret", "once",
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

// describe says in words what a key is of, for errors. name turns a workspace's number into its id.
func describe(t table, key []byte, name func(uint32) string) string {
	if t == metaTable || t == workspaceTable || t == secretTable || len(key) < 4 {
		if t == secretTable {
			key = nil // the hash of a secret is nobody's business
		}
		return fmt.Sprintf("record %q of the table %s", key, tableNames[t])
	}
	workspace, rest := name(binary.BigEndian.Uint32(key)), key[4:]
	if k, ok := parseConversationKey(key); ok && t == conversationTable {
		return fmt.Sprintf("%s of conversation %q of workspace %q", k.describe(), k.id, workspace)
	}
	if t == feedTable && len(rest) == 8 {
		if binary.BigEndian.Uint64(rest) == feedStart {
			return fmt.Sprintf("the beginning of the feed of workspace %q", workspace)
		}
		return fmt.Sprintf("feed entry %d of workspace %q", binary.BigEndian.Uint64(rest), workspace)
	}
	if t == directoryTable && len(rest) > 0 {
		return fmt.Sprintf("%s of workspace %q", describeDirectory(rest[0], rest[1:]), workspace)
	}
	return fmt.Sprintf("entry %q of the table %s of workspace %q", rest, tableNames[t], workspace)
}

// describeDirectory says in words what a key of the directory is of.
func describeDirectory(kind byte, id []byte) string {
	switch kind {
	case settingsKind:
		return "the settings"
	case agentKind:
		return fmt.Sprintf("agent %q", id)
	case customerKind:
		return "a customer under the product's id" // which may be an e-mail address, and errors are logged
	case customerKeyKind:
		return fmt.Sprintf("customer %q", id)
	case apiKeyKind:
		return fmt.Sprintf("API key %q", id)
	default:
		return fmt.Sprintf("an object of unknown kind %q", kind)
	}
}

// describe says in words what of a conversation a key holds.
func (k conversationKey) describe() string {
	number := uint32(0)
	if len(k.rest) == 4 {
		number = binary.BigEndian.Uint32(k.rest)
	}
	switch k.kind {
	case headKind:
		return "the head"
	case recordKind:
		return fmt.Sprintf("the record up to revision %d", ^number)
	case onceKind:
		return fmt.Sprintf("chunk %d of the request ids", number)
	case markKind:
		return fmt.Sprintf("the read mark %q", k.rest)
	case resolutionKind:
		return fmt.Sprintf("resolution %d", number)
	default:
		return fmt.Sprintf("a record of unknown kind %d", k.kind)
	}
}
