package spool

import (
	"fmt"
)

// makeRoom lets old segments go until one more may begin under the cap and
// above the floor of free space. Segments that every pinning stream has passed
// go first; then, under drop-oldest, the oldest goes with what is in it.
func (s *Spool) makeRoom() error {
	for {
		lacking, err := s.lacking(s.table.shape.disk())
		if err != nil {
			return err
		}
		if lacking == "" {
			s.makeBallast()
			return nil
		}
		victim := s.oldestSealed()
		if victim == nil || s.conf.WhenFull == refuse && !s.passable(victim, false) {
			return fmt.Errorf("begin segment: %w: %s", ErrFull, lacking)
		}
		if err := s.retire(victim); err != nil {
			return err
		}
	}
}

// lacking says what stands in the way of taking that many bytes more of disk;
// empty if nothing does.
func (s *Spool) lacking(bytes int64) (string, error) {
	if use := s.diskUse() + bytes; use > int64(s.conf.MaxBytes) {
		return fmt.Sprintf("%d bytes would be more than max_bytes %s", use, s.conf.MaxBytes), nil
	}
	free, readOnly, err := freeBytes(s.conf.Path)
	switch {
	case err != nil:
		return "", err
	case readOnly:
		return "", fmt.Errorf("begin segment: %w", ErrReadOnly)
	case free-bytes < int64(s.conf.MinFree):
		return fmt.Sprintf("%d bytes free would leave less than min_free %s", free, s.conf.MinFree), nil
	}
	return "", nil
}

// diskUse is the real disk use of the folder, with what is being written at
// its full size: segments, two generations of meta, history, index,
// quarantine and ballast.
func (s *Spool) diskUse() int64 {
	total := s.meta.disk.Load() + s.lim.ballast + s.sideUse.Load() + 64<<10
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	for _, seg := range s.table.segs {
		total += seg.row.Disk
	}
	return total
}

// measureSides notes what the folders beside the segments take; a history
// store under way is counted in full.
func (s *Spool) measureSides() {
	s.sideUse.Store(s.hist.disk() + s.hist.shape.disk() + treeBytes(s.quarantine) + treeBytes(s.index.dir))
}

func (s *Spool) oldestSealed() *segment {
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	for _, seg := range s.table.segs {
		if seg.row.Sealed {
			return seg
		}
	}
	return nil
}

// passable tells whether nothing still needs the segment: its records are
// passed, no later record that is not has parts in it, and no body that is
// being staged. With pinned, datasets that no pinning stream reads count as
// not passed: their records stay until the cap.
func (s *Spool) passable(seg *segment, pinned bool) bool {
	s.mu.Lock()
	for _, oldest := range s.holds {
		if !seg.id.before(oldest) {
			s.mu.Unlock()
			return false
		}
	}
	s.mu.Unlock()
	next := s.pins()
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	for _, o := range s.table.segs {
		needs := o == seg || o.row.Oldest != (segmentID{}) && !seg.id.before(o.row.Oldest) && seg.id.before(o.id)
		if needs && !rowPassed(o.row, next, pinned) {
			return false
		}
	}
	return true
}

func rowPassed(row segmentRow, next map[string]uint64, pinned bool) bool {
	for name, set := range row.Sets {
		at, known := next[name]
		if !known && pinned || known && at <= set.Last {
			return false
		}
	}
	return true
}

// pins gives, for each dataset with pinning streams, the cursor of the one
// that is furthest behind.
func (s *Spool) pins() map[string]uint64 {
	next := map[string]uint64{}
	for _, st := range s.streamList() {
		at := st.cursor.Load() // not the mutex: a Fetch may have it for long
		if have, known := next[st.dataset]; st.pinning.Load() && (!known || at < have) {
			next[st.dataset] = at
		}
	}
	return next
}

// letGo removes the passed segments that are too old, or that take the
// spool's use over half its cap.
func (s *Spool) letGo() {
	for {
		seg := s.oldestSealed()
		if seg == nil || !s.passable(seg, true) {
			return
		}
		s.mu.Lock()
		age := s.spoolNow() - s.table.row(seg).Created
		s.mu.Unlock()
		if age <= int64(s.conf.Keep) && s.diskUse() <= int64(s.conf.MaxBytes)/2 {
			return
		}
		if err := s.retire(seg); err != nil {
			s.log.Warn("passed segment does not go; it is tried again", "segment", seg.id.name(), "error", err)
			return
		}
	}
}

// retire deletes a segment. What streams had not passed is counted as lost,
// and what no stream delivered may come again; both are durable before the
// first byte goes.
func (s *Spool) retire(seg *segment) error {
	row := s.table.row(seg)
	delivered := map[string]uint64{} // the first sequence of a dataset that no stream has passed
	var pairs []metaPair
	for _, st := range s.streamList() {
		if _, holds := row.Sets[st.dataset]; !holds {
			continue
		}
		st.mu.Lock()
		delivered[st.dataset] = max(delivered[st.dataset], st.next)
		if st.leave(seg, row.Sets[st.dataset]) {
			pairs = append(pairs, st.pair())
		}
		st.mu.Unlock()
	}
	s.mu.Lock()
	for name, set := range row.Sets {
		if from := max(delivered[name], set.First); from <= set.Last {
			pairs = append(pairs, s.index.forget(name, from, set.Last)...)
		}
	}
	s.mu.Unlock()
	pairs = append(pairs, s.counterPair())
	if err := s.meta.put(pairs...); err != nil {
		return err
	}
	s.noteFreed()
	return s.remove(seg)
}

// leave takes the cursor out of a segment that goes; st.mu is held. It tells
// whether anything was lost.
func (st *Stream) leave(seg *segment, set setRow) bool {
	if st.next > set.Last {
		return false
	}
	lost := set.Count
	if st.at == seg.id {
		lost -= st.passed.Count
	}
	kept := st.window[:0]
	for _, sp := range st.window {
		if sp.last > set.Last {
			kept = append(kept, sp)
		} else if sp.done {
			lost -= sp.count
		}
	}
	st.window = kept
	st.chunk = chunkCache{}
	st.moveTo(set.Last + 1)
	st.at, st.passed = segmentID{}, setRow{}
	lost = max(lost, 0)
	st.totals.Lost += uint64(lost)
	st.dirty = true
	if st.pin {
		st.spool.lost.Add(uint64(lost))
	}
	return true
}

// noteFreed lets a group that waits for room look again.
func (s *Spool) noteFreed() {
	s.mu.Lock()
	s.freed = true
	s.mu.Unlock()
}

// acceptable says why a record cannot be taken now; s.mu is held.
func (s *Spool) acceptable(bytes int64) error {
	switch {
	case s.closing:
		return ErrClosed
	case s.failed != nil && s.stillFailed():
		return fmt.Errorf("append: %w: %w", ErrReadOnly, s.failed)
	case s.full:
		return fmt.Errorf("append: %w", ErrFull)
	}
	return s.refuseFull(bytes)
}
