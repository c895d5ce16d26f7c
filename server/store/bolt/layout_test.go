package bolt_test

import (
	"errors"
	"testing"

	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"go.etcd.io/bbolt"
)

// TestLayout1 opens a file as servers before credits wrote it: everything is there, and it takes what is new.
func TestLayout1(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	mustUpdate(t, st, plant)
	token := st.Sealer().Seal("purpose", []byte("position"))
	mustClose(t, st)
	downgrade(t, path)
	if err := bolt.Compact(path); err != nil {
		t.Errorf("Compact: %v", err)
	}
	for range 2 {
		st = mustOpen(t, path, bolt.Options{})
		if _, err := st.Sealer().Open("purpose", token); err != nil {
			t.Errorf("Open a token of before: %v", err)
		}
		if head, err := st.Conversation(t.Context(), workspace, "conv"); err != nil || head.GetConversation().GetRevision() != 2 {
			t.Errorf("got head %v, %v", head, err)
		}
		mustUpdate(t, st, func(tx store.Tx) error { return tx.PutCredit(credit(1)) })
		mustBeSound(t, st)
		mustClose(t, st)
	}
}

// TestLayout2 opens a file as servers before ListErasures wrote it: it loses the index that there is no more, and the hashes that
// request ids were remembered by.
func TestLayout2(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	mustUpdate(t, st, plant)
	once := store.Once{RequestID: "request", Scope: "scope", Forever: true}
	replayed(t, st, once)
	mustClose(t, st)
	about, err := bolt.ReadMeta(path)
	if err != nil {
		t.Fatal(err)
	}
	about.Layout, about.RequestKey = 2, nil
	if err := bolt.WriteMeta(path, about); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) (err error) {
		for _, id := range []string{"era_1", "era_2"} {
			key := []byte("\x00\x00\x00\x01u" + id)
			err = errors.Join(err, tx.Bucket([]byte("object")).Put(key, bolt.Seal("object", key, nil)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for again := range 2 {
		st := mustOpen(t, path, bolt.Options{})
		mustBeSound(t, st)
		if replayed(t, st, once) != (again == 1) {
			t.Errorf("opened for the %d. time: want the request id to be forgotten by the first", again+1)
		}
		mustClose(t, st)
	}
}

// downgrade takes away what layout 1 did not have.
func downgrade(t *testing.T, path string) {
	t.Helper()
	about, err := bolt.ReadMeta(path)
	if err != nil {
		t.Fatal(err)
	}
	about.Layout = 1
	if err := bolt.WriteMeta(path, about); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // Update has synced it
	err = db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.DeleteBucket([]byte("object")), tx.DeleteBucket([]byte("due")))
	})
	if err != nil {
		t.Fatal(err)
	}
}
