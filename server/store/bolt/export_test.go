package bolt

import (
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"go.etcd.io/bbolt"
)

// SetHooks sets what is asked at the points of a commit. No unit may be under way.
func SetHooks(s *Store, beforeApply, beforeCommit, afterCommit func() error) {
	s.hooks = Hooks{beforeApply, beforeCommit, afterCommit}
}

// QueueLen returns how many units wait for the writer.
func QueueLen(s *Store) int { return len(s.queue) }

// WriteMeta changes what a file says of itself.
func WriteMeta(path string, about *storev1.BoltStore) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // the file is thrown away
	return writeMeta(db, about, time.Time{})
}

// ReadMeta returns what a file says of itself.
func ReadMeta(path string) (*storev1.BoltStore, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	about, _, err := readMeta(db)
	return about, err
}

// OpenTransactions returns how many read transactions are open.
func OpenTransactions(s *Store) int {
	stats := s.db.Stats()
	return stats.OpenTxN
}

// Seal returns the value of a payload under a key of a table.
func Seal(name string, key, payload []byte) []byte {
	for t := range tableCount {
		if tableNames[t] == name {
			return seal(t, key, payload)
		}
	}
	panic("no table " + name)
}

// Writes returns how many times bbolt wrote to the file.
func Writes(s *Store) int64 {
	stats := s.db.Stats()
	return stats.TxStats.GetWrite()
}
