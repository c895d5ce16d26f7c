package memory

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// furnished returns a store with one of everything in workspace w, two appends to conversation c, and one to another, which was
// removed.
func furnished(t *testing.T) *Store {
	t.Helper()
	s := New(Options{})
	_, err := s.Update(t.Context(), "w", store.Once{RequestID: "request"}, func(tx store.Tx) (*storev1.Receipt, error) {
		return &storev1.Receipt{ConversationId: "c"}, errors.Join(
			tx.PutWorkspace(&storev1.WorkspaceRecord{Workspace: &goodshipv1.Workspace{Id: "w"}}),
			tx.PutAgent(&storev1.AgentRecord{Agent: &goodshipv1.Agent{Id: "a"}}),
			tx.PutCustomer(&storev1.CustomerRecord{Key: "k", Customer: &goodshipv1.Customer{Id: "customer"}}),
			tx.PutAPIKey(&storev1.ApiKeyRecord{ApiKey: &goodshipv1.ApiKey{Id: "key"}, SecretHash: []byte("hash"), WorkspaceId: "w"}),
			tx.Append(appended(1)), tx.Append(appended(2)),
			tx.PutReadMark("c", &storev1.ReadMarkRecord{AgentId: "a", MessageNumber: 1}),
			tx.Append(store.Change{
				Head:   &storev1.Head{Conversation: &goodshipv1.Conversation{Id: "removed", Revision: 1}},
				Record: &storev1.Record{Events: []*goodshipv1.Event{{Revision: 1}}},
			}),
			tx.RemoveConversation("removed", goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED),
			furnishOthers(tx),
		)
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	return s
}

// furnishOthers puts one of each of what is neither a conversation nor of the directory, and two entries of a ledger.
func furnishOthers(tx store.Tx) error {
	return errors.Join(
		tx.PutCredit(&storev1.CreditRecord{CustomerKey: "k", Credit: &goodshipv1.Credit{Id: "x", State: goodshipv1.CreditState_CREDIT_STATE_PENDING}}),
		tx.AppendLedger(&storev1.LedgerRecord{CustomerKey: "k", EntryCount: 1}, &goodshipv1.LedgerEntry{Number: 1}),
		tx.AppendLedger(&storev1.LedgerRecord{CustomerKey: "k", EntryCount: 2}, &goodshipv1.LedgerEntry{Number: 2}),
		tx.PutSpent(&storev1.SpentRecord{AgentId: "a", Day: "x"}), tx.PutStatistics(&storev1.StatisticsRecord{Day: "x"}),
		tx.PutIncident(&storev1.IncidentRecord{Incident: &goodshipv1.Incident{Id: "x"}}),
		tx.PutAffected(&storev1.AffectedRecord{IncidentId: "x", CustomerKey: "x"}),
		tx.PutWebhookEndpoint(&storev1.WebhookEndpointRecord{WebhookEndpoint: &goodshipv1.WebhookEndpoint{Id: "x"}}),
		tx.PutWebhookProgress(&storev1.WebhookProgressRecord{EndpointId: "x"}),
		tx.PutParked(&storev1.ParkedRecord{EndpointId: "x", ConversationId: "x"}), tx.PutDelivery("x", &goodshipv1.WebhookDelivery{Id: "x"}),
		tx.PutErasure(&storev1.ErasureRecord{Erasure: &goodshipv1.Erasure{Id: "x"}}), tx.PutRemoval(&goodshipv1.Removal{Id: "x"}),
	)
}

// others are the places where that is kept.
func (w *workspace) others() []map[string][]byte {
	return []map[string][]byte{
		w.credits, w.spent["a"], w.statistics, w.incidents, w.affected["x"], w.endpoints, w.progress, w.parked["x"], w.deliveries["x"], w.erasures, w.removals,
	}
}

// appended is the n-th append to a conversation, of one event, message, note and resolution each.
func appended(n int32) store.Change {
	return store.Change{
		Head: &storev1.Head{Conversation: &goodshipv1.Conversation{
			Id: "c", Revision: n, PublicRevision: n, MessageCount: n, NoteCount: n, ResolutionCount: n,
		}},
		Record: &storev1.Record{
			Events:  []*goodshipv1.Event{{Revision: n, PublicRevision: n}},
			Message: &goodshipv1.Message{Number: n}, Note: &goodshipv1.Note{Number: n}, MessageCount: n, NoteCount: n,
		},
		Resolutions: []*goodshipv1.Resolution{{Number: n}},
	}
}

// garbage is the stored form of nothing.
var garbage = []byte{0xff}

// TestCheckFindsDamage damages what nothing should ever damage, one thing at a time.
func TestCheckFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(w *workspace, c *conversation){
		"workspace":               func(w *workspace, _ *conversation) { w.record = garbage },
		"workspace of another":    func(w *workspace, _ *conversation) { w.record = mustEncode(&storev1.WorkspaceRecord{}) },
		"agent":                   func(w *workspace, _ *conversation) { w.agents["a"] = garbage },
		"customer":                func(w *workspace, _ *conversation) { w.customers["k"] = garbage },
		"key":                     func(w *workspace, _ *conversation) { w.apiKeys["key"] = garbage },
		"head":                    func(_ *workspace, c *conversation) { c.head = garbage },
		"head of before":          func(_ *workspace, c *conversation) { c.head = mustEncode(appended(1).Head) },
		"event":                   func(_ *workspace, c *conversation) { c.records[0].stored = garbage },
		"event lost":              func(_ *workspace, c *conversation) { c.records = c.records[:1] },
		"event twice":             func(_ *workspace, c *conversation) { c.records[1].stored = c.records[0].stored },
		"message":                 func(_ *workspace, c *conversation) { c.messages[1] = garbage },
		"message lost":            func(_ *workspace, c *conversation) { c.messages = c.messages[:1] },
		"message twice":           func(_ *workspace, c *conversation) { c.messages[1] = c.messages[0] },
		"note lost":               func(_ *workspace, c *conversation) { c.notes = c.notes[1:] },
		"resolution lost":         func(_ *workspace, c *conversation) { c.resolutions = nil },
		"mark":                    func(_ *workspace, c *conversation) { c.marks["a"] = garbage },
		"conversation lost":       func(w *workspace, _ *conversation) { delete(w.conversations, "c") },
		"conversation of another": func(w *workspace, c *conversation) { w.conversations["d"] = c },
		"feed lost":               func(w *workspace, _ *conversation) { w.feed = w.feed[:1] },
		"feed in another order":   func(w *workspace, _ *conversation) { w.feed[0], w.feed[1] = w.feed[1], w.feed[0] },
		"removal lost":            func(w *workspace, _ *conversation) { w.feed = w.feed[:3] },
		"removal without a time":  func(w *workspace, _ *conversation) { w.feed[3].removeTime = time.Time{} },
		"removal without a cause": func(w *workspace, _ *conversation) { w.feed[3].cause = 0 },
		"removal of what is there": func(w *workspace, _ *conversation) {
			w.feed[3].conversation = "c"
		},
		"sums of a ledger":             func(w *workspace, _ *conversation) { w.ledgers["k"].sums = garbage },
		"sums of another's ledger":     func(w *workspace, _ *conversation) { w.ledgers["l"] = w.ledgers["k"] },
		"entry of a ledger":            func(w *workspace, _ *conversation) { w.ledgers["k"].entries[0] = garbage },
		"entry of a ledger lost":       func(w *workspace, _ *conversation) { w.ledgers["k"].entries = w.ledgers["k"].entries[:1] },
		"first entry of a ledger lost": func(w *workspace, _ *conversation) { w.ledgers["k"].entries = w.ledgers["k"].entries[1:] },
	} {
		s := furnished(t)
		damage(s.workspaces["w"], s.workspaces["w"].conversations["c"])
		report, err := s.Check(t.Context(), true)
		if err != nil || len(report.Problems) == 0 {
			t.Errorf("%s is damaged: got %+v, %v, want a problem", name, report, err)
		}
	}
}

// TestCheckReadsOthers damages each of what is neither a conversation nor of the directory, and puts it under another name.
func TestCheckReadsOthers(t *testing.T) {
	for i := range furnished(t).workspaces["w"].others() {
		for name, damage := range map[string]func(map[string][]byte){
			"garbage": func(m map[string][]byte) { m["x"] = garbage }, "another name": func(m map[string][]byte) { m["y"] = m["x"] },
		} {
			s := furnished(t)
			damage(s.workspaces["w"].others()[i])
			report, err := s.Check(t.Context(), true)
			if err != nil || len(report.Problems) == 0 {
				t.Errorf("place %d, %s: got %+v, %v, want a problem", i, name, report, err)
			}
		}
	}
}

// TestOthersDamageIsAnError reads what is damaged of what is neither a conversation nor of the directory.
func TestOthersDamageIsAnError(t *testing.T) {
	s, ctx := furnished(t), t.Context()
	for _, in := range s.workspaces["w"].others() {
		in["x"] = garbage
	}
	s.workspaces["w"].ledgers["k"] = &ledger{sums: garbage, entries: [][]byte{garbage}}
	_, err1 := s.Credit(ctx, "w", "x")
	_, _, err2 := s.Credits(ctx, "w", store.CreditQuery{}, "", 9)
	_, err3 := s.CreditsDue(ctx, nil, 9)
	_, err4 := s.Ledger(ctx, "w", "k")
	_, err5 := s.LedgerEntries(ctx, "w", "k", 0, 9)
	_, err6 := s.Spent(ctx, "w", "a", "x")
	_, err7 := s.Statistics(ctx, "w", "x", "x")
	_, err8 := s.Incidents(ctx, "w", "", 9)
	_, _, err9 := s.Affected(ctx, "w", "x", 0, "", 9)
	_, err10 := s.WebhookEndpoints(ctx, "w")
	_, err11 := s.WebhookProgress(ctx, "w", "x")
	_, err12 := s.Parked(ctx, "w", "x", "", 9)
	_, err13 := s.Deliveries(ctx, "w", "x", "", 9)
	_, err14 := s.Erasures(ctx, "w", "", 9)
	_, err15 := s.Removals(ctx, "w", "", 9)
	_, err16 := s.Update(ctx, "w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		return nil, tx.PutCredit(&storev1.CreditRecord{CustomerKey: "k", Credit: &goodshipv1.Credit{Id: "x"}})
	})
	err17 := s.Backup(ctx, io.Discard)
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14, err15, err16, err17} {
		if !errors.Is(err, store.ErrDataLoss) {
			t.Errorf("call %d: got %v, want ErrDataLoss", i+1, err)
		}
	}
}

