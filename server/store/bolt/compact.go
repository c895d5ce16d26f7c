package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// Compact rewrites the file of a store that is not open without its free pages, and so without what was deleted,
// replaced or redacted before. The new file takes the old one's place in one step when it is complete. It needs room for
// both. Until appends have loosened its pages again, a compacted store writes some more slowly than before.
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
	if _, _, err := readMeta(source); err != nil {
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
	if err := copyTo(temp, source); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyTo copies what a file holds to an empty one, and syncs it.
func copyTo(path string, source *bbolt.DB) (err error) {
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
	if err := bbolt.Compact(target, source, 64<<20); err != nil {
		return err
	}
	return errors.Join(again(target), target.Sync())
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
