package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/store"
	"pgregory.net/rapid"
)

var requestKey = store.NewKey()

func newSealer(t testing.TB, key []byte, epoch string) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer(key, requestKey, epoch)
	if err != nil {
		t.Fatalf("NewSealer: %v", err)
	}
	return s
}

func wantRefused(t *testing.T, s *store.Sealer, purpose, token, what string) {
	t.Helper()
	if position, err := s.Open(purpose, token); !errors.Is(err, store.ErrPageToken) || position != nil {
		t.Errorf("%s: got %q, %v, want ErrPageToken", what, position, err)
	}
}

func TestSealerOpensWhatItSealed(t *testing.T) {
	key := store.NewKey()
	safe := regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	rapid.Check(t, func(rt *rapid.T) {
		purpose, epoch := rapid.String().Draw(rt, "purpose"), rapid.String().Draw(rt, "epoch")
		position := rapid.SliceOf(rapid.Byte()).Draw(rt, "position")
		s := newSealer(t, key, epoch)
		token := s.Seal(purpose, position)
		if !safe.MatchString(token) {
			rt.Errorf("token %q is not safe in a URL", token)
		}
		if again := s.Seal(purpose, position); again == token {
			rt.Error("the same position was sealed into the same token twice")
		}
		// Another sealer with the key and the epoch is the store after a restart.
		got, err := newSealer(t, key, epoch).Open(purpose, token)
		if err != nil || !bytes.Equal(got, position) {
			rt.Errorf("got %q, %v, want %q", got, err, position)
		}
		if s.Epoch() != epoch {
			rt.Errorf("got epoch %q, want %q", s.Epoch(), epoch)
		}
	})
}

func TestSealerHidesThePosition(t *testing.T) {
	token := newSealer(t, store.NewKey(), "epoch").Seal("purpose", []byte("conv_0000000000"))
	if strings.Contains(token, "Y29udl8") { // "conv_" in base64
		t.Errorf("token %q shows its position", token)
	}
}

func TestSealerRefusesOtherTokens(t *testing.T) {
	key := store.NewKey()
	s := newSealer(t, key, "epoch")
	token := s.Seal("purpose", []byte("position"))
	for name, purpose := range map[string]string{
		"another purpose": "purposes", "the purpose's beginning": "purpos", "no purpose": "", "a part of the epoch": "hpurpose",
	} {
		wantRefused(t, s, purpose, token, name)
	}
	wantRefused(t, newSealer(t, key, "epoch2"), "purpose", token, "another epoch")
	wantRefused(t, newSealer(t, key, "epochp"), "urpose", token, "epoch and purpose cut elsewhere")
	wantRefused(t, newSealer(t, key, ""), "purpose", token, "no epoch")
	wantRefused(t, newSealer(t, store.NewKey(), "epoch"), "purpose", token, "another key")
}

func TestSealerRefusesDamagedTokens(t *testing.T) {
	s := newSealer(t, store.NewKey(), "epoch")
	token := s.Seal("purpose", []byte("position"))
	for i := range token {
		wantRefused(t, s, "purpose", token[:i], "a token cut off")
		wantRefused(t, s, "purpose", token[i+1:], "a token without its beginning")
		for _, c := range "Aa0-_=+/ \n\x00" {
			if damaged := token[:i] + string(c) + token[i+1:]; damaged != token {
				wantRefused(t, s, "purpose", damaged, "a token with another character")
			}
		}
		// The last character holds bits that decoding ignores, and line breaks are ignored anywhere.
		wantRefused(t, s, "purpose", token[:i]+"\n"+token[i:], "a token with a line break")
	}
	last := token[len(token)-1]
	for c := byte(0); c < 128; c++ {
		if c != last {
			wantRefused(t, s, "purpose", token[:len(token)-1]+string(rune(c)), "a token with another last character")
		}
	}
	wantRefused(t, s, "purpose", token+token, "a token twice")
}

func TestNewSealerWantsAWholeKey(t *testing.T) {
	for _, size := range []int{0, 16, 24, store.KeySize - 1, store.KeySize + 1} {
		if _, err := store.NewSealer(make([]byte, size), requestKey, "epoch"); err == nil {
			t.Errorf("a key of %d bytes was taken", size)
		}
		if _, err := store.NewSealer(store.NewKey(), make([]byte, size), "epoch"); err == nil {
			t.Errorf("a request key of %d bytes was taken", size)
		}
	}
	a, b := store.NewKey(), store.NewKey()
	if len(a) != store.KeySize || bytes.Equal(a, b) {
		t.Errorf("got keys %x and %x, want %d random bytes each", a, b, store.KeySize)
	}
}

// TestHash hashes as the request key says, whatever the sealing key and the epoch are.
func TestHash(t *testing.T) {
	mine := newSealer(t, store.NewKey(), "epoch").Hash([]byte("request"))
	if again := newSealer(t, store.NewKey(), "another epoch").Hash([]byte("request")); again != mine {
		t.Errorf("after a restore: got %x, want %x", again, mine)
	}
	other, err := store.NewSealer(store.NewKey(), store.NewKey(), "epoch")
	if err != nil {
		t.Fatal(err)
	}
	for what, hash := range map[string][32]byte{
		"under another key": other.Hash([]byte("request")), "of another request": newSealer(t, store.NewKey(), "epoch").Hash([]byte("other")),
		"under no key": sha256.Sum256([]byte("request")),
	} {
		if hash == mine {
			t.Errorf("the hash %s is the same", what)
		}
	}
}

// FuzzSealerOpen opens anything: what is no token is refused, and nothing panics.
func FuzzSealerOpen(f *testing.F) {
	s := newSealer(f, store.NewKey(), "epoch")
	sealed := map[string]string{}
	for _, position := range []string{"", "position", strings.Repeat("long ", 100)} {
		token := s.Seal("purpose", []byte(position))
		sealed[token] = position
		f.Add("purpose", token)
		f.Add("other", token)
		f.Add("purpose", token[:len(token)/2])
	}
	f.Add("purpose", "")
	f.Add("", "A")
	f.Add("purpose", "====")
	f.Fuzz(func(t *testing.T, purpose, token string) {
		got, err := s.Open(purpose, token)
		want, ours := sealed[token]
		if ours && purpose == "purpose" {
			if err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			return
		}
		if !errors.Is(err, store.ErrPageToken) || got != nil {
			t.Errorf("a token that nobody sealed for this: got %q, %v, want ErrPageToken", got, err)
		}
	})
}
