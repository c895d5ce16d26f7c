package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	// restoreBytes is how much of a backup is written in one transaction.
	restoreBytes = 32 << 20
	// restoreFill is how full pages get. Conversations grow at their front, so that full pages would soon be split.
	restoreFill = 0.8
)

// Restore makes a store of a backup, in a file that must not exist. The file is there once all of the backup was read and
// verified, or not at all. It begins a new epoch, with another sealing key: tokens and cursors of the store that the backup was
// taken from are refused, since it may have gone on after the backup. Request ids are known on, unless the backup is from before
// they had a key: those are forgotten, credits' too.
func Restore(path string, r io.Reader) error {
	if err := restore(path, r); err != nil {
		return fmt.Errorf("store/bolt: restore %s: %w", path, err)
	}
	return nil
}

// Replace makes a store of a backup, as Restore does, in the place of a store that is not open, damaged or not. That one's
// file is kept under another name beside it, which is returned; empty if there was none. Until the backup was verified
// everything stays as it was, and then the new file takes the place in one step. There must be room for both.
func Replace(path string, r io.Reader) (before string, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", Restore(path, r)
	}
	path, err = filepath.EvalSymlinks(path)
	if err == nil {
		before, err = replace(path, r)
	}
	if err != nil {
		return "", fmt.Errorf("store/bolt: restore %s: %w", path, err)
	}
	return before, nil
}

func replace(path string, r io.Reader) (before string, err error) {
	staged, err := createUnfinished(path)
	if err != nil {
		return "", err
	}
	defer os.Remove(ownerPath(staged)) //nolint:errcheck // nobody asks for it
	if err := errors.Join(os.Remove(staged), restore(staged, r)); err != nil {
		return "", err
	}
	defer os.Remove(staged) //nolint:errcheck // by then it has another name, or is given up
	unlock, err := lock(path)
	if err != nil {
		return "", err
	}
	defer unlock()
	before = path + time.Now().UTC().Format(".before-20060102T150405.000000Z")
	if err := os.Link(path, before); errors.Is(err, fs.ErrExist) {
		return "", err
	} else if err != nil {
		err = os.Rename(path, before) // a file system without links
		if err != nil {
			return "", err
		}
	}
	return before, errors.Join(os.Rename(staged, path), syncDir(filepath.Dir(path)), writeOwner(path))
}

// lock keeps everybody from opening a store until unlock, and fails if somebody has it open. A file that is too damaged
// to be opened needs no lock, since nobody else can open it either.
func lock(path string) (unlock func(), err error) {
	var unopened error
	options := &bbolt.Options{Timeout: lockTimeout, PageSize: pageSize, ReadOnly: true}
	options.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		f, unopened = os.OpenFile(name, flag, mode)
		return f, unopened
	}
	db, err := openDB(path, options)
	switch {
	case unopened != nil:
		return nil, unopened
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, hasItOpen(path)
	case err != nil:
		return func() {}, nil //nolint:nilerr // it is to be replaced because it is damaged
	}
	return func() { _ = db.Close() }, nil
}

func restore(path string, r io.Reader) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: move it away first", fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, err := store.NewBackupReader(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return create(path, func(db *bbolt.DB) error {
		restored := &restorer{db: db, index: newIndex()}
		if err := restored.read(in); err != nil {
			return err
		}
		return writeMeta(db, newMeta(in.RequestKey()), in.Clock())
	})
}

// restorer writes a backup to an empty file. Each entry is a unit of its own, as far as that does not number or check
// anything: the backup has the numbers.
type restorer struct {
	db    *bbolt.DB
	index *index
	batch *batch
	// head is the entry of the head that was written last.
	head *storev1.BackupEntry
}

// read writes all entries up to the end of a backup that is whole.
func (r *restorer) read(in *store.BackupReader) (err error) {
	defer func() {
		if err != nil && r.batch != nil {
			_ = r.batch.tx.Rollback() // the file is given up
		}
	}()
	for {
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			return r.commit()
		}
		if err != nil {
			return err
		}
		if err := r.write(e); err != nil {
			return err
		}
	}
}

// write writes an entry. Now and then it commits.
func (r *restorer) write(e *storev1.BackupEntry) error {
	if r.batch == nil {
		tx, err := r.db.Begin(true)
		if err != nil {
			return err
		}
		r.batch = &batch{file: file{tx: tx, index: r.index}, tails: make(map[uint32]int64)}
		r.batch.bucket(conversationTable).FillPercent = restoreFill
	}
	if err := checkID("workspace", e.GetWorkspaceId()); err != nil {
		return err
	}
	t := newTx(r.batch, e.GetWorkspaceId(), time.Time{})
	if err := t.restore(e); err != nil {
		return fmt.Errorf("an entry of workspace %q: %w", e.GetWorkspaceId(), err)
	}
	r.putNewest(t, e)
	if err := r.batch.add(t); err != nil {
		return err
	}
	if r.batch.bytes < restoreBytes {
		return nil
	}
	return r.commit()
}

