package spool

// A DetectionStats says how many detections the history has, and how much of
// its share they take.
type DetectionStats struct {
	Count int64
	// Bytes are those of the detections that are written; at MaxBytes the
	// oldest go.
	Bytes, MaxBytes int64
}

// DetectionStats counts the detections. The first call after a start, and after
// stores went, reads the history's logs; the others read what is new. It fails
// with ErrClosed, or as reading does.
func (s *Spool) DetectionStats() (st DetectionStats, err error) {
	if s.isClosed() {
		return st, ErrClosed
	}
	st.MaxBytes = s.detections.stores.limit * detectionStores
	v, err := s.detections.view()
	if err != nil {
		return st, err
	}
	defer v.close()
	for _, places := range v.stores {
		for i := range places {
			p := &places[i]
			if p.from <= p.head.last { // else a failed commit left it, and it was written again
				st.Count += int64(p.head.last - p.from + 1)
			}
			st.Bytes += int64(p.size)
		}
	}
	return st, nil
}
