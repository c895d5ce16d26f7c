package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unsafe"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"go.etcd.io/bbolt"
)

// What a damaged file does: an error, never a crash, never wrong data.

const furnished = 30

// furnishedFile returns the bytes of a store's file with some of everything, and what it reads as.
func furnishedFile(t *testing.T) ([]byte, image) {
	t.Helper()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, furnished)
	img := imageOf(t.Context(), st, furnished)
	for what, read := range img {
		if strings.HasPrefix(read, "error") || strings.HasPrefix(read, damagedPrefix) || read == "" {
			t.Fatalf("%s: got %q of an undamaged file", what, read)
		}
	}
	mustBeSound(t, st)
	mustClose(t, st)
	file := mustRead(t, path)
	return file[:usedSize(file)], img // without what was set aside for more
}

// openDamaged opens a file of these bytes. It returns nil if that is refused, which must be with a reason.
func openDamaged(t *testing.T, file []byte) *bolt.Store {
	t.Helper()
	path := tempFile(t)
	mustWrite(t, path, file)
	st, err := bolt.Open(path, bolt.Options{Log: discard})
	if err != nil {
		if !errors.Is(err, store.ErrDataLoss) && !strings.Contains(err.Error(), "put ") {
			t.Errorf("a damaged file is refused without saying why or what to do: %v", err)
		}
		return nil
	}
	t.Cleanup(func() { mustClose(t, st) })
	return st
}

// wantRightOrDamaged fails the test if a read gives something else than it did before the damage, and no ErrDataLoss.
func wantRightOrDamaged(t *testing.T, what string, want, got image) {
	t.Helper()
	for read := range want {
		switch {
		case got[read] == want[read], strings.HasPrefix(got[read], damagedPrefix):
		case got[read] == "" && strings.HasPrefix(got["feed"], "0 "+store.ErrDataLoss.Error()):
			// an entry of a feed that does not read
		case (read == "feed" || read == "due") && strings.Contains(got[read], store.ErrDataLoss.Error()):
		default:
			t.Fatalf("%s: %s: got %q, want %q or ErrDataLoss", what, read, got[read], want[read])
		}
	}
}

// region is where a value lies in a file: in more than one place if older commits left copies that look the same.
type region struct {
	table string
	key   []byte
	from  []int
	len   int
}

// spoil returns a copy of a file with a bit of the value flipped.
func (r region) spoil(file []byte, offset int, bit byte) []byte {
	spoilt := append([]byte(nil), file...)
	for _, from := range r.from {
		spoilt[from+offset] ^= bit
	}
	return spoilt
}

// values returns where all values of a file lie.
func values(t *testing.T, file []byte) []region {
	t.Helper()
	path := tempFile(t)
	mustWrite(t, path, file)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	base := db.Info().Data
	var all []region
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				at := region{table: string(name), key: bytes.Clone(key), len: len(value)}
				from := int(uintptr(unsafe.Pointer(unsafe.SliceData(value))) - base)
				if from > 0 && from < len(file) {
					at.from = []int{from}
				} else {
					// A small bucket lies inside its parent's page, from where bbolt copies it.
					at.from = occurrences(file, append(bytes.Clone(key), value...), len(key))
				}
				all = append(all, at)
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// occurrences returns where a file has some bytes, each moved by an offset.
func occurrences(file, sought []byte, offset int) (all []int) {
	for at := 0; ; {
		found := bytes.Index(file[at:], sought)
		if found < 0 {
			return all
		}
		all = append(all, at+found+offset)
		at += found + 1
	}
}

// TestFlippedBits flips one bit of a value at a time: Check always finds it, and no read gives anything wrong.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	file, want := furnishedFile(t)
	all := values(t, file)
	flips := 400
	if raceDetector {
		flips = 80 // it is slow, and there is one goroutine
	}
	random := rand.New(rand.NewPCG(1, 2))
	tables := make(map[string]int)
	for range flips {
		// Small tables get their share, as they would not by chance.
		table := all[random.IntN(len(all))].table
		if random.IntN(2) == 0 {
			table = []string{"meta", "workspace", "open", "resolved", "customer", "external", "directory", "secret", "once", "object", "due"}[random.IntN(11)]
		}
		at := all[random.IntN(len(all))]
		for at.table != table {
			at = all[random.IntN(len(all))]
		}
		tables[table]++
		st := openDamaged(t, at.spoil(file, random.IntN(at.len), 1<<random.IntN(8)))
		if st == nil {
			continue
		}
		wantRightOrDamaged(t, "a flip in table "+table, want, imageOf(t.Context(), st, furnished))
		if report, err := st.Check(t.Context(), false); err != nil || len(report.Problems) == 0 {
			t.Fatalf("Check did not find a flip in table %s, key %q: %v", table, at.key, err)
		}
		mustClose(t, st)
	}
	t.Logf("flips by table: %v", tables)
}

