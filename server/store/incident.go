package store

import (
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// IncidentTx is what a unit may do with incidents and the customers whom they touched.
type IncidentTx interface {
	// Incident returns one, or ErrNotFound.
	Incident(id string) (*storev1.IncidentRecord, error)
	PutIncident(*storev1.IncidentRecord) error
	// Affected returns a customer whom an incident touched, or ErrNotFound.
	Affected(incidentID, customerKey string) (*storev1.AffectedRecord, error)
	PutAffected(*storev1.AffectedRecord) error
}

// IncidentReader reads incidents and the customers whom they touched.
type IncidentReader interface {
	// Incident returns one, or ErrNotFound.
	Incident(ctx context.Context, workspace, id string) (*storev1.IncidentRecord, error)
	// Incidents returns at most limit incidents with an id before the given one (empty: from the newest), newest first.
	Incidents(ctx context.Context, workspace, before string, limit int) ([]*storev1.IncidentRecord, error)
	// Affected returns at most limit customers whom an incident touched, by internal key after the given one, whose apology is in a
	// state (unspecified: any), and the key to go on after, empty at the end. A page may be short or empty and still have a next
	// one. The PENDING ones are found without reading others.
	Affected(ctx context.Context, workspace, incidentID string, state goodshipv1.ApologyState, after string, limit int) ([]*storev1.AffectedRecord, string, error)
}
