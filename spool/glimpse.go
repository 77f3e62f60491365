package spool

import "fmt"

// glimpse fills the row of a segment that was not sealed with what its files
// say, before it is opened: what it holds, and which segments have parts of its
// records' bodies. Those must not go for want of room because nobody knows yet
// that they are needed. What is damaged needs nothing any more.
func (s *Spool) glimpse(seg *segment) error {
	row := segmentRow{ID: seg.id, Last: seg.id.First - 1, Disk: treeBytes(seg.dir)}
	limit := s.table.limitOf(seg)
	_, err := scanStore(seg.dir, s.codec, func(b block, data []byte) error {
		if b.kind != kindChunk || b.first >= limit {
			return nil
		}
		row.add(&b)
		whole, err := s.codec.decode(data)
		if err != nil {
			return nil
		}
		recs, _ := decodeChunk(&whole)
		for _, r := range recs {
			if r.parts.id != "" {
				row.needs(r.parts.oldest())
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look through segment %s: %w", seg.id.name(), err)
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	seg.row = row
	return nil
}