// putNewest writes down where the newest record of a conversation is. It follows the head, unless only the head was changed
// while the backup was taken; then nobody knows.
func (r *restorer) putNewest(t *tx, e *storev1.BackupEntry) {
	if e.GetGone() != nil {
		r.head = nil
	}
	if head := e.GetHead(); head != nil {
		r.head = e
		t.putNewest(newEntry(t.workspace, head), 0)
	}
	events, head := e.GetLogRecord().GetRecord().GetEvents(), r.head.GetHead()
	if len(events) > 0 && e.GetWorkspaceId() == r.head.GetWorkspaceId() && e.GetConversationId() == r.head.GetConversationId() &&
		events[len(events)-1].GetRevision() == head.GetConversation().GetRevision() {
		t.putNewest(newEntry(t.workspace, head), e.GetLogRecord().GetFeedPosition())
	}
}

func (r *restorer) commit() error {
	if r.batch == nil {
		return nil
	}
	tx := r.batch.tx
	r.batch = nil
	return tx.Commit()
}

// restore writes an entry of a backup.
func (t *tx) restore(e *storev1.BackupEntry) error {
	switch object := e.GetObject().(type) {
	case *storev1.BackupEntry_Workspace:
		return t.PutWorkspace(object.Workspace)
	case *storev1.BackupEntry_Agent:
		return t.PutAgent(object.Agent)
	case *storev1.BackupEntry_Customer:
		return t.putCustomer(object.Customer) // two may have changed ids, and the first comes before the second
	case *storev1.BackupEntry_ApiKey:
		return t.PutAPIKey(object.ApiKey)
	case *storev1.BackupEntry_Feed:
		return t.restoreFeed(object.Feed)
	case *storev1.BackupEntry_Once:
		return t.restoreOnce(e.GetConversationId(), object.Once)
	case *storev1.BackupEntry_Gone:
		return t.restoreGone(object.Gone)
	case *storev1.BackupEntry_Head, *storev1.BackupEntry_LogRecord, *storev1.BackupEntry_ReadMark, *storev1.BackupEntry_Resolution:
		return t.restoreConversation(e)
	}
	return t.restoreObject(e)
}

// restoreConversation writes an entry of a conversation.
func (t *tx) restoreConversation(e *storev1.BackupEntry) error {
	if err := checkID("conversation", e.GetConversationId()); err != nil {
		return err
	}
	conversation := conversationPrefix(t.workspace.number, e.GetConversationId())
	switch object := e.GetObject().(type) {
	case *storev1.BackupEntry_Head:
		if id := object.Head.GetConversation().GetId(); id != e.GetConversationId() {
			return fmt.Errorf("the head of conversation %q under the id %q: %w", id, e.GetConversationId(), store.ErrDataLoss)
		}
		c, err := t.standing(e.GetConversationId())
		if err != nil {
			return err
		}
		if c.entry == nil { // who had its external id was removed since, as the backup says later
			t.remove(externalTable, externalKey(t.workspace.number, object.Head.GetConversation().GetExternalId()))
		}
		return t.putHead(c, newEntry(t.workspace, object.Head), object.Head)
	case *storev1.BackupEntry_LogRecord:
		return t.putRecord(conversation, object.LogRecord)
	case *storev1.BackupEntry_ReadMark:
		return t.put(conversationTable, markKey(conversation, object.ReadMark.GetAgentId()), object.ReadMark)
	case *storev1.BackupEntry_Resolution:
		return t.put(conversationTable, resolutionKey(conversation, object.Resolution.GetNumber()), object.Resolution)
	}
	return nil
}

// restoreFeed writes an entry of the feed, or, of one without a conversation, up to where the feed was pruned. What was
// pruned while the backup was taken may be in it.
func (t *tx) restoreFeed(r *storev1.FeedRecord) error {
	if r.GetConversationId() != "" {
		return t.putFeed(r)
	}
	cursor, first := t.batch.bucket(feedTable).Cursor(), feedKey(t.workspace.number, feedStart+1)
	end := feedKey(t.workspace.number, r.GetPosition()+1)
	for key, _ := cursor.Seek(first); key != nil && bytes.Compare(key, end) < 0; key, _ = cursor.Seek(first) {
		if err := cursor.Delete(); err != nil {
			return err
		}
	}
	return t.putFeedStart(r.GetPosition())
}

// restoreOnce writes a request id. A backup may have one more than once.
func (t *tx) restoreOnce(conversation string, seen *storev1.OnceRecord) error {
	if len(seen.GetKey()) != onceSize {
		return errors.New("a request id whose hash has a wrong size")
	}
	hash := [onceSize]byte(seen.GetKey())
	if conversation == "" || seen.GetForever() {
		seen.Key = nil // it is in the key
		return t.put(onceTable, onceKey(t.workspace.number, hash), seen)
	}
	if err := checkID("conversation", conversation); err != nil {
		return err
	}
	prefix := conversationPrefix(t.workspace.number, conversation)
	all, err := t.chunks(prefix, hash)
	if err != nil {
		return err
	}
	if all.found != nil {
		had, err := decode[storev1.OnceRecord](t, conversationTable, all.newest.key, all.found)
		if err != nil || had.GetTime().AsTime().Equal(seen.GetTime().AsTime()) {
			return err
		}
	}
	return t.addToChunks(prefix, all, seen)
}
