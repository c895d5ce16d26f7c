package support_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

const (
	erasureRunning = goodshipv1.ErasureState_ERASURE_STATE_RUNNING
	erasureDone    = goodshipv1.ErasureState_ERASURE_STATE_DONE
)

// erases erases a customer, which must be done at once, and returns the receipt.
func (w *world) erases(p person) *goodshipv1.Erasure {
	w.t.Helper()
	erasure := do[*goodshipv1.Erasure](w, backend, &goodshipv1.EraseCustomerRequest{CustomerId: p.id()})
	equal(w.t, "state", erasure.State, erasureDone)
	return erasure
}

// removes tells what a receipt counts.
func removes(e *goodshipv1.Erasure) string {
	r := e.Removed
	return fmt.Sprintf("%d conversations, %d messages, %d notes, %d events, %d apologies, %d credits",
		r.ConversationCount, r.MessageCount, r.NoteCount, r.EventCount, e.ApologyCount, e.CreditCount)
}

// lifeRemoved is what is removed of a life.
const lifeRemoved = "4 conversations, 5 messages, 2 notes, 23 events, 1 apologies, 2 credits"

// forgot checks that nothing of a person is left. Ids are looked for as they are stored, behind their length: random ones may hold
// them.
func (w *world) forgot(p person, ids []string) {
	w.t.Helper()
	w.refuses(backend, &goodshipv1.GetCustomerRequest{CustomerId: p.id()}, "NotFound CUSTOMER_NOT_FOUND customer_id="+p.id())
	for _, id := range ids {
		for _, by := range []person{p, ada, lea, backend} {
			w.refuses(by, &goodshipv1.GetConversationRequest{ConversationId: id}, "NotFound CONVERSATION_NOT_FOUND")
			w.refuses(by, &goodshipv1.ListMessagesRequest{ConversationId: id}, "NotFound CONVERSATION_NOT_FOUND")
		}
	}
	for name, value := range image(w.t, w.store) {
		for _, word := range []string{string(rune(len(p.id()))) + p.id(), "It skipped", "The voyage", "A note", "Aye"} {
			if strings.Contains(value, word) {
				w.t.Errorf("%s: got %q, want nothing of the erased", name, word)
			}
		}
	}
}

// TestErase erases a person. The amounts stay, and a new person under the old id has nothing of it.
func TestErase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := life(w)
	bystander := w.opens(lou, "Hello?")
	granted := do[*goodshipv1.ListCreditsResponse](w, kim, &goodshipv1.ListCreditsRequest{}).Credits
	before := do[*goodshipv1.GetLedgerResponse](w, backend, &goodshipv1.GetLedgerRequest{CustomerId: kim.id()})
	key := customerKeyOf(w, kim)
	erasure := w.erases(kim)
	equal(t, "removed", removes(erasure), lifeRemoved)
	same(t, "receipt", do[*goodshipv1.Erasure](w, backend, &goodshipv1.GetErasureRequest{ErasureId: erasure.Id}), erasure)
	w.forgot(kim, ids)
	equal(t, "state of another's", w.reads(lou, bystander).State, waiting)

	for _, c := range granted {
		now := do[*goodshipv1.Credit](w, backend, &goodshipv1.GetCreditRequest{CreditId: c.Id})
		equal(t, "amount", now.Amount.String(), c.Amount.String())
		equal(t, "whose", now.CustomerId+now.ConversationId+now.Reason, "")
	}
	entries, err := w.store.LedgerEntries(t.Context(), w.workspace, key, 0, everything)
	equal(t, "error", err, nil)
	equal(t, "entries of the ledger", len(entries), len(before.Entries))
	equal(t, "settled since", w.settles(bill(granted[0].Id, "bill-1")).GetCredit().GetState(), settled)
	incident := do[*goodshipv1.ListIncidentsResponse](w, backend, &goodshipv1.ListIncidentsRequest{}).Incidents[0]
	equal(t, "progress", fmt.Sprint(incident.Progress.Affected, incident.Progress.Pending, incident.Progress.Skipped), "1 0 1")

	w.refuses(backend, &goodshipv1.EraseCustomerRequest{CustomerId: kim.id()}, "NotFound CUSTOMER_NOT_FOUND customer_id=kim")
	w.refuses(backend, &goodshipv1.EraseCustomerRequest{CustomerId: "nobody"}, "NotFound CUSTOMER_NOT_FOUND customer_id=nobody")
	w.refuses(backend, &goodshipv1.GetErasureRequest{ErasureId: "era_" + strings.Repeat("0", 26)}, "NotFound ERASURE_NOT_FOUND")
	id := w.opens(kim, "Hello again")
	equal(t, "a new person sees", w.conversations(w.by(kim), &goodshipv1.ListConversationsRequest{}), id)
	equal(t, "and has been granted", len(do[*goodshipv1.ListCreditsResponse](w, kim, &goodshipv1.ListCreditsRequest{}).Credits), 0)
}

