package spool

import "errors"

// Stats are the spool's figures for status pages and metrics.
type Stats struct {
	Records       int64  // in the spool now
	Bytes         int64  // their body bytes
	DiskBytes     int64  // real disk use of the whole folder
	MaxBytes      int64  // the cap
	FirstSequence uint64 // of the oldest record; NextSequence when empty
	NextSequence  uint64
	Duplicates    uint64 // skipped since the spool was created
	Lost          uint64 // dropped before every pinning stream had passed them
	Damaged       uint64 // found unreadable
	Full          bool   // refusing now
	ReadOnly      bool   // writes fail now
	Refuses       string // why records are refused now; empty while they are taken
	Commits       uint64 // since open
	WrittenBytes  uint64 // payload bytes committed since open
	Segments      int
	Quarantined   int
	Wear          Wear
}

// Stats takes the figures; it does no I/O.
func (s *Spool) Stats() Stats {
	st := Stats{
		DiskBytes: s.diskUse(), MaxBytes: int64(s.conf.MaxBytes), Lost: s.lost.Load(), Damaged: s.damaged.Load(),
		Quarantined: int(s.quarantined.Load()), Wear: s.wear.wear(),
	}
	s.mu.Lock()
	st.NextSequence, st.FirstSequence = s.nextSeq, s.nextSeq
	st.Duplicates, st.Commits, st.WrittenBytes = s.duplicates, s.commits, uint64(s.written)
	st.Lost += s.abandoned
	st.Full = s.full || errors.Is(s.noRoom, ErrFull)
	st.ReadOnly = s.failed != nil
	st.Refuses = s.refuses()
	s.mu.Unlock()
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	for _, seg := range s.table.segs {
		st.Records += seg.row.Count
		st.Bytes += seg.row.Bytes
		for _, set := range seg.row.Sets {
			st.FirstSequence = min(st.FirstSequence, set.First)
		}
	}
	st.Segments = len(s.table.segs)
	return st
}

// refuses says why records are not taken; s.mu is held.
func (s *Spool) refuses() string {
	switch {
	case s.failed != nil:
		return s.failed.Error()
	case s.noRoom != nil:
		return s.noRoom.Error()
	}
	return ""
}
