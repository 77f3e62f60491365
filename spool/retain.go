package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// makeRoom lets old segments go until one more may begin under the cap and
// above the floor of free space.
func (s *Spool) makeRoom() error {
	s.measureSides()
	err := s.giveWay(true, func() (int64, string, error) { return s.lacking(s.table.shape.disk()) })
	if err != nil {
		return fmt.Errorf("begin segment: %w", err)
	}
	s.makeBallast()
	return nil
}

// giveWay lets old segments go until lacking finds nothing short any more:
// first those that nothing needs, then what is in quarantine, and then, under
// drop-oldest and if it may, what is not delivered. Of that nothing goes in vain: if all of
// it together would not give back what is short (somebody else fills the
// disk), it stays, and new records are refused; and no more of it goes than
// was short at first, or hardly: somebody else may take what comes back.
func (s *Spool) giveWay(undelivered bool, lacking func() (short int64, why string, err error)) error {
	var back, wanted int64
	defer func() { s.noteDropping(back > 0) }()
	for {
		short, why, err := lacking()
		if err != nil || short <= 0 {
			return err
		}
		if done := s.passed(false); len(done) > 0 {
			if err := s.retire(done[0]); err != nil {
				return err
			}
			continue
		}
		if wanted == 0 {
			wanted = short
		}
		if !undelivered || back >= wanted+s.lim.segment || s.outweighed(short) || s.inVain() {
			return fmt.Errorf("%w: %s", ErrFull, why)
		}
		free, _, _ := freeBytes(s.conf.Path)
		gained, err := s.evict()
		if err != nil {
			return err
		}
		back += gained
		s.noteVain(free + gained/2)
	}
}

// noteDropping says when records begin to go undelivered, and when that has
// ended: there is room for some segments more then.
func (s *Spool) noteDropping(now bool) {
	if now && !s.dropping {
		s.dropping = true
		s.log.Warn("spool has used up its share; the oldest undelivered records go until there is room", "path", s.conf.Path)
	}
	if short, _, err := s.lacking(4 * s.table.shape.disk()); s.dropping && !now && err == nil && short <= 0 {
		s.dropping = false
		s.log.Info("spool drops no more records", "path", s.conf.Path)
	}
}

// lacking tells how many bytes are short for taking that many more of the
// disk, and why; zero or less if nothing is. What the small stores and the
// ballast may still need counts against the floor, so that they hold it too.
func (s *Spool) lacking(bytes int64) (short int64, why string, err error) {
	use := s.diskUse() + bytes
	if short = use - int64(s.conf.MaxBytes); short > 0 {
		return short, fmt.Sprintf("%d bytes would be more than max_bytes %s", use, s.conf.MaxBytes), nil
	}
	free, readOnly, err := freeBytes(s.conf.Path)
	if err == nil && readOnly {
		err = ErrReadOnly
	}
	if err != nil {
		return 0, "", err
	}
	if under := max(int64(s.conf.MinFree), mapMargin) + bytes + s.spare() - free; under > 0 {
		return under, fmt.Sprintf("%d bytes free would leave less than min_free %s", free, s.conf.MinFree), nil
	}
	return short, "", nil
}

// spare is what meta's next generation, the next store of history and of
// detections, and a missing ballast may take.
func (s *Spool) spare() int64 {
	bytes := s.meta.next.Load() + s.hist.shape.disk() + s.detections.stores.shape.disk()
	if _, err := os.Stat(filepath.Join(s.conf.Path, ballastName)); err != nil {
		bytes += s.lim.ballast
	}
	return bytes
}

// diskUse is the real disk use of the folder, with what is being written at
// its full size: segments, two generations of meta, history, index,
// quarantine and ballast.
func (s *Spool) diskUse() int64 {
	total := s.meta.disk.Load() + s.lim.ballast + s.sideUse.Load() + s.asideUse.Load() + s.thinning.Load() + 64<<10
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	for _, seg := range s.table.segs {
		total += seg.row.Disk
	}
	return total
}

// measureSides notes what the folders beside the segments take; a store of
// history or detections under way is counted in full.
func (s *Spool) measureSides() {
	rotated := s.hist.disk() + s.hist.shape.disk() + s.detections.stores.disk() + s.detections.stores.shape.disk()
	s.sideUse.Store(rotated + s.indexDisk())
	s.asideUse.Store(treeBytes(s.quarantine))
}

