package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

const erased = goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED

// planted begins all that must be gone once its customer was erased.
const planted = "planted-"

// plant writes a customer and a conversation of theirs, with something planted wherever it may stand.
func plant(tx store.Tx) error {
	person := &storev1.CustomerRecord{Key: "key_1", Customer: &goodshipv1.Customer{Id: planted + "id", DisplayName: planted + "name"}}
	return errors.Join(tx.PutCustomer(person),
		say(tx, "conv", planted+"first", func(c *store.Change) {
			c.Head.CustomerKey, c.Head.Conversation.ExternalId, c.Head.Conversation.Subject = "key_1", planted+"external", planted+"subject"
		}),
		say(tx, "conv", planted+"second", func(c *store.Change) {
			elaborate(c, 0)
			c.Record.Note.Text, c.Resolutions[0].Done = planted+"note", planted+"done"
			c.Messages = []*goodshipv1.Message{{ConversationId: "conv", Number: 1, Text: planted + "edited"}}
		}),
		tx.PutReadMark("conv", &storev1.ReadMarkRecord{AgentId: planted + "agent", MessageNumber: 1}))
}

// erase removes what plant wrote.
func erase(tx store.Tx) error {
	return errors.Join(tx.RemoveConversation("conv", erased), tx.RemoveCustomer("key_1"))
}

