package spool

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// rotate seals the active segment and begins the next one, if there is room.
func (s *Spool) rotate() error {
	if seg := s.active; seg != nil {
		if err := s.roomToSeal(); err != nil {
			return err
		}
		if err := s.seal(seg); staysOpen(err) {
			return err
		} else if err != nil {
			s.log.Error("segment does not seal; it is mended at the next start", "segment", seg.id.name(), "error", err)
			s.giveUp(seg)
		}
		s.active = nil
		s.segmentLeft.Store(0)
	}
	if err := s.makeRoom(); err != nil {
		return err
	}
	return s.begin()
}

// begin opens the next segment. It is named by the first sequence that is not
// in an earlier one, so that nothing from there on is believed in those; an
// ordinal tells it from others of that name, which took parts only or failed.
func (s *Spool) begin() error {
	s.mu.Lock()
	id := segmentID{First: s.writtenSeq + 1}
	s.mu.Unlock()
	if all := s.table.list(); len(all) > 0 {
		if last := all[len(all)-1].id; last.First >= id.First {
			id = segmentID{First: last.First, Ord: last.Ord + 1}
		}
	}
	for inUse(s.table.path(id)) {
		id.Ord++
	}
	dir := s.table.path(id)
	db, err := openStore(dir, s.table.shape, 0, s.faults)
	if err != nil {
		_ = os.RemoveAll(dir)
		return fmt.Errorf("begin segment: %w", err)
	}
	log, err := openSyncedLog(dir)
	if err != nil {
		_ = db.Close()
		_ = os.RemoveAll(dir)
		return err
	}
	seg := &segment{id: id, dir: dir, db: db, log: log, row: segmentRow{ID: id, Last: id.First - 1, Disk: s.table.shape.disk()}}
	s.table.add(seg)
	s.active = seg
	s.noteRoom(seg)
	return nil
}

// inUse tells whether a segment of that name is there, or is going.
func inUse(dir string) bool {
	_, there := os.Stat(dir)
	_, going := os.Stat(dir + ".del")
	return there == nil || going == nil
}

// seal moves a segment's identities to a run of the index and ends it. In this
// order the file system's journal takes the run along with what is synced then.
func (s *Spool) seal(seg *segment) error {
	if err := s.index.seal(&s.mu, s.table.row(seg)); err != nil {
		s.log.Warn("duplicate index has no run for a segment; the chores make it", "segment", seg.id.name(), "error", err)
	}
	return s.closeOff(seg)
}

// closeOff ends a segment's store: seal record, Close, syncs, row. A sealed
// segment is not looked through at start, so all of it is durable before its
// row: Close itself syncs what it writes, but not that it cuts the log short.
func (s *Spool) closeOff(seg *segment) error {
	row := s.table.row(seg)
	row.Sealed = true
	if err := s.putSeal(seg, row); err != nil {
		return err
	}
	if err := seg.close(); err != nil {
		return err
	}
	if err := syncStore(seg.dir); err != nil {
		return err
	}
	row.Disk = treeBytes(seg.dir)
	s.table.mu.Lock()
	seg.row = row
	s.table.mu.Unlock()
	s.makeBallast()
	return s.meta.put(segmentPair(row))
}

// putSeal writes the seal record. A segment that could not be closed after it
// has it already.
func (s *Spool) putSeal(seg *segment, row segmentRow) error {
	if seg.ended {
		return nil
	}
	b := &block{kind: kindSeal, first: row.ID.First, last: row.Last, count: uint32(row.Count), bytes: row.Bytes, raw: encodeRow(row)}
	if err := s.putIn(seg, []*block{b}, [][]byte{s.codec.encode(b)}); err != nil {
		return err
	}
	seg.ended = true
	return nil
}

func segmentPair(row segmentRow) metaPair {
	return metaPair{append([]byte{metaSegment}, row.ID.name()...), encodeRow(row)}
}

// remove deletes a segment's files once nobody reads them: after the rename no
// start takes them for a segment any more. It is closed before that, because
// Badger writes to its folder until then, and would try for ever.
func (s *Spool) remove(seg *segment) error {
	if err := s.settleRow(s.table.row(seg)); err != nil { // its run cannot be made again from now on
		return fmt.Errorf("remove segment: %w", err)
	}
	s.table.remove(seg)
	if err := seg.close(); staysOpen(err) {
		s.table.add(seg)
		return fmt.Errorf("remove segment: %w", err)
	} else if err != nil {
		s.log.Info("removed segment closed with an error", "segment", seg.id.name(), "error", err)
	}
	gone := seg.deletedName()
	if err := os.Rename(seg.dir, gone); err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	if err := syncDir(s.table.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	return s.meta.put(metaPair{key: append([]byte{metaSegment}, seg.id.name()...)})
}

// rebuildRow finds out what a segment holds from its chunks, and the
// identities of its records. Chunks from limit on are not its own any more.
func (s *Spool) rebuildRow(seg *segment, db *badger.DB, limit uint64) (row segmentRow, err error) {
	row = segmentRow{ID: seg.id, Last: seg.id.First - 1, Disk: s.table.shape.disk()}
	var values int64
	keys := 0
	err = db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			keys += keyUnits(len(item.Key()))
			values += item.ValueSize() + 128
			if item.Key()[0] != prefixChunk {
				continue
			}
			head, err := parseChunkKey(item.KeyCopy(nil))
			if err != nil || head.first >= limit {
				continue
			}
			row.add(&head)
			_ = chunkValue(item, func(data []byte) error { // a damaged chunk counts, for streams to pass over
				b, err := s.codec.decode(data)
				if err != nil {
					return err
				}
				recs, err := decodeChunk(&b)
				for _, r := range recs {
					row.Created = max(row.Created, r.created)
					if r.parts.id != "" {
						row.needs(r.parts.oldest())
					}
				}
				return err
			})
		}
		return nil
	})
	seg.used, seg.keys = values, keys
	if err != nil {
		return row, fmt.Errorf("look through segment %s: %w", seg.id.name(), err)
	}
	return row, nil
}

// ballastName is the reserve's file.
const ballastName = "ballast"

// freeBallast gives up the reserve if less than that is free.
func (s *Spool) freeBallast(need int64) {
	if free, _, err := freeBytes(s.conf.Path); err == nil && free < need {
		_ = os.Remove(filepath.Join(s.conf.Path, ballastName))
	}
}

// makeBallast sets the reserve aside again where there is room for it.
func (s *Spool) makeBallast() {
	path := filepath.Join(s.conf.Path, ballastName)
	if fi, err := os.Stat(path); err == nil && fi.Size() == s.lim.ballast {
		return
	}
	if free, _, err := freeBytes(s.conf.Path); err != nil || free < s.lim.ballast+max(s.lim.ballast, int64(s.conf.MinFree)) {
		return
	}
	f, err := os.Create(path)
	if err != nil {
		return
	}
	defer f.Close()
	if f.Truncate(s.lim.ballast) == nil && allocate(path, s.lim.ballast) != nil {
		_ = os.Remove(path)
	}
}
