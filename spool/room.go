package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// roomToOpen makes sure that opening meta cannot run into a full disk, which
// Badger's mappings would turn into a SIGBUS. The ballast is there for that:
// once meta is open, losses can be counted before they happen; see
// roomToRecover. Where even the ballast does not do, the quarantine goes, and
// then passed segments and, under drop-oldest, others, unopened, if all of them
// together give back enough. What was in them is told by their rows later on;
// see loseVanished.
func (s *Spool) roomToOpen() error {
	// Meta is copied to be opened, and once more to its next generation.
	need := metaShape(metaLoad{}).disk() + treeBytes(filepath.Join(s.conf.Path, "meta")) + mapMargin
	undelivered := s.lendBallast(need)
	free, readOnly, err := freeBytes(s.conf.Path)
	switch {
	case err != nil:
		return err
	case readOnly:
		return ErrReadOnly
	case free >= need:
		return nil
	}
	victims, could := s.unopened(undelivered)
	if could += free + treeBytes(s.quarantine); could < need {
		return fmt.Errorf("%w: %d bytes are free on the disk, opening needs %d", ErrFull, free, need)
	}
	for free < need {
		if s.shedQuarantine() == 0 {
			if len(victims) == 0 {
				return fmt.Errorf("%w: opening needs %d bytes on the disk", ErrFull, need)
			}
			if err := s.removeUnopened(victims[0]); err != nil {
				return fmt.Errorf("make room: %w", err)
			}
			victims = victims[1:]
		}
		if free, _, err = freeBytes(s.conf.Path); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) removeUnopened(seg *segment) error {
	s.log.Warn("disk is full; a segment goes unopened", "segment", seg.id.name())
	if err := os.Rename(seg.dir, seg.deletedName()); err != nil {
		return err
	}
	return os.RemoveAll(seg.deletedName())
}

// unopened finds out which segments may go before anything is open, those that
// matter least first, and what they take. Cursors and rows are read from
// meta's files as they are.
func (s *Spool) unopened(undelivered bool) (victims []*segment, bytes int64) {
	defer func(t []*segment) { s.table.segs, s.streams = t, map[string]*Stream{} }(s.table.segs)
	rows := map[segmentID]segmentRow{}
	if gens, err := generations(filepath.Join(s.conf.Path, "meta")); err == nil && len(gens) > 0 {
		pairs, _, _ := wholePairs((&metaStore{dir: filepath.Join(s.conf.Path, "meta")}).path(gens[len(gens)-1]))
		_ = eachOf(pairs, []byte{metaSegment}, func(_, value []byte) error {
			if row, err := decodeRow(value); err == nil {
				rows[row.ID] = row
			}
			return nil
		})
		_ = eachOf(pairs, []byte{metaStream}, s.readStream)
	}
	names, _ := os.ReadDir(s.table.dir)
	for _, d := range names {
		if id, ok := parseSegmentName(d.Name()); ok {
			s.table.add(&segment{id: id, dir: s.table.path(id), row: rows[id]})
		}
	}
	for _, seg := range s.table.list() {
		if seg.row.Sealed {
			continue
		}
		if err := s.glimpse(seg); err != nil {
			s.log.Warn("no segment goes unopened", "error", err)
			return nil, 0
		}
	}
	victims = s.passed(false)
	if s.conf.WhenFull != refuse && undelivered {
		victims = append(victims, s.undelivered(victims)...)
	}
	for _, seg := range victims {
		bytes += treeBytes(seg.dir)
	}
	return victims, bytes
}

// undelivered lists the segments that are not among those passed, but for the
// newest, which is being written: first those without anything that is to be
// kept longer.
func (s *Spool) undelivered(passed []*segment) []*segment {
	var plain, kept []*segment
	next := s.pins()
	for i, seg := range s.table.segs {
		if i == len(s.table.segs)-1 || slices.Contains(passed, seg) {
			continue
		}
		longer := len(seg.row.Sets) == 0 // parts, or nobody knows
		for name, set := range seg.row.Sets {
			longer = longer || s.keptLonger(name) && !s.setPassed(name, set, next, false)
		}
		if longer {
			kept = append(kept, seg)
		} else {
			plain = append(plain, seg)
		}
	}
	return append(plain, kept...)
}

// roomToRecover makes room for opening a segment that was not sealed, on the
// disk and under the cap: each opening adds a value log to it. Streams are read
// from meta for as long as it takes to know what may go, and what that costs
// them is in meta before it goes; they are loaded once more when the segments
// are complete. Where the cap cannot be held it waits for the next segment,
// but what the disk does not have fails with ErrFull.
func (s *Spool) roomToRecover() error {
	need := int64(0)
	s.table.mu.Lock()
	for _, seg := range s.table.segs {
		if !seg.row.Sealed {
			seg.row.Disk = treeBytes(seg.dir)
			need = s.table.shape.disk() + mapMargin
		}
	}
	s.table.mu.Unlock()
	s.measureSides()
	undelivered := s.lendBallast(need)
	short, why, err := s.lackingToRecover(need)
	if err != nil || short <= 0 {
		return err
	}
	for _, seg := range s.table.list() {
		if seg.row.Sealed {
			continue
		}
		if err := s.glimpse(seg); err != nil {
			return err
		}
	}
	if err := s.readStreams(); err != nil {
		return err
	}
	for _, st := range s.streams {
		if err := st.locate(); err != nil {
			s.log.Warn("backlog of a stream is not exact", "stream", st.name, "error", err)
		}
	}
	free, _, _ := freeBytes(s.conf.Path)
	err = s.giveWay(undelivered || free >= need, func() (int64, string, error) { return s.lackingToRecover(need) })
	s.streams, s.index.forgotten = map[string]*Stream{}, map[string][]seqRange{}
	if free, _, ferr := freeBytes(s.conf.Path); ferr == nil && free < need {
		return fmt.Errorf("recover segment: %w: %s", ErrFull, why)
	}
	if err != nil {
		s.log.Warn("spool takes more than its cap until there is room", "error", err)
	}
	return nil
}

// lackingToRecover tells how much is short for taking that much of the disk.
func (s *Spool) lackingToRecover(need int64) (short int64, why string, err error) {
	free, _, err := freeBytes(s.conf.Path)
	if err != nil {
		return 0, "", err
	}
	over := s.diskUse() + max(need-mapMargin, 0) - int64(s.conf.MaxBytes)
	return max(need-free, over), fmt.Sprintf("%d bytes are free on the disk, and the cap is %s", free, s.conf.MaxBytes), nil
}

// lendBallast gives up the reserve if less than that is free, and looks for a
// moment whether somebody takes it at once: opening would not be over by then,
// and dropping records for it would be in vain. It tells whether nobody does.
func (s *Spool) lendBallast(need int64) bool {
	free, readOnly, err := freeBytes(s.conf.Path)
	if err != nil || readOnly || free >= need {
		return err == nil && !readOnly
	}
	if _, err := os.Stat(filepath.Join(s.conf.Path, ballastName)); err != nil {
		return s.lent && !s.vainNow() // else somebody may have taken it before
	}
	s.freeBallast(need)
	if s.vainNow() {
		return false
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		if now, _, err := freeBytes(s.conf.Path); err != nil || now < free+s.lim.ballast/2 {
			return false
		}
		<-tick.C
	}
	s.lent = true
	return true
}

// roomToSeal makes sure that the active segment can be closed; see closeStore.
// Until then it stays as it is, and takes no more. Nothing undelivered goes for
// that where the next segment could not begin all the same.
func (s *Spool) roomToSeal() error {
	err := s.faults.takesWrites()
	if err != nil {
		return fmt.Errorf("seal segment: %w", err)
	}
	if short, _, err := s.lacking(s.table.shape.disk()); err == nil {
		s.outweighed(short)
	}
	err = s.giveWay(true, func() (int64, string, error) {
		free, _, err := freeBytes(s.conf.Path)
		return mapMargin + storeOverhead - free, fmt.Sprintf("%d bytes are free on the disk", free), err
	})
	if err == nil {
		err = roomToFlush(s.table.dir)
	}
	if err != nil {
		return fmt.Errorf("seal segment: %w", err)
	}
	return nil
}
