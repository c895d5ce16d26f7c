package bolt

import (
	"encoding/binary"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// standingObject is how an object or an entry of an index stands: whether it is under the key that it should be under, and, of an
// object, what should find it.
type standingObject struct {
	agrees bool
	index  []indexEntry
}

// object checks an object against its key and the indexes, and an entry of an index against the object.
func (c *checker) object(v *view, key, payload []byte) error {
	kind, of, id, ok := parseObjectKey(key)
	if !ok {
		return v.damaged(objectTable, key, errKey)
	}
	c.ledger.leave(c, key)
	w := binary.BigEndian.Uint32(key)
	switch {
	case kind == ledgerKind && id[0] != creditPart:
		return c.ledger.record(v, key, payload)
	case kind == ledgerKind:
		c.found(v, objectTable, key, payload, w, id[1:])
		return nil
	case kind == pendingCreditKind || kind == grantedKind:
		c.found(v, objectTable, key, payload, w, id)
		return nil
	case kind == pendingAffectedKind:
		a, err := load[storev1.AffectedRecord](v, objectTable, partKey(w, affectedKind, of, id))
		c.belongs(v, objectTable, key, payload, affectedIndex(w, a), err)
		return nil
	}
	s, err := c.stands(v, key, payload)
	if err != nil {
		return err
	}
	if !s.agrees {
		c.problem("An object does not say of itself what its key says: %s.", describe(objectTable, key, v.index.name))
	}
	for _, e := range s.index {
		if payload, err := v.get(e.at.table, []byte(e.at.key)); err == nil && (payload == nil || string(payload) != e.payload) {
			c.problem("An index lacks an object, or has it wrongly: %s.", describe(e.at.table, []byte(e.at.key), v.index.name))
		}
	}
	return nil
}

// found checks an entry of an index of credits.
func (c *checker) found(v *view, t table, key, payload []byte, w uint32, credit string) {
	r, err := load[storev1.CreditRecord](v, objectTable, objectKey(w, creditKind, credit))
	c.belongs(v, t, key, payload, creditIndex(&workspace{number: w, id: c.numbers[w]}, r), err)
}

// due checks an entry of the index of what is due.
func (c *checker) due(v *view, key, payload []byte) error {
	_, id, credit, ok := parseDueKey(key)
	if !ok {
		return v.damaged(dueTable, key, errKey)
	}
	w := v.index.workspace(id)
	if w == nil || !c.knows(v, w.number) {
		c.problem("A record is of a workspace that there is not: %s.", describe(dueTable, key, v.index.name))
		return nil
	}
	c.found(v, dueTable, key, payload, w.number, credit)
	return nil
}

// belongs checks that an entry of an index is one of those that an object should have. Damage is told where that stands.
func (c *checker) belongs(v *view, t table, key, payload []byte, index []indexEntry, err error) {
	if err == nil && !slices.Contains(index, indexEntry{place{t, string(key)}, string(payload)}) {
		c.problem("An index has what does not belong there, or has it wrongly: %s.", describe(t, key, v.index.name))
	}
}

// stands decodes an object and says how it stands.
func (c *checker) stands(v *view, key, payload []byte) (s standingObject, err error) {
	kind, of, id, _ := parseObjectKey(key)
	w := &workspace{number: binary.BigEndian.Uint32(key), id: c.numbers[binary.BigEndian.Uint32(key)]}
	switch kind {
	case creditKind:
		return standing(v, key, payload, func(m *storev1.CreditRecord) standingObject {
			return standingObject{m.GetCredit().GetId() == id, creditIndex(w, m)}
		})
	case spentKind:
		return standing(v, key, payload, func(m *storev1.SpentRecord) standingObject {
			return standingObject{agrees: m.GetAgentId() == of && m.GetDay() == id}
		})
	case statisticsKind:
		return standing(v, key, payload, func(m *storev1.StatisticsRecord) standingObject { return standingObject{agrees: m.GetDay() == id} })
	case incidentKind:
		return standing(v, key, payload, func(m *storev1.IncidentRecord) standingObject {
			return standingObject{agrees: m.GetIncident().GetId() == id}
		})
	case affectedKind:
		return standing(v, key, payload, func(m *storev1.AffectedRecord) standingObject {
			return standingObject{m.GetIncidentId() == of && m.GetCustomerKey() == id, affectedIndex(w.number, m)}
		})
	case erasureKind:
		return standing(v, key, payload, func(m *storev1.ErasureRecord) standingObject {
			return standingObject{agrees: m.GetErasure().GetId() == id}
		})
	case removalKind:
		return standing(v, key, payload, func(m *goodshipv1.Removal) standingObject { return standingObject{agrees: m.GetId() == id} })
	}
	return webhookStands(v, key, payload)
}

// webhookStands is stands for what belongs to a webhook endpoint.
func webhookStands(v *view, key, payload []byte) (standingObject, error) {
	kind, of, id, _ := parseObjectKey(key)
	switch kind {
	case endpointKind:
		return standing(v, key, payload, func(m *storev1.WebhookEndpointRecord) standingObject {
			return standingObject{agrees: m.GetWebhookEndpoint().GetId() == id}
		})
	case progressKind:
		return standing(v, key, payload, func(m *storev1.WebhookProgressRecord) standingObject {
			return standingObject{agrees: m.GetEndpointId() == id}
		})
	case parkedKind:
		return standing(v, key, payload, func(m *storev1.ParkedRecord) standingObject {
			return standingObject{agrees: m.GetEndpointId() == of && m.GetConversationId() == id}
		})
	case deliveryKind:
		return standing(v, key, payload, func(m *goodshipv1.WebhookDelivery) standingObject { return standingObject{agrees: m.GetId() == id} })
	}
	return standingObject{}, v.damaged(objectTable, key, errKey)
}

// standing decodes an object and has it looked at.
func standing[T any, M message[T]](v *view, key, payload []byte, look func(M) standingObject) (standingObject, error) {
	m, err := decode[T, M](v, objectTable, key, payload)
	if err != nil {
		return standingObject{}, err
	}
	return look(m), nil
}
