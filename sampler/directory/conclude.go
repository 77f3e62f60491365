package directory

import (
	"errors"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// prune forgets remembered files that are gone. An empty folder forgets
// nothing: it may be the place where a stick is missing.
func (sc *scan) prune() {
	incomplete := sc.ctx.Err() != nil || sc.fault != nil && !forbidden(sc.fault)
	if len(sc.keys) == 0 || incomplete {
		return
	}
	err := sc.setup.Memory.Retain(sc.setup.Name, func(key [16]byte) bool { return sc.keys[key] })
	if err != nil {
		sc.faulty(err)
		return
	}
	sc.pruned = sc.now
}

// conclude reports how the round went.
func (sc *scan) conclude() {
	sc.labels.sweep(sc.labelFiles)
	if sc.refused.files > 0 {
		sc.setup.Log.Warn("files were refused, they are set aside or remembered and not tried again",
			"source", sc.setup.Name, "files", sc.refused.files, "first", sc.refused.first)
	}
	if sc.failed.files > 0 {
		sc.setup.Log.Warn("files could not be taken, they will be tried again",
			"source", sc.setup.Name, "files", sc.failed.files, "first", sc.failed.first)
	}
	pending := 0
	for _, c := range sc.candidates {
		if sc.pending(c) {
			pending++
		}
	}
	sc.setup.Progress.Update(func(p *sampler.Snapshot) {
		if p.Detail == nil {
			p.Detail = make(map[string]uint64)
		}
		p.Detail["pending"] = uint64(pending)
		p.Detail["being_written"] = uint64(sc.busy)
		p.Detail["ignored"] = uint64(sc.ignored)
	})
	switch {
	case sc.spoolFault != nil:
		sc.say(sampler.StateWaiting, sc.spoolFault)
	case errors.Is(sc.fault, errLocked):
		sc.say(sampler.StateWaiting, sc.fault)
	default:
		sc.say(sampler.StateRunning, sc.fault)
	}
}

// pending tells whether a candidate is still to be taken.
func (sc *scan) pending(c candidate) bool { return sc.sightings.seen[c.path] == c.known }

// next is when the next look is due: when the first file may be ready, and
// without any, every few seconds.
func (sc *scan) next() time.Time {
	now := time.Now()
	next := now.Add(max(sc.hints.every(), idleShare*sc.cost))
	for _, c := range sc.candidates {
		if due := c.known.due(sc.config.Settle); sc.pending(c) && !c.known.held && due.Before(next) {
			next = due
		}
	}
	if next.Before(sc.retry) {
		next = sc.retry
	}
	if soonest := now.Add(max(shortestPause, busyShare*sc.cost)); next.Before(soonest) {
		next = soonest
	}
	// Somebody who writes a row a millisecond must not cause a look for each.
	sc.notSooner = now.Add(max(sc.config.Settle/4, busyShare*sc.cost))
	return next
}
