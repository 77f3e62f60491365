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
	intake   *sampler.Intake
	watch    *watch
}

// readSize is what the kernel's line discipline hands over at once, and one.
const readSize = 4096

// run reads until ctx ends or the link is gone. It hands on nothing of what
// comes while the device settles.
func (r *reader) run(ctx context.Context) error {
	buffer := make([]byte, readSize)
	opened := r.clock.Since()
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
		if err := r.watch.look(now); err != nil {
			return err
		}
		if n > 0 && n < readSize-1 && r.coalesce > 0 {
			sampler.Pause(ctx, r.coalesce)
		}
	}
	return nil
}
