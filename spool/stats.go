package spool

import "time"

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
	Commits       uint64 // since open
	WrittenBytes  uint64 // payload bytes committed since open
	Segments      int
	Quarantined   int
}

// Stats takes the figures; it does no I/O.
func (s *Spool) Stats() Stats { return Stats{} }

// MarkBootTime says that records of this boot are to be dated with offset
// (wall time = offset + Instant.Since). Only the first call for a boot counts
// for records already offered undated. Durable when it returns.
func (s *Spool) MarkBootTime(boot [16]byte, offset time.Time) error { return ErrClosed }

// Dated returns the record's true wall time: its own if it was synchronised,
// else by its boot's offset if that is known. A record that was once offered
// undated stays undated.
func (s *Spool) Dated(r *Record) (t time.Time, ok bool) { return time.Time{}, false }