func customerKeyOf(w *world, p person) string {
	w.t.Helper()
	r, err := w.store.Customer(w.t.Context(), w.workspace, p.id())
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Key
}

// TestEraseByVisitorID erases somebody by the id of a visitor that they were, who is the same person.
func TestEraseByVisitorID(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	wrote, silent := s.comes(), s.comes()
	ids := []string{s.asks(wrote), s.opens(kim, "Hello?")}
	equal(t, "sign in", s.signsIn(kim, wrote.Token), "")
	equal(t, "sign in", s.signsIn(kim, silent.Token), "")
	equal(t, "removed", removes(s.erases(person("customer/"+wrote.VisitorId))), "2 conversations, 2 messages, 0 notes, 6 events, 0 apologies, 0 credits")
	s.forgot(kim, ids)
	s.refuses(backend, &goodshipv1.GetCustomerRequest{CustomerId: wrote.VisitorId}, "NotFound CUSTOMER_NOT_FOUND customer_id="+wrote.VisitorId)
	// The session of who never wrote is over as it was, and its id names nobody else.
	equal(t, "let in", s.knocks(silent.Token, ""), credentialRevoked)
	s.opens(person("customer/"+silent.VisitorId), "Hello?")
}

// TestEraseIsRefusedOnHold has leaders and backends hold a conversation, and nobody else.
func TestEraseIsRefusedOnHold(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	session := s.comes()
	id := s.asks(session)
	equal(t, "sign in", s.signsIn(kim, session.Token), "")
	s.opens(kim, "Hello?")
	hold := func(on bool) *goodshipv1.UpdateConversationRequest {
		return &goodshipv1.UpdateConversationRequest{ConversationId: id, Conversation: &goodshipv1.ConversationUpdate{Hold: on}, UpdateMask: mask("hold")}
	}
	s.refuses(ada, hold(true), "PermissionDenied CALLER_NOT_ALLOWED allowed=BACKEND,LEADER caller=AGENT")
	for _, by := range []person{lea, backend} {
		equal(t, "hold", do[*goodshipv1.Conversation](s.world, by, hold(true)).Hold, true)
		equal(t, "hold in the customer's view", s.reads(kim, id).Hold, false)
		s.refuses(ada, hold(false), "PermissionDenied CALLER_NOT_ALLOWED allowed=BACKEND,LEADER caller=AGENT")
		s.refuses(backend, &goodshipv1.EraseCustomerRequest{CustomerId: kim.id()}, "FailedPrecondition CONVERSATION_ON_HOLD conversation_id="+id)
		equal(t, "hold", do[*goodshipv1.Conversation](s.world, by, hold(false)).Hold, false)
	}
	events := s.log(id)
	equal(t, "event", list(events[len(events)-1].GetDetailsChanged().GetFields()), "hold")
	s.erases(kim)
}

