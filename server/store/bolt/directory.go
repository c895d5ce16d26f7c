package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// directory reads the objects of one workspace's directory.
type directory struct {
	source    source
	workspace uint32
}

// find returns the object of a kind with an id, or ErrNotFound.
func find[T any, M message[T]](d directory, kind byte, what, id string) (M, error) {
	m, err := load[T, M](d.source, directoryTable, directoryKey(d.workspace, kind, id))
	if err == nil && m == nil {
		err = notFound(what, id)
	}
	return m, err
}

func (d directory) settings(id string) (*storev1.WorkspaceRecord, error) {
	m, err := find[storev1.WorkspaceRecord](d, settingsKind, "workspace", "")
	if errors.Is(err, store.ErrNotFound) {
		err = notFound("workspace", id)
	}
	return m, err
}

func (d directory) agent(id string) (*storev1.AgentRecord, error) {
	return find[storev1.AgentRecord](d, agentKind, "agent", id)
}

func (d directory) customer(id string) (*storev1.CustomerRecord, error) {
	return find[storev1.CustomerRecord](d, customerKind, "customer", id)
}

func (d directory) customerByKey(key string) (*storev1.CustomerRecord, error) {
	id, err := d.source.get(directoryTable, directoryKey(d.workspace, customerKeyKind, key))
	if err != nil {
		return nil, err
	}
	if id == nil {
		return nil, notFound("customer with key", key)
	}
	return d.customer(string(id))
}

func (d directory) apiKey(id string) (*storev1.ApiKeyRecord, error) {
	return find[storev1.ApiKeyRecord](d, apiKeyKind, "API key", id)
}

func (t *tx) directory() directory { return directory{t, t.workspace.number} }

// Workspace implements store.DirectoryTx.
func (t *tx) Workspace() (w *storev1.WorkspaceRecord, err error) {
	defer t.contain(&err)
	return t.directory().settings(t.workspace.id)
}

// PutWorkspace implements store.DirectoryTx.
func (t *tx) PutWorkspace(w *storev1.WorkspaceRecord) error {
	if id := w.GetWorkspace().GetId(); id != t.workspace.id {
		return fmt.Errorf("store/bolt: record of workspace %q in a unit of %q", id, t.workspace.id)
	}
	return t.put(directoryTable, directoryKey(t.workspace.number, settingsKind, ""), w)
}

// Agent implements store.DirectoryTx.
func (t *tx) Agent(id string) (a *storev1.AgentRecord, err error) {
	defer t.contain(&err)
	return t.directory().agent(id)
}

// PutAgent implements store.DirectoryTx.
func (t *tx) PutAgent(a *storev1.AgentRecord) error {
	id := a.GetAgent().GetId()
	if err := checkID("agent", id); err != nil {
		return err
	}
	return t.put(directoryTable, directoryKey(t.workspace.number, agentKind, id), a)
}

// Customer implements store.DirectoryTx.
func (t *tx) Customer(id string) (c *storev1.CustomerRecord, err error) {
	defer t.contain(&err)
	return t.directory().customer(id)
}

// CustomerByKey implements store.DirectoryTx.
func (t *tx) CustomerByKey(key string) (c *storev1.CustomerRecord, err error) {
	defer t.contain(&err)
	return t.directory().customerByKey(key)
}

