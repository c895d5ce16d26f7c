package store

import (
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// WebhookTx is what a unit may do with webhook endpoints and what is sent to them. Methods with an endpoint's id put and remove
// what belongs to it, whether there is such an endpoint or not; removing what is not there is no error.
type WebhookTx interface {
	// WebhookEndpoint returns one, or ErrNotFound.
	WebhookEndpoint(id string) (*storev1.WebhookEndpointRecord, error)
	PutWebhookEndpoint(*storev1.WebhookEndpointRecord) error
	// RemoveWebhookEndpoint removes one with its progress and at most limit of its parked conversations and deliveries, both together,
	// whichever. It reports whether more is left of it, which another call removes.
	RemoveWebhookEndpoint(id string, limit int) (more bool, err error)
	// WebhookProgress returns how far an endpoint has come, or ErrNotFound.
	WebhookProgress(endpointID string) (*storev1.WebhookProgressRecord, error)
	PutWebhookProgress(*storev1.WebhookProgressRecord) error
	// Parked returns a conversation that waits for an endpoint, or ErrNotFound.
	Parked(endpointID, conversationID string) (*storev1.ParkedRecord, error)
	PutParked(*storev1.ParkedRecord) error
	RemoveParked(endpointID, conversationID string) error
	// Delivery returns an entry of an endpoint's delivery log, or ErrNotFound.
	Delivery(endpointID, id string) (*goodshipv1.WebhookDelivery, error)
	PutDelivery(endpointID string, d *goodshipv1.WebhookDelivery) error
	RemoveDelivery(endpointID, id string) error
}

// WebhookReader reads webhook endpoints and what is sent to them.
type WebhookReader interface {
	// WebhookEndpoints returns all endpoints of a workspace, by id.
	WebhookEndpoints(ctx context.Context, workspace string) ([]*storev1.WebhookEndpointRecord, error)
	// WebhookEndpoint returns one, or ErrNotFound.
	WebhookEndpoint(ctx context.Context, workspace, id string) (*storev1.WebhookEndpointRecord, error)
	// WebhookProgress returns how far an endpoint has come, or ErrNotFound.
	WebhookProgress(ctx context.Context, workspace, endpointID string) (*storev1.WebhookProgressRecord, error)
	// Parked returns at most limit conversations that wait for an endpoint, with an id after the given one, by id.
	Parked(ctx context.Context, workspace, endpointID, after string, limit int) ([]*storev1.ParkedRecord, error)
	// Deliveries returns at most limit entries of an endpoint's delivery log with an id before the given one (empty: from the
	// newest), newest first.
	Deliveries(ctx context.Context, workspace, endpointID, before string, limit int) ([]*goodshipv1.WebhookDelivery, error)
}
