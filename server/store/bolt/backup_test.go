package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

func mustBackup(t *testing.T, st store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := st.Backup(t.Context(), &b); err != nil {
		t.Fatalf("Backup: %v", err)
	}
	return b.Bytes()
}

// mustRestore opens a store that was restored from a backup.
func mustRestore(t *testing.T, backup []byte) *bolt.Store {
	t.Helper()
	path := tempFile(t)
	if err := bolt.Restore(path, bytes.NewReader(backup)); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, path, bolt.Options{})
}

// TestRestore restores a store that nobody writes to: everything is as it was, but for the epoch.
func TestRestore(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, furnished)
	var now time.Time
	mustUpdate(t, st, func(tx store.Tx) error {
		now = tx.Now()
		return tx.PutAgent(&storev1.AgentRecord{Agent: &goodshipv1.Agent{Id: "agent_2"}})
	})
	token := st.Sealer().Seal("purpose", []byte("position"))
	backup := mustBackup(t, st)
	if again := mustBackup(t, st); !bytes.Equal(again, backup) {
		t.Error("two backups of the same are not the same")
	}
	restored := mustRestore(t, backup)
	want := imageOf(t.Context(), st, furnished)
	if diff := want.diff(imageOf(t.Context(), restored, furnished)); diff != nil {
		t.Errorf("the restored store differs: %q", diff)
	}
	if want, got := mustBeSound(t, st), mustBeSound(t, restored); fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("got report %v, want %v", got, want)
	}
	if _, err := restored.Sealer().Open("purpose", token); restored.Sealer().Epoch() == st.Sealer().Epoch() || !errors.Is(err, store.ErrPageToken) {
		t.Errorf("the restored store has the old epoch, or opens its tokens: %v", err)
	}
	if restored.Sealer().Hash([]byte("request")) != st.Sealer().Hash([]byte("request")) {
		t.Error("the restored store remembers request ids under another key, so that it knows none from before")
	}
	for i := range furnished {
		id := fmt.Sprintf("conv_%03d", i)
		once := store.Once{RequestID: "request " + id, Scope: "scope"}
		if i%2 == 0 {
			once.Conversation = id
		}
		result, err := restored.Update(t.Context(), workspace, once, func(store.Tx) (*storev1.Receipt, error) { return nil, errors.New("fn ran again") })
		if err != nil || !result.Replayed || result.Receipt.GetConversationId() != id {
			t.Errorf("%s: got %+v, %v, want the receipt of before the backup", id, result, err)
		}
	}
	mustUpdate(t, restored, func(tx store.Tx) error {
		if !tx.Now().After(now) {
			t.Errorf("the restored store's clock says %v, want after %v", tx.Now(), now)
		}
		return say(tx, "conv_001", "life goes on", nil)
	})
	mustBeSound(t, restored)
}

// TestRestoreWithoutRequestKey restores a backup from before request ids had a key: everything is there but those, which nothing
// would match.
func TestRestoreWithoutRequestKey(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	mustUpdate(t, st, plant)
	requests := []store.Once{
		{RequestID: "request"},
		{RequestID: "request", Conversation: "conv"},
		{RequestID: "credit", Conversation: "conv", Forever: true},
	}
	for _, once := range requests {
		replayed(t, st, once)
	}
	restored := mustRestore(t, withoutRequestKey(t, mustBackup(t, st)))
	mustBeSound(t, restored)
	if head, err := restored.Conversation(t.Context(), workspace, "conv"); err != nil || head.GetConversation().GetRevision() != 2 {
		t.Errorf("got head %v, %v", head, err)
	}
	for _, once := range requests {
		if replayed(t, restored, once) {
			t.Errorf("%+v: its hash is there", once)
		}
	}
}

