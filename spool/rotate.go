package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// rotate seals the active segment and begins the next one, if there is room.
func (s *Spool) rotate() error {
	if seg := s.active; seg != nil {
		if err := s.seal(seg); err != nil {
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
		if isFullDisk(err) {
			return fmt.Errorf("begin segment: %w: %w", ErrFull, err)
		}
		return err
	}
	seg := &segment{id: id, dir: dir, db: db, row: segmentRow{ID: id, Last: id.First - 1, Disk: s.table.shape.disk()}}
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

// seal ends a segment and moves its identities to a run of the index.
func (s *Spool) seal(seg *segment) error {
	if err := s.closeOff(seg); err != nil {
		return err
	}
	if err := s.index.seal(&s.mu, s.table.row(seg)); err != nil {
		s.log.Warn("duplicate index has no run for a segment; it is made at the next start", "segment", seg.id.name(), "error", err)
	}
	return nil
}

// closeOff ends a segment's store: seal record, Close, row. Closing makes one
// more file through a mapping, so the ballast goes first if the disk is full.
func (s *Spool) closeOff(seg *segment) error {
	s.freeBallast(storeOverhead)
	row := s.table.row(seg)
	row.Sealed = true
	b := &block{kind: kindSeal, first: row.ID.First, last: row.Last, count: uint32(row.Count), bytes: row.Bytes, raw: encodeRow(row)}
	if err := s.putIn(seg, []*block{b}, [][]byte{s.codec.encode(b)}); err != nil {
		return err
	}
	if err := seg.close(); err != nil {
		return err
	}
	row.Disk = treeBytes(seg.dir)
	s.table.mu.Lock()
	seg.row = row
	s.table.mu.Unlock()
	s.makeBallast()
	return s.meta.put(segmentPair(row))
}

func segmentPair(row segmentRow) metaPair {
	return metaPair{append([]byte{metaSegment}, row.ID.name()...), encodeRow(row)}
}

// remove deletes a segment's files once nobody reads them: after the rename no
// start takes them for a segment any more. It is closed before that, because
// Badger writes to its folder until then, and would try for ever.
func (s *Spool) remove(seg *segment) error {
	s.table.remove(seg)
	if err := seg.close(); err != nil {
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
			keys++
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

// freeBallast gives up the reserve if less than that is free.
func (s *Spool) freeBallast(need int64) {
	if free, _, err := freeBytes(s.conf.Path); err == nil && free < need {
		_ = os.Remove(filepath.Join(s.conf.Path, "ballast"))
	}
}

// makeBallast sets the reserve aside again where there is room for it.
func (s *Spool) makeBallast() {
	path := filepath.Join(s.conf.Path, "ballast")
	if fi, err := os.Stat(path); err == nil && fi.Size() == s.lim.ballast {
		return
	}
	if free, _, err := freeBytes(s.conf.Path); err != nil || free < 2*s.lim.ballast {
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

// spoolNow is the spool's own time: that of the last record, and what went by
// on the monotonic clock since; s.mu is held.
func (s *Spool) spoolNow() int64 { return s.created + int64(time.Since(s.stampedAt)) }
