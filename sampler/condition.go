package sampler

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A condition is the state of a source of readings, put together from what
// its reader, its recorder and the operator have to say.
type condition struct {
	progress *Progress
	log      *slog.Logger
	name     string

	mu      sync.Mutex
	away    error         // why the device cannot be read
	silent  time.Duration // how long no reading has come, if that is too long
	refused error         // why the spool takes nothing
	paused  bool
	heard   time.Duration // of the last reading or opening, on the boot clock
}

// change makes a change and shows what comes of it.
func (c *condition) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	state, problem := c.sum()
	c.progress.Update(func(s *Snapshot) { s.State, s.Error = state, problem })
}

func (c *condition) sum() (state, problem string) {
	switch {
	case c.paused:
		return StatePaused, ""
	case c.away != nil:
		return StateWaiting, c.away.Error()
	case c.refused != nil:
		return StateWaiting, c.refused.Error()
	case c.silent > 0:
		return StateWaiting, fmt.Sprintf("no reading for %v: check wiring, baud rate and format", c.silent.Round(time.Second))
	}
	return StateRunning, ""
}

// opened says that the device can be read.
func (c *condition) opened(now time.Duration) {
	c.change(func() { c.away, c.silent, c.heard = nil, 0, now })
}

// gone says why it cannot, and tells whether that is news.
func (c *condition) gone(err error) (news bool) {
	c.change(func() {
		news = c.away == nil || c.away.Error() != err.Error()
		c.away, c.silent = err, 0
	})
	return news
}

// hear notes good readings up to a moment; quiet that there were none.
func (c *condition) hear(at time.Duration) {
	c.mu.Lock()
	back := c.silent > 0
	c.heard = max(c.heard, at)
	c.mu.Unlock()
	if back {
		c.change(func() { c.silent = 0 })
		c.log.Info("readings come again", "source", c.name)
	}
}

func (c *condition) quiet(now, limit time.Duration) {
	var news bool
	c.change(func() {
		if c.away == nil && !c.paused && now-c.heard > limit {
			news = c.silent == 0
			c.silent = now - c.heard
		}
	})
	if news {
		c.log.Warn("no readings come; the port stays open", "source", c.name, "after", limit)
	}
}

// pause says whether an operator has switched the source off.
func (c *condition) pause(off bool) {
	c.change(func() { c.paused, c.silent = off, 0 })
}

// refuse says why the spool takes nothing, nil once it does.
func (c *condition) refuse(err error) {
	c.mu.Lock()
	before := c.refused
	c.mu.Unlock()
	switch {
	case before == nil && err == nil:
		return
	case before == nil:
		c.log.Warn("spool takes no samples; readings are dropped and counted until it does", "source", c.name, "error", err)
	case err == nil:
		c.log.Info("spool takes samples again", "source", c.name)
	}
	c.change(func() { c.refused = err })
}
