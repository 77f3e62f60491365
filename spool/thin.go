package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// thin takes the place of a segment with what is left of it, under the same
// name, so that everything that points into it still holds. Each step is
// durable before the next, and a crash in between leaves something whole:
//
//   - the remainder is built beside it as ….new; until the old one goes, a
//     start removes that (sweepStores)
//   - losses and the new row go to meta; a start that finds the old store with
//     the new row takes its true size, and it is thinned out again
//   - the old store is renamed to ….del; a start that finds the new one
//     without it takes the new one
//   - the new one gets the name, and the old one is removed
func (s *Spool) thin(seg *segment, row segmentRow, rest remainder) (gained int64, err error) {
	defer s.thinning.Store(0)
	shape, fresh := rest.shape(), seg.dir+".new"
	s.giveUpBallast(shape.disk())
	s.thinning.Store(shape.disk())
	next, err := s.copyRemainder(seg, row, rest, fresh)
	if err != nil {
		_ = os.RemoveAll(fresh)
		return 0, fmt.Errorf("thin out segment %s: %w", seg.id.name(), err)
	}
	s.atStep("built")
	held, pairs := s.leave(seg, rest.sets)
	if err := s.saveHeld(held, append(pairs, segmentPair(next))); err != nil {
		_ = os.RemoveAll(fresh)
		return 0, err
	}
	s.atStep("counted")
	if err := s.replace(seg, fresh, next); err != nil {
		return 0, fmt.Errorf("thin out segment %s: %w", seg.id.name(), err)
	}
	s.noteFreed()
	return row.Disk - next.Disk, nil
}

func (s *Spool) atStep(step string) {
	if s.thinStep != nil {
		s.thinStep(step)
	}
}

// giveUpBallast removes the reserve if that many bytes would not fit without.
func (s *Spool) giveUpBallast(bytes int64) {
	free, _, err := freeBytes(s.conf.Path)
	if err != nil || min(free-mapMargin, int64(s.conf.MaxBytes)-s.diskUse()) < bytes {
		_ = os.Remove(filepath.Join(s.conf.Path, ballastName))
	}
}

// copyRemainder builds the store of what stays of a segment and returns its
// row. Blocks are copied as they are, damaged ones too: it is for the streams
// to find and count them.
func (s *Spool) copyRemainder(seg *segment, row segmentRow, rest remainder, fresh string) (segmentRow, error) {
	next := segmentRow{ID: row.ID, Last: row.Last, Sealed: true, Created: row.Created, Aged: row.Aged, Sets: map[string]setRow{}}
	for name := range rest.sets {
		set := row.Sets[name]
		next.Sets[name] = set
		next.Count += set.Count
		next.Bytes += set.Bytes
	}
	if err := os.RemoveAll(fresh); err != nil {
		return next, err
	}
	db, err := openStore(fresh, rest.shape(), 0, s.faults)
	if err != nil {
		return next, err
	}
	before := s.faults.count.Load()
	err = s.table.view(seg, func(from *badger.DB) error { return s.copyBlocks(db, from, rest, &next) })
	if err == nil {
		seal := &block{kind: kindSeal, first: row.ID.First, last: row.Last, count: uint32(next.Count), bytes: next.Bytes, raw: encodeRow(next)}
		data := s.codec.encode(seal)
		err = db.Update(func(txn *badger.Txn) error { return txn.Set(seal.key(), data) })
	}
	if cerr := closeStore(db); err == nil {
		err = cerr
	}
	if err == nil && s.faults.count.Load() != before {
		err = fmt.Errorf("write store %s: the store reported a fault", fresh)
	}
	if err == nil {
		err = syncStore(fresh)
	}
	next.Disk = treeBytes(fresh)
	return next, err
}

// copyBlocks copies the remainder's blocks, and notes in the row which
// segments its records need.
func (s *Spool) copyBlocks(to, from *badger.DB, rest remainder, next *segmentRow) error {
	return eachBlock(from, func(item *badger.Item) error {
		if !rest.holds(item.Key()) {
			return nil
		}
		data, err := item.ValueCopy(nil)
		if err != nil || len(data) == 0 {
			data = []byte{0} // no block, but its key says what it was
		}
		if item.Key()[0] == prefixChunk {
			recs, _ := s.readChunk(item)
			for _, r := range recs {
				if r.parts.id != "" {
					next.needs(r.parts.oldest())
				}
			}
		}
		key := item.KeyCopy(nil)
		return to.Update(func(txn *badger.Txn) error { return txn.Set(key, data) })
	})
}

// replace puts a store in the place of a segment's own once nobody reads that.
func (s *Spool) replace(seg *segment, fresh string, row segmentRow) error {
	gone := seg.deletedName()
	seg.mu.Lock()
	defer seg.mu.Unlock()
	if err := seg.closeHeld(); staysOpen(err) { // it still writes to its folder
		return err
	} else if err != nil {
		s.log.Info("thinned segment closed with an error", "segment", seg.id.name(), "error", err)
	}
	if err := os.Rename(seg.dir, gone); err != nil {
		return err
	}
	s.atStep("taken away")
	if err := os.Rename(fresh, seg.dir); err != nil {
		_ = os.Rename(gone, seg.dir)
		return err
	}
	s.atStep("replaced")
	if err := syncDir(s.table.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	s.table.mu.Lock()
	seg.row = row
	s.table.mu.Unlock()
	return nil
}

// noteUnsure notes the segments that a crash left with a store built anew
// beside them: their rows may already be those of the new one. It comes before
// sweepStores, which removes that.
func (s *Spool) noteUnsure() error {
	names, err := os.ReadDir(s.table.dir)
	if err != nil {
		return fmt.Errorf("look for thinned segments: %w", err)
	}
	s.unsure = map[segmentID]bool{}
	for _, d := range names {
		if name, fresh := strings.CutSuffix(d.Name(), ".new"); fresh {
			if id, ok := parseSegmentName(name); ok {
				s.unsure[id] = true
			}
		}
	}
	return nil
}
