package spool

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// write puts what is left of a group into segments, in order.
func (s *Spool) write(g *group) error {
	for len(g.parts) > 0 {
		n := min(len(g.parts), txnBytes/partBytes)
		blocks := make([]*block, n)
		for i, r := range g.parts[:n] {
			blocks[i] = r.block
		}
		id, err := s.put(blocks, nil)
		if err != nil {
			return err
		}
		for _, r := range g.parts[:n] {
			r.at = id
		}
		s.holdFirst(g.parts[:n])
		for _, r := range g.parts[:n] {
			r.commit.finish(nil)
		}
		s.mu.Lock()
		g.parts = g.parts[n:]
		s.mu.Unlock()
	}
	for len(g.recs) > 0 {
		n, weight, sets := 0, 0, map[string]bool{}
		for n < len(g.recs) && n < sliceRecords && len(sets) < sliceSets && (n == 0 || weight+g.recs[n].weight() <= sliceBytes) {
			weight += g.recs[n].weight()
			sets[g.recs[n].rec.Dataset] = true
			n++
		}
		if err := s.writeSlice(g.recs[:n]); err != nil {
			return err
		}
		s.mu.Lock()
		g.recs = g.recs[n:]
		s.mu.Unlock()
	}
	return nil
}

// writeSlice writes consecutive records in one transaction, as one chunk for
// each dataset, after the parts of their large bodies.
func (s *Spool) writeSlice(recs []*pending) error {
	var order []string
	sets := map[string][]*pending{}
	for _, p := range recs {
		if err := s.writeLarge(p); err != nil {
			return err
		}
		if len(sets[p.rec.Dataset]) == 0 {
			order = append(order, p.rec.Dataset)
		}
		sets[p.rec.Dataset] = append(sets[p.rec.Dataset], p)
	}
	blocks := make([]*block, len(order))
	for i, name := range order {
		blocks[i] = encodeChunk(name, sets[name], &s.codec.arena)
	}
	_, err := s.put(blocks, recs)
	return err
}

// put commits blocks in one transaction, in the active segment or a new one.
// A segment whose commit fails is left as it is and never written again: after
// a failed sync nobody knows what of it is on the disk.
func (s *Spool) put(blocks []*block, recs []*pending) (segmentID, error) {
	defer s.codec.arena.reset()
	values, total, keys := make([][]byte, len(blocks)), int64(0), 0
	for i, b := range blocks {
		values[i] = s.codec.encode(b)
		total += int64(len(values[i])) + 128
		keys += keyUnits(len(b.key()))
	}
	var err error
	for range 2 {
		if err := s.faults.takesWrites(); err != nil { // which is no fault of the segment
			return segmentID{}, fmt.Errorf("commit to segment: %w", err)
		}
		var seg *segment
		if seg, err = s.segmentFor(total, keys, len(recs)); err != nil {
			return segmentID{}, err
		}
		if err = s.putIn(seg, blocks, values); err == nil {
			seg.used += total
			seg.keys += keys
			s.committed(seg, blocks, recs)
			return seg.id, nil
		}
		s.log.Error("segment does not take a commit; going on in a new one", "segment", seg.id.name(), "error", err)
		s.giveUp(seg)
	}
	return segmentID{}, err
}

// giveUp ends a segment whose store failed. One without anything acknowledged
// goes at once; another one is mended at the next start, and until then may be
// closed, read and let go like a sealed one. What the failed commit left in it
// must not be taken for records when the segment behind it, which has them, is
// gone: so its row says where it ends.
func (s *Spool) giveUp(seg *segment) {
	s.active = nil
	s.segmentLeft.Store(0)
	if seg.keys == 0 {
		if err := s.remove(seg); err != nil {
			s.log.Warn("failed segment does not go; it goes at the next start", "segment", seg.id.name(), "error", err)
		}
		return
	}
	s.table.mu.Lock()
	row := seg.row.clone()
	seg.row.Sealed, seg.ends = true, row.Last+1
	s.table.mu.Unlock()
	if err := s.meta.put(segmentPair(row)); err != nil {
		s.log.Warn("end of a failed segment is not durable", "segment", seg.id.name(), "error", err)
	}
}

func (s *Spool) putIn(seg *segment, blocks []*block, values [][]byte) error {
	if err := s.faults.takesWrites(); err != nil {
		return fmt.Errorf("commit to segment: %w", err)
	}
	before := s.faults.count.Load()
	keys, written := make([][]byte, len(blocks)), int64(0)
	for i, b := range blocks {
		keys[i] = b.key()
		written += loggedBytes(len(keys[i]), len(values[i]))
	}
	err := seg.log.expect(written)
	if err == nil {
		err = s.update(seg.db, func(txn *badger.Txn) error {
			for i, key := range keys {
				if err := txn.Set(key, values[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		err = seg.log.wrote(written)
	}
	if err == nil {
		err = s.syncLog(seg.log)
	}
	if err == nil && s.faults.count.Load() != before {
		err = errors.New("the store reported a fault")
	}
	if err != nil {
		return fmt.Errorf("commit to segment %s: %w", seg.id.name(), err)
	}
	return nil
}

// committed counts what the segment has taken and lets streams see it.
func (s *Spool) committed(seg *segment, blocks []*block, recs []*pending) {
	s.table.mu.Lock()
	for _, b := range blocks {
		if b.kind == kindChunk {
			seg.row.add(b)
		}
	}
	for _, p := range recs {
		seg.row.Created = max(seg.row.Created, p.created)
		seg.row.Aged = max(seg.row.Aged, p.aged)
		if p.parts.id != "" {
			seg.row.needs(p.parts.oldest())
		}
	}
	s.table.mu.Unlock()
	s.noteRoom(seg)
	if len(recs) == 0 {
		return
	}
	s.mu.Lock()
	s.writtenSeq = recs[len(recs)-1].sequence
	for _, p := range recs {
		s.release(p.parts.id)
	}
	streams := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	for _, st := range streams {
		for _, b := range blocks {
			if b.name == st.dataset {
				st.announce()
			}
		}
	}
}

// noteRoom notes what the active segment still takes.
func (s *Spool) noteRoom(seg *segment) {
	s.segmentLeft.Store(s.lim.segment - seg.used)
	s.recordsLeft.Store(min(keysPerSegment-int64(seg.keys), recordsPerSegment-s.recordsIn(seg)))
}

// segmentFor is the active segment if it takes that much more, else a new one.
func (s *Spool) segmentFor(bytes int64, keys, recs int) (*segment, error) {
	if a := s.active; a != nil && !a.ended {
		fits := a.used+bytes <= s.lim.segment && a.keys+keys <= keysPerSegment && s.recordsIn(a)+int64(recs) <= recordsPerSegment
		if fits || a.keys == 0 {
			return a, nil
		}
	}
	if err := s.rotate(); err != nil {
		return nil, readOnlyError(err)
	}
	return s.active, nil
}

func (s *Spool) recordsIn(seg *segment) int64 {
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	return seg.row.Count
}
