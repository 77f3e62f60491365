package spool

import "math"

// holding returns the first segment from one on that has records of the
// dataset at or after the sequence, and where to look from the next time:
// segments before that will never have any, for records come at the end only.
// nil if there is none.
func (t *segmentTable) holding(dataset string, sequence uint64, from segmentID) (s *segment, next segmentID) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, _ := t.index(from)
	for i < len(t.segs) {
		if set, ok := t.segs[i].row.Sets[dataset]; ok && set.Last >= sequence {
			return t.segs[i], segmentID{First: t.segs[i].id.First}
		}
		i++
	}
	if len(t.segs) > 0 { // one of another ordinal may take its place
		from = segmentID{First: t.segs[len(t.segs)-1].id.First}
	}
	return nil, from
}

// after returns the next segment that has records of the dataset; nil if there
// is none.
func (t *segmentTable) after(s *segment, dataset string) *segment {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, found := t.index(s.id)
	if found {
		i++
	}
	for ; i < len(t.segs); i++ {
		if _, ok := t.segs[i].row.Sets[dataset]; ok {
			return t.segs[i]
		}
	}
	return nil
}

// startOf is the segment that a sequence is in, or one shortly before it.
func (t *segmentTable) startOf(sequence uint64) segmentID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, found := t.index(segmentID{First: sequence})
	if !found && i > 0 {
		i--
	}
	for i > 0 && t.segs[i].id.Ord > 0 { // the first of that name
		i--
	}
	if i == len(t.segs) {
		return segmentID{}
	}
	return t.segs[i].id
}

// setsAt are the datasets that may have the record of a sequence.
func (t *segmentTable) setsAt(sequence uint64) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, _ := t.index(segmentID{First: sequence + 1})
	var names []string
	for i--; i >= 0 && len(names) == 0; i-- {
		for name, set := range t.segs[i].row.Sets {
			if set.First <= sequence && sequence <= set.Last {
				names = append(names, name)
			}
		}
		if t.segs[i].row.Last < sequence && t.segs[i].row.Count > 0 {
			break
		}
	}
	return names
}

// needsOpening tells whether a segment would have to be opened to read a record.
func (t *segmentTable) needsOpening(sequence uint64) bool {
	for _, name := range t.setsAt(sequence) {
		seg, _ := t.holding(name, sequence, t.startOf(sequence))
		if seg == nil {
			continue
		}
		seg.mu.RLock()
		closed := seg.db == nil
		seg.mu.RUnlock()
		if closed {
			return true
		}
	}
	return false
}

// holdsBetween tells whether a segment with records begins between the two
// sequences.
func (t *segmentTable) holdsBetween(from, to uint64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, _ := t.index(segmentID{First: from})
	for ; i < len(t.segs) && t.segs[i].id.First <= to; i++ {
		if t.segs[i].row.Count > 0 {
			return true
		}
	}
	return false
}

// oldest is the first sequence of the first segment; the last there is if
// there is no segment.
func (t *segmentTable) oldest() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.segs) == 0 {
		return math.MaxUint64
	}
	return t.segs[0].id.First
}

// limitOf is the first sequence that is the next segment's.
func (t *segmentTable) limitOf(seg *segment) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, found := t.index(seg.id)
	if found {
		i++
	}
	limit := uint64(math.MaxUint64)
	if i < len(t.segs) {
		limit = t.segs[i].id.First
	}
	if seg.ends != 0 {
		limit = min(limit, seg.ends)
	}
	return limit
}
