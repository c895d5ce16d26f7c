package bolt

import (
	"bytes"
	"context"
	"errors"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// affectedIndex returns what finds a customer whom an incident touched; nothing finds none. Only those who wait for their apology
// are looked for among all.
func affectedIndex(w uint32, a *storev1.AffectedRecord) []indexEntry {
	if a.GetApology().GetState() != goodshipv1.ApologyState_APOLOGY_STATE_PENDING {
		return nil
	}
	return []indexEntry{{at: place{objectTable, string(partKey(w, pendingAffectedKind, a.GetIncidentId(), a.GetCustomerKey()))}}}
}

// Incident implements store.IncidentTx.
func (t *tx) Incident(id string) (i *storev1.IncidentRecord, err error) {
	defer t.contain(&err)
	return findObject[storev1.IncidentRecord](t, objectKey(t.workspace.number, incidentKind, id), "incident", id)
}

// PutIncident implements store.IncidentTx.
func (t *tx) PutIncident(i *storev1.IncidentRecord) error {
	id := i.GetIncident().GetId()
	if err := checkID("incident", id); err != nil {
		return err
	}
	return t.put(objectTable, objectKey(t.workspace.number, incidentKind, id), i)
}

// Affected implements store.IncidentTx.
func (t *tx) Affected(incidentID, customerKey string) (a *storev1.AffectedRecord, err error) {
	defer t.contain(&err)
	key := partKey(t.workspace.number, affectedKind, incidentID, customerKey)
	return findObject[storev1.AffectedRecord](t, key, "affected customer with key", customerKey)
}

// PutAffected implements store.IncidentTx.
func (t *tx) PutAffected(a *storev1.AffectedRecord) (err error) {
	defer t.contain(&err)
	incident, customer, w := a.GetIncidentId(), a.GetCustomerKey(), t.workspace.number
	if err := errors.Join(checkID("incident", incident), checkID("customer's key", customer)); err != nil {
		return err
	}
	key := partKey(w, affectedKind, incident, customer)
	before, err := load[storev1.AffectedRecord](t, objectTable, key)
	if err != nil {
		return err
	}
	return t.putIndexed(key, a, affectedIndex(w, before), affectedIndex(w, a))
}

// Incident implements store.IncidentReader.
func (s *Store) Incident(ctx context.Context, workspace, id string) (*storev1.IncidentRecord, error) {
	return readObject[storev1.IncidentRecord](ctx, s, workspace, incidentKind, "incident", id)
}

// Incidents implements store.IncidentReader.
func (s *Store) Incidents(ctx context.Context, workspace, before string, limit int) ([]*storev1.IncidentRecord, error) {
	return readObjects[storev1.IncidentRecord](ctx, s, workspace, incidentKind, before, limit, true)
}

// Affected implements store.IncidentReader.
func (s *Store) Affected(ctx context.Context, workspace, incidentID string, state goodshipv1.ApologyState, after string, limit int) (all []*storev1.AffectedRecord, next string, err error) {
	if limit <= 0 {
		return nil, after, nil
	}
	err = s.inObjects(ctx, workspace, affectedKind, func(v *view, w uint32) (err error) {
		all, next, err = v.affected(w, incidentID, state, after, limit)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return all, next, nil
}

// affected fills a page of a list of affected customers, from those who are PENDING if no others are asked for.
func (v *view) affected(w uint32, incidentID string, state goodshipv1.ApologyState, after string, limit int) (all []*storev1.AffectedRecord, next string, err error) {
	kind := affectedKind
	if state == goodshipv1.ApologyState_APOLOGY_STATE_PENDING {
		kind = pendingAffectedKind
	}
	prefix := partKey(w, kind, incidentID, "")
	start := partKey(w, kind, incidentID, after)
	cursor, read := v.bucket(objectTable).Cursor(), 0
	key, value := cursor.Seek(start)
	if after != "" && bytes.Equal(key, start) {
		key, value = cursor.Next()
	}
	for last := after; bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		if read++; read > pageHeads || len(all) == limit {
			return all, last, nil
		}
		if _, err := v.unseal(objectTable, key, value); err != nil {
			return nil, "", err
		}
		last = string(key[len(prefix):])
		at := partKey(w, affectedKind, incidentID, last)
		a, err := load[storev1.AffectedRecord](v, objectTable, at)
		if err != nil {
			return nil, "", err
		}
		if a == nil {
			return nil, "", v.damaged(objectTable, at, errMissing)
		}
		if state == 0 || a.GetApology().GetState() == state {
			all = append(all, a)
		}
	}
	return all, "", nil
}
