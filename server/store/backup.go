package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A backup is the same whatever engine it was taken from: the line backupMagic, then frames. A frame is a byte that says
// its kind, the length of its payload in four bytes, CRC-32C of kind and payload in four, and the payload, a deterministic
// proto message. The first frame is a header, the last a trailer with the number of entries and SHA-256 of all bytes before it.
const (
	backupMagic  = "goodship backup\n"
	backupFormat = 1
	// backupFrameSize is the most that a payload may have, so that a damaged length takes no memory.
	backupFrameSize = 64 << 20
)

type backupFrame byte

const (
	headerFrame backupFrame = iota + 1
	entryFrame
	trailerFrame
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Key returns the hash under which an engine and a backup remember the request id. Every part of the scope is in it.
func (o Once) Key() [16]byte {
	h := sha256.New()
	for _, part := range []string{o.RequestID, o.Scope, o.Conversation} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part))) // so that no two triples are alike
		h.Write(size[:])
		io.WriteString(h, part) //nolint:errcheck // a hash never fails
	}
	return [16]byte(h.Sum(nil))
}

// BackupWriter writes a backup, entry by entry. Not safe for concurrent use.
type BackupWriter struct {
	out     *bufio.Writer
	digest  hash.Hash
	entries int64
	buf     []byte
}

// NewBackupWriter begins a backup of a store's epoch, which remembers request ids under a key. The backup is whole only after Close.
func NewBackupWriter(w io.Writer, epoch string, requestKey []byte) (*BackupWriter, error) {
	b := &BackupWriter{out: bufio.NewWriterSize(w, 64<<10), digest: sha256.New()}
	if err := b.write([]byte(backupMagic)); err != nil {
		return nil, err
	}
	return b, b.frame(headerFrame, &storev1.BackupHeader{Format: backupFormat, Epoch: epoch, RequestKey: requestKey})
}

// Write adds an entry. It replaces an earlier one of the same object.
func (b *BackupWriter) Write(e *storev1.BackupEntry) error {
	b.entries++
	return b.frame(entryFrame, e)
}

// Close ends the backup and flushes it; it does not close what it was written to. clock is the time of the newest unit.
func (b *BackupWriter) Close(clock time.Time) error {
	trailer := &storev1.BackupTrailer{EntryCount: b.entries, Sha256: b.digest.Sum(nil), ClockTime: timestamppb.New(clock)}
	if err := b.frame(trailerFrame, trailer); err != nil {
		return err
	}
	if err := b.out.Flush(); err != nil {
		return fmt.Errorf("store: write backup: %w", err)
	}
	return nil
}

func (b *BackupWriter) frame(kind backupFrame, m proto.Message) error {
	payload, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b.buf[:0], m)
	if err != nil {
		return fmt.Errorf("store: write backup: %w", err)
	}
	b.buf = payload
	if len(payload) > backupFrameSize {
		return fmt.Errorf("store: write backup: an entry has %d bytes, at most %d are allowed", len(payload), backupFrameSize)
	}
	head := binary.BigEndian.AppendUint32([]byte{byte(kind)}, uint32(len(payload)))
	head = binary.BigEndian.AppendUint32(head, backupChecksum(kind, payload))
	if err := b.write(head); err != nil {
		return err
	}
	return b.write(payload)
}

func (b *BackupWriter) write(p []byte) error {
	b.digest.Write(p)
	if _, err := b.out.Write(p); err != nil {
		return fmt.Errorf("store: write backup: %w", err)
	}
	return nil
}

func backupChecksum(kind backupFrame, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte{byte(kind)}, castagnoli), castagnoli, payload)
}

// BackupReader reads a backup, entry by entry. Not safe for concurrent use.
type BackupReader struct {
	in      *bufio.Reader
	digest  hash.Hash
	entries int64
	header  *storev1.BackupHeader
	clock   time.Time
	buf     []byte
}

