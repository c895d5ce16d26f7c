package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt keeps what is newest in two meta pages by turns, and opens the file at the newer one that is valid. So if the
// newest is damaged it goes back one commit without a word, and if the file is shorter than it should be, it panics. What
// stands here looks first.

// pageSize is the size of the file's pages. It is not the machine's, so that a file can move between machines.
const pageSize = 4096

// Where things stand in a meta page, after the page's own header; in the byte order of the machine.
const (
	metaMagic      = 0xED0CDAED
	metaVersion    = 2
	metaPageHeader = 16
	metaSize       = 64
	metaPageSizeAt = 8
	metaPagesAt    = 40
	metaCommitAt   = 48
	metaSumAt      = 56
)

// metaPage is what matters in a meta page.
type metaPage struct {
	// pages is the number of pages that the file holds as of the commit.
	pages  uint64
	commit uint64
}

// readMetaPage reads meta page 0 or 1. Of a page that is damaged, or in no bbolt file, it returns nil.
func readMetaPage(r io.ReaderAt, number int64) (*metaPage, error) {
	buf := make([]byte, metaPageHeader+metaSize)
	if _, err := r.ReadAt(buf, number*pageSize); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	order, meta := binary.NativeEndian, buf[metaPageHeader:]
	sum := fnv.New64a()
	sum.Write(meta[:metaSumAt])
	if order.Uint32(meta) != metaMagic || order.Uint32(meta[4:]) != metaVersion || order.Uint32(meta[metaPageSizeAt:]) != pageSize || order.Uint64(meta[metaSumAt:]) != sum.Sum64() {
		return nil, nil
	}
	return &metaPage{pages: order.Uint64(meta[metaPagesAt:]), commit: order.Uint64(meta[metaCommitAt:])}, nil
}

// ErrRollback says that a file can be opened with Options.AcceptRollback only: bbolt would silently go back by a commit.
var ErrRollback = errors.New("one of its two meta pages is damaged, perhaps the one of the newest commit, and then what was acknowledged last is lost")

// checkFile returns an error that says what to do unless bbolt can open the file at its newest commit. rollback says
// whether one of the meta pages is damaged, which is an error unless accepted.
func checkFile(f io.ReaderAt, size int64, accept bool) (rollback bool, err error) {
	if size == 0 {
		return false, fmt.Errorf("it is empty: put the file or a backup back in its place, or remove it and its .owner file to begin anew")
	}
	var pages [2]*metaPage
	for i := range pages {
		if pages[i], err = readMetaPage(f, int64(i)); err != nil {
			return false, err
		}
	}
	newest := pages[0]
	if newest == nil || pages[1] != nil && pages[1].commit > newest.commit {
		newest = pages[1]
	}
	switch {
	case newest == nil:
		return false, fmt.Errorf("it is no store of ours, or damaged at its very beginning: put the right file or a backup in its place")
	case uint64(size) < newest.pages*pageSize:
		return false, fmt.Errorf("it is cut off: it has %d bytes and should have %d at least: put the whole file or a backup in its place", size, newest.pages*pageSize)
	case pages[0] != nil && pages[1] != nil:
		return false, nil
	case !accept:
		return true, fmt.Errorf("%w: put a backup in its place, or accept that loss to go on with commit %d", ErrRollback, newest.commit)
	}
	return true, nil
}
