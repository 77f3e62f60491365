package spool

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// vainFor is how long nothing undelivered goes for the sake of the disk after
// somebody else has filled it further than records could give back, or has
// taken at once what came back.
const vainFor = 10 * time.Minute

// noteVain finds out whether as much is free as should be after something went.
func (s *Spool) noteVain(want int64) {
	if free, _, err := freeBytes(s.conf.Path); err != nil || free >= want {
		return
	}
	_ = unix.Syncfs(int(s.lock.Fd())) // some file systems give back late
	if free, _, err := freeBytes(s.conf.Path); err == nil && free < want {
		s.log.Warn("somebody else takes the room that dropped records leave; no more of them go for a while", "free", free, "for", vainFor)
		s.feedNobody()
	}
}

// outweighed tells whether all that is not delivered could not give back what
// is short.
func (s *Spool) outweighed(short int64) bool {
	if short <= s.evictable() {
		return false
	}
	s.feedNobody()
	return true
}

// feedNobody keeps what is not delivered for a while. The lock's time of
// change says so to the next start, which has not seen what the disk went
// through; setting it takes no room.
func (s *Spool) feedNobody() {
	s.vainUntil = time.Now().Add(vainFor)
	_ = os.Chtimes(filepath.Join(s.conf.Path, "LOCK"), time.Time{}, s.vainUntil)
}

// loadVain reads what feedNobody left. A clock that has jumped since does not
// make it last longer.
func (s *Spool) loadVain() {
	info, err := s.lock.Stat()
	if err == nil && time.Until(info.ModTime()) <= vainFor {
		s.vainUntil = info.ModTime()
	}
}

// inVain tells whether dropping records would only feed somebody else: it is
// the disk that is full, and not the cap.
func (s *Spool) inVain() bool {
	return s.vainNow() && s.diskUse()+s.table.shape.disk() <= int64(s.conf.MaxBytes)
}

func (s *Spool) vainNow() bool { return time.Now().Before(s.vainUntil) }
