package storetest

import (
	"fmt"
	"slices"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// directoryPages reads agents, customers and keys page by page.
func directoryPages(s *subject) {
	var ids []string
	s.do("w", func(tx store.Tx) error {
		ids = nil
		for i := range 11 {
			id := fmt.Sprintf("id-%02d", (i*7)%11)
			ids = append(ids, id)
			if err := furnishAs(tx, "w", id, id); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(ids)
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	for _, limit := range []int{1, 3, 11, all} {
		s.wantPages("Agents", ids, limit, func(after string) (page []string) {
			got, err := s.store().Agents(s.ctx, "w", after, limit)
			s.wantErr("Agents", err, nil)
			for _, a := range got {
				page = append(page, a.GetAgent().GetId())
			}
			return page
		})
		s.wantPages("Customers", ids, limit, func(after string) (page []string) {
			got, err := s.store().Customers(s.ctx, "w", after, limit)
			s.wantErr("Customers", err, nil)
			for _, c := range got {
				page = append(page, c.GetCustomer().GetId())
			}
			return page
		})
		s.wantPages("APIKeys", newest, limit, func(before string) (page []string) {
			got, err := s.store().APIKeys(s.ctx, "w", before, limit)
			s.wantErr("APIKeys", err, nil)
			for _, k := range got {
				page = append(page, k.GetApiKey().GetId())
			}
			return page
		})
	}
}

// wantPages fails the test unless pages, each after the last id of the one before, make up a list, and are full.
func (s *subject) wantPages(what string, want []string, limit int, page func(after string) []string) {
	s.Helper()
	var got []string
	for after := ""; ; {
		ids := page(after)
		if len(ids) > limit || len(ids) < limit && len(got)+len(ids) < len(want) {
			s.Errorf("%s: a page of %d, want %d", what, len(ids), limit)
		}
		if len(ids) == 0 || len(got) > len(want) {
			break
		}
		got = append(got, ids...)
		after = ids[len(ids)-1]
	}
	if !slices.Equal(got, want) {
		s.Errorf("%s in pages of %d: got %q, want %q", what, limit, got, want)
	}
}

// directoryIsByEveryName changes people and keys, and reads them under every name that they have.
func directoryIsByEveryName(s *subject) {
	for version := range int32(3) {
		for _, w := range []string{"w", "w2"} {
			s.do(w, func(tx store.Tx) error {
				for _, err := range []error{
					tx.PutWorkspace(workspaceRecord(w, version)),
					tx.PutAgent(agentRecord("id", version)),
					tx.PutCustomer(customerRecord("id", "key", version)),
					tx.PutAPIKey(apiKeyRecord(w, "id", version)),
				} {
					if err != nil {
						return err
					}
				}
				return nil
			})
			s.wantVersion(w, version)
		}
		s.wantVersion("w", version)
		s.reopen()
	}
	s.do("w", func(tx store.Tx) error { return tx.PutCustomer(customerRecord("new id", "key", 7)) })
	byKey, err := s.store().CustomerByKey(s.ctx, "w", "key")
	if renamed, errNew := s.store().Customer(s.ctx, "w", "new id"); err != nil || errNew != nil || byKey.GetVersion() != 7 || !proto.Equal(byKey, renamed) {
		s.Errorf("a customer with a new id: got %v, %v, by its key, %v, %v", byKey, err, renamed, errNew)
	}
	_, err = s.store().Customer(s.ctx, "w", "id")
	s.wantErr("a customer by the id from before", err, store.ErrNotFound)
	s.do("w", func(tx store.Tx) error { return tx.PutCustomer(customerRecord("id", "another key", 1)) })

	former := apiKeyRecord("w", "id", 7).GetSecretHash()
	s.do("w", func(tx store.Tx) error {
		key := apiKeyRecord("w", "id", 7)
		key.SecretHash = []byte("a new secret")
		return tx.PutAPIKey(key)
	})
	_, err = s.store().APIKeyByHash(s.ctx, former)
	s.wantErr("APIKeyByHash of the secret from before", err, store.ErrNotFound)
	_, err = s.store().APIKeyByHash(s.ctx, []byte("a new secret"))
	s.wantErr("APIKeyByHash of the new secret", err, nil)
	_, err = s.store().APIKeyByHash(s.ctx, nil)
	s.wantErr("APIKeyByHash of nothing", err, store.ErrNotFound)
	_, err = s.store().APIKeyByHash(s.ctx, []byte("hash"))
	s.wantErr("APIKeyByHash of the beginning of a hash", err, store.ErrNotFound)
}

func (s *subject) wantVersion(w string, version int32) {
	s.Helper()
	workspace, err := s.store().Workspace(s.ctx, w)
	s.wantErr("Workspace", err, nil)
	agent, err := s.store().Agent(s.ctx, w, "id")
	s.wantErr("Agent", err, nil)
	customer, err := s.store().Customer(s.ctx, w, "id")
	s.wantErr("Customer", err, nil)
	byKey, err := s.store().CustomerByKey(s.ctx, w, "key")
	s.wantErr("CustomerByKey", err, nil)
	byID, err := s.store().APIKey(s.ctx, w, "id")
	s.wantErr("APIKey", err, nil)
	key, err := s.store().APIKeyByHash(s.ctx, apiKeyRecord(w, "id", version).GetSecretHash())
	s.wantErr("APIKeyByHash", err, nil)
	if !proto.Equal(byID, key) {
		s.Errorf("in %q: got the key %v by its id, %v by its hash", w, byID, key)
	}
	if workspace.GetVersion() != version || agent.GetVersion() != version || customer.GetVersion() != version || byKey.GetVersion() != version ||
		key.GetWorkspaceId() != w || key.GetApiKey().GetDisplayName() != fmt.Sprint(version) {
		s.Errorf("in %q: got %v, %v, %v, %v, %v, want version %d of each", w, workspace, agent, customer, byKey, key, version)
	}
	for _, swapped := range []func() (*storev1.CustomerRecord, error){
		func() (*storev1.CustomerRecord, error) { return s.store().Customer(s.ctx, w, "key") },
		func() (*storev1.CustomerRecord, error) { return s.store().CustomerByKey(s.ctx, w, "id") },
	} {
		_, err := swapped()
		s.wantErr("a customer by the other name", err, store.ErrNotFound)
	}
}

// strangersAreRefused puts what belongs elsewhere, or is another's, or has no name.
func strangersAreRefused(s *subject) {
	s.do("w", func(tx store.Tx) error { return furnishAs(tx, "w", "id", "text") })
	s.do("w2", func(tx store.Tx) error { return furnishAs(tx, "w2", "other", "text") })
	before := s.image()
	withHash := func(id string, hash []byte) *storev1.ApiKeyRecord {
		key := apiKeyRecord("w", id, 1)
		key.SecretHash = hash
		return key
	}
	changed := func(change func(*draft)) func(store.Tx) error {
		return func(tx store.Tx) error { return appendTo(tx, "id", change) }
	}
	for name, put := range map[string]func(store.Tx) error{
		"another workspace's settings": func(tx store.Tx) error { return tx.PutWorkspace(workspaceRecord("w2", 1)) },
		"settings of no workspace":     func(tx store.Tx) error { return tx.PutWorkspace(workspaceRecord("", 1)) },
		"another workspace's key":      func(tx store.Tx) error { return tx.PutAPIKey(apiKeyRecord("w2", "id", 1)) },
		"a key without a secret":       func(tx store.Tx) error { return tx.PutAPIKey(withHash("key", nil)) },
		"a key with another's secret": func(tx store.Tx) error {
			return tx.PutAPIKey(withHash("key", apiKeyRecord("w", "id", 1).GetSecretHash()))
		},
		"a key with one's of another workspace": func(tx store.Tx) error {
			return tx.PutAPIKey(withHash("key", apiKeyRecord("w2", "other", 1).GetSecretHash()))
		},
		"a key without an id":             func(tx store.Tx) error { return tx.PutAPIKey(apiKeyRecord("w", "", 1)) },
		"an agent without an id":          func(tx store.Tx) error { return tx.PutAgent(agentRecord("", 1)) },
		"a customer with another's id":    func(tx store.Tx) error { return tx.PutCustomer(customerRecord("id", "key 2", 1)) },
		"a customer without an id":        func(tx store.Tx) error { return tx.PutCustomer(customerRecord("", "key 2", 1)) },
		"a customer without a key":        func(tx store.Tx) error { return tx.PutCustomer(customerRecord("id 2", "", 1)) },
		"another customer's conversation": changed(func(d *draft) { d.head.CustomerKey = "key 2" }),
		"another external id":             changed(func(d *draft) { d.conversation().ExternalId = "external 2" }),
		"no external id any more":         changed(func(d *draft) { d.conversation().ExternalId = "" }),
		"another time of creation":        changed(func(d *draft) { d.conversation().CreateTime = timestamppb.New(d.now) }),
		"a text that is not UTF-8":        changed(func(d *draft) { d.say("\xff") }),
	} {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, put(tx) })
		if err == nil {
			s.Errorf("the store took %s", name)
		}
	}
	s.unchanged("strangers", before)
}
