package support

import (
	"cmp"
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// update runs a unit of work for what a caller does. An agent who said to be AWAY is back with it, whatever comes of it: the
// rules of the unit are to find them there.
func (s *Service) update(ctx context.Context, c Caller, once store.Once, fn func(store.Tx, Caller) (*storev1.Receipt, error)) (store.Result, error) {
	if c.isAgent() {
		s.presence.act(c.Workspace, c.ID, s.store.Now())
	}
	return s.updateUnasked(ctx, c, once, fn)
}

// updateUnasked runs a unit of work for a caller, whom it hands to fn as they are in the unit; who may not call any more changes
// nothing. By itself it is for what a page that was left open calls for without being asked: marking what it shows as read. Every
// change that somebody calls for goes through it; only what time does, which nobody calls for, does not.
func (s *Service) updateUnasked(ctx context.Context, c Caller, once store.Once, fn func(store.Tx, Caller) (*storev1.Receipt, error)) (store.Result, error) {
	return s.store.Update(ctx, c.Workspace, s.hidden(once), func(tx store.Tx) (*storev1.Receipt, error) {
		c, err := c.in(tx)
		if err != nil {
			return nil, err
		}
		return fn(tx, c)
	})
}

// hidden returns what makes a request safe to repeat as it is remembered: what it says of people cannot be told, nor found out by
// guessing, without the store's key.
func (s *Service) hidden(once store.Once) store.Once {
	sealer := s.store.Sealer()
	scope := sealer.Hash([]byte(once.Scope))
	once.Scope, once.Body = string(scope[:]), sealer.Hash(once.Body[:])
	return once
}

// callerRecords are the records that say whether somebody may call: a unit's, or, outside of units, a callerReader's.
type callerRecords interface {
	Workspace() (*storev1.WorkspaceRecord, error)
	Agent(id string) (*storev1.AgentRecord, error)
	Customer(id string) (*storev1.CustomerRecord, error)
	APIKey(id string) (*storev1.ApiKeyRecord, error)
}

// callerReader reads a workspace's records as they are now.
type callerReader struct {
	ctx       context.Context
	store     store.DirectoryReader
	workspace string
}

func (r callerReader) Workspace() (*storev1.WorkspaceRecord, error) {
	return r.store.Workspace(r.ctx, r.workspace)
}

func (r callerReader) Agent(id string) (*storev1.AgentRecord, error) {
	return r.store.Agent(r.ctx, r.workspace, id)
}

func (r callerReader) Customer(id string) (*storev1.CustomerRecord, error) {
	return r.store.Customer(r.ctx, r.workspace, id)
}

func (r callerReader) APIKey(id string) (*storev1.ApiKeyRecord, error) {
	return r.store.APIKey(r.ctx, r.workspace, id)
}

// in returns the caller as records say now, or why they may not call any more: since the call was let in, their keys and
// tokens may have been revoked, and the directory may say something else of them.
func (c Caller) in(records callerRecords) (Caller, error) {
	if err := checkAPIKey(records, cmp.Or(c.APIKeyID, c.madeBy)); err != nil {
		return Caller{}, err
	}
	if err := c.checkSigningKey(records); err != nil {
		return Caller{}, err
	}
	switch {
	case c.isAgent():
		agent, err := records.Agent(c.ID)
		if err != nil {
			return Caller{}, orMissing(err, noAgent(c.ID))
		}
		c.agent = agent
		return c.atMost(agent)
	case c.byToken:
		customer, err := records.Customer(c.ID)
		if err != nil { // who is not known yet has nothing that could have been revoked
			return c, orMissing(err, nil)
		}
		return c, c.checkCustomer(customer)
	}
	return c, nil
}

// checkAPIKey returns nil unless the API key, if any, that a call came with or that made its token was revoked.
func checkAPIKey(records callerRecords, id string) error {
	if id == "" {
		return nil
	}
	r, err := records.APIKey(id)
	return orRevoked(r, err)
}

// orRevoked returns the fault of a key that was revoked, or is not there; or why it could not be read.
func orRevoked(r *storev1.ApiKeyRecord, err error) error {
	if err == nil && r.ApiKey.RevokeTime != nil {
		return keyRevoked()
	}
	return orMissing(err, keyRevoked())
}

// checkSigningKey returns nil unless the signing key, if any, of the token that the call came with was revoked.
func (c Caller) checkSigningKey(records callerRecords) error {
	if c.signedBy == "" {
		return nil
	}
	w, err := records.Workspace()
	if err != nil {
		return err
	}
	if key := findSigningKey(w, c.signedBy); key == nil || key.SigningKey.RevokeTime != nil {
		return signingKeyRevoked()
	}
	return nil
}
