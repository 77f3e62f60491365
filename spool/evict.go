package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// keptLonger tells whether a dataset's records outlive the others when
// drop-oldest has to make room: those of the category anomaly, of whatever
// project the dataset is.
func (s *Spool) keptLonger(dataset string) bool {
	return s.conf.KeepAnomalyFirst && dataset[strings.LastIndexByte(dataset, '/')+1:] == "anomaly"
}

// A remainder is what of a segment outlives its eviction: whole datasets, and
// parts of bodies whose records are kept or not written yet.
type remainder struct {
	sets   map[string]bool
	bodies map[string]bool
	keys   int
	bytes  int64 // of blocks
}

func (r *remainder) empty() bool { return len(r.sets) == 0 && len(r.bodies) == 0 }

// holds tells whether the block under a key stays.
func (r *remainder) holds(key []byte) bool {
	switch {
	case key[0] == prefixChunk && len(key) > 2+int(key[1]):
		return r.sets[string(key[2:2+int(key[1])])]
	case key[0] == prefixPart && len(key) == 1+8+4:
		return r.bodies[string(key[1:9])]
	}
	return false
}

// shape is that of the store which takes the remainder.
func (r *remainder) shape() storeShape {
	return storeShape{memTable: memTableBytes, log: max(r.bytes+int64(r.keys)*128+txnBytes, 1<<20), inline: inlineValue}
}

// disk is about what the remainder takes once its store is closed.
func (r *remainder) disk() int64 { return r.bytes + int64(r.keys)*300 + 64<<10 }

// evictable is what could be given back that is not passed: all segments under
// drop-oldest, and the quarantine.
func (s *Spool) evictable() (total int64) {
	total = s.asideUse.Load()
	if s.conf.WhenFull == refuse {
		return total
	}
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	for _, seg := range s.table.segs {
		if seg.row.Sealed {
			total += seg.row.Disk
		}
	}
	return total
}

// evict gives back what the oldest thing in quarantine takes, of which all that
// can be read was salvaged; or else what the records of one segment take that
// nobody has delivered: the oldest one's, where nothing of it is to be kept
// longer or there is room to build the rest of it anew. Where only other
// segments are left, the oldest one goes whole. It returns how much came back.
func (s *Spool) evict() (gained int64, err error) {
	if gained = s.shedQuarantine(); gained > 0 {
		return gained, nil
	}
	if s.conf.WhenFull == refuse {
		return 0, fmt.Errorf("make room: %w: the quarantine does not go", ErrFull)
	}
	// Under the cap if that can be; else by a segment over it while it is built.
	for _, over := range []int64{0, s.table.shape.disk()} {
		if gained, found, err := s.evictWithin(s.roomToThin(over)); found || err != nil {
			return gained, err
		}
	}
	for _, seg := range s.table.list() {
		if row := s.table.row(seg); row.Sealed {
			return row.Disk, s.retire(seg)
		}
	}
	return 0, fmt.Errorf("make room: %w: no segment is left to let go", ErrFull)
}

// evictWithin takes the oldest segment of which nothing is to be kept longer,
// or whose remainder can be built in that much room.
func (s *Spool) evictWithin(room int64) (gained int64, found bool, err error) {
	for _, seg := range s.table.list() {
		row := s.table.row(seg)
		if !row.Sealed {
			continue
		}
		rest, err := s.remainderOf(seg, row)
		if errors.Is(err, errUnopened) {
			continue
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			return 0, false, err
		}
		if err != nil || rest.empty() {
			return row.Disk, true, s.retire(seg)
		}
		if seg.lean || rest.shape().disk() > room {
			continue
		}
		if rest.disk() > row.Disk-row.Disk/8 {
			seg.lean = true
			continue
		}
		gained, err = s.thin(seg, row, rest)
		return gained, true, err
	}
	return 0, false, nil
}

// roomToThin is what a remainder may take while it is built, the ballast
// given up for it, and the cap passed by so much.
func (s *Spool) roomToThin(over int64) int64 {
	free, readOnly, err := freeBytes(s.conf.Path)
	if err != nil || readOnly {
		return 0
	}
	room := min(free-mapMargin, int64(s.conf.MaxBytes)-s.diskUse()+over)
	if _, err := os.Stat(filepath.Join(s.conf.Path, ballastName)); err == nil {
		room += s.lim.ballast
	}
	return room
}

// errUnopened: a start has not come yet to a segment that was being written, and
// that is needed.
var errUnopened = errors.New("it was not closed, and is mended first")

// remainderOf finds out what of a segment is to be kept longer. The segment
// is opened only where that does not follow from its row.
func (s *Spool) remainderOf(seg *segment, row segmentRow) (remainder, error) {
	rest := remainder{sets: map[string]bool{}, bodies: map[string]bool{}}
	next := s.pins()
	for name, set := range row.Sets {
		if s.keptLonger(name) && !s.setPassed(name, set, next, false) {
			rest.sets[name] = true
		}
	}
	s.mu.Lock()
	for id, oldest := range s.holds {
		if !seg.id.before(oldest) {
			rest.bodies[id] = true
		}
	}
	s.mu.Unlock()
	for _, o := range s.table.list() {
		later := s.table.row(o)
		if o.id.before(seg.id) || later.Oldest == (segmentID{}) || seg.id.before(later.Oldest) {
			continue
		}
		for name, set := range later.Sets {
			if !s.keptLonger(name) || s.setPassed(name, set, next, false) {
				continue
			}
			if !later.Sealed && !o.isOpen() {
				return rest, errUnopened
			}
			if err := s.bodiesIn(seg.id, o, name, rest.bodies); err != nil {
				return rest, err
			}
		}
	}
	if rest.empty() || seg.lean {
		return rest, nil
	}
	return rest, s.table.view(seg, func(db *badger.DB) error {
		return eachBlock(db, func(item *badger.Item) error {
			if rest.holds(item.Key()) {
				rest.keys++
				rest.bytes += item.ValueSize()
			}
			return nil
		})
	})
}

// bodiesIn notes the bodies of a dataset's records in segment o that have
// parts in another one.
func (s *Spool) bodiesIn(id segmentID, o *segment, dataset string, bodies map[string]bool) error {
	return s.table.view(o, func(db *badger.DB) error {
		return eachChunk(db, dataset, 0, func(_ block, item *badger.Item) (bool, error) {
			recs, _ := s.readChunk(item) // what is damaged needs nothing any more
			for _, r := range recs {
				for _, run := range r.parts.runs {
					if run.segment == id {
						bodies[r.parts.id] = true
					}
				}
			}
			return false, nil
		})
	})
}

// eachBlock visits the keys of a segment's database.
func eachBlock(db *badger.DB, visit func(item *badger.Item) error) error {
	return db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := visit(it.Item()); err != nil {
				return err
			}
		}
		return nil
	})
}
