package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"go.etcd.io/bbolt"
)

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
	for name, test := range map[string]struct {
		table  string
		key    []byte
		put    []byte // the key of which the value is put, or nothing
		want   string
		ofWhom string
	}{
		"a head is missing":               {"conversation", pick("conversation", "conv_001\x03"), nil, "its head is missing", "conv_001"},
		"a record is missing":             {"conversation", pick("conversation", "conv_009\x04\xff\xff\xff\xfd"), nil, "stands where", "conv_009"},
		"the newest record is missing":    {"conversation", pick("conversation", "conv_004\x04"), nil, "stands where", "conv_004"},
		"the oldest record is missing":    {"conversation", pick("conversation", "conv_004\x04\xff\xff\xff\xfe"), nil, "its log ends", "conv_004"},
		"a resolution is missing":         {"conversation", pick("conversation", "conv_002\x02"), nil, "resolutions", "conv_002"},
		"an index lacks one":              {"resolved", pick("resolved", "conv_000"), nil, "missing in the index resolved", "conv_000"},
		"an index of customers lacks one": {"customer", pick("customer", "conv_003"), nil, "missing in the index customer", "conv_003"},
		"an external id is missing":       {"external", pick("external", "conv_005"), nil, "external id", "conv_005"},
		"a feed entry is missing":         {"feed", pick("feed", "\x00\x00\x00\x05"), nil, "in the feed", "w"},
		"a customer is missing":           {"directory", pick("directory", "ccustomer-1"), nil, "In the directory", "key_1"},
		"a key's secret is missing":       {"secret", pick("secret", ""), nil, "In the directory", "akey_1"},
		"an index has one too many":       {"open", []byte("\x00\x00\x00\x01conv_000"), []byte{}, "does not belong there", "conv_000"},
		"a workspace is missing":          {"workspace", pick("workspace", "w"), nil, "of a workspace that there is not", "conv_001"},
	} {
		path := tempFile(t)
		mustWrite(t, path, file)
		if err := change(path, test.table, test.key, test.put); err != nil {
			t.Fatal(err)
		}
		st, err := bolt.Open(path, bolt.Options{Log: discard})
		if err != nil {
			if !strings.Contains(err.Error(), "missing") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		report, err := st.Check(t.Context(), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		found := false
		for _, problem := range report.Problems {
			found = found || strings.Contains(strings.ToLower(problem), strings.ToLower(test.want)) && strings.Contains(problem, test.ofWhom)
		}
		if !found {
			t.Errorf("%s: got problems %q, want one of %s that says %q", name, report.Problems, test.ofWhom, test.want)
		}
		mustClose(t, st)
	}
}

// change deletes a key of a table, or puts an empty payload with a right checksum there.
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
						return errors.Join(say(tx, id, "text", nil), say(tx, "conv_much", "text", resolve))
					})
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		mustBeSound(t, st)
	}
	cancel()
	writing.Wait()
	mustBeSound(t, st)
}