// TestErasedIsGone looks for what was erased in a later backup, in what is restored of one that was being taken, and in the file
// after a compaction.
func TestErasedIsGone(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnishMuch(t, st)
	mustUpdate(t, st, plant)
	before := mustBackup(t, st)
	for _, what := range []string{"id", "name", "external", "subject", "edited", "second", "note", "done", "agent"} {
		if !bytes.Contains(before, []byte(planted+what)) {
			t.Errorf("%s%s is not in a backup before it is erased", planted, what)
		}
	}
	var during bytes.Buffer
	var once sync.Once
	if err := st.Backup(t.Context(), slowWriter{&during, func() { once.Do(func() { mustUpdate(t, st, erase) }) }}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(during.Bytes(), []byte(planted)) {
		t.Error("what was erased while a backup was taken is not in it: the test shows nothing")
	}
	if bytes.Contains(mustBackup(t, st), []byte(planted)) {
		t.Error("something planted is in a backup after it was erased")
	}
	mustBeSound(t, st)
	mustClose(t, st)
	if !bytes.Contains(mustRead(t, path), []byte(planted)) {
		t.Error("nothing planted is in the file's free pages: the test shows nothing")
	}
	restored := tempFile(t)
	if err := bolt.Restore(restored, bytes.NewReader(during.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, restored} {
		if err := bolt.Compact(file); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(mustRead(t, file), []byte(planted)) {
			t.Error("something planted is in the file after it was compacted")
		}
		mustBeSound(t, mustOpen(t, file, bolt.Options{}))
	}
}

// changeAll removes something of every kind that can be removed, and puts other things in its place: what was in a backup by then
// must not come back, nor take what is new with it.
func changeAll(tx store.Tx) error {
	head := func(key string) func(*store.Change) {
		return func(c *store.Change) {
			c.Head.CustomerKey, c.Head.Conversation.ExternalId = key, "external conv_002"
		}
	}
	_, err := tx.RemoveWebhookEndpoint("hook_2", 100)
	return errors.Join(err,
		tx.RemoveConversation("conv_000", erased), tx.RemoveConversation("conv_001", erased), tx.RemoveConversation("conv_002", erased),
		say(tx, "conv_001", "begun anew", nil),
		say(tx, "conv_005", "begun anew", nil),
		say(tx, "conv_afterwards", "has the external id of one that was removed", head("key_2")),
		tx.RemoveCustomer("key_1"),
		tx.PutCustomer(&storev1.CustomerRecord{Key: "key_2", Customer: &goodshipv1.Customer{Id: "customer-1"}}),
		tx.RemoveParked("hook_1", "conv_005"), tx.RemoveDelivery("hook_1", "dlv_004"), tx.RemoveDelivery("hook_1", "dlv_005"),
		tx.PutDelivery("hook_1", &goodshipv1.WebhookDelivery{Id: "dlv_005", TryCount: 7}),
		tx.PutCredit(&storev1.CreditRecord{CustomerKey: "key_1", Credit: &goodshipv1.Credit{Id: "cred_001", State: goodshipv1.CreditState_CREDIT_STATE_REVERSED}}))
}

// furnishManyRemovals adds to the end of the last table of a backup what it reads in several slices.
func furnishManyRemovals(t *testing.T, st store.Store) {
	t.Helper()
	mustUpdate(t, st, func(tx store.Tx) error {
		for n := range 2_500 {
			if err := tx.PutRemoval(&goodshipv1.Removal{Id: fmt.Sprintf("a%0100d", n)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestBackupUnderRemovals removes things while a backup is taken, early and late: it is restored to what there was at its end.
func TestBackupUnderRemovals(t *testing.T) {
	t.Parallel()
	for at := 0; ; at += 3 {
		st := mustOpen(t, tempFile(t), bolt.Options{})
		furnish(t, st, furnished)
		furnishMuch(t, st)
		furnishManyRemovals(t, st)
		var backup bytes.Buffer
		writes := 0
		err := st.Backup(t.Context(), slowWriter{&backup, func() {
			if writes == at {
				mustUpdate(t, st, changeAll)
			}
			writes++
		}})
		if err != nil {
			t.Fatal(err)
		}
		if at >= writes-1 {
			return // all was read by then
		}
		restored := mustRestore(t, backup.Bytes())
		if diff := imageOf(t.Context(), st, furnished).diff(imageOf(t.Context(), restored, furnished)); diff != nil {
			t.Errorf("removed at write %d of %d: the restored store differs: %q", at, writes, diff)
		}
		mustBeSound(t, restored)
		mustClose(t, restored)
		mustClose(t, st)
	}
}

// TestForeverRequests repeats a request that is never forgotten: long after, when its conversation was removed, and in files
// that were compacted, restored, and both.
func TestForeverRequests(t *testing.T) {
	t.Parallel()
	path, clock := tempFile(t), faketime.New()
	st := mustOpen(t, path, bolt.Options{Now: clock.Now})
	once := store.Once{RequestID: "credit", Scope: "scope", Conversation: "conv", Forever: true}
	passing := store.Once{RequestID: "message", Scope: "scope", Conversation: "conv"}
	mustUpdate(t, st, plant)
	for _, o := range []store.Once{once, passing} {
		if replayed(t, st, o) {
			t.Errorf("request %q was seen before", o.RequestID)
		}
	}
	mustUpdate(t, st, erase)
	if replayed(t, st, passing) {
		t.Error("a request that named a conversation is remembered after that was removed")
	}
	mustUpdate(t, st, plant)
	for range 2 {
		replayed(t, st, passing)
		_, err := st.Update(t.Context(), workspace, store.Once{RequestID: "erasure", Scope: "scope", Conversation: "conv"}, func(tx store.Tx) (*storev1.Receipt, error) {
			return &storev1.Receipt{}, errors.Join(erase(tx), plant(tx))
		})
		if err != nil {
			t.Fatal(err)
		}
		if replayed(t, st, passing) {
			t.Error("a request that named a conversation is remembered after a unit that named it too removed that")
		}
		clock.Jump(100 * 24 * time.Hour)
	}
	clock.Jump(100 * 24 * time.Hour)
	for n := range 100 { // each looks at others that may be dropped
		replayed(t, st, store.Once{RequestID: fmt.Sprint(n), Scope: "scope"})
	}
	restored := tempFile(t)
	if err := bolt.Restore(restored, bytes.NewReader(mustBackup(t, st))); err != nil {
		t.Fatal(err)
	}
	mustClose(t, st)
	for _, file := range []string{path, restored} {
		for range 2 {
			st := mustOpen(t, file, bolt.Options{Now: clock.Now})
			mustBeSound(t, st)
			if !replayed(t, st, once) {
				t.Error("a request that is never forgotten was")
			}
			mustClose(t, st)
			if err := bolt.Compact(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// replayed makes a request and says whether it was seen before.
func replayed(t *testing.T, st store.Store, once store.Once) bool {
	t.Helper()
	result, err := st.Update(t.Context(), workspace, once, func(store.Tx) (*storev1.Receipt, error) { return &storev1.Receipt{ObjectId: "id"}, nil })
	if err != nil || result.Receipt.GetObjectId() != "id" {
		t.Errorf("request %q: got %v, %v", once.RequestID, result, err)
	}
	return result.Replayed
}

// TestBegunAnew gives a conversation the id of one that was removed: the feed's entries of the one before are not of it.
func TestBegunAnew(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	mustUpdate(t, st, plant)                    // positions 1 and 2
	mustUpdate(t, st, func(tx store.Tx) error { // 3 to 6
		return errors.Join(say(tx, "other", "text", nil), erase(tx), plant(tx))
	})
	mustUpdate(t, st, func(tx store.Tx) error { return errors.Join(erase(tx), plant(tx)) }) // 7 to 9
	feed, err := st.Feed(t.Context(), workspace, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var kinds strings.Builder
	for _, e := range feed {
		switch {
		case e.Record != nil:
			kinds.WriteByte('+')
		case e.RemovalCause == erased && !e.RemoveTime.IsZero():
			kinds.WriteByte('x')
		default:
			kinds.WriteByte('-')
		}
	}
	if want := "--+x--x++"; kinds.String() != want {
		t.Errorf("got a feed of %s, want %s: + has a record, x says that one was removed, - was removed", &kinds, want)
	}
	mustBeSound(t, st)
	mustBeSound(t, mustRestore(t, mustBackup(t, st)))
}

// TestCheckUnderRemoval removes a conversation while Check goes through its log, after each slice in turn.
func TestCheckUnderRemoval(t *testing.T) {
	t.Parallel()
	for slice := range 8 {
		st := mustOpen(t, tempFile(t), bolt.Options{})
		furnishMuch(t, st)
		ctx := &askedContext{Context: t.Context(), after: slice, do: func() {
			mustUpdate(t, st, func(tx store.Tx) error { return tx.RemoveConversation("conv_much", erased) })
		}}
		report, err := st.Check(ctx, true)
		if err != nil || len(report.Problems) > 0 {
			t.Errorf("removed before slice %d: got %q, %v", slice, report.Problems, err)
		}
		mustClose(t, st)
	}
}

// askedContext does something when it was asked so many times whether it ended, as each slice asks it.
type askedContext struct {
	context.Context
	after int
	do    func()
}

func (c *askedContext) Err() error {
	if c.after--; c.after == -1 {
		c.do()
	}
	return c.Context.Err()
}
