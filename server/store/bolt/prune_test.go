package bolt_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/store/memory"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestBackupUnderPruning takes a backup while the feed is pruned, and while what is RESOLVED goes on without activity.
func TestBackupUnderPruning(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, furnished)
	furnishMuch(t, st)
	noted, backup := 0, bytes.Buffer{}
	meanwhile := func() {
		if _, err := st.PruneFeed(t.Context(), time.Now().Add(time.Hour), 5); err != nil {
			t.Error(err)
		}
		mustUpdate(t, st, func(tx store.Tx) error {
			noted++
			return say(tx, "conv_000", "a note", func(c *store.Change) { c.Head.Conversation.ActivityTime = timestamppb.New(time.Unix(1, 0)) })
		})
	}
	if err := st.Backup(t.Context(), slowWriter{&backup, meanwhile}); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.Restore(bytes.NewReader(backup.Bytes()), memory.Options{}); err != nil {
		t.Errorf("the other engine cannot restore it: %v", err)
	}
	restored := mustRestore(t, backup.Bytes())
	mustBeSound(t, st)
	mustBeSound(t, restored)
	oldest, newest, err := restored.FeedEnds(t.Context(), workspace)
	if err != nil || oldest <= pruned || newest <= oldest {
		t.Errorf("the restored feed is kept from %d to %d, %v, want some of it", oldest, newest, err)
	}
	all, err := st.FeedOf(t.Context(), workspace, []string{"key of conv_000"}, 0, 1_000)
	if err != nil || len(all) != noted+2 {
		t.Fatalf("FeedOf: got %d, %v, want %d", len(all), err, noted+2)
	}
	for i, entry := range all {
		after, err := restored.FeedOf(t.Context(), workspace, []string{"key of conv_000"}, entry.Position-1, 1)
		if entry.Position <= newest && (err != nil || len(after) != 1 || after[0].Position != entry.Position) {
			t.Errorf("what follows entry %d of the customer in the restored store: got %v, %v, want position %d", i, after, err, entry.Position)
		}
	}
	mustUpdate(t, restored, func(tx store.Tx) error { return say(tx, "conv_000", "life goes on", nil) })
	if _, next, err := restored.FeedEnds(t.Context(), workspace); err != nil || next != newest+1 {
		t.Errorf("the feed of the restored store goes on with %d, %v, want %d", next, err, newest+1)
	}
}

// TestPruningBesideDamage prunes where the feed of the first workspace is damaged: the other one's is pruned all the same.
func TestPruningBesideDamage(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	for _, w := range []string{"damaged", workspace} {
		_, err := st.Update(t.Context(), w, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, say(tx, "conv", "Ahoy", nil) })
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, st)
	file := mustRead(t, path)
	feed := slices.DeleteFunc(values(t, file), func(r region) bool { return r.table != "feed" })
	st = openDamaged(t, feed[0].spoil(file, feed[0].len-1, 1))
	dropped, err := st.PruneFeed(t.Context(), time.Now().Add(time.Hour), 100)
	if dropped != 1 || !errors.Is(err, store.ErrDataLoss) || !strings.Contains(err.Error(), `workspace "damaged"`) {
		t.Errorf("got %d, %v, want 1 and that the feed of the other workspace is damaged", dropped, err)
	}
	if oldest, newest, err := st.FeedEnds(t.Context(), workspace); err != nil || oldest != newest {
		t.Errorf("the sound feed is kept from %d to %d, %v, want nothing of it", oldest, newest, err)
	}
}

// TestRestoreInAnyOrder restores a backup whose objects come in another order than this engine writes them: a customer is
// followed rightly all the same.
func TestRestoreInAnyOrder(t *testing.T) {
	t.Parallel()
	head := func(revision int32) *storev1.BackupEntry {
		return &storev1.BackupEntry{Object: &storev1.BackupEntry_Head{Head: &storev1.Head{CustomerKey: "key", Conversation: &goodshipv1.Conversation{
			Id: "conv", State: goodshipv1.State_STATE_RESOLVED, Revision: revision,
		}}}}
	}
	record := func(revision int32) *storev1.BackupEntry {
		return &storev1.BackupEntry{Object: &storev1.BackupEntry_LogRecord{LogRecord: &storev1.LogRecord{
			FeedPosition: int64(revision), Record: &storev1.Record{Events: []*goodshipv1.Event{{Revision: revision}}},
		}}}
	}
	feed := func(revision int32) *storev1.BackupEntry {
		return &storev1.BackupEntry{Object: &storev1.BackupEntry_Feed{Feed: &storev1.FeedRecord{
			Position: int64(revision), ConversationId: "conv", Revision: revision,
		}}}
	}
	for name, entries := range map[string][]*storev1.BackupEntry{
		"as written":    {head(2), record(2), record(1), feed(1), feed(2)},
		"oldest first":  {head(2), record(1), record(2), feed(1), feed(2)},
		"head again":    {head(1), record(1), feed(1), feed(2), record(2), head(2)},
		"head at last":  {record(1), record(2), feed(1), feed(2), head(2)},
		"head at first": {head(2), feed(1), feed(2), record(1), record(2)},
	} {
		var backup bytes.Buffer
		out, err := store.NewBackupWriter(&backup, "epoch", store.NewKey())
		for _, e := range entries {
			e.WorkspaceId, e.ConversationId = workspace, "conv"
			err = errors.Join(err, out.Write(e))
		}
		if err := errors.Join(err, out.Close(time.Now())); err != nil {
			t.Fatal(err)
		}
		st := mustRestore(t, backup.Bytes())
		mustBeSound(t, st)
		for after, want := range []int{2, 1, 0} {
			if got, err := st.FeedOf(t.Context(), workspace, []string{"key"}, int64(after), 9); err != nil || len(got) != want {
				t.Errorf("%s: FeedOf after %d: got %v, %v, want %d entries", name, after, got, err, want)
			}
		}
	}
}
