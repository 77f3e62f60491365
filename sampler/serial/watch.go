package serial

import (
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// A watch looks after an open link from time to time.
type watch struct {
	link     link
	every    time.Duration
	progress *sampler.Progress

	next   time.Duration
	before counters
}

func newWatch(l link, every time.Duration, p *sampler.Progress, now time.Duration) *watch {
	w := &watch{link: l, every: every, progress: p, next: now + every}
	if p, ok := l.(*port); ok {
		w.before, _ = p.Counters()
	}
	return w
}

// look counts what the hardware lost, and tells whether the link is still what
// the configuration means. It does so once in a while only.
func (w *watch) look(now time.Duration) error {
	if now < w.next {
		return nil
	}
	w.next = now + w.every
	w.countErrors()
	return w.link.Check()
}

// countErrors counts what the hardware lost or broke since the last time.
func (w *watch) countErrors() {
	p, ok := w.link.(*port)
	if !ok {
		return
	}
	c, ok := p.Counters()
	if !ok {
		return
	}
	w.progress.Count("frame_errors", uint64(uint32(c.Frame-w.before.Frame)))
	w.progress.Count("parity_errors", uint64(uint32(c.Parity-w.before.Parity)))
	w.progress.Count("overruns", uint64(uint32(c.Overrun-w.before.Overrun))+uint64(uint32(c.BufferRun-w.before.BufferRun)))
	w.before = c
}