// PutCustomer implements store.DirectoryTx. A customer may get another id of the product's, but no other's.
func (t *tx) PutCustomer(c *storev1.CustomerRecord) (err error) {
	defer t.contain(&err)
	id, key, d := c.GetCustomer().GetId(), c.GetKey(), t.directory()
	if err := errors.Join(checkID("customer", id), checkID("customer's key", key)); err != nil {
		return err
	}
	switch other, err := d.customer(id); {
	case err == nil && other.GetKey() != key:
		return fmt.Errorf("store/bolt: the customer has another key than %q", key)
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	return t.putCustomer(c)
}

// putCustomer writes a customer under its id and key, whoever had the id, and takes away the id it had before.
func (t *tx) putCustomer(c *storev1.CustomerRecord) error {
	id, w := c.GetCustomer().GetId(), t.workspace.number
	byKey := directoryKey(w, customerKeyKind, c.GetKey())
	former, err := t.get(directoryTable, byKey)
	if err != nil {
		return err
	}
	if former != nil && string(former) != id {
		at := directoryKey(w, customerKind, string(former))
		holder, err := load[storev1.CustomerRecord](t, directoryTable, at)
		if err != nil {
			return err
		}
		if holder.GetKey() == c.GetKey() {
			t.remove(directoryTable, at)
		}
	}
	t.putBytes(directoryTable, byKey, []byte(id))
	return t.put(directoryTable, directoryKey(w, customerKind, id), c)
}

// APIKey implements store.DirectoryTx.
func (t *tx) APIKey(id string) (k *storev1.ApiKeyRecord, err error) {
	defer t.contain(&err)
	return t.directory().apiKey(id)
}

// PutAPIKey implements store.DirectoryTx.
func (t *tx) PutAPIKey(k *storev1.ApiKeyRecord) (err error) {
	defer t.contain(&err)
	id, d := k.GetApiKey().GetId(), t.directory()
	switch {
	case k.GetWorkspaceId() != t.workspace.id:
		return fmt.Errorf("store/bolt: key of workspace %q in a unit of %q", k.GetWorkspaceId(), t.workspace.id)
	case len(k.GetSecretHash()) == 0:
		return fmt.Errorf("store/bolt: API key %q without the hash of a secret", id)
	}
	if err := checkID("API key", id); err != nil {
		return err
	}
	holder := append(workspacePrefix(d.workspace), id...)
	switch taken, err := t.get(secretTable, k.GetSecretHash()); {
	case err != nil:
		return err
	case taken != nil && !bytes.Equal(taken, holder):
		return fmt.Errorf("store/bolt: API key %q has another's secret", id)
	}
	former, err := load[storev1.ApiKeyRecord](t, directoryTable, directoryKey(d.workspace, apiKeyKind, id))
	if err != nil {
		return err
	}
	if former != nil && !bytes.Equal(former.GetSecretHash(), k.GetSecretHash()) {
		t.remove(secretTable, former.GetSecretHash())
	}
	t.putBytes(secretTable, k.GetSecretHash(), holder)
	return t.put(directoryTable, directoryKey(d.workspace, apiKeyKind, id), k)
}

// inDirectory reads in a workspace's directory. A workspace that nobody wrote to has an empty one.
func (s *Store) inDirectory(ctx context.Context, id string, read func(*view, directory) error) error {
	return s.view(ctx, theDirectory, func(v *view) error {
		w := v.index.workspace(id)
		if w == nil {
			w = &workspace{id: id} // no workspace has the number 0
		}
		return read(v, directory{v, w.number})
	})
}

// Workspaces implements store.DirectoryReader.
func (s *Store) Workspaces(ctx context.Context) (all []*storev1.WorkspaceRecord, err error) {
	err = s.view(ctx, theDirectory, func(v *view) (err error) {
		v.index.workspaces.Scan(func(w *workspace) bool {
			var record *storev1.WorkspaceRecord
			record, err = directory{v, w.number}.settings(w.id)
			switch {
			case err == nil:
				all = append(all, record)
			case errors.Is(err, store.ErrNotFound): // objects were written in it, but never its record
				err = nil
			}
			return err == nil
		})
		return err
	})
	return all, err
}

// Workspace implements store.DirectoryReader.
func (s *Store) Workspace(ctx context.Context, workspace string) (w *storev1.WorkspaceRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(_ *view, d directory) (err error) {
		w, err = d.settings(workspace)
		return err
	})
	return w, err
}

// Agent implements store.DirectoryReader.
func (s *Store) Agent(ctx context.Context, workspace, id string) (a *storev1.AgentRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(_ *view, d directory) (err error) {
		a, err = d.agent(id)
		return err
	})
	return a, err
}

// Agents implements store.DirectoryReader.
func (s *Store) Agents(ctx context.Context, workspace, after string, limit int) (all []*storev1.AgentRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(v *view, d directory) (err error) {
		all, err = objects[storev1.AgentRecord](v, directoryTable, directoryKey(d.workspace, agentKind, ""), after, limit, false)
		return err
	})
	return all, err
}

// Customer implements store.DirectoryReader.
func (s *Store) Customer(ctx context.Context, workspace, id string) (c *storev1.CustomerRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(_ *view, d directory) (err error) {
		c, err = d.customer(id)
		return err
	})
	return c, err
}

// CustomerByKey implements store.DirectoryReader.
func (s *Store) CustomerByKey(ctx context.Context, workspace, key string) (c *storev1.CustomerRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(_ *view, d directory) (err error) {
		c, err = d.customerByKey(key)
		return err
	})
	return c, err
}

// Customers implements store.DirectoryReader.
func (s *Store) Customers(ctx context.Context, workspace, after string, limit int) (all []*storev1.CustomerRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(v *view, d directory) (err error) {
		all, err = objects[storev1.CustomerRecord](v, directoryTable, directoryKey(d.workspace, customerKind, ""), after, limit, false)
		return err
	})
	return all, err
}

// APIKey implements store.DirectoryReader.
func (s *Store) APIKey(ctx context.Context, workspace, id string) (k *storev1.ApiKeyRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(_ *view, d directory) (err error) {
		k, err = d.apiKey(id)
		return err
	})
	return k, err
}

// APIKeyByHash implements store.DirectoryReader.
func (s *Store) APIKeyByHash(ctx context.Context, hash []byte) (k *storev1.ApiKeyRecord, err error) {
	err = s.view(ctx, theDirectory, func(v *view) error {
		holder, err := v.get(secretTable, hash)
		if err != nil {
			return err
		}
		if len(holder) < 4 {
			return fmt.Errorf("%w: API key", store.ErrNotFound)
		}
		k, err = directory{v, binary.BigEndian.Uint32(holder)}.apiKey(string(holder[4:]))
		return err
	})
	return k, err
}

// APIKeys implements store.DirectoryReader.
func (s *Store) APIKeys(ctx context.Context, workspace, before string, limit int) (all []*storev1.ApiKeyRecord, err error) {
	err = s.inDirectory(ctx, workspace, func(v *view, d directory) (err error) {
		all, err = objects[storev1.ApiKeyRecord](v, directoryTable, directoryKey(d.workspace, apiKeyKind, ""), before, limit, true)
		return err
	})
	return all, err
}