// TestEraseIsRepeated repeats the call: the same receipt, and never that of another person's erasure.
func TestEraseIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens(kim, "Hello?")
	w.opens(lou, "Hello?")
	req := &goodshipv1.EraseCustomerRequest{CustomerId: kim.id(), RequestId: "once"}
	first := do[*goodshipv1.Erasure](w, backend, req)
	same(t, "receipt", do[*goodshipv1.Erasure](w, backend, req), first)
	w.restart()
	same(t, "receipt after a restart", do[*goodshipv1.Erasure](w, backend, req), first)
	w.refuses(backend, &goodshipv1.EraseCustomerRequest{CustomerId: lou.id(), RequestId: "once"}, "InvalidArgument REQUEST_ID_REUSED")
	w.refuses(backend, &goodshipv1.EraseCustomerRequest{CustomerId: "nobody", RequestId: "once"}, "InvalidArgument REQUEST_ID_REUSED")
	w.erases(lou)
	w.refuses(backend, &goodshipv1.EraseCustomerRequest{CustomerId: lou.id(), RequestId: "once"}, "InvalidArgument REQUEST_ID_REUSED")
	id := w.opens(kim, "Hello again")
	same(t, "receipt once kim is somebody new", do[*goodshipv1.Erasure](w, backend, req), first)
	equal(t, "state of what is said since", w.reads(kim, id).State, waiting)
}

// TestListErasures pages through the receipts, newest first.
func TestListErasures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []*goodshipv1.Erasure
	for range 5 {
		w.opens(kim, "Hello?")
		want = slices.Insert(want, 0, w.erases(kim))
	}
	for size := range int32(6) {
		var got []*goodshipv1.Erasure
		for req, more := (&goodshipv1.ListErasuresRequest{PageSize: size}), true; more; more = req.PageToken != "" {
			page := do[*goodshipv1.ListErasuresResponse](w, backend, req)
			got, req.PageToken = append(got, page.Erasures...), page.NextPageToken
		}
		same(t, fmt.Sprintf("erasures in pages of %d", size), &goodshipv1.ListErasuresResponse{Erasures: got}, &goodshipv1.ListErasuresResponse{Erasures: want})
	}
}

// TestEraseLeavesNoRequest has calls with request ids name a person: once they are erased, no receipt and no hash that somebody else
// could make says so.
func TestEraseLeavesNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.empowers()
	name := &goodshipv1.UpsertCustomerRequest{CustomerId: kim.id(), Customer: &goodshipv1.Customer{DisplayName: "Kim"}, RequestId: "upsert"}
	do[*goodshipv1.Customer](w, backend, name)
	opening := &goodshipv1.CreateConversationRequest{Text: "Hello?", RequestId: "open"}
	id := do[*goodshipv1.Conversation](w, kim, opening).Id
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.ClaimConversationRequest{ConversationId: id})
	credit := &goodshipv1.GrantCreditRequest{ConversationId: id, Amount: euros(5, 0), Reason: "It skipped", RequestId: "grant"}
	granted := do[*goodshipv1.Credit](w, ada, credit)
	erasing := &goodshipv1.EraseCustomerRequest{CustomerId: kim.id(), RequestId: "erase"}
	do[*goodshipv1.Erasure](w, backend, erasing)
	equal(t, "credit granted again", do[*goodshipv1.Credit](w, ada, credit).Id, granted.Id)

	var backup bytes.Buffer
	equal(t, "error", w.store.Backup(t.Context(), &backup), nil)
	in, err := store.NewBackupReader(&backup)
	equal(t, "error", err, nil)
	var remembered []*storev1.OnceRecord
	for {
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		equal(t, "error", err, nil)
		if e.GetOnce() != nil {
			remembered = append(remembered, e.GetOnce())
		}
	}
	equal(t, "request ids", len(remembered), 4)
	guess := store.Once{RequestID: "open", Scope: "customer/kim goodship.v1.CreateConversationRequest"}.Key()
	for _, r := range remembered {
		if said := r.Receipt.String(); strings.Contains(said, kim.id()) || r.Forever && strings.Contains(said, id) {
			t.Errorf("got the receipt %s, want nothing of the erased", said)
		}
		if bytes.Equal(r.Key, guess[:]) {
			t.Error("a request id is known by who called")
		}
		for _, req := range []interface {
			proto.Message
			GetRequestId() string
		}{name, opening, credit, erasing} {
			bare := proto.Clone(req)
			bare.ProtoReflect().Clear(bare.ProtoReflect().Descriptor().Fields().ByName("request_id"))
			body, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
			equal(t, "error", err, nil)
			if hash := sha256.Sum256(body); bytes.Equal(r.Body, hash[:]) {
				t.Errorf("%T is known by a hash that anybody can make", req)
			}
		}
	}
}

