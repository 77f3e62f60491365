package spool

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

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

	mu     sync.RWMutex // guards segs, rows and opened
	segs   []*segment
	opened []*segment // that may be open, in no order

	clock  atomic.Int64
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
	i, ok := t.index(id)
	if !ok {
		return nil
	}
	return t.segs[i]
}

// index is the place of a segment, or of the first one behind it; t.mu is held.
func (t *segmentTable) index(id segmentID) (int, bool) {
	return slices.BinarySearchFunc(t.segs, id, func(s *segment, id segmentID) int { return compareIDs(s.id, id) })
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
	i, _ := t.index(s.id)
	t.segs = slices.Insert(t.segs, i, s)
	if s.db != nil {
		t.opened = append(t.opened, s)
	}
}

// noteOpen notes that a segment's database is open.
func (t *segmentTable) noteOpen(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.opened, s) {
		t.opened = append(t.opened, s)
	}
}

func (t *segmentTable) remove(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.segs = slices.DeleteFunc(t.segs, func(o *segment) bool { return o == s })
	t.opened = slices.DeleteFunc(t.opened, func(o *segment) bool { return o == s })
}

// view lets use read the segment's database, which stays open meanwhile.
func (t *segmentTable) view(s *segment, use func(db *badger.DB) error) error {
	for {
		s.mu.RLock()
		if s.db != nil {
			s.lastUse.Store(t.clock.Add(1))
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
	t.makeRoom()
	db, err := t.open(s)
	if err != nil && isDiskFault(err) {
		return fmt.Errorf("read segment %s: %w", s.id.name(), readOnlyError(err))
	}
	if err != nil {
		return fmt.Errorf("read segment %s: %w: %w", s.id.name(), ErrDamaged, err)
	}
	s.db = db
	t.noteOpen(s)
	s.lastUse.Store(t.clock.Add(1))
	return nil
}

// makeRoom closes sealed segments that nobody reads until one more may open;
// t.openMu is held.
func (t *segmentTable) makeRoom() {
	t.mu.Lock()
	var open []*segment
	t.opened = slices.DeleteFunc(t.opened, func(s *segment) bool {
		if !s.mu.TryRLock() {
			return false // somebody opens or closes it
		}
		defer s.mu.RUnlock()
		if s.db != nil && s.row.Sealed {
			open = append(open, s)
		}
		return s.db == nil
	})
	t.mu.Unlock()
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
	err := closeStore(s.db)
	if staysOpen(err) {
		return fmt.Errorf("close segment %s: %w", s.id.name(), err)
	}
	s.db = nil
	s.log.close()
	if err != nil {
		return fmt.Errorf("close segment %s: %w", s.id.name(), err)
	}
	return nil
}
