package bolt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func feedRecord(position int64, conversation string) []byte {
	b, err := proto.Marshal(&storev1.FeedRecord{Position: position, ConversationId: conversation})
	if err != nil {
		panic(err)
	}
	return b
}

func position(feedKey []byte) int64 { return int64(binary.BigEndian.Uint64(feedKey[4:])) }

// removalRecord returns the entry under a key of the feed that says that a conversation was removed.
func removalRecord(key []byte, conversation string) []byte {
	b, err := proto.Marshal(&storev1.FeedRecord{
		Position: position(key), ConversationId: conversation, RemoveTime: timestamppb.Now(), RemovalCause: goodshipv1.RemovalCause_REMOVAL_CAUSE_ERASED,
	})
	if err != nil {
		panic(err)
	}
	return b
}

// TestCheckFinds makes files that are whole to bbolt, with right checksums, and wrong all the same: Check says what, and
// of which record.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	file, _ := furnishedFile(t)
	all := values(t, file)
	// pick returns a key of a table that has something in it.
	pick := func(table, with string) []byte {
		for _, at := range all {
			if at.table == table && strings.Contains(string(at.key), with) {
				return at.key
			}
		}
		t.Fatalf("table %s has no key with %q", table, with)
		return nil
	}
	last := func(table string) (key []byte) {
		for _, at := range all {
			if at.table == table {
				key = at.key
			}
		}
		return key
	}
	for name, test := range map[string]struct {
		table  string
		key    []byte
		put    []byte // what is put under the key, or nothing
		want   string
		ofWhom string
	}{
		"a head is missing":                 {"conversation", pick("conversation", "conv_001\x03"), nil, "its head is missing", "conv_001"},
		"a record is missing":               {"conversation", pick("conversation", "conv_009\x04\xff\xff\xff\xfd"), nil, "stands where", "conv_009"},
		"the newest record is missing":      {"conversation", pick("conversation", "conv_004\x04"), nil, "stands where", "conv_004"},
		"the oldest record is missing":      {"conversation", pick("conversation", "conv_004\x04\xff\xff\xff\xfe"), nil, "its log ends", "conv_004"},
		"a resolution is missing":           {"conversation", pick("conversation", "conv_002\x02"), nil, "resolutions", "conv_002"},
		"an index lacks one":                {"resolved", pick("resolved", "conv_000"), nil, "missing in the index resolved", "conv_000"},
		"an index of customers lacks one":   {"customer", pick("customer", "conv_003"), nil, "missing in the index customer", "conv_003"},
		"an external id is missing":         {"external", pick("external", "conv_005"), nil, "external id", "conv_005"},
		"a feed entry is missing":           {"feed", pick("feed", "\x00\x00\x00\x07"), nil, "in the feed", "w"},
		"the first entry is missing":        {"feed", pick("feed", "\x00\x00\x00\x05"), nil, "position 6 follows 4", "w"},
		"what was pruned is not known":      {"feed", pick("feed", "\x00\x00\x00\x00"), nil, "position 5 follows 0", "w"},
		"less was pruned than is said":      {"feed", pick("feed", "\x00\x00\x00\x00"), feedRecord(6, ""), "position 5 follows 6", "w"},
		"more was pruned than is said":      {"feed", pick("feed", "\x00\x00\x00\x00"), feedRecord(3, ""), "missing or names another", "conv_001"},
		"pruned up to an entry":             {"feed", pick("feed", "\x00\x00\x00\x00"), feedRecord(4, "conv_001"), "said to be pruned", "w"},
		"an index knows its newest wrongly": {"customer", pick("customer", "conv_003"), []byte{1}, "newest record", "conv_003"},
		"a customer is missing":             {"directory", pick("directory", "ccustomer-1"), nil, "In the directory", "key_1"},
		"a key's secret is missing":         {"secret", pick("secret", ""), nil, "In the directory", "akey_1"},
		"an index has one too many":         {"open", []byte("\x00\x00\x00\x01conv_000"), []byte{}, "does not belong there", "conv_000"},
		"a removal is missing":              {"feed", last("feed"), nil, "no entry says that it was removed", "conv_removed"},
		"a removal of one that is there":    {"feed", last("feed"), removalRecord(last("feed"), "conv_001"), "says that conversation", "conv_001"},
		"a removal without a time":          {"feed", last("feed"), feedRecord(position(last("feed")), "conv_removed"), "without a time", "conv_removed"},
		"a workspace is missing":            {"workspace", pick("workspace", "w"), nil, "of a workspace that there is not", "conv_001"},
	} {
		mustFind(t, name, file, damage{test.table, test.key, test.put}, test.want, test.ofWhom)
	}
}