// broken is a store that refuses a unit, by its number from 1, once: before it happens, or, if late, after.
type broken struct {
	store.Store
	mu     sync.Mutex
	units  int
	refuse int
	late   bool
}

func (s *broken) Update(ctx context.Context, workspace string, once store.Once, fn func(store.Tx) (*storev1.Receipt, error)) (store.Result, error) {
	s.mu.Lock()
	s.units++
	refuse := s.units == s.refuse
	s.mu.Unlock()
	if refuse && !s.late {
		return store.Result{}, store.ErrUnavailable
	}
	result, err := s.Store.Update(ctx, workspace, once, fn)
	if refuse && err == nil {
		return store.Result{}, store.ErrUnavailable
	}
	return result, err
}

// breaks has the store refuse a unit from now on.
func (s *broken) breaks(unit int, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units, s.refuse, s.late = 0, unit, late
}

// TestEraseGoesOn breaks an erasure at each of its units, before and after it is durable, and goes on with it in a new life of the
// server, by itself: the receipt is the one of an erasure that nothing broke.
func TestEraseGoesOn(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		broke := 0
		for unit := 2; unit == 2 || broke == unit-2; unit++ { // the first unit is what the caller is told of
			w := newTimed(t)
			s := &broken{Store: w.store}
			w.store = s
			w.starts()
			ids := life(w.world)
			for range 20 { // more than one unit removes
				ids = append(ids, w.opens(kim, "Hello?"))
			}
			req := &goodshipv1.EraseCustomerRequest{CustomerId: kim.id(), RequestId: "once"}
			s.breaks(unit, late)
			w.Close() // so that nothing goes on with it in this life
			erasure := do[*goodshipv1.Erasure](w.world, backend, req)
			if s.units >= unit {
				broke++
			}
			s.breaks(0, false)
			w.starts()
			done := func() *goodshipv1.Erasure {
				return do[*goodshipv1.Erasure](w.world, backend, &goodshipv1.GetErasureRequest{ErasureId: erasure.Id})
			}
			w.untilDone(done)
			equal(t, fmt.Sprintf("removed, broken at unit %d, late: %v", unit, late), removes(done()), "24 conversations, 25 messages, 2 notes, 83 events, 1 apologies, 2 credits")
			same(t, "replayed", do[*goodshipv1.Erasure](w.world, backend, req), done())
			w.forgot(kim, ids)
		}
		if broke < 5 {
			t.Errorf("got %d units broken, want each of at least 5", broke)
		}
	}
}

// untilDone returns when an erasure is. Its last unit changes nothing that the store hints at.
func (w *timed) untilDone(read func() *goodshipv1.Erasure) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); read().State != erasureDone; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the erasure was not done")
		}
	}
}

