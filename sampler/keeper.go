package sampler

import (
	"context"
	"sync"
	"time"

	"github.com/edgespool/edgespool/spool"
)

const maxHurried = 8 // commits asked for at the same time

// A keeper hands a recorder's windows to the sink and counts what becomes of
// them. Its methods may be called concurrently: windows come from the reading
// path and from a judge.
type keeper struct {
	setup     *Setup
	sink      Sink
	condition *condition
	commits   sync.WaitGroup
	hurried   chan struct{} // one for each commit that was asked for

	mu   sync.Mutex
	last spool.Receipt // of the newest window
}

// keep hands one window of so many readings to the sink; err is why there is
// none. What the sink refuses is counted and gone: a serial port cannot be
// asked to say it again.
func (k *keeper) keep(ctx context.Context, rec spool.Record, rows int, err error) (result spool.Result, ok bool) {
	var receipt spool.Receipt
	if err == nil {
		receipt, err = k.sink.Append(ctx, rec)
	}
	if k.condition.refuse(err); err != nil {
		k.setup.Progress.Update(func(p *Snapshot) { p.Dropped += uint64(rows) })
		return result, false
	}
	k.mu.Lock()
	k.last = receipt
	k.mu.Unlock()
	if len(receipt.Results) > 0 {
		result = receipt.Results[0]
	}
	k.setup.Progress.Update(func(p *Snapshot) {
		if result.Duplicate {
			p.Duplicates++
			return
		}
		p.Samples++
		p.LastSample = time.Now()
	})
	if rec.Dataset == categoryAnomaly && !result.Duplicate {
		k.hurry(ctx, receipt)
	}
	return result, true
}

// hurry asks for an anomaly to be committed at once, without waiting here. If
// many are on their way already, this one goes with the group.
func (k *keeper) hurry(ctx context.Context, receipt spool.Receipt) {
	select {
	case k.hurried <- struct{}{}:
	default:
		return
	}
	k.commits.Go(func() {
		defer func() { <-k.hurried }()
		if err := receipt.Wait(ctx); err != nil && ctx.Err() == nil {
			k.setup.Log.Error("anomaly was not committed; it is lost if power fails now", "source", k.setup.Name, "error", err)
		}
	})
}

// finish waits for all commits. A stop waits as nobody else does here, so
// that it leaves nothing at risk, and so that who drains the spool next finds
// the last window.
func (k *keeper) finish(ctx context.Context) {
	k.commits.Wait()
	k.mu.Lock()
	last := k.last
	k.mu.Unlock()
	if err := last.Wait(ctx); err != nil {
		k.setup.Log.Error("last window was not committed before the stop", "source", k.setup.Name, "error", err)
	}
}
