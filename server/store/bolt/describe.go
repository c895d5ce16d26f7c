package bolt

import (
	"encoding/binary"
	"fmt"
)

// describe says in words what a key is of, for errors. name turns a workspace's number into its id.
func describe(t table, key []byte, name func(uint32) string) string {
	if t == metaTable || t == workspaceTable || t == secretTable || len(key) < 4 {
		if t == secretTable {
			key = nil // the hash of a secret is nobody's business
		}
		return fmt.Sprintf("record %q of the table %s", key, tableNames[t])
	}
	if t == dueTable {
		_, workspace, credit, _ := parseDueKey(key)
		return fmt.Sprintf("the due time of credit %q of workspace %q", credit, workspace)
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
	if t == objectTable {
		return fmt.Sprintf("%s of workspace %q", describeObject(key), workspace)
	}
	return fmt.Sprintf("entry %q of the table %s of workspace %q", rest, tableNames[t], workspace)
}

// objectNames say what an object is; with %[1]q, its id, and %[2]q, that of what it belongs to.
var objectNames = map[byte]string{
	creditKind:          "credit %[1]q",
	pendingCreditKind:   "the entry of credit %[1]q among those that are PENDING",
	grantedKind:         "the entry of credit %[1]q among those of conversation %[2]q",
	spentKind:           "what agent %[2]q granted on %[1]q",
	statisticsKind:      "the ratings of %[1]q",
	incidentKind:        "incident %[1]q",
	affectedKind:        "customer %[1]q affected by incident %[2]q",
	pendingAffectedKind: "the entry of customer %[1]q among those whose apology for incident %[2]q is PENDING",
	endpointKind:        "webhook endpoint %[1]q",
	progressKind:        "the progress of webhook endpoint %[1]q",
	parkedKind:          "conversation %[1]q that waits for webhook endpoint %[2]q",
	deliveryKind:        "delivery %[1]q to webhook endpoint %[2]q",
	erasureKind:         "erasure %[1]q",
	removalKind:         "removal %[1]q",
}

// describeObject says in words what a key of the table object is of.
func describeObject(key []byte) string {
	kind, of, id, ok := parseObjectKey(key)
	switch name := objectNames[kind]; {
	case !ok || name == "" && kind != ledgerKind:
		return fmt.Sprintf("an object of unknown key %q", key)
	case kind == ledgerKind:
		return describeLedger(of, id)
	default:
		return fmt.Sprintf(name+"%.0[2]s", id, of)
	}
}

// describeLedger says in words what of a customer's ledger a key holds.
func describeLedger(customer, rest string) string {
	switch {
	case rest[0] == sumsPart:
		return fmt.Sprintf("the sums of the ledger of customer %q", customer)
	case rest[0] == entryPart && len(rest) == 5:
		return fmt.Sprintf("entry %d of the ledger of customer %q", binary.BigEndian.Uint32([]byte(rest[1:])), customer)
	default:
		return fmt.Sprintf("the entry of credit %q among those of customer %q", rest[1:], customer)
	}
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
