package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// KeySize is the size of a sealing key, in bytes.
const KeySize = 32

// Sealer seals positions into opaque tokens: page tokens and cursors. A token is bound to a purpose (the workspace, the
// caller's view and the filter), and to the store's epoch, so that a restored store refuses the tokens of the time before. It also
// makes the hashes that a request id is remembered by, under a key that a restored store keeps, so that it knows the request ids.
type Sealer struct {
	aead       cipher.AEAD
	requestKey []byte
	epoch      string
}

// NewSealer returns a sealer with keys of KeySize random bytes.
func NewSealer(key, requestKey []byte, epoch string) (*Sealer, error) {
	if len(key) != KeySize || len(requestKey) != KeySize {
		return nil, fmt.Errorf("store: sealing and request key have %d and %d bytes, want %d", len(key), len(requestKey), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("store: sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("store: sealing key: %w", err)
	}
	return &Sealer{aead: aead, requestKey: requestKey, epoch: epoch}, nil
}

// NewKey returns a random key.
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

// Hash returns a hash of something of a request. Nobody who lacks the key can tell by it what that was, not by guessing either.
func (s *Sealer) Hash(b []byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, s.requestKey)
	h.Write(b)
	return [sha256.Size]byte(h.Sum(nil))
}

// RequestKey returns the key of Hash, for a backup.
func (s *Sealer) RequestKey() []byte { return s.requestKey }

// Epoch names this life of the store's data. A restore begins a new one.
func (s *Sealer) Epoch() string { return s.epoch }

// bind returns the additional data of a token: its length is fixed for every part, so that no two pairs are alike.
func (s *Sealer) bind(purpose string) []byte {
	epoch, use := sha256.Sum256([]byte(s.epoch)), sha256.Sum256([]byte(purpose))
	return append(epoch[:], use[:]...)
}
