package sampler

import (
	"context"
	"time"
)

// Poll calls ask at every instant of a rate in Hz until ctx ends or ask fails,
// and returns its error. What falls into a call that takes longer is left out,
// and counted as late. It keeps the inbox stirred between the instants.
func Poll(ctx context.Context, hz Frequency, in *Inbox, late func(n uint64), ask func() error) error {
	every := time.Duration(1e9 / float64(hz))
	start := time.Now()
	for n := time.Duration(0); ctx.Err() == nil; n++ {
		in.Stir()
		if err := ask(); err != nil {
			return err
		}
		if passed := time.Since(start) / every; passed > n+1 {
			late(uint64(passed - n - 1))
			n = passed - 1
		}
		in.Pause(ctx, every*(n+1)-time.Since(start))
	}
	return nil
}

// Pause waits for a time, or until ctx ends, and keeps the inbox stirred.
func (b *Inbox) Pause(ctx context.Context, d time.Duration) {
	for end := time.Now().Add(d); ctx.Err() == nil; {
		b.Stir()
		left := time.Until(end)
		if left <= 0 {
			return
		}
		Pause(ctx, min(left, BeatEvery/2))
	}
}

// Pause waits for a time, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Count adds to a further counter of the source; nothing shows while it is 0.
func (p *Progress) Count(name string, n uint64) {
	if n > 0 {
		p.Update(func(s *Snapshot) { setDetail(s, name, s.Detail[name]+n) })
	}
}

// Reject counts a reading that could not be taken, and says why.
func (p *Progress) Reject(counter string, err error) {
	p.Update(func(s *Snapshot) {
		s.Rejected++
		s.LastBad = err.Error()
		setDetail(s, counter, s.Detail[counter]+1)
	})
}
