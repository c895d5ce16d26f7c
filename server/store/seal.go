package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// KeySize is the size of a sealing key, in bytes.
const KeySize = 32

// Sealer seals positions into opaque tokens: page tokens and cursors. A token is bound to a purpose (the workspace, the
// caller's view and the filter), and to the store's epoch, so that a restored store refuses the tokens of the time before.
type Sealer struct {
	aead  cipher.AEAD
	epoch string
}

// NewSealer returns a sealer with a key of KeySize random bytes.
func NewSealer(key []byte, epoch string) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("store: sealing key has %d bytes, want %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("store: sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("store: sealing key: %w", err)
	}
	return &Sealer{aead: aead, epoch: epoch}, nil
}

// NewKey returns a random sealing key.
func NewKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails
	return key
}

// Seal returns a token, URL-safe, that only Open with the same purpose reads.
func (s *Sealer) Seal(purpose string, position []byte) string {
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, position, s.bind(purpose)))
}

// Open returns the position in a token, or ErrPageToken if it was made for another purpose, by another store, in another
// epoch, or not at all.
func (s *Sealer) Open(purpose, token string) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	// Other spellings decode to the same bytes, such as one with a line break in it. Nobody was given those.
	if err != nil || base64.RawURLEncoding.EncodeToString(sealed) != token {
		return nil, ErrPageToken
	}
	position, err := s.aead.Open(nil, nil, sealed, s.bind(purpose))
	if err != nil {
		return nil, ErrPageToken
	}
	return position, nil
}

// Epoch names this life of the store's data. A restore begins a new one.
func (s *Sealer) Epoch() string { return s.epoch }

// bind returns the additional data of a token: its length is fixed for every part, so that no two pairs are alike.
func (s *Sealer) bind(purpose string) []byte {
	epoch, use := sha256.Sum256([]byte(s.epoch)), sha256.Sum256([]byte(purpose))
	return append(epoch[:], use[:]...)
}
