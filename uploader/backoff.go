package uploader

import (
	"math/rand/v2"
	"time"
)

// The waits between two tries: full jitter between nothing and a bound that
// doubles from the first to the longest, so that a fleet that lost the same
// network does not come back in step.
const (
	firstWait   = time.Second
	longestWait = 5 * time.Minute
	// longestAsked bounds what a destination may ask for by Retry-After.
	longestAsked = time.Hour
	// probeEvery is how often a destination that refused the credentials is
	// tried again while nothing has changed.
	probeEvery = 15 * time.Minute
	// lookEvery is how often a paused worker looks whether the credentials
	// have changed, and a worker with records held back whether their time
	// has come.
	lookEvery = 5 * time.Second
)

// backoff is the wait after so many failures in a row, from 1.
func backoff(failures int) time.Duration {
	bound := longestWait
	if failures < 10 { // beyond that the shift is past the bound anyway
		bound = min(bound, firstWait<<(max(failures, 1)-1))
	}
	return rand.N(bound) + 1
}

// wait is what a failed try is followed by: what was asked for, within
// bounds, or else the backoff.
func wait(failures int, asked time.Duration) time.Duration {
	if asked > 0 {
		return min(asked, longestAsked)
	}
	return backoff(failures)
}
