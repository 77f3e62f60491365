package agent

import (
	"context"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// clockEvery is how often an unsynchronised clock is looked at.
const clockEvery = 10 * time.Second

// dateBoot dates this boot's records if something vouches for the clock, and
// tells whether that is done.
func (a *Agent) dateBoot() bool {
	now := a.clock.Now()
	if now.State != spool.ClockSynchronised {
		return false
	}
	if err := a.spool.MarkBootTime(now.Boot, time.Unix(0, now.Wall).Add(-now.Since)); err != nil {
		a.log.Warn("boot cannot be dated, tried again soon", "error", err)
		return false
	}
	a.log.Info("clock is synchronised, what this boot has recorded is dated")
	return true
}

// watchClock waits until this boot is dated, or ctx ends.
func (a *Agent) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for !a.dateBoot() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
