package support_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func upsertAgent(a *goodshipv1.Agent) *goodshipv1.UpsertAgentRequest {
	return &goodshipv1.UpsertAgentRequest{AgentId: "cleo", Agent: a}
}

func TestUpsertAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuses(backend, &goodshipv1.GetAgentRequest{AgentId: "cleo"}, "NotFound AGENT_NOT_FOUND agent_id=cleo")
	start := timestamppb.New(w.clock.Now())
	created := do[*goodshipv1.Agent](w, backend, upsertAgent(&goodshipv1.Agent{
		DisplayName: "Cleo", AvatarUri: "https://example.com/cleo.png",
		Id: "another", Etag: "9", DisableTime: start, AvailableUntilTime: start, // output only
	}))
	same(t, "created", created, &goodshipv1.Agent{
		Id: "cleo", DisplayName: "Cleo", AvatarUri: "https://example.com/cleo.png", Role: goodshipv1.Role_ROLE_AGENT,
		Present: true, Etag: created.Etag, CreateTime: created.CreateTime, UpdateTime: created.CreateTime,
	})
	w.clock.Jump(time.Minute)
	again := do[*goodshipv1.Agent](w, backend, upsertAgent(&goodshipv1.Agent{DisplayName: "Cleo", AvatarUri: "https://example.com/cleo.png"}))
	same(t, "upserted with nothing new", again, created)
	leads := do[*goodshipv1.Agent](w, ada, &goodshipv1.GetAgentRequest{AgentId: "cleo"})
	same(t, "read by an agent", leads, created)
	changed := do[*goodshipv1.Agent](w, backend, upsertAgent(&goodshipv1.Agent{DisplayName: "Cleo", Role: goodshipv1.Role_ROLE_LEADER}))
	equal(t, "role", changed.Role, goodshipv1.Role_ROLE_LEADER)
	equal(t, "avatar, replaced as a whole", changed.AvatarUri, "")
	equal(t, "etag changed", changed.Etag != created.Etag, true)
	equal(t, "updated", changed.UpdateTime.AsTime().After(created.UpdateTime.AsTime()), true)
	c, err := w.Authenticate(t.Context(), w.secret, "agent/cleo")
	if err != nil || c.Kind != goodshipv1.Caller_CALLER_LEADER {
		t.Errorf("authenticate: got %v, %v, want a leader", c.Kind, err)
	}
}

func TestUpsertAgentWithEtag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const mismatch = "Aborted ETAG_MISMATCH"
	req := upsertAgent(&goodshipv1.Agent{DisplayName: "Cleo"})
	for _, etag := range []string{"1", "0", "x"} {
		req.Etag = etag
		w.refuses(backend, req, mismatch)
	}
	req.Etag = ""
	req.Etag = do[*goodshipv1.Agent](w, backend, req).Etag
	req.Agent.DisplayName = "Cleopatra"
	stale := req.Etag
	req.Etag = do[*goodshipv1.Agent](w, backend, req).Etag
	req.Agent.DisplayName = "Cleo again"
	do[*goodshipv1.Agent](w, backend, req)
	req.Etag = stale
	w.refuses(backend, req, mismatch)
}

func TestUpsertCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := &goodshipv1.UpsertCustomerRequest{CustomerId: "max", Customer: &goodshipv1.Customer{DisplayName: "Kim"}}
	const mismatch = "Aborted ETAG_MISMATCH"
	for _, etag := range []string{"1", "0", "x"} {
		req.Etag = etag
		w.refuses(backend, req, mismatch)
	}
	req.Etag = ""
	created := do[*goodshipv1.Customer](w, backend, req)
	same(t, "created", created, &goodshipv1.Customer{
		Id: "max", DisplayName: "Kim", Etag: created.Etag, CreateTime: created.CreateTime, UpdateTime: created.UpdateTime,
	})
	w.clock.Jump(time.Minute)
	same(t, "upserted with nothing new", do[*goodshipv1.Customer](w, backend, req), created)
	same(t, "read by an agent", do[*goodshipv1.Customer](w, ada, &goodshipv1.GetCustomerRequest{CustomerId: "max"}), created)
	req.Etag, req.Customer.DisplayName = created.Etag, "Kimberly"
	changed := do[*goodshipv1.Customer](w, backend, req)
	equal(t, "name", changed.DisplayName, "Kimberly")
	req.Customer.DisplayName = "Kim"
	w.refuses(backend, req, mismatch)

	const new person = "customer/new"
	w.opens(new, "Hello?") // a customer who comes by calling has no name until a backend gives one
	equal(t, "name of who called", do[*goodshipv1.Customer](w, backend, &goodshipv1.GetCustomerRequest{CustomerId: "new"}).DisplayName, "")
	named := do[*goodshipv1.Customer](w, backend, &goodshipv1.UpsertCustomerRequest{CustomerId: "new", Customer: &goodshipv1.Customer{DisplayName: "Lou"}})
	equal(t, "name once given", named.DisplayName, "Lou")
	id := w.opens(new, "Hello?")
	equal(t, "name in a message", w.reads(ada, id).Participants[0].Persona.GetDisplayName(), "Lou")
}

func TestBlockCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	block := func(p person, until *timestamppb.Timestamp) *goodshipv1.Customer {
		t.Helper()
		return do[*goodshipv1.Customer](w, p, &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "Threats", UntilTime: until})
	}
	w.refuses(backend, &goodshipv1.BlockCustomerRequest{CustomerId: "nobody", Reason: "x"}, "NotFound CUSTOMER_NOT_FOUND customer_id=nobody")
	send := &goodshipv1.SendMessageRequest{ConversationId: id, Text: "Hello??"}

	until := timestamppb.New(w.clock.Now().Add(time.Hour))
	blocked := block(lea, until)
	same(t, "block", blocked.Block, &goodshipv1.Block{Reason: "Threats", UntilTime: until, BlockTime: blocked.Block.BlockTime})
	w.refuses(kim, send, "PermissionDenied CUSTOMER_BLOCKED until=2026-03-01T10:00:00Z")
	named := do[*goodshipv1.Customer](w, backend, &goodshipv1.UpsertCustomerRequest{CustomerId: "kim", Customer: &goodshipv1.Customer{DisplayName: "Kim"}})
	same(t, "block after an upsert", named.Block, blocked.Block)
	w.clock.Jump(time.Hour)
	w.says(kim, id, "The block has ended.")

	block(backend, nil)
	w.clock.Jump(1000 * time.Hour)
	w.refuses(kim, send, "PermissionDenied CUSTOMER_BLOCKED")
	lifted := block(backend, timestamppb.New(w.clock.Now()))
	equal(t, "block once lifted", lifted.Block, nil)
	equal(t, "etag changed", lifted.Etag != blocked.Etag, true)
	w.says(kim, id, "The block is lifted.")
}
