package erased_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// names are the values of fields that name something, of what there was of the customer.
func (s *scene) names() map[string][]string {
	return map[string][]string{
		"conversation_id": slices.Compact(slices.Sorted(slices.Values(s.conversations))), "customer_id": {s.person, s.visitor}, "credit_id": s.credits,
		"incident_id": {s.incident}, "erasure_id": {s.erasure}, "webhook_endpoint_id": s.hooks, "agent_id": {"ada"}, "external_id": {s.words["external id"]},
		"label": {s.words["label"]},
	}
}

// callers are those of every kind. Who was a visitor has a token of a session that is over.
func (s *scene) callers() []caller {
	return []caller{
		s.backend(), s.agent("ada"), s.agent("lea"), s.customer(s.person), withToken("customer by token", s.customerToken),
		withToken("visitor", s.visitorToken), s.customer("lou"), s.operator(),
	}
}

// marker is the last thing said, so that who watches knows that there is no more.
const marker = "the last word"

// searches looks for the words with every method that reads, and returns which were found, and by what.
func (s *scene) searches() map[string][]string {
	s.t.Helper()
	found := map[string][]string{}
	look := func(what, sent, told string) {
		for name := range holds(told, s.words) {
			if !strings.Contains(sent, s.words[name]) { // what an error repeats
				found[name] = append(found[name], what)
			}
		}
	}
	id := do[*goodshipv1.Conversation](s.house, s.customer("lou"), &goodshipv1.CreateConversationRequest{Text: "Hello?"}).Id
	s.says(s.customer("lou"), id, marker)
	for name, m := range reading() {
		if name == "BackupStore" || name == "CheckStore" { // looked at for themselves
			continue
		}
		for _, c := range s.callers() {
			for _, req := range m.requests(s.names()) {
				last := ""
				if m.desc.Output().Name() == "WatchUpdate" {
					if last = s.watches(c, req); last == "" {
						continue
					}
				}
				sent := protojson.Format(req) + c.actFor
				look(fmt.Sprintf("%s as %s over gRPC", name, c.name), sent, s.overGRPC(c, m, req, last))
				if m.path != "" && c.token != operatorKey {
					look(fmt.Sprintf("%s as %s over REST", name, c.name), sent, s.overREST(c, m, req, last))
				}
			}
		}
	}
	for _, c := range []caller{s.customer(s.person), withToken("customer by token", s.customerToken)} {
		m, req := reading()["WatchConversation"], &goodshipv1.WatchConversationRequest{ConversationId: "-", Cursor: s.own}
		look("WatchConversation of all as "+c.name+" over gRPC", "", s.overGRPC(c, m, req, s.lastWord()))
		look("WatchConversation of all as "+c.name+" over REST", "", s.overREST(c, m, req, s.lastWord()))
	}
	return found
}

// lastWord returns what is told last of all that is the customer's: of somebody new, what they say.
func (s *scene) lastWord() string {
	s.t.Helper()
	if s.erasure == never {
		return s.words["attribute"]
	}
	do[*goodshipv1.Conversation](s.house, s.customer(s.person), &goodshipv1.CreateConversationRequest{Text: marker})
	return marker
}

// never is the id of no erasure.
var never = "era_" + strings.Repeat("0", 26)

// watches completes a request to watch, and returns what its end is known by; empty if it is not to be made.
func (s *scene) watches(c caller, req proto.Message) string {
	switch req := req.(type) {
	case *goodshipv1.WatchDeskRequest:
		req.Cursor = s.desk
		return marker
	case *goodshipv1.WatchConversationRequest:
		return "progress" // or the error that ends it
	}
	return ""
}

// TestNothingOfTheErasedIsLeft is what the package is for.
func TestNothingOfTheErasedIsLeft(t *testing.T) {
	dir := t.TempDir()
	var words map[string]string
	var made []request
	t.Run("serving", func(t *testing.T) {
		s := newScene(newHouse(t, file(dir)))
		words = s.words
		s.erasure = never
		before := s.searches()
		for _, name := range slices.Sorted(maps.Keys(words)) {
			if len(before[name]) == 0 != slices.Contains(gone, name) {
				t.Errorf("before the erasure, %q: got found by %q, so that nothing is known of it", name, before[name])
			}
		}
		s.endpoint.took.forget()
		s.erases()
		for name, by := range s.searches() {
			t.Errorf("%q is found by %s", name, strings.Join(by, ", "))
		}
		s.erases() // who came under the same id since
		s.delivers()
		s.backsUp(dir)
		s.tells()
		made = s.made
	})
	if t.Failed() {
		return
	}
	if err := bolt.Compact(file(dir)); err != nil {
		t.Fatal(err)
	}
	for what, name := range map[string]string{"the compacted file": file(dir), "the backup": dir + "/backup"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for name := range holds(string(b), words) {
			t.Errorf("%q is in %s", name, what)
		}
		for _, r := range made {
			for _, hash := range r.guesses() {
				if bytes.Contains(b, hash) {
					t.Errorf("a hash that anybody can make of %s as %s is in %s", r.body.ProtoReflect().Descriptor().Name(), r.by.name, what)
				}
			}
		}
		if !strings.Contains(string(b), marker) {
			t.Errorf("%s lacks what another said, so that nothing is known of it", what)
		}
	}
	now, later := backupAt(t, file(dir), time.Now()), backupAt(t, file(dir), time.Now().Add(store.OnceRetention+time.Hour))
	for _, r := range made {
		hash := r.kept(t, now)
		switch r.body.(type) {
		case *goodshipv1.GrantCreditRequest, *goodshipv1.ReverseCreditRequest: // for ever
			continue
		case *goodshipv1.UpsertCustomerRequest, *goodshipv1.EraseCustomerRequest:
			if !bytes.Contains(now, hash) {
				t.Errorf("the hash of %v is in no backup of the same day, so that nothing is known of it", r.body)
			}
		}
		if bytes.Contains(later, hash) {
			t.Errorf("the hash of %v is in a backup of the day after", r.body)
		}
	}
}