func mustEncode(m proto.Message) []byte {
	b, err := encode(m)
	if err != nil {
		panic(err)
	}
	return b
}

// TestDamageIsAnError reads what is damaged.
func TestDamageIsAnError(t *testing.T) {
	s := furnished(t)
	w := s.workspaces["w"]
	c := w.conversations["c"]
	w.record, w.agents["a"], w.customers["k"], w.apiKeys["key"] = garbage, garbage, garbage, garbage
	c.head, c.records[1].stored, c.messages[1], c.notes[1], c.resolutions[1], c.marks["a"] = garbage, garbage, garbage, garbage, garbage, garbage
	for key, r := range w.once {
		r.receipt = garbage
		w.once[key] = r
	}
	r := store.Range{From: 1, Limit: 9}
	ctx := t.Context()
	_, err1 := s.Conversation(ctx, "w", "c")
	_, err2 := s.Messages(ctx, "w", "c", r)
	_, err3 := s.Notes(ctx, "w", "c", r)
	_, err4 := s.Resolutions(ctx, "w", "c", r)
	_, err5 := s.ReadMarks(ctx, "w", "c")
	_, err6 := s.Records(ctx, "w", "c", 0, 9)
	_, _, err7 := s.List(ctx, "w", store.Query{}, nil, 9)
	_, err8 := s.ByExternalID(ctx, "w", "x")
	_, err9 := s.Feed(ctx, "w", 0, 9)
	_, err10 := s.NextDue(ctx, nil, 9)
	_, err11 := s.Workspaces(ctx)
	_, err12 := s.Workspace(ctx, "w")
	_, err13 := s.Agents(ctx, "w", "", 9)
	_, err14 := s.Customers(ctx, "w", "", 9)
	_, err15 := s.Customer(ctx, "w", "customer")
	_, err16 := s.APIKeyByHash(ctx, []byte("hash"))
	_, err17 := s.APIKeys(ctx, "w", "", 9)
	_, err18 := s.Update(ctx, "w", store.Once{RequestID: "request"}, nil)
	err19 := s.Backup(ctx, io.Discard)
	for i, err := range []error{
		err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14, err15, err16, err17, err18, err19,
	} {
		if !errors.Is(err, store.ErrDataLoss) {
			t.Errorf("call %d: got %v, want ErrDataLoss", i+1, err)
		}
	}
}

// TestRestoreRefusesWhatDoesNotFit leaves entries out of backups that are undamaged as such.
func TestRestoreRefusesWhatDoesNotFit(t *testing.T) {
	entries, err := furnished(t).workspaces["w"].backup("w", time.Now())
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	for i, left := range entries {
		var backup bytes.Buffer
		out, err := store.NewBackupWriter(&backup, "epoch", store.NewKey())
		for j, e := range entries {
			if err == nil && i != j {
				err = out.Write(e)
			}
		}
		if err := errors.Join(err, out.Close(time.Time{})); err != nil {
			t.Fatalf("write the backup: %v", err)
		}
		_, err = Restore(&backup, Options{})
		switch left.GetObject().(type) {
		case *storev1.BackupEntry_Head, *storev1.BackupEntry_LogRecord, *storev1.BackupEntry_Feed, *storev1.BackupEntry_Resolution,
			*storev1.BackupEntry_Ledger, *storev1.BackupEntry_LedgerLine:
			if !errors.Is(err, store.ErrDataLoss) {
				t.Errorf("without %v: got %v, want ErrDataLoss", left, err)
			}
		default:
			if err != nil {
				t.Errorf("without %v, which nothing refers to: got %v", left, err)
			}
		}
	}
}
