package directory

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// longSettle is how long a file must stay the same where nobody can tell
// whether a writer still has it open.
const longSettle = 5 * time.Second

// openSettled opens a file that looked the same for long enough and that
// nobody is writing; errBusy otherwise.
func (s *Source) openSettled(path string, known *sighting) (*os.File, error) {
	now := time.Now()
	if !known.settled(now, s.config.Settle) {
		return nil, errBusy
	}
	// O_NONBLOCK: a FIFO that took the file's place would hold us up for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	err = s.unwritten(f, known.stamp)
	if errors.Is(err, errNoLease) {
		s.warnNoLease(path, err)
		if err = nil; !known.settled(now, max(longSettle, s.config.Settle)) {
			err = errBusy
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// unwritten tells whether the open file is still the version that was seen,
// with no writer.
func (s *Source) unwritten(f *os.File, seen stamp) error {
	now, regular, err := fstat(f)
	if err != nil {
		return err
	}
	if !regular || now != seen {
		return errBusy
	}
	return probeWriters(f)
}

func (s *Source) warnNoLease(path string, err error) {
	if !s.noLease {
		s.noLease = true
		s.setup.Log.Warn("file system does not tell who is writing, files must stay the same for longer",
			"source", s.setup.Name, "file", path, "settle", max(longSettle, s.config.Settle), "error", err,
			"hint", "files of other users need the capability CAP_LEASE")
	}
}
