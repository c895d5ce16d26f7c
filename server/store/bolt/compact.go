package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// compactBytes is how much is copied in one transaction.
	compactBytes = 64 << 20
	// compactFill is how full pages get.
	compactFill = 0.9
)

// Compact rewrites the file of a store that is not open without its free pages, and so without what was deleted,
// replaced or redacted before, and without the request ids that may be forgotten. The new file takes the old one's place in one
// step when it is complete. It needs room for both. Until appends have loosened its pages again, a compacted store writes some more
// slowly than before.
func Compact(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		err = compact(path)
	}
	if err != nil {
		return fmt.Errorf("store/bolt: compact %s: %w", path, err)
	}
	return nil
}

func compact(path string) (err error) {
	// The file stays locked until the other has its name.
	source, _, err := openFile(path, Options{}.withDefaults())
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // it was only read
	_, last, err := readMeta(source)
	if err != nil {
		return err
	}
	if err := writeOwner(path); err != nil {
		return err
	}
	temp, err := createUnfinished(path)
	if err != nil {
		return err
	}
	defer os.Remove(temp) //nolint:errcheck // by then it has another name, or is given up
	if err := copyTo(temp, source, newClock(time.Now, last).read()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyTo copies to an empty file what another holds and may not be forgotten by now, and syncs it.
func copyTo(path string, source *bbolt.DB, now time.Time) (err error) {
	target, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, PageSize: pageSize, NoSync: true})
	if err != nil {
		return err
	}
	defer func() {
		if closed := target.Close(); err == nil {
			err = closed
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = badPage(p)
		}
	}()
	err = source.View(func(from *bbolt.Tx) error {
		for t := range tableCount {
			if bucket := from.Bucket([]byte(tableNames[t])); bucket != nil { // a file of an older layout may lack it
				if err := copyTable(target, bucket.Cursor(), t, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(again(target), target.Sync())
}

// copyTable copies what a table holds and may not be forgotten by now, a part at a time.
func copyTable(target *bbolt.DB, from *bbolt.Cursor, t table, now time.Time) error {
	key, value := from.First()
	for begun := false; !begun || key != nil; begun = true {
		err := target.Update(func(tx *bbolt.Tx) error {
			to, err := tx.CreateBucketIfNotExists([]byte(tableNames[t]))
			if err != nil {
				return err
			}
			to.FillPercent = compactFill
			for size := 0; key != nil && size < compactBytes; key, value = from.Next() {
				if kept := withoutForgotten(t, key, value, now); kept != nil {
					if err := to.Put(key, kept); err != nil {
						return err
					}
				}
				size += len(key) + len(value)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Usage returns how many bytes the file has, and how many of them are free: reused by later writes, given back by
// Compact.
func (s *Store) Usage() (size, free int64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	stats := s.db.Stats()
	return size, int64(stats.FreePageN+stats.PendingPageN) * pageSize, err
}

// adviseCompaction tells the log when a compaction would pay: free pages are many, and a good part of the file.
func (s *Store) adviseCompaction() {
	size, free, err := s.Usage()
	if err != nil || free < adviseFreePages*pageSize || free < size/4 {
		return
	}
	if known := s.advised.Swap(free); free < 2*known {
		s.advised.Store(known) // it was told already
		return
	}
	s.log.Warn("the store's file should be compacted when there is an occasion: every commit writes a list of its free pages",
		"size_bytes", size, "free_bytes", free)
}
