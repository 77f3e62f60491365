package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// takesWrites fails with ErrReadOnly where the file system of an open file
// takes no writes any more. After an error of its own ext4 does not, and
// statfs(2) does not say so, but a write through a mapping is a SIGBUS then. A
// write of nothing changes nothing, and is refused like any other.
func takesWrites(f *os.File) error {
	_, err := unix.Pwrite(int(f.Fd()), nil, 0)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return nil
}

// takesWrites is the same of the stores' disk, as far as it is known yet.
func (f *faultLog) takesWrites() error {
	if f.disk == nil {
		return nil
	}
	return takesWrites(f.disk)
}

// storeTakesWrites is the same of a store's folder.
func storeTakesWrites(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "MANIFEST"), os.O_WRONLY, 0)
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	if err != nil {
		return nil // it says so itself
	}
	defer f.Close()
	return takesWrites(f)
}
