package support

import (
	"context"
	"crypto/sha256"
	"strconv"
	"time"
)

// VerifiedTokens returns how many tokens the service remembers to have verified.
func VerifiedTokens(s *Service) int {
	s.verified.mu.Lock()
	defer s.verified.mu.Unlock()
	return len(s.verified.young) + len(s.verified.old)
}

// RememberToken lets the service remember a token as one that it verified, another for each n.
func RememberToken(s *Service, n int) {
	s.verified.put(sha256.Sum256([]byte(strconv.Itoa(n))), signedToken{})
}

// MaxVerifiedTokens is how many it remembers at most.
const MaxVerifiedTokens = 2 * maxYoungTokens

// SealToken seals a token, as the service does.
var SealToken = (*Service).sealToken

// Watched returns how many scopes somebody watches, and how many persons' bells they listen to.
func Watched(s *Service) (topics, bells int) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, of := range s.hub.bells {
		bells += len(of)
	}
	return len(s.hub.topics) + len(s.hub.ofKey), bells
}

// Kept returns how many items and notices the service keeps for streams that were not told them yet.
func Kept(s *Service) int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	kept := 0
	for _, t := range s.hub.topics {
		t.mu.Lock()
		kept += len(t.tail.items) + len(t.board.posted) + len(t.touched)
		t.mu.Unlock()
	}
	return kept
}

// WriteApologies has the apologist take its turns, without a pause between them, until nothing goes out any more, or what is left
// rests. It is for services that were not started.
func WriteApologies(s *Service, ctx context.Context) error {
	a := s.apologist
	for {
		a.enlist()
		if len(a.rounds) == 0 || a.rounds[0].rest.After(s.store.Now()) {
			return ctx.Err()
		}
		a.next(ctx)
		if a.pause > 0 {
			return errHeld
		}
	}
}

// FindApologies has the apologist look for what was going out, as when it starts.
func FindApologies(s *Service, ctx context.Context) error { return s.apologist.find(ctx) }

// WriteSomeApologies has the apologist take one turn, and returns after how long the next is to follow.
func WriteSomeApologies(s *Service, ctx context.Context) time.Duration {
	s.apologist.enlist()
	now := s.store.Now()
	until, _ := s.apologist.next(ctx)
	return until.Sub(now)
}

// SetMaxParked has the routes to endpoints that are made from now on park at most so many conversations.
func SetMaxParked(s *Service, n int) { s.courier.maxParked = n }

// BatchRecords is how many entries of a feed are read at once.
const BatchRecords = batchRecords
