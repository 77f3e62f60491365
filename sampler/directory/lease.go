package directory

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var (
	// errBusy: somebody has the file open for writing, or it changed.
	errBusy = errors.New("file is still being written")
	// errNoLease: this file system, or this user, cannot know that.
	errNoLease = errors.New("no read lease here")
)

// probeWriters asks the kernel whether anyone has the file open, or mapped,
// for writing: a read lease is refused then (fcntl(2), F_SETLEASE). It is
// given back at once, because a writer who came meanwhile waits for that.
func probeWriters(f *os.File) error {
	fd := f.Fd()
	_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK); err != nil && !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("give back read lease: %w", err)
		}
		return nil
	case errors.Is(err, unix.EAGAIN):
		return errBusy
	}
	// EACCES: somebody else's file, and no CAP_LEASE. EINVAL, ENOLCK and
	// others: the file system has no leases.
	return fmt.Errorf("%w: %w", errNoLease, err)
}