// TestEraseWhileTheyWrite erases somebody with a thousand conversations and several visitors' while they and an agent write on: each
// call gets its effect or a fault, what is there at the end is a new person's, and the counts are those of the log of what was
// removed.
func TestEraseWhileTheyWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.site()
	ids := make([]string, 0, 1000)
	for range 5 {
		session := s.comes()
		ids = append(ids, w.opensMany(bearer(session.Token), 100)...)
		equal(t, "sign in", w.signsIn(kim, session.Token), "")
	}
	ids = append(ids, w.opensMany(kim, 500)...)
	var calls sync.WaitGroup
	over := make(chan struct{})
	write := func(p person, request func(n int) *goodshipv1.SendMessageRequest) {
		ctx := w.by(p)
		calls.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				_, err := w.SendMessage(ctx, request(n))
				if got := refusal(err); got != "" && got != "NotFound CONVERSATION_NOT_FOUND" && !strings.HasPrefix(got, "FailedPrecondition SEEN_REVISION_REQUIRED") {
					t.Errorf("%q writes: got %s", p, got)
				}
			}
		})
	}
	write(kim, func(n int) *goodshipv1.SendMessageRequest {
		return &goodshipv1.SendMessageRequest{ConversationId: ids[n*7%len(ids)], Text: "And?"}
	})
	write(ada, func(n int) *goodshipv1.SendMessageRequest {
		return &goodshipv1.SendMessageRequest{ConversationId: ids[n*11%len(ids)], Text: "Well.", SeenRevision: 3}
	})
	newcomer := w.by(kim)
	calls.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			_, err := w.CreateConversation(newcomer, &goodshipv1.CreateConversationRequest{Text: "Another thing"})
			if got := refusal(err); got != "" && got != "NotFound CONVERSATION_NOT_FOUND" {
				t.Errorf("opening: got %s", got)
			}
		}
	})
	erasure := w.erases(kim)
	close(over)
	calls.Wait()
	if n := erasure.Removed.ConversationCount; n < 1000 {
		t.Errorf("got %d conversations removed, want at least 1,000", n)
	}
	removed := int32(0)
	feed, err := w.store.Feed(t.Context(), w.workspace, 0, everything)
	equal(t, "error", err, nil)
	for _, e := range feed {
		if !e.RemoveTime.IsZero() {
			removed++
		}
	}
	equal(t, "conversations removed, by the feed", removed, erasure.Removed.ConversationCount)
	for _, id := range ids {
		_, err := w.store.Conversation(t.Context(), w.workspace, id)
		equal(t, "error", fmt.Sprint(err != nil), "true")
	}
	if _, err := w.store.Customer(t.Context(), w.workspace, kim.id()); err == nil { // who wrote on, as they may
		w.erases(kim)
	}
	w.forgot(kim, ids[:3])
}

// opensMany lets a customer open conversations, and returns their ids.
func (w *world) opensMany(p person, n int) []string {
	w.t.Helper()
	ids, ctx := make([]string, n), w.by(p)
	slots := make(chan struct{}, 16)
	var calls sync.WaitGroup
	for i := range ids {
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			c, err := w.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: "Hello?"})
			equal(w.t, "error", refusal(err), "")
			ids[i] = c.GetId()
		})
	}
	calls.Wait()
	return ids
}

// TestEraseTwiceAtOnce erases somebody by two requests: one erasure, and both get its receipt.
func TestEraseTwiceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opensMany(kim, 100)
	ctx := w.by(backend)
	receipts := make([]*goodshipv1.Erasure, 2)
	s := &hooked{Store: w.store}
	begun := make(chan struct{})
	s.afterUnit = sync.OnceFunc(func() { close(begun) })
	w.store = s
	w.restart()
	var calls sync.WaitGroup
	for i := range receipts {
		calls.Go(func() {
			if i == 1 {
				<-begun
			}
			receipt, err := w.EraseCustomer(ctx, &goodshipv1.EraseCustomerRequest{CustomerId: kim.id()})
			if got := refusal(err); got != "" && !strings.HasPrefix(got, "NotFound CUSTOMER_NOT_FOUND") {
				t.Errorf("got %s", got)
			}
			receipts[i] = receipt
		})
	}
	calls.Wait()
	equal(t, "removed", removes(receipts[0]), "100 conversations, 100 messages, 0 notes, 300 events, 0 apologies, 0 credits")
	if receipts[1] != nil {
		same(t, "receipt of the second", receipts[1], receipts[0])
	}
}

