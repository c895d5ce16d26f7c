package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/goodship/goodship/server/store"
	"github.com/google/uuid"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.opentelemetry.io/otel/metric"
)

// Options say how a store is opened. The zero value works.
type Options struct {
	// Now tells the time; time.Now if nil.
	Now func() time.Time
	// Log is told what an operator should know; slog.Default() if nil.
	Log *slog.Logger
	// LockTimeout is how long it is waited for another process to close the file; 2 s if 0.
	LockTimeout time.Duration
	// MaxSize is how many bytes the file may have, about; beyond it writes get store.ErrFull. 0 is no limit.
	MaxSize int64
	// AcceptRollback opens a file that lost one of its two meta pages, and perhaps what was acknowledged last with it.
	// The store then begins a new epoch, since numbers that were given out may be given out again.
	AcceptRollback bool
	// MeterProvider is told of queueing, commits and syncs; nothing is measured if nil. A unit whose context has a span that
	// records is traced in any case.
	MeterProvider metric.MeterProvider
	// Hooks let a test fail commits.
	Hooks Hooks
}

const (
	// lockTimeout is how long it is waited for another process to close the file.
	lockTimeout = 2 * time.Second
	// mapAhead is how much more of the address space than the file has is set aside for it. It takes no memory; when the
	// file outgrows it, one commit waits for all readers.
	mapAhead = 4 << 30
	// feedFill is how full the pages of the feed get. It only grows at its end, so there is nothing to leave room for.
	feedFill = 0.95
	// adviseFreePages is from when on free pages are worth a compaction: each commit writes a list of them.
	adviseFreePages = 4096
)

// allocSize is in which steps the file grows. Each costs a sync, and a small file should stay small.
func allocSize(size, maxSize int64) int {
	step := int64(16 << 20)
	if size > 256<<20 {
		step = 64 << 20
	}
	if maxSize > 0 {
		step = min(step, max(maxSize/8, 64<<10))
	}
	return int(step)
}

// Open opens the store in a file, or makes it where there was none. The file can be open once at a time; another Open
// fails after a while with ErrOpen, naming the process that has it. A file that is damaged, cut off, emptied or another
// program's is refused with an error that says what to do.
func Open(path string, o Options) (*Store, error) {
	o = o.withDefaults()
	s, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("store/bolt: open %s: %w", path, err)
	}
	s.adviseCompaction()
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = lockTimeout
	}
	return o
}

func open(path string, o Options) (s *Store, err error) {
	if err := createIfNew(path); err != nil {
		return nil, err
	}
	db, rollback, err := openFile(path, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = db.Close() // what went wrong first is told
		}
	}()
	// Damaged pages make bbolt panic, or touch memory that is not there.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = badPage(p)
		}
	}()
	about, last, err := readMeta(db)
	if err == nil {
		err = upgrade(db, about)
	}
	if err != nil {
		return nil, err
	}
	if rollback {
		o.Log.Warn("the store lost a meta page, and perhaps its newest commit: it begins a new epoch", "file", path)
		about.Epoch = uuid.NewString()
		if err := writeMeta(db, about, last); err != nil {
			return nil, err
		}
	}
	sealer, err := store.NewSealer(about.GetSealingKey(), about.GetRequestKey(), about.GetEpoch())
	if err != nil {
		return nil, err
	}
	ix, err := readIndex(db)
	if err != nil {
		return nil, fmt.Errorf("%w: put a backup in its place", err)
	}
	if err := errors.Join(writeOwner(path), removeUnfinished(path)); err != nil {
		// The disk may be full, and reads go on all the same.
		o.Log.Warn("the store's owner file could not be written, or an unfinished file not removed", "file", path, "error", err)
	}
	m, err := newMetrics(o.MeterProvider)
	if err != nil {
		return nil, err
	}
	return newStore(db, o, sealer, ix, newClock(o.Now, last), m), nil
}

