package spool

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const (
	// commitTimeout is how long a commit may hang before the spool says that
	// it cannot write: Badger tries a failing flush again for ever.
	commitTimeout = 60 * time.Second
	// retryAfter is how long a spool that cannot write refuses before it
	// tries the disk again.
	retryAfter = 10 * time.Second
	// roomEvery is how often a group that waits for room looks for it.
	roomEvery = time.Second
	// choresAfter is the longest that a moved cursor stays in memory only.
	choresAfter = 5 * time.Second
	// retainEvery is how often records are looked over for their age.
	retainEvery = time.Hour
)

// writeLoop is the one writer: it commits what is due, saves cursors, and
// lets old segments go, until the spool closes.
func (s *Spool) writeLoop() {
	defer close(s.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
		case <-timer.C:
		}
		now := time.Now()
		if g := s.takeDue(now); g != nil {
			s.commit(g)
		}
		closing, chores := s.choresDue(now)
		if chores || closing {
			s.doChores()
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
	watch := time.AfterFunc(s.conf.commitTimeout, func() {
		err := fmt.Errorf("commit records: the disk did not answer for %s", s.conf.commitTimeout)
		s.fail(err)
		g.commit.finish(err)
	})
	err := s.write(g)
	watch.Stop()

	s.mu.Lock()
	closing := s.closing
	if errors.Is(err, ErrFull) && !closing {
		if !s.full {
			s.log.Warn("spool is full; new records are refused until there is room", "path", s.conf.Path)
		}
		s.full, s.roomAt = true, time.Now().Add(roomEvery)
		s.mu.Unlock()
		for _, r := range g.parts { // nothing was promised to who stages a body
			r.commit.finish(err)
		}
		g.parts = nil
		g.commit.finish(err) // nobody knows for how long they would wait
		return
	}
	if err == nil && s.full {
		s.full = false
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

// disown forgets the identities of records that were never written; s.mu is
// held. Their sequences stay unused.
func (s *Spool) disown(g *group) {
	for _, p := range g.recs {
		s.index.drop(hash16(p.rec.Identity), p.sequence)
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

// write puts what is left of a group into segments, in order.
func (s *Spool) write(g *group) error {
	for len(g.parts) > 0 {
		n := min(len(g.parts), txnBytes/partBytes)
		blocks := make([]*block, n)
		for i, r := range g.parts[:n] {
			blocks[i] = r.block
		}
		id, err := s.put(blocks, nil)
		if err != nil {
			return err
		}
		for _, r := range g.parts[:n] {
			r.at = id
			r.commit.finish(nil)
		}
		g.parts = g.parts[n:]
	}
	for len(g.recs) > 0 {
		n, weight := 0, 0
		for n < len(g.recs) && n < sliceRecords && (n == 0 || weight+g.recs[n].weight() <= sliceBytes) {
			weight += g.recs[n].weight()
			n++
		}
		if err := s.writeSlice(g.recs[:n]); err != nil {
			return err
		}
		s.mu.Lock()
		g.recs = g.recs[n:]
		s.mu.Unlock()
	}
	return nil
}

// writeSlice writes consecutive records in one transaction, as one chunk for
// each dataset, after the parts of their large bodies.
func (s *Spool) writeSlice(recs []*pending) error {
	var order []string
	sets := map[string][]*pending{}
	for _, p := range recs {
		if err := s.writeLarge(p); err != nil {
			return err
		}
		if len(sets[p.rec.Dataset]) == 0 {
			order = append(order, p.rec.Dataset)
		}
		sets[p.rec.Dataset] = append(sets[p.rec.Dataset], p)
	}
	blocks := make([]*block, len(order))
	for i, name := range order {
		blocks[i] = encodeChunk(name, sets[name])
	}
	_, err := s.put(blocks, recs)
	return err
}

// put commits blocks in one transaction, in the active segment or a new one.
// A segment whose commit fails is left as it is and never written again: after
// a failed sync nobody knows what of it is on the disk.
func (s *Spool) put(blocks []*block, recs []*pending) (segmentID, error) {
	values, total := make([][]byte, len(blocks)), int64(0)
	for i, b := range blocks {
		values[i] = s.codec.encode(b)
		total += int64(len(values[i])) + 128
	}
	var err error
	for range 2 {
		var seg *segment
		if seg, err = s.segmentFor(total, len(blocks)+len(recs), len(recs)); err != nil {
			return segmentID{}, err
		}
		if err = s.putIn(seg, blocks, values); err == nil {
			s.committed(seg, blocks, recs, total)
			return seg.id, nil
		}
		s.log.Error("segment does not take a commit; going on in a new one", "segment", seg.id.name(), "error", err)
		s.giveUp(seg)
	}
	return segmentID{}, err
}

// giveUp ends a segment whose store failed. One without anything acknowledged
// goes at once; another one is mended at the next start, and until then may be
// closed, read and let go like a sealed one.
func (s *Spool) giveUp(seg *segment) {
	s.active = nil
	s.segmentLeft.Store(0)
	if seg.keys == 0 {
		if err := s.remove(seg); err != nil {
			s.log.Warn("failed segment does not go; it goes at the next start", "segment", seg.id.name(), "error", err)
		}
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	seg.row.Sealed = true
}

func (s *Spool) putIn(seg *segment, blocks []*block, values [][]byte) error {
	if _, readOnly, err := freeBytes(s.conf.Path); err != nil || readOnly {
		return fmt.Errorf("commit to segment: %w", ErrReadOnly)
	}
	before := s.faults.count.Load()
	err := s.update(seg.db, func(txn *badger.Txn) error {
		for i, b := range blocks {
			if err := txn.Set(b.key(), values[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && s.faults.count.Load() != before {
		err = errors.New("the store reported a fault")
	}
	if err != nil {
		return fmt.Errorf("commit to segment %s: %w", seg.id.name(), err)
	}
	return nil
}

// committed counts what the segment has taken and lets streams see it.
func (s *Spool) committed(seg *segment, blocks []*block, recs []*pending, total int64) {
	seg.used += total
	seg.keys += len(blocks)
	s.table.mu.Lock()
	for _, b := range blocks {
		if b.kind == kindChunk {
			seg.row.add(b)
		}
	}
	for _, p := range recs {
		seg.row.Created = max(seg.row.Created, p.created)
		if p.parts.id != "" {
			seg.row.needs(p.parts.oldest())
		}
	}
	s.table.mu.Unlock()
	s.noteRoom(seg)
	if len(recs) == 0 {
		return
	}
	s.mu.Lock()
	s.writtenSeq = recs[len(recs)-1].sequence
	for _, p := range recs {
		s.release(p.parts.id)
	}
	streams := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	for _, st := range streams {
		for _, b := range blocks {
			if b.name == st.dataset {
				st.announce()
			}
		}
	}
}

// noteRoom notes what the active segment still takes.
func (s *Spool) noteRoom(seg *segment) {
	s.segmentLeft.Store(s.lim.segment - seg.used)
	s.recordsLeft.Store(min(keysPerSegment-int64(seg.keys), recordsPerSegment-s.recordsIn(seg)))
}

// segmentFor is the active segment if it takes that much more, else a new one.
func (s *Spool) segmentFor(bytes int64, keys, recs int) (*segment, error) {
	if a := s.active; a != nil {
		fits := a.used+bytes <= s.lim.segment && a.keys+keys <= keysPerSegment && s.recordsIn(a)+int64(recs) <= recordsPerSegment
		if fits || a.keys == 0 {
			return a, nil
		}
	}
	if err := s.rotate(); err != nil {
		return nil, err
	}
	return s.active, nil
}

func (s *Spool) recordsIn(seg *segment) int64 {
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	return seg.row.Count
}
