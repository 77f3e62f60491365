package spool

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// isFullDisk recognises a full disk or quota. Badger's errors do not wrap
// their causes, so their words count as well.
func isFullDisk(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || err != nil && strings.Contains(err.Error(), "no space left")
}

// isDiskFault recognises errors that are the disk's and not the store's: a
// store that cannot be opened because of them is not damaged.
func isDiskFault(err error) bool {
	if isFullDisk(err) || errors.Is(err, errNotMended) || errors.Is(err, errUnopened) || errors.Is(err, ErrReadOnly) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EMFILE) ||
		errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EPERM) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "read-only file system") || strings.Contains(text, "permission denied") ||
		strings.Contains(text, "directory lock") || // a failed Open of this process left it open
		strings.Contains(text, "too many open files") || strings.Contains(text, "cannot allocate memory")
}

// recordsSpare is for the records of the Append that asks, and of those that
// ask at the same time.
const recordsSpare = 256

// stillFailed tells whether it is too early to try the disk again; s.mu is held.
func (s *Spool) stillFailed() bool { return time.Now().Before(s.failedUntil) }

// refuseFull fails with ErrFull, under that policy, if the active segment
// cannot take that much more and no other may begin; s.mu is held, and is
// given up while room is looked for.
func (s *Spool) refuseFull(bytes int64) error {
	if s.conf.WhenFull != refuse {
		return nil
	}
	records := len(s.queue.recs)
	bytes += s.queue.bytes
	if s.flight != nil {
		bytes += s.flight.bytes
		records += len(s.flight.recs)
	}
	// A record may be in a chunk of its own, whose key may count twice.
	if s.segmentLeft.Load() >= bytes+txnBytes/4 && s.recordsLeft.Load() >= 2*int64(records)+recordsSpare {
		s.noRoom = nil
		return nil
	}
	s.mu.Unlock()
	err := s.roomToGrow(bytes)
	s.mu.Lock()
	s.noRoom = err
	return err
}

// roomToGrow tells whether segments for that many bytes may begin, now or
// after passed ones went.
func (s *Spool) roomToGrow(bytes int64) error {
	short, why, err := s.lacking(s.table.shape.disk() * (1 + bytes/s.lim.segment))
	if err != nil || short <= 0 {
		return err
	}
	short -= s.asideUse.Load()           // makeRoom lets the quarantine go first
	for _, seg := range s.spent(false) { // the newest is sealed first, and goes then
		short -= s.table.row(seg).Disk
	}
	if short <= 0 {
		return nil
	}
	return fmt.Errorf("append: %w: %s", ErrFull, why)
}
