package memory

import (
	"context"
	"maps"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

func (t *tx) WebhookEndpoint(id string) (*storev1.WebhookEndpointRecord, error) {
	return find[storev1.WebhookEndpointRecord](t.workspace.endpoints, id)
}

func (t *tx) PutWebhookEndpoint(e *storev1.WebhookEndpointRecord) error {
	return putNamed(t.workspace.endpoints, e.GetWebhookEndpoint().GetId(), e)
}

func (t *tx) RemoveWebhookEndpoint(id string, limit int) (more bool, err error) {
	w := t.workspace
	delete(w.endpoints, id)
	delete(w.progress, id)
	for _, of := range []map[string]map[string][]byte{w.parked, w.deliveries} {
		removed := atMost(sortedKeys(of[id]), limit)
		for _, key := range removed {
			removeUnder(of, id, key)
		}
		limit -= len(removed)
		more = more || len(of[id]) > 0
	}
	return more, nil
}

func (t *tx) WebhookProgress(endpointID string) (*storev1.WebhookProgressRecord, error) {
	return find[storev1.WebhookProgressRecord](t.workspace.progress, endpointID)
}

func (t *tx) PutWebhookProgress(p *storev1.WebhookProgressRecord) error {
	return putNamed(t.workspace.progress, p.GetEndpointId(), p)
}

func (t *tx) Parked(endpointID, conversationID string) (*storev1.ParkedRecord, error) {
	return find[storev1.ParkedRecord](t.workspace.parked[endpointID], conversationID)
}

func (t *tx) PutParked(p *storev1.ParkedRecord) error {
	return putUnder(t.workspace.parked, p.GetEndpointId(), p.GetConversationId(), p)
}

func (t *tx) RemoveParked(endpointID, conversationID string) error {
	removeUnder(t.workspace.parked, endpointID, conversationID)
	return nil
}

func (t *tx) Delivery(endpointID, id string) (*goodshipv1.WebhookDelivery, error) {
	return find[goodshipv1.WebhookDelivery](t.workspace.deliveries[endpointID], id)
}

func (t *tx) PutDelivery(endpointID string, d *goodshipv1.WebhookDelivery) error {
	return putUnder(t.workspace.deliveries, endpointID, d.GetId(), d)
}

func (t *tx) RemoveDelivery(endpointID, id string) error {
	removeUnder(t.workspace.deliveries, endpointID, id)
	return nil
}

// WebhookEndpoints implements store.WebhookReader.
func (s *Store) WebhookEndpoints(ctx context.Context, workspace string) ([]*storev1.WebhookEndpointRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return decodeAll[storev1.WebhookEndpointRecord](sortedValues(w.endpoints))
}

// WebhookEndpoint implements store.WebhookReader.
func (s *Store) WebhookEndpoint(ctx context.Context, workspace, id string) (*storev1.WebhookEndpointRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.WebhookEndpointRecord](w.endpoints, id)
}

// WebhookProgress implements store.WebhookReader.
func (s *Store) WebhookProgress(ctx context.Context, workspace, endpointID string) (*storev1.WebhookProgressRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.WebhookProgressRecord](w.progress, endpointID)
}

// Parked implements store.WebhookReader.
func (s *Store) Parked(ctx context.Context, workspace, endpointID, after string, limit int) ([]*storev1.ParkedRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	parked := copyMap(w.parked[endpointID])
	maps.DeleteFunc(parked, func(id string, _ []byte) bool { return id <= after })
	return decodeAll[storev1.ParkedRecord](atMost(sortedValues(parked), limit))
}

// Deliveries implements store.WebhookReader.
func (s *Store) Deliveries(ctx context.Context, workspace, endpointID, before string, limit int) ([]*goodshipv1.WebhookDelivery, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return decodeAll[goodshipv1.WebhookDelivery](atMost(newestBefore(w.deliveries[endpointID], before), limit))
}
