package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/dgraph-io/badger/v4"
)

// errDamagedLog: good blocks come after a bad stretch in the value log, or it
// was changed in its last commit.
var errDamagedLog = fmt.Errorf("%w: its value log is bad in the middle", ErrDamaged)

// errTorn: whole blocks come after what a crash left of the last commit.
var errTorn = errors.New("its last commit is torn")

// loadSegments brings back the table: sealed segments from their rows in
// meta, others from what is in them.
func (s *Spool) loadSegments() error {
	if err := s.listSegments(); err != nil {
		return err
	}
	if err := s.roomToRecover(); err != nil {
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
	s.own.created = max(s.own.created, seg.row.Created)
	s.own.age = max(s.own.age, seg.row.Aged)
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
		switch row, known := rows[id]; {
		case known && row.Sealed:
			seg.row = row
			if s.unsure[id] {
				seg.row.Disk = treeBytes(seg.dir)
			}
		case known:
			seg.ends = row.Last + 1 // see giveUp
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

// recoverSegment brings back a segment that was not sealed. The last one
// stays open, so that many restarts do not make many segments, unless a commit
// of it failed.
func (s *Spool) recoverSegment(seg *segment, last bool) error {
	limit := s.table.limitOf(seg)
	db, err := s.mend(seg, limit)
	if err != nil {
		return err
	}
	seg.db = db
	s.table.noteOpen(seg)
	if seg.log, err = openSyncedLog(seg.dir); err != nil {
		return err
	}
	row, err := s.rebuildRow(seg, db, limit)
	if err != nil {
		return err
	}
	row.Disk = treeBytes(seg.dir) + storeOverhead // its files are allocated by now
	row.Aged = s.own.age                          // as far as the counters know
	seg.row = row
	if last && seg.ends == 0 && filesIn(seg.dir) < reopenLimit {
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
	found := map[string]bool{}
	h, err := scanStore(seg.dir, s.codec, func(b block, _ []byte) error {
		found[string(b.key())] = false
		return nil
	})
	if err != nil {
		return s.salvageAndOpen(seg, limit, err)
	}
	if h.damaged {
		return s.salvageAndOpen(seg, limit, errDamagedLog)
	}
	if h.torn {
		return s.salvageAndOpen(seg, limit, errTorn)
	}
	keyLogs, _ := filepath.Glob(filepath.Join(seg.dir, "*.mem")) // none after a Close in order
	db, err := openStore(seg.dir, s.table.shape, 0, s.faults)
	if err != nil {
		if isDiskFault(err) {
			return nil, err
		}
		return s.salvageAndOpen(seg, limit, err)
	}
	err = markFound(db, found)
	if err == nil && len(keyLogs) > 0 {
		err = s.dropHollow(seg, db, found)
	}
	if err == nil {
		err = s.reinsert(seg, db, found)
	}
	if err != nil {
		_ = closeStore(db)
		return nil, fmt.Errorf("mend segment %s: %w", seg.id.name(), err)
	}
	return db, nil
}

// eachKey visits every key of a store, with the number of its commit.
func eachKey(db *badger.DB, visit func(key []byte, version uint64)) error {
	return db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			visit(it.Item().Key(), it.Item().Version())
		}
		return nil
	})
}

// markFound tells which of the blocks that were found in the value log have
// their keys.
func markFound(db *badger.DB, found map[string]bool) error {
	return eachKey(db, func(key []byte, _ uint64) {
		if _, whole := found[string(key)]; whole {
			found[string(key)] = true
		}
	})
}

// dropHollow removes the keys of the commit that was under way when power went
// whose values did not reach the disk: the log of the keys is not synced, and
// may have come further. Only the last commit can be like that, for each one
// ends before the next begins; an earlier key without its value is damage, and
// stays to be counted.
func (s *Spool) dropHollow(seg *segment, db *badger.DB, found map[string]bool) error {
	var hollow [][]byte
	last := db.MaxVersion()
	err := eachKey(db, func(key []byte, version uint64) {
		if !found[string(key)] && version == last {
			hollow = append(hollow, bytes.Clone(key))
		}
	})
	if err != nil || len(hollow) == 0 {
		return err
	}
	err = db.Update(func(txn *badger.Txn) error {
		for _, key := range hollow {
			if err := txn.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return syncStore(seg.dir) // a later start must not find these keys back
}

// reinsert puts back blocks that are in the value log but not among the keys:
// the log of the keys is not synced in each commit. Each commit here is synced
// before the next, so that a power cut leaves one at most that is not whole.
func (s *Spool) reinsert(seg *segment, db *badger.DB, found map[string]bool) error {
	var batch []metaPair
	size := 0
	flush := func() error {
		err := db.Update(func(txn *badger.Txn) error {
			for _, p := range batch {
				if err := txn.Set(p.key, p.value); err != nil {
					return err
				}
			}
			return nil
		})
		if batch, size = nil, 0; err == nil {
			err = syncStore(seg.dir)
		}
		return err
	}
	_, err := scanStore(seg.dir, s.codec, func(b block, data []byte) error {
		key := b.key()
		if there := found[string(key)]; there {
			return nil
		}
		found[string(key)] = true
		batch = append(batch, metaPair{key, bytes.Clone(data)})
		if size += len(data); size < txnBytes/2 && len(batch) < 128 {
			return nil
		}
		return flush()
	})
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	return err
}

func (s *Spool) salvageAndOpen(seg *segment, limit uint64, cause error) (*badger.DB, error) {
	if err := s.salvage(seg, limit, cause); err != nil {
		return nil, err
	}
	return openStore(seg.dir, s.table.shape, 0, s.faults)
}

// errNotMended: there is no writing of the store that would take the place of a
// damaged one. What is in it is not lost, but waits until there is.
var errNotMended = errors.New("the disk does not take its store anew")

// openSealedSegment opens a sealed segment for reading. One that does not
// open is built anew from its blocks, once.
func (s *Spool) openSealedSegment(seg *segment) (*badger.DB, error) {
	db, err := openSealed(seg.dir, s.table.shape, s.faults)
	if err == nil || isDiskFault(err) {
		return db, err
	}
	limit := s.table.limitOf(seg)
	if err := s.salvage(seg, limit, err); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotMended, err)
	}
	if db, err = openSealed(seg.dir, s.table.shape, s.faults); err != nil {
		return nil, err
	}
	row, err := s.rebuildRow(seg, db, limit)
	if err != nil {
		_ = closeStore(db)
		return nil, err
	}
	left, err := headsIn(db)
	if err != nil {
		_ = closeStore(db)
		return nil, err
	}
	row.Sealed, row.Disk = true, treeBytes(seg.dir)
	s.replaceRow(seg, row, left)
	return db, nil
}

// replaceRow takes the chunks that are left of a segment for what it holds,
// counts the rest as lost on the streams that had not passed it, and lets it
// come again.
func (s *Spool) replaceRow(seg *segment, row segmentRow, left []block) {
	s.table.mu.Lock()
	old := seg.row
	row.Created, row.Aged = max(row.Created, old.Created), old.Aged
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
	err := s.forgetGaps(old, left)
	if err == nil {
		err = s.meta.put(segmentPair(row))
	}
	if err != nil {
		s.log.Warn("segment row is not durable", "segment", seg.id.name(), "error", err)
	}
}

// headsIn lists what chunks a store's keys name, by first sequence.
func headsIn(db *badger.DB) ([]block, error) {
	var heads []block
	err := db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		o.Prefix = []byte{prefixChunk}
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if head, err := parseChunkKey(bytes.Clone(it.Item().Key())); err == nil {
				heads = append(heads, head)
			}
		}
		return nil
	})
	sort.Slice(heads, func(i, j int) bool { return heads[i].first < heads[j].first })
	return heads, err
}
