package spool

import "time"

// A modelClock is the board's clocks as records claim them, and the spool's
// own time as it must follow from that.
type modelClock struct {
	boot    byte
	started time.Time // of the bubble, at boot
	offset  int64     // wall time at boot, right or not
	vouched ClockState
	created int64
	last    Instant // of the latest moment seen
}

func newModelClock() modelClock { return modelClock{boot: 1, started: time.Now()} }

func (c *modelClock) reboot() {
	c.boot++
	c.started, c.vouched, c.offset = time.Now(), ClockUnknown, 0
}

// now is an instant; some sources date back to where a window began.
func (c *modelClock) now(variant int) Instant {
	since := time.Since(c.started) + time.Minute - time.Duration(variant%3)*20*time.Second
	return Instant{Boot: [16]byte{c.boot}, Since: since, Wall: c.offset + int64(since), State: c.vouched}
}

// stamp is the created_at of a record of that instant.
func (c *modelClock) stamp(t Instant) int64 {
	elapsed := int64(t.Since)
	if t.Boot == c.last.Boot {
		elapsed = max(int64(t.Since-c.last.Since), 0)
	}
	switch {
	case t.State == ClockSynchronised && t.Wall > c.created:
		c.created = t.Wall
	case t.State == ClockSynchronised:
		c.created += elapsed / 2
	default:
		c.created += elapsed
	}
	if t.Boot != c.last.Boot || t.Since > c.last.Since {
		c.last = t
	}
	return c.created
}
