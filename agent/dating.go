package agent

import (
	"context"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// clockEvery is how often an unsynchronised clock is looked at.
const clockEvery = 10 * time.Second

// markBoot dates this boot's records once something vouches for the clock.
// It tells whether that is done.
func markBoot(s *spool.Spool, clock *sampler.Clock) (bool, error) {
	now := clock.Now()
	if now.State != spool.ClockSynchronised {
		return false, nil
	}
	return true, s.MarkBootTime(now.Boot, time.Unix(0, now.Wall).Add(-now.Since))
}

// watchClock waits until the clock is synchronised and marks this boot. It
// returns then, or when ctx ends.
func (a *Agent) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		done, err := markBoot(a.spool, a.clock)
		switch {
		case err != nil:
			a.log.Warn("boot cannot be dated, tried again soon", "error", err)
		case done:
			a.log.Info("clock is synchronised", "boot_dated", true)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
