package support

import (
	"crypto/sha256"
	"strconv"
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
