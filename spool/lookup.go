package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// loadIndex brings back the duplicate index: its runs, a new one for each
// sealed segment that none covers, and the active segment's identities.
func (s *Spool) loadIndex() error {
	if value, ok := s.meta.get([]byte{metaSeen}); ok && len(value) == 8 {
		s.index.floor = binary.BigEndian.Uint64(value)
	}
	s.index.holds = s.table.holdsBetween
	if err := s.index.load(&s.mu); err != nil {
		return fmt.Errorf("load duplicate index: %w", err)
	}
	for _, r := range s.index.runs { // which know better if meta was lost
		s.goOnFrom(r.last + 1)
	}
	err := s.meta.each([]byte{metaForgotten}, func(key, value []byte) error {
		s.index.loadForgotten(key, value)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load duplicate index: %w", err)
	}
	for _, seg := range s.table.list() {
		if seg.row.Sealed && s.index.covered(seg.row) {
			continue
		}
		err := s.eachIdentity(seg, func(ref identityRef) { s.index.add(ref.hash, ref.sequence, ref.dataset) })
		if err != nil {
			s.log.Warn("a segment's identities cannot be read; its samples may be taken again", "segment", seg.id.name(), "error", err)
			continue
		}
		row := s.table.row(seg)
		if !row.Sealed {
			continue
		}
		if err := s.index.seal(&s.mu, row); err != nil { // a full disk, say: the chores try again
			s.log.Warn("a segment's identities are not in the duplicate index yet", "segment", seg.id.name(), "error", err)
			if len(s.index.active) > recordsPerSegment { // no more of them fit into memory
				s.index.letGo(row)
			}
		}
	}
	return nil
}

// eachIdentity visits the identities of a segment's records; what lies beyond
// its last one was never acknowledged.
func (s *Spool) eachIdentity(seg *segment, visit func(ref identityRef)) error {
	sets := s.table.row(seg).Sets
	_, last := s.table.bounds(seg)
	return s.table.view(seg, func(db *badger.DB) error {
		for name := range sets {
			err := eachChunk(db, name, 0, func(_ block, item *badger.Item) (bool, error) {
				recs, _ := s.readChunk(item) // a damaged chunk's samples may come again
				for i := range recs {
					if r, err := recs[i].record(); err == nil && r.Sequence <= last {
						visit(identityRef{shortHash(r.Identity), r.Sequence, name})
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
}

// keepIndex makes runs that could not be written or read before, and keeps the
// index in its bounds. What is loose stays so until the spool closes.
func (s *Spool) keepIndex() error {
	for _, row := range s.uncovered() {
		if err := s.index.seal(&s.mu, row); err != nil {
			return err
		}
	}
	if err := s.mendRuns(); err != nil {
		return err
	}
	if err := s.trimIndex(); err != nil {
		return err
	}
	if !s.isClosed() {
		return nil
	}
	return s.settleIndex()
}

// settleIndex makes all of the index durable that can be.
func (s *Spool) settleIndex() error {
	if err := s.mendRuns(); err != nil {
		return err
	}
	s.mu.Lock()
	loose := s.index.looseRuns()
	s.mu.Unlock()
	return s.index.settle(&s.mu, loose...)
}

// settleRow makes the identities of a segment durable, which cannot be found
// again once it is gone. One that failed has no run yet.
func (s *Spool) settleRow(row segmentRow) error {
	s.mu.Lock()
	covered := s.index.covered(row)
	s.mu.Unlock()
	if !covered {
		if err := s.index.seal(&s.mu, row); err != nil { // of a full disk the segment has to go all the same
			s.log.Warn("a segment goes before its identities are durable; its samples may be taken again after a stop", "segment", row.ID.name(), "error", err)
		}
	}
	s.mu.Lock()
	loose := s.index.holdsLoose(row)
	s.mu.Unlock()
	if !loose {
		return nil
	}
	return s.settleIndex()
}

// uncovered are the rows of sealed segments that have no run.
func (s *Spool) uncovered() (rows []segmentRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	for _, seg := range s.table.segs {
		if seg.row.Sealed && !s.index.covered(seg.row) {
			rows = append(rows, seg.row.clone())
		}
	}
	return rows
}

// mendRuns makes runs anew of which a page could not be read: of what can be
// read, and of the segments that are still there.
func (s *Spool) mendRuns() error {
	s.mu.Lock()
	bad := slices.DeleteFunc(slices.Clone(s.index.runs), func(r *run) bool { return !r.bad.Load() })
	s.mu.Unlock()
	for _, r := range bad {
		refs := r.whole()
		for _, seg := range s.table.list() {
			if row := s.table.row(seg); !row.Sealed || row.Count == 0 || !r.covers(row.ID.First, row.Last) {
				continue
			}
			if err := s.eachIdentity(seg, func(ref identityRef) { refs = append(refs, ref) }); err != nil && !errors.Is(err, ErrDamaged) {
				return err
			}
		}
		slices.SortFunc(refs, compareRefs)
		refs = slices.CompactFunc(refs, func(a, b identityRef) bool { return a.hash == b.hash && a.sequence == b.sequence })
		if len(refs) == 0 {
			continue // nothing can be known of it; it is asked in vain
		}
		fresh, err := writeRun(s.index.dir, s.index.epoch, seqRange{r.first, r.last}, refs)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.index.insert(fresh)
		s.mu.Unlock()
		s.log.Info("part of the duplicate index was made anew", "first", r.first, "last", r.last, "known", len(refs), "before", r.count)
	}
	return nil
}

// whole are the identities of all pages that can be read.
func (r *run) whole() (refs []identityRef) {
	f, err := os.Open(r.path)
	if err != nil {
		return nil
	}
	defer f.Close()
	page := make([]byte, runPage)
	for n := range r.pages {
		if r.read(f, n, page) != nil {
			continue
		}
		for i := range r.in(n) {
			refs = append(refs, r.identity(page, i))
		}
	}
	return refs
}

// trimIndex keeps the duplicate index in its bounds.
func (s *Spool) trimIndex() error {
	oldest := s.table.oldest()
	s.mu.Lock()
	pairs := s.index.trim(oldest)
	s.mu.Unlock()
	for part := range slices.Chunk(pairs, 256) {
		if err := s.meta.put(part...); err != nil {
			return err
		}
	}
	return nil
}

// indexDisk is what the duplicate index takes.
func (s *Spool) indexDisk() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.disk()
}

func floorPair(floor uint64) metaPair {
	return metaPair{[]byte{metaSeen}, binary.BigEndian.AppendUint64(nil, floor)}
}

// forgetGaps lets the records of a segment come again that are not in it any
// more: those of its row's sets that lie between the chunks that are left.
func (s *Spool) forgetGaps(row segmentRow, left []block) error {
	var pairs []metaPair
	s.mu.Lock()
	for name, set := range row.Sets {
		next := set.First
		for _, head := range left {
			if head.name != name || head.last < next || head.first > set.Last {
				continue
			}
			if head.first > next {
				pairs = append(pairs, s.index.forget(name, next, head.first-1)...)
			}
			next = head.last + 1
		}
		if next <= set.Last {
			pairs = append(pairs, s.index.forget(name, next, set.Last)...)
		}
	}
	s.mu.Unlock()
	for part := range slices.Chunk(pairs, 256) {
		if err := s.meta.put(part...); err != nil {
			return err
		}
	}
	return nil
}

// envelopeOf finds a record's envelope while the record is in the spool.
func (s *Spool) envelopeOf(sequence uint64) (Record, bool) {
	if r, ok := s.queued(sequence); ok {
		return r, true
	}
	for _, name := range s.table.setsAt(sequence) {
		if st, err := s.stored(name, sequence); err == nil {
			r, err := st.record()
			return r, err == nil
		}
	}
	return Record{}, false
}

// queued finds a record that is on its way to the disk.
func (s *Spool) queued(sequence uint64) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range []*group{s.queue, s.flight} {
		if g == nil {
			continue
		}
		for _, p := range g.recs {
			if p.sequence == sequence {
				return p.rec, true
			}
		}
	}
	return Record{}, false
}
