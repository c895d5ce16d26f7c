package bolt

import (
	"context"
	"errors"
	"math"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// WebhookEndpoint implements store.WebhookTx.
func (t *tx) WebhookEndpoint(id string) (e *storev1.WebhookEndpointRecord, err error) {
	defer t.contain(&err)
	return findObject[storev1.WebhookEndpointRecord](t, objectKey(t.workspace.number, endpointKind, id), "webhook endpoint", id)
}

// PutWebhookEndpoint implements store.WebhookTx.
func (t *tx) PutWebhookEndpoint(e *storev1.WebhookEndpointRecord) error {
	id := e.GetWebhookEndpoint().GetId()
	if err := checkID("webhook endpoint", id); err != nil {
		return err
	}
	return t.put(objectTable, objectKey(t.workspace.number, endpointKind, id), e)
}

// RemoveWebhookEndpoint implements store.WebhookTx.
func (t *tx) RemoveWebhookEndpoint(id string, limit int) (more bool, err error) {
	defer t.contain(&err)
	w := t.workspace.number
	keys := [][]byte{objectKey(w, endpointKind, id), objectKey(w, progressKind, id)}
	of, limit := len(keys), max(limit, 0)
	for _, kind := range []byte{parkedKind, deliveryKind} {
		t.scan(objectTable, partKey(w, kind, id, ""), func(key []byte) bool {
			if more = len(keys)-of >= limit; !more {
				keys = append(keys, key)
			}
			return !more
		})
	}
	for _, key := range keys {
		t.remove(objectTable, key)
	}
	return more, nil
}

// WebhookProgress implements store.WebhookTx.
func (t *tx) WebhookProgress(endpointID string) (p *storev1.WebhookProgressRecord, err error) {
	defer t.contain(&err)
	key := objectKey(t.workspace.number, progressKind, endpointID)
	return findObject[storev1.WebhookProgressRecord](t, key, "progress of webhook endpoint", endpointID)
}

// PutWebhookProgress implements store.WebhookTx.
func (t *tx) PutWebhookProgress(p *storev1.WebhookProgressRecord) error {
	if err := checkID("webhook endpoint", p.GetEndpointId()); err != nil {
		return err
	}
	return t.put(objectTable, objectKey(t.workspace.number, progressKind, p.GetEndpointId()), p)
}

// Parked implements store.WebhookTx.
func (t *tx) Parked(endpointID, conversationID string) (p *storev1.ParkedRecord, err error) {
	defer t.contain(&err)
	key := partKey(t.workspace.number, parkedKind, endpointID, conversationID)
	return findObject[storev1.ParkedRecord](t, key, "parked conversation", conversationID)
}

// PutParked implements store.WebhookTx.
func (t *tx) PutParked(p *storev1.ParkedRecord) error {
	endpoint, conversation := p.GetEndpointId(), p.GetConversationId()
	if err := errors.Join(checkID("webhook endpoint", endpoint), checkID("conversation", conversation)); err != nil {
		return err
	}
	return t.put(objectTable, partKey(t.workspace.number, parkedKind, endpoint, conversation), p)
}

// RemoveParked implements store.WebhookTx.
func (t *tx) RemoveParked(endpointID, conversationID string) error {
	return t.removePart(parkedKind, endpointID, conversationID)
}

// Delivery implements store.WebhookTx.
func (t *tx) Delivery(endpointID, id string) (d *goodshipv1.WebhookDelivery, err error) {
	defer t.contain(&err)
	return findObject[goodshipv1.WebhookDelivery](t, partKey(t.workspace.number, deliveryKind, endpointID, id), "delivery", id)
}

// PutDelivery implements store.WebhookTx.
func (t *tx) PutDelivery(endpointID string, d *goodshipv1.WebhookDelivery) error {
	if err := errors.Join(checkID("webhook endpoint", endpointID), checkID("delivery", d.GetId())); err != nil {
		return err
	}
	return t.put(objectTable, partKey(t.workspace.number, deliveryKind, endpointID, d.GetId()), d)
}

// RemoveDelivery implements store.WebhookTx.
func (t *tx) RemoveDelivery(endpointID, id string) error {
	return t.removePart(deliveryKind, endpointID, id)
}

// removePart removes an object that belongs to another, if it is there.
func (t *tx) removePart(kind byte, of, id string) error {
	t.remove(objectTable, partKey(t.workspace.number, kind, of, id))
	return nil
}

// WebhookEndpoints implements store.WebhookReader.
func (s *Store) WebhookEndpoints(ctx context.Context, workspace string) ([]*storev1.WebhookEndpointRecord, error) {
	return readObjects[storev1.WebhookEndpointRecord](ctx, s, workspace, endpointKind, "", math.MaxInt, false)
}

// WebhookEndpoint implements store.WebhookReader.
func (s *Store) WebhookEndpoint(ctx context.Context, workspace, id string) (*storev1.WebhookEndpointRecord, error) {
	return readObject[storev1.WebhookEndpointRecord](ctx, s, workspace, endpointKind, "webhook endpoint", id)
}

// WebhookProgress implements store.WebhookReader.
func (s *Store) WebhookProgress(ctx context.Context, workspace, endpointID string) (*storev1.WebhookProgressRecord, error) {
	return readObject[storev1.WebhookProgressRecord](ctx, s, workspace, progressKind, "progress of webhook endpoint", endpointID)
}

// Parked implements store.WebhookReader.
func (s *Store) Parked(ctx context.Context, workspace, endpointID, after string, limit int) ([]*storev1.ParkedRecord, error) {
	return readParts[storev1.ParkedRecord](ctx, s, workspace, parkedKind, endpointID, after, limit, false)
}

// Deliveries implements store.WebhookReader.
func (s *Store) Deliveries(ctx context.Context, workspace, endpointID, before string, limit int) ([]*goodshipv1.WebhookDelivery, error) {
	return readParts[goodshipv1.WebhookDelivery](ctx, s, workspace, deliveryKind, endpointID, before, limit, true)
}
