package serial

import (
	"context"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// A reader reads one link, from opening to closing, in a goroutine of its
// own: lines get their time when they arrive, however busy the recorder is.
type reader struct {
	link     link
	clock    *sampler.Clock
	in       *sampler.Inbox
	coalesce time.Duration // pause after each read
	settle   time.Duration // how long to ignore what comes
	check    time.Duration // how often to look whether the link is still right
	count    func(name string, n uint64)

	intake *sampler.Intake
	before counters
}

// readSize is what the kernel's line discipline hands over at once, and one.
const readSize = 4096

// run reads until ctx ends or the link is gone. It hands on nothing of what
// comes while the device settles.
func (r *reader) run(ctx context.Context) error {
	buffer := make([]byte, readSize)
	opened := r.clock.Since()
	check := opened + r.check
	if p, ok := r.link.(*port); ok {
		r.before, _ = p.Counters()
	}
	for ctx.Err() == nil {
		r.in.Stir()
		n, err := r.link.Read(buffer)
		now := r.clock.Since()
		if n > 0 && now-opened >= r.settle {
			r.intake.Take(buffer[:n], now)
		}
		if err != nil {
			return err
		}
		if now >= check {
			check = now + r.check
			r.countErrors()
			if err := r.link.Check(); err != nil {
				return err
			}
		}
		if n > 0 && n < readSize-1 && r.coalesce > 0 {
			sampler.Pause(ctx, r.coalesce)
		}
	}
	return nil
}

// countErrors counts what the hardware lost or broke since the last time.
func (r *reader) countErrors() {
	p, ok := r.link.(*port)
	if !ok {
		return
	}
	c, ok := p.Counters()
	if !ok {
		return
	}
	r.count("frame_errors", uint64(uint32(c.Frame-r.before.Frame)))
	r.count("parity_errors", uint64(uint32(c.Parity-r.before.Parity)))
	r.count("overruns", uint64(uint32(c.Overrun-r.before.Overrun))+uint64(uint32(c.BufferRun-r.before.BufferRun)))
	r.before = c
}