// damage puts a payload with a right checksum under a key of a table, or, if it is nil, deletes the key.
type damage struct {
	table    string
	key, put []byte
}

// mustFind fails the test unless Check finds a problem in a file with this damage that says what is wrong and of what.
func mustFind(t *testing.T, name string, file []byte, d damage, want, ofWhom string) {
	t.Helper()
	path := tempFile(t)
	mustWrite(t, path, file)
	if err := change(path, d.table, d.key, d.put); err != nil {
		t.Fatal(err)
	}
	st, err := bolt.Open(path, bolt.Options{Log: discard})
	if err != nil {
		if !strings.Contains(err.Error(), "missing") {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	defer mustClose(t, st)
	report, err := st.Check(t.Context(), false)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	for _, problem := range report.Problems {
		if strings.Contains(strings.ToLower(problem), strings.ToLower(want)) && strings.Contains(problem, ofWhom) {
			return
		}
	}
	t.Errorf("%s: got problems %q, want one of %s that says %q", name, report.Problems, ofWhom, want)
}

// TestCheckFindsDisorder has the records of a log change places in the feed, where it was pruned and nothing else tells.
func TestCheckFindsDisorder(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, 3)
	records, err := st.Records(t.Context(), workspace, "conv_000", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, st)
	for position, problems := range map[int64]int{0: 1, 1: 0, 2: 1, 3: 1} {
		payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(&storev1.LogRecord{Record: records[0], FeedPosition: position})
		if err != nil {
			t.Fatal(err)
		}
		if err := change(path, "conversation", []byte("\x00\x00\x00\x01\x08conv_000\x04\xff\xff\xff\xfe"), payload); err != nil {
			t.Fatal(err)
		}
		st := mustOpen(t, path, bolt.Options{})
		if report, err := st.Check(t.Context(), true); err != nil || len(report.Problems) != problems {
			t.Errorf("the first record of a log has position %d, the second 2: got %q, %v, want %d problems", position, report.Problems, err, problems)
		}
		mustClose(t, st)
	}
}

// change deletes a key of a table, or puts a payload with a right checksum there.
func change(path, table string, key, payload []byte) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // Update has synced it
	return db.Update(func(tx *bbolt.Tx) error {
		if payload == nil {
			return tx.Bucket([]byte(table)).Delete(key)
		}
		return tx.Bucket([]byte(table)).Put(key, bolt.Seal(table, key, payload))
	})
}

// TestCheckUnderWrites checks a store while it is written to: what happens meanwhile is no problem.
func TestCheckUnderWrites(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, tempFile(t), bolt.Options{})
	furnish(t, st, furnished)
	furnishMuch(t, st)
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for caller := range 3 {
		writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("conv_%03d", n%furnished)
				_, err := st.Update(ctx, fmt.Sprintf("w%d", n%200), store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					return nil, say(tx, id, "text", func(c *store.Change) { elaborate(c, n+caller) })
				})
				if err == nil {
					err = update(ctx, st, func(tx store.Tx) error {
						return errors.Join(say(tx, id, "text", nil), say(tx, "conv_much", "text", resolve), changeObjects(tx, id, n))
					})
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Go(func() { pruneOn(ctx, t, st) })
	for range 4 {
		mustBeSound(t, st)
	}
	cancel()
	writing.Wait()
	mustBeSound(t, st)
}

// pruneOn prunes feeds bit by bit until the context ends.
func pruneOn(ctx context.Context, t *testing.T, st store.Store) {
	for ctx.Err() == nil {
		if _, err := st.PruneFeed(ctx, time.Now().Add(time.Hour), 50); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
}