// TestSpoiltPages overwrites each page in turn: what is read is right or an error, and so is what is written.
func TestSpoiltPages(t *testing.T) {
	t.Parallel()
	file, want := furnishedFile(t)
	const page = 4096
	random := rand.New(rand.NewPCG(3, 4))
	refused, broken := 0, 0
	for number := 2; number < len(file)/page; number++ {
		damaged := append([]byte(nil), file...)
		for i := range damaged[number*page : (number+1)*page] {
			damaged[number*page+i] = 0
			if number%2 == 0 {
				damaged[number*page+i] = byte(random.Uint32())
			}
		}
		if string(damaged) == string(file) {
			continue // nothing was ever written there
		}
		st := openDamaged(t, damaged)
		if st == nil {
			refused++
			continue
		}
		wantRightOrDamaged(t, "a spoilt page", want, imageOf(t.Context(), st, furnished))
		err := update(t.Context(), st, func(tx store.Tx) error { return say(tx, "conv_001", "after the damage", nil) })
		if err != nil && !errors.Is(err, store.ErrDataLoss) && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("page %d: a unit got %v", number, err)
		}
		if st.Ready() != nil {
			broken++
		}
		mustClose(t, st)
	}
	if refused == 0 || broken == 0 {
		t.Errorf("%d files were refused and %d stores stopped writing: the damage touched nothing", refused, broken)
	}
}

// TestCutOffWhileOpen truncates the file of a store that is open, which makes reads of it fault.
func TestCutOffWhileOpen(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, furnished)
	want := imageOf(t.Context(), st, furnished)
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	wantRightOrDamaged(t, "a file that was cut off", want, imageOf(t.Context(), st, furnished))
	if err := update(t.Context(), st, func(tx store.Tx) error { return say(tx, "conv_001", "text", nil) }); err == nil {
		t.Error("a unit succeeded in a file that was cut off")
	}
	if st.Ready() == nil {
		t.Error("the store says that it takes writes")
	}
}

