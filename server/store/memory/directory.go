package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// sortedValues returns the values of a map in the order of their keys.
func sortedValues[V any](m map[string]V) []V {
	var values []V
	for _, key := range sortedKeys(m) {
		values = append(values, m[key])
	}
	return values
}

// newestBefore returns what is kept under ids before one (empty: under all), from the last id down.
func newestBefore(m map[string][]byte, before string) [][]byte {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(id string, _ []byte) bool { return before != "" && id >= before })
	newest := sortedValues(m)
	slices.Reverse(newest)
	return newest
}

// settings returns a workspace's record, or ErrNotFound.
func (w *workspace) settings(id string) (*storev1.WorkspaceRecord, error) {
	if w.record == nil {
		return nil, fmt.Errorf("%w: workspace %q", store.ErrNotFound, id)
	}
	return decode[storev1.WorkspaceRecord](w.record)
}

// customer returns a customer by the product's id, or ErrNotFound.
func (w *workspace) customer(id string) (*storev1.CustomerRecord, error) {
	for _, b := range w.customers {
		c, err := decode[storev1.CustomerRecord](b)
		if err != nil {
			return nil, err
		}
		if c.GetCustomer().GetId() == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: customer %q", store.ErrNotFound, id)
}

// Workspaces implements store.DirectoryReader.
func (s *Store) Workspaces(ctx context.Context) ([]*storev1.WorkspaceRecord, error) {
	all, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var records [][]byte
	for _, w := range sortedValues(all) {
		if w.record != nil {
			records = append(records, w.record)
		}
	}
	return decodeAll[storev1.WorkspaceRecord](records)
}

// Workspace implements store.DirectoryReader.
func (s *Store) Workspace(ctx context.Context, workspace string) (*storev1.WorkspaceRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return w.settings(workspace)
}

// Agent implements store.DirectoryReader.
func (s *Store) Agent(ctx context.Context, workspace, id string) (*storev1.AgentRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.AgentRecord](w.agents, id)
}

// Agents implements store.DirectoryReader.
func (s *Store) Agents(ctx context.Context, workspace, after string, limit int) ([]*storev1.AgentRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	agents := maps.Clone(w.agents)
	maps.DeleteFunc(agents, func(id string, _ []byte) bool { return id <= after })
	return decodeAll[storev1.AgentRecord](atMost(sortedValues(agents), limit))
}

// Customer implements store.DirectoryReader.
func (s *Store) Customer(ctx context.Context, workspace, id string) (*storev1.CustomerRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return w.customer(id)
}

// CustomerByKey implements store.DirectoryReader.
func (s *Store) CustomerByKey(ctx context.Context, workspace, key string) (*storev1.CustomerRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.CustomerRecord](w.customers, key)
}

// Customers implements store.DirectoryReader.
func (s *Store) Customers(ctx context.Context, workspace, after string, limit int) ([]*storev1.CustomerRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*storev1.CustomerRecord)
	for _, b := range w.customers {
		c, err := decode[storev1.CustomerRecord](b)
		if err != nil {
			return nil, err
		}
		if id := c.GetCustomer().GetId(); id > after {
			byID[id] = c
		}
	}
	return atMost(sortedValues(byID), limit), nil
}

// APIKey implements store.DirectoryReader.
func (s *Store) APIKey(ctx context.Context, workspace, id string) (*storev1.ApiKeyRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return find[storev1.ApiKeyRecord](w.apiKeys, id)
}

// APIKeyByHash implements store.DirectoryReader.
func (s *Store) APIKeyByHash(ctx context.Context, hash []byte) (*storev1.ApiKeyRecord, error) {
	all, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return keyByHash(all, hash)
}

// keyByHash returns the key with a hash from all workspaces, or ErrNotFound.
func keyByHash(all map[string]*workspace, hash []byte) (*storev1.ApiKeyRecord, error) {
	for _, w := range all {
		for _, b := range w.apiKeys {
			key, err := decode[storev1.ApiKeyRecord](b)
			if err != nil {
				return nil, err
			}
			if bytes.Equal(key.GetSecretHash(), hash) {
				return key, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: API key", store.ErrNotFound)
}

// APIKeys implements store.DirectoryReader.
func (s *Store) APIKeys(ctx context.Context, workspace, before string, limit int) ([]*storev1.ApiKeyRecord, error) {
	w, err := s.workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return decodeAll[storev1.ApiKeyRecord](atMost(newestBefore(w.apiKeys, before), limit))
}
