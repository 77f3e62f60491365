package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// errDamagedLog: good blocks come after a bad stretch in the value log.
var errDamagedLog = fmt.Errorf("%w: its value log is bad in the middle", ErrDamaged)

// loadSegments brings back the table: sealed segments from their rows in
// meta, others from what is in them.
func (s *Spool) loadSegments() error {
	if err := s.listSegments(); err != nil {
		return err
	}
	all := s.table.list()
	for i, seg := range all {
		if seg.row.Sealed {
			s.count(seg)
			continue
		}
		if err := s.recoverSegment(seg, i == len(all)-1); err != nil {
			return err
		}
		s.count(seg)
	}
	s.goOnFrom(s.writtenSeq + 1)
	return nil
}

// goOnFrom makes sure that no sequence before that one is given any more.
func (s *Spool) goOnFrom(next uint64) {
	s.nextSeq = max(s.nextSeq, next)
	s.writtenSeq = s.nextSeq - 1
	s.durable = s.writtenSeq
}

func (s *Spool) count(seg *segment) {
	s.writtenSeq = max(s.writtenSeq, seg.row.Last, seg.id.First-1)
	s.created = max(s.created, seg.row.Created)
}

// listSegments finds the segments' folders and rows. A row without a folder
// is a segment that went while nobody could count what it held.
func (s *Spool) listSegments() error {
	rows := map[segmentID]segmentRow{}
	err := s.meta.each([]byte{metaSegment}, func(_, value []byte) error {
		if row, err := decodeRow(value); err == nil {
			rows[row.ID] = row
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load segments: %w", err)
	}
	names, err := os.ReadDir(s.table.dir)
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	for _, d := range names {
		id, ok := parseSegmentName(d.Name())
		if !ok {
			continue
		}
		seg := &segment{id: id, dir: s.table.path(id)}
		if row, ok := rows[id]; ok && row.Sealed {
			seg.row = row
		}
		delete(rows, id)
		s.table.add(seg)
	}
	for _, row := range rows {
		s.writtenSeq = max(s.writtenSeq, row.Last)
		s.vanished = append(s.vanished, row)
	}
	return nil
}

// limitOf is the first sequence that is the next segment's.
func (t *segmentTable) limitOf(seg *segment) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, o := range t.segs {
		if seg.id.before(o.id) {
			return o.id.First
		}
	}
	return math.MaxUint64
}

// recoverSegment brings back a segment that was not sealed. The last one
// stays open, so that many restarts do not make many segments.
func (s *Spool) recoverSegment(seg *segment, last bool) error {
	limit := s.table.limitOf(seg)
	db, err := s.mend(seg, limit)
	if err != nil {
		return err
	}
	seg.db = db
	row, err := s.rebuildRow(seg, db, limit)
	if err != nil {
		return err
	}
	row.Disk = treeBytes(seg.dir) + storeOverhead // its files are allocated by now
	seg.row = row
	if last && filesIn(seg.dir) < reopenLimit {
		s.active = seg
		s.noteRoom(seg)
		return nil
	}
	return s.closeOff(seg)
}

// reopenLimit is how often a store is gone on with after a restart: each time
// adds a value log and a table to it.
const reopenLimit = 24

// filesIn counts the value logs or the tables of a store, whichever are more.
func filesIn(dir string) int {
	logs, tables := 0, 0
	names, _ := os.ReadDir(dir)
	for _, d := range names {
		switch filepath.Ext(d.Name()) {
		case ".vlog":
			logs++
		case ".sst":
			tables++
		}
	}
	return max(logs, tables)
}

// mend opens an unsealed segment for writing without losing a block that is
// whole: what Badger would cut off, or not find, is built anew.
func (s *Spool) mend(seg *segment, limit uint64) (*badger.DB, error) {
	if markerCount(seg.dir) > 0 {
		return s.salvageAndOpen(seg, limit, errSuspect)
	}
	var keys [][]byte
	damaged, err := scanStore(seg.dir, s.codec, func(b block, _ []byte) error {
		keys = append(keys, b.key())
		return nil
	})
	if err != nil {
		return s.salvageAndOpen(seg, limit, err)
	}
	if damaged {
		return s.salvageAndOpen(seg, limit, errDamagedLog)
	}
	db, err := openStore(seg.dir, s.table.shape, 0, s.faults)
	if err != nil {
		if isDiskFault(err) {
			return nil, err
		}
		return s.salvageAndOpen(seg, limit, err)
	}
	if err := s.reinsert(seg, db, keys); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// reinsert puts back blocks that are in the value log but not among the keys:
// the commit they belong to was cut short before its keys were written.
func (s *Spool) reinsert(seg *segment, db *badger.DB, keys [][]byte) error {
	missing := map[string]bool{}
	err := db.View(func(txn *badger.Txn) error {
		for _, key := range keys {
			if _, err := txn.Get(key); errors.Is(err, badger.ErrKeyNotFound) {
				missing[string(key)] = true
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	var blocks []block
	var values [][]byte
	_, err = scanStore(seg.dir, s.codec, func(b block, data []byte) error {
		if missing[string(b.key())] {
			delete(missing, string(b.key()))
			blocks, values = append(blocks, b), append(values, bytes.Clone(data))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range blocks {
		err := db.Update(func(txn *badger.Txn) error { return txn.Set(blocks[i].key(), values[i]) })
		if err != nil {
			return fmt.Errorf("mend segment %s: %w", seg.id.name(), err)
		}
	}
	return nil
}

func (s *Spool) salvageAndOpen(seg *segment, limit uint64, cause error) (*badger.DB, error) {
	if err := s.salvage(seg, limit, cause); err != nil {
		return nil, err
	}
	return openStore(seg.dir, s.table.shape, 0, s.faults)
}

// openSealedSegment opens a sealed segment for reading. One that does not
// open is built anew from its blocks, once.
func (s *Spool) openSealedSegment(seg *segment) (*badger.DB, error) {
	db, err := openSealed(seg.dir, s.table.shape, s.faults)
	if err == nil || isDiskFault(err) {
		return db, err
	}
	limit := s.table.limitOf(seg)
	if err := s.salvage(seg, limit, err); err != nil {
		return nil, err
	}
	if db, err = openSealed(seg.dir, s.table.shape, s.faults); err != nil {
		return nil, err
	}
	row, err := s.rebuildRow(seg, db, limit)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	row.Sealed, row.Disk = true, treeBytes(seg.dir)
	s.replaceRow(seg, row)
	return db, nil
}

// replaceRow takes what is left of a segment for what it holds, and counts
// the rest as lost on the streams that had not passed it.
func (s *Spool) replaceRow(seg *segment, row segmentRow) {
	s.table.mu.Lock()
	old := seg.row
	row.Created = max(row.Created, old.Created)
	seg.row = row
	s.table.mu.Unlock()
	for name, set := range old.Sets {
		gone := set.Count - row.Sets[name].Count
		if gone <= 0 {
			continue
		}
		s.damaged.Add(uint64(gone))
		s.log.Error("records of a segment could not be salvaged; they are counted as lost",
			"segment", seg.id.name(), "dataset", name, "records", gone)
		for _, st := range s.streamList() {
			if st.dataset == name && st.cursor.Load() <= set.Last {
				st.owed.Add(uint64(gone))
			}
		}
	}
	if err := s.meta.put(segmentPair(row)); err != nil {
		s.log.Warn("segment row is not durable", "segment", seg.id.name(), "error", err)
	}
}