// withoutRequestKey makes of a backup one from before request ids had a key.
func withoutRequestKey(t *testing.T, backup []byte) []byte {
	t.Helper()
	var older bytes.Buffer
	in, err := store.NewBackupReader(bytes.NewReader(backup))
	if err != nil {
		t.Fatal(err)
	}
	out, err := store.NewBackupWriter(&older, "epoch", nil)
	for err == nil {
		var e *storev1.BackupEntry
		if e, err = in.Next(); err == nil {
			err = out.Write(e)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := out.Close(in.Clock()); err != nil {
		t.Fatal(err)
	}
	return older.Bytes()
}

// furnishMuch adds a conversation that a backup reads in several slices.
func furnishMuch(t *testing.T, st store.Store) {
	t.Helper()
	mustUpdate(t, st, func(tx store.Tx) error {
		for range 2_500 {
			if err := say(tx, "conv_much", "and so on and so on and so on and so on", nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// slowWriter has backups take long, so that much happens meanwhile.
type slowWriter struct {
	io.Writer
	wait func()
}

func (w slowWriter) Write(p []byte) (int, error) {
	w.wait()
	return w.Writer.Write(p)
}

// TestBackupUnderWrites takes backups while many write: each is the store at one instant during its call.
func TestBackupUnderWrites(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, furnished)
	furnishMuch(t, st)
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	var written atomic.Int64
	for caller := range 4 {
		writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				// Two conversations in one unit: a backup has both or neither.
				err := update(ctx, st, func(tx store.Tx) error {
					edit := func(*store.Change) {}
					if n%7 == 0 {
						edit = resolve
					}
					text, id := fmt.Sprintf("%d-%d", caller, n), fmt.Sprintf("conv_%03d", (n*7+caller)%furnished)
					return errors.Join(changeObjects(tx, id, n), say(tx, id, text, edit), say(tx, "conv_twin", text, nil))
				})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				written.Add(1)
			}
		})
	}
	// more waits until some more is written.
	more := func() {
		for until := written.Load() + 20; written.Load() < until && ctx.Err() == nil; {
			runtime.Gosched()
		}
	}
	var backups [2]bytes.Buffer
	var before [len(backups)]int32
	for i := range backups {
		head, err := st.Conversation(ctx, workspace, "conv_twin")
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		before[i] = head.GetConversation().GetMessageCount()
		if err := st.Backup(ctx, slowWriter{&backups[i], more}); err != nil {
			t.Fatalf("Backup: %v", err)
		}
	}
	cancel()
	writing.Wait()
	mustBeSound(t, st)
	for i := range backups {
		restored := mustRestore(t, backups[i].Bytes())
		mustBeSound(t, restored)
		mustBePrefix(t, restored, st, before[i])
	}
}

// mustBePrefix fails the test unless one store is the other at an earlier instant, when its feed had at least some length.
func mustBePrefix(t *testing.T, earlier, later store.Store, atLeast int32) {
	t.Helper()
	feed, err := earlier.Feed(t.Context(), workspace, pruned, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	all, err := later.Feed(t.Context(), workspace, pruned, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	// Units commit whole and in the order of the feed, so the feed up to one of them is the store at an instant.
	revisions, twins := make(map[string]int32), 0
	for i, e := range feed {
		if e.Position != all[i].Position || e.ConversationID != all[i].ConversationID {
			t.Fatalf("feed entry %d is %v, want %v", i, e, all[i])
		}
		if e.Record == nil {
			delete(revisions, e.ConversationID)
			continue
		}
		revisions[e.ConversationID] = e.Record.GetEvents()[len(e.Record.GetEvents())-1].GetRevision()
		if e.ConversationID == "conv_twin" {
			twins++
		}
	}
	if twins < int(atLeast) {
		t.Errorf("the backup has %d units, want at least the %d that were acknowledged before it began", twins, atLeast)
	}
	if last := feed[len(feed)-1]; twins > 0 && last.ConversationID != "conv_twin" {
		t.Errorf("the backup ends inside a unit, at %v", last)
	}
	for id, revision := range revisions {
		head, err := earlier.Conversation(t.Context(), workspace, id)
		if err != nil || head.GetConversation().GetRevision() != revision {
			t.Errorf("%s: got %v, %v, want revision %d, as in the feed", id, head.GetConversation().GetRevision(), err, revision)
		}
	}
}

// TestBackupsDoNotHoldOn waits for a backup's reader inside the backup: nothing is held meanwhile, not even Close.
func TestBackupsDoNotHoldOn(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnishMuch(t, st)
	waiting, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var backing sync.WaitGroup
	backing.Go(func() {
		err := st.Backup(t.Context(), slowWriter{io.Discard, func() {
			once.Do(func() { close(waiting) })
			<-held
		}})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Backup of a store that was closed: got %v, want ErrUnavailable", err)
		}
	})
	<-waiting
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_001", "meanwhile", nil) })
	if open := bolt.OpenTransactions(st); open != 0 {
		t.Errorf("%d transactions are open", open)
	}
	mustClose(t, st)
	close(held)
	backing.Wait()
}

// TestRefusedBackups restores what is no whole backup, or where there is something.
func TestRefusedBackups(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, 2)
	backup := mustBackup(t, st)
	for at := 0; at < len(backup); at += 1 + len(backup)/40 {
		damaged := bytes.Clone(backup)
		damaged[at] ^= 1
		for _, b := range [][]byte{damaged, backup[:at]} {
			path := tempFile(t)
			if err := bolt.Restore(path, bytes.NewReader(b)); err == nil {
				t.Fatalf("a backup that is damaged at byte %d was restored", at)
			}
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(entries) != 0 {
				t.Fatalf("a backup that was refused left %v, %v", entries, err)
			}
		}
	}
	path := tempFile(t)
	mustWrite(t, path, []byte("something"))
	if err := bolt.Restore(path, bytes.NewReader(backup)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("where there is a file: got error %v, want fs.ErrExist", err)
	}
	if got := mustRead(t, path); string(got) != "something" {
		t.Error("the file that was there was changed")
	}
}

// redact redacts the first message of a conversation.
func redact(tx store.Tx, id string) error {
	return say(tx, id, "redacted", func(c *store.Change) {
		c.Messages = []*goodshipv1.Message{{ConversationId: id, Number: 1}}
	})
}

// TestRedactedIsGone looks for a redacted text in a later backup, and in the file after a compaction.
func TestRedactedIsGone(t *testing.T) {
	t.Parallel()
	const secret = "4929 1234 5678 9012"
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv", "my card is "+secret, nil) })
	if !bytes.Contains(mustBackup(t, st), []byte(secret)) {
		t.Error("the text is not in a backup before it is redacted")
	}
	mustUpdate(t, st, func(tx store.Tx) error { return redact(tx, "conv") })
	if bytes.Contains(mustBackup(t, st), []byte(secret)) {
		t.Error("the text is in a backup after it was redacted")
	}
	mustClose(t, st)
	if !bytes.Contains(mustRead(t, path), []byte(secret)) {
		t.Error("the text is not in the file's free pages: the test shows nothing")
	}
	if err := bolt.Compact(path); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mustRead(t, path), []byte(secret)) {
		t.Error("the text is in the file after it was compacted")
	}
}

// TestCompact compacts a store with many free pages: it is smaller, and what it holds is the same.
func TestCompact(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	var log strings.Builder
	st := mustOpen(t, path, bolt.Options{Log: textLog(&log)})
	furnish(t, st, furnished)
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_big", strings.Repeat("x", 20<<20), nil) })
	mustUpdate(t, st, func(tx store.Tx) error { return redact(tx, "conv_big") })
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_big", "bbolt frees pages one commit later", nil) })
	want, epoch := imageOf(t.Context(), st, furnished), st.Sealer().Epoch()
	size, free, err := st.Usage()
	if err != nil || free < 20<<20 || size < free {
		t.Errorf("Usage: got %d, %d, %v, want 20 MiB free", size, free, err)
	}
	mustClose(t, st)
	st = mustOpen(t, path, bolt.Options{Log: textLog(&log)})
	if !strings.Contains(log.String(), "should be compacted") {
		t.Errorf("nothing advised a compaction: %q", &log)
	}
	mustClose(t, st)
	if err := bolt.Compact(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 2<<20 || info.Mode().Perm() != 0o600 {
		t.Errorf("after the compaction: got %d bytes, mode %v, %v", info.Size(), info.Mode(), err)
	}
	st = mustOpen(t, path, bolt.Options{})
	if diff := want.diff(imageOf(t.Context(), st, furnished)); diff != nil {
		t.Errorf("the compacted store differs: %q", diff)
	}
	if st.Sealer().Epoch() != epoch {
		t.Error("a compaction began a new epoch")
	}
	mustBeSound(t, st)
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_big", "life goes on", nil) })
	mustBeSound(t, st)
}

// TestCompactForgets compacts a store that remembers more than it must.
func TestCompactForgets(t *testing.T) {
	t.Parallel()
	path, clock := tempFile(t), time.Now().Add(-store.OnceRetention-time.Hour)
	remembers := func(id string) func(string) bool {
		return func(conversation string) bool {
			st := mustOpen(t, path, bolt.Options{Now: func() time.Time { return clock }})
			defer mustClose(t, st)
			return replayed(t, st, store.Once{RequestID: id, Conversation: conversation, Forever: id == "forever"})
		}
	}
	for _, conversation := range []string{"conv", ""} {
		remembers("old request")(conversation)
		remembers("forever")(conversation)
	}
	clock = clock.Add(2 * time.Hour)
	for _, conversation := range []string{"conv", ""} {
		remembers("new request")(conversation)
	}
	if err := bolt.Compact(path); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"forever": true, "new request": true, "old request": false} {
		for _, conversation := range []string{"conv", ""} {
			if got := remembers(id)(conversation); got != want {
				t.Errorf("%s in conversation %q after the compaction: got remembered %v, want %v", id, conversation, got, want)
			}
		}
	}
}
