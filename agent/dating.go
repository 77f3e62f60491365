package agent

import (
	"context"
	"sync"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// clockEvery is how often an unsynchronised clock is looked at.
const clockEvery = 10 * time.Second

// clockStep is how far a clock must be set to be worth a line.
const clockStep = time.Second

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

// watchClock dates this boot once that can be done: at once when the clock is
// set, and it looks now and then for who merely begins to vouch for it. It
// tells of each time that the clock is set, until ctx ends.
func (a *Agent) watchClock(ctx context.Context) {
	set := make(chan struct{}, 1)
	var steps sync.WaitGroup
	defer steps.Wait()
	steps.Go(func() {
		err := a.clock.Steps(ctx, func(by time.Duration) {
			a.noteStep(by)
			select {
			case set <- struct{}{}:
			default:
			}
		})
		if err != nil {
			a.log.Warn("the kernel does not tell when the clock is set; it is looked at now and then", "error", err)
		}
	})
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for !a.dateBoot() {
		select {
		case <-tick.C:
		case <-set:
		case <-ctx.Done():
			return
		}
	}
}

// noteStep tells of a clock that was set by more than a time service that
// follows it well would set it.
func (a *Agent) noteStep(by time.Duration) {
	if by.Abs() < clockStep {
		return
	}
	a.clockSteps.Add(1)
	a.log.Warn("the clock was set", "by", by.Round(time.Millisecond), "now", time.Now().UTC().Format(time.RFC3339))
}