// TestEraseTakesItsTime erases more than a call waits for: it is told how far that is, and the timekeeper goes on.
func TestEraseTakesItsTime(t *testing.T) {
	t.Parallel()
	w := newTimed(t)
	w.opensMany(kim, 40)
	s := &hooked{Store: w.store}
	s.afterUnit = func() { w.clock.Jump(3 * time.Second) }
	w.store = s
	w.Close()
	w.restart()
	erasure := do[*goodshipv1.Erasure](w.world, backend, &goodshipv1.EraseCustomerRequest{CustomerId: kim.id()})
	equal(t, "state", erasure.State, erasureRunning)
	equal(t, "removed so far", erasure.Removed.ConversationCount, 32)
	w.refuses(lea, &goodshipv1.UpdateConversationRequest{
		ConversationId: w.conversations(w.by(kim), &goodshipv1.ListConversationsRequest{PageSize: 1}),
		Conversation:   &goodshipv1.ConversationUpdate{Hold: true}, UpdateMask: mask("hold"),
	}, "NotFound CONVERSATION_NOT_FOUND")
	visitor := w.site().comes()
	theirs := w.opens(bearer(visitor.Token), "Hello?")
	equal(t, "sign in as who is erased", w.signsIn(kim, visitor.Token), "NotFound CUSTOMER_NOT_FOUND customer_id=kim")
	w.starts()
	read := func() *goodshipv1.Erasure {
		return do[*goodshipv1.Erasure](w.world, backend, &goodshipv1.GetErasureRequest{ErasureId: erasure.Id})
	}
	w.untilDone(read)
	equal(t, "removed", removes(read()), "40 conversations, 40 messages, 0 notes, 120 events, 0 apologies, 0 credits")
	w.reads(bearer(visitor.Token), theirs)
}

// TestEraseGoesOnBehindACall erases more than a call waits for in a server that goes on: nobody calls again.
func TestEraseGoesOnBehindACall(t *testing.T) {
	t.Parallel()
	w := newTimed(t)
	w.opensMany(kim, 40)
	s := &hooked{Store: w.store, afterUnit: func() { w.clock.Jump(3 * time.Second) }}
	w.store = s
	w.starts()
	erasure := do[*goodshipv1.Erasure](w.world, backend, &goodshipv1.EraseCustomerRequest{CustomerId: kim.id()})
	read := func() *goodshipv1.Erasure {
		return do[*goodshipv1.Erasure](w.world, backend, &goodshipv1.GetErasureRequest{ErasureId: erasure.Id})
	}
	w.untilDone(read)
	equal(t, "removed", removes(read()), "40 conversations, 40 messages, 0 notes, 120 events, 0 apologies, 0 credits")
}

// TestWatchersOfTheErased has everybody watch who is erased: who watches a conversation is told that there is none, desks that it was
// removed, and the customer nothing. Whoever comes from the oldest cursor is told nothing that was said.
func TestWatchersOfTheErased(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "The secret")
		w.opens(lou, "Hello?")
		w.says(ada, id, "The secret")
		one, own := w.watches(ada, id, ""), w.watches(kim, id, "")
		all, desk := w.everything(kim, ""), w.everything(ada, "")
		bens := w.sits(ada, &goodshipv1.WatchDeskRequest{OwnerId: "ben"})
		for _, s := range []*watching{one, own, all, desk, bens} {
			s.begins()
		}
		jump(0)
		w.erases(kim)
		for _, s := range []*watching{one, own} {
			equal(t, "the end", refusal(s.ends()), "NotFound CONVERSATION_NOT_FOUND")
		}
		for _, s := range []*watching{desk, bens} {
			u := s.event()
			equal(t, "conversation", u.ConversationId, id)
			equal(t, "cause", u.GetEvent().GetConversationRemoved().GetCause(), goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED)
			equal(t, "revisions", u.GetEvent().Revision+u.GetEvent().PublicRevision, 0)
		}
		w.opens(kim, "Hello again")
		equal(t, "told who is new", all.said(), "Hello again")
		late := w.everything(ada, w.sealed("desk", 0, 0))
		late.begins()
		var kinds []string
		for _, u := range late.events("conversation_removed") {
			equal(t, "conversation", u.ConversationId == id, eventKind(u) == "conversation_removed")
			kinds = append(kinds, eventKind(u))
		}
		equal(t, "told from the oldest cursor", list(kinds), "opened message_sent wait_began conversation_removed")
		equal(t, "then", late.said(), "Hello again")
	})
}

