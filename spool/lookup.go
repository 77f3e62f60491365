package spool

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// loadIndex brings back the duplicate index: its runs, a new one for each
// sealed segment that none covers, and the active segment's identities.
func (s *Spool) loadIndex() error {
	if err := s.index.load(); err != nil {
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
		row := s.table.row(seg)
		if row.Sealed && s.index.covered(row) {
			continue
		}
		if err := s.readIdentities(seg); err != nil {
			s.log.Warn("a segment's identities cannot be read; its samples may be taken again", "segment", seg.id.name(), "error", err)
			continue
		}
		if row.Sealed {
			if err := s.index.seal(&s.mu, row); err != nil {
				return fmt.Errorf("load duplicate index: %w", err)
			}
		}
	}
	return nil
}

// readIdentities takes the identities of a segment's records into memory; what
// lies beyond its last one was never acknowledged.
func (s *Spool) readIdentities(seg *segment) error {
	sets := s.table.row(seg).Sets
	_, last := s.table.bounds(seg)
	return s.table.view(seg, func(db *badger.DB) error {
		for name := range sets {
			err := eachChunk(db, name, 0, func(_ block, item *badger.Item) (bool, error) {
				recs, _ := s.readChunk(item) // a damaged chunk's samples may come again
				for i := range recs {
					if r, err := recs[i].record(); err == nil && r.Sequence <= last {
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
}

// envelopeOf finds a record's envelope while the record is in the spool.
func (s *Spool) envelopeOf(sequence uint64) (Record, bool) {
	if r, ok := s.queued(sequence); ok {
		return r, true
	}
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
				return *p.rec, true
			}
		}
	}
	return Record{}, false
}