// NewBackupReader begins to read a backup. Errors about what it holds are ErrDataLoss.
func NewBackupReader(r io.Reader) (*BackupReader, error) {
	b := &BackupReader{in: bufio.NewReaderSize(r, 64<<10), digest: sha256.New(), header: &storev1.BackupHeader{}}
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(b.in, magic); err != nil && !ended(err) {
		return nil, fmt.Errorf("store: read backup: %w", err)
	}
	if string(magic) != backupMagic {
		return nil, fmt.Errorf("%w: this is no backup of a Goodship store", ErrDataLoss)
	}
	b.digest.Write(magic)
	kind, payload, err := b.frame()
	if err != nil {
		return nil, err
	}
	if kind != headerFrame {
		return nil, b.damaged("it does not begin with a header")
	}
	if err := proto.Unmarshal(payload, b.header); err != nil {
		return nil, b.damaged("its header does not read")
	}
	if b.header.GetFormat() != backupFormat {
		return nil, fmt.Errorf("store: read backup: format %d is not known here, only %d: use the server that wrote it, or a newer one", b.header.GetFormat(), backupFormat)
	}
	return b, nil
}

// Next returns the next entry. At the end it returns io.EOF, but only if the backup is whole and undamaged; nothing of a
// backup may be used before. It passes over request ids that are hashed without a key: nothing matches them any more, and anybody
// can make such hashes.
func (b *BackupReader) Next() (*storev1.BackupEntry, error) {
	for {
		e, err := b.next()
		if err != nil || e.GetOnce() == nil || b.hasRequestKey() {
			return e, err
		}
	}
}

// next returns the next entry, whatever it is.
func (b *BackupReader) next() (*storev1.BackupEntry, error) {
	sum := b.digest.Sum(nil)
	kind, payload, err := b.frame()
	switch {
	case err != nil:
		return nil, err
	case kind == trailerFrame:
		return nil, b.end(payload, sum)
	case kind != entryFrame:
		return nil, b.damaged("an entry has an unknown kind")
	}
	b.entries++
	e := &storev1.BackupEntry{}
	if err := proto.Unmarshal(payload, e); err != nil {
		return nil, b.damaged("an entry does not read")
	}
	return e, nil
}

// RequestKey returns the key under which the backup remembers request ids; a new one if it is from before there were keys.
func (b *BackupReader) RequestKey() []byte {
	if b.hasRequestKey() {
		return b.header.GetRequestKey()
	}
	return NewKey()
}

func (b *BackupReader) hasRequestKey() bool { return len(b.header.GetRequestKey()) == KeySize }

// Clock returns the time of the newest unit in the backup. It is known once Next has returned io.EOF.
func (b *BackupReader) Clock() time.Time { return b.clock }

// end compares a trailer with what was read, and returns io.EOF if they agree.
func (b *BackupReader) end(payload, sum []byte) error {
	trailer := &storev1.BackupTrailer{}
	if err := proto.Unmarshal(payload, trailer); err != nil {
		return b.damaged("its trailer does not read")
	}
	if trailer.GetEntryCount() != b.entries || !bytes.Equal(trailer.GetSha256(), sum) {
		return b.damaged("its trailer does not fit what was read")
	}
	switch _, err := b.in.ReadByte(); {
	case err == nil:
		return b.damaged("something follows its trailer")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("store: read backup: %w", err)
	}
	b.clock = trailer.GetClockTime().AsTime()
	return io.EOF
}

// frame reads a frame. The payload is valid until the next call.
func (b *BackupReader) frame() (backupFrame, []byte, error) {
	var head [9]byte
	if _, err := io.ReadFull(b.in, head[:]); err != nil {
		return 0, nil, b.failed(err)
	}
	kind, size := backupFrame(head[0]), int(binary.BigEndian.Uint32(head[1:]))
	if size > backupFrameSize {
		return 0, nil, b.damaged("an entry has an impossible length")
	}
	if cap(b.buf) < size {
		b.buf = make([]byte, size)
	}
	payload := b.buf[:size]
	if _, err := io.ReadFull(b.in, payload); err != nil {
		return 0, nil, b.failed(err)
	}
	if binary.BigEndian.Uint32(head[5:]) != backupChecksum(kind, payload) {
		return 0, nil, b.damaged("a checksum does not fit")
	}
	b.digest.Write(head[:])
	b.digest.Write(payload)
	return kind, payload, nil
}

// failed returns the error for one of the reader below: an end before the trailer is damage.
func (b *BackupReader) failed(err error) error {
	if ended(err) {
		return b.damaged("it is cut off")
	}
	return fmt.Errorf("store: read backup: %w", err)
}

func (b *BackupReader) damaged(how string) error {
	return fmt.Errorf("%w: the backup is damaged after entry %d: %s", ErrDataLoss, b.entries, how)
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
