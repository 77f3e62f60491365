package spool

import (
	"errors"
	"fmt"
	"time"
)

const (
	// retryAfter is how long a spool that cannot write refuses before it
	// tries the disk again.
	retryAfter = 10 * time.Second
	// roomEvery is how often a group that waits for room looks for it.
	roomEvery = time.Second
	// choresAfter is the longest that a moved cursor stays in memory only.
	choresAfter = 5 * time.Second
	// retainEvery is how often records are looked over for their age.
	retainEvery = time.Hour
	// beatEvery is how often a writer with nothing to write comes round.
	beatEvery = 10 * time.Second
)

// writeLoop is the one writer: it commits what is due, saves cursors, and
// lets old segments go, until the spool closes.
func (s *Spool) writeLoop() {
	defer close(s.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	look := time.NewTicker(min(s.conf.commitTimeout, beatEvery))
	defer look.Stop()
	for {
		s.beats.Add(1)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-look.C:
			s.watched("reach the small stores", s.reachStores)
		}
		now := time.Now()
		if g := s.takeDue(now); g != nil {
			s.watched("commit records", func() { s.commit(g) })
		}
		closing, chores := s.choresDue(now)
		if chores || closing {
			s.watched("save cursors", s.doChores)
		}
		if closing {
			return
		}
		timer.Reset(max(time.Until(s.nextDue()), 0))
	}
}

// takeDue takes the group that is to be committed now, if there is one.
func (s *Spool) takeDue(now time.Time) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil { // it waits for room
		if now.Before(s.roomAt) && !s.closing && !s.freed {
			return nil
		}
		s.freed = false
		return s.flight
	}
	g := s.queue
	due := g.forced || s.closing || g.bytes >= int64(s.conf.Commit.Bytes) || !now.Before(g.since.Add(s.conf.Commit.Interval))
	if g.empty() || !due {
		return nil
	}
	s.flight, s.queue = g, s.newGroup()
	close(s.room)
	s.room = make(chan struct{})
	return g
}

// choresDue tells whether the spool closes once nothing waits any more, and
// whether cursors and old segments are to be seen to.
func (s *Spool) choresDue(now time.Time) (closing, chores bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	closing = s.closing && s.flight == nil && s.queue.empty()
	chores = !now.Before(s.choresAt)
	return closing, chores
}

// nextDue is when the writer must look again if nobody wakes it.
func (s *Spool) nextDue() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.choresAt
	switch {
	case s.closing, s.flight != nil && s.freed:
		at = time.Now()
	case s.flight != nil:
		at = earlier(at, s.roomAt)
	case s.queue.forced:
		at = time.Now()
	case !s.queue.empty():
		at = earlier(at, s.queue.since.Add(s.conf.Commit.Interval))
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// commit writes a group and tells those who wait for it. A group that finds
// no room stays in flight until there is some.
func (s *Spool) commit(g *group) {
	err := s.write(g)
	if err != nil && !errors.Is(err, ErrFull) && s.faults.takesWrites() != nil {
		err = fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	s.mu.Lock()
	closing := s.closing
	if errors.Is(err, ErrFull) && !closing {
		if !s.full {
			s.log.Warn("spool is full; new records are refused until there is room", "path", s.conf.Path, "error", err)
		}
		s.full, s.noRoom, s.roomAt = true, err, time.Now().Add(roomEvery)
		s.tellWaiting(err) // nobody knows for how long they would wait
		s.dropParts()
		s.mu.Unlock()
		return
	}
	if err == nil && s.full {
		s.full, s.noRoom = false, nil
		s.log.Info("spool has room again", "path", s.conf.Path)
	}
	s.flight = nil
	s.durable = s.writtenSeq
	if err != nil {
		s.disown(g)
	} else {
		s.failed = nil
		s.commits++
		s.written += g.bytes
	}
	s.mu.Unlock()
	if err != nil && !errors.Is(err, ErrFull) {
		s.fail(err)
	}
	if ferr := s.saveFacts(); err == nil && ferr != nil {
		s.log.Error("remembered facts are not durable yet", "error", ferr)
	}
	for _, r := range g.parts {
		r.commit.finish(err)
	}
	g.commit.finish(err)
}

// dropParts drops the parts that wait, for nothing was promised to who stages a
// body; s.mu is held.
func (s *Spool) dropParts() {
	s.flight.parts = nil
	for _, r := range s.queue.parts {
		s.queue.bytes -= r.block.bytes
	}
	if s.queue.parts = nil; s.queue.empty() {
		s.queue = s.newGroup()
	}
}

// disown forgets the identities of records that were never written; s.mu is
// held. Their sequences stay unused.
func (s *Spool) disown(g *group) {
	for _, p := range g.recs {
		s.index.drop(shortHash(p.rec.Identity), p.sequence)
		if _, staged := p.rec.Body.(*stagedBody); !staged { // that one's owner may append it again
			s.release(p.parts.id)
		}
	}
	s.abandoned += uint64(len(g.recs))
}

// fail notes that the spool cannot write at the moment.
func (s *Spool) fail(err error) {
	s.mu.Lock()
	first := s.failed == nil
	s.failed, s.failedUntil = err, time.Now().Add(retryAfter)
	s.mu.Unlock()
	if first {
		s.log.Error("spool cannot write; it refuses records and tries again", "error", err, "after", retryAfter)
	}
}

// Err says why the spool cannot write at the moment; nil when all is well.
func (s *Spool) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}
