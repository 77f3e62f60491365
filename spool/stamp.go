package spool

import "time"

// farFuture (the year 2116) is how far a vouched wall clock is believed.
// Beyond it, sums of times would overflow.
const farFuture = 1 << 62

// offLimit is the longest that a board is believed to have been off. A longer
// time is rather a clock that was wrong on one side of it.
const offLimit = int64(365 * 24 * time.Hour)

// An ownTime is the time that the spool gives to records. It follows the
// records' instants, not the clocks of the process, so that it goes on over
// restarts.
type ownTime struct {
	// created is the created_at of the last record. It never goes back.
	created int64
	// age is the boot time that has gone by over all boots, in ns, which no
	// jump of a wall clock changes. Records' ages are differences of it.
	age int64
	// last is the latest moment that a record told of.
	last Instant
	// at is when the last record came, on this process's clock.
	at time.Time
}

// stamp gives created_at to a record captured at t. It takes the wall time
// when that is vouched for, else it adds the boot time that went by. While a
// vouched wall clock is behind, because it was ahead before, created_at goes
// on at half its speed: it neither goes back nor stands still.
func (o *ownTime) stamp(t Instant) int64 {
	elapsed := o.pass(t)
	switch {
	case t.State != ClockSynchronised || t.Wall >= farFuture:
		o.created += elapsed
	case t.Wall > o.created:
		o.created = t.Wall
	default:
		o.created += elapsed / 2
	}
	o.at = time.Now()
	return o.created
}

// pass moves on to t and returns the boot time that went by. Instants of one
// boot may come out of order, for a window is dated from its first reading. Of
// another boot at least the time since it started is known.
func (o *ownTime) pass(t Instant) int64 {
	if t.Boot == o.last.Boot {
		elapsed := max(int64(t.Since-o.last.Since), 0)
		o.age += elapsed
		if elapsed > 0 {
			o.last = t
		}
		return elapsed
	}
	elapsed := max(int64(t.Since), 0)
	grown := elapsed
	if t.State == ClockSynchronised && o.last.State == ClockSynchronised {
		if off := t.Wall - o.last.Wall; off > elapsed && off <= offLimit {
			grown = off
		}
	}
	o.age += grown
	o.last = t
	return elapsed
}

// ageOf is how long ago the last record of a segment came, in time that the
// board was running; s.mu is held.
func (s *Spool) ageOf(row segmentRow) time.Duration {
	return time.Duration(s.own.age-row.Aged) + time.Since(s.own.at)
}

// resumeTime has the spool's own time go on from the last record, if that
// came after the counters were saved with that time.
func (s *Spool) resumeTime(saved int64) {
	s.own.at = time.Now()
	if s.active == nil {
		return // the last segment was closed well, and the counters after it
	}
	if r, ok := s.envelopeOf(s.writtenSeq); ok && saved < r.CreatedAt.UnixNano() {
		s.own.pass(r.Time)
		s.active.row.Aged = s.own.age
	}
}

// ownNow is the spool's own time now: that of the last record, and what went by
// since. Before the first record it is the clock's.
func (s *Spool) ownNow() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own.created == 0 {
		return time.Now().UTC()
	}
	return time.Unix(0, s.own.created).Add(time.Since(s.own.at)).UTC()
}
