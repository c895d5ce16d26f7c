package support

import (
	"encoding/binary"
	"strconv"
	"time"
)

// retryAfter is how long after a try that failed the next one is: ten in all, over about three days. It is the schedule of
// Standard Webhooks 1.0.0 ("Deliverability and reliability"); jitter takes up to a fifth off each or adds it.
var retryAfter = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	// maxTries is how often an event is tried before it is a dead letter.
	maxTries = len(retryAfter) + 1
	// downAfter is of how many conversations in a row an event must fail, with none delivered between, for an endpoint to count as
	// down.
	downAfter = 5
	// firstProbe and lastProbe are how long after one probe of an endpoint that is down the next one is: first, and at most.
	firstProbe, lastProbe = time.Second, 5 * time.Minute
)

// nextTry returns how long after its latest try, of so many, an event is tried again, where the endpoint asked to be left alone for
// a while. The jitter is the event's own: events that failed together are not tried together again.
func nextTry(webhookID string, tries int32, asked time.Duration) time.Duration {
	pause := retryAfter[min(int(tries), len(retryAfter))-1]
	return max(pause+pause/5*time.Duration(jitter(webhookID, tries))/1000, asked)
}

// jitter returns a number from -1000 to 1000.
func jitter(webhookID string, tries int32) int {
	sum := hashOf(webhookID, strconv.Itoa(int(tries)))
	return int(binary.BigEndian.Uint32(sum[:])%2001) - 1000
}

// nextProbe returns how long after a probe the next one is, if so many failed in a row.
func nextProbe(failed int32, asked time.Duration) time.Duration {
	pause := lastProbe
	if failed < 10 {
		pause = min(firstProbe<<failed, lastProbe)
	}
	return max(pause, min(asked, lastProbe))
}