// createIfNew makes a new store where there is none and never was one.
func createIfNew(path string) error {
	_, err := os.Stat(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := Lost(path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err = create(path, func(db *bbolt.DB) error {
		return writeMeta(db, newMeta(store.NewKey()), time.Time{})
	})
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	return err
}

// create makes a file that is whole from the moment it is there: fill gets an empty one of another name, with all tables.
// It fails if there is one at the path by then.
func create(path string, fill func(*bbolt.DB) error) (err error) {
	temp, err := createUnfinished(path)
	if err != nil {
		return err
	}
	defer os.Remove(temp) //nolint:errcheck // it is a second name of the file by then, or nothing
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{Timeout: lockTimeout, PageSize: pageSize, NoSync: true})
	if err != nil {
		return err
	}
	defer func() {
		// Everything is synced before the file gets its name.
		if err = errors.Join(err, db.Sync(), db.Close()); err == nil {
			err = publish(temp, path)
		}
	}()
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range tableNames {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := fill(db); err != nil {
		return err
	}
	return again(db)
}

// again commits what is committed already, so that both meta pages of a new file lead to all that is in it.
func again(db *bbolt.DB) error { return db.Update(func(*bbolt.Tx) error { return nil }) }

// unfinished begins the names of files that are not yet what they will be.
const unfinished = ".new-"

// createUnfinished makes an empty file beside a path.
func createUnfinished(path string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+unfinished+"*")
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.Close(), giveToFolder(f.Name())); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// removeUnfinished removes what a restore or a compaction left that did not come to its end. The file must be locked, so
// that none is under way.
func removeUnfinished(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+unfinished) {
			err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return err
}

// publish gives a file its name, unless another has it.
func publish(temp, path string) error {
	err := os.Link(temp, path) // unlike Rename, it replaces nothing
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = os.Rename(temp, path) // a file system without links
	}
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return writeOwner(path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openFile opens the file with bbolt and says whether it lost a meta page. It is locked until db.Close.
func openFile(path string, o Options) (db *bbolt.DB, rollback bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		o.Log.Warn("others than the owner may use the store's file: chmod 600 it", "file", path, "mode", info.Mode().String())
	}
	var file *os.File
	options := &bbolt.Options{
		Timeout:         o.LockTimeout,
		InitialMmapSize: int(info.Size()*2 + mapAhead),
		FreelistType:    bbolt.FreelistMapType,
		PageSize:        pageSize,
		MaxSize:         int(o.MaxSize),
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			// Never O_CREATE: what is not there by now was taken away.
			file, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
			if err != nil {
				return nil, err
			}
			rollback, err = checkOpened(file, o.AcceptRollback)
			if err != nil {
				_ = file.Close()
				return nil, err
			}
			return file, nil
		},
	}
	db, err = openDB(path, options)
	if err != nil && file != nil {
		_ = file.Close() // bbolt did not if it panicked
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, false, hasItOpen(path)
	}
	if err != nil {
		return nil, false, err
	}
	// While this one waited for the lock, a compaction or a restore may have put another file in the place of the one that
	// is open.
	if now, err := os.Stat(path); err != nil || !os.SameFile(now, info) {
		if err := errors.Join(err, db.Close()); err != nil {
			return nil, false, err
		}
		return openFile(path, o)
	}
	db.AllocSize = allocSize(info.Size(), o.MaxSize)
	return db, rollback, nil
}

// checkOpened checks a file that may be another process's, which may be writing a meta page just now.
func checkOpened(f *os.File, accept bool) (rollback bool, err error) {
	for range 20 {
		var info os.FileInfo
		if info, err = f.Stat(); err != nil {
			return false, err
		}
		if rollback, err = checkFile(f, info.Size(), accept); err == nil && !rollback {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return rollback, err
}

// openDB is bbolt.Open for damaged files: it returns an error where that panics or faults.
func openDB(path string, options *bbolt.Options) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, badPage(p)
		}
	}()
	return bbolt.Open(path, 0o600, options)
}