// TestRefusedFiles opens what is no whole store.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	file, _ := furnishedFile(t)
	foreign := tempFile(t)
	db, err := bbolt.Open(foreign, 0o600, &bbolt.Options{PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty":                      {nil, "it is empty"},
		"one byte":                   {file[:1], "it is no store of ours"},
		"cut off after a page":       {file[:4096], "it is cut off"},
		"cut off in a meta page":     {file[:4096+20], "it is cut off"},
		"cut off after a quarter":    {file[:len(file)/4/4096*4096], "it is cut off"},
		"cut off before the end":     {file[:len(file)-4096], "it is cut off"},
		"zeros":                      {make([]byte, len(file)), "it is no store of ours"},
		"text":                       {[]byte(strings.Repeat("This is a diary.\n", 10_000)), "it is no store of ours"},
		"another program's":          {mustRead(t, foreign), "it is another program's bbolt file"},
		"both meta pages damaged":    {spoilMeta(file, 0, 1), "it is no store of ours"},
		"newest meta page damaged":   {spoilMeta(file, newestMeta(file)), "one of its two meta pages is damaged"},
		"older meta page damaged":    {spoilMeta(file, 1-newestMeta(file)), "one of its two meta pages is damaged"},
		"a layout of another time":   {otherLayout(t, file, 99), "it has layout 99"},
		"not yet a store":            {otherLayout(t, file, 0), "it is no whole store"},
		"a value of meta is damaged": {spoilValue(t, file, "meta"), "damaged record"},
	} {
		path := tempFile(t)
		mustWrite(t, path, test.file)
		_, err := bolt.Open(path, bolt.Options{Log: discard})
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %v, want one that names the file and says %q", name, err, test.want)
		}
		if got := mustRead(t, path); string(got) != string(test.file) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// usedSize returns how many bytes of a file are in use, as its newest meta page says.
func usedSize(file []byte) int {
	return int(binary.NativeEndian.Uint64(file[newestMeta(file)*4096+16+40:])) * 4096
}

// newestMeta returns which meta page is newer.
func newestMeta(file []byte) int {
	if binary.NativeEndian.Uint64(file[16+48:]) > binary.NativeEndian.Uint64(file[4096+16+48:]) {
		return 0
	}
	return 1
}

func spoilMeta(file []byte, pages ...int) []byte {
	spoilt := append([]byte(nil), file...)
	for _, page := range pages {
		spoilt[page*4096+16+30] ^= 4
	}
	return spoilt
}

func spoilValue(t *testing.T, file []byte, table string) []byte {
	t.Helper()
	for _, at := range values(t, file) {
		if at.table == table {
			file = at.spoil(file, at.len-1, 1)
		}
	}
	return file
}

func otherLayout(t *testing.T, file []byte, layout int32) []byte {
	t.Helper()
	path := tempFile(t)
	mustWrite(t, path, file)
	if err := bolt.WriteMeta(path, &storev1.BoltStore{Layout: layout}); err != nil {
		t.Fatal(err)
	}
	return mustRead(t, path)
}

// TestRollback opens a file whose newest commit is lost, which bbolt alone would do without a word.
func TestRollback(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, 3)
	before := imageOf(t.Context(), st, 3)
	mustUpdate(t, st, func(tx store.Tx) error { return say(tx, "conv_001", "acknowledged, and lost", nil) })
	after, epoch := imageOf(t.Context(), st, 3), st.Sealer().Epoch()
	token := st.Sealer().Seal("purpose", []byte("position"))
	mustClose(t, st)
	file := mustRead(t, path)
	for _, test := range []struct {
		lost int
		want image
	}{{newestMeta(file), before}, {1 - newestMeta(file), after}} {
		mustWrite(t, path, spoilMeta(file, test.lost))
		if _, err := bolt.Open(path, bolt.Options{Log: discard}); err == nil || !strings.Contains(err.Error(), "accept that loss") {
			t.Errorf("got error %v, want one that says how to go on", err)
		}
		st := mustOpen(t, path, bolt.Options{AcceptRollback: true})
		if diff := test.want.diff(imageOf(t.Context(), st, 3)); diff != nil {
			t.Errorf("meta page %d damaged: %q", test.lost, diff)
		}
		mustBeSound(t, st)
		if _, err := st.Sealer().Open("purpose", token); st.Sealer().Epoch() == epoch || !errors.Is(err, store.ErrPageToken) {
			t.Errorf("after a rollback the epoch is the same, or a token of before it opens: %v", err)
		}
		mustClose(t, st)
		mustClose(t, mustOpen(t, path, bolt.Options{})) // the damage is mended
	}
}

