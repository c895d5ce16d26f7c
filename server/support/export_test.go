package support

// VerifiedTokens returns how many tokens the service remembers to have verified.
func VerifiedTokens(s *Service) int {
	s.verified.mu.Lock()
	defer s.verified.mu.Unlock()
	return len(s.verified.young) + len(s.verified.old)
}

// MaxVerifiedTokens is how many it remembers at most.
const MaxVerifiedTokens = 2 * maxYoungTokens

// SealToken seals a token, as the service does.
var SealToken = (*Service).sealToken