// TestNothingErasedIsSent erases somebody of whom streams have messages in their hands, or lying ready.
func TestNothingErasedIsSent(t *testing.T) {
	for _, name := range []string{"staff", "customer", "all of a customer", "desk"} {
		t.Run(name, func(t *testing.T) {
			still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
				id := w.opens(kim, "Hello?")
				for range 3 {
					w.says(kim, id, "The secret")
				}
				all := w.watchersOf(id)
				r := all[slices.IndexFunc(all, func(r *watcher) bool { return r.name == name })]
				watch := func() *watching { return w.request(w.by(r.by), r.req(r.start)) }
				last, laggard := watch(), watch()
				jump(0) // the last one has read nothing yet, so that everything lies ready for it
				laggard.begins()
				laggard.event()
				jump(0) // the laggard has a portion in its hand
				w.erases(kim)
				jump(0)
				for _, s := range []*watching{laggard, last} {
					s.leavesOut(t, "The secret", jump)
				}
			})
		})
	}
}

// leavesOut reads all that a stream tells until it ends, or nothing comes, which must not be a text. What it sent before is not
// looked at: one update.
func (s *watching) leavesOut(t *testing.T, text string, jump func(time.Duration)) {
	t.Helper()
	first := true
	for {
		jump(0)
		select {
		case f := <-s.frames:
			if !first && strings.Contains(f.Update().String(), text) {
				t.Errorf("got %v, want nothing that was said", f.Update())
			}
			first = false
		case err := <-s.end:
			equal(t, "the end", refusal(err), "NotFound CONVERSATION_NOT_FOUND")
			return
		default:
			return
		}
	}
}

// TestWaitsOfTheErased has somebody erased who waits: the place of who comes behind is one better, also in what is learnt of waits.
func TestWaitsOfTheErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endWaits(30, time.Minute)
	w.opens(kim, "Hello?")
	second := w.opens(lou, "Hello?")
	equal(t, "place", w.waitOf(lou, second).Place, 2)
	equal(t, "waiting", do[*goodshipv1.Line](w, ada, &goodshipv1.GetLineRequest{}).Length, 2)
	w.erases(kim)
	equal(t, "place", w.waitOf(lou, second).Place, 1)
	equal(t, "waiting", do[*goodshipv1.Line](w, ada, &goodshipv1.GetLineRequest{}).Length, 1)
	first := w.waitOf(lou, second).Estimate
	w.restart()
	same(t, "estimate by the feed alone", w.waitOf(lou, second).Estimate, first)
}

// TestTimeAfterTheErased has time come to what was removed: promises, silences, and owners who go away. Nothing fails.
func TestTimeAfterTheErased(t *testing.T) {
	inQuiet(t, func(t *testing.T, w *quiet) {
		w.opens(kim, "Hello?")
		w.claims(ada, w.opens(kim, "Hello?"))
		w.says(ada, w.opens(kim, "Hello?"), "Hello.")
		solved := w.opens(kim, "Hello?")
		w.proposes(ada, solved)
		w.erases(kim)
		for range 24 * 10 { // over the pruning of the feed
			w.passes(time.Hour)
		}
		equal(t, "entries of the log", w.log.says("level=ERROR")+w.log.says("level=WARN"), 0)
		oldest, newest, err := w.store.FeedEnds(t.Context(), w.workspace)
		equal(t, "error", err, nil)
		equal(t, "entries of the feed that are left", newest-oldest, 0)
	})
}
