package spool

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// A segmentTable is all segments in order, oldest first. It opens sealed ones
// on demand and closes those that were not used for longest.
type segmentTable struct {
	dir    string
	shape  storeShape
	codec  *codec
	faults *faultLog
	keep   int // sealed segments open at a time

	mu    sync.RWMutex // guards segs, rows and clock
	segs  []*segment
	clock int64

	openMu sync.Mutex // one opening or closing of sealed segments at a time
	// open gives a sealed segment's database for reading.
	open func(s *segment) (*badger.DB, error)
}

func (t *segmentTable) path(id segmentID) string { return filepath.Join(t.dir, id.name()) }

// list is a copy of the table, oldest first.
func (t *segmentTable) list() []*segment {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.segs)
}

// row is a copy of a segment's row.
func (t *segmentTable) row(s *segment) segmentRow {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return s.row.clone()
}

func (t *segmentTable) find(id segmentID) *segment {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, ok := slices.BinarySearchFunc(t.segs, id, func(s *segment, id segmentID) int { return compareIDs(s.id, id) })
	if !ok {
		return nil
	}
	return t.segs[i]
}

func compareIDs(a, b segmentID) int {
	switch {
	case a.before(b):
		return -1
	case b.before(a):
		return 1
	}
	return 0
}

// holding returns the segments that have records of the dataset at or after
// the sequence, oldest first.
func (t *segmentTable) holding(dataset string, from uint64) []*segment {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []*segment
	for _, s := range t.segs {
		if set, ok := s.row.Sets[dataset]; ok && set.Last >= from {
			out = append(out, s)
		}
	}
	return out
}

// bounds are the sequences for which the segment is to be believed: what a
// failed sync left behind beyond them was never acknowledged, and was written
// again to the next segment.
func (t *segmentTable) bounds(s *segment) (first, last uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return s.id.First, s.row.Last
}

func (t *segmentTable) add(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.segs = append(t.segs, s)
	slices.SortFunc(t.segs, func(a, b *segment) int { return compareIDs(a.id, b.id) })
}

func (t *segmentTable) remove(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.segs = slices.DeleteFunc(t.segs, func(o *segment) bool { return o == s })
}

// view lets use read the segment's database, which stays open meanwhile.
func (t *segmentTable) view(s *segment, use func(db *badger.DB) error) error {
	for {
		s.mu.RLock()
		if s.db != nil {
			s.lastUse.Store(t.tick())
			err := use(s.db)
			s.mu.RUnlock()
			return err
		}
		s.mu.RUnlock()
		if err := t.openSegment(s); err != nil {
			return err
		}
	}
}

func (t *segmentTable) tick() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock++
	return t.clock
}

// openSegment opens a sealed segment for reading, after making room for it.
func (t *segmentTable) openSegment(s *segment) error {
	t.openMu.Lock()
	defer t.openMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		return nil
	}
	if t.find(s.id) != s {
		return fmt.Errorf("read segment %s: %w: it is gone", s.id.name(), ErrDamaged)
	}
	t.makeRoom(s)
	db, err := t.open(s)
	if err != nil && isDiskFault(err) {
		return fmt.Errorf("read segment %s: %w", s.id.name(), err)
	}
	if err != nil {
		return fmt.Errorf("read segment %s: %w: %w", s.id.name(), ErrDamaged, err)
	}
	s.db = db
	s.lastUse.Store(t.tick())
	return nil
}

// makeRoom closes sealed segments that nobody reads until one more may open.
func (t *segmentTable) makeRoom(wanted *segment) {
	var open []*segment
	for _, s := range t.list() {
		if s == wanted || !t.row(s).Sealed || !s.mu.TryRLock() {
			continue
		}
		if s.db != nil {
			open = append(open, s)
		}
		s.mu.RUnlock()
	}
	slices.SortFunc(open, func(a, b *segment) int { return cmp.Compare(a.lastUse.Load(), b.lastUse.Load()) })
	for i := 0; i <= len(open)-t.keep; i++ {
		if open[i].mu.TryLock() {
			_ = open[i].closeHeld()
			open[i].mu.Unlock()
		}
	}
}

// close closes the segment's database once nobody reads it.
func (s *segment) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeHeld()
}

// closeHeld closes the database; s.mu is held for writing.
func (s *segment) closeHeld() error {
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	if err := db.Close(); err != nil {
		return fmt.Errorf("close segment %s: %w", s.id.name(), err)
	}
	return nil
}