// passed finds the sealed segments that nothing needs any more, oldest first:
// their records are passed, no later record that is not has parts in them, and
// no body that is being staged. With pinned, datasets that no pinning stream
// reads count as not passed: their records stay until the cap.
func (s *Spool) passed(pinned bool) []*segment {
	return slices.DeleteFunc(s.spent(pinned), func(seg *segment) bool { return !s.table.row(seg).Sealed })
}

// spent are those, and the segment that is being written if all in it is
// passed so far.
func (s *Spool) spent(pinned bool) []*segment {
	reach, reached := s.oldestHold() // of what is needed
	next := s.pins()
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	var found []*segment
	for _, seg := range slices.Backward(s.table.segs) {
		done := s.rowPassed(seg.row, next, pinned)
		if oldest := seg.row.Oldest; !done && oldest != (segmentID{}) && (!reached || oldest.before(reach)) {
			reach, reached = oldest, true
		}
		if done && (!reached || seg.id.before(reach)) {
			found = append(found, seg)
		}
	}
	slices.Reverse(found)
	return found
}

// oldestHold is the first segment that a body being staged has parts in.
func (s *Spool) oldestHold() (oldest segmentID, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.holds {
		if !held || id.before(oldest) {
			oldest, held = id, true
		}
	}
	return oldest, held
}

func (s *Spool) rowPassed(row segmentRow, next map[string]uint64, pinned bool) bool {
	for name, set := range row.Sets {
		if !s.setPassed(name, set, next, pinned) {
			return false
		}
	}
	return true
}

// setPassed tells whether what a segment has of a dataset is passed. What is
// kept longer has to be passed by somebody.
func (s *Spool) setPassed(name string, set setRow, next map[string]uint64, pinned bool) bool {
	at, known := next[name]
	if !known {
		return !pinned && !s.keptLonger(name)
	}
	return at > set.Last
}

// pins gives, for each dataset with pinning streams, the cursor of the one
// that is furthest behind. What is kept longer and has none, but other streams,
// counts by the one of those that is furthest ahead.
func (s *Spool) pins() map[string]uint64 {
	next, read := map[string]uint64{}, map[string]uint64{}
	for _, st := range s.streamList() {
		at := st.oldest() // not the mutex: a Fetch may have it for long
		have, known := next[st.dataset]
		switch {
		case st.pinning.Load() && (!known || at < have):
			next[st.dataset] = at
		case s.keptLonger(st.dataset):
			read[st.dataset] = max(read[st.dataset], at)
		}
	}
	for name, at := range read {
		if _, pinned := next[name]; !pinned {
			next[name] = at
		}
	}
	return next
}

// letGo removes the passed segments that are too old, that take the spool's
// use over half its cap, or that others need the room of.
func (s *Spool) letGo() {
	for _, seg := range s.passed(true) {
		s.mu.Lock()
		age := s.ageOf(s.table.row(seg))
		s.mu.Unlock()
		short, _, err := s.lacking(0)
		if err != nil || age <= s.conf.Keep && s.diskUse() <= int64(s.conf.MaxBytes)/2 && short <= 0 {
			return // the others are younger
		}
		err = s.remember(seg)
		if err == nil {
			err = s.retire(seg)
		}
		if err != nil {
			s.log.Warn("passed segment does not go; it is tried again", "segment", seg.id.name(), "error", err)
			return
		}
	}
}

// retire deletes a segment. What streams had not passed is counted as lost,
// and what no stream delivered may come again; both are durable before the
// first byte goes.
func (s *Spool) retire(seg *segment) error {
	if err := s.remember(seg); err != nil {
		s.log.Warn("identities of a segment that goes are not durable", "segment", seg.id.name(), "error", err)
	}
	held, pairs := s.leave(seg, nil)
	if err := s.saveHeld(held, pairs); err != nil {
		return err
	}
	s.noteFreed()
	return s.remove(seg)
}

// remember makes the run of a segment that has none because the disk failed:
// its records are known by their identities when they are gone.
func (s *Spool) remember(seg *segment) error {
	row := s.table.row(seg)
	s.mu.Lock()
	covered := s.index.covered(row)
	s.mu.Unlock()
	if covered {
		return nil
	}
	return s.index.seal(&s.mu, row)
}

