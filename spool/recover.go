package spool

import (
	"fmt"
	"math"
	"os"

	"github.com/dgraph-io/badger/v4"
)

// loadSegments brings back the table: sealed segments from their rows in
// meta, others from what is in them.
func (s *Spool) loadSegments() error {
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
		if data, ok := s.meta.get(append([]byte{metaSegment}, id.name()...)); ok {
			if row, err := decodeRow(data); err == nil && row.ID == id && row.Sealed {
				seg.row = row
			}
		}
		s.table.add(seg)
	}
	all := s.table.list()
	for i, seg := range all {
		limit := uint64(math.MaxUint64)
		if i+1 < len(all) {
			limit = all[i+1].id.First
		}
		if !seg.row.Sealed {
			if err := s.recoverSegment(seg, limit, i == len(all)-1); err != nil {
				return err
			}
		}
		s.writtenSeq = max(s.writtenSeq, seg.row.Last)
		s.created = max(s.created, seg.row.Created)
	}
	s.writtenSeq = max(s.writtenSeq, s.nextSeq-1)
	s.nextSeq = s.writtenSeq + 1
	s.durable = s.writtenSeq
	return nil
}

// recoverSegment brings back a segment that was not sealed. The last one
// stays open, so that many restarts do not make many segments.
func (s *Spool) recoverSegment(seg *segment, limit uint64, last bool) error {
	db, err := openStore(seg.dir, s.table.shape, 0, s.faults)
	if err != nil {
		if isDiskFault(err) {
			return err
		}
		if err := s.setAside(seg.dir, err); err != nil {
			return err
		}
		s.table.remove(seg)
		return nil
	}
	seg.db = db
	row, err := s.rebuildRow(seg, db, limit)
	if err != nil {
		return err
	}
	seg.row = row
	if last {
		s.active = seg
		s.segmentLeft.Store(s.lim.segment - seg.used)
		return nil
	}
	return s.seal(seg)
}

// openSealedSegment opens a sealed segment for reading.
func (s *Spool) openSealedSegment(seg *segment) (*badger.DB, error) {
	return openSealed(seg.dir, s.table.shape, s.faults)
}

// loadIndex brings back the duplicate index.
func (s *Spool) loadIndex() error {
	for _, seg := range s.table.list() {
		err := s.table.view(seg, func(db *badger.DB) error {
			for name := range s.table.row(seg).Sets {
				err := eachChunk(db, name, 0, func(head block, item *badger.Item) (bool, error) {
					recs, _ := s.readChunk(item)
					for i := range recs {
						if r, err := recs[i].record(); err == nil {
							s.index.add(hash16(r.Identity), r.Sequence, name)
						}
					}
					return false, nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.meta.each([]byte{metaForgotten}, func(key, value []byte) error {
		s.index.loadForgotten(key, value)
		return nil
	})
}

// envelopeOf finds a record's envelope while the record is in the spool.
func (s *Spool) envelopeOf(sequence uint64) (Record, bool) {
	s.mu.Lock()
	for _, g := range []*group{s.queue, s.flight} {
		if g == nil {
			continue
		}
		for _, p := range g.recs {
			if p.sequence == sequence {
				r := *p.rec
				s.mu.Unlock()
				return r, true
			}
		}
	}
	s.mu.Unlock()
	for _, seg := range s.table.list() {
		row := s.table.row(seg)
		if sequence > row.Last || sequence < row.ID.First {
			continue
		}
		for name, set := range row.Sets {
			if sequence < set.First || sequence > set.Last {
				continue
			}
			if st, err := s.stored(name, sequence); err == nil {
				r, err := st.record()
				return r, err == nil
			}
		}
	}
	return Record{}, false
}