// backupAt returns a backup of the store in a file, at a time.
func backupAt(t *testing.T, path string, at time.Time) []byte {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := errors.Join(s.Backup(t.Context(), &b), s.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// request is one that was made under a request id, without it.
type request struct {
	by   caller
	id   string
	body proto.Message
}

func (r request) sum() [sha256.Size]byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.body)
	if err != nil {
		panic(err) // it was sent
	}
	return sha256.Sum256(b)
}

// guesses returns what it would be known by if it needed no key to make that.
func (r request) guesses() [][]byte {
	once := store.Once{RequestID: r.id, Scope: r.by.actFor + " " + string(r.body.ProtoReflect().Descriptor().FullName())}
	if named, ok := r.body.(interface{ GetConversationId() string }); ok {
		once.Conversation = named.GetConversationId()
	}
	sum, key := r.sum(), once.Key()
	return [][]byte{sum[:], key[:]}
}

// kept returns the hash that it is known by in the store of a backup.
func (r request) kept(t *testing.T, backup []byte) []byte {
	t.Helper()
	in, err := store.NewBackupReader(bytes.NewReader(backup))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := store.NewSealer(store.NewKey(), in.RequestKey(), "")
	if err != nil {
		t.Fatal(err)
	}
	sum := r.sum()
	hash := sealer.Hash(sum[:])
	return hash[:]
}

// erases has the customer erased, and checks the receipt.
func (s *scene) erases() {
	s.t.Helper()
	all := do[*goodshipv1.ListConversationsResponse](s.house, s.backend(), &goodshipv1.ListConversationsRequest{CustomerId: s.person, PageSize: 100}).Conversations
	credits := do[*goodshipv1.ListCreditsResponse](s.house, s.backend(), &goodshipv1.ListCreditsRequest{CustomerId: s.person, PageSize: 100}).Credits
	req := &goodshipv1.EraseCustomerRequest{CustomerId: s.person, RequestId: fmt.Sprint("after ", s.erasure)}
	erasure := do[*goodshipv1.Erasure](s.house, s.backend(), req)
	s.until("the end of the erasure", func() bool {
		erasure = do[*goodshipv1.Erasure](s.house, s.backend(), &goodshipv1.GetErasureRequest{ErasureId: erasure.Id})
		return erasure.State == goodshipv1.ErasureState_ERASURE_STATE_DONE
	})
	if again := do[*goodshipv1.Erasure](s.house, s.backend(), req); !proto.Equal(again, erasure) {
		s.t.Errorf("repeated: got %v, want %v", again, erasure)
	}
	got := fmt.Sprint(erasure.Removed.ConversationCount, " ", erasure.CreditCount)
	if want := fmt.Sprint(len(all), " ", len(credits)); got != want {
		s.t.Errorf("receipt: got %s conversations and credits, want %s", got, want)
	}
	s.erasure = erasure.Id
}

// delivers lets the endpoints take what is left for them, which is that conversations were removed.
func (s *scene) delivers() {
	s.t.Helper()
	s.endpoint.opens()
	for _, e := range do[*goodshipv1.ListWebhookEndpointsResponse](s.house, s.backend(), &goodshipv1.ListWebhookEndpointsRequest{}).WebhookEndpoints {
		do[*goodshipv1.ReplayWebhookResponse](s.house, s.backend(), &goodshipv1.ReplayWebhookRequest{WebhookEndpointId: e.Id, FromTime: timestamppb.New(time.Now().Add(-time.Hour))})
	}
	s.until("the deliveries", func() bool {
		text := s.endpoint.took.String()
		return strings.Count(text, "conversation_removed") >= 2*len(s.conversations) && strings.Count(text, marker) >= 2
	})
	for name := range holds(s.endpoint.took.String(), s.words) {
		s.t.Errorf("%q is sent to an endpoint", name)
	}
}

// backsUp keeps a new backup.
func (s *scene) backsUp(dir string) {
	s.t.Helper()
	ctx := caller{token: operatorKey}.by(s.t.Context())
	in, err := goodshipv1.NewOperatorServiceClient(s.operators).BackupStore(ctx, &goodshipv1.BackupStoreRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []byte
	for {
		part, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, part.Data...)
	}
	if err := os.WriteFile(dir+"/backup", all, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// tells looks at what the server told its operators in all.
func (s *scene) tells() {
	s.t.Helper()
	for name := range holds(s.log.String(), s.words) {
		s.t.Errorf("%q is in the log", name)
	}
	if err := s.telemetry.Shutdown(context.WithoutCancel(s.t.Context())); err != nil {
		s.t.Error(err)
	}
	spans := s.spans.String()
	for name := range holds(spans, s.words) {
		s.t.Errorf("%q is in a span", name)
	}
	if !strings.Contains(spans, "EraseCustomer") {
		s.t.Error("there is no span of the erasure, so that nothing is known of them")
	}
}
