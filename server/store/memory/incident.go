package memory

import (
	"context"
	"maps"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

func (t *tx) Incident(id string) (*storev1.IncidentRecord, error) {
	return find[storev1.IncidentRecord](t.workspace.incidents, id)
}

func (t *tx) PutIncident(i *storev1.IncidentRecord) error {
	return putNamed(t.workspace.incidents, i.GetIncident().GetId(), i)
}

func (t *tx) Affected(incidentID, customerKey string) (*storev1.AffectedRecord, error) {
	return find[storev1.AffectedRecord](t.workspace.affected[incidentID], customerKey)
}

func (t *tx) PutAffected(a *storev1.AffectedRecord) error {
	return putUnder(t.workspace.affected, a.GetIncidentId(), a.GetCustomerKey(), a)
}

// Incident implements store.IncidentReader.
func (s *Store) Incident(ctx context.Context, workspace, id string) (*storev1.IncidentRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.IncidentRecord](w.incidents, id)
}

// Incidents implements store.IncidentReader.
func (s *Store) Incidents(ctx context.Context, workspace, before string, limit int) ([]*storev1.IncidentRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return decodeAll[storev1.IncidentRecord](atMost(newestBefore(w.incidents, before), limit))
}

// Affected implements store.IncidentReader. Pages are full, and the last one says that it is the last.
func (s *Store) Affected(ctx context.Context, workspace, incidentID string, state goodshipv1.ApologyState, after string, limit int) ([]*storev1.AffectedRecord, string, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, "", err
	}
	affected := copyMap(w.affected[incidentID])
	maps.DeleteFunc(affected, func(key string, _ []byte) bool { return key <= after })
	all, err := decodeAll[storev1.AffectedRecord](sortedValues(affected))
	if err != nil {
		return nil, "", err
	}
	all = slices.DeleteFunc(all, func(a *storev1.AffectedRecord) bool { return state != 0 && a.GetApology().GetState() != state })
	page := atMost(all, limit)
	if len(page) == len(all) || len(page) == 0 {
		return page, "", nil
	}
	return page, page[len(page)-1].GetCustomerKey(), nil
}
