package memory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// tx is a unit of work: it changes a copy of the workspace that nobody else sees. before are all workspaces as they were
// before it; no other unit changes them while it runs.
type tx struct {
	workspaceID string
	workspace   *workspace
	before      map[string]*workspace
	// hints are what listeners are told of it.
	hints []store.Hint
}

func (t *tx) Now() time.Time { return t.workspace.last }

func (t *tx) Conversation(id string) (*storev1.Head, error) {
	c, err := t.workspace.conversation(id)
	if err != nil {
		return nil, err
	}
	return decode[storev1.Head](c.head)
}

func (t *tx) OldestWaiting() (string, error) {
	return t.first(func(h *storev1.Head) bool {
		return h.GetConversation().GetState() == goodshipv1.State_STATE_WAITING && h.GetConversation().GetOwnerId() == ""
	}, by(store.ByLine))
}

func (t *tx) NewestUnresolved(customerKey string) (string, error) {
	return t.first(func(h *storev1.Head) bool {
		return h.GetCustomerKey() == customerKey && !resolved(h)
	}, newestFirst)
}

// first returns the id of the first head, in an order, of those that keep holds for; or nothing.
func (t *tx) first(keep func(*storev1.Head) bool, order func(a, b *storev1.Head) int) (string, error) {
	heads, err := t.workspace.heads(keep)
	if err != nil || len(heads) == 0 {
		return "", err
	}
	return slices.MinFunc(heads, order).GetConversation().GetId(), nil
}

// newestFirst orders by creation, newest first.
func newestFirst(a, b *storev1.Head) int {
	return cmp.Or(
		b.GetConversation().GetCreateTime().AsTime().Compare(a.GetConversation().GetCreateTime().AsTime()),
		cmp.Compare(b.GetConversation().GetId(), a.GetConversation().GetId()),
	)
}

func (t *tx) Message(conversation string, number int32) (*goodshipv1.Message, error) {
	c, err := t.workspace.conversation(conversation)
	if err != nil {
		return nil, err
	}
	return numbered[goodshipv1.Message](c.messages, number)
}

func (t *tx) Note(conversation string, number int32) (*goodshipv1.Note, error) {
	c, err := t.workspace.conversation(conversation)
	if err != nil {
		return nil, err
	}
	return numbered[goodshipv1.Note](c.notes, number)
}

func (t *tx) Resolution(conversation string, number int32) (*goodshipv1.Resolution, error) {
	c, err := t.workspace.conversation(conversation)
	if err != nil {
		return nil, err
	}
	return numbered[goodshipv1.Resolution](c.resolutions, number)
}

func (t *tx) ReadMark(conversation, agentID string) (*storev1.ReadMarkRecord, error) {
	c, err := t.workspace.conversation(conversation)
	if err != nil {
		return nil, err
	}
	mark, err := find[storev1.ReadMarkRecord](c.marks, agentID)
	if errors.Is(err, store.ErrNotFound) {
		return &storev1.ReadMarkRecord{AgentId: agentID}, nil
	}
	return mark, err
}

func (t *tx) PutReadMark(conversation string, mark *storev1.ReadMarkRecord) error {
	c, err := t.workspace.conversation(conversation)
	if err != nil {
		return err
	}
	c = c.copy()
	if err := put(c.marks, mark.GetAgentId(), mark); err != nil {
		return err
	}
	t.workspace.conversations[conversation] = c
	return nil
}

func (t *tx) PutDueTime(conversation string, due time.Time) error {
	c, err := t.workspace.conversation(conversation)
	if err != nil {
		return err
	}
	head, err := decode[storev1.Head](c.head)
	if err != nil {
		return err
	}
	head.DueTime = nil
	if !due.IsZero() {
		head.DueTime = timestamppb.New(due)
	}
	c = c.copy()
	if c.head, err = encode(head); err != nil {
		return err
	}
	t.workspace.conversations[conversation] = c
	t.changed(head)
	return nil
}

func (t *tx) Workspace() (*storev1.WorkspaceRecord, error) {
	return t.workspace.settings(t.workspaceID)
}

func (t *tx) PutWorkspace(w *storev1.WorkspaceRecord) error {
	if id := w.GetWorkspace().GetId(); id != t.workspaceID {
		return fmt.Errorf("store/memory: record of workspace %q in a unit of %q", id, t.workspaceID)
	}
	b, err := encode(w)
	if err != nil {
		return err
	}
	t.workspace.record = b
	t.hint(store.Hint{Workspace: t.workspaceID})
	return nil
}

func (t *tx) Agent(id string) (*storev1.AgentRecord, error) {
	return find[storev1.AgentRecord](t.workspace.agents, id)
}

func (t *tx) PutAgent(a *storev1.AgentRecord) error {
	t.hint(store.Hint{Workspace: t.workspaceID, AgentID: a.GetAgent().GetId()})
	return putNamed(t.workspace.agents, a.GetAgent().GetId(), a)
}

func (t *tx) Customer(id string) (*storev1.CustomerRecord, error) {
	return t.workspace.customer(id)
}

func (t *tx) CustomerByKey(key string) (*storev1.CustomerRecord, error) {
	return find[storev1.CustomerRecord](t.workspace.customers, key)
}

// PutCustomer refuses the id of a customer with another key. A customer may get another id.
func (t *tx) PutCustomer(c *storev1.CustomerRecord) error {
	id, key := c.GetCustomer().GetId(), c.GetKey()
	other, err := t.workspace.customer(id)
	switch {
	case id == "":
		return errors.New("store/memory: customer without an id")
	case err == nil && other.GetKey() != key:
		return fmt.Errorf("store/memory: customer %q has another key", id)
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	if former, err := t.CustomerByKey(key); err == nil {
		t.hint(store.Hint{Workspace: t.workspaceID, CustomerID: former.GetCustomer().GetId()})
	}
	t.hint(store.Hint{Workspace: t.workspaceID, CustomerID: id})
	return putNamed(t.workspace.customers, key, c)
}

func (t *tx) APIKey(id string) (*storev1.ApiKeyRecord, error) {
	return find[storev1.ApiKeyRecord](t.workspace.apiKeys, id)
}

// PutAPIKey refuses the secret of another key, in whatever workspace: APIKeyByHash must find one.
func (t *tx) PutAPIKey(k *storev1.ApiKeyRecord) error {
	id, hash := k.GetApiKey().GetId(), k.GetSecretHash()
	switch {
	case k.GetWorkspaceId() != t.workspaceID:
		return fmt.Errorf("store/memory: key of workspace %q in a unit of %q", k.GetWorkspaceId(), t.workspaceID)
	case len(hash) == 0:
		return fmt.Errorf("store/memory: API key %q without a hash", id)
	}
	all := copyMap(t.before)
	all[t.workspaceID] = t.workspace
	other, err := keyByHash(all, hash)
	switch {
	case err == nil && (other.GetWorkspaceId() != t.workspaceID || other.GetApiKey().GetId() != id):
		return fmt.Errorf("store/memory: API key %q has another's secret", id)
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	t.hint(store.Hint{Workspace: t.workspaceID})
	return putNamed(t.workspace.apiKeys, id, k)
}