// leave takes the cursors out of a segment whose records go, but for the
// datasets that stay in it. It returns what is to be made durable for that,
// cursors that have passed the segment but are not saved yet included, with the
// streams that are held until it is; see saveHeld.
func (s *Spool) leave(seg *segment, stays map[string]bool) (held []*Stream, pairs []metaPair) {
	row := s.table.row(seg)
	delivered := map[string]uint64{} // the first sequence of a dataset that no stream has passed
	needing := s.table.needing(seg)
	for _, st := range s.streamList() {
		set, holds := row.Sets[st.dataset]
		holds = holds && !stays[st.dataset]
		if !holds && !needing[st.dataset] {
			continue
		}
		st.mu.Lock()
		if st.removed { // its row must not come back
			st.mu.Unlock()
			continue
		}
		left := false
		if holds {
			delivered[st.dataset] = max(delivered[st.dataset], st.next)
			left = st.leave(seg, set)
		}
		if !left && !st.unsaved() {
			st.mu.Unlock()
			continue
		}
		held, pairs = append(held, st), append(pairs, st.pair())
	}
	s.mu.Lock()
	for name, set := range row.Sets {
		if from := max(delivered[name], set.First); from <= set.Last && !stays[name] {
			pairs = append(pairs, s.index.forget(name, from, set.Last)...)
		}
	}
	s.mu.Unlock()
	return held, pairs
}

// needing are the datasets of which later segments may have records with parts
// of their bodies in this one. A cursor behind them that is not saved would come
// back, after a crash, to records without bodies.
func (t *segmentTable) needing(seg *segment) map[string]bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	names := map[string]bool{}
	for _, o := range t.segs {
		if oldest := o.row.Oldest; oldest != (segmentID{}) && seg.id.before(o.id) && !seg.id.before(oldest) {
			for name := range o.row.Sets {
				names[name] = true
			}
		}
	}
	return names
}

// leave takes the cursor out of a segment that goes; st.mu is held. It tells
// whether anything was lost.
func (st *Stream) leave(seg *segment, set setRow) bool {
	if st.next > set.Last {
		return false
	}
	_ = st.place() // what cannot be read counts as lost
	from, lost := max(st.next, set.First), set.Count
	if st.at == seg.id {
		lost -= st.passed.Count
	}
	// An earlier segment may stay, for there was no room to thin it out: then
	// the cursor stays too, and what goes is a gap that is passed over later.
	first, _ := st.spool.table.holding(st.dataset, st.next, st.from)
	earlier := first != nil && first != seg
	kept := st.window[:0]
	for _, sp := range st.window {
		if sp.last > set.Last || earlier && sp.last < set.First {
			kept = append(kept, sp)
		} else if sp.done {
			lost -= sp.count
		}
	}
	st.window = kept
	st.chunk = chunkCache{}
	if !earlier {
		st.moveTo(set.Last + 1)
		st.at, st.passed = segmentID{}, setRow{}
	}
	lost = max(lost, 0)
	st.totals.Lost += uint64(lost)
	st.dirty = true
	if st.pin {
		st.spool.lost.Add(uint64(lost))
	}
	if lost > 0 {
		st.noteLost(from, set.Last, "made room for newer ones")
	}
	return true
}

// noteGone counts a record whose body went to make room before the record
// itself, and lets it come again; st.mu is held.
func (st *Stream) noteGone(sp span) {
	s := st.spool
	if next, pinned := s.pins()[st.dataset]; pinned && next > sp.last {
		return // every destination has it; this stream begins again
	}
	if st.pin {
		s.lost.Add(uint64(sp.count))
	}
	s.mu.Lock()
	pairs := s.index.forget(st.dataset, sp.first, sp.last)
	s.mu.Unlock()
	if err := s.meta.put(pairs...); err != nil {
		s.log.Warn("lost records are not noted durably", "dataset", st.dataset, "first", sp.first, "error", err)
	}
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
	case s.stuck > 0, s.failed != nil && s.stillFailed():
		return fmt.Errorf("append: %w: %w", ErrReadOnly, s.failed)
	case s.full:
		return fmt.Errorf("append: %w", ErrFull)
	}
	return s.refuseFull(bytes)
}
