package right

import (
	"flag"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	apologies = flag.Int("apologies", 2000, "how many customers an incident affects")
	kills     = flag.Int("kills", 9, "how often the server is killed meanwhile, at least 5 times")
	failures  = flag.Int("failures", 2, "how often a commit fails at each place")
	seed      = flag.Uint64("seed", rand.Uint64(), "what is chosen by")
)

// patience is how long nothing may happen while something must.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// random returns what somebody draws from, of their own.
func random(who string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(who)) // it never fails
	return rand.New(rand.NewPCG(*seed, h.Sum64()))
}
