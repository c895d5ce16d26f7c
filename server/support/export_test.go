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
