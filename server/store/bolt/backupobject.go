package bolt

import (
	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// backupFields are the fields of a BackupEntry that hold objects as the file does, by kind.
var backupFields = map[byte]protoreflect.Name{
	creditKind:     "credit",
	spentKind:      "spent",
	statisticsKind: "statistics",
	incidentKind:   "incident",
	affectedKind:   "affected",
	endpointKind:   "webhook_endpoint",
	progressKind:   "webhook_progress",
	parkedKind:     "parked",
	erasureKind:    "erasure",
	removalKind:    "removal",
}

// objectEntry fills the entry of an object; not if it only finds others.
func objectEntry(e *storev1.BackupEntry, v *view, key, payload []byte) error {
	kind, of, id, ok := parseObjectKey(key)
	switch {
	case !ok:
		return v.damaged(objectTable, key, errKey)
	case kind == ledgerKind && id[0] == sumsPart:
		m, err := decode[storev1.LedgerRecord](v, objectTable, key, payload)
		e.Object = &storev1.BackupEntry_Ledger{Ledger: m}
		return err
	case kind == ledgerKind && id[0] == entryPart:
		m, err := decode[goodshipv1.LedgerEntry](v, objectTable, key, payload)
		e.Object = &storev1.BackupEntry_LedgerLine{LedgerLine: &storev1.LedgerLine{CustomerKey: of, Entry: m}}
		return err
	case kind == deliveryKind:
		m, err := decode[goodshipv1.WebhookDelivery](v, objectTable, key, payload)
		e.Object = &storev1.BackupEntry_Delivery{Delivery: &storev1.DeliveryRecord{EndpointId: of, Delivery: m}}
		return err
	case backupFields[kind] == "":
		return nil
	}
	entry := e.ProtoReflect()
	field := entry.Descriptor().Fields().ByName(backupFields[kind])
	object := entry.NewField(field)
	if err := proto.Unmarshal(payload, object.Message().Interface()); err != nil {
		return v.damaged(objectTable, key, err)
	}
	entry.Set(field, object)
	return nil
}

// goneAt names the object whose removal takes away what is in a place; nil if that is a part of one, or only finds others.
func goneAt(at place) *storev1.Gone {
	key := []byte(at.key)
	switch at.table {
	case conversationTable:
		if k, ok := parseConversationKey(key); ok && k.kind == headKind {
			return &storev1.Gone{Object: &storev1.Gone_ConversationId{ConversationId: k.id}}
		}
	case directoryTable:
		if key[4] == customerKeyKind {
			return &storev1.Gone{Object: &storev1.Gone_CustomerKey{CustomerKey: string(key[5:])}}
		}
	case objectTable:
		kind, of, id, _ := parseObjectKey(key)
		switch kind {
		case endpointKind:
			return &storev1.Gone{Object: &storev1.Gone_WebhookEndpointId{WebhookEndpointId: id}}
		case parkedKind:
			return &storev1.Gone{Object: &storev1.Gone_Parked{Parked: &storev1.ParkedRecord{EndpointId: of, ConversationId: id}}}
		case deliveryKind:
			return &storev1.Gone{Object: &storev1.Gone_Delivery{Delivery: &storev1.DeliveryRecord{
				EndpointId: of, Delivery: &goodshipv1.WebhookDelivery{Id: id},
			}}}
		}
	}
	return nil
}
