package support

import (
	"cmp"
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// update runs a unit of work for a caller, whom it hands to fn as they are in the unit; who may not call any more changes
// nothing. Every change that somebody calls for goes through it. Only what time does, which nobody calls for, does not.
func (s *Service) update(ctx context.Context, c Caller, once store.Once, fn func(store.Tx, Caller) (*storev1.Receipt, error)) (store.Result, error) {
	return s.store.Update(ctx, c.Workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		c, err := c.in(tx)
		if err != nil {
			return nil, err
		}
		return fn(tx, c)
	})
}

// in returns the caller as they are in a unit, or why they may not call any more: since the call was let in, their keys and
// tokens may have been revoked, and the directory may say something else of them.
func (c Caller) in(tx store.Tx) (Caller, error) {
	if err := checkAPIKey(tx, cmp.Or(c.APIKeyID, c.madeBy)); err != nil {
		return Caller{}, err
	}
	if err := c.checkSigningKey(tx); err != nil {
		return Caller{}, err
	}
	switch {
	case c.isAgent():
		agent, err := tx.Agent(c.ID)
		if err != nil {
			return Caller{}, orMissing(err, noAgent(c.ID))
		}
		c.agent = agent
		return c.atMost(agent)
	case c.byToken:
		customer, err := tx.Customer(c.ID)
		if err != nil { // who is not known yet has nothing that could have been revoked
			return c, orMissing(err, nil)
		}
		return c, c.checkCustomer(customer)
	}
	return c, nil
}

// checkAPIKey returns nil unless the API key, if any, that a call came with or that made its token was revoked.
func checkAPIKey(tx store.Tx, id string) error {
	if id == "" {
		return nil
	}
	r, err := tx.APIKey(id)
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
func (c Caller) checkSigningKey(tx store.Tx) error {
	if c.signedBy == "" {
		return nil
	}
	w, err := tx.Workspace()
	if err != nil {
		return err
	}
	if key := findSigningKey(w, c.signedBy); key == nil || key.SigningKey.RevokeTime != nil {
		return signingKeyRevoked()
	}
	return nil
}