// TestRollbackOfANewFile damages either meta page of a file that was just made, one way or another: each leads to a whole store.
func TestRollbackOfANewFile(t *testing.T) {
	t.Parallel()
	path, backup := closed(t)
	for name, make := range map[string]func(path string) error{
		"restored": func(path string) error { return bolt.Restore(path, bytes.NewReader(backup)) },
		"compacted": func(path string) error {
			return errors.Join(bolt.Restore(path, bytes.NewReader(backup)), bolt.Compact(path))
		},
	} {
		path := tempFile(t)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		file := mustRead(t, path)
		for lost := range 2 {
			mustWrite(t, path, spoilMeta(file, lost))
			st, err := bolt.Open(path, bolt.Options{AcceptRollback: true, Log: discard})
			if err != nil {
				t.Errorf("%s, meta page %d damaged: %v", name, lost, err)
				continue
			}
			want := imageOf(t.Context(), mustRestore(t, backup), furnished)
			if diff := want.diff(imageOf(t.Context(), st, furnished)); diff != nil {
				t.Errorf("%s, meta page %d damaged: %q", name, lost, diff)
			}
			mustBeSound(t, st)
			mustClose(t, st)
		}
	}
	empty := tempFile(t)
	mustClose(t, mustOpen(t, empty, bolt.Options{}))
	for lost := range 2 {
		mustWrite(t, path, spoilMeta(mustRead(t, empty), lost))
		mustClose(t, mustOpen(t, path, bolt.Options{AcceptRollback: true}))
	}
}

// TestTornCommit applies any part of what a commit writes before its meta page, as a power cut may.
func TestTornCommit(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, furnished)
	before, file := imageOf(t.Context(), st, furnished), mustRead(t, path)
	file = file[:usedSize(file)]
	mustUpdate(t, st, func(tx store.Tx) error {
		return errors.Join(say(tx, "conv_001", "one", resolve), say(tx, "conv_003", "two", nil), say(tx, "conv_029", "three", nil))
	})
	mustClose(t, st)
	next := mustRead(t, path)
	next = next[:usedSize(next)]
	file = append(file, make([]byte, len(next)-len(file))...)
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		torn, written := append([]byte(nil), file...), 0
		for at := 2 * 4096; at < len(next); at += 4096 {
			if string(file[at:at+4096]) != string(next[at:at+4096]) && random.IntN(2) == 0 {
				written++
				copy(torn[at:at+4096], next[at:at+4096])
			}
		}
		st := openDamaged(t, torn)
		if st == nil {
			t.Fatal("a file with a torn commit was refused")
		}
		if diff := before.diff(imageOf(t.Context(), st, furnished)); diff != nil {
			t.Fatalf("with %d pages of the next commit: %q", written, diff)
		}
		mustBeSound(t, st)
		mustClose(t, st)
	}
}

// TestMissingFile opens a store whose file was lost: no new one takes its place.
func TestMissingFile(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	mustClose(t, mustOpen(t, path, bolt.Options{}))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Options{Log: discard}); err == nil || !strings.Contains(err.Error(), "it is missing") {
		t.Errorf("got error %v, want one that says that the file is missing", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a new file was made: %v", err)
	}
	if err := os.Remove(path + ".owner"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, path, bolt.Options{})) // as the error says
}

// TestNewFile looks at what a new store leaves on the disk.
func TestNewFile(t *testing.T) {
	t.Parallel()
	dir := tempFile(t) + ".d"
	path := dir + "/goodship.db"
	mustClose(t, mustOpen(t, path, bolt.Options{}))
	mustWrite(t, path+".new-1", []byte("what a compaction left that was killed"))
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, 1)
	for name, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600, path + ".owner": 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want mode %v", name, info.Mode(), err, want)
		}
	}
	if used := blocks(t, path); used > 1<<20 {
		t.Errorf("a new store takes %d bytes of the disk", used)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("got %v, %v, want the file and its owner file", entries, err)
	}
}

// TestLocked opens a store twice.
func TestLocked(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, 1)
	_, err := bolt.Open(path, bolt.Options{Log: discard})
	if err == nil || !strings.Contains(err.Error(), process()+" has it open") {
		t.Errorf("Open: got error %v, want one that names %s", err, process())
	}
	if err := bolt.Compact(path); err == nil || !strings.Contains(err.Error(), "has it open") {
		t.Errorf("Compact: got error %v, want one that says that it is open", err)
	}
	mustBeSound(t, st)
}
